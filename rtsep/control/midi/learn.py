"""Learning: what a control is, seen from what it sends while somebody moves it; and its place in a mapping's file."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from rtsep.atomic import replacing
from rtsep.control.midi.mapping import SCHEMA, Mapping, load, loads
from rtsep.control.midi.parse import BANK, BANK_LSB, Decoder, Event
from rtsep.errors import InputError
from rtsep.presetfile import toml
from rtsep.tomltext import read

QUIET = 1.0   # seconds without a message after which a control has been moved
_SMALL = 12   # clicks that an endless knob sends at once at most, as fast as hands are
_FINE = 3     # different lower halves: fewer are a flag, which some desks send there


@dataclass(frozen=True)
class Found:
    """A control.

    Parameters
    ----------
    kind, channel, number
        As in `rtsep.control.midi.mapping.Control`; kind may be `program`.
    more : dict
        What else the mapping should say: `mode`, `coding`, `bits`.
    """

    kind: str
    channel: int
    number: int = 0
    more: dict[str, str | int] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return how people call it."""
        name = {"cc": "controller", "cc14": "controller of 14 bits", "nrpn": "NRPN", "rpn": "RPN", "note": "key",
                "pitch": "pitch bend", "program": "program changes"}[self.kind]
        number = "" if self.kind in ("pitch", "program") else f" {self.number}"
        more = "".join(f", {value}" for key, value in self.more.items() if key != "bits")
        return f"{name}{number}, channel {self.channel}{more}"


class Recogniser:
    """Looks at what a port sends until it is clear what was moved."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._events: list[Event] = []

    def take(self, message: tuple[int, ...]) -> None:
        """Take a message in."""
        self._events += self._decoder.decode(message)

    def found(self) -> Found | None:
        """Return what was moved most; None: nothing that can be mapped."""
        of_kind = {kind: [e for e in self._events if e.kind == kind] for kind in _ORDER}
        for kind in _ORDER:
            events = _most(of_kind[kind])
            if kind == "cc14" and not _is_fine(events):
                continue
            if kind == "cc":
                events = _most([e for e in of_kind[kind] if e.number not in _PARTS or not of_kind["program"]])
                events = [e for e in events if e.number < _FIRST_MODE_MESSAGE]
            if events:
                first = events[0]
                return Found(kind, first.channel, first.number, _more(kind, events))
        return None


_ORDER = ("program", "nrpn", "rpn", "pitch", "cc14", "note", "cc")   # what says more than the controllers it is made of
_PARTS = (BANK, BANK_LSB)
_FIRST_MODE_MESSAGE = 120


def _most(events: Sequence[Event]) -> list[Event]:
    """Return those of the control that has sent most."""
    if not events:
        return []
    (most, _), = Counter((e.channel, e.number) for e in events).most_common(1)
    return [e for e in events if (e.channel, e.number) == most]


def _is_fine(events: Sequence[Event]) -> bool:
    """Return whether both halves come, and not two knobs 32 apart: after each upper half its lower one."""
    fine = [e for e in events if not e.coarse]
    return len({e.value & 127 for e in fine}) >= _FINE and len({e.value >> 7 for e in fine}) > 1


def _more(kind: str, events: Sequence[Event]) -> dict[str, str | int]:
    values = [e.value for e in events]
    if kind in ("nrpn", "rpn"):
        if all(e.step for e in events):
            return {"mode": "relative"}
        return {"bits": 14 if len({v & 127 for v in values}) >= _FINE else 7}
    if kind == "cc":
        if set(values) <= {0, 127}:
            return {"mode": "toggle"}
        if coding := _coding(values):
            return {"mode": "relative", "coding": coding}
    return {}


def _coding(values: Sequence[int]) -> str:
    """Return how an endless knob speaks; empty: it is none.

    A fader never says the same twice, and its neighbours are neighbours; a knob says the same again and again, or jumps
    between forth and back.
    """
    jumps = [abs(b - a) for a, b in pairwise(values)]
    if len(values) < 3 or not any(jump == 0 or jump > 2 * _SMALL for jump in jumps):
        return ""
    forth = any(1 <= v <= _SMALL for v in values)
    for coding, back in (("twos", range(128 - _SMALL, 128)), ("sign", range(65, 65 + _SMALL))):
        if all(1 <= v <= _SMALL or v in back for v in values) and (forth or coding == "twos"):
            return coding
    return "offset" if all(64 - _SMALL <= v <= 64 + _SMALL and v != 64 for v in values) else ""


def entry(found: Found, path: str, port: str = "", mode: str = "") -> str:
    """Return a control's entry in a mapping.

    Parameters
    ----------
    found : Found
    path : str
        A parameter's, or what is recalled: `next`, `previous`, a snapshot's number or name; `snapshots`: all of them,
        by program changes.
    port : str
        The `input` of its port.
    mode : str
        What the user says of it.
    """
    lines = [f"port = {toml(port)}"] if port else []
    lines.append(f"channel = {found.channel}")
    if found.kind == "program":
        return "\n".join(["[program]", *lines]) + "\n"
    lines = ["[[control]]", f"message = {toml(found.kind)}", *lines]
    if found.kind != "pitch":
        lines.append(f"number = {found.number}")
    if "." in path:
        more = {**found.more, **({"mode": mode} if mode else {})}
        if more.get("mode") != "relative":
            more.pop("coding", None)
        lines += [f"to = {toml(path)}", *(f"{key} = {toml(value)}" for key, value in more.items())]
    else:
        lines.append(f"recall = {path if path.isdecimal() else toml(path)}")
        lines += [f"bits = {found.more['bits']}"] if "bits" in found.more else []
    return "\n".join(lines) + "\n"


def merged(text: str, place: str, path: str, new: str, port: tuple[str, str] | None) -> str:
    """Return a mapping's text with a new entry, in the place of the one that turned the same before.

    Parameters
    ----------
    text : str
        Empty: there is no file yet.
    place : str
        What errors call it.
    path : str
        What the entry turns or recalls, or `snapshots`.
    new : str
        See `entry`.
    port : (str, str), optional
        Input and output of its port, which the text should have.

    Raises
    ------
    InputError
        If the text is wrong already, or the entry does not go with the others.
    """
    text = text if text.strip() else f"schema = {SCHEMA}\n"
    mapping = loads(text, place)
    lines = text.split("\n")
    begin = _line_of(mapping, lines, path)
    if begin is None:
        lines = [*text.rstrip("\n").split("\n"), "", *new.rstrip("\n").split("\n"), ""]
    else:
        end = next((n for n in range(begin + 1, len(lines)) if lines[n].lstrip().startswith("[")), len(lines))
        while end > begin + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
            end -= 1   # what stands before the next one belongs to that
        kept = [line for line in lines[begin:end] if line.lstrip().startswith("#")]
        lines[begin:end] = [*kept, *new.rstrip("\n").split("\n")]
    if port is not None and port[0] not in [known.input for known in mapping.ports]:
        more = ["[[port]]", f"input = {toml(port[0])}", *([f"output = {toml(port[1])}"] if port[1] else []), ""]
        first = next(n for n, line in enumerate(lines) if line.lstrip().startswith("["))
        while first and lines[first - 1].lstrip().startswith("#"):
            first -= 1
        lines[first:first] = more
    made = "\n".join(lines)
    loads(made, place)
    return made


def write(path: str, wanted: str, new: str, port: tuple[str, str] | None) -> Mapping:
    """Have an entry in a file, which is replaced whole or not at all; see `merged`."""
    text = read(path, path, "mapping", "") if os.path.exists(path) else ""
    made = merged(text, path, wanted, new, port)
    with replacing(path) as file:
        file.write(made.encode())
    return load(path)


def check_path(path: str) -> None:
    """Refuse what can be no parameter, and no snapshot either.

    Raises
    ------
    InputError
    """
    if not path.strip() or not path.isprintable() or (re.search(r"\s", path.strip()) and "." in path):
        raise InputError("PATH", f"{path!r} is not a path", "allowed is output.gain_db.vox, next, previous, a snapshot")


def _line_of(mapping: Mapping, lines: Sequence[str], path: str) -> int | None:
    """Return the line, from 0, of the entry that turns just that path."""
    if path == "snapshots":
        return next((n for n, line in enumerate(lines) if re.match(r"\s*\[program\]", line)), None)
    for control in mapping.controls:
        if control.to == (path,) or (not control.to and str(control.recall) == path):
            return control.line - 1
    return None
