"""Linear algebra of small matrices, up to the number of microphones: no allocation, no BLAS, the same bits each time.

Matrices are float64[>= n, >= n]; only the first n rows and columns count, so that scratch of one size serves all.
"""

import math

import numpy as np

from rtsep_kernels.plane.jit import kernel

SWEEPS = 12
"""Jacobi converges quadratically: 16 x 16 takes about 8."""
TINY = 1e-300


@kernel
def times(a, b, n, m, p, out):
    """Write the product of a, [n, m], and b, [m, p]."""
    for i in range(n):
        for j in range(p):
            out[i, j] = 0.0
        for q in range(m):
            for j in range(p):
                out[i, j] += a[i, q] * b[q, j]


@kernel
def gram(a, n, m, out):
    """Write aᵀ a, [m, m], of a, [n, m]."""
    for i in range(m):
        for j in range(m):
            total = 0.0
            for q in range(n):
                total += a[q, i] * a[q, j]
            out[i, j] = total


@kernel
def solve(a, b, n, m):
    """Solve a x = b for a symmetric positive definite a, [n, n]: b, [n, m], becomes x, a its Cholesky factor."""
    for j in range(n):
        for q in range(j):
            a[j, j] -= a[j, q] * a[j, q]
        a[j, j] = math.sqrt(max(a[j, j], TINY))
        for i in range(j + 1, n):
            for q in range(j):
                a[i, j] -= a[i, q] * a[j, q]
            a[i, j] /= a[j, j]
    for c in range(m):
        for i in range(n):
            for q in range(i):
                b[i, c] -= a[i, q] * b[q, c]
            b[i, c] /= a[i, i]
        for i in range(n - 1, -1, -1):
            for q in range(i + 1, n):
                b[i, c] -= a[q, i] * b[q, c]
            b[i, c] /= a[i, i]


@kernel
def eigen(a, vectors, n):
    """Make a symmetric a, [n, n], diagonal (its values) and write its vectors in columns, by Jacobi's rotations."""
    for i in range(n):
        for j in range(n):
            vectors[i, j] = 1.0 if i == j else 0.0
    for _ in range(SWEEPS):
        outside, inside = 0.0, 0.0
        for i in range(n):
            inside += a[i, i] * a[i, i]
            for j in range(i):
                outside += a[i, j] * a[i, j]
        if outside <= 1e-30 * inside:
            return
        for p in range(n - 1):
            for q in range(p + 1, n):
                if abs(a[p, q]) > TINY:
                    _rotate(a, vectors, n, p, q)


@kernel
def _rotate(a, vectors, n, p, q):
    """Turn axes p and q so that a[p, q] becomes 0: one of Jacobi's rotations."""
    theta = (a[q, q] - a[p, p]) / (2.0 * a[p, q])
    t = (1.0 if theta >= 0 else -1.0) / (abs(theta) + math.sqrt(theta * theta + 1.0))
    c = 1.0 / math.sqrt(t * t + 1.0)
    s = t * c
    for r in range(n):
        x, y = a[r, p], a[r, q]
        a[r, p], a[r, q] = c * x - s * y, s * x + c * y
    for r in range(n):
        x, y = a[p, r], a[q, r]
        a[p, r], a[q, r] = c * x - s * y, s * x + c * y
        x, y = vectors[r, p], vectors[r, q]
        vectors[r, p], vectors[r, q] = c * x - s * y, s * x + c * y


@kernel
def pseudo_inverse(a, n, limit, out, product, vectors):
    """Write (aᵀ a)⁻¹ aᵀ of a, [n, n], and return True, if its condition number is within the limit.

    `product` and `vectors` are scratch.
    """
    gram(a, n, n, product)
    eigen(product, vectors, n)
    low, high = product[0, 0], product[0, 0]
    for i in range(1, n):
        low, high = min(low, product[i, i]), max(high, product[i, i])
    if not low * limit * limit >= high:   # NaN is refused too
        return False
    gram(a, n, n, product)
    for i in range(n):
        for j in range(n):
            out[i, j] = a[j, i]
    solve(product, out, n, n)
    return True


@kernel
def decorrelate(w, n, product, vectors, work):
    """Turn the rows of w, [n, n], into the nearest orthonormal ones, (w wᵀ)^-1/2 w; the rest is scratch."""
    for i in range(n):
        for j in range(n):
            total = 0.0
            for q in range(n):
                total += w[i, q] * w[j, q]
            product[i, j] = total
    eigen(product, vectors, n)
    for i in range(n):
        for j in range(n):
            work[i, j] = 0.0
            for q in range(n):
                work[i, j] += vectors[q, i] * w[q, j] / math.sqrt(max(product[i, i], TINY))
    times(vectors, work, n, n, n, w)


@kernel
def assign(cost, n, column, potential, work, matched):
    """Give each row of cost, [n, n], a column of its own so that the sum is least: `column`, int64[n].

    The shortest augmenting path for one row after the other, with potentials of rows and columns.

    Parameters
    ----------
    cost : float64[n, n]
    column : int64[n]
        Written.
    potential, work : float64[2, n + 1]
        Scratch: of rows and columns; shortest distances, and whether a column is in the tree.
    matched : int64[2, n + 1]
        Scratch: row of each column, and the column before it on the path.
    """
    potential[:, : n + 1] = 0.0
    matched[:, : n + 1] = -1
    for row in range(n):
        matched[0, n] = row   # column n is where the path starts
        here = n
        for j in range(n + 1):
            work[0, j], work[1, j] = np.inf, 0.0
        while matched[0, here] >= 0:
            work[1, here] = 1.0
            i, least, nearest = matched[0, here], np.inf, n
            for j in range(n):
                if work[1, j] == 0.0:
                    distance = cost[i, j] - potential[0, i] - potential[1, j]
                    if distance < work[0, j]:
                        work[0, j], matched[1, j] = distance, here
                    if work[0, j] < least:
                        least, nearest = work[0, j], j
            if nearest == n:   # no cost is a number: leave the rest as it is
                break
            for j in range(n + 1):
                if work[1, j] == 1.0:
                    potential[0, matched[0, j]] += least
                    potential[1, j] -= least
                else:
                    work[0, j] -= least
            here = nearest
        while here != n:
            before = matched[1, here]
            matched[0, here] = matched[0, before]
            here = before
        matched[0, n] = -1
    for i in range(n):
        column[i] = i
    for j in range(n):
        if matched[0, j] >= 0:
            column[matched[0, j]] = j
