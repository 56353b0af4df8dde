"""What an audio process keeps of a run: what its stages have learnt, in a thread that the sound does not wait for."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.engine import Engine
    from rtsep.hosts.request import Request

_NICE = 10             # of 19: the least urgent work of the process
_LAST_COPY_PATIENCE = 1.0       # seconds


class Keeper:
    """Saves what every stage has learnt, so that a restarted audio process need not learn it again."""

    def __init__(self, engine: Engine, path: str | None, names: Sequence[str]) -> None:
        self._path, self._names, self._engine = path, tuple(names), engine
        self._due = threading.Event()
        self._end = False
        self._asked: str | None = None
        self._answer: tuple[str, str] | None = None
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    def save(self, path: str) -> None:
        """Write what is known now to a user's file, soon."""
        self._asked = path
        self._due.set()

    def answer(self) -> tuple[str, str] | None:
        """Return, once, what came of that: see `store`."""
        answer, self._answer = self._answer, None
        return answer

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
            asked, self._asked = self._asked, None
            if asked is not None:
                self._answer = store(self._engine, asked, self._names)
                continue
            known = gather(self._engine.chain.stages, self._engine.fmt.rate, self._names)
            if known.stages and self._path is not None:
                with contextlib.suppress(InputError):   # a full disk costs the copy, not the concert
                    save(known, self._path)


def make_with(request: Request, make: Callable[[str | None], None], say: Callable[[str], None]) -> None:
    """Make what sounds, with the calibration that is asked for; one that was only remembered may not fit any more.

    Parameters
    ----------
    request : Request
    make : callable
        Given the calibration's file, or None.
    say : callable

    Raises
    ------
    InputError
        As `make` does.
    """
    try:
        make(request.calibration)
    except InputError as error:
        if not request.remembered:
            raise
        say(f"it begins without what was learnt last: {error}")
        make(None)


def store(engine: Engine, path: str, names: Sequence[str]) -> tuple[str, str]:
    """Write what was learnt to a user's file.

    Returns
    -------
    tuple of str
        `saved` and how sure it is, or `unsaved` and why; a line each.
    """
    from rtsep.learnt import gather, save

    known = gather(engine.chain.stages, engine.fmt.rate, names)
    if not known.stages:
        return "unsaved", f"{path}: nothing has been learnt that could be saved"
    try:
        save(known, path)
    except InputError as error:
        return "unsaved", str(error)
    return "saved", f"saved {path}: {known.told()}"
