"""Powers, ratios of image to bleed, and what changes while a concert runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtsep.scenes.scene import Signal


def mean_power(x: Signal) -> Any:  # float64[...], a scalar for one signal
    """Return the mean square of each signal."""
    return np.einsum("...t,...t->...", x, x) / x.shape[-1]


def sir(images: Signal, bleed: Signal) -> Signal:
    """Return the energy of each image over that of the bleed, dB."""
    ratio: Signal = 10 * np.log10(mean_power(images) / mean_power(bleed))
    return ratio


def ramp(concert: slice, begin: float, end: float, frames: int) -> Signal:
    """Rise from 0 to 1 between two parts of the concert (0 its start, 1 its end)."""
    length = concert.stop - concert.start
    place = (np.arange(frames) - concert.start) / length
    rising: Signal = np.clip((place - begin) / (end - begin), 0.0, 1.0)
    return rising
