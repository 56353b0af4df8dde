"""Due samples: work that is done elsewhere, and taken into use at a sample that was declared beforehand.

The audio side publishes jobs, counted from 0; a helper does them in order; the audio side takes what is done when it
is due, neither sooner nor later: what is heard does not depend on how fast the helper is. On time, live equals offline.

    audio:   publish(e, m + 1)            job m is there to be done
    helper:  wait_for(e, PUBLISHED, m + 1)    …does it…    finish(e, m + 1)
    audio:   first, end = take(e, m + 1)  job m is due: take first … end - 1 into use, then
             applied(e, end)              the helper may use again what they came in

`e` is the address of an int64[EXCHANGE], in private or in shared memory: the counts in it are no addresses, so each
process may have its own. Every place has a cache line of its own, or each side would slow the other.
"""

import numpy as np
from numba import types

from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import load_acquire, store_release

# Jobs that were published, done, taken into use; 1: the helper ends; 1: the helper begins anew, as its maker defines
# it; jobs that were not done when they were due.
PUBLISHED, DONE, APPLIED, STOP, RESTORE, LATE = 0, 8, 16, 24, 32, 40
LINE = 8         # int64 on a cache line
EXCHANGE = 6 * LINE
NAP_US = np.uint32(500)   # half a segment of 64 samples at 48 kHz, nearly: what a helper may sleep and still be in time

# Not ctypes: its functions cannot be cached.
_sleep_us = types.ExternalFunction("usleep", types.int32(types.uint32))


@kernel
def read(exchange, place):
    """Return a count; what was written before it is seen with it."""
    return load_acquire(exchange + 8 * place)


@kernel
def publish(exchange, count):
    """Say that the first `count` jobs may be done."""
    store_release(exchange + 8 * PUBLISHED, count)


@kernel
def finish(exchange, count):
    """Say that the first `count` jobs are done."""
    store_release(exchange + 8 * DONE, count)


@kernel
def applied(exchange, count):
    """Say that the first `count` jobs are in use, or given up."""
    store_release(exchange + 8 * APPLIED, count)


@kernel
def missed(exchange):
    """Count one that was late; only the audio side does."""
    store_release(exchange + 8 * LATE, load_acquire(exchange + 8 * LATE) + 1)


@kernel
def tell(exchange, place, value):
    """Tell the helper to stop or to begin anew, by 1 at that place; with 0, no longer."""
    store_release(exchange + 8 * place, value)


@kernel
def take(exchange, due):
    """Return which jobs to take into use now, from the first to one before the second; `due` jobs are due.

    Counts one that is late when not all of them are done.
    """
    first = load_acquire(exchange + 8 * APPLIED)
    done = load_acquire(exchange + 8 * DONE)
    if done < due:
        missed(exchange)
    return first, max(first, min(due, done))


@kernel
def nap():
    """Sleep as briefly as a helper that waits."""
    _sleep_us(NAP_US)


@kernel
def wait_for(exchange, place, count):
    """Wait until a count is reached; False when told to stop meanwhile."""
    while load_acquire(exchange + 8 * place) < count:
        if load_acquire(exchange + 8 * STOP) != 0:
            return False
        nap()
    return True


@kernel
def wait_at_most(exchange, place, count, naps):
    """Wait until a count is reached; False when it is not after so many naps."""
    while load_acquire(exchange + 8 * place) < count:
        if naps <= 0:
            return False
        naps -= 1
        nap()
    return True


@kernel
def next_job(exchange, m):
    """Wait, in a helper, until job m is there to be done; False when it is told to stop or to begin anew."""
    while load_acquire(exchange + 8 * STOP) == 0 and load_acquire(exchange + 8 * RESTORE) == 0:
        if load_acquire(exchange + 8 * PUBLISHED) > m:
            return True
        nap()
    return False
