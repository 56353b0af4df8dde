"""Reading: one polyphonic file or a folder of mono files."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from rtsep.audiofile.formats import AUDIO_SUFFIXES, READABLE, Block, Place, natural
from rtsep.audiofile.opening import OneFile, length, open_file
from rtsep.errors import InputError, SoundWarning
from rtsep.limits import check_memory, check_mics, check_rate
from rtsep.names import from_files, numbered


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

    Warns
    -----
    SoundWarning
        For each of its `notes`.
    """
    where = Path(path)
    try:
        mode = os.stat(where).st_mode
        if not stat.S_ISDIR(mode):
            if not stat.S_ISREG(mode):
                raise InputError(str(path), "is neither a file nor a folder", READABLE)
            return _told(Input([where], folder=False))
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
    return _told(Input(found, folder=True))


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
    notes : tuple of str
        Where what is there is not what a header says, and which files of a folder are shorter: a line each.
    """

    def __init__(self, files: Sequence[Path], folder: bool) -> None:
        self._paths = files
        self._files: list[OneFile] = []
        self._position = 0
        try:
            if folder:   # before as many files are open as the system allows
                check_mics(str(files[0].parent), len(files))
            for file in files:
                self._files.append(open_file(file))
            if folder:
                self._check_folder()
        except BaseException:
            self.close()
            raise
        self.rate: int = self._files[0].rate
        self.channels: int = sum(file.channels for file in self._files)
        self.frames: int = max(file.frames for file in self._files)
        try:
            check_rate(str(files[0]), self.rate)
        except BaseException:
            self.close()
            raise
        self.names = from_files([file.stem for file in files]) if folder else numbered(self.channels)
        self.notes = tuple(note for file in self._files for note in file.notes)
        if folder:
            frames = [(path.name, file.frames) for path, file in zip(files, self._files, strict=True)]
            self.notes += shorter(files[0].parent, frames, self.rate)

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
        for file in self._files:
            n = max(0, min(count, file.frames - self._position))
            if n:
                block[first : first + file.channels, :n] = file.read(n).T
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
        for file in self._files:
            file.seek(frame)
        self._position = frame

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_folder(self) -> None:
        for path, file in zip(self._paths, self._files, strict=True):
            if file.channels != 1:
                raise InputError(str(path), f"has {file.channels} channels", "allowed in a folder are mono files")
            if file.rate != self._files[0].rate:
                problem = f"has {file.rate} Hz, but {self._paths[0].name} {self._files[0].rate} Hz"
                raise InputError(str(path), problem, "allowed is one sample rate in a folder")


def _told(source: Input) -> Input:
    for note in source.notes:
        warnings.warn(note, SoundWarning, stacklevel=3)
    return source


def shorter(place: Place, files: Sequence[tuple[str, int]], rate: int) -> tuple[str, ...]:
    """Return the line that names those of some files, each with its frames, that are shorter than the longest."""
    longest = max(frames for _, frames in files)
    short = [f"{name} by {length(longest - frames, rate)}" for name, frames in files if frames < longest]
    if not short:
        return ()
    told = f"the longest file has {length(longest, rate)}; shorter, and silent then, are {', '.join(short)}"
    return (f"{place}: {told}",)


def _is_recording(file: Path) -> bool:
    return file.suffix.lower() in AUDIO_SUFFIXES and not file.name.startswith(".") and not file.is_dir()
