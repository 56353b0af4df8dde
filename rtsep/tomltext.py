"""A preset's text before it is parsed: what would cost the parser hours or gigabytes, and where statements begin."""

from __future__ import annotations

import re
from itertools import pairwise

MOST_PARTS = 32     # of a dotted key; a preset's have three
MOST_DEPTH = 32     # of brackets; a preset's have three

# Strings as they are told from the rest, and comments; an escaped quote ends none, and one or two may stand at the end.
_QUOTED = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL
)
_LONG_KEY = re.compile(rf"(?<![\w-])(?:[\w-]+[ \t]*\.[ \t]*){{{MOST_PARTS}}}")


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
