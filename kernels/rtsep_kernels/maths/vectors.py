"""Sums of products that the compiler can vectorise without changing their order."""

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
