"""Least squares for one mic, in small pieces of work.

For mic i the paths a_j, j != i, are those that minimise

    sum over t, f of |STFT(x_i - sum_j a_j * y_j)|^2 / Psi_i(t, f)  +  sum_j |a_j - anchor_j|^2 / v

with Psi_i the power of the wanted sound, as the cleaned mic has it now (iteratively reweighted least squares: the
time-frequency cells in which mic i itself is silent decide, see `weights`). The normal equations are solved by
conjugate gradients. Each path's block of their matrix is preconditioned (see `precondition`); a few steps then do what
a thousand would do without.
"""

import numpy as np

from rtsep_kernels.canceller.refine import transform
from rtsep_kernels.canceller.refine.record import CHUNK, RING, ROW, SIZE, TAPS
from rtsep_kernels.maths import spectra
from rtsep_kernels.maths.vectors import dot64, fill
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import fma
from rtsep_kernels.plane.record import view


@kernel
def transform_filter(s, taps, j):
    """Transform a path of mic i's, to be applied by `predict_chunk`."""
    transform.lay_taps(s, taps)
    transform.forward(s, view(s, "filter_re")[j], view(s, "filter_im")[j])


@kernel
def predict_chunk(s, slot):
    """Return, in `time[CHUNK:]`, the sum of the filtered mics of one chunk."""
    sum_re, sum_im = view(s, "sum_re"), view(s, "sum_im")
    y_re, y_im = view(s, "y_re"), view(s, "y_im")
    filter_re, filter_im = view(s, "filter_re"), view(s, "filter_im")
    fill(sum_re, np.float32(0))
    fill(sum_im, np.float32(0))
    taken = view(s, "taken")[s.mic]
    for j in range(s.channels):
        if taken[j]:
            spectra.add_product(sum_re, sum_im, y_re[slot, j], y_im[slot, j], filter_re[j], filter_im[j], ROW)
    transform.backward(s, sum_re, sum_im)
    time = view(s, "time")
    for n in range(CHUNK):
        time[CHUNK + n] *= np.float32(1 / SIZE)


@kernel
def begin_error_chunk(s, slot):
    """Write the error of the filters at hand, of one chunk, into `error` and `image`."""
    x = view(s, "x")[s.mic]
    time = view(s, "time")
    error = view(s, "error")
    image = view(s, "image")
    place = ((s.first + slot) & (RING - 1)) * CHUNK
    predict_chunk(s, slot)
    for n in range(CHUNK):
        e = x[place + n] - time[CHUNK + n]
        error[slot * CHUNK + n] = e
        image[slot * CHUNK + n] = e


@kernel
def image_chunk(s, slot):
    """Write what the direction predicts, of one chunk, into `image`."""
    time = view(s, "time")
    image = view(s, "image")
    predict_chunk(s, slot)
    for n in range(CHUNK):
        image[slot * CHUNK + n] = time[CHUNK + n]


@kernel
def back_project_chunk(s, slot):
    """Correlate one chunk of `weighted` with every other mic: summed in the filters' rows."""
    time = view(s, "time")
    weighted = view(s, "weighted")
    sum_re, sum_im = view(s, "sum_re"), view(s, "sum_im")
    y_re, y_im = view(s, "y_re"), view(s, "y_im")
    filter_re, filter_im = view(s, "filter_re"), view(s, "filter_im")
    for n in range(CHUNK):
        time[n] = np.float32(0)
        time[CHUNK + n] = weighted[slot * CHUNK + n]
    transform.forward(s, sum_re, sum_im)
    taken = view(s, "taken")[s.mic]
    for j in range(s.channels):
        if taken[j] == 0:
            continue
        if slot == 0:
            fill(filter_re[j], np.float32(0))
            fill(filter_im[j], np.float32(0))
        spectra.add_correlation(filter_re[j], filter_im[j], y_re[slot, j], y_im[slot, j], sum_re, sum_im, ROW)


@kernel
def gather_taps(s, j, target):
    """Turn what `back_project_chunk` has summed into taps."""
    time = view(s, "time")
    transform.backward(s, view(s, "filter_re")[j], view(s, "filter_im")[j])
    for n in range(TAPS):
        target[n] = time[n] * np.float32(1 / SIZE)
    for n in range(s.reach, TAPS):
        target[n] = np.float32(0)


@kernel
def begin_descent(s, j):
    """Take the prior into the residual of mic j's path."""
    residual = view(s, "residual")[j]
    taps = view(s, "new")[s.mic, j]
    anchor = view(s, "anchor")[s.mic, j]
    variance = view(s, "variance")[j]
    if view(s, "anchored")[s.mic] == 0:
        for n in range(s.reach):
            residual[n] -= taps[n] / variance[n]
        return
    for n in range(s.reach):
        residual[n] -= (taps[n] - anchor[n]) / variance[n]


@kernel
def _energy(s):
    """Return the inner product of the residual and its preconditioned form, over all paths to the mic."""
    residual = view(s, "residual")
    solved = view(s, "solved")
    taken = view(s, "taken")[s.mic]
    energy = 0.0
    for j in range(s.channels):
        if taken[j]:
            energy += dot64(residual[j], solved[j])
    return energy


@kernel
def first_direction(s):
    """Set the direction to the preconditioned residual."""
    direction = view(s, "direction")
    solved = view(s, "solved")
    taken = view(s, "taken")[s.mic]
    for j in range(s.channels):
        if taken[j]:
            for n in range(TAPS):
                direction[j, n] = solved[j, n]
    s.energy = _energy(s)


@kernel
def _curvature(s):
    """Take the prior into the direction's product; return the inner product of both, over all paths to the mic."""
    direction = view(s, "direction")
    product = view(s, "product")
    variance = view(s, "variance")
    taken = view(s, "taken")[s.mic]
    curvature = 0.0
    for j in range(s.channels):
        if taken[j]:
            for n in range(s.reach):
                product[j, n] += direction[j, n] / variance[j, n]
            curvature += dot64(direction[j], product[j])
    return curvature


@kernel
def descend(s):
    """Take one step of conjugate gradients along the direction; False where there is nothing left to gain."""
    curvature = _curvature(s)
    if not (curvature > 0.0 and s.energy > 0.0 and np.isfinite(curvature)):
        return False
    step = np.float32(s.energy / curvature)
    if not np.isfinite(step):
        return False
    residual = view(s, "residual")
    direction = view(s, "direction")
    product = view(s, "product")
    new = view(s, "new")[s.mic]
    taken = view(s, "taken")[s.mic]
    for j in range(s.channels):
        if taken[j]:
            for n in range(TAPS):
                new[j, n] = fma(step, direction[j, n], new[j, n])
                residual[j, n] = fma(-step, product[j, n], residual[j, n])
    error = view(s, "error")
    image = view(s, "image")
    for n in range(s.chunks * CHUNK):
        error[n] = fma(-step, image[n], error[n])
    return True


@kernel
def next_direction(s):
    """Make the next direction conjugate to the last."""
    direction = view(s, "direction")
    solved = view(s, "solved")
    energy = _energy(s)
    ratio = np.float32(energy / s.energy) if s.energy > 0.0 else np.float32(0)
    s.energy = energy
    taken = view(s, "taken")[s.mic]
    for j in range(s.channels):
        if taken[j]:
            for n in range(TAPS):
                direction[j, n] = fma(ratio, direction[j, n], solved[j, n])


@kernel
def keep_error(s):
    """Keep the error: it is the cleaned mic i as the new filters would have made it."""
    error = view(s, "error")
    improved = view(s, "improved")[s.mic]
    for n in range(s.chunks * CHUNK):
        improved[n] = error[n]
