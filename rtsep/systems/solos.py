"""Solos: the passages of a soundcheck in which one performer plays alone, and the table that names them."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rtsep.errors import InputError
from rtsep.limits import check_file

_HEADER = ("mic", "start_s", "end_s")


@dataclass(frozen=True)
class Solo:
    """A passage in which one performer plays alone.

    Parameters
    ----------
    mic : int
        The performer's microphone, from 0.
    start, end : int
        First sample, and the one after the last.
    """

    mic: int
    start: int
    end: int


def read_solos(csv_path: str | os.PathLike[str], names: Sequence[str], rate: int, frames: int) -> list[Solo]:
    """Read a list of solos.

    Parameters
    ----------
    csv_path : str or path-like
        A table with the header `mic,start_s,end_s`; mic is a name or a number from 1, times are in seconds.
    names : sequence of str
        The microphones.
    rate : int
        Sampling rate, Hz.
    frames : int
        Length of the recording, samples.

    Returns
    -------
    list of Solo
        In the order of the file.

    Raises
    ------
    InputError
        Anything in the file that is not so; the place is `file:line`.
    """
    header = list(_HEADER)
    try:
        check_file(csv_path)
        with open(csv_path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except FileNotFoundError as error:
        raise InputError(str(csv_path), "no such file", f"a table with the header {','.join(header)}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(str(csv_path), f"cannot be read ({error})", "a comma-separated table, UTF-8") from error
    rows = [(line, row) for line, row in rows if any(row)]
    if not rows or rows[0][1] != header:
        line, row = rows[0] if rows else (1, [])
        raise InputError(f"{csv_path}:{line}", f"header {','.join(row)!r}", f"must be {','.join(header)}")
    found = place_solos([(f"{csv_path}:{line}", f"line {line}", row) for line, row in rows[1:]], names, rate, frames)
    if not found:
        raise InputError(f"{csv_path}:{rows[0][0]}", "no solo follows the header", "one line per solo")
    return found


def place_solos(
    rows: Iterable[tuple[str, str, Sequence[str]]], names: Sequence[str], rate: int, frames: int
) -> list[Solo]:
    """Find the samples of solos that are given in words.

    Parameters
    ----------
    rows : iterable of (place, short place, cells)
        What errors call each, alone and beside another, and its mic, start and end as `read_solos` has them.
    names, rate, frames
        See `read_solos`.

    Raises
    ------
    InputError
        If one is not within the recording, or two of different microphones overlap.
    """
    header = ",".join(_HEADER)
    solos: list[Solo] = []
    wheres: list[str] = []
    for place, where, row in rows:
        if len(row) != len(_HEADER):
            raise InputError(place, f"{len(row)} columns", f"must be {len(_HEADER)}: {header}")
        solo = _parse_solo(place, row, names, rate, frames)
        for other, before in zip(solos, wheres, strict=True):
            if other.mic != solo.mic and other.start < solo.end and solo.start < other.end:
                raise InputError(place, f"overlaps the solo of {names[other.mic]} in {before}", "one plays alone")
        solos.append(solo)
        wheres.append(where)
    return solos


def _parse_solo(place: str, row: Sequence[str], names: Sequence[str], rate: int, frames: int) -> Solo:
    mic, *times = row
    if mic in names:
        index = list(names).index(mic)
    elif mic.isascii() and mic.isdigit() and 1 <= int(mic) <= len(names):
        index = int(mic) - 1
    else:
        raise InputError(place, f"unknown mic {mic!r}", f"known: {', '.join(names)}, or 1 to {len(names)}")
    seconds = []
    for key, text in zip(("start_s", "end_s"), times, strict=True):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InputError(place, f"{key} {text!r}", "a number of seconds")
        seconds.append(value)
    start, end = (round(value * rate) for value in seconds)
    if start < 0:
        raise InputError(place, f"start_s {times[0]}", "0 or more")
    if end <= start:
        raise InputError(place, f"end_s {times[1]}", f"later than start_s {times[0]}")
    if end > frames:
        raise InputError(place, f"end_s {times[1]}", f"at most {frames / rate:g}, where the recording ends")
    return Solo(index, start, end)
