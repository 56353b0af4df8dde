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


def test_a_mic_that_is_plugged_in_later_learns_as_if_it_had_just_begun() -> None:
    """It did not: its doubts had gone, as in silence any path looks right. It gained 1 dB in twelve seconds."""
    sources, mics = stage_of_three(13)
    mics[2, : 3 * RATE] = 0
    with Session.open("live", RATE, ("vox", "gtr", "kick")) as session:
        out = process(session.engine, mics, 512)
    assert not out[2, : 3 * RATE].any()
    end = slice(-RATE, None)
    assert si_sdr(out[2, end], sources[2, end]) > si_sdr(mics[2, end], sources[2, end]) + 6


def test_a_mic_that_is_silent_from_the_start_keeps_the_paths_of_the_soundcheck() -> None:
    _, mics = stage_of_three(2)
    mics[2] = 0
    paths = np.zeros((3, 3, 512), np.float32)
    paths[..., LATE] = TAP * (1 - np.eye(3))
    stage = Canceller(taps=2048, start=paths, confidence=np.ones((3, 3), np.float32))
    stage.prepare(Format(RATE, 3))
    out = process(stage, mics)
    np.testing.assert_allclose(stage.paths[2, :2, :512], paths[2, :2], atol=1e-4)
    assert not out[2, 2 * 512 :].any()   # no bleed of which it hears nothing


@pytest.mark.slow
def test_a_mic_that_was_missing_goes_on_learning_where_it_was() -> None:
    """On a stage whose soundcheck is no good, so that all is learnt blindly; it lost 5 dB, 2 to 4 for ten seconds."""
    (loss,) = losses(scene_of(2), "live", False, ["NaN for 0.5 s"])
    assert loss.hit < 3
