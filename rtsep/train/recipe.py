"""How each system of the sources is trained: its network, data, loss, optimiser, and what its file says."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from rtsep.errors import InputError
from rtsep.train import losses
from rtsep.train.networks.cae import Cae
from rtsep.train.networks.deepconvsep import DeepConvSep
from rtsep.train.networks.densenet import MDenseNet
from rtsep.train.networks.dfunet import DfUNet
from rtsep.train.networks.maskinference import MaskInference
from rtsep.train.networks.network import Network
from rtsep.train.networks.openunmix import OpenUnmix
from rtsep.train.networks.tunet import TUNet
from rtsep.train.networks.wavenet import Wavenet
from rtsep.train.networks.waveunet import WaveUNet

Optimiser = Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer]

TASKS = ("mic", "mics", "gains", "target", "sources")
"""What a network turns into what.

mic
    One mic to what it should have heard: a network for each stem.
mics
    All mics to what they should have heard.
gains
    All mics to the gains from each source into each mic.
target
    The sum of all mics to one of them: a network for each stem.
sources
    The sum of all mics to each of them; with a stem to that and the rest.
"""


@dataclass(frozen=True)
class Recipe:
    """How a system is trained.

    Parameters
    ----------
    name : str
        In the catalogue of systems.
    source : str
        Where it is published, or the authors' code.
    make : callable
        Takes the network's options, and of `sources`, `mics` and `causal` what its constructor knows.
    kind : str
        magnitude, wave or matrix.
    task : str
        One of `TASKS`.
    rate : int
        Hz.
    frames : int
        Length of an example: frames of the spectrum or samples.
    parameters : int
        Of the published form, `published`.
    window, hop : int
        Samples, of magnitudes.
    taper : str
        hann or sqrt-hann.
    call : int
        Frames of one call of the exported network; 0 for any number.
    published : mapping
        Options of the published form, where they are not what is trained here.
    statistics : bool
        Whether `parameters` counts the statistics of normalisations, as Keras does.
    loss, optimiser, batch, epochs, steps, patience
        As the source says; steps in an epoch, and epochs without gain after which training ends.
    decay : (float, int), optional
        Factor of the learning rate, and epochs without gain before it.
    voice : callable, optional
        Loss where one stem and the rest are the sources.
    gains : (float, float)
        Range of each stem's gain in a mixture.
    remix : bool
        Mix stems of several songs, but for the one that is looked for; gains of bleed from several, too.
    """

    name: str
    source: str
    make: Callable[..., Network]
    kind: str
    task: str
    rate: int
    frames: int
    parameters: int
    window: int = 0
    hop: int = 0
    taper: str = "hann"
    call: int = 0
    published: Mapping[str, Any] = field(default_factory=dict)
    statistics: bool = False
    loss: Callable[..., Any] = losses.squares
    optimiser: Optimiser = lambda parameters: torch.optim.Adam(parameters, 1e-3, fused=True)
    batch: int = 16
    epochs: int = 100
    steps: int = 100
    patience: int = 20
    decay: tuple[float, int] | None = None
    voice: Callable[..., Any] | None = None
    gains: tuple[float, float] = (1.0, 1.0)
    remix: bool = False

    def build(
        self, causal: bool = False, sources: int = 4, mics: int = 4, frames: int = 0, **options: Any
    ) -> Network:
        """Return an untrained network; of some the number of frames is a part.

        Raises
        ------
        InputError
            If there is no such option, a value does not fit, or no causal variant.
        """
        known = inspect.signature(self.make).parameters
        given = {"causal": causal, "sources": sources, "mics": mics, "frames": frames or self.frames}
        for name in options:
            if name not in known or name in given:
                allowed = ", ".join(sorted(set(known) - set(given))) or "none"
                raise InputError("--set", f"{self.name} has no option {name}", f"known: {allowed}")
        if causal and "causal" not in known:
            raise InputError("--causal", f"{self.name} has no causal variant", "leave it out")
        try:
            return self.make(**{n: v for n, v in given.items() if n in known}, **options)
        except (TypeError, ValueError, RuntimeError, IndexError) as error:
            raise InputError("--set", f"{self.name} cannot be made so: {str(error)[:120]}") from None

    def criterion(self, names: Sequence[str]) -> losses.Loss:
        """Return the loss for sources of these names."""
        if self.voice is not None and len(names) == 2:
            return self.voice
        return self.loss(names) if self.loss is losses.deep_conv_sep else self.loss


def _adam(rate: float, decay: float = 0.0) -> Optimiser:
    return lambda parameters: torch.optim.Adam(parameters, rate, weight_decay=decay, fused=True)


_DF_UNET: dict[str, Any] = {
    "source": "https://github.com/its-rajesh/GIRNet", "kind": "wave", "task": "mics", "rate": 22050, "frames": 220448,
    "statistics": True, "batch": 2, "epochs": 30,
}
_DENSE: dict[str, Any] = {
    "source": "arXiv:1706.09588", "kind": "magnitude", "task": "target", "rate": 44100, "frames": 128,
    "window": 2048, "hop": 1024, "batch": 4, "published": {"channels": 2},
}

RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (
    Recipe(
        "cae", "https://github.com/its-rajesh/IRMR", Cae, "magnitude", "mic", 22050, 3, 39_540_137, 2048, 512,
        call=3, statistics=True, batch=64, epochs=100,
    ),
    Recipe(
        "t-unet", "https://github.com/its-rajesh/IRMR", TUNet, "matrix", "gains", 22050, 220500, 3_528_736,
        call=220500, optimiser=_adam(0.01), batch=64, epochs=600, remix=True,
    ),
    Recipe("f-unet", make=partial(DfUNet, dilations=(1, 1, 1, 1)), parameters=3_839_025, **_DF_UNET),
    Recipe("df-unet", make=DfUNet, parameters=3_839_025, **_DF_UNET),
    Recipe("df-unet-gat", make=partial(DfUNet, graph="mics"), parameters=3_839_025 + 16_768, **_DF_UNET),
    # With all new maps handed on, which the paper leaves open; 121 030 and 277 430 with the last layer's alone.
    Recipe("mdensenet", make=partial(MDenseNet, channels=1), parameters=292_370, **_DENSE),
    Recipe("mmdensenet", make=partial(MDenseNet, channels=1, multi=True), parameters=637_990, **_DENSE),
    Recipe(
        "wavenet", "arXiv:1810.12187", Wavenet, "wave", "sources", 16000, 9785, 3_277_763,
        loss=losses.estimated, voice=losses.dissimilar, batch=10, epochs=250, steps=2000, patience=16, remix=True,
    ),
    Recipe(
        "deepconvsep", "doi:10.1007/978-3-319-53547-0_25", DeepConvSep, "magnitude", "sources", 44100, 30, 357_482,
        1024, 512, call=30, loss=losses.deep_conv_sep, optimiser=lambda p: torch.optim.Adadelta(p, 1.0), batch=32,
        epochs=30,
    ),
    Recipe(
        "wave-u-net", "arXiv:1806.03185", partial(WaveUNet, channels=1), "wave", "sources", 22050, 147443, 10_263_498,
        published={"channels": 2}, optimiser=_adam(1e-4), batch=16, epochs=250, steps=2000, patience=20,
        gains=(0.7, 1.0),
    ),
    Recipe(
        "mask-inference", "https://github.com/nussl/nussl", MaskInference, "magnitude", "target", 44100, 1724, 210_359,
        512, 128, taper="sqrt-hann", loss=losses.magnitudes, batch=10,
    ),
    Recipe(
        "open-unmix", "doi:10.21105/joss.01667", partial(OpenUnmix, channels=1), "magnitude", "target", 44100, 255,
        8_893_348, 4096, 1024, published={"channels": 2}, optimiser=_adam(1e-3, 1e-5), batch=16, epochs=1000,
        patience=140, decay=(0.3, 80), gains=(0.25, 1.25), remix=True,
    ),
)}
"""By name. Magnitudes, waveforms of mixtures and targets have one channel here, as all material is mono."""
