"""The steps of one round of refinement: small pieces of work on the record of `refine_state`.

For mic i the paths a_j, j != i, are those that minimise

    sum over t, f of |STFT(x_i - sum_j a_j * y_j)|^2 / Psi_i(t, f)  +  sum_j |a_j - anchor_j|^2 / v

with Psi_i the power of the wanted sound, as the cleaned mic has it now (iteratively reweighted least squares: the
time-frequency cells in which mic i itself is silent decide). The normal equations are solved by conjugate gradients.
Their matrix is a sum of nearly Toeplitz blocks of enormous spread (a bass has nothing above 1 kHz), so each block is
preconditioned with the Gohberg-Semencul inverse of an autoregressive model of order 256; ten steps then do what a
thousand would do without. Gohberg & Semencul 1972; Ammar & Gragg 1988, doi:10.1137/0609006.
"""

import math

import numpy as np
from numba import carray

from rtsep_kernels.canceller.refine.record import (
    BINS,
    CHUNK,
    FRAME,
    FRAME_ROW,
    FRAMES_PER_CHUNK,
    MEMORY,
    ORDER,
    PART_BINS,
    PART_ROW,
    RING,
    ROW,
    SIZE,
    TAPS,
)
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import call_fft, fma, pointer, samples

FRAMES_AT_ONCE = 8
# Thousands of operations, roughly: what the budget of a job is counted in.
FFT = 530
FFT_FRAME = 55
PRODUCT = 33
_FLOOR = np.float32(1e-2)     # of the mean power of the bin: no cell counts for more than a hundred mean ones
_FLOOR_ALL = np.float32(1e-4)
_PARTS = 16
_UNKNOWN = np.float32(0.1)
_SILENCE = np.float32(1e-9)


@kernel
def take_apart(spectrum, re, im):
    """Split an interleaved spectrum of SIZE points."""
    for b in range(BINS):
        re[b] = spectrum[2 * b]
        im[b] = spectrum[2 * b + 1]


@kernel
def put_together(re, im, spectrum):
    """Undo `take_apart`."""
    for b in range(BINS):
        spectrum[2 * b] = re[b]
        spectrum[2 * b + 1] = im[b]


@kernel
def _clear(values):
    for n in range(values.shape[0]):
        values[n] = np.float32(0)


@kernel
def _add_product(re, im, a_re, a_im, b_re, b_im):
    for b in range(ROW):
        re[b] = fma(a_re[b], b_re[b], fma(-a_im[b], b_im[b], re[b]))
        im[b] = fma(a_re[b], b_im[b], fma(a_im[b], b_re[b], im[b]))


@kernel
def _add_correlation(re, im, a_re, a_im, b_re, b_im):
    """Add conj(a) * b."""
    for b in range(ROW):
        re[b] = fma(a_re[b], b_re[b], fma(a_im[b], b_im[b], re[b]))
        im[b] = fma(a_re[b], b_im[b], fma(-a_im[b], b_re[b], im[b]))


@kernel
def _subtract_product(re, im, a_re, a_im, b_re, b_im):
    for b in range(ROW):
        re[b] = fma(-a_re[b], b_re[b], fma(a_im[b], b_im[b], re[b]))
        im[b] = fma(-a_re[b], b_im[b], fma(-a_im[b], b_re[b], im[b]))


@kernel
def _dot(a, b):
    """Return the inner product of float32[TAPS], in float64: eight sums, so that it vectorises in a fixed order."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    for n in range(TAPS // 8):
        m = 8 * n
        s0 += np.float64(a[m]) * b[m]
        s1 += np.float64(a[m + 1]) * b[m + 1]
        s2 += np.float64(a[m + 2]) * b[m + 2]
        s3 += np.float64(a[m + 3]) * b[m + 3]
        s4 += np.float64(a[m + 4]) * b[m + 4]
        s5 += np.float64(a[m + 5]) * b[m + 5]
        s6 += np.float64(a[m + 6]) * b[m + 6]
        s7 += np.float64(a[m + 7]) * b[m + 7]
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))


@kernel
def transform_chunk(s, chunk, slot):
    """Transform chunk `chunk` of every cleaned mic, with the one before it, into row `slot`."""
    k = s.channels
    y = carray(samples(s.y), (k, RING * CHUNK))
    y_re = carray(samples(s.y_re), (MEMORY, k, ROW))
    y_im = carray(samples(s.y_im), (MEMORY, k, ROW))
    time = carray(samples(s.time), (SIZE,))
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    before = ((chunk - 1) & (RING - 1)) * CHUNK
    place = (chunk & (RING - 1)) * CHUNK
    known = (chunk - 1) * CHUNK >= s.base
    for j in range(k):
        for n in range(CHUNK):
            time[n] = y[j, before + n] if known else np.float32(0)
        for n in range(CHUNK):
            time[CHUNK + n] = y[j, place + n]
        call_fft(s.forward, s.plan, s.time, s.spectrum)
        take_apart(spectrum, y_re[slot, j], y_im[slot, j])


@kernel
def window_into(time, window, source, place, mask):
    """Lay a windowed frame of a ring into `time`; `mask` is the ring's length less 1, or -1: no ring."""
    for n in range(FRAME):
        time[n] = window[n] * source[(place + n) & mask]


@kernel
def take_powers(s, first_frame, count, j):
    """Take the power of mic j's frames: of its own weights, and of what it means to the others."""
    powers = carray(samples(s.powers), (s.channels, MEMORY * FRAMES_PER_CHUNK, FRAME_ROW))[j]
    time = carray(samples(s.time), (SIZE,))
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    window = carray(samples(s.window), (FRAME,))
    y = carray(samples(s.y), (s.channels, RING * CHUNK))[j]
    for f in range(first_frame, first_frame + count):
        window_into(time, window, y, s.first * CHUNK + f * (FRAME // 2), RING * CHUNK - 1)
        call_fft(s.forward, s.plan_frame, s.time, s.spectrum)
        for b in range(FRAME // 2 + 1):
            powers[f, b] = spectrum[2 * b] * spectrum[2 * b] + spectrum[2 * b + 1] * spectrum[2 * b + 1]


@kernel
def _smooth(weights, frames, held, work):
    """Average powers over three frames and three bins, in place; two rows of scratch."""
    bins = FRAME // 2 + 1
    third = np.float32(1 / 3)
    for b in range(bins):
        held[b] = weights[0, b]
    for f in range(frames):
        after = min(f + 1, frames - 1)
        for b in range(bins):
            now = weights[f, b]
            work[b] = (held[b] + now + weights[after, b]) * third
            held[b] = now
        for b in range(1, bins - 1):
            weights[f, b] = (work[b - 1] + work[b] + work[b + 1]) * third
        weights[f, 0] = (work[0] + work[0] + work[1]) * third
        weights[f, bins - 1] = (work[bins - 2] + work[bins - 1] + work[bins - 1]) * third


@kernel
def weigh(s, frames):
    """Turn mic i's powers into weights; what it no longer believes in weighs nothing."""
    bins = FRAME // 2 + 1
    weights = carray(samples(s.weights), (MEMORY * FRAMES_PER_CHUNK, FRAME_ROW))
    powers = carray(samples(s.powers), (s.channels, MEMORY * FRAMES_PER_CHUNK, FRAME_ROW))[s.mic]
    mean = carray(samples(s.sum_re), (ROW,))
    for f in range(frames):
        for b in range(bins):
            weights[f, b] = powers[f, b]
    _smooth(weights, frames, carray(samples(s.sum_im), (ROW,)), carray(samples(s.sum2_re), (ROW,)))
    _clear(mean)
    for f in range(frames):
        for b in range(bins):
            mean[b] += weights[f, b]
    every = np.float32(0)
    for b in range(bins):
        mean[b] /= np.float32(frames)
        every += mean[b]
    every /= np.float32(bins)
    for b in range(bins):
        mean[b] = _FLOOR * mean[b] + _FLOOR_ALL * every + _SILENCE
    since = carray(pointer(s.since), (s.channels,), np.int64)[s.mic]
    for f in range(frames):
        believed = s.first * CHUNK + f * (FRAME // 2) >= since
        scale = s.trust * np.float32(FRAME / 2) if believed else np.float32(0)
        for b in range(bins):
            weights[f, b] = scale / (weights[f, b] + mean[b])


@kernel
def expect(s, j):
    """Say how large the taps of mic i's path from j may be: an exponential through the energies of its sixteenths.

    Some of the prior for unknown paths is added first: a path that is not found yet may still be there.
    """
    k = s.channels
    path = carray(samples(s.new), (k, k, TAPS))[s.mic, j]
    prior = carray(samples(s.prior_variance), (TAPS,))
    variance = carray(samples(s.variance), (k, TAPS))[j]
    anchored = carray(pointer(s.anchored), (k,), np.int64)[s.mic] != 0
    doubt = carray(samples(s.doubt), (k, k))[s.mic, j] if anchored else np.float32(1)
    length = s.reach // _PARTS
    sum_y = sum_ty = sum_tt = 0.0
    for p in range(_PARTS):
        energy = 0.0
        for n in range(p * length, (p + 1) * length):
            energy += path[n] * path[n] + _UNKNOWN * prior[n]
        t = p - 0.5 * (_PARTS - 1)
        y = math.log(energy / length + 1e-20)
        sum_y += y
        sum_ty += t * y
        sum_tt += t * t
    slope = min(sum_ty / sum_tt, 0.0)
    if carray(pointer(s.freed), (k, k), np.int64)[s.mic, j] == 0:
        doubt = np.float32(0)
    value = math.exp(sum_y / _PARTS - slope * 0.5 * _PARTS) * doubt
    ratio = math.exp(slope / length)
    for n in range(s.reach):
        variance[n] = np.float32(value) + np.float32(1e-12)
        value *= ratio


@kernel
def weigh_frames(s, first_frame, count):
    """Apply the weights to `image`, into `weighted`."""
    weights = carray(samples(s.weights), (MEMORY * FRAMES_PER_CHUNK, FRAME_ROW))
    time = carray(samples(s.time), (SIZE,))
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    window = carray(samples(s.window), (FRAME,))
    image = carray(samples(s.image), (MEMORY * CHUNK,))
    weighted = carray(samples(s.weighted), (MEMORY * CHUNK,))
    if first_frame == 0:
        _clear(weighted)
    for f in range(first_frame, first_frame + count):
        place = f * (FRAME // 2)
        for n in range(FRAME):
            time[n] = window[n] * image[place + n]
        call_fft(s.forward, s.plan_frame, s.time, s.spectrum)
        for b in range(FRAME // 2 + 1):
            spectrum[2 * b] *= weights[f, b]
            spectrum[2 * b + 1] *= weights[f, b]
        call_fft(s.backward, s.inverse_frame, s.spectrum, s.time)
        for n in range(FRAME):
            weighted[place + n] = fma(time[n] * window[n], np.float32(1 / FRAME), weighted[place + n])


@kernel
def weigh_neighbour(s, frames, j):
    """Write the power spectrum of mic j under mic i's weights: what the preconditioner is made of.

    Frames of 1024 samples are long enough: of the autocorrelation only the first 256 values are looked at.
    """
    weights = carray(samples(s.weights), (MEMORY * FRAMES_PER_CHUNK, FRAME_ROW))
    powers = carray(samples(s.powers), (s.channels, MEMORY * FRAMES_PER_CHUNK, FRAME_ROW))[j]
    total = carray(samples(s.sum_re), (ROW,))
    _clear(total)
    for f in range(frames):
        for b in range(FRAME // 2 + 1):
            total[b] = fma(weights[f, b], powers[f, b], total[b])


@kernel
def _levinson(r, a, work):
    """Solve for the prediction polynomial a of the autocorrelation r; return the error's power."""
    error = r[0]
    a[0] = 1.0
    for n in range(1, ORDER):
        acc = r[n]
        for m in range(1, n):
            acc += a[m] * r[n - m]
        reflection = -acc / error
        for m in range(1, n):
            work[m] = a[m] + reflection * a[n - m]
        for m in range(1, n):
            a[m] = work[m]
        a[n] = reflection
        error *= 1.0 - reflection * reflection
    return error


@kernel
def prepare_preconditioner(s, j):
    """Make the approximate inverse for the paths from mic j, out of what `weigh_neighbour` wrote."""
    k = s.channels
    power = carray(samples(s.sum_re), (ROW,))
    time = carray(samples(s.time), (SIZE,))
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    rows = carray(pointer(s.levinson), (3, ORDER), np.float64)
    variance = carray(samples(s.variance), (k, TAPS))[j]
    for b in range(FRAME // 2 + 1):
        spectrum[2 * b] = power[b]
        spectrum[2 * b + 1] = np.float32(0)
    call_fft(s.backward, s.inverse_frame, s.spectrum, s.time)
    for n in range(ORDER):
        rows[0, n] = time[n] / FRAME
    # The prior's precision, as if it were the same for every tap: its geometric mean.
    half = s.reach // 2
    unknown = carray(samples(s.unknown), (k, k, PART_ROW))[s.mic, j]
    apart = s.factor * FRAME // 1024
    for b in range(PART_BINS):
        first = apart * b - apart // 2
        if first + apart > FRAME // 2 + 1:
            unknown[b] = np.float32(1)
        else:
            mean = np.float32(0)
            for n in range(max(first, 0), first + apart):
                mean += power[n]
            unknown[b] = np.float32(1) / (np.float32(1) + variance[half] * mean / np.float32(apart))
    rows[0, 0] = rows[0, 0] * (1 + 1e-6) + 1.0 / variance[half]
    carray(pointer(s.inverse_error), (k,), np.float64)[j] = 1.0 / _levinson(rows[0], rows[1], rows[2])
    for n in range(SIZE):
        time[n] = np.float32(rows[1, n]) if n < ORDER else np.float32(0)
    call_fft(s.forward, s.plan, s.time, s.spectrum)
    take_apart(spectrum, carray(samples(s.predict_re), (k, ROW))[j], carray(samples(s.predict_im), (k, ROW))[j])
    for n in range(SIZE):
        time[n] = np.float32(rows[1, TAPS - n]) if TAPS - ORDER < n < TAPS else np.float32(0)
    call_fft(s.forward, s.plan, s.time, s.spectrum)
    take_apart(spectrum, carray(samples(s.mirror_re), (k, ROW))[j], carray(samples(s.mirror_im), (k, ROW))[j])


@kernel
def _correlate_taps(s, values_re, values_im, kept_re, kept_im):
    """Return, in `kept`, the spectrum of the first half of conj(values) * filter."""
    time = carray(samples(s.time), (SIZE,))
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    work_re = carray(samples(s.sum_re), (ROW,))
    work_im = carray(samples(s.sum_im), (ROW,))
    _clear(work_re)
    _clear(work_im)
    _add_correlation(work_re, work_im, values_re, values_im, kept_re, kept_im)
    put_together(work_re, work_im, spectrum)
    call_fft(s.backward, s.inverse, s.spectrum, s.time)
    for n in range(TAPS):
        time[n] *= np.float32(1 / SIZE)
        time[TAPS + n] = np.float32(0)
    call_fft(s.forward, s.plan, s.time, s.spectrum)
    take_apart(spectrum, work_re, work_im)


@kernel
def precondition(s, j):
    """Write solved_j = approximate inverse of residual_j."""
    k = s.channels
    time = carray(samples(s.time), (SIZE,))
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    residual = carray(samples(s.residual), (k, TAPS))[j]
    solved = carray(samples(s.solved), (k, TAPS))[j]
    p_re = carray(samples(s.predict_re), (k, ROW))[j]
    p_im = carray(samples(s.predict_im), (k, ROW))[j]
    m_re = carray(samples(s.mirror_re), (k, ROW))[j]
    m_im = carray(samples(s.mirror_im), (k, ROW))[j]
    kept_re = carray(samples(s.filter_re), (k, ROW))[0]   # free until the next direction is transformed
    kept_im = carray(samples(s.filter_im), (k, ROW))[0]
    work_re = carray(samples(s.sum_re), (ROW,))
    work_im = carray(samples(s.sum_im), (ROW,))
    total_re = carray(samples(s.sum2_re), (ROW,))
    total_im = carray(samples(s.sum2_im), (ROW,))
    for n in range(TAPS):
        time[n] = residual[n]
        time[TAPS + n] = np.float32(0)
    call_fft(s.forward, s.plan, s.time, s.spectrum)
    take_apart(spectrum, kept_re, kept_im)
    _clear(total_re)
    _clear(total_im)
    _correlate_taps(s, p_re, p_im, kept_re, kept_im)
    _add_product(total_re, total_im, p_re, p_im, work_re, work_im)
    _correlate_taps(s, m_re, m_im, kept_re, kept_im)
    _subtract_product(total_re, total_im, m_re, m_im, work_re, work_im)
    put_together(total_re, total_im, spectrum)
    call_fft(s.backward, s.inverse, s.spectrum, s.time)
    scale = np.float32(carray(pointer(s.inverse_error), (k,), np.float64)[j] / SIZE)
    for n in range(s.reach):
        solved[n] = time[n] * scale
    for n in range(s.reach, TAPS):
        solved[n] = np.float32(0)


@kernel
def transform_filters(s, taps, j):
    """Transform a path of mic i's, to be applied by `predict_chunk`."""
    time = carray(samples(s.time), (SIZE,))
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    for n in range(TAPS):
        time[n] = taps[n]
        time[TAPS + n] = np.float32(0)
    call_fft(s.forward, s.plan, s.time, s.spectrum)
    take_apart(spectrum, carray(samples(s.filter_re), (s.channels, ROW))[j],
               carray(samples(s.filter_im), (s.channels, ROW))[j])


@kernel
def predict_chunk(s, slot):
    """Return, in `time[CHUNK:]`, the sum of the filtered mics of one chunk."""
    k = s.channels
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    sum_re = carray(samples(s.sum_re), (ROW,))
    sum_im = carray(samples(s.sum_im), (ROW,))
    y_re = carray(samples(s.y_re), (MEMORY, k, ROW))
    y_im = carray(samples(s.y_im), (MEMORY, k, ROW))
    filter_re = carray(samples(s.filter_re), (k, ROW))
    filter_im = carray(samples(s.filter_im), (k, ROW))
    _clear(sum_re)
    _clear(sum_im)
    taken = carray(pointer(s.taken), (k, k), np.int64)[s.mic]
    for j in range(k):
        if taken[j]:
            _add_product(sum_re, sum_im, y_re[slot, j], y_im[slot, j], filter_re[j], filter_im[j])
    put_together(sum_re, sum_im, spectrum)
    call_fft(s.backward, s.inverse, s.spectrum, s.time)
    time = carray(samples(s.time), (SIZE,))
    for n in range(CHUNK):
        time[CHUNK + n] *= np.float32(1 / SIZE)


@kernel
def begin_error_chunk(s, slot):
    """Write the error of the filters at hand, of one chunk, into `error` and `image`."""
    x = carray(samples(s.x), (s.channels, RING * CHUNK))[s.mic]
    time = carray(samples(s.time), (SIZE,))
    error = carray(samples(s.error), (MEMORY * CHUNK,))
    image = carray(samples(s.image), (MEMORY * CHUNK,))
    place = ((s.first + slot) & (RING - 1)) * CHUNK
    predict_chunk(s, slot)
    for n in range(CHUNK):
        e = x[place + n] - time[CHUNK + n]
        error[slot * CHUNK + n] = e
        image[slot * CHUNK + n] = e


@kernel
def image_chunk(s, slot):
    """Write what the direction predicts, of one chunk, into `image`."""
    time = carray(samples(s.time), (SIZE,))
    image = carray(samples(s.image), (MEMORY * CHUNK,))
    predict_chunk(s, slot)
    for n in range(CHUNK):
        image[slot * CHUNK + n] = time[CHUNK + n]


@kernel
def back_project_chunk(s, slot):
    """Correlate one chunk of `weighted` with every other mic: summed in the filters' rows."""
    k = s.channels
    time = carray(samples(s.time), (SIZE,))
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    weighted = carray(samples(s.weighted), (MEMORY * CHUNK,))
    sum_re = carray(samples(s.sum_re), (ROW,))
    sum_im = carray(samples(s.sum_im), (ROW,))
    y_re = carray(samples(s.y_re), (MEMORY, k, ROW))
    y_im = carray(samples(s.y_im), (MEMORY, k, ROW))
    filter_re = carray(samples(s.filter_re), (k, ROW))
    filter_im = carray(samples(s.filter_im), (k, ROW))
    for n in range(CHUNK):
        time[n] = np.float32(0)
        time[CHUNK + n] = weighted[slot * CHUNK + n]
    call_fft(s.forward, s.plan, s.time, s.spectrum)
    take_apart(spectrum, sum_re, sum_im)
    taken = carray(pointer(s.taken), (k, k), np.int64)[s.mic]
    for j in range(k):
        if taken[j] == 0:
            continue
        if slot == 0:
            _clear(filter_re[j])
            _clear(filter_im[j])
        _add_correlation(filter_re[j], filter_im[j], y_re[slot, j], y_im[slot, j], sum_re, sum_im)


@kernel
def gather_taps(s, j, target):
    """Turn what `back_project_chunk` has summed into taps."""
    time = carray(samples(s.time), (SIZE,))
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    put_together(carray(samples(s.filter_re), (s.channels, ROW))[j],
                 carray(samples(s.filter_im), (s.channels, ROW))[j], spectrum)
    call_fft(s.backward, s.inverse, s.spectrum, s.time)
    for n in range(TAPS):
        target[n] = time[n] * np.float32(1 / SIZE)
    for n in range(s.reach, TAPS):
        target[n] = np.float32(0)


@kernel
def begin_descent(s, j):
    """Take the prior into the residual of mic j's path."""
    k = s.channels
    residual = carray(samples(s.residual), (k, TAPS))[j]
    taps = carray(samples(s.new), (k, k, TAPS))[s.mic, j]
    anchor = carray(samples(s.anchor), (k, k, TAPS))[s.mic, j]
    variance = carray(samples(s.variance), (k, TAPS))[j]
    if carray(pointer(s.anchored), (k,), np.int64)[s.mic] == 0:
        for n in range(s.reach):
            residual[n] -= taps[n] / variance[n]
        return
    for n in range(s.reach):
        residual[n] -= (taps[n] - anchor[n]) / variance[n]


@kernel
def _energy(s):
    """Return the inner product of the residual and its preconditioned form, over all paths to the mic."""
    residual = carray(samples(s.residual), (s.channels, TAPS))
    solved = carray(samples(s.solved), (s.channels, TAPS))
    taken = carray(pointer(s.taken), (s.channels, s.channels), np.int64)[s.mic]
    energy = 0.0
    for j in range(s.channels):
        if taken[j]:
            energy += _dot(residual[j], solved[j])
    return energy


@kernel
def first_direction(s):
    """Set the direction to the preconditioned residual."""
    k = s.channels
    direction = carray(samples(s.direction), (k, TAPS))
    solved = carray(samples(s.solved), (k, TAPS))
    taken = carray(pointer(s.taken), (k, k), np.int64)[s.mic]
    for j in range(k):
        if taken[j]:
            for n in range(TAPS):
                direction[j, n] = solved[j, n]
    s.energy = _energy(s)


@kernel
def descend(s):
    """Take one step of conjugate gradients along the direction; False where there is nothing left to gain."""
    k = s.channels
    residual = carray(samples(s.residual), (k, TAPS))
    direction = carray(samples(s.direction), (k, TAPS))
    product = carray(samples(s.product), (k, TAPS))
    new = carray(samples(s.new), (k, k, TAPS))[s.mic]
    variance = carray(samples(s.variance), (k, TAPS))
    taken = carray(pointer(s.taken), (k, k), np.int64)[s.mic]
    curvature = 0.0
    for j in range(k):
        if taken[j]:
            for n in range(s.reach):
                product[j, n] += direction[j, n] / variance[j, n]
            curvature += _dot(direction[j], product[j])
    if not (curvature > 0.0 and s.energy > 0.0 and np.isfinite(curvature)):
        return False
    step = np.float32(s.energy / curvature)
    if not np.isfinite(step):
        return False
    for j in range(k):
        if taken[j]:
            for n in range(TAPS):
                new[j, n] = fma(step, direction[j, n], new[j, n])
                residual[j, n] = fma(-step, product[j, n], residual[j, n])
    error = carray(samples(s.error), (MEMORY * CHUNK,))
    image = carray(samples(s.image), (MEMORY * CHUNK,))
    for n in range(s.chunks * CHUNK):
        error[n] = fma(-step, image[n], error[n])
    return True


@kernel
def next_direction(s):
    """Make the next direction conjugate to the last."""
    k = s.channels
    direction = carray(samples(s.direction), (k, TAPS))
    solved = carray(samples(s.solved), (k, TAPS))
    energy = _energy(s)
    share = np.float32(energy / s.energy) if s.energy > 0.0 else np.float32(0)
    s.energy = energy
    taken = carray(pointer(s.taken), (k, k), np.int64)[s.mic]
    for j in range(k):
        if taken[j]:
            for n in range(TAPS):
                direction[j, n] = fma(share, direction[j, n], solved[j, n])


@kernel
def keep_error(s):
    """Keep the error: it is the cleaned mic i as the new filters would have made it."""
    error = carray(samples(s.error), (MEMORY * CHUNK,))
    improved = carray(samples(s.improved), (s.channels, MEMORY * CHUNK))[s.mic]
    for n in range(s.chunks * CHUNK):
        improved[n] = error[n]
