"""KAM: each source is described by where its sound is alike nearby: along time, along frequency, a period away.

Use it when HPSS is almost right: its kernels can be combined (a held tone, a hit, a loop, a voice), and fitting back
several times cleans each with what the others have taken; a loop behind a voice gains dBs by it. Do not use it where
two sources have the same kernel, such as two singers, nor for `horizontal,vertical` alone: one iteration of that is
HPSS, which is quicker, and more of them make it hardly better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import SYSTEMS
from rtsep.errors import InputError
from rtsep.stages.masking import Masking, Sizes
from rtsep.systems.hpss import lengths, medians
from rtsep.systems.repet import beat_spectrum, demand_seconds, find_period, picked_medians, repetitions
from rtsep.systems.separator import Audio, Passage
from rtsep.systems.spectrum import Spectrum
from rtsep_kernels import kam as kernels
from rtsep_kernels.masking import TINY
from rtsep_kernels.maths import median

KERNELS = ("horizontal", "vertical", "periodic", "cross")
_PERIODS = (0.8, 8.0)   # seconds, where one is looked for
_REPETITIONS = 5        # of which a periodic kernel takes the median


_DEFAULTS = SYSTEMS["kam"].defaults


@dataclass
class Kam:
    """Kernel back-fitting, for each channel.

    Parameters
    ----------
    window : int
        Samples; frames overlap by three quarters.
    causal : bool
        The horizontal kernel over past frames only, with the live stage's windows; only `horizontal,vertical`.
    kernels : str
        Two or more of `horizontal` (sustained), `vertical` (struck), `periodic` (repeating), `cross` (voice: alike a
        little along time and along frequency), with commas: one source each.
    iterations : int
        How often each source is filtered by its kernel and all are shared out anew.
    harmonic_ms, percussive_hz : float
        Lengths of the horizontal and the vertical kernel.
    period_s : float
        Of the periodic kernel; 0: found.
    cross_ms, cross_hz : float
        Lengths of the cross.

    References
    ----------
    Liutkus, FitzGerald, Rafii, Pardo, Daudet, "Kernel additive models for source separation", IEEE TSP 62.16, 2014,
    doi:10.1109/TSP.2014.2332434, algorithm 1.
    """

    window: int = _DEFAULTS["window"]
    causal: bool = _DEFAULTS["causal"]
    kernels: str = _DEFAULTS["kernels"]
    iterations: int = _DEFAULTS["iterations"]
    harmonic_ms: float = _DEFAULTS["harmonic_ms"]
    percussive_hz: float = _DEFAULTS["percussive_hz"]
    period_s: float = _DEFAULTS["period_s"]
    cross_ms: float = _DEFAULTS["cross_ms"]
    cross_hz: float = _DEFAULTS["cross_hz"]

    def fit(self, excerpt: Passage) -> None:
        """Learn nothing; refuse kernels that are none, or that look ahead."""
        names = self._names()
        if not set(names) <= set(KERNELS) or len(set(names)) < max(2, len(names)):
            raise InputError(f"--set kernels={self.kernels}", "is not allowed", "two or more of " + ", ".join(KERNELS))
        if self.causal and not set(names) <= set(KERNELS[:2]):
            raise InputError("--set causal=true", f"{self.kernels} looks ahead", "allowed is horizontal,vertical")
        if "periodic" in names:
            demand_seconds("kam", excerpt, 3 * (self.period_s or _PERIODS[0]))

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; a part for each kernel, with its name."""
        frames = passage.sound.shape[1]
        spectrum = Spectrum(self.window, self.window // 4, live=self.causal)
        names = self._names()
        parts = {name: np.empty_like(passage.sound) for name in names}
        for channel, sound in enumerate(passage.sound):
            spectra = spectrum.analyse(sound[None])[0]
            masks = self.masks(spectra.real**2 + spectra.imag**2, passage.rate)
            for name, mask in zip(names, masks, strict=True):
                parts[name][channel] = spectrum.resynthesise((mask * spectra)[None], frames)[0]
        return parts

    def masks(self, power: Audio, rate: int) -> list[Audio]:
        """Return each source's share, float32[frames, bins], of the powers of a mixture."""
        names = self._names()
        sources = [power] * len(names)   # every source is all of it; a common factor would cancel
        for _ in range(self.iterations):
            models = [self._filtered(name, source, power, rate) for name, source in zip(names, sources, strict=True)]
            total = np.sum(models, axis=0) + TINY
            shares = [(model + TINY / np.float32(len(names))) / total for model in models]
            sources = [share * share * power for share in shares]
        return shares

    def _names(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.kernels.split(","))

    def _filtered(self, name: str, source: Audio, mixture: Audio, rate: int) -> Audio:
        """Return the median of a source's powers over its kernel; a period is that of the mixture."""
        hop = self.window // 4
        if name in KERNELS[:2]:
            count, neighbours = lengths(self.harmonic_ms, self.percussive_hz, self.window, hop, rate)
            return medians(source, count, neighbours, self.causal)[KERNELS.index(name)]
        if name == "cross":
            count, neighbours = lengths(self.cross_ms, self.cross_hz, self.window, hop, rate)
            out = np.empty_like(source)
            median.crosses(source, count // 2, neighbours // 2, out)
            return out
        per_second = rate / hop
        period = self.period_s * per_second or find_period(
            beat_spectrum(mixture), (_PERIODS[0] * per_second, _PERIODS[1] * per_second)
        )
        return picked_medians(source, *repetitions(np.full(len(source), period), _REPETITIONS))


class KamLive(Masking):
    """The same in the stream, for sustained and struck sounds: past frames, and the frame's bins; no look-ahead.

    Parameters
    ----------
    name : str
    analysis, synthesis, hop
        As in `Masking`.
    iterations, harmonic_ms, percussive_hz
        As in `Kam`.
    """

    stage = "kam"
    entry = kernels.kam
    table = kernels.KAM

    def configure(self, iterations: int, harmonic_ms: float, percussive_hz: float) -> None:
        """See `Masking.configure`."""
        self._iterations, self._lengths = iterations, (harmonic_ms, percussive_hz)

    def values(self, sizes: Sizes) -> Mapping[str, NDArray[Any] | int | float]:
        """See `Masking.values`."""
        count, neighbours = lengths(*self._lengths, sizes.window, sizes.hop, sizes.rate)
        return {"count": count, "neighbours": neighbours, "iterations": self._iterations}
