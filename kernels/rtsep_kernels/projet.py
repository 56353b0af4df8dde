"""PROJET: the levels of many projections of two channels tell how loud each source is in a bin, and where it is.

A projection c_m = cos θ_m x_1 + sin θ_m e^(-iωτ_m) x_2 hears a source at place l with k_ml. With Q_lj the share of
source j that is at place l, `heard` = K Q says how projection m hears source j, and |c_m| is modelled as the sum over
sources of heard_mj P_j. "Columns" are computed side by side, independent of each other: the bins of a frame, or the
frames of a bin. α = β = 1: magnitudes, and the divergence of Kullback and Leibler.
"""

import numpy as np
from numba import carray, from_dtype, types

from rtsep_kernels.masking import HEAD, rows, share_of
from rtsep_kernels.pairs import pass_on, teaches
from rtsep_kernels.plane.jit import entry, kernel, signed
from rtsep_kernels.plane.memory import pointer, samples

TINY = np.float32(1e-12)
HUGE = np.float32(1e15)
LOOKS = 10                 # projections that differ by pan
PLACES = 30                # pans of the grid of places
LEAK = 1e-3                # share of Q that is everywhere: a product would never leave a place it has been at for long
SPREAD = np.float32(0.01)  # what the sources of a bin share again before each frame: who was silent can come back

PROJET = np.dtype([
    *HEAD,
    ("keep", np.int64),                                  # target, float32[k]: number of a source, from the left
    ("sources", np.int64), ("updates", np.int64),
    ("forget", np.float64), ("quiet", np.float64),
    ("looks", np.int64),                                 # float32[2, LOOKS]: cos θ, sin θ
    ("unlook", np.int64),                                # float32[2, LOOKS]: pseudo-inverse of the projections
    ("response", np.int64),                              # float64[LOOKS, PLACES]: K
    ("places", np.int64),                                # float64[pairs, PLACES, sources]: Q
    ("drawn", np.int64), ("weighed", np.int64),          # float64[pairs, PLACES, sources]: Q is their quotient
    ("pull", np.int64), ("mass", np.int64),              # float64[LOOKS, sources], [sources]
    ("heard", np.int64),                                 # float32[pairs, LOOKS, sources]: K Q
    ("level", np.int64),                                 # float32[pairs, sources, row]: P
    ("seen", np.int64),                                  # float32[LOOKS, row]: |c_m|
    ("work", np.int64),                                  # float32[sources + 1, row]
    ("unmix", np.int64),                                 # float32[k, 2, row]: what of both channels each mic keeps
    ("wanted", np.int64),                                # float32[2, row]
], align=True)
_PROJET = from_dtype(PROJET)
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
def follow(re1, im1, re2, im2, looks, updates, heard, level, seen, work):
    """Update P for a frame, from where it was."""
    sources = len(level)
    look(re1, im1, re2, im2, looks, seen)
    for b in range(level.shape[1]):
        mean = TINY
        for j in range(sources):
            mean += level[j, b]
        mean *= SPREAD / np.float32(sources)
        for j in range(sources):
            level[j, b] = (np.float32(1) - SPREAD) * level[j, b] + mean
    for _ in range(updates):
        update(seen, heard, level, work)


@kernel
def learn(response, forget, heard, level, seen, work, pull, mass, drawn, weighed, places):
    """Update Q, and with it how the projections hear each source, for the next frame."""
    gather(seen, heard, level, work[len(level)], pull, mass)
    move(response, pull, mass, forget, drawn, weighed, places)
    hear(response, places, heard)


@signed(types.void(_PLANE, _PLANE, _PLANE, _PLANE, _PLANE, _PLANE, _WIDE, types.int64, types.float64, types.float64,
                   _PLANE, _PLANE, _PLANE, _PLANE, _WIDE, _WIDE_LINE, _WIDE, _WIDE, _WIDE,
                   types.Array(types.float32, 5, "C")))
def follow_all(re1, im1, re2, im2, looks, unlook, response, updates, forget, quiet, heard, level, seen, work, pull,
               mass, drawn, weighed, places, unmix):
    """Write what of both channels each image is, float32[sources, 2, frames, 2, bins], as the live stage does it."""
    sources = len(level)
    hear(response, places, heard)
    for n in range(len(re1)):
        follow(re1[n], im1[n], re2[n], im2[n], looks, updates, heard, level, seen, work)
        for j in range(sources):
            for c in range(2):
                weigh(looks, unlook, heard, level, j, c, work[sources], unmix[j, c, n])
        if teaches(re1[n], im1[n], re2[n], im2[n], quiet):
            learn(response, forget, heard, level, seen, work, pull, mass, drawn, weighed, places)


@kernel
def settle_row(s, mic, wanted):
    """Move what a mic keeps of both channels, float32[2, row], as `masking.settle` moves a gain.

    What its range leaves of the rest is mixed in, so that all of it is there at 0 dB; attack and release go by what
    is kept of the mic itself.
    """
    decibels = carray(samples(s.range_db), (s.channels,))[mic]
    floor = np.float32(10.0 ** (decibels / 20.0))
    attack = share_of(s.frame_ms, carray(samples(s.attack_ms), (1,))[0])
    release = share_of(s.frame_ms, carray(samples(s.release_ms), (1,))[0])
    unmix = carray(samples(s.unmix), (s.channels, 2, s.row))[mic]
    own, other = mic % 2, 1 - mic % 2
    for b in range(s.row):
        mine = floor + (np.float32(1) - floor) * wanted[own, b]
        share = attack if mine > unmix[own, b] else release
        unmix[own, b] += (mine - unmix[own, b]) * share
        unmix[other, b] += ((np.float32(1) - floor) * wanted[other, b] - unmix[other, b]) * share


@entry(types.int32(types.CPointer(_PROJET), types.int64))
def projet(state, mic):
    """Write new spectra of a pair when called for its first mic; gains stay 1."""
    s = carray(state, (1,))[0]
    k = s.channels
    if mic % 2 == 1 or mic + 1 == k:
        pass_on(rows(s.gains, k, s.row)[mic])
        return 0
    pair, pairs, sources = mic // 2, k // 2, s.sources
    pass_on(rows(s.gains, k, s.row)[mic])
    re, im = rows(s.re, k, s.row), rows(s.im, k, s.row)
    re1, im1, re2, im2 = re[mic], im[mic], re[mic + 1], im[mic + 1]
    looks, unlook = rows(s.looks, 2, LOOKS), rows(s.unlook, 2, LOOKS)
    response = carray(pointer(s.response), (LOOKS, PLACES), np.float64)
    places = carray(pointer(s.places), (pairs, PLACES, sources), np.float64)[pair]
    drawn = carray(pointer(s.drawn), (pairs, PLACES, sources), np.float64)[pair]
    weighed = carray(pointer(s.weighed), (pairs, PLACES, sources), np.float64)[pair]
    pull = carray(pointer(s.pull), (LOOKS, sources), np.float64)
    mass = carray(pointer(s.mass), (sources,), np.float64)
    heard = carray(samples(s.heard), (pairs, LOOKS, sources))[pair]
    level = carray(samples(s.level), (pairs, sources, s.row))[pair]
    seen, work = rows(s.seen, LOOKS, s.row), rows(s.work, sources + 1, s.row)
    wanted = rows(s.wanted, 2, s.row)

    follow(re1, im1, re2, im2, looks, s.updates, heard, level, seen, work)
    for own in range(mic, mic + 2):
        which = min(int(carray(samples(s.keep), (k,))[own] + np.float32(0.5)), sources - 1)
        weigh(looks, unlook, heard, level, which, own - mic, work[sources], wanted)
        settle_row(s, own, wanted)
    if teaches(re1, im1, re2, im2, s.quiet):
        learn(response, s.forget, heard, level, seen, work, pull, mass, drawn, weighed, places)
    unmix = carray(samples(s.unmix), (k, 2, s.row))[mic:mic + 2]
    for b in range(s.bins):
        lr, li, rr, ri = re1[b], im1[b], re2[b], im2[b]
        re1[b], im1[b] = unmix[0, 0, b] * lr + unmix[0, 1, b] * rr, unmix[0, 0, b] * li + unmix[0, 1, b] * ri
        re2[b], im2[b] = unmix[1, 0, b] * lr + unmix[1, 1, b] * rr, unmix[1, 0, b] * li + unmix[1, 1, b] * ri
    return 0
