"""What every stage promises. A new stage adds one line to STAGES below.

Each promise was checked once with a planted offender: a latency off by one, a forgotten reset, an input scaled in
place, a state that counts calls instead of samples, a kernel that allocates.
"""

from __future__ import annotations

import ctypes
import pathlib
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from live_systems import LIVE

from rtsep.chain import Chain
from rtsep.engine import Engine
from rtsep.presets import loads
from rtsep.runner import process
from rtsep.stage import Block, Format, Stage
from rtsep.stages.canceller import Canceller
from rtsep.stages.mix import Input
from rtsep.stages.model import Model
from rtsep.stages.remote.stage import Remote
from rtsep.stages.spectral import Spectral
from rtsep.stages.unmix import Matrix

RATE, MICS, FRAMES = 48000, 3, 12000
FORMAT = Format(RATE, MICS)
MIXING = [[1, 0.2, 0.1], [0.3, 1, 0.2], [0.1, 0.1, 1]]
FULL_PRESET = """
schema = 1
name = "test"
latency_class = "record"
[[chain]]
stage = "input"
[[chain]]
stage = "canceller"
taps = 2048
[[chain]]
stage = "spectral"
analysis = 1024
synthesis = 512
hop = 256
"""

STAGES = {
    "input": lambda: Input(),
    "matrix": lambda: Matrix(mixing=MIXING),
    "canceller": lambda: Canceller(taps=2048),
    "canceller from a soundcheck": lambda: Canceller(taps=1024, start=_paths()),
    "spectral short": lambda: Spectral(analysis=512, synthesis=128, hop=64),
    "spectral long": lambda: Spectral(analysis=1024, synthesis=1024, hop=256, estimator="unity"),
    "remote": lambda: Remote(unit=128, delay=512),
    "model": lambda: Model(),
    "chain": lambda: Chain([Input("input"), Canceller("canceller", 1024), Spectral("spectral", 512, 256, 128)]),
    "engine": lambda: Engine(loads(FULL_PRESET, "test")),
    **{name: case.stage for name, case in LIVE.items()},
}


def _paths() -> Block:
    rng = np.random.default_rng(5)
    paths = rng.standard_normal((MICS, MICS, 1024)) * 0.02 * np.exp(-np.arange(1024) / 100)
    paths[..., 0] = 0.05
    paths[np.arange(MICS), np.arange(MICS)] = 0
    return paths.astype(np.float32)


def make(name: str) -> Stage:
    stage = STAGES[name]()
    stage.prepare(FORMAT)
    return stage


def concert(seed: int = 0, level: float = 0.1, frames: int = FRAMES) -> Block:
    """Mix sources that take turns, each bleeding into every mic: something to be learnt."""
    rng = np.random.default_rng(seed)
    playing = (rng.random((MICS, frames // 1000 + 1)) > 0.4).repeat(1000, 1)[:, :frames]
    sources = rng.standard_normal((MICS, frames)) * playing
    mixed = sources.copy()
    for i in range(MICS):
        for j in range(MICS):
            if i != j:
                mixed[i, 40:] += 0.3 * sources[j, :-40]
    return (level * mixed).astype(np.float32)


@pytest.fixture(params=STAGES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_block_length_changes_no_bit(name: str) -> None:
    stage, x = make(name), concert()
    whole = np.empty_like(x)
    stage.process(x, whole)
    assert np.abs(whole).max() > 0
    for block in (1, 16, 37, 63, 64, 480, 2048):
        stage.reset()
        np.testing.assert_array_equal(process(stage, x, block), whole, err_msg=f"block {block}")


def test_the_latency_is_what_it_says(name: str) -> None:
    """Noise on one mic at a time: what comes out on it lines up with what went in, to the sample."""
    stage = make(name)
    rng = np.random.default_rng(1)
    for mic in range(MICS):
        x = np.zeros((MICS, FRAMES), np.float32)
        x[mic] = 0.05 * rng.standard_normal(FRAMES)
        stage.reset()
        y = process(stage, x)
        spectrum = np.fft.rfft(y[mic], 2 * FRAMES) * np.conj(np.fft.rfft(x[mic], 2 * FRAMES))
        assert int(np.argmax(np.fft.irfft(spectrum))) == stage.latency


@pytest.mark.parametrize("level", [1e-3, 1.0, 1e3])
def test_the_input_is_left_alone(name: str, level: float) -> None:
    stage, x = make(name), concert(level=level)
    before = x.copy()
    process(stage, x)
    np.testing.assert_array_equal(x, before)


def test_used_and_reset_is_as_new(name: str) -> None:
    stage, fresh = make(name), make(name)
    process(stage, concert(7, level=0.5))
    stage.reset()
    x = concert()
    np.testing.assert_array_equal(process(stage, x), process(fresh, x))


@pytest.mark.parametrize("cut", [12288 + 37, 12288 + 101])
def test_a_snapshot_goes_on_bit_for_bit(name: str, cut: int) -> None:
    """In the middle of a segment, and of the work on a frame of a hop of 128 or 256; into a new stage, a used one."""
    stage, x = make(name), concert(frames=24000)
    process(stage, x[:, :cut])
    kept = stage.snapshot()
    wanted = process(stage, x[:, cut:])
    used = make(name)
    process(used, concert(7, level=0.5, frames=15001))
    for twin in (make(name), used, stage):
        twin.restore(kept)
        np.testing.assert_array_equal(process(twin, x[:, cut:]), wanted)


def test_a_snapshot_of_another_stage_is_refused(name: str) -> None:
    stage, other = make(name), Spectral("other", 256, 128, 64)
    other.prepare(FORMAT)
    before = stage.snapshot()
    with pytest.raises(ValueError, match="another state"):
        stage.restore(other.snapshot())
    for key, values in stage.snapshot().items():
        np.testing.assert_array_equal(values, before[key])


def test_silence_gives_silence(name: str) -> None:
    stage = make(name)
    process(stage, concert())
    y = process(stage, np.zeros((MICS, 48000), np.float32))
    assert np.isfinite(y).all()
    assert np.abs(y[:, -4800:]).max() < 1e-4


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_sample_costs_at_most_one_decibel(name: str, bad: float) -> None:
    """The sample itself becomes 0 on its own mic; whatever was learnt stays."""
    stage, twin, x = make(name), make(name), concert(frames=24000)
    hurt = x.copy()
    hurt[1, 9000] = bad
    y, reference = process(stage, hurt), process(twin, x)
    assert np.isfinite(y).all()
    np.testing.assert_array_equal(y[:, :9000], reference[:, :9000])
    later = slice(14000, None)
    error = np.sum((y[:, later] - reference[:, later]) ** 2)
    assert error < (10 ** (1 / 10) - 1) * np.sum(reference[:, later] ** 2)
    assert stage._runner is not None
    assert stage._runner.bad_inputs.tolist() == [0, 1, 0]


def test_flush_to_zero_is_given_back(name: str) -> None:
    stage = make(name)
    process(stage, np.full((MICS, 64), 1e-39, np.float32))
    assert np.float32(1e-39) * np.float32(0.5) != 0


def test_the_gil_is_released(name: str) -> None:
    """While one thread is in `process`, another one counts."""
    stage = make(name)
    x = np.tile(concert(), (1, 10))
    out = np.empty_like(x)
    stage.process(x, out)
    counted = 0
    running = True

    def count() -> None:
        nonlocal counted
        while running:
            counted += 1
            time.sleep(0)

    thread = threading.Thread(target=count)
    # So rarely that a kernel with the GIL would finish before the other thread got a turn.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(100)
    try:
        thread.start()
        before = counted
        # Again and again, as the machine may have no processor free for the other thread just now.
        for _ in range(300):
            stage.process(x, out)
            after = counted
            if after > before:
                break
    finally:
        running = False
        sys.setswitchinterval(interval)
        thread.join()
    assert after > before


def test_a_wrong_block_is_refused(name: str) -> None:
    stage = make(name)
    good = np.zeros((MICS, 64), np.float32)
    for bad in (good.astype(np.float64), good[:, ::2], np.zeros((MICS + 1, 64), np.float32), good[0]):
        with pytest.raises(ValueError, match="block"):
            stage.process(bad, np.zeros_like(bad))


_COUNTER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>
static long count;
static char early[65536]; static size_t used;
static void *(*real_malloc)(size_t), *(*real_calloc)(size_t, size_t), *(*real_realloc)(void *, size_t);
static int (*real_memalign)(void **, size_t, size_t);
long malloc_count(void) { return count; }
void *malloc(size_t n) { if (!real_malloc) real_malloc = dlsym(RTLD_NEXT, "malloc"); count++; return real_malloc(n); }
void *realloc(void *p, size_t n) {
  if (!real_realloc) real_realloc = dlsym(RTLD_NEXT, "realloc"); count++; return real_realloc(p, n); }
void *calloc(size_t a, size_t b) {
  static int inside;
  if (!real_calloc) {
    if (inside) { void *p = early + used; used += (a * b + 15) & ~15ul; return p; }  /* dlsym itself calls calloc */
    inside = 1; real_calloc = dlsym(RTLD_NEXT, "calloc"); inside = 0; }
  count++; return real_calloc(a, b); }
int posix_memalign(void **p, size_t a, size_t n) {
  if (!real_memalign) real_memalign = dlsym(RTLD_NEXT, "posix_memalign"); count++; return real_memalign(p, a, n); }
"""

_ALLOCATIONS = """
    import ctypes, sys
    import numpy as np
    sys.path.insert(0, {tests!r})
    import test_stage_contract as contract
    from rtsep.runner import _PLANAR
    from rtsep_kernels.plane import grid
    count = ctypes.CDLL(None).malloc_count
    count.restype = ctypes.c_long
    call = _PLANAR(grid.run_planar.address)
    for name in contract.STAGES:
        stage = contract.make(name)
        x = contract.concert(frames=16384); out = np.empty_like(x)
        stage.process(x, out)
        # The same call with no frames shows what ctypes itself allocates.
        arguments = (stage._runner.address, x.ctypes.data, out.ctypes.data)
        call(*arguments, 0); call(*arguments, 16384)
        before = count(); call(*arguments, 0); idle = count() - before
        before = count(); call(*arguments, 16384); busy = count() - before
        print(name, "|", idle, busy)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts malloc with LD_PRELOAD")
def test_nothing_allocates_on_the_data_plane(tmp_path: pathlib.Path) -> None:
    """Count malloc of the whole process, FFTW and libc included, over 256 segments with adaptation in them."""
    source, library = tmp_path / "counter.c", tmp_path / "counter.so"
    source.write_text(_COUNTER)
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    script = textwrap.dedent(_ALLOCATIONS.format(tests=str(pathlib.Path(__file__).parent)))
    shown = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True,
        env={**__import__("os").environ, "LD_PRELOAD": str(library)},
    ).stdout
    counts = {line.split(" | ")[0]: [int(v) for v in line.split(" | ")[1].split()] for line in shown.splitlines()}
    assert set(counts) == set(STAGES)
    for stage, (idle, busy) in counts.items():
        assert busy <= idle, f"{stage}: {busy} allocations in 256 segments, {idle} in an empty call"


def test_the_malloc_counter_counts(tmp_path: pathlib.Path) -> None:
    """The check above can fail: numba's own allocation is seen by the same counter."""
    if not sys.platform.startswith("linux"):
        pytest.skip("counts malloc with LD_PRELOAD")
    source, library = tmp_path / "counter.c", tmp_path / "counter.so"
    source.write_text(_COUNTER)
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    script = """if True:
        import ctypes
        c = ctypes.CDLL(None); c.malloc_count.restype = ctypes.c_long
        before = c.malloc_count(); c.malloc(ctypes.c_size_t(10)); print(c.malloc_count() - before)
    """
    shown = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True,
                           env={**__import__("os").environ, "LD_PRELOAD": str(library)}).stdout
    assert int(shown) >= 1


def test_the_addresses_are_what_process_calls(name: str) -> None:
    """A chain built from the addresses alone gives the same samples: there is no second implementation."""
    stage, twin, x = make(name), make(name), concert(frames=64)
    by_address = np.zeros_like(x)
    kind = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    kind(stage.function)(stage.state, x.ctypes.data, by_address.ctypes.data, 64)
    np.testing.assert_array_equal(by_address, process(twin, x))
