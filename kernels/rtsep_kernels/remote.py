"""A stage whose work is done by another process, in units of `unit` samples, and heard `delay` samples later.

    input ── inputs[n % slots] ──▶ worker ──▶ outputs[n % slots], marks[n % slots] ── due at n * unit + delay ── output
       └── dry, as late ────────────────────────────────────────────────────────────────────────────────────────┘

Unit n is published with its last sample. What comes of it is due `delay` samples after its first one; until then it
is not looked at. A unit that is late, malformed or not finite is replaced by the input, as late as the stage is:
from the last sample heard the step to it decays over a segment. The way back is a cross-fade, once a few units in a
row have come on time. What the worker makes may itself be late, by `extra` samples: so is then
what replaces it.

With each unit goes what the board says at its last sample: targets that the worker has asked for.

All that both processes use lies in shared memory and holds no addresses: `exchange` and the tables of slots.
"""

import numpy as np
from numba import carray

from rtsep_kernels.plane import due
from rtsep_kernels.plane.grid import GRID
from rtsep_kernels.plane.jit import kernel, stage_entry
from rtsep_kernels.plane.memory import samples
from rtsep_kernels.plane.record import array, f4, given, i8, number, record, view

REMOTE = record(
    channels=number(), position=number(start=0), unit=number(), delay=number(), slots=number(),
    dry_frames=number(),                             # a power of two
    exchange=given(i8, due.EXCHANGE),                # jobs are units
    marks=given(i8, "slots", due.LINE),              # n + 1: unit n is in this slot; -(n + 1): it was malformed
    inputs=given(f4, "slots", "channels", "unit"), outputs=given(f4, "slots", "channels", "unit"),
    extra=array(i8, "channels"),                     # samples that each channel's result is later than `delay`
    params=number(), targets=array(i8, "params"),    # addresses of what the worker is told, on the board
    told=given(f4, "slots", "params"),
    dry=array(f4, "channels", "dry_frames", start=0),
    last=array(f4, "channels", start=0), step=array(f4, "channels", start=0),   # last sample out; from dry to it
    usable=number(start=0), wet=number(start=1),     # 1: the unit that is due is as it should be; it is heard
    mode=number(start=0),                            # of this segment, see below
    owed=number(start=0), penalty=number(),          # units that must be on time before they are heard again
    forgotten=number(start=0),                       # units before this one were heard before the history was cleared
    bad=number(start=0),
    patience=number(), waits=number(start=1),        # naps for a unit, 0: live; it is worth waiting
)
DRY, WET, OPENING, CLOSING = 0, 1, 2, 3              # modes


@kernel
def _wait(s, n):
    """Wait for unit n where nobody listens; whoever has been waited for in vain once must first be on time again."""
    exchange = view(s, "exchange").ctypes.data
    s.waits = 1 if due.wait_at_most(exchange, due.DONE, n + 1, s.patience if s.waits else 0) else 0


@kernel
def _judge(s, n):
    """Decide whether unit n, which is due now, is as it should be."""
    exchange = view(s, "exchange").ctypes.data
    if s.patience > 0:
        _wait(s, n)   # also for what is forgotten: the worker must not be left behind
    if n < s.forgotten:
        due.applied(exchange, n + 1)
        s.usable = 0
        return
    _, end = due.take(exchange, n + 1)
    mark = view(s, "marks")[n % s.slots, 0]
    s.usable = 1 if end > n and mark == n + 1 else 0
    if end > n and mark == -(n + 1):
        s.bad += 1
    elif end > n and mark != n + 1:
        due.missed(exchange)                          # the worker was so late that it has left it out
    due.applied(exchange, n + 1)
    s.owed = max(0, s.owed - 1) if s.usable else s.penalty


@kernel
def _finite(result, first):
    """Return whether a segment of a result can be heard."""
    bad = 0
    for c in range(result.shape[0]):
        for i in range(GRID):
            bad += 0 if np.isfinite(result[c, first + i]) else 1
    return bad == 0


@kernel
def _start_segment(s):
    """Choose between the result and the dry input, for the segment that begins."""
    heard = s.position - s.delay                      # the sample of the input that is heard now
    s.mode = DRY
    if heard < 0:
        return
    n = heard // s.unit
    within = heard - n * s.unit
    if within == 0:
        _judge(s, n)
    if s.usable and not _finite(view(s, "outputs")[n % s.slots], within):
        s.bad += 1
        s.usable = 0
        s.owed = s.penalty
    trusted = s.usable and s.owed == 0
    if trusted:
        s.mode = WET if s.wet else OPENING
    elif s.wet:
        s.mode = CLOSING
        dry, last, step, extra = view(s, "dry"), view(s, "last"), view(s, "step"), view(s, "extra")
        for c in range(s.channels):
            step[c] = last[c] - dry[c, (heard - extra[c]) & (s.dry_frames - 1)]
    s.wet = 1 if trusted else 0


@kernel
def _write(s, x, frames):
    """Add to the unit that is being heard, and publish it with its last sample."""
    n = s.position // s.unit
    within = s.position - n * s.unit
    slot = view(s, "inputs")[n % s.slots]
    dry = view(s, "dry")
    place = s.position & (s.dry_frames - 1)           # a segment never wraps
    for c in range(s.channels):
        for i in range(frames):
            slot[c, within + i] = x[c, i]
            dry[c, place + i] = x[c, i]
    if within + frames == s.unit:
        targets, told = view(s, "targets"), view(s, "told")[n % s.slots]
        for k in range(s.params):
            told[k] = carray(samples(targets[k]), (1,))[0]
        due.publish(view(s, "exchange").ctypes.data, n + 1)


@kernel
def _read(s, y, frames):
    """Give what is heard now."""
    heard = s.position - s.delay
    offset = s.position % GRID
    dry, last, step = view(s, "dry"), view(s, "last"), view(s, "step")
    mask, extra = s.dry_frames - 1, view(s, "extra")
    n = max(heard, 0) // s.unit
    within = max(heard, 0) - n * s.unit
    result = view(s, "outputs")[n % s.slots]
    for c in range(s.channels):
        place = heard - extra[c]
        if s.mode == WET:
            for i in range(frames):
                y[c, i] = result[c, within + i]
        elif s.mode == OPENING:
            for i in range(frames):
                share = np.float32(offset + i + 1) * np.float32(1 / GRID)
                now = dry[c, (place + i) & mask]
                y[c, i] = now + (result[c, within + i] - now) * share
        elif s.mode == CLOSING:
            for i in range(frames):
                share = np.float32(GRID - 1 - offset - i) * np.float32(1 / GRID)
                y[c, i] = dry[c, (place + i) & mask] + step[c] * share
        else:
            for i in range(frames):
                y[c, i] = dry[c, (place + i) & mask]
        last[c] = y[c, frames - 1]


@kernel
def _clear(s):
    """Forget every sample heard, and what is still being made of them."""
    s.forgotten = s.position // s.unit
    s.usable = 0
    s.wet = 0
    s.mode = DRY
    slot = view(s, "inputs")[s.forgotten % s.slots]
    dry, last = view(s, "dry"), view(s, "last")
    for c in range(s.channels):
        last[c] = np.float32(0)
        for i in range(s.dry_frames):
            dry[c, i] = np.float32(0)
        for i in range(s.unit):
            slot[c, i] = np.float32(0)


@stage_entry(REMOTE)
def remote(state, x, out, frames):
    """Hand the input to the worker, and give what it made of an earlier one."""
    s = carray(state, (1,))[0]
    if frames == 0:
        _clear(s)
        return 0
    if s.position % GRID == 0:
        _start_segment(s)
    _write(s, carray(x, (s.channels, frames)), frames)
    _read(s, carray(out, (s.channels, frames)), frames)
    s.position += frames
    return 0
