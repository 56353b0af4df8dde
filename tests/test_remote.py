"""A stage whose work another process does: on time it is the worker's, and whatever happens to that, nothing is lost.

Workers are real processes; those with faults stand in `workers`. The naive twin works from the whole signal.
"""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from workers import GAIN, Remembering

from rtsep.chain import Chain
from rtsep.engine import Engine
from rtsep.errors import InputError
from rtsep.presets import loads
from rtsep.runner import Runner, process
from rtsep.stage import Block, Format
from rtsep.stages.mix import Input
from rtsep.stages.remote.stage import Remote
from rtsep_kernels.plane import due

RATE, MICS = 48000, 2
CALM = 0.02   # seconds on time before a worker is heard again
PATIENCE = 120.0


def noise(frames: int, seed: int = 0) -> Block:
    return (0.1 * np.random.default_rng(seed).standard_normal((MICS, frames))).astype(np.float32)


def make(worker: str = "workers:Turned", unit: int = 128, delay: int = 512, **settings: object) -> Remote:
    stage = Remote("far", worker, unit, delay, settings=settings)
    stage.prepare(Format(RATE, MICS))
    return stage


def late(x: Block, delay: int) -> Block:
    return np.pad(x, ((0, 0), (delay, 0)))[:, : x.shape[1]]


def naive(x: Block, unit: int, delay: int, bad: dict[int, int]) -> Block:
    """Say what is heard when the results of some units cannot be used from a sample on."""
    dry, wet = late(x, delay), late(x * GAIN, delay)
    out = np.zeros_like(x)
    owed, was, before = 0, True, np.zeros(x.shape[0], np.float32)
    ramp = np.arange(1, 65, dtype=np.float32) / np.float32(64)
    for first in range(0, x.shape[1], 64):
        n, within = divmod(first - delay, unit)
        if first >= delay and within >= bad.get(n, unit):
            owed = round(CALM * RATE / unit)
        elif first >= delay and within == 0:
            owed = max(0, owed - 1)
        now = owed == 0 if first >= delay else was
        here = slice(first, first + 64)
        if first < delay or now == was:
            out[:, here] = (wet if now else dry)[:, here]
        elif now:
            out[:, here] = dry[:, here] + (wet[:, here] - dry[:, here]) * ramp
        else:
            step = (before - dry[:, first])[:, None]
            out[:, here] = dry[:, here] + step * (np.float32(1) - ramp)
        was, before = now, out[:, here][:, -1]
    return out


# On time


@pytest.mark.parametrize(("unit", "delay"), [(64, 128), (64, 512), (128, 192), (192, 640), (1024, 4096)])
def test_on_time_the_output_is_the_workers_exactly_delay_later(unit: int, delay: int) -> None:
    stage, x = make(unit=unit, delay=delay), noise(20000)
    try:
        assert stage.latency == delay
        for block in (480, 1, 37, 64, 4096):
            np.testing.assert_array_equal(process(stage, x, block), late(x * GAIN, delay), err_msg=str(block))
            assert stage.status() == {"late_updates": 0, "bad_results": 0, "worker_restarts": 0}
            stage.reset()
    finally:
        stage.close()


def test_the_worker_is_reset_too() -> None:
    stage, x = make("workers:Remembering"), noise(6400) + np.float32(0.1)
    try:
        first = process(stage, x)
        again = process(stage, x)
        stage.reset()
        np.testing.assert_array_equal(process(stage, x), first)
        assert not np.array_equal(again, first)
    finally:
        stage.close()


@pytest.mark.parametrize("cut", [3200, 3264, 3333])
def test_a_snapshot_holds_the_worker_and_what_is_under_way(cut: int) -> None:
    x = noise(9600) + np.float32(0.1)
    stage, twin = make("workers:Remembering"), make("workers:Remembering")
    try:
        process(stage, x[:, :cut], 100)
        kept = stage.snapshot()
        rest = process(stage, x[:, cut:], 100)
        process(twin, noise(5000, 1))
        twin.restore(kept)
        np.testing.assert_array_equal(process(twin, x[:, cut:], 64), rest)
        other = make("workers:Remembering", unit=64)
        with pytest.raises(ValueError, match="another state"):
            other.restore(kept)
        other.close()
    finally:
        stage.close()
        twin.close()


def test_in_a_chain_latencies_add_and_the_dry_path_stays_aligned() -> None:
    chain, x = Chain([Input("input"), Remote("a"), Remote("b", unit=64, delay=128)]), noise(9600)
    try:
        chain.prepare(Format(RATE, MICS))
        assert chain.latency == 640
        np.testing.assert_array_equal(process(chain, x), late(x, 640))
    finally:
        chain.close()


def test_what_is_heard_is_forgotten_after_a_fault_in_the_chain() -> None:
    """With no frames, as the engine calls after NaN: neither history nor what is still being made of it comes back."""
    stage, x = make(), noise(9600)
    try:
        process(stage, x[:, :3264])
        stage._compiled.ctypes(stage.state, None, None, 0)
        rest = x[:, 3264:]
        y = process(stage, rest)
        # From silence; the unit that was begun is the first that is heard again, and fades in.
        np.testing.assert_array_equal(y[:, :512], 0)
        np.testing.assert_array_equal(y[:, 640:], late(rest * GAIN, 512)[:, 640:])
        assert stage.status()["late_updates"] == 0
    finally:
        stage.close()


PRESET = """
schema = 1
name = "far"
latency_class = "foh"
[[chain]]
stage = "input"
[[chain]]
stage = "remote"
worker = "workers:Turned"
unit = 128
delay = 384
"""


def test_a_preset_names_its_worker() -> None:
    engine, x = Engine(loads(PRESET, "far.toml")), noise(9600)
    try:
        engine.prepare(Format(RATE, MICS))
        assert engine.latency == 384
        np.testing.assert_allclose(process(engine, x), late(x * GAIN, 384), atol=1e-6)
        status = engine.status()
        assert {status[key] for key in ("late_updates", "bad_results", "worker_restarts", "faults")} == {0}
        with pytest.raises(InputError, match=r"remote\.worker"):
            Engine(loads(PRESET.replace("Turned", "Nobody"), "far.toml")).prepare(Format(RATE, MICS))
    finally:
        engine.close()


# Faults where nobody listens


@pytest.mark.parametrize("fault", ["nan", "inf", "size", "type"])
def test_what_cannot_be_used_is_replaced_by_the_dry_sound(fault: str) -> None:
    bad = (0, 7, 8, 40)
    stage, x = make("workers:Faulty", fault=fault, units=bad), noise(9600)
    try:
        for block in (480, 37):
            y = process(stage, x, block)
            # A bad sample is the last of its unit, the first half of which is heard.
            first = 64 if fault in ("nan", "inf") else 0
            np.testing.assert_array_equal(y, naive(x, 128, 512, dict.fromkeys(bad, first)))
            assert stage.status() == {"late_updates": 0, "bad_results": len(bad), "worker_restarts": 0}
            stage.reset()
    finally:
        stage.close()


def test_a_worker_that_raises_is_started_again_and_nothing_is_lost(tmp_path: pathlib.Path) -> None:
    stage, x = make("workers:Faulty", fault="raise", units=(20,), folder=str(tmp_path)), noise(9600)
    try:
        np.testing.assert_array_equal(process(stage, x), late(x * GAIN, 512))
        assert stage.status() == {"late_updates": 0, "bad_results": 0, "worker_restarts": 1}
    finally:
        stage.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_rendering_waits_for_a_worker_that_is_replaced(how: signal.Signals) -> None:
    stage, x = make(), noise(19200)
    try:
        y = process(stage, x[:, :9600])
        os.kill(stage.pid, how)
        y = np.concatenate([y, process(stage, x[:, 9600:])], axis=1)
        np.testing.assert_array_equal(y, late(x * GAIN, 512))
        assert stage.status() == {"late_updates": 0, "bad_results": 0, "worker_restarts": 1}
    finally:
        stage.close()


def test_a_worker_begins_again_with_its_last_snapshot() -> None:
    stage, x = make("workers:Remembering"), noise(3 * RATE // 2)
    try:
        process(stage, x)
        process(stage, x[:, :RATE // 10])   # by now the snapshot of the first second has arrived
        before = Remembering(RATE, MICS, 128)
        before.restore(stage.snapshot()["worker"].tobytes())
        os.kill(stage.pid, signal.SIGKILL)
        process(stage, x[:, : RATE // 10])
        after = Remembering(RATE, MICS, 128)
        after.restore(stage.snapshot()["worker"].tobytes())
        assert stage.status()["worker_restarts"] == 1
        assert after.count - before.count >= RATE // 10 // 128
    finally:
        stage.close()


def test_what_a_worker_cannot_go_on_from_is_dropped() -> None:
    stage, x = make("workers:Poisoned"), noise(3 * RATE)
    half = 3 * RATE // 2
    try:
        y = process(stage, x[:, :half])
        time.sleep(1)   # the snapshot of the first second is on its way
        os.kill(stage.pid, signal.SIGKILL)
        y = np.concatenate([y, process(stage, x[:, half:])], axis=1)
        np.testing.assert_array_equal(y, late(x * GAIN, 512))
        assert stage.status()["worker_restarts"] == 2
    finally:
        stage.close()


def test_patience_ends_and_what_comes_too_late_is_dry_and_counted() -> None:
    stage, x = make("workers:Faulty", fault="slow", units=(10,)), noise(6400)
    try:
        stage.record["patience"] = 4
        y = process(stage, x, 64)
        assert stage.status()["late_updates"] >= 1
        wet = late(x * GAIN, 512)
        first = int(np.argmax((y != wet).any(axis=0)))
        assert first >= 512
        assert first % 128 == 0
        assert_dry_or_wet(x, y, 512)
    finally:
        stage.close()


# Live


def kinds(x: Block, y: Block, delay: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where the output is the worker's, and where it is the dry input: bool[frames] each."""
    return (y == late(x * GAIN, delay)).all(axis=0), (y == late(x, delay)).all(axis=0)


def longest(marked: np.ndarray) -> int:
    """Return the length of the longest run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marked.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def assert_dry_or_wet(x: Block, y: Block, delay: int) -> None:
    """Nothing else for more than two blocks, and that neither loud nor a click."""
    wet, dry = kinds(x, y, delay)
    assert longest(~(wet | dry)) <= 128
    assert np.isfinite(y).all()
    assert np.abs(y).max() <= 1.5 * np.abs(x).max() + 1e-6


def bend(y: Block) -> float:
    """Return the largest second difference: what a click has much of."""
    return float(np.abs(np.diff(y, 2, axis=1)).max())


class Live:
    """A stage at the pace of a sound card, in a thread, until it is told to stop."""

    def __init__(self, stage: Remote, x: Block) -> None:
        self.stage, self.x, self.out = stage, x, np.zeros_like(x)
        self.progress = np.zeros(1, np.int64)
        self.runner = Runner(stage)
        stage.go_live()
        self._thread = threading.Thread(
            target=self.runner.run_paced, args=(x, self.out, 64, self.progress), daemon=True
        )
        self._thread.start()

    def until(self, what: Callable[[], bool]) -> None:
        """Wait until something has happened; the sound is long enough for that."""
        end = time.monotonic() + PATIENCE
        while not what():
            assert self._thread.is_alive(), "the sound is over"
            assert time.monotonic() < end
            time.sleep(0.01)

    def play(self, frames: int) -> None:
        """Go on for a while."""
        goal = int(self.progress[0]) + frames
        self.until(lambda: self.progress[0] >= goal)

    def wet(self) -> bool:
        """Whether the last hundredth of a second is the worker's."""
        end = int(self.progress[0])
        start = end - RATE // 100
        heard = self.x[:, start - self.stage.latency : end - self.stage.latency] * GAIN
        return start > self.stage.latency and np.array_equal(self.out[:, start:end], heard)

    def stop(self) -> tuple[Block, Block]:
        """Return what was played and heard."""
        self.runner.record["stop"] = 1
        self._thread.join(PATIENCE)
        frames = int(self.progress[0])
        return self.x[:, :frames], self.out[:, :frames]


def tones(seconds: float) -> Block:
    t = np.arange(int(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * np.array([[110.3], [171.7]]) * t)).astype(np.float32)


DELAY = 4800   # a tenth of a second: on time on a loaded machine, too


@pytest.mark.parametrize("fault", ["killed", "stopped", "stopped for a while", "nan", "size", "raise", "slow"])
def test_live_faults_are_dry_and_counted_and_end(fault: str, tmp_path: pathlib.Path) -> None:
    signals = {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP, "stopped for a while": signal.SIGSTOP}
    if fault in signals:
        stage = make(delay=DELAY)
    else:
        stage = make("workers:Faulty", delay=DELAY, fault=fault, units=(300,), folder=str(tmp_path))
    x = tones(PATIENCE)
    live = Live(stage, x)
    try:
        live.until(live.wet)
        worker = stage.pid
        if fault in signals:
            os.kill(worker, signals[fault])
        live.until(lambda: sum(stage.status()[key] for key in ("late_updates", "bad_results")) > 0)
        live.play(DELAY)
        if fault == "stopped for a while":
            os.kill(worker, signal.SIGCONT)
        live.until(live.wet)
        live.play(4800)
        given, heard = live.stop()
        assert_dry_or_wet(given, heard, DELAY)
        # A step decays over 64 samples: 1.5 times the loudest at most, and the bend is where that begins and ends.
        assert bend(heard) < bend(given) + 2 * 1.5 * 0.3 / 64
        wet, dry = kinds(given, heard, DELAY)
        assert longest(dry) > 64
        status = stage.status()
        assert (status["bad_results"] > 0) == (fault in ("nan", "size"))
        assert (status["late_updates"] > 0) or fault in ("nan", "size")
        if fault in ("killed", "stopped", "raise"):
            assert status["worker_restarts"] >= 1
            assert stage.pid != worker
        # On time before and after: no sample lost or repeated.
        assert wet[:DELAY].all()
        assert wet[-2400:].all()
    finally:
        live.stop()
        stage.close()


def test_a_click_would_be_noticed() -> None:
    x = tones(1)
    y = np.where(np.arange(x.shape[1]) < 20011, late(x, 512), late(x * GAIN, 512))
    assert bend(y) > bend(x) + 2 * 1.5 * 0.3 / 64


# Processes


OWNER = """
import sys, time
import numpy as np
from rtsep.stage import Format
from rtsep.stages.remote.stage import Remote
stage = Remote("far", "workers:Turned")
stage.prepare(Format(48000, 2))
print(stage.pid, stage._there._shared.name, flush=True)
{then}
"""


def alive(pid: int) -> bool:
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("then", "stopped"),
    [("time.sleep(600)", False), ("time.sleep(600)", True), ("", False), ("raise SystemExit", False),
     ("del stage; time.sleep(600)", False)],
)
def test_a_worker_never_outlives_its_owner(then: str, stopped: bool) -> None:
    """Killed, ended, or the stage just forgotten."""
    path = os.pathsep.join([str(pathlib.Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen([sys.executable, "-c", OWNER.format(then=then)], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONPATH": path}) as owner:
        assert owner.stdout is not None
        worker, name = owner.stdout.readline().split()
        if stopped:
            os.kill(int(worker), signal.SIGSTOP)
        if "sleep" in then and "del" not in then:
            assert alive(int(worker))
            owner.kill()
        end = time.monotonic() + PATIENCE
        while (alive(int(worker)) or os.path.exists(f"/dev/shm/{name}")) and time.monotonic() < end:
            time.sleep(0.05)
        assert not alive(int(worker))
        assert not os.path.exists(f"/dev/shm/{name}")
        owner.kill()


def test_closed_it_goes_on_dry() -> None:
    stage, x = make(), noise(4800)
    process(stage, x)
    worker = stage.pid
    stage.close()
    stage.close()
    assert stage.pid == 0
    assert not alive(worker)
    y = process(stage, x)
    np.testing.assert_array_equal(y[:, 1024:], late(x, 512)[:, 1024:])


def test_prepared_again_it_has_another_worker() -> None:
    stage = make()
    first = stage.pid
    stage.prepare(Format(RATE, 1))
    try:
        assert not alive(first)
        x = noise(3000)[:1].copy()
        np.testing.assert_array_equal(process(stage, x), late(x * GAIN, 512))
    finally:
        stage.close()


@pytest.mark.parametrize(
    ("options", "place", "text"),
    [
        ({"worker": "workers"}, "far.worker", "no import path"),
        ({"worker": "os.system:"}, "far.worker", "no import path"),
        ({"unit": 100}, "far.unit", "100 is not allowed; allowed is a multiple of 64"),
        ({"unit": 0}, "far.unit", "0 is not allowed"),
        ({"delay": 130}, "far.delay", "130 is not allowed"),
        ({"unit": 512, "delay": 512}, "far.delay", "with unit 512 allowed is a multiple of 64 from 576"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, object], place: str, text: str) -> None:
    with pytest.raises(InputError, match=text) as caught:
        Remote("far", **options)   # type: ignore[arg-type]
    assert caught.value.place == place


@pytest.mark.parametrize(
    ("worker", "text"),
    [("nowhere:Worker", "No module named 'nowhere'"), ("workers:Nobody", "Nobody"),
     ("workers:broken", "no model for 2 channels at 48000 Hz in units of 128"), ("workers:Faulty", "missing"),
     ("workers:dying", "it dies or hangs at once")],
)
def test_a_worker_that_cannot_be_made_is_refused_with_the_reason(worker: str, text: str) -> None:
    before = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()
    with pytest.raises(InputError, match=text) as caught:
        make(worker)
    assert caught.value.place == "far.worker"
    if before:
        own = f"rtsep-{os.getpid()}-"     # others may run beside us
        assert not {name for name in os.listdir("/dev/shm") if name.startswith(own) and name.endswith("-w")} - before


def test_what_is_not_yet_due_is_done_but_not_applied() -> None:
    stage, x = make(), noise(4800)
    try:
        process(stage, x)
        exchange = stage._there._shared["exchange"]
        assert due.wait_at_most(exchange.ctypes.data, due.DONE, 37, 100000)
        assert exchange[due.PUBLISHED] == 4800 // 128 == exchange[due.DONE]
        assert exchange[due.APPLIED] == (4800 - 512 + 127) // 128
    finally:
        stage.close()
