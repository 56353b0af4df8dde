"""Reading: one polyphonic file or a folder of mono files."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from rtsep.audiofile.formats import AUDIO_SUFFIXES, READABLE, Block, Place, natural, without_path
from rtsep.errors import InputError
from rtsep.limits import MOST_MICS, check_memory, check_mics, check_rate
from rtsep.names import from_files, numbered

_LONGEST = 1 << 48   # frames: what claims more does not know


def open_input(path: Place) -> Input:
    """Open a recording.

    Parameters
    ----------
    path : str or path
        One file, whose channel i is microphone i, or a folder of mono files in natural order of their names
        (`2-snare` before `10-vox`). In a folder, files shorter than the longest end in silence, because
        recorders often cut each track where its last clip ends; hidden files and subfolders are left out.

    Raises
    ------
    InputError
        If it is not that, or cannot be read.
    """
    where = Path(path)
    try:
        mode = os.stat(where).st_mode
        if not stat.S_ISDIR(mode):
            if not stat.S_ISREG(mode):
                raise InputError(str(path), "is neither a file nor a folder", READABLE)
            return Input([where], folder=False)
        found = recordings(where)
    except FileNotFoundError:
        raise InputError(str(path), "there is no such file or folder", READABLE) from None
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}", READABLE) from None
    except InputError:
        raise
    except ValueError:  # a null character
        raise InputError(repr(str(path)), "is not a path", READABLE) from None
    if not found:
        raise InputError(str(path), "is a folder without recordings", READABLE)
    return Input(found, folder=True)


def recordings(folder: Path) -> list[Path]:
    """Return what counts as a recording in a folder, in natural order of names; hidden files are left out."""
    return sorted((file for file in folder.iterdir() if _is_recording(file)), key=lambda file: natural(file.name))


class Input:
    """An open recording; made by `open_input`.

    Attributes
    ----------
    rate : int
        Hz.
    channels, frames : int
    names : tuple of str
        Of the microphones: `mic1`, `mic2` … of one file; of a folder the files' names without suffix and
        leading number, each made unique.
    """

    def __init__(self, files: Sequence[Path], folder: bool) -> None:
        self._paths = files
        self._files: list[Any] = []
        self._position = 0
        try:
            if folder:   # before as many files are open as the system allows
                check_mics(str(files[0].parent), len(files))
            for file in files:
                self._files.append(_open_sound(file))
            if folder:
                self._check_folder()
        except BaseException:
            self.close()
            raise
        self.rate: int = self._files[0].samplerate
        self.channels: int = sum(file.channels for file in self._files)
        self.frames: int = max(file.frames for file in self._files)
        try:
            check_rate(str(files[0]), self.rate)
        except BaseException:
            self.close()
            raise
        self.names = from_files([file.stem for file in files]) if folder else numbered(self.channels)

    def read(self, frames: int) -> Block:
        """Return the next frames: fewer than asked for at the end, none behind it.

        Returns
        -------
        float32[channels, n]
            C-contiguous, the caller's own.
        """
        count = max(0, min(frames, self.frames - self._position))
        check_memory(str(self._paths[0]), 4 * self.channels * count)
        block = np.zeros((self.channels, count), np.float32)
        first = 0
        for path, file in zip(self._paths, self._files, strict=True):
            n = max(0, min(count, file.frames - self._position))
            if n:
                block[first : first + file.channels, :n] = self._read_file(path, file, n).T
            first += file.channels
        self._position += count
        return block

    def seek(self, frame: int) -> None:
        """Go to a frame, counted from 0; `frames` is the end.

        Raises
        ------
        ValueError
            If there is no such frame.
        """
        if not 0 <= frame <= self.frames:
            raise ValueError(f"frame {frame} of {self.frames}")
        for path, file in zip(self._paths, self._files, strict=True):
            try:
                file.seek(min(frame, file.frames))
            except RuntimeError as error:
                raise InputError(str(path), f"is damaged: {error}", READABLE) from None
        self._position = frame

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_file(self, path: Path, file: Any, n: int) -> Block:
        try:
            samples: Block = file.read(n, dtype="float32", always_2d=True)
            problem = f"frame {self._position + len(samples)} of {file.frames} is missing"
        except RuntimeError as error:
            samples = np.zeros((0, file.channels), np.float32)
            problem = f"behind frame {self._position}: {error}"
        # A file that was cut off still says its old length: silence in its place would pass for a recording.
        if len(samples) < n:
            raise InputError(str(path), f"is damaged, {problem}", READABLE)
        return samples

    def _check_folder(self) -> None:
        for path, file in zip(self._paths, self._files, strict=True):
            if file.channels != 1:
                raise InputError(str(path), f"has {file.channels} channels", "allowed in a folder are mono files")
            if file.samplerate != self._files[0].samplerate:
                problem = f"has {file.samplerate} Hz, but {self._paths[0].name} {self._files[0].samplerate} Hz"
                raise InputError(str(path), problem, "allowed is one sample rate in a folder")


def _is_recording(file: Path) -> bool:
    return file.suffix.lower() in AUDIO_SUFFIXES and not file.name.startswith(".") and not file.is_dir()


def _open_sound(path: Path) -> Any:
    """Open one file for reading, or say in one line why not."""
    import soundfile

    place = str(path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe would wait for ever
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
    return file
