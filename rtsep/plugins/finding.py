"""Where plug-ins are: VST3 (and AU on macOS) by path, or by name in the usual folders of each platform."""

from __future__ import annotations

import difflib
import os
import platform
import sys
from pathlib import Path

from rtsep.errors import InputError

FOLDERS = "RTSEP_PLUGINS"
"""Environment variable: folders that are looked through before the usual ones, separated as those of PATH."""

_DEEP = 3    # folders below a usual one: makers have folders of their own
_NEAR = 3    # names that a refusal lists
_ENDINGS = (".vst3", ".component") if sys.platform == "darwin" else (".vst3",)
_OTHERS = {".dll": "VST2", ".vst": "VST2", ".so": "VST2 or a part of a VST3 bundle", ".clap": "CLAP", ".lv2": "LV2",
           ".component": "AU", ".aaxplugin": "AAX"}
# Of a bundle's folders, as the VST3 documentation names them.
_SYSTEMS = {"linux": "Linux", "win": "Windows", "macos": "macOS"}


def folders() -> list[Path]:
    """Return the folders that are looked through, in order; not all need exist.

    After those of `FOLDERS` the ones that the VST3 documentation names: the user's before the machine's.
    """
    told = [Path(one) for one in os.environ.get(FOLDERS, "").split(os.pathsep) if one]
    home = Path.home()
    if sys.platform == "darwin":
        libraries = [home / "Library", Path("/Library"), Path("/Network/Library")]
        return told + [one / "Audio/Plug-Ins" / kind for one in libraries for kind in ("VST3", "Components")]
    if sys.platform == "win32":
        local, common = os.environ.get("LOCALAPPDATA"), os.environ.get("COMMONPROGRAMFILES")
        usual = [Path(local) / "Programs/Common/VST3"] if local else []
        return told + usual + ([Path(common) / "VST3"] if common else [])
    return [*told, home / ".vst3", Path("/usr/lib/vst3"), Path("/usr/local/lib/vst3")]


def installed() -> dict[str, Path]:
    """Return the plug-in files of those folders by name (without the ending); the first of a name is the one."""
    found: dict[str, Path] = {}
    for folder in folders():
        for at, below, files in os.walk(folder):
            here = Path(at)
            for name in sorted((*below, *files)):
                if name.lower().endswith(_ENDINGS):
                    found.setdefault(Path(name).stem, here / name)
            deep = len(here.relative_to(folder).parts) >= _DEEP
            below[:] = [] if deep else [one for one in below if not one.lower().endswith(_ENDINGS)]
    return found


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
    if path:
        file = Path(path).expanduser()
        if file.suffix.lower() not in _ENDINGS:
            kind = _OTHERS.get(file.suffix.lower())
            told = f"{path} is {kind}" if kind else f"{path} is no plug-in"
            raise InputError(place, told, f"allowed are files that end in {' or '.join(_ENDINGS)}")
        if not file.exists():
            raise InputError(place, f"there is no {path}", "give the path of a plug-in")
    else:
        every = installed()
        same = [name for name in every if name.casefold() == plugin.casefold()]
        if not same:
            raise InputError(place, f"there is no plug-in {plugin!r}", _near(plugin, every))
        file = every[same[0]]
    _check_platform(file, place)
    return file.resolve()


def _near(plugin: str, every: dict[str, Path]) -> str:
    from rtsep.plugins.builtins import BUILTINS

    known = {name.casefold(): name for name in (*every, *BUILTINS)}
    near = [known[name] for name in difflib.get_close_matches(plugin.casefold(), known, _NEAR)]
    if near:
        return f"near are {', '.join(near)}"
    return f"looked in {', '.join(map(str, folders()))}; {FOLDERS} adds folders, and a path is taken as well"


def _check_platform(file: Path, place: str) -> None:
    """Refuse a bundle that has binaries for other platforms only."""
    contents = file / "Contents"
    if not contents.is_dir() or file.suffix.lower() == ".component":   # a single file, as on Windows
        return
    there = {one.name for one in contents.iterdir() if one.is_dir()}
    binaries = {name: _said(name) for name in sorted(there) if _said(name)}
    machine = platform.machine().lower()
    mine = {"linux": {f"{machine}-linux"}, "darwin": {"macos"}}.get(
        sys.platform, {"x86_64-win", "arm64ec-win"} if machine in ("amd64", "x86_64") else {f"{machine}-win"})
    if not mine & {name.lower() for name in binaries}:
        has = ", ".join(binaries.values()) or "no platform at all"
        raise InputError(place, f"{file} has binaries for {has}, none for this machine",
                         f"get the one for {_said(min(mine))}")


def _said(folder: str) -> str:
    """Return a platform in words; empty: a bundle's folder for something else."""
    machine, _, system = folder.rpartition("-")
    name = _SYSTEMS.get(system.lower(), "")
    return f"{name} ({machine})" if machine and name else name
