"""How good a separation is, in decibels, and how punctual it was.

Signals are float32 or float64, `[frames]` or `[microphones, frames]`, and everything is computed in float64,
one value a microphone. Ratios are limited to ±`LIMIT_DB`, so that averages and JSON stay finite. Where there
is nothing to judge the value is nan: a silent reference, or a sample that is not finite.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtsep.errors import InputError

LIMIT_DB = 200.0
"""Largest ratio that is reported; float64 rounding alone is above -320 dB, float32 audio about -150 dB."""

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
