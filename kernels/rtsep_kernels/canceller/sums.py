"""The canceller's sums: what the paths make of all that has been heard, for the samples to come.

They run over lists of pairs: ``first[i]`` to ``first[i + 1]`` are the places in `heard_from` of the mics that mic i is
cleaned of. There are two lists: of the pairs that are summed, and of those that are just leaving or coming in (see
`sparing`), which have sums of their own.
"""

import numpy as np

from rtsep_kernels.canceller.record import (
    BINS,
    BLOCK,
    GROUPS,
    HISTORY,
    NEAR,
    NEAR_BINS,
    NEAR_LOOP,
    NEAR_SIZE,
    ROW,
    SEGMENT,
    SEGMENTS,
    SIZE,
)
from rtsep_kernels.maths.spectra import add_product, join, split
from rtsep_kernels.maths.vectors import fill
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import call_fft, fma
from rtsep_kernels.plane.record import inner, view

SHARES = SEGMENTS - 1       # of the far sums: one in each segment but the first, which makes their spectra
EARLY = SEGMENTS            # near partitions before it are of partition 0, those from it on of partition 1
HISTORY_MASK = HISTORY * BLOCK - 1


@kernel
def far_spectra(s, block):
    """Transform the last two blocks of every y; `block` is the one that has just ended."""
    k = s.channels
    history = view(s, "history")
    far_re = view(s, "far_re")
    far_im = view(s, "far_im")
    time = view(s, "time")
    spectrum = view(s, "spectrum")
    first = ((block - 1) & (HISTORY - 1)) * BLOCK
    second = (block & (HISTORY - 1)) * BLOCK
    for j in range(k):
        for i in range(BLOCK):
            time[i] = history[j, first + i]
        for i in range(BLOCK):
            time[BLOCK + i] = history[j, second + i]
        call_fft(s.forward, s.plan1024, s.time, s.spectrum)
        split(spectrum, far_re[block % HISTORY, j], far_im[block % HISTORY, j], BINS)


@kernel
def list_pairs(s, place, first, heard_from):
    """List, for the block that begins, the pairs of a place (see `sparing`).

    A mic with none has itself in the list, so that its sums are finished, too; nobody is summed into himself.
    """
    k = s.channels
    active = view(inner(s, "filters"), "active")
    places = view(inner(s, "sparing"), "place")
    at = 0
    for i in range(k):
        first[i] = at
        for j in range(k):
            if j != i and active[i, j] and places[i, j] == place:
                heard_from[at] = j
                at += 1
        if at == first[i]:
            heard_from[at] = i
            at += 1
    first[k] = at


@kernel
def far_share(s, block, share, first, heard_from, sum_re, sum_im, tail):
    """Do one of the `SHARES` of the far partitions' sums of a list, for the block that follows `block`."""
    k = s.channels
    partitions = s.partitions
    if partitions <= 2:
        return
    f = inner(s, "filters")
    versions = view(f, "versions")
    far_re = view(s, "far_re")
    far_im = view(s, "far_im")
    filter_re = view(f, "far_re")
    filter_im = view(f, "far_im")
    spectrum = view(s, "spectrum")
    time = view(s, "time")
    pairs = first[k]
    i = 0
    for unit in range(pairs * share // SHARES, pairs * (share + 1) // SHARES):
        while unit >= first[i + 1]:
            i += 1
        j = heard_from[unit]
        if unit == first[i]:
            fill(sum_re, np.float32(0))
            fill(sum_im, np.float32(0))
        for p in range(2, partitions if j != i else 2):
            v = versions[p % GROUPS]
            slot = (block + 1 - p) % HISTORY
            add_product(sum_re, sum_im, far_re[slot, j], far_im[slot, j],
                        filter_re[v, p, i, j], filter_im[v, p, i, j], ROW)
        if unit == first[i + 1] - 1:
            join(sum_re, sum_im, spectrum, BINS)
            call_fft(s.backward, s.inverse1024, s.spectrum, s.time)
            for n in range(BLOCK):
                tail[(block + 1) % 2, i, n] = time[BLOCK + n] * np.float32(1 / SIZE)


@kernel
def near_spectra(s, segment):
    """Transform the last two segments of every y; `segment` is the one that begins."""
    history = view(s, "history")
    near_re = view(s, "near_re")
    near_im = view(s, "near_im")
    time = view(s, "time")
    spectrum = view(s, "spectrum")
    older = ((segment - 2) * SEGMENT) & HISTORY_MASK
    newer = ((segment - 1) * SEGMENT) & HISTORY_MASK
    for j in range(s.channels):
        for n in range(SEGMENT):
            time[n] = history[j, older + n]
        for n in range(SEGMENT):
            time[SEGMENT + n] = history[j, newer + n]
        call_fft(s.forward, s.plan128, s.time, s.spectrum)
        split(spectrum, near_re[(segment - 1) % NEAR, j], near_im[(segment - 1) % NEAR, j], NEAR_BINS)


@kernel
def near_sums(s, segment, first, heard_from, tail):
    """Sum the partitions of 64 of a list for the segment that begins."""
    k = s.channels
    f = inner(s, "filters")
    near_re = view(s, "near_re")
    near_im = view(s, "near_im")
    filter_re = view(f, "near_re")
    filter_im = view(f, "near_im")
    versions = view(f, "versions")
    sum_re = view(s, "near_sum_re")
    sum_im = view(s, "near_sum_im")
    time = view(s, "time")
    spectrum = view(s, "spectrum")
    v0 = versions[0]
    v1 = versions[1]
    for i in range(k):
        for b in range(NEAR_LOOP):
            sum_re[b] = np.float32(0)
            sum_im[b] = np.float32(0)
        for unit in range(first[i], first[i + 1]):
            j = heard_from[unit]
            if j == i:
                continue
            for q in range(1, NEAR):
                v = v0 if q < EARLY else v1
                slot = (segment - q) % NEAR
                add_product(sum_re, sum_im, near_re[slot, j], near_im[slot, j],
                            filter_re[v, i, j, q - 1], filter_im[v, i, j, q - 1], NEAR_LOOP)
        join(sum_re, sum_im, spectrum, NEAR_BINS)
        call_fft(s.backward, s.inverse128, s.spectrum, s.time)
        for n in range(SEGMENT):
            tail[i, n] = time[SEGMENT + n] * np.float32(1 / NEAR_SIZE)


@kernel
def push(pending, taps, k, y, start, first, heard_from):
    """Add taps 1..63 of a sample just computed to the samples to come."""
    place = start & (NEAR_SIZE - 1)
    for i in range(k):
        for unit in range(first[i], first[i + 1]):
            j = heard_from[unit]
            if i == j:
                continue
            v = y[j]
            for n in range(SEGMENT):
                pending[i, place + n] = fma(taps[i, j, n], v, pending[i, place + n])
