"""Follower: what has changed on the desk, whoever has changed it; what surfaces with feedback look through."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np

from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.control.desk import Desk


class Follower:
    """Looks at the desk's targets now and then; what it has not seen before is news.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._seen = desk.values.copy()
        self._known: dict[str, float] = {}

    def knows(self, path: str, value: float) -> None:
        """Note what the surface itself has set at a single target's path: should it stand so, that is no news to it."""
        self._known[path] = value

    def knows_all(self, path: str, value: float) -> None:
        """Note what has been set, or will be, at a path that may mean several targets."""
        with contextlib.suppress(InputError):   # there is none, so that nothing will be set
            for single in self._desk.spread(path):
                self._known[single] = value

    def stood(self) -> dict[str, float]:
        """Return where every single target stood at the last call of `changed`."""
        return self._desk.changed(np.full_like(self._seen, np.nan), self._seen)

    def changed(self) -> list[tuple[str, float]]:
        """Return path and value of every single target that has changed since the last call."""
        now = self._desk.values.copy()
        found = self._desk.changed(self._seen, now)
        known, self._known, self._seen = self._known, {}, now
        for path in known:   # another one may have turned it back to what it was, which is news to who has set it
            found.setdefault(path, self._desk.get(path))
        return [(path, value) for path, value in found.items() if not _alike(known.get(path), value)]


def _alike(known: float | None, value: float) -> bool:
    """Return whether what was set is what stands there, as far as a float32 holds it."""
    return known is not None and abs(known - value) <= 1e-6 * max(1.0, abs(value))
