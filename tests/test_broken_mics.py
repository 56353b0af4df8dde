"""Microphones that are missing for a while: what was learnt survives, and learning goes on after them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rtsep.bench.micfaults import losses, scene_of
from rtsep.metrics import si_sdr
from rtsep.runner import process
from rtsep.session import Session
from rtsep.stage import Format
from rtsep.stages.canceller import Canceller
from rtsep_kernels.canceller.refine import handover, phases
from rtsep_kernels.canceller.refine.record import CHUNK

RATE = 48000
TAP, LATE = 0.4, 200   # the one echo by which everybody hears everybody else


def stage_of_three(seconds: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what three players play, each in his own mic, and what the mics hear."""
    rng = np.random.default_rng(5)
    turns = (rng.random((3, 10 * seconds)) > 0.4).repeat(RATE // 10, 1)
    sources = 0.1 * rng.standard_normal((3, seconds * RATE)) * turns
    late = np.pad(sources, ((0, 0), (LATE, 0)))[:, : sources.shape[1]]
    return sources.astype(np.float32), (sources + TAP * (late.sum(0) - late)).astype(np.float32)


@pytest.mark.parametrize(
    ("missing", "heard", "last", "found"),
    [
        ((), 3, 0, 3), ((), 9, 0, 4), ((), 1, 0, 1),   # 4: more than 1.4 s are not compared on
        ((2,), 9, 0, 2),                               # what comes before is enough
        ((1,), 9, 3, 4), ((0,), 3, 2, 1), ((0, 3), 4, 4, 0),
    ],
)
def test_paths_are_judged_on_sound_in_which_nobody_is_missing(
    missing: tuple[int, ...], heard: int, last: int, found: int
) -> None:
    """A chunk in which somebody is missing doesn't count, nor the one after it, in which he is still missing."""
    stage = Canceller(taps=2048)
    stage.prepare(Format(RATE, 2))
    first = 20
    s = stage._refinement.record[0]
    s["phase"], s["index"], s["last"], s["have"] = phases.FRESH, 0, first, (first + heard) * CHUNK + 5
    for chunk in missing:
        stage._refinement["unwatched"][first + chunk] = 1
    cost = handover.hear_fresh(s)
    assert s["last"] - first == last
    assert s["step"] == found
    assert (cost == phases.WAIT) == (found < s["fresh_least"]) == (s["index"] == 0)


def test_a_mic_that_is_plugged_in_later_is_learnt_then() -> None:
    sources, mics = stage_of_three(8)
    plugged = 4 * RATE
    mics[2, :plugged] = 0
    with Session.open("live", RATE, ("vox", "gtr", "kick")) as session:
        (canceller,) = (stage for stage in session.engine.chain.stages if stage.name == "canceller")
        before = process(session.engine, mics[:, :plugged], 512)
        assert canceller.status()["frozen"] == 0   # who has never lived is not dead
        after = process(session.engine, np.ascontiguousarray(mics[:, plugged:]), 512)
    assert not before[2].any()
    second = slice(plugged - RATE, plugged)
    # Until then the others still hear him, but not each other.
    for i in (0, 1):
        assert si_sdr(before[i, second], sources[i, second]) > si_sdr(mics[i, second], sources[i, second]) + 1
    end = slice(-RATE, None)
    for i in range(3):
        assert si_sdr(after[i, end], sources[i, end]) > si_sdr(mics[i, end], sources[i, end]) + 6


def test_who_is_dead_now_is_counted() -> None:
    _, mics = stage_of_three(2)
    mics[1, RATE:] = 0
    stage = Canceller(taps=2048)
    stage.prepare(Format(RATE, 3))
    process(stage, np.ascontiguousarray(mics[:, :RATE]))
    assert stage.status()["frozen"] == 0
    process(stage, np.ascontiguousarray(mics[:, RATE:]))
    assert stage.status()["frozen"] == 1


@pytest.mark.slow
def test_a_mic_that_was_missing_goes_on_learning_where_it_was() -> None:
    """On a stage whose soundcheck is no good, so that all is learnt blindly; it fell back by 3 dB for ten seconds."""
    (loss,) = losses(scene_of(2), "live", False, ["NaN for 0.5 s"])
    assert loss.hit_later < 1
