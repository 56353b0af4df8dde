"""What an audio process keeps of a run: figures, a tape of every sample, and what its stages have learnt.

All of it happens in Python threads that the sound does not wait for.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.engine import Engine
    from rtsep.meters import Meters
    from rtsep.stage import Runner

_TAPE_SECONDS = 4.0
_RF64_AUTO_DOWNGRADE = 0x1210   # libsndfile: a file that stayed below 4 GB ends as plain WAV


class Figures:
    """What a run is measured by: block times, load and all counters.

    Parameters
    ----------
    runner : Runner
    engine : Engine
    meters : Meters
        Its status is kept up to date.
    tape : Tape, optional
    """

    _BINS = 4096   # of 0.5 %, from 0.01 us on

    def __init__(self, runner: Runner, engine: Engine, meters: Meters, tape: Tape | None) -> None:
        from rtsep.clock import ticks_per_second

        self._runner, self._engine, self._meters, self._tape = runner, engine, meters, tape
        self._us_per_tick = 1e6 / ticks_per_second()
        self._counts = np.zeros(self._BINS, np.int64)
        self._seen = 0
        self._max = self._busy = 0.0
        self._late_blocks = 0
        self._marks = [(0.0, 0.0, 0)]   # (time, busy seconds, frames) of the last second

    def block(self) -> int:
        """Return how many frames the device hands over in one call."""
        record = self._runner.record
        frames: int = record["position"]
        calls: int = record["calls"]
        return round(frames / max(1, calls))

    def update(self, now: float) -> None:
        """Take in the calls since the last update; `now` in seconds."""
        calls, frames = self._runner.record["calls"], self._runner.record["position"]
        timings = self._runner.record["timings"]
        size = timings.size
        places = np.arange(max(self._seen, calls - size), calls) % size
        us = timings[places] * self._us_per_tick
        self._seen = calls
        rate = self._runner.rate
        if us.size:
            bins = np.log(np.maximum(us, 0.01) / 0.01) / np.log(1.005)
            self._counts += np.bincount(np.minimum(bins, self._BINS - 1).astype(np.int64), minlength=self._BINS)
            self._max = max(self._max, float(us.max()))
            self._busy += float(us.sum()) * 1e-6
            self._late_blocks += int((us > self.block() / rate * 1e6).sum())
        self._marks = [mark for mark in self._marks if mark[0] > now - 1] + [(now, self._busy, frames)]
        _, busy, before = self._marks[0]
        self._show(self._percentiles(), (self._busy - busy) / max(1e-9, (frames - before) / rate))

    def read(self) -> dict[str, Any]:
        """Return everything that a summary says of this life of the audio process."""
        self.update(time.monotonic())
        record, status = self._runner.record, self._engine.status()
        seconds = record["position"] / self._runner.rate
        p50, p99, p999 = self._percentiles()
        return {
            "calls": record["calls"],
            "seconds": seconds,
            "xruns": record["xruns"],
            "late_blocks": self._late_blocks,
            "late_updates": status.get("late_updates", 0),
            "skipped": status.get("skipped_updates", 0),
            "unstable": status.get("unstable_samples", 0),
            "faults": status.get("faults", 0),
            "bad_inputs": int(self._runner.bad_inputs.sum()),
            "limited": status.get("limited", 0),
            "lost_frames": self._tape.lost if self._tape else 0,
            "block_us": {"p50": p50, "p99": p99, "p999": p999, "max": self._max},
            "load": self._busy / seconds if seconds else 0.0,
            "block": self.block(),
        }

    def _percentiles(self) -> tuple[float, float, float]:
        total = np.cumsum(self._counts)
        if not total[-1]:
            return 0.0, 0.0, 0.0
        places = (np.searchsorted(total, q * total[-1]) for q in (0.5, 0.99, 0.999))
        p50, p99, p999 = (min(self._max, 0.01 * 1.005 ** (float(place) + 0.5)) for place in places)
        return p50, p99, p999

    def _show(self, percentiles: tuple[float, float, float], load: float) -> None:
        put, record, status = self._meters.put, self._runner.record, self._engine.status()
        put("block_p50", percentiles[0])
        put("block_p99", percentiles[1])
        put("block_max", self._max)
        put("load", load)
        put("calls", record["calls"])
        put("xruns", record["xruns"])
        put("late_updates", status.get("late_updates", 0))
        put("unstable", status.get("unstable_samples", 0))
        put("bad_inputs", int(self._runner.bad_inputs.sum()))
        put("lost_frames", self._tape.lost if self._tape else 0)


class RateWatch:
    """Notices a device that runs at another rate than it says.

    Parameters
    ----------
    rate : int
        The rate it says, Hz.
    """

    TOLERANCE = 0.04
    READINGS = 3

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._begin: tuple[float, int, int] | None = None
        self._odd: list[float] = []

    def update(self, now: float, frames: int, xruns: int, block: int) -> float | None:
        """Take note of how many frames have come by `now`.

        Returns
        -------
        float or None
            The rate the device really runs at, Hz, once three readings in a row are off by more than 4 % and
            agree: a machine that merely stalls loses a different number of frames each time.
        """
        if self._begin is None:
            self._begin = now, frames, xruns
            return None
        before, first, lost = self._begin
        # At least 100 blocks: then a block more or less is one per cent.
        if now - before < max(1.0, 100 * block / self._rate):
            return None
        self._begin = now, frames, xruns
        measured = (frames - first) / (now - before)
        if xruns != lost or abs(measured / self._rate - 1) <= self.TOLERANCE:
            self._odd.clear()
            return None
        self._odd.append(measured)
        recent = self._odd[-self.READINGS :]
        if len(recent) < self.READINGS or max(recent) > (1 + self.TOLERANCE / 2) * min(recent):
            return None
        return sum(recent) / len(recent)


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
        from rtsep_kernels.plane.ring import RING_HEADER, ring_read

        self._read = ring_read
        width = 2 * runner.channels
        self._header = np.zeros(RING_HEADER, np.int64)
        self._ring: NDArray[np.float32] = np.empty((round(_TAPE_SECONDS * runner.rate), width), np.float32)
        self._ring[:] = 0   # the audio thread must not be the first to touch these pages
        self._row = np.zeros((GRID, width), np.float32)
        self._rows = np.zeros((8192, width), np.float32)
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
        return int(self._header[16]) + self._full

    def finish(self) -> None:
        """Store what is left and close the files; the stream has ended, or is dead."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        done = False
        while not done:
            done = self._stop.wait(0.05)
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
            self._thread.join(1.0)

    def _run(self) -> None:
        from rtsep.learnt import gather, save

        # This is the least urgent work of the process; niceness is a thread's own on Linux.
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        while True:
            self._due.wait()
            self._due.clear()
            if self._end:
                return
            known = gather(self._engine.chain.stages, self._engine.fmt.rate, self._names)
            if known.stages:
                with contextlib.suppress(InputError):   # a full disk costs the copy, not the concert
                    save(known, str(self._path))
