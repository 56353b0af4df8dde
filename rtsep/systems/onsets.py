"""Annotations: when what is played, read from a MIDI file or a table of comma-separated values."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError
from rtsep.systems import midi

_ALLOWED = "allowed is a MIDI file (.mid), or a .csv of time_s,part or start_s,end_s,part[,pitch]"
_HIGHEST = 127   # MIDI pitch


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
    events = _table(path) if suffix == ".csv" else _midi(path)
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
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror or error}", _ALLOWED) from None
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
    return [
        Event(
            note.start, note.end, note.track_name or f"track {note.track + 1}", note.pitch,
            note.channel == midi.PERCUSSION,
        )
        for note in midi.read(path)
    ]
