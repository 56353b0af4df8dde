"""What has been learnt of the paths, changed as a whole: everything that writes `PATHS` but the two estimators.

The Kalman filter's step (`kalman`) and the refinement's blend (`refine.adopt`) change spectra bin by bin; all else
that happens to a path (it is taken back, shrunk, moved, doubted, forgotten) is one of these.
"""

import numpy as np

from rtsep_kernels.canceller.record import BINS, ROW
from rtsep_kernels.maths.spectra import split
from rtsep_kernels.maths.vectors import copy, fill
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.record import flat, view


@kernel
def doubt(w, i, j, partitions):
    """Doubt the first partitions of a path as at the start."""
    p = view(w, "p")
    prior = view(w, "prior")
    for q in range(partitions):
        fill(p[q, i, j], prior[q])


@kernel
def _drop(spectra, i, j):
    """Make one path's spectra nothing."""
    for p in range(spectra.shape[0]):
        fill(spectra[p, i, j], np.float32(0))


@kernel
def drop(w, i, j):
    """Make a path nothing."""
    _drop(view(w, "w_re"), i, j)
    _drop(view(w, "w_im"), i, j)


@kernel
def drop_good(w, i, j):
    """Have nothing to which a path could be taken back."""
    _drop(view(w, "good_re"), i, j)
    _drop(view(w, "good_im"), i, j)


@kernel
def take_back(w, i, j):
    """Take a path back to what it was when it was good."""
    re, im = view(w, "w_re"), view(w, "w_im")
    good_re, good_im = view(w, "good_re"), view(w, "good_im")
    for p in range(w.partitions):
        copy(good_re[p, i, j], re[p, i, j])
        copy(good_im[p, i, j], im[p, i, j])


@kernel
def keep_good(w, p):
    """Keep partition `p` of every path that is held, to be taken back to."""
    re, im = view(w, "w_re"), view(w, "w_im")
    good_re, good_im = view(w, "good_re"), view(w, "good_im")
    held = view(w, "held")
    for i in range(w.channels):
        for j in range(w.channels):
            if held[i, j]:
                copy(re[p, i, j], good_re[p, i, j])
                copy(im[p, i, j], good_im[p, i, j])


@kernel
def shrink(w, i, j, factor, first):
    """Multiply the partitions of a path from `first` on by `factor`."""
    re, im = view(w, "w_re"), view(w, "w_im")
    for p in range(first, w.partitions):
        for b in range(ROW):
            re[p, i, j, b] *= factor
            im[p, i, j, b] *= factor


@kernel
def turn(w, i, j):
    """Change the sign of a path, and of what it could be taken back to."""
    for spectra in (view(w, "w_re"), view(w, "w_im"), view(w, "good_re"), view(w, "good_im")):
        for p in range(w.partitions):
            for b in range(ROW):
                spectra[p, i, j, b] = -spectra[p, i, j, b]


@kernel
def move_to_tap(w, i, j, tap, share, partitions):
    """Go a share of the way from a path to a single tap of the same sample, in its first partitions."""
    re, im = view(w, "w_re"), view(w, "w_im")
    for p in range(partitions):
        goal = tap if p == 0 else np.float32(0)
        for b in range(BINS):
            re[p, i, j, b] += share * (goal - re[p, i, j, b])
            im[p, i, j, b] -= share * im[p, i, j, b]


@kernel
def lay(w, p, i, j, spectrum):
    """Replace one partition by an interleaved spectrum."""
    split(spectrum, view(w, "w_re")[p, i, j], view(w, "w_im")[p, i, j], BINS)


@kernel
def forget_memory(w):
    """Let every mic keep of its doubts what it kept at the start."""
    fill(flat(w, "memory"), w.first_memory)
