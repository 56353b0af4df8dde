"""Decide gains that suppress the bleed a canceller has left, from the powers of the cleaned microphones.

A gain is a logistic function of how far the mic's power P stands above seven guesses at the bleed, in log2:

    P, S20, S150        power of mic i in the frame, and its averages over 20 and 150 ms
    A = sum leak_ij D_j     leak_ij: a low quantile of P_i / D_j, which only bleed can hold down there;
                            D_j: power of cleaned mic j, instant attack, 60 ms release: a room rings on
    sum D_j, S66_j, S250_j  the neighbours' power itself, held and averaged: what no quantile can be wrong about
    wide                sums over about 1.3 kHz: a mic that plays at all opens its neighbouring bins

    log odds = BIAS + w1 P/A + w2 S20/A + w3 S150/A + w4 wide P/A + w5 P/D + w6 S20/S66 + w7 S150/S250

The weights were learnt on room cases, blind and after a soundcheck: least error of the mic's image, where what is
taken from wanted sound costs more than bleed that stays (harm). They hold for all window lengths. Nothing but the
cleaned mics is looked at, so the rule does not depend on what removed the bleed before. It cannot tell a perfect
canceller from a good one where a mic's own source never rests: who knows better writes `doubt`.
"""

import math

import numpy as np
from numba import carray, from_dtype, types

from rtsep_kernels.masking import share_of
from rtsep_kernels.plane.jit import entry, kernel
from rtsep_kernels.plane.memory import fma, pointer, samples

LOW_QUANTILE = np.float32(0.1)
MOST_LEAK = np.float32(0.02)
BANDWIDTH_HZ = 1270.0

# Natural log odds: at 0 dB everywhere, and per decade of each ratio.
BIAS = np.float32(0.24)
WEIGHTS = np.array([2.38, -1.85, 0.55, 0.85, -1.75, 2.07, 0.43], np.float32)
_LOG2_E = np.float32(1.44269504)
_ODDS = WEIGHTS * np.float32(math.log10(2.0)) * _LOG2_E          # log2 odds per octave
_FIRST = BIAS * _LOG2_E
_PER_STRENGTH = np.float32(_ODDS.sum())
_FRAME, _SHORT, _LONG, _WIDE, _HELD, _MIDDLE, _SLOW = _ODDS

RESIDUAL = np.dtype([
    ("channels", np.int64), ("bins", np.int64), ("row", np.int64), ("frame", np.int64), ("reach", np.int64),
    ("power", np.int64), ("gains", np.int64),       # float32[k, row]: the spectral stage's
    ("held", np.int64),                             # float32[k, row]: D
    ("averages", np.int64),                         # float32[4, k, row]: S20, S66, S150, S250
    ("sums", np.int64),                             # float32[3, row]: sum over mics of D, S66, S250
    ("leak", np.int64),                             # float32[k, k, row]
    ("bleed", np.int64),                            # float32[row]: A
    ("work", np.int64),                             # float32[3, row]: the odds, scratch, power + silence
    ("doubt", np.int64),                            # float32[k]: bleed expected in each mic, 1 as usual
    ("range_db", np.int64), ("strength", np.int64), ("attack_ms", np.int64), ("release_ms", np.int64),  # targets
    ("frame_ms", np.float32), ("hold", np.float32), ("up", np.float32), ("down", np.float32),
    ("quiet", np.float32), ("silence", np.float32),
    ("share20", np.float32), ("share66", np.float32), ("share150", np.float32), ("share250", np.float32),
], align=True)
_RESIDUAL = from_dtype(RESIDUAL)


@kernel
def _hold(power, held, hold, silence):
    for b in range(power.shape[0]):
        held[b] = max(power[b] + silence, held[b] * hold)


@kernel
def _average(power, average, share, silence):
    for b in range(power.shape[0]):
        average[b] = fma(power[b] + silence - average[b], share, average[b])


@kernel
def _sum_mics(each, total):
    for b in range(total.shape[0]):
        total[b] = each[0, b]
    for c in range(1, each.shape[0]):
        for b in range(total.shape[0]):
            total[b] += each[c, b]


@kernel
def _observe(s):
    """Once a frame: hold and average the power of every mic."""
    size = s.channels * s.row
    power = carray(samples(s.power), (size,))
    _hold(power, carray(samples(s.held), (size,)), s.hold, s.silence)
    averages = carray(samples(s.averages), (4, size))
    _average(power, averages[0], s.share20, s.silence)
    _average(power, averages[1], s.share66, s.silence)
    _average(power, averages[2], s.share150, s.silence)
    _average(power, averages[3], s.share250, s.silence)
    shape = (4, s.channels, s.row)
    sums = carray(samples(s.sums), (3, s.row))
    _sum_mics(carray(samples(s.held), (s.channels, s.row)), sums[0])
    _sum_mics(carray(samples(s.averages), shape)[1], sums[1])
    _sum_mics(carray(samples(s.averages), shape)[3], sums[2])


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
def _add_log(odds, bits, weight):
    """Add weight * log2(value); `bits` are the values' own. Straight between powers of 2: at most 0.26 dB low."""
    for b in range(odds.shape[0]):
        log2 = fma(np.float32(bits[b]), np.float32(2.0**-23), np.float32(-127))
        odds[b] = fma(weight, log2, odds[b])


@kernel
def _others(total, own, out):
    """Take the own share out of a sum. Rounding leaves 2^-20 of it, which is out of every gain's reach."""
    for b in range(out.shape[0]):
        out[b] = max(total[b] - own[b], np.float32(2.0**-20) * own[b])


@kernel
def _widen(value, out, bins, reach):
    """Sum over the bins at most `reach` away; float64, because bass and air lie 80 dB apart."""
    total = 0.0
    for b in range(min(reach, bins)):
        total += value[b]
    for b in range(bins):
        if b + reach < bins:
            total += value[b + reach]
        if b - reach > 0:
            total -= value[b - reach - 1]
        out[b] = np.float32(total)


@kernel
def _set(out, value):
    for b in range(out.shape[0]):
        out[b] = value


@kernel
def _ready_exp2(odds, bits):
    """Write the bits of 2^-odds, straight between powers of 2."""
    for b in range(odds.shape[0]):
        limited = min(max(odds[b], np.float32(-30)), np.float32(30))
        bits[b] = np.int32((np.float32(127) - limited) * np.float32(2.0**23))


@kernel
def _gains(gains, against, floor, attack, release):
    for b in range(gains.shape[0]):
        wanted = floor + (np.float32(1) - floor) / (np.float32(1) + against[b])
        share = attack if wanted > gains[b] else release
        gains[b] += (wanted - gains[b]) * share


@kernel
def _log_odds(s, mic, first, odds):
    """Weigh the ratios; every power is read once, with the sum of the weights that it has in them."""
    k = s.channels
    size = (k, s.row)
    bleed = carray(samples(s.bleed), (s.row,))
    work = carray(samples(s.work), (3, s.row))[1]
    audible = carray(samples(s.work), (3, s.row))[2]
    bits = carray(pointer(s.work), (3, s.row), np.int32)
    work_bits = bits[1]
    sums = carray(samples(s.sums), (3, s.row))
    averages = carray(samples(s.averages), (4, k, s.row))
    averages_bits = carray(pointer(s.averages), (4, k, s.row), np.int32)
    power = carray(samples(s.power), size)[mic]
    _set(odds, first)
    for b in range(s.row):
        audible[b] = power[b] + s.silence
    _add_log(odds, bits[2], _FRAME + _HELD)
    _add_log(odds, averages_bits[0, mic], _SHORT + _MIDDLE)
    _add_log(odds, averages_bits[2, mic], _LONG + _SLOW)
    _add_log(odds, carray(pointer(s.bleed), (s.row,), np.int32), -_FRAME - _SHORT - _LONG)
    _others(sums[0], carray(samples(s.held), size)[mic], work)
    _add_log(odds, work_bits, -_HELD)
    _others(sums[1], averages[1, mic], work)
    _add_log(odds, work_bits, -_MIDDLE)
    _others(sums[2], averages[3, mic], work)
    _add_log(odds, work_bits, -_SLOW)
    _widen(audible, work, s.bins, s.reach)
    _add_log(odds, work_bits, _WIDE)
    _widen(bleed, work, s.bins, s.reach)
    _add_log(odds, work_bits, -_WIDE)


@entry(types.int32(types.CPointer(_RESIDUAL), types.int64))
def residual_gains(state, mic):
    """Write the gains of one microphone; mic 0 comes first in every frame."""
    s = carray(state, (1,))[0]
    k = s.channels
    if mic == 0:
        _observe(s)
        s.frame += 1
    power = carray(samples(s.power), (k, s.row))
    held = carray(samples(s.held), (k, s.row))
    leak = carray(samples(s.leak), (k, k, s.row))
    bleed = carray(samples(s.bleed), (s.row,))
    # The least that is thought to leak: of what cannot be heard, so that every ratio exists.
    _set(bleed, np.float32(1e-3) * s.silence)
    for j in range(k):
        if j == mic:
            continue
        # A fourth of the leaks learns in each frame, four times as fast: a quantile needs no more.
        if (j + s.frame) % 4 == 0:
            _track(leak[mic, j], power[mic], held[j], s.up, s.down, s.quiet, s.row)
        _add_bleed(bleed, leak[mic, j], held[j], s.row)
    odds = carray(samples(s.work), (3, s.row))[0]
    strength = carray(samples(s.strength), (1,))[0] * carray(samples(s.doubt), (k,))[mic]
    strength = max(strength, np.float32(1e-12))
    _log_odds(s, mic, _FIRST - _PER_STRENGTH * np.float32(math.log2(strength)), odds)
    _ready_exp2(odds, carray(pointer(s.work), (3, s.row), np.int32)[1])
    floor = np.float32(10.0 ** (carray(samples(s.range_db), (k,))[mic] / 20.0))
    attack = share_of(s.frame_ms, carray(samples(s.attack_ms), (1,))[0])
    release = share_of(s.frame_ms, carray(samples(s.release_ms), (1,))[0])
    against = carray(samples(s.work), (3, s.row))[1]
    _gains(carray(samples(s.gains), (k, s.row))[mic], against, floor, attack, release)
    return 0
