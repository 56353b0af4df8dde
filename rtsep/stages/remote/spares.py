"""Spares: worker processes that have everything imported and wait for a job, so that a lost one is replaced at once."""

from __future__ import annotations

import contextlib
import multiprocessing
import subprocess
import sys
import threading
from dataclasses import dataclass

from rtsep.stages.remote.job import Pipe

# Not a `multiprocessing.Process`: the audio process is daemonic and may have none, and a user's script without
# ``if __name__ == "__main__"`` would be run again.
_PROGRAM = (
    "import sys; from multiprocessing.connection import Connection; pipe = Connection(int(sys.argv[1])); "
    "sys.path[:] = pipe.recv(); from rtsep.workers.host import serve; serve(pipe)"
)


@dataclass
class Spawned:
    """A worker's process and the pipe to it.

    Parameters
    ----------
    process : Popen
    pipe : Connection
    """

    process: subprocess.Popen[bytes]
    pipe: Pipe

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()
        self.pipe.close()


def spawn() -> Spawned:
    """Start a process that waits for its job."""
    ours, theirs = multiprocessing.Pipe()
    # A process group of its own: Ctrl-C does not reach it.
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(theirs.fileno())], pass_fds=[theirs.fileno()], process_group=0,
        stdin=subprocess.DEVNULL, stdout=2,
    )
    theirs.close()
    made = Spawned(process, ours)
    with contextlib.suppress(OSError):   # it just died: who uses it sees that
        ours.send(sys.path)
    return made


class Spares:
    """One process that stands by, for any of several supervisors.

    Linux kills a worker when the thread that started it ends, so the thread that makes spares lives as long as they.

    Parameters
    ----------
    module : str
        What a spare imports while it waits.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._change = threading.Condition()
        self._spare: Spawned | None = None
        self._wanted = self._closing = False
        self._thread = threading.Thread(target=self._make, name="spares", daemon=True)

    def begin(self) -> None:
        """Have a spare from now on: when those that are needed at once have been started."""
        with self._change:
            self._wanted = True
            self._change.notify_all()
        self._thread.start()

    def take(self) -> Spawned | None:
        """Return the spare, if there is one, and have the next made; it may have died."""
        with self._change:
            spare, self._spare = self._spare, None
            self._wanted = True
            self._change.notify_all()
        return spare

    def close(self) -> None:
        """End the spare; there are no more."""
        with self._change:
            self._closing = True
            self._change.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def _make(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._closing or (self._wanted and self._spare is None))
                if self._closing:
                    break
                self._wanted = False
            made = spawn()
            with contextlib.suppress(OSError):
                made.pipe.send(self._module)
            with self._change:
                self._spare = made
        if self._spare is not None:
            self._spare.end()
