"""The guard: what it gives a mic, which pairs it lets learn, and what it says of a mic, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rtsep.metrics import si_sdr
from rtsep.stage import Block, Format
from rtsep.stages.canceller import Canceller
from rtsep.stages.canceller.settings import GUARD
from rtsep_kernels.canceller.guard import shares, twins
from rtsep_kernels.canceller.guard.record import ONE

RATE = 48000
Float = NDArray[np.float64]


def noise(k: int, seconds: float, seed: int = 0) -> Float:
    """Return independent noises that come and go."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * RATE)
    swell = np.repeat(rng.uniform(0.1, 1, (k, frames // 9600 + 1)), 9600, axis=1)[:, :frames]
    return 0.05 * swell * rng.standard_normal((k, frames))


def run(x: Float | Block, taps: int = 1024) -> tuple[Canceller, Block]:
    stage = Canceller(taps=taps, refine=0)
    stage.prepare(Format(RATE, len(x)))
    x = np.ascontiguousarray(x, np.float32)
    out = np.empty_like(x)
    stage.process(x, out)
    return stage, out


def delayed(s: Float, frames: int, gain: float) -> Float:
    return gain * np.concatenate((np.zeros(frames), s[:-frames]))


def test_bleed_is_taken_in_full() -> None:
    s = noise(2, 4)
    stage, out = run(np.stack((s[0] + delayed(s[1], 200, 0.3), s[1] + delayed(s[0], 250, 0.2))))
    assert stage._applied["share"].tolist() == [1, 1]
    late = slice(2 * RATE, None)
    assert np.all(np.asarray(si_sdr(s[:, late].astype(np.float32), out[:, late])) > 18)


@pytest.mark.parametrize(
    ("alike", "innovations", "share"),
    [(1.0, 1.0, 1.0), (0.57, 1.0, 0.5), (0.4, 1.0, 0.0), (1.0, 0.64, 0.5), (1.0, -0.5, 0.0), (0.57, 0.44, 0.0)],
)
def test_the_lesser_regression_decides_what_a_mic_is_given(alike: float, innovations: float, share: float) -> None:
    stage = Canceller(taps=1024, refine=0)
    stage.prepare(Format(RATE, 2))
    stage.reset()
    stage._guard.parts["evidence"]["own"][:] = 1e6
    stage._guard.parts["evidence"]["agree"][:] = 1e6 * np.array([[alike], [innovations]])
    stage._guard["level"][:] = 1e-3
    shares._decide_shares(stage._guard.record[0], stage._instant.record[0], 0)
    np.testing.assert_allclose(stage.record["shares"][0], share, atol=1e-6)


def regressions(x: Float, y: Float, rate: int) -> Float:
    """Return both regressions after every frame, as `evidence` defines them, of one mic; float64[2]."""
    size, hop, lag = 4096, 1024, 2
    frames = np.lib.stride_tricks.sliding_window_view(np.stack((x, y)), size, axis=-1)[:, ::hop]
    lines = slice(round(60 * size / rate), round(6000 * size / rate))
    spectra = np.fft.rfft(frames * np.hanning(size + 1)[:-1])[..., lines]
    sums = np.zeros((2, 2))
    along, power, mean = 0j, 0.0, 0.0
    for t in range(spectra.shape[1]):
        now, clean = spectra[:, t]
        taken = now - clean
        mean = mean + max(0.02, 1 / (t + 1)) * (np.abs(now) ** 2 - mean)
        w = 1 / (np.abs(now) ** 2 + np.abs(clean) ** 2 + 1e-3 * mean + 1e-9)
        gained = np.array([[np.sum(w * (now * taken.conj()).real), np.sum(w * np.abs(taken) ** 2)], [0, 0]])
        if t >= lag:
            old, old_clean = spectra[:, t - lag]
            c = along / (np.maximum(power, np.abs(along)) + 1e-9)
            new, new_taken = now - c * old, taken - c * (old - old_clean)
            gained[1] = np.sum((new * new_taken.conj()).real), np.sum(np.abs(new_taken) ** 2)
            kept = np.exp(-hop / (0.25 * rate))
            along = kept * along + clean * old_clean.conj()
            power = kept * power + np.abs(old_clean) ** 2
        sums = np.exp(-hop / (6 * rate)) * sums + gained
    return np.asarray(sums[:, 0] / sums[:, 1])


def test_the_regressions_are_those_of_a_slow_twin() -> None:
    s = noise(2, 2, 12)
    x = np.stack((s[0] + delayed(s[1], 200, 0.3), s[1])).astype(np.float32)
    x = np.ascontiguousarray(x[:, : len(x[0]) // 1024 * 1024])
    stage = Canceller(taps=1024, refine=0)
    stage.prepare(Format(RATE, 2))
    out, y = np.empty((2, 512), np.float32), np.empty_like(x)
    for block in range(x.shape[1] // 512):
        here = slice(512 * block, 512 * (block + 1))
        stage.process(np.ascontiguousarray(x[:, here]), out)
        y[:, here] = stage.record["history"][:, 512 * (block % 64) : 512 * (block % 64 + 1)]
    found = stage._guard.parts["evidence"]["agree"] / stage._guard.parts["evidence"]["own"]
    # In turn: the first mic's frames end with even blocks, the second's with odd ones.
    done = 512 * stage.status()["updates"]
    for mic in range(2):
        before = np.zeros(4096 - 512 * (mic + 1))
        twin = regressions(np.r_[before, x[mic, :done]], np.r_[before, y[mic, :done]], RATE)
        np.testing.assert_allclose(found[:, mic], twin, rtol=1e-3, atol=1e-3)


def notes(pitches: list[float], cents: float, rng: np.random.Generator) -> Float:
    """Return half-second notes of four harmonics, each with phases of its own."""
    times = np.arange(RATE // 2) / RATE
    swell = np.minimum(1, times / 0.02) * np.minimum(1, times[::-1] / 0.02)
    tones = [
        swell
        * sum(np.sin(2 * np.pi * (h * pitch * 2 ** (cents / 1200) * times + rng.random())) / h for h in (1, 2, 3, 4))
        for pitch in pitches
    ]
    return 0.05 * np.concatenate(tones)


def test_players_on_the_same_notes_leave_each_other_alone() -> None:
    """Within a note one predicts the other; only the next note tells that it is no bleed."""
    rng = np.random.default_rng(13)
    tune = [float(p) for p in rng.choice([220.0, 247.5, 275.0, 330.0], 16)]
    s = np.stack([notes(tune, cents, rng) for cents in (0.0, 4.0, -5.0)])
    x = (s + 1e-4 * rng.standard_normal(s.shape)).astype(np.float32)
    stage = Canceller()
    stage.prepare(Format(RATE, 3))
    out = np.empty_like(x)
    stage.process(x, out)
    assert np.all(np.asarray(si_sdr(s.astype(np.float32)[:, 2 * RATE :], out[:, 2 * RATE :])) > 20)


def test_clean_microphones_stay_clean() -> None:
    s = noise(3, 4, 1).astype(np.float32)
    _, out = run(s)
    assert np.all(np.asarray(si_sdr(s, out)) > 30)


def test_two_microphones_on_one_source_leave_each_other_alone() -> None:
    s = noise(2, 4, 2)
    x = np.stack((s[0], delayed(s[0], 30, 0.8) + 0.02 * s[1], s[1]))
    stage, out = run(x)
    assert stage.status()["twins"] == 2
    assert stage._guard["freed"].tolist() == [[1, 0, 1], [0, 1, 1], [1, 1, 1]]
    assert np.all(np.asarray(si_sdr(x[:2].astype(np.float32), out[:2])) > 20)


def test_coherence_is_that_of_the_mixing() -> None:
    """Noise common to both mics, power 1, and noise of their own, power g^2: (1 + g^2)^-2 in every band."""
    s = 0.05 * np.random.default_rng(3).standard_normal((3, 8 * RATE))
    own = 0.7
    stage, _ = run(np.stack((s[0] + own * s[1], s[0] + own * s[2])))
    found = twins.coherence(stage._guard.record[0], 0, 1)
    assert found == pytest.approx((1 + own**2) ** -2, abs=0.06)


def test_a_copy_is_coherent_in_all_bands() -> None:
    """Bands that are exactly alike have a median, too."""
    s = noise(1, 1, 14)[0]
    stage, _ = run(np.stack((s, s)))
    assert twins.coherence(stage._guard.record[0], 0, 1) == pytest.approx(1)
    assert stage._guard["pure_twin"].tolist() == [[0, ONE], [ONE, 0]]


@pytest.mark.parametrize(("late", "freed"), [(40, 0), (-70, 0), (200, 1), (-400, 1)])
def test_a_source_that_comes_to_two_mics_at_once_bars_them(late: int, freed: int) -> None:
    """Bleed, as loud as the source, hides it from the coherence, but not from the correlation at small lags."""
    s = noise(4, 4, 10)
    common = s[:1], delayed(s[0], abs(late), 0.9)[None]
    x = np.concatenate((*common[:: 1 if late > 0 else -1], s[1:2]))
    x[0] += 0.6 * delayed(s[2], 500, 1.0) + 0.4 * delayed(s[3], 700, 1.0)
    x[1] += 0.4 * delayed(s[2], 900, 1.0) + 0.6 * delayed(s[3], 300, 1.0)
    stage, _ = run(x)
    record = stage._guard.record[0]
    assert twins.coherence(record, 0, 1) < GUARD.incoherent
    assert stage._guard["freed"][0, 1] == freed
    assert stage.status()["twins"] == 2 * (1 - freed)
    assert (twins.closeness(record, 0, 1) > GUARD.together) == (not freed)


def test_closeness_is_its_naive_twin() -> None:
    rng = np.random.default_rng(11)
    stage, _ = run(0.01 * rng.standard_normal((3, RATE // 4)))
    lines = stage._guard["lines"]
    cross = rng.standard_normal((2, lines))
    auto = rng.uniform(0.1, 1, (2, lines))
    stage._guard["cross_re"][0, 2, :lines], stage._guard["cross_im"][0, 2, :lines] = cross
    stage._guard["auto"][0, 2, :lines], stage._guard["auto"][2, 0, :lines] = auto
    hertz = stage._guard["line"][:lines] * RATE / 1024
    root = (auto[0] * auto[1]) ** 0.25
    lags = np.linspace(-1.75e-3, 1.75e-3, 57)
    sums = [np.sum((cross[0] + 1j * cross[1]) / root * np.exp(2j * np.pi * hertz * lag)).real for lag in lags]
    expected = np.abs(sums).max() / root.sum()
    assert twins.closeness(stage._guard.record[0], 0, 2) == pytest.approx(expected, rel=1e-4)


def test_a_source_alone_passes_unchanged() -> None:
    s = noise(1, 3, 4)[0]
    x = np.stack((s, delayed(s, 300, 0.1), delayed(s, 500, 0.05)))
    x += 4e-5 * np.random.default_rng(5).standard_normal(x.shape)
    _, out = run(x)
    changed = np.sum((out[0] - x[0]) ** 2) / np.sum(x[0] ** 2)
    assert 10 * np.log10(changed) < -40


def test_a_dead_microphone_is_given_nothing() -> None:
    s = noise(2, 3, 6)
    dead = 4e-5 * np.random.default_rng(7).standard_normal(s.shape[1])
    x = np.stack((s[0], s[1], dead)).astype(np.float32)
    stage, out = run(x)
    assert stage.status()["silent"] == 1
    assert np.array_equal(out[2], x[2])


@pytest.mark.parametrize(("limit", "clipped"), [(0.06, 1), (10.0, 0)])
def test_a_clipped_microphone_is_named(limit: float, clipped: int) -> None:
    # Below 2 kHz, so that a cut wave stays at the limit for some samples.
    slow = np.repeat(noise(2, 0.5, 8), 8, axis=1)
    kernel = np.hanning(33) / 16
    s = np.stack([np.convolve(row, kernel, "same") for row in slow])
    s[0] = np.clip(s[0], -limit, limit)
    stage, _ = run(s)
    assert stage.status()["clipped"] == clipped


def test_digital_silence_is_silent_and_not_clipped() -> None:
    stage, out = run(np.zeros((2, RATE)))
    assert (stage.status()["silent"], stage.status()["clipped"]) == (2, 0)
    assert not out.any()


def test_an_offset_changes_nothing_that_is_decided() -> None:
    s = noise(2, 3, 9)
    x = np.stack((s[0] + delayed(s[1], 200, 0.3), s[1]))
    plain, _ = run(x)
    offset, _ = run(x + np.array([[0.1], [-0.05]]))
    assert offset._guard["freed"].tolist() == plain._guard["freed"].tolist()
    assert offset._applied["share"][0] == plain._applied["share"][0] == 1
