"""A model's sound in place of the mics', or a matrix that a model tells; the model itself is another process.

    mics ─┬─▶ link of the worker (`rtsep_kernels.remote`) ──▶ out, where the model makes sound
          └─▶ matrix, no latency ──▶ out                      where it tells gains: the link brings the matrix

A matrix comes as the first samples of a unit of the link's: column j as sample j of all mics, then `MARK` in all of
them. What the link puts in place of a late unit is sound, and has no such mark: the matrix of before is held.
"""

import numpy as np
from numba import carray

from rtsep_kernels.mix import UNMIX, advance, head_for, multiply
from rtsep_kernels.plane.jit import kernel, stage_entry
from rtsep_kernels.plane.memory import call_stage, samples
from rtsep_kernels.plane.record import address, array, f4, number, record, scratch, view

MARK = np.float32(1.2345679e30)
"""No sound: `rtsep.finite` lets nothing in that is as loud."""

# In another order than UNMIX: numba would take a record that begins like another for its base, and warn of it.
MODEL = record(
    link=address(), links=number(), told=number(),         # the link's function; 1: there is one; it brings a matrix
    states=address(),                                      # the link's record
    unit=number(), delay=number(),                         # the link's
    **UNMIX,
    coming=array(f4, "channels", "channels", start=0),     # a matrix, column by column
    made=scratch(f4, "channels * 64"),
)


@kernel
def _read(s, frames):
    """Take what the link has brought of a matrix."""
    heard = s.position - s.delay
    if heard < 0:
        return
    coming, made = view(s, "coming"), carray(samples(s.made), (s.channels, frames))
    place = heard % s.unit
    for i in range(frames):
        if place + i < s.channels:
            for c in range(s.channels):
                coming[c, place + i] = made[c, i]
        elif place + i == s.channels:
            good, new, goal = True, False, view(s, "goal")
            for c in range(s.channels):
                good = good and made[c, i] == MARK
                for d in range(s.channels):
                    new = new or coming[c, d] != goal[c, d]
            if good and new:   # it is told with every unit, so that one that is late does not matter
                head_for(s, coming)


@stage_entry(MODEL)
def model(state, x, out, frames):
    """Process one piece of at most 64 frames that does not cross the grid."""
    s = carray(state, (1,))[0]
    if frames == 0:
        if s.links > 0:
            call_stage(s.link, s.states, samples(s.made), samples(s.made), 0)
        return 0
    if s.links > 0 and s.told == 0:
        s.position += frames
        return call_stage(s.link, s.states, x, out, frames)
    if s.links > 0:
        call_stage(s.link, s.states, x, samples(s.made), frames)
        if s.position % 64 == 0:
            advance(s)
        _read(s, frames)
    multiply(s, x, out, frames)
    return 0
