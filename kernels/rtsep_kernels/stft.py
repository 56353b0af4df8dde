"""The only short-time Fourier transform: analysis, gains from an estimator, weighted overlap-add.

A frame is taken every `hop` samples. Its work is cut into equal shares, one for each 64-sample segment of the hop,
so that no block of a sound card has to carry it all:

    frame ends at T │ segment T: analyse mics …│ … gains of each mic … │ … resynthesise mics │ first sample out

Hence the latency: the synthesis window, plus what the spreading takes (hop - 64).
"""

import numpy as np
from numba import carray

from rtsep_kernels.maths.spectra import join, power, split
from rtsep_kernels.maths.vectors import fill
from rtsep_kernels.plane.jit import kernel, stage_entry
from rtsep_kernels.plane.memory import call_fft, call_job, fma
from rtsep_kernels.plane.record import address, array, f4, flat, given, number, record, scratch, view

SPECTRAL = record(
    channels=number(), position=number(start=0),
    analysis=number(), synthesis=number(), hop=number(), bins=number(), row=number(), latency=number(),
    ring=array(f4, "channels", "ring_frames", start=0), ring_frames=number(),             # a power of two
    analysis_window=array(f4, "analysis"), synthesis_window=array(f4, "synthesis"),
    # The frame in work.
    re=array(f4, "channels", "row", start=0), im=array(f4, "channels", "row", start=0),
    power=array(f4, "channels", "row", start=0),
    gains=given(f4, "channels", "row"),                                                   # who decides them has them
    overlap=array(f4, "channels", "overlap_frames", start=0), overlap_frames=number(),    # a power of two
    time=scratch(f4, "analysis"), spectrum=scratch(f4, "2 * row"),
    forward=address(), backward=address(), plan=address(), inverse=address(),
    # int32 f(state*, mic); 0: gains come from elsewhere.
    estimator=address(), estimator_state=address(),
)
GAINS = record(channels=number(), row=number(), gains=array(f4, "channels", "row", start=1))
"""The state of nobody: gains at 1, unless another plane writes them."""


@kernel
def _analyse(s, c, frame):
    """Write the spectrum of a mic's newest samples."""
    ring, window, time = view(s, "ring"), view(s, "analysis_window"), view(s, "time")
    re, im = view(s, "re")[c], view(s, "im")[c]
    mask = s.ring_frames - 1
    first = frame * s.hop - s.analysis
    for n in range(s.analysis):
        time[n] = ring[c, (first + n) & mask] * window[n]
    call_fft(s.forward, s.plan, s.time, s.spectrum)
    split(view(s, "spectrum"), re, im, s.bins)
    power(re, im, view(s, "power")[c], s.row)


@kernel
def _synthesise(s, c, frame):
    """Add a mic's frame, with its gains, to what is to be heard."""
    re, im, gains = view(s, "re")[c], view(s, "im")[c], view(s, "gains")[c]
    for b in range(s.row):
        re[b] *= gains[b]
        im[b] *= gains[b]
    join(re, im, view(s, "spectrum"), s.bins)
    call_fft(s.backward, s.inverse, s.spectrum, s.time)
    time, window, overlap = view(s, "time"), view(s, "synthesis_window"), view(s, "overlap")
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
    ring, overlap = view(s, "ring"), view(s, "overlap")
    if frames == 0:
        for history in (flat(s, "ring"), flat(s, "overlap"), flat(s, "re"), flat(s, "im")):
            fill(history, np.float32(0))
        return 0
    if s.position % 64 == 0:
        _share(s)
    block = carray(x, (k, frames))
    target = carray(out, (k, frames))
    ring_mask = s.ring_frames - 1
    overlap_mask = s.overlap_frames - 1
    for c in range(k):
        for n in range(frames):
            ring[c, (s.position + n) & ring_mask] = block[c, n]
            place = (s.position + n - s.latency) & overlap_mask
            target[c, n] = overlap[c, place]
            overlap[c, place] = np.float32(0)
    s.position += frames
    return 0
