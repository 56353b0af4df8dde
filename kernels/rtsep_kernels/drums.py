"""Drums from templates: what was hit in the last frames, and how much of the newest frame each drum is."""

import math

import numpy as np
from numba import carray, types

from rtsep_kernels.masking import HEAD, TINY, UNEXPLAINED, kept_part, settle, system_entry
from rtsep_kernels.maths.vectors import LANES, add_scaled, dot
from rtsep_kernels.plane.jit import kernel, signed
from rtsep_kernels.plane.record import array, f4, given, number, record, scratch, view

DRUMS = record(
    **HEAD,
    keep=given(f4, "channels"),                                 # target: number of the part
    parts=number(), depth=number(), sweeps=number(), frame=number(start=0),
    templates=array(f4, "parts", "depth", "row"),               # each part of unit sum
    sums=array(f4, "parts", "depth"),                           # of the first 1 ... depth frames
    seen=array(f4, "channels", "depth", "row", start=0),        # magnitudes of the last frames
    hits=array(f4, "channels", "2 * depth", "parts", start=0),  # activations of the last frames
    ratio=scratch(f4, "depth", "row"), work=scratch(f4, 3, "row"), lanes=scratch(f4, LANES),
)


@kernel
def modelled(templates, hits, frame, out):
    """Write the magnitudes that hits explain in a frame: sum over t of templates[:, t] hits[frame - t]."""
    parts, depth, _ = templates.shape
    out[:] = 0
    for t in range(depth):
        for r in range(parts):
            add_scaled(out, templates[r, t], hits[(frame - t) % (2 * depth), r])


@kernel
def follow(power, templates, sums, seen, hits, ratio, lanes, frame, sweeps):
    """Take in a frame, and update the activations of the last `depth` frames for the least KL divergence over them.

    Activations older than that stay as they are: what they still sound is part of the model.
    """
    parts, depth, row = templates.shape
    total = np.float32(0)
    for b in range(row):
        seen[frame % depth, b] = math.sqrt(power[b])
        total += seen[frame % depth, b]
    for r in range(parts):
        hits[frame % (2 * depth), r] = total / np.float32(parts)
    for _ in range(sweeps):
        for m in range(frame - depth + 1, frame + 1):
            quotient = ratio[m % depth]
            modelled(templates, hits, m, quotient)
            for b in range(row):
                quotient[b] = seen[m % depth, b] / (quotient[b] + TINY)
        for n in range(frame - depth + 1, frame + 1):
            for r in range(parts):
                pull = np.float32(0)
                for m in range(n, frame + 1):
                    pull += dot(templates[r, m - n], ratio[m % depth], lanes)
                hits[n % (2 * depth), r] *= pull / (sums[r, frame - n] + TINY)


@kernel
def share(templates, hits, seen, frame, which, work, mask):
    """Write how much of each bin of a frame is a part's; `work` is scratch, float32[2, row]."""
    parts, depth, row = templates.shape
    own, total = work[0], work[1]
    modelled(templates, hits, frame, total)
    own[:] = 0
    for t in range(depth):
        add_scaled(own, templates[which, t], hits[(frame - t) % (2 * depth), which])
    for b in range(row):
        spare = UNEXPLAINED * seen[frame % depth, b] + TINY
        mask[b] = (own[b] + spare / np.float32(parts)) / (total[b] + spare)


@system_entry(DRUMS)
def drums(state, mic):
    """Write the gains of one mic."""
    s = carray(state, (1,))[0]
    templates, seen, hits, work = view(s, "templates"), view(s, "seen")[mic], view(s, "hits")[mic], view(s, "work")
    follow(view(s, "power")[mic], templates, view(s, "sums"), seen, hits, view(s, "ratio"), view(s, "lanes"), s.frame,
           s.sweeps)
    share(templates, hits, seen, s.frame, kept_part(s, mic), work, work[2])
    settle(s, mic, work[2])
    if mic == s.channels - 1:
        s.frame += 1
    return 0


@signed(types.void(types.float32[:, ::1], types.float32[:, :, ::1], types.float32[:, ::1], types.int64,
                   types.float32[:, :, ::1]))
def masks(power, templates, sums, sweeps, out):
    """Write the masks float32[parts, frames, row] of powers float32[frames, row], frame by frame as in the stream."""
    parts, depth, row = templates.shape
    seen, hits = np.zeros((depth, row), np.float32), np.zeros((2 * depth, parts), np.float32)
    ratio, work = np.zeros((depth, row), np.float32), np.zeros((2, row), np.float32)
    lanes = np.zeros(LANES, np.float32)
    for frame in range(power.shape[0]):
        follow(power[frame], templates, sums, seen, hits, ratio, lanes, frame, sweeps)
        for which in range(parts):
            share(templates, hits, seen, frame, which, work, out[which, frame])
