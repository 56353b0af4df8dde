"""Take the bleed out of a recording that is an array."""

from __future__ import annotations

import numpy as np

import rtsep

# Your own recording comes from a file: soundfile gives [frames, channels], so hand over its transpose:
#     sound, rate = soundfile.read("concert.wav", dtype="float32"); mics = sound.T
scene = rtsep.scenes.make_scene("room", seed=1, mics=3, seconds=3.0)
mics, rate, names = scene.mics, scene.rate, scene.names

cleaned = rtsep.clean(mics, rate, "foh", settings={"output.gain_db.drums": -3}, names=names)

for name, before, after in zip(names, mics, cleaned, strict=True):
    levels = [20 * np.log10(np.sqrt(np.mean(np.square(sound)))) for sound in (before, after)]
    print(f"{name:8} {levels[0]:6.1f} dBFS before, {levels[1]:6.1f} dBFS after")
