"""The filters that BSS-eval forgives: those that bring the references closest to the estimates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.metrics.decibels import Signal

BSS_TAPS = 512
"""Length of the filters that BSS-eval forgives, as in mir_eval and museval."""

# What solves the normal equations of references that are nearly the same, -150 dB beside each of them.
_RIDGE = 1e-15
_FFT = 8192


def distortion_filters(references: NDArray[Any], estimates: NDArray[Any], channels: int) -> tuple[Signal, Signal]:
    """Return the filters that bring references closest to estimates, in the least squares sense.

    Returns
    -------
    everyone : float64[rows, rows, taps]
        From each reference to each estimate, all references together.
    own : float64[rows, channels, taps]
        From each reference to the estimates of its own source, the references of that source alone.
    """
    from scipy import linalg

    rows = len(references)
    correlation, cross = _correlations(references, estimates)
    level = np.sqrt(correlation[np.arange(rows), np.arange(rows), BSS_TAPS - 1])
    level = np.where(level > 0, level, 1.0)
    # References of energy 1: otherwise what regularises depends on how loud the recording is.
    correlation = correlation / (level[:, None] * level)[..., None]
    cross = cross / level[:, None, None]
    if not (np.all(np.isfinite(correlation)) and np.all(np.isfinite(cross))):
        broken = np.full(1, np.nan)
        return broken, broken

    gram = np.empty((rows, BSS_TAPS, rows, BSS_TAPS))
    for p in range(rows):
        for q in range(rows):
            later, earlier = correlation[p, q, BSS_TAPS - 1 :], correlation[p, q, BSS_TAPS - 1 :: -1]
            gram[p, :, q] = linalg.toeplitz(later, earlier)

    def solve(part: slice) -> Signal:
        size = (part.stop - part.start) * BSS_TAPS
        matrix = np.ascontiguousarray(gram[part, :, part]).reshape(size, size)
        matrix[np.diag_indices(size)] += _RIDGE
        right = cross[part].transpose(0, 2, 1).reshape(size, -1)
        # Not linalg.solve: that warns about every recording without treble, whose delayed copies are nearly the same.
        _, _, solution, _ = linalg.lapack.dsysv(matrix, right, lwork=64 * size, overwrite_a=True)
        filters: Signal = np.asarray(solution, np.float64).reshape(-1, BSS_TAPS, right.shape[1]).transpose(0, 2, 1)
        return filters / level[part, None, None]

    own = np.empty((rows, channels, BSS_TAPS))
    for first in range(0, rows, channels):
        part = slice(first, first + channels)
        own[part] = solve(part)[:, part]
    return solve(slice(0, rows)), own


def _correlations(references: NDArray[Any], estimates: NDArray[Any]) -> tuple[Signal, Signal]:
    """Sum up over all frames, block by block.

    Returns
    -------
    references : float64[p, q, 2 taps - 1]
        Σ r_p(t) r_q(t + lag), lags from -(taps - 1) to taps - 1.
    cross : float64[p, q, taps]
        Σ r_p(t) e_q(t + lag), lags from 0.
    """
    from scipy import fft

    rows, frames = references.shape
    reach = BSS_TAPS - 1
    hop = _FFT - 2 * reach
    total = np.zeros((rows, 2 * rows, _FFT // 2 + 1), np.complex128)
    both = np.zeros((2 * rows, _FFT))
    for start in range(0, frames, hop):
        begin, end = max(0, start - reach), min(frames, start + hop + reach)
        both[:] = 0
        seat = slice(begin - start + reach, end - start + reach)
        both[:rows, seat], both[rows:, seat] = references[:, begin:end], estimates[:, begin:end]
        middle = both[:rows].copy()
        middle[:, :reach] = 0
        middle[:, reach + hop :] = 0
        total += fft.rfft(middle).conj()[:, None] * fft.rfft(both)[None]
    lags = fft.irfft(total, _FFT)
    among = np.concatenate((lags[:, :rows, _FFT - reach :], lags[:, :rows, : BSS_TAPS]), axis=-1)
    return among, lags[:, rows:, :BSS_TAPS]
