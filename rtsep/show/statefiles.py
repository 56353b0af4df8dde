"""State files: what plug-ins keep beside their parameters, in a show's folder: a file for each content, by its hash."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from pathlib import Path

from rtsep.atomic import replacing
from rtsep.errors import InputError

FOLDER = "states"
OF_PRESET = ""
"""Instead of a file's name: the state that the preset has, or the plug-in's own default."""

_NAME = re.compile(r"[0-9a-f]{32}\.b64")


def is_name(text: str) -> bool:
    """Return whether that may be the name of such a file."""
    return text == OF_PRESET or _NAME.fullmatch(text) is not None


def name_of(state: str) -> str:
    """Return the name of the file that holds a state, base64."""
    return f"{hashlib.sha256(state.encode()).hexdigest()[:32]}.b64"


def write(folder: Path, state: str) -> str:
    """Write a state, base64, into a show's folder, unless it is there; return its name.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    name = name_of(state)
    path = folder / FOLDER / name
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as file:
            file.write(state.encode())
    return name


def read(folder: Path, name: str) -> str:
    """Return a state, base64, of a show's folder.

    Raises
    ------
    InputError
        If it is not there, or somebody has changed it.
    """
    path = folder / FOLDER / name
    try:
        state = path.read_text("ascii")
        base64.b64decode(state, validate=True)
    except (OSError, ValueError, binascii.Error):
        raise InputError(str(path), "there is no state of a plug-in", "store that snapshot again") from None
    if name_of(state) != name:
        raise InputError(str(path), "it is not what was stored", "store that snapshot again")
    return state
