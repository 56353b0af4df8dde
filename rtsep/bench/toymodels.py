"""Small ONNX models with cards, for checks and tests of what runs models: nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import ModelProto, parser

from rtsep.models.card import Card, metadata

WAVES: dict[str, Any] = {
    "system": "custom", "kind": "wave", "rate": 48000, "window": 0, "hop": 0, "channels": 0, "sources": (),
    "frames": 0, "look_ahead": 0, "latency": 0,
}
MAGNITUDES: dict[str, Any] = {**WAVES, "kind": "magnitude", "window": 512, "hop": 128, "channels": 1}
GAINS: dict[str, Any] = {**WAVES, "kind": "matrix", "look_ahead": None, "frames": 4800}

FREE = "float[batch,channels,frames]"
SPECTRA = "float[batch,1,frames,257]"


def model(text: str, card: dict[str, Any] | None = None) -> ModelProto:
    """Return a model from ONNX's own notation, its graph alone, with a card."""
    made = parser.parse_model(f'<ir_version: 10, opset_import: ["" : 20]>\n{text}')
    for key, value in metadata(Card(**(WAVES if card is None else card))).items():
        made.metadata_props.add(key=key, value=value)
    return made


def gain(amount: float, ends: str = FREE, card: dict[str, Any] | None = None) -> ModelProto:
    """Return a model that multiplies what it gets."""
    return model(f"m ({ends} x) => ({ends} y) {{ k = Constant <value_float = {amount}> () y = Mul(x, k) }}", card)


def delayed(samples: int, card: dict[str, Any] | None = None) -> ModelProto:
    """Return a model of waves whose state is the past: what comes out is late by some samples, and says so."""
    text = f"""m ({FREE} x, float[batch,channels,{samples}] past) => ({FREE} y, float[batch,channels,{samples}] next) {{
        all = Concat <axis = 2> (past, x)
        zero = Constant <value_ints = [0]> ()
        end = Constant <value_ints = [-{samples}]> ()
        far = Constant <value_ints = [9223372036854775807]> ()
        axis = Constant <value_ints = [2]> ()
        y = Slice(all, zero, end, axis)
        next = Slice(all, end, far, axis)
    }}"""
    return model(text, {**WAVES, "latency": samples, "states": (("past", "next"),), **(card or {})})


def constant(mixing: ArrayLike, card: dict[str, Any]) -> ModelProto:
    """Return a model of kind `matrix` that has only one answer."""
    rows = np.asarray(mixing, np.float32)
    numbers = ", ".join(f"{value:.9f}" for value in rows.ravel())
    mics, frames = len(rows), card["frames"]
    return model(f"""m (float[1,{mics},{frames}] x) => (float[1,{mics},{mics}] y) {{
        shape = Constant <value_ints = [1, {mics}, {mics}]> ()
        all = Constant <value_floats = [{numbers}]> ()
        y = Reshape(all, shape)
    }}""", {**card, "channels": mics})


def shared(card: dict[str, Any], kept: int = 0) -> ModelProto:
    """Return a model that gives each of its sources an equal share of what it gets; without sources, all of it.

    Parameters
    ----------
    card : dict
    kept : int
        Of kind `wave`: samples in the middle that it returns, as networks without padding do; 0: all.
    """
    sources, frames = len(card["sources"]), card["frames"] or "frames"
    if card["kind"] == "magnitude":
        ends = f"batch,{card['channels'] or 'channels'},{frames},{card['window'] // 2 + 1}"
        if not sources:
            return gain(1.0, f"float[{ends}]", card)
        body, out = "axis = Constant <value_ints = [1]> () one = Unsqueeze(share, axis)", f"batch,{sources},{ends[6:]}"
    else:
        ends = f"batch,{card['channels'] or 'channels'},{frames}"
        out = f"batch,{sources or card['channels']},{kept or frames}"
        first = ((card["frames"] or 0) - kept) // 2
        body = "one = Identity(share)" if not kept else f"""from = Constant <value_ints = [{first}]> ()
            to = Constant <value_ints = [{first + kept}]> () axis = Constant <value_ints = [2]> ()
            one = Slice(share, from, to, axis)"""
    return model(f"""m (float[{ends}] x) => (float[{out}] y) {{
        k = Constant <value_float = {1 / max(1, sources)}> ()
        share = Mul(x, k) {body}
        y = Concat <axis = 1> ({', '.join(['one'] * max(1, sources))})
    }}""", card)


_STEMS = ("vocals", "drums", "bass", "other")
_BLEED = {**WAVES, "rate": 22050, "channels": 4, "frames": 220448, "look_ahead": None}
_MIX = {**MAGNITUDES, "rate": 44100, "look_ahead": None, "sources": _STEMS[:1]}

SHAPES: dict[str, dict[str, Any]] = {
    "cae": {**MAGNITUDES, "rate": 22050, "window": 2048, "hop": 512, "channels": 0, "frames": 3},
    "t-unet": {**GAINS, "rate": 22050, "channels": 4, "frames": 220500, "look_ahead": 0},
    "f-unet": _BLEED, "df-unet": _BLEED, "df-unet-gat": _BLEED,
    "mdensenet": {**_MIX, "window": 2048, "hop": 1024, "multiple": 8},
    "mmdensenet": {**_MIX, "window": 2048, "hop": 1024, "multiple": 8},
    "wavenet": {**WAVES, "rate": 16000, "channels": 1, "frames": 9785, "look_ahead": None, "sources": _STEMS[:3]},
    "deepconvsep": {**_MIX, "window": 1024, "hop": 512, "frames": 30, "look_ahead": 0, "sources": _STEMS},
    "wave-u-net": {**WAVES, "rate": 22050, "channels": 1, "frames": 147443, "look_ahead": None, "sources": _STEMS},
    "mask-inference": {**_MIX, "window": 512, "hop": 128, "taper": "sqrt-hann"},
    "open-unmix": {**_MIX, "window": 4096, "hop": 1024},
}
"""What the networks of the sources take and return, as published (SYSTEMS.md 1.8 to 1.11, 5.1 to 5.6)."""

_KEPT = {"wavenet": 1601, "wave-u-net": 16389}


def shaped(name: str) -> ModelProto:
    """Return a model with a system's inputs and outputs that only passes on, or tells gains of a tenth."""
    card = {**SHAPES[name], "system": name}
    if card["kind"] == "matrix":
        return constant(np.full((4, 4), 0.1) + 0.9 * np.eye(4), card)
    return shared(card, _KEPT.get(name, 0))


def save(made: ModelProto, path: Path) -> str:
    """Write a model; returns its path."""
    onnx.save(made, str(path))
    return str(path)
