"""JACK's callbacks: the chain called by the server itself, on buffers of ports that it is asked for by address.

Every one of them is compiled: none waits for Python. `JACK` is what they are given.
"""

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from rtsep_kernels.plane.grid import (
    RUNNER,
    _fade,
    _finite,
    _hear,
    _next_cut,
    _note_time,
    _run_segment,
    _to_tape,
)
from rtsep_kernels.plane.jit import entry, kernel
from rtsep_kernels.plane.limiter import limit
from rtsep_kernels.plane.memory import flush_to_zero, restore_floats, samples, ticks
from rtsep_kernels.plane.record import address, array, i8, inner, link, number, record, scratch, view

CAPTURE, PLAYBACK = 0, 1   # JackCaptureLatency, JackPlaybackLatency

JACK = record(
    runner=link(RUNNER),                                        # its `outputs` count the ports here
    get_buffer=address(), get_range=address(), set_range=address(),   # libjack's jack_port_…
    mics=number(), outs=number(),
    in_ports=array(i8, "mics"), out_ports=array(i8, "outs"),          # jack_port_t *
    in_buffers=scratch(i8, "mics"), out_buffers=scratch(i8, "outs"),  # of this call
    latency=number(),                                           # frames, of the chain
    ends=scratch(np.dtype(np.uint32), 2),                       # a jack_latency_range_t
    period=number(), rate=number(), gone=number(),              # what the server says; 1: it has let us go
)
_JACK = types.CPointer(JACK.type)
_I8P = ir.IntType(8).as_pointer()
_I32 = ir.IntType(32)


@intrinsic
def _call_get_buffer(typingctx, function, port, frames):
    """Call ``void *jack_port_get_buffer(jack_port_t *, jack_nframes_t)`` by its address."""
    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(_I8P, [_I8P, _I32])
        called = builder.inttoptr(args[0], kind.as_pointer())
        buffer = builder.call(called, [builder.inttoptr(args[1], _I8P), builder.trunc(args[2], _I32)])
        return builder.ptrtoint(buffer, ir.IntType(64))
    return types.int64(types.int64, types.int64, types.int64), codegen


@intrinsic
def _call_range(typingctx, function, port, mode, ends):
    """Call ``void jack_port_get/set_latency_range(jack_port_t *, int, jack_latency_range_t *)`` by its address."""
    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.VoidType(), [_I8P, _I32, _I8P])
        called = builder.inttoptr(args[0], kind.as_pointer())
        given = [builder.inttoptr(args[1], _I8P), builder.trunc(args[2], _I32), builder.inttoptr(args[3], _I8P)]
        builder.call(called, given)
        return context.get_dummy_value()
    return types.void(types.int64, types.int64, types.int64, types.int64), codegen


@kernel
def _fetch(function, ports, buffers, frames):
    """Ask for the buffers of this call."""
    for p in range(ports.size):
        buffers[p] = _call_get_buffer(function, ports[p], frames)


@kernel
def _play(s, outside, buffers, done, total):
    """Lead the mics to the ports, and hold each port below the ceiling: several mics may share one."""
    outputs = view(s, "outputs")
    held = view(s, "bus_limiter")
    n = outside.shape[1]
    for p in range(buffers.size):
        if buffers[p] == 0:
            continue
        target = carray(samples(buffers[p]), (total,))
        for i in range(n):
            target[done + i] = np.float32(0)
        for c in range(outside.shape[0]):
            if outputs[c] == p:
                for i in range(n):
                    target[done + i] += outside[c, i]
        now = held[p]
        for i in range(n):
            before = now
            target[done + i], now = limit(target[done + i], now, s.limiter_release)
            s.bus_limited += before == np.float32(1) and now < before
        held[p] = now


@kernel
def _play_ear(s, buffers, done, n):
    """Write what the engineer hears to its ports, to which no mic is led."""
    sound, pins = view(inner(s, "ear"), "sound"), view(inner(s, "ear"), "pins")
    for k in range(pins.shape[0]):
        if buffers[pins[k]] != 0:
            target = carray(samples(buffers[pins[k]]), (done + n,))
            for i in range(n):
                target[done + i] = sound[i]


@entry(types.int32(types.uint32, _JACK))
def run_ports(frames, jack):
    """Process a period; of any length, and another one each time.

    Of each piece all inputs are read before an output is written: a port that is connected to one of our own may
    have the same buffer.
    """
    start = ticks()
    floats = flush_to_zero()
    j = carray(jack, (1,))[0]
    s = inner(j, "runner")
    total = np.int64(frames)
    in_buffers, out_buffers = view(j, "in_buffers"), view(j, "out_buffers")
    _fetch(j.get_buffer, view(j, "in_ports"), in_buffers, total)
    _fetch(j.get_buffer, view(j, "out_ports"), out_buffers, total)
    channels = s.channels
    bad = view(s, "bad_inputs")
    done = 0
    while done < total:
        n = _next_cut(s.position, total - done)
        inside = carray(samples(s.inside), (channels, n))
        for c in range(channels):
            if in_buffers[c] == 0:   # the server has none for it now
                for i in range(n):
                    inside[c, i] = np.float32(0)
            else:
                source = carray(samples(in_buffers[c]), (total,))
                for i in range(n):
                    inside[c, i] = _finite(source[done + i], bad, c)
        _run_segment(s, n)
        outside = carray(samples(s.outside), (channels, n))
        if s.tape_header != 0:
            _to_tape(s, inside, outside)
        if s.ear != 0:
            _hear(s, n)
        _fade(s, outside)
        _play(s, outside, out_buffers, done, total)
        if s.ear != 0:
            _play_ear(s, out_buffers, done, n)
        done += n
    restore_floats(floats)
    _note_time(s, start)
    return 0


@entry(types.void(types.int32, _JACK))
def tell_latencies(mode, jack):
    """Tell how late our ports are: what the other side of a mic says, and the chain between."""
    j = carray(jack, (1,))[0]
    outputs = view(inner(j, "runner"), "outputs")
    in_ports, out_ports = view(j, "in_ports"), view(j, "out_ports")
    ends = view(j, "ends")
    if mode == PLAYBACK:
        for c in range(in_ports.size):
            _call_range(j.get_range, out_ports[outputs[c]], mode, j.ends)
            ends[0] += np.uint32(j.latency)
            ends[1] += np.uint32(j.latency)
            _call_range(j.set_range, in_ports[c], mode, j.ends)
        return
    for p in range(out_ports.size):
        least, most = np.int64(-1), np.int64(0)
        for c in range(in_ports.size):
            if outputs[c] == p:
                _call_range(j.get_range, in_ports[c], mode, j.ends)
                least = np.int64(ends[0]) if least < 0 else min(least, np.int64(ends[0]))
                most = max(most, np.int64(ends[1]))
        ends[0] = np.uint32(max(least, 0) + j.latency)
        ends[1] = np.uint32(most + j.latency)
        _call_range(j.set_range, out_ports[p], mode, j.ends)


@entry(types.int32(_JACK))
def count_xrun(jack):
    """Count an xrun of the server."""
    s = inner(carray(jack, (1,))[0], "runner")
    s.xruns += 1
    return 0


@entry(types.int32(types.uint32, _JACK))
def keep_period(frames, jack):
    """Take note of the server's period."""
    carray(jack, (1,))[0].period = np.int64(frames)
    return 0


@entry(types.int32(types.uint32, _JACK))
def keep_rate(rate, jack):
    """Take note of the server's rate."""
    carray(jack, (1,))[0].rate = np.int64(rate)
    return 0


@entry(types.void(_JACK))
def keep_gone(jack):
    """Take note that the server has ended, or has closed our client; nothing else is allowed here."""
    carray(jack, (1,))[0].gone = 1
