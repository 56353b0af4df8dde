"""FastMIRA: MIRA's leaks from a small sample of the recording, then powers and gains for all of it.

Use it on long recordings in which the microphones stay where they are: what is learnt once holds throughout, at a
fraction of MIRA's work. Do not use it where players move, nor with `sketch=projection` for anything but comparison:
sums of frames are no longer sparse, and sparsity is what tells leaks from sources.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.signal.windows import hann

from rtsep.catalogue import SYSTEMS
from rtsep.stages.masking import Masking
from rtsep.systems.powermodel import Fit, Follower, Power, PowerModel, Tracking, demand, magnitude2, own_mics
from rtsep.systems.separator import Audio, Passage, by_name
from rtsep.systems.spectrum import Spectrum

_CHUNK_SECONDS = 15.0   # projected at a time


_DEFAULTS = SYSTEMS["fastmira"].defaults


@dataclass
class FastMira:
    """MIRA with leaks learnt from a sketch of the excerpt.

    Parameters
    ----------
    window, overlap, causal, iterations, first_leak, sparsity, steps, memory_s
        As in `rtsep.systems.mira.Mira`; `memory_s` is how far back the reservoir reaches, if causal.
    sketch : str
        `frames`: as many frames, chosen at random; if causal, a reservoir of past frames. `projection`: as many random
        sums of all frames, as published, with the same numbers for all microphones; not if causal.
    frames : int
        Size of the sketch.
    share : int
        Frames of the reservoir that each frame goes over, if causal.
    seed : int
        Of what is chosen at random; not if causal.

    References
    ----------
    Di Carlo, Liutkus, Déguernel, "Interference reduction on full-length live recordings", ICASSP 2018.
    """

    window: int = _DEFAULTS["window"]
    overlap: int = _DEFAULTS["overlap"]
    causal: bool = _DEFAULTS["causal"]
    iterations: int = _DEFAULTS["iterations"]
    first_leak: float = _DEFAULTS["first_leak"]
    sparsity: float = _DEFAULTS["sparsity"]
    sketch: str = _DEFAULTS["sketch"]
    frames: int = _DEFAULTS["frames"]
    seed: int = _DEFAULTS["seed"]
    steps: int = _DEFAULTS["steps"]
    share: int = _DEFAULTS["share"]
    memory_s: float = _DEFAULTS["memory_s"]
    leak: Power | None = field(default=None, init=False, repr=False)
    _follower: Follower = field(default_factory=Follower, init=False, repr=False)

    def fit(self, excerpt: Passage) -> None:
        """Learn the leaks, float32[mics, sources, bins] in `leak`; if causal, learn nothing."""
        demand("fastmira", excerpt, self.window, self.overlap)
        if self.causal:
            return
        rng = np.random.default_rng(self.seed)
        sound, hop = excerpt.sound, self.window // self.overlap
        if self.sketch == "frames":
            power = _chosen(sound, self.window, hop, self.frames, rng)
        else:
            power = _projected(sound, Spectrum(self.window, hop), self.frames, rng, excerpt.rate)
        self.leak, _ = self._fit()(power, own_mics(len(excerpt.sound)))

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; one part for each microphone, its own source as it hears it."""
        spectrum = Spectrum(self.window, self.window // self.overlap, live=self.causal)
        if self.causal:
            tracking = Tracking(
                "mira", self.steps, self.memory_s, self.first_leak, self.sparsity, reservoir=self.frames,
                share=self.share,
            )
            return by_name(self._follower.clean(tracking, spectrum, passage), passage.names)
        images = self._fit().clean(spectrum, passage.sound, own_mics(len(passage.sound)), self.leak)
        return dict(zip(passage.names, images, strict=True))

    def _fit(self) -> Fit:
        return Fit("mira", self.iterations, 1, self.first_leak, self.sparsity)


class FastMiraLive(PowerModel, Masking):
    """The same in the stream: a reservoir of frames, gone over a few at a time; no look-ahead.

    Parameters
    ----------
    name : str
    analysis, synthesis, hop
        As in `Masking`.
    first_leak, sparsity, steps, frames, share, memory_s
        As in `FastMira`.
    """

    stage = "fastmira"

    def configure(
        self, first_leak: float, sparsity: float, steps: int, frames: int, share: int, memory_s: float,
    ) -> None:
        """See `Masking.configure`."""
        self._tracking = Tracking(
            "mira", steps, memory_s, first_leak, sparsity, reservoir=frames, share=share
        )


def _chosen(sound: Audio, window: int, hop: int, count: int, rng: np.random.Generator) -> Power:
    """Return the powers of frames chosen at random, float32[mics, count, bins]; of all, if there are no more."""
    padded = np.pad(sound, ((0, 0), (0, max(0, window - sound.shape[1]))))
    starts = np.arange(0, padded.shape[1] - window + 1, hop)
    if len(starts) > count:
        starts = np.sort(rng.choice(starts, count, replace=False))
    weights = hann(window, sym=False).astype(np.float32)
    power = np.empty((len(sound), len(starts), window // 2 + 1), np.float32)
    for n, start in enumerate(starts):
        power[:, n] = magnitude2(fft.rfft(padded[:, start : start + window] * weights, axis=1))
    return power


def _projected(sound: Audio, spectrum: Spectrum, count: int, rng: np.random.Generator, rate: int) -> Power:
    """Return the powers of random sums of all frames, float32[mics, count, bins]; their level is arbitrary."""
    total: NDArray[np.complex64] = np.zeros((len(sound), count, spectrum.bins), np.complex64)
    chunk = round(_CHUNK_SECONDS * rate)
    for first in range(0, sound.shape[1], chunk):
        spectra = spectrum.analyse(np.ascontiguousarray(sound[:, first : first + chunk]))
        total += rng.standard_normal((count, spectra.shape[1]), dtype=np.float32) @ spectra
    return magnitude2(total)
