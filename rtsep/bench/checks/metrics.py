"""Acceptance of metrics and of data: sections 6, 7 and 1.9."""

from __future__ import annotations

import importlib.util
import tempfile
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from rtsep import datasets, metrics
from rtsep.bench import sts
from rtsep.bench.checks.check import Check, Measured, timed, version

_SECONDS = 10.0
_GAINS = (1.0, 0.3, 1e-3, 1e3, -2.0)
_LEVELS = {1: (-15.0, -11.8), 2: (-19.0, -15.0), 3: (-24.0, -21.0)}   # dB of neighbours, of the next, of the farthest
_INPUT_SDR = np.array((11.8, 9.9, 8.7, 11.3))
_EXPECTED = {"sdr": 17.0, "isr": 45.0, "sir": 20.0, "sar": 20.0}


def museval_metrics() -> Any | None:
    """Return museval's arithmetic, or None if it is not installed.

    Its package cannot be imported where ffmpeg is missing, because it opens data sets too; this file can.
    """
    package = importlib.util.find_spec("museval")
    if package is None or package.origin is None:
        return None
    spec = importlib.util.spec_from_file_location("museval_metrics", Path(package.origin).with_name("metrics.py"))
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _leak() -> Measured:
    first, second = sts.sources(_SECONDS)[:2]
    reference = ""
    if version("fast_bss_eval"):
        import fast_bss_eval

        theirs = fast_bss_eval.bss_eval_sources(
            first[None], (first + 0.1 * second)[None], filter_length=1, zero_mean=True, compute_permutation=False
        )
        reference = f"{version('fast_bss_eval')}: SDR with one tap {float(theirs[0][0]):.2f} dB"
    found, cost = timed(lambda: float(metrics.si_sdr(first, first + 0.1 * second)))
    return Measured(abs(found - 20.0), cost / _SECONDS, reference)


def _scaled() -> Measured:
    first, second = sts.sources(_SECONDS)[:2]
    found = [float(metrics.si_sdr(first, gain * (first + 0.1 * second))) for gain in _GAINS]
    return Measured(max(found) - min(found))


def _mixture() -> tuple[sts.Signal, sts.Signal]:
    """Return two sources, and as estimates s1 + 0.1 s2 + 0.01 n and s2; the sources have an RMS of 0.1, n has 1."""
    pair = sts.sources(_SECONDS)[:2]
    noise = np.random.default_rng(1).standard_normal(pair.shape[1])
    return pair, np.stack((pair[0] + 0.1 * pair[1] + 0.01 * noise, pair[1]))


@cache
def _judged() -> tuple[metrics.BssEval, float, tuple[tuple[str, Sequence[sts.Signal]], ...]]:
    """Return what we find in the mixture, at which cost, and what the libraries find: [measure][source, window]."""
    references, estimates = _mixture()
    found, cost = timed(lambda: metrics.bss_eval(references, estimates, references.shape[1]))
    theirs: list[tuple[str, Sequence[sts.Signal]]] = []
    museval = museval_metrics()
    if museval is not None:
        figures, seconds = timed(lambda: museval.bss_eval(references, estimates, window=np.inf, hop=0))
        theirs.append((f"{version('museval')}, {seconds / _SECONDS:.3f} s/s", figures))
    if version("mir_eval"):
        import mir_eval

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)   # that it will be removed
            figures, seconds = timed(lambda: mir_eval.separation.bss_eval_images(references, estimates, False))
        theirs.append((f"{version('mir_eval')}, {seconds / _SECONDS:.3f} s/s", figures))
    return found, cost, tuple(theirs)


def _bss(measure: str) -> Measured:
    found, cost, theirs = _judged()
    place = tuple(_EXPECTED).index(measure)
    reference = "; ".join(f"{name}: {np.ravel(figures[place])[0]:.4f} dB" for name, figures in theirs)
    value = float(getattr(found, measure)[0, 0])
    return Measured(abs(value - _EXPECTED[measure]), cost / _SECONDS, f"ours {value:.4f} dB; {reference}")


def _pauses() -> Measured:
    """Count figures that are not finite where every source rests for a second, and one estimate for longer."""
    references, estimates = _mixture()
    references[0, : sts.RATE], references[1, 3 * sts.RATE : 4 * sts.RATE] = 0, 0
    estimates[1, : 5 * sts.RATE] = 0
    found = metrics.bss_eval(references, estimates, sts.RATE)
    figures = [values for summary in (found.median(), found.mean()) for values in summary.values()]
    return Measured(float(np.count_nonzero(~np.isfinite(figures))))


def _distance() -> Measured:
    wrong = sts.UNIFORM.copy()
    wrong[0, 1] += 0.03
    wrong[3, 2] -= 0.04
    levels = np.array([0.5, 2.0, 1.0, 3.0])
    return Measured(abs(metrics.mixing_distance(sts.UNIFORM, wrong * levels) - 0.05))


def _missed(dataset: str, expected: dict[str, int]) -> Measured:
    """Count songs that are missed, invented or misplaced in a made tree of empty files."""
    with tempfile.TemporaryDirectory() as folder:
        for subset, count in expected.items():
            for number in range(count):
                place = Path(folder, "Sources" if dataset == "dsd100" else "", subset, f"{number:03} - Artist - Song")
                place.mkdir(parents=True)
                for name in ("mixture", "vocals", "bass", "drums", "other"):
                    (place / f"{name}.wav").touch()
        found = datasets.find_tracks(folder, dataset)
    names = [(track.subset, track.name) for track in found]
    made = [(subset, f"{number:03} - Artist - Song") for subset, count in expected.items() for number in range(count)]
    return Measured(float(len(names) - len(set(names)) + len(set(made) ^ set(names))))


def _recipe() -> Measured:
    """Return by how much drawn gains leave the ranges 0.05 to 0.31 and 0.6 to 1, or their two decimals."""
    worst = 0.0
    for seed in range(200):
        gains = datasets.draw_gains(4, np.random.default_rng(seed))
        own, others = np.diag(gains), gains[~np.eye(4, dtype=bool)]
        outside = max(0.6 - own.min(), own.max() - 1.0, 0.05 - others.min(), others.max() - 0.31)
        worst = max(worst, outside, float(np.abs(gains - np.round(gains, 2)).max()))
    return Measured(worst)


def _levels() -> Measured:
    """Return by how much the paths leave the published ranges, by distance of the microphone from the source."""
    energy = (datasets.room_paths(sts.RATE) ** 2).sum(axis=-1)
    levels = 10 * np.log10(energy / np.diag(energy))
    worst = 0.0
    for i, j in zip(*np.nonzero(~np.eye(4, dtype=bool)), strict=True):
        low, high = _LEVELS[abs(int(i) - int(j))]
        worst = max(worst, float(low - levels[i, j]), float(levels[i, j] - high))
    apart = [np.concatenate((np.diag(levels, n), np.diag(levels, -n))) for n in (1, 2, 3)]
    found = ", ".join(f"{group.max():.1f} to {group.min():.1f}" for group in apart)
    return Measured(worst, None, f"ours {found} dB")


def _input_sdr() -> Measured:
    dry = sts.sources(_SECONDS).astype(np.float32)
    (mics, images), cost = timed(lambda: datasets.play(("vocals", "bass", "drums", "other"), dry, sts.RATE))
    found = metrics.sdr(images, mics)[[2, 0, 1, 3]]   # as they stand: drums, vocal, bass, other
    ours = "/".join(f"{sdr:.2f}" for sdr in found)
    return Measured(float(np.abs(found - _INPUT_SDR).max()), cost / _SECONDS, f"ours {ours} dB")


CHECKS = (
    Check("1.9", "bleed data", "gains of 200 songs: outside the recipe by", 1e-12, False, "", _recipe),
    Check("1.9", "bleed data", "room: paths outside the table of levels by", 1.0, False, "dB", _levels),
    Check("1.9", "bleed data", "room, STS: SDR off 11.8/9.9/8.7/11.3 dB by", 0.5, False, "dB", _input_sdr),
    Check("6", "metrics", "SI-SDR of s + 0.1 other: off 20.0 dB by", 0.05, False, "dB", _leak),
    Check("6", "metrics", "SI-SDR of g ŝ, five g from -2 to 1000: spread", 1e-6, False, "dB", _scaled),
    Check("6", "metrics", "s1 + 0.1 s2 + 0.01 n: SDR off 17 dB by", 0.5, False, "dB", lambda: _bss("sdr")),
    Check("6", "metrics", "s1 + 0.1 s2 + 0.01 n: SIR off 20 dB by", 0.5, False, "dB", lambda: _bss("sir")),
    Check("6", "metrics", "s1 + 0.1 s2 + 0.01 n: SAR off 20 dB by", 0.5, False, "dB", lambda: _bss("sar")),
    Check("6", "metrics", "s1 + 0.1 s2 + 0.01 n: ISR off 45 dB by", 0.5, False, "dB", lambda: _bss("isr")),
    Check("6", "metrics", "BSS-eval with pauses: figures not finite", 0, False, "figures", _pauses),
    Check("6", "metrics", "Λ distance, columns scaled: off 0.05 by", 1e-12, False, "", _distance),
    Check("7", "data sets", "made MUSDB18-HQ, 100 + 50 songs: missed or misplaced", 0, False, "songs",
          lambda: _missed("musdb", {"train": 100, "test": 50})),
    Check("7", "data sets", "made DSD100, 50 + 50 songs: missed or misplaced", 0, False, "songs",
          lambda: _missed("dsd100", {"Dev": 50, "Test": 50})),
)
