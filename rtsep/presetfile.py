"""A preset's file: TOML to checked dataclasses and back; every mistake is named with its line."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtsep.catalogue import CLASS_LIMITS, OWN_PARAMS, STAGES
from rtsep.catalogue.spec import defaults
from rtsep.errors import InputError
from rtsep.params import Option, Param, located
from rtsep.tomltext import skeleton, statements, too_deep

MOST_STAGES = 32
"""In a chain: four times what any preset has; each costs time at every block, whatever it does."""

SCHEMA = 1
"""The number that a preset's `schema` must be."""

BLOCK = Option("block", int, 64, "Frames per device block.", 1, 8192)   # up to the longest period of JACK
HOST_OPTIONS = (BLOCK,)


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
        params = self._params({
            **{c.name: STAGES[c.stage].params_of(c.options) for c in chain}, **dict(OWN_PARAMS),
        })
        return Preset(name, latency_class, host, chain, params)

    def _chain(self) -> tuple[StageConfig, ...]:
        how = "write [[chain]] before each stage"
        if "chain" not in self.document:
            raise InputError(f"{self.place}:1", "chain is missing", how)
        entries = self.document["chain"]
        if not isinstance(entries, list) or not entries or not all(isinstance(e, dict) for e in entries):
            raise self._error(("chain",), "is not a list of stages", how)
        if len(entries) > MOST_STAGES:
            raise self._error(("chain", MOST_STAGES), "one stage too many", f"allowed are up to {MOST_STAGES}")
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
        if name in dict(OWN_PARAMS):
            raise self._error((*where, "name"), f"{name!r} is not free", "allowed is any other name")
        spec = STAGES[stage]
        options = self._options(where, entry, spec.options, ("stage", "name"))
        try:
            return StageConfig(stage, name, spec.check(options, entry))
        except InputError as error:
            raise self._error((*where, error.place), error.problem, error.allowed) from None

    def _params(self, groups: Mapping[str, Sequence[Param]]) -> dict[str, float]:
        known = {f"{stage}.{param.name}": param for stage, group in groups.items() for param in group}
        values: dict[str, float] = {}
        for where, value in self._leaves(("params",), self._table(("params",))):
            path = ".".join(str(part) for part in where[1:])
            key, mic = located(path, known)
            param = known.get(key)
            if param is None or (mic is not None and not (mic and mic.isprintable())):
                allowed = "known: " + ", ".join(known) + ", each also with .mic where it is per microphone"
                raise self._error(where, "there is no such parameter", allowed)
            if mic is not None and not param.per_mic:
                raise self._error(where, "this parameter is one for all microphones", f"use {key}")
            if path in values:
                raise self._error(where, "is there twice", "allowed is once")
            values[path] = self._check(where, param, value)
        return dict(sorted(values.items(), key=lambda item: item[0] not in known))

    def _leaves(self, where: Key, table: dict[str, Any]) -> Iterator[tuple[Key, Any]]:
        # Without quotes, output.gain_db = -18 is a table in a table to TOML, and the same to an engineer.
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
        values = defaults(options)
        for option in options:
            if option.name in table:
                values[option.name] = self._check((*where, option.name), option, table[option.name])
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
        self._bones = skeleton(self.text)
        if (deep := too_deep(self._bones)) is not None:
            raise InputError(f"{self.place}:{deep[0]}", deep[1], "see a preset that `rtsep presets NAME` shows")
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

    def _line(self, where: Key) -> int:
        """Return the line, from 1, on which the key at `where` (or the nearest one around it) begins.

        tomllib tells no lines, but the beginning of a valid document is itself valid if it ends with a statement. So
        the statement is the one that makes the key appear in what the beginning parses to.
        """
        where = where[: _depth(self.document, where)]
        lines, begins = self.text.split("\n"), statements(self._bones)
        # Invariant: the key is not in the first `low` statements, and in the first `high` ones it is.
        low, high = 0, len(begins) - 1
        while high - low > 1:
            middle = (low + high) // 2
            try:
                document = tomllib.loads("\n".join(lines[: begins[middle]]) + "\n")
            except tomllib.TOMLDecodeError:   # the text was not told apart as the parser does
                return 1
            low, high = (middle, high) if _depth(document, where) < len(where) else (low, middle)
        return begins[low] + 1


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


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else repr(value)


def _shown(text: str) -> str:
    """Quote what would break the one line of an error."""
    return _short(text if text.isprintable() else repr(text))


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "..."
