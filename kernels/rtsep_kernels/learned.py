"""Correct the gains against residual bleed by what a network says of each microphone and band.

The odds of `residual` are a weighted sum of logarithms of ratios. A network, in another process, looks at the means of
nine such ratios over bands, and answers with what is to be added to their weights, band by band:

    log odds = as `residual` has them + sum over evidences e of w_e(band) * e(bin)       e_0 = 1; the others / SCALE

so that zeros are the rule without it. Weights of a step of `step` frames are used `lag` steps later, at a sample that
does not depend on how fast the network is; the evidences that they weigh are always those of the frame itself, so
nothing is added to the latency. Weights that are late hold, and after `patience` steps fade out; they come back alike.

    step n ── means over bands ──▶ inputs[n % slots] ── network ──▶ outputs[n % slots] ── step n + lag ──▶ weights

The mics as they came, before what is in front (a canceller) took bleed out, are read from its own ring.
"""

import numpy as np
from numba import carray

from rtsep_kernels import residual, stft
from rtsep_kernels.masking import system_entry
from rtsep_kernels.maths.spectra import split
from rtsep_kernels.maths.vectors import copy, fill
from rtsep_kernels.plane import due
from rtsep_kernels.plane.grid import GRID
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import call_fft, fma
from rtsep_kernels.plane.record import array, f4, given, i8, inner, link, number, record, scratch, view

EVIDENCES = 9           # see `_evidences`
WEIGHTS = EVIDENCES + 1
RATIOS = 5              # of a band's powers, see `_tell`: means of logarithms tell of soft bins, these of loud ones
VALUES = EVIDENCES + 2 + RATIOS   # of a mic and band, that the network sees: their means, odds, doubt, ratios
SCALE = np.float32(4)   # octaves of evidence to one of weight: such are the steps that training takes
LIMIT = np.float32(30)  # octaves; `residual` looks at no more

LEARNED = record(
    channels=number(), bins=number(), row=number(), bands=number(), frame=number(start=0),
    step=number(), lag=number(), patience=number(),
    spectral=link(stft.SPECTRAL), rule=link(residual.RESIDUAL),
    heard=given(f4, "channels", "heard_frames"), heard_frames=number(),   # a power of two; 1: nobody is in front
    clock=given(i8, 1), seen=number(start=-1),                            # samples in `heard`; as last looked at
    back=number(start=0),                                                 # what to add to our sample for one there
    fresh=number(start=0),
    first=array(i8, "bands"), last=array(i8, "bands"),                    # bins of a band, both inside
    below=array(i8, "row"), above=array(i8, "row"), share=array(f4, "row"),   # bands that a bin lies between
    x_power=scratch(f4, "row"), gone=scratch(f4, "row"),                  # of the mic as it came; of what was taken
    # Of each mic, for whoever trains a network by them.
    evidence=scratch(f4, "channels", EVIDENCES, "row"), odds=scratch(f4, "channels", "row"),
    usual=array(f4, "channels", "row", start=0), frame_share=number(f4),  # power of late; a frame's share of it
    weights=array(f4, "channels", WEIGHTS, "row", start=0),
    late=number(start=0), trust=number(f4, start=0), trust_step=number(f4),
    exchange=given(i8, due.EXCHANGE), marks=given(i8, "slots", due.LINE), slots=number(), unit=number(),
    inputs=given(f4, "slots", "channels", "unit"), outputs=given(f4, "slots", "channels", "unit"),
    waits=number(start=1), naps=number(), bad=number(start=0),            # naps for a step, 0: live
)


@kernel
def _look(s):
    """Once a frame: find the place of our samples in the ring of what is in front."""
    now = view(s, "clock")[0]
    s.fresh = 1 if s.heard_frames > 1 and now != s.seen else 0   # not, where it is passed over
    s.seen = now
    s.back = (now - 1) // GRID * GRID - inner(s, "spectral").position


@kernel
def _as_it_came(s, mic):
    """Write the powers of the mic as it came, and of what has been taken out of it."""
    f = inner(s, "spectral")
    x_power, gone = view(s, "x_power"), view(s, "gone")
    if s.fresh == 0:
        copy(view(f, "power")[mic], x_power)
        fill(gone, np.float32(0))
        return
    time, window, spectrum = view(f, "time"), view(f, "analysis_window"), view(f, "spectrum")
    heard, mask = view(s, "heard"), s.heard_frames - 1
    first = f.position // f.hop * f.hop - f.analysis + s.back
    for n in range(f.analysis):
        time[n] = heard[mic, (first + n) & mask] * window[n]
    call_fft(f.forward, f.plan, f.time, f.spectrum)
    split(spectrum, x_power, gone, s.bins)
    re, im = view(f, "re")[mic], view(f, "im")[mic]
    for b in range(s.bins):
        a, c = x_power[b], gone[b]
        d, e = a - re[b], c - im[b]
        x_power[b] = fma(a, a, c * c)
        gone[b] = fma(d, d, e * e)
    for b in range(s.bins, s.row):
        x_power[b] = np.float32(0)
        gone[b] = np.float32(0)


@kernel
def _log2(bits, out):
    """Write log2 of values, `bits` being their own: straight between powers of 2, at most 0.26 dB low."""
    for b in range(out.shape[0]):
        out[b] = fma(np.float32(bits[b]), np.float32(2.0**-23), np.float32(-127))


@kernel
def _minus_log2(bits, out):
    """Subtract log2 of values."""
    for b in range(out.shape[0]):
        out[b] -= fma(np.float32(bits[b]), np.float32(2.0**-23), np.float32(-127))


@kernel
def _ratio(of, to, out):
    """Write log2 of the ratio of two rows of powers."""
    _log2(of.view(np.int32), out)
    _minus_log2(to.view(np.int32), out)


@kernel
def _evidences(s, mic):
    """Write what there is to weigh, octaves, from what `residual.weigh` has just left of this mic.

    0: P/A, the power over the bleed that leaks would explain. 1: P/D, over the others' held powers. 2: S20/S66 of the
    others. 3: X/P, how much softer the canceller has made it. 4: |x - y|²/P, what it has taken. 5: P/A, both wide.
    6: P/S150, whether it rises. 7: P over the mic's usual power in that bin: what is well below it is seldom its own.
    8: P over P wide: a line, or noise. And `odds` as the rule has them.
    """
    r = inner(s, "rule")
    audible, work, averages = view(r, "work")[2], view(r, "work")[1], view(r, "averages")
    bleed, sums, e = view(r, "bleed"), view(r, "sums"), view(s, "evidence")[mic]
    copy(view(r, "work")[0], view(s, "odds")[mic])
    _ratio(audible, bleed, e[0])
    residual.others(sums[0], view(r, "held")[mic], work)
    _ratio(audible, work, e[1])
    residual.others(sums[1], averages[1, mic], work)
    _ratio(averages[0, mic], work, e[2])
    x_power, gone = view(s, "x_power"), view(s, "gone")
    for b in range(s.row):
        x_power[b] += r.silence
        gone[b] += r.silence
    _ratio(x_power, audible, e[3])
    _ratio(gone, audible, e[4])
    _ratio(audible, averages[2, mic], e[6])
    usual, share = view(s, "usual")[mic], max(s.frame_share, np.float32(1) / np.float32(s.frame + 1))
    for b in range(s.row):
        usual[b] = fma(audible[b] - usual[b], share, usual[b])
    _ratio(audible, usual, e[7])
    residual.widen(audible, work, s.bins, r.reach)
    _log2(work.view(np.int32), e[5])
    _ratio(audible, work, e[8])
    residual.widen(bleed, work, s.bins, r.reach)
    _minus_log2(work.view(np.int32), e[5])


@kernel
def _mean(values, first, last):
    """Return the mean of some of a row."""
    total = np.float32(0)
    for b in range(first, last + 1):
        total += values[b]
    return total / np.float32(last + 1 - first)


@kernel
def _octaves(a, b):
    """Return log2 of the ratio of two powers."""
    return np.float32(np.log2(a) - np.log2(b))


@kernel
def _tell(s, mic, out):
    """Write what the network sees of a mic, float32[VALUES * bands].

    The ratios of a band's powers: over its usual power; of the bleed that leaks would explain, of what the canceller
    has taken, of the mic as it came, and of what the others hold, over its power.
    """
    r = inner(s, "rule")
    first, last, e = view(s, "first"), view(s, "last"), view(s, "evidence")[mic]
    odds = view(s, "odds")[mic]
    doubt = np.float32(np.log2(max(view(r, "doubt")[mic], np.float32(1e-12))))
    power, work, usual = view(r, "work")[2], view(r, "work")[1], view(s, "usual")[mic]
    bleed, gone, x_power = view(r, "bleed"), view(s, "gone"), view(s, "x_power")
    residual.others(view(r, "sums")[0], view(r, "held")[mic], work)
    for band in range(s.bands):
        for n in range(EVIDENCES):
            out[n * s.bands + band] = _mean(e[n], first[band], last[band])
        out[EVIDENCES * s.bands + band] = _mean(odds, first[band], last[band])
        out[(EVIDENCES + 1) * s.bands + band] = doubt
        p, at = _mean(power, first[band], last[band]), (EVIDENCES + 2) * s.bands + band
        out[at] = _octaves(p, _mean(usual, first[band], last[band]))
        out[at + s.bands] = _octaves(_mean(bleed, first[band], last[band]), p)
        out[at + 2 * s.bands] = _octaves(_mean(gone, first[band], last[band]), p)
        out[at + 3 * s.bands] = _octaves(_mean(x_power, first[band], last[band]), p)
        out[at + 4 * s.bands] = _octaves(_mean(work, first[band], last[band]), p)


@kernel
def _finite(answer, count):
    """Return whether an answer can be used."""
    bad = 0
    for c in range(answer.shape[0]):
        for n in range(count):
            bad += 0 if np.isfinite(answer[c, n]) else 1
    return bad == 0


@kernel
def _spread(s, mic, told):
    """Write the weights of each bin, straight between the middles of the bands."""
    weights, below, above, share = view(s, "weights")[mic], view(s, "below"), view(s, "above"), view(s, "share")
    for n in range(WEIGHTS):
        first = n * s.bands
        for b in range(s.row):
            low = told[first + below[b]]
            weights[n, b] = fma(told[first + above[b]] - low, share[b], low)


@kernel
def _take(s, n):
    """Take the answer to step n, which is due now, into use, or count that there is none."""
    if n < 0:
        return
    exchange = view(s, "exchange").ctypes.data
    if s.naps > 0:
        s.waits = 1 if due.wait_at_most(exchange, due.DONE, n + 1, s.naps if s.waits else 0) else 0
    _, end = due.take(exchange, n + 1)
    mark = view(s, "marks")[n % s.slots, 0]
    answer = view(s, "outputs")[n % s.slots]
    if end > n and mark == n + 1 and _finite(answer, WEIGHTS * s.bands):
        s.late = 0
        for c in range(s.channels):
            _spread(s, c, answer[c])
    else:
        s.late += 1
        if end > n and (mark == n + 1 or mark == -(n + 1)):
            s.bad += 1
        elif end > n:
            due.missed(exchange)     # the network was so late that it has left the step out
    due.applied(exchange, n + 1)


@kernel
def _correct(s, mic):
    """Add what the weights say to the odds."""
    odds, weights, e = view(inner(s, "rule"), "work")[0], view(s, "weights")[mic], view(s, "evidence")[mic]
    trust = s.trust
    per = trust / SCALE
    for b in range(s.row):
        odds[b] = fma(weights[0, b], trust, odds[b])
    for n in range(EVIDENCES):
        for b in range(s.row):
            limited = min(max(e[n, b], -LIMIT), LIMIT)
            odds[b] = fma(weights[n + 1, b] * limited, per, odds[b])


@system_entry(LEARNED)
def learned_gains(state, mic):
    """Write the gains of one microphone; mic 0 comes first in every frame."""
    s = carray(state, (1,))[0]
    n, within = s.frame // s.step, s.frame % s.step
    if mic == 0:
        _look(s)
        if within == 0:
            _take(s, n - s.lag)
        wanted = np.float32(0) if s.late > s.patience else np.float32(1)
        s.trust += min(max(wanted - s.trust, -s.trust_step), s.trust_step)
    rule = inner(s, "rule")
    residual.weigh(rule, mic)
    _as_it_came(s, mic)
    _evidences(s, mic)
    if within == 0:
        _tell(s, mic, view(s, "inputs")[n % s.slots, mic])
    if s.trust > np.float32(0):
        _correct(s, mic)
    residual.open_gains(rule, mic)
    if mic == s.channels - 1:
        if within == 0:
            due.publish(view(s, "exchange").ctypes.data, n + 1)
        s.frame += 1
    return 0
