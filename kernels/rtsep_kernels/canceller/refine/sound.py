"""What was heard, at the low rate: spectra of chunks, powers of frames."""

import numpy as np

from rtsep_kernels.canceller.refine import transform
from rtsep_kernels.canceller.refine.record import BANDS, CHUNK, FRAME, FRAME_BINS, FRAMES_PER_CHUNK, HOP, RING
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.record import view

# Of the low rate: where the last band ends. There the new paths have nearly faded out (see `adopt`), and the low-pass
# filter begins to fall.
_TOP = 0.43


@kernel
def transform_chunk(s, chunk, slot):
    """Transform chunk `chunk` of every cleaned mic, with the one before it, into row `slot`."""
    y = view(s, "y")
    y_re = view(s, "y_re")
    y_im = view(s, "y_im")
    time = view(s, "time")
    before = ((chunk - 1) & (RING - 1)) * CHUNK
    place = (chunk & (RING - 1)) * CHUNK
    known = (chunk - 1) * CHUNK >= s.base
    for j in range(s.channels):
        for n in range(CHUNK):
            time[n] = y[j, before + n] if known else np.float32(0)
        for n in range(CHUNK):
            time[CHUNK + n] = y[j, place + n]
        transform.forward(s, y_re[slot, j], y_im[slot, j])


@kernel
def misses(s, chunk):
    """Tell whether a mic was dead in a chunk, or in the one before, whose end is heard in it: see `canceller.dead`."""
    unwatched = view(s, "unwatched")
    return unwatched[chunk & (RING - 1)] != 0 or unwatched[(chunk - 1) & (RING - 1)] != 0


@kernel
def frames_of(s):
    """Return how many frames the round's chunks have."""
    return s.chunks * FRAMES_PER_CHUNK - 1


@kernel
def take_powers(s, first_frame, count, j):
    """Take the power of mic j's frames: of its own weights, and of what it means to the others."""
    powers = view(s, "powers")[j]
    y = view(s, "y")[j]
    for f in range(first_frame, first_frame + count):
        frame_power(s, y, s.first * CHUNK + f * HOP, RING * CHUNK - 1, powers[f])


@kernel
def frame_power(s, source, place, mask, out):
    """Write the power of a windowed frame; for `mask` see `transform.forward_frame`."""
    transform.forward_frame(s, source, place, mask)
    spectrum = view(s, "spectrum")
    for b in range(FRAME_BINS):
        out[b] = spectrum[2 * b] * spectrum[2 * b] + spectrum[2 * b + 1] * spectrum[2 * b + 1]


@kernel
def is_in_band(s, b, band):
    """Tell whether bin b of a frame's spectrum is in the band; the last one ends below the low-pass filter's edge."""
    edges = view(s, "edges")
    hz = b * s.rate / FRAME
    if band > 0 and hz < edges[band - 1]:
        return False
    return hz < edges[band] if band < BANDS - 1 else hz < _TOP * s.rate
