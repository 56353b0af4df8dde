"""YIN: the pitch of a leading voice, and a comb through its harmonics.

Use it on one voice or melody instrument at a time, against drums, noise or anything that has no pitch of its own. Do
not use it on chords or on two voices: there is one pitch a frame, and the rest goes where the comb happens to be.
What a voice has beside its tone, such as consonants, stays in the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.signal.windows import hann

from rtsep.catalogue import SYSTEMS
from rtsep.errors import InputError
from rtsep.stages.masking import Masking, Sizes
from rtsep.systems.separator import Audio, Passage
from rtsep.systems.spectrum import Spectra, Spectrum
from rtsep_kernels import yin as kernels

_DEFAULTS = SYSTEMS["yin"].defaults


@dataclass
class Yin:
    """Voice and rest of each channel, by the voice's pitch.

    Parameters
    ----------
    window : int
        Samples; frames overlap by three quarters. Two periods of the lowest pitch at least.
    causal : bool
        With the live stage's windows.
    fmin, fmax : float
        Range of the pitch, Hz.
    threshold : float
        The first dip of the normalised difference below it is the period; without one, the deepest.
    voiced : float
        A frame whose dip is not below it has no voice.
    width_hz : float
        Half the width of each harmonic of the comb.
    model : str
        `mask`: the voice is the mixture's bins near a harmonic. `sinusoids`: it is made anew from the amplitude and
        phase of each harmonic, one sinusoid each.

    References
    ----------
    de Cheveigné & Kawahara, "YIN, a fundamental frequency estimator for speech and music", JASA 111, 2002,
    doi:10.1121/1.1458024, eq. (6) to (8). McAulay & Quatieri, IEEE TASSP 34.4, 1986, doi:10.1109/TASSP.1986.1164910.
    """

    window: int = _DEFAULTS["window"]
    causal: bool = _DEFAULTS["causal"]
    fmin: float = _DEFAULTS["fmin"]
    fmax: float = _DEFAULTS["fmax"]
    threshold: float = _DEFAULTS["threshold"]
    voiced: float = _DEFAULTS["voiced"]
    width_hz: float = _DEFAULTS["width_hz"]
    model: str = _DEFAULTS["model"]

    def fit(self, excerpt: Passage) -> None:
        """Learn nothing; refuse a window into which the lowest pitch does not fit."""
        lags("yin", self.fmin, self.fmax, self.window, excerpt.rate)
        if self.causal and self.model != "mask":
            raise InputError("--set causal=true", f"is not possible with model={self.model}", "allowed is model=mask")

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; parts `voice` and `rest`."""
        hop = self.window // 4
        spectrum = Spectrum(self.window, hop, live=self.causal)
        voice = np.empty_like(passage.sound)
        for channel, sound in enumerate(passage.sound):
            pitch, aperiodicity = track(
                sound, passage.rate, self.window, hop, self.fmin, self.fmax, self.threshold
            )
            pitch[aperiodicity >= self.voiced] = 0
            if self.model == "mask":
                spectra = spectrum.analyse(sound[None])[0]
                spectra = spectra * comb(pitch, passage.rate, self.window, self.width_hz)
            else:
                spectra = self._sinusoids(sound, pitch, passage.rate)
            voice[channel] = spectrum.resynthesise(spectra[None], len(sound))[0]
        return {"voice": voice, "rest": passage.sound - voice}

    def _sinusoids(self, sound: Audio, pitch: Audio, rate: int) -> Spectra:
        frames = np.empty((len(pitch), self.window), np.float32)
        hop = self.window // 4
        window = hann(self.window, sym=False).astype(np.float32)
        kernels.sinusoids(_padded(sound, self.window, hop), window, hop, pitch, np.float32(rate), frames)
        spectra: Spectra = fft.rfft(frames, axis=1)
        return spectra


def track(
    sound: Audio, rate: int, window: int, hop: int, fmin: float, fmax: float, threshold: float
) -> tuple[Audio, Audio]:
    """Return the pitch of each frame in Hz and how aperiodic it is, float32[frames], in the frames of `Spectrum`."""
    shortest, longest = lags("yin", fmin, fmax, window, rate)
    padded = _padded(sound, window, hop)
    count = (len(padded) - window) // hop + 1
    periods, aperiodicity = np.empty(count, np.float32), np.empty(count, np.float32)
    kernels.periods(padded, window, hop, shortest, longest, np.float32(threshold), periods, aperiodicity)
    return np.float32(rate) / periods, aperiodicity


def comb(pitch: Audio, rate: int, window: int, width_hz: float) -> Audio:
    """Return 1 near the multiples of each frame's pitch, 0 elsewhere, float32[frames, bins]; a pitch of 0 has none."""
    mask = np.empty((len(pitch), window // 2 + 1), np.float32)
    kernels.combs(pitch, np.float32(rate) / np.float32(window), np.float32(width_hz), mask)
    return mask


def lags(place: str, fmin: float, fmax: float, window: int, rate: int) -> tuple[int, int]:
    """Return the shortest and the longest period in samples.

    Raises
    ------
    InputError
        If the range is none, or a window does not hold two of the longest.
    """
    shortest, longest = max(2, math.floor(rate / fmax)), math.ceil(rate / fmin)
    if shortest >= longest:
        raise InputError(place, f"pitches from {fmin:g} to {fmax:g} Hz are none", "allowed is a rising range")
    if window < 2 * longest + 2:
        least = 2 * rate / (window - 4)
        raise InputError(place, f"a window of {window} does not hold two periods of {fmin:g} Hz at {rate} Hz",
                         f"allowed is fmin above {least:.0f} Hz, or a longer window")
    return shortest, longest


def _padded(sound: Audio, window: int, hop: int) -> Audio:
    """Return a sound with the silence around it that the frames of `Spectrum` have."""
    padded = np.zeros((Spectrum(window, hop).count(len(sound)) - 1) * hop + window, np.float32)
    padded[window : window + len(sound)] = sound
    return padded


class YinLive(Masking):
    """The same in the stream, with the comb.

    Parameters
    ----------
    name : str
    analysis, synthesis, hop
        As in `Masking`.
    fmin, fmax, threshold, voiced, width_hz
        As in `Yin`; the window is the analysis window.
    """

    stage = "yin"
    entry = kernels.yin
    table = kernels.YIN

    def configure(self, fmin: float, fmax: float, threshold: float, voiced: float, width_hz: float) -> None:
        """See `Masking.configure`."""
        self._pitches, self._threshold = (fmin, fmax), threshold
        self._voiced, self._width = voiced, width_hz

    def values(self, sizes: Sizes) -> Mapping[str, NDArray[Any] | int | float]:
        """See `Masking.values`."""
        shortest, longest = lags(f"{self.name}.analysis", *self._pitches, sizes.window, sizes.rate)
        return {
            "window": sizes.window, "hop": sizes.hop, "shortest": shortest, "longest": longest,
            "threshold": self._threshold, "voiced": self._voiced, "rate": sizes.rate, "width": self._width,
            # The frame as it was recorded: the spectrum is that of the windowed one.
            "ring": self.record["ring"], "ring_frames": self.record["ring_frames"],
        }
