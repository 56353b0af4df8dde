"""Compare: in what two snapshots, or two shows, differ."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from rtsep import presets
from rtsep.errors import InputError
from rtsep.params import Board
from rtsep.show import cue as cues
from rtsep.show.cue import Cue
from rtsep.show.folder import FILE, SNAPSHOTS, Show, load

_OF_SHOW = ("name", "preset", "block", "input_device", "output_device", "calibration", "midi", "safe")
_OF_CUE = ("number", "fade_s", "scope", "preset")


@dataclass(frozen=True)
class Difference:
    """One thing that differs.

    Parameters
    ----------
    snapshot : str
        Its name; empty: the show itself.
    what : str
        A path, or what else.
    first, second : float, str, list or None
        As it is in either; None: not there.
    """

    snapshot: str
    what: str
    first: object
    second: object


def differences(first: str, second: str) -> list[Difference]:
    """Compare two shows or two snapshots.

    Parameters
    ----------
    first, second : str
        A show's folder, a snapshot's file, or `FOLDER:SNAPSHOT` with its number or name.

    Raises
    ------
    InputError
        If one cannot be read, or only one is a show.
    """
    (one, cue_a), (two, cue_b) = _opened(first), _opened(second)
    if cue_a is not None and cue_b is not None:
        name = cue_a.name if cue_a.name == cue_b.name else f"{cue_a.name} | {cue_b.name}"
        return _of_cues(cue_a, cue_b, _board(one), _board(two), name)
    if cue_a is not None or cue_b is not None:
        raise InputError(second, "one is a show, the other a snapshot", "two shows, or two snapshots")
    assert one is not None
    assert two is not None
    return _of_shows(one, two)


def _opened(what: str) -> tuple[Show | None, Cue | None]:
    """Return a show, and one of its snapshots if that is meant; a file may lie outside of any show."""
    path = Path(what)
    if path.is_file():
        folder = path.resolve().parent.parent
        inside = path.resolve().parent.name == SNAPSHOTS and (folder / FILE).is_file()
        return (load(folder) if inside else None), cues.load(path)
    if path.is_dir() or ":" not in what:
        return load(path), None
    folder_name, _, which = what.rpartition(":")
    show = load(folder_name)
    return show, show.find(which)


def _board(show: Show | None) -> Board | None:
    """Return a board by which values for all microphones are told from those for one, where they are known."""
    if show is None or not show.mics:
        return None
    return presets.make_board(presets.load(show.source(show.preset)), tuple(mic.name for mic in show.mics))


def _of_shows(one: Show, two: Show) -> list[Difference]:
    found = [
        Difference("", key, _plain(getattr(one, key)), _plain(getattr(two, key)))
        for key in _OF_SHOW if getattr(one, key) != getattr(two, key)
    ]
    mics = [[dataclasses.asdict(mic) | {"line": 0} for mic in show.mics] for show in (one, two)]
    if mics[0] != mics[1]:
        found.append(Difference("", "microphones", *([mic["name"] for mic in side] for side in mics)))
    names = [[cue.name for cue in show.cues] for show in (one, two)]
    if names[0] != names[1]:
        found.append(Difference("", "snapshots", *names))
    boards = _board(one), _board(two)
    theirs = {cue.name: cue for cue in two.cues}
    for cue in one.cues:
        if cue.name in theirs:
            found += _of_cues(cue, theirs[cue.name], *boards, cue.name)
    return found


def _of_cues(one: Cue, two: Cue, first: Board | None, second: Board | None, name: str) -> list[Difference]:
    found = [
        Difference(name, key, _plain(getattr(one, key)), _plain(getattr(two, key)))
        for key in _OF_CUE if getattr(one, key) != getattr(two, key)
    ]
    for table, a, b in (("", _single(one, first), _single(two, second)), ("fade ", one.fades, two.fades),
                        ("state ", one.states, two.states)):
        found += [
            Difference(name, table + path, a.get(path), b.get(path))
            for path in dict.fromkeys([*a, *b]) if a.get(path) != b.get(path)
        ]
    return found


def _single(cue: Cue, board: Board | None) -> dict[str, float]:
    """Return its values by the paths of single targets, where it is known which there are."""
    if board is None:
        return dict(cue.values)
    from rtsep.show.placing import place

    placed = place(cue.values, board)
    left = {path: cue.values[path] for paths in placed.left.values() for path in paths}
    return {**placed.values, **left}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
