"""Gains: asks a network what corrects the gains of every microphone, one step of frames after the other."""

from __future__ import annotations

import io

import numpy as np

from rtsep.models.file import open_model
from rtsep.models.session import CPU, Session
from rtsep.stages.remote.job import Block, Worker


class Gains(Worker):
    """Run a model of kind `step`, all microphones in one batch.

    Parameters
    ----------
    rate, channels, unit : int
        As every factory takes them; a unit is what a step sees, see `rtsep_kernels.learned`.
    path : str
        The model's file: `x` float32[1, mics, unit] and its states give `y` float32[1, mics, weights] and new states.
    """

    def __init__(self, rate: int, channels: int, unit: int, path: str) -> None:
        del rate
        # A step is too small for any GPU: the way there takes longer than the network on one core.
        self._bound = Session(open_model(path), CPU, flush=True).bind(channels, unit)
        self._result = np.zeros((channels, unit), np.float32)

    def work(self, block: Block) -> Block:
        """See `Worker.work`: the weights come first in a unit, the rest of it is 0."""
        self._bound.x[0] = block
        answer = self._bound.run()[0]
        self._result[:, : answer.shape[1]] = answer
        return self._result

    def reset(self) -> None:
        """See `Worker.reset`."""
        self._bound.set_states()

    def snapshot(self) -> bytes:
        """See `Worker.snapshot`."""
        kept = io.BytesIO()
        np.savez(kept, *self._bound.states)
        return kept.getvalue()

    def restore(self, state: bytes) -> None:
        """See `Worker.restore`."""
        with np.load(io.BytesIO(state)) as kept:
            self._bound.set_states([kept[name] for name in kept.files])
