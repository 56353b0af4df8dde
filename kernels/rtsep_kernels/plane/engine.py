"""The engine's own work around the chain: dry path, faults, mute/solo/gain, limiter, meters.

┌── dry ring (as late as the chain) ──┐
x ── meter ──┤                                     ├─ wet/dry ── gain ── limiter ── meter ── out
└── chain ── finite? ─────────────────┘
"""

import numpy as np
from numba import carray

from rtsep_kernels.plane import ramp
from rtsep_kernels.plane.chain import CHAIN
from rtsep_kernels.plane.jit import kernel, stage_entry
from rtsep_kernels.plane.memory import call_stage, load_acquire, pointer, record_at, samples, store_release

CEILING = np.float32(10 ** (-1 / 20))   # -1 dBFS
METER_FRAMES = 2048
# Rows of the meters, per mic, over the last METER_FRAMES.
METER_ROWS = 6
IN_PEAK, OUT_PEAK, IN_POWER, OUT_POWER, DRY_POWER, LIMITER_GAIN = range(METER_ROWS)
# Counters, int64.
COUNTERS = 8
# Places in `swap`: the chain that Python has prepared, and the one that the audio thread uses.
NEXT, SEEN = 0, 8
SEQUENCE, FRAMES, FAULTS, LIMITED = 0, 1, 2, 3

ENGINE = np.dtype([
    ("channels", np.int64), ("position", np.int64),
    ("chain_function", np.int64),
    ("chain_now", np.int64), ("swap", np.int64),        # address of a CHAIN record; int64[16]: NEXT, SEEN
    ("dry_ring", np.int64), ("dry_frames", np.int64),  # float32[channels, dry_frames], a power of two
    ("wet", np.int64),                                 # float32[channels * 64]
    ("gain_db", np.int64), ("mute", np.int64), ("solo", np.int64), ("dry", np.int64),  # targets, per mic
    ("dry_all", np.int64), ("mute_all", np.int64),     # targets, one each
    ("gain_ramps", np.int64), ("wet_ramps", np.int64), # float32[channels, RAMP]
    ("trust", np.int64),                               # float32[RAMP]: 0 after a fault, then back to 1
    ("last_out", np.int64), ("declick", np.int64),     # float32[channels]
    ("limiter", np.int64), ("limiter_release", np.float32), ("unused", np.float32),
    ("ramp_segments", np.int64),
    ("tripped", np.int64), ("declick_left", np.int64),
    ("meter_sums", np.int64), ("meters", np.int64), ("counters", np.int64),
], align=True)
_CHAIN = CHAIN.type


@kernel
def _start_segment(s):
    """Do what happens only at multiples of 64 samples: a new chain, the end of a fault, new targets."""
    channels = s.channels
    newest = load_acquire(s.swap + 8 * NEXT)
    if newest != s.chain_now:
        s.chain_now = newest
        store_release(s.swap + 8 * SEEN, newest)
    trust = carray(samples(s.trust), (ramp.RAMP,))
    if s.tripped:
        call_stage(s.chain_function, s.chain_now, samples(s.wet), samples(s.wet), 0)
        s.tripped = 0
        ramp.settle(trust, np.float32(0))
    ramp.advance(trust, np.float32(1), s.ramp_segments)
    gain_db = carray(samples(s.gain_db), (channels,))
    mute = carray(samples(s.mute), (channels,))
    solo = carray(samples(s.solo), (channels,))
    dry_on = carray(samples(s.dry), (channels,))
    dry_all = carray(samples(s.dry_all), (1,))[0]
    mute_all = carray(samples(s.mute_all), (1,))[0]
    gains = carray(samples(s.gain_ramps), (channels, ramp.RAMP))
    wets = carray(samples(s.wet_ramps), (channels, ramp.RAMP))
    any_solo = False
    for c in range(channels):
        if solo[c] > np.float32(0.5):
            any_solo = True
    for c in range(channels):
        silent = mute[c] > 0.5 or mute_all > 0.5 or (any_solo and solo[c] <= 0.5)
        gain = np.float32(0) if silent else np.float32(10.0 ** (gain_db[c] / 20.0))
        dry = dry_on[c] > 0.5 or dry_all > 0.5
        wet = np.float32(0) if dry else np.float32(1)
        ramp.advance(gains[c], gain, s.ramp_segments)
        ramp.advance(wets[c], wet, s.ramp_segments)


@kernel
def _publish_meters(s):
    channels = s.channels
    sums = carray(samples(s.meter_sums), (METER_ROWS, channels))
    shown = carray(samples(s.meters), (METER_ROWS, channels))
    counters = carray(pointer(s.counters), (COUNTERS,), np.int64)
    for r in range(METER_ROWS):
        for c in range(channels):
            shown[r, c] = sums[r, c]
            sums[r, c] = np.float32(0)
    for c in range(channels):
        sums[LIMITER_GAIN, c] = np.float32(1)
    counters[FRAMES] = s.position
    store_release(s.counters, counters[SEQUENCE] + 1)


@stage_entry(ENGINE)
def engine(state, x, out, frames):
    """Process one piece of at most 64 frames that does not cross the grid."""
    s = carray(state, (1,))[0]
    if frames == 0:
        call_stage(s.chain_function, s.chain_now, x, out, frames)
        return 0
    channels = s.channels
    offset = s.position % 64
    if offset == 0:
        _start_segment(s)
    mask = s.dry_frames - 1
    ring = carray(samples(s.dry_ring), (channels, s.dry_frames))
    given = carray(x, (channels, frames))
    y = carray(out, (channels, frames))
    wet = carray(samples(s.wet), (channels, frames))
    counters = carray(pointer(s.counters), (COUNTERS,), np.int64)
    for c in range(channels):
        for i in range(frames):
            ring[c, (s.position + i) & mask] = given[c, i]
    now = carray(record_at(s.chain_now, _CHAIN), (1,))[0]
    faded = now.faded
    late = now.latency
    was_late = now.old_latency
    fading = faded < now.fade_frames and late != was_late
    call_stage(s.chain_function, s.chain_now, x, samples(s.wet), frames)

    # From the first bad sample to the end of the grid segment everything is dry, whatever the host's block is.
    first_bad = 0 if s.tripped else frames
    for c in range(channels):
        for i in range(first_bad):
            if not np.isfinite(wet[c, i]):
                first_bad = i
                break
    newly = first_bad < frames and not s.tripped

    gains = carray(samples(s.gain_ramps), (channels, ramp.RAMP))
    wets = carray(samples(s.wet_ramps), (channels, ramp.RAMP))
    trust = carray(samples(s.trust), (ramp.RAMP,))
    last = carray(samples(s.last_out), (channels,))
    declick = carray(samples(s.declick), (channels,))
    limiter = carray(samples(s.limiter), (channels,))
    sums = carray(samples(s.meter_sums), (METER_ROWS, channels))
    for c in range(channels):
        held = limiter[c]
        in_peak = sums[IN_PEAK, c]
        out_peak = sums[OUT_PEAK, c]
        in_power = sums[IN_POWER, c]
        out_power = sums[OUT_POWER, c]
        dry_power = sums[DRY_POWER, c]
        least = sums[LIMITER_GAIN, c]
        left = s.declick_left
        for i in range(frames):
            dry = ring[c, (s.position + i - late) & mask]
            if fading:
                before = ring[c, (s.position + i - was_late) & mask]
                w = np.float32(faded + i + 1) / np.float32(now.fade_frames)
                dry = before + (dry - before) * min(w, np.float32(1))
            clean = dry
            if i < first_bad:
                share = ramp.value(wets[c], offset + i) * ramp.value(trust, offset + i)
                # Exactly the chain's sample when fully wet: x + (y - x) is not y in floating point.
                clean = wet[c, i] if share == np.float32(1) else dry + (wet[c, i] - dry) * share
            elif newly and i == first_bad:
                declick[c] = last[c] - dry
                left = 64
            if left > 0:
                clean += declick[c] * np.float32(left) * np.float32(1 / 64)
                left -= 1
            last[c] = clean
            v = clean * ramp.value(gains[c], offset + i)
            size = abs(v)
            allowed = CEILING / size if size > CEILING else np.float32(1)
            if held < np.float32(1):
                held += (np.float32(1) - held) * s.limiter_release
                if held > np.float32(0.9999):
                    held = np.float32(1)
            if allowed < held:
                if held == np.float32(1):
                    counters[LIMITED] += 1
                held = allowed
            if held < np.float32(1):
                v = v * held
                v = min(max(v, -CEILING), CEILING)
            y[c, i] = v
            g = abs(given[c, i])
            in_peak = max(in_peak, g)
            out_peak = max(out_peak, abs(v))
            in_power += g * g
            out_power += v * v
            dry_power += dry * dry
            least = min(least, held)
        limiter[c] = held
        sums[IN_PEAK, c] = in_peak
        sums[OUT_PEAK, c] = out_peak
        sums[IN_POWER, c] = in_power
        sums[OUT_POWER, c] = out_power
        sums[DRY_POWER, c] = dry_power
        sums[LIMITER_GAIN, c] = least
    if newly:
        s.tripped = 1
        counters[FAULTS] += 1
        s.declick_left = max(0, 64 - (frames - first_bad))
    else:
        s.declick_left = max(0, s.declick_left - frames)
    s.position += frames
    if s.position % METER_FRAMES == 0:
        _publish_meters(s)
    return 0
