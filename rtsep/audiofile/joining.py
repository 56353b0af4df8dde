"""Whether files that are numbered through are pieces of one recording: judged by their names, lengths and time stamps.

Recorders begin a new file where the old one is full: at 2 or 4 GiB, or after a time. So all pieces but the last are as
long as one another. Microphones of one concert are all as long; takes are as long as they happen to be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rtsep.audiofile.metadata import Tags
from rtsep.audiofile.numbering import Series, is_generic
from rtsep.errors import InputError

DAY = 86400           # seconds
_SAME = 0.01          # of a length: recorders write whole clusters, and end where a buffer ends
_SHORT_OF = 0.03      # of a limit: headers, and what is left of a cluster or a buffer
_LIMITS = tuple(unit * n for unit in (10**9, 1 << 30) for n in (1, 2, 4))   # bytes
_SEAM = 0.1           # seconds: time stamps count video frames on some recorders, of 1/24 s and more
_TAKES = "render each take by itself"


@dataclass(frozen=True)
class Shape:
    """What a file is: its format, its length, and what it says beside the sound.

    Parameters
    ----------
    rate, channels, frames, size : int
        The last in bytes.
    tags : Tags
    notes : tuple of str
        Of its length.
    """

    rate: int
    channels: int
    frames: int
    size: int
    tags: Tags
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.frames / self.rate

    @property
    def full(self) -> bool:
        """Whether a file of this size may have been full."""
        return any(limit * (1 - _SHORT_OF) <= self.size <= limit for limit in _LIMITS)


Look = Callable[[Path], Shape]


def joins(one: Series, every: Sequence[Series], look: Look) -> bool:
    """Return whether mono files are pieces, and not microphones or takes; where nothing says so, they are not.

    Raises
    ------
    InputError
        If their names say so beyond doubt, but one is missing or has another length.
    """
    shapes = [look(file) for file in one.files]
    if len({(shape.rate, shape.channels) for shape in shapes}) > 1:
        return False
    gaps = seams(shapes)
    if gaps is not None and all(abs(gap) <= _SEAM for gap in gaps):
        return True
    if one.kind == "take" or (gaps is not None and min(gaps) < -_SEAM):
        return False
    alike = [other for other in every if other.numbers[0] == one.numbers[0] and other.counted == one.counted]
    tracks = one.counted and one.base != "" and len(alike) > 1
    if (one.counted and (one.plain or one.kind == "piece")) or (tracks and one.broken):
        _check(one, shapes)
        return True
    if one.broken or gaps is not None or _unfit(one, shapes):
        return False
    if tracks or all(shape.full for shape in shapes[:-1]):
        return True
    shorter = shapes[-1].frames < shapes[0].frames * (1 - _SAME)
    same = [[look(file).frames for file in other.files] == [shape.frames for shape in shapes] for other in alike]
    named = one.digits > 1 or is_generic(one.base)   # three voices may end before one another, too
    return shorter and ((len(shapes) > 2 and named) or (one.counted and named) or sum(same) > 1)


def check_polyphonic(one: Series, look: Look) -> None:
    """Refuse polyphonic files that are not pieces of one recording: they cannot be microphones either.

    Raises
    ------
    InputError
    """
    shapes = [look(file) for file in one.files]
    first = shapes[0]
    for file, shape in zip(one.files, shapes, strict=True):
        if (shape.rate, shape.channels) != (first.rate, first.channels):
            problem = f"has {shape.channels} channels at {shape.rate} Hz"
            allowed = f"{one.files[0].name} has {first.channels} at {first.rate} Hz; pieces of a recording are alike"
            raise InputError(str(file), problem, allowed)
    gaps = seams(shapes)
    if gaps is not None and all(abs(gap) <= _SEAM for gap in gaps):
        return
    if one.kind == "take":
        raise InputError(str(one.files[1]), f"is called a take, as {one.files[0].name}", _TAKES)
    for file, gap in zip(one.files[1:], gaps or (), strict=False):
        if gap < -_SEAM:
            problem = f"begins {-gap:.1f} s before the file in front of it has ended, as its time stamp says"
            raise InputError(str(file), problem, _TAKES)
    _check(one, shapes)


def seams(shapes: Sequence[Shape]) -> list[float] | None:
    """Return seconds from the end of each file to the begin of the next, by their time stamps.

    None: not all have one, or all have the same, because the recorder has written down when it began.
    """
    starts = [shape.tags.start for shape in shapes]
    known = [start for start in starts if start is not None]
    if len(known) < len(starts) or len(set(known)) == 1:
        return None
    rate = shapes[0].rate
    pairs = zip(known, known[1:], shapes, strict=False)
    return [apart(before, after, rate) / rate - shape.seconds for before, after, shape in pairs]


def apart(one: int, other: int, rate: int) -> int:
    """Return samples from one time of day to another, over midnight if that is nearer."""
    half = DAY * rate // 2
    return (other - one + half) % (DAY * rate) - half


def is_recorders(one: Series) -> bool:
    """Return whether nobody but a recorder has named these files, with a counter: an X-LIVE's `00000001`."""
    return one.counted and not one.kind and is_generic(one.base)


def _check(one: Series, shapes: Sequence[Shape]) -> None:
    """Refuse pieces of which one is missing or has a length that no piece has."""
    problem = _unfit(one, shapes)
    if problem:
        raise InputError(problem[0], problem[1], problem[2])


def _unfit(one: Series, shapes: Sequence[Shape]) -> tuple[str, str, str] | None:
    """Return where, what is wrong with the pieces, and what to do about it."""
    first, last = shapes[0], shapes[-1]
    if one.broken:
        before, number = one.numbers[one.broken - 1 : one.broken + 1]
        other = one.files[one.broken - 1].name
        problem = f"is piece {number}, but there is no {before + 1} between it and {other}"
        allowed = "put it back, or render what is before and behind it by itself"
        if number == before:
            problem, allowed = f"is piece {number}, and so is {other}", "allowed is one of each number"
        return str(one.files[one.broken]), problem, allowed
    if all(shape.full for shape in shapes[:-1]):
        return None
    for file, shape in zip(one.files[1:], shapes[1:], strict=True):
        longer = shape.frames > first.frames * (1 + _SAME)
        if longer or (shape is not last and shape.frames < first.frames * (1 - _SAME)):
            problem = f"has {shape.seconds:.1f} s, but {one.files[0].name} {first.seconds:.1f} s"
            return str(file), problem, f"pieces are as long as the first, but for the last; if they are takes, {_TAKES}"
    return None
