"""Drive a stage: cut whatever a host hands over at multiples of 64 samples, guard its input, time the call.

A runner owns the sample count from which the grid is counted. `run_planar` serves Python and the file host,
`run_interleaved` is PortAudio's callback, `run_paced` a clock for machines without a sound card.
"""

import numpy as np
from numba import carray, types

from rtsep_kernels.plane.ear import EAR, listen
from rtsep_kernels.plane.jit import SAMPLES, entry, kernel
from rtsep_kernels.plane.limiter import limit
from rtsep_kernels.plane.memory import (
    address_of,
    call_stage,
    flush_to_zero,
    pointer,
    restore_floats,
    samples,
    store_release,
    ticks,
)
from rtsep_kernels.plane.player import PLAYER, play
from rtsep_kernels.plane.record import (
    address,
    array,
    f4,
    given,
    i4,
    i8,
    inner,
    link,
    number,
    record,
    scratch,
    view,
)
from rtsep_kernels.plane.ring import RING_HEADER, ring_write

GRID = 64
TIMINGS = 1 << 16
WIDEST = 1024   # device channels
# +18 dBFS. Converters give 1 at most, and what works in floats before us has that much headroom; what is beyond is a
# fault, and one such sample would ring in all paths for a third of a second.
LOUDEST = np.float32(8)

RUNNER = record(
    function=address(), state=address(),              # of the stage
    channels=number(), position=number(start=0),
    inside=scratch(f4, "channels", GRID), outside=scratch(f4, "channels", GRID),
    bad_inputs=array(i8, "channels"),                 # samples that were not finite, or too loud
    timings=array(i8, TIMINGS), calls=number(),       # ticks of the last calls; how many calls
    inputs=given(i4, "channels"), outputs=given(i4, "channels"),   # device channel of each mic; -1: none
    device_inputs=number(), device_outputs=number(),
    fade_target=number(f4), fade=number(f4), fade_step=number(f4),
    # Of each device channel, behind any mix of mics: the last thing before the device.
    bus_limiter=array(f4, WIDEST), limiter_release=number(f4), bus_limited=number(),
    xruns=number(), late=number(), stop=number(),
    # A ring that keeps input and output of every sample for another thread to store; header 0: none.
    tape_header=given(i8, RING_HEADER), tape_rows=number(), tape_data=given(f4, "tape_rows", "2 * channels"),
    tape_row=given(f4, GRID, "2 * channels"),
    ear=link(EAR),   # what the engineer listens to; 0: nothing
    player=link(PLAYER),   # a recording that is played in place of the inputs; 0: none
)
_RUNNER = types.CPointer(RUNNER.type)

_sleep_us = types.ExternalFunction("usleep", types.int32(types.uint32))


@kernel
def _finite(value, bad, channel):
    """Return the value, or 0 and count it where it is NaN, infinite, or louder than any sound."""
    if abs(value) <= LOUDEST:   # false for NaN
        return value
    bad[channel] += 1
    return np.float32(0)


@kernel
def _run_segment(s, frames):
    """Run one piece that does not cross the grid; input and output are the runner's own buffers."""
    if s.player != 0:
        inside, bad = carray(samples(s.inside), (s.channels, frames)), view(s, "bad_inputs")
        play(inner(s, "player"), inside)
        for c in range(s.channels):
            for i in range(frames):
                inside[c, i] = _finite(inside[c, i], bad, c)
    call_stage(s.function, s.state, samples(s.inside), samples(s.outside), frames)
    s.position += frames


@kernel
def _next_cut(position, left):
    """Return how many of the samples that are left come before the next line of the grid."""
    room = GRID - position % GRID
    return room if room < left else left


@kernel
def _note_time(s, start):
    """Keep how long this call took."""
    timings = view(s, "timings")
    timings[s.calls % TIMINGS] = ticks() - start
    s.calls += 1


@kernel
def _planar(s, source, target, first, frames):
    """Process ``source[:, first:first + frames]`` into the same place of `target`."""
    channels = s.channels
    bad = view(s, "bad_inputs")
    done = first
    end = first + frames
    while done < end:
        n = _next_cut(s.position, end - done)
        inside = carray(samples(s.inside), (channels, n))
        for c in range(channels):
            for i in range(n):
                inside[c, i] = _finite(source[c, done + i], bad, c)
        _run_segment(s, n)
        outside = carray(samples(s.outside), (channels, n))
        for c in range(channels):
            for i in range(n):
                target[c, done + i] = outside[c, i]
        done += n


@entry(types.int32(_RUNNER, SAMPLES, SAMPLES, types.int64))
def run_planar(runner, x, out, frames):
    """Process float32[channels, frames] into `out`; any number of frames."""
    start = ticks()
    floats = flush_to_zero()
    s = carray(runner, (1,))[0]
    _planar(s, carray(x, (s.channels, frames)), carray(out, (s.channels, frames)), 0, frames)
    restore_floats(floats)
    _note_time(s, start)
    return 0


@entry(types.int32(_RUNNER, SAMPLES, SAMPLES, types.int64, types.int64, types.float64, types.float64,
                   types.int64))
def run_paced(runner, x, out, frames, block, ticks_per_second, rate, progress):
    """Process float32[channels, frames] block by block, each when a sound card would have delivered it.

    A block that is not finished when the next one is due counts as late. `progress` is the address of an int64
    that receives the frames done; ``stop`` in the runner ends the run early.
    """
    floats = flush_to_zero()
    s = carray(runner, (1,))[0]
    source = carray(x, (s.channels, frames))
    target = carray(out, (s.channels, frames))
    done_frames = carray(pointer(progress), (1,), np.int64)
    ticks_per_us = ticks_per_second * 1e-6
    ticks_per_frame = ticks_per_second / rate
    begin = ticks()
    done = 0
    while done < frames and s.stop == 0:
        n = block if block < frames - done else frames - done
        due = begin + np.int64((done + n) * ticks_per_frame)   # the block's last sample has now been recorded
        wait_us = (due - ticks()) / ticks_per_us
        while wait_us > 0.0 and s.stop == 0:
            _sleep_us(np.uint32(min(wait_us, 100000.0) + 1.0))
            wait_us = (due - ticks()) / ticks_per_us
        start = ticks()
        _planar(s, source, target, done, n)
        _note_time(s, start)
        if ticks() > due + np.int64(n * ticks_per_frame):
            s.late += 1
        done += n
        done_frames[0] = done
    restore_floats(floats)
    return 0


@kernel
def _next_fade(s, fade):
    """Return the fade of the sample behind one."""
    if fade < s.fade_target:
        return min(fade + s.fade_step, s.fade_target)
    if fade > s.fade_target:
        return max(fade - s.fade_step, s.fade_target)
    return fade


@kernel
def _fade(s, outside):
    """Soft start and fade-out of a device: behind everything, so that it changes nothing that is learnt."""
    if s.fade == np.float32(1) and s.fade_target == np.float32(1):
        return
    for i in range(outside.shape[1]):
        s.fade = _next_fade(s, s.fade)
        for c in range(outside.shape[0]):
            outside[c, i] *= s.fade


@kernel
def _hear(s, frames):
    """Have the ear listen to the piece that has just been made; before `_fade`, with which it fades."""
    sound = listen(inner(s, "ear"), (s.position - frames) % GRID, frames)
    fade = s.fade
    for i in range(frames):
        fade = _next_fade(s, fade)
        sound[i] *= fade


@kernel
def _play_ear(s, target, first, frames):
    """Write what the engineer hears to its channels, which nobody else has."""
    sound, pins = view(inner(s, "ear"), "sound"), view(inner(s, "ear"), "pins")
    for p in range(pins.shape[0]):
        for i in range(frames):
            target[first + i, pins[p]] = sound[i]


@kernel
def _to_tape(s, inside, outside):
    """Append input and output to the ring of the tape."""
    channels = inside.shape[0]
    header = view(s, "tape_header")
    data = view(s, "tape_data")
    row = view(s, "tape_row")
    for i in range(inside.shape[1]):
        for c in range(channels):
            row[i, c] = inside[c, i]
            row[i, channels + c] = outside[c, i]
    ring_write(header, data, row, 0, inside.shape[1])


@kernel
def _limit_bus(s, target, frames):
    """Hold every device channel below the ceiling: mics that share one have each been limited, their sum has not."""
    held = view(s, "bus_limiter")
    for pin in range(target.shape[1]):
        now = held[pin]
        for i in range(frames):
            before = now
            target[i, pin], now = limit(target[i, pin], now, s.limiter_release)
            s.bus_limited += before == np.float32(1) and now < before
        held[pin] = now


@entry(types.int32(types.voidptr, types.voidptr, types.uint64, types.voidptr, types.uint64, _RUNNER))
def run_interleaved(device_in, device_out, frames, _time, flags, runner):
    """PortAudio's callback: interleaved float32, inputs and outputs picked by the channel map."""
    start = ticks()
    floats = flush_to_zero()
    s = carray(runner, (1,))[0]
    channels = s.channels
    wide_out = s.device_outputs
    total = np.int64(frames)
    inputs = view(s, "inputs")
    outputs = view(s, "outputs")
    bad = view(s, "bad_inputs")
    has_input = address_of(device_in) != 0
    source = carray(device_in, (total, s.device_inputs), np.float32)
    target = carray(device_out, (total, wide_out), np.float32)
    for i in range(total):
        for c in range(wide_out):
            target[i, c] = np.float32(0)
    if flags & np.uint64(15):     # input or output under- or overflow
        s.xruns += 1
    done = 0
    while done < total:
        n = _next_cut(s.position, total - done)
        inside = carray(samples(s.inside), (channels, n))
        for c in range(channels):
            pin = inputs[c]
            for i in range(n):
                v = np.float32(0)
                if has_input and pin >= 0:
                    v = _finite(source[done + i, pin], bad, c)
                inside[c, i] = v
        _run_segment(s, n)
        outside = carray(samples(s.outside), (channels, n))
        if s.tape_header != 0:
            _to_tape(s, inside, outside)
        if s.ear != 0:
            _hear(s, n)
            _play_ear(s, target, done, n)
        _fade(s, outside)
        for c in range(channels):
            pin = outputs[c]
            if pin >= 0:
                for i in range(n):
                    target[done + i, pin] += outside[c, i]
        done += n
    _limit_bus(s, target, total)
    restore_floats(floats)
    _note_time(s, start)
    return 0


@entry(types.int32(types.voidptr, types.voidptr, types.uint64, types.voidptr, types.uint64, _RUNNER))
def run_nothing(_device_in, _device_out, _frames, _time, _flags, runner):
    """Do nothing but count: the twin that tells the machine's own lateness from rtsep's."""
    start = ticks()
    _note_time(carray(runner, (1,))[0], start)
    return 0


@kernel
def now():
    """Return `memory.ticks` to Python."""
    return ticks()


@kernel
def store(address, value):
    """Let Python write an int64 that the audio thread reads: everything written before is seen with it."""
    store_release(address, value)
