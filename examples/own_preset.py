"""Render with a preset of one's own, and hear what one of its values does."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import rtsep

preset = rtsep.presets.load(Path(__file__).with_name("own_preset.toml"))
scene = rtsep.scenes.make_scene("room", seed=6, mics=3, seconds=3.0)

for range_db in (0, -12):
    cleaned = rtsep.clean(scene.mics, scene.rate, preset, settings={"spectral.range_db": range_db}, names=scene.names)
    rows = rtsep.evaluate(scene.images, cleaned, scene.rate, scene.mics, scene.names)
    gained = np.mean([row["improvement"] for row in rows])
    print(f"{preset.name}, spectral.range_db = {range_db}: {gained:+.1f} dB SI-SDR")
