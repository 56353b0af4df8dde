"""A stage of one's own, as a worker of stage `remote`: it works in a process of its own, and may be slow or die.

In a preset: `worker = "own_stage:Tremolo"`, where Python finds this file. Here a stream has it.
"""

from __future__ import annotations

import numpy as np

import rtsep
from rtsep.stages.remote.job import Block, Worker

PRESET = """
schema = 1
name = "tremolo"
latency_class = "foh"

[[chain]]
stage = "input"

[[chain]]
stage = "remote"
worker = "own_stage:Tremolo"
unit = 64
delay = 512
"""


class Tremolo(Worker):
    """Make it louder and softer, three times a second."""

    def __init__(self, rate: int, channels: int, unit: int) -> None:   # noqa: ARG002  (the same for any number)
        self.step, self.unit, self.at = 2 * np.pi * 3 / rate, unit, 0

    def work(self, block: Block) -> Block:
        """Return what becomes of one unit, float32[channels, unit]; it is heard `delay` samples after it came in."""
        phase = self.step * (self.at + np.arange(self.unit))
        self.at += self.unit
        return (block * (0.6 + 0.4 * np.cos(phase))).astype(np.float32)

    def reset(self) -> None:
        """Be as new."""
        self.at = 0


if __name__ == "__main__":   # the worker's process reads this file, too
    rate = 48000
    tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate, dtype=np.float32)[None]
    heard = rtsep.clean(tone, rate, rtsep.presets.loads(PRESET, "tremolo"))
    levels = [20 * np.log10(np.abs(part).max()) for part in np.split(heard[0], 48)]
    print(f"from {max(levels):.1f} to {min(levels):.1f} dBFS")
