"""Meters: what a running engine shows of itself, in memory that other processes may read."""

from __future__ import annotations

from multiprocessing import shared_memory

import numpy as np
from numpy.typing import NDArray

from rtsep.figures import FIGURES

# Rows of `levels`, one value per microphone, over the last 2048 frames. The compiled engine writes them.
LEVELS = ("in_peak", "out_peak", "in_power", "out_power", "dry_power", "limiter_gain")
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
    levels : float32[6, channels]
        Peaks linear, powers as sums of squares over 2048 frames.
    """

    def __init__(self, channels: int, name: str | None = None, create: bool = True) -> None:
        size = 8 * (_COUNTER_SPACE + _STATUS_SPACE) + 4 * len(LEVELS) * channels
        self._memory: shared_memory.SharedMemory | None = None
        self._owner = create
        if name is None:
            raw: NDArray[np.uint8] = np.zeros(size + 64, np.uint8)
            start = -raw.ctypes.data % 64
            raw = raw[start : start + size]
        else:
            self._memory = shared_memory.SharedMemory(name, create=create, size=size)
            raw = np.ndarray(size, np.uint8, self._memory.buf)
        self.counters: NDArray[np.int64] = raw[: 8 * _COUNTER_SPACE].view(np.int64)
        self.status: NDArray[np.float64] = raw[8 * _COUNTER_SPACE : 8 * (_COUNTER_SPACE + _STATUS_SPACE)].view(
            np.float64
        )
        self.levels: NDArray[np.float32] = (
            raw[8 * (_COUNTER_SPACE + _STATUS_SPACE) :].view(np.float32).reshape(len(LEVELS), channels)
        )
        if create:
            self.levels[LEVELS.index("limiter_gain")] = 1   # nothing is limited

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

    @property
    def name(self) -> str | None:
        """Of the shared memory, for another process to open; None where the meters are private."""
        return None if self._memory is None else self._memory.name

    def close(self) -> None:
        """Let go of the shared memory, and remove it if this side made it."""
        if self._memory is not None:
            self.counters, self.status = self.counters.copy(), self.status.copy()
            self.levels = self.levels.copy()
            self._memory.close()
            if self._owner:
                self._memory.unlink()
            self._memory = None
