"""Model files of strangers: read, looked through and refused before anything runs them.

What runs is not the file but what was looked through, written anew: without fields that `onnx` does not know, and
without metadata but the card's (onnxruntime can take options from them).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtsep.errors import InputError
from rtsep.models.card import MAGNITUDE, MATRIX, PREFIX, WAVE, Card, from_metadata

if TYPE_CHECKING:
    from onnx import ModelProto

INSTALL = "pip install 'rtsep[cpu]'"
"""What brings all that runs models."""

MOST_BYTES = 512 << 20
"""Of a file: thrice the largest network of the sources, the CAE's 158 MB."""

_ALLOWED = "allowed are files that `rtsep export` wrote"
_MOST_NAME, _MOST_NAMES = 40, 8   # characters, and how many, that a message shows of a stranger's names

DOMAINS = ("", "ai.onnx")
"""Of operators: the standard's own, of which none reads or writes a file. Others may: `com.microsoft` does."""

Shape = tuple[int | str, ...]
"""Of an input or output: sizes, or names of sizes that are free."""


@dataclass(frozen=True)
class ModelFile:
    """A model that has been looked through.

    Parameters
    ----------
    path : str
    card : Card
    content : bytes
        What may be run.
    inputs, outputs : mapping of str to Shape
        In order: `x` or `y`, then the states.
    parameters : int
        Numbers in its weights.
    size : int
        Of the file, bytes.
    """

    path: str
    card: Card
    content: bytes
    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]
    parameters: int
    size: int


def open_model(path: str | Path) -> ModelFile:
    """Read a model file.

    Raises
    ------
    InputError
        If it cannot be read, is none, is too large, holds what may touch other files, lacks a card, or its inputs and
        outputs are not what the card says.
    """
    place = str(path)
    if importlib.util.find_spec("onnx") is None:
        raise InputError(place, "models need onnx, which is not installed", INSTALL)
    content = _read(Path(path), place)
    model = _parse(content, place)
    if not model.HasField("graph") or not model.graph.node:
        raise InputError(place, "is no ONNX model", _ALLOWED)
    _refuse_strange(model, place)
    card = from_metadata({entry.key: entry.value for entry in model.metadata_props}, place)
    kept = {entry.key: entry.value for entry in model.metadata_props if entry.key.startswith(PREFIX)}
    del model.metadata_props[:]
    for key, value in kept.items():
        model.metadata_props.add(key=key, value=value)
    inputs, outputs = _ends(model, place)
    check_ends(card, inputs, outputs, place)
    parameters = sum(_count(tensor.dims) for tensor in model.graph.initializer)
    return ModelFile(place, card, model.SerializeToString(), inputs, outputs, parameters, len(content))


def _read(path: Path, place: str) -> bytes:
    try:
        if not path.is_file():
            problem = "is no file" if path.exists() else "there is no such file"
            raise InputError(place, problem, "allowed is an ONNX model")
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise InputError(place, f"holds {size / 1e6:.0f} MB", f"allowed are models up to {MOST_BYTES / 1e6:.0f} MB")
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)[:MOST_BYTES]
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(place, f"cannot be read ({error})") from None


def _parse(content: bytes, place: str) -> ModelProto:
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    model = ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, RuntimeError, ValueError):
        raise InputError(place, "is no ONNX model, or a damaged one", _ALLOWED) from None
    # What `onnx` does not know cannot be looked through, so nobody else shall read it either.
    model.DiscardUnknownFields()
    return model


def _refuse_strange(model: ModelProto, place: str) -> None:
    """Refuse whatever may touch other files, or grow without bounds."""
    from onnx import NodeProto, TensorProto

    if model.functions:   # they may be nested so that a small file becomes an enormous graph
        raise InputError(place, "holds functions of its own", "allowed is a graph of standard operators alone")
    if model.training_info:
        raise InputError(place, "holds a training graph", "allowed is a graph for inference alone")
    for entry in model.opset_import:
        if entry.domain not in DOMAINS:
            raise InputError(place, f"uses operators of {entry.domain!r}", "allowed are ONNX's own")
    for found in messages(model):
        if any(isinstance(value, bytes) for entry, value in found.ListFields() if entry.type == entry.TYPE_STRING):
            raise InputError(place, "is a damaged ONNX model: a name is no text")
        if isinstance(found, TensorProto) and (found.data_location == TensorProto.EXTERNAL or found.external_data):
            raise InputError(place, f"keeps {found.name or 'a constant'!r} in another file",
                             "allowed are models in one file")
        if isinstance(found, NodeProto) and found.domain not in DOMAINS:
            raise InputError(place, f"uses {found.op_type!r} of {found.domain!r}", "allowed are ONNX's own operators")


def messages(root: Any) -> Iterator[Any]:
    """Yield a protobuf message and all within it, whatever they are and however deep: nothing is known by name."""
    left = [root]
    while left:
        message = left.pop()
        yield message
        for entry, value in message.ListFields():
            if entry.type == entry.TYPE_MESSAGE:
                left.extend(value if entry.is_repeated else [value])


def _ends(model: ModelProto, place: str) -> tuple[dict[str, Shape], dict[str, Shape]]:
    from onnx import TensorProto

    constants = {tensor.name for tensor in model.graph.initializer}
    found = []
    for ends in (model.graph.input, model.graph.output):
        shapes: dict[str, Shape] = {}
        for end in ends:
            kind = end.type.tensor_type
            if end.name in constants and ends is model.graph.input:
                continue   # a constant with a default, as old files have them
            if kind.elem_type != TensorProto.FLOAT or not kind.HasField("shape"):
                raise InputError(place, f"{end.name!r} is no tensor of float32 with a shape", "see `rtsep export`")
            shapes[end.name] = tuple(
                int(size.dim_value) if size.HasField("dim_value") else size.dim_param for size in kind.shape.dim
            )
        found.append(shapes)
    return found[0], found[1]


def check_ends(card: Card, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape], place: str) -> None:
    """Refuse inputs and outputs that are not what the card says.

    Raises
    ------
    InputError
        Naming what is wrong, and what the card says.
    """
    for side, ends, first in (("inputs", inputs, "x"), ("outputs", outputs, "y")):
        own = [pair[side == "outputs"] for pair in card.states]
        wanted = [first, *own] if card.kind != "step" else own
        missing = [name for name in wanted if name not in ends]
        extra = [name for name in ends if name not in wanted and card.kind != "step"]
        if missing or extra or (card.kind != "step" and next(iter(ends)) != first):
            raise InputError(place, f"its {side} are {listed(ends)}", f"allowed are {', '.join(wanted)}")
    free = {size for size in inputs.get("x", ()) if isinstance(size, str)}
    for entering, leaving in card.states:
        for name, shape in ((entering, inputs[entering]), (leaving, outputs[leaving])):
            if any(isinstance(size, str) and size not in free for size in shape) and card.kind != "step":
                raise InputError(place, f"state {name!r} has shape {shown(shape)}", "allowed are sizes that x has")
        if len(inputs[entering]) != len(outputs[leaving]):
            raise InputError(place, f"state {entering!r} comes back as another shape", "allowed is one shape")
    if card.kind != "step":
        _check_shape(place, "x", inputs["x"], wanted_input(card))
        _check_shape(place, "y", outputs["y"], wanted_output(card))


def wanted_input(card: Card) -> Shape:
    """Return the shape of `x` that a card promises."""
    channels, frames = card.channels or "channels", card.frames or "frames"
    if card.kind == MAGNITUDE:
        return ("batch", channels, frames, card.bins)
    return ("batch", channels, frames) if card.kind == WAVE else (1, channels, frames)


def wanted_output(card: Card) -> Shape:
    """Return the shape of `y` that a card promises; a model of waves may return fewer frames than it takes."""
    channels, sources = card.channels or "channels", len(card.sources)
    if card.kind == MAGNITUDE:
        return ("batch", *([sources] if sources else []), channels, card.frames or "frames", card.bins)
    if card.kind == MATRIX:
        return (1, channels, channels)
    return ("batch", sources or channels, "frames")


def _check_shape(place: str, name: str, shape: Shape, wanted: Shape) -> None:
    good = len(shape) == len(wanted) and all(
        isinstance(a, str) or (isinstance(b, str) and a > 0) or a == b for a, b in zip(shape, wanted, strict=True)
    )
    if not good:
        raise InputError(place, f"{name} has shape {shown(shape)}", f"its card allows {shown(wanted)}")


def shown(shape: Shape) -> str:
    """Return a shape as people read it."""
    names = [str(size) for size in shape]
    return "[" + ", ".join(name if name.isprintable() and 0 < len(name) < _MOST_NAME else "?" for name in names) + "]"


def listed(names: Iterable[str]) -> str:
    """Return names of a stranger as they can be shown in one line."""
    shown_names = [name if name.isprintable() and len(name) < _MOST_NAME else repr(name)[:_MOST_NAME] for name in names]
    return ", ".join(shown_names[:_MOST_NAMES]) + ("…" if len(shown_names) > _MOST_NAMES else "") or "none"


def _count(dims: Any) -> int:
    product = 1
    for size in dims:
        product *= size
    return product
