"""What a blind method leaves open, order and scale, settled by the close microphones. Shared by `fastica`, `ratio`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Matrix = NDArray[np.float64]
TINY = 1e-12
"""Keeps the logarithm of a share of nothing finite."""


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
