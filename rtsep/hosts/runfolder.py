"""The folder of a run, in memory where there is such a place; and what killed runs have left behind is swept.

All shared memory of a run is named after its folder. As long as the run lives, a file in it is locked.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import re
import shutil
import sys
import tempfile
import time

from rtsep.atomic import ended

_PREFIX = "rtsep-"
_PROBE = "rtsep-probe-"   # what `rtsep.plugins.probing` makes
_OURS = re.compile(rf"(?:{_PROBE}|{_PREFIX})[a-z0-9_]{{8}}")   # as `tempfile` makes names
_LOCK = "lock"
_MEMORY = pathlib.Path("/dev/shm")   # where Linux shows shared memory as files
_YOUNG = 60.0   # seconds; a folder without a lock that is no older is just being made


class RunFolder:
    """A folder of this process's own; sweeps first.

    Attributes
    ----------
    path : Path
    name : str
        What the names of the run's shared memory begin with.
    """

    def __init__(self) -> None:
        sweep()
        # Python's tracker, one for all processes of a run, complains of what a killed one has left and `sweep` removes.
        sys.warnoptions.append("ignore:resource_tracker:UserWarning")   # it is started with them
        base = _MEMORY if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) else None
        self.path = pathlib.Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
        self.name = self.path.name
        self._lock = open(self.path / _LOCK, "w")   # noqa: SIM115 - it is locked as long as it is open
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        """Remove it."""
        _remove(self.path)
        self._lock.close()


def sweep() -> None:
    """Remove what runs and audio processes that are no more have left in memory and in the folder for such things.

    A user's own folder may have such a name: what is not certainly ours stays.
    """
    for base in {_MEMORY, pathlib.Path(tempfile.gettempdir())}:
        for path in base.glob(f"{_PREFIX}*"):
            with contextlib.suppress(OSError):   # another user's, or just gone
                if path.is_dir():
                    if _OURS.fullmatch(path.name) and _orphaned(path):
                        _remove(path)
                elif _process_gone(path.name):
                    path.unlink()


def _remove(folder: pathlib.Path) -> None:
    if _MEMORY.is_dir():
        for memory in _MEMORY.glob(f"{folder.name}-*"):
            with contextlib.suppress(OSError):
                memory.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _orphaned(folder: pathlib.Path) -> bool:
    lock = folder / _LOCK
    if not lock.exists():   # a run's folder has nothing in it before that
        bare = folder.name.startswith(_PROBE) or not any(folder.iterdir())
        return bare and folder.stat().st_uid == os.getuid() and time.time() - folder.stat().st_mtime > _YOUNG
    with open(lock, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _process_gone(name: str) -> bool:
    """Whether a name is `rtsep-PID-…`, as memory of an audio process's own is called, and that process has ended."""
    parts = name.split("-")
    return len(parts) >= 3 and parts[1].isdecimal() and ended(int(parts[1]))
