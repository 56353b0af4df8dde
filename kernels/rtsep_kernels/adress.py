"""ADRess: how much of each bin is a source at a chosen place between two channels.

Places are counted in steps from hard left (0) over the centre (`steps`) to hard right (2 `steps`).
"""

import math

import numpy as np
from numba import carray, types

from rtsep_kernels.masking import HEAD, settle, system_entry
from rtsep_kernels.pairs import pass_on
from rtsep_kernels.plane.jit import kernel, signed
from rtsep_kernels.plane.record import f4, given, number, record, scratch, view

ADRESS = record(
    **HEAD,
    keep=given(f4, "channels"),                                     # target: 0 what is there, 1 the rest
    azimuth=given(f4, "channels"), width=given(f4, "channels"),     # targets: degrees, share of a side
    steps=number(), mask=scratch(f4, "row"),
)
SLACK = 1e-3   # steps: a place on the very edge is in, however its width was rounded
_PLANE = types.float32[:, ::1]


@kernel
def place(azimuth, steps):
    """Return where a constant-power pan of 0 (left) to 90 degrees is, in steps: as a ratio of the two levels."""
    angle = azimuth * math.pi / 180.0
    if azimuth <= 45.0:
        return steps * math.tan(angle)
    return 2.0 * steps - steps * math.tan(math.pi / 2.0 - angle)


@kernel
def depth(re1, im1, re2, im2, steps):
    """Return where a bin is cancelled best, in steps, and how well: 0 not at all, 1 quite.

    Of |weak - g strong| for g = 0, 1/steps, ..., 1 the least is next to the closed-form minimum, as it is convex;
    the greatest is at one of the ends.
    """
    lr, li, rr, ri = np.float64(re1), np.float64(im1), np.float64(re2), np.float64(im2)
    left, right = lr * lr + li * li, rr * rr + ri * ri
    strong, weak = max(left, right), min(left, right)
    if not strong > 0.0:
        return 0.0, 0.0
    across = lr * rr + li * ri
    null = math.floor(min(max(across / strong, 0.0), 1.0) * steps + 0.5)
    g = null / steps
    lowest = max(weak - 2.0 * g * across + g * g * strong, 0.0)
    highest = max(weak, weak - 2.0 * across + strong)
    # Both channels equal to the last bit, or one silent: `highest` is the only level there is.
    sure = 1.0 - math.sqrt(lowest / highest) if highest > 0.0 else 1.0
    return null if left >= right else 2.0 * steps - null, sure


@kernel
def shares(re1, im1, re2, im2, steps, azimuth, width, mask):
    """Write the share, 0 to 1, that a source at an azimuth has in each bin of a frame."""
    middle, reach = place(azimuth, steps), width * steps / 2.0 + SLACK
    for b in range(len(re1)):
        where, sure = depth(re1[b], im1[b], re2[b], im2[b], steps)
        mask[b] = np.float32(sure if abs(where - middle) <= reach else 0.0)


@signed(types.void(_PLANE, _PLANE, _PLANE, _PLANE, types.int64, types.float64, types.float64, _PLANE))
def shares_all(re1, im1, re2, im2, steps, azimuth, width, mask):
    """Write `shares` of all frames, float32[frames, bins]."""
    for n in range(len(re1)):
        shares(re1[n], im1[n], re2[n], im2[n], steps, azimuth, width, mask[n])


@system_entry(ADRESS)
def adress(state, mic):
    """Write the gains of one mic."""
    s = carray(state, (1,))[0]
    first = mic // 2 * 2
    if first + 1 == s.channels:
        pass_on(view(s, "gains")[mic])
        return 0
    re, im, mask = view(s, "re"), view(s, "im"), view(s, "mask")
    azimuth, width = view(s, "azimuth")[mic], view(s, "width")[mic]
    shares(re[first, :s.bins], im[first, :s.bins], re[first + 1, :s.bins], im[first + 1, :s.bins], s.steps,
           np.float64(azimuth), np.float64(width), mask)
    if view(s, "keep")[mic] >= np.float32(0.5):
        for b in range(s.bins):
            mask[b] = np.float32(1) - mask[b]
    settle(s, mic, mask)
    return 0
