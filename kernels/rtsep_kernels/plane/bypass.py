"""Pass a stage over: what comes in goes out, as late as the stage is, and the stage costs nothing.

    x ──┬── stage ─────────────────┬─ share ── out
        └── ring (as late as it) ──┘

A chain calls each of its stages through one of these. As long as nobody asks for it to be passed over, what comes out
is the stage's own, bit for bit. It leaves with a ramp, and is not called any more. It comes back with its history
cleared, runs unheard until its windows are full of sound, and only then is led over to. How long it has been away is a
multiple of `PERIOD`, so that frames of any hop begin at the same samples as if it had never been.
"""

import numpy as np
from numba import carray

from rtsep_kernels.plane import ramp
from rtsep_kernels.plane.jit import kernel, stage_entry
from rtsep_kernels.plane.memory import call_stage, samples
from rtsep_kernels.plane.record import address, array, f4, flat, number, record, view

PERIOD = 4096      # samples: the longest hop, a multiple of every other and of eight partitions of the canceller
UNHEARD = 24576    # samples: the longest window, a path of the canceller; a spectrum's windows together are shorter

BYPASS = record(
    channels=number(), position=number(start=0), latency=number(),
    function=address(), state=address(),               # of the stage
    wanted=number(),                                   # 1: pass it over; Python writes it at any time
    ring=array(f4, "channels", "frames", start=0), frames=number(),   # a power of two
    share=array(f4, ramp.RAMP, start=0),               # of the stage, the rest is the delayed input
    ramp_segments=number(),
    asleep=number(start=0), since=number(start=0),     # 1: the stage is not called; from this sample on
    unheard=number(start=0),                           # segments that it still runs before it is heard
)


@kernel
def rest(s, wanted, share, function, state, unused):
    """Fall asleep, wake up, and move a share on, every 64 samples: what sleeps is not called any more.

    It comes back with its history cleared, and runs unheard until its windows are full of sound.

    Parameters
    ----------
    s : BYPASS, or another record with `asleep`, `since`, `unheard`, `position` and `ramp_segments`
    wanted : int64
        1: it shall sleep.
    share : float32[RAMP]
        How much of it is heard.
    function, state : int64
        Addresses of what sleeps.
    unused : address of float32
        Samples, of which none are read or written.
    """
    if s.asleep and wanted == 0 and (s.position - s.since) % PERIOD == 0:
        call_stage(function, state, unused, unused, 0)
        s.asleep = 0
        s.unheard = UNHEARD // 64
    heard = wanted == 0 and s.asleep == 0 and s.unheard == 0
    ramp.advance(share, np.float32(1) if heard else np.float32(0), s.ramp_segments)
    s.unheard = max(0, s.unheard - 1)
    if wanted and s.asleep == 0 and share[ramp.NOW] == np.float32(0) and share[ramp.NEXT] == np.float32(0):
        s.asleep = 1
        s.since = s.position


@kernel
def _clear(s):
    """Have the stage forget its history, and of the ring, which may be all that sounds, what is not finite."""
    ring = flat(s, "ring")
    for i in range(ring.shape[0]):
        if not np.isfinite(ring[i]):
            ring[i] = np.float32(0)
    if s.asleep == 0:
        call_stage(s.function, s.state, samples(s.ring), samples(s.ring), 0)


@stage_entry(BYPASS)
def bypass(state, x, out, frames):
    """Process one piece through the stage, or around it."""
    s = carray(state, (1,))[0]
    if frames == 0:
        _clear(s)
        return 0
    offset = s.position % 64
    if offset == 0:
        rest(s, s.wanted, view(s, "share"), s.function, s.state, samples(s.ring))
    given, target = carray(x, (s.channels, frames)), carray(out, (s.channels, frames))
    ring, share = view(s, "ring"), view(s, "share")
    mask = s.frames - 1
    for c in range(s.channels):
        for i in range(frames):
            ring[c, (s.position + i) & mask] = given[c, i]
    if s.asleep == 0:
        call_stage(s.function, s.state, x, out, frames)
    whole = share[ramp.NOW] == np.float32(1) and share[ramp.NEXT] == np.float32(1)
    none = share[ramp.NOW] == np.float32(0) and share[ramp.NEXT] == np.float32(0)
    if not whole:
        for c in range(s.channels):
            for i in range(frames):
                dry = ring[c, (s.position + i - s.latency) & mask]
                # What runs unheard may be anything.
                target[c, i] = dry if none else dry + (target[c, i] - dry) * ramp.value(share, offset + i)
    s.position += frames
    return 0
