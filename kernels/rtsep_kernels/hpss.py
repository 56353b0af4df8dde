"""Harmonic and percussive sounds: medians of the power over past frames and over the frame's bins."""

import numpy as np
from numba import carray, from_dtype, types

from rtsep_kernels.masking import HEAD, TINY, rows, settle
from rtsep_kernels.maths.median import across, replace
from rtsep_kernels.plane.jit import entry, kernel, signed
from rtsep_kernels.plane.memory import samples

HPSS = np.dtype([
    *HEAD,
    ("keep", np.int64),                                  # target, float32[k]: 0 harmonic, 1 percussive, 2 residual
    ("count", np.int64), ("neighbours", np.int64), ("frame", np.int64), ("binary", np.int64),
    ("margin", np.float32),
    ("history", np.int64),                               # float32[k, count, row]: powers of past frames
    ("ordered", np.int64),                               # float32[k, row, count]: the same, ascending in each bin
    ("work", np.int64),                                  # float32[3, row]
    ("scratch", np.int64),                               # float32[neighbours]
], align=True)
_HPSS = from_dtype(HPSS)


@kernel
def part(steady, struck, which, margin, binary):
    """Return a bin's share, 0 to 1, in part 0 (harmonic), 1 (percussive) or 2 (residual)."""
    if margin > 1 or binary:
        is_steady = steady >= margin * struck
        is_struck = struck > margin * steady
        chosen = (which == 0 and is_steady) or (which == 1 and is_struck)
        return np.float32(1 if chosen or (which == 2 and not is_steady and not is_struck) else 0)
    share = (steady + TINY / 2) / (steady + struck + TINY)
    return share if which == 0 else np.float32(1) - share if which == 1 else np.float32(0)


@signed(types.void(types.float32[:, ::1], types.float32[:, ::1], types.int64, types.float32, types.boolean,
                   types.float32[:, ::1]))
def parts(steady, struck, which, margin, binary, mask):
    """Write `part` of every bin, float32[frames, bins]."""
    for b in range(mask.shape[0]):
        for n in range(mask.shape[1]):
            mask[b, n] = part(steady[b, n], struck[b, n], which, margin, binary)


@entry(types.int32(types.CPointer(_HPSS), types.int64))
def hpss(state, mic):
    """Write the gains of one mic."""
    s = carray(state, (1,))[0]
    k = s.channels
    power = rows(s.power, k, s.row)[mic]
    history = carray(samples(s.history), (k, s.count, s.row))[mic, s.frame % s.count]
    ordered = carray(samples(s.ordered), (k, s.row, s.count))[mic]
    work = rows(s.work, 3, s.row)
    for b in range(s.bins):
        replace(ordered[b], history[b], power[b])
        history[b] = power[b]
        work[0, b] = ordered[b, s.count // 2]
    across(power, s.bins, carray(samples(s.scratch), (s.neighbours,)), work[1])
    which = int(carray(samples(s.keep), (k,))[mic] + np.float32(0.5))
    for b in range(s.bins):
        work[2, b] = part(work[0, b], work[1, b], which, s.margin, s.binary != 0)
    settle(s, mic, work[2])
    if mic == k - 1:
        s.frame += 1
    return 0
