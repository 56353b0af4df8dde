"""Separate a song by the name of a system: here what sounds on, and what hits."""

from __future__ import annotations

import numpy as np

import rtsep

# A song of one channel: all sources of a concert together. `rtsep separate --list` shows what else there is.
scene = rtsep.scenes.make_scene("linear", seed=4, mics=4, seconds=3.0)
song = scene.sources.sum(axis=0, keepdims=True)
drums = scene.sources[[scene.names.index("drums")]]

parts = rtsep.separate(song, scene.rate, "hpss", margin=1.0)

for name, part in parts.items():
    alike = np.corrcoef(part[0], drums[0])[0, 1]
    print(f"{name:10} {10 * np.log10(np.mean(part**2) / np.mean(song**2)):6.1f} dB, alike the drums {alike:.2f}")
