"""Keeping: the last state of a show, whole at any moment, and a history in which nothing is ever written over."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rtsep.params import Option
from rtsep.presetfile import toml
from rtsep.show.cue import LAST_NUMBER, states
from rtsep.show.folder import HISTORY, STATE, write
from rtsep.show.reading import SCHEMA, Reader

HISTORY_EVERY = 10.0   # seconds between two states in the history: what a hand has done in between is in the second
# What stays of each name in the history: all of the last hour, then one every ten minutes for a day, then one a day;
# the newest always. That is 360 + 144 of a long evening, 20 kB each.
_HOUR, _TEN_MINUTES, _DAY = 3600.0, 600.0, 86400.0
NEWEST = 20
_STAMP = "%Y%m%dT%H%M%S"

_CURRENT = Option("current", int, 0, "Number of the snapshot that was recalled last; 0: none.", 0, LAST_NUMBER)
_PRESET = Option("preset", str, "", "What sounded.")


@dataclass(frozen=True)
class State:
    """Where everything stood.

    Parameters
    ----------
    current : int or None
        Number of the snapshot that was recalled last.
    preset : str
        Name, or file in the folder.
    safe : tuple of str
        Patterns of paths that no recall turns.
    values : mapping of str to float
        Of every single target, by path.
    states : mapping of str to str
        Of plug-ins, where these are not the preset's, as `Cue` has them.
    """

    current: int | None = None
    preset: str = ""
    safe: tuple[str, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)


def load(folder: Path) -> State | None:
    """Read the last state; None: there is none.

    Raises
    ------
    InputError
        If it is not whole, or somebody has changed it.
    """
    if not (folder / STATE).exists():
        return None
    reader = Reader(folder / STATE, "state", ("current", "preset", "safe", "values", "states"), ())
    return State(reader.take(_CURRENT) or None, reader.take(_PRESET), reader.strings("safe"), reader.numbers("values"),
                 states(reader))


def dumps(state: State) -> str:
    """Return a state as TOML."""
    values, states = (
        "".join(f"{toml(path)} = {toml(value)}\n" for path, value in table.items())
        for table in (state.values, state.states)
    )
    return (f"schema = {SCHEMA}\ncurrent = {state.current or 0}\npreset = {toml(state.preset)}\n"
            f"safe = {toml(state.safe)}\n\n[values]\n{values}" + (f"\n[states]\n{states}" if states else ""))


class Keeper:
    """Writes the state of a show and its history.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._noted = -HISTORY_EVERY

    def keep(self, state: State, last: bool = False) -> None:
        """Write the state, and now and then also into the history; `last`: it is the last one of this run.

        Raises
        ------
        InputError
            If it cannot be written; the one before stays.
        """
        text = dumps(state)
        write(self._folder / STATE, text)
        now = time.monotonic()
        if last or now - self._noted >= HISTORY_EVERY:
            self._noted = now
            self._add(STATE, text)

    def keep_old(self, path: Path) -> None:
        """Put what is in a file into the history, before it is written over.

        Raises
        ------
        InputError
        """
        if path.exists():
            self._add(path.name, path.read_text("utf-8"))

    def _add(self, name: str, text: str) -> None:
        folder = self._folder / HISTORY
        folder.mkdir(exist_ok=True)
        moment = time.time()
        while (place := folder / f"{stamp(moment)}-{name}").exists():
            moment += 0.001
        write(place, text)
        for old in pruned(os.listdir(folder), moment):
            (folder / old).unlink(missing_ok=True)


def pruned(
    names: Iterable[str], now: float, newest: int = NEWEST, whole: float = _HOUR, slot: float = _TEN_MINUTES
) -> set[str]:
    """Return which files of a history may go.

    Parameters
    ----------
    names : iterable of str
        `20261128T201503.250Z-state.toml`; others stay.
    now : float
        Seconds since 1970.
    newest : int
        So many stay of each name.
    whole : float
        Seconds of which all stay.
    slot : float
        Seconds, of which one stays of the day before that.
    """
    series: dict[str, list[tuple[float, str]]] = {}
    for name in names:
        moment = _moment(name)
        if moment is not None:
            series.setdefault(name.partition("-")[2], []).append((moment, name))
    gone = set()
    for entries in series.values():
        entries.sort(reverse=True)
        slots: set[tuple[float, int]] = set()
        for moment, name in reversed(entries[newest:]):   # the oldest of each slot stays: it is there already
            age = now - moment
            if age > whole:
                width = slot if age <= _DAY else _DAY
                place = (width, int(moment // width))
                if place in slots:
                    gone.add(name)
                slots.add(place)
    return gone


def stamp(moment: float) -> str:
    """Return what the name of a file in a history begins with; `moment` in seconds since 1970."""
    return f"{datetime.fromtimestamp(moment, UTC).strftime(_STAMP)}.{int(moment * 1000) % 1000:03d}Z"


def _moment(name: str) -> float | None:
    stamp, dash, _ = name.partition("-")
    whole, dot, rest = stamp.partition(".")
    try:
        seconds = datetime.strptime(whole, _STAMP).replace(tzinfo=UTC).timestamp()
        return seconds + int(rest.removesuffix("Z")) / 1000 if dash and dot else None
    except ValueError:
        return None
