"""Latch: the moments at which the targets on a board come to be those that all stages of an engine read."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtsep_kernels.plane.grid import GRID
from rtsep_kernels.plane.latch import LATCH

if TYPE_CHECKING:
    from rtsep.params import Board
    from rtsep.stage import Stage

_PATIENCE = 0.2   # seconds until the audio thread has seen what was set; a device may stand still


class Latch:
    """What an engine takes its board's targets over by, at the beginning of each segment of 64 samples.

    Parameters
    ----------
    board : Board
        Stages that are prepared from now on read the copy.

    Attributes
    ----------
    state : State
        `rtsep_kernels.plane.latch.LATCH`.
    settled : int
        Since when the targets had stood where the newest stages have begun: a sample; -1: from the beginning.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self.state = LATCH.make(
            size=board.values.size, board=board.values.view(np.int32), copy=board.latch().view(np.int32),
            used=board.used, since=-1,
        )
        self.settled = -1

    def take(self, position: Callable[[], int] | None) -> None:
        """Have the stages see what has been set just now.

        Parameters
        ----------
        position : callable or None
            Tells how many samples the audio thread has done, for which this waits; None: none runs.
        """
        if position is None:
            self._board.refresh()
            return
        seen, until = position() + 2 * GRID, time.monotonic() + _PATIENCE
        while position() < seen and time.monotonic() < until:
            time.sleep(0.001)

    def settle(self, stages: Sequence[Stage]) -> None:
        """Let new stages, which nobody drives yet, begin where all targets stand at one moment; see `settled`."""
        with self._board.still(self._stood()):   # they take their time to begin, and knobs are turned all the while
            for stage in stages:
                stage.listen()
                stage.reset()
        for stage in stages:
            stage.listen()

    def _stood(self) -> NDArray[np.float32]:
        """Return where all targets stand, and note since when."""
        while True:
            sets, self.settled = self.state["sets"], self.state["since"]
            values = self._board.latched.copy()
            if self.state["sets"] == sets and not sets % 2:
                return values
