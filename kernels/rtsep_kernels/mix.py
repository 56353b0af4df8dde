"""Kernels of the stages that need no spectrum: input trim, and the matrix between microphones."""

import numpy as np
from numba import carray

from rtsep_kernels.plane import ramp
from rtsep_kernels.plane.jit import kernel, stage_entry
from rtsep_kernels.plane.memory import fma, pointer, samples
from rtsep_kernels.plane.ring import SLOT_HEADER, slot_take

INPUT = np.dtype([
    ("channels", np.int64), ("position", np.int64), ("ramp_segments", np.int64),
    ("gain_db", np.int64), ("invert", np.int64), ("delay_ms", np.int64),   # targets, float32[channels]
    ("frames_per_ms", np.float64),
    ("gains", np.int64),                                  # float32[channels, RAMP]
    ("ring", np.int64), ("ring_frames", np.int64),        # float32[channels, ring_frames], a power of two
    ("longest", np.int64),                                # frames: no delay is longer
    ("delay", np.int64), ("was_delay", np.int64), ("faded", np.int64),   # int64[channels]
    ("fade_frames", np.int64),
], align=True)


@kernel
def _new_targets(s, gains, delay, was_delay, faded):
    channels = s.channels
    gain_db = carray(samples(s.gain_db), (channels,))
    invert = carray(samples(s.invert), (channels,))
    delay_ms = carray(samples(s.delay_ms), (channels,))
    for c in range(channels):
        gain = np.float32(10.0 ** (gain_db[c] / 20.0))
        if invert[c] > np.float32(0.5):
            gain = -gain
        ramp.advance(gains[c], gain, s.ramp_segments)
        wanted = np.int64(delay_ms[c] * s.frames_per_ms + 0.5)
        wanted = min(max(wanted, 0), s.longest)
        if faded[c] >= s.fade_frames and wanted != delay[c]:
            was_delay[c] = delay[c]
            delay[c] = wanted
            faded[c] = 0


@stage_entry(INPUT)
def input_trim(state, x, out, frames):
    """Gain, polarity and alignment delay of each microphone."""
    s = carray(state, (1,))[0]
    channels = s.channels
    ring = carray(samples(s.ring), (channels, s.ring_frames))
    if frames == 0:
        for c in range(channels):
            for i in range(s.ring_frames):
                ring[c, i] = np.float32(0)
        return 0
    gains = carray(samples(s.gains), (channels, ramp.RAMP))
    delay = carray(pointer(s.delay), (channels,), np.int64)
    was_delay = carray(pointer(s.was_delay), (channels,), np.int64)
    faded = carray(pointer(s.faded), (channels,), np.int64)
    given = carray(x, (channels, frames))
    y = carray(out, (channels, frames))
    offset = s.position % 64
    mask = s.ring_frames - 1
    if offset == 0:
        _new_targets(s, gains, delay, was_delay, faded)
    for c in range(channels):
        late = delay[c]
        for i in range(frames):
            ring[c, (s.position + i) & mask] = given[c, i] * ramp.value(gains[c], offset + i)
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


UNMIX = [
    ("channels", np.int64), ("position", np.int64),
    ("now", np.int64), ("next", np.int64), ("goal", np.int64), ("step", np.int64),  # float32[channels**2]
    ("left", np.int64), ("ramp_segments", np.int64),
]
"""First fields of the record of every stage that multiplies by a matrix; the rest is its own."""
# In another order: numba would take a record that begins like all others for their base, and warn of it.
FOLLOW = np.dtype([
    ("position", np.int64), ("channels", np.int64), ("now", np.int64), ("next", np.int64),
], align=True)
MATRIX = np.dtype([
    *UNMIX,
    ("slot", np.int64), ("estimates", np.int64),          # slot header; float32[3, channels * channels]
], align=True)


@kernel
def advance(s):
    """Move the matrix one segment on towards its goal."""
    size = s.channels * s.channels
    now = carray(samples(s.now), (size,))
    nxt = carray(samples(s.next), (size,))
    goal = carray(samples(s.goal), (size,))
    step = carray(samples(s.step), (size,))
    for e in range(size):
        now[e] = nxt[e]
    if s.left > 0:
        s.left -= 1
        for e in range(size):
            nxt[e] = goal[e] if s.left == 0 else now[e] + step[e]


@kernel
def head_for(s, target):
    """Move to a new matrix, [channels, channels], from the next `advance` on."""
    k = s.channels
    nxt = carray(samples(s.next), (k * k,))
    goal = carray(samples(s.goal), (k * k,))
    step = carray(samples(s.step), (k * k,))
    s.left = s.ramp_segments
    for i in range(k):
        for j in range(k):
            e = i * k + j
            goal[e] = np.float32(target[i, j])
            step[e] = (goal[e] - nxt[e]) / np.float32(s.ramp_segments)


@kernel
def multiply(s, x, out, frames):
    """Write out = M x, the matrix moving along its ramp."""
    k = s.channels
    now = carray(samples(s.now), (k * k,))
    nxt = carray(samples(s.next), (k * k,))
    offset = s.position % 64
    given = carray(x, (k, frames))
    y = carray(out, (k, frames))
    moving = False
    for e in range(k * k):
        if now[e] != nxt[e]:
            moving = True
    for i in range(k):
        for n in range(frames):
            y[i, n] = np.float32(0)
        for j in range(k):
            a = now[i * k + j]
            if moving:
                change = nxt[i * k + j] - a
                for n in range(frames):
                    y[i, n] = fma(given[j, n], a + change * (np.float32(offset + n + 1) * ramp.SHARE), y[i, n])
            elif a != np.float32(0):
                for n in range(frames):
                    y[i, n] = fma(given[j, n], a, y[i, n])
    s.position += frames


@stage_entry(MATRIX)
def matrix(state, x, out, frames):
    """Multiply by a matrix that ramps to every new estimate: out = M x."""
    s = carray(state, (1,))[0]
    if frames == 0:
        return 0
    k = s.channels
    if s.position % 64 == 0:
        row = slot_take(carray(pointer(s.slot), (SLOT_HEADER,), np.int64))
        if row >= 0:
            head_for(s, carray(samples(s.estimates), (3, k, k))[row])
        advance(s)
    multiply(s, x, out, frames)
    return 0


@stage_entry(FOLLOW)
def follow(state, x, out, frames):
    """Multiply by the matrix of another stage, which has just worked on the same samples."""
    if frames != 0:
        multiply(carray(state, (1,))[0], x, out, frames)
    return 0
