"""The plain adaptive canceller: every other microphone filtered and subtracted, learning only while the own rests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]


def nlms(
    mics: Audio, rate: int, *, block: int = 512, partitions: int = 4, step: float = 0.05, gate_db: float = -9.0,
) -> Audio:
    """Cancel bleed by normalised least mean squares in the frequency domain, y_i = x_i - sum over j != i of a_ij * x_j.

    The reference is what the other microphones record, with the bleed in it. Microphone i learns only in blocks in
    which it is softer, against its own loud level, than some other microphone against that one's.

    Parameters
    ----------
    mics : float32[mics, frames]
        The recording.
    rate : int
        Sampling rate, Hz; blocks have the same number of samples at every rate.
    block : int
        Samples of a partition and between updates.
    partitions : int
        Filters are `block` · `partitions` taps long.
    step : float
        0 to below 2: how far each update goes.
    gate_db : float
        How much softer microphone i must be to learn, dB; inf: it always learns.

    Returns
    -------
    float32[mics, frames]
        The cleaned microphones; causal.

    References
    ----------
    Soo & Pang, IEEE Trans. ASSP 38 (1990), doi:10.1109/29.103078: the multidelay block frequency domain filter, with
    the gradient constraint.
    """
    k, frames = mics.shape
    count = -(-frames // block)
    padded = np.pad(mics, ((0, 0), (block, count * block - frames))).astype(np.float64)
    spectra = np.zeros((partitions, k, block + 1), np.complex128)
    filters = np.zeros((partitions, k, k, block + 1), np.complex128)
    others = 1.0 - np.eye(k)
    loud, power = np.full(k, 1e-12), np.zeros((k, block + 1))
    cleaned = np.zeros((k, count * block))
    forget, least = 0.5 ** (block / (10 * rate)), 10 ** (gate_db / 10)
    for n in range(count):
        piece = padded[:, n * block : (n + 2) * block]
        spectra = np.roll(spectra, 1, axis=0)
        spectra[0] = np.fft.rfft(piece, axis=1)
        bleed = np.fft.irfft(np.einsum("pijf,pjf->if", filters, spectra), axis=1)[:, block:]
        error = piece[:, block:] - bleed
        cleaned[:, n * block : (n + 1) * block] = error

        level = np.mean(piece[:, block:] ** 2, axis=1)
        loud = np.maximum(level, forget * loud)
        share = level / loud
        learns = np.max(share[None, :] * others, axis=1) * least > share
        # Smoothed over as long as the filter: a louder block than the last must not meet the power of the softer one.
        now = np.sum(np.abs(spectra) ** 2, axis=0)
        power = np.maximum(now, 0.5 * power)
        if not learns.any():
            continue
        filters[:, learns] += step * _gradient(spectra, error[learns], others[learns], power)
    return np.ascontiguousarray(cleaned[:, :frames], dtype=np.float32)


def _gradient(
    spectra: NDArray[np.complex128], error: NDArray[np.float64], others: NDArray[np.float64], power: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Return where the filters of some microphones should go, constrained to `block` taps in each partition.

    Parameters
    ----------
    spectra : complex128[partitions, mics, bins]
        What was heard.
    error : float64[learning, block]
        What is left at each microphone that learns.
    others : float64[learning, mics]
        0 for the microphone itself, 1 for all others.
    power : float64[mics, bins]
        Of what was heard, over all partitions.

    Returns
    -------
    complex128[partitions, learning, mics, bins]
    """
    block = error.shape[1]
    wrong = np.fft.rfft(np.pad(error, ((0, 0), (block, 0))), axis=1)
    norm = others @ power
    norm += 1e-6 * np.mean(norm) + 1e-12
    gradient = np.conj(spectra)[:, None] * (wrong / norm)[None, :, None]
    taps = np.fft.irfft(gradient, axis=-1)
    taps[..., block:] = 0
    constrained: NDArray[np.complex128] = np.fft.rfft(taps, axis=-1) * others[None, :, :, None]
    return constrained
