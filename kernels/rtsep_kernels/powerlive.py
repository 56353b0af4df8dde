"""Models of powers frame by frame: the live forms of KAMIR, MIRA and FastMIRA, and their causal ones offline.

In every frame the powers of the sources start from the microphones' and go some steps with the leaks as they are.
Leaks are learnt over seconds. KAMIR and MIRA renew them in every frame,

    L = A / B,    A ← μ A + L V P / M²,    B ← μ B + P / M,

each frame counting alike at first, and forgetting after `memory`. FastMIRA keeps a reservoir of frames chosen at
random instead, and goes through it step by step, a share in each frame: as in a fit to a passage, of constant size.
Microphone i is the close one of source i.
"""

import numpy as np
from numba import carray, types

from rtsep_kernels.masking import HEAD, settle, system_entry
from rtsep_kernels.plane.jit import kernel, signed
from rtsep_kernels.plane.record import array, f4, number, record, scratch, view
from rtsep_kernels.powers import MIRA, ROWS, WIDTH, gather, improve, mix, norm_columns, norm_rows, ratios, steep

POWERS = record(
    **HEAD,
    method=number(), blocks=number(), steps=number(), frame=number(start=0),
    logistic=number(), rows_to_1=number(), sparsity=number(f4), least_leak=number(f4),
    silence=number(f4), quiet=number(f4),           # powers: added to all; below it nothing is learnt
    memory=number(f4),                              # frames
    close=array(f4, "channels", "channels"),        # the unit matrix
    leak=array(f4, "blocks", "channels", "channels", WIDTH, start=0),
    above=array(f4, "blocks", "channels", "channels", WIDTH, start=0),
    below=array(f4, "blocks", "channels", "channels", WIDTH, start=0),
    work=scratch(f4, f"{ROWS} + 5 * channels", WIDTH),
    mask=array(f4, "channels", "row", start=0),     # of the frame in work: found in shares, used with the last one
    size=number(),                                  # frames in the reservoir; 0: there is none
    share=number(), filled=number(start=0), seen=number(start=0), slot=number(start=-1), seed=number(start=1),
    next=number(start=0),                           # the next frame of the reservoir to go over
    reservoir=array(f4, "blocks", "size", "channels", WIDTH, start=0),   # V
    fitted=array(f4, "blocks", "size", "channels", WIDTH, start=0),      # P
    scale=array(f4, "blocks", "channels", WIDTH, start=1),               # of P since it was stored
)

BEGIN_FRAMES = 50.0
"""Frames that the leaks to begin with count for, in how fast the first ones are forgotten."""

BEGIN_WEIGHT = np.float32(5)
"""Sum of P / M that they count for."""

READY = 8
"""A reservoir is learnt from when so many parts of it are full: a few frames would say anything."""

_LEAST = np.float32(1e-3)   # least power of a source beside `silence`
_ONE, _ZERO = np.float32(1), np.float32(0)
# Numerical Recipes' quick generator, modulo 2^32.
_FACTOR, _TERM, _MODULUS = 1664525, 1013904223, 2**32


@kernel
def _choose(s):
    """Decide where in the reservoir this frame goes; -1: nowhere. Silence goes nowhere.

    Every frame so far is kept with the same probability (Vitter's algorithm R), the last `memory` frames at most.
    """
    s.slot = -1
    if s.size == 0:
        return
    power = view(s, "power")
    loudest = 0.0
    for c in range(s.channels):
        total = 0.0
        for b in range(s.bins):
            total += power[c, b]
        loudest = max(loudest, total)
    if loudest < s.quiet * s.bins:
        return
    s.seen += 1
    if s.filled < s.size:
        s.slot = s.filled
        s.filled += 1
        return
    s.seed = (s.seed * _FACTOR + _TERM) % _MODULUS
    chosen = int(s.seed / _MODULUS * min(float(s.seen), max(float(s.memory), float(s.size))))
    if chosen < s.size:
        s.slot = chosen


@kernel
def _learn(s, v, p, leak, above, below, work):
    """Add a frame to A and B and renew the leaks; M must be in the scratch. Bins in silence are left out."""
    k = s.channels
    keep = np.float32(1.0 - max(1.0 / s.memory, 1.0 / (s.frame + BEGIN_FRAMES)))
    ratios(v, work)
    kept, taken = work[0], work[1]
    for b in range(WIDTH):
        taken[b] = _ZERO
    for i in range(k):
        for b in range(WIDTH):
            taken[b] = _ONE if v[i, b] > s.quiet else taken[b]
    for b in range(WIDTH):
        kept[b] = keep if taken[b] > 0 else _ONE
    for i in range(k):
        error, inverse = work[ROWS + k + i], work[ROWS + 2 * k + i]
        for j in range(k):
            gain, power, up, down = leak[i, j], p[j], above[i, j], below[i, j]
            for b in range(WIDTH):
                seen = power[b] * taken[b]
                up[b] = up[b] * kept[b] + gain[b] * error[b] * seen
                down[b] = down[b] * kept[b] + inverse[b] * seen
                gain[b] = up[b] / down[b]
    if s.method == MIRA:
        norm_columns(leak, work[ROWS : ROWS + k])
    else:
        norm_rows(leak, s.least_leak, s.rows_to_1 != 0)


@kernel
def _refit(s, block, v, close, leak, above, below, work):
    """Put the frame into the reservoir, go over a share of it, and renew the leaks after the last one."""
    k = s.channels
    stored, fitted, scale = view(s, "reservoir")[block], view(s, "fitted")[block], view(s, "scale")[block]
    if s.slot >= 0:
        for i in range(k):
            for b in range(WIDTH):
                stored[s.slot, i, b] = v[i, b]
                fitted[s.slot, i, b] = v[i, b]
    if s.filled * READY < s.size:
        return
    place = s.next
    for _ in range(s.share):
        p = fitted[place]
        for j in range(k):
            for b in range(WIDTH):
                p[j, b] *= scale[j, b]
        improve(s.method, stored[place], close, leak, p, s.sparsity, s.silence * _LEAST, work)
        mix(leak, p, work)
        gather(stored[place], p, above, below, work)
        place += 1
        if place >= s.filled:
            place = 0
            for i in range(k):
                for j in range(k):
                    for b in range(WIDTH):
                        leak[i, j, b] *= above[i, j, b] / below[i, j, b]
                        above[i, j, b] = _ZERO
                        below[i, j, b] = _ZERO
            norm_columns(leak, scale)


@kernel
def _decide(s, block):
    """Write the masks of all mics in one block of bins."""
    k = s.channels
    first = block * WIDTH
    size = min(WIDTH, s.bins - first)
    leak, above, below = view(s, "leak")[block], view(s, "above")[block], view(s, "below")[block]
    work, close, power, mask = view(s, "work"), view(s, "close"), view(s, "power"), view(s, "mask")
    v, p = work[ROWS + 3 * k : ROWS + 4 * k], work[ROWS + 4 * k :]
    for i in range(k):
        for b in range(WIDTH):
            v[i, b] = s.silence
        for b in range(size):
            v[i, b] += power[i, first + b]
    if s.size > 0:
        _refit(s, block, v, close, leak, above, below, work)
    for i in range(k):
        for b in range(WIDTH):
            p[i, b] = v[i, b]
    for _ in range(s.steps):
        improve(s.method, v, close, leak, p, s.sparsity, s.silence * _LEAST, work)
    mix(leak, p, work)
    for i in range(k):
        for b in range(size):
            share = leak[i, i, b] * p[i, b] / work[ROWS + i, b]
            mask[i, first + b] = steep(share) if s.logistic != 0 else share
    if s.size == 0 and s.logistic == 0:
        _learn(s, v, p, leak, above, below, work)


@kernel
def _hear(s, first, last):
    """Decide a frame's masks in some of the blocks of bins; first and last of all, do what is done once a frame."""
    if first == last:
        return
    if first == 0:
        _choose(s)
    for block in range(first, last):
        _decide(s, block)
    if last < s.blocks:
        return
    s.frame += 1
    if s.size > 0 and s.filled * READY >= s.size:
        # As `_refit` has gone in every block.
        for _ in range(s.share):
            s.next += 1
            if s.next >= s.filled:
                s.next = 0


@system_entry(POWERS)
def powers(state, mic):
    """Do one mic's share of the bins; with the last one's, write the gains of all mics."""
    s = carray(state, (1,))[0]
    k = s.channels
    _hear(s, s.blocks * mic // k, s.blocks * (mic + 1) // k)
    if mic == k - 1:
        mask = view(s, "mask")
        for c in range(k):
            settle(s, c, mask[c])
    return 0


@signed(types.void(types.Array(POWERS.type, 1, "C"), types.float32[:, :, ::1], types.float32[:, :, ::1]))
def masks(state, power, result):
    """Write the masks float32[mics, frames, bins] of a passage, frame by frame as in the stream."""
    s = state[0]
    now, mask = view(s, "power"), view(s, "mask")
    for t in range(power.shape[1]):
        for i in range(s.channels):
            now[i, : s.bins] = power[i, t]
        _hear(s, 0, s.blocks)
        for i in range(s.channels):
            result[i, t] = mask[i, : s.bins]
