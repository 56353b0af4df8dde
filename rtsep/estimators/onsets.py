"""Annotations: when what is played, read from a MIDI file or a table of comma-separated values."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError

_ALLOWED = "allowed is a MIDI file (.mid), or a .csv of time_s,part or start_s,end_s,part[,pitch]"
_HIGHEST = 127   # MIDI pitch
_PERCUSSION = 9  # General MIDI's channel 10


@dataclass(frozen=True)
class Event:
    """Something that is played.

    Parameters
    ----------
    start, end : float
        Seconds from the beginning of the recording; the same if only the onset is known.
    part : str
        Who plays it: a MIDI track, or what the table says.
    pitch : int, optional
        MIDI number.
    percussive : bool
        It is on MIDI's percussion channel, where a pitch stands for an instrument.
    """

    start: float
    end: float
    part: str
    pitch: int | None = None
    percussive: bool = False


def read(path: str) -> list[Event]:
    """Return the events of an annotation, by time.

    Raises
    ------
    InputError
        If the file cannot be read, or holds none.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".csv", ".mid", ".midi"):
        raise InputError(path, "is no annotation", _ALLOWED)
    try:
        events = _table(path) if suffix == ".csv" else _midi(path)
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror or error}", _ALLOWED) from None
    if not events:
        raise InputError(path, "holds no note", _ALLOWED)
    return sorted(events, key=lambda event: (event.start, event.part, event.pitch or 0))


def active(
    events: Iterable[Event], times: NDArray[np.float64], before: float, after: float
) -> NDArray[np.bool_]:
    """Say at which of some ascending times at least one event is on, from `before` its start to `after` its end."""
    found = np.zeros(len(times), np.bool_)
    for event in events:
        first = np.searchsorted(times, event.start - before, "left")
        found[first : np.searchsorted(times, event.end + after, "right")] = True
    return found


def _table(path: str) -> list[Event]:
    events = []
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            for number, row in enumerate(csv.reader(file), 1):
                cells = [cell.strip() for cell in row]
                if not any(cells) or (number == 1 and not _is_number(cells[0])):
                    continue   # empty, or the columns' names
                try:
                    events.append(_event(cells))
                except ValueError:
                    raise InputError(f"{path}:{number}", f"{','.join(row)!r} is no event", _ALLOWED) from None
    except (UnicodeDecodeError, csv.Error):
        raise InputError(path, "is no text", _ALLOWED) from None
    return events


def _event(cells: Sequence[str]) -> Event:
    if len(cells) == 2:
        start = end = float(cells[0])
        part, pitch = cells[1], None
    elif len(cells) in (3, 4):
        start, end, part = float(cells[0]), float(cells[1]), cells[2]
        pitch = int(cells[3]) if len(cells) == 4 and cells[3] else None
    else:
        raise ValueError
    if not (0 <= start <= end < math.inf) or not part or (pitch is not None and not 0 <= pitch <= _HIGHEST):
        raise ValueError
    return Event(start, end, part, pitch)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _midi(path: str) -> list[Event]:
    import mido

    try:
        file = mido.MidiFile(path, clip=True)
    except OSError:
        raise
    except Exception:   # mido raises whatever its parser stumbles over
        raise InputError(path, "is no MIDI file", _ALLOWED) from None
    if file.type == 2 or file.ticks_per_beat <= 0:
        raise InputError(path, "has tracks or a clock of its own kind", "allowed is type 0 or 1, in ticks per beat")
    seconds = _Tempo(file)
    events = []
    for number, track in enumerate(file.tracks, 1):
        ticks = 0
        open_notes: dict[tuple[int, int], list[int]] = {}
        for message in track:
            ticks += message.time
            if message.type not in ("note_on", "note_off"):
                continue
            key = (message.channel, message.note)
            if message.type == "note_on" and message.velocity:
                open_notes.setdefault(key, []).append(ticks)
            elif open_notes.get(key):
                events.append(_note(seconds, open_notes[key].pop(0), ticks, key, track.name, number))
        # A note that is never released ends with its track.
        events += [
            _note(seconds, start, ticks, key, track.name, number) for key, starts in open_notes.items()
            for start in starts
        ]
    return events


class _Tempo:
    """Turns ticks into seconds by the tempo changes of all tracks."""

    def __init__(self, file: Any) -> None:
        changes = [(0, 500000)]   # microseconds a beat, until a file says otherwise
        for track in file.tracks:
            ticks = 0
            for message in track:
                ticks += message.time
                if message.type == "set_tempo":
                    changes.append((ticks, message.tempo))
        changes.sort(key=lambda change: change[0])
        self._ticks = np.array([ticks for ticks, _ in changes], np.float64)
        self._pace = np.array([tempo for _, tempo in changes]) * 1e-6 / file.ticks_per_beat
        self._seconds = np.concatenate([[0.0], np.cumsum(np.diff(self._ticks) * self._pace[:-1])])

    def at(self, ticks: int) -> float:
        """Return the time of a tick, seconds."""
        place = int(np.searchsorted(self._ticks, ticks, "right")) - 1
        return float(self._seconds[place] + (ticks - self._ticks[place]) * self._pace[place])


def _note(tempo: _Tempo, start: int, end: int, key: tuple[int, int], name: str, number: int) -> Event:
    channel, pitch = key
    part = name.strip() or f"track {number}"
    return Event(tempo.at(start), tempo.at(end), part, pitch, channel == _PERCUSSION)
