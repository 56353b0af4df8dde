"""A recording on its way to be played in place of the device's inputs: what the processes share.

A reader (`rtsep.workers.reader`) fills a ring ahead of time; the audio process takes one row for each sample. Both may
die and come again: where they are stands in the memory, which the supervisor owns (`rtsep.hosts.playback`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rtsep.hosts.devices import Mic
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
