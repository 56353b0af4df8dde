"""Watching: notices that somebody has changed the files of a show while it runs."""

from __future__ import annotations

import os
from pathlib import Path

from rtsep.show.folder import FILE, SNAPSHOTS

_Mark = dict[str, tuple[int, int]]


class FolderWatch:
    """Looks at `show.toml` and the snapshots.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known = self._last = self._look()

    def changed(self) -> bool:
        """Return whether there is something new; half a file is not: it must have stood still between two looks."""
        mark = self._look()
        still, self._last = mark == self._last, mark
        return still and mark != self._known

    def seen(self) -> None:
        """Take note of what was new at the last look: it has been read, or is not worth reading again."""
        self._known = self._last

    def ours(self, path: Path) -> None:
        """Take note of a file that this process itself has just written."""
        name, mark = path.name, _mark(path)
        for known in (self._known, self._last):
            known[name] = mark

    def _look(self) -> _Mark:
        found: _Mark = {FILE: _mark(self._folder / FILE)}
        try:
            entries = list(os.scandir(self._folder / SNAPSHOTS))
        except OSError:
            return found
        for entry in entries:
            if entry.name.endswith(".toml") and not entry.name.startswith("."):
                found[entry.name] = _mark(Path(entry.path))
        return found


def _mark(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return (0, 0)
    return stat.st_mtime_ns, stat.st_size
