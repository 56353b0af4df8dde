"""Models of powers fitted to a whole passage at once: the offline forms of KAMIR, MIRA and FastMIRA."""

import numpy as np
from numba import types

from rtsep_kernels.maths.median import across
from rtsep_kernels.plane.jit import kernel, signed
from rtsep_kernels.powers import (
    LEAST,
    MIRA,
    ROWS,
    WIDTH,
    first_sources,
    gather,
    improve,
    mix,
    norm_columns,
    norm_rows,
    steep,
)

_ONE, _ZERO = np.float32(1), np.float32(0)
_F3, _I2 = types.float32[:, :, ::1], types.int64[:, ::1]
_TINY = np.float32(1e-30)


@kernel
def _load(power, first, size, v):
    """Copy bins into v [frames, mics, WIDTH], each at a mean level of 1, and return the levels.

    The level changes no gain and no leak. LEAST keeps silence out of the divisions.
    """
    mics, frames = power.shape[0], power.shape[1]
    level = np.zeros(WIDTH, np.float64)
    for i in range(mics):
        for t in range(frames):
            given = power[i, t, first : first + size]
            for b in range(size):
                level[b] += given[b]
    scale = np.ones(WIDTH, np.float32)
    for b in range(size):
        scale[b] = np.float32(level[b] / (mics * frames)) + _TINY
    if size < WIDTH:
        v[:] = _ONE
    for i in range(mics):
        for t in range(frames):
            given, loaded = power[i, t, first : first + size], v[t, i]
            for b in range(size):
                loaded[b] = given[b] / scale[b] + LEAST
    return scale


@kernel
def _smooth(p, series, ordered):
    """Replace the powers of each source and bin by their median over as many frames as `ordered` has."""
    frames = p.shape[0]
    for j in range(p.shape[1]):
        for b in range(WIDTH):
            for t in range(frames):
                series[0, t] = p[t, j, b]
            across(series[0], frames, ordered, series[1])
            for t in range(frames):
                p[t, j, b] = series[1, t]


@signed(types.void(types.int64, _F3, _I2, _F3, types.int64, types.int64, types.float32, types.float32, types.boolean,
                   types.int64, _F3))
def fit(method, power, close, leak, rounds, updates, sparsity, least_leak, rows_to_1, median, found):
    """Fit leaks and powers to a passage.

    `method` is KAMIR or MIRA. power float32[mics, frames, bins] are |X|², close int64[mics, sources] says whose close
    mic each is. leak float32[mics, sources, bins] holds the leaks to start from, and then those found; with
    `updates` 0 they stay. In each of `rounds` the powers go one step, then the leaks `updates` steps. `median` frames
    are smoothed over (1: none). found float32[sources, frames, bins] gets the powers.
    """
    mics, frames, bins = power.shape
    count = close.shape[1]
    v = np.empty((frames, mics, WIDTH), np.float32)
    p = np.empty((frames, count, WIDTH), np.float32)
    here = np.empty((mics, count, WIDTH), np.float32)
    above, below = np.empty_like(here), np.empty_like(here)
    scale = np.empty((count, WIDTH), np.float32)
    work = np.empty((ROWS + 3 * mics, WIDTH), np.float32)
    series, ordered = np.empty((2, frames), np.float32), np.empty(median, np.float32)
    for first in range(0, bins, WIDTH):
        size = min(WIDTH, bins - first)
        level = _load(power, first, size, v)
        here[:] = _ONE
        here[:, :, :size] = leak[:, :, first : first + size]
        for t in range(frames):
            first_sources(v[t], close, p[t])
        for _ in range(rounds):
            for t in range(frames):
                improve(method, v[t], close, here, p[t], sparsity, LEAST, work)
            if median > 1:
                _smooth(p, series, ordered)
            for _ in range(updates):
                above[:] = _ZERO
                below[:] = _ZERO
                for t in range(frames):
                    mix(here, p[t], work)
                    gather(v[t], p[t], above, below, work)
                for i in range(mics):
                    for j in range(count):
                        for b in range(WIDTH):
                            here[i, j, b] *= above[i, j, b] / below[i, j, b]
                if method == MIRA:
                    norm_columns(here, scale)
                    for t in range(frames):
                        for j in range(count):
                            for b in range(WIDTH):
                                p[t, j, b] *= scale[j, b]
                else:
                    norm_rows(here, least_leak, rows_to_1)
        leak[:, :, first : first + size] = here[:, :, :size]
        for t in range(frames):
            for j in range(count):
                told = found[j, t, first : first + size]
                for b in range(size):
                    told[b] = p[t, j, b] * level[b]


@signed(types.void(_F3, _F3, _I2, types.boolean, _F3))
def gains(leak, found, pairs, logistic, result):
    """Write the Wiener gains float32[pairs, frames, bins] of mics and sources int64[pairs, 2], or their logistic form.

    leak float32[mics, sources, bins], found float32[sources, frames, bins].
    """
    count, frames, bins = found.shape
    for n in range(pairs.shape[0]):
        i, j = pairs[n]
        for t in range(frames):
            model = result[n, t]
            for b in range(bins):
                model[b] = _TINY
            for other in range(count):
                gain, power = leak[i, other], found[other, t]
                for b in range(bins):
                    model[b] += gain[b] * power[b]
            gain, power = leak[i, j], found[j, t]
            for b in range(bins):
                model[b] = gain[b] * power[b] / model[b]
            if logistic:
                for b in range(bins):
                    model[b] = steep(model[b])
