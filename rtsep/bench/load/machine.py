"""What one core of this machine does at most: arithmetic, memory, bare transforms; measured, not from a data sheet."""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep import realtime
from rtsep.bench import wakeups

_REPEATS = 5
_SIZE = 768                  # of matrices whose product tells Gflop/s: they fit into the second cache
_BYTES = 256 << 20           # of each vector whose product tells GB/s: several times the last cache
_WAKE_SECONDS = 2.0
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Machine:
    """Of one core; a measurement is the best of five, as it is a bound.

    Parameters
    ----------
    gflops : float
        Of a product of float32 matrices.
    gigabytes : float
        A second, read from memory.
    wake_us : dict of str to float
        p50 and p99 of how late a real-time thread wakes up in blocks of 64 frames, microseconds.
    """

    gflops: float
    gigabytes: float
    wake_us: dict[str, float]


def measure() -> Machine:
    """Measure in a process with one thread: BLAS reads how many it may have when it is loaded."""
    done = subprocess.run([sys.executable, "-m", __name__], capture_output=True, text=True, check=True,
                          env={**os.environ, **dict.fromkeys(_ONE_THREAD, "1")})
    told = json.loads(done.stdout)
    wakes = wakeups.measure(64 / 48000, _WAKE_SECONDS)
    late = {f"p{q}": float(np.percentile(wakes.late_us, q)) for q in (50, 99)}
    return Machine(told["gflops"], told["gigabytes"], late)


def bare_transforms(mics: int, size: int) -> Callable[[], object]:
    """Return a call of nothing but FFTW's transforms: one window of each mic there and back, planned as the stage's."""
    fftw: Any = importlib.import_module("pyfftw")   # it publishes no types
    given, spectra, made = (fftw.zeros_aligned((mics, n), kind) for n, kind in (
        (size, np.float32), (size // 2 + 1, np.complex64), (size, np.float32)))
    given[:] = np.random.default_rng(0).standard_normal(given.shape)
    there = fftw.FFTW(given, spectra, axes=(1,), flags=("FFTW_ESTIMATE",))
    back = fftw.FFTW(spectra, made, axes=(1,), direction="FFTW_BACKWARD", flags=("FFTW_ESTIMATE",))

    def call() -> None:
        there.execute()
        back.execute()

    return call


def seconds_of(call: Callable[[], object], least: float = 0.05) -> float:
    """Return the median time of a call, seconds; it is called for `least` seconds."""
    times: list[float] = []
    until = time.perf_counter() + least
    while not times or time.perf_counter() < until:
        at = time.perf_counter()
        call()
        times.append(time.perf_counter() - at)
    return statistics.median(times)


def _measured() -> dict[str, Any]:
    realtime.ask(realtime.WATCH)   # or the machine's other work is measured, too
    a: NDArray[np.float32] = np.ones((_SIZE, _SIZE), np.float32)
    b = np.empty_like(a)
    x: NDArray[np.float32] = np.ones(_BYTES // 4, np.float32)
    np.dot(a, a, out=b)
    flops = [2 * _SIZE**3 / seconds_of(lambda: np.dot(a, a, out=b)) for _ in range(_REPEATS)]
    bytes_ = [_BYTES / seconds_of(lambda: np.dot(x[: x.size // 2], x[x.size // 2 :]), 0.0) for _ in range(_REPEATS)]
    return {"gflops": max(flops) / 1e9, "gigabytes": max(bytes_) / 1e9}


if __name__ == "__main__":
    json.dump(_measured(), sys.stdout)
