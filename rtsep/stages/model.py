"""Model: a trained model in the stream, in a process of its own; its sound, or the gains that it tells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import STAGES
from rtsep.errors import InputError
from rtsep.models.card import MATRIX
from rtsep.stage import Format, Stage
from rtsep.stages.remote.link import Link
from rtsep_kernels import model as kernels
from rtsep_kernels import remote
from rtsep_kernels.plane.record import State

_WORKER = "rtsep.workers.model:Model"
_MOST_LATENCY = 65536   # samples that a model may add: 1.4 s at 48 kHz, twice what live work can bear
_OF_THE_WORKER = ("model", "provider", "source", "context_ms", "every_s")


class Model(Stage):
    """Run a model file on all mics.

    A model of sound is heard `delay` samples late and as late as the model is by itself, which shows when it is loaded.
    What is late, not finite or not there is replaced by the mics as they came, as late. A model of gains adds no
    latency: every few seconds it tells a matrix, which is moved to on a ramp, and held while there is no newer one.

    Parameters
    ----------
    name : str
    model, provider, source, unit, delay, context_ms, every_s, ramp_ms
        Options of the catalogue.
    """

    def __init__(self, name: str = "model", *given: Any, **options: Any) -> None:
        super().__init__(name)
        spec = STAGES["model"]
        try:
            self._options = spec.check(spec.complete(given, options))
        except InputError as error:
            raise InputError(f"{name}.{error.place}", error.problem, error.allowed) from None
        self._link: Link | None = None
        self._lost = False
        self._said: set[str] = set()
        self._provider = ""

    @property
    def pid(self) -> int:
        """Of the worker's process; 0: there is none just now."""
        return 0 if self._link is None else self._link.supervisor.pid

    @property
    def provider(self) -> str:
        """What runs the model; empty: nothing."""
        return self._provider

    @property
    def matrix(self) -> NDArray[np.float32]:
        """The matrix of now, float32[mics, mics], of a model of gains."""
        found: NDArray[np.float32] = self.record["now"].copy()
        return found

    def _build(self, fmt: Format) -> tuple[Any, State, int]:
        self.close()
        options, told, latency = self._options, 0, 0
        eye = np.eye(fmt.channels, dtype=np.float32)
        values: dict[str, Any] = {"links": 0, "link": 0, "states": 0}
        if options["model"]:
            report = self._load(fmt)
            assert self._link is not None
            told = int(report["kind"] == MATRIX)
            self._provider = report["provider"]
            if not told:
                self._link.set_extra([report["latency"]] * fmt.channels)
                latency = options["delay"] + report["latency"]
            values = {"links": 1, "link": remote.remote.address, "states": self._link.record}
        record = kernels.MODEL.make(
            channels=fmt.channels, told=told, unit=options["unit"], delay=options["delay"],
            ramp_segments=fmt.segments(options["ramp_ms"] / 1000), now=eye, next=eye, goal=eye, **values,
        )
        return kernels.model, record, latency

    def _load(self, fmt: Format) -> dict[str, Any]:
        options = self._options
        settings = {key: options[key] for key in _OF_THE_WORKER}
        link = Link(f"{self.name}.model", _WORKER, fmt, options["unit"], options["delay"], settings,
                    most_extra=_MOST_LATENCY)
        try:
            report: dict[str, Any] = json.loads(link.wait())
        except InputError as error:   # what the worker says is enough
            told = error.problem.removeprefix(f"{_WORKER} cannot be started (").removesuffix(")")
            raise InputError(error.place, told) from None
        self._link = link
        return report

    def _start(self) -> None:
        if self._link is not None:
            self._link.start()

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """See `Stage.snapshot`; of the worker, too, and of the units under way."""
        under_way = {} if self._link is None else self._link.snapshot()
        return {**under_way, **super().snapshot()}

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """See `Stage.restore`."""
        if self._link is not None:
            self._link.check(snapshot)
        super().restore({n: v for n, v in snapshot.items() if not n.startswith("shared.") and n != "worker"})
        if self._link is not None:
            self._link.restore(snapshot)

    def go_live(self) -> None:
        """Wait for nobody from now on."""
        if self._link is not None:
            self._link.go_live()

    def close(self) -> None:
        """End the worker; what is processed afterwards is dry."""
        if self._link is not None:
            self._link.close()

    def status(self) -> dict[str, int]:
        """Return results that came late, that could not be used, and how often the worker was started again."""
        none = {"late_updates": 0, "bad_results": 0, "worker_restarts": 0}
        return none if self._link is None else self._link.status()

    def news(self) -> list[str]:
        """See `Stage.news`: what the worker has to tell, and whether it has been lost or is back."""
        if self._link is None:
            return []
        told = []
        while self._link.supervisor.said:
            line = f"{self.name}: {self._link.supervisor.said.popleft()}"
            if line not in self._said:   # a worker that was started again says it again
                self._said.add(line)
                told.append(line)
        lost = self._link.supervisor.pid == 0
        if lost != self._lost:
            self._lost = lost
            state = "has died or hangs: dry until it is back" if lost else f"is back, on {self._provider}"
            told.append(f"{self.name}: the model {state}")
        return told
