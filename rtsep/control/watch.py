"""Watch: notices that a file has been saved, by looking at it a few times a second, on every system alike."""

from __future__ import annotations

import os

_EVERY = 0.2   # seconds between two looks

_Mark = tuple[int, int, int]


class Watch:
    """Looks at a file: editors write into it, or write another one beside it and rename that.

    Parameters
    ----------
    path : str
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._known = self._last = self._look()
        self._looked = 0.0

    def saved(self, now: float) -> bool:
        """Return whether it has been saved since the last time that this was true; `now` in seconds.

        It must have stood still between two looks: half a file is not read. While it is away nothing is new.
        """
        if now - self._looked < _EVERY:
            return False
        self._looked = now
        mark = self._look()
        still, self._last = mark == self._last, mark
        if mark is None or mark == self._known or not still:
            return False
        self._known = mark
        return True

    def _look(self) -> _Mark | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
