"""DUET: sources that seldom sound in the same bin are told apart by where their bins lie between two channels.

Use it for a stereo recording of several sources, each with its own pan, or its own delay between two mics a few
centimetres apart. Do not use it where sources overlap in time and frequency all the time (a choir, a wall of guitars)
or in a room: reverberation comes from everywhere. It cannot see what is in one channel only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import SYSTEMS
from rtsep.stages.masking import Masking, Sizes
from rtsep.systems.pairs import even_angles, forgetting, in_place, planes, quiet
from rtsep.systems.separator import Audio, Passage
from rtsep.systems.spectrum import Spectrum
from rtsep_kernels import duet as kernels

Wide = NDArray[np.float64]


_DEFAULTS = SYSTEMS["duet"].defaults


@dataclass
class Duet:
    """Degenerate unmixing: the highest peaks of a histogram of pan and delay, and a binary mask for each.

    The histogram is over the constant-power pan angle φ = atan(|X2| / |X1|), which is symmetric as the attenuation
    α = |X2 / X1| - |X1 / X2| of the publication is, but ends where the channels end: ±3 in α reaches from 17 to 73
    degrees only.

    Parameters
    ----------
    window : int
        Samples; frames overlap by three quarters.
    causal : bool
        Learn the peaks while running, with the live stage's windows.
    sources : int
        How many peaks.
    max_delay : float
        Largest delay between the channels that is looked for, samples; 0: sources differ by pan only.
    exponent : float
        Power of the bins' levels in the histogram; less than 1 if one source is much louder than the others.
    memory_s : float
        With `causal`, time after which what was learnt counts 1/e.

    Attributes
    ----------
    peaks : float64[sources, 3]
        Angle (radians, 0 left), delay (samples) and whether it was found (1), from left to right.

    References
    ----------
    Rickard, "The DUET blind source separation algorithm", in Blind Speech Separation, 2007,
    doi:10.1007/978-1-4020-6479-1_8.
    """

    window: int = _DEFAULTS["window"]
    causal: bool = _DEFAULTS["causal"]
    sources: int = _DEFAULTS["sources"]
    max_delay: float = _DEFAULTS["max_delay"]
    exponent: float = _DEFAULTS["exponent"]
    memory_s: float = _DEFAULTS["memory_s"]
    peaks: Wide = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.peaks = even_peaks(self.sources)

    def fit(self, excerpt: Passage) -> None:
        """Find the peaks; see `Separator.fit`."""
        excerpt.demand_channels("duet", 2, 2)
        self.peaks = even_peaks(self.sources)
        if self.causal:
            return
        histogram = np.zeros((kernels.ANGLES, kernels.DELAYS))
        spectrum = Spectrum(self.window, self.window // 4)
        for sound in chunks(excerpt.sound, excerpt.rate):
            kernels.note_all(*planes(spectrum.analyse(sound)), self._step, self.max_delay, self.exponent, histogram)
        kernels.pick_all(histogram, self.max_delay, np.empty_like(histogram), np.zeros_like(self.peaks), self.peaks)

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; parts `source1`, `source2`, ... from left to right, in stereo."""
        hop = self.window // 4
        spectrum = Spectrum(self.window, hop, live=self.causal)
        spectra = spectrum.analyse(passage.sound)
        owner = np.zeros(spectra.shape[1:], np.int64)
        turns = np.empty((self.sources, 6))
        if self.causal:
            histogram, smooth = np.zeros((2, kernels.ANGLES, kernels.DELAYS))
            kernels.follow_all(
                *planes(spectra), self._step, self.max_delay, self.exponent,
                forgetting(self.memory_s, hop, passage.rate), quiet(self.window, self.window, hop), histogram, smooth,
                np.zeros_like(self.peaks), even_peaks(self.sources), turns, owner,
            )
        else:
            kernels.own_all(*planes(spectra), self._step, self.peaks, turns, owner)
        frames = passage.sound.shape[1]
        return {
            f"source{j + 1}": spectrum.resynthesise(spectra * (owner == j), frames) for j in range(self.sources)
        }

    @property
    def _step(self) -> float:
        return 2 * math.pi / self.window


class DuetLive(Masking):
    """The same in the stream, for channels 1 and 2, 3 and 4, ...; an odd last one passes.

    Peaks are looked for in shares, some rows of the histogram a frame, and change slowly; until there are any, sources
    are those of equal sectors from left to right. `keep` counts from the left.

    Parameters
    ----------
    name : str
    analysis, synthesis, hop
        As in `Masking`.
    sources, max_delay, exponent, memory_s
        As in `Duet`.
    """

    stage = "duet"
    entry = kernels.duet
    table = kernels.DUET
    knowledge: Mapping[str, tuple[int, ...]] = {"histogram": (), "peaks": ()}   # by pair of microphones

    def configure(self, sources: int, max_delay: float, exponent: float, memory_s: float) -> None:
        """See `Masking.configure`."""
        self.terms = (max_delay,)   # the histogram's axis
        self._sources, self._max_delay, self._exponent, self._memory = sources, max_delay, exponent, memory_s

    def _in_place(self, name: str, array: NDArray[Any]) -> NDArray[Any] | None:
        return in_place(array, self._known(name), self._places)

    def values(self, sizes: Sizes) -> Mapping[str, NDArray[Any] | int | float]:
        """See `Masking.values`."""
        pairs = sizes.channels // 2
        return {
            "pairs": pairs, "sources": self._sources, "step": 2 * math.pi / sizes.window, "most": self._max_delay,
            "exponent": self._exponent, "forget": forgetting(self._memory, sizes.hop, sizes.rate),
            "quiet": quiet(sizes.window, self._synthesis, sizes.hop),
            "peaks": np.tile(even_peaks(self._sources), (pairs, 1, 1)),
        }


def even_peaks(sources: int) -> Wide:
    """Return peaks in the middle of equal sectors, for as long as nothing is known."""
    peaks = np.zeros((sources, 3))
    peaks[:, kernels.ANGLE] = even_angles(sources)
    peaks[:, kernels.FOUND] = 1
    return peaks


def chunks(sound: Audio, rate: int) -> list[Audio]:
    """Cut an excerpt into parts short enough to be analysed at once."""
    length = _CHUNK_SECONDS * rate
    return [np.ascontiguousarray(sound[:, n : n + length]) for n in range(0, max(1, sound.shape[1]), length)]


_CHUNK_SECONDS = 20
