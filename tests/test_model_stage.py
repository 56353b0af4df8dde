"""The stage that runs models: as late as it says, the same live and offline, and never the reason for silence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtsep.bench.toymodels import (
    FREE,
    GAINS,
    SHAPES,
    WAVES,
    constant,
    delayed,
    gain,
    model,
    save,
    shaped,
    shared,
)
from rtsep.errors import InputError
from rtsep.runner import process
from rtsep.stage import Block, Format
from rtsep.stages.model import Model
from rtsep.workers.model import MARK
from rtsep.workers.model import Model as Worker
from rtsep_kernels import model as kernels

RATE, MICS, BLOCK = 48000, 3, 512
MIXING = np.eye(MICS) + 0.2 - 0.2 * np.eye(MICS)


def noise(frames: int, seed: int = 0) -> Block:
    return (0.1 * np.random.default_rng(seed).standard_normal((MICS, frames))).astype(np.float32)


def make(path: str, **options: Any) -> Model:
    stage = Model("far", path, **options)
    stage.prepare(Format(RATE, MICS))
    return stage


def late(x: Block, delay: int) -> Block:
    return np.pad(x, ((0, 0), (delay, 0)))[:, : x.shape[1]]


MADE: dict[str, tuple[Callable[[], Any], int]] = {   # and what it adds at least, samples
    "CAE at 22050 Hz": (lambda: shaped("cae"), 3344), "a state": (lambda: delayed(37), 37),
    "44100 Hz": (lambda: delayed(37, {"rate": 44100}), 40),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if "44100" in n else []) for n in MADE])
def test_it_is_as_late_as_it_says_in_blocks_of_any_length(name: str, tmp_path: Path) -> None:
    made, least = MADE[name]
    x = noise(24000)
    stage = make(save(made(), tmp_path / "m.onnx"))
    try:
        assert 1024 + least <= stage.latency < 1024 + least + 1600
        whole = process(stage, x)
        assert np.abs(whole - late(x, stage.latency)).max() < 1e-6
        for block in (37, 4096):
            stage.reset()
            np.testing.assert_array_equal(process(stage, x, block), whole)
        stage.reset()
        process(stage, x[:, :9000])
        kept = stage.snapshot()
        process(stage, noise(5000, 1))
        stage.restore(kept)
        np.testing.assert_array_equal(process(stage, x[:, 9000:]), whole[:, 9000:])
        assert stage.status() == {"late_updates": 0, "bad_results": 0, "worker_restarts": 0}
    finally:
        stage.close()


def test_a_matrix_from_a_model_takes_no_time_and_is_held(tmp_path: Path) -> None:
    x = noise(RATE)
    stage = make(save(constant(MIXING, GAINS), tmp_path / "m.onnx"), every_s=0.1, ramp_ms=20.0, source=1)
    try:
        assert stage.latency == 0
        whole = process(stage, x)
        # Heard for 0.1 s, worked on for another: the third answer has come and the ramp is over.
        np.testing.assert_array_equal(whole[:, :9600], x[:, :9600])
        assert np.abs(whole[:, 20000:] - np.linalg.inv(MIXING) @ x[:, 20000:]).max() < 1e-6
        stage.reset()
        np.testing.assert_array_equal(process(stage, x, 37), whole)
        stage.reset()
        process(stage, x[:, :12345])
        kept = stage.snapshot()
        stage.reset()
        stage.restore(kept)
        np.testing.assert_array_equal(process(stage, x[:, 12345:]), whole[:, 12345:])
        os.kill(stage.pid, signal.SIGKILL)   # held without limit
        stage.go_live()
        y = process(stage, x)
        assert np.abs(y - np.linalg.inv(MIXING) @ x).max() < 1e-6
    finally:
        stage.close()


def test_kernel_and_worker_know_the_same_mark() -> None:
    assert MARK == kernels.MARK


def test_a_matrix_is_the_median_of_answers_and_nonsense_counts_for_nothing(tmp_path: Path) -> None:
    rows = ", ".join(f"{value:.9f}" for value in MIXING.ravel())
    text = f"""m (float[1,3,4800] x) => (float[1,3,3] y) {{
        shape = Constant <value_ints = [1, 3, 3]> () all = Constant <value_floats = [{rows}]> ()
        m = Reshape(all, shape) top = ReduceMax <keepdims = 1> (x) limit = Constant <value_float = 4.0> ()
        loud = Greater(top, limit) zero = Constant <value_float = 0.0> () none = Mul(m, zero) nan = Div(none, none)
        y = Where(loud, nan, m)
    }}"""
    worker = Worker(RATE, MICS, BLOCK, save(model(text, {**GAINS, "channels": 3}), tmp_path / "m.onnx"), every_s=0.1)
    x = noise(2 * RATE)
    x[1, 48000:: 4700] = 30.0   # from then on every window
    told = [worker.work(np.ascontiguousarray(x[:, n : n + BLOCK])) for n in range(0, x.shape[1] - BLOCK + 1, BLOCK)]
    assert not told[0].any()
    assert (told[-1][:, MICS] == MARK).all()
    assert np.abs(told[-1][:, :MICS] - np.linalg.inv(MIXING)).max() < 1e-6


# Faults


def stream(stage: Model, x: Block, events: dict[int, Callable[[], None]], pace: float = 1.0) -> Block:
    """Process at a sound card's pace, and do something before some blocks."""
    out, begun = [], time.monotonic()
    for n in range(x.shape[1] // BLOCK):
        if n in events:
            events[n]()
        out.append(process(stage, np.ascontiguousarray(x[:, n * BLOCK : (n + 1) * BLOCK])))
        time.sleep(max(0.0, begun + pace * (n + 1) * BLOCK / RATE - time.monotonic()))
    return np.concatenate(out, axis=1)


def shares(y: Block, x: Block, delay: int) -> Block:
    """Return how loud each millisecond is against the dry sound, after the beginning."""
    dry = late(x, delay)[:, : y.shape[1]]
    end = y.shape[1] // 480 * 480
    rms = [np.sqrt(np.square(z[:, 2400:end]).reshape(MICS, -1, 480).mean(axis=2)) for z in (y, dry)]
    return np.asarray(rms[0] / rms[1])


def heard(stage: Model, x: Block, events: dict[int, Callable[[], None]]) -> tuple[Block, list[str]]:
    stage.go_live()
    told: list[str] = []
    events = dict(events)
    for n in range(0, x.shape[1] // BLOCK, 10):
        before = events.get(n)
        events[n] = lambda b=before: (b() if b else None, told.extend(stage.news()))   # type: ignore[misc]
    y = stream(stage, x, events)
    return shares(y, x, stage.latency), [*told, *stage.news()]


def test_on_time_live_is_offline_bit_for_bit(tmp_path: Path) -> None:
    x = noise(RATE)
    stage = make(save(shaped("cae"), tmp_path / "m.onnx"), unit=512, delay=8192)
    try:
        offline = process(stage, x)
        stage.reset()
        stage.go_live()
        live = stream(stage, x, {})
        if stage.status()["late_updates"] == 0:   # else the machine stood still
            np.testing.assert_array_equal(live, offline[:, : live.shape[1]])
    finally:
        stage.close()


@pytest.mark.slow
def test_killed_and_stopped_it_is_dry_and_comes_back(tmp_path: Path) -> None:
    stage = make(save(gain(0.5), tmp_path / "m.onnx"), delay=2048)
    pid: list[int] = []

    def stop() -> None:
        pid.append(stage.pid)
        os.kill(pid[0], signal.SIGSTOP)

    try:
        x = noise(RATE * 8)
        kill = lambda: os.kill(stage.pid, signal.SIGKILL)   # noqa: E731
        share, told = heard(stage, x, {94: stop, 141: lambda: os.kill(pid[0], signal.SIGCONT), 235: kill})
        assert (share > 0.45).all()
        assert (share < 1.1).all(), "never silence, never more than dry"
        assert share[:, :80].mean() < 0.6, "the model is heard at first"
        assert (share[:, 105:140] > 0.95).all(), "stopped: dry"
        assert share[:, -20:].mean() < 0.6, "and again at the end"
        counts = stage.status()
        assert counts["late_updates"] > 20
        assert counts["worker_restarts"] == 1
        assert told == ["far: the model has died or hangs: dry until it is back", "far: the model is back, on cpu"]
    finally:
        stage.close()


NOT_FINITE = f"""m ({FREE} x) => ({FREE} y) {{
    top = ReduceMax <keepdims = 1> (x) limit = Constant <value_float = 0.7> () bad = Greater(top, limit)
    zero = Constant <value_float = 0.0> () none = Mul(x, zero) nan = Div(none, none)
    half = Constant <value_float = 0.5> () less = Mul(x, half) y = Where(bad, nan, less)
}}"""
"""Half of what it gets, unless a sample of that is above 0.7: then NaN."""


def test_a_model_that_returns_nan_is_dry_said_once_and_comes_back(tmp_path: Path) -> None:
    stage = make(save(model(NOT_FINITE, WAVES), tmp_path / "m.onnx"), delay=2048, context_ms=10.0)
    x = noise(RATE * 2)
    x[0, 40000:42400] = 0.9
    try:
        share, told = heard(stage, x, {})
        assert (share > 0.45).all()
        assert (share < 1.1).all()
        assert share[:, -20:].mean() < 0.6
        assert stage.status()["bad_results"] >= 1
        assert stage.status()["worker_restarts"] == 0
        assert [line.split("m.onnx")[1] for line in told] == [": returns what is not finite: dry"]
    finally:
        stage.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cae", "deepconvsep"])
def test_after_a_gap_nothing_of_another_time_is_heard(name: str, tmp_path: Path) -> None:
    """What passes on through spectra and changes of rate is the dry sound: so it must stay, whatever is lost."""
    made = shaped("cae") if name == "cae" else shared({**SHAPES["deepconvsep"], "sources": ()})
    stage = make(save(made, tmp_path / "m.onnx"), unit=2048, delay=8192)
    pids: list[int] = []

    def stop() -> None:
        pids.append(stage.pid)
        os.kill(pids[-1], signal.SIGSTOP)

    time_s = np.arange(RATE * 12) / RATE   # slow waves: the step between wet and dry, which fades, is small
    x = np.array([0.1 * np.sin(2 * np.pi * pitch * time_s) for pitch in (61.0, 83.0, 107.0)], np.float32)
    events = {100: stop, 147: lambda: os.kill(pids[-1], signal.SIGCONT), 200: stop,
              240: lambda: os.kill(pids[-1], signal.SIGCONT), 400: lambda: os.kill(stage.pid, signal.SIGKILL)}
    try:
        stage.go_live()
        y = stream(stage, x, events)
        assert np.abs(y - late(x, stage.latency)[:, : y.shape[1]]).max() < 0.005
        counts = stage.status()
        assert counts["worker_restarts"] == 1
        assert counts["late_updates"] > 10
    finally:
        stage.close()


@pytest.mark.slow
def test_all_faults_in_a_minute_of_sound(tmp_path: Path) -> None:
    stage = make(save(model(NOT_FINITE, WAVES), tmp_path / "m.onnx"), delay=2048, context_ms=10.0, provider="cuda")
    x = noise(RATE * 60)
    pids: list[int] = []

    def stop() -> None:
        pids.append(stage.pid)
        os.kill(pids[-1], signal.SIGSTOP)

    events: dict[int, Callable[[], None]] = {}
    for second in (5, 25, 45):
        events[94 * second] = stop
        events[94 * second + 47] = lambda: os.kill(pids[-1], signal.SIGCONT)
        events[94 * (second + 5)] = lambda: os.kill(stage.pid, signal.SIGKILL)
        x[1, RATE * (second + 14) : RATE * (second + 14) + 2400] = 0.9
    try:
        share, told = heard(stage, x, events)
        assert (share > 0.45).all()
        assert (share < 1.1).all()
        counts = stage.status()
        print(counts, *told, sep="\n")
        assert counts["worker_restarts"] == 3
        assert counts["late_updates"] >= 3 * 40
        assert counts["bad_results"] >= 3
        assert sum("has died or hangs" in line for line in told) == 3
        assert sum("was asked for, but" in line for line in told) == 1
        assert sum("returns what is not finite" in line for line in told) == 1
        assert share[:, -20:].mean() < 0.6
    finally:
        stage.close()


def test_what_cannot_run_is_refused_before_anything_sounds_in_one_line(tmp_path: Path) -> None:
    wrong = model(f"m ({FREE} x) => ({FREE} y) {{ y = Concat <axis = 1> (x, x) }}")
    path = save(wrong, tmp_path / "m.onnx")
    words = r"m\.onnx: from x \[1, 3, \d+\] comes y \[1, 6, \d+\]; its card allows \[1, 3, \?\]"
    with pytest.raises(InputError, match=words) as caught:
        make(path)
    assert str(caught.value).startswith(f"far.model: {path}: from x")
    assert "\n" not in str(caught.value)
    for made, options, words in (
        (shaped("df-unet"), {}, "is not causal; it runs offline alone: rtsep separate --method df-unet"),
        (shaped("deepconvsep"), {"source": 5}, "makes 4 sources; allowed is source 1 to 4"),
        (gain(1.0, card={**WAVES, "channels": 2}), {}, "there are 3 mics; allowed are 2, or a model of one channel"),
        (gain(1.0, card={**WAVES, "kind": "step"}), {}, "is of kind step"),
    ):
        with pytest.raises(InputError, match=words):
            Worker(RATE, MICS, BLOCK, save(made, tmp_path / "m.onnx"), **options)
    with pytest.raises(InputError, match="tells a matrix of 3 mics, and unit is 3"):
        Worker(RATE, MICS, 3, save(constant(MIXING, GAINS), tmp_path / "m.onnx"))
    with pytest.raises(InputError, match=r"far\.delay: 512 is not allowed; with unit 512"):
        Model("far", delay=512)


def test_a_gpu_that_is_not_there_is_said_once_and_the_cpu_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    worker = Worker(RATE, MICS, BLOCK, save(gain(0.5), tmp_path / "m.onnx"), provider="cuda")
    assert json.loads(worker.report()) == {"kind": "wave", "latency": 0, "provider": "cpu"}
    told = worker.news()
    assert len(told) == 1
    assert "cuda was asked for, but this onnxruntime has none" in told[0]
    assert worker.news() == []
    x = noise(BLOCK)
    assert np.abs(worker.work(x) - 0.5 * x).max() < 1e-7


@pytest.mark.slow
def test_without_onnxruntime_one_line_and_exit_code_2(tmp_path: Path) -> None:
    path = save(gain(0.5), tmp_path / "m.onnx")
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    preset = tmp_path / "p.toml"
    head = 'schema = 1\nname = "p"\nlatency_class = "record"\n[[chain]]\nstage = "model"\n'
    preset.write_text(f'{head}model = "{path}"\n')
    import soundfile

    soundfile.write(tmp_path / "in.wav", noise(4800).T, RATE, subtype="FLOAT")
    # Workers get this process's path; a finder that knows no onnxruntime stands before all others there, too.
    (blocked / "sitecustomize.py").write_text(
        "import importlib.util, sys\nreal = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name == 'onnxruntime' else real(name, *a)\n")
    done = subprocess.run(
        [sys.executable, "-m", "rtsep", "render", str(tmp_path / "in.wav"), "-o", str(tmp_path / "out.wav"),
         "--preset", str(preset)], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(blocked), *sys.path])},
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "models need onnxruntime, which is not installed; pip install 'rtsep[cpu]'" in done.stderr
