"""Learn an instantaneous mixture x = Lambda s: digital crosstalk and splits, where each path is one number.

Lambda has ones on its diagonal, so that y = Lambda^-1 x are the sources as their own microphones hear them. Each
row i minimises the sum of |x_i - sum_j Lambda_ij y_j|^2 / Psi_i(t, f) with Psi_i = |y_i(t, f)|^2 + floor: where the
wanted sound is silent, bleed is plain to see. Its k - 1 equations say that y_j and y_i are uncorrelated under the
weight of y_i, for every j: those of a maximum-likelihood separation of non-stationary Gaussian sources
(Pham & Cardoso 2001, doi:10.1109/78.942614, section III; Ono 2011, doi:10.1109/ASPAA.2011.6082320, eq. 13 and 14).
They are kept as moments of x, sum of x x^T / Psi_i, which stay true when Lambda changes.

Two estimates run beside each other, a slow one and a fast one that leans on it. Before either learns from a block,
both are judged on it by their likelihood, sum of log Psi_i + 2 log |det Lambda|; while the fast one is better it is
used, and after some time the slow one restarts from it. That may be wrong: two players in unison look like a
mixture that has changed. So the slow estimate as it was is kept, judged along with the others, and taken back as
soon as it is the best again.

The same block tells, mic by mic, whether the mixture is instantaneous at all. `expected` is how much the mean of
log |x_i|^2 should fall by taking away this much independent bleed, `explained` how much it does. Bleed through air
is late by many periods of most bins: there the best single tap is next to nothing and explains nothing.
"""

import numpy as np
from numba import carray

from rtsep_kernels.canceller.apply import BLOCK, HISTORY, ROW, split
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import call_fft, fma, pointer, samples

SPAN = 336              # bins that are looked at: up to 15.75 kHz at 48 kHz, a multiple of LANES and of 8
EDGES = (0, 16, 48, 96, 144, 240, 336)    # bands, which must agree: filtered crosstalk is a mixture in some of them
BANDS = 6
LANES = 16
LOWEST = 2              # bins below hold offsets and rumble that reach every mic
FLOOR = np.float32(1e-4)         # of a mic's mean power: what counts as silence of the wanted sound
COMMON_FLOOR = np.float32(1e-7)  # of the loudest mic's: a muted mic must not outweigh all that follows
RIDGE = 300.0           # as many bins of equal level speak for the value that an estimate leans on
DAMPING = 0.15           # of a step: while a player rests his mic is a mixture of the others, until its row is right
LARGEST = 1.5           # of one entry of Lambda
PLAUSIBLE = 0.995       # of an entry of a row in the mode: at the limit is what has found no place
TWIN = 0.8              # of an entry for another mic that hears hardly anything else
RENEWAL = 0.005         # least share of a block in the mean levels
ADVANTAGE_KEPT = 0.9    # a block: smooths the comparison of the two estimates
BETTER = 0.003          # nepers of power a bin and mic by which the fast estimate must be better
PATIENCE = 20           # blocks after which the slow estimate restarts from a better one
SETTLED = 150           # blocks without a restart after which the slow estimate is worth keeping
START_BLOCKS = 140      # no decision before: the canceller, too, deserves time to show what it can
ENOUGH_BLEED, BELIEVED, DISBELIEVED = 0.1, 0.6, 0.3
BEATEN = 0.05           # nepers by which the mixture must explain more than the canceller's long paths
QUIET_BLEED = 0.01      # a linear mic without bleed in this block learns nothing about being linear
WEAKEST = 1e-3          # power of a row of Lambda that is worth a mode
DOUBTED_BLOCKS = 100    # a mic leaves after so many bad ones in a row: a change of gains is followed sooner
BARRED_BLOCKS = 500     # a mic that has left waits: what is nearly instantaneous would come and go
COUPLED = 0.35          # Lambda_ij Lambda_ji of two mics on one source
MOVE_BLOCKS = 48        # to move from long paths to one tap
FOLLOW = np.float32(0.3)         # share of the way to the newest estimate in each block
PIVOT = 0.05

INSTANT = np.dtype([
    ("channels", np.int64),
    ("window", np.int64),                                   # float32[1024]
    ("x_re", np.int64), ("x_im", np.int64),                 # float32[k, ROW]: windowed spectra of x
    ("weight", np.int64),                                   # float32[k, ROW]: 1 / Psi
    ("work", np.int64),                                     # float32[4, ROW]
    ("lanes", np.int64),                                    # float32[LANES]
    ("moments", np.int64),                                  # float64[3, k, k, k]: slow, fast, kept; lower triangles
    ("mixing", np.int64), ("unmixing", np.int64),           # float64[3, k, k]: Lambda and its inverse
    ("determinant", np.int64),                              # float64[3]: log |det Lambda|
    ("explained", np.int64), ("expected", np.int64),        # float64[3, k, BANDS]: of this block
    ("cost", np.int64),                                     # float64[3]: of this block
    ("level", np.int64),                                    # float64[k]: mean power of a bin of x
    ("rival", np.int64),                                    # float64[k]: `explained` of the canceller, of this block
    ("score", np.int64),                                    # float64[2, k, BANDS]: both, smoothed
    ("merit", np.int64),                                    # float64[2, k]: likelihoods of Lambda and rival, smoothed
    ("scratch", np.int64),                                  # float64[2, k, 2 * k]
    ("linear", np.int64),                                   # int64[k]: the mic is in instantaneous mode
    ("moving", np.int64),                                   # int64[k]: blocks until it is wholly there
    ("doubted", np.int64),                                  # int64[k]: bad blocks in a row
    ("barred", np.int64),                                   # int64[k]: blocks before which it does not come back
    ("slow", np.float64), ("fast", np.float64), ("kept", np.float64),   # memories: what a block leaves of the past
    ("same", np.int64),                                     # int64[k, k]: 1: two mics hear one source alone
    ("advantage", np.float64), ("regret", np.float64),      # of the fast and of the kept estimate, nepers
    ("patience", np.int64), ("regretted", np.int64),        # blocks for which they have been better
    ("settled", np.int64), ("holds", np.int64),             # blocks since the last restart; 1: an estimate is kept
    ("chosen", np.int64), ("blocks", np.int64),
], align=True)


@kernel
def stride(k):
    """Return in how many blocks all bins and rows have their turn: more mics, less at a time."""
    return max(1, k * k // 128)


@kernel
def _hear(t, c, m, time_address, spectrum_address):
    """Transform the last two blocks of every x under a Hann window."""
    heard = carray(samples(c.heard), (t.channels, HISTORY * BLOCK))
    window = carray(samples(t.window), (2 * BLOCK,))
    time = carray(samples(time_address), (2 * BLOCK,))
    spectrum = carray(samples(spectrum_address), (2 * ROW,))
    x_re = carray(samples(t.x_re), (t.channels, ROW))
    x_im = carray(samples(t.x_im), (t.channels, ROW))
    first = ((m - 1) & (HISTORY - 1)) * BLOCK
    second = (m & (HISTORY - 1)) * BLOCK
    for i in range(t.channels):
        for n in range(BLOCK):
            time[n] = window[n] * heard[i, first + n]
            time[BLOCK + n] = window[BLOCK + n] * heard[i, second + n]
        call_fft(c.forward, c.plan1024, time_address, spectrum_address)
        split(spectrum, x_re[i], x_im[i], SPAN)
        for b in range(LOWEST):
            x_re[i, b] = np.float32(0)
            x_im[i, b] = np.float32(0)


@kernel
def _levels(t, x_re, x_im):
    """Update the mean level of every mic; return the loudest."""
    level = carray(pointer(t.level), (t.channels,), np.float64)
    t.blocks += 1
    share = max(1.0 / t.blocks, RENEWAL)
    loudest = 0.0
    for i in range(t.channels):
        total = 0.0
        for b in range(SPAN):
            total += x_re[i, b] * x_re[i, b] + x_im[i, b] * x_im[i, b]
        level[i] += share * (total / SPAN - level[i])
        loudest = max(loudest, level[i])
    return loudest


@kernel
def _log_sum(values, first, last):
    """Sum logarithms, eight to a call: their product is far from the ends of float64."""
    total = 0.0
    for g in range(first // 8, last // 8):
        product = 1.0
        for n in range(8):
            product *= values[8 * g + n]
        total += np.log(product)
    return total


@kernel
def _unmix(y_re, y_im, row, x_re, x_im, k):
    for b in range(SPAN):
        y_re[b] = np.float32(0)
        y_im[b] = np.float32(0)
    for j in range(k):
        a = np.float32(row[j])
        for b in range(SPAN):
            y_re[b] = fma(a, x_re[j, b], y_re[b])
            y_im[b] = fma(a, x_im[j, b], y_im[b])


@kernel
def _powers(x_re, x_im, y_re, y_im, weight, raw, both, floor):
    """Write 1 / Psi, and over `y_re` Psi; powers of the mic, and of wanted sound and bleed if independent."""
    for b in range(SPAN):
        bleed_re = x_re[b] - y_re[b]
        bleed_im = x_im[b] - y_im[b]
        psi = y_re[b] * y_re[b] + y_im[b] * y_im[b] + floor
        raw[b] = x_re[b] * x_re[b] + x_im[b] * x_im[b] + floor
        both[b] = psi + (bleed_re * bleed_re + bleed_im * bleed_im)
        weight[b] = np.float32(1) / psi
        y_re[b] = psi


@kernel
def _judge(t, e, x_re, x_im, loudest):
    """Judge estimate `e` on a block that it does not know; leave the weights of that block."""
    k = t.channels
    unmixing = carray(pointer(t.unmixing), (3, k, k), np.float64)[e]
    level = carray(pointer(t.level), (k,), np.float64)
    explained = carray(pointer(t.explained), (3, k, BANDS), np.float64)[e]
    expected = carray(pointer(t.expected), (3, k, BANDS), np.float64)[e]
    weight = carray(samples(t.weight), (k, ROW))
    work = carray(samples(t.work), (4, ROW))
    cost = 2.0 * carray(pointer(t.determinant), (3,), np.float64)[e]
    for i in range(k):
        floor = FLOOR * np.float32(level[i]) + COMMON_FLOOR * np.float32(loudest) + np.float32(1e-12)
        _unmix(work[0], work[1], unmixing[i], x_re, x_im, k)
        _powers(x_re[i], x_im[i], work[0], work[1], weight[i], work[2], work[3], floor)
        for band in range(BANDS):
            first = EDGES[band]
            last = EDGES[band + 1]
            own = _log_sum(work[0], first, last)
            explained[i, band] = (_log_sum(work[2], first, last) - own) / SPAN
            expected[i, band] = (_log_sum(work[3], first, last) - own) / SPAN
            cost += own / SPAN
    carray(pointer(t.cost), (3,), np.float64)[e] = cost


@kernel
def _weighted_sum(weight, product, lanes, phase, step):
    for n in range(LANES):
        lanes[n] = np.float32(0)
    for g in range(phase, SPAN // LANES, step):
        first = (g * LANES) & 511
        for n in range(LANES):
            lanes[n] = fma(weight[first + n], product[first + n], lanes[n])
    total = 0.0
    for n in range(LANES):
        total += lanes[n]
    return total


@kernel
def _gather(t, e, x_re, x_im, memory, phase, step):
    """Add this block to the moments of estimate `e`."""
    k = t.channels
    moments = carray(pointer(t.moments), (3, k, k, k), np.float64)[e]
    weight = carray(samples(t.weight), (k, ROW))
    product = carray(samples(t.work), (4, ROW))[0]
    lanes = carray(samples(t.lanes), (LANES,))
    for a in range(k):
        for b in range(a + 1):
            for n in range(SPAN):
                product[n] = fma(x_re[a, n], x_re[b, n], x_im[a, n] * x_im[b, n])
            for i in range(k):
                moments[i, a, b] = memory * moments[i, a, b] + _weighted_sum(weight[i], product, lanes, phase, step)


@kernel
def cholesky_solve(a, b, n):
    """Solve a x = b for a symmetric positive a, of which the lower triangle is read; overwrites both with L and x.

    Returns
    -------
    bool
        False, and `b` of no use, where `a` is not positive to working precision.
    """
    for i in range(n):
        for j in range(i + 1):
            total = a[i, j]
            for p in range(j):
                total -= a[i, p] * a[j, p]
            if i > j:
                a[i, j] = total / a[j, j]
            else:
                if not total > 0.0:
                    return False
                a[i, i] = np.sqrt(total)
    for i in range(n):
        total = b[i]
        for p in range(i):
            total -= a[i, p] * b[p]
        b[i] = total / a[i, i]
    for back in range(n):
        i = n - 1 - back
        total = b[i]
        for p in range(i + 1, n):
            total -= a[p, i] * b[p]
        b[i] = total / a[i, i]
    return True


@kernel
def _solve_row(i, moments, unmixing, row, centre, lean, largest, scratch, k):
    """Move one row of Lambda to where its weighted residual is uncorrelated with all other sources.

    With R = B V_i B^T, B the inverse of Lambda: (R_jj' + ridge) step_j' = R_ji - ridge (Lambda_ij - lean centre_j).
    """
    half = scratch[0]        # B V_i
    normal = scratch[1]
    right = scratch[1, k - 1, k:]
    for a in range(k):
        for b in range(k):
            total = 0.0
            for p in range(k):
                total += unmixing[a, p] * (moments[p, b] if p >= b else moments[b, p])
            half[a, b] = total
    r = 0
    for a in range(k):
        if a == i:
            continue
        q = 0
        for b in range(a + 1):
            if b == i:
                continue
            total = 0.0
            for p in range(k):
                total += half[a, p] * unmixing[b, p]
            normal[r, q] = total
            q += 1
        normal[r, r] += DAMPING * normal[r, r] + RIDGE
        total = 0.0
        for p in range(k):
            total += half[a, p] * unmixing[i, p]
        right[r] = total - RIDGE * (row[a] - lean * centre[a])
        r += 1
    if not cholesky_solve(normal, right, k - 1):
        return
    r = 0
    for a in range(k):
        if a != i:
            row[a] = min(max(row[a] + right[r], -largest), largest)
            r += 1


@kernel
def _invert(mixing, unmixing, scratch, k):
    """Invert Lambda by elimination with pivoting; return log |det|, or infinity where a pivot is too small."""
    for i in range(k):
        for j in range(k):
            scratch[i, j] = mixing[i, j]
            scratch[i, k + j] = 1.0 if i == j else 0.0
    logarithm = 0.0
    for col in range(k):
        best = col
        for i in range(col + 1, k):
            if abs(scratch[i, col]) > abs(scratch[best, col]):
                best = i
        pivot = scratch[best, col]
        if not abs(pivot) > PIVOT:
            return np.inf
        logarithm += np.log(abs(pivot))
        for j in range(2 * k):
            held = scratch[col, j]
            scratch[col, j] = scratch[best, j] / pivot
            if best != col:
                scratch[best, j] = held
        for i in range(k):
            if i != col and scratch[i, col] != 0.0:
                factor = scratch[i, col]
                for j in range(2 * k):
                    scratch[i, j] -= factor * scratch[col, j]
    for i in range(k):
        for j in range(k):
            unmixing[i, j] = scratch[i, k + j]
    return logarithm


@kernel
def _solve(t, e, phase, step):
    """Renew the rows of estimate `e` whose turn it is. The slow one leans on nothing until it is believed."""
    k = t.channels
    moments = carray(pointer(t.moments), (3, k, k, k), np.float64)[e]
    mixing = carray(pointer(t.mixing), (3, k, k), np.float64)
    unmixing = carray(pointer(t.unmixing), (3, k, k), np.float64)[e]
    scratch = carray(pointer(t.scratch), (2, k, 2 * k), np.float64)
    linear = carray(pointer(t.linear), (k,), np.int64)
    for i in range(phase, k, step):
        lean = 1.0 if e == 1 or linear[i] else 0.0
        largest = PLAUSIBLE if linear[i] else LARGEST
        _solve_row(i, moments[i], unmixing, mixing[e, i], mixing[0, i], lean, largest, scratch, k)
    logarithm = _invert(mixing[e], unmixing, scratch[0], k)
    if logarithm == np.inf:
        # Two mics that are nearly one: half of it can be inverted, sooner or later.
        for i in range(k):
            for j in range(k):
                if i != j:
                    mixing[e, i, j] *= 0.5
        return
    carray(pointer(t.determinant), (3,), np.float64)[e] = logarithm


@kernel
def _copy_estimate(t, source, target):
    k = t.channels
    for address, size in ((t.moments, k * k * k), (t.mixing, k * k), (t.unmixing, k * k), (t.determinant, 1),
                          (t.explained, k * BANDS), (t.expected, k * BANDS)):
        values = carray(pointer(address), (3, size), np.float64)
        for n in range(size):
            values[target, n] = values[source, n]


@kernel
def _choose(t):
    """Use the estimate that was better on fresh audio; restart the slow one from a lastingly better one."""
    k = t.channels
    cost = carray(pointer(t.cost), (3,), np.float64)
    t.advantage = ADVANTAGE_KEPT * t.advantage + (1.0 - ADVANTAGE_KEPT) * (cost[0] - cost[1]) / k
    t.chosen = 1 if t.advantage > BETTER else 0
    t.patience = t.patience + 1 if t.chosen else 0
    t.settled += 1
    if t.holds:
        t.regret = ADVANTAGE_KEPT * t.regret + (1.0 - ADVANTAGE_KEPT) * (cost[t.chosen] - cost[2]) / k
        t.regretted = t.regretted + 1 if t.regret > BETTER else 0
        if t.regretted > PATIENCE:
            _copy_estimate(t, 2, 0)
            t.holds = 0
            t.chosen = 0
            t.patience = 0
            t.advantage = 0.0
    if t.patience <= PATIENCE:
        return
    if t.settled > SETTLED:
        _copy_estimate(t, 0, 2)
        t.holds = 1
        t.regret = 0.0
        t.regretted = 0
    _copy_estimate(t, 1, 0)
    t.settled = 0
    t.patience = 0
    t.advantage = 0.0


@kernel
def _coupled(mixing, i, k):
    """Tell whether mic i and another one hear the same source as loudly: they must not cancel each other."""
    found = False
    for j in range(k):
        found |= j != i and abs(mixing[i, j] * mixing[j, i]) > COUPLED
    return found


@kernel
def _is_twin(mixing, same, i, k):
    """Tell whether a mic and another one that hears the same would cancel each other."""
    found = False
    for j in range(k):
        found |= same[i, j] != 0 and max(abs(mixing[i, j]), abs(mixing[j, i])) > TWIN
    return found


@kernel
def _largest(row, i):
    found = 0.0
    for j in range(row.shape[0]):
        if j != i:
            found = max(found, abs(row[j]))
    return found


@kernel
def _rival(t, c, m, x_re, x_im, loudest):
    """Say how much the canceller's long paths have explained of this block, in the mics that still use them."""
    k = t.channels
    far_re = carray(samples(c.far_re), (HISTORY, k, ROW))[m % HISTORY]
    far_im = carray(samples(c.far_im), (HISTORY, k, ROW))[m % HISTORY]
    level = carray(pointer(t.level), (k,), np.float64)
    linear = carray(pointer(t.linear), (k,), np.int64)
    rival = carray(pointer(t.rival), (k,), np.float64)
    work = carray(samples(t.work), (4, ROW))
    y_re = work[0]
    y_im = work[1]
    unused = carray(samples(t.weight), (k, ROW))[0]
    for i in range(k):
        if linear[i]:
            continue
        floor = FLOOR * np.float32(level[i]) + COMMON_FLOOR * np.float32(loudest) + np.float32(1e-12)
        # A Hann window over samples is this sum over bins.
        for b in range(LOWEST):
            y_re[b] = np.float32(0)
            y_im[b] = np.float32(0)
        for b in range(LOWEST, SPAN):
            y_re[b] = np.float32(0.5) * far_re[i, b] - np.float32(0.25) * (far_re[i, b - 1] + far_re[i, b + 1])
            y_im[b] = np.float32(0.5) * far_im[i, b] - np.float32(0.25) * (far_im[i, b - 1] + far_im[i, b + 1])
        _powers(x_re[i], x_im[i], y_re, y_im, unused, work[2], work[3], floor)
        rival[i] = (_log_sum(work[2], 0, SPAN) - _log_sum(y_re, 0, SPAN)) / SPAN


@kernel
def _total(values):
    total = 0.0
    for n in range(values.shape[0]):
        total += values[n]
    return total


@kernel
def _update_scores(t):
    """Smooth what this block said of the estimate that was in use; return whether it beats the canceller.

    The determinant of Lambda belongs to the likelihood of all mics together; it is shared by those with bleed.
    """
    k = t.channels
    explained = carray(pointer(t.explained), (3, k, BANDS), np.float64)[t.chosen]
    expected = carray(pointer(t.expected), (3, k, BANDS), np.float64)[t.chosen]
    determinant = carray(pointer(t.determinant), (3,), np.float64)[t.chosen]
    rival = carray(pointer(t.rival), (k,), np.float64)
    score = carray(pointer(t.score), (2, k, BANDS), np.float64)
    merit = carray(pointer(t.merit), (2, k), np.float64)
    linear = carray(pointer(t.linear), (k,), np.int64)
    bleeding = 0
    for i in range(k):
        if linear[i] or _total(score[1, i]) > ENOUGH_BLEED:
            bleeding += 1
    advantage = 0.0
    for i in range(k):
        if linear[i] and _total(expected[i]) < QUIET_BLEED:
            continue
        merit[0, i] = t.kept * merit[0, i] + (1.0 - t.kept) * _total(explained[i])
        merit[1, i] = t.kept * merit[1, i] + (1.0 - t.kept) * rival[i]
        if linear[i] or _total(score[1, i]) > ENOUGH_BLEED:
            merit[0, i] -= (1.0 - t.kept) * 2.0 * determinant / bleeding
        for band in range(BANDS):
            score[0, i, band] = t.kept * score[0, i, band] + (1.0 - t.kept) * explained[i, band]
            score[1, i, band] = t.kept * score[1, i, band] + (1.0 - t.kept) * expected[i, band]
        if not linear[i] and _total(score[1, i]) > ENOUGH_BLEED:
            advantage += merit[0, i] - merit[1, i] - BEATEN
    return advantage > 0.0


@kernel
def _holds(score, i, merit, least):
    """Tell whether at least this share of what was expected of mic i came true, over all and in every band."""
    if merit < least * _total(score[1, i]):
        return False
    for band in range(BANDS):
        share = (EDGES[band + 1] - EDGES[band]) / SPAN
        if score[1, i, band] > share * ENOUGH_BLEED and score[0, i, band] < least * score[1, i, band]:
            return False
    return True


@kernel
def _decide(t):
    """Let mics enter or leave the instantaneous mode."""
    k = t.channels
    mixing = carray(pointer(t.mixing), (3, k, k), np.float64)[t.chosen]
    score = carray(pointer(t.score), (2, k, BANDS), np.float64)
    merit = carray(pointer(t.merit), (2, k), np.float64)
    linear = carray(pointer(t.linear), (k,), np.int64)
    moving = carray(pointer(t.moving), (k,), np.int64)
    barred = carray(pointer(t.barred), (k,), np.int64)
    doubted = carray(pointer(t.doubted), (k,), np.int64)
    same = carray(pointer(t.same), (k, k), np.int64)
    better = _update_scores(t) and t.blocks >= START_BLOCKS
    for i in range(k):
        coupled = _coupled(mixing, i, k)
        if linear[i]:
            strength = 0.0
            for j in range(k):
                if j != i:
                    strength += mixing[i, j] * mixing[i, j]
            bad = coupled or strength < WEAKEST or not _holds(score, i, merit[0, i], DISBELIEVED)
            doubted[i] = doubted[i] + 1 if bad else 0
            if doubted[i] > DOUBTED_BLOCKS:
                linear[i] = 0
                doubted[i] = 0
                barred[i] = t.blocks + BARRED_BLOCKS
                merit[0, i] = 0.0
                merit[1, i] = 0.0
                for band in range(BANDS):
                    score[0, i, band] = 0.0
                    score[1, i, band] = 0.0
        elif (better and not coupled and not _is_twin(mixing, same, i, k) and _largest(mixing[i], i) < PLAUSIBLE
                and t.blocks >= barred[i] and _total(score[1, i]) > ENOUGH_BLEED
                and _holds(score, i, merit[0, i], BELIEVED)):
            linear[i] = 1
            moving[i] = MOVE_BLOCKS


@kernel
def learn(t, c, m, time, spectrum):
    """Learn from the partition `m` that has just ended, and decide which mics are in instantaneous mode.

    Parameters
    ----------
    t : INSTANT
    c : CANCELLER
    m : int64
    time, spectrum : int64
        Addresses of scratch, float32[1024] and float32[2 * ROW].
    """
    k = t.channels
    x_re = carray(samples(t.x_re), (k, ROW))
    x_im = carray(samples(t.x_im), (k, ROW))
    _hear(t, c, m, time, spectrum)
    loudest = _levels(t, x_re, x_im)
    step = stride(k)
    phase = t.blocks % step
    _judge(t, 0, x_re, x_im, loudest)
    _gather(t, 0, x_re, x_im, t.slow, phase, step)
    _judge(t, 1, x_re, x_im, loudest)
    _gather(t, 1, x_re, x_im, t.fast, phase, step)
    if t.holds:
        _judge(t, 2, x_re, x_im, loudest)
    _rival(t, c, m, x_re, x_im, loudest)
    _choose(t)
    _decide(t)
    _solve(t, 0, phase, step)
    _solve(t, 1, phase, step)


@kernel
def proven(t, i):
    """Return the share of its paths that mic i deserves for the mode alone: none while that is in doubt."""
    if carray(pointer(t.linear), (t.channels,), np.int64)[i] == 0:
        return 0.0
    if carray(pointer(t.doubted), (t.channels,), np.int64)[i] > 0:
        return 0.0
    return 1.0 - carray(pointer(t.moving), (t.channels,), np.int64)[i] / MOVE_BLOCKS


@kernel
def target(t, i, j):
    """Return the path from source j to mic i, one number."""
    k = t.channels
    return np.float32(carray(pointer(t.mixing), (3, k, k), np.float64)[t.chosen, i, j])


@kernel
def forget(t):
    """Know nothing, as before the start."""
    k = t.channels
    mixing = carray(pointer(t.mixing), (3, k, k), np.float64)
    unmixing = carray(pointer(t.unmixing), (3, k, k), np.float64)
    for e in range(2):
        for i in range(k):
            for j in range(k):
                mixing[e, i, j] = 1.0 if i == j else 0.0
                unmixing[e, i, j] = 1.0 if i == j else 0.0
    for address, size in ((t.moments, 3 * k * k * k), (t.level, k), (t.score, 2 * k * BANDS), (t.merit, 2 * k),
                          (t.determinant, 3)):
        values = carray(pointer(address), (size,), np.float64)
        for n in range(size):
            values[n] = 0.0
    linear = carray(pointer(t.linear), (k,), np.int64)
    barred = carray(pointer(t.barred), (k,), np.int64)
    doubted = carray(pointer(t.doubted), (k,), np.int64)
    for i in range(k):
        linear[i] = 0
        barred[i] = 0
        doubted[i] = 0
    t.holds = 0
    t.settled = 0
    t.advantage = 0.0
    t.patience = 0
    t.chosen = 0
    t.blocks = 0
