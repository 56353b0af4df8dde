"""Linear kinds: every source reaches every microphone by a gain."""

from __future__ import annotations

import math

import numpy as np

from rtsep import synth
from rtsep.scenes.levels import mean_power, ramp
from rtsep.scenes.scene import Signal


def mix(
    sources: Signal, concert: slice, rng: np.random.Generator, rate: int, moving: bool
) -> tuple[Signal, Signal, Signal]:
    """Mix by gains. Returns the first matrix, the images and the bleed; changes the sources if one steps."""
    count, frames = sources.shape
    first, second = (_gains(count, rng) for _ in range(2))
    if moving:
        length = (concert.stop - concert.start) / rate
        step = ramp(concert, 0.75, 0.75 + 0.05 / length, frames)
        louder = int(rng.integers(count))
        sources[louder] *= 10 ** (6 * step / 20)
        sources[louder] *= synth.RMS / math.sqrt(mean_power(sources[louder, concert]))
    others = first - np.eye(count)
    bleed = others @ sources
    if moving:
        fade = min(0.5, 0.2 * length) / length
        bleed += ((second - first) @ sources) * ramp(concert, 0.5 - fade / 2, 0.5 + fade / 2, frames)
    return first, sources.copy(), bleed


def _gains(count: int, rng: np.random.Generator) -> Signal:
    gains = rng.uniform(0.05, 0.4, (count, count))
    np.fill_diagonal(gains, 1.0)
    # The scene holds float32, and the bleed must be what that matrix says.
    return gains.astype(np.float32).astype(np.float64)
