"""The trained networks of the sources, offline: each runs a model file that `rtsep train` and `rtsep export` have made.

Use it where you have a model that was trained on concerts like yours, or bring your own with the same metadata. Do not
use one trained on other music without listening: a network knows nothing of what it has not seen, and rtsep's systems
without models need no training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rtsep.catalogue import SYSTEMS
from rtsep.errors import InputError
from rtsep.models.card import MATRIX
from rtsep.models.mics import Mics
from rtsep.systems import modelhosts
from rtsep.systems.demix import apply
from rtsep.systems.separator import Audio, Passage, by_name

_DEFAULTS = SYSTEMS["cae"].defaults


@dataclass
class Network:
    """Base of the systems that run model files: what is done follows from the file's card, not from the system.

    Parameters
    ----------
    model : str
        A file, a folder, or files with commas between them: see `modelhosts.load`.
    provider : str
        What runs it: auto, cpu, cuda or tensorrt.
    rest : bool
        Of networks that make sources: give what is left of the recording, too.
    """

    system: ClassVar[str] = ""
    model: str = _DEFAULTS["model"]
    provider: str = _DEFAULTS["provider"]
    rest: bool = _DEFAULTS["rest"]

    def fit(self, excerpt: Passage) -> None:
        """Open the model files, measure the level, and let a network of gains tell them."""
        self._loaded = modelhosts.load(self.system, self.model, excerpt.names, self.provider)
        self._gain = modelhosts.level(excerpt.sound)
        first = self._loaded[0]
        if first.card.kind == MATRIX:
            self._unmixing = modelhosts.gains(first, excerpt.sound, excerpt.rate, self._gain)
        for loaded in self._loaded:
            if loaded.card.kind != MATRIX:
                Mics(loaded.session, len(loaded.rows))   # refuses what it cannot take

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; a part for each mic, or for each source, in all channels."""
        if self._loaded[0].card.kind == MATRIX:
            return by_name(apply(self._unmixing, passage.sound), passage.names)
        parts: dict[str, Audio] = {}
        own = np.zeros_like(passage.sound)
        for loaded in self._loaded:
            sound = np.ascontiguousarray(passage.sound[list(loaded.rows)])
            found = modelhosts.separated(loaded, sound, passage.rate, self._gain)
            for number, name in enumerate(loaded.card.sources):
                parts[name] = np.ascontiguousarray(found[:, number])
            if not loaded.card.sources:
                own[list(loaded.rows)] = found[:, 0]
        if not parts:
            return by_name(own, passage.names)
        if self.rest:
            name, total = "rest", sum(parts.values())
            if name in parts:
                raise InputError(self.system, "the model has a source called rest", "leave out rest=true")
            parts[name] = np.asarray(passage.sound - total, np.float32)
        return parts


class Cae(Network):
    """A convolutional autoencoder for each stem, to which bleed is noise (Rajesh & Rajan, WASPAA 2023)."""

    system = "cae"


class TUNet(Network):
    """A truncated U-Net that tells the gains of bleed from ten seconds; they are undone by the pseudo-inverse."""

    system = "t-unet"


class FUNet(Network):
    """A U-Net on the waveforms of all mics."""

    system = "f-unet"


class DfUNet(Network):
    """The same with dilated convolutions."""

    system = "df-unet"


class DfUNetGat(Network):
    """The same with attention between the mics."""

    system = "df-unet-gat"


class MDenseNet(Network):
    """Densely connected convolutions on magnitudes at several scales."""

    system = "mdensenet"


class MMDenseNet(Network):
    """The same in bands of frequency, too."""

    system = "mmdensenet"


class Wavenet(Network):
    """Dilated convolutions on the waveform."""

    system = "wavenet"


class DeepConvSep(Network):
    """Convolutions over patches of 30 frames that end in soft masks."""

    system = "deepconvsep"


class WaveUNet(Network):
    """A U-Net on the waveform."""

    system = "wave-u-net"


class MaskInference(Network):
    """A recurrent network that tells a mask."""

    system = "mask-inference"


class OpenUnmix(Network):
    """Three recurrent layers between dense ones, one network for each source."""

    system = "open-unmix"
