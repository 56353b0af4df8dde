"""Clearing: what has clipped is forgotten while a button of the board is pressed; somebody must let it go again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtsep.control.desk import Desk
    from rtsep.meters import Meters

BUTTON = "output.clear_clips"


class Clearing:
    """Lets the button go when the engine has obeyed it, so that every surface may press it, and only press it.

    Parameters
    ----------
    desk : Desk
    meters : Meters
        Which the engine clears when it publishes them.
    """

    def __init__(self, desk: Desk, meters: Meters) -> None:
        self._desk, self._meters = desk, meters
        self._seen: int | None = None   # frames when it was first seen pressed

    def update(self) -> None:
        """Look at the button; to be called several times a second."""
        from rtsep.meters import METER_FRAMES  # with NumPy, which the name of the button does not need

        frames = self._meters.counter("frames")
        if self._desk.get(BUTTON) < 0.5:
            self._seen = None
        elif self._seen is None or frames < self._seen:   # less: another life of the engine
            self._seen = frames
        elif frames - self._seen >= 2 * METER_FRAMES:     # the first may have been under way
            self._desk.set(BUTTON, 0.0)
            self._seen = None
