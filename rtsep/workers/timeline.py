"""Timeline: at which frame of the recording each row of the ring lies.

While an audio process lives its samples count, those too for which the ring had no room. From one to the next the
wall clock counts: where the looks of each audio process at its own samples put them, see `tape.Life`. That is right to
the device's period and a few milliseconds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtsep.hosts.tape import (
    COMMITTED,
    FIRST_LOOKS,
    LIVES,
    LIVES_COUNT,
    LOST,
    READ,
    SEGMENT,
    STATE_FIELDS,
    WRITTEN,
    Life,
    tape_rows,
)
from rtsep.shared import Shared

_NS = 1_000_000_000


class Sample(NamedTuple):
    """What was seen of the ring: rows written, frames lost, lives, and when (ns)."""

    written: int
    lost: int
    lives: int
    ns: int


class Jump(NamedTuple):
    """Silence in the recording: what it is for, and from which frame to which."""

    kind: str
    first: int
    last: int
    life: int


class Timeline:
    """Walks along the ring from where the state says.

    Parameters
    ----------
    memory : Shared
        See `tape.tape_memory`.
    rate : int
        Hz.

    Attributes
    ----------
    row, frame : int
        Up to here everything is in the files: of the ring, of the recording.
    life : int
        Of the row, from 0; -1: none has begun.
    events : int
        How many events have been noted; kept here for whoever comes next.
    changes : tuple of int
        How many changes have, and how many were lost; likewise.
    """

    def __init__(self, memory: Shared, rate: int) -> None:
        self._memory, self._rate = memory, rate
        self._capacity = tape_rows(rate)
        state = memory["state"][int(memory["counts"][COMMITTED]) % 2]
        self.fresh = not memory["counts"][COMMITTED]
        self.row, self.frame, self._lost, life, self.events, self._base, self._begin, *changes = map(int, state[:9])
        self.changes = changes[0], changes[1]
        self.life = -1 if self.fresh else life
        # Of what was lost while nobody looked is known only that it was behind the last row that was read.
        self._losses: list[tuple[int, int]] = []
        self.seen = Sample(self.row, self._lost, self.life + 1, 0)
        self._read = int(memory["header"][READ])
        self._bases = {self.life: self._base}

    def look(self, now: int) -> None:
        """See how far the ring has come; `now` in ns. What is seen is taken from the next look on."""
        header, before = self._memory["header"], self.seen
        while True:   # rows and losses of one moment
            written, lost = int(header[WRITTEN]), int(header[LOST])
            if int(header[WRITTEN]) == written:
                break
        self.seen = Sample(written, lost, int(self._memory["counts"][LIVES_COUNT]), now)
        if lost > before.lost:
            # Nothing is written to a full ring: where it still is full, it was lost, else where it was full before.
            full = written + SEGMENT > self._read + self._capacity
            self._losses.append((written if full else before.written, lost))

    def next(self, limit: int, lives: int, final: bool) -> int | Jump | None:
        """Say what comes next: rows up to the one returned, a jump, or nothing now.

        Parameters
        ----------
        limit : int
            Rows that may be read.
        lives : int
            Of the table that may be read.
        final : bool
            No audio process will write any more: decide by what is known.
        """
        end = limit
        begin = self.table(self.life + 1) if lives > self.life + 1 else None
        if begin is not None:
            end = min(end, begin.row)
        if self._losses:
            end = min(end, max(self.row, self._losses[0][0]))
        if self.row < end:
            return end
        most = None if begin is None else begin.lost
        if self._losses and self._losses[0][0] <= self.row and (most is None or self._lost < most):
            lost = self._losses[0][1] if most is None else min(self._losses[0][1], most)
            if lost == self._losses[0][1]:
                del self._losses[0]
            jump = Jump("lost", self.frame, self.frame + lost - self._lost, self.life)
            self._lost = lost
            return jump
        if begin is not None and begin.row <= self.row:
            return self._begin_life(begin, lives, final)
        return None

    def place(self, life: int, position: int) -> int:
        """Return the frame of a position in a life."""
        return self._bases.get(life, self._base) + position

    def at(self, sample: Sample) -> int:
        """Return the frame that was being written at a look, as the life that is now counts."""
        return self._base + max(0, sample.written + sample.lost - self._begin)

    def commit(self, events: int, changes: tuple[int, int]) -> None:
        """Keep how far everything has come: another recorder may go on from here."""
        self.events, self.changes = events, changes
        counts, state = self._memory["counts"], self._memory["state"]
        number = int(counts[COMMITTED]) + 1
        row: NDArray[np.int64] = np.zeros(STATE_FIELDS, np.int64)
        row[:9] = self.row, self.frame, self._lost, self.life, events, self._base, self._begin, *changes
        state[number % 2] = row
        counts[COMMITTED] = number

    def free(self) -> None:
        """Give the rows that are in the files back to the writer."""
        self._memory["header"][READ] = self._read = self.row

    def table(self, number: int) -> Life:
        """Return what the table says of a life."""
        return Life(*map(int, self._memory["lives"][number % LIVES]))

    def _begin_life(self, begin: Life, lives: int, final: bool) -> Jump | None:
        number, first = self.life + 1, self.frame
        if number and first:
            if begin.looks < FIRST_LOOKS and not final and lives == number + 1:
                return None
            first = max(first, self._base + (begin.begin - self.table(number - 1).end) * self._rate // _NS)
        jump = Jump("gap", self.frame, first, number)
        self.life, self._base, self._begin = number, first, begin.row + begin.lost
        self._bases[number] = first
        return jump
