"""The stage that runs a model file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from rtsep.catalogue.networks import PROVIDER
from rtsep.catalogue.spec import PASSED_OVER, Saving, StageSpec, check_delay
from rtsep.params import Option


class ModelSpec(StageSpec):
    """Which file, on what, and when it is heard."""

    def check(self, options: Mapping[str, Any], written: Collection[str] = ()) -> dict[str, Any]:
        """See `StageSpec.check`: a worker must have time for its unit."""
        del written
        check_delay(options["unit"], options["delay"])
        return dict(options)

    def latency(self, options: Mapping[str, Any]) -> int:
        """See `StageSpec.latency`: without what the model adds, which shows when it is loaded."""
        delay: int = options["delay"]
        return delay if options["model"] else 0


MODEL = ModelSpec(
    "Model", "runs a model file in another process; dry whenever that is late or fails", (),
    (
        Option("model", str, "", "A model file (.onnx); empty: nothing is done."),
        PROVIDER,
        Option("source", int, 1, "Which source is heard, of a model that makes several.", 1, 64),
        Option("unit", int, 512, "Samples that the worker takes at a time.", 64, 16384, 64),
        Option("delay", int, 1024, "Latency beside the model's own; the worker has this less one unit.", 128, 131072,
               64),
        Option("context_ms", float, 200.0, "What a model of any length without a state is shown of the past.",
               0.0, 10000.0),
        Option("every_s", float, 2.0, "Time between two answers of a model that tells gains.", 0.1, 60.0),
        Option("ramp_ms", float, 40.0, "Time to move to a new matrix of a model that tells gains.", 20.0, 1000.0),
    ),
    "model", "rtsep.stages.model",
    savings=(Saving("models", PASSED_OVER),),
    relief="longer `unit`s",
)
