"""The phases of a round, and how one goes from one to the next.

Every phase does one small piece at a time and returns its cost. Three counters say which: `mic`, whose paths are
solved for; `other`, from which a path comes (or a pair's number); `index`, of a chunk or a frame. `step` counts
steps of the descent, or parts of what is blended in.
"""

import numpy as np

from rtsep_kernels.canceller.refine.record import PRODUCT
from rtsep_kernels.maths.vectors import fill
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.record import view

# In order; those from WEIGH to IMAGE for each mic.
(IDLE, LOWER, SPECTRA, POWERS, WEIGH, PREPARE, FILTER, ERROR, WEIGHT, BACK, GATHER, SOLVE, DIRECTION,
 IMAGE, FRESH, TRY_FILTER, TRY, JUDGE, CHANGE, BLEND, COMMIT) = range(21)
WAIT = 1 << 40     # instead of a cost: nothing can be done before more is heard
FRAMES_AT_ONCE = 8   # in one piece


@kernel
def enter(s, phase):
    """Go to a phase, at its beginning; it costs nothing."""
    s.phase = phase
    s.index = 0
    s.other = 0
    return 0


@kernel
def pair_of(s):
    """Return the pair of mics number `other`."""
    k = s.channels
    i = s.other // (k - 1)
    j = s.other % (k - 1)
    return i, (j + 1 if j >= i else j)


@kernel
def has_paths(s):
    """Tell whether the mic is cleaned of any other one, and not in instantaneous mode."""
    return view(s, "instant")[s.mic] == 0 and view(s, "pairs")[s.mic] > 0


@kernel
def cost_of_products(s):
    """Return the cost of one chunk's products with all paths to the mic."""
    return (view(s, "pairs")[s.mic] + 1) * PRODUCT


@kernel
def find_other(s):
    """Move `other` past mics from which no path is refined; False at the end."""
    taken = view(s, "taken")[s.mic]
    while s.other < s.channels and taken[s.other] == 0:
        s.other += 1
    return s.other < s.channels


@kernel
def next_chunk(s, chunks, after):
    """Count a chunk; after the last go to phase `after`."""
    s.index += 1
    if s.index >= chunks:
        enter(s, after)


@kernel
def begin_mic(s):
    """Go on with the next mic that has paths to refine; after the last, wait for fresh sound."""
    while s.mic < s.channels and not has_paths(s):
        fill(view(s, "mask")[s.mic], np.float32(0))
        s.mic += 1
    s.step = 0
    return enter(s, WEIGH if s.mic < s.channels else FRESH)
