"""Probes: what is played in order to find out how late it comes back. Periodic, so that no edge disturbs it.

Maximum length sequences (MLS) have a flat spectrum and one crest: the loudest noise that a converter takes. Each mic
gets one of its own, by decimation, so that all are measured at once: what one mic hears of another is noise to it. An
exponential sweep keeps the harmonics of a loop that distorts away from the response (Farina, AES 108, 2000).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.signal import max_len_seq

from rtsep.stage import Block

MLS, SWEEP = "mls", "sweep"
ORDER = 15                   # 32767 samples, 0.68 s at 48 kHz: longer than any loop that one would play through
LEVEL = 0.1                  # -20 dBFS: no converter clips, no limiter acts
_LOW, _HIGH = 50.0, 0.45     # Hz; of the rate: what loudspeakers and converters pass
_REST = 0.25                 # of a sweep's period: silence, for what comes back late
_EDGE = 256                  # samples over which a sweep begins and ends: no click


def probes(kind: str, mics: int, rate: int, order: int = ORDER) -> Block:
    """Return one period for each mic.

    Parameters
    ----------
    kind : str
        `MLS` or `SWEEP`; sweeps are the same for all, each shifted by its part of the period.
    mics : int
    rate : int
        Hz.
    order : int
        A period has 2^order - 1 samples.

    Returns
    -------
    float32[mics, frames]
    """
    if kind == SWEEP:
        one = sweep((1 << order) - 1, rate)
        return np.stack([one] * mics).astype(np.float32)
    sequence = 2.0 * max_len_seq(order)[0] - 1
    places = np.arange(sequence.size)
    every = [LEVEL * sequence[q * places % sequence.size] for q in _decimations(order, mics)]
    return np.stack(every).astype(np.float32)


def _decimations(order: int, count: int) -> list[int]:
    """Return by what an MLS has to be decimated so that others come out, none a shift of another (Golomb 1967)."""
    period = (1 << order) - 1
    found: list[int] = []
    seen: set[int] = set()
    for q in range(1, period, 2):
        least = min(q * (1 << k) % period for k in range(order))
        if math.gcd(q, period) == 1 and least not in seen:
            seen.add(least)
            found.append(q)
            if len(found) == count:
                break
    return found


def sweep(frames: int, rate: int) -> NDArray[np.float64]:
    """Return an exponential sweep and a rest, float64[frames]."""
    sounding = round(frames * (1 - _REST))
    low, high = 2 * np.pi * _LOW / rate, 2 * np.pi * _HIGH
    octaves = math.log(high / low)
    n = np.arange(sounding)
    wave = np.sin(low * sounding / octaves * np.expm1(n / sounding * octaves))
    ramp = np.minimum(1.0, np.minimum(n + 1, sounding - n) / _EDGE)
    made = np.zeros(frames)
    made[:sounding] = LEVEL * wave * ramp
    return made
