"""Which files of a folder are called as pieces, or takes, of one track: `Tr1`, `Tr1-0001`; `00000001`, `00000002`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

# Behind these a number says which track it is, as in `Track 01`; nobody's continuation is called so.
_TRACKS = {"tr", "trk", "track", "tracks", "ch", "chan", "channel", "in", "input", "mic", "audio", "line", "out"}
_TAKES = {"take", "takes", "tk", "tak", "version", "ver", "v", "comp", "playlist"}
_PIECES = {"part", "pt", "piece", "split", "cont", "continued", "segment", "seg"}
# What recorders call what nobody has named: `ZOOM0001_Tr1`, `TRACK01`, `180101_0001`.
_GENERIC = {
    *_TRACKS, "zoom", "t", "scene", "song", "session", "rec", "recording", "tascam", "dr", "mixpre", "ste", "poly",
    "mono", "wav", "file",
}
_COUNTED = (_GENERIC | _TAKES) - _TRACKS
_LONG = 3             # digits of a number that is padded so: counters of recorders, no one's second microphone
_DIGITS_ALONE = 6     # of a name that is a number, at least: X-LIVE has 8, tracks have up to 3

_NUMBERED = re.compile(r"(?P<base>.*?)(?P<mark>[\s._#(-]+)(?P<digits>[0-9]{1,9})\)?")
_ENDS_IN_DIGITS = re.compile(r"(?P<base>.*?)(?P<mark>)(?P<digits>[0-9]{1,9})")
_AMID = re.compile(r"((?:[^0-9]*[^a-z0-9])?(?P<word>[a-z]+)[\s._-]*)[0-9]+([\s._-].*?)([0-9]*)")
_WORD = re.compile(r"(?P<base>.*?)(?P<mark>[\s._-]*)(?P<word>[A-Za-z]+)$")


class _Numbered(NamedTuple):
    base: str
    digits: str
    kind: str
    file: Path


@dataclass(frozen=True)
class Series:
    """Files that are numbered through, in order.

    Parameters
    ----------
    base : str
        What their names have in common.
    files : tuple of Path
    numbers : tuple of int
        Of the files; one without a number comes before those that have one.
    digits : int
        Of the shortest number that is padded; 0: none is.
    plain : bool
        The first file has no number.
    kind : str
        `piece` or `take` if a word says so, otherwise empty.
    """

    base: str
    files: tuple[Path, ...]
    numbers: tuple[int, ...]
    digits: int
    plain: bool
    kind: str

    @property
    def broken(self) -> int:
        """Which is the first file that does not follow the one before it; 0: all do."""
        pairs = zip(self.numbers, self.numbers[1:], strict=False)
        return next((i for i, (before, after) in enumerate(pairs, 1) if after != before + 1), 0)

    @property
    def counted(self) -> bool:
        """Whether a recorder's counter has named them, with zeros before it, rather than a hand."""
        return self.digits >= _LONG or self.kind == "piece"


def series(files: Sequence[Path], tight: bool = False) -> list[Series]:
    """Return the files that are called as parts of one another: two or more of each.

    Parameters
    ----------
    files : sequence of Path
    tight : bool
        Also take a number that nothing stands before, and that of a track: `REC1`, `REC2`, `Track 1`.
    """
    found: dict[tuple[str, str], list[_Numbered]] = {}
    for file in files:
        number = _number(file, tight)
        if number is not None:
            found.setdefault((number.base.casefold(), number.kind), []).append(number)
    stems = {file.stem.casefold(): file for file in files}
    firsts = {key: stems[key[0]] for key in found if key[0] in stems and key[1] != "take"}   # `x` of `x-0001`
    every = []
    for key, numbers in found.items():
        members = [one for one in numbers if one.file not in firsts.values()]
        members.sort(key=lambda one: (int(one.digits), one.file.name))
        first = [firsts[key]] if key in firsts else []
        if len(first) + len(members) > 1:
            every.append(_series(first, members))
    return every


def is_generic(stem: str) -> bool:
    """Return whether a recorder, and nobody else, has given a file its name."""
    words = re.findall(r"[^\W\d_]+", stem.casefold())
    return all(word in _GENERIC for word in words)


def is_track(base: str) -> bool:
    """Return whether what comes before a number is a track that has nothing but its own number: `Tr1`."""
    found = _ENDS_IN_DIGITS.fullmatch(base)
    word = _WORD.fullmatch(found["base"].rstrip(" ._-")) if found else None
    return word is not None and word["word"].casefold() in _TRACKS


def retaken(files: Sequence[Path]) -> list[Path]:
    """Return the first two whose names differ in a number amid them alone: `ZOOM0001_Tr1`, `ZOOM0002_Tr1`."""
    seen: dict[tuple[str, str, str], Path] = {}
    for file in files:
        found = _AMID.fullmatch(file.stem.casefold())
        if found and found["word"] not in _COUNTED:
            found = None
        other = seen.setdefault((found[1], found[3], found[4]), file) if found else file
        if other is not file:
            return [other, file]
    return []


def _series(first: list[Path], members: Sequence[_Numbered]) -> Series:
    numbers = [int(member.digits) for member in members]
    if first:   # `x`, `x-2` count from 1
        numbers.insert(0, 1 if numbers[0] == 2 else 0)
    padded = [len(member.digits) for member in members if member.digits.startswith("0")]
    files = (*first, *(member.file for member in members))
    return Series(members[0].base, files, tuple(numbers), min(padded, default=0), bool(first), members[0].kind)


def _number(file: Path, tight: bool) -> _Numbered | None:
    """Return what comes before the number of a name, its digits, and what kind a word makes of it."""
    stem = file.stem.strip()
    if stem.isdecimal() and stem.isascii():
        return _Numbered("", stem, "", file) if tight or len(stem) >= _DIGITS_ALONE else None
    for pattern in (_NUMBERED, _ENDS_IN_DIGITS):
        found = pattern.fullmatch(stem)
        if found is None:
            continue
        word = _WORD.fullmatch(found["base"])
        said = word["word"].casefold() if word else ""
        if word and said in _TAKES:
            return _Numbered(word["base"], found["digits"], "take", file)
        if word and said in _PIECES and word["base"]:   # alone, it may be a part of a separation
            return _Numbered(word["base"], found["digits"], "piece", file)
        if pattern is _ENDS_IN_DIGITS and not tight:
            return None
        if said in _TRACKS and not tight:
            return None
        return _Numbered(found["base"], found["digits"], "", file)
    return None
