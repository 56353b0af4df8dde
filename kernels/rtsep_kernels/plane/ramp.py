"""Parameters that never jump: linear ramps that advance once per 64-sample grid segment.

A ramp is one float32[5]: now, next, goal, step, segments left. Within a segment the value goes linearly from
`now` to `next`, computed from the sample's index in the segment, so a block length cannot change it.
"""

import numpy as np

from rtsep_kernels.plane.jit import inlined, kernel

NOW, NEXT, GOAL, STEP, LEFT = 0, 1, 2, 3, 4
RAMP = 5
SHARE = np.float32(1 / 64)


@kernel
def advance(ramp, target, segments):
    """Move one segment on, towards `target`, which is reached `segments` after it was first seen."""
    ramp[NOW] = ramp[NEXT]
    if target != ramp[GOAL]:
        ramp[GOAL] = target
        ramp[LEFT] = np.float32(segments)
        ramp[STEP] = (target - ramp[NOW]) / np.float32(segments)
    if ramp[LEFT] > 0:
        ramp[LEFT] -= np.float32(1)
        if ramp[LEFT] == 0:
            ramp[NEXT] = ramp[GOAL]
        else:
            ramp[NEXT] = ramp[NOW] + ramp[STEP]


@inlined
def value(ramp, offset):
    """Return the value at sample `offset` (0..63) of the current segment."""
    return ramp[0] + (ramp[1] - ramp[0]) * (np.float32(offset + 1) * np.float32(1 / 64))


@kernel
def settle(ramp, target):
    """Stand at `target` at once: only before the first sample."""
    ramp[NOW] = target
    ramp[NEXT] = target
    ramp[GOAL] = target
    ramp[STEP] = np.float32(0)
    ramp[LEFT] = np.float32(0)
