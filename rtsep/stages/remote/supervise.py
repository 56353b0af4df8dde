"""Supervisor: starts a worker's process, watches it, and starts it again with its last snapshot when it dies or hangs.

A thread does the watching. Sound never waits for it: the audio side looks at the shared memory alone.
"""

from __future__ import annotations

import collections
import contextlib
import queue
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError, WorkerError
from rtsep.stages.remote.job import ASK, FAILED, KEEP, QUIET, READY, RESTORE, SAID, STATE, TOLD, Job, Message
from rtsep.stages.remote.spares import Spares, Spawned, spawn
from rtsep_kernels.plane import due

_TICK = 0.1               # seconds
_START_SECONDS = 60.0     # a model may have to be loaded
_ASK_SECONDS = 2 * _START_SECONDS   # for a process that is started meanwhile, too
_END_SECONDS = 1.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0   # seconds before a restart: doubled as long as it dies soon
_SOON = 10.0              # seconds
_MOST_SAID = 20           # lines that wait for somebody to say them


class Supervisor:
    """Keeps one worker running.

    Parameters
    ----------
    place : str
        Of the option that names the worker, for errors.
    job : Job
    exchange : int64[EXCHANGE]
        In the shared memory of the job; belongs to the caller.
    spares : Spares, optional
        Where a process is taken from when one was lost; default: it is started then.

    Attributes
    ----------
    restarts : int
        How often the process was started again.
    report : bytes
        What the worker has said of itself when it began last.
    said : deque of str
        What it has to say to the user; who says it takes it out.
    told : bytes
        What it keeps, see `Worker.tell`; nothing: it was not asked, or has not answered yet.
    """

    def __init__(self, place: str, job: Job, exchange: NDArray[np.int64], spares: Spares | None = None) -> None:
        self._place, self._job = place, job
        self._exchange = exchange   # kept: the address below is in it
        self._address = int(exchange.ctypes.data)
        self.restarts = 0
        self.report = self.told = b""
        self.said: collections.deque[str] = collections.deque(maxlen=_MOST_SAID)
        self._spares = spares
        self._state = b""
        self._spawned: Spawned | None = None
        self._began = 0.0
        self._lock = threading.Lock()   # of the two below
        self._ready = self._was_ready = False
        self._order: Message | None = None
        self._replies: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"{place} watch", daemon=True)

    @property
    def pid(self) -> int:
        """Of the process; 0: there is none just now."""
        spawned = self._spawned
        return 0 if spawned is None or not self._ready else spawned.process.pid

    def begin(self) -> None:
        """Start the worker."""
        self._thread.start()

    def wait(self) -> None:
        """Wait until it can work.

        Raises
        ------
        InputError
            If it cannot be made, or dies of it.
        WorkerError
            If it does not answer.
        """
        word, text = self._reply(_ASK_SECONDS)
        if word == FAILED:
            self.close()
            raise InputError(self._place, f"{self._job.worker} cannot be started ({text.decode()})")

    @contextlib.contextmanager
    def quiet(self, state: bytes | None = None) -> Iterator[bytes]:
        """Hold the worker still, so that the shared memory may be changed; it goes on with the unit after `DONE`.

        Parameters
        ----------
        state : bytes, optional
            What it goes on from; nothing: as new. By default it stays as it is.

        Yields
        ------
        bytes
            What it knows.

        Raises
        ------
        WorkerError
            If it does not obey, nor one that was started in its place.
        """
        if state is not None:
            self._state = state   # for a process that is started meanwhile
        with self._lock:
            self._order = (KEEP, b"") if state is None else (RESTORE, state)
            due.tell(self._address, due.RESTORE, 1)
            if self._ready:
                self._send(self._order)
        try:
            self._state = self._reply(_ASK_SECONDS)[1]
            yield self._state
        finally:
            due.tell(self._address, due.RESTORE, 0)

    def ask(self) -> None:
        """Have the worker tell what it keeps, between two units; it does not answer if it is lost just now."""
        self.told = b""
        with self._lock:
            if self._ready:
                self._send((ASK, b""))

    def close(self) -> None:
        """End the worker; it is not started again."""
        self._stopping.set()
        due.tell(self._address, due.STOP, 1)
        if self._thread.is_alive():
            self._thread.join()

    def _reply(self, seconds: float) -> Message:
        try:
            return self._replies.get(timeout=seconds)
        except queue.Empty:
            raise WorkerError(f"{self._place}: {self._job.worker} does not answer") from None

    def _send(self, message: Any) -> None:
        with contextlib.suppress(OSError):   # it just died: the watch sees that
            if self._spawned is not None:
                self._spawned.pipe.send(message)

    # The watch's thread

    def _watch(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            self._spawn()
            failed = self._attend()
            with self._lock:
                self._ready = False
            self._kill()
            if self._stopping.is_set():
                return
            if not self._was_ready:   # `start` waits for it
                self._replies.put(failed or (FAILED, b"it dies or hangs at once"))
                return
            if failed is not None:   # what it knew may be what it fails at
                self._state = b""
            pause = _FIRST_PAUSE if time.monotonic() - self._began > _SOON else min(2 * pause, _LONGEST_PAUSE)
            self._stopping.wait(pause)
            self.restarts += 1

    def _spawn(self) -> None:
        # The first ones are needed all at once.
        spare = self._spares.take() if self._spares is not None and self._was_ready else None
        if spare is not None and spare.process.poll() is not None:
            spare.end()
            spare = None
        self._spawned, self._began = spare or spawn(), time.monotonic()
        self._send((self._job, self._state))

    def _attend(self) -> Message | None:
        """Watch one process until it is lost; returns why it could not be made, if so."""
        assert self._spawned is not None
        pipe = self._spawned.pipe
        still, seen = 0, -1
        while not self._stopping.is_set():
            try:
                while pipe.poll(_TICK):
                    word, content = pipe.recv()
                    if word == FAILED:
                        return word, content
                    self._handle(word, content)
            except (EOFError, OSError):
                return None
            done = due.read(self._address, due.DONE)
            busy = self._order is not None or due.read(self._address, due.PUBLISHED) > done
            still = still + 1 if busy and done == seen and self._ready else 0
            seen = done
            if still > self._job.hung_ticks or (not self._ready and time.monotonic() - self._began > _START_SECONDS):
                return None
        return None

    def _handle(self, word: str, content: bytes) -> None:
        with self._lock:
            if word == READY:
                self._ready, self.report = True, content
                if self._order is not None:
                    self._send(self._order)
                if not self._was_ready:
                    self._was_ready = True
                    self._replies.put((word, content))
            elif word == STATE:
                self._state = content
            elif word == TOLD:
                self.told = content
            elif word == SAID:
                self.said.append(content.decode())
            elif word == QUIET and self._order is not None:
                self._order = None
                self._replies.put((word, content))

    def _kill(self) -> None:
        if self._spawned is not None:
            if self._stopping.is_set():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._spawned.process.wait(_END_SECONDS)
            self._spawned.end()
            self._spawned = None
