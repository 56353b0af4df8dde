"""Changes: what the audio thread has noted of targets and chains, on its way from the tape into the recording.

Rows come as they were written; what changed at one sample becomes one line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from rtsep.hosts.tape import AT_THE_BEGINNING, CHAIN_TAKEN, CHANGES, LOST, READ, WRITTEN
from rtsep.shared import Shared
from rtsep.workers.timeline import Timeline

Line = tuple[str, dict[str, Any]]


class ChangeList:
    """The reader's side of the list of changes.

    Parameters
    ----------
    memory : Shared
        See `tape.tape_memory`.
    time : Timeline
    paths : sequence of str
        Of the targets on the board.
    """

    def __init__(self, memory: Shared, time: Timeline, paths: Sequence[str]) -> None:
        self._header, self._rows, self._time = memory["list_header"], memory["list"], time
        self._paths = list(paths)
        self._last = time.frame
        self._taken, self._lost = time.changes

    def know(self, first: int, paths: Sequence[str]) -> None:
        """Learn what stands on the board from a place on."""
        self._paths[first : first + len(paths)] = paths

    @property
    def state(self) -> tuple[int, int]:
        """How many rows have been taken, and how many are known to be lost: see `Timeline.changes`."""
        return self._taken, self._lost

    @property
    def written(self) -> int:
        """How many rows there are to be taken; what they say is seen at the next look."""
        return int(self._header[WRITTEN])

    def take(self, there: int, final: bool) -> Iterator[Line]:
        """Yield kind and details of a line for all that is known of, up to a row.

        Parameters
        ----------
        there : int
            What `written` was at the look before.
        final : bool
            Nobody will say any more what an unknown place is.
        """
        known = []
        for number in range(self._taken, there):
            life, sample, place, bits = map(int, self._rows[number % CHANGES])
            if life > self._time.life or (place >= len(self._paths) and not final):
                break
            known.append((life, sample, place, bits))
        for (life, sample), rows in groupby(known, lambda row: row[:2]):
            at = self._last = self._time.place(life, max(sample, 0))
            yield from self._lines(at, sample == AT_THE_BEGINNING, [row[2:] for row in rows])
        self._taken += len(known)
        self._header[READ] = self._taken
        # A full ring is far behind: what is missing came after what was taken last.
        if (lost := int(self._header[LOST])) > self._lost:
            yield "unknown", {"first": self._last, "last": self._time.frame, "values": lost - self._lost}
            self._lost = lost

    def _lines(self, at: int, beginning: bool, rows: list[tuple[int, ...]]) -> Iterator[Line]:
        for place, number in rows:
            if place == CHAIN_TAKEN:
                yield "chain", {"first": at, "last": at, "number": number}
        places = [place for place, _ in rows if place != CHAIN_TAKEN]
        bits = [number for place, number in rows if place != CHAIN_TAKEN]
        values = np.array(bits, np.int64).astype(np.int32).view(np.float32).tolist()
        told = {self._path(place): value for place, value in zip(places, values, strict=True)}
        if told:
            yield "values", {"first": at, "last": at, **({"beginning": True} if beginning else {}), "set": told}

    def _path(self, place: int) -> str:
        found = self._paths[place] if place < len(self._paths) else ""
        return found or f"#{place}"
