"""Decoders: what libsndfile reads, put right where its seeking is not exact.

Found in libsndfile 1.2.2: in Ogg Vorbis every fifth seek or so lands some multiple of 448 samples away, without an
error; what MP3, Vorbis and Opus decode just behind a place depends on what was decoded before; and a read of Opus that
begins in the last packet returns samples from elsewhere in it. So lossy sound is decoded from its beginning on, and
who goes back in it has two decoders, one behind the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.audiofile.spliced import Spliced

Samples = NDArray[np.float32]   # [frames, channels]

LONGEST = 1 << 48
"""Frames; what claims more does not know."""

_LAST = 1 << 13    # frames at the end of lossy sound that are read at once: more than an Opus packet has, 5760
_PIECE = 1 << 16   # frames that are read at a time to be counted or passed over
_DECODERS = 2      # who reads in overlapping passages then decodes all of it twice, and no part a third time
_LOSSY = ("MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III", "VORBIS", "OPUS")


class Part:
    """Sound of one file, of which the length is known.

    Parameters
    ----------
    open_sound : callable
        Returns a SoundFile at its beginning.
    first : SoundFile
        One that it has returned.
    frames : int or None
        How many there are. If None, what libsndfile says, or if it does not know, as many as can be read.
    count : bool
        Count them in any case.
    """

    def __init__(self, open_sound: Callable[[], Any], first: Any, frames: int | None, count: bool) -> None:
        self._open = open_sound
        self._sounds = [first]
        self._at = 0
        self.rate, self.channels = int(first.samplerate), int(first.channels)
        self.told = int(first.frames)   # by libsndfile
        if count or (frames is None and first.frames > LONGEST):
            frames = _counted(first)
            _close(first)
            self._sounds = [open_sound()]
        self.frames = self.told if frames is None else frames

    def read(self, frames: int) -> Samples:
        """Return the next frames; fewer where the sound is damaged."""
        samples: Samples = self._sounds[0].read(frames, dtype="float32", always_2d=True)
        self._at += len(samples)
        return samples

    def seek(self, frame: int) -> None:
        """Go to a frame."""
        self._sounds[0].seek(frame)
        self._at = frame

    def close(self) -> None:
        """Close it."""
        for sound in self._sounds:
            _close(sound)


class Lossy(Part):
    """Sound that cannot be entered at any place: MP3, Vorbis and Opus. See `Part`."""

    def __init__(self, open_sound: Callable[[], Any], first: Any, frames: int | None, count: bool) -> None:
        super().__init__(open_sound, first, frames, count)
        self._places = [0]   # of the decoders
        self._end = max(0, self.frames - _LAST)
        self._last: Samples | None = None

    def read(self, frames: int) -> Samples:
        """See `Part.read`."""
        found = []
        before = min(frames, self._end - self._at)
        if before > 0:
            found.append(self._decode(self._at, before))
        behind = self._at + frames - max(self._at, self._end)
        if behind > 0 and (not found or len(found[0]) == before):
            if self._last is None:
                self._last = self._decode(self._end, self.frames - self._end)
            first = max(self._at, self._end) - self._end
            found.append(self._last[first : first + behind])
        samples = found[0] if len(found) == 1 else np.concatenate(found)
        self._at += len(samples)
        return samples

    def seek(self, frame: int) -> None:
        """See `Part.seek`."""
        self._at = frame

    def _decode(self, frame: int, count: int) -> Samples:
        number = self._reach(frame)
        samples: Samples = self._sounds[number].read(count, dtype="float32", always_2d=True)
        self._places[number] += len(samples)
        return samples

    def _reach(self, frame: int) -> int:
        """Return which decoder stands at a frame, after it has been brought there."""
        behind = [number for number, place in enumerate(self._places) if place <= frame]
        number = max(behind, key=self._places.__getitem__, default=-1)
        if number < 0 and len(self._sounds) < _DECODERS:
            self._sounds.append(self._open())
            self._places.append(0)
            number = len(self._sounds) - 1
        elif number < 0:
            number = int(np.argmax(self._places))
            _close(self._sounds[number])
            self._sounds[number], self._places[number] = self._open(), 0
        while self._places[number] < frame:
            count = len(self._sounds[number].read(min(_PIECE, frame - self._places[number]), dtype="float32"))
            if not count:
                raise RuntimeError(f"frame {self._places[number]} is missing")
            self._places[number] += count
        return number


def part(open_sound: Callable[[], Any], frames: int | None = None, count: bool = False) -> Part:
    """Return what reads sound exactly; see `Part`."""
    first = open_sound()
    return (Lossy if first.subtype in _LOSSY else Part)(open_sound, first, frames, count)


def _close(sound: Any) -> None:
    sound.close()
    if isinstance(sound.name, Spliced):
        sound.name.close()


def _counted(sound: Any) -> int:
    """Return how many frames can be read."""
    frames, count = 0, -1
    while count:
        try:
            count = len(sound.read(_PIECE, dtype="float32", always_2d=True))
        except RuntimeError:
            break
        frames += count
    return frames
