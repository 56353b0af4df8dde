"""Where plug-ins are: VST3 (and AU on macOS) by path, or by name in the usual folders of each platform."""

from __future__ import annotations

from pathlib import Path

FOLDERS = "RTSEP_PLUGINS"
"""Environment variable: folders that are looked through before the usual ones, separated as those of PATH."""


def folders() -> list[Path]:
    """Return the folders that are looked through, in order; not all need exist."""
    raise NotImplementedError


def installed() -> dict[str, Path]:
    """Return the plug-in files of those folders by name (without the ending); the first of a name is the one."""
    raise NotImplementedError


def locate(plugin: str, path: str = "", place: str = "plugin") -> Path:
    """Return the file of a plug-in.

    Parameters
    ----------
    plugin : str
        Name of a file in the usual folders; not looked at if there is a path.
    path : str
    place : str
        Of the setting, for errors.

    Raises
    ------
    InputError
        If there is none (with names that are near), or it has nothing for this platform (it says for which).
    """
    raise NotImplementedError
