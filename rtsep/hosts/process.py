"""An audio process as its parent sees it: started, spoken to, listened to, and ended by force."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rtsep.hosts.signals import left_alone

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from rtsep.hosts.request import Request

_LAST_WORDS = 4096   # bytes of what it printed that are kept

LOADING, READY, OPENING, RUNNING, STOPPING = "loading", "ready", "opening", "running", "stopping"


class AudioProcess:
    """A child that makes the sound, or stands by to make it.

    Parameters
    ----------
    serve : callable
        What it runs, given a pipe, where to print, and the request.
    request : Request

    Attributes
    ----------
    phase : str
        What it does: `loading`, `ready` (it stands by), `opening`, `running`, `stopping`.
    began : float
        When that began, by `time.monotonic`.
    """

    def __init__(self, serve: Callable[[Connection, Connection, Request], None], request: Request) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._printed, printing = context.Pipe(duplex=False)
        self._process = context.Process(target=serve, args=(theirs, printing, request), daemon=True)
        with left_alone():
            self._process.start()
        theirs.close()
        printing.close()
        os.set_blocking(self._printed.fileno(), False)
        self._words = b""
        self.enter(LOADING)

    def enter(self, phase: str) -> None:
        """Take note of what it does now."""
        self.phase, self.began = phase, time.monotonic()

    @property
    def ears(self) -> list[Any]:
        """What to wait for: a message, or its death."""
        return [self._pipe, self._process.sentinel]

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid or 0

    @property
    def dead(self) -> bool:
        """Whether it has ended, however."""
        return not self._process.is_alive()

    @property
    def exit_code(self) -> int | None:
        """As `multiprocessing` has it."""
        return self._process.exitcode

    @property
    def stopped(self) -> bool:
        """Whether somebody has stopped it, as by SIGSTOP; where the system tells."""
        with contextlib.suppress(OSError), open(f"/proc/{self.pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in ("T", "t")
        return False

    def messages(self) -> Iterator[tuple[Any, ...]]:
        """Give what it has said."""
        self._drain()
        with contextlib.suppress(EOFError, OSError):
            while not self._pipe.closed and self._pipe.poll():
                yield self._pipe.recv()

    def send(self, *message: Any) -> None:
        """Tell it something; when it just died, the next look sees that."""
        with contextlib.suppress(OSError):
            self._pipe.send(message)

    def last_words(self) -> str:
        """Return the last line that it has printed, of a traceback for example; nothing if it said nothing."""
        self._drain()
        lines = self._words.decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""

    def kill(self) -> None:
        """End it by force."""
        self._process.kill()
        self._process.join()
        self._pipe.close()
        self._printed.close()

    def _drain(self) -> None:
        """Read what it has printed: it never waits for that, but what is not read is lost."""
        with contextlib.suppress(OSError):
            while not self._printed.closed and (text := os.read(self._printed.fileno(), _LAST_WORDS)):
                self._words = (self._words + text)[-_LAST_WORDS:]


class Crashes:
    """Counts audio processes that died so soon that they never were right.

    Attributes
    ----------
    quick : int
        How many in a row.
    """

    LONGEST_PAUSE = 2.0      # seconds before another takes over
    _FIRST_PAUSE = 0.2       # before the third; each further one waits twice as long
    _QUICK = 10.0            # seconds
    _MANY = 3                # after which what was learnt is not believed any more, or, before any sound, nothing is

    def __init__(self) -> None:
        self.quick = 0

    def note(self, sounded: float) -> None:
        """Count one more, which has sounded for so many seconds."""
        self.quick = 1 if sounded > self._QUICK else self.quick + 1

    @property
    def many(self) -> bool:
        """Whether it is time to try something else."""
        return self.quick >= self._MANY

    def pause(self) -> float:
        """Return how long to wait, seconds: the first is replaced at once."""
        return min(self.LONGEST_PAUSE, self._FIRST_PAUSE * 2 ** (self.quick - 2)) if self.quick > 1 else 0.0


def print_to(printing: Connection) -> None:
    """Let all that this process prints, C libraries included, go to its parent, and never wait for a reader."""
    for descriptor in (1, 2):
        os.dup2(printing.fileno(), descriptor)
        os.set_blocking(descriptor, False)
    printing.close()
