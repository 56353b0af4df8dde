"""MIDI files: their notes, in seconds. A pedal is not read."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rtsep.errors import InputError

PERCUSSION = 9   # General MIDI's channel 10, counted from 0: there a pitch stands for an instrument

_ALLOWED = "allowed is a MIDI file of type 0 or 1 that counts in ticks"
_TEMPO = 500_000   # microseconds a beat, where a file says nothing


@dataclass(frozen=True)
class Note:
    """A note: from `start` to `end`, in seconds of the recording; tracks and channels count from 0."""

    start: float
    end: float
    pitch: int
    track: int
    channel: int
    track_name: str = ""


def read(path: str) -> list[Note]:
    """Return the notes of a MIDI file in the order in which they begin; there may be none.

    One that is never released ends with its track.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    import mido

    try:
        file = mido.MidiFile(path, clip=True)
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror or 'it is no MIDI file'}", _ALLOWED) from None
    except Exception:   # mido raises whatever its parser stumbles over
        raise InputError(path, "cannot be read: it is no MIDI file, or a damaged one", _ALLOWED) from None
    if file.type == 2 or file.ticks_per_beat <= 0:
        raise InputError(path, "counts in frames, or holds tracks that do not run together", _ALLOWED)
    ticks, tempi = [0], [_TEMPO]
    found: list[Note] = []   # in ticks, until every tempo is known
    for number, track in enumerate(file.tracks):
        now, sounding, name = 0, dict[tuple[int, int], list[int]](), track.name.strip()
        for message in track:
            now += message.time
            if message.type == "set_tempo":
                ticks.append(now)
                tempi.append(message.tempo)
            elif message.type in ("note_on", "note_off"):
                key = (message.note, message.channel)
                if message.type == "note_on" and message.velocity:
                    sounding.setdefault(key, []).append(now)
                elif sounding.get(key):
                    found.append(Note(sounding[key].pop(0), now, message.note, number, message.channel, name))
        for (pitch, channel), starts in sounding.items():   # never released
            found += [Note(start, now, pitch, number, channel, name) for start in starts]
    order = np.argsort(ticks, kind="stable")
    beats = np.array(ticks)[order] / file.ticks_per_beat
    seconds = np.array(tempi)[order] / 1e6
    begun = np.concatenate([[0.0], np.cumsum(np.diff(beats) * seconds[:-1])])

    def time(tick: float) -> float:
        beat = tick / file.ticks_per_beat
        last = int(np.searchsorted(beats, beat, side="right")) - 1
        return float(begun[last] + (beat - beats[last]) * seconds[last])

    notes = [replace(note, start=time(note.start), end=time(note.end)) for note in found]
    return sorted(notes, key=lambda note: (note.start, note.pitch, note.track))
