"""Notice what has moved since the soundcheck, and let go of just that.

Each chunk of a mic is explained by the parts that the soundcheck's paths make of the other mics' own sounds, each with
a real gain of its own:

    x_i = own sound + sum over j of g_ij (anchor_ij * y_j),    all cells counted by 1 / power, in four bands

The gains are 1 while the room is what it was, whatever the Kalman filter has made of the paths since. Who walks, or
turns, changes the paths from him to all mics: a column. Where a mic is moved, those from all players to it: a row.
Their gains fall, by band and path as chance has it. A fader that goes to f times what it was makes one gain of a
whole row, f, and one of a whole column, 1 / f: then nothing is unknown but a number.

One path alone says nothing: two players in unison have much in common. So half of a row or column has to agree.
"""

import numpy as np
from numba import carray

from rtsep_kernels.canceller.refine.adopt import is_in_band
from rtsep_kernels.canceller.refine.record import (
    BAND_EDGES,
    BANDS,
    CHUNK,
    FRAME,
    FRAME_ROW,
    FRAMES_PER_CHUNK,
    PART_BINS,
    PART_ROW,
    RING,
    ROW,
    SIZE,
    TAPS,
    WATCHED,
)
from rtsep_kernels.canceller.refine.solve import FFT, FFT_FRAME, PRODUCT, put_together, take_apart, window_into
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import call_fft, fma, pointer, samples

_KNOWN = np.float32(0.1)     # a path whose doubt is less is expected to hold
_LEAST = 400.0               # cells in which a part must be the loudest: fewer say nothing of its path
_PLAYS = np.float32(0.3)     # of a mic's power is left when it is cleaned: its own player does not rest
_CERTAIN = 0.5               # as many cells speak for a gain of 1 before any is heard
_MOVED = 0.25                 # off 1: right paths stay below 0.11, a walk of 1.5 m reaches 0.5
_TURNED = 0.15               # off 1: a fader was moved
_SETTLED = 0.03              # the same, of one that was just moved: its first figure is of before and after
_UNIFORM = 0.1               # the gains of a row that a fader makes differ less
_SOON = 2                    # chunks that a judgement needs
_SMOOTH = 16                 # bins to both sides: a path that has changed is as loud as it was, about there
_UNKNOWN = np.float32(0.02)  # of the prior: it may be there where the old one was not
_LARGEST = np.float32(10)    # of the prior, as in `adapt`


@kernel
def _is_known(s, i, j):
    """Tell whether the soundcheck's path is believed in, and held."""
    k = s.channels
    anchored = carray(pointer(s.anchored), (k,), np.int64)[i]
    linear = carray(pointer(s.linear), (k,), np.int64)[i]
    chosen = carray(pointer(s.chosen), (k, k), np.int64)[i, j]
    return chosen != 0 and anchored != 0 and linear == 0 and carray(samples(s.doubt), (k, k))[i, j] < _KNOWN


@kernel
def _next_chunk(s):
    """Return the chunk to be watched next: every one up to eight mics, fewer beyond, as the work grows."""
    return max(s.watched, (s.base + CHUNK - 1) // CHUNK + 1)


@kernel
def is_due(s):
    """Tell whether a chunk waits to be watched."""
    anchored = carray(pointer(s.anchored), (s.channels,), np.int64)
    believed = 0
    for i in range(s.channels):
        believed += anchored[i]
    return believed > 0 and s.have // CHUNK > _next_chunk(s)


@kernel
def begin(s):
    """Forget what was watched."""
    s.age = 0
    s.watching = 0
    s.mending = 0


@kernel
def watch(s):
    """Do one piece: transform the chunk, make a part of one mic's bleed, explain the mic, or judge; return its cost."""
    k = s.channels
    chunk = _next_chunk(s)
    if s.watching == 0:
        _transform(s, chunk)
        s.watching = 1
        return k * FFT
    if s.watching <= k * (k + 1):
        i = (s.watching - 1) // (k + 1)
        j = (s.watching - 1) % (k + 1)
        s.watching += 1
        if j < k:
            make_part(s, i, j)
            return 2 * FFT + PRODUCT
        explain(s, chunk, i)
        return (k + 2) * FRAMES_PER_CHUNK * FFT_FRAME
    s.watched = chunk + max(1, k // 8)
    s.watching = 0
    s.age += 1
    if s.age >= _SOON:
        judge_moves(s)
    return k * k * 10


@kernel
def _transform(s, chunk):
    """Transform the chunk of every cleaned mic, with the one before it; note whose player rests.

    What is left in the mic of somebody who rests is not his.
    """
    k = s.channels
    x = carray(samples(s.x), (k, RING * CHUNK))
    y = carray(samples(s.y), (k, RING * CHUNK))
    re = carray(samples(s.chunk_re), (k, ROW))
    im = carray(samples(s.chunk_im), (k, ROW))
    rests = carray(pointer(s.rests), (k,), np.int64)
    time = carray(samples(s.time), (SIZE,))
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    first = (chunk - 1) * CHUNK
    for j in range(k):
        heard = own = np.float32(0)
        for n in range(SIZE):
            time[n] = y[j, (first + n) & (RING * CHUNK - 1)]
        for n in range(CHUNK):
            came = x[j, (first + CHUNK + n) & (RING * CHUNK - 1)]
            heard += came * came
            own += time[CHUNK + n] * time[CHUNK + n]
        rests[j] = 1 if own < _PLAYS * heard else 0
        call_fft(s.forward, s.plan, s.time, s.spectrum)
        take_apart(spectrum, re[j], im[j])


@kernel
def make_part(s, i, j):
    """Write what the anchor makes of mic j in mic i, of one chunk, into `parts`; nothing if that is not known."""
    k = s.channels
    anchor = carray(samples(s.anchor), (k, k, TAPS))[i, j]
    part = carray(samples(s.parts), (k, CHUNK))[j]
    y_re = carray(samples(s.chunk_re), (k, ROW))[j]
    y_im = carray(samples(s.chunk_im), (k, ROW))[j]
    re = carray(samples(s.sum_re), (ROW,))
    im = carray(samples(s.sum_im), (ROW,))
    time = carray(samples(s.time), (SIZE,))
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    if not _is_known(s, i, j) or carray(pointer(s.rests), (k,), np.int64)[j]:
        for n in range(CHUNK):
            part[n] = np.float32(0)
        return
    for n in range(TAPS):
        time[n] = anchor[n]
        time[TAPS + n] = np.float32(0)
    call_fft(s.forward, s.plan, s.time, s.spectrum)
    take_apart(spectrum, re, im)
    for b in range(ROW):
        a = re[b]
        re[b] = a * y_re[b] - im[b] * y_im[b]
        im[b] = fma(a, y_im[b], im[b] * y_re[b])
    put_together(re, im, spectrum)
    call_fft(s.backward, s.inverse, s.spectrum, s.time)
    for n in range(CHUNK):
        part[n] = time[CHUNK + n] * np.float32(1 / SIZE)


@kernel
def _frame(s, source, first, re, im):
    """Transform one windowed frame."""
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    window_into(carray(samples(s.time), (SIZE,)), carray(samples(s.window), (FRAME,)), source, first, -1)
    call_fft(s.forward, s.plan_frame, s.time, s.spectrum)
    for b in range(FRAME // 2 + 1):
        re[b] = spectrum[2 * b]
        im[b] = spectrum[2 * b + 1]


@kernel
def explain(s, chunk, i):
    """Take a chunk of mic i into the normal equations of its gains."""
    k = s.channels
    slot = s.age % WATCHED
    place = (chunk & (RING - 1)) * CHUNK
    x = carray(samples(s.x), (k, RING * CHUNK))[i]
    y = carray(samples(s.y), (k, RING * CHUNK))[i]
    parts = carray(samples(s.parts), (k, CHUNK))
    re = carray(samples(s.frame_re), (k + 2, FRAME_ROW))
    im = carray(samples(s.frame_im), (k + 2, FRAME_ROW))
    normal = carray(pointer(s.normal), (WATCHED, k, BANDS, k, k + 1), np.float64)[slot, i]
    for band in range(BANDS):
        for j in range(k):
            for h in range(k + 1):
                normal[band, j, h] = 0.0
    for f in range(FRAMES_PER_CHUNK - 1):
        first = f * (FRAME // 2)
        _frame(s, x, place + first, re[k], im[k])
        _frame(s, y, place + first, re[k + 1], im[k + 1])
        for j in range(k):
            _frame(s, parts[j], first, re[j], im[j])
        for b in range(FRAME // 2 + 1):
            all_re = np.float32(0)
            all_im = np.float32(0)
            for j in range(k):
                all_re += re[j, b]
                all_im += im[j, b]
            power = re[k + 1, b] * re[k + 1, b] + im[k + 1, b] * im[k + 1, b] + all_re * all_re + all_im * all_im
            weight = np.float32(1) / (power + np.float32(1e-7))
            for band in range(BANDS):
                if is_in_band(s, b, band, BAND_EDGES):
                    for j in range(k):
                        of_j = weight * re[j, b]
                        too = weight * im[j, b]
                        for h in range(k + 1):
                            normal[band, j, h] += of_j * re[h, b] + too * im[h, b]


@kernel
def _solve_gains(s, i, band):
    """Solve for the gains of one mic and band; unknown paths have none."""
    k = s.channels
    normal = carray(pointer(s.normal), (WATCHED, k, BANDS, k, k + 1), np.float64)
    a = carray(pointer(s.gauss), (k, k + 1), np.float64)
    gain = carray(pointer(s.gain), (k, k, BANDS), np.float64)[i]
    cells = carray(pointer(s.cells), (k, k, BANDS), np.float64)[i]
    for j in range(k):
        for h in range(k + 1):
            a[j, h] = 0.0
            if _is_known(s, i, j) and (h == k or _is_known(s, i, h)):
                for slot in range(min(s.age, WATCHED)):
                    a[j, h] += normal[slot, i, band, j, h]
        cells[j, band] = a[j, j]
        a[j, j] += _CERTAIN
        a[j, k] += _CERTAIN
    # Elimination without pivots: the matrix is positive definite.
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
def _counts(s, i, j):
    """Return how much of what was heard speaks of the path, in cells."""
    cells = carray(pointer(s.cells), (s.channels, s.channels, BANDS), np.float64)[i, j]
    total = 0.0
    for band in range(BANDS):
        total += cells[band]
    return total


@kernel
def _off(s, i, j):
    """Return how far the path's mean gain is off 1."""
    gain = carray(pointer(s.gain), (s.channels, s.channels, BANDS), np.float64)[i, j]
    cells = carray(pointer(s.cells), (s.channels, s.channels, BANDS), np.float64)[i, j]
    total = 0.0
    for band in range(BANDS):
        total += cells[band] * (gain[band] - 1.0)
    return abs(total) / (_counts(s, i, j) + 1e-9)


@kernel
def _votes(s, m, other, along, moved):
    """Tell whether the path to or from another mic is heard well enough, and has not moved for the other's sake."""
    i, j = _place(m, other, along)
    return other != m and moved[1 - along, other] == 0 and _counts(s, i, j) > _LEAST


@kernel
def deviation(s, m, along, moved):
    """Return what at least half of the paths of a row or column are off 1; 0 where fewer than two say anything.

    Two mics share but one path each way: both have to agree.
    """
    if s.channels == 2:
        heard = _counts(s, 0, 1) > _LEAST and _counts(s, 1, 0) > _LEAST
        return min(_off(s, 0, 1), _off(s, 1, 0)) if heard else 0.0
    count = 0
    for other in range(s.channels):
        count += 1 if _votes(s, m, other, along, moved) else 0
    if count < 2:
        return 0.0
    # The lower median of a few numbers, without a place to sort them in.
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
    gain = carray(pointer(s.gain), (s.channels, s.channels, BANDS), np.float64)
    cells = carray(pointer(s.cells), (s.channels, s.channels, BANDS), np.float64)
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
def judge_moves(s):
    """Find rows and columns that have moved, and faders; set the change of the paths, which `refine` blends in."""
    k = s.channels
    moved = carray(pointer(s.moved), (2, k), np.int64)      # rows, columns
    turned = carray(pointer(s.turned), (k,), np.float64)
    for i in range(k):
        for band in range(BANDS):
            _solve_gains(s, i, band)
        moved[0, i] = 0
        moved[1, i] = 0
        turned[i] = 1.0
    # A column that has moved is not held against the rows that it crosses.
    most = _flag(s, 1, 0.0, moved)
    _flag(s, 0, most, moved)
    found = 0
    for m in range(k):
        _find_fader(s, m, moved, turned)
        if turned[m] != 1.0:
            moved[0, m] = 0
            moved[1, m] = 0
        if turned[m] != 1.0 or moved[0, m] or moved[1, m]:
            found += 1
    if found > 0:
        _change_paths(s, moved, turned)


@kernel
def _flag(s, along, most, moved):
    """Mark the rows or columns that have moved: what is off by less than half of the most is its echo."""
    flags = moved[along]
    for m in range(s.channels):
        most = max(most, deviation(s, m, along, moved))
    for m in range(s.channels):
        flags[m] = 1 if deviation(s, m, along, moved) > max(_MOVED, 0.5 * most) else 0
    return most


@kernel
def _find_fader(s, m, moved, turned):
    """Set `turned[m]` to what the mic's level was multiplied by.

    What has moved is not heard better through its old path: a column whose gain has risen is a fader's, too.
    """
    settling = carray(pointer(s.settling), (s.channels,), np.int64)
    into, spread, cells = _common_gain(s, m, 0, moved)
    out, spread_out, cells_out = _common_gain(s, m, 1, moved)
    if moved[0, m] and spread < _UNIFORM and into > 0.0 and abs(into - 1.0) > _TURNED:
        turned[m] = into
    elif moved[1, m] and out > 1.0 + _TURNED:
        turned[m] = 1.0 / out
    elif settling[m] and s.age >= WATCHED and cells + cells_out > 0.0:
        # All that is looked at is of after the move: row and column, as much as each has to say.
        settling[m] = 0
        level = (cells * into + cells_out / max(out, 0.1)) / (cells + cells_out)
        if max(spread, spread_out) < _UNIFORM and abs(level - 1.0) > _SETTLED:
            turned[m] = level
    if abs(turned[m] - 1.0) > _TURNED:
        settling[m] = 1


@kernel
def _change_paths(s, moved, turned):
    """Scale the paths of faders that were moved, and doubt those that lead to or from what has moved."""
    k = s.channels
    anchor = carray(samples(s.anchor), (k, k, TAPS))
    since = carray(pointer(s.since), (k,), np.int64)
    for i in range(k):
        lost = left = 0
        for j in range(k):
            if _is_known(s, i, j):
                if moved[0, i] or moved[1, j]:
                    lost += 1
                else:
                    left += 1
        dropped = lost > 0 and 2 * left < k - 1
        for j in range(k):
            scale = turned[i] / turned[j]
            if _is_known(s, i, j) and (moved[0, i] or moved[1, j] or dropped):
                scale *= doubt_path(s, i, j)
                since[i] = max(since[i], s.have - CHUNK)
            for n in range(TAPS):
                anchor[i, j, n] *= np.float32(scale)
            _set_change(s, i, j, np.float32(scale - 1.0))
        if dropped:
            drop_anchor(s, i)
    for m in range(k):
        if turned[m] != 1.0:
            # What was heard before was heard at another level.
            s.age = 0
            for i in range(k):
                since[i] = max(since[i], s.have - _SOON * CHUNK)
    s.moves += 1


@kernel
def _set_change(s, i, j, share):
    k = s.channels
    shape = (s.partitions, k, k, PART_ROW)
    w_re = carray(samples(s.kalman_re), shape)
    w_im = carray(samples(s.kalman_im), shape)
    re = carray(samples(s.change_re), shape)
    im = carray(samples(s.change_im), shape)
    for p in range(s.partitions):
        for b in range(PART_ROW):
            re[p, i, j, b] = share * w_re[p, i, j, b]
            im[p, i, j, b] = share * w_im[p, i, j, b]


@kernel
def doubt_path(s, i, j):
    """Let go of a path: another, about as loud at these frequencies and times, takes its place.

    Returns
    -------
    float64
        How much of the old one still fits.
    """
    k = s.channels
    gain = carray(pointer(s.gain), (k, k, BANDS), np.float64)[i, j]
    cells = carray(pointer(s.cells), (k, k, BANDS), np.float64)[i, j]
    anchor = carray(samples(s.anchor), (k, k, TAPS))[i, j]
    shape = (s.partitions, k, k, PART_ROW)
    re = carray(samples(s.kalman_re), shape)
    im = carray(samples(s.kalman_im), shape)
    doubts = carray(samples(s.kalman_p), shape)
    prior = carray(samples(s.prior), (s.partitions,))
    power = carray(samples(s.sum_re), (ROW,))
    for p in range(s.partitions):
        for b in range(PART_BINS):
            power[b] = re[p, i, j, b] * re[p, i, j, b] + im[p, i, j, b] * im[p, i, j, b]
        for b in range(PART_BINS):
            first = max(b - _SMOOTH, 0)
            last = min(b + _SMOOTH + 1, PART_BINS)
            total = np.float32(0)
            for n in range(first, last):
                total += power[n]
            likely = min(total / np.float32(last - first) + _UNKNOWN * prior[p], _LARGEST * prior[p])
            doubts[p, i, j, b] = max(doubts[p, i, j, b], likely)
    for n in range(TAPS):
        anchor[n] = np.float32(0)
    carray(samples(s.doubt), (k, k))[i, j] = np.float32(1)
    total_gain = 0.0
    for band in range(BANDS):
        total_gain += cells[band] * gain[band]
    return min(max(total_gain / (_counts(s, i, j) + 1.0), 0.0), 1.0)


@kernel
def drop_anchor(s, i):
    """Let mic i learn as if there had been no soundcheck: most of its paths have moved."""
    k = s.channels
    carray(pointer(s.anchored), (k,), np.int64)[i] = 0
    carray(samples(s.kalman_drift), (k,))[i] = s.blind_drift
    memory = carray(samples(s.kalman_memory), (k, PART_ROW))[i]
    for b in range(PART_ROW):
        memory[b] = s.blind_memory
