"""Post-filter for cleaned microphones: spectral subtraction of what their neighbours' originals still explain.

Use it behind a cleaner that is linear or was made for other recordings: an unmixing matrix in a real room, a network
on a style that it does not know. Do not use it behind KAMIR or MIRA: their gains have taken that away already, and a
second time costs wanted sound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import SYSTEMS
from rtsep.errors import InputError
from rtsep.finite import open_sound
from rtsep.stages.masking import Masking, Sizes
from rtsep.stages.spectral import windows
from rtsep.systems.powermodel import demand, magnitude2
from rtsep.systems.separator import Audio, Passage, Separator, by_name
from rtsep.systems.spectrum import Spectrum
from rtsep_kernels import postfilter as kernels

_THRESHOLD = 0.002 / 1024   # of a magnitude beside the sum of its window: as published, with its window of 2048


_DEFAULTS = SYSTEMS["postfilter"].defaults


@dataclass
class PostFilter:
    """Gains clip((|P| - μ Σ v) / |B|, floor, 1) on the bleedy B, with the phase of the cleaned P.

    v is |B| of another microphone wherever something was removed from that, and Σ the sum over the other microphones.
    The gain is smoothed over time, and never makes P louder.

    Parameters
    ----------
    window : int
        Samples.
    overlap : int
        Frames to a window.
    causal : bool
        With the live stage's windows; nothing looks ahead in any case.
    cleaned : str
        Where the cleaned microphones are: a file or folder with as many channels, or the name of a system that makes
        them. Empty: every second channel of the recording is the cleaned one of the channel before it, as live.
    strength : float
        μ.
    floor : float
    smooth_ms : float
        Time constant of the gain.

    References
    ----------
    Rajesh, Rajan, WASPAA 2023: "extending to out-of-domain samples through post processing"; their script multiplies
    magnitudes by the angle where it means exp(j angle).
    """

    window: int = _DEFAULTS["window"]
    overlap: int = _DEFAULTS["overlap"]
    causal: bool = _DEFAULTS["causal"]
    cleaned: str = _DEFAULTS["cleaned"]
    strength: float = _DEFAULTS["strength"]
    floor: float = _DEFAULTS["floor"]
    smooth_ms: float = _DEFAULTS["smooth_ms"]
    _cleaner: Separator | None = field(default=None, init=False, repr=False)

    def fit(self, excerpt: Passage) -> None:
        """Let the system that cleans learn what it must; refuse what there is nothing to do with."""
        from rtsep.systems.separator import make

        demand("postfilter", excerpt, self.window, self.overlap)
        mics = len(excerpt.sound)
        if self.cleaned == "postfilter":
            raise InputError("postfilter.cleaned", "is the post-filter itself", "allowed is another system")
        if self.cleaned in SYSTEMS:
            self._cleaner = make(self.cleaned)
            self._cleaner.fit(excerpt)
        elif self.cleaned:
            self._read(0, 0, excerpt)
        elif mics % 2 or mics < 4:
            allowed = "allowed are pairs of a mic and its cleaned one, two at least; or set `cleaned`"
            raise InputError("postfilter", f"the recording has {mics} channels", allowed)

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; a part for each channel, of pairs the first as it came."""
        pairs = not self.cleaned
        sound = passage.sound
        bleedy = np.ascontiguousarray(sound[::2]) if pairs else sound
        cleaned = np.ascontiguousarray(sound[1::2]) if pairs else self._clean(passage)
        filtered = self._filter(bleedy, cleaned, passage.rate)
        if not pairs:
            return by_name(filtered, passage.names)
        return {
            name: filtered[n // 2 : n // 2 + 1] if n % 2 else sound[n : n + 1].copy()
            for n, name in enumerate(passage.names)
        }

    def _filter(self, bleedy: Audio, cleaned: Audio, rate: int) -> Audio:
        hop = self.window // self.overlap
        spectrum = Spectrum(self.window, hop, live=self.causal)
        first, second = spectrum.analyse(bleedy), spectrum.analyse(cleaned)
        mask = np.empty(first.shape, np.float32)
        kernels.masks(
            magnitude2(first), magnitude2(second), np.float32(self.strength), np.float32(self.floor),
            np.float32(_share(hop, rate, self.smooth_ms)), np.float32(_threshold(self.window, hop)), mask,
        )
        heard: Audio = spectrum.resynthesise(second * mask, bleedy.shape[1])
        return heard

    def _clean(self, passage: Passage) -> Audio:
        if self._cleaner is None:
            return self._read(passage.first, passage.sound.shape[1], passage)
        parts = self._cleaner.separate(passage)
        if not all(name in parts and len(parts[name]) == 1 for name in passage.names):
            raise InputError("postfilter.cleaned", f"{self.cleaned} has other parts", "allowed is one for each mic")
        return np.concatenate([parts[name] for name in passage.names])

    def _read(self, first: int, frames: int, passage: Passage) -> Audio:
        """Read a part of the file or folder of cleaned microphones."""
        with open_sound(self.cleaned) as source:
            found, wanted = (source.channels, source.rate), (len(passage.sound), passage.rate)
            if found != wanted or first + frames > source.frames:
                problem = f"{found[0]} channels at {found[1]} Hz, {source.frames} frames"
                raise InputError(self.cleaned, problem, f"allowed is {wanted[0]} at {wanted[1]}, as long as the bleedy")
            source.seek(first)
            return source.read(frames)


class PostFilterLive(Masking):
    """The same in the stream: every second channel is the cleaned one of the channel before it.

    A chain has one channel for each mic, so both have to come in: from a network or a plug-in elsewhere, or from a
    desk that sends a mic before and behind its own processing. The first of each pair, and an odd last channel, pass.

    Parameters
    ----------
    name : str
    analysis, synthesis, hop
        As in `Masking`.
    strength, floor, smooth_ms
        As in `PostFilter`.
    """

    stage = "postfilter"
    entry = kernels.postfilter
    table = kernels.POSTFILTER

    def configure(self, strength: float, floor: float, smooth_ms: float) -> None:
        """See `Masking.configure`."""
        self._strength, self._floor, self._smooth = strength, floor, smooth_ms

    def values(self, sizes: Sizes) -> Mapping[str, NDArray[Any] | int | float]:
        """See `Masking.values`."""
        return {
            "strength": self._strength, "floor": self._floor,
            "share": _share(sizes.hop, sizes.rate, self._smooth),
            "threshold": _threshold(sizes.window, sizes.hop, self._synthesis),
        }


def _share(hop: int, rate: int, smooth_ms: float) -> float:
    return 1 - math.exp(-hop / rate * 1000 / max(smooth_ms, 1e-3))


def _threshold(window: int, hop: int, synthesis: int | None = None) -> float:
    return _THRESHOLD * float(windows(window, synthesis or window, hop)[0].sum())
