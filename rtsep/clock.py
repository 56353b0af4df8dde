"""How many ticks of the processor's counter there are in a second."""

from __future__ import annotations

import functools
import time

from rtsep_kernels.plane.grid import now


@functools.cache
def ticks_per_second() -> float:
    """Measure the counter against the system's clock, once; takes 50 ms."""
    now()
    t0, c0 = time.perf_counter_ns(), now()
    time.sleep(0.05)
    t1, c1 = time.perf_counter_ns(), now()
    return float((c1 - c0) / (t1 - t0) * 1e9)
