"""Models of powers: in every bin the powers of the microphones are leaks times the powers of the sources, V = L P.

KAMIR, MIRA and FastMIRA fit the same model and differ in how they find P. Bins do not know of each other. They are
worked on in blocks of WIDTH, so that all of a block's leaks stay in the processor's first cache and every inner loop
has a known length. The arrays of a block are float32 and end with its bins:

    v [mics, WIDTH], p [sources, WIDTH]        powers in one frame, of microphones and of sources
    leak [mics, sources, WIDTH]                power gains
    above, below [mics, sources, WIDTH]        sums over frames of V P / M² and of P / M, with M = L P
    work [ROWS + 3 mics, WIDTH]                scratch: rows for one source, then M, V / M², 1 / M of each mic
"""

import math

import numpy as np

from rtsep_kernels.plane.jit import kernel

WIDTH = 64
ROWS = 6

LEAST = np.float32(1e-10)
"""Least power beside a level of 1: less would be denormal when squared, and a silent bin would divide 0 by 0."""

_SLOPE, _MIDDLE = np.float32(20), np.float32(0.6)

KAMIR, MIRA = 0, 1
"""How the powers of the sources are found."""

_ONE, _ZERO = np.float32(1), np.float32(0)
_HALF_ROOT, _ROOT = np.float32(0.5**0.5), np.float32(2.0**0.5)
_LN2 = np.float32(np.log(2.0))
# log2 m = 2 / ln 2 (t + t³ / 3 + t⁵ / 5 + t⁷ / 7), t = (m - 1) / (m + 1): to 4e-8 for m within a root of 2 of 1.
_LOG1, _LOG3, _LOG5, _LOG7 = (np.float32(2 / np.log(2.0) / n) for n in (1, 3, 5, 7))
# 2^x = sum (x ln 2)^n / n!: to 2e-7 for x within 1/2 of 0.
_EXP2, _EXP3, _EXP4, _EXP5, _EXP6 = (np.float32(1 / n) for n in (2, 6, 24, 120, 720))
_MANTISSA, _BITS_OF_1 = np.int32(0x7FFFFF), np.int32(127 << 23)


@kernel
def mix(leak, p, work):
    """Write M = L P of every mic into the scratch."""
    for i in range(leak.shape[0]):
        model = work[ROWS + i]
        for b in range(WIDTH):
            model[b] = _ZERO
        for j in range(leak.shape[1]):
            gain, power = leak[i, j], p[j]
            for b in range(WIDTH):
                model[b] += gain[b] * power[b]


@kernel
def geometric_mean(p, whole, part, mean):
    """Write the geometric mean of p [at most 120 sources, WIDTH] into mean [WIDTH]; the others are scratch.

    Mantissas are multiplied and exponents added, so that one logarithm does for all sources. The processor's own
    logarithm would be several times the work of everything else.
    """
    count = p.shape[0]
    exponents, mantissa = whole.view(np.int32), part.view(np.int32)
    for b in range(WIDTH):
        exponents[b] = 0
        mean[b] = _ONE
    for j in range(count):
        bits = p[j].view(np.int32)
        for b in range(WIDTH):
            exponents[b] += (bits[b] >> 23) - 127
            mantissa[b] = (bits[b] & _MANTISSA) | _BITS_OF_1
        for b in range(WIDTH):
            mean[b] *= part[b]
    bits = mean.view(np.int32)
    for b in range(WIDTH):
        exponents[b] += (bits[b] >> 23) - 127
        mantissa[b] = (bits[b] & _MANTISSA) | _BITS_OF_1
    share = _ONE / np.float32(count)
    for b in range(WIDTH):
        m = part[b] * _HALF_ROOT
        t = (m - _ONE) / (m + _ONE)
        t2 = t * t
        log2 = t * (_LOG1 + t2 * (_LOG3 + t2 * (_LOG5 + t2 * _LOG7)))
        # Shifted by 127, the exponent of a float: the truncation below then rounds down.
        part[b] = (np.float32(exponents[b]) + np.float32(0.5) + log2) * share + np.float32(127)
    for b in range(WIDTH):
        exponents[b] = np.int32(part[b])
        x = (part[b] - np.float32(exponents[b]) - np.float32(0.5)) * _LN2
        mean[b] = _ROOT * (_ONE + x * (_ONE + x * (_EXP2 + x * (_EXP3 + x * (_EXP4 + x * (_EXP5 + x * _EXP6))))))
        exponents[b] <<= 23
    for b in range(WIDTH):
        mean[b] *= whole[b]


@kernel
def ratios(v, work):
    """Write V / M² and 1 / M of every mic into the scratch; M is there."""
    mics = v.shape[0]
    for i in range(mics):
        power, model, error, inverse = v[i], work[ROWS + i], work[ROWS + mics + i], work[ROWS + 2 * mics + i]
        for b in range(WIDTH):
            inverse[b] = _ONE / model[b]
            error[b] = power[b] * inverse[b] * inverse[b]


@kernel
def mira_sources(v, leak, p, sparsity, least, work):
    """Do one multiplicative step on the powers p of one frame; M must be in the scratch and is not renewed.

    `sparsity` weighs GM(P) / AM(P) in the cost; the halves of its gradient are
    d/dP_j = g / (P_j s) - J g / s², with g the geometric mean and s the sum over the J sources.
    """
    mics, count = leak.shape[0], leak.shape[1]
    ratios(v, work)
    more, less, spread, pull = work[0], work[1], work[2], work[3]
    for b in range(WIDTH):
        spread[b] = _ZERO
        pull[b] = _ZERO
    if sparsity > 0:
        total, mean = work[4], work[5]
        geometric_mean(p, more, less, mean)
        for b in range(WIDTH):
            total[b] = _ZERO
        for j in range(count):
            power = p[j]
            for b in range(WIDTH):
                total[b] += power[b]
        for b in range(WIDTH):
            spread[b] = sparsity * mean[b] / total[b]
            pull[b] = np.float32(count) * spread[b] / total[b]
    for j in range(count):
        power = p[j]
        for b in range(WIDTH):
            more[b] = pull[b]
            less[b] = spread[b] / power[b]
        for i in range(mics):
            gain, error, inverse = leak[i, j], work[ROWS + mics + i], work[ROWS + 2 * mics + i]
            for b in range(WIDTH):
                more[b] += gain[b] * error[b]
                less[b] += gain[b] * inverse[b]
        for b in range(WIDTH):
            power[b] = max(power[b] * more[b] / less[b], least)


@kernel
def kamir_sources(v, close, leak, p, least, work):
    """Replace p by the power of each source's images in its close mics; M must be in the scratch and is not renewed.

    P_j = mean over close i of |G_ij X_i|² / L_ij, with the Wiener gain G_ij = L_ij P_j / M_i.
    """
    mics, count = leak.shape[0], leak.shape[1]
    ratios(v, work)
    total = work[0]
    for j in range(count):
        power = p[j]
        for b in range(WIDTH):
            total[b] = _ZERO
        heard = 0
        for i in range(mics):
            if close[i, j]:
                heard += 1
                gain, error = leak[i, j], work[ROWS + mics + i]
                for b in range(WIDTH):
                    total[b] += gain[b] * error[b]
        share = _ONE / np.float32(max(heard, 1))
        for b in range(WIDTH):
            power[b] = max(power[b] * power[b] * total[b] * share, least)


@kernel
def gather(v, p, above, below, work):
    """Add a frame to the sums that the leaks follow from; M must be in the scratch."""
    mics, count = above.shape[0], above.shape[1]
    ratios(v, work)
    for i in range(mics):
        error, inverse = work[ROWS + mics + i], work[ROWS + 2 * mics + i]
        for j in range(count):
            power, up, down = p[j], above[i, j], below[i, j]
            for b in range(WIDTH):
                up[b] += error[b] * power[b]
                down[b] += inverse[b] * power[b]



@kernel
def improve(method, v, close, leak, p, sparsity, least, work):
    """Do one step on the powers p of one frame. The scratch then holds M of the powers before it."""
    mix(leak, p, work)
    if method == MIRA:
        mira_sources(v, leak, p, sparsity, least, work)
    else:
        kamir_sources(v, close, leak, p, least, work)


@kernel
def steep(share):
    """Return KAMIR's logistic gain, which takes the place of iterating, for a Wiener gain."""
    return _ONE / (_ONE + np.float32(math.exp(-_SLOPE * (share - _MIDDLE))))


@kernel
def norm_rows(leak, least, rows_to_1):
    """Let every mic's leaks sum to 1 if asked, then none be less than `least` (KAMIR)."""
    mics, count = leak.shape[0], leak.shape[1]
    for i in range(mics):
        for b in range(WIDTH):
            total = _ZERO
            for j in range(count):
                total += leak[i, j, b]
            share = _ONE / total if rows_to_1 else _ONE
            for j in range(count):
                leak[i, j, b] = max(leak[i, j, b] * share, least)


@kernel
def norm_columns(leak, scale):
    """Let every source's gain at its own mic be 1, and write into scale [sources, WIDTH] what it was (MIRA)."""
    mics, count = leak.shape[0], leak.shape[1]
    for j in range(count):
        own = leak[j, j]
        for b in range(WIDTH):
            scale[j, b] = own[b]
        for i in range(mics):
            gain = leak[i, j]
            for b in range(WIDTH):
                gain[b] = gain[b] / scale[j, b]


@kernel
def first_sources(v, close, p):
    """Write the mean power of each source's close mics."""
    for j in range(p.shape[0]):
        power = p[j]
        heard = 0
        for b in range(WIDTH):
            power[b] = _ZERO
        for i in range(v.shape[0]):
            if close[i, j]:
                heard += 1
                for b in range(WIDTH):
                    power[b] += v[i, b]
        share = _ONE / np.float32(max(heard, 1))
        for b in range(WIDTH):
            power[b] *= share
