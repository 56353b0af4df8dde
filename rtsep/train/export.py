"""From a training's weights to an ONNX file that says of itself what it is, checked in all that it says."""

from __future__ import annotations

import dataclasses
import io
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rtsep.atomic import check_writable, replacing
from rtsep.errors import InputError
from rtsep.models.card import LEVEL, MAGNITUDE, MATRIX, STEP, WAVE, Card, metadata
from rtsep.train import checkpoint
from rtsep.train.networks.network import Network, Past
from rtsep.train.recipe import RECIPES, Recipe

Array = NDArray[np.float32]

PARITY = 1e-4
"""Largest difference between torch, ONNX and ONNX in a stream, of the largest output."""

CAUSALITY = 1e-6
"""Largest difference that the future may make, of the largest output: sums over blocks of other lengths round."""

_OPSET = 18
_DRAWS = 4                 # of noise: what a maximum does not choose does not tell
_LOUDER = 8.0              # is the changed future, so that the larger of two is one of it
_BLOCKS = 6                # of a stream that is compared with the whole
# Frames or samples in a block, where a network's own step would be too few to compare.
_LEAST = {MAGNITUDE: 16, WAVE: 64, MATRIX: 1}
_STEPS, _MICS = 20, (2, 8, 9)   # of a stream of steps; as many as are usual, and one more
_PASSAGE_S = 1.0           # at least, that comes out of a network without padding


class Deployable(nn.Module):
    """What a file is made of: called with x and states it returns y and the new states; without states it begins.

    Parameters
    ----------
    card : Card
    """

    def __init__(self, card: Card) -> None:
        super().__init__()
        self.card = card

    def zeros(self, x: Tensor) -> list[Tensor]:
        """Return the states before the first call."""
        if not self.card.states:   # a call of a second of sound takes a network of waves ten
            return []
        with torch.no_grad():
            return [torch.zeros_like(state) for state in self(x)[1:]]


class Deployed(Deployable):
    """A network as its file has it: states are inputs and outputs. One without padding returns fewer than it takes.

    Parameters
    ----------
    network : Network
    card : Card
    """

    def __init__(self, network: Network, card: Card) -> None:
        super().__init__(card)
        self.network = network

    def forward(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Return y and the new states."""
        past = Past(states)
        y = self.network(x, past)
        if self.card.kind == MAGNITUDE:
            y = torch.relu(y)   # a magnitude below zero is none
            y = y[:, None] if self.card.sources and y.ndim == 4 else y
        return (y, *past.kept)


def export(
    folder: Path, path: Path, licence: str = "", look_ahead: int | None = None
) -> Card:
    """Write a training's best weights as an ONNX file with its card.

    Parameters
    ----------
    folder : Path
        Of `rtsep train`.
    path : Path
        FILE.onnx
    licence : str
        Of the weights.
    look_ahead : int, optional
        Samples that the file declares, in place of what the network says.

    Raises
    ------
    InputError
        If the model looks further ahead than it declares, the ONNX file computes something else, or a file cannot be
        read or written.
    """
    run = checkpoint.read_run(folder)
    recipe = RECIPES.get(str(run.get("system")))
    if recipe is None:
        raise InputError(str(folder), f"holds a {run.get('system')}", "known: " + ", ".join(RECIPES))
    network = rebuild(recipe, run)
    try:
        network.load_state_dict(checkpoint.read_weights(folder))
    except RuntimeError:
        raise InputError(str(folder), "its weights are of another network than its run.json") from None
    card = card_of(recipe, network, run, licence)
    if look_ahead is not None:
        card = dataclasses.replace(card, look_ahead=look_ahead)
    write(Deployed(network, card).eval(), path)
    return card


def rebuild(recipe: Recipe, run: Mapping[str, Any]) -> Network:
    """Return the network that a training's `run.json` tells, without its weights."""
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in run["options"].items()}
    return recipe.build(bool(run["causal"]), max(len(run["sources"]), 2), int(run["mics"]), int(run["frames"]),
                        **options)


def card_of(recipe: Recipe, network: Network, run: Mapping[str, Any], licence: str = "") -> Card:
    """Return what a network's file says of itself."""
    frames = (int(run["frames"]) or recipe.call) if recipe.call else 0
    if any(network.context):
        around = sum(network.context)   # what a passage costs beyond itself: at most twice as much
        frames = network.fit(around + max(round(_PASSAGE_S * recipe.rate), around // 2))
    each = recipe.task in ("mics", "gains")
    channels = int(run["mics"]) if each else 0 if network.any_channels else 1
    ahead = None if network.look_ahead is None else network.look_ahead * (recipe.hop or 1)
    return Card(
        system=recipe.name, kind=recipe.kind, rate=recipe.rate, window=recipe.window, hop=recipe.hop,
        channels=channels, sources=tuple(run["sources"]), frames=frames,
        multiple=1 if frames else network.multiple, look_ahead=ahead, latency=0,
        states=_state_names(network, channels, recipe, frames), taper=recipe.taper, licence=licence,
        source=recipe.source, data=str(run["data"]), steps=int(run["done"]), seed=int(run["seed"]),
        commit=str(run.get("commit", "")), figures=run["figures"],
    )


def write(model: Deployable, path: Path) -> None:
    """Check a model in all that its card says, and write it.

    Raises
    ------
    InputError
        If it looks further ahead than its card says, ONNX computes something else, or the file cannot be written.
    """
    check_writable(path)
    torch.set_num_threads(1)
    check_causal(model, str(path))
    data = to_onnx(model)
    check_parity(model, data, str(path))
    with replacing(path) as file:
        file.write(data)


def check_causal(model: Deployable, place: str) -> None:
    """Change the future, and refuse a model whose results before it change.

    Raises
    ------
    InputError
    """
    card = model.card
    # Offline; used for what comes after; shown one step at a time.
    if card.look_ahead is None or card.kind in (MATRIX, STEP):
        return
    ahead = card.look_ahead // (card.hop or 1)
    if card.frames and card.kind == MAGNITUDE:   # hosts take the frame that has as much after it as the card says
        if ahead >= card.frames:
            raise InputError(place, f"declares to look {ahead} frames ahead", f"a call has {card.frames}")
        return
    frames = card.frames or card.multiple * -(-(2 * ahead + 2 * _LEAST[card.kind]) // card.multiple)
    block = card.multiple * (frames // 2 // card.multiple)
    # From a block's first sample on, its last alone, and as many as may not change the block's first.
    for turn in sorted({block, block + card.multiple - 1, block + (ahead + 1) % card.multiple}):
        for seed in range(_DRAWS):
            further = _looks_ahead(model, frames, turn, seed)
            if further > ahead:
                seen = f"looks {further * (card.hop or 1)} or more"
                problem = f"is not causal: declares to look {card.look_ahead} samples ahead, and {seen}"
                raise InputError(place, problem, "train with --causal, or leave it offline")


def _looks_ahead(model: Deployable, frames: int, turn: int, seed: int) -> int:
    """Return from how far back a change of everything from `turn` on is seen."""
    x = _noise(model, frames, seed)
    other = x.clone()
    other[:, :, turn:] = _LOUDER * torch.flip(x[:, :, turn:], (2,))
    axis = -2 if model.card.kind == MAGNITUDE else -1
    with torch.no_grad():
        one, two = model(x)[0], model(other)[0]
    moved = (one - two).abs().movedim(axis, 0).flatten(1).amax(1) > CAUSALITY * float(one.abs().max())
    # Of what a network takes and does not return, hosts put as much after its results as it says to look ahead.
    shorter = x.shape[2] - one.shape[axis]
    before = shorter - min(shorter, model.card.look_ahead or 0)
    return turn - before - int(moved.nonzero()[0]) if moved.any() else 0


def to_onnx(model: Deployable) -> bytes:
    """Return the ONNX file, card and all."""
    import onnx

    card = model.card
    x = _noise(model, _block(card))
    states = model.zeros(x)
    entering, leaving = [a for a, _ in card.states], [b for _, b in card.states]
    found, sizes = _axes(model)
    axes = dict(zip(["x", *entering, "y", *leaving], found, strict=True))
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter that torch prefers unrolls an LSTM, ties the file to one length, and takes ten times longer.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (x, *states), file, dynamo=False, opset_version=_OPSET, input_names=["x", *entering],
            output_names=["y", *leaving], dynamic_axes=axes,
        )
    proto = onnx.load_from_string(file.getvalue())
    for value, size in zip(proto.graph.output, sizes, strict=True):   # which the exporter only half knows
        value.type.tensor_type.shape.Clear()
        for axis, length in enumerate(size):
            name = axes[value.name].get(axis)
            value.type.tensor_type.shape.dim.add(**({"dim_param": name} if name else {"dim_value": length}))
    for key, value in metadata(card).items():
        proto.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(proto)
    return proto.SerializeToString()


def check_parity(model: Deployable, data: bytes, place: str) -> None:
    """Compare torch with ONNX, and where the model is causal with ONNX block by block, or step by step.

    Raises
    ------
    InputError
        If they differ by more than `PARITY`.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        for how, other, y in (_steps if model.card.kind == STEP else _passages)(model, session):
            error = float(np.abs(other - y).max()) if other.shape == y.shape else float("inf")
            if not error <= PARITY * max(1.0, float(np.abs(y).max())):
                raise InputError(place, f"ONNX {how} differs from torch by {error:.2g}", f"allowed is {PARITY:g}")


def _passages(model: Deployable, session: Any) -> Iterator[tuple[str, Array, Array]]:
    """Yield how ONNX was called, what it returned, and what torch does; in one call, and in the blocks of a stream."""
    card = model.card
    block = _block(card)
    x = _noise(model, block if card.frames else block * _BLOCKS)
    states = [state.numpy() for state in model.zeros(x)]
    y = model(x)[0].numpy()
    yield "offline", _call(session, card, x.numpy(), states)[0], y
    if card.look_ahead is not None and not card.frames and card.kind != MATRIX:
        found = []
        for part in np.split(x.numpy(), _BLOCKS, axis=2):
            one, *states = _call(session, card, part, states)
            found.append(one)
        yield "in a stream", np.concatenate(found, axis=-2 if card.kind == MAGNITUDE else -1), y


def _steps(model: Deployable, session: Any) -> Iterator[tuple[str, Array, Array]]:
    """As `_passages`, both step by step, each with its own states; for several numbers of mics."""
    for mics in _MICS:
        known = model.zeros(_noise(model, 0, channels=mics))
        states = [state.numpy() for state in known]
        for seed in range(_STEPS):
            x = _noise(model, 0, seed, mics)
            y, *known = model(x, *known)
            found, *states = _call(session, model.card, x.numpy(), states)
            yield f"in step {seed + 1}", found, y.numpy()


def _call(session: Any, card: Card, x: Any, states: list[Any]) -> list[Any]:
    given = dict(zip((name for name, _ in card.states), states, strict=True))
    found: list[Any] = session.run(["y", *(name for _, name in card.states)], {"x": x, **given})
    return found


def _block(card: Card) -> int:
    """Return the frames of a call, or of a block of a stream: no block is the same as another network's step."""
    return card.frames or card.multiple * max(1, _LEAST[card.kind] // card.multiple)


def _shape(card: Card, batch: int, channels: int, frames: int) -> tuple[int, ...]:
    bins = (card.window // 2 + 1,) if card.kind == MAGNITUDE else ()
    return (batch, card.channels or channels, card.frames or frames, *bins)


def _noise(model: Deployable, frames: int, seed: int = 1, channels: int = 2) -> Tensor:
    """Return an input at the level of the material; magnitudes as a spectrum of it has them; what a step sees is 1."""
    card = model.card
    batch = 1 if card.states or card.kind == MATRIX else 2
    x = torch.randn(_shape(card, batch, channels, frames), generator=torch.Generator().manual_seed(seed))
    if card.kind == STEP:
        return x
    x *= LEVEL
    return x.abs() * card.window**0.5 if card.kind == MAGNITUDE else x


def _axes(model: Deployable) -> tuple[list[dict[int, str]], list[tuple[int, ...]]]:
    """Name the axes of inputs and outputs whose length is free: those that change when one of the input's does.

    Returns
    -------
    axes : list of dict
        Of x, the states, y, and the new states.
    sizes : list of tuple
        Of y and the new states.
    """
    card = model.card
    free = {2: "frames"} if not card.frames else {}
    if not card.channels:
        free[1] = "channels"
    if not card.states and card.kind != MATRIX:   # what is remembered is of one stream
        free[0] = "batch"
    base = [1, 3, _block(card)]   # no more than it takes: a second of sound takes a network of waves seconds
    before = _sizes(model, base)
    found: list[dict[int, str]] = [dict(free), *({} for _ in before)]
    for axis, name in free.items():
        other = list(base)
        other[axis] += card.multiple if axis == 2 else 1
        for named, was, now in zip(found[1:], before, _sizes(model, other), strict=True):
            named.update({n: name for n, (a, b) in enumerate(zip(was, now, strict=True)) if a != b})
    y, *states = found[1:]
    return [found[0], *states, y, *states], before


def _sizes(model: Deployable, sizes: list[int]) -> list[tuple[int, ...]]:
    with torch.no_grad():
        return [tuple(out.shape) for out in model(torch.zeros(_shape(model.card, *sizes)))]


def _state_names(network: Network, channels: int, recipe: Recipe, frames: int) -> tuple[tuple[str, str], ...]:
    """Count what the network remembers in one call."""
    if network.look_ahead is None or frames or recipe.kind not in (MAGNITUDE, WAVE):
        return ()
    bins = (recipe.window // 2 + 1,) if recipe.window else ()
    past = Past()
    with torch.no_grad():
        network.eval()(torch.zeros(1, channels or 1, network.multiple, *bins), past)
    return tuple((f"state{n}", f"new{n}") for n in range(len(past.kept)))
