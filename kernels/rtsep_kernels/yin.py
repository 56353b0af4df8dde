"""The pitch of a frame (YIN), and the comb of its harmonics."""

import math

import numpy as np
from numba import carray, types

from rtsep_kernels.masking import HEAD, settle, system_entry
from rtsep_kernels.plane.jit import kernel, signed
from rtsep_kernels.plane.record import f4, given, number, record, scratch, view

YIN = record(
    **HEAD,
    keep=given(f4, "channels"),                                 # target: 0 voice, 1 rest
    frame=number(start=0), window=number(), hop=number(),
    shortest=number(), longest=number(),                        # periods, samples
    threshold=number(f4), voiced=number(f4), rate=number(f4), width=number(f4),   # the last two in Hz
    ring=given(f4, "channels", "ring_frames"), ring_frames=number(),              # the stage's samples
    time=scratch(f4, "window"), difference=scratch(f4, "longest + 2"), mask=scratch(f4, "row"),
)
TINY = np.float32(1e-12)


@kernel
def period(x, shortest, longest, threshold, difference):
    """Return a frame's period in samples, and how aperiodic it is: 0 not at all, 1 and above wholly.

    `difference` is scratch, float32[longest + 2]. The frame must be longer than `longest` + 1.

    References
    ----------
    de Cheveigné & Kawahara, JASA 111, 2002, doi:10.1121/1.1458024, eq. (6) and (8).
    """
    lags = longest + 2
    for lag in range(lags):
        difference[lag] = np.float32(0)
    used = (x.shape[0] - lags) // 4 * 4
    # Lags inside, four samples at once: the sums run along memory, and none has to be reordered for it.
    for n in range(0, used, 4):
        a, b, c, d = x[n], x[n + 1], x[n + 2], x[n + 3]
        for lag in range(lags):
            da, db = a - x[n + lag], b - x[n + 1 + lag]
            dc, dd = c - x[n + 2 + lag], d - x[n + 3 + lag]
            difference[lag] += (da * da + db * db) + (dc * dc + dd * dd)
    # Each is divided by the mean of those before it; the running sum is that of the eq. (8).
    total = np.float32(0)
    best, lowest = shortest, np.float32(np.inf)
    found = False
    before = np.float32(np.inf)
    lag = 1
    while lag <= longest and not found:
        total += difference[lag]
        value = difference[lag] * np.float32(lag) / (total + TINY) if total > TINY else np.float32(1)
        if lag >= shortest:
            if lowest < threshold and value > before:
                found = True
            elif value < lowest:
                best, lowest = lag, value
        before = value
        lag += 1
    below, here, above = difference[best - 1], difference[best], difference[best + 1]
    curvature = below - np.float32(2) * here + above
    shift = np.float32(0.5) * (below - above) / curvature if curvature > TINY else np.float32(0)
    return np.float32(best) + min(max(shift, np.float32(-1)), np.float32(1)), lowest


@kernel
def comb(b, spacing, pitch, width):
    """Return 1 for a bin within `width` Hz of a multiple of the pitch, else 0; bins are `spacing` Hz apart."""
    frequency = np.float32(b) * spacing
    harmonic = np.float32(math.floor(frequency / pitch + np.float32(0.5)))
    near = abs(frequency - harmonic * pitch) <= width
    return np.float32(1) if near and harmonic >= np.float32(1) else np.float32(0)


@signed(types.void(types.float32[::1], types.int64, types.int64, types.int64, types.int64, types.float32,
                   types.float32[::1], types.float32[::1]))
def periods(sound, window, hop, shortest, longest, threshold, out, aperiodicity):
    """Write `period` of every frame; frame n has the `window` samples from n * hop on."""
    difference = np.empty(longest + 2, np.float32)
    for n in range(out.shape[0]):
        frame = sound[n * hop : n * hop + window]
        out[n], aperiodicity[n] = period(frame, shortest, longest, threshold, difference)


@signed(types.void(types.float32[::1], types.float32, types.float32, types.float32[:, ::1]))
def combs(pitch, spacing, width, out):
    """Write the comb of every frame, float32[frames, bins]; a pitch of 0 has none."""
    for n in range(out.shape[0]):
        for b in range(out.shape[1]):
            out[n, b] = comb(b, spacing, pitch[n], width) if pitch[n] > 0 else np.float32(0)


@signed(types.void(types.float32[::1], types.float32[::1], types.int64, types.float32[::1], types.float32,
                   types.float32[:, ::1]))
def sinusoids(sound, window, hop, pitch, rate, out):
    """Write each frame, float32[frames, samples], as its harmonics alone, windowed; a pitch of 0 has none.

    Amplitude and phase are those of the windowed frame's Fourier transform at the harmonic itself.
    """
    size = window.shape[0]
    scale = 2.0 / window.astype(np.float64).sum()
    for n in range(out.shape[0]):
        frame = sound[n * hop : n * hop + size]
        out[n] = np.float32(0)
        harmonic = 1
        while pitch[n] > 0 and harmonic * pitch[n] < rate / np.float32(2):
            angle = 2.0 * math.pi * harmonic * pitch[n] / rate
            turn = complex(math.cos(angle), math.sin(angle))
            place, amplitude = complex(1.0, 0.0), complex(0.0, 0.0)
            for i in range(size):
                amplitude += frame[i] * window[i] * place.conjugate()
                place *= turn
            place = amplitude * scale
            for i in range(size):
                out[n, i] += np.float32(place.real) * window[i]
                place *= turn
            harmonic += 1


@system_entry(YIN)
def yin(state, mic):
    """Write the gains of one mic."""
    s = carray(state, (1,))[0]
    ring, time, mask = view(s, "ring")[mic], view(s, "time"), view(s, "mask")
    first = s.frame * s.hop - s.window
    for n in range(s.window):
        time[n] = ring[(first + n) & (s.ring_frames - 1)]
    length, aperiodicity = period(time, s.shortest, s.longest, s.threshold, view(s, "difference"))
    rest = view(s, "keep")[mic] >= np.float32(0.5)
    pitch, spacing = s.rate / length, s.rate / np.float32(s.window)
    for b in range(s.bins):
        share = comb(b, spacing, pitch, s.width) if aperiodicity < s.voiced else np.float32(0)
        mask[b] = np.float32(1) - share if rest else share
    settle(s, mic, mask)
    if mic == s.channels - 1:
        s.frame += 1
    return 0
