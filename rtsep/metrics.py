"""How good a separation is, in decibels, and how punctual it was.

Signals are float32 or float64, `[frames]` or `[microphones, frames]`, and everything is computed in float64,
one value a microphone. Ratios are limited to ±`LIMIT_DB`, so that averages and JSON stay finite. Where there
is nothing to judge the value is nan: a silent reference, or a sample that is not finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtsep.errors import InputError

LIMIT_DB = 200.0
"""Largest ratio that is reported; float64 rounding alone is above -320 dB, float32 audio about -150 dB."""

BSS_TAPS = 512
"""Length of the filters that BSS-eval forgives, as in mir_eval and museval."""

SILENCE_DB = -60.0
"""Windows with less than this, relative to full scale, are not judged by BSS-eval."""

# What solves the normal equations of references that are nearly the same, -150 dB beside each of them.
_RIDGE = 1e-15
_FFT = 8192

Signal = NDArray[np.float64]
Values = NDArray[np.float64]


def sdr(reference: ArrayLike, estimate: ArrayLike) -> Values:
    """Measure the ratio of the reference to everything that differs from it.

    10 log10(|s|² / |s - ŝ|²): a wrong gain, a delay, bleed and artefacts all count.

    Parameters
    ----------
    reference : float[..., frames]
        What should be there.
    estimate : float[..., frames]
        What is there.

    Returns
    -------
    float64[...]
        In dB; nan where the reference is silent.

    Raises
    ------
    InputError
        The shapes differ.

    References
    ----------
    Vincent et al., "First stereo audio source separation evaluation campaign", ICA 2007: the SDR of spatial
    images, which mir_eval and museval compute too.
    """
    s, e = _pair("reference", reference, "estimate", estimate)
    return _ratio(_power(s), _power(s - e), silent=_power(s))


def si_sdr(reference: ArrayLike, estimate: ArrayLike) -> Values:
    """Measure the ratio of the best scaled reference to the rest of the estimate.

    Means are removed first. An estimate without any of the reference gets -`LIMIT_DB`.

    Parameters
    ----------
    reference : float[..., frames]
        What should be there, at any level.
    estimate : float[..., frames]
        What is there.

    Returns
    -------
    float64[...]
        In dB; nan where the reference is silent.

    Raises
    ------
    InputError
        The shapes differ.

    References
    ----------
    Le Roux et al., ICASSP 2019, doi:10.1109/ICASSP.2019.8683855, eq. (4) and (5).
    """
    s, e = (_centred(x) for x in _pair("reference", reference, "estimate", estimate))
    target = _projection(s, e)
    return _ratio(_power(target), _power(e - target), silent=_power(s))


def si_sir_sar(references: ArrayLike, estimate: ArrayLike, target: int) -> tuple[float, float, float]:
    """Split the error of one estimate into other sources and artefacts, whatever its level.

    Means are removed first. Silent references explain nothing and do no harm.

    Parameters
    ----------
    references : float[sources, frames]
        Every source as it would sound at this microphone alone.
    estimate : float[frames]
        What is there.
    target : int
        Which of the references the estimate should be.

    Returns
    -------
    si_sdr, si_sir, si_sar : float
        In dB; nan where the target is silent. 10^(-SDR/10) = 10^(-SIR/10) + 10^(-SAR/10).

    Raises
    ------
    InputError
        Shapes that do not match, or no such target.

    References
    ----------
    Le Roux et al., ICASSP 2019, doi:10.1109/ICASSP.2019.8683855, section 2.3.
    """
    everyone = np.atleast_2d(_floats("references", references))
    e = _floats("estimate", estimate)
    if everyone.ndim != 2 or e.shape != everyone.shape[-1:]:
        raise InputError(
            "estimate",
            f"shape {e.shape} does not match references of shape {everyone.shape}",
            "references [sources, frames] and estimate [frames]",
        )
    if not 0 <= target < len(everyone):
        raise InputError("target", f"there is no reference {target}", f"0 to {len(everyone) - 1}")

    everyone, e = _centred(everyone), _centred(e)
    wanted = _projection(everyone[target], e)
    others = _span_projection(everyone, e - wanted)
    artefacts = e - wanted - others
    silent = _power(everyone[target])
    energy = _power(wanted)
    total, interference, rest = (
        float(_ratio(energy, _power(part), silent)) for part in (e - wanted, others, artefacts)
    )
    return total, interference, rest


def improvement(reference: ArrayLike, microphone: ArrayLike, estimate: ArrayLike) -> Values:
    """Measure by how much the SI-SDR of an estimate exceeds that of the microphone.

    Parameters
    ----------
    reference : float[..., frames]
        The own source's image at each microphone.
    microphone : float[..., frames]
        What the microphone recorded.
    estimate : float[..., frames]
        What the system made of it.

    Returns
    -------
    float64[...]
        In dB; negative where the system harms, nan where the reference is silent.

    Raises
    ------
    InputError
        The shapes differ.
    """
    gained: Values = si_sdr(reference, estimate) - si_sdr(reference, microphone)
    return gained


def bleed_removed(before: ArrayLike, after: ArrayLike) -> Values:
    """Measure by how much the bleed became weaker.

    Parameters
    ----------
    before : float[..., frames]
        The bleed in the microphone.
    after : float[..., frames]
        The bleed left after processing, as from `phase_inversion_split`.

    Returns
    -------
    float64[...]
        In dB; nan where there was no bleed.

    Raises
    ------
    InputError
        The shapes differ.
    """
    b, a = _pair("before", before, "after", after)
    return _ratio(_power(b), _power(a), silent=_power(b))


def phase_inversion_split(plus: ArrayLike, minus: ArrayLike) -> tuple[Signal, Signal]:
    """Tell wanted sound and bleed apart in the output of a system that need not be linear.

    Parameters
    ----------
    plus : float[..., frames]
        What the system makes of wanted + bleed.
    minus : float[..., frames]
        What the system makes of wanted - bleed, started from the same state.

    Returns
    -------
    wanted, bleed : float64[..., frames]
        Half the sum and half the difference.

    Raises
    ------
    InputError
        The shapes differ.

    References
    ----------
    Hagerman and Olofsson, "A method to measure the effect of noise reduction algorithms using simultaneous
    speech and noise", Acta Acustica united with Acustica 90 (2004), 356-361.
    """
    p, m = _pair("plus", plus, "minus", minus)
    return 0.5 * (p + m), 0.5 * (p - m)


def harm(image: ArrayLike, processed_alone: ArrayLike) -> Values:
    """Measure how well a system that hears only the wanted sound leaves it alone.

    Parameters
    ----------
    image : float[..., frames]
        The own source's image at each microphone.
    processed_alone : float[..., frames]
        That image, with silence at the other microphones, through the very filters of the mixture's run.

    Returns
    -------
    float64[...]
        10 log10(|s|² / |s - ŝ|²) in dB: higher is less harm; nan where the image is silent.

    Raises
    ------
    InputError
        The shapes differ.
    """
    return sdr(image, processed_alone)


def mixing_distance(true: ArrayLike, estimated: ArrayLike) -> float:
    """Measure how far an estimated mixing matrix is from the true one.

    A source's level is not identifiable: each column is divided by its diagonal value first.

    Parameters
    ----------
    true : float[microphones, sources]
        Square, microphone i belongs to source i.
    estimated : float[microphones, sources]
        Of the same shape.

    Returns
    -------
    float
        Frobenius norm of the difference, not squared; nan where a diagonal value is 0.

    Raises
    ------
    InputError
        The matrices are not square or differ in shape.
    """
    a, b = _pair("true", true, "estimated", estimated)
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise InputError("true", f"shape {a.shape} is not a square matrix", "[microphones, sources]")
    if not (np.all(np.diag(a)) and np.all(np.diag(b))):
        return math.nan
    return float(np.linalg.norm(a / np.diag(a) - b / np.diag(b)))


@dataclass(frozen=True, eq=False)
class BssEval:
    """BSS-eval of each source in each window, in dB; nan where there is nothing to judge.

    Attributes
    ----------
    sdr : float64[sources, windows]
        The image over everything that differs from it.
    isr : float64[sources, windows]
        The image over what a filter of up to `BSS_TAPS` made of it: a wrong gain, a wrong colour, a delay.
    sir : float64[sources, windows]
        The filtered image over the filtered other sources. nan also where the estimate is silent.
    sar : float64[sources, windows]
        All of that over the rest, the artefacts. nan also where the estimate is silent.
    """

    sdr: Values
    isr: Values
    sir: Values
    sar: Values

    def median(self) -> dict[str, Values]:
        """Return float64[sources] of each measure: the median over windows, as museval reports a track."""
        return {name: _over_windows(np.median, values) for name, values in self._all()}

    def mean(self) -> dict[str, Values]:
        """Return float64[sources] of each measure: the mean over windows, as the bleed papers report."""
        return {name: _over_windows(np.mean, values) for name, values in self._all()}

    def _all(self) -> Iterator[tuple[str, Values]]:
        return ((name, getattr(self, name)) for name in ("sdr", "isr", "sir", "sar"))


def bss_eval(references: ArrayLike, estimates: ArrayLike, window: int) -> BssEval:
    """Judge estimated images as BSS-eval version 4: one filter for the whole track, measured window by window.

    Each estimate is split into its image, that image filtered, the other sources filtered, and the rest. The
    numbers are museval's, but for silence: a window is left out for a source whose own reference is below
    `SILENCE_DB` there, not for all sources as soon as one of them is exactly zero. They are not those of
    version 3, whose filters change with every window, nor those of `bss_eval_sources`, which forgives filters.
    A wrong level counts, in SDR and ISR; use `si_sdr` where it should not.

    Memory beside the signals is two times (sources · channels · `BSS_TAPS`)² numbers, 67 MB for four mono sources,
    whatever the length.

    Parameters
    ----------
    references : float[sources, frames] or float[sources, channels, frames]
        Every source as it should be.
    estimates : float[sources, frames] or float[sources, channels, frames]
        In the same order; it is not searched for a better one.
    window : int
        Frames of each window, usually one second; they do not overlap. A shorter recording is one window, and a
        rest at the end is left out.

    Returns
    -------
    BssEval
        Within ±`LIMIT_DB`.

    Raises
    ------
    InputError
        The shapes differ, or no window is asked for.

    References
    ----------
    Vincent, Gribonval and Févotte, IEEE Trans. Audio, Speech and Language Processing 14(4), 2006,
    doi:10.1109/TSA.2005.858005; Stöter, Liutkus and Ito, LVA/ICA 2018, doi:10.1007/978-3-319-93764-9_28.
    """
    r, e = np.asarray(references), np.asarray(estimates)
    for place, array in (("references", r), ("estimates", e)):
        if array.ndim not in (2, 3) or array.dtype.kind not in "fiu" or not array.size:
            problem = f"{array.dtype} of shape {array.shape} is not audio"
            raise InputError(place, problem, "real numbers [sources, frames] or [sources, channels, frames]")
    if r.shape != e.shape:
        raise InputError("estimates", f"shape {e.shape} differs from references {r.shape}", "the same shape")
    if window < 1:
        raise InputError("window", f"{window} frames", "1 or more")
    if r.ndim == 2:
        r, e = r[:, None], e[:, None]
    sources, channels, frames = r.shape
    window = min(window, frames)
    count = frames // window
    found = BssEval(*(np.full((sources, count), np.nan) for _ in range(4)))
    flat, given = r.reshape(-1, frames), e.reshape(-1, frames)
    everyone, own = _distortion_filters(flat, given, channels)
    if not np.all(np.isfinite(everyone)):
        return found

    from scipy import fft

    size = fft.next_fast_len(window + BSS_TAPS - 1, real=True)
    everyone_spectra, own_spectra = (fft.rfft(filters, size, axis=-1) for filters in (everyone, own))
    floor = channels * window * 10 ** (SILENCE_DB / 10)
    for n in range(count):
        part = slice(n * window, (n + 1) * window)
        # Each window is filtered as if silence came before it: so museval has it.
        heard = fft.rfft(flat[:, part].astype(np.float64), size, axis=-1)
        for j in range(sources):
            mine = slice(j * channels, (j + 1) * channels)
            image, estimate = np.zeros((2, channels, window + BSS_TAPS - 1))
            image[:, :window], estimate[:, :window] = r[j, :, part], e[j, :, part]
            filtered = _filtered(own_spectra[mine], heard[mine], size)[:, : image.shape[1]]
            projected = _filtered(everyone_spectra[:, mine], heard, size)[:, : image.shape[1]]
            whole = _energy(image)
            judged = np.asarray(whole if whole >= floor else 0.0)
            splittable = np.asarray(judged if _energy(estimate) >= floor else 0.0)
            found.sdr[j, n] = _ratio(whole, _energy(estimate - image), judged)
            found.isr[j, n] = _ratio(whole, _energy(filtered - image), judged)
            found.sir[j, n] = _ratio(_energy(filtered), _energy(projected - filtered), splittable)
            found.sar[j, n] = _ratio(_energy(projected), _energy(estimate - projected), splittable)
    return found


def percentiles(us: ArrayLike) -> dict[str, float]:
    """Summarise measured block times.

    Parameters
    ----------
    us : float[blocks]
        In microseconds, or any other unit.

    Returns
    -------
    dict
        p50, p99, p999 (interpolated, 99.9 %) and max in the same unit; nan when nothing was measured.
    """
    times = np.asarray(us, np.float64).ravel()
    names = ("p50", "p99", "p999", "max")
    if not times.size:
        return dict.fromkeys(names, math.nan)
    return dict(zip(names, np.percentile(times, (50, 99, 99.9, 100)).tolist(), strict=True))


def _floats(place: str, values: ArrayLike) -> Signal:
    array: NDArray[Any] = np.asarray(values)
    if array.ndim == 0 or array.dtype.kind not in "fiu":
        problem = f"{array.dtype} of shape {array.shape} is not audio"
        raise InputError(place, problem, "real numbers [..., frames]")
    return array.astype(np.float64)


def _pair(first: str, a: ArrayLike, second: str, b: ArrayLike) -> tuple[Signal, Signal]:
    x, y = _floats(first, a), _floats(second, b)
    if x.shape != y.shape:
        # Broadcasting would silently compare every microphone with one estimate.
        raise InputError(second, f"shape {y.shape} differs from {first} {x.shape}", "the same shape")
    return x, y


def _power(x: Signal) -> Values:
    return np.asarray(np.einsum("...t,...t->...", x, x), np.float64)


def _centred(x: Signal) -> Signal:
    if not x.shape[-1]:
        return x
    moving: Signal = x - np.mean(x, axis=-1, keepdims=True)
    # What rounding leaves of a constant must count as silence.
    constant = np.max(np.abs(moving), axis=-1) < 1e-12 * np.max(np.abs(x), axis=-1)
    moving[constant] = 0.0
    return moving


def _projection(s: Signal, e: Signal) -> Signal:
    """Return the part of e that is a multiple of s."""
    energy = _power(s)
    along = np.einsum("...t,...t->...", s, e) / np.where(energy > 0, energy, 1.0)
    scaled: Signal = along[..., None] * s
    return scaled


def _span_projection(everyone: Signal, e: Signal) -> Signal:
    """Return the part of e that is a sum of multiples of the sources."""
    level = np.sqrt(_power(everyone))
    unit = everyone / np.where(level > 0, level, 1.0)[:, None]
    if not np.all(np.isfinite(unit)):
        return np.full_like(e, np.nan)
    # Two equal references make the Gram matrix singular, hence the pseudo-inverse.
    weights = np.linalg.pinv(unit @ unit.T, rcond=1e-12, hermitian=True) @ (unit @ e)
    part: Signal = weights @ unit
    return part


def _ratio(wanted: Values, unwanted: Values, silent: Values) -> Values:
    """Return wanted / unwanted in dB, nan where `silent` is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        decibels = 10 * (np.log10(wanted) - np.log10(unwanted))
    decibels = np.where((wanted == 0) & (unwanted == 0), -LIMIT_DB, decibels)
    return np.where(silent > 0, np.clip(decibels, -LIMIT_DB, LIMIT_DB), np.nan)


def _distortion_filters(references: NDArray[Any], estimates: NDArray[Any], channels: int) -> tuple[Signal, Signal]:
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


def _filtered(filters: NDArray[np.complex128], spectra: NDArray[np.complex128], size: int) -> Signal:
    """Return float64[channels, size]: the sum of all references, each through its filters[reference, channel]."""
    from scipy import fft

    return np.asarray(fft.irfft(np.einsum("pcf,pf->cf", filters, spectra), size, axis=-1), np.float64)


def _energy(x: Signal) -> Values:
    return np.asarray(np.sum(x * x), np.float64)


def _over_windows(summary: Any, values: Values) -> Values:
    judged = [row[np.isfinite(row)] for row in values]
    return np.array([summary(row) if row.size else math.nan for row in judged])
