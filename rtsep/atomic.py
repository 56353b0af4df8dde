"""Write a file or a folder whole or not at all: beside its place first, then renamed."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
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
    try:
        # Renaming onto a link would replace the link, not the file that it leads to.
        target = Path(os.path.realpath(path))
        temporary = target.with_name(f".rtsep-{secrets.token_hex(6)}.tmp")
        with open(temporary, "xb") as file:
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
    temporary = target.with_name(f".rtsep-{secrets.token_hex(6)}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if target.is_dir():
            target.rmdir()   # only POSIX would rename over an empty folder
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
