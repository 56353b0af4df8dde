"""Rows of numbers: sums of products in an order that the compiler can vectorise but not change; fill and copy."""

import numpy as np

from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import fma

LANES = 16
"""Partial sums; rows are padded to a multiple of it."""


@kernel
def dot(a, b, lanes):
    """Return the scalar product of two rows, float32[multiple of LANES]; `lanes` is scratch, float32[LANES]."""
    for n in range(LANES):
        lanes[n] = np.float32(0)
    for first in range(0, a.shape[0], LANES):
        for n in range(LANES):
            lanes[n] = fma(a[first + n], b[first + n], lanes[n])
    total = np.float32(0)
    for n in range(LANES):
        total += lanes[n]
    return total


@kernel
def add_scaled(target, row, factor):
    """Add `factor` times a row to another, float32[n]."""
    for n in range(row.shape[0]):
        target[n] = fma(factor, row[n], target[n])


@kernel
def fill(values, value):
    """Set all of a row, of any type."""
    for n in range(values.shape[0]):
        values[n] = value


@kernel
def copy(source, target):
    """Copy a row, of any type."""
    for n in range(source.shape[0]):
        target[n] = source[n]


@kernel
def dot64(a, b):
    """Return the scalar product of two rows, float32[multiple of 8], in float64: eight sums in a fixed order."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    for n in range(a.shape[0] // 8):
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
