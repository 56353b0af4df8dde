"""The engine's own work around the chain: dry path, faults, mute/solo/gain, limiter, meters.

               ┌── dry ring (as late as the chain) ──┐
    x ── meter ┤                                     ├─ wet/dry ── gain ── limiter ── meter ── out
               └── chain ── finite? ─────────────────┘

A piece goes through all of it at once: `engine`, at the end, is the order.
"""

import numpy as np
from numba import carray, types

from rtsep_kernels.plane import bands, ramp
from rtsep_kernels.plane.bypass import rest
from rtsep_kernels.plane.chain import CHAIN, share
from rtsep_kernels.plane.jit import kernel, signed, stage_entry
from rtsep_kernels.plane.latch import LATCH, latch, note_chain
from rtsep_kernels.plane.limiter import limit
from rtsep_kernels.plane.memory import call_stage, load_acquire, record_at, samples, store_release
from rtsep_kernels.plane.record import (
    address,
    array,
    f4,
    given,
    i8,
    inner,
    link,
    number,
    record,
    scratch,
    view,
)

METER_FRAMES = 2048
# Rows of the meters, per mic, over the last METER_FRAMES; then two since they were cleared, and those of `bands`: its
# `reduction`, its `mean`.
METER_ROWS = 7
IN_PEAK, OUT_PEAK, IN_POWER, OUT_POWER, DRY_POWER, WET_POWER, LIMITER_GAIN = range(METER_ROWS)
IN_HELD, LIMITER_HELD = METER_ROWS, METER_ROWS + 1
SHOWN_ROWS = METER_ROWS + 2 + 2 * bands.COUNT
COUNTERS = 8
FRAMES, FAULTS, LIMITED = range(3)   # places in them
# Places in `swap`: the chain that Python has prepared, and the one that the audio thread uses.
NEXT, SEEN = 0, 8

ENGINE = record(
    channels=number(), position=number(start=0),
    chain_function=address(), chain_now=address(), swap=array(i8, 16),       # a CHAIN; NEXT, SEEN
    latch=link(LATCH),                                                       # what all stages read their targets from
    dry_ring=array(f4, "channels", "dry_frames", start=0), dry_frames=number(),   # a power of two
    dry_now=scratch(f4, "channels", 64), wet=scratch(f4, "channels * 64"), clean=scratch(f4, "channels", 64),
    gain_db=given(f4, "channels"), mute=given(f4, "channels"), solo=given(f4, "channels"), dry=given(f4, "channels"),
    dry_all=given(f4, 1), mute_all=given(f4, 1),                             # these, and those before: targets
    gain_ramps=array(f4, "channels", ramp.RAMP, start=0), wet_ramps=array(f4, "channels", ramp.RAMP, start=0),
    trust=array(f4, ramp.RAMP, start=0),                                     # 0 after a fault, then back to 1
    shed=number(), asleep=number(start=0), since=number(start=0), unheard=number(start=0),   # see `bypass.rest`
    last_out=array(f4, "channels", start=0), declick=array(f4, "channels", start=0),
    limiter=array(f4, "channels", start=1), limiter_release=number(f4), ramp_segments=number(),
    tripped=number(start=0), declick_left=number(start=0),
    meter_sums=array(f4, METER_ROWS, "channels", start=0),
    meters=given(f4, SHOWN_ROWS, "channels"), counters=given(i8, COUNTERS),
    clear_clips=given(f4, 1), bands=link(bands.BANDS),
)
_CHAIN = CHAIN.type


@kernel
def _new_targets(s, at_once):
    """Move gain and wet/dry of every mic towards what the board says, or put them there."""
    gain_db, mute, solo, dry = view(s, "gain_db"), view(s, "mute"), view(s, "solo"), view(s, "dry")
    dry_all, mute_all = view(s, "dry_all")[0], view(s, "mute_all")[0]
    gains, wets = view(s, "gain_ramps"), view(s, "wet_ramps")
    any_solo = False
    for c in range(s.channels):
        if solo[c] > np.float32(0.5):
            any_solo = True
    for c in range(s.channels):
        silent = mute[c] > 0.5 or mute_all > 0.5 or (any_solo and solo[c] <= 0.5)
        gain = np.float32(0) if silent else np.float32(10.0 ** (gain_db[c] / 20.0))
        wet = np.float32(0) if dry[c] > 0.5 or dry_all > 0.5 else np.float32(1)
        if at_once:
            ramp.settle(gains[c], gain)
            ramp.settle(wets[c], wet)
        else:
            ramp.advance(gains[c], gain, s.ramp_segments)
            ramp.advance(wets[c], wet, s.ramp_segments)


@kernel
def _clear_meters(s):
    """Begin to measure anew."""
    sums = view(s, "meter_sums")
    sums[:] = np.float32(0)
    sums[LIMITER_GAIN] = np.float32(1)


@signed(types.void(types.Array(ENGINE.type, 1, "C")))
def settle_engine(state):
    """Stand where the board says, trusting the chain: only before the first sample."""
    s = state[0]
    ramp.settle(view(s, "trust"), np.float32(1))
    _new_targets(s, True)
    _clear_meters(s)


@kernel
def _sleep(s, chain, wet):
    """Stand in for the chain: dry for wet; a cross-fade of chains that nobody hears goes on."""
    dry = view(s, "dry_now")
    for c in range(wet.shape[0]):
        for i in range(wet.shape[1]):
            wet[c, i] = dry[c, i]
    if chain.faded < chain.fade_frames:
        chain.faded += wet.shape[1]


@kernel
def _start_segment(s):
    """Do what happens only at multiples of 64 samples: a new chain, the end of a fault, new targets."""
    newest = load_acquire(s.swap + 8 * NEXT)
    if newest != s.chain_now:
        s.chain_now = newest
        store_release(s.swap + 8 * SEEN, newest)
        note_chain(inner(s, "latch"), s.position)
    latch(inner(s, "latch"), s.position)
    trust = view(s, "trust")
    if s.tripped:
        call_stage(s.chain_function, s.chain_now, samples(s.wet), samples(s.wet), 0)
        s.tripped = 0
        ramp.settle(trust, np.float32(0))
    rest(s, s.shed, trust, s.chain_function, s.chain_now, samples(s.wet))   # where Python has set `shed`: dry
    _new_targets(s, False)


@kernel
def _keep_dry(s, block):
    """Write the input into the ring."""
    ring = view(s, "dry_ring")
    mask = s.dry_frames - 1
    for c in range(block.shape[0]):
        for i in range(block.shape[1]):
            ring[c, (s.position + i) & mask] = block[c, i]


@kernel
def _dry(s, chain, frames):
    """Write the input as late as the chain is; while chains cross-fade, from the old one's lateness to the new one's.

    Before the chain has run: it counts how far it has faded.
    """
    ring, dry = view(s, "dry_ring"), view(s, "dry_now")
    mask = s.dry_frames - 1
    late, was_late = chain.latency, chain.old_latency
    fading = chain.faded < chain.fade_frames and late != was_late
    for c in range(s.channels):
        for i in range(frames):
            now = ring[c, (s.position + i - late) & mask]
            if fading:
                before = ring[c, (s.position + i - was_late) & mask]
                now = before + (now - before) * share(chain.faded + i + 1, chain.fade_frames)
            dry[c, i] = now


@kernel
def _first_bad(s, wet):
    """Return the first sample that is not finite; 0 all the rest of a segment in which there was one."""
    first = 0 if s.tripped else wet.shape[1]
    for c in range(wet.shape[0]):
        for i in range(first):
            if not np.isfinite(wet[c, i]):
                first = i
                break
    return first


@kernel
def _mix(s, wet, first_bad):
    """Write wet and dry together, `clean`; from a first bad sample on dry alone, led over to without a click."""
    frames = wet.shape[1]
    newly = first_bad < frames and not s.tripped
    offset = s.position % 64
    dry, wets, trust = view(s, "dry_now"), view(s, "wet_ramps"), view(s, "trust")
    last, declick, y = view(s, "last_out"), view(s, "declick"), view(s, "clean")
    for c in range(s.channels):
        left = s.declick_left
        for i in range(frames):
            clean = dry[c, i]
            if i < first_bad:
                share = ramp.value(wets[c], offset + i) * ramp.value(trust, offset + i)
                # Exactly the chain's sample when fully wet: x + (y - x) is not y in floating point.
                clean = wet[c, i] if share == np.float32(1) else dry[c, i] + (wet[c, i] - dry[c, i]) * share
            elif newly and i == first_bad:
                declick[c] = last[c] - dry[c, i]
                left = 64
            if left > 0:
                clean += declick[c] * np.float32(left) * np.float32(1 / 64)
                left -= 1
            last[c] = clean
            y[c, i] = clean
    if newly:
        s.tripped = 1
        view(s, "counters")[FAULTS] += 1
        s.declick_left = max(0, 64 - (frames - first_bad))
    else:
        s.declick_left = max(0, s.declick_left - frames)


@kernel
def _limit(s, y):
    """Apply gains, and the limiter: instant attack, bit-transparent below the ceiling, counted."""
    offset = s.position % 64
    gains, limiter = view(s, "gain_ramps"), view(s, "limiter")
    sums, counters, clean = view(s, "meter_sums"), view(s, "counters"), view(s, "clean")
    for c in range(y.shape[0]):
        held, least = limiter[c], sums[LIMITER_GAIN, c]
        for i in range(y.shape[1]):
            before = held
            y[c, i], held = limit(clean[c, i] * ramp.value(gains[c], offset + i), held, s.limiter_release)
            counters[LIMITED] += before == np.float32(1) and held < before
            least = min(least, held)
        limiter[c], sums[LIMITER_GAIN, c] = held, least


@kernel
def _measure(s, block, wet, first_bad, y):
    """Add a piece to the meters' sums; of the chain, dry and wet, only what is finite, before gain, mute and `dry`."""
    sums, dry = view(s, "meter_sums"), view(s, "dry_now")
    for c in range(y.shape[0]):
        in_peak, out_peak = sums[IN_PEAK, c], sums[OUT_PEAK, c]
        in_power, out_power = sums[IN_POWER, c], sums[OUT_POWER, c]
        dry_power, wet_power = sums[DRY_POWER, c], sums[WET_POWER, c]
        for i in range(y.shape[1]):
            given_now, v = abs(block[c, i]), y[c, i]
            in_peak = max(in_peak, given_now)
            out_peak = max(out_peak, abs(v))
            in_power += given_now * given_now
            out_power += v * v
        for i in range(first_bad):
            dry_power += dry[c, i] * dry[c, i]
            wet_power += wet[c, i] * wet[c, i]
        sums[IN_PEAK, c], sums[OUT_PEAK, c] = in_peak, out_peak
        sums[IN_POWER, c], sums[OUT_POWER, c] = in_power, out_power
        sums[DRY_POWER, c], sums[WET_POWER, c] = dry_power, wet_power


@kernel
def _look_at_bands(s, frames):
    """Keep a piece for the meters of the bands; at the end of a segment look at the mics whose turn it is."""
    seen, turns = inner(s, "bands"), METER_FRAMES // 64
    bands.keep(seen, s.position, view(s, "dry_now"), view(s, "clean"), frames)
    behind = s.position + frames
    if behind % 64 == 0:
        for c in range((behind // 64 - 1) % turns, s.channels, turns):
            bands.measure(seen, behind, c)


@kernel
def _publish_meters(s):
    """Show what was measured: with the frames, everything written before is seen."""
    sums, shown = view(s, "meter_sums"), view(s, "meters")
    seen, clear = inner(s, "bands"), view(s, "clear_clips")
    reduction, mean = view(seen, "reduction"), view(seen, "mean")
    if clear[0] > np.float32(0.5):
        shown[IN_HELD], shown[LIMITER_HELD] = np.float32(0), np.float32(1)
    for c in range(s.channels):
        for r in range(METER_ROWS):
            shown[r, c] = sums[r, c]
        shown[IN_HELD, c] = max(shown[IN_HELD, c], sums[IN_PEAK, c])
        shown[LIMITER_HELD, c] = min(shown[LIMITER_HELD, c], sums[LIMITER_GAIN, c])
        for b in range(bands.COUNT):
            shown[METER_ROWS + 2 + b, c] = reduction[b, c]
            shown[METER_ROWS + 2 + bands.COUNT + b, c] = mean[b, c]
    _clear_meters(s)
    store_release(s.counters + 8 * FRAMES, s.position)


@stage_entry(ENGINE)
def engine(state, x, out, frames):
    """Process one piece of at most 64 frames that does not cross the grid."""
    s = carray(state, (1,))[0]
    if frames == 0:
        call_stage(s.chain_function, s.chain_now, x, out, frames)
        return 0
    if s.position % 64 == 0:
        _start_segment(s)
    block = carray(x, (s.channels, frames))
    y = carray(out, (s.channels, frames))
    wet = carray(samples(s.wet), (s.channels, frames))
    chain = carray(record_at(s.chain_now, _CHAIN), (1,))[0]
    _keep_dry(s, block)
    _dry(s, chain, frames)
    if s.asleep:
        _sleep(s, chain, wet)
    else:
        call_stage(s.chain_function, s.chain_now, x, samples(s.wet), frames)
    # From the first bad sample to the end of the grid segment everything is dry, whatever the host's block is.
    first_bad = _first_bad(s, wet)
    _mix(s, wet, first_bad)
    _limit(s, y)
    _measure(s, block, wet, first_bad, y)
    _look_at_bands(s, frames)
    s.position += frames
    if s.position % METER_FRAMES == 0:
        _publish_meters(s)
    return 0
