"""KAMIR: kernel additive modelling for interference reduction, offline, by powers and gains in a spectrum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

Audio = NDArray[np.float32]
_TINY = 1e-30
_LEAST = np.float32(1e-10)
_BINS = 256  # bins worked on at a time: they do not know of each other, and all at once would fill the memory


def kamir(
    mics: Audio,
    rate: int,
    *,
    window: int = 8192,
    overlap: float = 0.9,
    iterations: int = 5,
    least_leak: float = 0.05,
    first_leak: float = 0.8,
) -> Audio:
    """Clean every microphone by Wiener gains from a model of powers, V_i = sum_j L_ij P_j, fitted to the whole piece.

    Microphone i is the close one of source i. The proximity kernel is one bin, as in the public implementation.

    Parameters
    ----------
    mics : float32[mics, frames]
        The recording.
    rate : int
        Sampling rate, Hz; the window is in samples at 48 kHz and scales with it.
    window : int
        Of the spectrum, samples at 48 kHz.
    overlap : float
        Of neighbouring windows, 0 to below 1.
    iterations : int
        Rounds of powers, then leaks. More separate more and distort more.
    least_leak, first_leak : float
        Smallest leak L_ij, and the leak between two microphones that the fit starts from; power ratios.

    Returns
    -------
    float32[mics, frames]
        The image of source i in microphone i.

    References
    ----------
    Prätzlich, Bittner, Liutkus, Müller, "Kernel additive modeling for interference reduction in multi-channel music
    recordings", ICASSP 2015, https://hal.inria.fr/hal-01116686: alpha = 2 (powers), beta = 0 (Itakura-Saito).
    Their equalisation of gains scales signals but not the model and changes nothing: left out.
    """
    size = max(8, round(window * rate / 48000))
    transform = ShortTimeFFT(hann(size, sym=False).astype(np.float32), max(1, round(size * (1 - overlap))), fs=1.0)
    padded = np.pad(mics, ((0, 0), (0, max(0, size - mics.shape[1]))))
    spectra = transform.stft(padded)
    for first in range(0, spectra.shape[1], _BINS):
        part = spectra[:, first : first + _BINS]
        part *= gains(np.abs(part) ** 2, iterations, least_leak, first_leak)
    cleaned = transform.istft(spectra, k1=padded.shape[1])[:, : mics.shape[1]]
    return np.ascontiguousarray(cleaned, dtype=np.float32)


def gains(power: NDArray[np.float32], iterations: int, least_leak: float, first_leak: float) -> NDArray[np.float32]:
    """Return the Wiener gain of each microphone's own source.

    Parameters
    ----------
    power : float[mics, bins, frames]
        |X|² of each microphone.
    iterations : int
    least_leak, first_leak : float
        As in `kamir`.

    Returns
    -------
    float32[mics, bins, frames]
        L_ii P_i / M_i, 0 to 1.
    """
    k, bins, _ = power.shape
    # Bins first: every product over microphones and frames is then one matrix product a bin.
    v = np.ascontiguousarray(power.transpose(1, 0, 2), dtype=np.float32)
    # Each bin at level 1, which changes no gain, and never below -100 dB: squares of smaller powers are denormal in
    # float32 and took minutes, and a silent bin would divide 0 by 0.
    v = v / (v.mean(axis=(1, 2), keepdims=True) + np.float32(_TINY)) + _LEAST
    leak = np.full((bins, k, k), first_leak, np.float32)
    own = np.arange(k)
    leak[:, own, own] = 1
    source = v.copy()
    model = leak @ source
    for _ in range(iterations):
        gain = leak[:, own, own][..., None] * source / model
        source = gain * gain * v / leak[:, own, own][..., None]
        source = np.maximum(source, _LEAST)
        model = leak @ source
        over = source.transpose(0, 2, 1)
        leak *= ((v / (model * model)) @ over) / ((1 / model) @ over)
        leak /= leak.sum(axis=2, keepdims=True)
        leak = np.maximum(leak, np.float32(least_leak))
        model = leak @ source
    result: NDArray[np.float32] = (leak[:, own, own][..., None] * source / model).transpose(1, 0, 2)
    return result
