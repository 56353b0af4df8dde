"""Microphones that break: noise that nobody else hears, and polarity. What was learnt survives."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep.runner import process
from rtsep.stage import Block, Format
from rtsep.stages.canceller import Canceller

RATE = 48000
TAP, LATE = 0.4, 200   # the one echo by which everybody hears everybody else
BREAKS = 4 * RATE
BROKEN = 1


def band(seconds: float, signs: Block | None = None) -> Block:
    """Make three players who rest at times, and are heard by the others with these signs."""
    rng = np.random.default_rng(5)
    frames = round(seconds * RATE)
    turns = (rng.random((3, frames // 4800 + 1)) > 0.4).repeat(4800, 1)[:, :frames]
    sources = 0.03 * rng.standard_normal((3, frames)) * turns
    late = np.pad(sources, ((0, 0), (LATE, 0)))[:, :frames]
    taps = TAP * (1 - np.eye(3)) * (1 if signs is None else signs)
    return (sources + taps @ late).astype(np.float32)


def noisy(x: Block, seconds: float = 0.5) -> Block:
    broken = x.copy()
    frames = round(seconds * RATE)
    broken[BROKEN, BREAKS : BREAKS + frames] = np.random.default_rng(6).uniform(-1, 1, frames)
    return broken


def flipped(x: Block) -> Block:
    broken = x.copy()
    broken[BROKEN, BREAKS:] *= -1
    return broken


def prepared() -> Canceller:
    stage = Canceller(taps=4096)
    stage.prepare(Format(RATE, 3))
    return stage


@pytest.fixture(scope="module")
def learnt() -> tuple[Block, dict[str, np.ndarray], Block]:
    """Return a band, a snapshot of a canceller that has learnt from its first seconds, and the paths."""
    x = band(6)
    stage = prepared()
    process(stage, np.ascontiguousarray(x[:, :BREAKS]))
    return x, stage.snapshot(), stage.paths


def goes_on(snapshot: dict[str, np.ndarray], x: Block, block: int = 512) -> tuple[Canceller, Block]:
    """Return the canceller and its output after it has gone on, from where things break."""
    stage = prepared()
    stage.restore(snapshot)
    return stage, process(stage, np.ascontiguousarray(x[:, BREAKS:]), block)


def off(paths: Block, others: Block) -> float:
    """Return by how much paths differ, as a part of their power."""
    return float(np.sum((paths - others) ** 2) / np.sum(others**2))


def left(out: Block, right: Block) -> float:
    """Return the power by which the last second of the other mics differs, beside theirs, in dB."""
    end = np.s_[np.arange(3) != BROKEN, -RATE:]
    return float(10 * np.log10(np.mean((out[end] - right[end]) ** 2) / np.mean(right[end] ** 2)))


def test_sound_breaks_nothing(learnt: tuple[Block, dict[str, np.ndarray], Block]) -> None:
    x, snapshot, _ = learnt
    stage, _ = goes_on(snapshot, x)
    assert (stage.status()["shut_out"], stage.status()["flipped"]) == (0, 0)


def test_noise_of_one_mic_is_neither_subtracted_nor_learnt_from(
    learnt: tuple[Block, dict[str, np.ndarray], Block],
) -> None:
    x, snapshot, paths = learnt
    noise = noisy(x)
    stage, out = goes_on(snapshot, noise)
    sound, right = goes_on(snapshot, x)
    assert stage.status()["shut_out"] == 1
    assert off(stage.paths, sound.paths) < 0.1 < off(0 * paths, sound.paths)
    assert left(out, right) < -15
    # While it lasts, and once it was seen, the others hear none of it, and the mic itself goes out.
    during = slice(round(0.2 * RATE), round(0.5 * RATE))
    assert np.std(out[0, during]) < 1.3 * np.std(x[0, BREAKS:][during])
    assert np.corrcoef(out[BROKEN, during], noise[BROKEN, BREAKS:][during])[0, 1] > 0.99


def test_a_mic_that_was_turned_up_is_learnt_in_the_end(learnt: tuple[Block, dict[str, np.ndarray], Block]) -> None:
    """It looks as if it were broken: nobody hears it so loud. So nobody is shut out for long."""
    x, snapshot, paths = learnt
    stage = prepared()
    stage.restore(snapshot)
    loud = np.ascontiguousarray(np.tile(x[:, :BREAKS], 2))
    loud[BROKEN] *= 12
    process(stage, loud)
    assert stage.status()["shut_out"] > 0
    assert not stage.record["shut"].any()
    assert off(stage.paths[:, BROKEN] * 12, paths[:, BROKEN]) < 0.2


def test_a_flipped_polarity_is_followed(learnt: tuple[Block, dict[str, np.ndarray], Block]) -> None:
    x, snapshot, paths = learnt
    stage, out = goes_on(snapshot, flipped(x))
    sound, right = goes_on(snapshot, x)
    assert stage.status()["flipped"] == 1
    sign = np.where(np.arange(3) == BROKEN, -1, 1)
    turned = sound.paths * (sign[:, None] * sign)[..., None]
    assert off(stage.paths, turned) < 0.05
    assert off(stage.paths, paths) > 1
    assert left(out, right) < -20


def test_a_path_that_has_turned_is_learnt_anew(learnt: tuple[Block, dict[str, np.ndarray], Block]) -> None:
    """It is no mic that was flipped. Nobody learnt while one was looked for, which never ended."""
    _, snapshot, _ = learnt
    signs = np.float32([[1, -1, 1], [-1, 1, 1], [1, 1, 1]])
    stage, _ = goes_on(snapshot, band(12, signs))
    assert stage.status()["flipped"] == 0
    right = np.zeros_like(stage.paths)
    right[..., LATE] = TAP * signs * (1 - np.eye(3))
    assert off(stage.paths, right) < 0.3 < off(abs(right), right)


@pytest.mark.parametrize("break_it", [noisy, flipped], ids=["noise", "polarity"])
def test_blocks_of_any_length_and_snapshots_change_nothing(break_it, learnt) -> None:  # type: ignore[no-untyped-def]
    x, snapshot, _ = learnt
    broken = break_it(x)[:, : BREAKS + RATE]
    _, whole = goes_on(snapshot, broken)
    np.testing.assert_array_equal(goes_on(snapshot, broken, 1000)[1], whole)
    for seconds in (0.1, 0.3337):   # while it is being seen, and within a segment
        cut = BREAKS + round(seconds * RATE)
        stage, _ = goes_on(snapshot, broken[:, :cut])
        other = prepared()
        process(other, np.ascontiguousarray(broken[::-1, : RATE // 3]))
        other.restore(stage.snapshot())
        np.testing.assert_array_equal(process(other, np.ascontiguousarray(broken[:, cut:])), whole[:, cut - BREAKS :])
