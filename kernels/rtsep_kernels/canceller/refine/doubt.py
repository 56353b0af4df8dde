"""Let go of what has moved since the soundcheck, and follow faders: what `moves` has found changes paths and doubts."""

import numpy as np

from rtsep_kernels.canceller.kalman import MOST
from rtsep_kernels.canceller.record import BINS as PART_BINS
from rtsep_kernels.canceller.record import ROW as PART_ROW
from rtsep_kernels.canceller.refine.record import BANDS, CHUNK
from rtsep_kernels.maths.vectors import fill
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.record import inner, view

_UNKNOWN = np.float32(0.02)  # of the prior: it may be there where the old path was not


@kernel
def is_known(s, i, j):
    """Tell whether the soundcheck's path is believed in, and held."""
    held = view(inner(s, "paths"), "held")[i, j]
    anchored, in_mode = view(s, "anchored")[i], view(s, "instant")[i]
    return held != 0 and anchored != 0 and in_mode == 0 and view(s, "doubt")[i, j] < s.sure


@kernel
def count_cells(s, i, j):
    """Return how much of what was heard speaks of the path, in cells."""
    cells = view(s, "cells")[i, j]
    total = 0.0
    for band in range(BANDS):
        total += cells[band]
    return total


@kernel
def change_paths(s, moved, turned):
    """Scale the paths of faders that were moved, and doubt those that lead to or from what has moved.

    A mic of which less than half of the paths are left learns as if there had been no soundcheck.
    """
    k = s.channels
    anchor = view(s, "anchor")
    since = view(s, "since")
    for i in range(k):
        lost = left = 0
        for j in range(k):
            if is_known(s, i, j):
                if moved[0, i] or moved[1, j]:
                    lost += 1
                else:
                    left += 1
        dropped = lost > 0 and 2 * left < k - 1
        for j in range(k):
            scale = turned[i] / turned[j]
            if is_known(s, i, j) and (moved[0, i] or moved[1, j] or dropped):
                scale *= doubt_path(s, i, j)
                since[i] = max(since[i], s.have - CHUNK)
            for n in range(anchor.shape[2]):
                anchor[i, j, n] *= np.float32(scale)
            _set_change(s, i, j, np.float32(scale - 1.0))
        if dropped:
            drop_anchor(s, i)
    for m in range(k):
        if turned[m] != 1.0:
            # What was heard before was heard at another level.
            s.age = 0
            for i in range(k):
                since[i] = max(since[i], s.have - s.soon * CHUNK)
    s.moves += 1


@kernel
def _set_change(s, i, j, part):
    """Let the Kalman filter's path change by `part` of itself."""
    paths = inner(s, "paths")
    w_re, w_im = view(paths, "w_re"), view(paths, "w_im")
    re, im = view(s, "change_re"), view(s, "change_im")
    for p in range(s.partitions):
        for b in range(PART_ROW):
            re[p, i, j, b] = part * w_re[p, i, j, b]
            im[p, i, j, b] = part * w_im[p, i, j, b]


@kernel
def doubt_path(s, i, j):
    """Let go of a path: another, about as loud at these frequencies and times, takes its place.

    Returns
    -------
    float64
        How much of the old one still fits.
    """
    gain = view(s, "gain")[i, j]
    cells = view(s, "cells")[i, j]
    _doubt_taps(s, i, j)
    fill(view(s, "anchor")[i, j], np.float32(0))
    view(s, "doubt")[i, j] = np.float32(1)
    total_gain = 0.0
    for band in range(BANDS):
        total_gain += cells[band] * gain[band]
    # One cell more: of what was not heard, nothing is kept.
    return min(max(total_gain / (count_cells(s, i, j) + 1.0), 0.0), 1.0)


@kernel
def _doubt_taps(s, i, j):
    """Raise the Kalman filter's doubts to the path's own power, smoothed, and some of the prior."""
    paths = inner(s, "paths")
    re, im = view(paths, "w_re"), view(paths, "w_im")
    doubts = view(paths, "p")
    prior = view(paths, "prior")
    power = view(s, "density")
    for p in range(s.partitions):
        for b in range(PART_BINS):
            power[b] = re[p, i, j, b] * re[p, i, j, b] + im[p, i, j, b] * im[p, i, j, b]
        for b in range(PART_BINS):
            first = max(b - s.smooth, 0)
            last = min(b + s.smooth + 1, PART_BINS)
            total = np.float32(0)
            for n in range(first, last):
                total += power[n]
            likely = min(total / np.float32(last - first) + _UNKNOWN * prior[p], MOST * prior[p])
            doubts[p, i, j, b] = max(doubts[p, i, j, b], likely)


@kernel
def drop_anchor(s, i):
    """Let mic i learn as if there had been no soundcheck: most of its paths have moved."""
    paths = inner(s, "paths")
    view(s, "anchored")[i] = 0
    view(paths, "drift")[i] = s.blind_drift
    fill(view(paths, "memory")[i], s.blind_memory)
