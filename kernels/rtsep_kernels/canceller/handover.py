"""Hand what has been learnt over to the audio thread, and take it back where it proves wrong.

One job hands over a quarter of the filters: only those partitions whose turn it is are made causal again (inverse
transform, second half cleared) and laid into the idle version, in the form in which they are applied.

Where there are too many mics for all pairs, the filters of those that are not held are zero, but for tap 0 to a mic in
instantaneous mode, which is applied for all pairs at once.
"""

import numpy as np

from rtsep_kernels.canceller import choice
from rtsep_kernels.canceller.paths import doubt, drop, drop_good, keep_good, lay, take_back
from rtsep_kernels.canceller.record import (
    BINS,
    BLOCK,
    FILTERS,
    GROUPS,
    NEAR,
    NEAR_BINS,
    NEAR_SIZE,
    PATHS,
    ROW,
    SEGMENT,
    SEGMENTS,
    SIZE,
)
from rtsep_kernels.maths.spectra import join, split
from rtsep_kernels.maths.vectors import copy, fill
from rtsep_kernels.plane import due
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import call_fft
from rtsep_kernels.plane.record import array, f4, f8, flat, i8, inner, link, number, record, scratch, view

# After a restore the exploding filters stay audible as dry sound until all groups are renewed.
CALM = GROUPS + 4
_PIVOT = 1e-3                 # smaller ones make I + tap 0 singular: 60 dB of gain

HANDOVER = record(
    channels=number(), paths=link(PATHS), filters=link(FILTERS),
    versions=array(i8, GROUPS, start=0),                    # in use, as this side sees them
    tap0=scratch(f8, "channels", "2 * channels"),           # of all paths, and room for the inverse
    time=scratch(f4, SIZE), spectrum=scratch(f4, 2 * ROW), short=scratch(f4, NEAR_SIZE),
    renew=number(start=0),                                  # jobs that must still export although nothing is learnt
    restored=number(start=0), restores=number(start=0),     # job of the last one; how many
    again_blocks=number(),                                  # so soon after a restore, not even good filters are
    good_blocks=number(),                                   # from one keeping of a good partition to the next
)


@kernel
def _export(s, c, p, i, j, v):
    """Make one partition causal again and lay it, in the form that is applied, into version `v`."""
    w, f = inner(s, "paths"), inner(s, "filters")
    w_re = view(w, "w_re")[p, i, j]
    w_im = view(w, "w_im")[p, i, j]
    time = view(s, "time")
    spectrum = view(s, "spectrum")
    join(w_re, w_im, spectrum, BINS)
    call_fft(c.backward, c.inverse1024, s.spectrum, s.time)
    for n in range(BLOCK):
        time[n] *= np.float32(1 / SIZE)
        time[BLOCK + n] = np.float32(0)
    if p < 2:
        _export_near(s, f, c, p, i, j, v)
    call_fft(c.forward, c.plan1024, s.time, s.spectrum)
    lay(w, p, i, j, spectrum)
    if p >= 2:
        copy(w_re, view(f, "far_re")[v, p, i, j])
        copy(w_im, view(f, "far_im")[v, p, i, j])


@kernel
def _export_near(s, f, c, p, i, j, v):
    """Cut one of the first two partitions into those of 64, and its first taps off."""
    near_re = view(f, "near_re")[v, i, j]
    near_im = view(f, "near_im")[v, i, j]
    time = view(s, "time")
    short = view(s, "short")
    spectrum = view(s, "spectrum")
    if p == 0:
        view(s, "tap0")[i, j] = time[0]
        head = view(f, "head")[v, i, j]
        for n in range(SEGMENT - 1):
            head[n] = time[n + 1]
    for r in range(1 if p == 0 else 0, SEGMENTS):
        q = r if p == 0 else r + SEGMENTS
        for n in range(SEGMENT):
            short[n] = time[SEGMENT * r + n]
            short[SEGMENT + n] = np.float32(0)
        call_fft(c.forward, c.plan128, s.short, s.spectrum)
        split(spectrum, near_re[q - 1], near_im[q - 1], NEAR_BINS)


@kernel
def _export_tap(s, p, i, j, v):
    """Lay zeros into version `v` of a pair that is not held; of its path only tap 0 may be there."""
    f = inner(s, "filters")
    zero = np.float32(0)
    if p < 2:
        near_re = view(f, "near_re")[v, i, j]
        near_im = view(f, "near_im")[v, i, j]
        for q in range(0 if p == 0 else SEGMENTS - 1, SEGMENTS - 1 if p == 0 else NEAR - 1):
            fill(near_re[q], zero)
            fill(near_im[q], zero)
        if p == 0:
            view(s, "tap0")[i, j] = view(inner(s, "paths"), "w_re")[0, i, j, 0]
            fill(view(f, "head")[v, i, j], zero)
        return
    fill(view(f, "far_re")[v, p, i, j], zero)
    fill(view(f, "far_im")[v, p, i, j], zero)


@kernel
def _invert_tap0(s, v):
    """Gauss-Jordan elimination of I + A0, in float64 with pivoting; the identity where it is singular."""
    k = s.channels
    a = view(s, "tap0")
    inverse = view(inner(s, "filters"), "inverse")[v]
    for i in range(k):
        for j in range(k):
            a[i, k + j] = 1.0 if i == j else 0.0
        a[i, i] = 1.0
    singular = False
    for col in range(k):
        best = col
        for i in range(col + 1, k):
            if abs(a[i, col]) > abs(a[best, col]):
                best = i
        if abs(a[best, col]) < _PIVOT:
            singular = True
            break
        for j in range(2 * k):
            held = a[col, j]
            a[col, j] = a[best, j]
            a[best, j] = held
        scale = 1.0 / a[col, col]
        for j in range(2 * k):
            a[col, j] *= scale
        for i in range(k):
            if i != col and a[i, col] != 0.0:
                factor = a[i, col]
                for j in range(2 * k):
                    a[i, j] -= factor * a[col, j]
    for i in range(k):
        for j in range(k):
            if singular:
                inverse[i, j] = np.float32(1) if i == j else np.float32(0)
            else:
                inverse[j, i] = a[i, k + j]


@kernel
def _note_changes(w, active, changed):
    """Say of each pair how many partitions its versions differ in, at most, by this hand-over."""
    held = view(w, "held")
    for i in range(w.channels):
        for j in range(w.channels):
            if held[i, j]:
                # Both versions of what is not tracked are alike, until it changes.
                changed[i, j] = w.partitions if w.renew_far > 0 else w.tracked
            else:
                # Who leaves is handed over as a whole; who is spared keeps the last two versions.
                changed[i, j] = w.partitions if active[i, j] else 0


@kernel
def hand_over(s, c, t, m):
    """Export the partitions whose turn it is to the idle version.

    Parameters
    ----------
    s : HANDOVER
    c : CANCELLER
    t : INSTANT
    m : int64
        The job.
    """
    w, f = inner(s, "paths"), inner(s, "filters")
    k = s.channels
    group = m % GROUPS
    # The idle version must really be idle: what the job four blocks ago wrote has been taken into use.
    due.wait_for(c.exchange, due.APPLIED, m - GROUPS + 1)
    versions = view(s, "versions")
    v = 1 - versions[group]
    in_mode = view(t, "instant")
    held = view(w, "held")
    leaving = view(w, "leaving")
    active = view(f, "active")
    _note_changes(w, active, view(f, "changed")[group])
    if group == 0:
        fill(flat(s, "tap0"), 0.0)
    for p in range(group, w.partitions, GROUPS):
        renewed = p < w.tracked or w.renew_far > 0
        for i in range(k):
            for j in range(k):
                if held[i, j]:
                    if renewed:
                        _export(s, c, p, i, j, v)
                elif leaving[i, j] > choice.FLUSH and active[i, j]:
                    _export(s, c, p, i, j, v)
                elif j != i and (leaving[i, j] or (p == 0 and in_mode[i])):
                    _export_tap(s, p, i, j, v)
    if group == 0:
        _invert_tap0(s, v)
    versions[group] = v
    s.renew = max(0, s.renew - 1)
    w.renew_far = max(0, w.renew_far - 1)


@kernel
def hand_over_all(s, c, v):
    """Export every partition to version `v`: before the start, and never while audio runs."""
    w = inner(s, "paths")
    held = view(w, "held")
    fill(flat(s, "tap0"), 0.0)
    for p in range(w.partitions):
        for i in range(s.channels):
            for j in range(s.channels):
                if held[i, j]:
                    _export(s, c, p, i, j, v)
                elif j != i:
                    _export_tap(s, p, i, j, v)
    _invert_tap0(s, v)


@kernel
def restore(s, m):
    """Go back to the last good filters; after two explosions within ten seconds, to none at all."""
    w = inner(s, "paths")
    held = view(w, "held")
    leaving = view(w, "leaving")
    w_re = view(w, "w_re")
    again = s.restores > 0 and m - s.restored < s.again_blocks
    for i in range(s.channels):
        for j in range(s.channels):
            if held[i, j] == 0:
                if leaving[i, j] or w_re[0, i, j, 0] != np.float32(0):
                    leaving[i, j] = choice.FLUSH
                    drop(w, i, j)
                continue
            if again:
                doubt(w, i, j, w.partitions)
                drop_good(w, i, j)
            take_back(w, i, j)
    s.restored = m
    s.restores += 1
    s.renew = GROUPS
    w.renew_far = 2 * GROUPS


@kernel
def keep_next_good(s, m):
    """Keep one partition a job, so that what is good is never older than a few seconds nor a burst of work."""
    w = inner(s, "paths")
    p = (m - s.restored) % s.good_blocks
    if p < w.partitions:
        keep_good(w, p)
