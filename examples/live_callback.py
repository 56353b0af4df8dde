"""Clean what a sound card hands to a callback in Python: `python live_callback.py DEVICE`, named as sounddevice does.

Without a device a clock calls it. For a show use `rtsep run`: its callback has no Python in it, and is never kept
waiting by another thread.
"""

from __future__ import annotations

import sys
import threading

import numpy as np

import rtsep

RATE, BLOCK, NAMES = 48000, 256, ("vox", "guitar")
stream = rtsep.Stream("live", RATE, NAMES)


def callback(indata: np.ndarray, outdata: np.ndarray, *_frames_time_status: object) -> None:
    """Be called with float32[frames, channels], as sounddevice has it; rtsep has channels first."""
    outdata[:] = stream.process(indata.T).T


if len(sys.argv) == 2:
    import sounddevice

    with stream, sounddevice.Stream(RATE, BLOCK, sys.argv[1], len(NAMES), "float32", callback=callback):
        input(f"latency {stream.latency} frames beside the device's; Enter ends ")
else:
    tick, out = threading.Event(), np.zeros((BLOCK, len(NAMES)), np.float32)
    sound = 0.1 * np.random.default_rng(1).standard_normal((40 * BLOCK, len(NAMES))).astype(np.float32)
    with stream:
        for first in range(0, len(sound), BLOCK):
            tick.wait(BLOCK / RATE)
            callback(sound[first : first + BLOCK], out, BLOCK, None, "")
            assert np.isfinite(out).all()
    print(f"{len(sound) // BLOCK} blocks; latency {stream.latency} frames")
