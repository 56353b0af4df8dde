"""BSS-eval version 4: every window of every source split into image, filtering, other sources and artefacts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtsep.errors import InputError
from rtsep.metrics.decibels import Signal, Values, ratio
from rtsep.metrics.filters import BSS_TAPS, distortion_filters

SILENCE_DB = -60.0
"""Windows with less than this, relative to full scale, are not judged by BSS-eval."""


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
    r, e = _channels(references, estimates)
    if window < 1:
        raise InputError("window", f"{window} frames", "1 or more")
    sources, channels, frames = r.shape
    window = min(window, frames)
    count = frames // window
    found = BssEval(*(np.full((sources, count), np.nan) for _ in range(4)))
    flat, given = r.reshape(-1, frames), e.reshape(-1, frames)
    everyone, own = distortion_filters(flat, given, channels)
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
            found.sdr[j, n], found.isr[j, n], found.sir[j, n], found.sar[j, n] = _judge(
                image, estimate, filtered, projected, floor
            )
    return found


def _channels(references: ArrayLike, estimates: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both as [sources, channels, frames], or raise InputError."""
    r, e = np.asarray(references), np.asarray(estimates)
    for place, array in (("references", r), ("estimates", e)):
        if array.ndim not in (2, 3) or array.dtype.kind not in "fiu" or not array.size:
            problem = f"{array.dtype} of shape {array.shape} is not audio"
            raise InputError(place, problem, "real numbers [sources, frames] or [sources, channels, frames]")
    if r.shape != e.shape:
        raise InputError("estimates", f"shape {e.shape} differs from references {r.shape}", "the same shape")
    return (r[:, None], e[:, None]) if r.ndim == 2 else (r, e)


def _judge(
    image: Signal, estimate: Signal, filtered: Signal, projected: Signal, floor: float
) -> tuple[Values, Values, Values, Values]:
    """Return SDR, ISR, SIR and SAR of one source in one window; each signal is float64[channels, frames]."""
    whole = _energy(image)
    judged = np.asarray(whole if whole >= floor else 0.0)
    splittable = np.asarray(judged if _energy(estimate) >= floor else 0.0)
    return (
        ratio(whole, _energy(estimate - image), judged),
        ratio(whole, _energy(filtered - image), judged),
        ratio(_energy(filtered), _energy(projected - filtered), splittable),
        ratio(_energy(projected), _energy(estimate - projected), splittable),
    )


def _filtered(filters: NDArray[np.complex128], spectra: NDArray[np.complex128], size: int) -> Signal:
    """Return float64[channels, size]: the sum of all references, each through its filters[reference, channel]."""
    from scipy import fft

    return np.asarray(fft.irfft(np.einsum("pcf,pf->cf", filters, spectra), size, axis=-1), np.float64)


def _energy(x: Signal) -> Values:
    return np.asarray(np.sum(x * x), np.float64)


def _over_windows(summary: Any, values: Values) -> Values:
    judged = [row[np.isfinite(row)] for row in values]
    return np.array([summary(row) if row.size else math.nan for row in judged])
