"""A nonnegative autoencoder in the stream: one product encodes a frame, one decodes it part by part."""

import math

import numpy as np
from numba import carray, types

from rtsep_kernels.masking import HEAD, TINY, UNEXPLAINED, kept_part, settle, system_entry
from rtsep_kernels.maths.vectors import LANES, add_scaled, dot
from rtsep_kernels.plane.jit import kernel, signed
from rtsep_kernels.plane.record import array, f4, given, i8, number, record, scratch, view

NAE = record(
    **HEAD,
    keep=given(f4, "channels"),                                 # target: number of the part
    components=number(), parts=number(),
    encoder=array(f4, "components", "row"), decoder=array(f4, "components", "row"),
    owner=array(i8, "components"),                              # the part that each belongs to
    work=scratch(f4, 4, "row"), hidden=scratch(f4, "components"), lanes=scratch(f4, LANES),
)


@kernel
def encode(power, encoder, magnitude, lanes, hidden):
    """Write the magnitudes of a frame and its activations, max(encoder magnitude, 0)."""
    for b in range(power.shape[0]):
        magnitude[b] = math.sqrt(power[b])
    for c in range(encoder.shape[0]):
        hidden[c] = max(dot(encoder[c], magnitude, lanes), np.float32(0))


@kernel
def share(magnitude, hidden, decoder, owner, parts, which, work, mask):
    """Write how much of each bin is a part's, nothing if there is none of that number; `work` is float32[2, row]."""
    own, total = work[0], work[1]
    own[:] = 0
    total[:] = 0
    for c in range(decoder.shape[0]):
        add_scaled(total, decoder[c], hidden[c])
        if owner[c] == which:
            add_scaled(own, decoder[c], hidden[c])
    equal = np.float32(1 / parts if which < parts else 0)
    for b in range(magnitude.shape[0]):
        spare = UNEXPLAINED * magnitude[b] + TINY
        mask[b] = (own[b] + spare * equal) / (total[b] + spare)


@system_entry(NAE)
def nae(state, mic):
    """Write the gains of one mic."""
    s = carray(state, (1,))[0]
    work, hidden = view(s, "work"), view(s, "hidden")
    encode(view(s, "power")[mic], view(s, "encoder"), work[2], view(s, "lanes"), hidden)
    share(work[2], hidden, view(s, "decoder"), view(s, "owner"), s.parts, kept_part(s, mic), work, work[3])
    settle(s, mic, work[3])
    return 0


@signed(types.void(types.float32[:, ::1], types.float32[:, ::1], types.float32[:, ::1], types.int64[::1],
                   types.float32[:, ::1], types.int64, types.int64, types.float32[:, ::1]))
def masks(power, encoder, decoder, owner, allowed, parts, which, out):
    """Write the mask of one part, float32[frames, row], for powers float32[frames, row].

    `allowed`, float32[frames, components] of 0 and 1, is what may sound when (structured dropout).
    """
    row = power.shape[1]
    hidden, magnitude = np.zeros(encoder.shape[0], np.float32), np.zeros(row, np.float32)
    work, lanes = np.zeros((2, row), np.float32), np.zeros(LANES, np.float32)
    for frame in range(power.shape[0]):
        encode(power[frame], encoder, magnitude, lanes, hidden)
        for c in range(hidden.shape[0]):
            hidden[c] *= allowed[frame, c]
        share(magnitude, hidden, decoder, owner, parts, which, work, out[frame])
