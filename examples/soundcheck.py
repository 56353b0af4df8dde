"""Learn from a soundcheck who bleeds where, and begin the concert with that."""

from __future__ import annotations

import numpy as np

import rtsep

# Everybody plays alone for two seconds; the concert follows.
scene = rtsep.scenes.make_scene("room", seed=3, mics=2, seconds=3.0, soundcheck=2.0)
rate, end = scene.rate, round((scene.solos[-1][2] + 0.5) * scene.rate)
known = rtsep.learn(scene.mics[:, :end], rate, scene.solos, scene.names, taps=4096)
# rtsep.calibration.save(known, "hall.cal") keeps it for `rtsep run --calibration hall.cal`.

mics, wanted = scene.mics[:, end:], scene.images[:, end:]
for what, calibration in (("blind", None), ("after the soundcheck", known)):
    cleaned = rtsep.clean(mics, rate, "live", calibration, names=scene.names)
    rows = rtsep.evaluate(wanted, cleaned, rate, mics, scene.names)
    print(f"{what}: {np.mean([row['improvement'] for row in rows]):+.1f} dB SI-SDR")
