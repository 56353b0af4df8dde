"""What an audio process keeps of a run: what its stages have learnt, in a thread that the sound does not wait for."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.engine import Engine

_NICE = 10             # of 19: the least urgent work of the process
_LAST_COPY_PATIENCE = 1.0       # seconds


class Keeper:
    """Saves what every stage has learnt, so that a restarted audio process need not learn it again."""

    def __init__(self, engine: Engine, path: str | None, names: Sequence[str]) -> None:
        self._path, self._names, self._engine = path, tuple(names), engine
        self._due = threading.Event()
        self._end = False
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        if path is not None:
            self._thread.start()

    def wake(self) -> None:
        """Save soon."""
        self._due.set()

    def finish(self) -> None:
        """Save no more; waits for the file that is being written, but not long."""
        self._end = True
        self._due.set()
        if self._thread.is_alive():
            self._thread.join(_LAST_COPY_PATIENCE)

    def _run(self) -> None:
        from rtsep.learnt import gather, save

        # Niceness is a thread's own on Linux.
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while True:
            self._due.wait()
            self._due.clear()
            if self._end:
                return
            known = gather(self._engine.chain.stages, self._engine.fmt.rate, self._names)
            if known.stages:
                with contextlib.suppress(InputError):   # a full disk costs the copy, not the concert
                    save(known, str(self._path))
