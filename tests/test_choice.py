"""The choice of pairs: never more than allowed, the right ones, chosen anew, and nothing heard of it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pace import process_live
from scipy import signal

from rtsep.bench.clicks import loudest
from rtsep.runner import process
from rtsep.stage import Block, Format
from rtsep.stages.canceller import Canceller
from rtsep_kernels.canceller import choice
from rtsep_kernels.canceller.record import BLOCK

RATE = 48000
STRONG = [(0, 1), (1, 3), (3, 2), (4, 0), (5, 4)]   # mic that bleed comes into, and where from
OTHERS = [(2, 0), (0, 5), (5, 1), (1, 4), (3, 4)]
Mask = NDArray[np.bool_]


def players(k: int, seconds: float, seed: int = 0) -> NDArray[np.float64]:
    """Return independent noises that come and go, each in its own colour."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * RATE)
    swell = np.repeat(rng.uniform(0.05, 1, (k, frames // 9600 + 1)), 9600, axis=1)[:, :frames]
    sources = [signal.lfilter([1], [1, -rng.uniform(0, 0.8)], row) for row in rng.standard_normal((k, frames))]
    return 0.05 * swell * np.array(sources)


def bleed(sources: NDArray[np.float64], pairs: list[tuple[int, int]], gain: float = 0.4) -> NDArray[np.float64]:
    """Add to mic i the sound of j, 200 samples late, for each pair; everybody hears everybody faintly."""
    late = np.pad(sources, ((0, 0), (200, 0)))[:, : sources.shape[1]]
    x = sources + 0.01 * np.roll(late, 100, axis=1).sum(axis=0) - 0.01 * np.roll(late, 100, axis=1)
    for i, j in pairs:
        x[i] += gain * late[j]
    return x


def prepared(k: int, pairs: int, taps: int = 1024, refine: int = 0, **start: Block) -> Canceller:
    stage = Canceller(taps=taps, refine=refine, pairs=pairs, **start)  # type: ignore[arg-type]
    stage.prepare(Format(RATE, k))
    stage.reset()
    return stage


def held(stage: Canceller) -> Mask:
    active: Mask = stage.record.parts["filters"]["active"] > 0
    return active


def applied(stage: Canceller) -> Mask:
    """Return which pairs have filters beyond tap 0 in either version."""
    kept = stage.record.parts["filters"]
    return np.any([
        np.any(np.moveaxis(kept[name], axes, (0, 1)).reshape(*held(stage).shape, -1) != 0, axis=-1)
        for name, axes in (("head", (1, 2)), ("near_re", (1, 2)), ("near_im", (1, 2)),
                           ("far_re", (2, 3)), ("far_im", (2, 3)))
    ], axis=0)


def by_blocks(stage: Canceller, x: NDArray[np.float64]) -> list[Mask]:
    """Process block by block; return the pairs that were held after each."""
    seen = []
    for first in range(0, x.shape[1] - BLOCK + 1, BLOCK):
        piece = np.ascontiguousarray(x[:, first : first + BLOCK], np.float32)
        stage.process(piece, np.empty_like(piece))
        seen.append(held(stage).copy())
    return seen


def test_as_many_pairs_as_there_are_change_nothing() -> None:
    x = bleed(players(3, 2), [(0, 1), (2, 0)]).astype(np.float32)
    outs = [process(prepared(3, pairs, refine=35000), x) for pairs in (6, 240, 4032)]
    np.testing.assert_array_equal(outs[0], outs[1])
    np.testing.assert_array_equal(outs[0], outs[2])
    stage = prepared(3, 6)
    assert (stage.status()["pairs"], stage.status()["possible_pairs"]) == (6, 6)


def test_strong_pairs_are_found_and_chosen_anew_and_the_limit_is_kept() -> None:
    """At every block: never more than allowed, and what is left out is zero in both versions, so it may be skipped."""
    sources = players(6, 20)
    half = sources.shape[1] // 2
    x = np.concatenate([bleed(sources, STRONG)[:, :half], bleed(sources, OTHERS)[:, half:]], axis=1)
    stage = prepared(6, 8)
    seen = []
    for part in (x[:, :half], x[:, half:]):
        for first in range(0, half - BLOCK + 1, BLOCK):
            now = by_blocks(stage, part[:, first : first + BLOCK])[0]
            assert now.sum() <= 8
            assert not np.any(applied(stage) & ~now)
            seen.append(now)
    assert stage.status()["pairs"] == seen[-1].sum()
    blocks = half // BLOCK
    strong = np.zeros((6, 6), bool)
    strong[tuple(zip(*STRONG, strict=True))] = True
    others = np.zeros((6, 6), bool)
    others[tuple(zip(*OTHERS, strict=True))] = True
    assert np.all(seen[blocks // 3][strong])
    assert np.all(seen[blocks - 1][strong])
    assert not np.all(seen[blocks - 1][others])
    assert np.all(seen[-1][others])


def test_what_the_chosen_pairs_bring_is_taken_away() -> None:
    sources = players(6, 8, 1)
    x = bleed(sources, STRONG).astype(np.float32)
    y = process(prepared(6, 8), x)
    late = slice(5 * RATE, None)
    own = sources[:, late]
    for i in {i for i, _ in STRONG}:
        before, after = (np.sum((v[i, late] - own[i]) ** 2) for v in (x, y))
        assert 10 * np.log10(before / after) > 8


def test_block_length_and_thread_change_no_bit() -> None:
    x = bleed(players(5, 8, 2), [(0, 1), (3, 2), (4, 0)]).astype(np.float32)
    x[:, 3 * RATE :] = bleed(players(5, 5, 3), [(1, 0), (2, 4), (0, 3)])   # so that pairs change
    stage = prepared(5, 6, refine=35000)
    out = process(stage, x, 64)
    assert stage._choice["changes"] > 6
    for block in (37, 512, 1000):
        np.testing.assert_array_equal(process(prepared(5, 6, refine=35000), x, block), out)
    live = process_live(stage, x)
    assert stage.status()["late_updates"] == 0
    np.testing.assert_array_equal(live, out)


def test_a_shadow_follows_the_choice() -> None:
    x = bleed(players(5, 3, 4), [(0, 1), (3, 2)]).astype(np.float32)
    stage = prepared(5, 6)
    twin = stage.shadow()
    for first in range(0, x.shape[1], 64):
        piece = np.ascontiguousarray(x[:, first : first + 64])
        outs = np.empty_like(piece), np.empty_like(piece)
        stage.process(piece, outs[0])
        twin.process(piece, outs[1])
        np.testing.assert_array_equal(outs[0], outs[1])
    assert np.abs(outs[0] - piece).max() > 1e-4


def test_a_soundcheck_gives_the_first_pairs() -> None:
    paths = np.zeros((5, 5, 1024), np.float32)
    for n, (i, j) in enumerate([(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)]):
        paths[i, j, 200] = 0.1 * (n + 1)
    stage = prepared(5, 3, start=paths)
    assert np.argwhere(held(stage)).tolist() == [[2, 3], [3, 4], [4, 0]]
    np.testing.assert_allclose(stage.paths[held(stage)], paths[held(stage)], atol=1e-6)
    assert not np.any(stage.paths[~held(stage)])


def test_a_linear_mixture_is_undone_for_all_pairs() -> None:
    """In instantaneous mode a path is one number: no pair has to be left out."""
    rng = np.random.default_rng(5)
    sources = players(5, 8, 5)
    mixing = np.where(np.eye(5, dtype=bool), 1, rng.uniform(0.1, 0.3, (5, 5)))
    x = (mixing @ sources).astype(np.float32)
    stage = prepared(5, 4)
    y = process(stage, x)
    assert stage.status()["instant"] == 5
    assert stage.status()["pairs"] <= 4
    late = slice(6 * RATE, None)
    left = np.sum((y[:, late] - sources[:, late]) ** 2, axis=1)
    assert np.all(10 * np.log10(np.sum((x[:, late] - sources[:, late]) ** 2, axis=1) / left) > 20)


@pytest.mark.parametrize("at_once", [False, True])
def test_a_pair_that_leaves_does_not_click(at_once: bool) -> None:
    """Against the same run in which it stays; not even where it is let go of at once.

    There is next to nothing above 2 kHz in any mic, so that bleed that comes back is none itself.
    """
    dull = signal.butter(10, 2000, fs=RATE, output="sos")
    sources = signal.sosfilt(dull, players(3, 6, 6), axis=1)
    x = bleed(sources, [(0, 1), (1, 2), (2, 0)]) + 1e-5 * np.random.default_rng(7).standard_normal(sources.shape)
    ways = [prepared(3, 5) for _ in range(2)]
    start = 4 * RATE // BLOCK
    fade = ways[0]._choice["fade_blocks"]
    outs: list[list[Block]] = [[], []]
    for n in range(x.shape[1] // BLOCK):
        piece = np.ascontiguousarray(x[:, n * BLOCK : (n + 1) * BLOCK], np.float32)
        if n == start:
            ways[0]._paths["held"][0, 1] = 0
            ways[0]._paths["leaving"][0, 1] = choice.FLUSH + (1 if at_once else fade)
            for way in ways:
                way._choice["budget"] = 0   # nobody comes in, and nobody else leaves
        for way, out in zip(ways, outs, strict=True):
            out.append(np.empty_like(piece))
            way.process(piece, out[-1])
    cleaned, without = (np.concatenate(out, axis=1) for out in outs)
    np.testing.assert_array_equal(cleaned[:, : start * BLOCK], without[:, : start * BLOCK])
    assert np.abs(cleaned - without).max() > 1e-3
    assert not held(ways[0])[0, 1]
    assert held(ways[1])[0, 1]
    switches = [n * BLOCK for n in range(start, start + fade + choice.FLUSH + 3)]
    assert loudest(cleaned, without, switches, RATE) < 3
    cleaned[0, switches[len(switches) // 2] + 50] += np.float32(0.01)   # planted
    assert loudest(cleaned, without, switches, RATE) > 3
