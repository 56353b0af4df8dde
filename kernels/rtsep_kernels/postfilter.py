"""Post-filter: of a cleaned microphone is taken away what the other microphones' bleedy originals still explain."""

import math

import numpy as np
from numba import carray, from_dtype, types

from rtsep_kernels.masking import HEAD, rows, settle
from rtsep_kernels.plane.jit import entry, kernel, signed
from rtsep_kernels.plane.memory import samples

POSTFILTER = np.dtype([
    *HEAD,
    ("strength", np.float32), ("floor", np.float32), ("share", np.float32), ("threshold", np.float32),
    ("total", np.int64),                                 # float32[row]: what was removed, all pairs
    ("held", np.int64),                                  # float32[k, row]: gains, smoothed
    ("mask", np.int64),                                  # float32[row]
], align=True)
_POSTFILTER = from_dtype(POSTFILTER)
_ONE, _ZERO = np.float32(1), np.float32(0)
_TINY = np.float32(1e-20)


@kernel
def removed(bleedy, cleaned, threshold):
    """Return the magnitude of a mic's original where something was removed from it, else 0; of two powers."""
    before = math.sqrt(bleedy)
    return before if before - math.sqrt(cleaned) > threshold else _ZERO


@kernel
def add_removed(bleedy, cleaned, threshold, total):
    """Add a pair's `removed` in every bin."""
    for b in range(bleedy.shape[0]):
        total[b] += removed(bleedy[b], cleaned[b], threshold)


@kernel
def pair(bleedy, cleaned, total, held, strength, floor, share, threshold, mask):
    """Write the mask of a cleaned mic: the gain on its original, smoothed in `held`, as one on what is there.

    It never makes the cleaned mic louder.
    """
    for b in range(bleedy.shape[0]):
        before, after = math.sqrt(bleedy[b]), math.sqrt(cleaned[b])
        others = total[b] - removed(bleedy[b], cleaned[b], threshold)
        wanted = (after - strength * max(others, _ZERO)) / (before + _TINY)
        held[b] += (min(max(wanted, floor), _ONE) - held[b]) * share
        mask[b] = min(held[b] * before / (after + _TINY), _ONE) if before > _ZERO else _ONE


@entry(types.int32(types.CPointer(_POSTFILTER), types.int64))
def postfilter(state, mic):
    """Write the gains of one mic: every second is the cleaned one of the mic before it."""
    s = carray(state, (1,))[0]
    k = s.channels
    power = rows(s.power, k, s.row)
    total = carray(samples(s.total), (s.row,))
    mask = carray(samples(s.mask), (s.row,))
    if mic == 0:
        for b in range(s.row):
            total[b] = _ZERO
        for first in range(0, k - 1, 2):
            add_removed(power[first], power[first + 1], s.threshold, total)
    if mic % 2 == 1:
        held = rows(s.held, k, s.row)[mic]
        pair(power[mic - 1], power[mic], total, held, s.strength, s.floor, s.share, s.threshold, mask)
    else:
        for b in range(s.row):
            mask[b] = _ONE
    settle(s, mic, mask)
    return 0


_F3 = types.float32[:, :, ::1]


@signed(types.void(_F3, _F3, types.float32, types.float32, types.float32, types.float32, _F3))
def masks(bleedy, cleaned, strength, floor, share, threshold, result):
    """Write the masks of a passage, all float32[mics, frames, bins]."""
    total = np.empty(bleedy.shape[2], np.float32)
    held = np.ones((bleedy.shape[0], bleedy.shape[2]), np.float32)
    for t in range(bleedy.shape[1]):
        total[:] = _ZERO
        for i in range(bleedy.shape[0]):
            add_removed(bleedy[i, t], cleaned[i, t], threshold, total)
        for i in range(bleedy.shape[0]):
            pair(bleedy[i, t], cleaned[i, t], total, held[i], strength, floor, share, threshold, result[i, t])
