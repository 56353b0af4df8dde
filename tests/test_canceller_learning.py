"""The tuning of the canceller's Kalman filter and hand-over: the same times at every rate."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep.stages.canceller.settings import LEARNING


def test_at_48_khz_the_numbers_are_those_that_were_found() -> None:
    """In blocks of 512 samples, and to the last bit of the kernels' float32."""
    f4 = np.float32
    for known, found in ((False, (0.999, 1e-4)), (True, (0.99999, 3e-6))):
        assert [f4(value) for value in LEARNING.per_block(known, 48000)] == [f4(value) for value in found]
    np.testing.assert_array_equal(LEARNING.priors(48000), 0.02 * 0.85 ** np.arange(64))
    numbers = LEARNING.kalman(48000)
    assert (f4(numbers["smoothing"]), f4(numbers["tamed"]), numbers["tamed_blocks"]) == (f4(0.6), f4(0.7), 32)
    assert LEARNING.handover(32, 48000) == {"again_blocks": 1000, "good_blocks": 256}
    assert f4(LEARNING.loudness_kept(48000)) == f4(0.9995)


@pytest.mark.parametrize("rate", [44100, 88200, 96000])
def test_times_and_memories_hold_at_every_rate(rate: int) -> None:
    blocks, usual = rate / 512, 48000 / 512   # in a second
    memory, drift = LEARNING.per_block(False, rate)
    assert memory**blocks == pytest.approx(0.999**usual, rel=1e-5)
    assert drift * blocks == pytest.approx(1e-4 * usual)
    numbers, there = LEARNING.kalman(rate), LEARNING.kalman(48000)
    for name in ("smoothing", "tamed"):
        assert numbers[name] ** blocks == pytest.approx(there[name] ** usual, rel=1e-9)
    # Not quite at 96 kHz: the powers of 64 blocks are at hand.
    assert numbers["tamed_blocks"] == min(round(0.34 * blocks), 56)
    handover = LEARNING.handover(32, rate)
    assert handover["again_blocks"] / blocks == pytest.approx(10.67, abs=1 / blocks)
    assert handover["good_blocks"] / blocks == pytest.approx(2.73, abs=1 / blocks)
    assert LEARNING.loudness_kept(rate) ** (rate / 64) == pytest.approx(0.9995 ** (48000 / 64), rel=1e-3)


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
