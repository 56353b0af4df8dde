"""What the systems of separation share in the stream: the head of their records, and how a mask becomes gains.

A system's entry is ``int32 f(state*, int64 mic)``, called once a frame for each mic, mic 0 first. By then the spectra
of all mics are in `re`, `im` and `power`; the entry writes its mic's row of `gains`, in general by `settle`. A system
that unmixes may write new spectra into `re` and `im` instead, for all mics when it is called for mic 0.
"""

import math

import numpy as np
from numba import carray

from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import samples

HEAD = [
    ("channels", np.int64), ("bins", np.int64), ("row", np.int64),
    ("re", np.int64), ("im", np.int64), ("power", np.int64), ("gains", np.int64),   # float32[k, row]: the stage's
    ("range_db", np.int64), ("attack_ms", np.int64), ("release_ms", np.int64),      # targets: float32[k], [1], [1]
    ("frame_ms", np.float32),
]
"""First fields of every system's record; the rest is its own."""

TINY = np.float32(1e-20)
"""Below every quotient that might be 0 / 0."""

UNEXPLAINED = np.float32(1e-3)
"""Of a bin's magnitude: what a model's parts share equally, so that no bin hangs on rounding."""


@kernel
def rows(address, channels, row):
    """Return float32[channels, row] at an address."""
    return carray(samples(address), (channels, row))


@kernel
def share_of(frame_ms, time_ms):
    """Return the share of the way that a gain goes in one frame, for a time constant; all of it for 0."""
    return np.float32(1.0 - math.exp(-frame_ms / max(time_ms, np.float32(1e-3))))


@kernel
def settle(s, mic, mask):
    """Move a mic's gains to a mask, float32[row] of values 0 to 1, limited by its range."""
    decibels = carray(samples(s.range_db), (s.channels,))[mic]
    floor = np.float32(10.0 ** (decibels / 20.0))
    attack = share_of(s.frame_ms, carray(samples(s.attack_ms), (1,))[0])
    release = share_of(s.frame_ms, carray(samples(s.release_ms), (1,))[0])
    gains = rows(s.gains, s.channels, s.row)[mic]
    for b in range(s.row):
        wanted = floor + (np.float32(1) - floor) * mask[b]
        gains[b] += (wanted - gains[b]) * (attack if wanted > gains[b] else release)
