"""Listening: the mic that the engineer has chosen for the ear by keys, and how it is heard; see `rtsep.hosts.ear`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtsep.control.desk import Desk

WAYS = ("off", "in", "out", "removed")
"""What `ear.listen` means."""

IN, OUT, REMOVED = 1, 2, 3
_TYPING = 1.0   # seconds in which a second figure belongs to the first


class Listening:
    """Chooses one mic; how that is heard goes with it from mic to mic.

    Parameters
    ----------
    desk : Desk
    clock : callable
        Seconds that pass.

    Attributes
    ----------
    chosen : int
        From 0.
    """

    def __init__(self, desk: Desk, clock: Callable[[], float] = time.monotonic) -> None:
        self._desk, self._clock = desk, clock
        self.chosen = 0
        self._typed, self._typed_at = 0, 0.0

    @property
    def told(self) -> str:
        """What is heard of the mic that is chosen, as a part of a line."""
        pfl = " PFL" if self._get("pfl") > 0.5 else ""
        return f"{self._desk.mics[self.chosen]} {WAYS[round(self._get('listen'))]}{pfl}"

    @property
    def heard(self) -> bool:
        """Whether it is heard by itself."""
        return self._get("listen") > 0.5 or self._get("pfl") > 0.5

    def choose(self, number: int) -> None:
        """Choose a mic, from 0; what was heard of the one before is heard of this one."""
        if number == self.chosen or not 0 <= number < len(self._desk.mics):
            return
        for name in ("listen", "pfl"):
            value = self._get(name)
            if value > 0.5:
                self._set(name, 0.0)
                self._desk.set(f"ear.{name}.{self._desk.mics[number]}", value)
        self.chosen = number

    def step(self, by: int) -> None:
        """Choose the mic so far behind."""
        self.choose(min(max(self.chosen + by, 0), len(self._desk.mics) - 1))

    def type(self, figure: str) -> None:
        """Choose a mic by its number from 1, figure by figure."""
        now = self._clock()
        before = self._typed if now - self._typed_at < _TYPING else 0
        number = 10 * before + int(figure)
        if number > len(self._desk.mics):
            number = int(figure)
        self._typed, self._typed_at = number, now
        self.choose(number - 1)

    def way(self, way: int) -> None:
        """Hear it like this, see `WAYS`; once more: no more."""
        self._set("listen", 0.0 if round(self._get("listen")) == way else float(way))

    def pfl(self) -> None:
        """Hear it before its level, mute and solo; once more: no more."""
        self._desk.toggle(f"ear.pfl.{self._desk.mics[self.chosen]}")

    def _get(self, name: str) -> float:
        return self._desk.get(f"ear.{name}.{self._desk.mics[self.chosen]}")

    def _set(self, name: str, value: float) -> None:
        self._desk.set(f"ear.{name}.{self._desk.mics[self.chosen]}", value)
