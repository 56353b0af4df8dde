"""A preset's file: TOML to checked dataclasses and back; every mistake is named with its line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtsep.catalogue import CLASS_LIMITS, OWN_PARAMS, STAGES
from rtsep.catalogue.spec import defaults
from rtsep.errors import InputError
from rtsep.params import Option, Param, located
from rtsep.tomltext import Document, Key

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
    return _Reader(text, place).preset()


def dumps(preset: Preset) -> str:
    """Return a preset as TOML, every option written out; `loads` makes an equal one of it."""
    lines = [
        f"schema = {SCHEMA}",
        f"name = {toml(preset.name)}",
        f"latency_class = {toml(preset.latency_class)}",
        "",
        "[host]",
        f"block = {toml(preset.host.block)}",
    ]
    for config in preset.chain:
        lines += ["", "[[chain]]", f"stage = {toml(config.stage)}"]
        if config.name != config.stage:
            lines.append(f"name = {toml(config.name)}")
        lines += [f"{key} = {toml(value)}" for key, value in config.options.items()]
    lines += ["", "[params]"]
    lines += [f"{toml(path)} = {toml(value)}" for path, value in preset.params.items()]
    return "\n".join(lines) + "\n"


class _Reader:
    """Turns one document into a Preset, and knows the line of every complaint."""

    def __init__(self, text: str, place: str) -> None:
        self.place = place
        self._file = Document(text, place, "see a preset that `rtsep presets NAME` shows")
        self.document = self._file.content

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
        return self._file.error(where, subject, problem, allowed)


def toml(value: Any) -> str:
    """Return a value as TOML has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else repr(value)
