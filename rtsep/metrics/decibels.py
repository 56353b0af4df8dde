"""What all measures are made of: powers and ratios in dB, and signals checked for being comparable."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtsep.errors import InputError

LIMIT_DB = 200.0
"""Largest ratio that is reported; float64 rounding alone is above -320 dB, float32 audio about -150 dB."""

Signal = NDArray[np.float64]
Values = NDArray[np.float64]


def floats(place: str, values: ArrayLike) -> Signal:
    """Return float64[..., frames] of what is told, or raise InputError at `place`."""
    array: NDArray[Any] = np.asarray(values)
    if array.ndim == 0 or array.dtype.kind not in "fiu":
        problem = f"{array.dtype} of shape {array.shape} is not audio"
        raise InputError(place, problem, "real numbers [..., frames]")
    return array.astype(np.float64)


def pair(first: str, a: ArrayLike, second: str, b: ArrayLike) -> tuple[Signal, Signal]:
    """Return two signals of one shape; InputError otherwise."""
    x, y = floats(first, a), floats(second, b)
    if x.shape != y.shape:
        # Broadcasting would silently compare every microphone with one estimate.
        raise InputError(second, f"shape {y.shape} differs from {first} {x.shape}", "the same shape")
    return x, y


def power(x: Signal) -> Values:
    """Return the energy of each signal."""
    return np.asarray(np.einsum("...t,...t->...", x, x), np.float64)


def centred(x: Signal) -> Signal:
    """Return each signal without its mean."""
    if not x.shape[-1]:
        return x
    moving: Signal = x - np.mean(x, axis=-1, keepdims=True)
    # What rounding leaves of a constant must count as silence.
    constant = np.max(np.abs(moving), axis=-1) < 1e-12 * np.max(np.abs(x), axis=-1)
    moving[constant] = 0.0
    return moving


def ratio(wanted: Values, unwanted: Values, silent: Values) -> Values:
    """Return wanted / unwanted in dB, nan where `silent` is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        decibels = 10 * (np.log10(wanted) - np.log10(unwanted))
    decibels = np.where((wanted == 0) & (unwanted == 0), -LIMIT_DB, decibels)
    return np.where(silent > 0, np.clip(decibels, -LIMIT_DB, LIMIT_DB), np.nan)
