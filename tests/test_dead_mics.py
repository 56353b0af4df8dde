"""Microphones that die: they come out silent, nothing is unlearnt, and nothing that is too loud enters."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep.bench.micfaults import FAULTS, losses, scene_of
from rtsep.runner import process
from rtsep.session import Session
from rtsep_kernels.canceller.dead import LEAST
from rtsep_kernels.plane.grid import LOUDEST

RATE = 48000
NAMES = ("vox", "gtr", "kick")
TAP, LATE = 0.4, 200   # the one echo by which everybody hears everybody else


@pytest.fixture(scope="module")
def mics() -> np.ndarray:
    rng = np.random.default_rng(5)
    sources = 0.1 * rng.standard_normal((3, 6 * RATE)) * (rng.random((3, 60)) > 0.4).repeat(RATE // 10, 1)
    late = np.pad(sources, ((0, 0), (LATE, 0)))[:, : sources.shape[1]]
    return (sources + TAP * (late.sum(0) - late)).astype(np.float32)


def cleaned(mics: np.ndarray, block: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Return what comes out of a canceller that learns blindly, and its paths at the end."""
    with Session.open("live", RATE, NAMES) as session:
        out = process(session.engine, mics, block)
        (canceller,) = (stage for stage in session.engine.chain.stages if stage.name == "canceller")
        return out, canceller.paths


def test_a_dead_mic_is_silent_and_keeps_its_paths(mics: np.ndarray) -> None:
    end = 5 * RATE
    _, before = cleaned(mics[:, :end])
    silent = mics[:, : end + RATE].copy()
    silent[1, end:] = 0
    out, after = cleaned(silent)
    assert np.abs(before[1]).max() > 0.2            # it has learnt something
    assert not out[1, end + LEAST + 64 :].any()     # and says nothing: no bleed of which it hears nothing
    kept = np.sum((after[1] - before[1]) ** 2) / np.sum(before[1] ** 2)
    assert kept < 0.02


def test_dead_mics_are_the_same_in_blocks_of_any_length(mics: np.ndarray) -> None:
    broken = mics[:, : 3 * RATE].copy()
    broken[0, RATE : RATE + 7000] = 0
    broken[2, RATE + 3000 : 2 * RATE : 2] = np.nan
    np.testing.assert_array_equal(cleaned(broken, 64)[0], cleaned(broken, 1000)[0])


def test_what_is_louder_than_any_sound_does_not_enter(mics: np.ndarray) -> None:
    loud, zero = mics[:, : 3 * RATE].copy(), mics[:, : 3 * RATE].copy()
    loud[1, 2 * RATE : 2 * RATE + 3] = (1000, -1e30, np.inf)
    zero[1, 2 * RATE : 2 * RATE + 3] = 0
    np.testing.assert_array_equal(cleaned(loud)[0], cleaned(zero)[0])
    most = mics[:, :RATE].copy()
    most[1, 5] = LOUDEST
    assert np.abs(cleaned(most)[0][:, 5:]).max() > 0.8   # that much may be sound: it meets the limiter


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["silent for 1 s", "NaN for 0.5 s", "0.1 s at +-100", "one sample of 1e30"])
def test_a_broken_mic_costs_the_others_little(fault: str) -> None:
    assert fault in FAULTS
    for seed in (11, 12):
        (loss,) = losses(scene_of(seed), "live", False, [fault])
        assert loss.below_dry < 1
