"""The stage whose work is done by another process."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from rtsep.catalogue.spec import GRID, PASSED_OVER, Saving, StageSpec, check_delay
from rtsep.errors import InputError
from rtsep.params import Option


class RemoteSpec(StageSpec):
    """Who works, on how many samples at a time, and when it is heard."""

    def check(self, options: Mapping[str, Any], written: Collection[str] = ()) -> dict[str, Any]:
        """See `StageSpec.check`: a worker must have time for its unit."""
        del written
        worker, unit, delay = (options[key] for key in ("worker", "unit", "delay"))
        if not re.fullmatch(r"[\w.]+:\w+", worker):
            raise InputError("worker", f"{worker!r} is no import path", "allowed is module:factory")
        if unit < GRID or unit % GRID:
            raise InputError("unit", f"{unit} is not allowed", f"allowed is a multiple of {GRID} from {GRID}")
        check_delay(unit, delay)
        return dict(options)

    def latency(self, options: Mapping[str, Any]) -> int:
        """See `StageSpec.latency`."""
        delay: int = options["delay"]
        return delay


REMOTE = RemoteSpec(
    "Remote", "has a worker in another process do the work; dry whenever that is late or fails", (),
    (
        Option("worker", str, "rtsep.workers.copy:Copy", "Who does the work, as module:factory."),
        Option("unit", int, 64, "Samples that the worker takes at a time.", 64, 16384, 64),
        Option("delay", int, 512, "Latency, samples; the worker has this less one unit.", 128, 131072, 64),
    ),
    "remote", "rtsep.stages.remote.stage",
    savings=(Saving("models", PASSED_OVER),),
    relief="longer `unit`s",
)
