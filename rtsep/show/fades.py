"""Fades: targets that go to their values in seconds, step by step; the data plane ramps from step to step."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.control.desk import Desk


@dataclass
class _Fade:
    start: float
    target: float
    begun: float
    seconds: float
    seen: float   # where it was put last: if it stands elsewhere, somebody has turned it


class Fades:
    """Targets on their way; for one thread at a time.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._going: dict[str, _Fade] = {}

    @property
    def any(self) -> bool:
        """Whether something is on its way."""
        return bool(self._going)

    def start(self, path: str, target: float, seconds: float, now: float) -> None:
        """Let a target go from where it stands to a value; it leaves the fade that it may be in.

        What is on or off, or is there already, is set at once.

        Parameters
        ----------
        path : str
            Of a single target.
        target : float
            In range.
        seconds : float
        now : float
            Seconds, as `advance` has it.
        """
        self._going.pop(path, None)
        here = self._desk.get(path)
        if seconds <= 0 or here == target or self._desk.param(path).unit == "on":
            self._desk.set(path, target)
        else:
            self._desk.history.note(path, {path: here}, moves=True)
            self._going[path] = _Fade(here, target, now, seconds, here)

    def halt(self, paths: Collection[str]) -> dict[str, float]:
        """Leave some targets where they are; returns where those that were on their way were going."""
        return {path: self._going.pop(path).target for path in tuple(self._going) if path in paths}

    def advance(self, now: float) -> None:
        """Put all that is on its way where it belongs now; what somebody else has turned stays there."""
        for path, fade in tuple(self._going.items()):
            share = min(1.0, max(0.0, (now - fade.begun) / fade.seconds))
            # Exactly the target at the end, whatever rounding would make of the sum.
            value = fade.target if share >= 1 else fade.start + share * (fade.target - fade.start)
            try:
                moved = self._desk.move(path, fade.seen, value)
                fade.seen = self._desk.get(path) if moved else value
            except InputError:   # another preset has come by, in which there is no such parameter
                moved = False
            if not moved or share >= 1:
                del self._going[path]
