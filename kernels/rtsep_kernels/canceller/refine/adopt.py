"""Judge refined paths on sound that they have not learnt from, and blend them into the Kalman filter's.

What a round has learnt is a second or more old when it ends, and somebody may have moved. So old and new paths are
compared on what was heard since: in each of four bands the new ones are taken where the logarithm of the cleaned
mic's power, averaged over all cells, is lower with them. A mic for which they mostly lose forgets its older half.
"""

import math

import numpy as np

from rtsep_kernels.canceller.record import BINS as PART_BINS
from rtsep_kernels.canceller.record import BLOCK as PART
from rtsep_kernels.canceller.record import ROW as PART_ROW
from rtsep_kernels.canceller.refine import transform
from rtsep_kernels.canceller.refine.record import (
    BANDS,
    BINS,
    CHUNK,
    FRAME_BINS,
    FRAMES_PER_CHUNK,
    HOP,
    RING,
    SIZE,
    TAPS,
)
from rtsep_kernels.canceller.refine.solve import predict_chunk
from rtsep_kernels.canceller.refine.sound import frame_power, is_in_band
from rtsep_kernels.maths import spectra
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import call_fft, fma
from rtsep_kernels.plane.record import inner, view

# Of the low rate's Nyquist frequency: the new fades out between them. Up to the first the low-pass filter is flat.
_FADE = (np.float32(0.77), np.float32(0.87))
FADE_BINS = 400               # that the spectrum of a path loses at the low rate's top: the last tenth
# Added to a cell's power before its logarithm: of the bin's mean power, and for digital silence.
_FLOOR = np.float32(1e-4)
_SILENCE = np.float32(1e-8)


@kernel
def collect(s, i, j):
    """Write the Kalman filter's path, as taps at the full rate, into `wide_time`."""
    paths = inner(s, "paths")
    re, im = view(paths, "w_re"), view(paths, "w_im")
    wide = view(s, "wide_time")
    time = view(s, "time")
    for p in range(s.taps // PART):
        spectra.join(re[p, i, j], im[p, i, j], view(s, "spectrum"), PART_BINS)
        call_fft(s.backward, s.inverse_part, s.spectrum, s.time)
        for n in range(PART):
            wide[p * PART + n] = time[n] * np.float32(1 / (2 * PART))
    for n in range(s.taps, wide.shape[0]):
        wide[n] = np.float32(0)


@kernel
def lower(s, i, j):
    """Take a path of the Kalman filter's to the low rate: where the round starts."""
    collect(s, i, j)
    call_fft(s.forward, s.plan_wide, s.wide_time, s.wide_spectrum)
    wide = view(s, "wide_spectrum")
    spectrum = view(s, "spectrum")
    for b in range(BINS):
        fade = min(np.float32(1), np.float32(BINS - 1 - b) / np.float32(FADE_BINS))
        spectrum[2 * b] = wide[2 * b] * fade
        spectrum[2 * b + 1] = wide[2 * b + 1] * fade
    call_fft(s.backward, s.inverse, s.spectrum, s.time)
    time = view(s, "time")
    new = view(s, "new")[i, j]
    for n in range(s.reach):
        new[n] = time[n] * np.float32(1 / SIZE)
    for n in range(s.reach, TAPS):
        new[n] = np.float32(0)


@kernel
def try_chunk(s, slot):
    """Clean one fresh chunk of the mic with the new paths, into `error`; what was heard goes into `image`."""
    place = ((s.last + slot) & (RING - 1)) * CHUNK
    x = view(s, "x")[s.mic]
    y = view(s, "y")[s.mic]
    time = view(s, "time")
    error = view(s, "error")
    image = view(s, "image")
    predict_chunk(s, slot)
    for n in range(CHUNK):
        error[slot * CHUNK + n] = x[place + n] - time[CHUNK + n]
        image[slot * CHUNK + n] = y[place + n]


@kernel
def judge(s, chunks, better):
    """Set `better[band]`; return how many bands the new paths win."""
    frames = chunks * FRAMES_PER_CHUNK - 1
    gain = view(s, "means")
    _compare_powers(s, frames, gain)
    won = 0
    for band in range(BANDS):
        total = 0.0
        for b in range(FRAME_BINS):
            if is_in_band(s, b, band):
                total += gain[b]
        better[band] = 1 if total < 0.0 else 0
        won += better[band]
    return won


@kernel
def _compare_powers(s, frames, gain):
    """Write, for each bin, the sum of log(new / old) of the power over three frames; the weights are done with."""
    weights = view(s, "weights")
    half = weights.shape[0] // 2      # old powers before it, new ones from there on
    image = view(s, "image")
    error = view(s, "error")
    for f in range(frames):
        frame_power(s, image, f * HOP, -1, weights[f])
        frame_power(s, error, f * HOP, -1, weights[half + f])
    for b in range(FRAME_BINS):
        mean = np.float32(0)
        for f in range(frames):
            mean += weights[f, b]
        floor = np.float32(3) * (_FLOOR * mean / np.float32(frames) + _SILENCE)
        total = 0.0
        for f in range(1, frames - 1):
            old = weights[f - 1, b] + weights[f, b] + weights[f + 1, b]
            new = weights[half + f - 1, b] + weights[half + f, b] + weights[half + f + 1, b]
            total += math.log((new + floor) / (old + floor))
        gain[b] = np.float32(total)


@kernel
def set_mask(s, better):
    """Write how much of the new paths the mic takes, by frequency."""
    mask = view(s, "mask")[s.mic]
    edges = view(s, "edges")
    nyquist = np.float32(BINS - 1)
    for b in range(BINS):
        hz = b * s.rate / SIZE
        part = np.float32(better[0])
        for band in range(1, BANDS):
            rise = min(max((hz - edges[band - 1]) / (2 * s.edge) + 0.5, 0.0), 1.0)
            part += np.float32(rise) * np.float32(better[band] - better[band - 1])
        top = (_FADE[1] - np.float32(b) / nyquist) / (_FADE[1] - _FADE[0])
        mask[b] = part * min(max(top, np.float32(0)), np.float32(1))


@kernel
def forget_older_half(s):
    """Let the mic forget the older half of what it believes in: something has changed."""
    since = view(s, "since")
    begin = max(since[s.mic], s.have - s.memory * CHUNK)
    kept = max(s.keeps, (s.have - begin) // 2)
    since[s.mic] = max(since[s.mic], s.have - kept)


@kernel
def compare_paths(s, i, j):
    """Write how far the Kalman filter's path is to go to the new one, where the mask says so, in its partitions."""
    collect(s, i, j)
    call_fft(s.forward, s.plan_wide, s.wide_time, s.wide_spectrum)
    wide = view(s, "wide_spectrum")
    mask = view(s, "mask")[i]
    time = view(s, "time")
    spectrum = view(s, "spectrum")
    transform.lay_taps(s, view(s, "new")[i, j])
    call_fft(s.forward, s.plan, s.time, s.spectrum)
    for n in range(s.factor * SIZE + 2):
        change = mask[n // 2] * (spectrum[n] - wide[n]) if n < 2 * BINS else np.float32(0)
        wide[n] = change
    call_fft(s.backward, s.inverse_wide, s.wide_spectrum, s.wide_time)
    taps = view(s, "wide_time")
    re, im = view(s, "change_re"), view(s, "change_im")
    scale = np.float32(1) / np.float32(s.factor * SIZE)
    for p in range(s.taps // PART):
        for n in range(PART):
            time[n] = taps[p * PART + n] * scale
            time[PART + n] = np.float32(0)
        call_fft(s.forward, s.plan_part, s.time, s.spectrum)
        spectra.split(spectrum, re[p, i, j], im[p, i, j], PART_BINS)


@kernel
def is_refined(s, i, j):
    """Tell whether a pair was held when the round began, and has been since."""
    return view(s, "taken")[i, j] != 0 and view(inner(s, "paths"), "held")[i, j] != 0


@kernel
def blend(s, i, part):
    """Move the Kalman filter's paths of mic i by `part` of the change."""
    paths = inner(s, "paths")
    for j in range(s.channels):
        if is_refined(s, i, j):
            _add(view(paths, "w_re"), view(s, "change_re"), i, j, part)
            _add(view(paths, "w_im"), view(s, "change_im"), i, j, part)


@kernel
def _add(paths, change, i, j, part):
    """Add a part of the change to one path."""
    for p in range(paths.shape[0]):
        for n in range(PART_ROW):
            paths[p, i, j, n] = fma(part, change[p, i, j, n], paths[p, i, j, n])


@kernel
def believe(s, i):
    """Tell the Kalman filter how sure the new paths of mic i are: less doubt, and a longer memory."""
    paths = inner(s, "paths")
    doubts = view(paths, "p")
    prior = view(paths, "prior")
    memory = view(paths, "memory")[i]
    mask = view(s, "mask")[i]
    unknown = view(s, "unknown")[i]
    anchored = view(s, "anchored")[i]
    apart = s.factor * SIZE // (2 * PART)     # bins at the low rate in one of the Kalman filter's
    for b in range(PART_BINS):
        part = mask[apart * b] if apart * b < BINS else np.float32(0)
        if anchored == 0:
            memory[b] = s.blind_memory + (s.slow - s.blind_memory) * part
        for j in range(s.channels):
            if not is_refined(s, i, j):
                continue
            left = np.float32(1) - part * (np.float32(1) - max(unknown[j, b], s.left_doubt))
            for p in range(s.partitions):
                doubts[p, i, j, b] = min(doubts[p, i, j, b], left * prior[p])
