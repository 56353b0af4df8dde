"""What the systems of separation share in the stream: the head of their records, and how a mask becomes gains.

A system's entry is ``int32 f(state*, int64 mic)``, called once a frame for each mic, mic 0 first, in one or several
segments. By then the spectra of all mics are in `re`, `im` and `power`; the entry writes its mic's row of `gains`, in
general by `settle`. A system that unmixes may write new spectra into `re` and `im` instead, for all mics when it is
called for mic 0.
"""

import math

import numpy as np
from numba import types

from rtsep_kernels.plane.jit import entry, kernel
from rtsep_kernels.plane.record import array, f4, given, number, view

HEAD = {
    "channels": number(), "bins": number(), "row": number(),
    # The spectral stage's: the frame in work.
    "re": given(f4, "channels", "row"), "im": given(f4, "channels", "row"), "power": given(f4, "channels", "row"),
    "gains": array(f4, "channels", "row", start=1),
    "range_db": given(f4, "channels"), "attack_ms": given(f4, 1), "release_ms": given(f4, 1),   # targets
    "frame_ms": number(f4),
}
"""First fields of every system's record; the rest is its own."""

TINY = np.float32(1e-20)
"""Below every quotient that might be 0 / 0."""

UNEXPLAINED = np.float32(1e-3)
"""Of a bin's magnitude: what a model's parts share equally, so that no bin hangs on rounding."""


def system_entry(table):
    """Compile the entry of a system whose state is a record of `table`."""
    return entry(types.int32(types.CPointer(table.type), types.int64))


@kernel
def _share_of(frame_ms, time_ms):
    """Return the share of the way that a gain goes in one frame, for a time constant; all of it for 0."""
    return np.float32(1.0 - math.exp(-frame_ms / max(time_ms, np.float32(1e-3))))


@kernel
def pace(s, mic):
    """Return a mic's least gain, and what share of the way its gains go up and down in a frame, as the board says."""
    floor = np.float32(10.0 ** (view(s, "range_db")[mic] / 20.0))
    return floor, _share_of(s.frame_ms, view(s, "attack_ms")[0]), _share_of(s.frame_ms, view(s, "release_ms")[0])


@kernel
def kept_part(s, mic):
    """Return the number of the part that a mic keeps."""
    return int(view(s, "keep")[mic] + np.float32(0.5))


@kernel
def settle(s, mic, mask):
    """Move a mic's gains to a mask, float32[row] of values 0 to 1, limited by its range."""
    floor, attack, release = pace(s, mic)
    gains = view(s, "gains")[mic]
    for b in range(s.row):
        wanted = floor + (np.float32(1) - floor) * mask[b]
        gains[b] += (wanted - gains[b]) * (attack if wanted > gains[b] else release)
