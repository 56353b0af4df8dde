"""Decoders: what libsndfile reads, put right where its seeking is not exact.

Found in libsndfile 1.2.2: in Ogg Vorbis every fourth seek lands some multiple of 448 samples away, without an error;
and what MP3, Vorbis and Opus decode just behind a place depends on what was decoded before it. So lossy sound is
decoded from its beginning on, and who goes back in it has two decoders, one behind the other.
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
        samples: Samples = read(self._sounds[0], frames)
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

    def read(self, frames: int) -> Samples:
        """See `Part.read`."""
        number = self._reach(self._at)
        samples = read(self._sounds[number], frames)
        self._places[number] += len(samples)
        self._at += len(samples)
        return samples

    def seek(self, frame: int) -> None:
        """See `Part.seek`."""
        self._at = frame

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
            count = len(read(self._sounds[number], min(_PIECE, frame - self._places[number])))
            if not count:
                raise RuntimeError(f"frame {self._places[number]} is missing")
            self._places[number] += count
        return number


def part(open_sound: Callable[[], Any], frames: int | None = None, count: bool = False) -> Part:
    """Return what reads sound exactly; see `Part`."""
    first = open_sound()
    return (Lossy if first.subtype in _LOSSY else Part)(open_sound, first, frames, count)


def read(sound: Any, frames: int) -> Samples:
    """Return the next frames, fewer where there are no more or the sound is damaged.

    soundfile's own `read` seeks after each time to where it is already, and lossy sound is not the same from there on.
    """
    import soundfile

    samples = np.empty((frames, sound.channels), np.float32)
    place = soundfile._ffi.from_buffer("float[]", samples, require_writable=True)
    count = soundfile._snd.sf_readf_float(sound._file, place, frames)
    return samples[:count]


def _close(sound: Any) -> None:
    sound.close()
    if isinstance(sound.name, Spliced):
        sound.name.close()


def _counted(sound: Any) -> int:
    """Return how many frames can be read."""
    frames, count = 0, -1
    while count:
        count = len(read(sound, _PIECE))
        frames += count
    return frames
