"""What counts how much: cells by the power of the wanted sound, taps by what a path is expected to be."""

import math

import numpy as np

from rtsep_kernels.canceller.refine import transform
from rtsep_kernels.canceller.refine.record import CHUNK, FRAME, FRAME_BINS, HOP
from rtsep_kernels.canceller.refine.sound import misses
from rtsep_kernels.maths.vectors import fill
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import call_fft, fma
from rtsep_kernels.plane.record import view

# Added to a cell's power before it is inverted, so that nearly silent ones do not decide alone: of the mean power of
# the bin (no cell counts for more than a hundred mean ones), of all bins, and for digital silence.
_FLOOR = np.float32(1e-2)
_FLOOR_ALL = np.float32(1e-4)
_SILENCE = np.float32(1e-9)
_PIECES = 16                  # of a path, through whose energies an exponential is laid
_UNKNOWN = np.float32(0.1)    # of the prior: what may be there and is not found yet
_NO_ENERGY = 1e-20            # under a logarithm: for paths that are exactly 0
_NO_VARIANCE = np.float32(1e-12)   # it is divided by


@kernel
def weigh(s, frames):
    """Turn mic i's powers into weights; what it no longer believes in weighs nothing."""
    weights = view(s, "weights")
    powers = view(s, "powers")[s.mic]
    mean = view(s, "means")
    for f in range(frames):
        for b in range(FRAME_BINS):
            weights[f, b] = powers[f, b]
    rows = view(s, "rows")
    _smooth(weights, frames, rows[0], rows[1])
    fill(mean, np.float32(0))
    for f in range(frames):
        for b in range(FRAME_BINS):
            mean[b] += weights[f, b]
    every = np.float32(0)
    for b in range(FRAME_BINS):
        mean[b] /= np.float32(frames)
        every += mean[b]
    every /= np.float32(FRAME_BINS)
    for b in range(FRAME_BINS):
        mean[b] = _FLOOR * mean[b] + _FLOOR_ALL * every + _SILENCE
    since = view(s, "since")[s.mic]
    for f in range(frames):
        begin = s.first * CHUNK + f * HOP
        missed = misses(s, begin // CHUNK) or misses(s, (begin + FRAME - 1) // CHUNK)
        believed = begin >= since and not missed
        # The window's energy: white noise of power 1 has so much in every bin.
        scale = s.trust * np.float32(FRAME / 2) if believed else np.float32(0)
        for b in range(FRAME_BINS):
            weights[f, b] = scale / (weights[f, b] + mean[b])


@kernel
def _smooth(weights, frames, held, work):
    """Average powers over three frames and three bins, in place; two rows of scratch."""
    third = np.float32(1 / 3)
    last = FRAME_BINS - 1
    for b in range(FRAME_BINS):
        held[b] = weights[0, b]
    for f in range(frames):
        after = min(f + 1, frames - 1)
        for b in range(FRAME_BINS):
            now = weights[f, b]
            work[b] = (held[b] + now + weights[after, b]) * third
            held[b] = now
        for b in range(1, last):
            weights[f, b] = (work[b - 1] + work[b] + work[b + 1]) * third
        weights[f, 0] = (work[0] + work[0] + work[1]) * third
        weights[f, last] = (work[last - 1] + work[last] + work[last]) * third


@kernel
def expect(s, j):
    """Say how large the taps of mic i's path from j may be: an exponential through the energies of its sixteenths.

    Some of the prior for unknown paths is added first: a path that is not found yet may still be there.
    """
    path = view(s, "new")[s.mic, j]
    prior = view(s, "prior_variance")
    variance = view(s, "variance")[j]
    anchored = view(s, "anchored")[s.mic] != 0
    doubt = view(s, "doubt")[s.mic, j] if anchored else np.float32(1)
    length = s.reach // _PIECES
    sum_y = sum_ty = sum_tt = 0.0
    for p in range(_PIECES):
        energy = 0.0
        for n in range(p * length, (p + 1) * length):
            energy += path[n] * path[n] + _UNKNOWN * prior[n]
        t = p - 0.5 * (_PIECES - 1)
        y = math.log(energy / length + _NO_ENERGY)
        sum_y += y
        sum_ty += t * y
        sum_tt += t * t
    slope = min(sum_ty / sum_tt, 0.0)
    if view(s, "freed")[s.mic, j] == 0:
        doubt = np.float32(0)
    value = math.exp(sum_y / _PIECES - slope * 0.5 * _PIECES) * doubt
    ratio = math.exp(slope / length)
    for n in range(s.reach):
        variance[n] = np.float32(value) + _NO_VARIANCE
        value *= ratio


@kernel
def weigh_frames(s, first_frame, count):
    """Apply the weights to `image`, into `weighted`."""
    weights = view(s, "weights")
    time = view(s, "time")
    spectrum = view(s, "spectrum")
    window = view(s, "window")
    image = view(s, "image")
    weighted = view(s, "weighted")
    if first_frame == 0:
        fill(weighted, np.float32(0))
    for f in range(first_frame, first_frame + count):
        place = f * HOP
        transform.forward_frame(s, image, place, -1)
        for b in range(FRAME_BINS):
            spectrum[2 * b] *= weights[f, b]
            spectrum[2 * b + 1] *= weights[f, b]
        call_fft(s.backward, s.inverse_frame, s.spectrum, s.time)
        for n in range(FRAME):
            weighted[place + n] = fma(time[n] * window[n], np.float32(1 / FRAME), weighted[place + n])


@kernel
def weigh_neighbour(s, frames, j):
    """Write the power spectrum of mic j under mic i's weights into `density`: what the preconditioner is made of.

    Frames of 1024 samples are long enough: of the autocorrelation only the first 256 values are looked at.
    """
    weights = view(s, "weights")
    powers = view(s, "powers")[j]
    total = view(s, "density")
    fill(total, np.float32(0))
    for f in range(frames):
        for b in range(FRAME_BINS):
            total[b] = fma(weights[f, b], powers[f, b], total[b])
