"""FastICA in the stream: thinned samples of a window are kept, and worked on in equal shares during the next one.

A window's work is a pass over the samples for their covariance, then one pass for each step of the fixed point:

    window n kept │ covariance … │ whiten │ E{g(u) x}, E{g'(u)} … │ turn │ … │ order, scale → goal │ window n + 1 …
"""

import math

import numpy as np
from numba import carray

from rtsep_kernels.maths.linear import assign, decorrelate, eigen, pseudo_inverse, times
from rtsep_kernels.mix import UNMIX, advance, head_for, multiply
from rtsep_kernels.plane.jit import kernel, stage_entry
from rtsep_kernels.plane.record import array, f4, f8, given, i8, number, record, scratch, view

IDLE, MOMENTS, WHITEN = -3, -2, -1
FASTICA = record(
    **UNMIX,
    adapt=given(f4, 1),                                             # target
    window=number(), thin=number(),                                 # samples; every `thin`-th is kept
    kept=number(), store=array(f4, 2, "kept", "channels", start=0), # how many
    half=number(start=0),                                           # of the store: being filled; the other is worked on
    chunk=number(), done=number(start=0),                           # samples a segment; of the pass
    steps=number(), step_now=number(start=IDLE),                    # most steps a window; IDLE, MOMENTS, WHITEN, 0, 1 …
    mean=array(f8, "channels", start=0), slope=array(f8, "channels", start=0),   # slope is E{g'(u)}
    whitening=array(f8, "channels", "channels", start=0),           # V
    colouring=array(f8, "channels", "channels", start=0),           # V⁻¹
    turn=array(f8, "channels", "channels", start=0),                # W
    unmixing=array(f8, "channels", "channels", start=0),            # u = unmixing (x - mean)
    sums=array(f8, "channels", "channels", start=0),                # E{x xᵀ} or E{g(u) xᵀ}
    own=array(f8, "channels", "channels", start=0),                 # out = own x
    work=scratch(f8, 4, "channels", "channels"),
    path=scratch(f8, 4, "channels + 1"), matched=scratch(i8, 3, "channels + 1"),
    max_condition=number(f8),
)
QUIET = 1e-8
"""A window with a microphone below this power teaches nothing: -80 dBFS."""
ALIKE = 1e-6
"""Nor one with microphones so alike: the least eigenvalue of their correlations."""
STILL = 1e-5
"""The fixed point is reached when no row turns by more."""
GAUSSIAN = 0.01
"""|E{u g(u)} - E{g'(u)}| is 0 for Gaussian u, which no independence tells apart; two such sources are one too many."""


@kernel
def moments(block, mean, sums):
    """Add samples, float32[count, channels], to sums of values and of products."""
    k = block.shape[1]
    for n in range(block.shape[0]):
        for i in range(k):
            mean[i] += block[n, i]
            for j in range(k):
                sums[i, j] += np.float64(block[n, i]) * block[n, j]


@kernel
def whiten(count, mean, sums, whitening, colouring, work):
    """Turn sums into means, V = D^-1/2 Eᵀ and its inverse; False if a microphone is silent or two are alike.

    Each microphone is first scaled to a power of one, so that a quiet one counts as much.
    """
    k = len(mean)
    for i in range(k):
        mean[i] /= count
    for i in range(k):
        for j in range(k):
            sums[i, j] = sums[i, j] / count - mean[i] * mean[j]
    for i in range(k):
        if not sums[i, i] > QUIET:
            return False
    correlation, vectors = work[0], work[1]
    for i in range(k):
        for j in range(k):
            correlation[i, j] = sums[i, j] / math.sqrt(sums[i, i] * sums[j, j])
    eigen(correlation, vectors, k)
    for i in range(k):
        if not correlation[i, i] > ALIKE:
            return False
    for i in range(k):
        root = math.sqrt(correlation[i, i])
        for j in range(k):
            scale = math.sqrt(sums[j, j])
            whitening[i, j] = vectors[j, i] / (root * scale)
            colouring[j, i] = vectors[j, i] * root * scale
    return True


@kernel
def slopes(block, mean, unmixing, u, sums, slope):
    """Add E{g(u) (x - mean)ᵀ} and E{g'(u)} of samples, float32[count, channels], with g = tanh; u is scratch."""
    k = block.shape[1]
    for n in range(block.shape[0]):
        for i in range(k):
            total = 0.0
            for j in range(k):
                total += unmixing[i, j] * (block[n, j] - mean[j])
            u[i] = math.tanh(total)
        for i in range(k):
            slope[i] += 1.0 - u[i] * u[i]
            for j in range(k):
                sums[i, j] += u[i] * (block[n, j] - mean[j])


@kernel
def turn_once(count, sums, slope, whitening, turn, work):
    """Move W by one step of the fixed point; return how far a row turned at most, and how many are Gaussian."""
    k = len(slope)
    new, old = work[0], work[3]
    for i in range(k):
        for j in range(k):
            total = 0.0
            for q in range(k):
                total += sums[i, q] * whitening[j, q]
            new[i, j] = total / count - slope[i] / count * turn[i, j]
            old[i, j] = turn[i, j]
    gaussian = 0
    for i in range(k):
        clear = 0.0
        for j in range(k):
            clear += new[i, j] * old[i, j]
        if not abs(clear) > GAUSSIAN:
            gaussian += 1
    for i in range(k):
        for j in range(k):
            turn[i, j] = new[i, j]
    decorrelate(turn, k, work[0], work[1], work[2])
    moved = 0.0
    for i in range(k):
        inner = 0.0
        for j in range(k):
            inner += turn[i, j] * old[i, j]
        moved = max(moved, abs(abs(inner) - 1.0))
    return moved, gaussian


@kernel
def own_mixing(colouring, turn, mixing, work, column, path, matched):
    """Write Λ: the columns of V⁻¹ Wᵀ in the order of the mics, each divided by its diagonal; False if no mic leads.

    `work` is float64[>= 2, channels, channels], `path` float64[4, channels + 1], `matched` int64[2, channels + 1].
    """
    k = len(column)
    a, cost = work[0], work[1]
    for i in range(k):
        for j in range(k):
            a[i, j] = 0.0
            for q in range(k):
                a[i, j] += colouring[i, q] * turn[j, q]
    for j in range(k):
        total = 0.0
        for i in range(k):
            total += abs(a[i, j])
        for i in range(k):
            cost[i, j] = -math.log(abs(a[i, j]) / total + 1e-12)
    assign(cost, k, column, path[:2], path[2:], matched)
    for j in range(k):
        for i in range(k):
            mixing[i, j] = a[i, column[j]] / a[j, column[j]]
            if i != j and not abs(mixing[i, j]) < 1.0:
                return False
    return True


@kernel
def _keep(s, block, frames):
    """Store every `thin`-th sample of the window."""
    store = view(s, "store")[s.half]
    first = s.position % s.window
    n = (-first) % s.thin
    while n < frames:
        place = (first + n) // s.thin
        if place < s.kept:
            for c in range(s.channels):
                store[place, c] = block[c, n]
        n += s.thin


@kernel
def _begin(s, step, mean, sums, slope):
    """Begin with a pass over the samples."""
    s.step_now, s.done = step, 0
    sums[:] = 0.0
    slope[:] = 0.0
    if step == MOMENTS:
        mean[:] = 0.0


@kernel
def _work(s):
    """Do one segment's share of the last window."""
    k = s.channels
    mean, slope, sums, turn = view(s, "mean"), view(s, "slope"), view(s, "sums"), view(s, "turn")
    whitening, colouring, unmixing = view(s, "whitening"), view(s, "colouring"), view(s, "unmixing")
    work = view(s, "work")
    if s.position % s.window == 0:
        s.half = 1 - s.half
        _begin(s, MOMENTS, mean, sums, slope)
        return
    if s.step_now == IDLE:
        return
    if s.step_now == WHITEN:
        if not whiten(s.kept, mean, sums, whitening, colouring, work):
            s.step_now = IDLE
            return
        times(view(s, "own"), colouring, k, k, k, turn)   # from where the last window ended
        for i in range(k):
            length = 0.0
            for j in range(k):
                length += turn[i, j] * turn[i, j]
            for j in range(k):
                turn[i, j] /= math.sqrt(length)
        decorrelate(turn, k, work[0], work[1], work[2])
        times(turn, whitening, k, k, k, unmixing)
        _begin(s, 0, mean, sums, slope)
        return
    last = min(s.done + s.chunk, s.kept)
    block = view(s, "store")[1 - s.half, s.done : last]
    if s.step_now == MOMENTS:
        moments(block, mean, sums)
    else:
        slopes(block, mean, unmixing, view(s, "path")[0], sums, slope)
    s.done = last
    if last < s.kept:
        return
    if s.step_now == MOMENTS:
        s.step_now = WHITEN
        return
    moved, gaussian = turn_once(s.kept, sums, slope, whitening, turn, work)
    times(turn, whitening, k, k, k, unmixing)
    if moved > STILL and s.step_now + 1 < s.steps:
        _begin(s, s.step_now + 1, mean, sums, slope)
        return
    s.step_now = IDLE
    if gaussian <= 1:
        _adopt(s, colouring, turn, work)


@kernel
def _adopt(s, colouring, turn, work):
    """Make the inverse of Λ the goal, if it is one that close microphones can have."""
    k = s.channels
    path, matched = view(s, "path"), view(s, "matched")
    if not own_mixing(colouring, turn, work[2], work, matched[2, :k], path, matched[:2]):
        return
    if not pseudo_inverse(work[2], k, s.max_condition, work[3], work[0], work[1]):
        return
    own = view(s, "own")
    own[:] = work[3]
    head_for(s, own)


@stage_entry(FASTICA)
def fastica(state, x, out, frames):
    """Learn a mixture by gains from the independence of its sources, and undo it."""
    s = carray(state, (1,))[0]
    if frames == 0:
        return 0
    adapt = view(s, "adapt")[0] > np.float32(0.5)
    if s.position % 64 == 0:
        if s.position > 0 and adapt:
            _work(s)
        advance(s)
    if adapt:
        _keep(s, carray(x, (s.channels, frames)), frames)
    multiply(s, x, out, frames)
    return 0
