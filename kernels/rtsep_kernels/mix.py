"""Kernels of the stages that need no spectrum: input trim, and the matrix between microphones."""

import numpy as np
from numba import carray, types

from rtsep_kernels.plane import ramp
from rtsep_kernels.plane.jit import kernel, signed, stage_entry
from rtsep_kernels.plane.memory import fma
from rtsep_kernels.plane.record import array, f4, f8, flat, given, i8, number, record, view
from rtsep_kernels.plane.ring import SLOT_HEADER, slot_take

INPUT = record(
    channels=number(), position=number(start=0), ramp_segments=number(),
    gain_db=given(f4, "channels"), invert=given(f4, "channels"), delay_ms=given(f4, "channels"),   # targets
    frames_per_ms=number(f8),
    gains=array(f4, "channels", ramp.RAMP, start=0),
    ring=array(f4, "channels", "ring_frames", start=0), ring_frames=number(),     # a power of two
    longest=number(),                                                             # frames: no delay is longer
    delay=array(i8, "channels", start=0), was_delay=array(i8, "channels", start=0),
    faded=array(i8, "channels", start=0), fade_frames=number(),
)


@kernel
def _new_targets(s, at_once):
    """Move every mic's gain and delay towards what the board says, or put them there."""
    gain_db, invert, delay_ms = view(s, "gain_db"), view(s, "invert"), view(s, "delay_ms")
    gains, delay, was_delay, faded = view(s, "gains"), view(s, "delay"), view(s, "was_delay"), view(s, "faded")
    for c in range(s.channels):
        gain = np.float32(10.0 ** (gain_db[c] / 20.0))
        if invert[c] > np.float32(0.5):
            gain = -gain
        wanted = np.int64(delay_ms[c] * s.frames_per_ms + 0.5)
        wanted = min(max(wanted, 0), s.longest)
        if at_once:
            ramp.settle(gains[c], gain)
            delay[c] = was_delay[c] = wanted
            faded[c] = s.fade_frames
            continue
        ramp.advance(gains[c], gain, s.ramp_segments)
        if faded[c] >= s.fade_frames and wanted != delay[c]:
            was_delay[c] = delay[c]
            delay[c] = wanted
            faded[c] = 0


@signed(types.void(types.Array(INPUT.type, 1, "C")))
def settle_input(state):
    """Stand where the board says: only before the first sample."""
    _new_targets(state[0], True)


@stage_entry(INPUT)
def input_trim(state, x, out, frames):
    """Gain, polarity and alignment delay of each microphone."""
    s = carray(state, (1,))[0]
    channels = s.channels
    ring = view(s, "ring")
    if frames == 0:
        ring[:] = np.float32(0)
        return 0
    offset = s.position % 64
    mask = s.ring_frames - 1
    if offset == 0:
        _new_targets(s, False)
    gains, delay, was_delay, faded = view(s, "gains"), view(s, "delay"), view(s, "was_delay"), view(s, "faded")
    block = carray(x, (channels, frames))
    y = carray(out, (channels, frames))
    for c in range(channels):
        late = delay[c]
        for i in range(frames):
            ring[c, (s.position + i) & mask] = block[c, i] * ramp.value(gains[c], offset + i)
        if faded[c] < s.fade_frames:
            for i in range(frames):
                old = ring[c, (s.position + i - was_delay[c]) & mask]
                new = ring[c, (s.position + i - late) & mask]
                w = np.float32(faded[c] + i + 1) / np.float32(s.fade_frames)
                y[c, i] = old + (new - old) * min(w, np.float32(1))
            faded[c] += frames
        else:
            for i in range(frames):
                y[c, i] = ring[c, (s.position + i - late) & mask]
    s.position += frames
    return 0


UNMIX = {
    "channels": number(), "position": number(start=0),
    "now": array(f4, "channels", "channels", start=0), "next": array(f4, "channels", "channels", start=0),
    "goal": array(f4, "channels", "channels", start=0), "step": array(f4, "channels", "channels", start=0),
    "left": number(start=0), "ramp_segments": number(),
}
"""First fields of the record of every stage that multiplies by a matrix; the rest is its own."""
# In another order: numba would take a record that begins like all others for their base, and warn of it.
FOLLOW = record(
    position=number(start=0), channels=number(),
    now=given(f4, "channels", "channels"), next=given(f4, "channels", "channels"),
)
MATRIX = record(
    **UNMIX,
    slot=array(i8, SLOT_HEADER, start=0), estimates=array(f4, 3, "channels", "channels", start=0),
)


@kernel
def advance(s):
    """Move the matrix one segment on towards its goal."""
    now, nxt, goal, step = flat(s, "now"), flat(s, "next"), flat(s, "goal"), flat(s, "step")
    size = len(now)
    for e in range(size):
        now[e] = nxt[e]
    if s.left > 0:
        s.left -= 1
        for e in range(size):
            nxt[e] = goal[e] if s.left == 0 else now[e] + step[e]


@kernel
def head_for(s, target):
    """Move to a new matrix, [channels, channels], from the next `advance` on."""
    nxt, goal, step = view(s, "next"), view(s, "goal"), view(s, "step")
    s.left = s.ramp_segments
    for i in range(s.channels):
        for j in range(s.channels):
            goal[i, j] = np.float32(target[i, j])
            step[i, j] = (goal[i, j] - nxt[i, j]) / np.float32(s.ramp_segments)


@kernel
def multiply(s, x, out, frames):
    """Write out = M x, the matrix moving along its ramp."""
    k = s.channels
    now, nxt = view(s, "now"), view(s, "next")
    offset = s.position % 64
    block = carray(x, (k, frames))
    y = carray(out, (k, frames))
    moving = False
    for i in range(k):
        for j in range(k):
            if now[i, j] != nxt[i, j]:
                moving = True
    for i in range(k):
        for n in range(frames):
            y[i, n] = np.float32(0)
        for j in range(k):
            a = now[i, j]
            if moving:
                change = nxt[i, j] - a
                for n in range(frames):
                    y[i, n] = fma(block[j, n], a + change * (np.float32(offset + n + 1) * ramp.SHARE), y[i, n])
            elif a != np.float32(0):
                for n in range(frames):
                    y[i, n] = fma(block[j, n], a, y[i, n])
    s.position += frames


@stage_entry(MATRIX)
def matrix(state, x, out, frames):
    """Multiply by a matrix that ramps to every new estimate: out = M x."""
    s = carray(state, (1,))[0]
    if frames == 0:
        return 0
    if s.position % 64 == 0:
        row = slot_take(view(s, "slot"))
        if row >= 0:
            head_for(s, view(s, "estimates")[row])
        advance(s)
    multiply(s, x, out, frames)
    return 0


@stage_entry(FOLLOW)
def follow(state, x, out, frames):
    """Multiply by the matrix of another stage, which has just worked on the same samples."""
    if frames != 0:
        multiply(carray(state, (1,))[0], x, out, frames)
    return 0
