"""The worker's process: waits for a unit, has it worked on, says that it is done. `rtsep.stages.remote` starts it.

It ends when it is told to, and when its owner is gone: then the pipe between them ends.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rtsep import realtime
from rtsep.errors import InputError
from rtsep.shared import Shared
from rtsep.stages.remote.job import (
    ASK,
    FAILED,
    QUIET,
    READY,
    RESTORE,
    SAID,
    STATE,
    TOLD,
    Block,
    Job,
    Message,
    Pipe,
    Worker,
)
from rtsep_kernels.plane import due

_KEEP_SECONDS = 1.0   # of sound, between two snapshots
_PR_SET_PDEATHSIG = 1   # of linux/prctl.h


def serve(pipe: Pipe) -> None:
    """Be the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)   # Ctrl-C is for the owner, who then ends this process
    _die_with_the_owner()
    while isinstance(message := pipe.recv(), str):   # it stands by
        importlib.import_module(message).stand_by()
        _get_ready()
    job, state = message
    try:
        memory = Shared(job.layout(), job.memory, create=False)
        worker = job.make()
        # Whatever is compiled or loaded with the first unit is, now; what stands on the board has not been told yet.
        worker.work(_read_only(np.zeros((job.channels, job.unit), np.float32)))
        _go_on(worker, state)
    except InputError as error:   # it says what is wrong, and with what
        pipe.send((FAILED, str(error).encode()))
        return
    except Exception as error:
        traceback.print_exc()
        pipe.send((FAILED, f"{type(error).__name__}: {error}".encode()))
        return
    _Host(job, worker, memory, pipe).run()


class _Host:
    """Between the shared memory, the pipe and the worker."""

    def __init__(self, job: Job, worker: Worker, memory: Shared, pipe: Pipe) -> None:
        self._job, self._worker, self._memory, self._pipe = job, worker, memory, pipe
        self._inputs, self._told = _read_only(memory["inputs"]), _read_only(memory["told"])
        self._orders: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._mail: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._asked = False

    def run(self) -> None:
        """Work until told to stop."""
        exchange = self._memory["exchange"].ctypes.data
        marks, slots = self._memory["marks"], self._job.slots
        for task in (self._listen, self._send):
            threading.Thread(target=task, daemon=True).start()
        n = max(due.read(exchange, due.DONE), due.read(exchange, due.APPLIED))
        if n:   # another process was here before
            self._worker.skipped()
        _get_ready()   # before the owner is told
        realtime.ask(realtime.HELPER)
        self._mail.put((READY, self._worker.report()))
        every = max(1, round(_KEEP_SECONDS * self._job.rate / self._job.unit))
        telling: Iterator[bytes] = iter(())
        while True:
            if not due.next_job(exchange, n):
                if due.read(exchange, due.STOP):
                    return
                self._obey(exchange)
                n = due.read(exchange, due.DONE)
                continue
            first = due.read(exchange, due.APPLIED)
            if n < first:   # too late for this one: the newest has the best prospects
                n = max(first, due.read(exchange, due.PUBLISHED) - 1)
                self._worker.skipped()
                continue
            slot = n % slots
            if self._job.params:
                self._worker.turn(self._told[slot])
            good = _fill(self._memory["outputs"][slot], self._worker.work(self._inputs[slot]))
            marks[slot, 0] = n + 1 if good else -(n + 1)
            n += 1
            due.finish(exchange, n)
            if self._asked:
                self._asked, telling = False, self._worker.tell()
            if told := next(telling, b""):   # after a unit there is the most time until the next
                self._mail.put((TOLD, told))
            if n % every == 0 and self._mail.empty():
                state = self._worker.snapshot()
                if state:
                    self._mail.put((STATE, state))
                for text in self._worker.news():
                    self._mail.put((SAID, text.encode()))

    def _obey(self, exchange: int) -> None:
        """Carry out an order, and hold still until the owner has done with the shared memory what it wanted."""
        order, state = self._orders.get()
        if order == RESTORE:
            _go_on(self._worker, state)
        self._mail.put((QUIET, self._worker.snapshot()))
        while due.read(exchange, due.RESTORE) and not due.read(exchange, due.STOP):
            due.nap()

    def _listen(self) -> None:
        """Take the owner's orders; its death is one, whatever the worker is doing just now."""
        try:
            while True:
                order = self._pipe.recv()
                if order[0] == ASK:
                    self._asked = True
                else:
                    self._orders.put(order)
        except (EOFError, OSError):
            os._exit(0)

    def _send(self) -> None:
        """Send what there is to say: an owner who does not listen holds up nobody but this thread."""
        try:
            while True:
                self._pipe.send(self._mail.get())
        except OSError:
            os._exit(0)


def _get_ready() -> None:
    """Call what is compiled once, with an exchange of our own."""
    own = np.zeros(due.EXCHANGE, np.int64)
    exchange = own.ctypes.data
    due.publish(exchange, 1)
    due.next_job(exchange, 0)
    due.finish(exchange, due.read(exchange, due.PUBLISHED))
    due.nap()


def _die_with_the_owner() -> None:
    """Have Linux kill this process when the thread that started it ends: even when it is stopped, or hangs."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _go_on(worker: Worker, state: bytes) -> None:
    if state:
        worker.restore(state)
    else:
        worker.reset()


def _read_only(values: NDArray[np.float32]) -> NDArray[np.float32]:
    values = values.view()
    values.flags.writeable = False
    return values


def _fill(slot: Block, result: Block) -> bool:
    """Take a result over; False if it is not what was asked for."""
    if not isinstance(result, np.ndarray) or result.dtype != np.float32 or result.shape != slot.shape:
        return False
    slot[...] = result
    return True
