"""The second half of a round: new paths are tried on fresh sound, and come in. One kernel for each phase."""

import numpy as np

from rtsep_kernels.canceller.record import BLOCK, GROUPS
from rtsep_kernels.canceller.refine import phases
from rtsep_kernels.canceller.refine.adopt import (
    believe,
    blend,
    compare_paths,
    forget_older_half,
    is_refined,
    judge,
    set_mask,
    try_chunk,
)
from rtsep_kernels.canceller.refine.phases import cost_of_products, enter, find_other, has_paths
from rtsep_kernels.canceller.refine.record import (
    BANDS,
    CHUNK,
    COPY,
    FFT,
    FFT_FRAME,
    FFT_PARTS,
    FFT_WIDE,
    FRAMES_PER_CHUNK,
    PASS_FRAME,
    RING,
)
from rtsep_kernels.canceller.refine.solve import transform_filter
from rtsep_kernels.canceller.refine.sound import misses, transform_chunk
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.record import inner, view

BLENDS = 4           # a new path comes in so many parts, each when the last has been handed over
# The bin whose mask tells whether a mic takes the lowest band, in which bleed is loudest.
_LOWEST = 0


@kernel
def _find_fresh(s):
    """Return how many fresh chunks in a row there are to compare on, from `last` on.

    Those in which somebody is missing come out worse with right paths than with wrong ones, and are passed over.
    """
    count = 0
    while count < s.fresh_most and s.last + count < s.have // CHUNK:
        if not misses(s, s.last + count):
            count += 1
        elif count >= s.fresh_least:
            break
        else:
            s.last += count + 1
            count = 0
    return count


@kernel
def hear_fresh(s):
    """FRESH: transform a chunk of what was heard since; it takes the place of the round's, which are done with."""
    if s.index == 0:
        s.step = _find_fresh(s)
        if s.step < s.fresh_least:
            return phases.WAIT
    transform_chunk(s, s.last + s.index, s.index)
    s.index += 1
    if s.index >= s.step:
        s.mic = 0
        enter(s, phases.TRY_FILTER)
    return s.channels * FFT


@kernel
def transform_new(s):
    """TRY_FILTER: transform one new path; after the last mic's, hand over."""
    while s.mic < s.channels and not has_paths(s):
        s.mic += 1
    if s.mic >= s.channels:
        s.step = 0
        return enter(s, phases.CHANGE)
    if not find_other(s):
        return enter(s, phases.TRY)
    transform_filter(s, view(s, "new")[s.mic, s.other], s.other)
    s.other += 1
    return FFT


@kernel
def try_new(s):
    """TRY: clean a fresh chunk of the mic with the new paths."""
    try_chunk(s, s.index)
    phases.next_chunk(s, s.step, phases.JUDGE)
    return FFT + cost_of_products(s)


@kernel
def judge_mic(s):
    """JUDGE: choose old or new in each band."""
    better = view(s, "better")
    won = judge(s, s.step, better)
    set_mask(s, better)
    if 2 * won < BANDS:
        forget_older_half(s)
        s.dropped += 1
    else:
        s.adopted += 1
    s.mic += 1
    enter(s, phases.TRY_FILTER)
    return 2 * s.step * FRAMES_PER_CHUNK * (FFT_FRAME + PASS_FRAME)


@kernel
def compare_pair(s):
    """CHANGE: write how far a pair's path is to go."""
    i, j = phases.pair_of(s)
    refined = is_refined(s, i, j)
    if refined:
        compare_paths(s, i, j)
    s.other += 1
    if s.other >= s.channels * (s.channels - 1):
        s.due = s.have
        enter(s, phases.BLEND)
    return 2 * (FFT_WIDE + FFT_PARTS) + FFT if refined else 1


@kernel
def blend_mic(s):
    """BLEND: move a mic's paths one part of the way, when the part before is in use."""
    if s.have < s.due:
        return phases.WAIT
    blend(s, s.index, np.float32(1 / BLENDS))
    s.index += 1
    if s.index >= s.channels:
        s.index = 0
        s.step += 1
        s.due = s.have + GROUPS * BLOCK // s.factor
        if s.step >= BLENDS:
            _end_blend(s)
    return s.channels * s.partitions * COPY


@kernel
def _end_blend(s):
    """All parts are in: say how sure the new paths are, or, after a mend, be done."""
    if s.mending:      # nothing was learnt: what has moved was scaled, or doubted
        s.mending = 0
        enter(s, phases.IDLE)
        return
    for mic in range(s.channels):
        believe(s, mic)
    enter(s, phases.COMMIT)


@kernel
def commit_mic(s):
    """COMMIT: go on with the mic as the new paths would have cleaned it; after the last, the round is over."""
    y = view(s, "y")[s.index]
    improved = view(s, "improved")[s.index]
    if view(s, "mask")[s.index, _LOWEST] > np.float32(0.5):
        for n in range(s.chunks * CHUNK):
            y[(s.first * CHUNK + n) & (RING * CHUNK - 1)] = improved[n]
    s.index += 1
    if s.index >= s.channels:
        s.rounds += 1
        enter(s, phases.IDLE)
    return s.chunks * COPY


@kernel
def mend(s):
    """Blend in what `watch` has found, at once: the round is given up, as what it has learnt is of before."""
    taken, held = view(s, "taken"), view(inner(s, "paths"), "held")
    for i in range(s.channels):
        for j in range(s.channels):
            taken[i, j] = held[i, j]
    s.mending = 1
    s.first = s.have // CHUNK
    s.step = 0
    s.due = s.have
    enter(s, phases.BLEND)
