"""Stability: paths whose loop would run away are turned down, and nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep.runner import process
from rtsep.stage import Block, Format
from rtsep.stages.canceller import Canceller
from rtsep.stages.canceller.stability import LARGEST, _minimum_phase, radius, stable

RATE = 48000


def room(k: int, taps: int, seed: int, largest: float) -> Block:
    """Return decaying random paths whose loop has a spectral radius of `largest`."""
    rng = np.random.default_rng(seed)
    paths = rng.standard_normal((k, k, taps)) * np.exp(-np.arange(taps) / (taps / 8))
    paths *= rng.uniform(0.3, 1, (k, k, 1))
    paths[..., : rng.integers(1, 40)] = 0
    paths[np.arange(k), np.arange(k)] = 0
    paths *= largest / fine_radius(paths, 2 * taps).max()
    return paths.astype(np.float32)


def fine_radius(paths: Block, size: int) -> Block:
    spectra = np.fft.rfft(paths.astype(float), size).transpose(2, 0, 1)
    return np.abs(np.linalg.eigvals(spectra)).max(axis=1)


def naive_radius(paths: Block) -> Block:
    """Return the spectral radius, bin by bin, the transform written out."""
    taps = paths.shape[-1]
    found = []
    for bin_ in range(taps + 1):
        wave = np.exp(-2j * np.pi * bin_ * np.arange(taps) / (2 * taps))
        found.append(max(abs(value) for value in np.linalg.eigvals(paths.astype(float) @ wave)))
    return np.array(found)


def magnitude(paths: Block) -> Block:
    return np.abs(np.fft.rfft(paths.astype(float), 4 * paths.shape[-1]))


@pytest.mark.parametrize(("k", "taps"), [(1, 64), (2, 64), (3, 130), (5, 256)])
def test_the_radius_is_that_of_a_plain_loop_over_the_bins(k: int, taps: int) -> None:
    paths = np.random.default_rng(k).standard_normal((k, k, taps)).astype(np.float32)
    got = radius(paths)
    assert got.shape == (taps + 1,)
    np.testing.assert_allclose(got, naive_radius(paths), rtol=1e-6, atol=1e-9)


def test_the_radius_has_closed_forms() -> None:
    paths = np.zeros((2, 2, 32), np.float32)
    paths[0, 1, 3], paths[1, 0, 5] = 0.5, 2.0
    np.testing.assert_allclose(radius(paths), 1, rtol=1e-6)   # geometric mean of both ways
    paths[1, 0] = 0
    np.testing.assert_allclose(radius(paths), 0, atol=1e-6)   # one way alone is no loop
    np.testing.assert_allclose(radius(np.zeros((3, 3, 8), np.float32)), 0)


@pytest.mark.parametrize("k", [2, 3, 4, 5])
@pytest.mark.parametrize("largest", [0.3, 0.89])
def test_what_is_stable_is_the_same_array(k: int, largest: float) -> None:
    paths = room(k, 1024, k, largest)
    before = paths.copy()
    assert stable(paths) is paths
    np.testing.assert_array_equal(paths, before)


def test_one_way_bleed_is_no_loop_however_loud() -> None:
    paths = np.zeros((3, 3, 1024), np.float32)
    paths[0, 1, 5] = paths[0, 2, 9] = paths[1, 2, 7] = 3
    assert stable(paths) is paths


@pytest.mark.parametrize("k", [2, 3, 4, 5])
@pytest.mark.parametrize(("seed", "largest"), [(0, 1.05), (1, 1.05), (0, 1.5), (1, 4.0), (2, 4.0)])
def test_what_would_explode_is_turned_down(k: int, seed: int, largest: float) -> None:
    paths = room(k, 1024, seed, largest)
    before = paths.copy()
    turned = stable(paths)
    np.testing.assert_array_equal(paths, before)
    assert turned.dtype == np.float32
    assert turned.shape == paths.shape
    assert radius(turned).max() < 0.97
    # Between the bins that were looked at there is no way out either.
    assert fine_radius(turned, 5 * 1024).max() < 1
    # Nobody is left without a cure: what is left is not much less than what is allowed.
    assert radius(turned).max() > 0.5


@pytest.mark.parametrize("taps", [64, 256, 512, 1024, 4096])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_causal(taps: int, seed: int) -> None:
    """What a path does not contain before its first tap, the turned-down path does not contain either."""
    paths = room(3, taps, seed, 2.0)
    first = taps // 2
    paths[..., :first] = 0
    paths *= np.float32(2 / radius(paths).max())
    turned = stable(paths)
    assert radius(turned).max() < 0.97
    assert np.abs(turned[..., :first]).max() < 1e-5 * np.abs(turned).max()
    # And what the paths do late changes nothing early: all are turned by one filter, and that is causal.
    heads = np.flatnonzero(np.abs(paths).max(axis=(0, 1)) > 0)[0]
    ratios = turned[..., heads][paths[..., heads] != 0] / paths[..., heads][paths[..., heads] != 0]
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-3)
    assert 0 < ratios[0] <= 1.01


def test_the_correction_has_its_magnitude_and_its_energy_comes_first() -> None:
    """The known answer: 1 + 0.6 z^-1 has its zero inside the unit circle, so it is minimum-phase itself."""
    truth = np.zeros(512)
    truth[:2] = 1, 0.6
    np.testing.assert_allclose(_minimum_phase(np.abs(np.fft.rfft(truth))), truth, atol=1e-9)
    # Turned around in time it has the same magnitude, and the same answer.
    np.testing.assert_allclose(_minimum_phase(np.abs(np.fft.rfft([0.6, 1], 512))), truth, atol=1e-9)


def test_all_paths_are_turned_by_the_same_filter() -> None:
    """Else directions would change, and what had been nearly right would be wrong."""
    paths = np.zeros((3, 3, 1024), np.float32)
    shape = (np.random.default_rng(1).standard_normal(1024) * np.exp(-np.arange(1024) / 60)).astype(np.float32)
    weights = np.array([[0, 1, 0.5], [0.8, 0, 0.3], [0.2, 0.9, 0]], np.float32)
    paths[:] = weights[..., None] * shape
    paths *= np.float32(1.5 / radius(paths).max())
    turned = stable(paths)
    np.testing.assert_allclose(turned, weights[..., None] * turned[0, 1], atol=1e-6 * np.abs(turned).max())
    np.testing.assert_array_equal(turned[np.arange(3), np.arange(3)], 0)


@pytest.mark.parametrize("k", [2, 4])
def test_barely_above_changes_little(k: int) -> None:
    paths = room(k, 2048, 5, 1.01 * LARGEST)
    turned = stable(paths)
    assert turned is not paths
    assert np.linalg.norm(turned - paths) < 0.05 * np.linalg.norm(paths)


def test_only_the_frequencies_that_ring_are_turned_down() -> None:
    """A resonance at 3 kHz in paths that are harmless elsewhere: what is far from it keeps its level."""
    taps = 4096
    t = np.arange(taps)
    wave = np.exp(-t / 600) * np.sin(2 * np.pi * 3000 / RATE * t)
    paths = np.zeros((2, 2, taps), np.float32)
    paths[0, 1] = paths[1, 0] = wave / np.abs(np.fft.rfft(wave)).max() * 1.4
    paths[0, 1, 0] = paths[1, 0, 0] = 0.3
    turned = stable(paths)
    assert 0.8 < radius(turned).max() < 0.97   # no more than was needed
    frequency = np.fft.rfftfreq(4 * taps, 1 / RATE)
    change = 20 * np.log10(magnitude(turned)[0, 1] / magnitude(paths)[0, 1])
    assert change[np.argmin(np.abs(frequency - 3000))] < -3
    far = (frequency < 1500) | (frequency > 6000)
    assert np.abs(change[far]).max() < 1


def test_what_truncation_leaves_is_taken_from_all_frequencies() -> None:
    """A path that is as loud at its last tap as at its first cannot hold the whole correction."""
    paths = np.zeros((2, 2, 1024), np.float32)
    paths[0, 1, [0, -1]] = paths[1, 0, [0, -1]] = 1
    assert radius(stable(paths)).max() <= 1 - (1 - LARGEST) / 2


@pytest.mark.parametrize(("k", "seed", "largest"), [(2, 0, 1.5), (3, 1, 2.0), (5, 2, 4.0), (2, 3, 1.02)])
def test_the_recursion_does_not_grow(k: int, seed: int, largest: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second of noise through the frozen canceller: no guard has to step in, and silence ends in silence."""
    paths = np.roll(room(k, 1024, seed, largest), 150, axis=-1)   # mics that are as close as twins are taken for them
    x = (0.1 * np.random.default_rng(9).standard_normal((k, 2 * RATE))).astype(np.float32)
    x[:, RATE:] = 0
    ends = []
    for guarded in (True, False):
        if not guarded:
            monkeypatch.setattr("rtsep.stages.canceller.stage.stable", lambda paths: paths)
        stage = Canceller(taps=1024, start=paths)
        stage.prepare(Format(RATE, k))
        stage.board.set("canceller.adapt", 0)
        y = process(stage, x)
        assert np.isfinite(y).all()
        ends.append((stage.status()["unstable_samples"], stage.status()["restores"], y))
    unstable, restores, y = ends[0]
    assert (unstable, restores) == (0, 0)
    assert np.mean(y[:, RATE // 2 : RATE] ** 2) < 10 * np.mean(x[:, :RATE] ** 2)
    assert np.abs(y[:, -RATE // 10 :]).max() < 1e-6
    if largest > 1.4:   # the check can fail: without `stable`, it does
        assert ends[1][0] > 0
