"""Decide gains that suppress the bleed a canceller has left, from the powers of the cleaned microphones.

The bleed of mic i is thought to be sum over j of leak_ij(f) * D_j(f), with D_j the power of cleaned mic j (instant
attack, 60 ms release: a room rings on), and leak_ij a low quantile of the ratio of both, which only bleed can hold
down there. What can be explained so is taken away by a Wiener gain, limited by a range.
"""

import math

import numpy as np
from numba import carray, from_dtype, types

from .jit import entry, kernel
from .memory import fma, samples

LOW_QUANTILE = np.float32(0.1)
MOST_LEAK = np.float32(0.02)

RESIDUAL = np.dtype([
    ("channels", np.int64), ("bins", np.int64), ("row", np.int64), ("frame", np.int64),
    ("power", np.int64), ("gains", np.int64),       # float32[k, row]: the spectral stage's
    ("held", np.int64),                             # float32[k, row]: D
    ("leak", np.int64),                             # float32[k, k, row]
    ("bleed", np.int64),                            # float32[row]
    ("range_db", np.int64), ("strength", np.int64), ("attack_ms", np.int64), ("release_ms", np.int64),  # targets
    ("frame_ms", np.float32), ("hold", np.float32), ("up", np.float32), ("down", np.float32),
    ("quiet", np.float32), ("unused", np.float32),
], align=True)
_RESIDUAL = from_dtype(RESIDUAL)


@kernel
def _hold(s):
    """Once a frame: the power of every mic, held up by the room."""
    power = carray(samples(s.power), (s.channels * s.row,))
    held = carray(samples(s.held), (s.channels * s.row,))
    for b in range(s.channels * s.row):
        held[b] = max(power[b], held[b] * s.hold)


@kernel
def _track(leak, power, held, up, down, quiet, row):
    """Move a quantile a step up where the ratio lies above it, down where below; silence teaches nothing."""
    for b in range(row):
        factor = up if power[b] > leak[b] * held[b] else down
        new = min(leak[b] * factor, MOST_LEAK)
        leak[b] = new if held[b] > quiet else leak[b]


@kernel
def _add_bleed(bleed, leak, held, row):
    for b in range(row):
        bleed[b] = fma(leak[b], held[b], bleed[b])


@kernel
def _gains(gains, power, bleed, strength, floor, attack, release, row):
    for b in range(row):
        twice = np.float32(2) * strength * bleed[b] + np.float32(1e-20)
        snr = max(power[b] - twice, np.float32(0)) / twice
        wanted = max(snr / (np.float32(1) + snr), floor)
        share = attack if wanted > gains[b] else release
        gains[b] += (wanted - gains[b]) * share


@kernel
def _share(frame_ms, time_ms):
    return np.float32(1.0 - math.exp(-frame_ms / max(time_ms, np.float32(1e-3))))


@entry(types.int32(types.CPointer(_RESIDUAL), types.int64))
def residual_gains(state, mic):
    """Write the gains of one microphone; mic 0 comes first in every frame."""
    s = carray(state, (1,))[0]
    k = s.channels
    if mic == 0:
        _hold(s)
        s.frame += 1
    power = carray(samples(s.power), (k, s.row))
    held = carray(samples(s.held), (k, s.row))
    leak = carray(samples(s.leak), (k, k, s.row))
    bleed = carray(samples(s.bleed), (s.row,))
    gains = carray(samples(s.gains), (k, s.row))
    for b in range(s.row):
        bleed[b] = np.float32(0)
    for j in range(k):
        if j == mic:
            continue
        # A fourth of the leaks learns in each frame, four times as fast: a quantile needs no more.
        if (j + s.frame) % 4 == 0:
            _track(leak[mic, j], power[mic], held[j], s.up, s.down, s.quiet, s.row)
        _add_bleed(bleed, leak[mic, j], held[j], s.row)
    strength = carray(samples(s.strength), (1,))[0]
    floor = np.float32(10.0 ** (carray(samples(s.range_db), (k,))[mic] / 20.0))
    attack = _share(s.frame_ms, carray(samples(s.attack_ms), (1,))[0])
    release = _share(s.frame_ms, carray(samples(s.release_ms), (1,))[0])
    _gains(gains[mic], power[mic], bleed, strength, floor, attack, release, s.row)
    return 0
