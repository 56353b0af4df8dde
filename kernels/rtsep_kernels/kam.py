"""Kernel additive modelling in the stream: past frames against the frame's bins, fitted back several times."""

import numpy as np
from numba import carray

from rtsep_kernels.hpss import part
from rtsep_kernels.masking import HEAD, settle, system_entry
from rtsep_kernels.maths.median import across, replace
from rtsep_kernels.plane.record import array, f4, given, number, record, scratch, view

KAM = record(
    **HEAD,
    keep=given(f4, "channels"),                                               # target: 0 horizontal, 1 vertical
    count=number(), neighbours=number(), iterations=number(), frame=number(start=0),
    history=array(f4, "iterations", "channels", "count", "row", start=0),     # powers of past frames
    ordered=array(f4, "iterations", "channels", "row", "count", start=0),     # the same, ascending in each bin
    work=scratch(f4, 5, "row"), around=scratch(f4, "neighbours"),
)


@system_entry(KAM)
def kam(state, mic):
    """Write the gains of one mic."""
    s = carray(state, (1,))[0]
    power, work = view(s, "power")[mic], view(s, "work")
    steady, struck = work[3], work[4]
    for b in range(s.bins):
        steady[b] = struck[b] = power[b]
    for round_ in range(s.iterations):
        history, ordered = view(s, "history")[round_, mic, s.frame % s.count], view(s, "ordered")[round_, mic]
        for b in range(s.bins):
            replace(ordered[b], history[b], steady[b])
            history[b] = steady[b]
            work[0, b] = ordered[b, s.count // 2]
        across(struck, s.bins, view(s, "around"), work[1])
        for b in range(s.bins):
            share = part(work[0, b], work[1, b], 0, np.float32(1), False)
            rest = np.float32(1) - share
            work[2, b] = share
            steady[b] = share * share * power[b]
            struck[b] = rest * rest * power[b]
    if view(s, "keep")[mic] >= np.float32(0.5):
        for b in range(s.bins):
            work[2, b] = np.float32(1) - work[2, b]
    settle(s, mic, work[2])
    if mic == s.channels - 1:
        s.frame += 1
    return 0
