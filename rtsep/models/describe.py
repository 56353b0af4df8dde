"""What a user is told of a model file."""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Any

from rtsep.models.card import MAGNITUDE, MATRIX, STEP, WAVE, Card
from rtsep.models.file import INSTALL, ModelFile, listed, shown
from rtsep.models.session import CPU, Session

_WHAT = {
    MAGNITUDE: "magnitudes of spectra in and out, the phase stays the mic's", WAVE: "samples in and out",
    MATRIX: "samples in, gains from sources into mics out", STEP: "one step of rtsep's own post-filter",
}
_ANY_CHANNELS = 2      # that a model of any number of mics is tried with
_ANY_SECONDS = 0.25    # of sound that a model of any length is tried with


def summary(model: ModelFile) -> dict[str, Any]:
    """Return the card, and what the file itself shows, for JSON."""
    card = model.card
    return {
        "path": model.path, **{f.name: getattr(card, f.name) for f in dataclasses.fields(card)},
        "figures": dict(card.figures), "inputs": {n: list(s) for n, s in model.inputs.items()},
        "outputs": {n: list(s) for n, s in model.outputs.items()}, "parameters": model.parameters, "bytes": model.size,
    }


def lines(model: ModelFile) -> list[str]:
    """Return the same as lines."""
    card = model.card
    spectrum = f", window {card.window}, hop {card.hop} ({card.taper})" if card.window else ""
    own = {name for pair in card.states for name in pair}
    ends = "; ".join(
        f"{side} " + ", ".join(f"{name}{shown(shape)}" for name, shape in found.items() if name not in own)
        for side, found in (("in", model.inputs), ("out", model.outputs))
    )
    sources = f"{len(card.sources)} source{'s' * (len(card.sources) != 1)}: {', '.join(card.sources)}"
    told = [
        f"{model.path}: model {card.system} is good: {card.kind}, {card.rate} Hz{spectrum}",
        f"  it is: {_WHAT[card.kind]}; "
        + (sources if card.sources else "one output for each mic"),
        f"  {ends}", f"  {late(card)}; states: {listed(name for name, _ in card.states)}",
        f"  {model.parameters} weights, {model.size / 1e6:.2f} MB; licence {card.licence or 'not said'}; "
        f"source {card.source or 'not said'}",
    ]
    if card.data or card.steps:
        told.append(f"  trained on {card.data or '?'}: {card.steps} steps, seed {card.seed}, "
                    f"rtsep {card.commit or '?'}")
    if card.figures:
        told.append("  reached: " + ", ".join(f"{name} {value:g}" for name, value in card.figures.items()))
    return told


def late(card: Card) -> str:
    """Return how late it is, and how far it looks ahead."""
    if card.look_ahead is None:
        return "not causal: for recordings, not for the stream"
    total = card.latency + card.look_ahead
    return f"latency {card.latency} samples, look-ahead {card.look_ahead}: {1000 * total / card.rate:.1f} ms by itself"


def tried(model: ModelFile) -> str:
    """Run the model once on silence on the CPU and return what is to be said of it.

    Raises
    ------
    InputError
        If it cannot run, or returns something else than its card says.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        return f"  not tried: onnxruntime is not installed: {INSTALL}"
    if model.card.kind == STEP:
        Session(model, CPU)
        return "  it loads on the CPU; only its own stage can run it"
    y = Session(model, CPU).bind(model.card.channels or _ANY_CHANNELS, some_frames(model.card)).y
    return f"  it runs on the CPU: y {shown(y.shape)} from silence"


def some_frames(card: Card, seconds: float = _ANY_SECONDS) -> int:
    """Return the frames of a call: the card's, or about some seconds."""
    if card.frames:
        return card.frames
    wanted = seconds * card.rate / (card.hop or 1)
    return max(1, round(wanted / card.multiple)) * card.multiple
