"""Learn an instantaneous mixture x = Lambda s: digital crosstalk and splits, where each path is one number.

Lambda has ones on its diagonal, so that y = Lambda^-1 x are the sources as their own microphones hear them. Each
row i minimises the sum of |x_i - sum_j Lambda_ij y_j|^2 / Psi_i(t, f) with Psi_i = |y_i(t, f)|^2 + floor: where the
wanted sound is silent, bleed is plain to see. Its k - 1 equations say that y_j and y_i are uncorrelated under the
weight of y_i, for every j: those of a maximum-likelihood separation of non-stationary Gaussian sources
(Pham & Cardoso 2001, doi:10.1109/78.942614, section III; Ono 2011, doi:10.1109/ASPAA.2011.6082320, eq. 13 and 14).
They are kept as moments of x, sum of x x^T / Psi_i, which stay true when Lambda changes.

Two estimates run beside each other, a slow one and a fast one that leans on it. Before either learns from a block,
both are judged on it by their likelihood, sum of log Psi_i + 2 log |det Lambda|; while the fast one is better it is
used, and after some time the slow one restarts from it. That may be wrong: two players in unison look like a
mixture that has changed. So the slow estimate as it was is kept, judged along with the others, and taken back as
soon as it is the best again.
"""

import numpy as np

from rtsep_kernels.canceller.instant.record import BANDS, FAST, LOWEST, PAST, SLOW, STEP
from rtsep_kernels.canceller.record import BLOCK, HISTORY
from rtsep_kernels.maths.solvers import cholesky_solve, invert
from rtsep_kernels.maths.spectra import split
from rtsep_kernels.maths.vectors import LANES, add_scaled, copy, fill
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import call_fft, fma
from rtsep_kernels.plane.record import flat, view


@kernel
def stride(k):
    """Return in how many blocks all bins and rows have their turn: more mics, less at a time."""
    return max(1, k * k // 128)


@kernel
def estimate(t, c, m):
    """Take block `m` into both estimates; judge all of them on it, and choose the one that is used.

    Parameters
    ----------
    t : INSTANT
    c : CANCELLER
    m : int64

    Returns
    -------
    loudest : float64
        Mean power of a bin of the loudest mic.
    """
    _hear(t, c, m)
    loudest = _levels(t)
    step = stride(t.channels)
    phase = t.blocks % step
    _judge(t, SLOW, loudest)
    _gather(t, SLOW, t.slow_kept, phase, step)
    _judge(t, FAST, loudest)
    _gather(t, FAST, t.fast_kept, phase, step)
    if t.holds:
        _judge(t, PAST, loudest)
    return loudest


@kernel
def _hear(t, c, m):
    """Transform the last two blocks of every x under a Hann window."""
    heard = view(c, "heard")
    window = view(t, "window")
    time = view(t, "time")
    spectrum = view(t, "spectrum")
    x_re = view(t, "x_re")
    x_im = view(t, "x_im")
    first = ((m - 1) & (HISTORY - 1)) * BLOCK
    second = (m & (HISTORY - 1)) * BLOCK
    for i in range(t.channels):
        for n in range(BLOCK):
            time[n] = window[n] * heard[i, first + n]
            time[BLOCK + n] = window[BLOCK + n] * heard[i, second + n]
        call_fft(c.forward, c.plan1024, t.time, t.spectrum)
        split(spectrum, x_re[i], x_im[i], t.span)
        for b in range(LOWEST):
            x_re[i, b] = np.float32(0)
            x_im[i, b] = np.float32(0)


@kernel
def _levels(t):
    """Update the mean level of every mic; return the loudest."""
    x_re = view(t, "x_re")
    x_im = view(t, "x_im")
    level = view(t, "level")
    t.blocks += 1
    fresh = 1.0 / min(t.blocks, t.level_blocks)
    loudest = 0.0
    for i in range(t.channels):
        total = 0.0
        for b in range(t.span):
            total += x_re[i, b] * x_re[i, b] + x_im[i, b] * x_im[i, b]
        level[i] += fresh * (total / t.span - level[i])
        loudest = max(loudest, level[i])
    return loudest


@kernel
def silence(t, i, loudest):
    """Return the power below which the wanted sound of mic i counts as silent."""
    return t.floor * np.float32(view(t, "level")[i]) + t.common_floor * np.float32(loudest) + np.float32(1e-12)


@kernel
def log_sum(values, first, last):
    """Sum logarithms, eight to a call: their product is far from the ends of float64."""
    total = 0.0
    for g in range(first // STEP, last // STEP):
        product = 1.0
        for n in range(STEP):
            product *= values[STEP * g + n]
        total += np.log(product)
    return total


@kernel
def powers(x_re, x_im, y_re, y_im, weight, raw, both, floor, span):
    """Write 1 / Psi, and over `y_re` Psi; powers of the mic, and of wanted sound and bleed if independent."""
    for b in range(span):
        bleed_re = x_re[b] - y_re[b]
        bleed_im = x_im[b] - y_im[b]
        psi = y_re[b] * y_re[b] + y_im[b] * y_im[b] + floor
        raw[b] = x_re[b] * x_re[b] + x_im[b] * x_im[b] + floor
        both[b] = psi + (bleed_re * bleed_re + bleed_im * bleed_im)
        weight[b] = np.float32(1) / psi
        y_re[b] = psi


@kernel
def _judge(t, e, loudest):
    """Judge estimate `e` on a block that it does not know; leave the weights of that block."""
    k = t.channels
    x_re = view(t, "x_re")
    x_im = view(t, "x_im")
    unmixing = view(t, "unmixing")[e]
    explained = view(t, "explained")[e]
    expected = view(t, "expected")[e]
    weight = view(t, "weight")
    work = view(t, "work")
    edges = view(t, "edges")
    cost = 2.0 * view(t, "determinant")[e]
    for i in range(k):
        y_re = work[0, : t.span]
        y_im = work[1, : t.span]
        fill(y_re, np.float32(0))
        fill(y_im, np.float32(0))
        for j in range(k):
            add_scaled(y_re, x_re[j, : t.span], np.float32(unmixing[i, j]))
            add_scaled(y_im, x_im[j, : t.span], np.float32(unmixing[i, j]))
        powers(x_re[i], x_im[i], y_re, y_im, weight[i], work[2], work[3], silence(t, i, loudest), t.span)
        for band in range(BANDS):
            first = edges[band]
            last = edges[band + 1]
            own = log_sum(work[0], first, last)
            explained[i, band] = (log_sum(work[2], first, last) - own) / t.span
            expected[i, band] = (log_sum(work[3], first, last) - own) / t.span
            cost += own / t.span
    view(t, "cost")[e] = cost


@kernel
def _weighted_sum(weight, product, lanes, span, phase, step):
    """Return their scalar product over those groups of bins whose turn it is."""
    for n in range(LANES):
        lanes[n] = np.float32(0)
    for g in range(phase, span // LANES, step):
        first = (g * LANES) & 511
        for n in range(LANES):
            lanes[n] = fma(weight[first + n], product[first + n], lanes[n])
    total = 0.0
    for n in range(LANES):
        total += lanes[n]
    return total


@kernel
def _gather(t, e, memory, phase, step):
    """Add this block to the moments of estimate `e`."""
    k = t.channels
    x_re = view(t, "x_re")
    x_im = view(t, "x_im")
    moments = view(t, "moments")[e]
    weight = view(t, "weight")
    product = view(t, "work")[0]
    lanes = view(t, "lanes")
    for a in range(k):
        for b in range(a + 1):
            for n in range(t.span):
                product[n] = fma(x_re[a, n], x_re[b, n], x_im[a, n] * x_im[b, n])
            for i in range(k):
                new = _weighted_sum(weight[i], product, lanes, t.span, phase, step)
                moments[i, a, b] = memory * moments[i, a, b] + new


@kernel
def _copy_estimate(t, source, target):
    """Make one estimate, with what this block said of it, another one."""
    copy(_moments(t, source), _moments(t, target))
    for values in (view(t, "mixing"), view(t, "unmixing")):
        for i in range(t.channels):
            copy(values[source, i], values[target, i])
    for values in (view(t, "explained"), view(t, "expected")):
        for i in range(t.channels):
            copy(values[source, i], values[target, i])
    determinant = view(t, "determinant")
    determinant[target] = determinant[source]


@kernel
def _moments(t, e):
    """Return the moments of estimate `e` in one dimension."""
    size = t.channels * t.channels * t.channels
    return flat(t, "moments")[e * size : (e + 1) * size]


@kernel
def choose(t):
    """Use the estimate that was better on fresh audio; restart the slow one from a lastingly better one."""
    k = t.channels
    cost = view(t, "cost")
    new = 1.0 - t.advantage_kept
    t.advantage = t.advantage_kept * t.advantage + new * (cost[SLOW] - cost[FAST]) / k
    t.used = FAST if t.advantage > t.better else SLOW
    t.patience = t.patience + 1 if t.used == FAST else 0
    t.settled += 1
    if t.holds:
        t.regret = t.advantage_kept * t.regret + new * (cost[t.used] - cost[PAST]) / k
        t.regretted = t.regretted + 1 if t.regret > t.better else 0
        if t.regretted > t.patience_blocks:
            _copy_estimate(t, PAST, SLOW)
            t.holds = 0
            t.used = SLOW
            t.patience = 0
            t.advantage = 0.0
    if t.patience <= t.patience_blocks:
        return
    if t.settled > t.settled_blocks:
        _copy_estimate(t, SLOW, PAST)
        t.holds = 1
        t.regret = 0.0
        t.regretted = 0
    _copy_estimate(t, FAST, SLOW)
    t.settled = 0
    t.patience = 0
    t.advantage = 0.0


@kernel
def _normal_equations(t, e, i, lean, right):
    """Write R and the right-hand side of what `_solve_row` solves; return R."""
    k = t.channels
    moments = view(t, "moments")[e, i]
    unmixing = view(t, "unmixing")[e]
    row = view(t, "mixing")[e, i]
    centre = view(t, "mixing")[SLOW, i]
    half = view(t, "matrices")[0]        # B V_i
    normal = view(t, "matrices")[1]
    for a in range(k):
        for b in range(k):
            total = 0.0
            for p in range(k):
                total += unmixing[a, p] * (moments[p, b] if p >= b else moments[b, p])
            half[a, b] = total
    r = 0
    for a in range(k):
        if a == i:
            continue
        q = 0
        for b in range(a + 1):
            if b == i:
                continue
            total = 0.0
            for p in range(k):
                total += half[a, p] * unmixing[b, p]
            normal[r, q] = total
            q += 1
        normal[r, r] += t.damping * normal[r, r] + t.ridge
        total = 0.0
        for p in range(k):
            total += half[a, p] * unmixing[i, p]
        right[r] = total - t.ridge * (row[a] - lean * centre[a])
        r += 1
    return normal


@kernel
def _solve_row(t, e, i, lean, largest):
    """Move one row of Lambda to where its weighted residual is uncorrelated with all other sources.

    With R = B V_i B^T, B the inverse of Lambda: (R_jj' + ridge) step_j' = R_ji - ridge (Lambda_ij - lean centre_j).
    """
    k = t.channels
    row = view(t, "mixing")[e, i]
    right = view(t, "matrices")[1, k - 1, k:]
    normal = _normal_equations(t, e, i, lean, right)
    if not cholesky_solve(normal, right, k - 1):
        return
    r = 0
    for a in range(k):
        if a != i:
            row[a] = min(max(row[a] + right[r], -largest), largest)
            r += 1


@kernel
def _solve(t, e, phase, step):
    """Renew the rows of estimate `e` whose turn it is. The slow one leans on nothing until it is believed."""
    k = t.channels
    mixing = view(t, "mixing")[e]
    in_mode = view(t, "instant")
    for i in range(phase, k, step):
        lean = 1.0 if e == FAST or in_mode[i] else 0.0
        _solve_row(t, e, i, lean, t.plausible if in_mode[i] else t.largest)
    logarithm = invert(mixing, view(t, "unmixing")[e], view(t, "matrices")[0], k, t.pivot)
    if logarithm == np.inf:
        # Two mics that are nearly one: half of it can be inverted, sooner or later.
        for i in range(k):
            for j in range(k):
                if i != j:
                    mixing[i, j] *= 0.5
        return
    view(t, "determinant")[e] = logarithm


@kernel
def solve(t):
    """Renew both estimates from their moments."""
    step = stride(t.channels)
    phase = t.blocks % step
    _solve(t, SLOW, phase, step)
    _solve(t, FAST, phase, step)


@kernel
def forget_estimates(t):
    """Know nothing of the mixture, as before the start."""
    k = t.channels
    mixing = view(t, "mixing")
    unmixing = view(t, "unmixing")
    for e in (SLOW, FAST):
        for i in range(k):
            for j in range(k):
                mixing[e, i, j] = 1.0 if i == j else 0.0
                unmixing[e, i, j] = 1.0 if i == j else 0.0
    fill(flat(t, "moments"), 0.0)
    fill(view(t, "level"), 0.0)
    fill(view(t, "determinant"), 0.0)
    t.holds = 0
    t.settled = 0
    t.advantage = 0.0
    t.patience = 0
    t.used = SLOW
    t.blocks = 0
