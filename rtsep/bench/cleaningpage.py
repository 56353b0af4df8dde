"""The page of the bleed papers' tables, of what `rtsep.bench.cleaning` has measured."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rtsep.bench.cleaning import BLEEDING, BLEEDS, CLEAN, SEPARATOR, Matrix, Result, recovered
from rtsep.bench.markdown import table as markdown_table

PAPERS = {"kamir": 660.4, "cae": 2.4, "t-unet": 2.19}
"""Seconds for 100 tracks in the papers, on hardware that they do not tell; 100 Saraga or MUSDB tracks of 10 s."""
PAPERS_SHARE = {"cae": 56.0, "t-unet": 79.0}
"""Percent of a separator's loss that cleaning saves in the papers."""
EXAMPLE_LIMIT = 0.008
"""Largest error of a gain in the papers' example."""


@dataclass(frozen=True)
class Report:
    """All that was measured.

    Parameters
    ----------
    results : sequence of Result
    gains : mapping
        See `rtsep.bench.cleaning.example`.
    stems : tuple of str
    trainings : mapping
        What each model's training says of itself, by its file's place.
    """

    results: Sequence[Result]
    gains: Mapping[str, Matrix]
    stems: tuple[str, ...]
    trainings: Mapping[str, str]


def cleaning_rows(report: Report) -> tuple[list[str], list[list[str]]]:
    """Return heads and cells of the first table."""
    heads = ["bleed", "system", "trained", "SDR dB", *report.stems, "± tracks", "gain dB", "‖ΔΛ‖", "s / 100 tracks",
             "CPU s", "papers"]
    rows = []
    for bleed in BLEEDS:
        before = _of(report.results, BLEEDING, "", bleed)
        for system, trained in dict.fromkeys((r.system, r.trained) for r in report.results):
            found = _of(report.results, system, trained, bleed)
            if not found or system == CLEAN:
                continue
            sdr = np.array([r.sdr for r in found])
            base = np.array([r.sdr for r in before][: len(sdr)])
            gain = f"{np.nanmean(sdr) - np.nanmean(base):+.2f}" if len(base) == len(sdr) else "-"
            far = [r.distance for r in found if r.distance is not None]
            rows.append([
                bleed, system, _trained(trained, bleed), f"{np.nanmean(sdr):.2f}",
                *(f"{value:.1f}" for value in np.nanmean(sdr, axis=0)), f"{np.nanmean(sdr, axis=1).std():.1f}", gain,
                f"{np.mean(far):.3f}" if far else "-", *_times(found), f"{PAPERS[system]}" if system in PAPERS else "-",
            ])
    return heads, rows


def _of(results: Sequence[Result], system: str, trained: str, bleed: str) -> list[Result]:
    return [r for r in results if (r.system, r.trained, r.bleed) == (system, trained, bleed)]


def _trained(trained: str, bleed: str) -> str:
    if not trained:
        return "-"
    return f"{trained}{' (F)' if trained == 'room' else ''}, {'matched' if trained == bleed else 'mismatched'}"


def _times(found: Sequence[Result]) -> list[str]:
    if found[0].system in ("mics", "mean gains"):
        return ["-", "-"]
    return [f"{100 * np.mean([r.seconds for r in found]):.1f}", f"{100 * np.mean([r.cpu for r in found]):.1f}"]


def separated_rows(report: Report) -> tuple[list[str], list[list[str]]]:
    """Return heads and cells of the second table, of each kind of bleed the best first."""
    heads = ["bleed", "sum of mics that are", "trained", "SDR dB", *report.stems, "± tracks", "loss saved", "papers"]
    rows = []
    for bleed in BLEEDS:
        shares = recovered(report.results, bleed)
        means: list[tuple[float, list[str]]] = []
        for system, trained in dict.fromkeys((r.system, r.trained) for r in report.results):
            found = [r.separated for r in _of(report.results, system, trained, bleed) if r.separated]
            if not found:
                continue
            sdr, way = np.array(found), (system, trained)
            what = {CLEAN: "clean", BLEEDING: "bleeding"}.get(system, f"cleaned by {system}")
            papers = f"{PAPERS_SHARE[system]:.0f} %" if system in PAPERS_SHARE else "-"
            means.append((float(sdr.mean()), [
                bleed, what, _trained(trained, bleed), f"{sdr.mean():.2f}",
                *(f"{value:.1f}" for value in sdr.mean(axis=0)), f"{sdr.mean(axis=1).std():.1f}",
                f"{100 * shares[way]:.0f} %" if way in shares else "-", papers,
            ]))
        rows += [row for _, row in sorted(means, key=lambda one: -one[0])]
    return heads, rows


def example_rows(report: Report) -> tuple[list[str], list[list[str]]]:
    """Return heads and cells of the example with gains of 0.1."""
    true = report.gains["true"]
    rows = []
    for name, found in report.gains.items():
        if name != "true":
            error = found / np.diag(found) - true
            rows.append([name, f"{np.abs(error).max():.4f}", f"{np.linalg.norm(error):.4f}",
                         "; ".join(" ".join(f"{value:.3f}" for value in row) for row in found)])
    return ["method", "largest error", "‖ΔΛ‖", "Λ found"], rows


def markdown(report: Report) -> str:
    """Return the tables as a page."""
    count = len({(r.bleed, r.track) for r in report.results}) // len(BLEEDS)
    lines = [
        "# Bleed removed by the papers' systems", "",
        "Made by `rtsep bench cleaning FOLDER -o bench/cleaning.md`; do not edit. `python bench/cleaning.py FOLDER` "
        "trains all that is in FOLDER first.",
        f"Stand-in tracks of four stems and 10 s, {count} of each kind of bleed, of a seed that nothing is trained on. "
        "SDR: of each stem against its image in its own mic.",
        f"One thread on this machine ({platform.machine()}, no GPU), shared with others: seconds by the clock say as "
        "much of the others; CPU s is what it takes.", "",
        "## Cleaned mics", "", *markdown_table(*cleaning_rows(report)), "",
        "`mean gains` undoes the mean of all matrices and looks at nothing. The papers' seconds are of hardware that "
        "they do not tell. altmin is given the clean mix, as in the papers.", "",
        f"## Four sources, gains of 0.1 (papers: {EXAMPLE_LIMIT} at most)", "",
        *markdown_table(*example_rows(report)), "",
        "## What a separator makes of the mixture", "", *markdown_table(*separated_rows(report)), "",
        f"The same {SEPARATOR}, trained on mixtures of clean stems, gets the sum of the mics; each stem against its "
        "image. Loss saved: (SDR - bleeding) / (clean - bleeding).", "",
        "## Trainings", "", *markdown_table(["model", "what it says"], [[k, v] for k, v in report.trainings.items()]),
    ]
    return "\n".join(lines) + "\n"


def told(report: Report) -> dict[str, Any]:
    """Return everything as numbers."""
    return {
        "results": [asdict(one) for one in report.results], "trainings": dict(report.trainings),
        "saved": {name: [[*way, share] for way, share in recovered(report.results, name).items()] for name in BLEEDS},
        "gains": {name: found.tolist() for name, found in report.gains.items()},
    }
