"""Systems of equations and inverses that say when they cannot be trusted; the matrices are small, see `linear`."""

import numpy as np

from rtsep_kernels.plane.jit import kernel


@kernel
def cholesky_solve(a, b, n):
    """Solve a x = b for a symmetric positive a, of which the lower triangle is read; overwrites both with L and x.

    Returns
    -------
    bool
        False, and `b` of no use, where `a` is not positive to working precision.
    """
    for i in range(n):
        for j in range(i + 1):
            total = a[i, j]
            for p in range(j):
                total -= a[i, p] * a[j, p]
            if i > j:
                a[i, j] = total / a[j, j]
            else:
                if not total > 0.0:
                    return False
                a[i, i] = np.sqrt(total)
    for i in range(n):
        total = b[i]
        for p in range(i):
            total -= a[i, p] * b[p]
        b[i] = total / a[i, i]
    for back in range(n):
        i = n - 1 - back
        total = b[i]
        for p in range(i + 1, n):
            total -= a[p, i] * b[p]
        b[i] = total / a[i, i]
    return True


@kernel
def invert(a, inverse, work, n, least):
    """Invert a, [n, n], by elimination with pivoting.

    Parameters
    ----------
    a, inverse : float64[n, n]
        `a` is left alone, and `inverse` where a pivot is too small.
    work : float64[n, 2 * n]
        Scratch.
    n : int64
    least : float64
        Pivots that are not larger are too small.

    Returns
    -------
    float64
        log |det a|, or infinity where a pivot is too small.
    """
    for i in range(n):
        for j in range(n):
            work[i, j] = a[i, j]
            work[i, n + j] = 1.0 if i == j else 0.0
    logarithm = 0.0
    for col in range(n):
        best = col
        for i in range(col + 1, n):
            if abs(work[i, col]) > abs(work[best, col]):
                best = i
        pivot = work[best, col]
        if not abs(pivot) > least:
            return np.inf
        logarithm += np.log(abs(pivot))
        for j in range(2 * n):
            held = work[col, j]
            work[col, j] = work[best, j] / pivot
            if best != col:
                work[best, j] = held
        for i in range(n):
            if i != col and work[i, col] != 0.0:
                factor = work[i, col]
                for j in range(2 * n):
                    work[i, j] -= factor * work[col, j]
    for i in range(n):
        for j in range(n):
            inverse[i, j] = work[i, n + j]
    return logarithm
