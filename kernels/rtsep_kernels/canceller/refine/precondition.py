"""The preconditioner: the inverse of each path's block of the normal equations, nearly.

A block is nearly a Toeplitz matrix of enormous spread: a bass has nothing above 1 kHz. Its inverse is taken to be the
Gohberg-Semencul inverse of an autoregressive model of order 256: triangular Toeplitz matrices of the prediction
polynomial and of its mirror image, each applied by transforms. Gohberg & Semencul 1972; Ammar & Gragg 1988,
doi:10.1137/0609006.
"""

import numpy as np

from rtsep_kernels.canceller.record import BINS as PART_BINS
from rtsep_kernels.canceller.record import BLOCK as PART
from rtsep_kernels.canceller.refine import transform
from rtsep_kernels.canceller.refine.record import (
    FRAME,
    FRAME_BINS,
    ORDER,
    ROW,
    SIZE,
    TAPS,
)
from rtsep_kernels.maths import spectra
from rtsep_kernels.maths.vectors import fill
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import call_fft
from rtsep_kernels.plane.record import view

_WHITE = 1e-6   # of the power, added as white noise: Levinson's recursion stays away from a singular matrix


@kernel
def prepare_preconditioner(s, j):
    """Make the approximate inverse for the paths from mic j, out of what `weights.weigh_neighbour` wrote."""
    time = view(s, "time")
    rows = view(s, "levinson")
    _take_correlation(s, rows[0])
    # The prior's precision, as if it were the same for every tap: its geometric mean.
    variance = view(s, "variance")[j, s.reach // 2]
    _leave_unknown(s, j, variance)
    rows[0, 0] = rows[0, 0] * (1 + _WHITE) + 1.0 / variance
    view(s, "inverse_error")[j] = 1.0 / levinson(rows[0], rows[1], rows[2])
    for n in range(SIZE):
        time[n] = np.float32(rows[1, n]) if n < ORDER else np.float32(0)
    transform.forward(s, view(s, "predict_re")[j], view(s, "predict_im")[j])
    for n in range(SIZE):
        time[n] = np.float32(rows[1, TAPS - n]) if TAPS - ORDER < n < TAPS else np.float32(0)
    transform.forward(s, view(s, "mirror_re")[j], view(s, "mirror_im")[j])


@kernel
def _take_correlation(s, out):
    """Write the autocorrelation of which `density` is the power spectrum."""
    power = view(s, "density")
    time = view(s, "time")
    spectrum = view(s, "spectrum")
    for b in range(FRAME_BINS):
        spectrum[2 * b] = power[b]
        spectrum[2 * b + 1] = np.float32(0)
    call_fft(s.backward, s.inverse_frame, s.spectrum, s.time)
    for n in range(ORDER):
        out[n] = time[n] / FRAME


@kernel
def _leave_unknown(s, j, variance):
    """Write which part of the prior is left when so much has been heard, in the Kalman filter's bins."""
    power = view(s, "density")
    unknown = view(s, "unknown")[s.mic, j]
    apart = s.factor * FRAME // (2 * PART)    # bins of a frame in one of the Kalman filter's
    for b in range(PART_BINS):
        first = apart * b - apart // 2
        if first + apart > FRAME_BINS:
            unknown[b] = np.float32(1)
        else:
            mean = np.float32(0)
            for n in range(max(first, 0), first + apart):
                mean += power[n]
            unknown[b] = np.float32(1) / (np.float32(1) + variance * mean / np.float32(apart))


@kernel
def levinson(r, a, work):
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
def precondition(s, j):
    """Write solved_j = approximate inverse of residual_j."""
    time = view(s, "time")
    solved = view(s, "solved")[j]
    p_re, p_im = view(s, "predict_re")[j], view(s, "predict_im")[j]
    m_re, m_im = view(s, "mirror_re")[j], view(s, "mirror_im")[j]
    work_re, work_im = view(s, "sum_re"), view(s, "sum_im")
    total_re, total_im = view(s, "total_re"), view(s, "total_im")
    transform.lay_taps(s, view(s, "residual")[j])
    transform.forward(s, view(s, "kept_re"), view(s, "kept_im"))
    fill(total_re, np.float32(0))
    fill(total_im, np.float32(0))
    _correlate_taps(s, p_re, p_im)
    spectra.add_product(total_re, total_im, p_re, p_im, work_re, work_im, ROW)
    _correlate_taps(s, m_re, m_im)
    spectra.subtract_product(total_re, total_im, m_re, m_im, work_re, work_im, ROW)
    transform.backward(s, total_re, total_im)
    scale = np.float32(view(s, "inverse_error")[j] / SIZE)
    for n in range(s.reach):
        solved[n] = time[n] * scale
    for n in range(s.reach, TAPS):
        solved[n] = np.float32(0)


@kernel
def _correlate_taps(s, values_re, values_im):
    """Write, into `sum`, the spectrum of the first half of conj(values) `kept`."""
    time = view(s, "time")
    work_re, work_im = view(s, "sum_re"), view(s, "sum_im")
    fill(work_re, np.float32(0))
    fill(work_im, np.float32(0))
    spectra.add_correlation(work_re, work_im, values_re, values_im, view(s, "kept_re"), view(s, "kept_im"), ROW)
    transform.backward(s, work_re, work_im)
    for n in range(TAPS):
        time[n] *= np.float32(1 / SIZE)
        time[TAPS + n] = np.float32(0)
    transform.forward(s, work_re, work_im)
