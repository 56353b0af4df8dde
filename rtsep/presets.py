"""Presets: TOML to checked dataclasses and back, and what a change from one to another disturbs."""

from __future__ import annotations

import json
import math
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rtsep.atomic import replacing
from rtsep.errors import InputError
from rtsep.params import Board, Option, Param
from rtsep.stages.catalogue import CLASS_LIMITS, OUTPUT_PARAMS, STAGES

SCHEMA = 1
"""The number that a preset's `schema` must be."""

BLOCK = Option("block", int, 64, "Frames per device block.", 1, 8192)   # up to the longest period of JACK
HOST_OPTIONS = (BLOCK,)

# No hand-written preset comes near it; a wrong path (a recording, /dev/zero) must not fill the memory.
LARGEST_FILE = 1 << 18


@dataclass(frozen=True)
class HostConfig:
    """What a preset says of the sound card.

    Parameters
    ----------
    block : int
        Frames per device block.
    """

    block: int


@dataclass(frozen=True)
class StageConfig:
    """One stage of the chain.

    Parameters
    ----------
    stage : str
        Its name in the catalogue.
    name : str
        Its name in parameter paths.
    options : mapping of str to value
        Every option of the stage.
    """

    stage: str
    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Preset:
    """A whole set-up.

    Parameters
    ----------
    name : str
    latency_class : str
        `live`, `monitor`, `foh` or `record`.
    host : HostConfig
    chain : tuple of StageConfig
        In the order in which the sound passes.
    params : mapping of path to float
        Values that differ from the defaults. Paths for all microphones stand before paths for one, so that
        setting them in order ends as the preset means it.
    """

    name: str
    latency_class: str
    host: HostConfig
    chain: tuple[StageConfig, ...]
    params: Mapping[str, float]


def load(name_or_path: str | os.PathLike[str]) -> Preset:
    """Read and check a preset.

    Parameters
    ----------
    name_or_path : str or path
        One of `names()`, or else a file.

    Raises
    ------
    InputError
        If it cannot be read, or anything in it is wrong; with the line.
    """
    path, place = Path(name_or_path), str(name_or_path)
    if place in names():
        path = _builtin_folder() / f"{place}.toml"
        place = path.name
    allowed = "allowed is a .toml file or one of " + ", ".join(names())
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise InputError(place, "there is no such preset", allowed) from None
    except OSError as error:
        raise InputError(place, f"cannot be read: {error.strerror}", allowed) from None
    except ValueError:  # a path with a null character
        raise InputError(repr(place), "is not a path", allowed) from None
    if len(data) > LARGEST_FILE:
        raise InputError(place, f"is larger than {LARGEST_FILE} bytes", allowed)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        bad = data[error.start]
        raise InputError(f"{place}:{line}", f"byte 0x{bad:02x} is not UTF-8", "save the file as UTF-8") from None
    return loads(text, place)


def loads(text: str, place: str) -> Preset:
    """Check a preset's text.

    Parameters
    ----------
    text : str
        TOML.
    place : str
        What errors call it; they add the line.
    """
    # Windows editors put a byte order mark in front, which tomllib refuses.
    return _Reader(text.removeprefix("\ufeff"), place).preset()


def dumps(preset: Preset) -> str:
    """Return a preset as TOML, every option written out; `loads` makes an equal one of it."""
    lines = [
        f"schema = {SCHEMA}",
        f"name = {_toml(preset.name)}",
        f"latency_class = {_toml(preset.latency_class)}",
        "",
        "[host]",
        f"block = {_toml(preset.host.block)}",
    ]
    for config in preset.chain:
        lines += ["", "[[chain]]", f"stage = {_toml(config.stage)}"]
        if config.name != config.stage:
            lines.append(f"name = {_toml(config.name)}")
        lines += [f"{key} = {_toml(value)}" for key, value in config.options.items()]
    lines += ["", "[params]"]
    lines += [f"{_toml(path)} = {_toml(value)}" for path, value in preset.params.items()]
    return "\n".join(lines) + "\n"


def save(preset: Preset, path: str | os.PathLike[str]) -> None:
    """Write a preset; whatever fails, the file is the old one or the new one, whole.

    Raises
    ------
    InputError
        If the preset would not load again, or the file cannot be written.
    """
    text = dumps(preset)
    loads(text, str(path))
    with replacing(path) as file:
        file.write(text.encode())


def names() -> list[str]:
    """Return the names of the builtin presets, quickest first."""
    found = {path.stem for path in _builtin_folder().glob("*.toml")}
    return [name for name in CLASS_LIMITS if name in found] + sorted(found - set(CLASS_LIMITS))


def diff(old: Preset, new: Preset) -> Literal["nothing", "params", "chain", "host"]:
    """Say what must be done to get from one preset to another: the most disruptive wins.

    Returns
    -------
    str
        `host`: open the device again; `chain`: build the chain and swap, as the latency class may allow another
        one; `params`: set values; `nothing`: at most the preset's name differs.
    """
    if old.host != new.host:
        return "host"
    if old.chain != new.chain or old.latency_class != new.latency_class:
        return "chain"
    if old.params != new.params:
        return "params"
    return "nothing"


def layout(preset: Preset) -> list[tuple[str, Sequence[Param]]]:
    """Return what `Board` is laid out by: each stage's name and parameters, and the engine's own last."""
    groups: list[tuple[str, Sequence[Param]]] = [(c.name, STAGES[c.stage].params) for c in preset.chain]
    return [*groups, ("output", OUTPUT_PARAMS)]


def notes(preset: Preset, mics: int) -> list[str]:
    """Return what should be said before a preset runs with so many microphones: which stages cannot do all of it."""
    possible = mics * (mics - 1)
    return [
        f"{config.name}: of {possible} pairs of microphones, {config.options['pairs']} at a time are cleaned of each "
        "other, those that bleed most (option `pairs`)"
        for config in preset.chain if config.stage == "canceller" and config.options["pairs"] < possible
    ]


def make_board(preset: Preset, mics: Sequence[str], name: str | None = None, create: bool = True) -> Board:
    """Lay out a board for a preset, alike in every process; the output's parameters come first, wherever a chain goes.

    Parameters
    ----------
    preset : Preset
    mics : sequence of str
    name, create
        As `Board` takes them.
    """
    *chain, output = layout(preset)
    return Board(mics, [output, *chain], name, create)


Key = tuple[str | int, ...]
"""Way through the document: keys of tables, numbers of array elements."""


class _Reader:
    """Turns one document into a Preset, and knows the line of every complaint."""

    def __init__(self, text: str, place: str) -> None:
        self.text = text
        self.place = place
        self.document = self._parse()

    def preset(self) -> Preset:
        known = ("schema", "name", "latency_class", "host", "chain", "params")
        self._known((), self.document, known, "key or table")
        for key in ("schema", "name", "latency_class"):
            if key not in self.document:
                raise InputError(f"{self.place}:1", f"{key} is missing", f"known: {', '.join(known)}")
        schema = self.document["schema"]
        if type(schema) is not int or schema != SCHEMA:
            raise self._error(("schema",), f"{schema!r} is not a schema of this version", f"allowed is {SCHEMA}")
        name = self.document["name"]
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise self._error(("name",), f"{name!r} is not a name", "allowed is a string that can be shown in one line")
        latency_class = self._check(
            ("latency_class",),
            Option("latency_class", str, "", "", choices=tuple(CLASS_LIMITS)),
            self.document["latency_class"],
        )
        host = HostConfig(**self._options(("host",), self._table(("host",)), HOST_OPTIONS, ()))
        chain = self._chain()
        params = self._params({**{c.name: STAGES[c.stage].params for c in chain}, "output": OUTPUT_PARAMS})
        return Preset(name, latency_class, host, chain, params)

    def _chain(self) -> tuple[StageConfig, ...]:
        how = "write [[chain]] before each stage"
        if "chain" not in self.document:
            raise InputError(f"{self.place}:1", "chain is missing", how)
        entries = self.document["chain"]
        if not isinstance(entries, list) or not entries or not all(isinstance(e, dict) for e in entries):
            raise self._error(("chain",), "is not a list of stages", how)
        configs: list[StageConfig] = []
        for number, entry in enumerate(entries):
            config = self._stage(("chain", number), entry)
            if config.name in {c.name for c in configs}:
                where: Key = ("chain", number, "name" if "name" in entry else "stage")
                raise self._error(where, f"there are two stages {config.name!r}", 'give one of them another name = "…"')
            configs.append(config)
        return tuple(configs)

    def _stage(self, where: Key, entry: dict[str, Any]) -> StageConfig:
        if "stage" not in entry:
            # A misspelt `stage` is what the line should lead to.
            bad = next((key for key in entry if key != "name"), None)
            place = where if bad is None else (*where, bad)
            raise self._error(place, "the key 'stage' is missing", "allowed is one of " + ", ".join(STAGES))
        stage = self._check((*where, "stage"), Option("stage", str, "", "", choices=tuple(STAGES)), entry["stage"])
        name = entry.get("name", stage)
        if not isinstance(name, str) or not re.fullmatch("[a-z][a-z0-9_]*", name):
            allowed = "allowed are a to z, 0 to 9 and _, a letter first"
            raise self._error((*where, "name"), f"{name!r} is not a stage's name", allowed)
        if name == "output":
            raise self._error((*where, "name"), "'output' is the engine's own", "allowed is any other name")
        options = self._options(where, entry, STAGES[stage].options, ("stage", "name"))
        if stage == "spectral":
            self._check_windows(where, options)
        elif stage == "matrix":
            options["mixing"] = self._matrix((*where, "mixing"), options["mixing"])
        return StageConfig(stage, name, options)

    def _check_windows(self, where: Key, options: dict[str, Any]) -> None:
        analysis, synthesis, hop = (options[key] for key in ("analysis", "synthesis", "hop"))
        # The line of what was written: a default that does not fit has none.
        written = [key for key in ("synthesis", "hop", "analysis") if self._has((*where, key))]
        if synthesis > analysis:
            key = "synthesis" if "synthesis" in written else "analysis"
            allowed = "allowed is a synthesis window no longer than the analysis window"
            raise self._error((*where, key), f"synthesis {synthesis} is longer than analysis {analysis}", allowed)
        if synthesis % hop or synthesis // hop < 2:
            key = "synthesis" if "synthesis" in written else "hop"
            allowed = "allowed is synthesis = 2, 3, 4 … times hop"
            raise self._error((*where, key), f"synthesis {synthesis} does not fit hop {hop}", allowed)

    def _matrix(self, where: Key, rows: list[Any]) -> list[list[float]]:
        allowed = "allowed is [] or as many rows [a, b, …] as each row has numbers"
        for number, row in enumerate(rows, 1):
            if not isinstance(row, list):
                raise self._error(where, f"row {number} is not a list", allowed)
            if len(row) != len(rows):
                problem = f"row {number} has {len(row)} numbers, but there are {len(rows)} rows"
                raise self._error(where, problem, allowed)
            for value in row:
                if not _finite(value):
                    raise self._error(where, f"{value!r} in row {number} is not a finite number", allowed)
        return [[float(value) for value in row] for row in rows]

    def _params(self, groups: Mapping[str, Sequence[Param]]) -> dict[str, float]:
        known = {f"{stage}.{param.name}": param for stage, group in groups.items() for param in group}
        values: dict[str, float] = {}
        for where, value in self._leaves(("params",), self._table(("params",))):
            path = ".".join(str(part) for part in where[1:])
            stage, name, mic = (*path.split(".", 2), None, None)[:3]
            param = known.get(f"{stage}.{name}")
            if param is None or (mic is not None and not (mic and mic.isprintable())):
                allowed = "known: " + ", ".join(known) + ", each also with .mic where it is per microphone"
                raise self._error(where, "there is no such parameter", allowed)
            if mic is not None and not param.per_mic:
                raise self._error(where, "this parameter is one for all microphones", f"use {stage}.{name}")
            if path in values:
                raise self._error(where, "is there twice", "allowed is once")
            values[path] = self._check(where, param, value)
        return dict(sorted(values.items(), key=lambda item: item[0].count(".") > 1))

    def _leaves(self, where: Key, table: dict[str, Any]) -> Iterator[tuple[Key, Any]]:
        # Without quotes, spectral.range_db = -18 is a table in a table to TOML, and the same to an engineer.
        for key, value in table.items():
            if isinstance(value, dict):
                yield from self._leaves((*where, key), value)
            else:
                yield (*where, key), value

    def _table(self, where: Key) -> dict[str, Any]:
        table = self.document.get(str(where[0]), {})
        if not isinstance(table, dict):
            raise self._error(where, "is not a table", f"write [{where[0]}] once")
        return table

    def _options(
        self, where: Key, table: dict[str, Any], options: Sequence[Option], others: Sequence[str]
    ) -> dict[str, Any]:
        self._known(where, table, (*others, *(option.name for option in options)), "option")
        values = {}
        for option in options:
            if option.name in table:
                values[option.name] = self._check((*where, option.name), option, table[option.name])
            else:
                # The catalogue's default of a list must not become this preset's to change.
                values[option.name] = list(option.default) if option.kind is list else option.default
        return values

    def _known(self, where: Key, table: dict[str, Any], known: Sequence[str], what: str) -> None:
        for key in table:
            if key not in known:
                raise self._error((*where, key), f"unknown {what}", "known: " + ", ".join(known))

    def _check(self, where: Key, rule: Option | Param, value: object) -> Any:
        try:
            return rule.check("", value)
        except InputError as error:
            raise self._error(where, error.problem, error.allowed) from None
        except OverflowError:  # TOML's integers have no end, floats do
            raise self._error(where, "the number is too large", "") from None

    def _error(self, where: Key, problem: str, allowed: str) -> InputError:
        subject = ".".join(str(part) for part in where if isinstance(part, str))
        if where[:1] == ("chain",) and len(where) > 1:
            entry = self.document["chain"][where[1]]
            stage = entry.get("name", entry.get("stage"))
            prefix = stage if isinstance(stage, str) else f"[[chain]] {int(where[1]) + 1}"
            subject = ".".join([prefix, *(str(part) for part in where[2:])])
        elif where[:1] == ("params",) and len(where) > 1:
            subject = ".".join(str(part) for part in where[1:])
        return InputError(f"{self.place}:{self._line(where)}", f"{_shown(subject)}: {_short(problem)}", allowed)

    def _parse(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            message = str(error)
        except (ValueError, RecursionError) as error:
            raise InputError(self.place, f"is not TOML: {_short(str(error))}", "see toml.io") from None
        found = re.search(r" \(at line (\d+), column (\d+)\)$", message)
        lines = self.text.rstrip().split("\n")
        number = min(int(found[1]), len(lines)) if found else len(lines)
        problem = message[: found.start()] if found else message.removesuffix(" (at end of document)")
        shown = _short(repr(lines[number - 1].strip()))
        raise InputError(f"{self.place}:{number}", f"{shown} is not TOML: {problem}", "see toml.io")

    def _has(self, where: Key) -> bool:
        return _depth(self.document, where) == len(where)

    def _line(self, where: Key) -> int:
        """Return the line, from 1, on which the key at `where` (or the nearest one around it) begins.

        tomllib tells no lines, but the beginning of a valid document is itself valid if it ends with a
        statement. So the statement is the one that makes the key appear in what the beginning parses to.
        """
        where = where[: _depth(self.document, where)]
        lines = self.text.split("\n")

        def beginning(count: int) -> dict[str, Any] | None:
            try:
                return tomllib.loads("\n".join(lines[:count]) + "\n")
            except tomllib.TOMLDecodeError:
                return None

        # Invariant: the key is not in the first `low` lines, and in the first `high` lines it is.
        low, high = 0, len(lines)
        while high - low > 1:
            middle = whole = (low + high) // 2
            document = beginning(whole)
            while document is None and whole < high:
                whole += 1
                document = beginning(whole)
            if whole == high:
                # From middle to high is one statement, so only what lies before it is still in question.
                high = middle
                while beginning(high) is None:
                    high -= 1
                if _depth(beginning(high) or {}, where) < len(where):
                    return high + 1
            elif _depth(document or {}, where) < len(where):
                low = whole
            else:
                high = whole
        return low + 1


def _builtin_folder() -> Path:
    here = Path(__file__).resolve().parent
    wheel = here / "builtin_presets"
    return wheel if wheel.is_dir() else here.parent / "presets"


def _depth(document: Any, where: Key) -> int:
    """Return how many steps of `where` exist in `document`."""
    for depth, key in enumerate(where):
        if isinstance(key, int):
            found = isinstance(document, list) and key < len(document)
        else:
            found = isinstance(document, dict) and key in document
        if not found:
            return depth
        document = document[key]
    return len(where)


def _finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else repr(value)


def _shown(text: str) -> str:
    """Quote what would break the one line of an error."""
    return _short(text if text.isprintable() else repr(text))


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "..."
