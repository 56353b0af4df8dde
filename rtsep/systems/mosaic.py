"""Audio mosaicing ("Let it Bee"): a recording played again with the sounds of another one.

Use it for an effect: the target's melody and rhythm out of a material's frames (bees, a choir, a drum loop), which
should hold every pitch that the target needs. Do not use it to separate anything, or live: every frame of the material
is a template, and a run of them is only found by looking ahead along its diagonal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d
from scipy.signal import resample_poly

from rtsep.catalogue import SYSTEMS
from rtsep.errors import InputError
from rtsep.finite import open_sound
from rtsep.systems.separator import Audio, Passage
from rtsep.systems.spectrum import Spectra, Spectrum

Floats = NDArray[np.floating[Any]]

_LONGEST = 30.0   # seconds of material: activations are as many as its frames times the target's
_TINY = 1e-9


_DEFAULTS = SYSTEMS["mosaic"].defaults


@dataclass
class Mosaic:
    """Each channel's spectrogram as nonnegative combinations of frames of the material, in sparse diagonals.

    Parameters
    ----------
    material : str
        Recording whose frames are the templates; its channels are mixed to one.
    window : int
        Samples; frames overlap by three quarters.
    repetition : int
        A frame of the material is not used again within so many frames of the target.
    polyphony : int
        Frames of the material that sound at once, at most.
    continuity : int
        Frames before and after one that are to follow it as in the material.
    iterations : int
    griffin_lim : int
        Rounds in which phases are made consistent afterwards; 0: the material's own phases.

    References
    ----------
    Driedger, Prätzlich, Müller, "Let it Bee: towards NMF-inspired audio mosaicing", ISMIR 2015; Griffin & Lim, IEEE
    TASSP 32(2), 1984, doi:10.1109/TASSP.1984.1164317.
    """

    material: str = _DEFAULTS["material"]
    window: int = _DEFAULTS["window"]
    repetition: int = _DEFAULTS["repetition"]
    polyphony: int = _DEFAULTS["polyphony"]
    continuity: int = _DEFAULTS["continuity"]
    iterations: int = _DEFAULTS["iterations"]
    griffin_lim: int = _DEFAULTS["griffin_lim"]

    def fit(self, excerpt: Passage) -> None:
        """Read the material."""
        allowed = f"allowed is material=FILE, a recording of at most {_LONGEST:g} s"
        if not self.material:
            raise InputError("mosaic", "no material is given", allowed)
        with open_sound(self.material) as source:
            if not 0 < source.frames <= _LONGEST * source.rate:
                raise InputError(self.material, f"lasts {source.frames / source.rate:.1f} s", allowed)
            sound = source.read(source.frames).mean(axis=0)
            rate = source.rate
        if not np.any(sound):
            raise InputError(self.material, "is silent", allowed)
        if rate != excerpt.rate:
            common = math.gcd(rate, excerpt.rate)
            sound = resample_poly(sound, excerpt.rate // common, rate // common)
        self._frames = self._spectrum().analyse(sound.astype(np.float32)[None])[0]

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; the only part is the `mosaic`."""
        spectrum, frames = self._spectrum(), passage.sound.shape[1]
        made = np.empty_like(passage.sound)
        templates = np.abs(self._frames)
        for channel, sound in enumerate(passage.sound):
            target = np.abs(spectrum.analyse(sound[None])[0])
            activations = learn(
                target, templates, self.iterations, self.repetition, self.polyphony, self.continuity
            )
            spectra: Spectra = activations @ self._frames
            made[channel] = consistent(spectrum, spectra[None], frames, self.griffin_lim)[0]
        return {"mosaic": made}

    def _spectrum(self) -> Spectrum:
        return Spectrum(self.window, self.window // 4)


def learn(
    target: Floats, templates: Floats, iterations: int, repetition: int, polyphony: int, continuity: int
) -> Floats:
    """Return the activations float[frames of the target, frames of the material].

    Each round makes them sparser along the target (repetition), across the material (polyphony) and fuller along
    diagonals (continuity), the more the later; then one multiplicative update for the Kullback-Leibler divergence.

    Parameters
    ----------
    target, templates : float[frames, bins]
        Magnitudes.
    iterations, repetition, polyphony, continuity : int
        With 0, 0 and 0 for the last three it is plain NMF with fixed templates.
    """
    kind = target.dtype
    activations: Floats = np.random.default_rng(0).random((len(target), len(templates))).astype(kind)
    sums = templates.sum(axis=1) + kind.type(_TINY)
    for n in range(1, iterations + 1):
        less = kind.type(1 - n / iterations)
        if repetition:
            highest = maximum_filter1d(activations, 2 * repetition + 1, axis=0, mode="constant")
            activations = np.where(activations < highest, activations * less, activations)
        if 0 < polyphony < len(templates):
            lowest = np.partition(activations, -polyphony, axis=1)[:, -polyphony, None]
            activations = np.where(activations < lowest, activations * less, activations)
        if continuity:
            activations = along_diagonals(activations, continuity)
        ratio = target / (activations @ templates + kind.type(_TINY))
        activations = activations * (ratio @ templates.T) / sums
    return activations


def along_diagonals(values: Floats, reach: int) -> Floats:
    """Return the sum of each value and its neighbours on the diagonal, up to `reach` before and after."""
    total = values.copy()
    rows, columns = values.shape
    for step in range(1, min(reach, rows - 1, columns - 1) + 1):
        total[step:, step:] += values[:-step, :-step]
        total[:-step, :-step] += values[step:, step:]
    return total


def consistent(spectrum: Spectrum, spectra: Spectra, frames: int, rounds: int) -> Floats:
    """Return the sound of spectra [channels, frames, bins] after so many rounds of Griffin and Lim's phases."""
    wanted = np.abs(spectra)
    sound = spectrum.resynthesise(spectra, frames)
    for _ in range(rounds):
        found = spectrum.analyse(sound)
        sound = spectrum.resynthesise(wanted * np.exp(1j * np.angle(found)).astype(found.dtype), frames)
    return sound
