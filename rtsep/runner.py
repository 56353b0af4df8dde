"""Runner: what every host drives a stage with. It owns the sample count from which the grid is counted."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtsep.clock import ticks_per_second
from rtsep_kernels.plane import grid

if TYPE_CHECKING:
    from rtsep.stage import Block, Stage

LIMITER_RELEASE_SECONDS = 0.1

_PLANAR = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64
)
_PACED = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
    ctypes.c_double, ctypes.c_double, ctypes.c_void_p,
)


class Runner:
    """Drives a stage from any host: cuts to the grid, guards the input, times the calls.

    Parameters
    ----------
    stage : Stage
        Prepared.
    """

    def __init__(self, stage: Stage) -> None:
        self.channels = stage.fmt.channels
        self.rate = stage.fmt.rate
        self.record = grid.RUNNER.make(
            channels=self.channels, function=stage.function, state=stage.state, bus_limiter=1,
            limiter_release=1 - np.exp(-1 / (LIMITER_RELEASE_SECONDS * self.rate)),
        )
        self._stage = stage   # whose memory the record points to
        self._planar = _PLANAR(grid.run_planar.address)

    @property
    def address(self) -> int:
        """Address of the record: what a device hands to the callback."""
        return self.record.address

    @property
    def bad_inputs(self) -> NDArray[np.int64]:
        """Samples of each mic that were NaN or infinite, int64[channels]."""
        counted: NDArray[np.int64] = self.record["bad_inputs"]
        return counted

    def process(self, x: Block, out: Block) -> None:
        """See `rtsep.stage.Stage.process`."""
        for block in (x, out):
            if block.dtype != np.float32 or block.ndim != 2 or not block.flags.c_contiguous:
                raise ValueError(f"a block is C-contiguous float32[channels, frames], not {block.dtype}{block.shape}")
        if x.shape != out.shape or x.shape[0] != self.channels:
            raise ValueError(f"blocks of {self.channels} channels expected, not {x.shape} and {out.shape}")
        self._planar(self.address, x.ctypes.data, out.ctypes.data, x.shape[1])

    def run_paced(self, x: Block, out: Block, block: int, progress: NDArray[np.int64]) -> None:
        """Process a whole signal at the pace of a sound card, from one compiled call without the GIL.

        Parameters
        ----------
        x, out : float32[channels, frames]
        block : int
            Frames per block.
        progress : int64[1]
            Written: frames done.
        """
        paced = _PACED(grid.run_paced.address)
        paced(self.address, x.ctypes.data, out.ctypes.data, x.shape[1], block,
              ticks_per_second(), self.rate, progress.ctypes.data)

    def microseconds(self) -> NDArray[np.float64]:
        """Return how long the last calls took (at most 65536), oldest not necessarily first."""
        timings: NDArray[np.int64] = self.record["timings"]
        return timings[: min(self.record["calls"], grid.TIMINGS)] / ticks_per_second() * 1e6

    def forget_times(self) -> None:
        """Start the measurement anew, after a warm-up."""
        self.record["calls"] = 0


def process(stage: Stage, x: Block, block: int = 512) -> Block:
    """Run a whole signal through a prepared stage.

    Parameters
    ----------
    stage : Stage
    x : float32[channels, frames]
    block : int
        Frames per call.

    Returns
    -------
    float32[channels, frames]
        As late as the stage is.
    """
    out = np.zeros_like(x)
    for first in range(0, x.shape[1], block):
        piece = np.ascontiguousarray(x[:, first : first + block])
        result = np.empty_like(piece)
        stage.process(piece, result)
        out[:, first : first + block] = result
    return out
