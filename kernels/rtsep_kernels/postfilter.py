"""Post-filter: of a cleaned microphone is taken away what the other microphones' bleedy originals still explain."""

import math

import numpy as np
from numba import carray, types

from rtsep_kernels.masking import HEAD, TINY, settle, system_entry
from rtsep_kernels.maths.vectors import fill
from rtsep_kernels.plane.jit import kernel, signed
from rtsep_kernels.plane.record import array, f4, number, record, scratch, view

POSTFILTER = record(
    **HEAD,
    strength=number(f4), floor=number(f4), share=number(f4), threshold=number(f4),
    total=array(f4, "row", start=0),                # what was removed, all pairs: found with mic 0, used by all
    held=array(f4, "channels", "row", start=1),     # gains, smoothed
    mask=scratch(f4, "row"),
)
_ONE, _ZERO = np.float32(1), np.float32(0)


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
        wanted = (after - strength * max(others, _ZERO)) / (before + TINY)
        held[b] += (min(max(wanted, floor), _ONE) - held[b]) * share
        mask[b] = min(held[b] * before / (after + TINY), _ONE) if before > _ZERO else _ONE


@system_entry(POSTFILTER)
def postfilter(state, mic):
    """Write the gains of one mic: every second is the cleaned one of the mic before it."""
    s = carray(state, (1,))[0]
    power, total, mask = view(s, "power"), view(s, "total"), view(s, "mask")
    if mic == 0:
        fill(total, _ZERO)
        for first in range(0, s.channels - 1, 2):
            add_removed(power[first], power[first + 1], s.threshold, total)
    if mic % 2 == 1:
        held = view(s, "held")[mic]
        pair(power[mic - 1], power[mic], total, held, s.strength, s.floor, s.share, s.threshold, mask)
    else:
        fill(mask, _ONE)
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
