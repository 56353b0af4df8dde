"""Write a file or a folder whole or not at all: beside its place first, then renamed.

What is not complete has a hidden name with its process in it, and is locked as long as that lives. A process that is
killed leaves it behind; who writes to the same folder next removes it.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from rtsep.errors import InputError


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuse a place that `replacing` could not write to, before work is done for it.

    Raises
    ------
    InputError
    """
    try:
        target = Path(os.path.realpath(path))
        good = os.access(target.parent, os.W_OK) and target.parent.is_dir() and not target.is_dir()
    except (OSError, ValueError):   # a null character
        good = False
    if not good:
        raise InputError(str(path), "cannot be written", "allowed is a file in a writable folder")


def beside(target: Path) -> Path:
    """Return a new hidden name beside a place, and remove what processes that are no more have left under such names.

    Whoever makes it holds it (`hold`) until it has its own name.
    """
    sweep(target.parent)
    return target.with_name(f".rtsep-{os.getpid()}-{secrets.token_hex(6)}.tmp")


def hold(path: Path) -> int:
    """Lock a file or a folder, under whatever name, until `let_go` or the end of this process.

    Returns
    -------
    int
        For `let_go`; -1 where the system or the disk has no such locks.
    """
    if sys.platform == "win32":
        return -1
    import fcntl

    held = -1
    try:
        held = os.open(path, os.O_RDONLY | os.O_NONBLOCK)   # a pipe would wait for ever
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        let_go(held)
        return -1
    return held


def let_go(held: int) -> None:
    """Give back what `hold` returned."""
    if held >= 0:
        os.close(held)


def sweep(folder: Path) -> None:
    """Remove what processes that are no more have left half-written in a folder.

    One whose number another process has by now stays, as does what is locked: on a shared disk its process may live on
    another machine.
    """
    with suppress(OSError):   # no such folder: whoever writes there says so
        for path in [Path(entry.path) for entry in os.scandir(folder) if _LEFT.fullmatch(entry.name)]:
            if ended(int(path.name.split("-")[1])):
                held = hold(path)
                if held >= 0:
                    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
                let_go(held)


def ended(process: int) -> bool:
    """Whether there is no such process on this machine any more."""
    if sys.platform == "win32":   # there a signal 0 is none
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


_LEFT = re.compile(r"\.rtsep-[0-9]+-[0-9a-f]+\.tmp")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of `path` when the block ends well.

    Whatever fails, Ctrl-C included, leaves the old file or nothing. A link stays a link.

    Parameters
    ----------
    path : str or path-like

    Yields
    ------
    file
        Binary, for writing.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    temporary: Path | None = None
    held = -1
    try:
        # Renaming onto a link would replace the link, not the file that it leads to.
        target = Path(os.path.realpath(path))
        temporary = beside(target)
        with open(temporary, "xb") as file:
            held = hold(temporary)
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise InputError(str(path), f"cannot be written: {reason}", "allowed is a file in a writable folder") from None
    finally:
        # After a rename nothing is there any more; after Ctrl-C or an error this is the half-written one.
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        let_go(held)


@contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Make a folder that is at `path` when the block ends well.

    Whatever fails, Ctrl-C included, leaves nothing. A link stays a link.

    Parameters
    ----------
    path : str or path-like
        By the end of the block nothing or an empty folder is there.

    Yields
    ------
    Path
        An empty folder beside, to be filled.

    Raises
    ------
    OSError
        If it cannot be made: the caller knows what to say.
    """
    target = Path(os.path.realpath(path))
    temporary = beside(target)
    held = -1
    try:
        temporary.mkdir(parents=True)
        held = hold(temporary)
        yield temporary
        if target.is_dir():
            target.rmdir()   # only POSIX would rename over an empty folder
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        let_go(held)
