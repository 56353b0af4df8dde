"""Running medians: a sorted window in which one value leaves and one comes at every step."""

import numpy as np
from numba import types

from rtsep_kernels.plane.jit import kernel, signed


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


@kernel
def middle(values, n):
    """Return the median of the first n values, of an even number the mean of the middle two; mixes up their order."""
    low, high, half = 0, n - 1, n // 2
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if half <= j:
            high = j
        elif half >= i:
            low = i
        else:
            break
    upper = values[half]
    if n % 2:
        return upper
    lower = values[0]
    for i in range(1, half):
        lower = max(lower, values[i])
    return (lower + upper) * np.float32(0.5)


WIDTH = 64
"""Columns whose medians are taken at once: what is sorted then stays in the nearest cache."""


@kernel
def middles(some, count, width, chest, out):
    """Write the median of each of the first `width` columns of some[:count], float32[most, WIDTH]; uses `some` up.

    As `middle` of each, but all columns take the same steps, without a branch: several go at once through the
    processor. `chest` is scratch, float32[most // 2 + 1, WIDTH]: the smaller half of each column, ascending.
    """
    half = count // 2
    for i in range(count):
        new = some[i]
        for j in range(min(i, half + 1)):
            held = chest[j]
            for b in range(width):
                low, high = min(held[b], new[b]), max(held[b], new[b])
                held[b] = low
                new[b] = high
        if i <= half:
            for b in range(width):
                chest[i, b] = new[b]
    for b in range(width):
        out[b] = chest[half, b] if count % 2 else (chest[half - 1, b] + chest[half, b]) * np.float32(0.5)


@signed(types.void(types.float32[:, ::1], types.int32[:, ::1], types.int32[::1], types.float32[:, ::1]))
def of_frames(values, picks, counts, out):
    """Write, for every frame n of float32[frames, bins], the medians of the frames picks[n, : counts[n]]."""
    bins, most = values.shape[1], picks.shape[1]
    some = np.empty((most, WIDTH), np.float32)
    chest = np.empty((most // 2 + 1, WIDTH), np.float32)
    for n in range(out.shape[0]):
        for first in range(0, bins, WIDTH):
            width = min(WIDTH, bins - first)
            for i in range(counts[n]):
                row = values[picks[n, i]]
                for b in range(width):
                    some[i, b] = row[first + b]
            middles(some, counts[n], width, chest, out[n, first:])


@signed(types.void(types.float32[:, ::1], types.int64, types.int64, types.float32[:, ::1]))
def crosses(values, reach_rows, reach, out):
    """Write the median of each value and its neighbours up and down, left and right; what lies outside is left out."""
    height, width = values.shape
    some = np.empty(2 * (reach_rows + reach) + 1, np.float32)
    for row in range(height):
        for n in range(width):
            count = 0
            for other in range(max(0, row - reach_rows), min(height, row + reach_rows + 1)):
                some[count] = values[other, n]
                count += 1
            for other in range(max(0, n - reach), min(width, n + reach + 1)):
                if other != n:
                    some[count] = values[row, other]
                    count += 1
            out[row, n] = middle(some, count)
