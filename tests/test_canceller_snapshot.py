"""A canceller's snapshot is all of it: what it has heard, what it applies, what it has learnt and is about to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rtsep.runner import process
from rtsep.stage import Block, Format
from rtsep.stages.canceller import Canceller

RATE = 48000
OPTIONS: dict[str, dict[str, Any]] = {
    "all pairs, refined": {"taps": 4096},
    "some of the pairs": {"taps": 2048, "pairs": 4},
    "not refined": {"taps": 2048, "refine": 0},
}


def bleed(seconds: float) -> Block:
    """Make three players who take turns, two of whom are heard in another mic; the last seconds come otherwise."""
    rng = np.random.default_rng(3)
    frames = round(seconds * RATE)
    turns = np.repeat(rng.random((3, frames // 12000 + 1)) > 0.3, 12000, axis=1)[:, :frames]
    x = 0.1 * rng.standard_normal((3, frames)) * turns
    dry = x.copy()
    x[0, 90:] += 0.4 * dry[1, :-90]
    half = frames // 2
    x[2, 200:half] += 0.3 * dry[0, : half - 200]
    x[1, half:] += 0.3 * dry[2, half - 150 : -150]
    return x.astype(np.float32)


def prepared(**options: Any) -> Canceller:
    stage = Canceller(**options)
    stage.prepare(Format(RATE, 3))
    return stage


@pytest.mark.parametrize("at", [3.0, 3.3337], ids=["at a block", "within a segment"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_it_goes_on_bit_for_bit_from_a_snapshot(options: dict[str, Any], at: float) -> None:
    x = bleed(6)
    first, second = np.split(x, [round(at * RATE)], axis=1)
    stage = prepared(**options)
    process(stage, np.ascontiguousarray(first))
    kept = stage.snapshot()
    truth = process(stage, np.ascontiguousarray(second))
    other = prepared(**options)
    process(other, np.ascontiguousarray(x[::-1, : RATE // 3]))   # what it has heard before leaves no trace
    other.restore(kept)
    np.testing.assert_array_equal(process(other, np.ascontiguousarray(second)), truth)
    assert np.abs(truth - second).max() > 1e-3
    assert stage.status() == other.status()


def test_what_a_snapshot_lacks_would_be_heard() -> None:
    """Planted: each part of the state once left as it was in the other stage."""
    x = bleed(4)
    first, second = np.split(x, [3 * RATE], axis=1)
    stage = prepared(taps=2048)
    process(stage, np.ascontiguousarray(first))
    kept = stage.snapshot()
    truth = process(stage, np.ascontiguousarray(second))
    for part in ("history", "filters.far_re", "job_state.paths.w_re", "job_state.kalman.smooth"):
        other = prepared(taps=2048)
        other.restore({**kept, part: other.snapshot()[part]})
        assert not np.array_equal(process(other, np.ascontiguousarray(second)), truth), part


def test_a_snapshot_of_another_canceller_is_refused() -> None:
    with pytest.raises(ValueError, match="a snapshot of another state"):
        prepared(taps=2048).restore(prepared(taps=4096).snapshot())
