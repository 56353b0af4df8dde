"""Put a stream between two chains of plug-ins: filters in front of it, compressor and gain behind it, for each mic."""

from __future__ import annotations

import numpy as np
from pedalboard import Compressor, Gain, HighpassFilter, Pedalboard

import rtsep

scene = rtsep.scenes.make_scene("room", seed=3, mics=2, seconds=2.0)
rate, block = scene.rate, 512
front = [Pedalboard([HighpassFilter(60)]) for _ in scene.names]
behind = [Pedalboard([Compressor(threshold_db=-24, ratio=3), Gain(gain_db=4)]) for _ in scene.names]


def through(boards: list[Pedalboard], x: np.ndarray) -> np.ndarray:
    """Run each mic through its board; without `reset=False` every block would begin anew, and click."""
    return np.concatenate([board.process(one[None], rate, reset=False) for board, one in zip(boards, x, strict=True)])


heard = []
with rtsep.Stream("live", rate, scene.names) as stream:
    for first in range(0, scene.mics.shape[1], block):
        # A plug-in with latency gives fewer frames at first: a stream takes any number, none as well. Where mics have
        # plug-ins of different latency, keep what is early until the latest one has given as much.
        x = through(front, scene.mics[:, first : first + block])
        heard.append(through(behind, stream.process(x)))

out = np.concatenate(heard, axis=1)
print(f"{out.shape[0]} mics, {out.shape[1]} of {scene.mics.shape[1]} frames; peak {np.abs(out).max():.2f}")
