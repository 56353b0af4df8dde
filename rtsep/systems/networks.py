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
from rtsep.systems.masks import filtered
from rtsep.systems.separator import Audio, Passage, by_name
from rtsep.systems.spectrum import Spectrum

_DEFAULTS = SYSTEMS["cae"].defaults
_WINDOW, _HOP = 4096, 1024   # of the multichannel Wiener filter: Open-Unmix's


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


@dataclass
class Placed(Network):
    """Base of those after which a multichannel Wiener filter may share out the recording anew.

    Parameters
    ----------
    wiener : int
        Rounds of it: each takes powers and places of the sources from what the one before has made; 0: none.

    References
    ----------
    As `rtsep.systems.masks.Masks`; after Open-Unmix one round is usual.
    """

    wiener: int = SYSTEMS["open-unmix"].defaults["wiener"]

    def fit(self, excerpt: Passage) -> None:
        """See `Network.fit`; a single source would be given all."""
        super().fit(excerpt)
        made = sum(len(loaded.card.sources) for loaded in self._loaded) + self.rest
        if self.wiener and made < 2:
            allowed = "allowed are models of two sources or more, or of one with rest=true"
            raise InputError("--set wiener", "there is nobody to share the recording with", allowed)

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Network.separate`; filtered, the parts add up to the recording."""
        parts = super().separate(passage)
        if not self.wiener:
            return parts
        spectrum, samples = Spectrum(_WINDOW, _HOP), passage.sound.shape[1]
        mixture = spectrum.analyse(passage.sound)
        images = np.stack([spectrum.analyse(part) for part in parts.values()])
        for _ in range(self.wiener):
            images = filtered(mixture, images)
        return {name: np.asarray(spectrum.resynthesise(image, samples), np.float32)
                for name, image in zip(parts, images, strict=True)}


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


class MDenseNet(Placed):
    """Densely connected convolutions on magnitudes at several scales."""

    system = "mdensenet"


class MMDenseNet(Placed):
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


class OpenUnmix(Placed):
    """Three recurrent layers between dense ones, one network for each source."""

    system = "open-unmix"
