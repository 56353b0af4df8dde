"""What could be reached by somebody who knows the truth: the bounds that a blind system is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.signal import ShortTimeFFT, oaconvolve
from scipy.signal.windows import hann

from rtsep.bench.cases import Case
from rtsep.stage import Block

Float = NDArray[np.float64]
_ITERATIONS = 150


@dataclass(frozen=True, eq=False)
class Bound:
    """What an oracle makes of a case.

    Parameters
    ----------
    cleaned : float32[mics, frames]
        What comes out.
    alone : float32[mics, frames], optional
        Of linear ones: what is left of each microphone's own sound if nothing else sounds.
    """

    cleaned: Block
    alone: Block | None = None


def ratio_mask(case: Case, window: int) -> Bound:
    """Multiply each microphone's spectrum by the share of its own source in the power.

    Parameters
    ----------
    case : Case
    window : int
        Square-root Hann, at three quarters' overlap, samples.

    Returns
    -------
    Bound

    References
    ----------
    Liutkus & Badeau, ICASSP 2015, doi:10.1109/ICASSP.2015.7177973, with alpha = 2.
    """
    transform = _transform(window)
    mic, own = transform.stft(case.mics), transform.stft(case.images)
    wanted, rest = np.abs(own) ** 2, np.abs(mic - own) ** 2
    mic *= wanted / np.maximum(wanted + rest, 1e-30)
    return Bound(transform.istft(mic, k1=case.mics.shape[1]).astype(np.float32))


def wiener(case: Case, window: int) -> Bound:
    """Filter and sum all microphones by the best complex weights of each bin, the same for the whole piece.

    Parameters
    ----------
    case : Case
    window : int
        Square-root Hann, at three quarters' overlap, samples.

    Returns
    -------
    Bound
        With what the weights of the own microphone leave.

    References
    ----------
    Doclo & Moonen, IEEE Trans. Signal Process. 50 (2002), doi:10.1109/TSP.2002.801937: W = R_xx^-1 R_xs.
    """
    transform = _transform(window)
    spectra = np.ascontiguousarray(transform.stft(case.mics).transpose(1, 0, 2))
    own = np.ascontiguousarray(transform.stft(case.images).transpose(1, 0, 2))
    conjugate = spectra.conj().transpose(0, 2, 1)
    power = (spectra @ conjugate).astype(np.complex128)
    k = len(case.mics)
    level = np.einsum("fii->f", power).real / k
    power += (1e-7 * level + 1e-20)[:, None, None] * np.eye(k)
    cross = (own @ conjugate).astype(np.complex128)   # [bin, target, mic]
    weights = (cross @ np.linalg.inv(power)).astype(np.complex64)
    diagonal = np.einsum("fii->fi", weights)
    frames = case.mics.shape[1]
    cleaned = transform.istft((weights @ spectra).transpose(1, 0, 2), k1=frames)
    alone = transform.istft((diagonal[..., None] * own).transpose(1, 0, 2), k1=frames)
    return Bound(cleaned.astype(np.float32), alone.astype(np.float32))


def causal_fir(case: Case, taps: int) -> Bound:
    """Filter and sum all microphones by the best causal filters, the same for the whole piece: no latency.

    Parameters
    ----------
    case : Case
    taps : int

    Returns
    -------
    Bound
    """
    filters = best_filters(case.mics, case.images, taps)
    k = len(case.mics)
    mics, frames = case.mics, case.mics.shape[1]
    cleaned = np.zeros_like(mics)
    for i in range(k):
        for j in range(k):
            cleaned[i] += oaconvolve(mics[j], filters[i, j].astype(np.float32))[:frames]
    alone = np.stack([
        oaconvolve(case.images[i], filters[i, i].astype(np.float32))[:frames] for i in range(k)
    ])
    return Bound(cleaned, alone.astype(np.float32))


def true_paths(case: Case, taps: int) -> Bound | None:
    """Run the recursive canceller with the true paths from image to image, cut to a length, never changing.

    y = (I + A)^-1 x, in one spectrum of the whole recording; where the loop is unstable the inverse looks ahead, which
    no canceller can: still a bound.

    Parameters
    ----------
    case : Case
    taps : int

    Returns
    -------
    Bound or None
        None where the case has no such paths: it moves, they are not told, or it is linear (see `true_matrix`).
    """
    return None if case.responses is None else invert(case, image_paths(case.responses, taps))


def true_matrix(case: Case) -> Bound | None:
    """Multiply the microphones by the inverse of the true matrix.

    Parameters
    ----------
    case : Case

    Returns
    -------
    Bound or None
        None where the case is not a static linear mixture.
    """
    if case.mixing is None:
        return None
    inverse = np.linalg.inv(case.mixing)
    return Bound((inverse @ case.mics).astype(np.float32), np.diag(inverse)[:, None].astype(np.float32) * case.images)


def image_paths(responses: NDArray[np.float32], taps: int) -> Float:
    """Fit the causal path that makes the bleed of source j in microphone i from its image in microphone j.

    Parameters
    ----------
    responses : float32[mics, mics, n]
    taps : int

    Returns
    -------
    float64[mics, mics, taps]
        Least squares for white noise as the source; 0 on the diagonal.
    """
    k = len(responses)
    paths = np.zeros((k, k, taps))
    # The tail of the fit shows in the samples behind the responses too.
    padded = np.pad(responses, ((0, 0), (0, 0), (0, taps)))
    for j in range(k):
        others = [i for i in range(k) if i != j]
        paths[others, j] = best_filters(padded[j, j][None], padded[others, j], taps)[:, 0]
    return paths


def invert(case: Case, paths: Float) -> Bound:
    """Solve x = (I + A) y for the whole recording at once.

    Parameters
    ----------
    case : Case
    paths : float64[mics, mics, taps]
        0 on the diagonal.

    Returns
    -------
    Bound
    """
    k, frames = case.mics.shape
    # The inverse rings for seconds in a lively room, and must not wrap around into the beginning.
    size = fft.next_fast_len(frames + (1 << 18), real=True)
    x = fft.rfft(case.mics.astype(np.float32), size)
    images = fft.rfft(case.images.astype(np.float32), size)
    loop = np.zeros((k, k, size // 2 + 1), np.complex64)
    for i in range(k):
        for j in range(k):
            if i != j:
                loop[i, j] = fft.rfft(paths[i, j].astype(np.float32), size)
    for first in range(0, size // 2 + 1, 1 << 15):
        now = slice(first, first + (1 << 15))
        inverse = np.linalg.inv(np.eye(k) + loop[..., now].transpose(2, 0, 1).astype(np.complex128))
        x[:, now] = np.einsum("fij,jf->if", inverse, x[:, now])
        images[:, now] *= np.einsum("fii->if", inverse)
    cleaned, alone = (fft.irfft(z, size)[:, :frames].astype(np.float32) for z in (x, images))
    return Bound(np.ascontiguousarray(cleaned), np.ascontiguousarray(alone))


def best_filters(inputs: Block, targets: Block, taps: int) -> Float:
    """Find the causal filters that together make each target from the inputs, least squares.

    The normal equations are block Toeplitz: conjugate gradients with products by FFT, preconditioned by the nearest
    block circulant.

    Parameters
    ----------
    inputs : float32[inputs, frames]
    targets : float32[targets, frames]
    taps : int

    Returns
    -------
    float64[targets, inputs, taps]

    References
    ----------
    Chan, SIAM J. Sci. Stat. Comput. 9 (1988), doi:10.1137/0909051, eq. (3), for the preconditioner.
    """
    k = len(inputs)
    auto = _later(inputs, inputs, taps)          # [a, b, lag]: sum over t of a[t] b[t + lag]
    cross = _later(inputs, targets, taps).transpose(1, 0, 2)
    level = np.einsum("iit->t", auto)[0] / k
    auto[np.arange(k), np.arange(k), 0] += 1e-7 * level + 1e-20

    size = 2 * taps
    both = np.zeros((k, k, size))
    both[..., :taps] = auto
    both[..., taps + 1 :] = auto.transpose(1, 0, 2)[..., :0:-1]
    symbol = np.ascontiguousarray(fft.rfft(both).transpose(2, 0, 1))
    lag = np.arange(taps)
    wrapped = np.zeros((k, k, taps))
    wrapped[..., 1:] = auto.transpose(1, 0, 2)[..., :0:-1]
    nearest = ((taps - lag) * auto + lag * wrapped) / taps
    circulant = fft.rfft(nearest).transpose(2, 0, 1)
    circulant = np.linalg.inv(circulant + 1e-6 * level * np.eye(k))

    def times(symbols: NDArray[np.complex128], w: Float, length: int) -> Float:
        spectrum = fft.rfft(w, length).transpose(2, 1, 0)                       # [bin, input, target]
        product: Float = fft.irfft((symbols @ spectrum).transpose(2, 1, 0), length)[..., :taps]
        return product

    w = np.zeros_like(cross)
    residual = cross.copy()
    z = times(circulant, residual, taps)
    direction = z.copy()
    rz = np.einsum("ijt,ijt->i", residual, z)
    enough = 1e-14 * rz
    for _ in range(_ITERATIONS):
        if np.all(rz <= enough):
            break
        image = times(symbol, direction, size)
        step = rz / np.maximum(np.einsum("ijt,ijt->i", direction, image), 1e-300)
        w += step[:, None, None] * direction
        residual -= step[:, None, None] * image
        z = times(circulant, residual, taps)
        rz, before = np.einsum("ijt,ijt->i", residual, z), rz
        direction = z + (rz / np.maximum(before, 1e-300))[:, None, None] * direction
    return w


def _later(a: Block, b: Block, lags: int) -> Float:
    """Return the sums over t of a[t] b[t + lag] for every pair, lags from 0: float64[a, b, lags]."""
    hop = max(lags, 8192)
    size = 2 * hop
    total = np.zeros((len(a), len(b), hop + 1), np.complex128)
    for first in range(0, a.shape[1], hop):
        left = fft.rfft(a[:, first : first + hop].astype(np.float64), size)
        right = fft.rfft(b[:, first : first + size].astype(np.float64), size)
        total += left.conj()[:, None] * right[None]
    found: Float = fft.irfft(total, size)[..., :lags]
    return found


def _transform(window: int) -> ShortTimeFFT:
    return ShortTimeFFT(np.sqrt(hann(window, sym=False)).astype(np.float32), window // 4, fs=1.0)


ORACLES: dict[str, Callable[[Case], Bound | None]] = {
    **{f"mask-{n}": partial(ratio_mask, window=n) for n in (128, 512, 2048, 4096)},
    **{f"wiener-{n}": partial(wiener, window=n) for n in (128, 512, 2048, 4096)},
    **{f"fir-{n}": partial(causal_fir, taps=n) for n in (128, 512, 1024, 2048)},
    **{f"paths-{n}": partial(true_paths, taps=n) for n in (2048, 8192)},
    "inverse": true_matrix,
}
"""Bounds by name: a family and its window or length in samples; `inverse` is that of the true mixing matrix."""
