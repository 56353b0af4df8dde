"""TOML that a person has written: read and parsed, unless that would cost too much, and the line of every complaint."""

from __future__ import annotations

import os
import re
import tomllib
from itertools import pairwise
from typing import Any

from rtsep.errors import InputError

MOST_PARTS = 32     # of a dotted key; a preset's have three
MOST_DEPTH = 32     # of brackets; a preset's have three

# No file that a person has written comes near it; a wrong path (a recording, /dev/zero) must not fill the memory.
LARGEST_FILE = 1 << 18

# Strings as they are told from the rest, and comments; an escaped quote ends none, and one or two may stand at the end.
_QUOTED = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL
)
_LONG_KEY = re.compile(rf"(?<![\w-])(?:[\w-]+[ \t]*\.[ \t]*){{{MOST_PARTS}}}")


def read(path: str | os.PathLike[str], place: str, what: str, allowed: str) -> str:
    """Return what is in a file.

    Parameters
    ----------
    path : str or path
    place : str
        What errors call it.
    what : str
        It should be: `preset`.
    allowed : str
        What the user may say in its place.

    Raises
    ------
    InputError
        If there is none, or it cannot be read, is too large or not UTF-8.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise InputError(place, f"there is no such {what}", allowed) from None
    except OSError as error:
        raise InputError(place, f"cannot be read: {error.strerror}", allowed) from None
    except ValueError:  # a path with a null character
        raise InputError(repr(place), "is not a path", allowed) from None
    if len(data) > LARGEST_FILE:
        raise InputError(place, f"is larger than {LARGEST_FILE} bytes", allowed)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        bad = data[error.start]
        raise InputError(f"{place}:{line}", f"byte 0x{bad:02x} is not UTF-8", "save the file as UTF-8") from None


def skeleton(text: str) -> str:
    """Return TOML without its comments and with `s` for every string; a line's number is what it was."""
    return _QUOTED.sub(lambda found: _outline(found[0]), text)


def _outline(quoted: str) -> str:
    return "" if quoted[0] == "#" else "s" + _INNER * quoted.count("\n")


_INNER = "\v\n"   # a line that goes on in a string


def too_deep(bones: str) -> tuple[int, str] | None:
    """Return the line and what is wrong with it, if keys or brackets go deeper than any preset's.

    The parser makes a table for each part of a key, and of each beginning of it: 120,000 parts are 8 GB.
    """
    found = _LONG_KEY.search(bones)
    if found is not None:
        return bones.count("\n", 0, found.start()) + 1, f"a key has more than {MOST_PARTS} parts"
    depth = 0
    for place in re.finditer(r"[][{}]", bones):
        depth += 1 if place[0] in "[{" else -1
        if depth > MOST_DEPTH:
            return bones.count("\n", 0, place.start()) + 1, f"there are more than {MOST_DEPTH} brackets in each other"
    return None


def statements(bones: str) -> list[int]:
    """Return the lines, from 0, on which a statement of a valid document begins, and behind them their number."""
    lines = bones.split("\n")
    begins, depth = [], 0
    for number, (before, line) in enumerate(pairwise(["", *lines])):
        if depth == 0 and line.strip() and not before.endswith("\v"):
            begins.append(number)
        depth += sum(line.count(c) for c in "[{") - sum(line.count(c) for c in "]}")
    return [*begins, len(lines)]


Key = tuple[str | int, ...]
"""Way through a document: keys of tables, numbers of array elements."""


class Document:
    """A parsed file, which knows on which line everything in it stands.

    Parameters
    ----------
    text : str
        TOML.
    place : str
        What errors call it; they add the line.
    example : str
        Where a person finds one that is right.

    Attributes
    ----------
    content : dict
        As tomllib parses it.

    Raises
    ------
    InputError
        If it is not TOML, or goes deeper than anything of ours.
    """

    def __init__(self, text: str, place: str, example: str) -> None:
        # Windows editors put a byte order mark in front, which tomllib refuses.
        self._text = text.removeprefix("\ufeff")
        self._place = place
        self._bones = skeleton(self._text)
        self.content = self._parse(example)

    def error(self, where: Key, subject: str, problem: str, allowed: str) -> InputError:
        """Return the complaint about what stands at `where`, which is called `subject`."""
        return InputError(f"{self._place}:{self.line(where)}", f"{_shown(subject)}: {_short(problem)}", allowed)

    def line(self, where: Key) -> int:
        """Return the line, from 1, on which the key at `where` (or the nearest one around it) begins.

        tomllib tells no lines, but the beginning of a valid document is itself valid if it ends with a statement. So
        the statement is the one that makes the key appear in what the beginning parses to.
        """
        where = where[: _depth(self.content, where)]
        lines, begins = self._text.split("\n"), statements(self._bones)
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

    def _parse(self, example: str) -> dict[str, Any]:
        if (deep := too_deep(self._bones)) is not None:
            raise InputError(f"{self._place}:{deep[0]}", deep[1], example)
        try:
            return tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            message = str(error)
        except (ValueError, RecursionError) as error:
            raise InputError(self._place, f"is not TOML: {_short(str(error))}", "see toml.io") from None
        found = re.search(r" \(at line (\d+), column (\d+)\)$", message)
        lines = self._text.rstrip().split("\n")
        number = min(int(found[1]), len(lines)) if found else len(lines)
        problem = message[: found.start()] if found else message.removesuffix(" (at end of document)")
        shown = _short(repr(lines[number - 1].strip()))
        raise InputError(f"{self._place}:{number}", f"{shown} is not TOML: {problem}", "see toml.io")


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


def _shown(text: str) -> str:
    """Quote what would break the one line of an error."""
    return _short(text if text.isprintable() else repr(text))


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "..."
