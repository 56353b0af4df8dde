"""Keep the canceller honest: how much of it each mic gets, and which pairs of mics may learn from each other.

*How much.* The two regressions of `evidence` tell how much of what is taken away from a mic is bleed. The share of the
canceller that the mic is given rises from 0 at LEAST to 1 at ENOUGH, of the lesser of both. A mic that nothing is heard
of is left alone.

*Which pairs.* Two mics on one source have nothing to tell each other: what the one predicts in the other is the wanted
sound. It reaches both at nearly the same time, and so no pair learns whose cross-correlation has a peak there; bleed
comes later by the way between the players, in the one mic or in the other. Nor does a pair that is coherent in all
bands at about one level, or a louder mic from a softer one while only its own source plays.

References
----------
Carter 1987, doi:10.1109/PROC.1987.13723 (magnitude-squared coherence).
Knapp & Carter 1976, doi:10.1109/TASSP.1976.1162830 (cross-correlation of two microphones by their spectra).
"""

import math

import numpy as np
from numba import carray, from_dtype

from rtsep_kernels.canceller import evidence, instant
from rtsep_kernels.canceller.apply import BLOCK, HISTORY, ROW
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import pointer, record_at, samples

LINES = 96               # most bins of a spectrum that are compared
BANDS = 12
LEAST, ENOUGH = (0.47, 0.44), (0.67, 0.84)   # all cells alike, and innovations
LAGS = 57                # at which a source reaches two mics that stand at it
INCOHERENT, COHERENT = 0.6, 0.7    # a pair is freed below, barred above: of two sources below 0.45, once both play
ELSEWHERE, TOGETHER = 0.36, 0.41   # the same, of correlation at those lags: of two sources below 0.33
FIRST_BLOCKS = 8        # blocks in which both sound, before a pair is judged
TURNS = 8               # blocks in which each pair is judged once
APART = 32.0             # in power: a mic so much softer than the other one may learn from it, however alike
ACTIVE = 1e-4            # of a mic's loudest power of late: below is silence
RISEN = 100.0            # times louder than ever: what was seen before was not this mic's source
SILENT = 1e-7            # mean square of a mic that is dead or unplugged: -70 dBFS
SHRINK = np.float32(0.95)   # of a duplicate's paths, per job
FLAT = 3                 # equal samples in a row, at the mic's peak, that are a clipped wave
CLIPPED_BLOCKS = 400      # for which a mic counts as clipped
_TINY = 1e-30

GUARD = np.dtype([
    ("channels", np.int64), ("lines", np.int64),
    ("line", np.int64), ("band", np.int64),          # int64[LINES]: bin, and band of it
    ("lag_re", np.int64), ("lag_im", np.int64),      # float32[LAGS, LINES]: exp(2 pi i f lag)
    ("weighted", np.int64),                          # scratch: float32[2, LINES]
    ("cross_re", np.int64), ("cross_im", np.int64),  # float32[k, k, LINES]: i < j
    ("auto", np.int64),                              # float32[k, k, LINES]: of mic i while j sounds, too
    ("seen", np.int64),                              # int64[k, k]: blocks in which both sounded
    ("balance", np.int64),                           # float64[k, k]: mean of log(power i / power j) of those
    ("freed", np.int64),                             # int64[k, k]: 1: mic i may learn from mic j
    ("twin", np.int64),                              # int64[k, k]: 1: two mics on one source
    ("same", np.int64),                              # int64[k, k]: 1: they hear hardly anything else
    ("power", np.int64), ("loud", np.int64),         # float64[k]: of the lines, now, and of late at most
    ("evidence", np.int64),                          # address of the EVIDENCE record
    ("level", np.int64),                             # float64[k]: power of x, smoothed
    ("peak", np.int64), ("clipped", np.int64),       # float64[k]: of late; int64[k]: blocks until it counts as clean
    ("silent", np.int64),                            # int64[k]
    ("share", np.int64),                             # float32[HISTORY, k]: what each job decided
    ("coherence_kept", np.float64), ("level_kept", np.float64),
    ("known", np.int64),                             # 1: paths came from a soundcheck; their prior is not touched
    ("anchored", np.int64),                          # int64[k]: 1 while a soundcheck's paths to the mic are right
    ("linear", np.int64),                            # int64[k]: mode of the mic in the block before
    ("blocks", np.int64),
], align=True)
GUARD_TYPE = from_dtype(GUARD)


@kernel
def _measure(g, c, m):
    """Update levels, and what tells a clipped mic, from the samples of block m."""
    k = g.channels
    heard = carray(samples(c.heard), (k, HISTORY * BLOCK))
    level = carray(pointer(g.level), (k,), np.float64)
    peak = carray(pointer(g.peak), (k,), np.float64)
    clipped = carray(pointer(g.clipped), (k,), np.int64)
    first = (m & (HISTORY - 1)) * BLOCK
    for i in range(k):
        sum_x = xx = 0.0
        top = np.float32(0)
        flat = longest = 0
        last = np.float32(0)
        for n in range(BLOCK):
            x = heard[i, first + n]
            sum_x += x
            xx += x * x
            if abs(x) > top:
                top = abs(x)
                flat = longest = 1
            elif x == last and abs(x) == top:
                flat += 1
                longest = max(longest, flat)
            else:
                flat = 0
            last = x
        # Without the mean: an offset is no sound.
        xx -= sum_x * sum_x / BLOCK
        peak[i] = max(0.999 * peak[i], float(top))
        if longest >= FLAT and top >= 0.9 * peak[i] and xx > SILENT * BLOCK:
            clipped[i] = CLIPPED_BLOCKS
        else:
            clipped[i] = max(0, clipped[i] - 1)
        level[i] += max(1.0 - g.level_kept, 1.0 / g.blocks) * (xx / BLOCK - level[i])


@kernel
def _decide_shares(g, t, m):
    """Write the share of the canceller that each mic is given; a mode that is not in doubt has its own proof."""
    k = g.channels
    e = carray(record_at(g.evidence, evidence.EVIDENCE_TYPE), (1,))[0]
    level = carray(pointer(g.level), (k,), np.float64)
    silent = carray(pointer(g.silent), (k,), np.int64)
    linear = carray(pointer(t.linear), (k,), np.int64)
    before = carray(pointer(g.linear), (k,), np.int64)
    anchored = carray(pointer(g.anchored), (k,), np.int64)
    share = carray(samples(g.share), (HISTORY, k))[m % HISTORY]
    for i in range(k):
        silent[i] = 1 if level[i] < SILENT else 0
        if linear[i] != before[i]:
            evidence.clear(e, i)    # it was of other paths
            before[i] = linear[i]
        alike, innovations = evidence.regressions(e, i)
        given = min((alike - LEAST[0]) / (ENOUGH[0] - LEAST[0]), (innovations - LEAST[1]) / (ENOUGH[1] - LEAST[1]))
        given = min(max(given, 0.0), 1.0)
        if anchored[i]:
            given = 1.0     # a soundcheck says so, and nothing has moved: players in unison do not change that
        else:
            given = max(given, instant.proven(t, i))
        share[i] = np.float32(0) if silent[i] else np.float32(given)


@kernel
def _spectra(g, i, j):
    """Return the cross-spectrum of mics i < j, real and imaginary, and the power of each while both sound."""
    shape = (g.channels, g.channels, LINES)
    auto = carray(samples(g.auto), shape)
    return carray(samples(g.cross_re), shape)[i, j], carray(samples(g.cross_im), shape)[i, j], auto[i, j], auto[j, i]


@kernel
def _clear_pair(g, i, j):
    """Bar a pair until it is seen incoherent again."""
    k = g.channels
    carray(pointer(g.seen), (k, k), np.int64)[i, j] = 0
    carray(pointer(g.balance), (k, k), np.float64)[i, j] = 0.0
    carray(pointer(g.freed), (k, k), np.int64)[i, j] = 0
    for values in _spectra(g, i, j):
        for n in range(LINES):
            values[n] = np.float32(0)


@kernel
def _sound(g, x_re, x_im):
    """Update powers; clear the pairs of a mic that has become far louder than ever."""
    k = g.channels
    line = carray(pointer(g.line), (LINES,), np.int64)
    power = carray(pointer(g.power), (k,), np.float64)
    loud = carray(pointer(g.loud), (k,), np.float64)
    for i in range(k):
        power[i] = 0.0
        for n in range(g.lines):
            re = x_re[i, line[n]]
            im = x_im[i, line[n]]
            power[i] += re * re + im * im
        if g.known == 0 and power[i] > RISEN * loud[i]:
            for j in range(k):
                if j != i:
                    _clear_pair(g, min(i, j), max(i, j))
        loud[i] = max(0.9995 * loud[i], power[i])


@kernel
def _correlate(g, x_re, x_im, i, j):
    """Take a block into the pair's spectra; the loudest count most, as a source may play seldom."""
    k = g.channels
    line = carray(pointer(g.line), (LINES,), np.int64)
    re, im, auto_i, auto_j = _spectra(g, i, j)
    loud = carray(pointer(g.loud), (k,), np.float64)
    kept = np.float32(g.coherence_kept)
    of_i = np.float32(1.0 / loud[i])
    of_j = np.float32(1.0 / loud[j])
    both = np.float32(math.sqrt(float(of_i) * float(of_j)))
    for n in range(g.lines):
        b = line[n]
        re[n] = kept * re[n] + both * (x_re[i, b] * x_re[j, b] + x_im[i, b] * x_im[j, b])
        im[n] = kept * im[n] + both * (x_re[i, b] * x_im[j, b] - x_im[i, b] * x_re[j, b])
        auto_i[n] = kept * auto_i[n] + of_i * (x_re[i, b] * x_re[i, b] + x_im[i, b] * x_im[i, b])
        auto_j[n] = kept * auto_j[n] + of_j * (x_re[j, b] * x_re[j, b] + x_im[j, b] * x_im[j, b])


@kernel
def coherence(g, i, j):
    """Return the median over bands of the magnitude-squared coherence of mics i < j."""
    re, im, auto_i, auto_j = _spectra(g, i, j)
    band = carray(pointer(g.band), (LINES,), np.int64)
    # Order statistics of a dozen numbers, without a place to sort them in: the one with half of them below.
    total = 0
    for n in range(g.lines):
        total = max(total, band[n] + 1)
    best = 0.0
    for one in range(total):
        value = _band_coherence(g.lines, band, one, re, im, auto_i, auto_j)
        below = 0
        for other in range(total):
            if other != one and _band_coherence(g.lines, band, other, re, im, auto_i, auto_j) < value:
                below += 1
        if below == total // 2:
            best = value
    return best


@kernel
def _band_coherence(lines, band, one, re, im, auto_i, auto_j):
    above = 0.0
    below = _TINY
    for n in range(lines):
        if band[n] == one:
            above += re[n] * re[n] + im[n] * im[n]
            below += auto_i[n] * auto_j[n]
    return above / below


@kernel
def closeness(g, i, j):
    """Return the largest correlation of mics i < j at lags at which they would stand at one source; 0 to 1."""
    re, im, auto_i, auto_j = _spectra(g, i, j)
    lag_re = carray(samples(g.lag_re), (LAGS, LINES))
    lag_im = carray(samples(g.lag_im), (LAGS, LINES))
    weighted = carray(samples(g.weighted), (2, LINES))
    both = _TINY
    for n in range(g.lines):
        # Between all lines alike and each as its power: a bass is no less together with itself than a cymbal.
        root = math.sqrt(math.sqrt(auto_i[n] * auto_j[n]))
        both += root
        weighted[0, n] = re[n] / (root + _TINY)
        weighted[1, n] = im[n] / (root + _TINY)
    largest = np.float32(0)
    for lag in range(LAGS):
        total = np.float32(0)
        for n in range(g.lines):
            total += weighted[0, n] * lag_re[lag, n] - weighted[1, n] * lag_im[lag, n]
        largest = max(largest, abs(total))
    return largest / both


@kernel
def _judge_pair(g, i, j):
    """Free a pair that is seen incoherent, and bar one that is not any more."""
    k = g.channels
    seen = carray(pointer(g.seen), (k, k), np.int64)
    freed = carray(pointer(g.freed), (k, k), np.int64)
    twin = carray(pointer(g.twin), (k, k), np.int64)
    balance = carray(pointer(g.balance), (k, k), np.float64)[i, j]
    power = carray(pointer(g.power), (k,), np.float64)
    loud = carray(pointer(g.loud), (k,), np.float64)
    if seen[i, j] < FIRST_BLOCKS or power[i] < ACTIVE * loud[i] or power[j] < ACTIVE * loud[j]:
        return
    alike = coherence(g, i, j)
    close = closeness(g, i, j)
    near = abs(balance) < math.log(APART)
    same = carray(pointer(g.same), (k, k), np.int64)
    same[i, j] = same[j, i] = 1 if near and alike > COHERENT else 0
    anchored = carray(pointer(g.anchored), (k,), np.int64)
    for a, b in ((i, j), (j, i)):
        if anchored[a]:
            continue
        difference = balance if a == i else -balance     # of the mic that learns, above its reference
        if (alike < INCOHERENT and close < ELSEWHERE) or difference < -math.log(APART):
            freed[a, b] = 1
            twin[a, b] = 0
        elif alike > COHERENT or close > TOGETHER:
            freed[a, b] = 0
            twin[a, b] = 1 if near else 0


@kernel
def observe(g, c, t, m):
    """Take block `m` in: decide shares, and which pairs may learn.

    Parameters
    ----------
    g : GUARD
    c : CANCELLER
    t : INSTANT
        Which has learnt from the block, and so holds the spectra of the mics.
    m : int64
    """
    k = g.channels
    x_re = carray(samples(t.x_re), (k, ROW))
    x_im = carray(samples(t.x_im), (k, ROW))
    g.blocks += 1
    _measure(g, c, m)
    evidence.gather(carray(record_at(g.evidence, evidence.EVIDENCE_TYPE), (1,))[0], c, m)
    _decide_shares(g, t, m)
    _sound(g, x_re, x_im)
    power = carray(pointer(g.power), (k,), np.float64)
    loud = carray(pointer(g.loud), (k,), np.float64)
    level = carray(pointer(g.level), (k,), np.float64)
    seen = carray(pointer(g.seen), (k, k), np.int64)
    balance = carray(pointer(g.balance), (k, k), np.float64)
    for i in range(k):
        if power[i] <= ACTIVE * loud[i] or level[i] < SILENT:
            continue
        for j in range(i + 1, k):
            if power[j] <= ACTIVE * loud[j] or level[j] < SILENT:
                continue
            _correlate(g, x_re, x_im, i, j)
            seen[i, j] += 1
            share = max(1.0 - g.coherence_kept, 1.0 / seen[i, j])
            balance[i, j] += share * (math.log(power[i] / power[j]) - balance[i, j])
    for i in range(k):
        for j in range(i + 1, k):
            if (i + j) % TURNS == m % TURNS:
                _judge_pair(g, i, j)


@kernel
def hold(g, m):
    """Keep the shares as they are: nothing was learnt from block `m`."""
    share = carray(samples(g.share), (HISTORY, g.channels))
    for i in range(g.channels):
        share[m % HISTORY, i] = share[(m - 1) % HISTORY, i]
