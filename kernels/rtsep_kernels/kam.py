"""Kernel additive modelling in the stream: past frames against the frame's bins, fitted back several times."""

import numpy as np
from numba import carray, from_dtype, types

from rtsep_kernels.hpss import part
from rtsep_kernels.masking import HEAD, rows, settle
from rtsep_kernels.maths.median import across, replace
from rtsep_kernels.plane.jit import entry
from rtsep_kernels.plane.memory import samples

KAM = np.dtype([
    *HEAD,
    ("keep", np.int64),                                  # target, float32[k]: 0 horizontal, 1 vertical
    ("count", np.int64), ("neighbours", np.int64), ("iterations", np.int64), ("frame", np.int64),
    ("history", np.int64),                               # float32[iterations, k, count, row]
    ("ordered", np.int64),                               # float32[iterations, k, row, count]: ascending in each bin
    ("work", np.int64),                                  # float32[5, row]
    ("scratch", np.int64),                               # float32[neighbours]
], align=True)
_KAM = from_dtype(KAM)


@entry(types.int32(types.CPointer(_KAM), types.int64))
def kam(state, mic):
    """Write the gains of one mic."""
    s = carray(state, (1,))[0]
    k = s.channels
    power = rows(s.power, k, s.row)[mic]
    work = rows(s.work, 5, s.row)
    steady, struck = work[3], work[4]
    for b in range(s.bins):
        steady[b] = struck[b] = power[b]
    for round_ in range(s.iterations):
        history = carray(samples(s.history), (s.iterations, k, s.count, s.row))[round_, mic, s.frame % s.count]
        ordered = carray(samples(s.ordered), (s.iterations, k, s.row, s.count))[round_, mic]
        for b in range(s.bins):
            replace(ordered[b], history[b], steady[b])
            history[b] = steady[b]
            work[0, b] = ordered[b, s.count // 2]
        across(struck, s.bins, carray(samples(s.scratch), (s.neighbours,)), work[1])
        for b in range(s.bins):
            share = part(work[0, b], work[1, b], 0, np.float32(1), False)
            rest = np.float32(1) - share
            work[2, b] = share
            steady[b] = share * share * power[b]
            struck[b] = rest * rest * power[b]
    if rows(s.keep, 1, k)[0, mic] >= np.float32(0.5):
        for b in range(s.bins):
            work[2, b] = np.float32(1) - work[2, b]
    settle(s, mic, work[2])
    if mic == k - 1:
        s.frame += 1
    return 0
