"""Keep the canceller honest: how much of it each mic gets, and which pairs of mics may learn from each other.

The two regressions of `evidence` tell how much of what is taken away from a mic is bleed. The share of the canceller
that the mic is given rises from 0 at `least` to 1 at `enough`, of the lesser of both. A mic that nothing is heard of
is left alone. Of the pairs see `twins`.
"""

import numpy as np

from rtsep_kernels.canceller.guard import evidence, twins
from rtsep_kernels.canceller.instant import mode
from rtsep_kernels.canceller.record import BLOCK, HISTORY
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.record import inner, view

FLAT = 3                 # equal samples in a row, at the mic's peak, that are a clipped wave: of any rate


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
    g.blocks += 1
    _measure(g, c, m)
    evidence.gather(inner(g, "evidence"), c, m)
    _decide_shares(g, t, m)
    twins.compare(g, view(t, "x_re"), view(t, "x_im"), m)


@kernel
def turn(g, h):
    """Know of mic h, whose polarity was flipped, what was known."""
    cross_re, cross_im = view(g, "cross_re"), view(g, "cross_im")
    for j in range(g.channels):
        for values in (cross_re[min(h, j), max(h, j)], cross_im[min(h, j), max(h, j)]):
            for n in range(values.shape[0]):
                values[n] = -values[n]


@kernel
def hold(g, m):
    """Keep the shares as they are: nothing was learnt from block `m`."""
    share = view(g, "share")
    for i in range(g.channels):
        share[m % HISTORY, i] = share[(m - 1) % HISTORY, i]


@kernel
def _measure(g, c, m):
    """Update levels, and what tells a clipped mic, from the samples of block m."""
    heard = view(c, "heard")
    level = view(g, "level")
    peak = view(g, "peak")
    clipped = view(g, "clipped")
    first = (m & (HISTORY - 1)) * BLOCK
    for i in range(g.channels):
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
        peak[i] = max(g.peak_kept * peak[i], float(top))
        if longest >= FLAT and top >= g.near_peak * peak[i] and xx > g.silence * BLOCK:
            clipped[i] = g.clipped_blocks
        else:
            clipped[i] = max(0, clipped[i] - 1)
        level[i] += max(1.0 - g.level_kept, 1.0 / g.blocks) * (xx / BLOCK - level[i])


@kernel
def _decide_shares(g, t, m):
    """Write the share of the canceller that each mic is given; a mode that is not in doubt has its own proof."""
    e = inner(g, "evidence")
    level = view(g, "level")
    silent = view(g, "silent")
    in_mode = view(t, "instant")
    before = view(g, "mode_before")
    anchored = view(g, "anchored")
    share = view(g, "share")[m % HISTORY]
    for i in range(g.channels):
        silent[i] = 1 if level[i] < g.silence else 0
        if in_mode[i] != before[i]:
            evidence.clear(e, i)    # it was of other paths
            before[i] = in_mode[i]
        alike, innovations = evidence.regressions(e, i)
        given = min(
            (alike - g.least_alike) / (g.enough_alike - g.least_alike),
            (innovations - g.least_innovations) / (g.enough_innovations - g.least_innovations),
        )
        given = min(max(given, 0.0), 1.0)
        if anchored[i]:
            given = 1.0     # a soundcheck says so, and nothing has moved: players in unison do not change that
        else:
            given = max(given, mode.proven(t, i))
        share[i] = np.float32(0) if silent[i] else np.float32(given)
