"""What the systems for two channels share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.stages.spectral import windows
from rtsep.systems.separator import Audio
from rtsep_kernels.pairs import QUIET


def even_angles(sources: int) -> NDArray[np.float64]:
    """Return pan angles in the middle of equal sectors from 0 (left) to π/2: for as long as nothing is known."""
    return (np.arange(sources) + 0.5) / sources * math.pi / 2


def forgetting(memory_s: float, hop: int, rate: int) -> float:
    """Return what is left of the past after a frame."""
    return math.exp(-hop / rate / memory_s)


def quiet(window: int, synthesis: int, hop: int) -> float:
    """Return the power of all bins of two channels, in the live stage's spectrum, below which a frame is silent."""
    analysis = windows(window, synthesis, hop)[0].astype(np.float64)
    return float(QUIET * window * (analysis**2).sum())


def planes(spectra: NDArray[np.complexfloating[Any, Any]]) -> tuple[Audio, Audio, Audio, Audio]:
    """Return real and imaginary parts of the first channel and of the second, float32[frames, bins]."""
    left, right = spectra
    return (
        np.ascontiguousarray(left.real), np.ascontiguousarray(left.imag),
        np.ascontiguousarray(right.real), np.ascontiguousarray(right.imag),
    )


def in_place(array: NDArray[Any], own: NDArray[Any], places: Sequence[int] | None) -> NDArray[Any] | None:
    """Return what was learnt, [pairs, …], with the pairs of now; what is new, or is no pair any more, is as in `own`.

    Parameters
    ----------
    array, own : array [pairs, …]
    places : sequence of int or None
        Of `Stage.start_from`.

    Returns
    -------
    array or None
        None: no pair is known, or it does not fit.
    """
    if places is None:
        return array
    if array.shape[1:] != own.shape[1:]:
        return None
    placed, known = own.copy(), 0
    for pair in range(len(own)):
        left, right = places[2 * pair : 2 * pair + 2]
        if left >= 0 and left % 2 == 0 and right == left + 1:   # exchanged, they would hear the pans mirrored
            placed[pair] = array[left // 2]
            known += 1
    return placed if known else None
