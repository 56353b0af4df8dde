"""A stage whose work is done by another process: a model, plug-ins, anything that may be slow, hang or die."""

from __future__ import annotations

import os
import secrets
import time
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import STAGES
from rtsep.errors import InputError
from rtsep.shared import Shared
from rtsep.stage import Format, Stage
from rtsep.stages.remote.job import Job
from rtsep.stages.remote.supervise import Supervisor
from rtsep_kernels import remote as kernels
from rtsep_kernels.plane import due
from rtsep_kernels.plane.grid import GRID
from rtsep_kernels.plane.record import State

_NAPS = 40000           # for a unit where nobody listens, at least 20 s: a worker that hangs has been replaced by then
_CALM_SECONDS = 0.02    # of units on time in a row, before the worker is heard again: as long as chains cross-fade
_SLACK = 2              # slots beside those of the delay: one is being written, one being heard
_QUIET_SECONDS = 10.0   # for units under way, before a snapshot


class Remote(Stage):
    """Have another process do the work; what it has made is heard exactly `delay` samples later.

    What is late, malformed or not finite is replaced by the input, as late as the worker's sound would be; that fades
    in over 64 samples, and the worker's back when it is on time again. A worker that dies or hangs is started anew
    with its last snapshot. Where nobody listens (before `go_live`) the stage waits for the worker, so that what is
    rendered is what is heard live on time, bit for bit.

    Parameters
    ----------
    name : str
    worker : str
        `module:factory`; see `rtsep.stages.remote.job.Worker`.
    unit : int
        Samples that it works on at a time, a multiple of 64.
    delay : int
        Latency of the stage, samples, a multiple of 64. The worker has ``delay - unit`` for each unit, less a host's
        block and half a millisecond.
    settings : mapping, optional
        Keyword arguments of the factory.
    """

    def __init__(self, name: str = "remote", *given: Any, settings: Mapping[str, Any] | None = None,
                 **options: Any) -> None:
        super().__init__(name)
        values = STAGES["remote"].complete(given, options)
        try:
            STAGES["remote"].check(values)
        except InputError as error:
            raise InputError(f"{name}.{error.place}", error.problem, error.allowed) from None
        worker, unit, delay = values["worker"], values["unit"], values["delay"]
        self._worker, self._unit, self._delay, self._settings = worker, unit, delay, dict(settings or {})
        self._end: weakref.finalize[..., Remote] | None = None

    @property
    def pid(self) -> int:
        """Of the worker's process; 0: there is none just now."""
        return self._supervisor.pid

    def _build(self, fmt: Format) -> tuple[Any, State, int]:
        self.close()
        slots = -(-self._delay // self._unit) + _SLACK
        memory = f"rtsep-{os.getpid()}-{secrets.token_hex(4)}-w"   # whose process it is, should that be killed
        job = Job(self._worker, fmt.rate, fmt.channels, self._unit, slots, memory,
                  self._settings)
        self._shared = Shared(job.layout(), job.memory)
        self._supervisor = Supervisor(f"{self.name}.worker", job, self._shared["exchange"])
        # Also when the stage is forgotten, or the program ends, without a word.
        self._end = weakref.finalize(self, _end, self._supervisor, self._shared)
        record = kernels.REMOTE.make(
            channels=fmt.channels, unit=self._unit, delay=self._delay, slots=slots,
            dry_frames=1 << (self._delay + GRID - 1).bit_length(),
            penalty=max(1, round(_CALM_SECONDS * fmt.rate / self._unit)), patience=_NAPS,
            **{name: self._shared[name] for name in job.layout()},
        )
        try:
            self._supervisor.start()
        except Exception:
            self._end()
            self._end = None
            raise
        return kernels.remote, record, self._delay

    def _start(self) -> None:
        if self._shared["exchange"].any():   # else the worker is as new
            with self._supervisor.quiet(b""):
                for place in (due.PUBLISHED, due.DONE, due.APPLIED, due.LATE):
                    self._shared["exchange"][place] = 0
                self._shared["marks"][:] = 0

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """See `Stage.snapshot`; of the worker, too, and of the units under way."""
        until = time.monotonic() + _QUIET_SECONDS
        exchange = self._shared["exchange"].ctypes.data
        while due.read(exchange, due.DONE) < due.read(exchange, due.PUBLISHED) and time.monotonic() < until:
            time.sleep(0.001)
        with self._supervisor.quiet() as state:
            taken = {f"shared.{name}": self._shared[name].copy() for name in self._layout()}
        taken["shared.exchange"][due.RESTORE] = 0
        return {**super().snapshot(), **taken, "worker": np.frombuffer(state, np.uint8)}

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """See `Stage.restore`."""
        own = {f"shared.{name}": name for name in self._layout()}
        for key, name in own.items():
            if key not in snapshot or snapshot[key].shape != self._shared[name].shape:
                raise ValueError(f"a snapshot of another state: {name} is {list(self._shared[name].shape)} here")
        super().restore({name: v for name, v in snapshot.items() if name not in own and name != "worker"})
        with self._supervisor.quiet(snapshot["worker"].tobytes()):
            for key, name in own.items():
                if name != "exchange":
                    self._shared[name][...] = snapshot[key]
            for place in (due.PUBLISHED, due.DONE, due.APPLIED, due.LATE):
                self._shared["exchange"][place] = snapshot["shared.exchange"][place]

    def _layout(self) -> tuple[str, ...]:
        return ("exchange", "marks", "inputs", "outputs")

    def go_live(self) -> None:
        """Wait for nobody from now on."""
        self.record["patience"] = 0

    def close(self) -> None:
        """End the worker; what is processed afterwards is dry."""
        if self._end is not None:
            self.record["patience"] = 0
            self._end()

    def status(self) -> dict[str, int]:
        """Return results that came late, that could not be used, and how often the worker was started again."""
        return {
            "late_updates": int(self._shared["exchange"][due.LATE]), "bad_results": self.record["bad"],
            "worker_restarts": self._supervisor.restarts,
        }


def _end(supervisor: Supervisor, shared: Shared) -> None:
    supervisor.close()
    shared.close()
