"""Online AuxIVA: in every bin a matrix that unmixes, learnt from how the sources' bins sound together.

Rows are bins, so that the inner loops are vectors. Complex numbers are pairs of rows, real and imaginary. Covariances
are Hermitian: only the pairs i >= j are kept, at i (i + 1) / 2 + j.
"""

import math

import numpy as np
from numba import carray, types

from rtsep_kernels.masking import HEAD, TINY, system_entry
from rtsep_kernels.plane.jit import kernel, signed
from rtsep_kernels.plane.record import array, f4, given, i8, number, record, scratch, view

AUXIVA = record(
    **HEAD,
    adapt=given(f4, 1),                                             # target
    pairs=number(),                                                 # k (k + 1) / 2
    covariances=array(f4, "channels", "pairs", 2, "row", start=0),  # V of each source
    unmixing=array(f4, "channels", "channels", 2, "row", start=0),  # W, y = W x
    scale=array(f4, "channels", 3, "row", start=0),                 # E{x y*} of the own mic, and E{|y|²}
    work=scratch(f4, "2 * channels + 5", "row"),
    count=array(i8, 2, start=0),                                    # COUNT, LEARNS
    memory=number(f4), warm=number(), quiet=number(f4),
)
COUNT, LEARNS = 0, 1
"""Places in `count`: frames that were learnt from; whether the frame in work is one of them."""
LOADING = np.float32(1e-8)
"""Share of a frame's mean power that is added to each bin's: empty bins must not be blown up."""
ALIKE = np.float32(1e-5)
"""Share of each mic's power in a bin that is added as if it were its own noise: what is found by subtracting mics that
are alike must not be blown up either, and float32 must not lose it in rounding."""


@kernel
def _unmix(re, im, unmixing, m, y_re, y_im):
    """Write y = W x of source m."""
    y_re[:] = np.float32(0)
    y_im[:] = np.float32(0)
    for j in range(re.shape[0]):
        w_re, w_im = unmixing[m, j, 0], unmixing[m, j, 1]
        for b in range(re.shape[1]):
            y_re[b] += w_re[b] * re[j, b] - w_im[b] * im[j, b]
            y_im[b] += w_re[b] * im[j, b] + w_im[b] * re[j, b]


@kernel
def observe(re, im, covariances, unmixing, work, count, memory, quiet):
    """Add a frame to every source's covariance, weighted by 1 / its loudness over all bins; False if it is quiet."""
    k, row = re.shape
    power = np.float32(0)
    for i in range(k):
        for b in range(row):
            power += re[i, b] * re[i, b] + im[i, b] * im[i, b]
    if not power > quiet:
        return False
    # Plain means until there are as many frames as are remembered.
    old = min(memory, np.float32(count[COUNT]) / np.float32(count[COUNT] + 1))
    count[COUNT] += 1
    for m in range(k):
        _unmix(re, im, unmixing, m, work[0], work[1])
        loud = np.float32(0)
        for b in range(row):
            loud += work[0, b] * work[0, b] + work[1, b] * work[1, b]
        weight = (np.float32(1) - old) / max(np.float32(math.sqrt(loud)), TINY)
        floor = weight * LOADING * power / np.float32(k * row)
        for i in range(k):
            for j in range(i + 1):
                c_re, c_im = covariances[m, i * (i + 1) // 2 + j, 0], covariances[m, i * (i + 1) // 2 + j, 1]
                add = floor if i == j else np.float32(0)
                share = weight * (np.float32(1) + ALIKE) if i == j else weight
                for b in range(row):
                    c_re[b] = old * c_re[b] + share * (re[i, b] * re[j, b] + im[i, b] * im[j, b]) + add
                    c_im[b] = old * c_im[b] + weight * (im[i, b] * re[j, b] - re[i, b] * im[j, b])
    return True


@kernel
def _products(covariance, unmixing, m, s, work):
    """Write w_m V w_sᴴ into rows 2 and 3 of work, and w_s V w_sᴴ into row 4."""
    k, row = unmixing.shape[0], unmixing.shape[3]
    u_re, u_im, cross_re, cross_im, own = work[0], work[1], work[2], work[3], work[4]
    work[2:5] = np.float32(0)
    for i in range(k):
        work[0:2] = np.float32(0)
        for j in range(k):
            pair = i * (i + 1) // 2 + j if i >= j else j * (j + 1) // 2 + i
            sign = np.float32(1) if i >= j else np.float32(-1)
            c_re, c_im = covariance[pair, 0], covariance[pair, 1]
            w_re, w_im = unmixing[s, j, 0], unmixing[s, j, 1]
            for b in range(row):
                u_re[b] += c_re[b] * w_re[b] + sign * c_im[b] * w_im[b]
                u_im[b] += sign * c_im[b] * w_re[b] - c_re[b] * w_im[b]
        m_re, m_im, s_re, s_im = unmixing[m, i, 0], unmixing[m, i, 1], unmixing[s, i, 0], unmixing[s, i, 1]
        for b in range(row):
            cross_re[b] += m_re[b] * u_re[b] - m_im[b] * u_im[b]
            cross_im[b] += m_re[b] * u_im[b] + m_im[b] * u_re[b]
            own[b] += s_re[b] * u_re[b] - s_im[b] * u_im[b]


@kernel
def steer(covariances, unmixing, scale, s, work):
    """Take from every source what it has of source s, and give source s a weighted power of one, in every bin."""
    k, row = unmixing.shape[0], unmixing.shape[3]
    part = work[5:]
    for m in range(k):
        _products(covariances[m], unmixing, m, s, work)
        for b in range(row):
            if m == s:
                part[2 * m, b] = np.float32(1) / np.float32(math.sqrt(max(work[4, b], TINY)))
            else:
                share = np.float32(1) / max(work[4, b], TINY)
                part[2 * m, b] = work[2, b] * share
                part[2 * m + 1, b] = work[3, b] * share
    for m in range(k):
        if m != s:
            for j in range(k):
                w_re, w_im = unmixing[m, j, 0], unmixing[m, j, 1]
                s_re, s_im = unmixing[s, j, 0], unmixing[s, j, 1]
                for b in range(row):
                    w_re[b] -= part[2 * m, b] * s_re[b] - part[2 * m + 1, b] * s_im[b]
                    w_im[b] -= part[2 * m, b] * s_im[b] + part[2 * m + 1, b] * s_re[b]
    for b in range(row):
        gain = part[2 * s, b]
        for j in range(k):
            unmixing[s, j, 0, b] *= gain
            unmixing[s, j, 1, b] *= gain
        # What is remembered of the source is remembered at its new level.
        scale[s, 0, b] *= gain
        scale[s, 1, b] *= gain
        scale[s, 2, b] *= gain * gain


@kernel
def project(re, im, unmixing, scale, work, old):
    """Replace the spectrum of each mic by its own source, as that mic hears it; `old` is what is remembered."""
    k, row = re.shape
    new = np.float32(1) - old
    outs = work[5:]
    for m in range(k):
        y_re, y_im = work[0], work[1]
        _unmix(re, im, unmixing, m, y_re, y_im)
        for b in range(row):
            cross_re = old * scale[m, 0, b] + new * (re[m, b] * y_re[b] + im[m, b] * y_im[b])
            cross_im = old * scale[m, 1, b] + new * (im[m, b] * y_re[b] - re[m, b] * y_im[b])
            power = old * scale[m, 2, b] + new * (y_re[b] * y_re[b] + y_im[b] * y_im[b])
            scale[m, 0, b], scale[m, 1, b], scale[m, 2, b] = cross_re, cross_im, power
            share = np.float32(1) / (power + TINY)
            cross_re, cross_im = (cross_re + TINY) * share, cross_im * share
            outs[2 * m, b] = cross_re * y_re[b] - cross_im * y_im[b]
            outs[2 * m + 1, b] = cross_re * y_im[b] + cross_im * y_re[b]
    for m in range(k):
        re[m] = outs[2 * m]
        im[m] = outs[2 * m + 1]


@kernel
def part_of_frame(mic, re, im, covariances, unmixing, scale, work, count, memory, warm, quiet, adapt):
    """Do the share of one mic of a frame; the last one's replaces the spectra, float32[k, row], of all."""
    k = re.shape[0]
    if adapt:
        if mic == 0:
            count[LEARNS] = 1 if observe(re, im, covariances, unmixing, work, count, memory, quiet) else 0
        if count[LEARNS] and count[COUNT] > warm:
            steer(covariances, unmixing, scale, mic, work)
    if mic == k - 1:
        # Frames that are not learnt from leave the levels as they are, too.
        learnt = adapt and count[LEARNS] != 0
        old = min(memory, np.float32(count[COUNT] - 1) / np.float32(max(count[COUNT], 1)))
        project(re, im, unmixing, scale, work, old if learnt else np.float32(1))


@signed(types.void(types.float32[:, :, ::1], types.float32[:, :, ::1], types.float32[:, :, :, ::1],
                   types.float32[:, :, :, ::1], types.float32[:, :, ::1], types.float32[:, ::1], types.int64[::1],
                   types.float32, types.int64, types.float32))
def separate(re, im, covariances, unmixing, scale, work, count, memory, warm, quiet):
    """Replace spectra, float32[frames, k, row], by those of the own sources, frame by frame."""
    for n in range(re.shape[0]):
        for mic in range(re.shape[1]):
            part_of_frame(mic, re[n], im[n], covariances, unmixing, scale, work, count, memory, warm, quiet, True)


@system_entry(AUXIVA)
def auxiva(state, mic):
    """Do one mic's share of a frame."""
    s = carray(state, (1,))[0]
    part_of_frame(
        mic, view(s, "re"), view(s, "im"), view(s, "covariances"), view(s, "unmixing"), view(s, "scale"),
        view(s, "work"), view(s, "count"), s.memory, s.warm, s.quiet, view(s, "adapt")[0] > np.float32(0.5),
    )
    return 0
