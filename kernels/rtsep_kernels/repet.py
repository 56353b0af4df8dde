"""What repeats: for each frame the median of the frames that are most like it."""

import math

import numpy as np
from numba import carray, types

from rtsep_kernels.masking import HEAD, settle, system_entry
from rtsep_kernels.maths.median import WIDTH, middles
from rtsep_kernels.plane.jit import kernel, signed
from rtsep_kernels.plane.memory import fma
from rtsep_kernels.plane.record import array, f4, given, number, record, scratch, view

REPET_SIM = record(
    **HEAD,
    keep=given(f4, "channels"),                                 # target: 0 background, 1 foreground
    frame=number(start=0), length=number(),                     # frames so far; frames in the ring
    apart=number(), most=number(), threshold=number(f4), whole=number(),
    history=array(f4, "channels", "row", "length", start=0),    # magnitudes of past frames
    norms=array(f4, "channels", "length", start=0),
    dots=scratch(f4, "length"), line=scratch(f4, "length"), picks=scratch(f4, "most"), heights=scratch(f4, "most"),
    some=scratch(f4, "most", WIDTH), chest=scratch(f4, "most", WIDTH),
    work=scratch(f4, 3, "row"),
)
TINY = np.float32(1e-10)


@kernel
def peaks(values, size, apart, threshold, places, heights):
    """Write the places of the highest peaks of the first `size` values, highest first; return how many.

    A peak is above the threshold and not surpassed less than `apart` values away. As many are written as `places` and
    `heights` (float32[most]) hold.
    """
    most, count, begin = places.shape[0], 0, 0
    while begin < size:
        # Climb until nothing within reach is higher: all that was passed is surpassed by something near it.
        top, n = begin, begin + 1
        while n < size and n < top + apart:
            if values[n] > values[top]:
                top = n
            n += 1
        is_peak = values[top] > threshold
        n = max(0, top - apart + 1)
        while is_peak and n < begin:
            is_peak = values[n] <= values[top]
            n += 1
        if is_peak and (count < most or values[top] > heights[most - 1]):
            place = min(count, most - 1)
            while place > 0 and heights[place - 1] < values[top]:
                heights[place], places[place] = heights[place - 1], places[place - 1]
                place -= 1
            heights[place], places[place] = values[top], np.float32(top)
            count = min(count + 1, most)
        begin = top + max(apart, 1)
    return count


@kernel
def repeating(history, norms, frame, magnitude, bins, apart, threshold, dots, line, picks, heights, some, chest, out):
    """Put a frame's magnitudes into the ring and write the median of the frames like it, bin by bin.

    `history` is float32[row, length]: a bin's past is contiguous, so that the products with all frames, and the
    collection of a bin's values, go along memory.
    """
    length = history.shape[1]
    slot = frame % length
    total = np.float32(0)
    for b in range(bins):
        history[b, slot] = magnitude[b]
        total += magnitude[b] * magnitude[b]
    norms[slot] = np.float32(math.sqrt(total))
    for f in range(length):
        dots[f] = np.float32(0)
    for b in range(bins):
        here = magnitude[b]
        past = history[b]
        for f in range(length):
            dots[f] = fma(here, past[f], dots[f])
    held = min(frame + 1, length)
    first = frame + 1 - held
    for n in range(held):
        other = (first + n) % length
        line[n] = dots[other] / (norms[slot] * norms[other] + TINY)
    count = peaks(line, held, apart, threshold, picks, heights)
    if count == 0:
        count, picks[0] = 1, np.float32(held - 1)
    for n in range(count):
        picks[n] = np.float32((first + np.int64(picks[n])) % length)
    for begin in range(0, bins, WIDTH):
        width = min(WIDTH, bins - begin)
        for n in range(count):
            pick = np.int64(picks[n])
            for b in range(width):
                some[n, b] = history[begin + b, pick]
        middles(some, count, width, chest, out[begin:])


@kernel
def background(model, magnitude):
    """Return the share of a bin that repeats: never more than there is."""
    return (min(model, magnitude) + TINY) / (magnitude + TINY)


@signed(types.void(types.float32[:, ::1], types.int64, types.int64, types.int64, types.float32, types.float32[:, ::1]))
def online(magnitudes, length, apart, most, threshold, out):
    """Write `repeating` of all frames, float32[frames, bins], one after the other."""
    frames, bins = magnitudes.shape
    history, norms = np.zeros((bins, length), np.float32), np.zeros(length, np.float32)
    dots, line = np.empty(length, np.float32), np.empty(length, np.float32)
    picks, heights = np.empty(most, np.float32), np.empty(most, np.float32)
    some, chest = np.empty((most, WIDTH), np.float32), np.empty((most // 2 + 1, WIDTH), np.float32)
    for n in range(frames):
        repeating(
            history, norms, n, magnitudes[n], bins, apart, threshold, dots, line, picks, heights, some, chest, out[n]
        )


@signed(types.void(types.float32[:, ::1], types.int64, types.int64, types.float32, types.int32[:, ::1],
                   types.int32[::1]))
def picked(similarity, first, apart, threshold, picks, counts):
    """Write the `peaks` of each row of float32[rows, frames]; row n, of frame first + n, picks that if it has none."""
    most = picks.shape[1]
    places, heights = np.empty(most, np.float32), np.empty(most, np.float32)
    for n in range(similarity.shape[0]):
        count = peaks(similarity[n], similarity.shape[1], apart, threshold, places, heights)
        if count == 0:
            count, places[0] = 1, np.float32(first + n)
        counts[n] = count
        for i in range(count):
            picks[n, i] = np.int32(places[i])


@signed(types.void(types.float32[:, ::1], types.float32[:, ::1], types.int64, types.float32[:, ::1]))
def shares(models, magnitudes, whole, out):
    """Write `background` of float32[frames, bins]; of the first `whole` bins everything repeats."""
    for n in range(out.shape[0]):
        for b in range(out.shape[1]):
            out[n, b] = background(models[n, b], magnitudes[n, b]) if b >= whole else np.float32(1)


@system_entry(REPET_SIM)
def repet_sim(state, mic):
    """Write the gains of one mic."""
    s = carray(state, (1,))[0]
    power, work = view(s, "power")[mic], view(s, "work")
    for b in range(s.bins):
        work[0, b] = np.float32(math.sqrt(power[b]))
    repeating(
        view(s, "history")[mic], view(s, "norms")[mic], s.frame, work[0], s.bins, s.apart, s.threshold,
        view(s, "dots"), view(s, "line"), view(s, "picks"), view(s, "heights"), view(s, "some"), view(s, "chest"),
        work[1],
    )
    foreground = view(s, "keep")[mic] >= np.float32(0.5)
    for b in range(s.bins):
        share = background(work[1, b], work[0, b]) if b >= s.whole else np.float32(1)
        work[2, b] = np.float32(1) - share if foreground else share
    settle(s, mic, work[2])
    if mic == s.channels - 1:
        s.frame += 1
    return 0
