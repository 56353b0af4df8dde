"""Alternating minimisation on the Gram matrix of the microphones and a clean mix, and its stage.

The stage adds each segment's products to a Gram matrix that forgets, and every `period` segments works on a copy of
it: one iteration a segment, so that no segment carries more than a few small products.
"""

import math

import numpy as np
from numba import carray, types

from rtsep_kernels.maths.linear import pseudo_inverse, solve, times
from rtsep_kernels.mix import UNMIX, advance, head_for, multiply
from rtsep_kernels.plane.jit import kernel, signed, stage_entry
from rtsep_kernels.plane.record import array, f4, f8, given, i8, number, record, scratch, view

SEGMENT = 64
"""Samples of the grid, between two steps of learning."""
ALTMIN = record(
    **UNMIX,
    adapt=given(f4, 1),                                         # target
    order=array(i8, "channels"),                                # the mics, then the mix
    segment=array(f8, SEGMENT, "channels", start=0),            # in that order
    gram=array(f8, "channels", "channels", start=0),            # what runs,
    frozen=array(f8, "channels", "channels", start=0),          # what is solved
    memory=number(f8),                                          # what is left of the Gram matrix after a segment
    period=number(), iterations=number(),                       # segments between two solutions; most iterations
    count=number(start=0), iteration=number(start=-1),          # of segments; -1: nothing is being solved
    mixing=array(f8, "channels", "channels", start=0),          # Λ, without the mix
    weights=array(f8, "channels", start=0),                     # b
    work=array(f8, 4, "channels", "channels", start=0),         # of it, T of the last iteration is needed again
    unmixing=scratch(f8, "channels", "channels"),               # out = M x
    cost=number(f8, start=0), low=number(f8), high=number(f8), tolerance=number(f8),
    max_condition=number(f8), learn=number(),
)
RIDGE = 1e-9
"""η as a share of the microphones' energy: about the published 1e-5 for ten seconds at an RMS of 0.1."""
QUIET = 1e-8
"""Mean power below which nothing is learnt: -80 dBFS."""
FAINT = 1e-4
"""A mix with less of the mean power of a microphone is taken for missing."""


@kernel
def start(mics, mixing, weights, sources):
    """Put Λ = I, S = X, b = 1; `sources` is T, S = T [X; m]."""
    for i in range(mics):
        weights[i] = 1.0
        for j in range(mics):
            mixing[i, j] = 1.0 if i == j else 0.0
        for j in range(mics + 1):
            sources[i, j] = 1.0 if i == j else 0.0


@kernel
def _moments(gram, mics, ridge, sources, products, powers):
    """Write T C, and S Sᵀ + ridge."""
    times(sources, gram, mics, mics + 1, mics + 1, products)
    for i in range(mics):
        for j in range(mics):
            total = ridge if i == j else 0.0
            for q in range(mics + 1):
                total += products[i, q] * sources[j, q]
            powers[i, j] = total


@kernel
def iterate(gram, mics, mixing, weights, learn, low, high, ridge, work):
    """Do one iteration of Algorithm 1 and return the cost J.

    Parameters
    ----------
    gram : float64[mics + 1, mics + 1]
        C = Y Yᵀ, Y the mics and then the mix.
    mics : int
    mixing : float64[mics, mics]
        Λ, moved.
    weights : float64[mics]
        b, moved if `learn`.
    learn : bool
    low, high : float
        Bounds of the gains beside the diagonal.
    ridge : float
        η.
    work : float64[4, mics + 1, mics + 1]
        work[0] is T of the last iteration; the rest is scratch.
    """
    sources, products, powers = work[0], work[1], work[2]
    _moments(gram, mics, ridge, sources, products, powers)
    solve(powers, products, mics, mics)   # Λᵀ; S Xᵀ is the first columns of T C
    for i in range(mics):
        for j in range(mics):
            mixing[i, j] = 1.0 if i == j else min(high, max(low, products[j, i]))
    for i in range(mics):
        for j in range(mics):
            total = weights[i] * weights[j]
            for q in range(mics):
                total += mixing[q, i] * mixing[q, j]
            powers[i, j] = total
            sources[i, j] = mixing[j, i]
        sources[i, mics] = weights[i]
    solve(powers, sources, mics, mics + 1)
    if learn:
        _moments(gram, mics, ridge, sources, products, powers)
        for i in range(mics):
            products[i, 0] = products[i, mics]
        solve(powers, products, mics, 1)
        for i in range(mics):
            weights[i] = products[i, 0]
    return _cost(gram, mics, mixing, weights, sources, work[1], work[3])


@kernel
def _cost(gram, mics, mixing, weights, sources, rest, product):
    """Return ‖X - ΛS‖² + ‖m - bᵀS‖² from the Gram matrix."""
    for i in range(mics + 1):
        for j in range(mics + 1):
            rest[i, j] = 1.0 if i == j else 0.0
            for q in range(mics):
                rest[i, j] -= (mixing[i, q] if i < mics else weights[q]) * sources[q, j]
    times(rest, gram, mics + 1, mics + 1, mics + 1, product)
    cost = 0.0
    for i in range(mics + 1):
        for j in range(mics + 1):
            cost += product[i, j] * rest[i, j]
    return cost


@kernel
def energy(gram, mics):
    """Return the sum of the microphones' energies."""
    total = 0.0
    for i in range(mics):
        total += gram[i, i]
    return total


@signed(types.int64(types.float64[:, ::1], types.float64[:, ::1], types.float64[::1], types.boolean, types.float64,
                    types.float64, types.float64, types.float64, types.int64, types.float64[:, :, ::1]))
def minimise(gram, mixing, weights, learn, low, high, ridge, tolerance, iterations, work):
    """Run Algorithm 1 until the cost moves by no more than `tolerance`, and return the number of iterations."""
    mics = len(weights)
    start(mics, mixing, weights, work[0])
    before = np.inf
    for n in range(iterations):
        cost = iterate(gram, mics, mixing, weights, learn, low, high, ridge, work)
        if abs(before - cost) <= tolerance:
            return n + 1
        before = cost
    return iterations


@kernel
def _remember(s, gram):
    """Add the last segment to the Gram matrix, which forgets a little."""
    k = s.channels
    segment = view(s, "segment")
    for i in range(k):
        for j in range(k):
            gram[i, j] *= s.memory
    for n in range(SEGMENT):
        for i in range(k):
            for j in range(k):
                gram[i, j] += segment[n, i] * segment[n, j]


@kernel
def _learn(s):
    """Do one segment's share of learning."""
    mics = s.channels - 1
    gram, frozen, mixing = view(s, "gram"), view(s, "frozen"), view(s, "mixing")
    weights, work = view(s, "weights"), view(s, "work")
    _remember(s, gram)
    s.count += 1
    if s.iteration < 0:
        loud = energy(gram, mics) / max(mics, 1)
        # What a sound of constant power adds up to by now.
        weight = SEGMENT * (1 - math.pow(s.memory, s.count)) / (1 - s.memory)
        if s.count % s.period == 0 and loud > QUIET * weight and gram[mics, mics] > FAINT * loud:
            frozen[:] = gram
            start(mics, mixing, weights, work[0])
            s.iteration, s.cost = 0, np.inf
        return
    total = energy(frozen, mics)
    cost = iterate(frozen, mics, mixing, weights, s.learn != 0, s.low, s.high, RIDGE * total, work)
    s.iteration += 1
    if abs(s.cost - cost) <= s.tolerance * total or s.iteration >= s.iterations:
        s.iteration = -1
        _adopt(s, mics, mixing, work)
    s.cost = cost


@kernel
def _adopt(s, mics, mixing, work):
    """Make the inverse of Λ the goal, unless Λ is badly conditioned."""
    k = s.channels
    if not pseudo_inverse(mixing, mics, s.max_condition, work[1], work[2], work[3]):
        return
    order, unmixing = view(s, "order"), view(s, "unmixing")
    for i in range(k):
        for j in range(k):
            inside = i < mics and j < mics
            unmixing[order[i], order[j]] = work[1, i, j] if inside else 1.0 if i == j else 0.0
    head_for(s, unmixing)


@stage_entry(ALTMIN)
def altmin(state, x, out, frames):
    """Learn a mixture by gains from a clean mix beside the microphones, and undo it."""
    s = carray(state, (1,))[0]
    k = s.channels
    segment = view(s, "segment")
    if frames == 0:
        segment[:] = 0.0
        return 0
    offset = s.position % SEGMENT
    if offset == 0:
        if s.position > 0 and view(s, "adapt")[0] > np.float32(0.5):
            _learn(s)
        advance(s)
    order = view(s, "order")
    block = carray(x, (k, frames))
    for c in range(k):
        for n in range(frames):
            segment[offset + n, c] = block[order[c], n]
    multiply(s, x, out, frames)
    return 0
