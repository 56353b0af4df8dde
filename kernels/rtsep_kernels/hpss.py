"""Harmonic and percussive sounds: medians of the power over past frames and over the frame's bins."""

import numpy as np
from numba import carray, types

from rtsep_kernels.masking import HEAD, TINY, kept_part, settle, system_entry
from rtsep_kernels.maths.median import across, replace
from rtsep_kernels.plane.jit import kernel, signed
from rtsep_kernels.plane.record import array, f4, given, number, record, scratch, view

HPSS = record(
    **HEAD,
    keep=given(f4, "channels"),                                  # target: 0 harmonic, 1 percussive, 2 residual
    count=number(), neighbours=number(), frame=number(start=0), binary=number(), margin=number(f4),
    history=array(f4, "channels", "count", "row", start=0),      # powers of past frames
    ordered=array(f4, "channels", "row", "count", start=0),      # the same, ascending in each bin
    work=scratch(f4, 3, "row"), around=scratch(f4, "neighbours"),
)


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


@system_entry(HPSS)
def hpss(state, mic):
    """Write the gains of one mic."""
    s = carray(state, (1,))[0]
    power = view(s, "power")[mic]
    history, ordered = view(s, "history")[mic, s.frame % s.count], view(s, "ordered")[mic]
    work = view(s, "work")
    for b in range(s.bins):
        replace(ordered[b], history[b], power[b])
        history[b] = power[b]
        work[0, b] = ordered[b, s.count // 2]
    across(power, s.bins, view(s, "around"), work[1])
    which = kept_part(s, mic)
    for b in range(s.bins):
        work[2, b] = part(work[0, b], work[1, b], which, s.margin, s.binary != 0)
    settle(s, mic, work[2])
    if mic == s.channels - 1:
        s.frame += 1
    return 0
