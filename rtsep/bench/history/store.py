"""The history: what every bench has measured on this machine, in one SQLite file.

A run is one call of a verb. Each of its readings is stored as it comes, in a transaction of its own, and the log is
written ahead: what is killed leaves a file that opens, with all that it had. Such a run is not finished, and the same
verb with the same options may go on with it. Beside readings a run keeps notes, by key: what else there is to tell,
as JSON.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import pathlib
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtsep.bench.history import place
from rtsep.bench.history.reading import Reading
from rtsep.errors import InputError

_VERSION = 1
_PATIENCE = 30.0   # seconds: another bench writes for milliseconds
_TABLES = """
CREATE TABLE runs (
    number INTEGER PRIMARY KEY, bench TEXT NOT NULL, options TEXT NOT NULL, began TEXT NOT NULL, seconds REAL,
    commit_name TEXT NOT NULL, machine TEXT NOT NULL, versions TEXT NOT NULL
);
CREATE TABLE readings (
    run INTEGER NOT NULL REFERENCES runs, name TEXT NOT NULL, value REAL, unit TEXT NOT NULL, better TEXT NOT NULL,
    noise REAL, repeats TEXT NOT NULL, PRIMARY KEY (run, name)
);
CREATE TABLE notes (
    run INTEGER NOT NULL REFERENCES runs, key TEXT NOT NULL, note TEXT NOT NULL, PRIMARY KEY (run, key)
);
"""
_COLUMNS = "number, bench, options, began, seconds, commit_name, machine, versions"


@dataclass(frozen=True)
class Run:
    """One call of a bench.

    Parameters
    ----------
    number : int
    bench : str
    options : dict
        What it was asked for: runs with other options are not compared.
    began : str
        UTC, ISO 8601.
    seconds : float or None
        How long it took; None: it has not finished.
    commit : str
        See `place.commit`.
    machine, versions : dict
        See `place.machine` and `place.versions`.
    """

    number: int
    bench: str
    options: dict[str, Any]
    began: str
    seconds: float | None
    commit: str
    machine: dict[str, Any]
    versions: dict[str, str]


def where() -> pathlib.Path:
    """Return the file of this machine: `rtsep/bench.sqlite` in the user's data folder (XDG_DATA_HOME)."""
    told = os.environ.get("XDG_DATA_HOME", "")
    folder = pathlib.Path(told) if os.path.isabs(told) else pathlib.Path.home() / ".local" / "share"
    return folder / "rtsep" / "bench.sqlite"


class History:
    """The file; closed at the end of a `with`.

    Parameters
    ----------
    path : Path, optional
        Of this machine by default.

    Raises
    ------
    InputError
        If it cannot be opened, is no history, or a later rtsep has made it.
    """

    def __init__(self, path: pathlib.Path | None = None) -> None:
        self.path = path or where()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            self._check()
        except (OSError, sqlite3.Error) as error:
            raise InputError(str(self.path), f"the history cannot be opened: {error}", "see XDG_DATA_HOME") from None

    def _check(self) -> None:
        with self._whole():
            (version,) = self._base.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for table in filter(str.strip, _TABLES.split(";")):
                    self._base.execute(table)
                self._base.execute(f"PRAGMA user_version = {_VERSION}")
        if version not in (0, _VERSION):
            raise InputError(str(self.path), f"has version {version}", f"this rtsep knows version {_VERSION}")

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """Do all of it or nothing, and let nobody write between."""
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")

    def begin(self, bench: str, options: Mapping[str, Any], resume: bool = False) -> Recorder:
        """Begin a run, or go on with the last one of the same bench, options, commit and machine that has not ended."""
        about, source, asked = place.machine(), place.commit(), _text(options)
        if resume:
            rows = self._base.execute(
                "SELECT number, machine FROM runs WHERE bench = ? AND options = ? AND commit_name = ?"
                " AND seconds IS NULL ORDER BY number DESC", (bench, asked, source))
            for number, machine in rows.fetchall():
                if json.loads(machine)["key"] == about["key"]:
                    return Recorder(self, number)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        cursor = self._base.execute(
            "INSERT INTO runs (bench, options, began, commit_name, machine, versions) VALUES (?, ?, ?, ?, ?, ?)",
            (bench, asked, now, source, _text(about), _text(place.versions())))
        return Recorder(self, int(cursor.lastrowid or 0))

    def runs(self, bench: str = "") -> list[Run]:
        """Return all runs, or those of one bench, the oldest first."""
        rows = self._base.execute(
            f"SELECT {_COLUMNS} FROM runs WHERE ? IN ('', bench) ORDER BY number", (bench,)).fetchall()
        return [Run(number, name, json.loads(options), began, seconds, source, json.loads(about), json.loads(versions))
                for number, name, options, began, seconds, source, about, versions in rows]

    def readings(self, number: int) -> list[Reading]:
        """Return what a run has measured, in its order."""
        rows = self._base.execute(
            "SELECT name, value, unit, better, noise, repeats FROM readings WHERE run = ? ORDER BY rowid", (number,))
        return [Reading(name, float("nan") if value is None else value, unit, better, noise, tuple(json.loads(repeats)))
                for name, value, unit, better, noise, repeats in rows.fetchall()]

    def notes(self, number: int) -> dict[str, Any]:
        """Return what else a run has told, by key."""
        rows = self._base.execute("SELECT key, note FROM notes WHERE run = ? ORDER BY rowid", (number,)).fetchall()
        return {key: json.loads(note) for key, note in rows}

    def write(self, command: str, rows: Sequence[Sequence[Any]]) -> None:
        """Write rows, all or none."""
        with self._whole():
            self._base.executemany(command, rows)

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Recorder:
    """Writes a run into a history; made by `History.begin`."""

    def __init__(self, history: History, number: int) -> None:
        self.number = number
        self._history = history
        self._began = time.monotonic()

    def add(self, readings: Sequence[Reading]) -> None:
        """Store readings; what has that name already gives way."""
        self._history.write(
            "INSERT OR REPLACE INTO readings VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(self.number, r.name, r.value, r.unit, r.better, r.noise, json.dumps(r.repeats)) for r in readings])

    def note(self, key: str, note: Any) -> None:
        """Store what else there is to tell, as JSON."""
        self._history.write("INSERT OR REPLACE INTO notes VALUES (?, ?, ?)", [(self.number, key, json.dumps(note))])

    def notes(self) -> dict[str, Any]:
        """Return the notes there are: after `resume` those of the one that was killed, too."""
        return self._history.notes(self.number)

    def finish(self) -> None:
        """Say that all has been measured; of a run that was resumed the time since then counts."""
        self._history.write("UPDATE runs SET seconds = ? WHERE number = ?",
                            [(time.monotonic() - self._began, self.number)])


def keep(bench: str, options: Mapping[str, Any], readings: Sequence[Reading], notes: Mapping[str, Any]) -> int:
    """Store a whole run that has just ended; returns its number.

    Raises
    ------
    InputError
        See `History`.
    """
    with History() as history:
        recorder = history.begin(bench, options)
        recorder.add(readings)
        for key, note in notes.items():
            recorder.note(key, note)
        recorder.finish()
        return recorder.number


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
