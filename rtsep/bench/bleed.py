"""The table of bleed reduction: this program, rival methods and oracles on the same recordings in one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep import evaluation, metrics, presets
from rtsep.bench import cases
from rtsep.bench.cases import Case
from rtsep.bench.history import MORE, Reading
from rtsep.bench.oracles import ORACLES
from rtsep.bench.rivals import RIVALS, rival
from rtsep.calibration import Calibration
from rtsep.errors import InputError
from rtsep.runner import process
from rtsep.scenes import Scene
from rtsep.session import Session
from rtsep.stage import Block
from rtsep.systems import soundcheck

LATE_SECONDS = 10.0
"""From here on a blind run counts as settled."""

EARLY_SECONDS = 6.0
"""Up to here nobody has moved yet in the moving cases: theirs lasts from 6.3 to 9.1 s."""

BOUND = "paths-8192"
"""The oracle whose harm is the bound for every canceller: (I + A)^-1 of the true paths is not 1 on its diagonal."""

_VALUES = ("cold", "early", "late", "harm", "soundcheck", "soundcheck_early", "soundcheck_late", "soundcheck_harm")
_NOISE_DB = 0.01   # of a mean: what other versions of libraries change in the last digits
_KINDS = ("linear", "linear-moving", "room", "room-moving")


@dataclass(frozen=True)
class BleedOptions:
    """What `bleed` is asked for.

    Parameters
    ----------
    folder : str, optional
        Of .npz cases; own scenes without one.
    presets : tuple of str
        Names or paths.
    rivals, oracles : tuple of str
        Names; of oracles a family (`mask`) stands for all of it.
    skip : float
        Seconds not counted at the beginning.
    harm : bool
        Run every microphone's own sound alone through the very filters: takes three times as long.
    """

    folder: str | None = None
    presets: tuple[str, ...] = ("live", "monitor", "foh", "record")
    rivals: tuple[str, ...] = ()
    oracles: tuple[str, ...] = ()
    skip: float = 4.0
    harm: bool = True


@dataclass(frozen=True)
class _System:
    name: str
    family: str   # preset, rival or oracle
    latency: dict[str, int] = field(default_factory=dict)
    cases: dict[str, dict[str, Any]] = field(default_factory=dict)


def bleed(options: BleedOptions, advance: Callable[[float], None] | None = None) -> dict[str, Any]:
    """Measure everything on every case.

    Parameters
    ----------
    options : BleedOptions
    advance : callable, optional
        Called with the part that is done, 0 to 1.

    Returns
    -------
    dict
        `cases`: name, kind, mics, seconds, si_sdr (of the microphones, dB). `systems`: name, family, `cases`, and
        `summary` (see `summarise`). A system's case holds, in dB and per microphone where they are known: `cold`,
        `early` and `late` (improvement from `skip` on, from `skip` to 6 s, from 10 s on), `harm`; the same with
        `soundcheck` in front (`soundcheck` from `skip` on) for runs that start from a calibration; and `cpu_s` of the
        first run.

    Raises
    ------
    InputError
        An unknown name, or a case that cannot be read or is too short.
    """
    loaded = [presets.load(name) for name in options.presets]
    rivals = _chosen("--rivals", options.rivals, RIVALS)
    oracles = _chosen("--oracles", options.oracles, tuple(ORACLES))
    names = cases.find(options.folder)
    systems = [
        *(_System(preset.name, "preset") for preset in loaded),
        *(_System(name, "rival") for name in rivals),
        *(_System(name, "oracle") for name in oracles),
    ]
    told = []
    for number, case in enumerate(cases.load(options.folder)):
        told.append(_describe(case, options.skip))
        known = _learn(case)
        for place, system in enumerate(systems):
            if system.family == "preset":
                system.cases[case.name] = _preset(case, loaded[place], known, options, system)
            elif system.family == "rival":
                begun = time.process_time()
                cleaned = rival(system.name)(case.mics, case.rate)
                system.cases[case.name] = _score(case, cleaned, None, options.skip, time.process_time() - begun)
            else:
                begun = time.process_time()
                bound = ORACLES[system.name](case)
                if bound is not None:
                    system.cases[case.name] = _score(
                        case, bound.cleaned, bound.alone, options.skip, time.process_time() - begun
                    )
            if advance is not None:
                advance((number + (place + 1) / len(systems)) / len(names))
    return {
        "skip_s": options.skip,
        "cases": told,
        "systems": [
            {"name": s.name, "family": s.family, **({"latency_samples": s.latency} if s.latency else {}),
             "summary": summarise(s.cases, told), "cases": s.cases}
            for s in systems
        ],
    }


def summarise(scored: dict[str, dict[str, Any]], told: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Average over cases of a kind what was scored per microphone.

    Parameters
    ----------
    scored : dict
        Per case: values per microphone, as in `bleed`.
    told : sequence of dict
        Name and kind of each case.

    Returns
    -------
    dict
        Per kind, and for `all`, `rooms` (moving ones too) and `static rooms`: a dict with, for each value, mean over
        the cases' means, lowest and highest case, and worst microphone, dB.
    """
    groups = {
        "all": _KINDS, "rooms": ("room", "room-moving"), "static rooms": ("room",), "linear": ("linear",),
        "linear-moving": ("linear-moving",), "room-moving": ("room-moving",),
    }
    result: dict[str, Any] = {}
    for group, kinds in groups.items():
        inside = [scored[case["name"]] for case in told if case["kind"] in kinds and case["name"] in scored]
        values = {}
        for key in _VALUES:
            rows = [[v for v in row[key] if np.isfinite(v)] for row in inside if key in row]
            means = [float(np.mean(row)) for row in rows if row]
            if means:
                values[key] = {
                    "mean": float(np.mean(means)), "lowest": min(means), "highest": max(means),
                    "worst_mic": min(min(row) for row in rows if row), "cases": len(means),
                }
        if values:
            result[group] = values
    return result


def case_rows(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return heads and cells of the table of each case and preset."""
    heads = ["case", "kind", "in", "preset", "cold", "worst", "from 10 s", "worst", "soundcheck", "worst", "harm",
             "lowest", "bound"]
    systems = report["systems"]
    bounds: dict[str, Any] = next((s["cases"] for s in systems if s["name"] == BOUND), {})
    matrices: dict[str, Any] = next((s["cases"] for s in systems if s["name"] == "inverse"), {})
    rows = []
    for case in report["cases"]:
        name = case["name"]
        bound = (bounds.get(name) or matrices.get(name) or {}).get("harm")
        for system in systems:
            if system["family"] != "preset":
                continue
            values = system["cases"][name]
            cells = [name, case["kind"], _number(np.mean(case["si_sdr"])), system["name"]]
            for key in ("cold", "late", "soundcheck", "harm"):
                found = _finite(values.get(key))
                cells += [_number(np.mean(found)), _number(min(found))] if found else ["", ""]
            bounding = _finite(bound)
            rows.append([*cells, _number(min(bounding)) if bounding else ""])
    return heads, rows


def system_rows(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return heads and cells of the table of all systems."""
    heads = ["system", "rooms", "range", "worst mic", "from 10 s, static", "soundcheck, static", "range", "worst mic",
             "walk: before", "after", "linear", "moving linear", "harm", "lowest"]
    rows = []
    for system in report["systems"]:
        summary = system["summary"]

        def cell(group: str, key: str, what: str, summary: dict[str, Any] = summary) -> str:
            value = summary.get(group, {}).get(key, {}).get(what)
            return "" if value is None else _number(value)

        def span(group: str, key: str, summary: dict[str, Any] = summary) -> str:
            values = summary.get(group, {}).get(key)
            return f"{_number(values['lowest'])} … {_number(values['highest'])}" if values else ""

        rows.append([
            system["name"], cell("rooms", "cold", "mean"), span("rooms", "cold"), cell("rooms", "cold", "worst_mic"),
            cell("static rooms", "late", "mean"), cell("static rooms", "soundcheck", "mean"),
            span("static rooms", "soundcheck"), cell("static rooms", "soundcheck", "worst_mic"),
            cell("room-moving", "soundcheck_early", "mean"), cell("room-moving", "soundcheck_late", "mean"),
            cell("linear", "cold", "mean"), cell("linear-moving", "cold", "mean"), cell("all", "harm", "mean"),
            cell("all", "harm", "worst_mic"),
        ])
    return heads, rows


def readings(report: dict[str, Any]) -> list[Reading]:
    """Return what the history keeps: the mean over cases of each system, by group and figure, dB."""
    return [
        Reading(f"{system['name']}.{group.replace(' ', '_')}.{key}", values["mean"], "dB", MORE, _NOISE_DB)
        for system in report["systems"] for group, found in system["summary"].items() for key, values in found.items()
    ]


def _number(value: float | np.floating[Any]) -> str:
    return f"{value:.1f}"


def _finite(values: list[float] | None) -> list[float]:
    return [v for v in values or [] if np.isfinite(v)]


def _chosen(option: str, wanted: Sequence[str], known: tuple[str, ...]) -> list[str]:
    chosen: list[str] = []
    for name in wanted:
        found = [k for k in known if k == name or k.partition("-")[0] == name]
        if not found:
            raise InputError(option, f"unknown {name!r}", f"known: {', '.join(known)}, none, all")
        chosen += [k for k in found if k not in chosen]
    return chosen


def _describe(case: Case, skip: float) -> dict[str, Any]:
    frames = case.mics.shape[1]
    if frames < (skip + 1) * case.rate:
        raise InputError(case.name, f"{frames / case.rate:g} s long", f"at least {skip + 1:g} s with --seconds-skip")
    first = round(skip * case.rate)
    before = metrics.si_sdr(case.images[:, first:], case.mics[:, first:])
    return {
        "name": case.name, "kind": case.kind, "mics": len(case.mics), "rate": case.rate, "seconds": frames / case.rate,
        "si_sdr": before.tolist(), "soundcheck": case.soundcheck is not None,
    }


def _learn(case: Case) -> Calibration | None:
    if case.soundcheck is None:
        return None
    return soundcheck.learn(case.soundcheck, case.rate, case.solos, case.names)


def _preset(
    case: Case, preset: presets.Preset, known: Calibration | None, options: BleedOptions, system: _System
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for calibration in (None, known) if known else (None,):
        begun = time.process_time()
        with Session.open(preset, case.rate, case.names, calibration) as session:
            engine = session.engine
            system.latency[case.name] = engine.latency
            if options.harm:
                heard = evaluation.listen(engine, _scene(case))
                cleaned, alone = heard.cleaned, heard.alone
            else:
                late = engine.latency
                cleaned, alone = process(engine.chain, np.pad(case.mics, ((0, 0), (0, late))))[:, late:], None
        scored = _score(case, cleaned, alone, options.skip, time.process_time() - begun)
        if calibration is None:
            result = scored
        else:
            result |= {
                name: scored[key] for name, key in (
                    ("soundcheck", "cold"), ("soundcheck_early", "early"), ("soundcheck_late", "late"),
                    ("soundcheck_harm", "harm"),
                ) if key in scored
            }
    return result


def _scene(case: Case) -> Scene:
    unknown: NDArray[np.float64] = np.full(len(case.mics), np.nan)
    return Scene(case.rate, case.names, case.mics, case.images, case.images, case.kind, 0, unknown)


def _score(case: Case, cleaned: Block, alone: Block | None, skip: float, cpu: float) -> dict[str, Any]:
    first, early, late = (round(seconds * case.rate) for seconds in (skip, EARLY_SECONDS, LATE_SECONDS))
    wanted, mics = case.images, case.mics
    row: dict[str, Any] = {
        "cold": metrics.improvement(wanted[:, first:], mics[:, first:], cleaned[:, first:]).tolist(), "cpu_s": cpu,
    }
    if early > first + case.rate:
        row["early"] = metrics.improvement(
            wanted[:, first:early], mics[:, first:early], cleaned[:, first:early]
        ).tolist()
    if wanted.shape[1] >= late + case.rate:
        row["late"] = metrics.improvement(wanted[:, late:], mics[:, late:], cleaned[:, late:]).tolist()
    if alone is not None:
        row["harm"] = metrics.harm(wanted[:, first:], alone[:, first:]).tolist()
    return row
