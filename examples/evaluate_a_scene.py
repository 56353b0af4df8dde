"""Make a concert with known truth, clean it with several presets, and compare them."""

from __future__ import annotations

import numpy as np

import rtsep

scene = rtsep.scenes.make_scene("room", seed=5, mics=3, seconds=3.0)

print("preset   " + "".join(f"{name:>8}" for name in scene.names) + "    mean   (gain of SI-SDR, dB)")
for preset in ("live", "monitor", "foh"):
    cleaned = rtsep.clean(scene.mics, scene.rate, preset, names=scene.names)
    rows = rtsep.evaluate(scene.images, cleaned, scene.rate, scene.mics, scene.names)
    gains = [row["improvement"] for row in rows]
    print(f"{preset:9}" + "".join(f"{gain:8.1f}" for gain in gains) + f"{np.mean(gains):8.1f}")
