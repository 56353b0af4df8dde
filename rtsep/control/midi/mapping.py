"""The mapping: a TOML file that says which control turns what; every mistake is named with its line.

It knows nothing of a preset: whether a path exists is for whoever has a desk (`rtsep.control.midi.turning`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rtsep.control.midi import actions
from rtsep.control.midi.curves import CURVES
from rtsep.control.midi.parse import (
    BANK,
    BANK_LSB,
    DATA,
    DATA_LSB,
    DECREMENT,
    INCREMENT,
    NRPN_LSB,
    NRPN_MSB,
    RPN_LSB,
    RPN_MSB,
    TOP7,
    TOP14,
)
from rtsep.errors import InputError
from rtsep.params import Option
from rtsep.tomltext import Document, Key, read

SCHEMA = 1
"""The number that a mapping's `schema` must be."""

KINDS = ("cc", "cc14", "nrpn", "rpn", "note", "pitch")
APIS = ("alsa", "jack")
MODES = ("absolute", "pickup", "relative", "toggle", "momentary", "note")
CODINGS = ("twos", "offset", "sign")
PANICS = (120, 123)
"""Controllers that make all microphones dry, on every channel, whatever is mapped: all sound off, all notes off."""

MOST_CONTROLS = 4096   # in a file: all the knobs, keys and pages of the largest desks, and an end
_FIRST_MODE_MESSAGE = 120
_OF_PARAMETERS = {DATA, DATA_LSB, INCREMENT, DECREMENT, NRPN_LSB, NRPN_MSB, RPN_LSB, RPN_MSB}
_EXAMPLE = "see `rtsep midi learn`, which writes one"
_PLAIN = ("absolute", "pickup", "toggle", "momentary")
_TURNED = (*_PLAIN, "relative")
_MODES_OF = {"note": ("toggle", "momentary", "note"), "cc": _TURNED, "nrpn": _TURNED, "rpn": _TURNED}


@dataclass(frozen=True)
class Port:
    """A device.

    Parameters
    ----------
    input : str
        Part of its name where it is heard.
    output : str
        Part of its name where it is answered.
    """

    input: str
    output: str


@dataclass(frozen=True)
class Control:
    """A fader, a knob or a key, and what it turns.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    channel : int
        From 1.
    number : int
        Of the controller, the parameter or the key; 0 for `pitch`.
    to : tuple of str
        Paths; empty where one of the next three is said.
    recall : str or int
        A snapshot's name or number, `next` or `previous`.
    store : str or int
        A snapshot's name or number, `current` or `new`.
    do : str
        Of `rtsep.control.midi.actions.DOES`.
    port : str
        The `input` of the only port that counts; empty: all do.
    mode : str
        One of `MODES`.
    low, high : float or None
        The values at the ends of its travel; None: as far as the parameter goes.
    reverse : bool
    curve : str
        One of `CURVES`; empty: as is usual for the parameter's unit.
    coding : str
        One of `CODINGS`, of `relative`.
    step : float
        Share of the travel that a click of a `relative` control is.
    bits : int
        7 or 14, of `nrpn` and `rpn`.
    feedback : bool or None
        Whether changes are sent back; None: as is usual for the mode.
    line : int
        On which it begins in its file.
    """

    kind: str
    channel: int
    number: int = 0
    to: tuple[str, ...] = ()
    recall: str | int = ""
    store: str | int = ""
    do: str = ""
    port: str = ""
    mode: str = "absolute"
    low: float | None = None
    high: float | None = None
    reverse: bool = False
    curve: str = ""
    coding: str = "twos"
    step: float = 1 / TOP7
    bits: int = 14
    feedback: bool | None = None
    line: int = 0

    @property
    def top(self) -> int:
        """Return the largest value that its messages carry."""
        fine = self.kind in ("cc14", "pitch") or (self.kind in ("nrpn", "rpn") and self.bits == 14)
        return TOP14 if fine else TOP7

    @property
    def address(self) -> tuple[str, int, int]:
        """Return what its messages have in common."""
        return self.kind, self.channel, self.number

    @property
    def key(self) -> bool:
        """Return whether it has no position, and at most a light."""
        return self.mode in ("toggle", "momentary", "note")

    @property
    def answered(self) -> bool:
        """Return whether changes are sent back: to what can stand for a value by itself, unless the file says else."""
        return self.mode not in ("pickup", "relative") if self.feedback is None else self.feedback


@dataclass(frozen=True)
class Programs:
    """Program changes that recall snapshots.

    Parameters
    ----------
    channel : int or None
        The only one that counts; None: all do.
    offset : int
        What is added to bank times 128 and program: desks show as 1 what they send as 0.
    port : str
        As `Control` has it.
    """

    channel: int | None
    offset: int
    port: str


@dataclass(frozen=True)
class Mapping:
    """A whole file.

    Parameters
    ----------
    place : str
        What errors call it.
    ports : tuple of Port
        Empty: every port there is, each answered where the same name is.
    controls : tuple of Control
    programs : Programs or None
        None: program changes do nothing.
    api : str
        `alsa` or `jack`; empty: what the system has.
    """

    place: str
    ports: tuple[Port, ...]
    controls: tuple[Control, ...]
    programs: Programs | None
    api: str = ""


def load(path: str | os.PathLike[str]) -> Mapping:
    """Read and check a mapping.

    Raises
    ------
    InputError
        If it cannot be read, or anything in it is wrong; with the line.
    """
    place = str(path)
    return loads(read(path, place, "mapping", "allowed is a .toml file; `rtsep midi learn` writes one"), place)


def loads(text: str, place: str) -> Mapping:
    """Check a mapping's text; see `load`."""
    return _Reader(text, place).mapping()


OPTIONS = {option.name: option for option in (
    Option("message", str, "", "What it sends.", choices=KINDS),
    Option("channel", int, 0, "On which channel.", 1, 16),
    Option("number", int, 0, "Of the controller, the parameter or the key; `pitch` has none.", 0, TOP14),
    Option("port", str, "", "The `input` of the only port that counts; without it all do."),
    Option("mode", str, "", "What its messages mean.", choices=MODES),
    Option("min", float, None, "The value at the lower end of its travel; without it the parameter's own."),
    Option("max", float, None, "The value at the upper end; without it the parameter's own."),
    Option("reverse", bool, False, "Turn it round."),
    Option("curve", str, "", "Of its travel; without it what is usual for the parameter's unit.", choices=CURVES),
    Option("coding", str, "", "How a `relative` controller says less.", choices=CODINGS),
    Option("step", float, 0.0, "Share of the travel that one click of a `relative` control is.", 1e-6, 1.0),
    Option("bits", int, 14, "7 or 14, of `nrpn` and `rpn`."),
    Option("feedback", bool, None, "Send changes back; without it, to what can stand for a value by itself."),
)}
"""What an entry of a control may say beside what it is for (`actions.KEYS`), by name."""

_NAMES = {"message": "kind", "min": "low", "max": "high"}   # in a Control, where they differ


class _Reader:
    def __init__(self, text: str, place: str) -> None:
        self._file = Document(text, place, _EXAMPLE)
        self._place = place
        self._content = self._file.content

    def mapping(self) -> Mapping:
        known = ("schema", "api", "port", "control", "program")
        self._known((), self._content, known)
        schema = self._content.get("schema")
        if type(schema) is not int or schema != SCHEMA:
            problem = "is missing" if schema is None else f"{schema!r} is not a schema of this version"
            line = self._file.line(("schema",)) if "schema" in self._content else 1
            raise InputError(f"{self._place}:{line}", f"schema: {problem}", f"allowed is {SCHEMA}")
        api = self._content.get("api", "")
        if "api" in self._content:
            self._check(("api",), Option("api", str, "", "", choices=APIS), api)
        self._inputs: list[str] = []
        ports = tuple(self._port(("port", n), table) for n, table in enumerate(self._tables("port")))
        programs = self._programs() if "program" in self._content else None
        controls = [self._control(("control", n), table) for n, table in enumerate(self._tables("control"))]
        self._conflicts(controls, programs)
        return Mapping(self._place, ports, tuple(controls), programs, api)

    def _port(self, where: Key, table: dict[str, Any]) -> Port:
        self._known(where, table, ("input", "output"))
        for key, value in table.items():
            if not isinstance(value, str) or not value.strip() or not value.isprintable():
                raise self._error((*where, key), f"{value!r} is not a name", "allowed is part of a port's name")
        if "input" not in table:
            raise self._error(where, "the key 'input' is missing", "allowed is part of a port's name")
        if table["input"] in self._inputs:
            raise self._error((*where, "input"), f"{table['input']!r} is there twice", "allowed is once")
        self._inputs.append(table["input"])
        return Port(table["input"], table.get("output", table["input"]))

    def _programs(self) -> Programs:
        where: Key = ("program",)
        table = self._content["program"]
        if not isinstance(table, dict):
            raise self._error(where, "is not a table", "write [program] once")
        self._known(where, table, ("channel", "offset", "port"))
        offset = self._check((*where, "offset"), Option("offset", int, 1, "", -TOP14, TOP14), table.get("offset", 1))
        channel = None
        if "channel" in table:
            channel = self._check((*where, "channel"), OPTIONS["channel"], table["channel"])
        return Programs(channel, offset, self._port_of(where, table))

    def _control(self, where: Key, table: dict[str, Any]) -> Control:
        self._known(where, table, (*OPTIONS, *actions.KEYS))
        for key in ("message", "channel"):
            if key not in table:
                raise self._error(where, f"the key {key!r} is missing", self._allowed(key))
        values = {
            _NAMES.get(key, key): self._check((*where, key), OPTIONS[key], value)
            for key, value in table.items() if key in OPTIONS
        }
        kind = values["kind"]
        values["number"] = self._number(where, table, kind)
        values["port"] = self._port_of(where, table)
        values |= actions.read(
            table, lambda key, problem, allowed: self._error((*where, key) if key else where, problem, allowed)
        )
        allowed = _MODES_OF.get(kind, _PLAIN)
        mode = values.setdefault("mode", allowed[0])
        if mode not in allowed:
            one_of = "allowed is one of " + ", ".join(allowed)
            raise self._error((*where, "mode"), f"{mode!r} is nothing for {kind}", one_of)
        relative, split = mode == "relative", kind in ("nrpn", "rpn")
        for key, fits in {"coding": relative and kind == "cc", "step": relative or split, "bits": split}.items():
            if key in table and not fits:
                raise self._error((*where, key), "means nothing here", "leave it out")
        if values.get("bits", 14) not in (7, 14):
            raise self._error((*where, "bits"), f"{values['bits']} is not allowed", "allowed is 7 or 14")
        low, high = values.get("low"), values.get("high")
        if low is not None and high is not None and not low < high:
            problem = f"{low:g} is not below max, {high:g}"
            raise self._error((*where, "min"), problem, "to turn it round, say reverse = true")
        return Control(**values, line=self._file.line(where))

    def _number(self, where: Key, table: dict[str, Any], kind: str) -> int:
        if kind == "pitch":
            if "number" in table:
                raise self._error((*where, "number"), "means nothing here", "leave it out")
            return 0
        if "number" not in table:
            raise self._error(where, "the key 'number' is missing", self._allowed("number"))
        number: int = self._check((*where, "number"), OPTIONS["number"], table["number"])
        if kind == "cc" and number in PANICS:
            raise self._error((*where, "number"), f"controller {number} is the panic: all microphones dry",
                              "no mapping can take it away; allowed is 0 to 119")
        most = {"cc": _FIRST_MODE_MESSAGE - 1, "cc14": 31, "note": TOP7}.get(kind, TOP14 - 1)
        if number > most:
            raise self._error((*where, "number"), f"{number} is no number of {kind}", f"allowed is 0 to {most}")
        return number

    def _port_of(self, where: Key, table: dict[str, Any]) -> str:
        port = table.get("port", "")
        if port not in ("", *self._inputs):
            known = ", ".join(self._inputs) or "none; write [[port]] with input = …"
            raise self._error((*where, "port"), f"there is no port {port!r}", f"known: {known}")
        return str(port)

    def _conflicts(self, controls: Sequence[Control], programs: Programs | None) -> None:
        """Refuse what would turn things that were not meant: messages that are part of something else as well."""
        for n, one in enumerate(controls):
            if one.kind not in ("cc", "cc14"):
                continue
            numbers = {one.number} if one.kind == "cc" else {one.number, one.number + 32}
            taken = ""
            if programs and programs.channel in (None, one.channel) and numbers & {BANK, BANK_LSB}:
                taken = "the bank of [program]"
            for other in controls:
                if other.channel != one.channel:
                    continue
                if other.kind in ("nrpn", "rpn") and numbers & _OF_PARAMETERS:
                    taken = f"part of the {other.kind} on line {other.line}"
                elif one.kind == "cc" and other.kind == "cc14" and one.number in (other.number, other.number + 32):
                    taken = f"half of the cc14 on line {other.line}"
            if taken:
                raise self._error(("control", n, "number"), f"{one.number} is {taken}", "allowed is any other")

    def _tables(self, key: str) -> list[dict[str, Any]]:
        tables = self._content.get(key, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise self._error((key,), "is not a list of tables", f"write [[{key}]] before each")
        if len(tables) > MOST_CONTROLS:
            raise self._error((key, MOST_CONTROLS), "one too many", f"allowed are up to {MOST_CONTROLS}")
        return tables

    def _known(self, where: Key, table: dict[str, Any], known: Sequence[str]) -> None:
        for key in table:
            if key not in known:
                raise self._error((*where, key), "unknown key", "known: " + ", ".join(known))

    def _allowed(self, key: str) -> str:
        try:
            OPTIONS[key].check("", None)
        except InputError as error:
            return error.allowed
        raise AssertionError(key)

    def _check(self, where: Key, rule: Option, value: object) -> Any:
        try:
            return rule.check("", value)
        except InputError as error:
            raise self._error(where, error.problem, error.allowed) from None

    def _error(self, where: Key, problem: str, allowed: str) -> InputError:
        subject = ".".join(str(part) for part in where)
        if len(where) > 1 and isinstance(where[1], int):
            subject = ".".join([f"[[{where[0]}]] {where[1] + 1}", *(str(part) for part in where[2:])])
        return self._file.error(where, subject, problem, allowed)
