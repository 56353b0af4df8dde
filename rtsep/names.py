"""Names of microphones: which are taken, however they come in, and which of two sets mean the same microphones."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from rtsep.errors import InputError

LONGEST = 64    # characters; consoles and recorders have 6 to 31, and a line of the view still holds it
_TOLD = 4       # names that one line lists
_ALLOWED = f"allowed are 1 to {LONGEST} characters that can be shown in one line"


@dataclass(frozen=True)
class Match:
    """Which microphones of before are those of now.

    Parameters
    ----------
    places : tuple of int
        For each microphone of now its place among those of before; -1: it is not among them.
    note : str
        What of both does not match, as a part of a line; empty: nothing.
    """

    places: tuple[int, ...]
    note: str


def numbered(count: int) -> tuple[str, ...]:
    """Return `mic1`, `mic2` …: names of microphones that have none."""
    return tuple(f"mic{n}" for n in range(1, count + 1))


def checked(names: Sequence[str], place: str) -> tuple[str, ...]:
    """Return names as the program keeps them, or say what is wrong with one: the one check, wherever names come in.

    Parameters
    ----------
    names : sequence of str
        In Unicode's composed form afterwards, as file systems and keyboards differ in that; without spaces around.
    place : str
        What errors call them.

    Raises
    ------
    InputError
        If one is empty, longer than `LONGEST`, has characters that a terminal would obey rather than show, or is
        there twice. Brackets and quotes are characters like any other.
    """
    kept: list[str] = []
    for given in names:
        name = unicodedata.normalize("NFC", given).strip(" ")
        if not name:
            raise InputError(place, f"{_short(given)} is no name of a microphone", _ALLOWED)
        if len(name) > LONGEST:
            raise InputError(place, f"the name {_short(name)} has {len(name)} characters", _ALLOWED)
        if not name.isprintable():
            raise InputError(place, f"the name {_short(name)} has characters that cannot be shown", _ALLOWED)
        if name in kept:
            raise InputError(place, f"{_short(name)} is there twice", "allowed are names that differ")
        kept.append(name)
    return tuple(kept)


def is_mix(name: str) -> bool:
    """Whether a file of that name, as `from_files` makes it, holds all sources, whatever lies beside it."""
    return name.casefold() in ("mix", "mixture")


def from_files(stems: Sequence[str]) -> tuple[str, ...]:
    """Return names that are made of files', each as near to its own as is allowed: `01-kick` is `kick`."""
    return near([re.sub(r"^[0-9]+[\s._-]+(?=.)", "", unicodedata.normalize("NFC", stem)) for stem in stems])


def near(wanted: Sequence[str]) -> tuple[str, ...]:
    """Return names that are allowed, each as near as can be to one that may be anything.

    A second `kick` becomes `kick-2`. A name of digits alone becomes `mic3`, because parameter paths also take a
    microphone's number, and what is empty the number of its place.
    """
    names: list[str] = []
    taken: set[str] = set()
    for number, one in enumerate(wanted, 1):
        name = re.sub(r"[\s.=]+", "-", unicodedata.normalize("NFC", one).strip())   # . and = separate in paths
        name = "".join(c if c.isprintable() else "_" for c in name)[:LONGEST] or f"mic{number}"
        if name.isdecimal():
            name = f"mic{int(name)}"[:LONGEST]
        unique, copy = name, 2
        while unique in taken:
            suffix = f"-{copy}"
            unique, copy = name[: LONGEST - len(suffix)] + suffix, copy + 1
        taken.add(unique)
        names.append(unique)
    return tuple(names)


def match(before: Sequence[str], now: Sequence[str], place: str) -> Match:
    """Find the microphones of before among those of now.

    Where one side has no names of its own (`numbered`), none in common with the other, and as many, their order is
    what is known of them.

    Raises
    ------
    InputError
        If there is none: what is known is of another show.
    """
    at = {name: n for n, name in enumerate(before)}
    places = tuple(at.get(name, -1) for name in now)
    missing = [name for name, n in zip(now, places, strict=True) if n < 0]
    left = [name for name in before if name not in now]
    if not missing and not left:
        return Match(places, "")
    if len(missing) == len(now):
        if len(before) == len(now) and numbered(len(now)) in (tuple(before), tuple(now)):
            return Match(tuple(range(len(now))), f"taken in order: {listed(before)} are {listed(now)}")
        raise InputError(
            place, f"none of its {len(before)} microphones is in the show: {listed(before)}, but here {listed(now)}",
            "give the microphones the names of the soundcheck, or run it again",
        )
    parts = [f"no {listed(missing)}"] if missing else []
    if left:
        parts.append(f"{listed(left)} {'is' if len(left) == 1 else 'are'} not in the show")
    return Match(places, "; ".join(parts))


def listed(names: Sequence[str]) -> str:
    """Return names for a line: quoted, and not more than a line holds."""
    shown = ", ".join(f"'{name}'" for name in names[:_TOLD])
    return f"{shown} and {len(names) - _TOLD} more" if len(names) > _TOLD else shown


def _short(text: str) -> str:
    """Quote a name that may be anything."""
    return repr(text if len(text) <= LONGEST else text[: LONGEST - 3] + "...")
