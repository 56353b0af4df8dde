"""How many ticks of the processor's counter there are in a second."""

from __future__ import annotations

import functools
import time

import numba
from rtsep_kernels.memory import ticks


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _now() -> int:
    return ticks()  # type: ignore[no-any-return]


@functools.cache
def ticks_per_second() -> float:
    """Measure the counter against the system's clock, once; takes 50 ms."""
    _now()
    t0, c0 = time.perf_counter_ns(), _now()
    time.sleep(0.05)
    t1, c1 = time.perf_counter_ns(), _now()
    return (c1 - c0) / (t1 - t0) * 1e9
