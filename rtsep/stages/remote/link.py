"""Link: the way to one worker and back, as a stage has it: shared memory, who supervises the process, the record."""

from __future__ import annotations

import os
import secrets
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError
from rtsep.shared import Shared
from rtsep.stage import Format
from rtsep.stages.remote.job import Job
from rtsep.stages.remote.spares import Spares
from rtsep.stages.remote.supervise import Supervisor
from rtsep_kernels import remote as kernels
from rtsep_kernels.plane import due
from rtsep_kernels.plane.grid import GRID

_NAPS = 40000           # for a unit where nobody listens, at least 20 s: a worker that hangs has been replaced by then
_CALM_SECONDS = 0.02    # of units on time in a row, before the worker is heard again: as long as chains cross-fade
_SLACK = 2              # slots beside those of the delay: one is being written, one being heard
_QUIET_SECONDS = 10.0   # for units under way, before a snapshot
_COUNTS = (due.PUBLISHED, due.DONE, due.APPLIED, due.LATE)


class Link:
    """The way to one worker and back.

    Parameters
    ----------
    place : str
        Of the option that names the worker, for errors.
    worker : str
        `module:factory`; see `rtsep.stages.remote.job.Worker`.
    fmt : Format
        Its channels are those that the worker gets.
    unit, delay : int
        See `rtsep.stages.remote.Remote`.
    settings : mapping
        Keyword arguments of the factory.
    params : int
        How many targets the worker is told with each unit; `record` has their addresses.
    most_extra : int
        Samples that what the worker makes may itself be late.
    hung_ticks : int, optional
        See `Job`.
    spares : Spares, optional
        See `Supervisor`.

    Attributes
    ----------
    record : State
        What `rtsep_kernels.remote.remote` works with.
    supervisor : Supervisor
    """

    def __init__(
        self, place: str, worker: str, fmt: Format, unit: int, delay: int, settings: Mapping[str, Any],
        params: int = 0, most_extra: int = 0, hung_ticks: int | None = None, spares: Spares | None = None,
    ) -> None:
        slots = -(-delay // unit) + _SLACK
        memory = f"rtsep-{os.getpid()}-{secrets.token_hex(4)}-w"   # whose process it is, should that be killed
        more = {} if hung_ticks is None else {"hung_ticks": hung_ticks}
        job = Job(worker, fmt.rate, fmt.channels, unit, slots, memory, settings, params, **more)
        self._place, self._most_extra, self._names = place, most_extra, tuple(job.layout())
        self._shared = Shared(job.layout(), job.memory)
        self.supervisor = Supervisor(place, job, self._shared["exchange"], spares)
        # Also when the stage is forgotten, or the program ends, without a word.
        self._end = weakref.finalize(self, _end, self.supervisor, self._shared)
        self.record = kernels.REMOTE.make(
            channels=fmt.channels, unit=unit, delay=delay, extra=np.zeros(fmt.channels, np.int64), slots=slots,
            dry_frames=1 << (delay + most_extra + GRID - 1).bit_length(),
            penalty=max(1, round(_CALM_SECONDS * fmt.rate / unit)), patience=_NAPS,
            params=params, targets=np.zeros(params, np.int64),
            **{name: self._shared[name] for name in self._names},
        )
        self.supervisor.begin()

    def wait(self) -> bytes:
        """Wait until the worker can work, and return what it has reported.

        Raises
        ------
        InputError, WorkerError
            See `Supervisor.wait`; then it has been closed.
        """
        try:
            self.supervisor.wait()
        except BaseException:
            self.close()
            raise
        return self.supervisor.report

    def set_extra(self, extra: Sequence[int]) -> None:
        """Say how late, samples, what the worker makes of each channel is by itself; before anything is processed.

        Raises
        ------
        InputError
            If it is more than there is room for.
        """
        if max(extra) > self._most_extra:
            allowed = f"allowed are up to {self._most_extra}"
            raise InputError(self._place, f"its latency is {max(extra)} samples", allowed)
        self.record["extra"][:] = extra

    def start(self) -> None:
        """Begin as new; the record has been started."""
        if self._shared["exchange"].any():   # else the worker is as new
            with self.supervisor.quiet(b""):
                for place in _COUNTS:
                    self._shared["exchange"][place] = 0
                self._shared["marks"][:] = 0

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Return what is under way, and what the worker knows."""
        until = time.monotonic() + _QUIET_SECONDS
        exchange = self._shared["exchange"].ctypes.data
        while due.read(exchange, due.DONE) < due.read(exchange, due.PUBLISHED) and time.monotonic() < until:
            time.sleep(0.001)
        with self.supervisor.quiet() as state:
            taken = {f"shared.{name}": self._shared[name].copy() for name in self._names}
        taken["shared.exchange"][due.RESTORE] = 0
        return {**taken, "worker": np.frombuffer(state, np.uint8)}

    def check(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Raise ValueError if a snapshot is not of a link like this one."""
        for name in self._names:
            if f"shared.{name}" not in snapshot or snapshot[f"shared.{name}"].shape != self._shared[name].shape:
                raise ValueError(f"a snapshot of another state: {name} is {list(self._shared[name].shape)} here")

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a snapshot that has been checked."""
        with self.supervisor.quiet(snapshot["worker"].tobytes()):
            for name in self._names:
                if name != "exchange":
                    self._shared[name][...] = snapshot[f"shared.{name}"]
            for place in _COUNTS:
                self._shared["exchange"][place] = snapshot["shared.exchange"][place]

    def go_live(self) -> None:
        """Wait for nobody from now on."""
        self.record["patience"] = 0

    def close(self) -> None:
        """End the worker; what is processed afterwards is dry."""
        self.record["patience"] = 0
        self._end()

    def status(self) -> dict[str, int]:
        """Return results that came late, that could not be used, and how often the worker was started again."""
        return {
            "late_updates": int(self._shared["exchange"][due.LATE]), "bad_results": self.record["bad"],
            "worker_restarts": self.supervisor.restarts,
        }


def _end(supervisor: Supervisor, shared: Shared) -> None:
    supervisor.close()
    shared.close()
