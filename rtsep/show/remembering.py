"""Remembering: what a run has learnt of its stage is copied into its show, from where the next run begins with it."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from rtsep.atomic import replacing
from rtsep.show.keeping import pruned, stamp

CALIBRATIONS = "calibrations"   # of a show: the folder
COPY_EVERY = 300.0              # seconds: of an hour of learning little is lost
_NAME = "learnt.npz"            # what the name of a copy ends with
# What stays: the newest, one of each hour for a day, then one a day. With 32 microphones it is 8 MB each.
_NEWEST, _HOUR = 3, 3600.0


def is_copy(name: str) -> bool:
    """Return whether a file in that folder was made here: its name says when, and then what."""
    return name.endswith(f"-{_NAME}")


def newest(show: Path) -> Path | None:
    """Return the newest copy in a show's folder; None: there is none."""
    try:
        found = [name for name in os.listdir(show / CALIBRATIONS) if is_copy(name)]
    except OSError:
        return None
    return show / CALIBRATIONS / max(found) if found else None   # their names begin with the year


class Copies:
    """Copies of what is learnt; for one thread.

    Parameters
    ----------
    show : Path
        Its folder.
    source : Path
        Where the audio process keeps what it has learnt; there may be nothing yet.
    clock : callable
        Seconds that pass.
    """

    def __init__(self, show: Path, source: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._show, self._source, self._clock = show, source, clock
        self._last = clock()
        self._path = newest(show)
        self._hash = None if self._path is None else _hash(self._path.read_bytes())

    @property
    def due(self) -> bool:
        """Whether it is time for another one."""
        return self._clock() - self._last >= COPY_EVERY

    def make(self) -> Path | None:
        """Make a copy, unless nothing has changed since the last one; returns the newest; None: nothing is learnt.

        Raises
        ------
        InputError, OSError
            If it cannot be written.
        """
        self._last = self._clock()
        try:
            content = self._source.read_bytes()
        except FileNotFoundError:
            return self._path
        mark = _hash(content)
        if mark != self._hash:
            folder = self._show / CALIBRATIONS
            folder.mkdir(exist_ok=True)
            moment = time.time()
            while (path := folder / f"{stamp(moment)}-{_NAME}").exists():
                moment += 0.001
            with replacing(path) as file:
                file.write(content)
            self._path, self._hash = path, mark
            for old in pruned(filter(is_copy, os.listdir(folder)), moment, _NEWEST, 0.0, _HOUR):
                (folder / old).unlink(missing_ok=True)
        return self._path


def _hash(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
