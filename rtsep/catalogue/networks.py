"""Trained networks (SYSTEMS.md 1.8, 1.10, 1.11 and 5.1 to 5.6); each runs a model file."""

from __future__ import annotations

import importlib.util

from rtsep.catalogue.spec import Marked, System, offline, system
from rtsep.params import Option

PROVIDER = Option("provider", str, "auto", "What runs it; one that is not there is said, and the CPU runs it.",
                  choices=("auto", "cpu", "cuda", "tensorrt"))

_OPTIONS = (offline(
    Option("model", str, "", "A model file (.onnx), a folder of them, or several with commas between them."),
    PROVIDER,
    Option("rest", bool, False, "Give what is left besides the sources, too."),
),)
_WIENER = (offline(
    Option("wiener", int, 0, "Rounds of a multichannel Wiener filter, which knows from where sources come.", 0, 20),
),)
_RAJESH = "Rajesh, Rajan, WASPAA 2023"
_GIRNET = "Rajesh, seminar 2023, GIRNet"
_MICS = "as many mics as the model has; a model file"
_ANY = "any number of channels; a model file"
_CLEANED = "each mic without the bleed of the others"
_CAUSAL = "a causal variant in the stage model, frame by frame; as published it looks at the future"


def missing() -> list[str]:
    """Return what runs models and is not installed."""
    return [name for name in ("onnxruntime", "onnx") if importlib.util.find_spec(name) is None]


def _network(
    name: str, section: str, task: str, inputs: str, role: str, source: str, cls: str, more: tuple[Marked, ...] = ()
) -> System:
    return system(name, section, task, inputs, role, source, "rtsep.systems.networks", cls, (*_OPTIONS, *more))


NETWORKS = (
    _network(
        "cae", "1.8", f"{_CLEANED}: a network for each stem",
        "any number of mics; a model file for each, or one for all",
        "in the stage model, frame by frame: the newest of three frames; latency one window", _RAJESH, "Cae",
    ),
    _network(
        "t-unet", "1.10", "bleed that is gains only, told from ten seconds", _MICS,
        "in the stage model: gains every few seconds for a matrix without latency", _RAJESH, "TUNet",
    ),
    _network("f-unet", "1.11", _CLEANED, _MICS, _CAUSAL, _GIRNET, "FUNet"),
    _network("df-unet", "1.11", _CLEANED, _MICS, _CAUSAL, _GIRNET, "DfUNet"),
    _network("df-unet-gat", "1.11", _CLEANED, _MICS, _CAUSAL, _GIRNET, "DfUNetGat"),
    _network("mdensenet", "5.1", "one source of a mix", _ANY, _CAUSAL, "Takahashi, Mitsufuji, WASPAA 2017",
             "MDenseNet", _WIENER),
    _network("mmdensenet", "5.1", "one source of a mix", _ANY, _CAUSAL, "Takahashi, Mitsufuji, WASPAA 2017",
             "MMDenseNet", _WIENER),
    _network("wavenet", "5.2", "the sources of a mix", _ANY, _CAUSAL, "Lluís, Pons, Serra, Interspeech 2019",
             "Wavenet"),
    _network("deepconvsep", "5.3", "the sources of a mix", _ANY,
             "in the stage model: the newest frame of a patch", "Chandna et al., LVA/ICA 2017", "DeepConvSep"),
    _network("wave-u-net", "5.4", "the sources of a mix", _ANY, _CAUSAL, "Stoller, Ewert, Dixon, ISMIR 2018",
             "WaveUNet"),
    _network("mask-inference", "5.5", "one source of a mix", _ANY, _CAUSAL, "EIE3510 report; nussl", "MaskInference"),
    _network("open-unmix", "5.6", "one source of a mix, by a model for each", _ANY, _CAUSAL,
             "Stöter et al., JOSS 2019", "OpenUnmix", _WIENER),
)
