"""How what changes comes in: from what was heard before to what is heard now without a step, and without any delay.

The canceller's filters change block by block; what they subtract would jump where one takes the other's place. So in
the block that begins with a change the sums (see `sums`) are formed twice where filters differ: as they are from now
on, and what is *gone*, by which the old filters' sum exceeds it. That is added under half a Hann window, from 1 to 0.

The window costs nothing. A partition's transform has its results in its second half; the first half is never heard.
A Hann window over all of it is 1 at the border and 0 at the end, and over a spectrum a sum of three bins: so what is
gone needs no transform of its own.

    taps 0..63       faded over the first 64 samples of the block: what goes in is shared between old and new filters
    taps 64..1023    the same 64 samples: one partition's second half
    taps 1024..      the 512 samples of the next block, as their sums are formed a block ahead
"""

import numpy as np

from rtsep_kernels.maths.vectors import fill
from rtsep_kernels.plane.jit import inlined, kernel
from rtsep_kernels.plane.memory import fma


@inlined
def rising(share):
    """Return 0 to 1 for 0 to 1, without a corner at either end."""
    return share * share * (np.float32(3) - np.float32(2) * share)


@kernel
def clear(re, im):
    """Make a spectrum nothing."""
    fill(re, np.float32(0))
    fill(im, np.float32(0))


@kernel
def add_changed(re, im, gone_re, gone_im, a_re, a_im, new_re, new_im, old_re, old_im, count):
    """Add what a new filter makes of a spectrum, and to what is gone by how much the old one makes more of it."""
    for b in range(count):
        ar = a_re[b]
        ai = a_im[b]
        nr = new_re[b]
        ni = new_im[b]
        dr = old_re[b] - nr
        di = old_im[b] - ni
        re[b] = fma(ar, nr, fma(-ai, ni, re[b]))
        im[b] = fma(ar, ni, fma(ai, nr, im[b]))
        gone_re[b] = fma(ar, dr, fma(-ai, di, gone_re[b]))
        gone_im[b] = fma(ar, di, fma(ai, dr, gone_im[b]))


@kernel
def join_fading(re, im, gone_re, gone_im, spectrum, bins):
    """Write an interleaved spectrum of which the second half in time is that of the sum, with what is gone faded out.

    Parameters
    ----------
    re, im : float32[bins]
        The sum.
    gone_re, gone_im : float32[bins]
    spectrum : float32[2 * bins]
    bins : int64
        From 0 to half the sampling rate: beyond both ends the spectrum is its own mirror image.
    """
    half = np.float32(0.5)
    quarter = np.float32(0.25)
    last = bins - 1
    for b in range(1, last):
        spectrum[2 * b] = re[b] + half * gone_re[b] - quarter * (gone_re[b - 1] + gone_re[b + 1])
        spectrum[2 * b + 1] = im[b] + half * gone_im[b] - quarter * (gone_im[b - 1] + gone_im[b + 1])
    spectrum[0] = re[0] + half * (gone_re[0] - gone_re[1])
    spectrum[1] = np.float32(0)
    spectrum[2 * last] = re[last] + half * (gone_re[last] - gone_re[last - 1])
    spectrum[2 * last + 1] = np.float32(0)
