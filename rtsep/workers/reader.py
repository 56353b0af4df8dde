"""The reader: a process that reads a recording ahead of its being played, so that no disk is ever waited for."""

from __future__ import annotations

import contextlib
import warnings
from collections import deque
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from rtsep.hosts.playring import (
    AHEAD,
    BEFORE,
    CUT_ROW,
    CUTS,
    END,
    ENOUGH,
    HEARD,
    LOCATE_TO,
    LOCATES,
    LOOP,
    NEXT,
    READ,
    WRITTEN,
    PlayPlace,
    fade_frames,
    play_memory,
)
from rtsep.hosts.signals import leave_terminal

if TYPE_CHECKING:
    from rtsep import audiofile

_POLL = 0.01    # seconds between two looks
_FRAMES = 4096  # that are read at once


def serve(pipe: Connection, place: PlayPlace) -> None:
    """Be the process; it ends with its parent."""
    from rtsep import audiofile  # the supervisor, which imports this, does not need it

    leave_terminal()
    warnings.simplefilter("ignore")   # it has all been said, by the supervisor
    with audiofile.open_input(place.path) as source:
        reader = Reader(source, place)
        with contextlib.suppress(EOFError, OSError):
            while not pipe.poll(0 if reader.look() else _POLL):
                pass


class Reader:
    """Fills the ring.

    What was written is shown at the next look: whoever sees the count sees the rows.

    Parameters
    ----------
    source : Input
    place : PlayPlace
    """

    def __init__(self, source: audiofile.Input, place: PlayPlace) -> None:
        self._source, self._rate = source, place.rate
        memory = play_memory(place, create=False)
        self._header, self._data = memory["header"], memory["data"]
        self._written = int(self._header[WRITTEN])
        self._frame = int(self._header[NEXT])
        self._located = int(self._header[CUTS])   # locates that have become cuts
        self._cut: tuple[int, int] | None = None   # of a place that is not shown yet: its row, rows before the place
        self._ended = False
        self._parts = deque([(self._written, self._frame)])   # from this row on, these frames of the file
        source.seek(self._frame)

    def look(self) -> bool:
        """Show what was read, see what is wanted, read some of it; False if there is nothing to be done now."""
        header = self._header
        self._show()
        if (wanted := int(header[LOCATES])) > self._located:
            self._located = wanted
            self._go(int(header[LOCATE_TO]))
        if self._frame >= self._source.frames:
            if header[LOOP]:
                self._ended = False
                self._turn(0)
            else:
                self._ended = True
        read = int(header[READ])
        ahead = self._written - (read if self._cut is None else self._cut[0])
        room = len(self._data) - (self._written - read)
        count = min(_FRAMES, round(AHEAD * self._rate) - ahead, room, self._source.frames - self._frame)
        if count <= 0:
            return False
        rows = self._source.read(count).T
        first = self._written % len(self._data)
        head = min(count, len(self._data) - first)
        self._data[first : first + head] = rows[:head]
        self._data[: count - head] = rows[head:]
        self._written += count
        self._frame += count
        return True

    def _show(self) -> None:
        header = self._header
        header[NEXT] = self._frame
        if self._cut is not None:
            row, before = self._cut
            if self._written - row >= round(ENOUGH * self._rate) or self._ended:
                header[END] = self._written if self._ended else -1
                header[CUT_ROW], header[BEFORE] = row, before
                header[WRITTEN] = self._written
                header[CUTS] = self._located
                self._cut = None
        else:
            header[END] = self._written if self._ended else -1
            header[WRITTEN] = self._written
        read = int(header[READ])
        if read < header[CUT_ROW]:   # where it will go on
            read = int(header[CUT_ROW] + header[BEFORE])
        while len(self._parts) > 1 and self._parts[1][0] <= read:
            self._parts.popleft()
        row, frame = self._parts[0]
        header[HEARD] = frame + max(0, read - row)

    def _go(self, frame: int) -> None:
        """Read on at a place, and a fade before it."""
        begin = max(0, frame - fade_frames(self._rate))
        self._ended = False
        self._cut = self._written, frame - begin
        self._turn(begin)

    def _turn(self, frame: int) -> None:
        self._source.seek(frame)
        self._frame = frame
        self._parts.append((self._written, frame))
