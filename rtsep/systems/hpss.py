"""HPSS: sustained sounds are lines along time in a spectrogram, struck ones are lines along frequency.

Use it to take drums out of a melodic mic, or a hum out of the drums. Do not expect it to find a singer: a voice is
both. With a margin above 1 (HRPS) what is neither goes to a third part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import SYSTEMS
from rtsep.stages.masking import Masking, Sizes
from rtsep.systems.separator import Audio, Passage
from rtsep.systems.spectrum import Spectrum
from rtsep_kernels import hpss as kernels
from rtsep_kernels.maths import median

_PARTS = ("harmonic", "percussive", "residual")


_DEFAULTS = SYSTEMS["hpss"].defaults


@dataclass
class Hpss:
    """Harmonic-percussive(-residual) separation of each channel.

    Parameters
    ----------
    window : int
        Samples; frames overlap by three quarters.
    causal : bool
        Median over past frames only, with the live stage's windows.
    harmonic_ms : float
        Length of the median over time.
    percussive_hz : float
        Length of the median over frequency.
    margin : float
        Above 1 a bin belongs to a part only if that is so many times stronger (in power) than the other.
    mask : str
        `soft` shares each bin, `binary` gives it to one part.

    References
    ----------
    FitzGerald, "Harmonic/percussive separation using median filtering", DAFx 2010; Driedger, Müller, Disch,
    "Extending harmonic-percussive separation of audio signals", ISMIR 2014, eq. (3) to (7).
    """

    window: int = _DEFAULTS["window"]
    causal: bool = _DEFAULTS["causal"]
    harmonic_ms: float = _DEFAULTS["harmonic_ms"]
    percussive_hz: float = _DEFAULTS["percussive_hz"]
    margin: float = _DEFAULTS["margin"]
    mask: str = _DEFAULTS["mask"]

    def fit(self, excerpt: Passage) -> None:
        """Learn nothing: every passage is separated by itself."""

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; parts `harmonic`, `percussive`, and with a margin above 1 `residual`."""
        frames = passage.sound.shape[1]
        hop = self.window // 4
        spectrum = Spectrum(self.window, hop, live=self.causal)
        count, neighbours = lengths(self.harmonic_ms, self.percussive_hz, self.window, hop, passage.rate)
        names = _PARTS if self.margin > 1 else _PARTS[:2]
        parts = {name: np.empty_like(passage.sound) for name in names}
        for channel, sound in enumerate(passage.sound):
            spectra = spectrum.analyse(sound[None])[0]
            power = spectra.real**2 + spectra.imag**2
            steady, struck = medians(power, count, neighbours, self.causal)
            mask = np.empty_like(power)
            for which, name in enumerate(names):
                kernels.parts(steady, struck, which, np.float32(self.margin), self.mask == "binary", mask)
                parts[name][channel] = spectrum.resynthesise((mask * spectra)[None], frames)[0]
        return parts


class HpssLive(Masking):
    """The same in the stream: medians over past frames, no look-ahead.

    Parameters
    ----------
    name : str
    analysis, synthesis, hop
        As in `Masking`.
    harmonic_ms, percussive_hz, margin, mask
        As in `Hpss`.
    """

    stage = "hpss"
    entry = kernels.hpss
    table = kernels.HPSS

    def configure(self, harmonic_ms: float, percussive_hz: float, margin: float, mask: str) -> None:
        """See `Masking.configure`."""
        self._lengths = (harmonic_ms, percussive_hz)
        self._margin, self._binary = margin, mask == "binary"

    def values(self, sizes: Sizes) -> Mapping[str, NDArray[Any] | int | float]:
        """See `Masking.values`."""
        count, neighbours = lengths(*self._lengths, sizes.window, sizes.hop, sizes.rate)
        return {
            "count": count, "neighbours": neighbours, "binary": self._binary, "margin": self._margin,
        }


def lengths(harmonic_ms: float, percussive_hz: float, window: int, hop: int, rate: int) -> tuple[int, int]:
    """Return how many frames and bins the medians span; of bins an odd number, not more than there are."""
    count = max(1, round(harmonic_ms / 1000 * rate / hop))
    neighbours = min(round(percussive_hz * window / rate), window // 2) // 2 * 2 + 1
    return count, neighbours


def medians(power: Audio, count: int, neighbours: int, causal: bool) -> tuple[Audio, Audio]:
    """Return the medians of the powers float32[frames, bins] over time and over frequency."""
    over_time = np.ascontiguousarray(power.T)
    steady, struck = np.empty_like(over_time), np.empty_like(power)
    if causal:
        median.past_rows(over_time, count, steady)
    else:
        median.across_rows(over_time, count | 1, steady)
    median.across_rows(power, neighbours, struck)
    return np.ascontiguousarray(steady.T), struck
