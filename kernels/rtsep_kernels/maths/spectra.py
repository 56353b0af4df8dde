"""Spectra in split rows, real parts and imaginary parts: they vectorise, FFTW's interleaved ones do not.

All rows are float32; `count` values of them are looked at, which is padded to a multiple of 16 where speed counts.
"""

from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import fma


@kernel
def split(spectrum, re, im, bins):
    """Take an interleaved spectrum apart."""
    for b in range(bins):
        re[b] = spectrum[2 * b]
        im[b] = spectrum[2 * b + 1]


@kernel
def join(re, im, spectrum, bins):
    """Undo `split`."""
    for b in range(bins):
        spectrum[2 * b] = re[b]
        spectrum[2 * b + 1] = im[b]


@kernel
def power(re, im, out, count):
    """Write |.|²."""
    for b in range(count):
        out[b] = fma(re[b], re[b], im[b] * im[b])


@kernel
def add_product(re, im, a_re, a_im, b_re, b_im, count):
    """Add a b."""
    for b in range(count):
        re[b] = fma(a_re[b], b_re[b], fma(-a_im[b], b_im[b], re[b]))
        im[b] = fma(a_re[b], b_im[b], fma(a_im[b], b_re[b], im[b]))


@kernel
def subtract_product(re, im, a_re, a_im, b_re, b_im, count):
    """Subtract a b."""
    for b in range(count):
        re[b] = fma(-a_re[b], b_re[b], fma(a_im[b], b_im[b], re[b]))
        im[b] = fma(-a_re[b], b_im[b], fma(-a_im[b], b_re[b], im[b]))


@kernel
def add_correlation(re, im, a_re, a_im, b_re, b_im, count):
    """Add conj(a) b."""
    for b in range(count):
        re[b] = fma(a_re[b], b_re[b], fma(a_im[b], b_im[b], re[b]))
        im[b] = fma(a_re[b], b_im[b], fma(-a_im[b], b_re[b], im[b]))
