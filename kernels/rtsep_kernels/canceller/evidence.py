"""What speaks for the canceller at each mic: two regressions of what came on what is taken away.

With x a mic, y as it was cleaned by paths that had not learnt from these samples, b = x - y, and their spectra,

    rho = sum Re(X conj(B)) w / sum |B|^2 w

tends to 1 where b is bleed and to 0 where it is noise, or has nothing to do with what is heard. Two kinds of it
are kept, with a memory of some seconds:

*All cells alike*, w = 1 / (|X|^2 + |Y|^2): the many cells in which the mic's own sound is soft decide.

*Innovations.* While a note lasts, paths follow it, and take away of the mic's own sound what another player's note
on the same pitch predicts of it: such a b agrees with x. It does so no more when the next notes begin. So X and B
are replaced by what is new in them, X(t) - c X(t - LAG) and B(t) - c B(t - LAG), with c in each bin the regression
of Y(t) on Y(t - LAG) over the last quarter of a second, and w = 1: there the loud cells decide, which a wrong path
hurts most.
"""

import math

import numpy as np
from numba import carray, from_dtype

from rtsep_kernels.canceller.apply import BLOCK, HISTORY
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import call_fft, pointer, samples

HOPS = 4                 # in a frame, which is the window's length
LAG = 2                  # hops: frames that overlap by half
LINES = 560              # most bins that are looked at
_FLOOR = np.float32(1e-3)   # of the bin's mean power
_LEVEL_KEPT = np.float32(0.98)   # of that mean, a frame
_TINY = np.float32(1e-9)

EVIDENCE = np.dtype([
    ("channels", np.int64), ("blocks", np.int64),    # blocks of BLOCK samples in a hop
    ("first", np.int64), ("lines", np.int64),        # bins looked at
    ("window", np.int64),                            # float32[frame]
    ("time", np.int64), ("spectrum", np.int64),      # scratch: float32[frame], float32[frame + 32]
    ("plan", np.int64), ("forward", np.int64),
    ("x", np.int64), ("y", np.int64),                # float32[k, LAG, 2, LINES]: the last frames, real and imaginary
    ("new_x", np.int64), ("new_y", np.int64),        # scratch: float32[2, LINES]
    ("along", np.int64),                             # float32[k, 2, LINES]: sum of Y(t) conj(Y(t - LAG))
    ("power", np.int64),                             # float32[k, LINES]: sum of |Y(t - LAG)|^2
    ("mean", np.int64),                              # float32[k, LINES]: of |X|^2
    ("kept", np.float32), ("memory", np.float64),    # a hop: of the regression of Y on its past, and of the sums
    ("agree", np.int64), ("own", np.int64),          # float64[2, k]: sums of Re(X conj(B)) w, |B|^2 w; see above
    ("frames", np.int64),                            # int64[k]: taken
], align=True)
EVIDENCE_TYPE = from_dtype(EVIDENCE)


@kernel
def _transform(e, source, m, re, im):
    """Write the spectrum, in the bins that are looked at, of the frame that ends with block m of a ring."""
    size = HOPS * e.blocks * BLOCK
    window = carray(samples(e.window), (size,))
    time = carray(samples(e.time), (size,))
    spectrum = carray(samples(e.spectrum), (size + 32,))
    first = (m + 1) * BLOCK - size
    for n in range(size):
        time[n] = window[n] * source[(first + n) & (HISTORY * BLOCK - 1)]
    call_fft(e.forward, e.plan, e.time, e.spectrum)
    for b in range(e.lines):
        re[b] = spectrum[2 * (e.first + b)]
        im[b] = spectrum[2 * (e.first + b) + 1]


@kernel
def _compare(e, i, x, y, old_x, old_y):
    """Take a frame of mic i into the sums."""
    k = e.channels
    agree = carray(pointer(e.agree), (2, k), np.float64)
    own = carray(pointer(e.own), (2, k), np.float64)
    along = carray(samples(e.along), (k, 2, LINES))[i]
    power = carray(samples(e.power), (k, LINES))[i]
    mean = carray(samples(e.mean), (k, LINES))[i]
    frames = carray(pointer(e.frames), (k,), np.int64)[i]
    fresh = max(np.float32(1) - _LEVEL_KEPT, np.float32(1) / np.float32(frames + 1))
    alike = alike_own = new = new_own = 0.0
    for b in range(e.lines):
        x_power = x[0, b] * x[0, b] + x[1, b] * x[1, b]
        y_power = y[0, b] * y[0, b] + y[1, b] * y[1, b]
        mean[b] += fresh * (x_power - mean[b])
        b_re = x[0, b] - y[0, b]
        b_im = x[1, b] - y[1, b]
        weight = np.float32(1) / (x_power + y_power + _FLOOR * mean[b] + _TINY)
        alike += weight * (x[0, b] * b_re + x[1, b] * b_im)
        alike_own += weight * (b_re * b_re + b_im * b_im)
        if frames >= LAG:
            # At most 1: where a note begins, what was before it says nothing.
            c_re = along[0, b]
            c_im = along[1, b]
            scale = np.float32(1) / (max(power[b], math.sqrt(c_re * c_re + c_im * c_im)) + _TINY)
            c_re *= scale
            c_im *= scale
            # What was heard and what was taken away, less what the frame before let expect.
            u_re = x[0, b] - c_re * old_x[0, b] + c_im * old_x[1, b]
            u_im = x[1, b] - c_re * old_x[1, b] - c_im * old_x[0, b]
            p_re = old_x[0, b] - old_y[0, b]
            p_im = old_x[1, b] - old_y[1, b]
            v_re = b_re - c_re * p_re + c_im * p_im
            v_im = b_im - c_re * p_im - c_im * p_re
            new += u_re * v_re + u_im * v_im
            new_own += v_re * v_re + v_im * v_im
            along[0, b] = e.kept * along[0, b] + y[0, b] * old_y[0, b] + y[1, b] * old_y[1, b]
            along[1, b] = e.kept * along[1, b] + y[1, b] * old_y[0, b] - y[0, b] * old_y[1, b]
            power[b] = e.kept * power[b] + old_y[0, b] * old_y[0, b] + old_y[1, b] * old_y[1, b]
    agree[0, i] = e.memory * agree[0, i] + alike
    own[0, i] = e.memory * own[0, i] + alike_own
    agree[1, i] = e.memory * agree[1, i] + new
    own[1, i] = e.memory * own[1, i] + new_own


@kernel
def gather(e, c, m):
    """Take the frames that end with block m: each mic has its turn once in a hop, so that the work is even.

    Parameters
    ----------
    e : EVIDENCE
    c : CANCELLER
    m : int64
    """
    k = e.channels
    heard = carray(samples(c.heard), (k, HISTORY * BLOCK))
    cleaned = carray(samples(c.history), (k, HISTORY * BLOCK))
    old_x = carray(samples(e.x), (k, LAG, 2, LINES))
    old_y = carray(samples(e.y), (k, LAG, 2, LINES))
    x = carray(samples(e.new_x), (2, LINES))
    y = carray(samples(e.new_y), (2, LINES))
    frames = carray(pointer(e.frames), (k,), np.int64)
    for i in range(k):
        if (m + i) % e.blocks:
            continue
        _transform(e, heard[i], m, x[0], x[1])
        _transform(e, cleaned[i], m, y[0], y[1])
        slot = frames[i] % LAG
        _compare(e, i, x, y, old_x[i, slot], old_y[i, slot])
        for part in range(2):
            for b in range(e.lines):
                old_x[i, slot, part, b] = x[part, b]
                old_y[i, slot, part, b] = y[part, b]
        frames[i] += 1


@kernel
def regressions(e, i):
    """Return rho of mic i over all cells alike, and over innovations; 0 where nothing was taken away."""
    agree = carray(pointer(e.agree), (2, e.channels), np.float64)
    own = carray(pointer(e.own), (2, e.channels), np.float64)
    return agree[0, i] / (own[0, i] + 1e-3), agree[1, i] / (own[1, i] + 1e-6)


@kernel
def clear(e, i):
    """Know nothing of mic i."""
    agree = carray(pointer(e.agree), (2, e.channels), np.float64)
    own = carray(pointer(e.own), (2, e.channels), np.float64)
    for kind in range(2):
        agree[kind, i] = 0.0
        own[kind, i] = 0.0
