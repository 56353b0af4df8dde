"""The fit of one solo: its equations are those of plain least squares, and leaks do not bend it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import toeplitz

from rtsep.systems.solofit import SoloFit, _solve

RATE = 16000


def room(rng: np.random.Generator, taps: int) -> NDArray[np.float64]:
    path = rng.standard_normal(taps) * np.exp(-np.arange(taps) / (taps / 6))
    path[:20] = 0
    return np.asarray(0.3 * path / np.linalg.norm(path))


def misalignment_db(found: NDArray[np.float32], true: NDArray[np.float64]) -> float:
    return float(10 * np.log10(np.sum((found - true) ** 2) / np.sum(true**2)))


def test_the_normal_equations_are_the_transpose_of_the_filter() -> None:
    rng = np.random.default_rng(1)
    mics = rng.standard_normal((2, 6000)).astype(np.float32)
    passages = [(500, 2500), (3000, 5600)]
    fit = SoloFit(mics, 0, passages, 200, 1000)
    a = rng.standard_normal(200)
    # Written out: what is played before a passage counts too, as far back as a path reaches.
    naive = [np.convolve(mics[0].astype(float), a)[start:end] for start, end in passages]
    for got, wanted in zip(fit._filtered(a), naive, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-9)
    noise = rng.uniform(0.5, 2, (len(fit.source_power), fit.frame // 2 + 1))
    e, f = fit._filtered(a), fit._filtered(rng.standard_normal(200))
    # Symmetric and positive, so that conjugate gradients may be used.
    b = rng.standard_normal(200)
    np.testing.assert_allclose(b @ fit._normal(e, noise), a @ fit._normal(fit._filtered(b), noise), rtol=1e-9)
    assert a @ fit._normal(e, noise) > 0
    assert len(f) == 2


def test_the_preconditioner_solves_a_toeplitz_system() -> None:
    rng = np.random.default_rng(2)
    auto: NDArray[np.float64] = np.exp(-0.36 * np.arange(300))
    precision = np.exp(np.linspace(-3, 3, 300))
    cross = rng.standard_normal(300)
    exact = np.linalg.solve(toeplitz(auto) + np.diag(precision), cross)
    assert np.linalg.norm(_solve(auto, cross, precision) - exact) < 0.03 * np.linalg.norm(exact)


@pytest.mark.parametrize("level_db", [0, -60])
def test_a_burst_of_leakage_is_weighted_down(level_db: float) -> None:
    """Half a second in which somebody else is loud costs what its time is worth, not what its power is."""
    rng = np.random.default_rng(3)
    true, frames = room(rng, 1024), 4 * RATE
    mics = np.zeros((2, frames))
    mics[0] = rng.standard_normal(frames)
    mics[1] = np.convolve(mics[0], true)[:frames] + 1e-3 * rng.standard_normal(frames)
    mics[1] = np.where(np.arange(frames) // (RATE // 2) == 3, mics[1] + 0.5 * rng.standard_normal(frames), mics[1])
    mics *= 10 ** (level_db / 20)
    path, _ = SoloFit(mics.astype(np.float32), 0, [(0, frames)], 1024, RATE).path(1)
    # Stationary weights: the burst's mean density is 0.03 against a path of 0.09: some -12 dB.
    assert misalignment_db(path, true) < -30


def test_what_leaks_while_the_player_rests_teaches_nothing() -> None:
    """The other player reaches the own microphone through one path and the target through another: both leak."""
    rng = np.random.default_rng(4)
    true, frames = room(rng, 1024), 4 * RATE
    played, other = rng.standard_normal((2, frames))
    played *= np.arange(frames) < RATE     # one second of four
    other *= 1e-2
    mics = np.stack([played + 0.3 * np.roll(other, 5), np.convolve(played, true)[:frames] + np.roll(other, 40)])
    path, _ = SoloFit(mics.astype(np.float32), 0, [(0, frames)], 1024, RATE).path(1)
    # Taken for a source, the leak would put a path of 3 at tap 35; the truth has power .09 in all.
    assert misalignment_db(path, true) < -15
    assert abs(path[35] - true[35]) < 0.02


def test_silence_is_no_path() -> None:
    mics = np.zeros((2, RATE), dtype=np.float32)
    path, left = SoloFit(mics, 0, [(0, RATE)], 256, RATE).path(1)
    assert not path.any()
    assert left == 0
    mics[1] = 0.1
    assert not SoloFit(mics, 0, [(0, RATE)], 256, RATE).path(1)[0].any()
