"""Exporting: one step of the network as an ONNX file that says what it is, compared with torch."""

from __future__ import annotations

import io
import pathlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from rtsep.atomic import replacing
from rtsep.errors import InputError
from rtsep.models.card import STEP, Card, metadata
from rtsep.stages.learned import BANDS
from rtsep.train.export import PARITY
from rtsep.train.postfilter.concerts import RATE
from rtsep.train.postfilter.evidence import Setting
from rtsep.train.postfilter.network import OneStep, PostFilter
from rtsep_kernels.learned import VALUES

STATES = (("own", "own_next"), ("every", "every_next"))
_OPSET = 18
_COMPARED = 20       # steps


@dataclass(frozen=True)
class Told:
    """What the file says beside what follows from the network.

    Parameters
    ----------
    preset : str
        Whose gains it corrects.
    data : str
        What it was trained on.
    steps, seed : int
    commit : str
    figures : mapping of str to float
    """

    preset: str
    data: str
    steps: int
    seed: int
    commit: str
    figures: Mapping[str, float]


def export(network: PostFilter, setting: Setting, told: Told, path: pathlib.Path) -> Card:
    """Write a network as a model of kind `step`.

    Raises
    ------
    InputError
        If ONNX computes something else, or the file cannot be written.
    """
    import onnx

    card = Card(
        system=f"postfilter-{told.preset}", kind=STEP, rate=RATE, window=setting.analysis, hop=setting.hop,
        channels=0, sources=(), frames=VALUES * BANDS, look_ahead=0, latency=0, states=STATES, taper="sqrt-hann",
        licence="GPL-3.0-or-later", source="rtsep", data=told.data, steps=told.steps, seed=told.seed,
        commit=told.commit, figures=told.figures,
    )
    step = OneStep(network).eval()
    given = _given(2, network.width)
    file = io.BytesIO()
    names = ["x", *(a for a, _ in STATES)], ["y", *(b for _, b in STATES)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")   # of the exporter that knows free sizes; see `rtsep.train.export`
        torch.onnx.export(
            step, given, file, dynamo=False, opset_version=_OPSET, input_names=names[0], output_names=names[1],
            dynamic_axes={name: {1: "mics"} for side in names for name in side},
        )
    model = onnx.load_from_string(file.getvalue())
    for key, value in metadata(card).items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    _compare(step, network.width, content, str(path))
    with replacing(path) as target:
        target.write(content)
    return card


def _given(mics: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.randn(1, mics, VALUES * BANDS), torch.zeros(1, mics, width), torch.zeros(1, mics, width)


def _compare(step: OneStep, width: int, content: bytes, place: str) -> None:
    """Raise InputError if ONNX, step by step, is not torch: for as many mics as are usual, and one more."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for mics in (2, 8, 9):
        _, own, every = _given(mics, width)
        states = [own.numpy(), every.numpy()]
        for _ in range(_COMPARED):
            x = torch.randn(1, mics, VALUES * BANDS)
            with torch.no_grad():
                wanted, own, every = step(x, own, every)
            found, *states = session.run(None, {"x": x.numpy(), "own": states[0], "every": states[1]})
            error = float(np.abs(found - wanted.numpy()).max())
            if not error <= PARITY:
                raise InputError(place, f"ONNX differs from torch by {error:.2g}", f"allowed is {PARITY:g}")
