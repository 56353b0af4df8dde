"""The canceller's tuning: the same times at every rate."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rtsep.stages.canceller import settings as tuning
from rtsep_kernels.canceller.choice import CHOICE
from rtsep_kernels.canceller.guard.evidence import EVIDENCE
from rtsep_kernels.canceller.guard.record import GUARD
from rtsep_kernels.canceller.instant.record import INSTANT

ALL = [(tuning.INSTANT, INSTANT), (tuning.GUARD, GUARD), (tuning.EVIDENCE, EVIDENCE), (tuning.CHOICE, CHOICE)]
BLOCKS = {
    "patience": 20, "settled": 150, "start": 140, "doubted": 100, "barred": 500, "moving": 48, "level": 200,
    "clipped": 400, "first": 8, "turn": 8, "round": 32, "fade": 96, "rest": 940,
}


@pytest.mark.parametrize("rate", [44100, 48000, 88200, 96000])
@pytest.mark.parametrize(("settings", "table"), ALL)
def test_times_and_memories_hold_at_every_rate(settings: object, table: object, rate: int) -> None:
    """To half a block; what is kept over a second is the same."""
    found = tuning.numbers(settings, table, rate)
    usual = tuning.numbers(settings, table, 48000)
    for name, value in found.items():
        if name.endswith("_blocks"):
            seconds = getattr(settings, name.replace("_blocks", "_seconds"))
            assert abs(value * 512 / rate - seconds) <= 256 / rate
        elif name.endswith("_kept"):
            assert value ** (rate / 512) == pytest.approx(usual[name] ** (48000 / 512), rel=1e-9)
        else:
            assert value == usual[name]


def test_at_48_khz_the_numbers_are_those_that_were_found() -> None:
    """Each in its place: what was counted in blocks, and what is kept of the past, to the last bit."""
    found: dict[str, float] = {}
    for settings, table in (ALL[3], ALL[1], ALL[0]):   # `settled` is of two of them
        found |= tuning.numbers(settings, table, 48000)
    assert {name: found[f"{name}_blocks"] for name in BLOCKS} == BLOCKS
    assert tuning.numbers(tuning.CHOICE, CHOICE, 48000)["settled_blocks"] == 190
    for name in ("advantage_kept", "apart_kept"):
        assert found[name] == getattr(tuning.INSTANT, name)
    for name in ("peak_kept", "loud_kept", "shrink_kept"):
        assert found[name] == getattr(tuning.GUARD, name)
    assert tuning.numbers(tuning.EVIDENCE, EVIDENCE, 48000, 2, 2)["mean_kept"] == tuning.EVIDENCE.mean_kept
    assert found["slow_kept"] == np.exp(-512 / (2.0 * 48000))


@pytest.mark.parametrize(("settings", "table"), ALL)
def test_no_number_is_forgotten(settings: object, table: object) -> None:
    """All that a record takes from its tuning stands there, and all that stands there is used."""
    found = tuning.numbers(settings, table, 48000)
    fixed = {n for n, f in table.fields.items() if f.kind == "number" and f.start is None}   # type: ignore[attr-defined]
    of_the_stage = {"channels", "span", "lines", "known", "blocks", "size", "first", "budget", "highest"}
    assert fixed - set(found) <= of_the_stage
    assert not set(found) & of_the_stage
    python_only = {"highest", "edges", "calibrated_bins", "one_tap", "compared", "close", "hop", "band", "trusted"}
    renamed = {f"{name.rpartition('_')[0]}_kept" for name in vars(settings) if name.endswith("_memory")}
    renamed |= {f"{name.rpartition('_')[0]}_blocks" for name in vars(settings) if name.endswith("_seconds")}
    as_is = {f.name for f in dataclasses.fields(settings)}   # type: ignore[arg-type]
    as_is = {name for name in as_is if not name.endswith(("_memory", "_seconds"))} - python_only
    assert as_is | renamed == set(found)
