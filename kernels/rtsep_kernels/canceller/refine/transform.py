"""To spectra and back: paths and sums of one chunk, through the record's scratch `time` and `spectrum`."""

import numpy as np

from rtsep_kernels.canceller.refine.record import BINS, FRAME, TAPS
from rtsep_kernels.maths import spectra
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import call_fft
from rtsep_kernels.plane.record import view


@kernel
def lay_taps(s, taps):
    """Lay a path into `time`, and silence behind it."""
    time = view(s, "time")
    for n in range(TAPS):
        time[n] = taps[n]
        time[TAPS + n] = np.float32(0)


@kernel
def forward(s, re, im):
    """Transform `time` into rows."""
    call_fft(s.forward, s.plan, s.time, s.spectrum)
    spectra.split(view(s, "spectrum"), re, im, BINS)


@kernel
def backward(s, re, im):
    """Transform rows into `time`, SIZE times as large."""
    spectra.join(re, im, view(s, "spectrum"), BINS)
    call_fft(s.backward, s.inverse, s.spectrum, s.time)


@kernel
def forward_frame(s, source, place, mask):
    """Transform a windowed frame of a ring into `spectrum`; `mask` is the ring's length less 1, or -1: no ring."""
    window = view(s, "window")
    time = view(s, "time")
    for n in range(FRAME):
        time[n] = window[n] * source[(place + n) & mask]
    call_fft(s.forward, s.plan_frame, s.time, s.spectrum)
