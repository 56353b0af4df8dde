"""REPET-SIM: a frame that sounds like others is background; what they do not have in common is in front.

Use it on music that repeats without a strict period: riffs, loops with breaks, changing bars. Do not use it on short
excerpts or on a band that never plays the same twice; a voice that holds one note for seconds becomes background.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import SYSTEMS
from rtsep.stages.masking import Masking, Sizes
from rtsep.systems.repet import Past, picked_medians, split, whole_bins
from rtsep.systems.separator import Audio, Passage
from rtsep.systems.spectrum import Spectrum
from rtsep_kernels import repet as kernels

_FRAMES_AT_ONCE = 256   # of the similarities: all of them would grow with the square of the length
_LEAD_SECONDS = 24.0    # what a short passage looks back to, at least


_DEFAULTS = SYSTEMS["repet-sim"].defaults


@dataclass
class RepetSim:
    """Background and foreground by similar frames, wherever they are.

    Parameters
    ----------
    window : int
        Samples; frames overlap by three quarters.
    causal : bool
        Look for similar frames in the last `buffer_s` seconds only, with the live stage's windows.
    similar : int
        Of so many frames the median is taken, at most.
    apart_s : float
        Seconds between two of them, at least.
    threshold : float
        Cosine similarity above which a frame is similar.
    buffer_s : float
        See `causal`.
    background_hz : float
        Everything below is background.

    References
    ----------
    Rafii & Pardo, "Music/voice separation using the similarity matrix", ISMIR 2012; the same, "Online REPET-SIM for
    real-time speech enhancement", ICASSP 2013, doi:10.1109/ICASSP.2013.6637768.
    """

    window: int = _DEFAULTS["window"]
    causal: bool = _DEFAULTS["causal"]
    similar: int = _DEFAULTS["similar"]
    apart_s: float = _DEFAULTS["apart_s"]
    threshold: float = _DEFAULTS["threshold"]
    buffer_s: float = _DEFAULTS["buffer_s"]
    background_hz: float = _DEFAULTS["background_hz"]
    _past: Past = field(default_factory=Past, init=False, repr=False)

    def fit(self, excerpt: Passage) -> None:  # noqa: ARG002
        """Learn nothing: every passage is separated by itself, with what came just before."""
        self._past = Past()

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; parts `background` and `foreground`."""
        hop = self.window // 4
        wanted = self.buffer_s + 2 * self.window / passage.rate if self.causal else _LEAD_SECONDS
        lead = self._past.lead(passage, wanted)
        short = passage.sound.shape[1] < _LEAD_SECONDS * passage.rate
        # Frames of the lead must fall on frames of the recording: the stream goes on where it was.
        lead = lead[:, (lead.shape[1] - passage.first) % hop :]
        sound = np.concatenate([lead, passage.sound], axis=1) if self.causal or short else passage.sound
        spectrum = Spectrum(self.window, hop, live=self.causal)
        length, apart = lengths(self.buffer_s, self.apart_s, hop, passage.rate)
        models = np.stack([
            self._model(np.abs(spectrum.analyse(channel[None])[0]), length, apart) for channel in sound
        ])
        whole = whole_bins(self.background_hz, self.window, passage.rate)
        return split(passage, sound, spectrum, models, whole)

    def _model(self, magnitudes: Audio, length: int, apart: int) -> Audio:
        if self.causal:
            model = np.empty_like(magnitudes)
            kernels.online(magnitudes, length, apart, self.similar, np.float32(self.threshold), model)
            return model
        frames = len(magnitudes)
        picks = np.empty((frames, min(self.similar, frames)), np.int32)
        counts = np.empty(frames, np.int32)
        norms = np.sqrt(np.sum(magnitudes**2, axis=1, keepdims=True))
        directions = magnitudes / (norms + kernels.TINY)
        for first in range(0, frames, _FRAMES_AT_ONCE):
            some = slice(first, first + _FRAMES_AT_ONCE)
            similarity = directions[some] @ directions.T
            kernels.picked(similarity, first, apart, np.float32(self.threshold), picks[some], counts[some])
        return picked_medians(magnitudes, picks, counts)


class RepetSimLive(Masking):
    """The same in the stream: similar frames among those of the last seconds.

    Parameters
    ----------
    name : str
    analysis, synthesis, hop
        As in `Masking`.
    similar, apart_s, threshold, buffer_s, background_hz
        As in `RepetSim`.
    """

    stage = "repet_sim"
    entry = kernels.repet_sim
    table = kernels.REPET_SIM

    def configure(self, similar: int, apart_s: float, threshold: float, buffer_s: float, background_hz: float) -> None:
        """See `Masking.configure`."""
        self._similar, self._threshold = similar, threshold
        self._seconds, self._background_hz = (buffer_s, apart_s), background_hz

    def values(self, sizes: Sizes) -> Mapping[str, NDArray[Any] | int | float]:
        """See `Masking.values`."""
        length, apart = lengths(*self._seconds, sizes.hop, sizes.rate)
        return {
            "length": length, "apart": apart, "most": self._similar, "threshold": self._threshold,
            "whole": whole_bins(self._background_hz, sizes.window, sizes.rate),
        }


def lengths(buffer_s: float, apart_s: float, hop: int, rate: int) -> tuple[int, int]:
    """Return how many frames the buffer holds, and how many similar frames are apart at least."""
    return max(1, round(buffer_s * rate / hop)), int(apart_s * rate / hop)
