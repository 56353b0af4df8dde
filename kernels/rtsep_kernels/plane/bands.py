"""What is taken away in each octave: the mic as it came beside the mic as it is made, whatever the chain consists of.

A window of each mic is looked at once for every publication of the meters, one mic after the other, so that no block
has to carry them all. It is what the chain has done to the sound, rather than what a stage has meant to do.
"""

import math

import numpy as np

from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import call_fft
from rtsep_kernels.plane.record import address, array, f4, i8, number, record, scratch, view

COUNT = 8                       # octaves
_SILENCE = np.float32(1e-9)     # added to both powers: -90 dBFS, so that nothing is taken away from silence
_AUDIBLE = np.float32(1e-6)     # -60 dBFS: of what is softer no mean is made

BANDS = record(
    channels=number(), window=number(),                                    # samples, a power of two
    dry=array(f4, "channels", "window", start=0), clean=array(f4, "channels", "window", start=0),   # the last samples
    # So scaled that the powers of a sine's bins add up to the square of its amplitude.
    shape=array(f4, "window"),
    edges=array(i8, COUNT + 1),                                            # first bins of the bands, and the end
    forward=address(), plan=address(),
    time=scratch(f4, "window"), spectrum=scratch(f4, "window + 32"),
    powers=scratch(f4, 2, COUNT),
    reduction=array(f4, COUNT, "channels", start=0), mean=array(f4, COUNT, "channels", start=0),   # dB: now; so far
    looks=array(f4, COUNT, "channels", start=0),                           # how many there are in the mean
)


@kernel
def keep(s, position, dry, clean, frames):
    """Take in a piece, float32[channels, 64] each, of which the first frames hold."""
    before, after = view(s, "dry"), view(s, "clean")
    first = position & (s.window - 1)   # a piece does not cross a multiple of 64
    for c in range(s.channels):
        for i in range(frames):
            before[c, first + i] = dry[c, i]
            after[c, first + i] = clean[c, i]


@kernel
def _powers(s, ring, position, result):
    """Write the power in each band of the last samples, float32[COUNT]."""
    time, shape, spectrum, edges = view(s, "time"), view(s, "shape"), view(s, "spectrum"), view(s, "edges")
    mask = s.window - 1
    for n in range(s.window):
        time[n] = ring[(position + n) & mask] * shape[n]
    call_fft(s.forward, s.plan, s.time, s.spectrum)
    for b in range(COUNT):
        total = np.float32(0)
        for n in range(edges[b], edges[b + 1]):
            total += spectrum[2 * n] * spectrum[2 * n] + spectrum[2 * n + 1] * spectrum[2 * n + 1]
        result[b] = total


@kernel
def measure(s, position, c):
    """Look at one mic: how much less there is in each band; `position` is that of the next sample."""
    powers, reduction, mean, looks = view(s, "powers"), view(s, "reduction"), view(s, "mean"), view(s, "looks")
    _powers(s, view(s, "dry")[c], position, powers[0])
    _powers(s, view(s, "clean")[c], position, powers[1])
    for b in range(COUNT):
        now = np.float32(10.0 * math.log10((powers[0, b] + _SILENCE) / (powers[1, b] + _SILENCE)))
        reduction[b, c] = now
        if powers[0, b] > _AUDIBLE:
            looks[b, c] += np.float32(1)
            mean[b, c] += (now - mean[b, c]) / looks[b, c]
