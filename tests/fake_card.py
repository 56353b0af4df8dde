"""A sound card for tests: calls the compiled callback as PortAudio does, block by block, and records as a run does.

It is as fast as the helper threads that learn, so that no update is late on any machine.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable

import numpy as np

from rtsep import presets
from rtsep.hosts.changes import Changes
from rtsep.hosts.recording import Recording
from rtsep.hosts.tape import KINDS, Tape
from rtsep.params import Board
from rtsep.presets import Preset
from rtsep.session import Session
from rtsep.stage import Block
from rtsep_kernels.plane import due, grid

_CALL = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64,
    ctypes.c_void_p,
)
_WAITS = 20000   # of half a millisecond, at most, for one job


class FakeCard:
    """A live session on a card that plays an array.

    Parameters
    ----------
    preset : Preset
    rate : int
    names : tuple of str
    tape : Tape place, see `Recording.tape`
    folder : str
        Of the recording.
    board : Board
    """

    def __init__(
        self, preset: Preset, rate: int, names: tuple[str, ...], recording: Recording, folder: str, board: Board
    ) -> None:
        self.session = Session.open(preset, rate, names, board=board)
        self.engine, self.runner = self.session.engine, self.session.start()
        pins = np.arange(len(names), dtype=np.int32)
        record = self.runner.record
        record.put("inputs", pins)
        record.put("outputs", pins)
        record["device_inputs"] = record["device_outputs"] = len(names)
        record["fade"] = record["fade_target"] = 1
        self._call = _CALL(grid.run_interleaved.address)
        assert recording.tape is not None
        self.tape = Tape(self.runner, recording.tape)
        defaults = presets.make_board(preset, names).values
        stands = board.latched
        turned = np.flatnonzero(stands[: defaults.size] != defaults).tolist()
        self.tape.begin(
            self.engine.latency, self.engine.latch.state, [(n, int(stands.view(np.int32)[n])) for n in turned]
        )
        self.engine.go_live()
        self.changes = Changes(self.engine, lambda _: None, folder)

    def play(self, x: Block, block: int, look: Callable[[int], None]) -> None:
        """Play float32[channels, frames]; `look` is called between blocks, and told how many frames are done."""
        for first in range(0, x.shape[1], block):
            given = np.ascontiguousarray(x[:, first : first + block].T)
            heard = np.empty_like(given)
            self._call(given.ctypes.data, heard.ctypes.data, len(given), None, 0, self.runner.address)
            self._wait_for_helpers()
            time.sleep(0)
            look(first + len(given))
        self.tape.look({**dict.fromkeys(KINDS, 0.0), **self.engine.status(), "seconds": x.shape[1] / self.runner.rate})

    def _wait_for_helpers(self) -> None:
        for chain in (self.engine.chain, *self.engine._old):
            for stage in chain.stages:
                for record in (stage.record, *(link.record for link in getattr(stage, "_links", ()))):
                    counts = record["exchange"] if "exchange" in record.table.fields else None
                    for _ in range(_WAITS):
                        if counts is None or counts[due.DONE] >= counts[due.PUBLISHED]:
                            break
                        threading.Event().wait(0.0005)
