"""Solve for the gains of the soundcheck's paths (see `watch`), and tell what has moved: rows, columns, faders.

One path alone says nothing: two players in unison have much in common. So half of a row or column has to agree.
"""

import numpy as np

from rtsep_kernels.canceller.refine.doubt import change_paths, count_cells, is_known
from rtsep_kernels.canceller.refine.record import BANDS
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.record import view

_NO_CELLS = 1e-9   # it is divided by their number
_ECHO = 0.5        # of what is off most: what is off by less is its echo, as one gain takes what another leaves
_LEAST_GAIN = 0.1  # of a column, that it is divided by: no fader is turned up by more than 20 dB at once


@kernel
def judge_moves(s):
    """Find rows and columns that have moved, and faders; set the change of the paths, which is then blended in."""
    moved = view(s, "moved")      # rows, columns
    turned = view(s, "turned")
    for i in range(s.channels):
        for band in range(BANDS):
            solve_gains(s, i, band)
        moved[0, i] = 0
        moved[1, i] = 0
        turned[i] = 1.0
    # A column that has moved is not held against the rows that it crosses.
    most = _flag(s, 1, 0.0, moved)
    _flag(s, 0, most, moved)
    found = 0
    for m in range(s.channels):
        _find_fader(s, m, moved, turned)
        if turned[m] != 1.0:
            moved[0, m] = 0
            moved[1, m] = 0
        if turned[m] != 1.0 or moved[0, m] or moved[1, m]:
            found += 1
    if found > 0:
        change_paths(s, moved, turned)


@kernel
def solve_gains(s, i, band):
    """Solve for the gains of one mic and band; unknown paths have none."""
    k = s.channels
    normal = view(s, "normal")
    a = view(s, "gauss")
    gain = view(s, "gain")[i]
    cells = view(s, "cells")[i]
    for j in range(k):
        for h in range(k + 1):
            a[j, h] = 0.0
            if is_known(s, i, j) and (h == k or is_known(s, i, h)):
                for slot in range(min(s.age, s.span)):
                    a[j, h] += normal[slot, i, band, j, h]
        cells[j, band] = a[j, j]
        a[j, j] += s.certain
        a[j, k] += s.certain
    # Elimination without pivots: the matrix is positive definite. (`maths.linear.solve` would round otherwise.)
    for p in range(k):
        for j in range(k):
            if j != p:
                factor = a[j, p] / a[p, p]
                for h in range(p, k + 1):
                    a[j, h] -= factor * a[p, h]
    for j in range(k):
        gain[j, band] = a[j, k] / a[j, j]


@kernel
def _place(m, other, along):
    """Return the path that mic m shares with another: into m (a row, `along` 0), or out of it (a column)."""
    return (m, other) if along == 0 else (other, m)


@kernel
def _off(s, i, j):
    """Return how far the path's mean gain is off 1."""
    gain = view(s, "gain")[i, j]
    cells = view(s, "cells")[i, j]
    total = 0.0
    for band in range(BANDS):
        total += cells[band] * (gain[band] - 1.0)
    return abs(total) / (count_cells(s, i, j) + _NO_CELLS)


@kernel
def _votes(s, m, other, along, moved):
    """Tell whether the path to or from another mic is heard well enough, and has not moved for the other's sake."""
    i, j = _place(m, other, along)
    return other != m and moved[1 - along, other] == 0 and count_cells(s, i, j) > s.heard


@kernel
def deviation(s, m, along, moved):
    """Return what at least half of the paths of a row or column are off 1; 0 where fewer than two say anything.

    Two mics share but one path each way: both have to agree.
    """
    if s.channels == 2:
        heard = count_cells(s, 0, 1) > s.heard and count_cells(s, 1, 0) > s.heard
        return min(_off(s, 0, 1), _off(s, 1, 0)) if heard else 0.0
    count = 0
    for other in range(s.channels):
        count += 1 if _votes(s, m, other, along, moved) else 0
    if count < 2:
        return 0.0
    # The lower median of a few numbers, without a place to sort them in. (`maths.median.middle` has the mean of two.)
    for one in range(s.channels):
        if _votes(s, m, one, along, moved):
            i, j = _place(m, one, along)
            value = _off(s, i, j)
            below = 0
            for other in range(s.channels):
                if other != one and _votes(s, m, other, along, moved):
                    i, j = _place(m, other, along)
                    found = _off(s, i, j)
                    below += 1 if found < value or (found == value and other < one) else 0
            if below == (count - 1) // 2:
                return value
    return 0.0


@kernel
def _common_gain(s, m, along, moved):
    """Return a row's or column's mean gain, how far its gains differ from it, and their cells: 1, 0, 0 if too few."""
    gain = view(s, "gain")
    cells = view(s, "cells")
    count = 0
    weight = mean = square = 0.0
    for other in range(s.channels):
        if _votes(s, m, other, along, moved):
            count += 1
            i, j = _place(m, other, along)
            for band in range(BANDS):
                weight += cells[i, j, band]
                mean += cells[i, j, band] * gain[i, j, band]
                square += cells[i, j, band] * gain[i, j, band] * gain[i, j, band]
    if count < min(2, s.channels - 1):
        return 1.0, 0.0, 0.0
    mean /= weight
    return mean, np.sqrt(max(square / weight - mean * mean, 0.0)), weight


@kernel
def _flag(s, along, most, moved):
    """Mark the rows or columns that have moved: what is off by less than half of the most is its echo."""
    flags = moved[along]
    for m in range(s.channels):
        most = max(most, deviation(s, m, along, moved))
    for m in range(s.channels):
        flags[m] = 1 if deviation(s, m, along, moved) > max(s.off_moved, _ECHO * most) else 0
    return most


@kernel
def _find_fader(s, m, moved, turned):
    """Set `turned[m]` to what the mic's level was multiplied by.

    What has moved is not heard better through its old path: a column whose gain has risen is a fader's, too.
    """
    settling = view(s, "settling")
    into, spread, cells = _common_gain(s, m, 0, moved)
    out, spread_out, cells_out = _common_gain(s, m, 1, moved)
    if moved[0, m] and spread < s.off_uniform and into > 0.0 and abs(into - 1.0) > s.off_turned:
        turned[m] = into
    elif moved[1, m] and out > 1.0 + s.off_turned:
        turned[m] = 1.0 / out
    elif settling[m] and s.age >= s.span and cells + cells_out > 0.0:
        # All that is looked at is of after the move: row and column, as much as each has to say.
        settling[m] = 0
        level = (cells * into + cells_out / max(out, _LEAST_GAIN)) / (cells + cells_out)
        if max(spread, spread_out) < s.off_uniform and abs(level - 1.0) > s.off_settled:
            turned[m] = level
    if abs(turned[m] - 1.0) > s.off_turned:
        settling[m] = 1
