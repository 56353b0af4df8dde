"""What the engineer listens to: a sum of some mics, beside the outputs and behind the engine.

    mic as it came, as late as the chain ──┐
                                           ├─ in, out or delta ─┬─ fader ─┬─ sum ─ level, dim ─ limiter ── ear
    mic as the chain makes it ─────────────┘                    └── PFL ──┘

It reads the engine's own arrays of the piece that has just been made, and writes nothing that anybody else reads.
"""

import numpy as np

from rtsep_kernels.plane import ramp
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.limiter import limit
from rtsep_kernels.plane.record import array, f4, given, i4, number, record, scratch, view

OFF, IN, OUT, DELTA = range(4)   # what `listen` may be

EAR = record(
    channels=number(),
    # The engine's, of this piece: each mic dry, cleaned, and the ramp of its level, mute and solo.
    dry=given(f4, "channels", 64), clean=given(f4, "channels", 64), faders=given(f4, "channels", ramp.RAMP),
    listen=given(f4, "channels"), pfl=given(f4, "channels"),                                   # targets
    level_db=given(f4, 1), dim_db=given(f4, 1), dim=given(f4, 1), mix=given(f4, 1),
    # How much of each mic dry and cleaned, and how far before its fader.
    ins=array(f4, "channels", ramp.RAMP, start=0), outs=array(f4, "channels", ramp.RAMP, start=0),
    before=array(f4, "channels", ramp.RAMP, start=0), level=array(f4, ramp.RAMP, start=0), ramp_segments=number(),
    limiter=number(f4, start=1), limiter_release=number(f4), limited=number(start=0),
    sound=scratch(f4, 64),
    pins=given(i4, "wide"), wide=number(),   # channels or ports that it is heard on, as the host counts them
)


@kernel
def _silent(weight):
    """Whether a weight is 0 all through this segment."""
    return weight[ramp.NOW] == np.float32(0) and weight[ramp.NEXT] == np.float32(0)


@kernel
def _new_targets(s):
    """Move every weight towards what the board says; with nothing chosen it is the mix of all, as they go out."""
    listen, pfl = view(s, "listen"), view(s, "pfl")
    ins, outs, before = view(s, "ins"), view(s, "outs"), view(s, "before")
    chosen = False
    for c in range(s.channels):
        if listen[c] > np.float32(0.5) or pfl[c] > np.float32(0.5):
            chosen = True
    mixed = not chosen and view(s, "mix")[0] > np.float32(0.5)
    for c in range(s.channels):
        early = pfl[c] > np.float32(0.5)
        what = int(listen[c] + np.float32(0.5))
        if mixed or (early and what == OFF):
            what = OUT
        was_silent = _silent(ins[c]) and _silent(outs[c])
        ramp.advance(ins[c], np.float32(1) if what in (IN, DELTA) else np.float32(0), s.ramp_segments)
        out = np.float32(1) if what == OUT else np.float32(-1) if what == DELTA else np.float32(0)
        ramp.advance(outs[c], out, s.ramp_segments)
        # What is not heard any more fades out where it was heard: behind its fader it might be louder.
        wanted = before[c, ramp.GOAL] if what == OFF else np.float32(1) if early else np.float32(0)
        if was_silent:
            ramp.settle(before[c], wanted)
        else:
            ramp.advance(before[c], wanted, s.ramp_segments)
    level = 10.0 ** (view(s, "level_db")[0] / 20.0)
    if view(s, "dim")[0] > np.float32(0.5):
        level *= 10.0 ** (view(s, "dim_db")[0] / 20.0)
    ramp.advance(view(s, "level"), np.float32(level), s.ramp_segments)


@kernel
def _add_mic(s, c, offset, sound):
    """Add what is heard of one mic."""
    dry, clean, fader = view(s, "dry")[c], view(s, "clean")[c], view(s, "faders")[c]
    first, second, before = view(s, "ins")[c], view(s, "outs")[c], view(s, "before")[c]
    for i in range(sound.shape[0]):
        heard = dry[i] * ramp.value(first, offset + i) + clean[i] * ramp.value(second, offset + i)
        early = ramp.value(before, offset + i)
        sound[i] += heard * (early + ramp.value(fader, offset + i) * (np.float32(1) - early))


@kernel
def listen(s, offset, frames):
    """Return what is heard of a piece, float32[frames]; it begins at sample `offset` (0..63) of its grid segment."""
    if offset == 0:
        _new_targets(s)
    sound = view(s, "sound")[:frames]
    sound[:] = np.float32(0)
    ins, outs = view(s, "ins"), view(s, "outs")
    for c in range(s.channels):
        if not (_silent(ins[c]) and _silent(outs[c])):
            _add_mic(s, c, offset, sound)
    level, held = view(s, "level"), s.limiter
    for i in range(frames):
        before = held
        value = sound[i] * ramp.value(level, offset + i)
        sound[i], held = limit(value if np.isfinite(value) else np.float32(0), held, s.limiter_release)
        s.limited += before == np.float32(1) and held < before
    s.limiter = held
    return sound
