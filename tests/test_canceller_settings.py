"""What the canceller is tuned to: the same times at every rate, and at 48 kHz the numbers that were found."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import signal

from rtsep.stages.canceller import settings as tuning
from rtsep.stages.canceller.estimates import low_pass
from rtsep.stages.canceller.settings import LEARNING
from rtsep_kernels.canceller.choice import CHOICE
from rtsep_kernels.canceller.guard.evidence import EVIDENCE
from rtsep_kernels.canceller.guard.record import GUARD
from rtsep_kernels.canceller.handover import HANDOVER
from rtsep_kernels.canceller.instant.record import INSTANT
from rtsep_kernels.canceller.kalman import KALMAN
from rtsep_kernels.canceller.polarity import POLARITY
from rtsep_kernels.canceller.quarantine import QUARANTINE
from rtsep_kernels.canceller.record import CANCELLER

OF_ONE = [(tuning.INSTANT, INSTANT), (tuning.GUARD, GUARD), (tuning.EVIDENCE, EVIDENCE), (tuning.CHOICE, CHOICE)]
ALL = [*OF_ONE, (LEARNING, KALMAN), (LEARNING, HANDOVER), (LEARNING, CANCELLER)]
OF_FAULTS = [(tuning.QUARANTINE, QUARANTINE), (tuning.POLARITY, POLARITY)]   # whose names mean other times
BLOCKS = {
    "patience": 20, "settled": 150, "start": 140, "doubted": 100, "barred": 500, "moving": 48, "level": 200,
    "clipped": 400, "first": 8, "turn": 8, "round": 32, "fade": 96, "tamed": 32, "again": 1000,
    "good": 256,
}


@pytest.mark.parametrize("rate", [44100, 48000, 88200, 96000])
@pytest.mark.parametrize(("settings", "table"), ALL + OF_FAULTS)
def test_times_and_memories_hold_at_every_rate(settings: object, table: object, rate: int) -> None:
    """To half a block; what is kept over a second is the same."""
    found = tuning.numbers(settings, table, rate)
    usual = tuning.numbers(settings, table, 48000)
    assert found
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
    for settings, table in (ALL[3], ALL[1], ALL[0], *ALL[4:]):   # `settled` is of two of them
        found |= tuning.numbers(settings, table, 48000)
    assert {name: found[f"{name}_blocks"] for name in BLOCKS} == BLOCKS
    choice = tuning.numbers(tuning.CHOICE, CHOICE, 48000)
    assert (choice["settled_blocks"], choice["rest_blocks"]) == (190, 940)   # names that are of two of them
    for name in ("advantage_kept", "apart_kept"):
        assert found[name] == getattr(tuning.INSTANT, name)
    for name in ("peak_kept", "loud_kept", "shrink_kept"):
        assert found[name] == getattr(tuning.GUARD, name)
    assert (found["smooth_kept"], found["tamed_kept"], found["loudness_kept"]) == (0.6, 0.7, 0.9995)
    assert tuning.numbers(tuning.EVIDENCE, EVIDENCE, 48000, 2, 2)["mean_kept"] == tuning.EVIDENCE.mean_kept
    assert found["slow_kept"] == np.exp(-512 / (2.0 * 48000))
    assert LEARNING.per_block(False, 48000) == (0.999, 1e-4)
    assert LEARNING.per_block(True, 48000) == (0.99999, 3e-6)
    np.testing.assert_array_equal(LEARNING.priors(48000), 0.02 * 0.85 ** np.arange(64))
    assert np.float32(tuning.kept(tuning.REFINEMENT.memory, 48000)) == np.float32(0.9995)


@pytest.mark.parametrize(("settings", "table"), OF_ONE + OF_FAULTS)
def test_no_number_is_forgotten(settings: object, table: object) -> None:
    """All that a record takes from its tuning stands there, and all that stands there is used."""
    found = tuning.numbers(settings, table, 48000)
    of_the_stage = {"channels", "span", "lines", "known", "blocks", "size", "first", "budget", "highest"}
    assert fixed(table) - set(found) <= of_the_stage
    assert not set(found) & of_the_stage
    python_only = {"highest", "edges", "calibrated_bins", "one_tap", "compared", "close", "hop", "band", "trusted"}
    renamed = {f"{name.rpartition('_')[0]}_kept" for name in vars(settings) if name.endswith("_memory")}
    renamed |= {f"{name.rpartition('_')[0]}_blocks" for name in vars(settings) if name.endswith("_seconds")}
    as_is = {f.name for f in dataclasses.fields(settings)}   # type: ignore[arg-type]
    as_is = {name for name in as_is if not name.endswith(("_memory", "_seconds"))} - python_only
    assert as_is | renamed == set(found)


def fixed(table: object) -> set[str]:
    return {n for n, f in table.fields.items() if f.kind == "number" and f.start is None}   # type: ignore[attr-defined]


def test_the_filter_and_the_hand_over_forget_none() -> None:
    assert fixed(KALMAN) == {"channels", *LEARNING.kalman(48000)}
    assert fixed(HANDOVER) == {"channels", *LEARNING.handover(32, 48000)}


@pytest.mark.parametrize(("rate", "blocks"), [(44100, 2), (48000, 2), (88200, 4), (96000, 4), (192000, 8), (8000, 1)])
def test_a_hop_of_the_evidence_lasts_as_long_at_every_rate(rate: int, blocks: int) -> None:
    assert tuning.EVIDENCE.blocks(rate) == blocks


@pytest.mark.parametrize("rate", [44100, 88200, 96000])
def test_learning_is_as_fast_at_every_rate(rate: int) -> None:
    blocks, usual = rate / 512, 48000 / 512   # in a second
    memory, drift = LEARNING.per_block(False, rate)
    assert memory**blocks == pytest.approx(0.999**usual, rel=1e-9)
    assert drift * blocks == pytest.approx(1e-4 * usual)
    # Not quite at 96 kHz: the powers of 64 blocks are at hand.
    assert LEARNING.kalman(rate)["tamed_blocks"] == min(round(0.34 * blocks), 56)
    # Each partition is kept in turn.
    assert LEARNING.handover(1000, rate)["good_blocks"] == 1000


@pytest.mark.parametrize("rate", [44100, 88200, 96000])
def test_a_path_is_expected_to_be_as_strong_and_to_last_as_long_at_every_rate(rate: int) -> None:
    priors, usual = LEARNING.priors(rate), LEARNING.priors(48000)
    assert priors.sum() == pytest.approx(usual.sum(), rel=0.01)
    half = 0.05   # seconds
    here, there = priors[: round(half * rate / 512)].sum(), usual[: round(half * 48000 / 512)].sum()
    assert here / priors.sum() == pytest.approx(there / usual.sum(), rel=0.1)


@pytest.mark.parametrize(("mics", "tracked"), [(2, 8), (8, 8), (15.5, 4), (32, 2), (64, 2)])
def test_the_work_of_tracking_is_bounded(mics: float, tracked: int) -> None:
    assert LEARNING.tracked_of(mics) == tracked


@pytest.mark.parametrize(("taps", "edge"), [(129, 0.225), (257, 0.1125), (65, 0.45)])
def test_the_low_pass_filter_is_scipys(taps: int, edge: float) -> None:
    np.testing.assert_array_equal(low_pass(taps, edge), signal.firwin(taps, edge))
