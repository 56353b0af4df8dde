"""A nonnegative autoencoder in the stream: one product encodes a frame, one decodes it part by part."""

import math

import numpy as np
from numba import carray, from_dtype, types

from rtsep_kernels.masking import HEAD, TINY, UNEXPLAINED, rows, settle
from rtsep_kernels.maths.vectors import LANES, add_scaled, dot
from rtsep_kernels.plane.jit import entry, kernel, signed
from rtsep_kernels.plane.memory import pointer, samples

NAE = np.dtype([
    *HEAD,
    ("keep", np.int64),                                  # target, float32[k]: number of the part
    ("components", np.int64), ("parts", np.int64),
    ("encoder", np.int64), ("decoder", np.int64),        # float32[components, row]
    ("owner", np.int64),                                 # int64[components]: the part that each belongs to
    ("work", np.int64),                                  # float32[4, row]
    ("hidden", np.int64),                                # float32[components]
    ("lanes", np.int64),                                 # float32[LANES]
], align=True)
_NAE = from_dtype(NAE)


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


@entry(types.int32(types.CPointer(_NAE), types.int64))
def nae(state, mic):
    """Write the gains of one mic."""
    s = carray(state, (1,))[0]
    k = s.channels
    work = rows(s.work, 4, s.row)
    hidden = carray(samples(s.hidden), (s.components,))
    lanes = carray(samples(s.lanes), (LANES,))
    encode(rows(s.power, k, s.row)[mic], rows(s.encoder, s.components, s.row), work[2], lanes, hidden)
    which = int(carray(samples(s.keep), (k,))[mic] + np.float32(0.5))
    owner = carray(pointer(s.owner), (s.components,), np.int64)
    share(work[2], hidden, rows(s.decoder, s.components, s.row), owner, s.parts, which, work, work[3])
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
