"""What the systems for two channels share: pairs of mics 0 and 1, 2 and 3, ...; an odd last one has no partner."""

import numpy as np

from rtsep_kernels.plane.jit import kernel

QUIET = 1e-8   # mean power of a frame, as a share of full scale, below which nothing is learnt
BOUND = 1e16   # times as much power is nonsense: nothing is learnt from it either, as it would never be forgotten


@kernel
def pass_on(gains):
    """Leave a mic without a partner as it is."""
    for b in range(len(gains)):
        gains[b] = np.float32(1)


@kernel
def teaches(re1, im1, re2, im2, quiet):
    """Say whether a frame of two channels is worth learning from: neither silent nor beyond all bounds."""
    total = 0.0
    for b in range(len(re1)):
        lr, li, rr, ri = np.float64(re1[b]), np.float64(im1[b]), np.float64(re2[b]), np.float64(im2[b])
        total += lr * lr + li * li + rr * rr + ri * ri
    return quiet < total < BOUND * quiet
