"""Choose the pairs of mics that are cleaned of each other, where the machine cannot hold them all.

*What a pair is worth*: the power that mic j brings into mic i, beside the power of mic i. Of a pair that is held it is
what its path b = W_ij Y_j subtracts, times what of it is bleed and not noise of learning: with E_i what is left,

    1 + 2 Re<E_i, b> / <b, b>,   bins counted by 1 / den_i,

is 1 where the path is right, and -1 where there was nothing to subtract. Of another pair it is estimated from the
first 512 taps of its path,

    W = causal part of  sum conj(Y_j) E_i / den_i  /  (sum |Y_j|^2 / den_i + 1 / DOUBT),

less what independent sounds would give: least squares on what is left in mic i, with the Kalman filter's own weights
1 / den_i. So the blocks count in which mic i's own sound rests, bleed of i into j comes before its time and is cut off,
and what is cleaned already has nothing more to say. It finds a small part of the path only, `FOUND`.

*How it goes.* Pairs are measured in turn, a few in every job. After each round the best come in where there is
room, from zero filters; the least of those that are held leaves where one outside is worth much more: its filters
shrink to zero over `FADE` jobs, then both versions of all of them are handed over, and only then its place is free.
"""

import numpy as np
from numba import carray, from_dtype

from rtsep_kernels.canceller.apply import BINS, BLOCK, GROUPS, HISTORY, ROW, join, split
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import call_fft, fma, pointer, samples

ROUND = 32               # jobs in which every pair is measured once, a third of a second
FIRST_ROUND = 2           # rounds before the first choice
FADE = 96               # jobs, one second, in which a path shrinks to nothing
FLUSH = 2 * GROUPS        # more, one after the other, until both versions of it are zero
SETTLED = 190             # jobs, two seconds, before a pair that came in is judged by what it subtracts
REST = 940                # jobs, ten seconds, before a pair that left may come back
BETTER = 2.0               # times as much must a pair be worth that takes another one's place
LEAST = 1e-3              # and so much at least: else the weakest would only change places
FOUND = 0.1               # of a path's power, by the estimate of a pair that is not held
DOUBT = np.float32(0.05)  # of a path that is looked for
SWAPS = 16                # one in so many of the pairs that are held may leave after each round
AT_ONCE = 4               # mics that are listened to in each job, once the first pairs are chosen
LOWEST, HIGHEST = 2, 336  # bins: below are offsets and rumble; see `instant`
HANN = 0.375              # power that the window of the mics' spectra leaves
HALF = 0.5                # of a spectrum's power is in the half that is new

CHOICE = np.dtype([
    ("channels", np.int64), ("budget", np.int64),
    ("chosen", np.int64),                              # int64[k, k]: 1: mic i learns from mic j
    ("leaving", np.int64),                             # int64[k, k]: jobs until a pair that leaves is out
    ("active", np.int64),                              # int64[k, k]: the canceller's: its filters may not be zero
    ("since", np.int64),                               # int64[k, k]: job in which the pair came in or left
    ("worth", np.int64),                               # float64[k, k]
    ("cross_re", np.int64), ("cross_im", np.int64),    # float32[k, k, ROW]: sum conj(Y_j) E_i / den_i
    ("power", np.int64),                               # float32[k, k, ROW]: sum |Y_j|^2 / den_i
    ("agree", np.int64), ("own", np.int64),            # float64[k, k]: of pairs that are held, <E_i, b> and <b, b>
    ("surprise", np.int64),                            # float32[k, ROW]: mean |E_i|^2 / den_i
    ("level", np.int64),                               # float32[k, ROW]: mean |Y_j|^2
    ("loudness", np.int64),                            # float64[k]: mean power of a mic, as it came
    ("time", np.int64), ("spectrum", np.int64),        # scratch: float32[1024], float32[2 * ROW]
    ("work", np.int64),                                # scratch: float32[2, ROW]
    ("path_kept", np.float64), ("level_kept", np.float64),   # memories: what a block leaves of the past
    ("jobs", np.int64), ("measured", np.int64), ("last", np.int64), ("changes", np.int64),
], align=True)
CHOICE_TYPE = from_dtype(CHOICE)


@kernel
def _turns(h):
    """Return in how many jobs every mic is listened to once."""
    return max(1, h.channels // AT_ONCE) if h.jobs >= FIRST_ROUND * ROUND else 1


@kernel
def _add(re, im, power, y_re, y_im, y_power, g_re, g_im, inverse, kept):
    for b in range(ROW):
        re[b] = fma(y_re[b], g_re[b], fma(y_im[b], g_im[b], kept * re[b]))
        im[b] = fma(y_re[b], g_im[b], fma(-y_im[b], g_re[b], kept * im[b]))
        power[b] = fma(y_power[b], inverse[b], kept * power[b])


@kernel
def _compare(h, m, i, j, y_re, y_im, g_re, g_im, inverse, w_re, w_im, kept):
    """Compare what a path subtracts with what is left."""
    k = h.channels
    work = carray(samples(h.work), (2, ROW))
    for b in range(ROW):
        work[0, b] = np.float32(0)
        work[1, b] = np.float32(0)
    for p in range(w_re.shape[0]):
        slot = (m - p) % HISTORY
        for b in range(ROW):
            work[0, b] = fma(w_re[p, i, j, b], y_re[slot, j, b], fma(-w_im[p, i, j, b], y_im[slot, j, b], work[0, b]))
            work[1, b] = fma(w_re[p, i, j, b], y_im[slot, j, b], fma(w_im[p, i, j, b], y_re[slot, j, b], work[1, b]))
    both = alone = 0.0
    for b in range(LOWEST, HIGHEST):
        both += g_re[b] * work[0, b] + g_im[b] * work[1, b]
        alone += inverse[b] * (work[0, b] * work[0, b] + work[1, b] * work[1, b])
    agree = carray(pointer(h.agree), (k, k), np.float64)
    own = carray(pointer(h.own), (k, k), np.float64)
    agree[i, j] = kept * agree[i, j] + both
    own[i, j] = kept * own[i, j] + HALF * alone


@kernel
def listen(h, m, i, y_re, y_im, y_power, g_re, g_im, inverse, w_re, w_im):
    """Take block m into what is known of the paths to mic i.

    Parameters
    ----------
    h : CHOICE
    m, i : int64
    y_re, y_im, y_power : float32[HISTORY, k, ROW]
        Spectra of the cleaned mics.
    g_re, g_im, inverse : float32[ROW]
        E_i / den_i, and 1 / den_i.
    w_re, w_im : float32[tracked, k, k, ROW]
        The Kalman filter's paths, which have not learnt from this block yet.
    """
    k = h.channels
    turns = _turns(h)
    if i % turns != h.jobs % turns:
        return
    chosen = carray(pointer(h.chosen), (k, k), np.int64)
    cross_re = carray(samples(h.cross_re), (k, k, ROW))
    cross_im = carray(samples(h.cross_im), (k, k, ROW))
    power = carray(samples(h.power), (k, k, ROW))
    kept = np.float32(h.path_kept ** turns)
    slot = m % HISTORY
    for j in range(k):
        if chosen[i, j]:
            _compare(h, m, i, j, y_re, y_im, g_re, g_im, inverse, w_re, w_im, h.path_kept ** turns)
        elif j != i:
            _add(cross_re[i, j], cross_im[i, j], power[i, j], y_re[slot, j], y_im[slot, j], y_power[slot, j],
                 g_re, g_im, inverse, kept)
    surprise = carray(samples(h.surprise), (k, ROW))[i]
    share = np.float32(max(1.0 - h.path_kept ** turns, 1.0 / (h.jobs + 1)))
    for b in range(BINS):
        now = (g_re[b] * g_re[b] + g_im[b] * g_im[b]) / inverse[b]
        surprise[b] += share * (now - surprise[b])


@kernel
def _take_levels(h, y_power, x_re, x_im):
    k = h.channels
    level = carray(samples(h.level), (k, ROW))
    loudness = carray(pointer(h.loudness), (k,), np.float64)
    share = max(1.0 - h.level_kept, 1.0 / (h.jobs + 1))
    part = np.float32(share)
    for i in range(k):
        for b in range(ROW):
            level[i, b] += part * (y_power[i, b] - level[i, b])
        total = 0.0
        for b in range(LOWEST, HIGHEST):
            total += x_re[i, b] * x_re[i, b] + x_im[i, b] * x_im[i, b]
        loudness[i] += share * (total / HANN - loudness[i])


@kernel
def _held(h, i, j, w_re, w_im):
    """Return the power of the bleed that the path of a pair subtracts."""
    k = h.channels
    agree = carray(pointer(h.agree), (k, k), np.float64)[i, j]
    own = carray(pointer(h.own), (k, k), np.float64)[i, j]
    right = min(max(1.0 + 2.0 * agree / (own + 1e-30), 0.0), 1.0)
    level = carray(samples(h.level), (k, ROW))[j]
    total = 0.0
    for p in range(w_re.shape[0]):
        for b in range(LOWEST, HIGHEST):
            re = w_re[p, i, j, b]
            im = w_im[p, i, j, b]
            total += level[b] * (re * re + im * im)
    return right * total


@kernel
def _estimated(h, c, i, j):
    """Return the power that the path of a pair that is not held would subtract."""
    k = h.channels
    re = carray(samples(h.cross_re), (k, k, ROW))[i, j]
    im = carray(samples(h.cross_im), (k, k, ROW))[i, j]
    power = carray(samples(h.power), (k, k, ROW))[i, j]
    surprise = carray(samples(h.surprise), (k, ROW))[i]
    level = carray(samples(h.level), (k, ROW))[j]
    work = carray(samples(h.work), (2, ROW))
    time = carray(samples(h.time), (2 * BLOCK,))
    spectrum = carray(samples(h.spectrum), (2 * ROW,))
    for b in range(BINS):
        scale = np.float32(1) / (power[b] + np.float32(1) / DOUBT)
        work[0, b] = re[b] * scale
        work[1, b] = im[b] * scale
    join(work[0], work[1], spectrum, BINS)
    call_fft(c.backward, c.inverse1024, h.spectrum, h.time)
    for n in range(BLOCK):
        time[n] *= np.float32(1 / (2 * BLOCK))
        time[BLOCK + n] = np.float32(0)
    call_fft(c.forward, c.plan1024, h.time, h.spectrum)
    split(spectrum, work[0], work[1], BINS)
    # Of sums that forget, squares of independent terms add up to half as much; half of it is causal.
    forgotten = h.path_kept ** min(h.jobs, 10000)
    chance = np.float32(0.25 * (1.0 + forgotten))
    total = 0.0
    for b in range(LOWEST, HIGHEST):
        doubtful = power[b] + np.float32(1) / DOUBT
        found = work[0, b] * work[0, b] + work[1, b] * work[1, b]
        total += level[b] * (found - chance * surprise[b] * power[b] / (doubtful * doubtful))
    return max(total, 0.0) / FOUND


@kernel
def _measure(h, c, m, i, j, w_re, w_im, freed):
    k = h.channels
    chosen = carray(pointer(h.chosen), (k, k), np.int64)
    since = carray(pointer(h.since), (k, k), np.int64)
    worth = carray(pointer(h.worth), (k, k), np.float64)
    loudness = carray(pointer(h.loudness), (k,), np.float64)
    if freed[i, j] == 0:
        worth[i, j] = 0.0
    elif chosen[i, j]:
        now = _held(h, i, j, w_re, w_im) / (loudness[i] + 1e-9)
        worth[i, j] = now if m - since[i, j] >= SETTLED else max(now, worth[i, j])
    else:
        worth[i, j] = _estimated(h, c, i, j) / (loudness[i] + 1e-9)


@kernel
def _come_in(h, m, i, j):
    k = h.channels
    carray(pointer(h.chosen), (k, k), np.int64)[i, j] = 1
    carray(pointer(h.active), (k, k), np.int64)[i, j] = 1
    carray(pointer(h.since), (k, k), np.int64)[i, j] = m
    carray(pointer(h.agree), (k, k), np.float64)[i, j] = 0.0
    carray(pointer(h.own), (k, k), np.float64)[i, j] = 0.0
    re = carray(samples(h.cross_re), (k, k, ROW))[i, j]
    im = carray(samples(h.cross_im), (k, k, ROW))[i, j]
    power = carray(samples(h.power), (k, k, ROW))[i, j]
    for b in range(ROW):
        re[b] = np.float32(0)
        im[b] = np.float32(0)
        power[b] = np.float32(0)
    h.changes += 1


@kernel
def _best_outside(h, m, below, linear):
    """Return the pair that is worth most of those that could come in and are worth less than `below`."""
    k = h.channels
    active = carray(pointer(h.active), (k, k), np.int64)
    leaving = carray(pointer(h.leaving), (k, k), np.int64)
    since = carray(pointer(h.since), (k, k), np.int64)
    worth = carray(pointer(h.worth), (k, k), np.float64)
    best = 0.0
    at_i = at_j = 0
    for i in range(k):
        if linear[i]:
            continue
        for j in range(k):
            if (j != i and active[i, j] == 0 and leaving[i, j] == 0 and best < worth[i, j] < below
                    and (since[i, j] == 0 or m - since[i, j] >= REST)):
                best = worth[i, j]
                at_i, at_j = i, j
    return best, at_i, at_j


@kernel
def _least_inside(h, m, above):
    """Return the pair that is worth least of those that are held and are worth more than `above`."""
    k = h.channels
    chosen = carray(pointer(h.chosen), (k, k), np.int64)
    since = carray(pointer(h.since), (k, k), np.int64)
    worth = carray(pointer(h.worth), (k, k), np.float64)
    least = np.inf
    at_i = at_j = 0
    for i in range(k):
        for j in range(k):
            if chosen[i, j] and above < worth[i, j] < least and m - since[i, j] >= SETTLED:
                least = worth[i, j]
                at_i, at_j = i, j
    return least, at_i, at_j


@kernel
def _choose(h, m, linear):
    k = h.channels
    active = carray(pointer(h.active), (k, k), np.int64)
    chosen = carray(pointer(h.chosen), (k, k), np.int64)
    leaving = carray(pointer(h.leaving), (k, k), np.int64)
    free = h.budget
    for i in range(k):
        for j in range(k):
            free -= active[i, j]
    outside = np.inf
    for _ in range(free):
        outside, i, j = _best_outside(h, m, outside, linear)
        if outside <= 0.0:
            break
        _come_in(h, m, i, j)
    inside = -1.0
    for _ in range(max(1, h.budget // SWAPS)):
        outside, i, j = _best_outside(h, m, outside, linear)
        inside, i, j = _least_inside(h, m, inside)
        if outside <= max(BETTER * inside, LEAST):
            break
        chosen[i, j] = 0
        leaving[i, j] = FADE + FLUSH


@kernel
def work(h, c, m, y_power, x_re, x_im, w_re, w_im, freed, linear):
    """Measure this job's share of the pairs; after a round, choose.

    Parameters
    ----------
    h : CHOICE
    c : CANCELLER
    m : int64
    y_power : float32[k, ROW]
        Of the cleaned mics, in this block.
    x_re, x_im : float32[k, ROW]
        Spectra of the mics as they came, windowed.
    w_re, w_im : float32[tracked, k, k, ROW]
        The Kalman filter's paths.
    freed : int64[k, k]
        The guard's: 0 where a pair may not learn.
    linear : int64[k]
        Mics in instantaneous mode: their paths cost nothing.
    """
    k = h.channels
    _take_levels(h, y_power, x_re, x_im)
    h.jobs += 1
    pairs = k * (k - 1)
    place = h.jobs % ROUND
    for unit in range(pairs * place // ROUND, pairs * (place + 1) // ROUND):
        i = unit // (k - 1)
        j = unit % (k - 1)
        _measure(h, c, m, i, j if j < i else j + 1, w_re, w_im, freed)
    if place == ROUND - 1 and h.jobs >= FIRST_ROUND * ROUND - 1:
        _choose(h, m, linear)
