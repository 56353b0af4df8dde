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

from rtsep_kernels.canceller.record import BLOCK, HISTORY
from rtsep_kernels.maths.vectors import fill
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import call_fft
from rtsep_kernels.plane.record import address, array, f4, f8, i8, number, record, scratch, view

HOPS = 4                 # in a frame, which is the window's length
LAG = 2                  # hops: frames that overlap by half
LINES = 560              # most bins that are looked at: a bound of arrays, and of the work
ALIKE, NEW = 0, 1        # rows of sums: all cells alike, and innovations
_TINY = np.float32(1e-9)

EVIDENCE = record(
    channels=number(), blocks=number(),                   # blocks of BLOCK samples in a hop
    size=number(),                                        # of a frame, samples
    first=number(), lines=number(),                       # bins looked at
    window=array(f4, "size"), time=scratch(f4, "size"), spectrum=scratch(f4, "size + 32"),
    plan=address(), forward=address(),
    x=array(f4, "channels", LAG, 2, LINES, start=0),      # the last frames, real and imaginary
    y=array(f4, "channels", LAG, 2, LINES, start=0),
    new_x=scratch(f4, 2, LINES), new_y=scratch(f4, 2, LINES),
    along=array(f4, "channels", 2, LINES, start=0),       # sum of Y(t) conj(Y(t - LAG))
    power=array(f4, "channels", LINES, start=0),          # sum of |Y(t - LAG)|^2
    mean=array(f4, "channels", LINES, start=0),           # of |X|^2
    agree=array(f8, 2, "channels", start=0),              # sums of Re(X conj(B)) w, see above
    own=array(f8, 2, "channels", start=0),                # and of |B|^2 w
    frames=array(i8, "channels", start=0),                # taken
    # Tuning: the stage's, which says what each is and where it comes from; per hop.
    along_kept=number(f4), sums_kept=number(f8), mean_kept=number(f4), floor=number(f4),
)


@kernel
def _transform(e, source, m, re, im):
    """Write the spectrum, in the bins that are looked at, of the frame that ends with block m of a ring."""
    size = e.size
    window = view(e, "window")
    time = view(e, "time")
    spectrum = view(e, "spectrum")
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
    agree = view(e, "agree")
    own = view(e, "own")
    along = view(e, "along")[i]
    power = view(e, "power")[i]
    mean = view(e, "mean")[i]
    frames = view(e, "frames")[i]
    fresh = max(np.float32(1) - e.mean_kept, np.float32(1) / np.float32(frames + 1))
    alike = alike_own = new = new_own = 0.0
    for b in range(e.lines):
        x_power = x[0, b] * x[0, b] + x[1, b] * x[1, b]
        y_power = y[0, b] * y[0, b] + y[1, b] * y[1, b]
        mean[b] += fresh * (x_power - mean[b])
        b_re = x[0, b] - y[0, b]
        b_im = x[1, b] - y[1, b]
        weight = np.float32(1) / (x_power + y_power + e.floor * mean[b] + _TINY)
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
            along[0, b] = e.along_kept * along[0, b] + y[0, b] * old_y[0, b] + y[1, b] * old_y[1, b]
            along[1, b] = e.along_kept * along[1, b] + y[1, b] * old_y[0, b] - y[0, b] * old_y[1, b]
            power[b] = e.along_kept * power[b] + old_y[0, b] * old_y[0, b] + old_y[1, b] * old_y[1, b]
    agree[ALIKE, i] = e.sums_kept * agree[ALIKE, i] + alike
    own[ALIKE, i] = e.sums_kept * own[ALIKE, i] + alike_own
    agree[NEW, i] = e.sums_kept * agree[NEW, i] + new
    own[NEW, i] = e.sums_kept * own[NEW, i] + new_own


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
    heard = view(c, "heard")
    cleaned = view(c, "history")
    old_x = view(e, "x")
    old_y = view(e, "y")
    x = view(e, "new_x")
    y = view(e, "new_y")
    frames = view(e, "frames")
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
    agree = view(e, "agree")
    own = view(e, "own")
    return agree[ALIKE, i] / (own[ALIKE, i] + 1e-3), agree[NEW, i] / (own[NEW, i] + 1e-6)


@kernel
def begin(e, i):
    """Begin anew with the frames of mic i: what was heard last was no sound of the stage."""
    view(e, "frames")[i] = 0
    for part in range(2):
        fill(view(e, "along")[i, part], np.float32(0))
    fill(view(e, "power")[i], np.float32(0))


@kernel
def clear(e, i):
    """Know nothing of mic i."""
    agree = view(e, "agree")
    own = view(e, "own")
    for kind in (ALIKE, NEW):
        agree[kind, i] = 0.0
        own[kind, i] = 0.0
