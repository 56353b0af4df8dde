"""Meters: what a running engine shows of itself, in memory that other processes may read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtsep.figures import FIGURES
from rtsep.shared import Shared

METER_FRAMES = 2048   # that levels are measured over, as `rtsep_kernels.plane.engine` has it, which is slow to import
# Rows of `levels`, one value per microphone, over the last `METER_FRAMES`. The compiled engine writes them.
LEVELS = ("in_peak", "out_peak", "in_power", "out_power", "dry_power", "wet_power", "limiter_gain")
# Places of `counters`, which the compiled engine writes.
COUNTERS = ("frames", "faults", "limited")
_COUNTER_SPACE = 8
# Places of `status`, which the audio process's own thread writes a few times a second.
STATUS = ("running", "latency", "device_latency", *(figure.name for figure in FIGURES))
_STATUS_SPACE = -(-len(STATUS) // 8) * 8   # whole cache lines


class Meters:
    """Levels, counters and status of an engine.

    Parameters
    ----------
    channels : int
    name : str, optional
        Shared memory to use; without it the meters are private.
    create : bool
        Make the shared memory; `close` then removes it.

    Attributes
    ----------
    counters : int64[8]
    status : float64[24]
        `STATUS`: everything of `rtsep.figures`, and what the stream is.
    levels : float32[7, channels]
        Peaks linear, powers as sums of squares over 2048 frames. `dry` and `wet` are the chain's, before any gain.
    """

    def __init__(self, channels: int, name: str | None = None, create: bool = True) -> None:
        self._memory = Shared({
            "counters": (np.int64, (_COUNTER_SPACE,)), "status": (np.float64, (_STATUS_SPACE,)),
            "levels": (np.float32, (len(LEVELS), channels)),
        }, name, create)
        self.counters: NDArray[np.int64] = self._memory["counters"]
        self.status: NDArray[np.float64] = self._memory["status"]
        self.levels: NDArray[np.float32] = self._memory["levels"]
        if create:
            self.levels[LEVELS.index("limiter_gain")] = 1   # nothing is limited

    @property
    def name(self) -> str | None:
        """Of the shared memory; None: the meters are private."""
        return self._memory.name

    def level(self, name: str) -> NDArray[np.float32]:
        """Return one row of `levels`."""
        row: NDArray[np.float32] = self.levels[LEVELS.index(name)]
        return row

    def counter(self, name: str) -> int:
        """Return one counter."""
        return int(self.counters[COUNTERS.index(name)])

    def get(self, name: str) -> float:
        """Return one status value."""
        return float(self.status[STATUS.index(name)])

    def put(self, name: str, value: float) -> None:
        """Set one status value."""
        self.status[STATUS.index(name)] = value

    def close(self) -> None:
        """Remove the shared memory if this side made it; the figures stay readable."""
        self._memory.close()
