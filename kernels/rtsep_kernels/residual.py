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
from numba import carray

from rtsep_kernels.masking import pace, system_entry
from rtsep_kernels.maths.vectors import copy, fill
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import fma
from rtsep_kernels.plane.record import array, f4, flat, given, number, record, scratch, view

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

RESIDUAL = record(
    channels=number(), bins=number(), row=number(), frame=number(start=0), reach=number(),
    power=given(f4, "channels", "row"),                         # the spectral stage's
    gains=array(f4, "channels", "row", start=1),
    held=array(f4, "channels", "row", start=0),                 # D
    averages=array(f4, 4, "channels", "row", start=0),          # S20, S66, S150, S250
    sums=array(f4, 3, "row", start=0),                          # sum over mics of D, S66, S250: found with mic 0
    leak=array(f4, "channels", "channels", "row", start=1e-3),
    bleed=scratch(f4, "row"),                                   # A
    work=scratch(f4, 3, "row"),                                 # the odds, scratch, power + silence
    doubt=given(f4, "channels"),                                # bleed expected in each mic, 1 as usual
    range_db=given(f4, "channels"), strength=given(f4, 1), attack_ms=given(f4, 1), release_ms=given(f4, 1),   # targets
    frame_ms=number(f4), hold=number(f4), up=number(f4), down=number(f4), quiet=number(f4), silence=number(f4),
    share20=number(f4), share66=number(f4), share150=number(f4), share250=number(f4),
)


@kernel
def _hold(power, held, hold, silence):
    """Follow powers up at once, down slowly."""
    for b in range(power.shape[0]):
        held[b] = max(power[b] + silence, held[b] * hold)


@kernel
def _average(power, average, share, silence):
    """Move averages a share of the way to powers."""
    for b in range(power.shape[0]):
        average[b] = fma(power[b] + silence - average[b], share, average[b])


@kernel
def _sum_mics(each, total):
    """Write the sum of all mics' rows."""
    copy(each[0], total)
    for c in range(1, each.shape[0]):
        for b in range(total.shape[0]):
            total[b] += each[c, b]


@kernel
def _observe(s):
    """Once a frame: hold and average the power of every mic."""
    size = s.channels * s.row
    power, each = flat(s, "power"), flat(s, "averages")
    _hold(power, flat(s, "held"), s.hold, s.silence)
    _average(power, each[:size], s.share20, s.silence)
    _average(power, each[size : 2 * size], s.share66, s.silence)
    _average(power, each[2 * size : 3 * size], s.share150, s.silence)
    _average(power, each[3 * size :], s.share250, s.silence)
    averages, sums = view(s, "averages"), view(s, "sums")
    _sum_mics(view(s, "held"), sums[0])
    _sum_mics(averages[1], sums[1])
    _sum_mics(averages[3], sums[2])


@kernel
def _track(leak, power, held, up, down, quiet, row):
    """Move a quantile a step up where the ratio lies above it, down where below; silence teaches nothing."""
    for b in range(row):
        factor = up if power[b] > leak[b] * held[b] else down
        new = min(leak[b] * factor, MOST_LEAK)
        leak[b] = new if held[b] > quiet else leak[b]


@kernel
def _add_bleed(bleed, leak, held, row):
    """Add what leaks from one neighbour."""
    for b in range(row):
        bleed[b] = fma(leak[b], held[b], bleed[b])


@kernel
def _add_log(odds, bits, weight):
    """Add weight * log2(value); `bits` are the values' own. Straight between powers of 2: at most 0.26 dB low."""
    for b in range(odds.shape[0]):
        log2 = fma(np.float32(bits[b]), np.float32(2.0**-23), np.float32(-127))
        odds[b] = fma(weight, log2, odds[b])


@kernel
def others(total, own, out):
    """Take the own share out of a sum. Rounding leaves 2^-20 of it, which is out of every gain's reach."""
    for b in range(out.shape[0]):
        out[b] = max(total[b] - own[b], np.float32(2.0**-20) * own[b])


@kernel
def widen(value, out, bins, reach):
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
def _ready_exp2(odds, bits):
    """Write the bits of 2^-odds, straight between powers of 2."""
    for b in range(odds.shape[0]):
        limited = min(max(odds[b], np.float32(-30)), np.float32(30))
        bits[b] = np.int32((np.float32(127) - limited) * np.float32(2.0**23))


@kernel
def _gains(gains, against, floor, attack, release):
    """Move gains to 1 / (1 + against), limited by the mic's range."""
    for b in range(gains.shape[0]):
        wanted = floor + (np.float32(1) - floor) / (np.float32(1) + against[b])
        share = attack if wanted > gains[b] else release
        gains[b] += (wanted - gains[b]) * share


@kernel
def _log_odds(s, mic, first, odds):
    """Weigh the ratios; every power is read once, with the sum of the weights that it has in them."""
    bleed, sums, averages, power = view(s, "bleed"), view(s, "sums"), view(s, "averages"), view(s, "power")[mic]
    work, audible = view(s, "work")[1], view(s, "work")[2]
    bits = work.view(np.int32)
    fill(odds, first)
    for b in range(s.row):
        audible[b] = power[b] + s.silence
    _add_log(odds, audible.view(np.int32), _FRAME + _HELD)
    _add_log(odds, averages[0, mic].view(np.int32), _SHORT + _MIDDLE)
    _add_log(odds, averages[2, mic].view(np.int32), _LONG + _SLOW)
    _add_log(odds, bleed.view(np.int32), -_FRAME - _SHORT - _LONG)
    others(sums[0], view(s, "held")[mic], work)
    _add_log(odds, bits, -_HELD)
    others(sums[1], averages[1, mic], work)
    _add_log(odds, bits, -_MIDDLE)
    others(sums[2], averages[3, mic], work)
    _add_log(odds, bits, -_SLOW)
    widen(audible, work, s.bins, s.reach)
    _add_log(odds, bits, _WIDE)
    widen(bleed, work, s.bins, s.reach)
    _add_log(odds, bits, -_WIDE)


@kernel
def weigh(s, mic):
    """Leave the odds against bleed of every bin of a mic in `work[0]`, log2; mic 0 comes first in every frame."""
    k = s.channels
    if mic == 0:
        _observe(s)
        s.frame += 1
    power, held, leak = view(s, "power"), view(s, "held"), view(s, "leak")
    bleed = view(s, "bleed")
    # The least that is thought to leak: of what cannot be heard, so that every ratio exists.
    fill(bleed, np.float32(1e-3) * s.silence)
    for j in range(k):
        if j == mic:
            continue
        # A fourth of the leaks learns in each frame, four times as fast: a quantile needs no more.
        if (j + s.frame) % 4 == 0:
            _track(leak[mic, j], power[mic], held[j], s.up, s.down, s.quiet, s.row)
        _add_bleed(bleed, leak[mic, j], held[j], s.row)
    strength = max(view(s, "strength")[0] * view(s, "doubt")[mic], np.float32(1e-12))
    _log_odds(s, mic, _FIRST - _PER_STRENGTH * np.float32(math.log2(strength)), view(s, "work")[0])


@kernel
def open_gains(s, mic):
    """Move a mic's gains to what the odds in `work[0]` say."""
    odds, against = view(s, "work")[0], view(s, "work")[1]
    _ready_exp2(odds, against.view(np.int32))
    floor, attack, release = pace(s, mic)
    _gains(view(s, "gains")[mic], against, floor, attack, release)


@system_entry(RESIDUAL)
def residual_gains(state, mic):
    """Write the gains of one microphone; mic 0 comes first in every frame."""
    s = carray(state, (1,))[0]
    weigh(s, mic)
    open_gains(s, mic)
    return 0
