"""The only short-time Fourier transform: analysis, gains from an estimator, weighted overlap-add.

A frame is taken every `hop` samples. Its work is cut into equal shares, one for each 64-sample segment of the hop,
so that no block of a sound card has to carry it all:

    frame ends at T │ segment T: analyse mics …│ … gains of each mic … │ … resynthesise mics │ first sample out

Hence the latency: the synthesis window, plus what the spreading takes (hop - 64).
"""

import numpy as np
from numba import carray

from rtsep_kernels.maths.spectra import join, split
from rtsep_kernels.plane.jit import kernel, stage_entry
from rtsep_kernels.plane.memory import call_fft, call_job, fma, samples

SPECTRAL = np.dtype([
    ("channels", np.int64), ("position", np.int64),
    ("analysis", np.int64), ("synthesis", np.int64), ("hop", np.int64),
    ("bins", np.int64), ("row", np.int64),
    ("ring", np.int64), ("ring_frames", np.int64),            # float32[k, ring_frames], a power of two
    ("analysis_window", np.int64), ("synthesis_window", np.int64),   # float32[analysis], float32[synthesis]
    ("re", np.int64), ("im", np.int64), ("power", np.int64),  # float32[k, row]: the frame in work
    ("gains", np.int64),                                      # float32[k, row]: what the estimator decides
    ("overlap", np.int64), ("overlap_frames", np.int64),      # float32[k, overlap_frames], a power of two
    ("time", np.int64), ("spectrum", np.int64),               # scratch
    ("forward", np.int64), ("backward", np.int64), ("plan", np.int64), ("inverse", np.int64),
    ("estimator", np.int64), ("estimator_state", np.int64),   # int32 f(state*, mic); 0: gains come from elsewhere
    ("latency", np.int64), ("frame", np.int64),
], align=True)


@kernel
def _analyse(s, c, frame):
    ring = carray(samples(s.ring), (s.channels, s.ring_frames))
    window = carray(samples(s.analysis_window), (s.analysis,))
    time = carray(samples(s.time), (s.analysis,))
    spectrum = carray(samples(s.spectrum), (2 * s.row,))
    re = carray(samples(s.re), (s.channels, s.row))[c]
    im = carray(samples(s.im), (s.channels, s.row))[c]
    power = carray(samples(s.power), (s.channels, s.row))[c]
    mask = s.ring_frames - 1
    first = frame * s.hop - s.analysis
    for n in range(s.analysis):
        time[n] = ring[c, (first + n) & mask] * window[n]
    call_fft(s.forward, s.plan, s.time, s.spectrum)
    split(spectrum, re, im, s.bins)
    for b in range(s.row):
        power[b] = fma(re[b], re[b], im[b] * im[b])


@kernel
def _synthesise(s, c, frame):
    spectrum = carray(samples(s.spectrum), (2 * s.row,))
    re = carray(samples(s.re), (s.channels, s.row))[c]
    im = carray(samples(s.im), (s.channels, s.row))[c]
    gains = carray(samples(s.gains), (s.channels, s.row))[c]
    for b in range(s.row):
        re[b] *= gains[b]
        im[b] *= gains[b]
    join(re, im, spectrum, s.bins)
    call_fft(s.backward, s.inverse, s.spectrum, s.time)
    time = carray(samples(s.time), (s.analysis,))
    window = carray(samples(s.synthesis_window), (s.synthesis,))
    overlap = carray(samples(s.overlap), (s.channels, s.overlap_frames))
    mask = s.overlap_frames - 1
    skipped = s.analysis - s.synthesis
    first = frame * s.hop - s.synthesis
    for n in range(s.synthesis):
        place = (first + n) & mask
        overlap[c, place] = fma(time[skipped + n], window[n], overlap[c, place])


@kernel
def _share(s):
    """Do this segment's share of the frame that ended at the last multiple of the hop."""
    k = s.channels
    shares = s.hop // 64
    share = (s.position // 64) % shares
    frame = s.position // s.hop
    tasks = 3 * k
    for task in range(tasks * share // shares, tasks * (share + 1) // shares):
        if task < k:
            _analyse(s, task, frame)
        elif task < 2 * k:
            if s.estimator != 0:
                call_job(s.estimator, s.estimator_state, task - k)
        else:
            _synthesise(s, task - 2 * k, frame)


@stage_entry(SPECTRAL)
def spectral(state, x, out, frames):
    """Apply the estimator's gains to the short-time spectrum."""
    s = carray(state, (1,))[0]
    k = s.channels
    ring = carray(samples(s.ring), (k, s.ring_frames))
    overlap = carray(samples(s.overlap), (k, s.overlap_frames))
    if frames == 0:
        for c in range(k):
            for n in range(s.ring_frames):
                ring[c, n] = np.float32(0)
            for n in range(s.overlap_frames):
                overlap[c, n] = np.float32(0)
            for b in range(s.row):
                carray(samples(s.re), (k, s.row))[c, b] = np.float32(0)
                carray(samples(s.im), (k, s.row))[c, b] = np.float32(0)
        return 0
    if s.position % 64 == 0:
        _share(s)
    given = carray(x, (k, frames))
    target = carray(out, (k, frames))
    ring_mask = s.ring_frames - 1
    overlap_mask = s.overlap_frames - 1
    for c in range(k):
        for n in range(frames):
            ring[c, (s.position + n) & ring_mask] = given[c, n]
            place = (s.position + n - s.latency) & overlap_mask
            target[c, n] = overlap[c, place]
            overlap[c, place] = np.float32(0)
    s.position += frames
    return 0
