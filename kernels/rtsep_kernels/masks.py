"""Masks from the levels of several sources: who is loudest, or everybody's share."""

import math

import numpy as np
from numba import carray, types

from rtsep_kernels.masking import HEAD, settle, system_entry
from rtsep_kernels.plane.jit import kernel, signed
from rtsep_kernels.plane.record import array, f4, number, record, scratch, view

MASKS = record(
    **HEAD,
    binary=number(), logit=number(), half_alpha=number(f4),
    levels=array(f4, "channels", "row", start=0),   # of the frame in work: found with the first mic, used by all
    mask=scratch(f4, "row"),
)

EPSILON = np.float32(1e-10)
"""Added to the sum, and shared out equally above it: masks of near-silent bins must add up to 1 as well."""

STEEPNESS, CENTRE = np.float32(15), np.float32(0.6)   # of the logit compression


@kernel
def level(power, half_alpha):
    """Return |X| to the power of alpha, from |X|²."""
    if half_alpha == np.float32(1):
        return power
    return np.float32(math.sqrt(power)) if half_alpha == np.float32(0.5) else np.float32(power**half_alpha)


@kernel
def share(levels, which, b, binary, logit):
    """Return the share of one source in bin b, from the levels float32[sources, bins]."""
    count = levels.shape[0]
    own = levels[which, b]
    if binary:
        for other in range(count):
            louder = levels[other, b] > own
            # Of equals the first is taken, so that masks add up to 1.
            if louder or (other < which and levels[other, b] == own):
                return np.float32(0)
        return np.float32(1)
    total = EPSILON
    for other in range(count):
        total += levels[other, b]
    part = (own + EPSILON / np.float32(count)) / total
    return np.float32(1) / (np.float32(1) + np.float32(math.exp(-STEEPNESS * (part - CENTRE)))) if logit else part


@signed(types.void(types.float32[:, ::1], types.float32, types.boolean, types.boolean, types.float32[:, ::1]))
def shares(power, half_alpha, binary, logit, out):
    """Write every source's mask from the powers float32[sources, n]; `out` may not be `power`."""
    levels = np.empty_like(power)
    for j in range(power.shape[0]):
        for b in range(power.shape[1]):
            levels[j, b] = level(power[j, b], half_alpha)
    for j in range(power.shape[0]):
        for b in range(power.shape[1]):
            out[j, b] = share(levels, j, b, binary, logit)


@kernel
def solve(matrix, x):
    """Replace x by matrix⁻¹ x; the Hermitian, positive definite matrix, complex[n, n], by its Cholesky factor.

    `maths.linear.solve` is for real numbers.
    """
    n = x.shape[0]
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            for m in range(j):
                total -= matrix[i, m] * matrix[j, m].conjugate()
            matrix[i, j] = math.sqrt(total.real) if i == j else total / matrix[j, j].real
        total = x[i]
        for m in range(i):
            total -= matrix[i, m] * x[m]
        x[i] = total / matrix[i, i].real
    for i in range(n - 1, -1, -1):
        total = x[i]
        for m in range(i + 1, n):
            total -= matrix[m, i].conjugate() * x[m]
        x[i] = total / matrix[i, i].real


@signed(types.void(types.complex64[:, :, ::1], types.float64[:, :, ::1], types.complex128[:, :, :, ::1], types.float64,
                   types.complex64[:, :, :, ::1]))
def multichannel(mixture, powers, spatial, extra, out):
    """Write the sources' images, complex[sources, channels, frames, bins], by the multichannel Wiener filter.

    `mixture` is complex[channels, frames, bins], `powers` float64[sources, frames, bins], `spatial`
    complex[sources, bins, channels, channels]. `extra` is white noise that the sources share, so that nothing is lost.
    """
    channels, frames, bins = mixture.shape
    sources = powers.shape[0]
    total, x = np.empty((channels, channels), np.complex128), np.empty(channels, np.complex128)
    for n in range(frames):
        for b in range(bins):
            total[:] = 0
            for c in range(channels):
                x[c] = mixture[c, n, b]
                total[c, c] = extra
            for j in range(sources):
                for c in range(channels):
                    for d in range(c + 1):
                        total[c, d] += powers[j, n, b] * spatial[j, b, c, d]
            solve(total, x)
            for j in range(sources):
                for c in range(channels):
                    image = extra / sources * x[c]
                    for d in range(channels):
                        image += powers[j, n, b] * spatial[j, b, c, d] * x[d]
                    out[j, c, n, b] = image


@system_entry(MASKS)
def masks(state, mic):
    """Write the gains of one mic: its share among all mics."""
    s = carray(state, (1,))[0]
    power, levels, mask = view(s, "power"), view(s, "levels"), view(s, "mask")
    if mic == 0:
        for c in range(s.channels):
            for b in range(s.bins):
                levels[c, b] = level(power[c, b], s.half_alpha)
    for b in range(s.bins):
        mask[b] = share(levels, mic, b, s.binary != 0, s.logit != 0)
    settle(s, mic, mask)
    return 0
