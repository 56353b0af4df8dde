"""Walk a table of stages: (function, state) pairs called by address.

A chain may carry two middles. While a change of chain cross-fades, the old and the new middle run side by side
between a shared head and a shared tail, each stage of which runs once:

    x ── head ──┬── old middle ──┐
                └── new middle ──┴─ cross-fade ── tail ── out

Before that the new middle runs unheard, as long as `faded` is negative: what begins with silence begins with a click.
"""

import numpy as np
from numba import carray

from rtsep_kernels.plane.jit import kernel, stage_entry
from rtsep_kernels.plane.memory import call_stage, samples
from rtsep_kernels.plane.record import array, f4, i8, number, record, view

BUFFERS = 6

CHAIN = record(
    channels=number(),
    head=number(), old=number(), new=number(), tail=number(),   # how many stages each has
    entries=array(i8, "head + old + new + tail", 2),            # function, state
    buffers=array(f4, BUFFERS, "channels * 64"),
    fade_frames=number(), faded=number(start=0),                # below 0: the new middle is not heard yet
    latency=number(), old_latency=number(),                     # frames, of the new and the old path
)


@kernel
def share(faded, fade_frames):
    """Return how much of the new middle is heard once `faded` samples have been faded over."""
    w = np.float32(faded) / np.float32(fade_frames)
    return min(max(w, np.float32(0)), np.float32(1))


@kernel
def _run(entries, first, count, x, frames, ping, pong):
    """Run `count` stages; x, ping, pong and the result are addresses; x is left alone."""
    source = x
    for k in range(first, first + count):
        target = pong if source == ping else ping
        call_stage(entries[k, 0], entries[k, 1], samples(source), samples(target), frames)
        source = target
    return source


@stage_entry(CHAIN)
def chain(state, x, out, frames):
    """Process one piece through all stages."""
    s = carray(state, (1,))[0]
    total = s.head + s.old + s.new + s.tail
    entries = view(s, "entries")
    if frames == 0:
        for k in range(total):
            call_stage(entries[k, 0], entries[k, 1], x, out, frames)
        return 0
    size = s.channels * 64 * 4
    count = s.channels * frames
    first = carray(samples(s.buffers), (count,))
    given = carray(x, (count,))
    for i in range(count):
        first[i] = given[i]
    source = _run(entries, 0, s.head, s.buffers, frames, s.buffers + size, s.buffers + 2 * size)
    new = _run(entries, s.head + s.old, s.new, source, frames, s.buffers + 3 * size, s.buffers + 4 * size)
    if s.faded < s.fade_frames:
        kept = carray(samples(s.buffers + 5 * size), (s.channels, frames))
        fresh = carray(samples(new), (s.channels, frames))
        for c in range(s.channels):
            for i in range(frames):
                kept[c, i] = fresh[c, i]
        # Buffers 3 and 4 are free again, unless the new middle is empty and `new` is the source itself.
        old = _run(entries, s.head, s.old, source, frames, s.buffers + 3 * size, s.buffers + 4 * size)
        before = carray(samples(old), (s.channels, frames))
        for i in range(frames):
            w = share(s.faded + i + 1, s.fade_frames)
            for c in range(s.channels):
                # What runs unheard may be anything.
                faded = before[c, i] + (kept[c, i] - before[c, i]) * w
                kept[c, i] = before[c, i] if w == np.float32(0) else faded
        s.faded += frames
        new = s.buffers + 5 * size
    ping = s.buffers if new != s.buffers else s.buffers + size
    pong = s.buffers + size if new != s.buffers + size else s.buffers + 2 * size
    if ping == pong:
        pong = s.buffers + 2 * size
    result = carray(samples(_run(entries, s.head + s.old + s.new, s.tail, new, frames, ping, pong)), (count,))
    target = carray(out, (count,))
    for i in range(count):
        target[i] = result[i]
    return 0
