"""PROJET: the levels of many projections of two channels tell how loud each source is in a bin, and where it is.

A projection c_m = cos θ_m x_1 + sin θ_m e^(-iωτ_m) x_2 hears a source at place l with k_ml. With Q_lj the share of
source j that is at place l, `heard` = K Q says how projection m hears source j, and |c_m| is modelled as the sum over
sources of heard_mj P_j. "Columns" are computed side by side, independent of each other: the bins of a frame, or the
frames of a bin. α = β = 1: magnitudes, and the divergence of Kullback and Leibler.
"""

import numpy as np
from numba import carray, types

from rtsep_kernels.masking import HEAD, kept_part, pace, system_entry
from rtsep_kernels.pairs import pass_on, teaches
from rtsep_kernels.plane.jit import kernel, signed
from rtsep_kernels.plane.record import array, f4, f8, given, number, record, scratch, view

TINY = np.float32(1e-12)
HUGE = np.float32(1e15)
LOOKS = 10                 # projections that differ by pan
PLACES = 30                # pans of the grid of places
LEAK = 1e-3                # share of Q that is everywhere: a product would never leave a place it has been at for long
SPREAD = np.float32(0.01)  # what the sources of a bin share again before each frame: who was silent can come back

PROJET = record(
    **HEAD,
    keep=given(f4, "channels"),                                 # target: number of a source, from the left
    pairs=number(), sources=number(), updates=number(), forget=number(f8), quiet=number(f8),
    looks=array(f4, 2, LOOKS),                                  # cos θ, sin θ
    unlook=array(f4, 2, LOOKS),                                 # pseudo-inverse of the projections
    response=array(f8, LOOKS, PLACES),                          # K
    places=array(f8, "pairs", PLACES, "sources", start=0),      # Q, the quotient of these:
    drawn=array(f8, "pairs", PLACES, "sources", start=0), weighed=array(f8, "pairs", PLACES, "sources", start=0),
    pull=scratch(f8, LOOKS, "sources"), mass=scratch(f8, "sources"),
    heard=array(f4, "pairs", LOOKS, "sources", start=0),        # K Q
    level=array(f4, "pairs", "sources", "row", start=0),        # P
    seen=scratch(f4, LOOKS, "row"),                             # |c_m|
    work=scratch(f4, "sources + 1", "row"), wanted=scratch(f4, 2, "row"),
    unmix=array(f4, "channels", 2, "row", start=0),             # what of both channels each mic keeps
)
_LINE, _PLANE, _CUBE = types.float32[::1], types.float32[:, ::1], types.float32[:, :, ::1]
_WIDE_LINE, _WIDE = types.float64[::1], types.float64[:, ::1]


@kernel
def look(re1, im1, re2, im2, looks, seen):
    """Write the magnitudes of the projections by pan, float32[looks, bins]."""
    for m in range(len(seen)):
        c, s = looks[0, m], looks[1, m]
        for b in range(seen.shape[1]):
            x, y = c * re1[b] + s * re2[b], c * im1[b] + s * im2[b]
            magnitude = np.sqrt(x * x + y * y)
            seen[m, b] = magnitude if magnitude < HUGE else HUGE   # nan too: P must stay finite


@kernel
def model(heard, level, m, total):
    """Write the modelled magnitude of projection m in each column."""
    for b in range(len(total)):
        total[b] = TINY
    for j in range(len(level)):
        gain = heard[m, j]
        for b in range(len(total)):
            total[b] += gain * level[j, b]


@signed(types.void(_PLANE, _PLANE, _PLANE, _PLANE))
def update(seen, heard, level, work):
    """Update P, float32[sources, columns], once: by the mean of seen / model over what the projections hear."""
    sources = len(level)
    ratio = work[sources]
    for j in range(sources):
        for b in range(len(ratio)):
            work[j, b] = np.float32(0)
    for m in range(len(seen)):
        model(heard, level, m, ratio)
        for b in range(len(ratio)):
            ratio[b] = seen[m, b] / ratio[b]
        for j in range(sources):
            gain = heard[m, j]
            for b in range(len(ratio)):
                work[j, b] += gain * ratio[b]
    for j in range(sources):
        total = TINY
        for m in range(len(seen)):
            total += heard[m, j]
        for b in range(len(ratio)):
            level[j, b] = max(level[j, b] * work[j, b] / total, TINY)


@signed(types.void(_PLANE, _PLANE, _PLANE, _LINE, _WIDE, _WIDE_LINE))
def gather(seen, heard, level, total, pull, mass):
    """Write what Q is learnt from: the sums over columns of P seen / model, for each projection, and of P."""
    for m in range(len(seen)):
        model(heard, level, m, total)
        for j in range(len(level)):
            pull[m, j] = 0.0
            for b in range(len(total)):
                pull[m, j] += np.float64(seen[m, b] / total[b] * level[j, b])
    for j in range(len(level)):
        mass[j] = 0.0
        for b in range(len(total)):
            mass[j] += np.float64(level[j, b])


@kernel
def hear(response, places, heard):
    """Write K Q."""
    for m in range(len(response)):
        for j in range(heard.shape[1]):
            total = 0.0
            for n in range(len(places)):
                total += response[m, n] * places[n, j]
            heard[m, j] = np.float32(total)


@kernel
def move(response, pull, mass, forget, drawn, weighed, places):
    """Update Q with a frame's sums; Q is the quotient of two recursive sums, so that loud frames count for more."""
    for j in range(len(mass)):
        everything = 0.0
        for n in range(len(places)):
            up, down = 0.0, 0.0
            for m in range(len(response)):
                up += response[m, n] * pull[m, j]
                down += response[m, n] * mass[j]
            drawn[n, j] = forget * drawn[n, j] + places[n, j] * up
            weighed[n, j] = forget * weighed[n, j] + down
            places[n, j] = drawn[n, j] / weighed[n, j]
            everything += places[n, j]
        for n in range(len(places)):
            places[n, j] = (1.0 - LEAK) * places[n, j] / everything + LEAK / len(places)


@kernel
def weigh(looks, unlook, heard, level, which, channel, total, row):
    """Write how much of both channels, float32[2, bins], a channel of a source's image is."""
    for b in range(len(total)):
        row[0, b] = row[1, b] = np.float32(0)
    for m in range(len(heard)):
        model(heard, level, m, total)
        gain = unlook[channel, m] * heard[m, which]
        for b in range(len(total)):
            part = gain * level[which, b] / total[b]
            row[0, b] += looks[0, m] * part
            row[1, b] += looks[1, m] * part


@kernel
def follow(s, pair, re1, im1, re2, im2):
    """Update P of a pair for a frame, from where it was."""
    heard, level, sources = view(s, "heard")[pair], view(s, "level")[pair], s.sources
    seen, work = view(s, "seen"), view(s, "work")
    look(re1, im1, re2, im2, view(s, "looks"), seen)
    for b in range(level.shape[1]):
        mean = TINY
        for j in range(sources):
            mean += level[j, b]
        mean *= SPREAD / np.float32(sources)
        for j in range(sources):
            level[j, b] = (np.float32(1) - SPREAD) * level[j, b] + mean
    for _ in range(s.updates):
        update(seen, heard, level, work)


@kernel
def weigh_image(s, pair, source, channel, row):
    """Write how much of both channels, float32[2, bins], a channel of a source's image in a pair is."""
    heard, level, total = view(s, "heard")[pair], view(s, "level")[pair], view(s, "work")[s.sources]
    weigh(view(s, "looks"), view(s, "unlook"), heard, level, source, channel, total, row)


@kernel
def learn(s, pair):
    """Update Q of a pair, and with it how the projections hear each source, for the next frame."""
    heard, places, response = view(s, "heard")[pair], view(s, "places")[pair], view(s, "response")
    pull, mass = view(s, "pull"), view(s, "mass")
    gather(view(s, "seen"), heard, view(s, "level")[pair], view(s, "work")[s.sources], pull, mass)
    move(response, pull, mass, s.forget, view(s, "drawn")[pair], view(s, "weighed")[pair], places)
    hear(response, places, heard)


@signed(types.void(types.Array(PROJET.type, 1, "C"), _PLANE, _PLANE, _PLANE, _PLANE,
                   types.Array(types.float32, 5, "C")))
def follow_all(state, re1, im1, re2, im2, unmix):
    """Write what of both channels each image is, float32[sources, 2, frames, 2, bins], as the live stage does it."""
    s = state[0]
    hear(view(s, "response"), view(s, "places")[0], view(s, "heard")[0])
    for n in range(len(re1)):
        follow(s, 0, re1[n], im1[n], re2[n], im2[n])
        for j in range(s.sources):
            for c in range(2):
                weigh_image(s, 0, j, c, unmix[j, c, n])
        if teaches(re1[n], im1[n], re2[n], im2[n], s.quiet):
            learn(s, 0)


@kernel
def settle_row(s, mic, wanted):
    """Move what a mic keeps of both channels, float32[2, row], as `masking.settle` moves a gain.

    What its range leaves of the rest is mixed in, so that all of it is there at 0 dB; attack and release go by what
    is kept of the mic itself.
    """
    floor, attack, release = pace(s, mic)
    unmix = view(s, "unmix")[mic]
    own, other = mic % 2, 1 - mic % 2
    for b in range(s.row):
        mine = floor + (np.float32(1) - floor) * wanted[own, b]
        share = attack if mine > unmix[own, b] else release
        unmix[own, b] += (mine - unmix[own, b]) * share
        unmix[other, b] += ((np.float32(1) - floor) * wanted[other, b] - unmix[other, b]) * share


@system_entry(PROJET)
def projet(state, mic):
    """Write new spectra of a pair when called for its first mic; gains stay 1."""
    s = carray(state, (1,))[0]
    pass_on(view(s, "gains")[mic])
    if mic % 2 == 1 or mic + 1 == s.channels:
        return 0
    pair, re, im, wanted = mic // 2, view(s, "re"), view(s, "im"), view(s, "wanted")
    re1, im1, re2, im2 = re[mic], im[mic], re[mic + 1], im[mic + 1]
    follow(s, pair, re1, im1, re2, im2)
    for own in range(mic, mic + 2):
        weigh_image(s, pair, min(kept_part(s, own), s.sources - 1), own - mic, wanted)
        settle_row(s, own, wanted)
    if teaches(re1, im1, re2, im2, s.quiet):
        learn(s, pair)
    unmix = view(s, "unmix")[mic:mic + 2]
    for b in range(s.bins):
        lr, li, rr, ri = re1[b], im1[b], re2[b], im2[b]
        re1[b], im1[b] = unmix[0, 0, b] * lr + unmix[0, 1, b] * rr, unmix[0, 0, b] * li + unmix[0, 1, b] * ri
        re2[b], im2[b] = unmix[1, 0, b] * lr + unmix[1, 1, b] * rr, unmix[1, 0, b] * li + unmix[1, 1, b] * ri
    return 0
