"""The meters: what is taken away in each octave, against NumPy; what has clipped stays until it is cleared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_view import made, picture

from rtsep.control.clearing import Clearing
from rtsep.control.surfaces import terminal
from rtsep.meters import METER_FRAMES, OCTAVES, Meters
from rtsep.presets import loads
from rtsep.session import Session

RATE, LATE = 48000, 576
PRESET = """
schema = 1
name = "meters"
latency_class = "foh"
[[chain]]
stage = "input"
[[chain]]
stage = "spectral"
estimator = "unity"
"""
WINDOWS = 6
LENGTH = WINDOWS * METER_FRAMES
# What the spectral stage is told to take away: 12 dB around 1 kHz, all above 5 kHz.
CUTS = ((560.0, 1600.0, 0.25), (5000.0, 24000.0, 0.0))


def measured(x: np.ndarray[Any, Any], block: int = 64) -> tuple[Meters, np.ndarray[Any, Any]]:
    """Return what the meters show at the end, and what came out, where the stage takes away what is said above."""
    meters = Meters(len(x))
    y = np.empty_like(x)
    with Session.open(loads(PRESET, ""), RATE, [f"mic{n}" for n in range(len(x))], meters=meters) as session:
        gains = session.engine.chain.stages[1].gains   # type: ignore[attr-defined]
        frequencies = np.arange(gains.shape[1]) * RATE / 1024
        runner = session.start()
        for low, high, gain in CUTS:
            gains[:, (frequencies >= low) & (frequencies < high)] = gain
        for first in range(0, x.shape[1], block):
            piece = np.ascontiguousarray(x[:, first : first + block])
            out = np.empty_like(piece)
            runner.process(piece, out)
            y[:, first : first + block] = out
    return meters, y


def octaves(window: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the power of a window in each octave; a sine of amplitude 1 has 1."""
    hann = np.sin(np.pi * (np.arange(window.size) + 0.5) / window.size) ** 2
    power = np.abs(np.fft.rfft(window * hann)) ** 2 / (window.size / 4 * (hann**2).sum())
    f = np.arange(power.size) * RATE / window.size
    return np.array([power[(f >= mid / np.sqrt(2)) & (f < mid * np.sqrt(2))].sum() for mid in OCTAVES])


def test_the_reduction_of_every_octave_and_its_mean_are_what_numpy_says() -> None:
    mics = 35   # more than there are segments in a publication
    x = (0.05 * np.random.default_rng(1).standard_normal((mics, LENGTH))).astype(np.float32)
    x[5] = 0
    meters, y = measured(x)
    for c in (0, 5, 6, 31, 32, 34):
        each = []
        for n in range(WINDOWS):
            end = n * METER_FRAMES + 64 * (c % 32 + 1)
            dry, clean = (np.pad(one, (2048, 0))[end + 1024 : end + 2048] for one in (np.pad(x[c], (LATE, 0)), y[c]))
            before, after = octaves(dry), octaves(clean)
            each.append(np.where(before > 1e-6, 10 * np.log10((before + 1e-9) / (after + 1e-9)), np.nan))
        if c != 5:
            np.testing.assert_allclose(meters.reduction()[:, c], each[-1], atol=0.02)
            np.testing.assert_allclose(meters.reduction(mean=True)[:, c], np.nanmean(each, axis=0), atol=0.02)
            assert meters.reduction()[3:6, c] == pytest.approx([3, 10, 1], abs=4)
            assert meters.reduction()[7, c] > 25
    assert not meters.reduction()[:, 5].any()   # nothing is taken away from silence


def test_what_is_shown_does_not_depend_on_the_block() -> None:
    x = (0.05 * np.random.default_rng(2).standard_normal((3, LENGTH))).astype(np.float32)
    shown = [measured(x, block)[0].levels for block in (64, 100, 2048)]
    assert shown[0][9:].any()
    for other in shown[1:]:
        np.testing.assert_array_equal(other[7:], shown[0][7:])


def test_what_has_clipped_is_held_until_it_is_cleared() -> None:
    x = np.full((3, METER_FRAMES), 0.4, np.float32)
    loud = x.copy()
    loud[0, 100], loud[1, 50] = -1.0, 0.6
    meters = Meters(3)
    with Session.open(loads(PRESET, ""), RATE, ["a", "b", "c"], meters=meters) as session:
        runner, board = session.start(), session.board
        y = np.empty_like(x)
        assert not meters.clipped().any()
        board.set("output.gain_db.c", 12)
        for piece in (loud, x, x, x):
            runner.process(piece, y)
        np.testing.assert_array_equal(meters.clipped(), [True, False, True])
        np.testing.assert_array_equal(meters.level("in_peak") < 0.5, [True, True, True])   # long ago
        np.testing.assert_array_equal(meters.early(-6.0), [True, True, False])   # output.early_clip_db
        np.testing.assert_array_equal(meters.early(-4.0), [True, False, False])
        told = meters.told(("a", "b", "c"), -6.0)
        assert (told["clipped"], told["early"]) == (["a", "c"], ["a", "b"])
        assert told["in_held_db"] == {"a": 0.0, "b": -4.44, "c": -7.96}
        assert told["limiter_held_db"]["c"] == pytest.approx(20 * np.log10(0.8913 / (0.4 * 10**0.6)), abs=0.05)
        assert told["reduction_db"]["b"]["max"] >= told["reduction_db"]["b"]["average"]
        board.set("output.gain_db.c", 0)
        runner.process(x, y)
        runner.process(np.tile(x, (1, 40)), np.tile(y, (1, 40)))   # the limiter has let go
        board.set("output.clear_clips", 1)
        runner.process(x, y)
        assert not meters.clipped().any()
        board.set("output.clear_clips", 0)
        runner.process(loud, y)
        runner.process(x, y)
        np.testing.assert_array_equal(meters.clipped(), [True, False, False])


def test_the_button_comes_back_when_the_engine_must_have_seen_it() -> None:
    running = made(("vox",))
    desk, frames = running.desk, running.meters.counters
    clearing = Clearing(desk, running.meters)
    for now, pressed in ((9000, True), (9000 + METER_FRAMES, True), (500, True), (500 + 2 * METER_FRAMES, False)):
        if now == 9000:
            desk.set("output.clear_clips", 1)
        frames[0] = now
        clearing.update()
        assert (desk.get("output.clear_clips") > 0) == pressed
    desk.set("output.clear_clips", 1)   # and once more, it takes as long
    clearing.update()
    assert desk.get("output.clear_clips") == 1


def test_the_picture_marks_what_has_clipped_and_a_key_clears_it() -> None:
    running = made(("vox", "kick", "bass"))
    meters = running.meters
    meters.level("in_peak")[:] = 0.25
    meters.level("in_held")[:] = (1, 0.6, 0.1)
    meters.level("limiter_held")[2] = 0.5
    meters.reduction()[:, 1] = np.arange(8)
    vox, kick, bass = (line.split() for line in picture(running)[3:6])
    assert (vox[1], kick[1], bass[1]) == ("!-12.0", "-12.0", "-12.0")
    assert bass[3] == "!-120"
    assert kick[-2:] == ["3.5", "dB"]
    assert "reduction" in picture(running)[2]
    small = [line.split() for line in picture(running, 24, 8)[1:]]
    assert [line[1] for line in small if line[0] in ("vox", "kick", "bass")] == ["!-120", "-120.0", "!-120"]
    assert any("c clear clips" in line for line in picture(running))
    assert not terminal.press("c", running.desk, lambda _: None)
    assert running.desk.get("output.clear_clips") == 1
