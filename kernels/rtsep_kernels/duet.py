"""DUET: a histogram of pan and delay over bins, its peaks, and the peak that each bin is nearest to.

A source panned to the angle φ (0 left, π/2 right) that is δ samples later on the right has X2 / X1 = tan φ e^(-iωδ).
Live and offline run the same kernels, in float64: which peak is the nearest must not hang on rounding.
"""

import math

import numpy as np
from numba import carray, types

from rtsep_kernels.masking import HEAD, kept_part, settle, system_entry
from rtsep_kernels.pairs import pass_on, teaches
from rtsep_kernels.plane.jit import kernel, signed
from rtsep_kernels.plane.record import array, f4, f8, given, i8, number, record, scratch, view

ANGLES = 90                # bins of a degree
DELAYS = 51                # odd: no delay is the middle of a bin, not the border of two
APART = 5                  # bins between two peaks, in one direction at least
ROWS_A_FRAME = 6           # of the histogram that are smoothed in one frame of the stream
FULL = math.pi / 2
ANGLE, DELAY, FOUND = 0, 1, 2

DUET = record(
    **HEAD,
    keep=given(f4, "channels"),                                     # target: number of a source, from the left
    pairs=number(), sources=number(), frame=number(start=0),
    step=number(f8),                                                # radians per sample from a bin to the next
    most=number(f8),                                                # delay at the ends of the histogram, samples
    exponent=number(f8), forget=number(f8), quiet=number(f8),
    histogram=array(f8, "pairs", ANGLES, DELAYS, start=0), smooth=array(f8, "pairs", ANGLES, DELAYS, start=0),
    picked=array(f8, "pairs", "sources", 3, start=0),               # peaks: being picked,
    peaks=array(f8, "pairs", "sources", 3, start=0),                # and in use
    turns=scratch(f8, "sources", 6),
    owner=array(i8, "pairs", "row", start=0),                       # nearest peak of each bin
    mask=scratch(f4, "row"),
)
_PLANE = types.float32[:, ::1]
_WIDE = types.float64[:, ::1]


@kernel
def note(re1, im1, re2, im2, step, most, exponent, histogram):
    """Add the bins of a frame to the histogram, each weighted by (|X1| |X2|)^exponent."""
    for b in range(1, len(re1)):
        if step * b * most >= math.pi:
            break   # from here on a delay and one less by a period look alike
        lr, li, rr, ri = np.float64(re1[b]), np.float64(im1[b]), np.float64(re2[b]), np.float64(im2[b])
        left, right = lr * lr + li * li, rr * rr + ri * ri
        both = left * right
        if not both > 0.0:
            continue
        angle = math.atan2(math.sqrt(right), math.sqrt(left))
        a = min(int(angle / FULL * ANGLES), ANGLES - 1)
        d = DELAYS // 2
        if most > 0.0:
            delay = -math.atan2(ri * lr - rr * li, rr * lr + ri * li) / (step * b)
            d = math.floor((delay / most + 1.0) / 2.0 * DELAYS)
            if d < 0 or d >= DELAYS:
                continue
        histogram[a, d] += math.sqrt(both) if exponent == 1.0 else both ** (exponent / 2.0)


@kernel
def smoothe(histogram, first, last, smooth):
    """Write the sums over 3 x 3 bins of some rows of the histogram."""
    for a in range(first, last):
        for d in range(DELAYS):
            total = 0.0
            for i in range(max(a - 1, 0), min(a + 2, ANGLES)):
                for j in range(max(d - 1, 0), min(d + 2, DELAYS)):
                    total += histogram[i, j]
            smooth[a, d] = total


@kernel
def pick(smooth, most, peak):
    """Write the highest peak and take it out; its place is the centre of mass of the 3 x 3 bins around."""
    best, at, lag = 0.0, -1, -1
    for a in range(ANGLES):
        for d in range(DELAYS):
            if smooth[a, d] > best:
                best, at, lag = smooth[a, d], a, d
    peak[FOUND] = 0.0
    if at < 0:
        return
    mass, angle, delay = 0.0, 0.0, 0.0
    for a in range(max(at - 1, 0), min(at + 2, ANGLES)):
        for d in range(max(lag - 1, 0), min(lag + 2, DELAYS)):
            mass += smooth[a, d]
            angle += smooth[a, d] * (a + 0.5)
            delay += smooth[a, d] * (d + 0.5)
    peak[ANGLE] = angle / mass * FULL / ANGLES
    peak[DELAY] = (delay / mass / DELAYS * 2.0 - 1.0) * most
    peak[FOUND] = 1.0
    for a in range(max(at - APART, 0), min(at + APART + 1, ANGLES)):
        for d in range(max(lag - APART, 0), min(lag + APART + 1, DELAYS)):
            smooth[a, d] = 0.0


@kernel
def publish(picked, peaks):
    """Take over the picked peaks from left to right, those that were not found last; none at all change nothing."""
    count = len(picked)
    if picked[0, FOUND] == 0.0:
        return
    for j in range(count):
        place = 0
        for i in range(count):
            one, other = picked[i], picked[j]
            if one[FOUND] != other[FOUND]:
                place += one[FOUND] > other[FOUND]
            elif one[ANGLE] != other[ANGLE]:
                place += one[ANGLE] < other[ANGLE]
            else:
                place += i < j
        for n in range(3):
            peaks[place, n] = picked[j, n]


@kernel
def follow(histogram, smooth, picked, peaks, most, frame):
    """Do a frame's share of looking for the peaks: some rows, or one peak; in the last frame of a turn publish."""
    share = frame % (ANGLES // ROWS_A_FRAME + len(picked))
    if share < ANGLES // ROWS_A_FRAME:
        smoothe(histogram, share * ROWS_A_FRAME, (share + 1) * ROWS_A_FRAME, smooth)
        return
    number = share - ANGLES // ROWS_A_FRAME
    pick(smooth, most, picked[number])
    if number == len(picked) - 1:
        publish(picked, peaks)


@kernel
def own(re1, im1, re2, im2, step, peaks, turns, owner):
    """Write for each bin which peak j has the least |sin φ_j e^(-iωδ_j) X1 - cos φ_j X2|: no division by 0."""
    for j in range(len(peaks)):
        turns[j, 0], turns[j, 1] = 1.0, 0.0
        turns[j, 2], turns[j, 3] = math.cos(step * peaks[j, DELAY]), math.sin(step * peaks[j, DELAY])
        turns[j, 4], turns[j, 5] = math.sin(peaks[j, ANGLE]), math.cos(peaks[j, ANGLE])
    for b in range(len(re1)):
        lr, li, rr, ri = np.float64(re1[b]), np.float64(im1[b]), np.float64(re2[b]), np.float64(im2[b])
        nearest = math.inf
        for j in range(len(peaks)):
            c, s = turns[j, 0], turns[j, 1]
            turns[j, 0] = c * turns[j, 2] - s * turns[j, 3]
            turns[j, 1] = s * turns[j, 2] + c * turns[j, 3]
            if peaks[j, FOUND] == 0.0:
                continue
            sine, cosine = turns[j, 4], turns[j, 5]
            real = sine * (c * lr + s * li) - cosine * rr
            imaginary = sine * (c * li - s * lr) - cosine * ri
            distance = real * real + imaginary * imaginary
            if distance < nearest:
                nearest = distance
                owner[b] = j


@kernel
def learn(re1, im1, re2, im2, step, most, exponent, forget, quiet, histogram):
    """Forget a little and add a frame, unless it is silent."""
    if not teaches(re1, im1, re2, im2, quiet):
        return
    for a in range(ANGLES):
        for d in range(DELAYS):
            histogram[a, d] *= forget
    note(re1, im1, re2, im2, step, most, exponent, histogram)


@signed(types.void(_PLANE, _PLANE, _PLANE, _PLANE, types.float64, types.float64, types.float64, _WIDE))
def note_all(re1, im1, re2, im2, step, most, exponent, histogram):
    """Add the bins of all frames, float32[frames, bins]."""
    for n in range(len(re1)):
        note(re1[n], im1[n], re2[n], im2[n], step, most, exponent, histogram)


@signed(types.void(_WIDE, types.float64, _WIDE, _WIDE, _WIDE))
def pick_all(histogram, most, smooth, picked, peaks):
    """Look for all peaks at once."""
    smoothe(histogram, 0, ANGLES, smooth)
    for j in range(len(picked)):
        pick(smooth, most, picked[j])
    publish(picked, peaks)


@signed(types.void(_PLANE, _PLANE, _PLANE, _PLANE, types.float64, _WIDE, _WIDE, types.int64[:, ::1]))
def own_all(re1, im1, re2, im2, step, peaks, turns, owner):
    """Write the owner of each bin of all frames."""
    for n in range(len(re1)):
        own(re1[n], im1[n], re2[n], im2[n], step, peaks, turns, owner[n])


@signed(types.void(_PLANE, _PLANE, _PLANE, _PLANE, types.float64, types.float64, types.float64, types.float64,
                   types.float64, _WIDE, _WIDE, _WIDE, _WIDE, _WIDE, types.int64[:, ::1]))
def follow_all(re1, im1, re2, im2, step, most, exponent, forget, quiet, histogram, smooth, picked, peaks, turns, owner):
    """Write the owner of each bin, frame after frame as the live stage does it."""
    for n in range(len(re1)):
        learn(re1[n], im1[n], re2[n], im2[n], step, most, exponent, forget, quiet, histogram)
        follow(histogram, smooth, picked, peaks, most, n)
        own(re1[n], im1[n], re2[n], im2[n], step, peaks, turns, owner[n])


@system_entry(DUET)
def duet(state, mic):
    """Write the gains of one mic; the first of a pair learns for both."""
    s = carray(state, (1,))[0]
    k = s.channels
    pair = mic // 2
    if pair == s.pairs:
        pass_on(view(s, "gains")[mic])
    else:
        owner = view(s, "owner")[pair, :s.bins]
        if mic % 2 == 0:
            re, im = view(s, "re"), view(s, "im")
            re1, im1, re2, im2 = re[mic, :s.bins], im[mic, :s.bins], re[mic + 1, :s.bins], im[mic + 1, :s.bins]
            histogram, smooth = view(s, "histogram")[pair], view(s, "smooth")[pair]
            picked, peaks = view(s, "picked")[pair], view(s, "peaks")[pair]
            learn(re1, im1, re2, im2, s.step, s.most, s.exponent, s.forget, s.quiet, histogram)
            follow(histogram, smooth, picked, peaks, s.most, s.frame)
            own(re1, im1, re2, im2, s.step, peaks, view(s, "turns"), owner)
        which = min(kept_part(s, mic), s.sources - 1)
        mask = view(s, "mask")
        for b in range(s.bins):
            mask[b] = np.float32(1 if owner[b] == which else 0)
        settle(s, mic, mask)
    if mic == k - 1:
        s.frame += 1
    return 0
