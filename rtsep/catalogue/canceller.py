"""The recursive canceller: `rtsep.stages.canceller`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rtsep.catalogue.spec import PASSED_OVER, Saving, StageSpec
from rtsep.params import Option, Param

SHARES = 8
"""In so many steps pairs are left out: none of them saves more than an eighth of the callback."""


class _CancellerSpec(StageSpec):
    def notes(self, options: Mapping[str, Any], mics: int) -> list[str]:
        """See `StageSpec.notes`."""
        possible, held = mics * (mics - 1), options["pairs"]
        if held >= possible:
            return []
        return [
            f"of {possible} pairs of microphones, {held} at a time are cleaned of each other, those that bleed most "
            "(option `pairs`)"
        ]


CANCELLER = _CancellerSpec(
    "Canceller", "subtracts what the other microphones' sources make of themselves in each microphone; no latency",
    (
        Param("adapt", "on", 0.0, 1.0, 1.0, False, "Learn while running; 0 freezes what is known."),
        Param("amount", "", 0.0, 1.0, 1.0, True, "How much of the estimated bleed is taken away."),
    ),
    (
        Option("taps", int, 16384, "Length of each path, samples.", 1024, 24576, 512),
        Option("refine", int, 35000, "Thousands of operations per 512 samples for refining paths; 0 = none.",
               0, 100000),
        Option("pairs", int, 240, "Most pairs of mics at a time; of more, those that bleed most are chosen.", 1, 4032),
    ),
    "canceller", "rtsep.stages.canceller",
    learns="adapt",
    most_block=512,   # what it learns is due two partitions of 512 later
    savings=(
        Saving("background", "refines no more"),
        *(Saving("canceller", f"without {n}/{SHARES} of its pairs") for n in range(1, SHARES)),
        Saving("canceller", PASSED_OVER),
    ),
    relief="fewer `pairs` or `taps`",
)
