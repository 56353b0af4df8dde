"""Notice what has moved since the soundcheck, and let go of just that.

Each chunk of a mic is explained by the parts that the soundcheck's paths make of the other mics' own sounds, each with
a real gain of its own:

    x_i = own sound + sum over j of g_ij (anchor_ij * y_j),    all cells counted by 1 / power, in four bands

The gains are 1 while the room is what it was, whatever the Kalman filter has made of the paths since. Who walks, or
turns, changes the paths from him to all mics: a column. Where a mic is moved, those from all players to it: a row.
Their gains fall, by band and path as chance has it. A fader that goes to f times what it was makes one gain of a
whole row, f, and one of a whole column, 1 / f: then nothing is unknown but a number.

This file makes the equations of the gains; `moves` solves and judges them, `doubt` does what follows.
"""

import numpy as np

from rtsep_kernels.canceller.refine import transform
from rtsep_kernels.canceller.refine.doubt import is_known
from rtsep_kernels.canceller.refine.moves import judge_moves
from rtsep_kernels.canceller.refine.record import (
    BANDS,
    CHUNK,
    FFT,
    FFT_FRAME,
    FRAME_BINS,
    FRAMES_PER_CHUNK,
    HOP,
    PASS_FRAME,
    PRODUCT,
    RING,
    ROW,
    SIZE,
)
from rtsep_kernels.canceller.refine.sound import is_in_band, misses
from rtsep_kernels.maths import spectra
from rtsep_kernels.maths.vectors import fill
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import fma
from rtsep_kernels.plane.record import view

_EVERY_CHUNK = 8             # mics up to which every chunk is watched; fewer beyond, as the work grows
_SILENCE = np.float32(1e-7)  # added to a cell's power, which it is divided by


@kernel
def _next_chunk(s):
    """Return the chunk to be watched next."""
    return max(s.watched, (s.base + CHUNK - 1) // CHUNK + 1)


@kernel
def is_due(s):
    """Tell whether a chunk waits to be watched."""
    anchored = view(s, "anchored")
    believed = 0
    for i in range(s.channels):
        believed += anchored[i]
    return believed > 0 and s.have // CHUNK > _next_chunk(s)


@kernel
def begin(s):
    """Forget what was watched."""
    s.age = 0
    s.watching = 0
    s.mending = 0


@kernel
def watch(s):
    """Do one piece: transform the chunk, make a part of one mic's bleed, explain the mic, or judge; return its cost."""
    k = s.channels
    chunk = _next_chunk(s)
    if s.watching == 0 and misses(s, chunk):
        s.watched = chunk + 1   # whose mic was dead is missing in the others' explanation: that is no move
        return 1
    if s.watching == 0:
        _transform(s, chunk)
        s.watching = 1
        return k * FFT
    if s.watching <= k * (k + 1):
        i = (s.watching - 1) // (k + 1)
        j = (s.watching - 1) % (k + 1)
        s.watching += 1
        if j < k:
            make_part(s, i, j)
            return 2 * FFT + PRODUCT
        explain(s, chunk, i)
        return (k + 2) * FRAMES_PER_CHUNK * FFT_FRAME
    s.watched = chunk + max(1, k // _EVERY_CHUNK)
    s.watching = 0
    s.age += 1
    if s.age >= s.soon:
        judge_moves(s)
    return k * k * PASS_FRAME


@kernel
def _transform(s, chunk):
    """Transform the chunk of every cleaned mic, with the one before it; note whose player rests.

    What is left in the mic of somebody who rests is not his.
    """
    x, y = view(s, "x"), view(s, "y")
    re, im = view(s, "chunk_re"), view(s, "chunk_im")
    rests = view(s, "rests")
    time = view(s, "time")
    first = (chunk - 1) * CHUNK
    for j in range(s.channels):
        heard = own = np.float32(0)
        for n in range(SIZE):
            time[n] = y[j, (first + n) & (RING * CHUNK - 1)]
        for n in range(CHUNK):
            came = x[j, (first + CHUNK + n) & (RING * CHUNK - 1)]
            heard += came * came
            own += time[CHUNK + n] * time[CHUNK + n]
        rests[j] = 1 if own < s.plays * heard else 0
        transform.forward(s, re[j], im[j])


@kernel
def make_part(s, i, j):
    """Write what the anchor makes of mic j in mic i, of one chunk, into `parts`; nothing if that is not known."""
    part = view(s, "parts")[j]
    y_re, y_im = view(s, "chunk_re")[j], view(s, "chunk_im")[j]
    re, im = view(s, "sum_re"), view(s, "sum_im")
    time = view(s, "time")
    if not is_known(s, i, j) or view(s, "rests")[j]:
        fill(part, np.float32(0))
        return
    transform.lay_taps(s, view(s, "anchor")[i, j])
    transform.forward(s, re, im)
    for b in range(ROW):
        a = re[b]
        re[b] = a * y_re[b] - im[b] * y_im[b]
        im[b] = fma(a, y_im[b], im[b] * y_re[b])
    transform.backward(s, re, im)
    for n in range(CHUNK):
        part[n] = time[CHUNK + n] * np.float32(1 / SIZE)


@kernel
def _frame(s, source, first, re, im):
    """Transform one windowed frame."""
    transform.forward_frame(s, source, first, -1)
    spectra.split(view(s, "spectrum"), re, im, FRAME_BINS)


@kernel
def explain(s, chunk, i):
    """Take a chunk of mic i into the normal equations of its gains."""
    k = s.channels
    place = (chunk & (RING - 1)) * CHUNK
    x, y = view(s, "x")[i], view(s, "y")[i]
    parts = view(s, "parts")
    re, im = view(s, "frame_re"), view(s, "frame_im")
    normal = view(s, "normal")[s.age % s.span, i]
    for band in range(BANDS):
        for j in range(k):
            for h in range(k + 1):
                normal[band, j, h] = 0.0
    for f in range(FRAMES_PER_CHUNK - 1):
        first = f * HOP
        _frame(s, x, place + first, re[k], im[k])
        _frame(s, y, place + first, re[k + 1], im[k + 1])
        for j in range(k):
            _frame(s, parts[j], first, re[j], im[j])
        for b in range(FRAME_BINS):
            _add_cell(s, b, normal)


@kernel
def _add_cell(s, b, normal):
    """Take one bin of a frame into the equations of its band."""
    k = s.channels
    re, im = view(s, "frame_re"), view(s, "frame_im")
    all_re = np.float32(0)
    all_im = np.float32(0)
    for j in range(k):
        all_re += re[j, b]
        all_im += im[j, b]
    power = re[k + 1, b] * re[k + 1, b] + im[k + 1, b] * im[k + 1, b] + all_re * all_re + all_im * all_im
    weight = np.float32(1) / (power + _SILENCE)
    for band in range(BANDS):
        if is_in_band(s, b, band):
            for j in range(k):
                of_j = weight * re[j, b]
                too = weight * im[j, b]
                for h in range(k + 1):
                    normal[band, j, h] += of_j * re[h, b] + too * im[h, b]
