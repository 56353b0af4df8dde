"""Small ONNX models with cards, for the tests of what runs models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
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


def save(made: ModelProto, path: Path) -> str:
    """Write a model; returns its path."""
    onnx.save(made, str(path))
    return str(path)
