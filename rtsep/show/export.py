"""Export: a show as one file that needs nothing else, and as JSON."""

from __future__ import annotations

import dataclasses
import os
import zipfile
from pathlib import Path
from typing import Any

from rtsep import presets
from rtsep.atomic import check_writable, replacing
from rtsep.show import cue as cues
from rtsep.show.folder import FILE, HISTORY, SNAPSHOTS, STATE, Show, dumps
from rtsep.show.remembering import CALIBRATIONS, is_copy

_PRESETS = "presets"


def pack(show: Show, path: str | os.PathLike[str]) -> int:
    """Write a show as a ZIP; presets that it names are in it, the builtin ones too.

    Its history, its last state and what runs have learnt by themselves stay.

    Returns
    -------
    int
        How many files it has.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    check_writable(path)
    texts = _texts(show)
    taken = [found for found in sorted(show.folder.rglob("*")) if _belongs(found, show.folder)]
    root = Path(os.path.realpath(show.folder)).name or "show"
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(f"{root}/{name}", text)
        others = [found for found in taken if str(found.relative_to(show.folder)) not in texts]
        for found in others:
            archive.write(found, f"{root}/{found.relative_to(show.folder)}")
    return len(texts) + len(others)


def told(show: Show) -> dict[str, Any]:
    """Return all of a show, as JSON can hold it."""
    values = dataclasses.asdict(show)
    values["folder"] = str(show.folder)
    values["mics"] = [
        {"name": mic.name, "in": mic.input + 1, "out": None if mic.output is None else mic.output + 1,
         "colour": mic.colour}
        for mic in show.mics
    ]
    values["snapshots"] = values.pop("cues")
    return values


def _texts(show: Show) -> dict[str, str]:
    """Return the files that are written anew: presets by themselves, and those that name them."""
    found: dict[str, str] = {}

    def kept(preset: str) -> str:
        if preset and preset in presets.names():
            found[f"{_PRESETS}/{preset}.toml"] = presets.text(preset)
            return f"{_PRESETS}/{preset}.toml"
        if preset and not (show.folder / preset).resolve().is_relative_to(show.folder.resolve()):
            name = f"{_PRESETS}/{Path(preset).name}"
            found[name] = (show.folder / preset).read_text("utf-8")
            return name
        return preset

    for cue in show.cues:
        if cue.preset:
            found[f"{SNAPSHOTS}/{cue.file}.toml"] = cues.dumps(dataclasses.replace(cue, preset=kept(cue.preset)))
    found[FILE] = dumps(dataclasses.replace(show, preset=kept(show.preset)))
    return found


def _belongs(path: Path, folder: Path) -> bool:
    inside = path.relative_to(folder).parts
    hidden = any(part.startswith(".") for part in inside)
    kept = inside[0] in (HISTORY, STATE) or (inside[0] == CALIBRATIONS and is_copy(path.name))
    return path.is_file() and not path.is_symlink() and not hidden and not kept
