"""Refine the canceller's paths: least squares over the last ten seconds, again and again, a little in every job.

The Kalman filter learns in one pass and is right within seconds; going over the same ten seconds many times, with
weights that get better as the mics get cleaner, gains another 3 to 5 dB. A round is cut into small pieces of known
cost; a job does as many as its budget allows, so that the work is even, and lands at the same samples live and
offline. See `solve` for the mathematics, `adopt` for what happens to the result, `watch` for what moves.
"""

import numpy as np

from rtsep_kernels.canceller.record import BLOCK, HISTORY
from rtsep_kernels.canceller.refine import handover, learn, phases
from rtsep_kernels.canceller.refine import watch as watching
from rtsep_kernels.canceller.refine.record import CHUNK, RING, TAPS
from rtsep_kernels.maths.vectors import fill
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.record import view

_SLACK = 2   # chunks that are kept and not used by a round: one is being written, one comes before the first


@kernel
def forget(s):
    """Drop the round and everything heard so far."""
    s.phase = phases.IDLE
    s.base = s.have
    watching.begin(s)
    fill(view(s, "since"), s.have)


@kernel
def turn(s, h):
    """Go on with mic h, whose polarity was flipped: what was heard of it, and its anchors, change sign."""
    anchor = view(s, "anchor")
    for j in range(s.channels):
        if j != h:
            for n in range(TAPS):
                anchor[h, j, n] = -anchor[h, j, n]
                anchor[j, h, n] = -anchor[j, h, n]
    x, y = view(s, "x")[h], view(s, "y")[h]
    for n in range(RING * CHUNK):
        x[n] = -x[n]
        y[n] = -y[n]
    s.phase = phases.IDLE
    watching.begin(s)


@kernel
def take(s, c, m, holding):
    """Take block m of the mics, as they came and as they were cleaned, at the low rate.

    While a mic is broken nothing is learnt (`holding`), nor from what came just before that was seen.
    """
    k = s.channels
    heard = view(c, "filled")
    cleaned = view(c, "history")
    x = view(s, "x")
    y = view(s, "y")
    taps = view(s, "lowpass")
    shuts = view(c, "shuts")[m % HISTORY]
    first = (m & (HISTORY - 1)) * BLOCK
    count = BLOCK // s.factor
    place = s.have & (RING * CHUNK - 1)
    for i in range(k):
        _decimate(heard[i], first, s.factor, taps, x[i], place, count)
        if shuts[i]:   # the audio thread makes it so, too, but soon
            fill(y[i, place : place + count], np.float32(0))
        else:
            _decimate(cleaned[i], first, s.factor, taps, y[i], place, count)
    chunk = (s.have // CHUNK) & (RING - 1)
    unwatched = view(s, "unwatched")
    unwatched[chunk] = (s.have % CHUNK != 0 and unwatched[chunk]) or view(c, "missing")[m % HISTORY] > 0 or holding
    if holding:
        unwatched[(chunk - 1) & (RING - 1)] = 1
    s.have += count


@kernel
def _decimate(source, first, factor, taps, target, place, count):
    """Decimate `count` samples; `source` is a ring of HISTORY blocks."""
    length = taps.shape[0]
    for n in range(count):
        newest = first + factor * (n + 1) - 1
        total = np.float32(0)
        for t in range(length):
            total += taps[t] * source[(newest - t) & (HISTORY * BLOCK - 1)]
        target[place + n] = total


@kernel
def do(s):
    """Do the next piece of the round; return its cost."""
    phase = s.phase
    if phase == phases.IDLE:
        return learn.begin(s)
    if phase == phases.LOWER:
        return learn.lower_path(s)
    if phase == phases.SPECTRA:
        return learn.transform_heard(s)
    if phase == phases.POWERS:
        return learn.take_some_powers(s)
    # For each mic: make the weights and the preconditioner, take the error, and descend along its gradient.
    if phase == phases.WEIGH:
        return learn.weigh_mic(s)
    if phase == phases.PREPARE:
        return learn.prepare_other(s)
    if phase == phases.FILTER:
        return learn.transform_path(s)
    if phase == phases.ERROR:
        return learn.take_error(s)
    if phase == phases.WEIGHT:
        return learn.weigh_some_frames(s)
    if phase == phases.BACK:
        return learn.project_back(s)
    if phase == phases.GATHER:
        return learn.gather(s)
    if phase == phases.SOLVE:
        return learn.solve_path(s)
    if phase == phases.DIRECTION:
        return learn.transform_direction(s)
    if phase == phases.IMAGE:
        return learn.image_direction(s)
    return _hand_over(s, phase)


@kernel
def _hand_over(s, phase):
    """Do the next piece of what comes when all mics are solved for: compare on fresh sound, and blend in."""
    if phase == phases.FRESH:
        return handover.hear_fresh(s)
    if phase == phases.TRY_FILTER:
        return handover.transform_new(s)
    if phase == phases.TRY:
        return handover.try_new(s)
    if phase == phases.JUDGE:
        return handover.judge_mic(s)
    if phase == phases.CHANGE:
        return handover.compare_pair(s)
    if phase == phases.BLEND:
        return handover.blend_mic(s)
    return handover.commit_mic(s)


@kernel
def _watch(s):
    """Watch for what has moved; if something has, mend that first."""
    moves = s.moves
    cost = watching.watch(s)
    if s.moves != moves:
        handover.mend(s)
    return cost


@kernel
def is_blending(s):
    """Tell whether new paths are just coming in."""
    return s.phase == phases.BLEND or s.phase == phases.COMMIT


@kernel
def work(s):
    """Do this job's share of the round; True if it changed the Kalman filter's paths."""
    if s.phase != phases.IDLE and s.have - s.first * CHUNK > (RING - _SLACK) * CHUNK:
        s.phase = phases.IDLE   # the round's own sound is being overwritten: too slow for so many mics
    s.debt -= s.budget
    changed = False
    while s.debt < 0:
        changed = changed or (s.phase == phases.BLEND and s.have >= s.due)
        cost = _watch(s) if watching.is_due(s) and not is_blending(s) else do(s)
        if cost >= phases.WAIT:
            s.debt = 0
            break
        s.debt += cost
    return changed
