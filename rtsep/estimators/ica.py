"""Independent component analysis: of samples (gains only), and of spectra by pyroomacoustics' AuxIVA."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

Audio = NDArray[np.float32]
Matrix = NDArray[np.float64]


def fastica(mics: Audio, rate: int, *, iterations: int = 500, tolerance: float = 1e-5, samples: int = 200_000) -> Audio:
    """Unmix a mixture by gains, X = A S, into its most independent parts.

    Parameters
    ----------
    mics : float32[mics, frames]
        The recording.
    rate : int
        Sampling rate, Hz; not used: gains know no time.
    iterations : int
        At most.
    tolerance : float
        Ends when no row of the unmixing matrix turns by more.
    samples : int
        Every n-th sample is looked at, so that about as many are.

    Returns
    -------
    float32[mics, frames]
        Each source at the level it has in its own microphone.

    References
    ----------
    Hyvärinen, IEEE Trans. Neural Networks 10 (1999), doi:10.1109/72.761722: symmetric, g = tanh.
    """
    del rate
    x = mics.astype(np.float64)
    x -= x.mean(axis=1, keepdims=True)
    unmixing = unmix(x[:, :: max(1, x.shape[1] // samples)], iterations, tolerance)
    cleaned: Matrix = own_scale(unmixing) @ x
    return np.ascontiguousarray(cleaned, dtype=np.float32)


def unmix(x: Matrix, iterations: int, tolerance: float) -> Matrix:
    """Find the unmixing matrix, in any order and scale.

    Parameters
    ----------
    x : float64[mics, frames]
        Without means.
    iterations, tolerance
        As in `fastica`.

    Returns
    -------
    float64[sources, mics]
        As many sources as microphones; a silent or doubled microphone gives a source of rounding noise.
    """
    k, frames = x.shape
    values, vectors = np.linalg.eigh(x @ x.T / frames)
    whitening = vectors / np.sqrt(np.maximum(values, 1e-12 * values[-1] + 1e-30))
    z = whitening.T @ x
    w: Matrix = np.linalg.qr(np.random.default_rng(0).standard_normal((k, k)))[0]
    for _ in range(iterations):
        g = np.tanh(w @ z)
        turned = g @ z.T / frames - np.mean(1 - g * g, axis=1)[:, None] * w
        u, _, v = np.linalg.svd(turned)
        turned = u @ v   # (W W^T)^-1/2 W
        moved = np.max(np.abs(np.abs(np.einsum("ij,ij->i", turned, w)) - 1))
        w = turned
        if moved < tolerance:
            break
    return np.asarray(w @ whitening.T, np.float64)


def own_scale(unmixing: Matrix) -> Matrix:
    """Give each source to one microphone, at the level it has there.

    Parameters
    ----------
    unmixing : float64[sources, mics]

    Returns
    -------
    float64[mics, mics]
        Row i gives the source of microphone i; of all ways to hand them out, the one with the greatest shares.
    """
    mixing = np.linalg.pinv(unmixing)
    share = np.abs(mixing) / np.maximum(np.abs(mixing).sum(axis=0), 1e-30)
    mic, source = linear_sum_assignment(-np.log(share + 1e-12))
    ordered = np.empty_like(unmixing)
    ordered[mic] = mixing[mic, source][:, None] * unmixing[source]
    return ordered


def auxiva(mics: Audio, rate: int, *, window: int = 4096, iterations: int = 30) -> Audio:
    """Unmix a recording in every bin of a spectrum into parts whose bins sound together.

    Parameters
    ----------
    mics : float32[mics, frames]
        The recording.
    rate : int
        Sampling rate, Hz.
    window : int
        Of the spectrum, samples at 48 kHz.
    iterations : int

    Returns
    -------
    float32[mics, frames]
        Each source as its own microphone hears it.

    References
    ----------
    Ono, WASPAA 2011, doi:10.1109/ASPAA.2011.6082320; the implementation is pyroomacoustics'.
    """
    from pyroomacoustics.bss import auxiva as separate

    size = max(8, round(window * rate / 48000))
    transform = ShortTimeFFT(hann(size, sym=False), size // 4, fs=1.0)
    padded = np.pad(mics, ((0, 0), (0, max(0, size - mics.shape[1]))))
    # Noise at -120 dB: two equal microphones or a dead one would make a covariance singular.
    level = np.sqrt(np.mean(padded.astype(np.float64) ** 2)) + 1e-12
    noise = 1e-6 * level * np.random.default_rng(0).standard_normal(padded.shape)
    spectra = np.ascontiguousarray(transform.stft(padded + noise).transpose(2, 1, 0))
    parts = separate(spectra, n_iter=iterations, proj_back=False)
    # alpha[bin, mic, source]: the image of each part in each microphone is alpha times the part.
    cross = np.einsum("tfi,tfn->fin", spectra, parts.conj())
    power = np.einsum("tfn,tfn->fn", parts, parts.conj()).real
    alpha = cross / np.maximum(power, 1e-30)[:, None]
    image = np.einsum("fin,fn->in", np.abs(alpha) ** 2, power)
    mic, source = linear_sum_assignment(-np.log(image / image.sum(axis=0) + 1e-12))
    own = np.empty((len(mics), *spectra.shape[1::-1]), np.complex128)
    for i, n in zip(mic, source, strict=True):
        own[i] = (alpha[:, i, n] * parts[:, :, n]).T
    cleaned = transform.istft(own, k1=padded.shape[1])[:, : mics.shape[1]]
    return np.ascontiguousarray(cleaned, dtype=np.float32)
