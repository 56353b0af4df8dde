"""Workers for tests: one whose sound can be told from the dry input, one that remembers, and one for each fault."""

from __future__ import annotations

import os
import pathlib
import time

import numpy as np

from rtsep.stages.remote.job import Block, Worker

GAIN = np.float32(-0.5)


class Turned(Worker):
    """Half as loud, upside down."""

    def __init__(self, rate: int, channels: int, unit: int) -> None:
        self.shape = (channels, unit)
        self.rate = rate

    def work(self, block: Block) -> Block:
        assert block.shape == self.shape
        assert block.dtype == np.float32
        return block * GAIN

    def reset(self) -> None:
        pass


class Remembering(Turned):
    """Adds the mean of all units so far to each sample, and counts them."""

    def reset(self) -> None:
        self.count, self.total = 0, 0.0

    def work(self, block: Block) -> Block:
        self.count, self.total = getattr(self, "count", 0) + 1, getattr(self, "total", 0.0) + float(block.mean())
        return block + np.float32(self.total / self.count)

    def snapshot(self) -> bytes:
        return np.array([self.count, self.total]).tobytes()

    def restore(self, state: bytes) -> None:
        count, self.total = np.frombuffer(state)
        self.count = int(count)


class Poisoned(Turned):
    """Cannot go on from what it says it knows."""

    def snapshot(self) -> bytes:
        return b"poison"

    def restore(self, state: bytes) -> None:
        raise ValueError(state)


class Faulty(Turned):
    """Has a fault in some units, once for each of them if there is a folder to note it in.

    Parameters
    ----------
    fault : str
        `nan`, `inf`, `size`, `type`, `raise`, `slow`.
    units : tuple of int
        Counted from the last reset or start.
    folder : str, optional
        Where it is noted across lives of the process.
    """

    def __init__(self, rate: int, channels: int, unit: int, fault: str, units: tuple[int, ...],
                 folder: str | None = None) -> None:
        super().__init__(rate, channels, unit)
        self.fault, self.units, self.folder = fault, units, folder
        self.count = -1   # the first unit is the host's own

    def reset(self) -> None:
        self.count = 0

    def work(self, block: Block) -> Block:
        count, self.count = self.count, self.count + 1
        if count not in self.units or (self.folder and not self._first(count)):
            return super().work(block)
        result = super().work(block)
        if self.fault in ("nan", "inf"):
            result[-1, -1] = np.float32(self.fault)
        elif self.fault == "size":
            result = result[:, :-1]
        elif self.fault == "type":
            result = result.astype(np.float64)
        elif self.fault == "raise":
            raise RuntimeError("a planted fault")
        elif self.fault == "slow":
            time.sleep(0.4)
        return result

    def _first(self, count: int) -> bool:
        try:
            os.close(os.open(pathlib.Path(self.folder or "") / str(count), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True


def dying(*_: int) -> Worker:
    os.abort()


def broken(rate: int, channels: int, unit: int) -> Worker:
    raise OSError(f"no model for {channels} channels at {rate} Hz in units of {unit}")
