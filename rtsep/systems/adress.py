"""ADRess: a source panned between two channels is found in each bin by the gain at which the channels cancel.

Use it for a stereo mix made with pan pots, to take out (or leave out) what is at one place, as a singer in the
middle. Do not use it with a stereo microphone or on delays: where the channels differ in phase nothing cancels. Sources
with the same pan stay together.
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
from rtsep.systems.pairs import planes
from rtsep.systems.separator import Audio, Passage
from rtsep.systems.spectrum import Spectrum
from rtsep_kernels import adress as kernels

_MOST_DEGREES = 90.0


_DEFAULTS = SYSTEMS["adress"].defaults


@dataclass
class Adress:
    """Azimuth discrimination and resynthesis, bin by bin: nothing is learnt.

    The published magnitude, greatest minus least of |weak - g strong|, depends on the place too; as a share of the
    greatest it does not, and gives a stereo image at its own level.

    Parameters
    ----------
    window : int
        Samples; frames overlap by three quarters.
    causal : bool
        With the live stage's windows.
    azimuths : str
        Constant-power pan of each source, degrees from 0 (left) to 90, separated by commas.
    width : float
        How far around an azimuth counts, as a share of a side (left to centre): H / β of the publication.
    steps : int
        Gains that are tried on each side: β.

    References
    ----------
    Barry, Lawlor, Coyle, "Sound source separation: azimuth discrimination and resynthesis", DAFx 2004.
    """

    window: int = _DEFAULTS["window"]
    causal: bool = _DEFAULTS["causal"]
    azimuths: str = _DEFAULTS["azimuths"]
    width: float = _DEFAULTS["width"]
    steps: int = _DEFAULTS["steps"]

    def fit(self, excerpt: Passage) -> None:
        """Learn nothing, but see that there are two channels, and that the azimuths are numbers."""
        excerpt.demand_channels("adress", 2, 2)
        self._degrees()

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; parts `source1`, ... from left to right, and `rest`, in stereo."""
        spectrum = Spectrum(self.window, self.window // 4, live=self.causal)
        spectra = spectrum.analyse(passage.sound)
        flat, frames = planes(spectra), passage.sound.shape[1]
        parts: dict[str, Audio] = {}
        mask = np.empty(spectra.shape[1:], np.float32)
        taken = np.zeros_like(mask)
        for number, azimuth in enumerate(self._degrees(), 1):
            kernels.shares_all(*flat, self.steps, azimuth, self.width, mask)
            np.maximum(taken, mask, out=taken)
            parts[f"source{number}"] = spectrum.resynthesise(mask * spectra, frames)
        parts["rest"] = spectrum.resynthesise((1 - taken) * spectra, frames)
        return parts

    def _degrees(self) -> list[float]:
        try:
            degrees = sorted(float(text) for text in self.azimuths.split(","))
        except ValueError:
            degrees = []
        if not degrees or not all(0 <= azimuth <= _MOST_DEGREES for azimuth in degrees):
            allowed = "allowed is degrees from 0 (left) to 90, separated by commas"
            raise InputError("azimuths", f"{self.azimuths!r} is not allowed", allowed)
        return degrees


class AdressLive(Masking):
    """The same in the stream, for channels 1 and 2, 3 and 4, ...; an odd last one passes.

    Azimuth and width are parameters, to be turned while it runs.

    Parameters
    ----------
    name : str
    analysis, synthesis, hop
        As in `Masking`.
    steps
        As in `Adress`.
    """

    stage = "adress"
    entry = kernels.adress
    table = kernels.ADRESS

    def configure(self, steps: int) -> None:
        """See `Masking.configure`."""
        self._steps = steps

    def values(self, sizes: Sizes) -> Mapping[str, NDArray[Any] | int | float]:
        """See `Masking.values`."""
        del sizes   # nothing hangs on them
        return {"steps": self._steps}
