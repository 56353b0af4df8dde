"""Clean block by block, as an audio program hands them over, and turn a parameter while sound goes on."""

from __future__ import annotations

import numpy as np

import rtsep

scene = rtsep.scenes.make_scene("room", seed=2, mics=2, seconds=2.0)
block, heard = 480, []

with rtsep.Stream("monitor", scene.rate, scene.names) as stream:
    print(f"latency {stream.latency} frames, {1000 * stream.latency / scene.rate:.1f} ms")
    for first in range(0, scene.mics.shape[1], block):
        if first == scene.rate:   # after a second the drums are turned down; the sound ramps to it within 20 ms
            stream.set("output.gain_db.drums", -12)
        heard.append(stream.process(scene.mics[:, first : first + block]))

cleaned = np.concatenate(heard, axis=1)[:, stream.latency:]
drums = np.square(cleaned[scene.names.index("drums")])
half = scene.rate + scene.rate // 10
print(f"drums: {10 * np.log10(drums[:half].mean() / drums[half:].mean()):.1f} dB louder before the change")
