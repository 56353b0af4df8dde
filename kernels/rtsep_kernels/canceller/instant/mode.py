"""Decide which mics are in instantaneous mode: those whose bleed reaches them by paths of one number each.

The block that the estimates are judged on tells, mic by mic, whether the mixture is instantaneous at all. `expected` is
how much the mean of log |x_i|^2 should fall by taking away this much independent bleed, `explained` how much it does.
Bleed through air is late by many periods of most bins: there the best single tap is next to nothing and explains
nothing.

Two mics on one source, twins, must not cancel each other: the mode is not for them. Who hears one source alone, and
has not been heard apart from another one, may be a twin, and waits for his own sound.
"""

import numpy as np

from rtsep_kernels.canceller.guard.record import ALIKE, ONE, PERHAPS_ONE
from rtsep_kernels.canceller.instant import estimate
from rtsep_kernels.canceller.instant.record import BANDS, EXPECTED, EXPLAINED, LOWEST, OURS, RIVAL
from rtsep_kernels.canceller.record import HISTORY
from rtsep_kernels.maths.vectors import fill
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.record import flat, view


@kernel
def learn(t, c, m):
    """Learn from the partition `m` that has just ended, and decide which mics are in instantaneous mode.

    Parameters
    ----------
    t : INSTANT
    c : CANCELLER
    m : int64
    """
    loudest = estimate.estimate(t, c, m)
    _hear_rival(t, c, m, loudest)
    estimate.choose(t)
    _decide(t)
    estimate.solve(t)


@kernel
def _hear_rival(t, c, m, loudest):
    """Say how much the canceller's long paths have explained of this block, in the mics that still use them."""
    k = t.channels
    x_re = view(t, "x_re")
    x_im = view(t, "x_im")
    far_re = view(c, "far_re")[m % HISTORY]
    far_im = view(c, "far_im")[m % HISTORY]
    in_mode = view(t, "instant")
    rival = view(t, "rival")
    work = view(t, "work")
    y_re = work[0]
    y_im = work[1]
    unused = view(t, "weight")[0]
    for i in range(k):
        if in_mode[i]:
            continue
        # A Hann window over samples is this sum over bins.
        for b in range(LOWEST):
            y_re[b] = np.float32(0)
            y_im[b] = np.float32(0)
        for b in range(LOWEST, t.span):
            y_re[b] = np.float32(0.5) * far_re[i, b] - np.float32(0.25) * (far_re[i, b - 1] + far_re[i, b + 1])
            y_im[b] = np.float32(0.5) * far_im[i, b] - np.float32(0.25) * (far_im[i, b - 1] + far_im[i, b + 1])
        floor = estimate.silence(t, i, loudest)
        estimate.powers(x_re[i], x_im[i], y_re, y_im, unused, work[2], work[3], floor, t.span)
        rival[i] = (estimate.log_sum(work[2], 0, t.span) - estimate.log_sum(y_re, 0, t.span)) / t.span


@kernel
def _total(values):
    """Return the sum over bands."""
    total = 0.0
    for n in range(values.shape[0]):
        total += values[n]
    return total


@kernel
def _bleeds(t, i):
    """Tell whether mic i has bleed enough to be judged by; in the mode it is."""
    return view(t, "instant")[i] != 0 or _total(view(t, "score")[EXPECTED, i]) > t.enough_bleed


@kernel
def _update_scores(t):
    """Smooth what this block said of the estimate that was in use; return whether it beats the canceller.

    The determinant of Lambda belongs to the likelihood of all mics together; it is shared by those with bleed.
    """
    explained = view(t, "explained")[t.used]
    expected = view(t, "expected")[t.used]
    determinant = view(t, "determinant")[t.used]
    rival = view(t, "rival")
    score = view(t, "score")
    merit = view(t, "merit")
    in_mode = view(t, "instant")
    kept = t.score_kept
    bleeding = 0
    for i in range(t.channels):
        if _bleeds(t, i):
            bleeding += 1
    advantage = 0.0
    for i in range(t.channels):
        if in_mode[i] and _total(expected[i]) < t.quiet_bleed:
            continue
        merit[OURS, i] = kept * merit[OURS, i] + (1.0 - kept) * _total(explained[i])
        if not in_mode[i]:
            merit[RIVAL, i] = kept * merit[RIVAL, i] + (1.0 - kept) * rival[i]
        if _bleeds(t, i):
            merit[OURS, i] -= (1.0 - kept) * 2.0 * determinant / bleeding
        for band in range(BANDS):
            score[EXPLAINED, i, band] = kept * score[EXPLAINED, i, band] + (1.0 - kept) * explained[i, band]
            score[EXPECTED, i, band] = kept * score[EXPECTED, i, band] + (1.0 - kept) * expected[i, band]
        if not in_mode[i] and _total(score[EXPECTED, i]) > t.enough_bleed:
            advantage += merit[OURS, i] - merit[RIVAL, i] - t.beaten
    return advantage > 0.0


@kernel
def _came_true(t, i, least):
    """Tell whether at least this part of what was expected of mic i came true, over all and in every band."""
    score = view(t, "score")
    edges = view(t, "edges")
    if view(t, "merit")[OURS, i] < least * _total(score[EXPECTED, i]):
        return False
    for band in range(BANDS):
        width = (edges[band + 1] - edges[band]) / t.span
        enough = score[EXPECTED, i, band] > width * t.enough_bleed
        if enough and score[EXPLAINED, i, band] < least * score[EXPECTED, i, band]:
            return False
    return True


@kernel
def _mirrors_twin(t, i):
    """Tell whether mic i and another one hear the same source as loudly, by Lambda itself."""
    mixing = view(t, "mixing")[t.used]
    found = False
    for j in range(t.channels):
        found |= j != i and abs(mixing[i, j] * mixing[j, i]) > t.twin_product
    return found


@kernel
def _would_cancel_twin(t, i):
    """Tell whether a mic and another one that hears the same and hardly anything else would cancel each other."""
    mixing = view(t, "mixing")[t.used]
    pure_twin = view(t, "pure_twin")
    found = False
    for j in range(t.channels):
        strong = max(abs(mixing[i, j]), abs(mixing[j, i])) > t.twin_entry
        found |= pure_twin[i, j] >= PERHAPS_ONE or (pure_twin[i, j] == ALIKE and strong)
    return found


@kernel
def _is_copy(t, i):
    """Tell whether mic i and another one are one line."""
    pure_twin = view(t, "pure_twin")
    found = False
    for j in range(t.channels):
        found |= pure_twin[i, j] == ONE
    return found


@kernel
def _strength(row, i):
    """Return the power and the largest magnitude of the bleed in a row of Lambda."""
    power = largest = 0.0
    for j in range(row.shape[0]):
        if j != i:
            power += row[j] * row[j]
            largest = max(largest, abs(row[j]))
    return power, largest


@kernel
def _decide(t):
    """Let mics enter or leave the instantaneous mode."""
    in_mode = view(t, "instant")
    doubted = view(t, "doubted")
    better = _update_scores(t) and t.blocks >= t.start_blocks
    for i in range(t.channels):
        power, largest = _strength(view(t, "mixing")[t.used, i], i)
        if in_mode[i]:
            bad = _mirrors_twin(t, i) or _is_copy(t, i) or power < t.weakest or not _came_true(t, i, t.disbelieved)
            doubted[i] = doubted[i] + 1 if bad else 0
            if doubted[i] > t.doubted_blocks:
                _leave(t, i)
        elif (better and not _mirrors_twin(t, i) and not _would_cancel_twin(t, i) and largest < t.plausible
                and t.blocks >= view(t, "barred")[i] and _bleeds(t, i) and _came_true(t, i, t.believed)):
            in_mode[i] = 1
            view(t, "moving")[i] = t.moving_blocks


@kernel
def _leave(t, i):
    """Take mic i out of the mode, for a while at least, and forget what spoke for it."""
    view(t, "instant")[i] = 0
    view(t, "doubted")[i] = 0
    view(t, "barred")[i] = t.blocks + t.barred_blocks
    for kind in range(2):
        view(t, "merit")[kind, i] = 0.0
        fill(view(t, "score")[kind, i], 0.0)


@kernel
def proven(t, i):
    """Return the share of its paths that mic i deserves for the mode alone: none while that is in doubt."""
    if view(t, "instant")[i] == 0 or view(t, "doubted")[i] > 0:
        return 0.0
    return 1.0 - view(t, "moving")[i] / t.moving_blocks


@kernel
def target(t, i, j):
    """Return the path from source j to mic i, one number."""
    return np.float32(view(t, "mixing")[t.used, i, j])


@kernel
def forget(t):
    """Know nothing, as before the start."""
    estimate.forget_estimates(t)
    fill(flat(t, "score"), 0.0)
    fill(flat(t, "merit"), 0.0)
    for i in range(t.channels):
        view(t, "instant")[i] = 0
        view(t, "barred")[i] = 0
        view(t, "doubted")[i] = 0
