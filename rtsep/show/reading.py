"""Reader: a TOML file of a show, with every mistake named by file, line, value and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rtsep.errors import InputError
from rtsep.params import Option
from rtsep.tomltext import Document, Key, read

SCHEMA = 1
"""The number that the `schema` of all files of a show must be."""

_EXAMPLE = "see a show that `rtsep show new FOLDER --example` writes"
_LONGEST = 200   # characters of a path or a pattern: four times what one with a long name has


class Reader:
    """Reads one file; keys that it does not know are refused.

    Parameters
    ----------
    path : Path
    what : str
        It should be: `show`.
    known : sequence of str
        Keys and tables that it may have, beside `schema`.
    needed : sequence of str
        Those that it must have.

    Raises
    ------
    InputError
    """

    def __init__(self, path: Path, what: str, known: Sequence[str], needed: Sequence[str]) -> None:
        self._place = str(path)
        self._document = Document(read(path, self._place, what, _EXAMPLE), self._place, _EXAMPLE)
        self._content = self._document.content
        known = ("schema", *known)
        for key in self._content:
            if key not in known:
                raise self.error((key,), "unknown key or table", f"known: {', '.join(known)}")
        for key in ("schema", *needed):
            if key not in self._content:
                raise InputError(f"{self._place}:1", f"{key} is missing", f"known: {', '.join(known)}")
        schema = self._content["schema"]
        if type(schema) is not int or schema != SCHEMA:
            raise self.error(("schema",), f"{schema!r} is not a schema of this version", f"allowed is {SCHEMA}")

    def error(self, where: Key, problem: str, allowed: str) -> InputError:
        """Return the complaint about what stands at `where`."""
        return self._document.error(where, ".".join(str(p) for p in where if isinstance(p, str)), problem, allowed)

    def take(self, option: Option) -> Any:
        """Return a checked value, or the default where there is none."""
        return self._checked((option.name,), option, self._content.get(option.name, option.default))

    def name(self, key: str) -> str:
        """Return a name that can be shown in one line, and is no number: numbers mean numbers."""
        value = self._content.get(key)
        if not isinstance(value, str) or not value.strip() or not value.isprintable() or value.isdecimal():
            raise self.error((key,), f"{value!r} is not a name", "allowed is a string in one line that is no number")
        return value

    def strings(self, key: str, default: Sequence[str] = ()) -> tuple[str, ...]:
        """Return a list of strings."""
        value = self._content.get(key, list(default))
        if not isinstance(value, list):
            raise self.error((key,), f"{value!r} is not a list", 'write ["…", "…"]')
        for number, one in enumerate(value):
            if not isinstance(one, str) or not one or not one.isprintable() or len(one) > _LONGEST:
                raise self.error((key, number), f"{one!r} is not allowed", "allowed are strings in one line")
        return tuple(value)

    def numbers(self, table: str, low: float = -math.inf, high: float = math.inf) -> dict[str, float]:
        """Return a table of numbers by path."""
        rule = Option("", float, 0.0, "", low, high)
        found: dict[str, float] = {}
        for where, value in self._leaves((table,)):
            number = self._checked(where, rule, value)
            if not math.isfinite(number):
                raise self.error(where, f"{number} is not a number", "allowed is one that is not inf or nan")
            found[self._path(where, found)] = number
        return found

    def texts(self, table: str) -> dict[str, str]:
        """Return a table of strings by path."""
        found: dict[str, str] = {}
        for where, value in self._leaves((table,)):
            if not isinstance(value, str):
                raise self.error(where, f"{value!r} is not allowed", "allowed is a string")
            found[self._path(where, found)] = value
        return found

    def _path(self, where: Key, before: dict[str, Any]) -> str:
        path = ".".join(str(part) for part in where[1:])
        if not path.isprintable() or len(path) > _LONGEST:
            raise self.error(where, "is not a path", f"allowed are up to {_LONGEST} characters in one line")
        if path in before:
            raise self.error(where, "is there twice", "allowed is once")
        return path

    def _leaves(self, where: Key) -> Iterator[tuple[Key, Any]]:
        table: Any = self._content
        for part in where:
            table = table.get(part, {})
        if not isinstance(table, dict):
            raise self.error(where, "is not a table", f"write [{where[0]}] once")
        for key, value in table.items():   # without quotes, a path is a table in a table to TOML
            if isinstance(value, dict):
                yield from self._leaves((*where, key))
            else:
                yield (*where, key), value

    def _checked(self, where: Key, option: Option, value: object) -> Any:
        try:
            return option.check("", value)
        except InputError as error:
            raise self.error(where, error.problem, error.allowed) from None
