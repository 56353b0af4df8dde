"""Which pairs of mics may learn from each other: not those on one source, twins.

Two mics on one source have nothing to tell each other: what the one predicts in the other is the wanted sound. It
reaches both at nearly the same time, and so no pair learns whose cross-correlation has a peak there; bleed comes later
by the way between the players, in the one mic or in the other. Nor does a pair that is coherent in all bands at about
one level, or a louder mic from a softer one while only its own source plays.

One line on two inputs (a split, a panned or delayed copy, however soft, also through an equaliser) is both: wholly
coherent, and at close lags. So is a mic whose player rests where bleed is one number; who has been seen apart, or was
heard alone in the soundcheck, is taken for that as long as such a rest may last.

References
----------
Carter 1987, doi:10.1109/PROC.1987.13723 (magnitude-squared coherence).
Knapp & Carter 1976, doi:10.1109/TASSP.1976.1162830 (cross-correlation of two microphones by their spectra).
"""

import math

import numpy as np

from rtsep_kernels.canceller.guard.record import ALIKE, APART, BANDS, LAGS, ONE, PERHAPS_ONE, SEEN, TOLD, UNKNOWN
from rtsep_kernels.maths.vectors import fill
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.record import view

_TINY = 1e-30


@kernel
def compare(g, x_re, x_im, m):
    """Take block `m` into what is known of all pairs, and judge those whose turn it is.

    Parameters
    ----------
    g : GUARD
    x_re, x_im : float32[k, ROW]
        Spectra of the mics.
    m : int64
    """
    _sound(g, x_re, x_im)
    power = view(g, "power")
    seen = view(g, "seen")
    balance = view(g, "balance")
    for i in range(g.channels):
        if not _sounds(g, i):
            continue
        for j in range(i + 1, g.channels):
            if not _sounds(g, j):
                continue
            _correlate(g, x_re, x_im, i, j)
            seen[i, j] += 1
            fresh = max(1.0 - g.coherence_kept, 1.0 / seen[i, j])
            balance[i, j] += fresh * (math.log(power[i] / power[j]) - balance[i, j])
    for i in range(g.channels):
        for j in range(i + 1, g.channels):
            if (i + j) % g.turn_blocks == m % g.turn_blocks:
                _judge_pair(g, i, j)


@kernel
def _sounds(g, i):
    """Tell whether mic i is heard in this block, beside what it was of late and beside nothing at all."""
    return view(g, "power")[i] > g.active * view(g, "loud")[i] and view(g, "level")[i] >= g.silence


@kernel
def _spectra(g, i, j):
    """Return the cross-spectrum of mics i < j, real and imaginary, and the power of each while both sound."""
    auto = view(g, "auto")
    return view(g, "cross_re")[i, j], view(g, "cross_im")[i, j], auto[i, j], auto[j, i]


@kernel
def _clear_pair(g, i, j):
    """Bar a pair until it is seen incoherent again."""
    view(g, "seen")[i, j] = 0
    view(g, "balance")[i, j] = 0.0
    view(g, "freed")[i, j] = 0
    for values in _spectra(g, i, j):
        fill(values, np.float32(0))


@kernel
def _sound(g, x_re, x_im):
    """Update powers; clear the pairs of a mic that has become far louder than ever."""
    line = view(g, "line")
    power = view(g, "power")
    loud = view(g, "loud")
    for i in range(g.channels):
        power[i] = 0.0
        for n in range(g.lines):
            re = x_re[i, line[n]]
            im = x_im[i, line[n]]
            power[i] += re * re + im * im
        if g.known == 0 and power[i] > g.risen * loud[i]:
            for j in range(g.channels):
                if j != i:
                    _clear_pair(g, min(i, j), max(i, j))
        loud[i] = max(g.loud_kept * loud[i], power[i])


@kernel
def _correlate(g, x_re, x_im, i, j):
    """Take a block into the pair's spectra; the loudest count most, as a source may play seldom."""
    line = view(g, "line")
    re, im, auto_i, auto_j = _spectra(g, i, j)
    loud = view(g, "loud")
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
    """Return the median over bands of the magnitude-squared coherence of mics i < j; of an even number the upper."""
    re, im, auto_i, auto_j = _spectra(g, i, j)
    band = view(g, "band")
    above = view(g, "bands")[0]
    below = view(g, "bands")[1]
    count = band[g.lines - 1] + 1
    for one in range(BANDS):
        above[one] = 0.0
        below[one] = _TINY
    for n in range(g.lines):
        above[band[n]] += re[n] * re[n] + im[n] * im[n]
        below[band[n]] += auto_i[n] * auto_j[n]
    # By insertion: they are a dozen.
    for one in range(count):
        value = above[one] / below[one]
        place = one
        while place > 0 and above[place - 1] > value:
            above[place] = above[place - 1]
            place -= 1
        above[place] = value
    return above[count // 2]


@kernel
def closeness(g, i, j):
    """Return the largest correlation of mics i < j at lags at which they would stand at one source; 0 to 1."""
    re, im, auto_i, auto_j = _spectra(g, i, j)
    lag_re = view(g, "lag_re")
    lag_im = view(g, "lag_im")
    weighted = view(g, "weighted")
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
def is_soft(g, i):
    """Tell whether mic i is so much softer than a twin that, by powers alone, it looks like bleed of that."""
    twin = view(g, "twin")[i]
    balance = view(g, "balance")
    found = False
    for j in range(g.channels):
        above = balance[min(i, j), max(i, j)] if i < j else -balance[min(i, j), max(i, j)]
        found |= twin[j] != 0 and above < math.log(g.soft)
    return found


@kernel
def _is_one(g, i, j, coherent, close):
    """Tell whether mics i < j hear one line, and keep what is known of their being two."""
    parted = view(g, "parted")
    alike = view(g, "alike")
    if view(g, "seen")[i, j] < g.sure_blocks:
        return False
    if coherent > g.one and close > g.together:
        alike[i, j] += g.turn_blocks
        if alike[i, j] > g.rest_blocks:
            parted[i, j] = UNKNOWN
        return True
    alike[i, j] = 0
    if coherent < g.incoherent and parted[i, j] == UNKNOWN:
        parted[i, j] = SEEN
    return False


@kernel
def _judge_pair(g, i, j):
    """Free a pair that is seen incoherent, and bar one that is not any more."""
    power = view(g, "power")
    loud = view(g, "loud")
    silent = power[i] < g.active * loud[i] or power[j] < g.active * loud[j]
    if view(g, "seen")[i, j] < g.first_blocks or silent:
        return
    balance = view(g, "balance")[i, j]
    coherent = coherence(g, i, j)
    close = closeness(g, i, j)
    near = abs(balance) < math.log(g.apart)
    one = _is_one(g, i, j, coherent, close)
    told = view(g, "parted")[i, j] == TOLD
    pure_twin = view(g, "pure_twin")
    same = ALIKE if near and coherent > g.coherent else APART
    if one and coherent > g.exact:   # else a mixture may explain them, too
        same = ONE if view(g, "parted")[i, j] == UNKNOWN else PERHAPS_ONE
    pure_twin[i, j] = pure_twin[j, i] = same
    freed = view(g, "freed")
    twin = view(g, "twin")
    anchored = view(g, "anchored")
    for a, b in ((i, j), (j, i)):
        if anchored[a] and told:
            freed[a, b] = 0 if one else 1
            twin[a, b] = 1 if one else 0
            continue
        difference = balance if a == i else -balance     # of the mic that learns, above its reference
        far_softer = difference < -math.log(g.apart) and close < g.together
        if (coherent < g.incoherent and close < g.elsewhere) or far_softer:
            freed[a, b] = 1
            twin[a, b] = 0
        elif coherent > g.coherent or close > g.together:
            freed[a, b] = 0
            twin[a, b] = 1 if near or close > g.together else 0
