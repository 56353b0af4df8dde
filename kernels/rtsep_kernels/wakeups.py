"""A callback that does nothing: a thread that sleeps from block to block, as cyclictest does, and notes how late it is.

The kernel is told at which time to wake it, so that being late once makes nothing later.
"""

import numpy as np
from numba import carray, types

from rtsep_kernels.plane.jit import entry
from rtsep_kernels.plane.memory import pointer
from rtsep_kernels.plane.record import array, i8, number, record, scratch, view

MONOTONIC, ABSOLUTE = 1, 1   # CLOCK_MONOTONIC and TIMER_ABSTIME of Linux
SECOND = 1_000_000_000       # ns

WAKES = record(
    period=number(), wanted=number(),                 # ns; blocks
    late=array(i8, "wanted"), done=number(),          # ns of each; how many there have been
    lost=number(),                                    # blocks that were over before anybody woke up for them
    stop=number(), spec=scratch(i8, 2),               # a struct timespec
)
_WAKES = types.CPointer(WAKES.type)

_sleep_until = types.ExternalFunction(
    "clock_nanosleep", types.int32(types.int32, types.int32, types.voidptr, types.voidptr)
)
_read_clock = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.voidptr))


@entry(types.int32(_WAKES))
def wake_up(wakes):
    """Sleep and note until as many blocks are over as are wanted, or until ``stop``."""
    s = carray(wakes, (1,))[0]
    spec, late = view(s, "spec"), view(s, "late")
    _read_clock(MONOTONIC, pointer(s.spec))
    due = spec[0] * SECOND + spec[1] + s.period
    while s.done + s.lost < s.wanted and s.stop == 0:
        spec[0], spec[1] = due // SECOND, due % SECOND
        if _sleep_until(MONOTONIC, ABSOLUTE, pointer(s.spec), pointer(0)) != 0:   # a signal
            continue
        _read_clock(MONOTONIC, pointer(s.spec))
        now = spec[0] * SECOND + spec[1]
        late[s.done] = now - due
        s.done += 1
        due += s.period
        if now > due:   # a sound card goes on: what was due meanwhile is lost
            missed = np.int64((now - due) // s.period) + 1
            s.lost += missed
            due += missed * s.period
    return 0
