"""What a folder of recordings is: which files are pieces of one, and when each begins. Said in a line each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rtsep.audiofile import metadata
from rtsep.audiofile.alignment import leads
from rtsep.audiofile.formats import natural
from rtsep.audiofile.joining import Shape, check_polyphonic, is_recorders, joins
from rtsep.audiofile.numbering import Series, is_track, retaken, series
from rtsep.audiofile.opening import open_file
from rtsep.audiofile.pieces import Member
from rtsep.limits import MOST_MICS

_MOST_PIECES = MOST_MICS   # of a polyphonic recording: a day of 32 channels; beyond, they are too many microphones
_TOLD = 2        # series that one line names
_MARKS = " ._-#("   # that stand before a number
_TAKES_APART = "Takes belong into folders of their own"
_AT_ONCE = "they are taken for microphones that play at once"


@dataclass(frozen=True)
class Arrangement:
    """The recordings of a folder.

    Parameters
    ----------
    members : tuple of Member
        In natural order of their names.
    notes : tuple of str
        What has been assumed; lines.
    """

    members: tuple[Member, ...]
    notes: tuple[str, ...]


def arrange(files: Sequence[Path], separate: bool = False) -> Arrangement:
    """Find out what the files of a folder are to one another.

    Parameters
    ----------
    files : sequence of Path
        At least one; in natural order. Only what numbers or time stamps make a question of is opened.
    separate : bool
        Polyphonic files are recordings of their own, not pieces, unless a recorder has named them.

    Raises
    ------
    InputError
        If pieces of a recording are missing or do not fit one another.
    """
    looker = _Looker()
    joined, notes = _join(files, looker, separate)
    taken = {file for one in joined for file in one.files}
    members = [Member((file,), file.stem, metadata.read(file)) for file in files if file not in taken]
    for one in joined:
        lengths = tuple(looker(file).frames for file in one.files)
        stem = one.base.rstrip(_MARKS) or one.files[0].stem
        notes_of = tuple(note for file in one.files for note in looker(file).notes)
        members.append(Member(one.files, stem, looker(one.files[0]).tags, lengths, notes_of))
    members.sort(key=lambda member: natural(member.name))
    placed, line = _place(members, looker)
    return Arrangement(tuple(placed), tuple(f"{files[0].parent}: {note}" for note in (*notes, line) if note))


class _Looker:
    """Opens a file once to see what it is."""

    def __init__(self) -> None:
        self._known: dict[Path, Shape] = {}

    def __call__(self, file: Path) -> Shape:
        if file not in self._known:
            sound = open_file(file)
            sound.close()
            size = os.stat(file).st_size
            self._known[file] = Shape(
                sound.rate, sound.channels, sound.frames, size, metadata.read(file), sound.notes
            )
        return self._known[file]


def _join(files: Sequence[Path], look: _Looker, separate: bool) -> tuple[list[Series], list[str]]:
    """Return what is joined, and lines about it."""
    through = series(files, tight=True) if len(files) <= _MOST_PIECES else []
    whole = next((one for one in through if len(one.files) == len(files)), None)
    if whole and look(whole.files[0]).channels > 1 and (not separate or is_recorders(whole)):
        check_polyphonic(whole, look)
        return [whole], [_told_joined([whole], look)]
    every = series(files)
    joined = [one for one in every if joins(one, every, look)]
    notes = [_told_joined(joined, look)] if joined else []
    left = [one for one in every if one not in joined and _looks_taken(one, every, look)]
    again = retaken([file for file in files if all(file not in one.files for one in every)])
    if left:
        notes.append(_told_left(left))
    elif again:
        notes.append(f"{again[0].name}, {again[1].name} look like takes; {_AT_ONCE}. {_TAKES_APART}")
    return joined, notes


def _looks_taken(one: Series, every: Sequence[Series], look: _Looker) -> bool:
    """Return whether files that are not joined look like takes or pieces, rather than like two microphones."""
    lengths = {look(file).frames for file in one.files}
    others = sum(other.numbers == one.numbers for other in every)
    track = is_track(one.base.rstrip(_MARKS))
    return bool(len(lengths) > 1 or one.kind or one.digits or one.plain or others > 1 or track)


def _told_joined(joined: Sequence[Series], look: _Looker) -> str:
    seconds = sum(look(file).seconds for file in joined[0].files)
    shown = ", ".join(_chain(one) for one in joined[:_TOLD])
    more = f" and {len(joined) - _TOLD} more" if len(joined) > _TOLD else ""
    line = f"joined in order, as pieces of one recording of {seconds:.1f} s: {shown}{more}"
    if look(joined[0].files[0]).channels > 1:
        return line
    return f"{line}; what are microphones of their own needs names that do not count on"


def _told_left(left: Sequence[Series]) -> str:
    names = ", ".join(file.name for file in left[0].files[:_TOLD])
    base, suffix = left[0].base.rstrip(_MARKS) or "x", left[0].files[0].suffix
    return (
        f"{names} look like takes or pieces; {_AT_ONCE}. {_TAKES_APART}; pieces are joined if they "
        f"are called {base}{suffix}, {base}-0001{suffix}, {base}-0002{suffix}"
    )


def _chain(one: Series) -> str:
    names = [file.name for file in one.files]
    return " + ".join(names if len(names) <= _TOLD + 1 else [names[0], names[1], "...", names[-1]])


def _place(members: Sequence[Member], look: _Looker) -> tuple[list[Member], str]:
    """Return the members with their leads, and what is to be said of them."""
    if len({member.tags.start for member in members}) < 2:
        return list(members), ""
    shapes = []
    for member in members:
        shape = look(member.pieces[0])
        shapes.append(replace(shape, frames=sum(member.lengths) or shape.frames))
    found, line = leads(shapes, [member.name for member in members])
    return [replace(member, lead=lead) for member, lead in zip(members, found, strict=True)], line
