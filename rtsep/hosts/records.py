"""What an audio process keeps of a run: a tape of every sample, and what its stages have learnt.

All of it happens in Python threads that the sound does not wait for.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.engine import Engine
    from rtsep.runner import Runner

_TAPE_SECONDS = 4.0    # what the ring holds: a disk may stand still so long
_ROWS = 8192           # frames that are stored at once
_STORE_EVERY = 0.05    # seconds; 1/80 of the ring
_RF64_AUTO_DOWNGRADE = 0x1210   # libsndfile: a file that stayed below 4 GB ends as plain WAV
_NICE = 10             # of 19: the least urgent work of the process
_LAST_COPY_PATIENCE = 1.0       # seconds


class Tape:
    """Stores input and output of every sample, from the runner's ring to two files, in a thread of its own.

    Parameters
    ----------
    runner : Runner
    files : tuple of str
        For the input and for the output; must not exist.
    """

    def __init__(self, runner: Runner, files: tuple[str, str]) -> None:
        import soundfile

        from rtsep_kernels.plane.grid import GRID
        from rtsep_kernels.plane.ring import LOST, RING_HEADER, ring_read

        self._read = ring_read
        self._lost_place = LOST
        width = 2 * runner.channels
        self._header = np.zeros(RING_HEADER, np.int64)
        self._ring: NDArray[np.float32] = np.empty((round(_TAPE_SECONDS * runner.rate), width), np.float32)
        self._ring[:] = 0   # the audio thread must not be the first to touch these pages
        self._row = np.zeros((GRID, width), np.float32)
        self._rows = np.zeros((_ROWS, width), np.float32)
        self._read(self._header, self._ring, self._rows)   # compiled, or fetched from the cache, before it counts
        self._files = []
        for path in files:
            try:
                file = soundfile.SoundFile(path, "w", runner.rate, runner.channels, "FLOAT", format="RF64")
            except (OSError, soundfile.SoundFileError) as error:
                raise InputError(path, f"cannot be written ({error})") from error
            soundfile._snd.sf_command(file._file, _RF64_AUTO_DOWNGRADE, soundfile._ffi.NULL, 1)
            self._files.append(file)
        record = runner.record
        record["tape_rows"] = self._ring.shape[0]
        record.put("tape_data", self._ring)
        record.put("tape_row", self._row)
        record.put("tape_header", self._header)   # last: from here on the audio thread writes
        self._runner = runner
        self._full = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tape", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Frames that are in neither file, because storing was too slow or the disk is full."""
        return int(self._header[self._lost_place]) + self._full

    def finish(self) -> None:
        """Store what is left and close the files; the stream has ended, or is dead."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        done = False
        while not done:
            done = self._stop.wait(_STORE_EVERY)
            while count := int(self._read(self._header, self._ring, self._rows)):
                self._write(count)
        for file in self._files:
            file.close()

    def _write(self, count: int) -> None:
        channels = self._runner.channels
        try:
            for file, part in zip(self._files, (self._rows[:, :channels], self._rows[:, channels:]), strict=True):
                file.write(np.ascontiguousarray(part[:count]))
        except (OSError, RuntimeError):   # soundfile's errors are RuntimeErrors; the concert goes on
            self._full += count


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
