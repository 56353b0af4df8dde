"""Keep the loop of cancellers stable: y = x - A y must not feed itself more than it takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtsep.stage import Block

LARGEST = 0.9   # spectral radius up to which filters are left alone; measured radii of good filters: 0.27 to 0.83
_TAPS = 1024    # length of the correcting filter


def radius(paths: Block) -> NDArray[np.float64]:
    """Return the spectral radius of A(f) at twice the resolution of the paths.

    Parameters
    ----------
    paths : float32[k, k, taps]

    Returns
    -------
    float64[bins]
        Below 1 everywhere is enough for stability, not necessary.
    """
    spectra = np.fft.rfft(paths, 2 * paths.shape[-1]).transpose(2, 0, 1)
    largest: NDArray[np.float64] = np.abs(np.linalg.eigvals(spectra)).max(axis=1)
    return largest


def stable(paths: Block) -> Block:
    """Turn all paths down by one causal filter where their loop would be close to unstable.

    The filter is minimum-phase with magnitude min(1, LARGEST / radius): it takes a little cancellation at a few
    frequencies, and moves nothing in time.

    Parameters
    ----------
    paths : float32[k, k, taps]

    Returns
    -------
    float32[k, k, taps]
        The same array where nothing had to be done.
    """
    largest = radius(paths)
    if largest.max() <= LARGEST:
        return paths
    # A filter of `_TAPS` cannot follow single bins: what it must reach, it reaches for a neighbourhood.
    reach = 2 * paths.shape[-1] // _TAPS + 1
    around = np.lib.stride_tricks.sliding_window_view(np.pad(largest, reach, mode="edge"), 2 * reach + 1).max(axis=1)
    gain = np.minimum(1, LARGEST / np.maximum(around, 1e-9))
    correction = _minimum_phase(gain)[:_TAPS]
    correction *= np.hanning(2 * correction.size)[correction.size :]
    size = 2 * max(paths.shape[-1], _TAPS)   # no wrap-around: it would answer before it is asked
    spectra = np.fft.rfft(paths, size) * np.fft.rfft(correction, size)
    turned: Block = np.fft.irfft(spectra, size)[..., : paths.shape[-1]].astype(np.float32)
    # Truncation leaves the magnitude a little above what was asked for: the rest is taken from all frequencies.
    left = radius(turned).max()
    return turned if left <= 1 - (1 - LARGEST) / 2 else turned * np.float32(LARGEST / left)


def _minimum_phase(magnitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the impulse response with this magnitude on a whole rfft grid whose energy comes first (cepstrum)."""
    cepstrum = np.fft.irfft(np.log(magnitude))
    half = cepstrum.size // 2
    cepstrum[1:half] *= 2
    cepstrum[half + 1 :] = 0
    response: NDArray[np.float64] = np.fft.irfft(np.exp(np.fft.rfft(cepstrum)))
    return response
