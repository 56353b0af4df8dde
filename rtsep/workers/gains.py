"""Gains: asks a network what corrects the gains of every microphone, one step of frames after the other."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from rtsep.stages.remote.job import Block, Worker


class Gains(Worker):
    """Run a model of kind `step`, all microphones in one batch.

    Parameters
    ----------
    rate, channels, unit : int
        As every factory takes them; a unit is what a step sees, see `rtsep_kernels.learned`.
    path : str
        The model's file: `x` float32[mics, unit] and its states give `y` float32[mics, weights] and new states.
    """

    def __init__(self, rate: int, channels: int, unit: int, path: str) -> None:
        import onnxruntime

        del rate
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._shapes = {given.name: (channels, *given.shape[1:]) for given in self._session.get_inputs()[1:]}
        self._result = np.zeros((channels, unit), np.float32)
        self._states: dict[str, NDArray[np.float32]]
        self.reset()

    def work(self, block: Block) -> Block:
        """See `Worker.work`: the weights come first in a unit, the rest of it is 0."""
        answer, *states = self._session.run(None, {"x": block, **self._states})
        self._states = dict(zip(self._states, states, strict=True))
        self._result[:, : answer.shape[1]] = answer
        return self._result

    def reset(self) -> None:
        """See `Worker.reset`."""
        self._states = {name: np.zeros(shape, np.float32) for name, shape in self._shapes.items()}

    def snapshot(self) -> bytes:
        """See `Worker.snapshot`."""
        kept = io.BytesIO()
        np.savez(kept, **self._states)  # type: ignore[arg-type]
        return kept.getvalue()

    def restore(self, state: bytes) -> None:
        """See `Worker.restore`."""
        with np.load(io.BytesIO(state)) as kept:
            self._states = {name: kept[name] for name in self._shapes}
