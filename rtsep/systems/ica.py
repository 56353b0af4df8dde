"""What a blind method leaves open, order and scale, settled by the close microphones. Shared by `fastica`, `ratio`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Matrix = NDArray[np.float64]
TINY = 1e-12
"""Keeps the logarithm of a share of nothing finite."""
NOISE = 1e-6
"""Of the recording's level, added before learning: no covariance is singular then. What is softer is nothing else."""
_ALIKE = 1e-2
"""A mic that differs from a multiple of another one by less than so much of itself, -40 dB, hears nothing of its own:
what it differs by is the noise of a second preamplifier, and FastICA would leave nothing else of one of the two."""


@dataclass(frozen=True)
class Distinct:
    """Which mics there is something to learn from; the others would be blown up, and the noise shared out to all.

    Parameters
    ----------
    kept : int[n]
        Mics that differ from each other, neither silent.
    twins : tuple of (int, int, float)
        A mic, the one of `kept` that it is a multiple of, and the factor.
    """

    kept: NDArray[np.intp]
    twins: tuple[tuple[int, int, float], ...]

    def spread(self, matrix: Matrix, mics: int) -> Matrix:
        """Return an unmixing matrix of the kept mics as one of all: twins take part, silent ones pass."""
        full: Matrix = np.eye(mics)
        full[np.ix_(self.kept, self.kept)] = matrix
        for mic, other, factor in self.twins:
            full[mic] = factor * full[other]
        return full


def distinct(sound: NDArray[np.floating]) -> Distinct:
    """Find mics that are silent, or the same as another one but for gain and polarity.

    Parameters
    ----------
    sound : float[mics, frames]
    """
    if sound.shape[1] < len(sound) ** 2:   # fewer samples than gains: they could be anything
        return Distinct(np.zeros(0, np.intp), ())
    products: Matrix = np.asarray(sound @ sound.T, np.float64)
    power = np.diag(products)
    kept: list[int] = []
    twins = []
    for mic in np.flatnonzero(power > NOISE**2 * power.mean()):
        factors = products[mic, kept] / power[kept]
        left = 1 - factors * products[mic, kept] / power[mic]   # of its power, beside that multiple
        if kept and left.min() < _ALIKE**2:
            nearest = int(np.argmin(left))
            twins.append((int(mic), kept[nearest], float(factors[nearest])))
        else:
            kept.append(int(mic))
    return Distinct(np.array(kept, np.intp), tuple(twins))


def assign(share: Matrix) -> NDArray[np.intp]:
    """Give each source to one microphone.

    Parameters
    ----------
    share : float64[mics, sources]
        How much of a source is in each microphone, in sum 1 for each source.

    Returns
    -------
    int[mics]
        The source of each microphone; of all ways to hand them out, the one with the greatest product of shares.
    """
    return np.asarray(linear_sum_assignment(-np.log(share + TINY))[1])


def own_scale(unmixing: Matrix) -> Matrix:
    """Give each source to one microphone, at the level it has there.

    Parameters
    ----------
    unmixing : float64[sources, mics]

    Returns
    -------
    float64[mics, mics]
        Row i gives the source of microphone i.
    """
    mixing = np.linalg.pinv(unmixing)
    source = assign(np.abs(mixing) / np.maximum(np.abs(mixing).sum(axis=0), 1e-30))
    own: Matrix = mixing[np.arange(len(source)), source][:, None] * unmixing[source]
    return own


def own_mixing(unmixing: Matrix) -> Matrix:
    """Return Λ, float64[mics, sources], of an unmixing matrix: sources in the order of the mics, 1 on the diagonal."""
    return np.asarray(np.linalg.pinv(own_scale(unmixing)), np.float64)
