"""Judge refined filters on sound that they have not learnt from, and blend them into the Kalman filter's.

What a round has learnt is a second or more old when it ends, and somebody may have moved. So old and new filters
are compared on what was heard since: in each of four bands the new ones are taken where the logarithm of the cleaned
mic's power, averaged over all cells, is lower with them. A mic for which they mostly lose forgets its older half.
"""

import math

import numpy as np
from numba import carray

from rtsep_kernels.canceller.refine.record import (
    BANDS,
    BINS,
    CHUNK,
    FRAME,
    FRAME_ROW,
    FRAMES_PER_CHUNK,
    MEMORY,
    PART_BINS,
    PART_ROW,
    RING,
    ROW,
    SIZE,
    TAPS,
)
from rtsep_kernels.canceller.refine.solve import predict_chunk
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import call_fft, fma, pointer, samples

PART = 512                    # taps in a partition of the Kalman filter
_TOP = (np.float32(0.77), np.float32(0.87))   # of the low rate's Nyquist frequency: the new fades out between them
_EDGE_HZ = 60.0
FADE_BINS = 400              # that the spectrum of a path loses at the low rate's top
_FLOOR = np.float32(1e-4)
_FORGET_AT_LEAST = 3.0        # seconds that a mic keeps when it forgets


@kernel
def collect(s, i, j):
    """Write the Kalman filter's path, as taps at the full rate, into `wide_time`."""
    k = s.channels
    size = s.factor * SIZE
    re = carray(samples(s.kalman_re), (s.partitions, k, k, PART_ROW))
    im = carray(samples(s.kalman_im), (s.partitions, k, k, PART_ROW))
    wide = carray(samples(s.wide_time), (size,))
    time = carray(samples(s.time), (SIZE,))
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    for p in range(s.taps // PART):
        for b in range(PART_BINS):
            spectrum[2 * b] = re[p, i, j, b]
            spectrum[2 * b + 1] = im[p, i, j, b]
        call_fft(s.backward, s.inverse_part, s.spectrum, s.time)
        for n in range(PART):
            wide[p * PART + n] = time[n] * np.float32(1 / 1024)
    for n in range(s.taps, size):
        wide[n] = np.float32(0)


@kernel
def lower(s, i, j):
    """Take a path of the Kalman filter's to the low rate: where the round starts."""
    k = s.channels
    collect(s, i, j)
    call_fft(s.forward, s.plan_wide, s.wide_time, s.wide_spectrum)
    wide = carray(samples(s.wide_spectrum), (s.factor * SIZE + 32,))
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    for b in range(BINS):
        fade = min(np.float32(1), np.float32(BINS - 1 - b) / np.float32(FADE_BINS))
        spectrum[2 * b] = wide[2 * b] * fade
        spectrum[2 * b + 1] = wide[2 * b + 1] * fade
    call_fft(s.backward, s.inverse, s.spectrum, s.time)
    time = carray(samples(s.time), (SIZE,))
    new = carray(samples(s.new), (k, k, TAPS))[i, j]
    for n in range(s.reach):
        new[n] = time[n] * np.float32(1 / SIZE)
    for n in range(s.reach, TAPS):
        new[n] = np.float32(0)


@kernel
def _powers(s, source, frames, first_row):
    weights = carray(samples(s.weights), (MEMORY * FRAMES_PER_CHUNK, FRAME_ROW))
    window = carray(samples(s.window), (FRAME,))
    time = carray(samples(s.time), (SIZE,))
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    for f in range(frames):
        for n in range(FRAME):
            time[n] = window[n] * source[f * (FRAME // 2) + n]
        call_fft(s.forward, s.plan_frame, s.time, s.spectrum)
        for b in range(FRAME // 2 + 1):
            weights[first_row + f, b] = (
                spectrum[2 * b] * spectrum[2 * b] + spectrum[2 * b + 1] * spectrum[2 * b + 1]
            )


@kernel
def try_chunk(s, slot):
    """Clean one fresh chunk of the mic with the new filters, into `error`; what was heard goes into `image`."""
    place = ((s.last + slot) & (RING - 1)) * CHUNK
    x = carray(samples(s.x), (s.channels, RING * CHUNK))[s.mic]
    y = carray(samples(s.y), (s.channels, RING * CHUNK))[s.mic]
    time = carray(samples(s.time), (SIZE,))
    error = carray(samples(s.error), (MEMORY * CHUNK,))
    image = carray(samples(s.image), (MEMORY * CHUNK,))
    taken = carray(samples(s.weighted), (MEMORY * CHUNK,))
    predict_chunk(s, slot)
    for n in range(CHUNK):
        error[slot * CHUNK + n] = x[place + n] - time[CHUNK + n]
        image[slot * CHUNK + n] = y[place + n]
        taken[slot * CHUNK + n] = x[place + n] - y[place + n]


@kernel
def is_in_band(s, b, band, edges):
    """Tell whether bin b of a frame's spectrum is in the band; the last one ends below the low-pass filter's edge."""
    hz = b * s.rate / FRAME
    if band > 0 and hz < edges[band - 1]:
        return False
    return hz < edges[band] if band < BANDS - 1 else hz < 0.43 * s.rate


@kernel
def judge(s, chunks, edges, better):
    """Set `better[band]`; return how many bands the new filters win."""
    frames = chunks * FRAMES_PER_CHUNK - 1
    half = MEMORY * FRAMES_PER_CHUNK // 2
    _powers(s, carray(samples(s.image), (MEMORY * CHUNK,)), frames, 0)
    _powers(s, carray(samples(s.error), (MEMORY * CHUNK,)), frames, half)
    weights = carray(samples(s.weights), (MEMORY * FRAMES_PER_CHUNK, FRAME_ROW))
    gain = carray(samples(s.sum_re), (ROW,))
    for b in range(FRAME // 2 + 1):
        mean = np.float32(0)
        for f in range(frames):
            mean += weights[f, b]
        floor = np.float32(3) * (_FLOOR * mean / np.float32(frames) + np.float32(1e-8))
        total = 0.0
        for f in range(1, frames - 1):
            old = weights[f - 1, b] + weights[f, b] + weights[f + 1, b]
            new = weights[half + f - 1, b] + weights[half + f, b] + weights[half + f + 1, b]
            total += math.log((new + floor) / (old + floor))
        gain[b] = np.float32(total)
    won = 0
    for band in range(BANDS):
        total = 0.0
        for b in range(FRAME // 2 + 1):
            if is_in_band(s, b, band, edges):
                total += gain[b]
        better[band] = 1 if total < 0.0 else 0
        won += better[band]
    return won


@kernel
def set_mask(s, edges, better):
    """Write how much of the new filters the mic takes, by frequency."""
    mask = carray(samples(s.mask), (s.channels, ROW))[s.mic]
    nyquist = np.float32(BINS - 1)
    for b in range(BINS):
        hz = b * s.rate / SIZE
        taken = np.float32(better[0])
        for band in range(1, BANDS):
            rise = min(max((hz - edges[band - 1]) / (2 * _EDGE_HZ) + 0.5, 0.0), 1.0)
            taken += np.float32(rise) * np.float32(better[band] - better[band - 1])
        top = (_TOP[1] - np.float32(b) / nyquist) / (_TOP[1] - _TOP[0])
        mask[b] = taken * min(max(top, np.float32(0)), np.float32(1))


@kernel
def forget_older_half(s):
    """Let the mic forget the older half of what it believes in: something has changed."""
    since = carray(pointer(s.since), (s.channels,), np.int64)
    begin = max(since[s.mic], s.have - MEMORY * CHUNK)
    kept = max(np.int64(_FORGET_AT_LEAST * s.rate), (s.have - begin) // 2)
    since[s.mic] = max(since[s.mic], s.have - kept)


@kernel
def compare_paths(s, i, j):
    """Write how far the Kalman filter's path is to go to the new one, where the mask says so, in its partitions."""
    k = s.channels
    collect(s, i, j)
    call_fft(s.forward, s.plan_wide, s.wide_time, s.wide_spectrum)
    wide = carray(samples(s.wide_spectrum), (s.factor * SIZE + 32,))
    mask = carray(samples(s.mask), (k, ROW))[i]
    new = carray(samples(s.new), (k, k, TAPS))[i, j]
    time = carray(samples(s.time), (SIZE,))
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    for n in range(TAPS):
        time[n] = new[n]
        time[TAPS + n] = np.float32(0)
    call_fft(s.forward, s.plan, s.time, s.spectrum)
    for n in range(s.factor * SIZE + 2):
        change = mask[n // 2] * (spectrum[n] - wide[n]) if n < 2 * BINS else np.float32(0)
        wide[n] = change
    call_fft(s.backward, s.inverse_wide, s.wide_spectrum, s.wide_time)
    taps = carray(samples(s.wide_time), (s.factor * SIZE,))
    re = carray(samples(s.change_re), (s.partitions, k, k, PART_ROW))
    im = carray(samples(s.change_im), (s.partitions, k, k, PART_ROW))
    scale = np.float32(1) / np.float32(s.factor * SIZE)
    for p in range(s.taps // PART):
        for n in range(PART):
            time[n] = taps[p * PART + n] * scale
            time[PART + n] = np.float32(0)
        call_fft(s.forward, s.plan_part, s.time, s.spectrum)
        for b in range(PART_BINS):
            re[p, i, j, b] = spectrum[2 * b]
            im[p, i, j, b] = spectrum[2 * b + 1]


@kernel
def is_refined(s, i, j):
    """Tell whether a pair was held when the round began, and has been since."""
    k = s.channels
    taken = carray(pointer(s.taken), (k, k), np.int64)
    return taken[i, j] != 0 and carray(pointer(s.chosen), (k, k), np.int64)[i, j] != 0


@kernel
def blend(s, i, share):
    """Move the Kalman filter's paths of mic i by `share` of the change."""
    k = s.channels
    shape = (s.partitions, k, k, PART_ROW)
    for j in range(k):
        if is_refined(s, i, j):
            _add(carray(samples(s.kalman_re), shape), carray(samples(s.change_re), shape), i, j, share)
            _add(carray(samples(s.kalman_im), shape), carray(samples(s.change_im), shape), i, j, share)


@kernel
def _add(paths, change, i, j, share):
    for p in range(paths.shape[0]):
        for n in range(PART_ROW):
            paths[p, i, j, n] = fma(share, change[p, i, j, n], paths[p, i, j, n])


@kernel
def believe(s, i):
    """Tell the Kalman filter how sure the new paths of mic i are: less doubt, and a longer memory."""
    k = s.channels
    doubts = carray(samples(s.kalman_p), (s.partitions, k, k, PART_ROW))
    prior = carray(samples(s.prior), (s.partitions,))
    memory = carray(samples(s.kalman_memory), (k, PART_ROW))[i]
    mask = carray(samples(s.mask), (k, ROW))[i]
    unknown = carray(samples(s.unknown), (k, k, PART_ROW))[i]
    anchored = carray(pointer(s.anchored), (k,), np.int64)[i]
    apart = s.factor * SIZE // 1024
    for b in range(PART_BINS):
        taken = mask[apart * b] if apart * b < BINS else np.float32(0)
        if anchored == 0:
            memory[b] = s.blind_memory + (s.slow - s.blind_memory) * taken
        for j in range(k):
            if not is_refined(s, i, j):
                continue
            left = np.float32(1) - taken * (np.float32(1) - max(unknown[j, b], s.left_doubt))
            for p in range(s.partitions):
                doubts[p, i, j, b] = min(doubts[p, i, j, b], left * prior[p])

