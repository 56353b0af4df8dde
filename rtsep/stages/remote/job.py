"""Worker, what does the work; Job, what its process is told."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rtsep.shared import Layout
from rtsep_kernels.plane import due

Block = NDArray[np.float32]

# Messages from the owner, and to it. Each is a tuple of a word and bytes: what a worker knows.
KEEP, RESTORE, ASK = "keep", "restore", "ask"
READY, FAILED, STATE, QUIET, SAID, TOLD = "ready", "failed", "state", "quiet", "said", "told"

Pipe: TypeAlias = "Connection[Any, Any]"
Message = tuple[str, bytes]


class Worker(ABC):
    """What a factory returns: the work itself, in a process of its own, unit by unit.

    A factory is called as ``factory(rate, channels, unit, **settings)``. What a worker raises ends its process, which
    is started again with what `snapshot` returned last.
    """

    @abstractmethod
    def work(self, block: Block) -> Block:
        """Return what becomes of one unit, float32[channels, unit]; `block` cannot be written to.

        What is heard before and after a unit that was not on time is the dry input, so the worker must not add
        latency of its own: the stage's delay is all there is.
        """

    @abstractmethod
    def reset(self) -> None:
        """Be as new."""

    def turn(self, values: Block) -> None:   # noqa: B027  (has nothing to turn)
        """Take what the board says for the unit that comes next, float32[params]; cannot be written to."""

    def skipped(self) -> None:   # noqa: B027  (keeps nothing)
        """Know that units have been left out before the one that comes next: it was too late, or has been replaced."""

    def report(self) -> bytes:
        """Return what the stage should know of it as soon as it can work: how late what it makes is, for example."""
        return b""

    def news(self) -> list[str]:
        """Return what a user should be told, each once; asked for about once a second of sound."""
        return []

    def tell(self) -> Iterator[bytes]:
        """Tell what it keeps beside what stands on the board, bit by bit: one after each unit, the last one is all."""
        yield b""

    def snapshot(self) -> bytes:
        """Return all that runs: asked for about once a second of sound. Nothing, for a worker that keeps nothing."""
        return b""

    def restore(self, state: bytes) -> None:   # noqa: ARG002  (keeps nothing)
        """Go on from what `snapshot` has returned."""
        self.reset()


@dataclass(frozen=True)
class Job:
    """What a worker's process is told.

    Parameters
    ----------
    worker : str
        `module:factory`.
    rate, channels : int
    unit : int
        Frames.
    slots : int
        Units in the shared memory.
    memory : str
        Its name.
    settings : mapping
        For the factory.
    params : int
        Targets of the board that go with each unit, see `Worker.turn`.
    hung_ticks : int
        Looks of a tenth of a second without a unit done though there is one, after which it hangs: several, as the
        whole machine may stand still.
    """

    worker: str
    rate: int
    channels: int
    unit: int
    slots: int
    memory: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    params: int = 0
    hung_ticks: int = 20

    def layout(self) -> Layout:
        """Return what lies in the shared memory, as `rtsep_kernels.remote` uses it."""
        units = (self.slots, self.channels, self.unit)
        return {
            "exchange": (np.int64, (due.EXCHANGE,)), "marks": (np.int64, (self.slots, due.LINE)),
            "inputs": (np.float32, units), "outputs": (np.float32, units),
            "told": (np.float32, (self.slots, self.params)),
        }

    def make(self) -> Worker:
        """Make the worker."""
        module, _, factory = self.worker.partition(":")
        made: Worker = getattr(importlib.import_module(module), factory)(
            self.rate, self.channels, self.unit, **self.settings
        )
        return made
