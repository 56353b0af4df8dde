"""One file for reading: what is in it, or why it cannot be read."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import numpy as np

from rtsep.audiofile.formats import READABLE, Block, without_path
from rtsep.errors import InputError
from rtsep.limits import MOST_MICS

_LONGEST = 1 << 48   # frames: what claims more does not know


class OneFile:
    """One file, open for reading; made by `open_file`.

    Attributes
    ----------
    rate : int
        Hz.
    channels, frames : int
    notes : tuple of str
        What there is to say of it, a line each.
    """

    def __init__(self, path: Path, sound: Any) -> None:
        self.rate: int = sound.samplerate
        self.channels: int = sound.channels
        self.frames: int = sound.frames
        self.notes: tuple[str, ...] = ()
        self._place, self._sound, self._at = str(path), sound, 0

    def read(self, frames: int) -> Block:
        """Return the next frames, fewer at the end: float32[frames, channels].

        Raises
        ------
        InputError
            If one that is there cannot be read: the file is damaged.
        """
        count = max(0, min(frames, self.frames - self._at))
        try:
            samples: Block = self._sound.read(count, dtype="float32", always_2d=True)
            problem = f"frame {self._at + len(samples)} of {self.frames} is missing"
        except RuntimeError as error:
            samples = np.zeros((0, self.channels), np.float32)
            problem = f"behind frame {self._at}: {error}"
        # A file that was cut off still says its old length: silence in its place would pass for a recording.
        if len(samples) < count:
            raise InputError(self._place, f"is damaged, {problem}", READABLE)
        self._at += count
        return samples

    def seek(self, frame: int) -> None:
        """Go to a frame.

        Raises
        ------
        InputError
            If the file is damaged there.
        """
        self._at = min(frame, self.frames)
        try:
            self._sound.seek(self._at)
        except RuntimeError as error:
            raise InputError(self._place, f"is damaged: {error}", READABLE) from None

    def close(self) -> None:
        """Close it."""
        self._sound.close()


def open_file(path: Path) -> OneFile:
    """Open one file, or say in one line why not.

    Raises
    ------
    InputError
        If it is not a file, not sound of a kind that is read, or has no samples.
    """
    import soundfile

    place = str(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for ever
            raise InputError(place, "is not a file", READABLE)
        # libsndfile calls everything a system error; the system itself says which.
        with open(path, "rb"):
            pass
        file = soundfile.SoundFile(place)
    except OSError as error:
        raise InputError(place, f"cannot be read: {error.strerror}", READABLE) from None
    except (RuntimeError, TypeError) as error:  # TypeError: headerless .raw
        reason = without_path(str(error)) if isinstance(error, RuntimeError) else "it has no header"
        raise InputError(place, f"is not audio: {reason}", READABLE) from None
    if file.channels > MOST_MICS:
        file.close()
        raise InputError(place, f"has {file.channels} channels", f"allowed are up to {MOST_MICS}")
    problem = ""
    if file.channels < 1:
        problem = "has no channels"
    elif file.frames < 1:
        problem = "has no samples"
    elif file.frames > _LONGEST:  # a FLAC that was piped to disk says 2^63 - 1
        problem = "does not say how long it is"
    if problem:
        file.close()
        raise InputError(place, problem, "allowed is a recording with at least one sample")
    return OneFile(path, file)
