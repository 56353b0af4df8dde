"""Playback: the supervisor's side of a recording that is played in place of the device's inputs."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING

from rtsep.errors import InputError
from rtsep.hosts.playring import END, HEARD, LOCATE_TO, LOCATES, LOOP, READ, UNDERRUNS, WRITTEN, PlayPlace, play_memory
from rtsep.hosts.signals import left_alone
from rtsep.workers import reader

if TYPE_CHECKING:
    from rtsep.params import Board

_MOST_DEATHS = 3   # of readers before a row has come


class Playback:
    """Keeps a reader at work, and is the desk's transport (`rtsep.control.desk.Transport`).

    Parameters
    ----------
    place : PlayPlace
        With the name of its memory.
    board : Board
        With `LAYOUT` on it.
    begin : float
        Seconds into the recording.

    Raises
    ------
    InputError
        If there is no such second.
    """

    def __init__(self, place: PlayPlace, board: Board, begin: float) -> None:
        self.place, self._board = place, board
        first = self._frame(begin)
        self._memory = play_memory(place, create=True)
        self._header = self._memory["header"]
        self._header[END], self._header[LOCATE_TO], self._header[LOCATES] = -1, first, 1
        self._deaths = self._underruns = 0
        self._ended = False
        self._start()

    @property
    def seconds(self) -> float:
        """How long the recording is."""
        return self.place.frames / self.place.rate

    @property
    def position(self) -> float:
        """Seconds into the recording."""
        return int(self._header[HEARD]) / self.place.rate

    def locate(self, seconds: float) -> None:
        """Go to a place, with short fades; any thread may.

        Raises
        ------
        InputError
            If there is no such second.
        """
        self._header[LOCATE_TO] = self._frame(seconds)
        self._header[LOCATES] += 1

    def update(self) -> list[str]:
        """See to the reader; call it some times a second. Returns lines that the user should read."""
        self._header[LOOP] = self._board.get("play.loop") > 0.5
        lines = []
        if (count := int(self._header[UNDERRUNS])) > self._underruns:
            times = "once" if count == 1 else f"{count} times"
            lines.append(f"the recording was not read in time: silence instead, {times} so far")
            self._underruns = count
        ended = 0 <= self._header[END] <= self._header[READ]
        if ended and not self._ended:
            lines.append("the recording is at its end")
        self._ended = ended
        if self._deaths < _MOST_DEATHS and not self._process.is_alive():
            self._deaths = 1 if self._header[WRITTEN] > self._written else self._deaths + 1
            self._pipe.close()
            why = f"exit code {self._process.exitcode}"
            if self._deaths < _MOST_DEATHS:
                lines.append(f"the process that reads the recording died ({why}); another one goes on")
                self._start()
            else:
                lines.append(f"{self.place.path} cannot be read any more ({why})")
        return lines

    def close(self) -> None:
        """End the reader, and remove the memory."""
        self._process.kill()
        self._process.join()
        self._pipe.close()
        self._memory.close()

    def _frame(self, seconds: float) -> int:
        frame = round(seconds * self.place.rate)
        if not 0 <= frame < self.place.frames:
            raise InputError(f"{seconds:g} s", "is not in the recording", f"0 to {self.seconds:.3f} s")
        return frame

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._written = int(self._header[WRITTEN])
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=reader.serve, args=(theirs, self.place), daemon=True)
        with left_alone():
            self._process.start()
        theirs.close()
