"""One recording that stands in several files, and one that begins later than others: read as a file is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtsep.audiofile.formats import READABLE, Block
from rtsep.audiofile.metadata import Tags
from rtsep.audiofile.opening import OneFile, open_file
from rtsep.errors import InputError


@dataclass(frozen=True)
class Member:
    """One recording of a folder.

    Parameters
    ----------
    pieces : tuple of Path
        Its files, in order.
    stem : str
        What they are called, without numbers of pieces.
    tags : Tags
        Of the first.
    lengths : tuple of int
        Frames of the pieces, if there are several.
    notes : tuple of str
        What there is to say of the pieces, if there are several.
    lead : int
        Frames by which it begins later than the earliest of the folder.
    """

    pieces: tuple[Path, ...]
    stem: str
    tags: Tags
    lengths: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    lead: int = 0

    @property
    def name(self) -> str:
        """Of its first file."""
        return self.pieces[0].name

    def __str__(self) -> str:
        """Return where it begins, for messages."""
        return str(self.pieces[0])

    def began(self, day: int) -> Tags:
        """Return its tags for what is read of it, which begins with the lead; a day has so many samples."""
        start = self.tags.start
        if start is None:
            return self.tags
        return self.tags.at(start - self.lead + (day if start < self.lead else 0))


def open_member(member: Member) -> OneFile | Joined:
    """Open a member, as `open_file` opens a file."""
    return open_file(member.pieces[0]) if len(member.pieces) == 1 and not member.lead else Joined(member)


class Joined:
    """Pieces, one after the other, behind silence; one of them is open at a time. See `OneFile`."""

    def __init__(self, member: Member) -> None:
        self._pieces, self._lead = member.pieces, member.lead
        self._number, self._file = 0, open_file(member.pieces[0])
        self.rate, self.channels = self._file.rate, self._file.channels
        self.notes = member.notes or self._file.notes
        lengths = member.lengths or (self._file.frames,)
        self._ends: list[int] = np.cumsum([member.lead, *lengths]).tolist()   # of the silence, and of each piece
        self.frames = self._ends[-1]
        self._at = 0
        self._is_there = True   # the piece that is open stands where we are

    def seek(self, frame: int) -> None:
        """Go to a frame."""
        self._at = min(frame, self.frames)
        self._is_there = False

    def read(self, frames: int) -> Block:
        """Return the next frames, fewer at the end: float32[frames, channels].

        Raises
        ------
        InputError
            If one that is there cannot be read, or a piece is not what it was when it was opened first.
        """
        found = np.zeros((max(0, min(frames, self.frames - self._at)), self.channels), np.float32)
        done = max(0, min(len(found), self._lead - self._at))   # silence
        while done < len(found):
            at = self._at + done
            if not self._is_there or at == self._ends[self._number + 1]:
                self._go(at)
            count = min(len(found) - done, self._ends[self._number + 1] - at)
            piece = self._file.read(count)
            if piece.shape != (count, self.channels):
                raise InputError(str(self._pieces[self._number]), "has become another file meanwhile", READABLE)
            found[done : done + count] = piece
            done += count
        self._at += done
        return found

    def close(self) -> None:
        """Close the piece that is open."""
        self._file.close()

    def _go(self, frame: int) -> None:
        """Open the piece in which a frame is, and go there."""
        number = int(np.searchsorted(self._ends, frame, side="right")) - 1
        if number != self._number:
            self._file.close()
            self._file, self._number = open_file(self._pieces[number]), number
        self._file.seek(frame - self._ends[number])
        self._is_there = True
