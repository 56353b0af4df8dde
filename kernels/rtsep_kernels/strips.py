"""Hand every mic's sound to the worker that has its plug-ins, and give it back as late as its alignment wants.

    mic ──▶ link of its worker (`rtsep_kernels.remote`) ──▶ ring, `wait` samples ──▶ out
    mic without plug-ins ─────────────────────────────────▶ ring, `wait` samples ──▶ out

A worker has one mic or several: a link's members are a row of mics, which it gets as its channels.
"""

import numpy as np
from numba import carray

from rtsep_kernels.plane.jit import kernel, stage_entry
from rtsep_kernels.plane.memory import call_stage, samples
from rtsep_kernels.plane.record import address, array, f4, i8, number, record, scratch, view

STRIPS = record(
    channels=number(), position=number(start=0),
    links=number(), link=address(),                      # how many; the compiled function of all of them
    states=array(i8, "links"),                           # their records
    first=array(i8, "links + 1"),                        # of its mics in the row of all that have plug-ins
    members=array(i8, "with_plugins"), with_plugins=number(),
    wait=array(i8, "channels"),                          # samples that each mic is held back
    ring=array(f4, "channels", "ring_frames", start=0), ring_frames=number(),   # a power of two
    given=scratch(f4, "channels * 64"), made=scratch(f4, "channels * 64"),
)


@kernel
def _clear(s):
    """Forget every sample heard."""
    ring, states = view(s, "ring"), view(s, "states")
    for n in range(s.links):
        call_stage(s.link, states[n], samples(s.given), samples(s.made), 0)
    for c in range(s.channels):
        for i in range(s.ring_frames):
            ring[c, i] = np.float32(0)


@kernel
def _work(s, n, x, frames):
    """Have one link process its members, into the ring."""
    first, members, ring = view(s, "first"), view(s, "members"), view(s, "ring")
    count = first[n + 1] - first[n]
    given = carray(samples(s.given), (count, frames))
    for k in range(count):
        mic = members[first[n] + k]
        for i in range(frames):
            given[k, i] = x[mic, i]
    call_stage(s.link, view(s, "states")[n], samples(s.given), samples(s.made), frames)
    made = carray(samples(s.made), (count, frames))
    mask = s.ring_frames - 1
    for k in range(count):
        mic = members[first[n] + k]
        for i in range(frames):
            ring[mic, (s.position + i) & mask] = made[k, i]


@stage_entry(STRIPS)
def strips(state, x, out, frames):
    """Process one piece of at most 64 frames that does not cross the grid."""
    s = carray(state, (1,))[0]
    if frames == 0:
        _clear(s)
        return 0
    block, y = carray(x, (s.channels, frames)), carray(out, (s.channels, frames))
    ring, wait, mask = view(s, "ring"), view(s, "wait"), s.ring_frames - 1
    for c in range(s.channels):
        for i in range(frames):
            ring[c, (s.position + i) & mask] = block[c, i]
    for n in range(s.links):
        _work(s, n, block, frames)
    for c in range(s.channels):
        for i in range(frames):
            y[c, i] = ring[c, (s.position + i - wait[c]) & mask]
    s.position += frames
    return 0
