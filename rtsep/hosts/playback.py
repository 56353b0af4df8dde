"""Playback: a recording in place of the device's inputs. The supervisor's side, and what the processes share.

A reader (`rtsep.workers.reader`) fills a ring ahead of time; the audio process takes one row for each sample. Both may
die and come again: where they are stands in the memory, which the supervisor owns.
"""

from __future__ import annotations

import multiprocessing
import os
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rtsep.errors import InputError
from rtsep.hosts.devices import Mic
from rtsep.hosts.signals import left_alone
from rtsep.params import Param
from rtsep.shared import Shared

if TYPE_CHECKING:
    from rtsep.params import Board
    from rtsep.runner import Runner

# The header of the ring, as `rtsep_kernels.plane.player` has it: the reader comes without the compiler.
PLAYER_HEADER = 128
WRITTEN, READ, CUTS, CUT_ROW, BEFORE, END, UNDERRUNS = 0, 8, 16, 24, 32, 40, 48
# The reader's own: 1, from the end on to the beginning; how many times it was told to go elsewhere, and to which frame;
# the frame that is heard, and that of the row which comes next.
LOOP, LOCATES, LOCATE_TO, HEARD, NEXT = 56, 64, 72, 80, 88
AHEAD, SECONDS = 2.5, 7.0   # that are read ahead; that the ring holds: another place, before the old one is left
ENOUGH = 0.25               # seconds that are there before anything begins
FADE_SECONDS = 0.01
PARAMS = (
    Param("run", "on", 0.0, 1.0, 1.0, False, "The recording plays, or stands."),
    Param("loop", "on", 0.0, 1.0, 0.0, False, "At its end it begins again."),
)
LAYOUT = [("play", PARAMS)]   # of the board, when something is played
_MOST_DEATHS = 3   # of readers before a row has come


class PlayPlace(NamedTuple):
    """What is played, and where it is on its way: all that another process needs to attach."""

    path: str
    names: tuple[str, ...]
    rate: int
    frames: int
    memory: str = ""


def play_place(path: str) -> PlayPlace:
    """Look at a recording.

    Raises
    ------
    InputError
        If it is none.
    """
    from rtsep import audiofile

    if os.path.isfile(os.path.join(path, "recording.jsonl")):   # a take: what came in
        path = os.path.join(path, "in.wav")
    with audiofile.open_input(path) as source:
        return PlayPlace(path, tuple(source.names), source.rate, source.frames)


def play_memory(place: PlayPlace, create: bool) -> Shared:
    """Make the memory that the processes share, or attach to it; see `Shared`."""
    rows = round(SECONDS * place.rate)
    return Shared({
        "header": (np.int64, (PLAYER_HEADER,)), "data": (np.float32, (rows, len(place.names))),
    }, place.memory, create)


def fade_frames(rate: int) -> int:
    """Return how long fades are."""
    return round(FADE_SECONDS * rate)


def mics(place: PlayPlace, inputs: int, outputs: int) -> tuple[Mic, ...]:
    """Return the microphones of a recording on a device, one after the other; its inputs are opened and not heard."""
    count = len(place.names)
    return tuple(Mic(place.names[c], min(c, inputs - 1), c if c < outputs else None, 0) for c in range(count))


def attach(runner: Runner, board: Board, place: PlayPlace) -> None:
    """Play in place of a runner's inputs, from where the last audio process has stopped; before it is driven."""
    from rtsep_kernels.plane.player import PLAYER

    memory = play_memory(place, create=False)
    header, data = memory["header"], memory["data"]
    data.reshape(-1)[::1024].sum()   # the audio thread must not be the first to touch these pages
    state = PLAYER.make(
        channels=len(place.names), rows=len(data), header=header, data=data, run=board.address("play.run"),
        fade_frames=fade_frames(place.rate), enough=round(ENOUGH * place.rate), short=1,
        # Nothing has been read: the first cut is still to come.
        cuts=int(header[CUTS]) if header[READ] else 0,
    )
    runner.record.put("player", state)


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
        from rtsep.workers import reader

        context = multiprocessing.get_context("spawn")
        self._written = int(self._header[WRITTEN])
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=reader.serve, args=(theirs, self.place), daemon=True)
        with left_alone():
            self._process.start()
        theirs.close()
