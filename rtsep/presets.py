"""Presets: strict TOML to dataclasses and back. Every mistake is named with its line and what would be right."""

from __future__ import annotations

import math
import os
import pathlib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rtsep.errors import InputError
from rtsep.params import Param
from rtsep.stages.catalogue import CLASS_LIMITS, OUTPUT_PARAMS, STAGES

SCHEMA = 1
_MOST_BLOCK = 2048
_TOP = ("schema", "name", "latency_class", "host", "chain", "params")


@dataclass(frozen=True)
class HostConfig:
    """What the host is asked for: `block` frames per block."""

    block: int


@dataclass(frozen=True)
class StageConfig:
    """One stage of the chain: its kind, its name, and every option, defaults filled in."""

    stage: str
    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Preset:
    """A whole preset, checked.

    Parameters
    ----------
    name : str
    latency_class : str
        `live`, `monitor`, `foh` or `record`: the most latency that the chain may add.
    host : HostConfig
    chain : tuple of StageConfig
    params : mapping of str to float
        Path to value; the paths' microphones are checked when they are known.
    """

    name: str
    latency_class: str
    host: HostConfig
    chain: tuple[StageConfig, ...]
    params: Mapping[str, float]


def names() -> list[str]:
    """Return the names of the presets that come with rtsep, quickest first."""
    found = {path.stem for path in _folder().glob("*.toml")}
    return [name for name in CLASS_LIMITS if name in found] + sorted(found - set(CLASS_LIMITS))


def load(name_or_path: str) -> Preset:
    """Load a preset by name, or from a .toml file.

    Raises
    ------
    InputError
        `file:line: what is wrong; what is allowed`.
    """
    if name_or_path in names():
        path = _folder() / f"{name_or_path}.toml"
    else:
        path = pathlib.Path(name_or_path)
        if path.suffix != ".toml" or not path.exists():
            raise InputError(
                f"preset {name_or_path}", "there is no such preset or file",
                f"known: {', '.join(names())}, or a path to a .toml",
            )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(str(path), "it is not UTF-8 text", "a preset is a TOML file") from None
    except OSError as error:
        raise InputError(str(path), error.strerror or "cannot be read", "a preset is a TOML file") from None
    return loads(text, str(path))


def loads(text: str, place: str) -> Preset:
    """Read a preset from text; `place` names it in errors.

    Raises
    ------
    InputError
        As `load`.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+)", str(error))
        line = found.group(1) if found else str(text.count("\n") + 1)
        problem = re.sub(r" \(at .*\)", "", str(error))
        allowed = "see the presets that come with rtsep"
        raise InputError(f"{place}:{line}", f"this is no TOML: {problem}", allowed) from None
    return _Reader(text, place).preset(data)


def dumps(preset: Preset) -> str:
    """Write a preset as TOML text that `loads` reads back to an equal one."""
    lines = [
        f"schema = {SCHEMA}", f"name = {_toml(preset.name)}", f"latency_class = {_toml(preset.latency_class)}", "",
        "[host]", f"block = {preset.host.block}",
    ]
    for config in preset.chain:
        lines += ["", "[[chain]]", f"stage = {_toml(config.stage)}", f"name = {_toml(config.name)}"]
        lines += [f"{key} = {_toml(value)}" for key, value in config.options.items()]
    lines += ["", "[params]"]
    lines += [f"{_toml(path)} = {_toml(value)}" for path, value in preset.params.items()]
    return "\n".join(lines) + "\n"


def save(preset: Preset, path: str) -> None:
    """Write a preset to a file, beside it first, then renamed.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    target = pathlib.Path(path)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        beside.write_text(dumps(preset), encoding="utf-8")
        os.replace(beside, target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise InputError(path, error.strerror or "cannot be written", "choose a folder that can be written") from None


def diff(old: Preset, new: Preset) -> Literal["nothing", "params", "chain", "host"]:
    """Say what a change from one preset to another takes: the most disruptive part decides."""
    if old.host != new.host:
        return "host"
    if old.chain != new.chain or old.latency_class != new.latency_class:
        return "chain"
    if old.params != new.params:
        return "params"
    return "nothing"


def layout(preset: Preset) -> list[tuple[str, Sequence[Param]]]:
    """Return each stage's name and parameters, as `Board` wants them; the engine's own, `output`, comes last."""
    return [*((config.name, STAGES[config.stage].params) for config in preset.chain), ("output", OUTPUT_PARAMS)]


def _folder() -> pathlib.Path:
    here = pathlib.Path(__file__).parent
    wheel = here / "builtin_presets"
    return wheel if wheel.is_dir() else here.parent / "presets"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return repr(value)


class _Reader:
    """Turns TOML's dictionaries into a preset; knows on which line each key stands."""

    def __init__(self, text: str, place: str) -> None:
        self._place = place
        self._lines = _locate(text)

    def preset(self, data: dict[str, Any]) -> Preset:
        self._known((), data, _TOP)
        if self._need((), data, "schema") != SCHEMA:
            raise self._error(("schema",), f"schema {data['schema']!r} is not known", f"allowed is {SCHEMA}")
        name = self._need((), data, "name")
        if not isinstance(name, str) or not name:
            raise self._error(("name",), f"{name!r} is no name", "allowed is a string that is not empty")
        latency_class = self._need((), data, "latency_class")
        if latency_class not in CLASS_LIMITS:
            allowed = f"allowed is one of {', '.join(CLASS_LIMITS)}"
            raise self._error(("latency_class",), f"{latency_class!r} is not allowed", allowed)
        for key, kind, words in (("host", dict, "[host]"), ("params", dict, "[params]"), ("chain", list, "[[chain]]")):
            if key in data and not isinstance(data[key], kind):
                raise self._error((key,), f"{key} is no table", f"write {words}")
        chain = self._chain(self._need((), data, "chain"))
        return Preset(
            name, latency_class, self._host(data.get("host", {})), chain, self._params(data.get("params", {}), chain)
        )

    def _host(self, table: dict[str, Any]) -> HostConfig:
        self._known(("host",), table, ("block",))
        block = table.get("block", 64)
        if not isinstance(block, int) or isinstance(block, bool) or not 1 <= block <= _MOST_BLOCK:
            allowed = f"allowed is an integer from 1 to {_MOST_BLOCK}"
            raise self._error(("host", "block"), f"{block!r} is not allowed", allowed)
        return HostConfig(block)

    def _chain(self, tables: list[Any]) -> tuple[StageConfig, ...]:
        chain: list[StageConfig] = []
        for number, table in enumerate(tables):
            where = ("chain", number)
            if not isinstance(table, dict):
                raise self._error(where, f"{table!r} is no stage", "write [[chain]]")
            stage = table.get("stage")
            if stage is None:
                bad = next((key for key in table if key != "name"), None)
                raise self._error(
                    where if bad is None else (*where, bad),
                    "a stage is missing its key 'stage'" + (f", and has {bad!r}" if bad else ""),
                    f"known: {', '.join(STAGES)}",
                )
            if stage not in STAGES:
                raise self._error((*where, "stage"), f"there is no stage {stage!r}", f"known: {', '.join(STAGES)}")
            spec = STAGES[stage]
            self._known(where, table, ("stage", "name", *(option.name for option in spec.options)))
            name = table.get("name", stage)
            if not isinstance(name, str) or not re.fullmatch("[a-z][a-z0-9_]*", name) or name == "output":
                allowed = "allowed are a-z, 0-9 and _, not 'output'"
                raise self._error((*where, "name"), f"{name!r} is no name of a stage", allowed)
            if any(name == other.name for other in chain):
                place = (*where, "name") if "name" in table else where
                raise self._error(place, f"a second stage is called {name!r}", "give it another name = …")
            options = {
                option.name: option.check(self._where((*where, option.name)), table.get(option.name, option.default))
                for option in spec.options
            }
            self._together(where, stage, options)
            chain.append(StageConfig(stage, name, options))
        if not chain:
            raise self._error(("chain",), "the chain is empty", "write at least one [[chain]]")
        return tuple(chain)

    def _together(self, where: tuple[str | int, ...], stage: str, options: dict[str, Any]) -> None:
        """Check what no option can check alone."""
        if stage == "spectral":
            analysis, synthesis, hop = options["analysis"], options["synthesis"], options["hop"]
            if synthesis > analysis or synthesis % hop or synthesis < 2 * hop:
                raise self._error(
                    (*where, "synthesis"), f"synthesis {synthesis} with analysis {analysis} and hop {hop}",
                    "allowed is a multiple of the hop, at least two hops, at most the analysis window",
                )
        if stage == "matrix":
            rows = options["mixing"]
            good = all(
                isinstance(row, list) and len(row) == len(rows) and all(_number(value) for value in row) for row in rows
            )
            if not good:
                allowed = "allowed are as many rows of numbers as there are microphones"
                raise self._error((*where, "mixing"), "this is no square matrix", allowed)

    def _params(self, table: dict[str, Any], chain: tuple[StageConfig, ...]) -> dict[str, float]:
        known = {
            f"{config.name}.{param.name}": param for config in chain for param in STAGES[config.stage].params
        } | {f"output.{param.name}": param for param in OUTPUT_PARAMS}
        values = {}
        for path, value in _flat(table):
            base = ".".join(path.split(".")[:2])
            place = ("params", path)
            if base not in known:
                raise self._error(place, f"there is no parameter {path!r}", f"known: {', '.join(known)}")
            param = known[base]
            if path != base and not param.per_mic:
                raise self._error(place, f"{path!r} is one for all microphones", f"write {base}")
            values[path] = param.check(self._where(place), value)
        return values

    def _known(self, where: tuple[str | int, ...], table: Mapping[str, Any], known: Iterable[str]) -> None:
        known = list(known)
        for key in table:
            if key not in known:
                raise self._error((*where, key), f"unknown key {key!r}", f"known: {', '.join(known)}")

    def _need(self, where: tuple[str | int, ...], table: Mapping[str, Any], key: str) -> Any:
        if key not in table:
            raise self._error(where, f"the key {key!r} is missing", "see the presets that come with rtsep")
        return table[key]

    def _where(self, keys: tuple[str | int, ...]) -> str:
        """Name the line of a key, or of the nearest thing around it that has one."""
        for length in range(len(keys), 0, -1):
            if keys[:length] in self._lines:
                return f"{self._place}:{self._lines[keys[:length]]}"
        return self._place

    def _error(self, keys: tuple[str | int, ...], problem: str, allowed: str) -> InputError:
        return InputError(self._where(keys), problem, allowed)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _flat(table: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Unfold a.b.c = 1, which TOML reads as tables when it is not quoted, into ("a.b.c", 1)."""
    flat: list[tuple[str, Any]] = []
    for key, value in table.items():
        flat += _flat(value, f"{before}{key}.") if isinstance(value, dict) else [(before + key, value)]
    return flat


_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*=""")


def _locate(text: str) -> dict[tuple[str | int, ...], int]:
    """Find the line of every table and key; `tomllib` tells lines only of syntax errors."""
    lines: dict[tuple[str | int, ...], int] = {}
    counts: dict[str, int] = {}
    table: tuple[str | int, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        key = _KEY.match(line)
        if header:
            name = header.group(2).strip("\"'")
            table = (name,)
            lines.setdefault(table, number)
            if header.group(1) == "[[":
                table = (name, counts.get(name, 0))
                counts[name] = counts.get(name, 0) + 1
                lines[table] = number
        elif key:
            parts = [part.strip().strip("\"'") for part in re.findall(r'"[^"]*"|\'[^\']*\'|[^."\'\s]+', key.group(1))]
            lines.setdefault((*table, ".".join(parts)), number)
    return lines
