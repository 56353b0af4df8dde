"""Keys: what a terminal sends, taken apart: letters, and what it says of an arrow in several signs."""

from __future__ import annotations

import re

UP, DOWN = "up", "down"
_NAMES = {"a": UP, "b": DOWN}
_WHOLE = re.compile(r"\x1b(?:\[[0-9;<?]*([a-z@~])|o([a-z]))")   # in small letters; both ways that terminals have
_BEGUN = re.compile(r"\x1b(?:\[[0-9;<?]*|o)?\Z")


def split(text: str) -> tuple[list[str], str]:
    """Return the keys of a text in small letters, and what may be the beginning of another one.

    Arrows are `UP` and `DOWN`; whatever else is said in several signs is nothing: it must not be taken for letters.
    """
    keys: list[str] = []
    at = 0
    while at < len(text):
        if text[at] != "\x1b":
            keys.append(text[at])
            at += 1
        elif (found := _WHOLE.match(text, at)) is not None:
            name = _NAMES.get(found[1] or found[2])
            keys += [] if name is None else [name]
            at = found.end()
        elif _BEGUN.match(text, at):
            return keys, text[at:]
        else:
            at += 1
    return keys, ""
