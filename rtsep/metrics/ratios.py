"""One number for a whole recording and each microphone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from rtsep.errors import InputError
from rtsep.metrics.decibels import Signal, Values, centred, floats, pair, power, ratio


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
    s, e = pair("reference", reference, "estimate", estimate)
    return ratio(power(s), power(s - e), silent=power(s))


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
    s, e = (centred(x) for x in pair("reference", reference, "estimate", estimate))
    target = _projection(s, e)
    return ratio(power(target), power(e - target), silent=power(s))


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
    everyone = np.atleast_2d(floats("references", references))
    e = floats("estimate", estimate)
    if everyone.ndim != 2 or e.shape != everyone.shape[-1:]:
        raise InputError(
            "estimate",
            f"shape {e.shape} does not match references of shape {everyone.shape}",
            "references [sources, frames] and estimate [frames]",
        )
    if not 0 <= target < len(everyone):
        raise InputError("target", f"there is no reference {target}", f"0 to {len(everyone) - 1}")

    everyone, e = centred(everyone), centred(e)
    wanted = _projection(everyone[target], e)
    others = _span_projection(everyone, e - wanted)
    artefacts = e - wanted - others
    silent = power(everyone[target])
    energy = power(wanted)
    total, interference, rest = (
        float(ratio(energy, power(part), silent)) for part in (e - wanted, others, artefacts)
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
    b, a = pair("before", before, "after", after)
    return ratio(power(b), power(a), silent=power(b))


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
    p, m = pair("plus", plus, "minus", minus)
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
    a, b = pair("true", true, "estimated", estimated)
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise InputError("true", f"shape {a.shape} is not a square matrix", "[microphones, sources]")
    if not (np.all(np.diag(a)) and np.all(np.diag(b))):
        return math.nan
    return float(np.linalg.norm(a / np.diag(a) - b / np.diag(b)))


def _projection(s: Signal, e: Signal) -> Signal:
    """Return the part of e that is a multiple of s."""
    energy = power(s)
    along = np.einsum("...t,...t->...", s, e) / np.where(energy > 0, energy, 1.0)
    scaled: Signal = along[..., None] * s
    return scaled


def _span_projection(everyone: Signal, e: Signal) -> Signal:
    """Return the part of e that is a sum of multiples of the sources."""
    level = np.sqrt(power(everyone))
    unit = everyone / np.where(level > 0, level, 1.0)[:, None]
    if not np.all(np.isfinite(unit)):
        return np.full_like(e, np.nan)
    # Two equal references make the Gram matrix singular, hence the pseudo-inverse.
    weights = np.linalg.pinv(unit @ unit.T, rcond=1e-12, hermitian=True) @ (unit @ e)
    part: Signal = weights @ unit
    return part
