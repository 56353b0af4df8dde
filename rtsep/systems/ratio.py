"""Ratio: find the gains of an unknown mixture X = Λ S from moments and bins in which one source plays alone.

There X_i / X_j is real and is λ_ij itself. FastICA says about where to look, the mode of the ratios says where exactly.

Use it where `fastica` is used, and the gains matter to a thousandth: crosstalk in cables and consoles. Do not use it in
a room, and not on sources that always play together in the same bins: there it can do no more than FastICA.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import SYSTEMS
from rtsep.catalogue.matrices import MAX_CONDITION
from rtsep.systems import fastica
from rtsep.systems.demix import apply
from rtsep.systems.ica import distinct, own_mixing
from rtsep.systems.separator import Audio, Passage, by_name
from rtsep.systems.spectrum import Spectra, Spectrum

Matrix = NDArray[np.float64]

_LOUD = 0.6
"""Only bins above this quantile of the divisor's power count."""
_REAL = 0.02
"""Largest imaginary part of a ratio that counts as real."""
_GRID = 0.0005
"""Places at which the density of the ratios is taken."""
_APART = 2
"""Kernel widths that a second mode must be away from the first."""
_MOST_VALUES = 16_000_000
"""Bins of spectra that are kept: 256 MB."""


_DEFAULTS = SYSTEMS["ratio"].defaults


@dataclass
class Ratio:
    """Λ by FastICA, refined by the mode of the ratios of spectra, and its inverse.

    Parameters
    ----------
    window : int
        Samples; frames overlap by three quarters.
    reach : float
        How far from FastICA's gain the mode is looked for.
    width : float
        Of the triangular kernel; the gain is the weighted mean within it.
    clearer : float
        A mode that is not so many times higher than the second one is not believed: FastICA's gain stays.

    References
    ----------
    SYSTEMS.md §1.4; the sparsity it uses is that of Jourjine, Rickard, Yılmaz, ICASSP 2000,
    doi:10.1109/ICASSP.2000.861162.
    """

    window: int = _DEFAULTS["window"]
    reach: float = _DEFAULTS["reach"]
    width: float = _DEFAULTS["width"]
    clearer: float = _DEFAULTS["clearer"]

    def fit(self, excerpt: Passage) -> None:
        """See `Separator.fit`."""
        excerpt.demand_channels("ratio", 2)
        defaults = fastica.Fastica()
        mics = distinct(excerpt.sound)
        sound = excerpt.sound[mics.kept]
        self.mixing = own_mixing(fastica.unmix(sound, defaults.iterations, defaults.tolerance, defaults.samples))
        if len(sound) > 1:
            spectrum = Spectrum(self.window, self.window // 4)
            k, frames = excerpt.sound.shape
            most = max(self.window, _MOST_VALUES // (k * spectrum.bins) * spectrum.hop)
            spectra = spectrum.analyse(sound[:, : min(frames, most)])
            refined = refine(self.mixing, spectra, self.reach, self.width, self.clearer)
            # Mics that are almost alike have a mode where one is the other: its inverse would blow up what differs.
            if np.linalg.cond(refined) <= MAX_CONDITION:
                self.mixing = refined
        self.unmixing = mics.spread(np.asarray(np.linalg.pinv(self.mixing), np.float64), len(excerpt.sound))

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; a part for each mic: its own source at the level it has there."""
        return by_name(apply(self.unmixing, passage.sound), passage.names)


def refine(first: Matrix, spectra: Spectra, reach: float, width: float, clearer: float) -> Matrix:
    """Return Λ with each gain beside the diagonal at the mode of the ratios near its first value.

    Parameters
    ----------
    first : float64[mics, mics]
        Diagonal 1.
    spectra : complex[mics, frames, bins]
    reach, width, clearer
        As in `Ratio`.
    """
    lam = first.copy()
    flat = spectra.reshape(len(spectra), -1)
    for j, own in enumerate(flat):
        level = np.abs(own)
        loud = level > max(np.quantile(level, _LOUD), np.finfo(np.float32).tiny)
        weights = level[loud].astype(np.float64)
        for i in range(len(flat)):
            if i != j:
                quotient = flat[i, loud] / own[loud]
                near = (np.abs(quotient.imag) < _REAL) & (np.abs(quotient.real - first[i, j]) < reach)
                found = mode(quotient.real[near].astype(np.float64), weights[near], width, clearer)
                lam[i, j] = first[i, j] if found is None else found
    return lam


def mode(values: Matrix, weights: Matrix, width: float, clearer: float) -> float | None:
    """Return where weighted values are densest, or None where that is not clear.

    Parameters
    ----------
    values, weights : float64[n]
    width : float
        Half width of the triangular kernel, and of the mean that is taken around the densest place.
    clearer : float
        How many times higher than the best place more than `_APART` widths away it must be.
    """
    if not len(values):
        return None
    low = values.min() - width
    places = np.rint((values - low) / _GRID).astype(np.intp)
    half = round(width / _GRID)
    triangle = 1 - np.abs(np.arange(-half, half + 1)) / half
    density = np.convolve(np.bincount(places, weights, minlength=places.max() + half + 1), triangle, "same")
    best = int(np.argmax(density))
    elsewhere = np.abs(np.arange(len(density)) - best) > _APART * half
    if density[best] < clearer * density[elsewhere].max(initial=0):
        return None
    near = np.abs(values - (low + best * _GRID)) < width
    return float(np.average(values[near], weights=weights[near])) if weights[near].sum() > 0 else None
