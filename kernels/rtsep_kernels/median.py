"""Running medians: a sorted window in which one value leaves and one comes at every step."""

import numpy as np
from numba import types

from .jit import kernel, signed


@kernel
def replace(ordered, old, new):
    """Take `old` out of an ascending float32[n] and put `new` in; `old` must be there."""
    n = ordered.shape[0]
    place = 0
    while ordered[place] != old:
        place += 1
    while place + 1 < n and ordered[place + 1] < new:
        ordered[place] = ordered[place + 1]
        place += 1
    while place > 0 and ordered[place - 1] > new:
        ordered[place] = ordered[place - 1]
        place -= 1
    ordered[place] = new


@kernel
def reflected(n, size):
    """Return the place in 0 ... size - 1 that n stands for, if the signal is mirrored at both ends, edges twice."""
    while n < 0 or n >= size:
        n = -1 - n if n < 0 else 2 * size - 1 - n
    return n


@kernel
def across(values, size, ordered, out):
    """Write the median of an odd number of neighbours of each of the first `size` values; ends are mirrored.

    `ordered` is scratch, float32[neighbours].
    """
    half = ordered.shape[0] // 2
    # By insertion: numba's sort would allocate.
    for n in range(ordered.shape[0]):
        new = values[reflected(n - half, size)]
        place = n
        while place > 0 and ordered[place - 1] > new:
            ordered[place] = ordered[place - 1]
            place -= 1
        ordered[place] = new
    for b in range(size):
        if b > 0:
            replace(ordered, values[reflected(b - 1 - half, size)], values[reflected(b + half, size)])
        out[b] = ordered[half]


@signed(types.void(types.float32[:, ::1], types.int64, types.float32[:, ::1]))
def across_rows(values, neighbours, out):
    """Write `across` of every row of float32[rows, n]."""
    ordered = np.empty(neighbours, np.float32)
    for row in range(values.shape[0]):
        across(values[row], values.shape[1], ordered, out[row])


@signed(types.void(types.float32[:, ::1], types.int64, types.float32[:, ::1]))
def past_rows(values, count, out):
    """Write the median of each value and the `count` - 1 before it in its row; silence (0) before the first.

    Of an even count it is the upper middle one, as in the stream.
    """
    ordered = np.empty(count, np.float32)
    for row in range(values.shape[0]):
        ordered[:] = 0
        for n in range(values.shape[1]):
            replace(ordered, values[row, n - count] if n >= count else np.float32(0), values[row, n])
            out[row, n] = ordered[count // 2]
