"""Every kernel against its naive twin, and what runs between threads with two real threads."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import threading

import naive
import numpy as np
import pytest
from pace import process_live

from rtsep.chain import Chain
from rtsep.engine import Engine
from rtsep.figures import FIGURES
from rtsep.presets import loads
from rtsep.runner import process
from rtsep.stage import Block, Format, Stage
from rtsep.stages.canceller import Canceller
from rtsep.stages.canceller.settings import LEARNING
from rtsep.stages.mix import Input
from rtsep.stages.spectral import Spectral, windows
from rtsep.stages.unmix import Matrix
from rtsep_kernels.canceller import apply as canceller_kernels
from rtsep_kernels.plane import ramp, ring

RATE = 48000
EMPTY = 'schema = 1\nname = "empty"\nlatency_class = "live"\n[[chain]]\nstage = "input"\n'


def noise(shape: tuple[int, ...], seed: int = 0, level: float = 0.1) -> Block:
    return (level * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def room_paths(k: int, taps: int, seed: int = 3, first: int = 0) -> Block:
    paths = noise((k, k, taps), seed, 0.01) * np.exp(-np.arange(taps) / (taps / 6)).astype(np.float32)
    paths[..., :first] = 0
    paths[np.arange(k), np.arange(k)] = 0
    return paths


@pytest.mark.parametrize(("k", "taps"), [(2, 1024), (3, 2048), (3, 4096)])
def test_the_canceller_is_the_recursion(k: int, taps: int) -> None:
    """All three ways in which taps are applied, with the borders between them, are one FIR."""
    paths, x = room_paths(k, taps), noise((k, 9000))
    stage = Canceller(taps=taps, start=paths)
    stage.prepare(Format(RATE, k))
    stage.board.set("canceller.adapt", 0)
    truth = naive.canceller(x.astype(float), paths.astype(float))
    assert np.abs(process(stage, x) - truth).max() < 2e-5 * np.abs(truth).max()


@pytest.mark.parametrize("tap", [0, 1, 62, 63, 64, 65, 511, 512, 1023, 1024, 1535, 2047])
def test_each_tap_is_where_it_belongs(tap: int) -> None:
    paths = np.zeros((2, 2, 2048), np.float32)
    paths[0, 1, tap] = 0.5
    x = noise((2, 8000))
    stage = Canceller(taps=2048, start=paths)
    stage.prepare(Format(RATE, 2))
    stage.board.set("canceller.adapt", 0)
    truth = x.copy()
    truth[0, tap:] -= np.float32(0.5) * x[1, : 8000 - tap]
    np.testing.assert_allclose(process(stage, x), truth, atol=1e-6)


def test_adaptation_is_the_kalman_filter() -> None:
    """The compiled job's filters after 40 blocks are those of the twin that sees the same cleaned signals."""
    k, taps, frames = 3, 2048, 40 * 512
    rng = np.random.default_rng(4)
    dry = rng.standard_normal((k, frames)) * (rng.random((k, 20)) > 0.4).repeat(1024, 1)
    x = dry.copy()
    x[0, 90:] += 0.4 * dry[1, :-90]
    x[2, 700:] += 0.3 * dry[0, :-700]
    # From paths that are given, if nil: the guard lets them be learnt from the first block on.
    stage = Canceller(taps=taps, start=np.zeros((k, k, taps), np.float32))
    stage.prepare(Format(RATE, k))
    x = (0.1 * x + 1e-6 * rng.standard_normal(x.shape)).astype(np.float32)   # no mic is dead, as exact zeros would be
    y = process(stage, x, 64)
    # The job of a block runs at the first sample of the next one.
    history = naive.kalman(x.astype(float), y.astype(float), taps // 512,
                           *LEARNING.per_block(False, RATE), LEARNING.priors(RATE))
    learnt = (stage._paths["w_re"] + 1j * stage._paths["w_im"])[..., :513]
    truth = history[38]
    error = np.sum(np.abs(learnt - truth) ** 2) / np.sum(np.abs(truth) ** 2)
    assert np.sum(np.abs(truth) ** 2) > 1
    assert error < 1e-6
    assert abs(stage.paths[0, 1, 90]) > 0.01


def test_filters_are_applied_two_blocks_after_their_partition() -> None:
    """The declared due sample: until then the output is the input, from then on it is not."""
    x = noise((2, 8192))
    x[0, 20:] += np.float32(0.5) * x[1, :-20]
    # With paths that are given, if nil, the guard holds nothing back.
    stage = Canceller(taps=1024, start=np.zeros((2, 2, 1024), np.float32))
    stage.prepare(Format(RATE, 2))
    differs = np.flatnonzero((process(stage, x) != x).any(axis=0))
    # Partition 0 ends at 512; due two partitions later.
    assert 1536 <= differs[0] < 1536 + 64


@pytest.mark.parametrize(("analysis", "synthesis", "hop"), [(512, 128, 64), (512, 512, 128), (1024, 256, 128)])
def test_the_spectral_stage_is_the_transform(analysis: int, synthesis: int, hop: int) -> None:
    k, frames = 2, 6000
    gains = np.random.default_rng(2).random((k, analysis // 2 + 1))
    stage = Spectral(analysis=analysis, synthesis=synthesis, hop=hop, estimator="unity")
    stage.prepare(Format(RATE, k))
    stage.gains[:] = gains
    x = noise((k, frames))
    got = process(stage, np.pad(x, ((0, 0), (0, stage.latency))))[:, stage.latency :]
    first, second = windows(analysis, synthesis, hop)
    truth = naive.stft_gains(x.astype(float), first.astype(float), second.astype(float), hop, gains)
    np.testing.assert_allclose(got, truth, atol=2e-6)


@pytest.mark.parametrize(("analysis", "synthesis", "hop"), [(1024, 128, 64), (1024, 384, 128), (4096, 2048, 256)])
def test_windows_overlap_to_one(analysis: int, synthesis: int, hop: int) -> None:
    first, second = windows(analysis, synthesis, hop)
    product = first[analysis - synthesis :].astype(float) * second * analysis
    np.testing.assert_allclose(product.reshape(-1, hop).sum(axis=0), 1, atol=1e-6)


@pytest.mark.parametrize("strength", [1.0, 0.5, 4.0])
def test_residual_gains_are_the_twins(strength: float) -> None:
    """Within what the kernel's straight logarithms and exponentials may cost: 0.26 dB in each of the powers."""
    k, frames = 3, 120
    stage = Spectral(analysis=256, synthesis=128, hop=64)
    stage.prepare(Format(RATE, k))
    stage.board.set("spectral.strength", strength)
    decider = stage.record.parts["estimator_state"]
    # They play in turns, and leak.
    x = noise((k, 64 * frames)) * np.repeat(np.arange(frames) // 40 % k == np.arange(k)[:, None], 64, axis=1)
    x = (0.97 * x + 0.03 * x.sum(axis=0)).astype(np.float32)
    first, _ = windows(256, 128, 64)
    padded = np.pad(x.astype(float), ((0, 0), (256, 0)))
    # A frame that ends at T is worked on in the segment that starts there; the first is all silence.
    power = np.array([np.abs(np.fft.rfft(padded[:, 64 * n : 64 * n + 256] * first)) ** 2 for n in range(frames)])
    for done, part in ((0, 80), (80, frames)):
        process(stage, x[:, 64 * done : 64 * part].copy(), 64)
        release = 1 - np.exp(-(64 / RATE * 1000) / stage.board.get("spectral.release_ms"))
        truth = naive.residual_gains(power[:part], 64 / RATE, RATE, decider["quiet"], decider["silence"], strength,
                                     10 ** (-18 / 20), release)
        np.testing.assert_allclose(stage.gains, truth, atol=0.06)
        assert np.abs(stage.gains - truth).mean() < 0.015
        assert np.ptp(truth) > 0.2


def test_the_limiter_is_its_twin() -> None:
    engine = Engine(loads(EMPTY, "test"))
    engine.prepare(Format(RATE, 1))
    x = noise((1, 20000), level=0.5) * np.linspace(0.2, 3, 20000, dtype=np.float32)
    got = process(engine, x)[0]
    release = engine.record["limiter_release"]
    truth = naive.limiter(x[0].astype(float), release, 10 ** (-1 / 20))
    np.testing.assert_allclose(got, truth, atol=1e-5)
    assert np.abs(got).max() <= np.float32(10 ** (-1 / 20))
    quiet = slice(0, int(np.argmax(np.abs(x[0]) > 10 ** (-1 / 20))))
    np.testing.assert_array_equal(got[quiet], x[0, quiet])
    assert engine.status()["limited"] > 0


def test_what_is_limited_counts_how_often_and_not_how_long() -> None:
    engine = Engine(loads(EMPTY, "test"))
    engine.prepare(Format(RATE, 2))
    x = np.full((2, 2 * RATE), 0.1, np.float32)
    x[0, 1000:2000] = x[0, -2000:-1000] = x[1, 5000:9000] = 1
    y = process(engine, x)
    assert engine.status()["limited"] == 3   # twice, and once
    np.testing.assert_array_equal(y[0, RATE:-2000], x[0, RATE:-2000])   # it has opened in between
    assert {figure.unit for figure in FIGURES if "limited" in figure.name} == {"times"}


def test_the_matrix_is_the_pseudo_inverse_and_moves_without_a_step() -> None:
    mixing = np.array([[1, 0.3, 0], [0.1, 1, 0.2], [0.2, 0.1, 1]])
    stage = Matrix(mixing=mixing.tolist())
    stage.prepare(Format(RATE, 3))
    sources = noise((3, 4000))
    mixed = (mixing @ sources).astype(np.float32)
    np.testing.assert_allclose(process(stage, mixed), sources, atol=1e-6)
    stage.set_mixing(np.eye(3))
    steady = np.ones((3, 6400), np.float32)
    out = process(stage, steady, 100)
    np.testing.assert_allclose(out[:, -1], 1, atol=1e-6)
    # 40 ms from one to the other: no step is larger than its share.
    assert np.abs(np.diff(out, axis=1)).max() < 1.5 / (0.04 * RATE)


def test_input_trim() -> None:
    stage = Input()
    stage.prepare(Format(RATE, 2))
    stage.board.set("input.gain_db.1", -6)
    stage.board.set("input.invert.2", 1)
    stage.board.set("input.delay_ms.2", 1)
    stage.reset()
    x = noise((2, 2000))
    y = process(stage, x)
    np.testing.assert_allclose(y[0], x[0] * np.float32(10 ** (-6 / 20)), rtol=1e-6)
    np.testing.assert_array_equal(y[1, 48:], -x[1, :-48])


def test_a_ramp_arrives_and_stays() -> None:
    state = np.array([0, 0, 0, 0, 0], np.float32)
    seen = []
    for _ in range(8):
        ramp.advance(state, np.float32(1), 5)
        seen.append(float(state[ramp.NEXT]))
    np.testing.assert_allclose(seen, [0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1], atol=1e-6)


class _Counting(Stage):
    """A stage built from the input trim that knows how often it ran."""

    def __init__(self, name: str, gain_db: float) -> None:
        super().__init__(name)
        self.inner = Input(name)
        self._gain_db = gain_db

    def prepare(self, fmt: Format, board: object = None) -> Format:
        del board   # it keeps one of its own
        self.inner.prepare(fmt)
        self.inner.board.set(f"{self.name}.gain_db", self._gain_db)
        self.inner.reset()
        self.fmt, self.function, self.state, self.latency = fmt, self.inner.function, self.inner.state, 0
        return fmt

    @property
    def samples(self) -> int:
        return int(self.inner.record["position"])


def test_a_swap_fades_and_shared_stages_run_once() -> None:
    head, old, new, tail = (_Counting(n, g) for n, g in (("head", 0), ("old", 0), ("new", -6), ("tail", 0)))
    before = Chain([head, old, tail])
    before.prepare(Format(RATE, 2))
    after = Chain([head, new, tail], before, fade_seconds=0.02)
    after.prepare(Format(RATE, 2))
    x = np.ones((2, 1920), np.float32)
    y = process(after, x, 64)
    share = np.minimum((np.arange(1920) + 1) / 960, 1)
    truth = 1 + (10 ** (-6 / 20) - 1) * share
    np.testing.assert_allclose(y, np.tile(truth, (2, 1)), atol=1e-6)
    assert head.samples == tail.samples == new.samples == 1920
    assert old.samples == 960


def test_what_runs_beside_is_not_heard_and_may_be_anything() -> None:
    old, new = _Counting("old", 0), _Counting("new", -6)
    before = Chain([old])
    before.prepare(Format(RATE, 2))
    after = Chain([new], before, fade_seconds=0.02, beside_seconds=0.1)
    after.prepare(Format(RATE, 2))
    values = new.inner.board.values.copy()
    new.inner.board.values[:] = np.nan   # planted
    y = process(after, np.ones((2, 3840), np.float32), 64)
    np.testing.assert_array_equal(y, 1)
    assert new.samples == 3840
    new.inner.board.values[:] = values
    new.inner.reset()
    y = process(after, np.ones((2, 1920), np.float32), 64)
    truth = 1 + (10 ** (-6 / 20) - 1) * np.clip((np.arange(1920) + 1 - 960) / 960, 0, 1)
    np.testing.assert_allclose(y, np.tile(truth, (2, 1)), atol=1e-6)


def test_reload_keeps_what_was_learnt() -> None:
    live = EMPTY + '[[chain]]\nstage = "canceller"\ntaps = 1024\n'
    foh = live.replace('"live"', '"foh"').replace('"empty"', '"with gains"') + '[[chain]]\nstage = "spectral"\n'
    engine = Engine(loads(live, "live"))
    engine.prepare(Format(RATE, 2))
    x = noise((2, 48000))
    x[0, 20:] += np.float32(0.5) * x[1, :-20]
    process(engine, x)
    kept = engine.chain.stages[1]
    assert engine.reload(loads(foh, "foh")) == "chain"
    assert engine.chain.stages[1] is kept
    assert engine.latency == engine.chain.latency > 0
    y = process(engine, x)
    assert not engine.swapping
    engine.retire()
    assert np.isfinite(y).all()
    assert np.mean(y[0, -8000:] ** 2) < 0.9 * np.mean(x[0, -8000:] ** 2)
    assert engine.reload(loads(foh, "foh")) == "nothing"


def test_dry_is_the_input_as_late_as_the_chain() -> None:
    text = EMPTY.replace('"live"', '"foh"') + '[[chain]]\nstage = "spectral"\n'
    engine = Engine(loads(text, "test"))
    engine.prepare(Format(RATE, 2))
    engine.board.set("output.dry.2", 1)
    engine.reset()
    x = noise((2, 8000))
    y = process(engine, x)
    late = engine.latency
    np.testing.assert_array_equal(y[1, late:], x[1, :-late])
    assert not np.array_equal(y[0, late:], x[0, :-late])


def test_dry_all_mute_and_solo_do_not_click() -> None:
    engine = Engine(loads(EMPTY, "test"))
    engine.prepare(Format(RATE, 2))
    t = np.arange(48000) / RATE
    x = np.tile(0.5 * np.sin(2 * np.pi * 100 * t), (2, 1)).astype(np.float32)
    steepest = np.abs(np.diff(x)).max()
    for path, silent in (("output.mute.1", [0]), ("output.mute_all", [0, 1]), ("output.solo.1", [1])):
        engine.reset()
        first = process(engine, x[:, :24000].copy())
        engine.board.set(path, 1)
        second = process(engine, x[:, 24000:].copy())
        engine.board.set(path, 0)
        y = np.concatenate([first, second], axis=1)
        for mic in range(2):
            assert (np.abs(y[mic, -1000:]).max() == 0) == (mic in silent), path
        assert np.abs(np.diff(y)).max() < 1.1 * steepest + 0.5 / (0.02 * RATE)


def test_a_fault_inside_ends_in_dry_sound_and_recovers() -> None:
    """Planted: a filter that is NaN. Everything that comes out is finite, and dry from the fault on."""
    engine = Engine(loads(EMPTY + '[[chain]]\nstage = "canceller"\ntaps = 1024\n', "test"))
    engine.prepare(Format(RATE, 2))
    engine.board.set("canceller.adapt", 0)
    x = noise((2, 9600))
    first = process(engine, x[:, :4800].copy())
    applied = engine.chain.stages[1].record.parts["filters"]
    applied["near_re"][:, 0, 1, 3, 5] = np.nan
    second = process(engine, x[:, 4800:].copy())
    assert np.isfinite(first).all()
    assert np.isfinite(second).all()
    assert np.abs(second[:, 1000:] - x[:, 5800:]).max() < 1e-6
    applied["near_re"][:, 0, 1, 3, 5] = 0
    third = process(engine, x)
    np.testing.assert_allclose(third[:, 4800:], x[:, 4800:], atol=1e-6)


def test_filters_that_explode_are_caught_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a loop gain of 4, past the guard at the start. The output stays near the input and ends without it."""
    paths = np.zeros((2, 2, 1024), np.float32)
    paths[0, 1, 200] = paths[1, 0, 200] = 2   # so late that nobody takes them for twins
    monkeypatch.setattr("rtsep.stages.canceller.stage.stable", lambda first: first)
    for adapt_on in (1, 0):
        stage = Canceller(taps=1024, start=paths)
        stage.prepare(Format(RATE, 2))
        stage.board.set("canceller.adapt", adapt_on)
        x = noise((2, 96000), level=0.05)
        y = process(stage, x)
        assert np.isfinite(y).all()
        assert stage.status()["unstable_samples"] > 0
        assert stage.status()["restores"] > 0
        assert np.abs(y).max() <= canceller_kernels.EXPLODED * np.abs(x).max() + 1e-3
        assert np.mean(y[:, -4800:] ** 2) < 1.1 * np.mean(x[:, -4800:] ** 2)


def test_the_helper_thread_gives_the_same_samples() -> None:
    """Adaptation on another thread, each update on time, is the inline adaptation bit for bit."""
    x = noise((2, 48000))
    x[0, 20:] += np.float32(0.5) * x[1, :-20]
    stage = Canceller(taps=2048)
    stage.prepare(Format(RATE, 2))
    inline = process(stage, x, 64)
    out = process_live(stage, x)
    assert stage.status()["late_updates"] == 0
    np.testing.assert_array_equal(out, inline)


def test_planted_late_updates_are_counted_and_change_the_sound() -> None:
    x = noise((2, 24000))
    x[0, 20:] += np.float32(0.5) * x[1, :-20]
    stage = Canceller(taps=1024)
    stage.prepare(Format(RATE, 2))
    on_time = process(stage, x, 64)
    stage.reset()
    stage.record["inline"] = 0   # nobody works: every update is late
    late = process(stage, x, 64)
    assert stage.status()["late_updates"] > 10
    np.testing.assert_array_equal(late, x)
    assert not np.array_equal(on_time, x)


def test_a_ring_between_two_threads_loses_and_invents_nothing() -> None:
    header, data = np.zeros(ring.RING_HEADER, np.int64), np.zeros((256, 2), np.float32)
    total = 200_000
    rows = np.stack([np.arange(total), -np.arange(total)], axis=1).astype(np.float32)
    got = np.empty_like(rows)
    taken = 0

    def write() -> None:
        done = 0
        while done < total:
            if ring.ring_write(header, data, rows, done, min(64, total - done)):
                done += min(64, total - done)

    thread = threading.Thread(target=write)
    thread.start()
    chunk = np.empty((100, 2), np.float32)
    while taken < total:
        count = ring.ring_read(header, data, chunk)
        got[taken : taken + count] = chunk[:count]
        taken += count
    thread.join()
    np.testing.assert_array_equal(got, rows)


def test_a_full_ring_counts_what_it_refuses() -> None:
    header, data = np.zeros(ring.RING_HEADER, np.int64), np.zeros((8, 1), np.float32)
    rows = np.ones((6, 1), np.float32)
    assert ring.ring_write(header, data, rows, 0, 6)
    assert not ring.ring_write(header, data, rows, 0, 6)
    assert header[16] == 6
    assert ring.ring_read(header, data, np.empty((10, 1), np.float32)) == 6


def test_a_slot_between_two_threads_is_never_torn() -> None:
    width, total = 64, 20_000
    header, data = np.zeros(ring.SLOT_HEADER, np.int64), np.zeros((3, width), np.float32)
    ring.slot_clear(header)
    running = True

    def write() -> None:
        for n in range(1, total + 1):
            ring.slot_publish(header, data, np.full(width, n, np.float32))

    thread = threading.Thread(target=write)
    thread.start()
    newest, torn, taken = 0.0, 0, 0
    while running:
        running = thread.is_alive()
        row = ring.slot_take(header)
        if row < 0:
            continue
        taken += 1
        values = data[row].copy()
        torn += int((values != values[0]).any() or values[0] <= newest)
        newest = values[0]
    thread.join()
    assert torn == 0
    assert taken > 0
    assert newest == total
    assert ring.slot_take(header) == -1


def test_the_jobs_count() -> None:
    stage = Canceller(taps=1024)
    stage.prepare(Format(RATE, 2))
    process(stage, noise((2, 5120 + 64)))
    assert stage.status()["updates"] == 10
    stage.board.set("canceller.adapt", 0)
    frozen = stage.paths
    process(stage, noise((2, 5120), seed=9))
    np.testing.assert_array_equal(stage.paths, frozen)


_BITS = """
import hashlib, sys
sys.path.insert(0, {tests!r})
import numpy as np
from rtsep.runner import process
from rtsep.chain import Chain
from rtsep.stage import Format
from rtsep.stages.mix import Input
from rtsep.stages.spectral import Spectral
def made():
    yield Chain([Input("input"), Spectral("spectral")])
    if {canceller}:
        from test_kernels import room_paths
        from rtsep.stages.canceller import Canceller
        yield Canceller(taps=2048, start=room_paths(3, 2048))
x = 0.1 * np.random.default_rng(3).standard_normal((3, 9000)).astype(np.float32)
for stage in made():
    stage.prepare(Format(48000, 3))
    print(hashlib.sha256(process(stage, x.astype(np.float32)).tobytes()).hexdigest())
"""


@pytest.mark.slow   # minutes of compiling
@pytest.mark.parametrize("canceller", [False, True])
def test_fresh_code_gives_the_bits_of_cached_code(tmp_path: pathlib.Path, canceller: bool) -> None:
    """A process that compiles and one that loads from the cache run other copies of the same functions."""
    script = _BITS.format(tests=str(pathlib.Path(__file__).parent), canceller=canceller)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    fresh, cached = (
        subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    assert any(tmp_path.iterdir())
    assert fresh.stdout == cached.stdout
    assert len(fresh.stdout.split()) == 1 + canceller
