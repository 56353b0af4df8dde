"""Drive a canceller whose learning is on its helper thread, at a pace that the helper can keep on a loaded machine."""

from __future__ import annotations

import threading

import numpy as np

from rtsep.stage import Block
from rtsep.stages.canceller import Canceller
from rtsep_kernels.plane import due

_TRIES = 5
_WAITS = 20000   # of half a millisecond, at most, for one job


def process_live(stage: Canceller, x: Block) -> Block:
    """Process from a reset, until no update is late; the last try's output where all tries have late ones."""
    out = np.zeros_like(x)
    for _ in range(_TRIES):
        stage.reset()
        stage.go_live()
        try:
            for first in range(0, x.shape[1], 64):
                piece = np.ascontiguousarray(x[:, first : first + 64])
                result = np.empty_like(piece)
                stage.process(piece, result)
                out[:, first : first + 64] = result
                if first % 512 == 0:   # as slow as a clock
                    counts = stage.record["exchange"]
                    until = _WAITS
                    while counts[due.DONE] < counts[due.PUBLISHED] and until:
                        threading.Event().wait(0.0005)
                        until -= 1
        finally:
            stage.close()
        if stage.status()["late_updates"] == 0:
            break
    return out
