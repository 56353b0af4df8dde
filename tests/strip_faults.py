"""A strip whose plug-in misbehaves beside two that do not: what is heard of each, for tests and `bench/plugins.py`."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from made_plugins import made

from rtsep import realtime
from rtsep.params import Board
from rtsep.stage import Block, Format
from rtsep.stages.strips import Strips

RATE, UNIT, LATE = 48000, 64, 32   # the plug-in's own latency, samples
MICS = ("vox", "kick", "bass")
GAIN = np.float32(10 ** (-6 / 20))
ARM, AFTER = 3000, 800   # units before it is armed, when a spare is ready; and after it is back
PATIENCE = 60.0          # seconds until it must be
ENDS = ("crash", "hang")                # faults that end the process; others are disarmed after so many units
DISARM = 400
OFF = 100     # units


@dataclass(frozen=True)
class Heard:
    """What was heard.

    Parameters
    ----------
    first_dry : int
        Units from the first one that the plug-in did not make to the first dry sample; -1: none was dry.
    between : int
        Samples of its strip that were neither wet nor dry.
    others : int
        Samples of the other strips that were not wet.
    away : float
        Seconds of its strip that were not wet.
    loudest : float
        Of all.
    wet_again : bool
        At the end, with what stands on the board.
    restarts : int
    """

    first_dry: int
    between: int
    others: int
    away: float
    loudest: float
    wet_again: bool
    restarts: int


def heard(kind: str, delay: int = 8192) -> Heard:
    """Play, arm the plug-in, and disarm it: at once where its process ends, as another one would crash again.

    Parameters
    ----------
    kind : str
        Of `made_plugins`.
    delay : int
        Of the stage; the default is longer than the machine ever stalls.
    """
    chains = [{"mic": "vox", "plugins": [{"plugin": "x", "name": "x", "path": str(made(kind))}]}]
    stage = Strips("strips", strips=chains, each=[{"plugin": "Gain"}], delay=delay, unit=UNIT)
    board = Board(MICS, [("strips", stage.params)])
    board.set("strips.gain.gain_db", -6)
    board.set("strips.vox.x.gain", -6)
    stage.prepare(Format(RATE, len(MICS)), board)
    try:
        stage.go_live()
        x = (0.1 * np.random.default_rng(0).standard_normal((len(MICS), int(PATIENCE * RATE)))).astype(np.float32)
        with ThreadPoolExecutor(1) as player:   # its priority is not for the processes that are started here
            out = player.submit(_play, stage, board, kind, x).result()
        return _look(x[:, : out.shape[1]], out, stage)
    finally:
        stage.close()


def _play(stage: Strips, board: Board, kind: str, x: Block) -> Block:
    """Play at the pace of the sound until it has been back for a while."""
    out, due, back = np.empty_like(x), time.monotonic(), 0
    block = np.empty((len(MICS), UNIT), np.float32)
    first, lost = stage.pids, False
    realtime.ask(realtime.AUDIO)
    for n in range(x.shape[1] // UNIT):
        here = slice(n * UNIT, (n + 1) * UNIT)
        if n == ARM:
            board.set("strips.vox.x.armed", 1)
        lost = lost or stage.pids[0] != first[0]
        if lost or (kind not in ENDS and n == ARM + DISARM):
            board.set("strips.vox.x.armed", 0)
        if kind == "nonumber" and n in (ARM + DISARM, ARM + DISARM + OFF):   # it was given up: turned off and on
            board.set("strips.vox.x.state", 0 if n == ARM + DISARM else 2)
        if not back and (lost and stage.pids[0] if kind in ENDS else n > ARM + DISARM):
            back = n
        if back and n > back + AFTER:
            return out[:, : here.start]
        stage.process(np.ascontiguousarray(x[:, here]), block)
        out[:, here] = block
        due += UNIT / RATE
        time.sleep(max(0.0, due - time.monotonic()))
    raise AssertionError(f"{kind}: it did not come back")


def _look(x: Block, out: Block, stage: Strips) -> Heard:
    dry = np.pad(x, ((0, 0), (stage.latency, 0)))[:, : x.shape[1]]
    wet = dry * GAIN
    is_wet, is_dry = np.isclose(out, wet, atol=1e-6), out == dry
    lost = np.flatnonzero(~is_wet[0])
    first = int(lost[0]) if lost.size else -1
    dries = np.flatnonzero(is_dry[0] & ~is_wet[0])
    return Heard(
        first_dry=-1 if not dries.size else (int(dries[0]) - first) // UNIT, between=int((~(is_wet | is_dry)[0]).sum()),
        others=int((~is_wet[1:]).sum()), away=float(lost.size / RATE), loudest=float(np.abs(out).max()),
        wet_again=bool(is_wet[0, -64 * UNIT :].all()), restarts=stage.status()["worker_restarts"],
    )
