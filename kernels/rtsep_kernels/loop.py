"""A loop-back client of a JACK server: plays a period of sound over and over, and stores what comes back beside it.

Compiled, as everything that a server calls here: in Python a period of 16 frames would be lost now and then.
"""

import numpy as np
from numba import carray, types

from rtsep_kernels.plane.jackport import PLAYBACK, _call_get_buffer, _call_range
from rtsep_kernels.plane.jit import entry
from rtsep_kernels.plane.memory import samples
from rtsep_kernels.plane.record import address, array, f4, i8, number, record, scratch, view

KEPT = 256   # xruns whose places are kept

LOOP = record(
    get_buffer=address(), set_range=address(), ports=number(), length=number(), frames=number(),
    out_ports=array(i8, "ports"), in_ports=array(i8, "ports"),   # jack_port_t *
    sound=array(f4, "ports", "length"),                          # played from its first sample on, over and over
    hears=number(), heard=array(f4, "hears", "frames"),          # of the first ports; at the frame of what is played
    place=number(start=-1),                                      # frames done; -1: silence until it begins
    lost=number(), lost_at=array(i8, KEPT),                      # xruns while it plays, and their frames
    ends=scratch(np.dtype(np.uint32), 2),                        # a jack_latency_range_t
)
_LOOP = types.CPointer(LOOP.type)


@entry(types.int32(types.uint32, _LOOP))
def play_and_hear(frames, loop):
    """Process a period."""
    s = carray(loop, (1,))[0]
    total = np.int64(frames)
    sound, heard = view(s, "sound"), view(s, "heard")
    out_ports, in_ports = view(s, "out_ports"), view(s, "in_ports")
    at = s.place
    playing = at >= 0 and at < s.frames
    left = min(total, s.frames - at) if playing else 0
    for p in range(s.hears):
        source = _call_get_buffer(s.get_buffer, in_ports[p], total)
        if source != 0:   # read first: a port that is connected to our own may have the same buffer
            heard_now = carray(samples(source), (total,))
            for i in range(left):
                heard[p, at + i] = heard_now[i]
    for p in range(s.ports):
        target = _call_get_buffer(s.get_buffer, out_ports[p], total)
        if target != 0:
            played = carray(samples(target), (total,))
            for i in range(total):
                played[i] = sound[p, (at + i) % s.length] if playing else np.float32(0)
    if playing:
        s.place = at + left
    return 0


@entry(types.void(types.int32, _LOOP))
def tell_latencies(mode, loop):
    """Tell that the loop begins and ends here; left to itself JACK would add it up around and around."""
    s = carray(loop, (1,))[0]
    ends = view(s, "ends")
    ends[0], ends[1] = np.uint32(0), np.uint32(0)
    ports = view(s, "in_ports") if mode == PLAYBACK else view(s, "out_ports")
    for p in range(ports.size):
        _call_range(s.set_range, ports[p], mode, s.ends)


@entry(types.int32(_LOOP))
def count_lost(loop):
    """Count an xrun of the server, and where it was."""
    s = carray(loop, (1,))[0]
    if s.place >= 0 and s.place < s.frames:
        view(s, "lost_at")[s.lost % KEPT] = s.place
        s.lost += 1
    return 0
