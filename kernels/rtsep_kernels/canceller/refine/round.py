"""Refine the canceller's paths: least squares over the last ten seconds, again and again, a little in every job.

The Kalman filter of `adapt` learns in one pass and is right within seconds; going over the same ten seconds many
times, with weights that get better as the mics get cleaner, gains another 3 to 5 dB. A round is cut into small
pieces of known cost; a job does as many as its budget allows, so that the work is even, and lands at the same
samples live and offline. See `refine_solve` for the mathematics, `refine_adopt` for what happens to the result.
"""

import numpy as np
from numba import carray

from rtsep_kernels.canceller.apply import BLOCK, GROUPS, HISTORY
from rtsep_kernels.canceller.refine.adopt import (
    believe,
    blend,
    compare_paths,
    forget_older_half,
    is_refined,
    judge,
    lower,
    set_mask,
    try_chunk,
)
from rtsep_kernels.canceller.refine.record import (
    BAND_EDGES,
    BANDS,
    BLENDS,
    CHUNK,
    FRAMES_PER_CHUNK,
    FRESH,
    LEAST,
    MEMORY,
    RING,
    ROW,
    STEPS,
    TAPS,
)
from rtsep_kernels.canceller.refine.solve import (
    FFT,
    FFT_FRAME,
    FRAMES_AT_ONCE,
    PRODUCT,
    back_project_chunk,
    begin_descent,
    begin_error_chunk,
    descend,
    expect,
    first_direction,
    gather_taps,
    image_chunk,
    keep_error,
    next_direction,
    precondition,
    prepare_preconditioner,
    take_powers,
    transform_chunk,
    transform_filters,
    weigh,
    weigh_frames,
    weigh_neighbour,
)
from rtsep_kernels.canceller.refine.watch import begin, is_due, watch
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import pointer, samples

# Phases of a round, in order; those from _WEIGH to _IMAGE for each mic.
(_IDLE, _LOWER, _SPECTRA, _POWERS, _WEIGH, _PREPARE, _FILTERS, _ERROR, _WEIGHT, _BACK, _GATHER, _SOLVE, _DIRECTION,
 _IMAGE, _FRESH, _TRY_FILTERS, _TRY, _JUDGE, _CHANGE, _BLEND, _COMMIT) = range(21)
_WIDE = 2500      # thousands of operations of a transform of 32768 points
_PARTS = 32 * 55  # of those of all partitions
_SIMPLE = 120      # of one pass over a path, or a chunk


@kernel
def forget(s):
    """Drop the round and everything heard so far."""
    s.phase = _IDLE
    s.base = s.have
    begin(s)
    since = carray(pointer(s.since), (s.channels,), np.int64)
    for i in range(s.channels):
        since[i] = s.have


@kernel
def _low_pass(source, first, factor, taps, target, place, count):
    """Decimate `count` samples; `source` is a ring of HISTORY blocks."""
    length = taps.shape[0]
    for n in range(count):
        newest = first + factor * (n + 1) - 1
        total = np.float32(0)
        for t in range(length):
            total += taps[t] * source[(newest - t) & (HISTORY * BLOCK - 1)]
        target[place + n] = total


@kernel
def take(s, c, m):
    """Take block m of the mics, as they came and as they were cleaned, at the low rate."""
    k = s.channels
    heard = carray(samples(c.heard), (k, HISTORY * BLOCK))
    cleaned = carray(samples(c.history), (k, HISTORY * BLOCK))
    x = carray(samples(s.x), (k, RING * CHUNK))
    y = carray(samples(s.y), (k, RING * CHUNK))
    taps = carray(samples(s.lowpass), (s.lowpass_taps,))
    first = (m & (HISTORY - 1)) * BLOCK
    count = BLOCK // s.factor
    place = s.have & (RING * CHUNK - 1)
    for i in range(k):
        _low_pass(heard[i], first, s.factor, taps, x[i], place, count)
        _low_pass(cleaned[i], first, s.factor, taps, y[i], place, count)
    s.have += count


@kernel
def _enter(s, phase):
    s.phase = phase
    s.index = 0
    s.other = 0
    return 0


@kernel
def _begin(s):
    """Begin a round, if enough has been heard."""
    since = carray(pointer(s.since), (s.channels,), np.int64)
    oldest = s.have
    for i in range(s.channels):
        oldest = min(oldest, since[i])
    s.last = s.have // CHUNK
    s.first = max(s.last - MEMORY, (max(s.base, oldest) + CHUNK - 1) // CHUNK)
    s.chunks = s.last - s.first
    if s.chunks < LEAST:
        return 1 << 40
    s.mic = 0
    pairs = carray(pointer(s.pairs), (s.channels,), np.int64)
    for i in range(s.channels):
        pairs[i] = 0
    return _enter(s, _LOWER)


@kernel
def _pair(s):
    """Return the pair of mics number `other`."""
    k = s.channels
    i = s.other // (k - 1)
    j = s.other % (k - 1)
    return i, (j + 1 if j >= i else j)


@kernel
def _has_paths(s):
    """Tell whether the mic is cleaned of any other one, and not in instantaneous mode."""
    linear = carray(pointer(s.linear), (s.channels,), np.int64)
    return linear[s.mic] == 0 and carray(pointer(s.pairs), (s.channels,), np.int64)[s.mic] > 0


@kernel
def _products(s):
    """Return the cost of one chunk's products with all paths to the mic."""
    return (carray(pointer(s.pairs), (s.channels,), np.int64)[s.mic] + 1) * PRODUCT


@kernel
def _begin_mic(s):
    """Go on with the next mic that has paths to refine; after the last, wait for fresh sound."""
    while s.mic < s.channels and not _has_paths(s):
        mask = carray(samples(s.mask), (s.channels, ROW))[s.mic]
        for b in range(mask.shape[0]):
            mask[b] = np.float32(0)
        s.mic += 1
    s.step = 0
    return _enter(s, _WEIGH if s.mic < s.channels else _FRESH)


@kernel
def _skip_others(s):
    """Move `other` past mics from which no path is refined; False at the end."""
    taken = carray(pointer(s.taken), (s.channels, s.channels), np.int64)[s.mic]
    while s.other < s.channels and taken[s.other] == 0:
        s.other += 1
    return s.other < s.channels


@kernel
def _weights_step(s):
    """Do one piece of the phases that make the weights and the preconditioner."""
    frames = s.chunks * FRAMES_PER_CHUNK - 1
    if s.phase == _WEIGH:
        weigh(s, frames)
        taken = carray(pointer(s.taken), (s.channels, s.channels), np.int64)[s.mic]
        for j in range(s.channels):
            if taken[j]:
                expect(s, j)
        _enter(s, _PREPARE)
        return frames * 10
    if not _skip_others(s):
        return _enter(s, _FILTERS)
    weigh_neighbour(s, frames, s.other)
    prepare_preconditioner(s, s.other)
    s.other += 1
    return frames + 3 * FFT


@kernel
def _project_step(s):
    """Do one piece of error, weighting or back projection."""
    k = s.channels
    if s.phase == _FILTERS:
        new = carray(samples(s.new), (k, k, TAPS))[s.mic]
        if not _skip_others(s):
            return _enter(s, _ERROR)
        transform_filters(s, new[s.other], s.other)
        s.other += 1
        return FFT
    if s.phase == _ERROR:
        begin_error_chunk(s, s.index)
        s.index += 1
        if s.index >= s.chunks:
            _enter(s, _WEIGHT)
        return FFT + _products(s)
    if s.phase == _WEIGHT:
        frames = s.chunks * FRAMES_PER_CHUNK - 1
        count = min(FRAMES_AT_ONCE, frames - s.index)
        weigh_frames(s, s.index, count)
        s.index += count
        if s.index >= frames:
            _enter(s, _BACK)
        return count * 2 * FFT_FRAME
    if s.phase == _BACK:
        back_project_chunk(s, s.index)
        s.index += 1
        if s.index >= s.chunks:
            _enter(s, _GATHER)
        return FFT + _products(s)
    # _IMAGE
    image_chunk(s, s.index)
    s.index += 1
    if s.index >= s.chunks:
        _enter(s, _WEIGHT)
    return FFT + _products(s)


@kernel
def _end_mic(s):
    keep_error(s)
    s.mic += 1
    _begin_mic(s)
    return s.chunks * 2


@kernel
def _after_gather(s):
    """With the gradient complete: start the descent, or take a step of it."""
    if s.step == 0:
        return _enter(s, _SOLVE)
    if not descend(s) or s.step >= STEPS:
        return _end_mic(s)
    return _enter(s, _SOLVE)


@kernel
def _descent_step(s):
    """Do one piece of the conjugate gradients' own arithmetic."""
    k = s.channels
    if s.phase == _GATHER:
        if not _skip_others(s):
            return _after_gather(s) + k * _SIMPLE
        target = samples(s.residual) if s.step == 0 else samples(s.product)
        gather_taps(s, s.other, carray(target, (k, TAPS))[s.other])
        if s.step == 0:
            begin_descent(s, s.other)
        s.other += 1
        return FFT + _SIMPLE
    if s.phase == _SOLVE:
        if not _skip_others(s):
            if s.step == 0:
                first_direction(s)
            else:
                next_direction(s)
            s.step += 1
            return _enter(s, _DIRECTION) + k * _SIMPLE
        precondition(s, s.other)
        s.other += 1
        return 6 * FFT
    # _DIRECTION
    if not _skip_others(s):
        return _enter(s, _IMAGE)
    transform_filters(s, carray(samples(s.direction), (k, TAPS))[s.other], s.other)
    s.other += 1
    return FFT


@kernel
def _fresh_chunks(s):
    return min(s.have // CHUNK - s.last, FRESH[1])


@kernel
def _judge_step(s):
    """Do one piece of the comparison on fresh sound."""
    k = s.channels
    if s.phase == _FRESH:
        if _fresh_chunks(s) < FRESH[0]:
            return 1 << 40
        # The fresh spectra take the place of the round's, which are done with.
        s.step = _fresh_chunks(s) if s.index == 0 else s.step
        transform_chunk(s, s.last + s.index, s.index)
        s.index += 1
        if s.index >= s.step:
            s.mic = 0
            _enter(s, _TRY_FILTERS)
        return k * FFT
    if s.phase == _TRY_FILTERS:
        while s.mic < k and not _has_paths(s):
            s.mic += 1
        if s.mic >= k:
            s.step = 0
            return _enter(s, _CHANGE)
        if not _skip_others(s):
            return _enter(s, _TRY)
        transform_filters(s, carray(samples(s.new), (k, k, TAPS))[s.mic, s.other], s.other)
        s.other += 1
        return FFT
    if s.phase == _TRY:
        try_chunk(s, s.index)
        s.index += 1
        if s.index >= s.step:
            _enter(s, _JUDGE)
        return FFT + _products(s)
    better = carray(pointer(s.better), (BANDS,), np.int64)
    won = judge(s, s.step, BAND_EDGES, better)
    set_mask(s, BAND_EDGES, better)
    if 2 * won < BANDS:
        forget_older_half(s)
        s.dropped += 1
    else:
        s.adopted += 1
    s.mic += 1
    _enter(s, _TRY_FILTERS)
    return 2 * s.step * FRAMES_PER_CHUNK * (FFT_FRAME + 10)


@kernel
def _adopt_step(s):
    """Do one piece of handing the filters over."""
    k = s.channels
    if s.phase == _LOWER:
        i, j = _pair(s)
        # The round is about the pairs that are held now.
        held = carray(pointer(s.chosen), (k, k), np.int64)[i, j]
        carray(pointer(s.taken), (k, k), np.int64)[i, j] = held
        carray(pointer(s.pairs), (k,), np.int64)[i] += held
        if held:
            lower(s, i, j)
        s.other += 1
        if s.other >= k * (k - 1):
            _enter(s, _SPECTRA)
        return _WIDE + _PARTS + FFT if held else 1
    if s.phase == _SPECTRA:
        transform_chunk(s, s.first + s.index, s.index)
        s.index += 1
        if s.index >= s.chunks:
            _enter(s, _POWERS)
        return k * FFT
    if s.phase == _POWERS:
        frames = s.chunks * FRAMES_PER_CHUNK - 1
        count = min(FRAMES_AT_ONCE, frames - s.index)
        take_powers(s, s.index, count, s.other)
        s.index += count
        if s.index >= frames:
            s.index = 0
            s.other += 1
            if s.other >= k:
                s.mic = 0
                _begin_mic(s)
        return count * FFT_FRAME
    if s.phase == _CHANGE:
        i, j = _pair(s)
        refined = is_refined(s, i, j)
        if refined:
            compare_paths(s, i, j)
        s.other += 1
        if s.other >= k * (k - 1):
            s.due = s.have
            _enter(s, _BLEND)
        return 2 * (_WIDE + _PARTS) + FFT if refined else 1
    if s.phase == _BLEND:
        if s.have < s.due:
            return 1 << 40
        blend(s, s.index, np.float32(1 / BLENDS))
        s.index += 1
        if s.index >= k:
            s.index = 0
            s.step += 1
            s.due = s.have + GROUPS * BLOCK // s.factor
            if s.step >= BLENDS and s.mending:
                s.mending = 0
                _enter(s, _IDLE)
            elif s.step >= BLENDS:
                for mic in range(k):
                    believe(s, mic)
                _enter(s, _COMMIT)
        return k * s.partitions * 2
    y = carray(samples(s.y), (k, RING * CHUNK))[s.index]
    improved = carray(samples(s.improved), (k, MEMORY * CHUNK))[s.index]
    if carray(samples(s.mask), (k, ROW))[s.index, 100] > np.float32(0.5):
        for n in range(s.chunks * CHUNK):
            y[(s.first * CHUNK + n) & (RING * CHUNK - 1)] = improved[n]
    s.index += 1
    if s.index >= k:
        s.rounds += 1
        _enter(s, _IDLE)
    return s.chunks * 2


@kernel
def _do(s):
    """Do the next piece; return its cost."""
    phase = s.phase
    if phase == _IDLE:
        return _begin(s)
    if phase <= _POWERS or phase >= _CHANGE:
        return _adopt_step(s)
    if phase <= _PREPARE:
        return _weights_step(s)
    if phase in (_GATHER, _SOLVE, _DIRECTION):
        return _descent_step(s)
    if phase <= _IMAGE:
        return _project_step(s)
    return _judge_step(s)


@kernel
def _watch(s):
    """Watch for what has moved; if something has, blend that in at once: what the round has learnt is of before."""
    moves = s.moves
    cost = watch(s)
    if s.moves != moves:
        size = s.channels * s.channels
        taken = carray(pointer(s.taken), (size,), np.int64)
        chosen = carray(pointer(s.chosen), (size,), np.int64)
        for n in range(size):
            taken[n] = chosen[n]
        s.mending = 1
        s.first = s.have // CHUNK
        s.step = 0
        s.due = s.have
        _enter(s, _BLEND)
    return cost


@kernel
def is_blending(s):
    """Tell whether new filters are just coming in."""
    return s.phase == _BLEND or s.phase == _COMMIT


@kernel
def work(s):
    """Do this job's share of the round; True if it changed the Kalman filter's paths."""
    if s.phase != _IDLE and s.have - s.first * CHUNK > (RING - 2) * CHUNK:
        s.phase = _IDLE       # the round's own sound is being overwritten: too slow for so many mics
    s.debt -= s.budget
    changed = False
    while s.debt < 0:
        changed = changed or (s.phase == _BLEND and s.have >= s.due)
        cost = _watch(s) if is_due(s) and not is_blending(s) else _do(s)
        if cost >= 1 << 40:   # nothing to do before more is heard
            s.debt = 0
            break
        s.debt += cost
    return changed
