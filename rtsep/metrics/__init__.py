"""How good a separation is, in decibels, and how punctual it was.

Signals are float32 or float64, `[frames]` or `[microphones, frames]`, and everything is computed in float64,
one value a microphone. Ratios are limited to ±`LIMIT_DB`, so that averages and JSON stay finite. Where there
is nothing to judge the value is nan: a silent reference, or a sample that is not finite.
"""

from __future__ import annotations

from rtsep.metrics.bss import SILENCE_DB, BssEval, bss_eval
from rtsep.metrics.decibels import LIMIT_DB, Signal, Values
from rtsep.metrics.filters import BSS_TAPS
from rtsep.metrics.punctuality import percentiles
from rtsep.metrics.ratios import (
    bleed_removed,
    harm,
    improvement,
    mixing_distance,
    phase_inversion_split,
    sdr,
    si_sdr,
    si_sir_sar,
)

__all__ = [
    "BSS_TAPS", "LIMIT_DB", "SILENCE_DB", "BssEval", "Signal", "Values", "bleed_removed", "bss_eval", "harm",
    "improvement", "mixing_distance", "percentiles", "phase_inversion_split", "sdr", "si_sdr", "si_sir_sar",
]
