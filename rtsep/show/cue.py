"""Cue: one snapshot of a show, and its file."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rtsep.atomic import replacing
from rtsep.params import Option
from rtsep.presetfile import toml
from rtsep.show.reading import SCHEMA, Reader
from rtsep.show.scope import any_matches, within
from rtsep.show.statefiles import is_name

LAST_NUMBER = 16384      # what Bank Select and Program Change can count, 128 times 128
LONGEST_FADE = 3600.0    # seconds
EVERYTHING = ("*",)

_NUMBER = Option("number", int, 1, "By which it is recalled.", 1, LAST_NUMBER)
_FADE = Option("fade_s", float, 0.0, "Seconds in which values go there.", 0.0, LONGEST_FADE)
_PRESET = Option("preset", str, "", "What it goes over to.")
_KEYS = ("number", "name", "fade_s", "scope", "preset", "fades", "values", "states")


@dataclass(frozen=True)
class Cue:
    """One snapshot of a show.

    Parameters
    ----------
    number : int
        From 1; no two of a show have the same.
    name : str
    fade_s : float
        Seconds in which values go from where they are.
    scope : tuple of str
        Patterns of paths that it is about, see `rtsep.show.scope`.
    preset : str
        Name, or file in the show's folder, of the preset that it goes over to; empty: it stays with what sounds.
    fades : mapping of str to float
        Seconds by pattern, where not `fade_s`; of several patterns that mean a path the last one counts.
    values : mapping of str to float
        By path, in the parameters' own units.
    states : mapping of str to str
        Plug-ins' own states by path (`rtsep.catalogue.strips.kept`): names of files, see `rtsep.show.statefiles`; the
        values beside them are what can be read.
    file : str
        Its name without `.toml`.
    """

    number: int
    name: str
    fade_s: float = 0.0
    scope: tuple[str, ...] = EVERYTHING
    preset: str = ""
    fades: Mapping[str, float] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    file: str = ""

    def fade(self, path: str) -> float:
        """Return the seconds in which a path goes to its value."""
        return next((s for one, s in reversed(tuple(self.fades.items())) if any_matches((one,), path)), self.fade_s)

    def has(self, path: str, apart: Iterable[str]) -> bool:
        """Return whether a path is in its scope; see `rtsep.show.scope.within`."""
        return within(self.scope, path, apart)


def load(path: Path) -> Cue:
    """Read one.

    Raises
    ------
    InputError
        With file and line.
    """
    reader = Reader(path, "snapshot", _KEYS, ("number", "name"))
    return Cue(
        reader.take(_NUMBER), reader.name("name"), reader.take(_FADE), reader.strings("scope", EVERYTHING),
        reader.take(_PRESET), reader.numbers("fades", 0.0, LONGEST_FADE), reader.numbers("values"), states(reader),
        path.stem,
    )


def states(reader: Reader) -> dict[str, str]:
    """Return the table of states: names of their files, by path.

    Raises
    ------
    InputError
    """
    found = reader.texts("states")
    for key, name in found.items():
        if not is_name(name):
            allowed = 'allowed is the name of a file in states/, or "" for the preset\'s own'
            raise reader.error(("states", key), f"{name!r} is no state", allowed)
    return found


def dumps(cue: Cue) -> str:
    """Return one as TOML, from which `load` makes an equal one."""
    lines = [f"schema = {SCHEMA}", f"number = {cue.number}", f"name = {toml(cue.name)}", f"fade_s = {toml(cue.fade_s)}",
             f"scope = {toml(cue.scope)}"]
    if cue.preset:
        lines.append(f"preset = {toml(cue.preset)}")
    for table, content in (("fades", cue.fades), ("values", cue.values), ("states", cue.states)):
        if content or table == "values":
            lines += ["", f"[{table}]", *(f"{toml(path)} = {toml(value)}" for path, value in content.items())]
    return "\n".join(lines) + "\n"


def save(cue: Cue, folder: Path) -> None:
    """Write one, whole or not at all.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    with replacing(folder / f"{cue.file}.toml") as file:
        file.write(dumps(cue).encode())


def file_name(number: int, name: str) -> str:
    """Return the name of a new one's file: `07-last-chorus`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub("[^a-z0-9]+", "-", plain).strip("-")[:40]
    return f"{number:02d}-{words}" if words else f"{number:02d}"


def rounded(value: float) -> float:
    """Return the shortest number that is the same float32: what a person reads of what stands on the board."""
    return float(str(np.float32(value))) if math.isfinite(value) else value
