"""Storing: what stands on a desk, or would, as a snapshot of a show."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rtsep import presets
from rtsep.catalogue.strips import kept
from rtsep.errors import InputError
from rtsep.show import cue as cues
from rtsep.show.cue import LAST_NUMBER, Cue, rounded
from rtsep.show.folder import MOST_CUES, SNAPSHOTS, Show
from rtsep.show.keeping import Keeper, load
from rtsep.show.scope import apart
from rtsep.show.statefiles import OF_PRESET

if TYPE_CHECKING:
    from rtsep.presets import Preset


def stored(show: Show, name: str, values: Mapping[str, float], preset: Preset) -> tuple[Show, Cue]:
    """Return a show with a snapshot of some values, and that one.

    One that has this name, or number, is stored anew: it keeps its fades and its scope, and what it says of
    microphones that are not there today.

    Parameters
    ----------
    show : Show
    name : str
        Empty: it gets one by its number.
    values : mapping of str to float
        Of single targets, by path.
    preset : Preset
        That sounds.

    Raises
    ------
    InputError
        If that is no name, or there are too many.
    """
    old = next((cue for cue in show.cues if name in (str(cue.number), cue.name)), None)
    if old is None:
        number = max((cue.number for cue in show.cues), default=0) + 1
        name = name.strip() or f"snapshot {number}"
        if not name.isprintable() or name.isdecimal():
            raise InputError("the snapshot's name", repr(name), "a name in one line that is no number")
        if number > LAST_NUMBER or len(show.cues) >= MOST_CUES:
            raise InputError(str(show.folder), "there are too many snapshots", f"allowed are up to {MOST_CUES}")
        old = Cue(number, name, file=cues.file_name(number, name))
    held = apart(preset)
    mine = {path: rounded(value) for path, value in values.items() if old.has(path, held)}
    # What was said for all microphones at once is now said for each.
    left = {path: value for path, value in old.values.items()
            if path not in mine and not any(one.startswith(f"{path}.") for one in mine)}
    cue = dataclasses.replace(old, values={**mine, **left})
    return with_cue(show, cue), cue


def with_cue(show: Show, cue: Cue) -> Show:
    """Return a show with a snapshot in the place of the one of its number, or behind all others."""
    others = tuple(cue if one.number == cue.number else one for one in show.cues)
    return dataclasses.replace(show, cues=others if cue in others else (*others, cue))


def with_states(cue: Cue, names: Mapping[str, str], preset: Preset) -> Cue:
    """Return a snapshot with plug-ins' states, names of files by path, as far as they are in its scope."""
    held = apart(preset)
    mine = {path: name for path, name in names.items() if cue.has(path, held)}
    return dataclasses.replace(cue, states={**cue.states, **mine})


def save(show: Show, cue: Cue, keeper: Keeper) -> Path:
    """Write a snapshot's file, and return it; the one that was there is in the history from now on.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    path = show.folder / SNAPSHOTS / f"{cue.file}.toml"
    path.parent.mkdir(exist_ok=True)
    keeper.keep_old(path)
    cues.save(cue, path.parent)
    return path


def store_offline(show: Show, name: str) -> tuple[Cue, str]:
    """Store what stood on the desk last, or what the show's preset says if it was never open.

    Returns
    -------
    cue : Cue
    origin : str
        Whose values these are, as a part of a line.

    Raises
    ------
    InputError
    """
    state = load(show.folder)
    preset = presets.load(show.source((state and state.preset) or show.preset))
    if state is not None:
        values, origin = state.values, "what stood there last"
    else:
        if not show.mics:
            raise InputError(str(show.folder), "there is no patch.csv: nobody knows the microphones", "write one")
        board = presets.lay_out(preset, tuple(mic.name for mic in show.mics))
        values = {one: board.get(one) for path in board.paths() for one in board.spread(path)}
        origin = f"the values of preset {preset.name}"
    _, cue = stored(show, name, values, preset)
    plugins = kept(preset, tuple(mic.name for mic in show.mics))
    given = {} if state is None else state.states
    cue = with_states(cue, {path: given.get(path, OF_PRESET) for path in plugins}, preset)
    save(show, cue, Keeper(show.folder))
    return cue, origin
