"""Score: the notes of a MIDI file in seconds, and what they allow a factorisation to contain.

The score must run along with the recording: a note at 3 s is heard at 3 s. Aligning a free performance is not done
here. Notes of the drum channel (10) have no pitch and are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError
from rtsep.systems import midi
from rtsep.systems.dictionary import frequency
from rtsep.systems.midi import Note

Matrix = NDArray[np.float32]

BEFORE, AFTER = 0.2, 0.5
"""Seconds by which a note may begin before and sound after what the score says."""

ONSET_BEFORE, ONSET_AFTER = 0.3, 0.1
"""Seconds around a note's beginning in which its attack may sound."""

PITCH_TOLERANCE = 0.05
"""Share of a partial's frequency by which it may be off."""

ONSET_LEVEL = np.float32(0.1)
"""Of a flat template, for an attack, in every bin."""


def read(place: str, path: str) -> list[Note]:
    """Return the notes of a MIDI file in the order in which they begin.

    Raises
    ------
    InputError
        If there is no such file, or no note in it.
    """
    if not path:
        raise InputError(place, "no score is given", "allowed is a MIDI file that runs along with the recording")
    notes = [note for note in midi.read(path) if note.channel != midi.PERCUSSION]
    if not notes:
        raise InputError(path, "holds no notes", "allowed is a MIDI file with pitched notes")
    return notes


def by_track(notes: Sequence[Note]) -> dict[str, list[Note]]:
    """Return the notes of each track that has any."""
    tracks = sorted({note.track for note in notes})
    return {
        f"track {number}": [note for note in notes if note.track == track] for number, track in enumerate(tracks, 1)
    }


def by_pitch(notes: Sequence[Note]) -> dict[str, list[Note]]:
    """Return the notes of each pitch, from low to high."""
    pitches = sorted({note.pitch for note in notes})
    return {f"pitch {pitch:03}": [note for note in notes if note.pitch == pitch] for pitch in pitches}


def by_hand(place: str, notes: Sequence[Note], by: str, split: int) -> dict[str, list[Note]]:
    """Return the notes of the `left` and the `right` hand.

    Parameters
    ----------
    place : str
        For the error.
    notes : sequence of Note
    by : str
        `track`, `channel`: of two, the right hand's is the higher on average. `split`: the right hand plays from the
        pitch `split` on. `auto`: the first of these that there are two of.
    split : int

    Raises
    ------
    InputError
        If there are not two tracks or channels, and just these were asked for.
    """
    for kind in ("track", "channel"):
        if by not in (kind, "auto"):
            continue
        there = sorted({getattr(note, kind) for note in notes})
        if len(there) == 2:
            hands = [[note for note in notes if getattr(note, kind) == which] for which in there]
            left, right = sorted(hands, key=lambda hand: float(np.mean([note.pitch for note in hand])))
            return {"left": left, "right": right}
        if by == kind:
            raise InputError(place, f"{len(there)} {kind}s with notes", f"allowed is two {kind}s, or by=split")
    return {
        "left": [note for note in notes if note.pitch < split],
        "right": [note for note in notes if note.pitch >= split],
    }


def pitch_template(pitch: int, window: int, rate: int) -> Matrix:
    """Return float32[bins]: 1/m where partial m of a pitch may be, 0 elsewhere (the template constraint).

    References
    ----------
    Müller, Fundamentals of Music Processing, 2nd ed., section 8.3.2.
    """
    resolution = rate / window
    template = np.zeros(window // 2 + 1, np.float32)
    partial, place = 1, frequency(pitch)
    while (1 - PITCH_TOLERANCE) * partial * place < rate / 2:
        lowest = int((1 - PITCH_TOLERANCE) * partial * place / resolution)
        highest = int((1 + PITCH_TOLERANCE) * partial * place / resolution)
        template[lowest : highest + 1] = 1 / partial
        partial += 1
    return template


def sounding(notes: Sequence[Note], pitches: Sequence[int], times: NDArray[np.float64]) -> Matrix:
    """Return float32[pitches, times], 1 where a pitch may sound, 0 elsewhere (the activation constraint)."""
    return _around(notes, pitches, times, [(note.start - BEFORE, note.end + AFTER) for note in notes])


def beginning(notes: Sequence[Note], pitches: Sequence[int], times: NDArray[np.float64]) -> Matrix:
    """Return float32[pitches, times], 1 where a note of a pitch may begin, 0 elsewhere."""
    return _around(notes, pitches, times, [(note.start - ONSET_BEFORE, note.start + ONSET_AFTER) for note in notes])


def _around(
    notes: Sequence[Note], pitches: Sequence[int], times: NDArray[np.float64], spans: list[tuple[float, float]]
) -> Matrix:
    rows = {pitch: row for row, pitch in enumerate(pitches)}
    allowed = np.zeros((len(pitches), len(times)), np.float32)
    for note, (start, end) in zip(notes, spans, strict=True):
        if note.pitch in rows:
            allowed[rows[note.pitch], np.searchsorted(times, start) : np.searchsorted(times, end)] = 1
    return allowed
