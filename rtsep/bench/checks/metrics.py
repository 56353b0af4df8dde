"""Acceptance of metrics and of data: sections 6, 7 and 1.9."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from rtsep import metrics
from rtsep.bench import sts
from rtsep.bench.checks.check import Check, Measured, timed, version

_SECONDS = 10.0
_GAINS = (1.0, 0.3, 1e-3, 1e3, -2.0)
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


CHECKS = (
    Check("6", "metrics", "SI-SDR of s + 0.1 other: off 20.0 dB by", 0.05, False, "dB", _leak),
    Check("6", "metrics", "SI-SDR of g ŝ, five g from -2 to 1000: spread", 1e-6, False, "dB", _scaled),
    Check("6", "metrics", "s1 + 0.1 s2 + 0.01 n: SDR off 17 dB by", 0.5, False, "dB", lambda: _bss("sdr")),
    Check("6", "metrics", "s1 + 0.1 s2 + 0.01 n: SIR off 20 dB by", 0.5, False, "dB", lambda: _bss("sir")),
    Check("6", "metrics", "s1 + 0.1 s2 + 0.01 n: SAR off 20 dB by", 0.5, False, "dB", lambda: _bss("sar")),
    Check("6", "metrics", "s1 + 0.1 s2 + 0.01 n: ISR off 45 dB by", 0.5, False, "dB", lambda: _bss("isr")),
    Check("6", "metrics", "BSS-eval with pauses: figures not finite", 0, False, "figures", _pauses),
    Check("6", "metrics", "Λ distance, columns scaled: off 0.05 by", 1e-12, False, "", _distance),
)
