"""The instantaneous mode: the estimator against its naive twin, what it brings, and what must never switch it on."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pace import process_live

from rtsep.metrics import improvement
from rtsep.runner import process
from rtsep.stage import Block, Format
from rtsep.stages.canceller import Canceller
from rtsep.stages.canceller.settings import INSTANT
from rtsep_kernels.canceller.instant.estimate import stride
from rtsep_kernels.maths import solvers
from rtsep_kernels.plane import due

RATE = 48000
Float = NDArray[np.float64]


def sources(k: int, seconds: float, seed: int = 0, rate: int = RATE) -> Float:
    """Return tones and noise that come and go by themselves, as instruments do."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * rate)
    out = np.zeros((k, frames))
    for i in range(k):
        spectrum = np.fft.rfft(rng.standard_normal(frames))
        frequency = np.fft.rfftfreq(frames, 1 / rate)
        tilt = 1 / (1 + (frequency / rng.uniform(300, 3000)) ** 2) ** 0.75
        notes = np.repeat(rng.uniform(0.01, 1, frames // (rate // 10) + 1) ** 3, rate // 10)[:frames]
        swell = np.convolve(notes, np.hanning(rate // 20) / (rate // 40), "same")
        out[i] = np.fft.irfft(spectrum * tilt, frames) * swell
    return out * 0.05 / np.sqrt(np.mean(out**2, axis=1, keepdims=True))


def crosstalk(k: int, seed: int = 0) -> Float:
    mixing = np.random.default_rng(100 + seed).uniform(0.05, 0.4, (k, k))
    np.fill_diagonal(mixing, 1)
    return mixing


def mixture(mixing: Float, s: Float, seed: int = 0) -> Block:
    noise = 4e-5 * np.random.default_rng(200 + seed).standard_normal(s.shape)
    return (mixing @ s + noise).astype(np.float32)


def prepared(k: int, taps: int = 1024, **options: Block) -> Canceller:
    stage = Canceller(taps=taps, **options)
    stage.prepare(Format(RATE, k))
    return stage


def never(k: int, taps: int = 1024) -> Canceller:
    """Return a canceller that cannot change its mode: its scores stay zero."""
    stage = prepared(k, taps)
    stage._instant["score_kept"] = 1.0
    return stage


def gains(s: Float, x: Block, y: Block, start: float, end: float) -> Float:
    part = slice(round(start * RATE), round(end * RATE))
    return np.atleast_1d(improvement(s[:, part].astype(np.float32), x[:, part], y[:, part])).astype(float)


def naive_estimates(x: Block, blocks: int) -> tuple[Float, Float]:
    """Return Lambda of the slow and the fast estimate after so many blocks without a decision, and their costs."""
    k = len(x)
    window = np.hanning(1025)[:-1]
    memories = [np.exp(-512 / (seconds * RATE)) for seconds in (INSTANT.slow_memory, INSTANT.fast_memory)]
    moments = np.zeros((2, k, k, k))
    mixing = np.tile(np.eye(k), (2, 1, 1))
    level = np.zeros(k)
    costs = np.zeros(2)
    advantage, patience = 0.0, 0
    padded = np.pad(x.astype(float), ((0, 0), (512, 0)))
    for block in range(blocks):
        spectra = np.fft.rfft(window * padded[:, 512 * block : 512 * block + 1024])[:, :336]
        spectra[:, :2] = 0
        level += max(1 / (block + 1), 0.005) * (np.mean(np.abs(spectra) ** 2, axis=1) - level)
        floor = 1e-4 * level + 1e-7 * level.max() + 1e-12
        for e in range(2):
            psi = np.abs(np.linalg.solve(mixing[e], spectra)) ** 2 + floor[:, None]
            costs[e] = np.log(psi).mean(axis=1).sum() + 2 * np.linalg.slogdet(mixing[e])[1]
            new = np.einsum("if,af,bf->iab", 1 / psi, spectra, spectra.conj()).real
            moments[e] = memories[e] * moments[e] + new
        advantage = 0.9 * advantage + 0.1 * (costs[0] - costs[1]) / k
        patience = patience + 1 if advantage > INSTANT.better else 0
        if patience > round(INSTANT.patience_seconds * RATE / 512):
            moments[0], mixing[0], patience, advantage = moments[1], mixing[1], 0, 0.0
        for e in range(2):
            inverse = np.linalg.inv(mixing[e])
            for i in range(k):
                others = np.arange(k) != i
                r = inverse @ moments[e, i] @ inverse.T
                normal = r[np.ix_(others, others)]
                normal = normal + np.diag(INSTANT.damping * np.diag(normal) + INSTANT.ridge)
                centre = mixing[0, i, others] if e else 0
                right = r[others, i] - INSTANT.ridge * (mixing[e, i, others] - centre)
                moved = mixing[e, i, others] + np.linalg.solve(normal, right)
                mixing[e, i, others] = np.clip(moved, -INSTANT.largest, INSTANT.largest)
    return mixing, costs


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("blocks", [1, 60, 130])
def test_the_estimator_is_its_naive_twin(k: int, blocks: int) -> None:
    x = mixture(crosstalk(k), sources(k, 1.5))
    stage = prepared(k)
    process(stage, np.ascontiguousarray(x[:, : 512 * blocks + 64]))   # the job runs as the next block begins
    mixing, costs = naive_estimates(x, blocks)
    np.testing.assert_allclose(stage._instant["mixing"][:2], mixing, atol=2e-3)
    np.testing.assert_allclose(stage._instant["cost"][:2], costs, rtol=1e-3)
    np.testing.assert_allclose(stage._instant["unmixing"], np.linalg.inv(stage._instant["mixing"]), atol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 7, 31])
def test_cholesky_solves(n: int) -> None:
    rng = np.random.default_rng(n)
    root = rng.standard_normal((n, n + 2))
    a, b = root @ root.T, rng.standard_normal(n)
    work, got = np.tril(a), b.copy()
    assert solvers.cholesky_solve(work, got, n)
    np.testing.assert_allclose(got, np.linalg.solve(a, b), rtol=1e-7, atol=1e-9)


def test_cholesky_refuses_what_is_not_positive() -> None:
    assert not solvers.cholesky_solve(np.array([[1.0, 0], [2, 1]]), np.ones(2), 2)
    assert not solvers.cholesky_solve(np.full((1, 1), np.nan), np.ones(1), 1)


@pytest.mark.parametrize("k", [1, 2, 6])
def test_the_inverse_and_its_determinant(k: int) -> None:
    mixing = np.random.default_rng(k).standard_normal((k, k)) + 2 * np.eye(k)[::-1]   # pivots off the diagonal
    inverse = np.zeros((k, k))
    logarithm = solvers.invert(mixing, inverse, np.zeros((k, 2 * k)), k, 0.05)
    np.testing.assert_allclose(inverse, np.linalg.inv(mixing), rtol=1e-9, atol=1e-12)
    assert logarithm == pytest.approx(np.linalg.slogdet(mixing)[1])
    assert solvers.invert(np.ones((2, 2)), np.zeros((2, 2)), np.zeros((2, 4)), 2, 0.05) == np.inf


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_crosstalk_is_undone_within_seconds(k: int, seed: int) -> None:
    s = sources(k, 4, seed)
    x = mixture(crosstalk(k, seed), s)
    stage, twin = prepared(k), never(k)
    got = gains(s, x, process(stage, x), 2.5, 4)
    assert stage.status()["instant"] == k
    assert got.min() > 25
    # The long paths alone do not get there: the test can fail.
    assert gains(s, x, process(twin, x), 2.5, 4).mean() < got.mean() - 8
    assert twin.status()["instant"] == 0
    # The Kalman filter agrees: its paths are one tap.
    paths = stage.paths
    np.testing.assert_allclose(paths[..., 0], crosstalk(k, seed) - np.eye(k), atol=0.03)
    assert np.abs(paths[..., 1:]).max() < 1e-4


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
def test_the_mode_is_entered_at_the_same_time_at_every_rate(rate: int) -> None:
    s = sources(2, 2.2, rate=rate)
    x = mixture(crosstalk(2), s)
    stage = Canceller(taps=1024)
    stage.prepare(Format(rate, 2))
    out = np.empty((2, 512), np.float32)
    entered = []
    for first in range(0, x.shape[1] - 511, 512):
        stage.process(np.ascontiguousarray(x[:, first : first + 512]), out)
        if stage.status()["instant"] == 2:
            entered.append(first / rate)
    assert INSTANT.start_seconds - 0.02 < entered[0] < INSTANT.start_seconds + 0.15
    np.testing.assert_allclose(stage.paths[..., 0], crosstalk(2) - np.eye(2), atol=0.05)


def test_many_mics_take_turns() -> None:
    """With 17 mics a block renews half of the rows from half of the bins."""
    assert stride(17) > 1
    s = sources(17, 3.5)
    x = mixture(np.where(np.eye(17) > 0, 1, 0.15 * crosstalk(17)), s)
    stage = prepared(17)
    assert gains(s, x, process(stage, x), 2.5, 3.5).mean() > 25
    assert stage.status()["instant"] == 17


def test_a_change_of_the_mixture_is_followed() -> None:
    k, rate = 3, RATE
    s = sources(k, 7)
    x = mixture(crosstalk(k, 0), s)
    x[:, 3 * rate :] = mixture(crosstalk(k, 5), s)[:, 3 * rate :]
    stage = prepared(k)
    y = process(stage, x)
    assert gains(s, x, y, 2, 3).mean() > 25
    assert gains(s, x, y, 5, 7).mean() > 25
    assert stage.status()["instant"] == k


def test_a_change_while_a_player_rests() -> None:
    """His mic is then a mixture of the others: what the rows of the others say of him must not run away."""
    k = 5
    s = sources(k, 7.5)
    s[3, round(2.5 * RATE) : round(5.5 * RATE)] = 0
    x = mixture(crosstalk(k, 0), s)
    x[:, 3 * RATE :] = mixture(crosstalk(k, 3), s)[:, 3 * RATE :]
    stage = prepared(k)
    y = process(stage, x)
    assert stage.status()["restores"] == 0
    playing = np.arange(k) != 3
    assert gains(s[playing], x[playing], y[playing], 4, 5.5).min() > 15
    assert gains(s, x, y, 6.5, 7.5).min() > 20
    assert stage.status()["instant"] == k


def test_after_a_unison_the_mixture_is_what_it_was() -> None:
    """While two play the very same, a mixture with more of the one in the other explains them better."""
    s = sources(3, 6.5)
    unison = slice(3 * RATE, round(3.8 * RATE))
    s[1, unison] = s[0, unison] + 0.02 * s[1, unison]
    x = mixture(crosstalk(3), s)
    stage, twin = prepared(3), prepared(3)
    got = gains(s, x, process(stage, x), 4.4, 5.4).min()
    assert stage.status()["instant"] == 3
    assert got > 30
    y = np.empty_like(x)
    for first in range(0, x.shape[1], RATE // 2):
        twin._instant["settled"] = 0      # so that it never keeps an estimate
        y[:, first : first + RATE // 2] = process(twin, np.ascontiguousarray(x[:, first : first + RATE // 2]))
    assert gains(s, x, y, 4.4, 5.4).min() < got - 6


def delayed(k: int, samples: tuple[int, int], seed: int) -> tuple[Float, Block]:
    """Mix with one late copy of each source in each mic: close mics in a dry room."""
    rng = np.random.default_rng(seed)
    s = sources(k, 5, seed)
    x = s + 4e-5 * rng.standard_normal(s.shape)
    for i in range(k):
        for j in range(k):
            if i != j:
                late = int(rng.integers(*samples))
                x[i, late:] += rng.uniform(0.2, 0.5) * s[j, : s.shape[1] - late]
    return s, x.astype(np.float32)


def reverberant(k: int, seed: int) -> Block:
    rng = np.random.default_rng(seed)
    s = sources(k, 5, seed)
    x = s + 4e-5 * rng.standard_normal(s.shape)
    decay = np.exp(-np.arange(8000) / 1200)
    for i in range(k):
        for j in range(k):
            if i != j:
                path = 0.02 * rng.standard_normal(8000) * decay
                path[: rng.integers(24, 300)] = 0
                x[i] += np.fft.irfft(np.fft.rfft(s[j], 2**18) * np.fft.rfft(path, 2**18))[: s.shape[1]]
    return x.astype(np.float32)


def no_mixture(kind: str) -> Block:
    rng = np.random.default_rng(3)
    s = sources(3, 5)
    if kind == "noise":
        return (0.05 * rng.standard_normal(s.shape)).astype(np.float32)
    if kind == "silence":
        return np.zeros(s.shape, np.float32)
    if kind == "identical":
        return np.repeat(s[:1], 3, axis=0).astype(np.float32)
    if kind == "split":
        return (s[[0, 0, 1]] * np.array([[1], [0.9], [1]]) + 4e-5 * rng.standard_normal(s.shape)).astype(np.float32)
    if kind == "turned":
        return (s[[0, 0, 1]] * np.array([[1], [-1], [1]])).astype(np.float32)
    if kind == "one source in a room":
        room = np.array([[1.0], [0.3], [0.2]]) * s[:1]
        for i, late in ((1, 130), (2, 270)):
            room[i] = np.roll(room[i], late)
        return (room + 4e-5 * rng.standard_normal(s.shape)).astype(np.float32)
    return s.astype(np.float32)   # "no bleed"


@pytest.mark.parametrize("samples", [(1, 2), (5, 9), (20, 60), (100, 400)])
@pytest.mark.parametrize("seed", [0, 1])
def test_delayed_bleed_never_switches(samples: tuple[int, int], seed: int) -> None:
    """From one sample (a desk whose channels are not aligned) to 8 ms: bit for bit the canceller without the mode."""
    x = delayed(3, samples, seed)[1]
    stage = prepared(3)
    np.testing.assert_array_equal(process(stage, x), process(never(3), x))
    assert stage.status()["instant"] == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_a_room_never_switches(seed: int) -> None:
    x = reverberant(3, seed)
    stage = prepared(3)
    np.testing.assert_array_equal(process(stage, x), process(never(3), x))
    assert stage.status()["instant"] == 0


@pytest.mark.parametrize(
    "kind", ["noise", "silence", "identical", "split", "turned", "one source in a room", "no bleed"]
)
def test_what_is_no_mixture_never_switches(kind: str) -> None:
    x = no_mixture(kind)
    stage = prepared(3)
    np.testing.assert_array_equal(process(stage, x), process(never(3), x))
    assert stage.status()["instant"] == 0


def test_only_the_mics_concerned_switch() -> None:
    """Two crosstalking lines beside two mics in a room."""
    lines, room = sources(2, 5, 7), reverberant(2, 4)
    x = np.concatenate([mixture(np.array([[1, 0.3], [0.25, 1]]), lines), room])
    stage = prepared(4)
    y = process(stage, x)
    assert stage._instant["instant"].tolist() == [1, 1, 0, 0]
    assert gains(lines, x[:2], y[:2], 3, 5).min() > 20


def test_a_mixture_that_ends_is_left() -> None:
    """From a line check to a stage: the long paths take over, and learn as if nothing had been."""
    s, stage_sound = delayed(3, (100, 400), 1)
    x = np.concatenate([mixture(crosstalk(3), sources(3, 3)), np.tile(stage_sound, 2)], axis=1)
    stage = prepared(3)
    first = process(stage, np.ascontiguousarray(x[:, : 3 * RATE]))
    assert stage.status()["instant"] == 3
    y = process(stage, np.ascontiguousarray(x[:, 3 * RATE :]))
    assert np.isfinite(first).all()
    assert stage.status()["instant"] == 0
    assert stage.status()["unstable_samples"] == 0
    assert gains(np.tile(s, 2), x[:, 3 * RATE :], y, 7, 10).mean() > 5


def test_frozen_stays() -> None:
    x = mixture(crosstalk(3), sources(3, 3))
    stage = prepared(3)
    process(stage, x)
    assert stage.status()["instant"] == 3
    stage.board.set("canceller.adapt", 0)
    process(stage, np.zeros((3, 4096), np.float32))   # what was learnt before is taken into use
    before = stage.paths, stage._instant["mixing"].copy()
    other = mixture(crosstalk(3, 9), sources(3, 3, 9))
    y = process(stage, other)
    np.testing.assert_array_equal(stage.paths, before[0])
    np.testing.assert_array_equal(stage._instant["mixing"], before[1])
    expected = np.linalg.solve(np.eye(3) + before[0][..., 0].astype(float), other)
    # Mics that come back from silence are cleaned more and more in their first 64 samples.
    np.testing.assert_allclose(y[:, 64:], expected[:, 64:], atol=1e-5 * np.abs(other).max())
    assert stage.status()["instant"] == 3


def test_frozen_from_the_start_never_switches() -> None:
    x = mixture(crosstalk(3), sources(3, 3))
    stage = prepared(3)
    stage.board.set("canceller.adapt", 0)
    np.testing.assert_array_equal(process(stage, x), x)
    assert stage.status()["instant"] == 0


def test_a_soundcheck_of_one_tap_starts_in_the_mode() -> None:
    s = sources(3, 1.2)
    x = mixture(crosstalk(3), s)
    start = np.zeros((3, 3, 1024), np.float32)
    start[..., 0] = crosstalk(3) - np.eye(3)
    start[..., 1:] += (1e-4 * np.random.default_rng(0).standard_normal((3, 3, 1023))).astype(np.float32)
    stage = prepared(3, start=start)
    assert stage.status()["instant"] == 3
    assert gains(s, x, process(stage, x), 0, 1.2).min() > 25
    assert stage.status()["instant"] == 3


def test_a_soundcheck_of_a_room_does_not() -> None:
    start = np.zeros((3, 3, 1024), np.float32)
    start[..., 0] = 0.1 * (1 - np.eye(3))
    start[..., 200] = 0.3 * (1 - np.eye(3))
    assert prepared(3, start=start).status()["instant"] == 0


def test_switching_makes_no_click() -> None:
    """Sources end at 3 kHz: what is above 8 kHz while filters move is a click, and a planted one is far louder."""
    s = sources(3, 3)
    spectrum = np.fft.rfft(s)
    spectrum[:, np.fft.rfftfreq(s.shape[1], 1 / RATE) > 3000] = 0
    s = np.fft.irfft(spectrum, s.shape[1])
    x = mixture(crosstalk(3), s)
    stage = prepared(3)
    y = process(stage, x)
    assert stage.status()["instant"] == 3

    def high(signal: Block) -> float:
        """Return the loudest 10 ms above 8 kHz, dB, from 1.2 s on: before, the long paths learn."""
        filtered = np.fft.rfft(signal[:, round(1.2 * RATE) :] * np.hanning(signal.shape[1] - round(1.2 * RATE)))
        filtered[:, np.fft.rfftfreq(signal.shape[1] - round(1.2 * RATE), 1 / RATE) < 8000] = 0
        parts = np.fft.irfft(filtered)[:, : 480 * 180].reshape(len(signal), 180, 480)
        return float(10 * np.log10(np.mean(parts**2, axis=2).max()))

    other = never(3)
    assert high(y) < high(process(other, x)) + 3
    planted = y.copy()
    planted[:, 2 * RATE :] += 0.02
    assert high(planted) > high(y) + 10


def test_a_restore_forgets() -> None:
    x = mixture(crosstalk(2), sources(2, 3))
    stage = prepared(2)
    process(stage, x)
    assert stage.status()["instant"] == 2
    stage.record["exchange"][due.RESTORE] = 1
    process(stage, np.zeros((2, 1024), np.float32))
    assert stage.status()["restores"] == 1
    assert stage.status()["instant"] == 0
    assert stage._instant["blocks"] <= 2    # those that came after it
    assert stage._instant["level"].max() < 1


@pytest.mark.parametrize("block", [37, 480])
def test_the_block_length_changes_no_bit(block: int) -> None:
    x = mixture(crosstalk(3), sources(3, 2.5))
    stage = prepared(3)
    whole = process(stage, x)
    assert stage.status()["instant"] == 3
    stage.reset()
    assert stage.status()["instant"] == 0
    np.testing.assert_array_equal(process(stage, x, block), whole)


def test_the_helper_thread_gives_the_same_samples() -> None:
    x = mixture(crosstalk(2), sources(2, 2.5))
    stage = prepared(2)
    inline = process(stage, x, 64)
    assert stage.status()["instant"] == 2
    out = process_live(stage, x)
    assert stage.status()["late_updates"] == 0
    np.testing.assert_array_equal(out, inline)


def test_a_shadow_applies_the_same_mode() -> None:
    """Harm: the wanted sound alone, through the very filters of the mixture, sample by sample."""
    s = sources(2, 3)
    x = mixture(crosstalk(2), s)
    stage = prepared(2)
    twin = stage.shadow()
    alone = np.zeros_like(x)
    alone[0] = s[0]
    out = np.zeros_like(x)
    for first in range(0, x.shape[1], 64):
        a, b = (np.ascontiguousarray(v[:, first : first + 64]) for v in (x, alone))
        done, harmed = np.empty_like(a), np.empty_like(a)
        stage.process(a, done)
        twin.process(b, harmed)
        out[:, first : first + 64] = harmed
    late = slice(2 * RATE, None)
    part = 1 / (1 - crosstalk(2)[0, 1] * crosstalk(2)[1, 0])   # of Lambda^-1, on the diagonal
    np.testing.assert_allclose(out[0, late], part * alone[0, late], atol=0.03 * np.abs(alone).max())
