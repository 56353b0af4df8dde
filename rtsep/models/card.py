"""Card: what a model file says of itself, as JSON in the metadata of the ONNX file, one key `rtsep.FIELD` for each."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rtsep.errors import InputError

MAGNITUDE, WAVE, MATRIX, STEP = "magnitude", "wave", "matrix", "step"
KINDS = (MAGNITUDE, WAVE, MATRIX, STEP)
TAPERS = ("hann", "sqrt-hann")

PREFIX = "rtsep."
"""Of the keys in the file's metadata."""

LEVEL = 0.1
"""RMS of all mics together that models are trained with, full scale 1; whoever runs one brings its input there."""

_LONGEST = 1 << 26        # samples or frames of one call: 25 minutes at 44.1 kHz; larger numbers are a damaged card
_RATES = 1000, 384_000    # Hz
_MOST_TEXT = 1 << 16      # characters of one field


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a model file says of itself.

    Parameters
    ----------
    system : str
        Name in the catalogue: `cae`, `t-unet` …; `custom`: none of them.
    kind : str
        What goes in and comes out, float32; the first input is `x`, the first output `y`, then come the states.
        `magnitude`: x[batch, channels, frames, bins] → y[batch, sources (if any are named), channels, frames, bins],
        magnitudes of spectra; the phase stays the mic's.
        `wave`: x[batch, channels, frames] → y[batch, sources or channels, frames], samples.
        `matrix`: x[1, mics, frames] → y[1, mics, mics], the gains by which sources arrive in mics.
        `step`: one step of a stream with explicit states, laid out by its author.
    rate : int
        Hz.
    window, hop : int
        Of the spectrum, samples; 0 where there is none (kinds `wave` and `matrix`).
    channels : int
        Of one call; 0: any number.
    sources : tuple of str
        What comes out; empty: one output for each channel.
    frames : int
        Of one call, frames of a spectrum or samples; 0: any number, a multiple of `multiple`.
    multiple : int
        See `frames`.
    look_ahead : int, optional
        Samples beyond its own by which a result sees the future; None: not causal, offline only.
    latency : int
        Samples by which what comes out is late by itself.
    states : tuple of (str, str)
        Inputs and outputs that carry the state from call to call; zeros first.
    taper : str
        Window of the spectrum: `hann`, or `sqrt-hann`.
    licence : str
        SPDX name of the weights' licence.
    source : str
        Where the architecture was published, a DOI.
    data : str
        What it was trained on.
    steps, seed : int
        Of the training.
    commit : str
        Of rtsep that trained it.
    figures : mapping of str to float
        What it reached.
    """

    system: str
    kind: str
    rate: int
    window: int
    hop: int
    channels: int
    sources: tuple[str, ...]
    frames: int
    multiple: int = 1
    look_ahead: int | None
    latency: int
    states: tuple[tuple[str, str], ...] = ()
    taper: str = "hann"
    licence: str = ""
    source: str = ""
    data: str = ""
    steps: int = 0
    seed: int = 0
    commit: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def bins(self) -> int:
        """Of a spectrum; 0 where there is none."""
        return self.window // 2 + 1 if self.window else 0


REQUIRED = tuple(
    f.name for f in dataclasses.fields(Card)
    if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
)  # fmt: skip
"""Fields without which no card is taken."""


def metadata(card: Card) -> dict[str, str]:
    """Return what is written into the file's metadata.

    Raises
    ------
    InputError
        If the card would not be taken back.
    """
    check(card, "card")
    return {PREFIX + f.name: json.dumps(_plain(getattr(card, f.name))) for f in dataclasses.fields(Card)}


def from_metadata(found: Mapping[str, str], place: str) -> Card:
    """Return the card that a file's metadata hold; keys that are not of a card are ignored.

    Parameters
    ----------
    found : mapping of str to str
    place : str
        The file, for errors.

    Raises
    ------
    InputError
        If fields are missing or wrong: which, and what would be right.
    """
    missing = [PREFIX + name for name in REQUIRED if PREFIX + name not in found]
    if missing:
        allowed = "allowed are models that `rtsep export` wrote"
        raise InputError(place, f"its metadata lack {', '.join(missing)}", allowed)
    values: dict[str, Any] = {}
    for entry in dataclasses.fields(Card):
        text = found.get(PREFIX + entry.name)
        if text is not None:
            values[entry.name] = _taken(entry.name, text, place)
    card = Card(**values)
    check(card, place)
    return card


def check(card: Card, place: str) -> None:
    """Refuse a card whose fields have a wrong type or contradict each other.

    Raises
    ------
    InputError
        Naming the field and what is allowed.
    """
    for name, kind in _TYPES.items():
        value = getattr(card, name)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            _refuse(place, name, value, _ALLOWED_TYPES[kind])
        if isinstance(value, str) and len(value) > _MOST_TEXT:
            _refuse(place, name, f"{len(value)} characters", f"at most {_MOST_TEXT} characters")
        if isinstance(value, str) and not value.isprintable():   # it is shown on terminals
            _refuse(place, name, value, "one line of text")
    _check_names(card, place)
    _within(card, place, "rate", *_RATES)
    for name in ("channels", "frames", "latency", "steps", "seed"):
        _within(card, place, name, 0, _LONGEST if name not in ("steps", "seed") else 1 << 63)
    _within(card, place, "multiple", 1, _LONGEST)
    if card.look_ahead is not None:
        if not isinstance(card.look_ahead, int) or isinstance(card.look_ahead, bool):
            _refuse(place, "look_ahead", card.look_ahead, "a whole number, or null: not causal")
        _within(card, place, "look_ahead", 0, _LONGEST)
    spectral = card.kind == MAGNITUDE or (card.kind == STEP and card.window)
    if spectral:
        _within(card, place, "window", 16, 1 << 20)
        _within(card, place, "hop", 1, card.window)
        if card.window % 2:
            _refuse(place, "window", card.window, "an even number")
        if card.window % card.hop or card.window < 2 * card.hop:
            _refuse(place, "hop", card.hop, f"half, a third, a quarter … of the window, {card.window}")
    elif card.window or card.hop:
        _refuse(place, "window" if card.window else "hop", card.window or card.hop, f"0 for kind {card.kind}")


def _check_names(card: Card, place: str) -> None:
    if card.kind not in KINDS:
        _refuse(place, "kind", card.kind, ", ".join(KINDS))
    if card.taper not in TAPERS:
        _refuse(place, "taper", card.taper, ", ".join(TAPERS))
    if not card.system:
        _refuse(place, "system", card.system, "a system's name, or custom")
    if not all(_named(name) for name in card.sources) or len(set(card.sources)) < len(card.sources):
        _refuse(place, "sources", list(card.sources), "names, no two alike")
    pairs = card.states
    if not all(isinstance(p, tuple) and len(p) == 2 and all(map(_named, p)) for p in pairs):
        _refuse(place, "states", pairs, "pairs of an input's and an output's name")
    for side in (0, 1):
        if len({p[side] for p in pairs}) < len(pairs):
            _refuse(place, "states", pairs, "pairs of names, no two alike")
    for name, value in card.figures.items():
        if not _named(name) or isinstance(value, bool) or not isinstance(value, int | float) \
                or not math.isfinite(value):
            _refuse(place, "figures", {name: value}, "names with finite numbers")


def _named(name: object) -> bool:
    return isinstance(name, str) and name != "" and name.isprintable()


def _within(card: Card, place: str, name: str, low: int, high: int) -> None:
    value = getattr(card, name)
    if not low <= value <= high:
        _refuse(place, name, value, f"{low} to {high}")


def _refuse(place: str, name: str, value: object, allowed: str) -> None:
    shown = repr(value)
    if len(shown) > 80:
        shown = shown[:77] + "..."
    raise InputError(place, f"{PREFIX}{name} is {shown}", f"allowed is {allowed}")


def _taken(name: str, text: str, place: str) -> Any:
    if len(text) > _MOST_TEXT:
        _refuse(place, name, f"{len(text)} characters", f"at most {_MOST_TEXT} characters")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        _refuse(place, name, text, "JSON")
    if name == "sources" and isinstance(value, list):
        return tuple(value)
    if name == "states" and isinstance(value, list):
        return tuple(tuple(pair) if isinstance(pair, list) else pair for pair in value)
    return value


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


_TYPES: dict[str, type] = {
    "system": str, "kind": str, "rate": int, "window": int, "hop": int, "channels": int, "sources": tuple,
    "frames": int, "multiple": int, "latency": int, "states": tuple, "taper": str, "licence": str, "source": str,
    "data": str, "steps": int, "seed": int, "commit": str, "figures": Mapping,
}
_ALLOWED_TYPES: dict[type, str] = {str: "text", int: "a whole number", tuple: "a list", Mapping: "names with numbers"}
