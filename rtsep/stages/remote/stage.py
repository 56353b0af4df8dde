"""A stage whose work is done by another process: a model, plug-ins, anything that may be slow, hang or die."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from rtsep.catalogue import STAGES
from rtsep.errors import InputError
from rtsep.stage import Format, Stage
from rtsep.stages.remote.link import Link
from rtsep_kernels import remote as kernels
from rtsep_kernels.plane.record import State


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
        self._link: Link | None = None

    @property
    def pid(self) -> int:
        """Of the worker's process; 0: there is none just now."""
        return self._there.supervisor.pid

    @property
    def _there(self) -> Link:
        assert self._link is not None, "prepare it first"
        return self._link

    def _build(self, fmt: Format) -> tuple[Any, State, int]:
        self.close()
        link = Link(f"{self.name}.worker", self._worker, fmt, self._unit, self._delay, self._settings)
        link.wait()
        self._link = link
        return kernels.remote, link.record, self._delay

    def _start(self) -> None:
        self._there.start()

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """See `Stage.snapshot`; of the worker, too, and of the units under way."""
        return {**self._there.snapshot(), **super().snapshot()}

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """See `Stage.restore`."""
        self._there.check(snapshot)
        super().restore({n: v for n, v in snapshot.items() if not n.startswith("shared.") and n != "worker"})
        self._there.restore(snapshot)

    def go_live(self) -> None:
        """Wait for nobody from now on."""
        self._there.go_live()

    def close(self) -> None:
        """End the worker; what is processed afterwards is dry."""
        if self._link is not None:
            self._link.close()

    def status(self) -> dict[str, int]:
        """Return results that came late, that could not be used, and how often the worker was started again."""
        return self._there.status()
