"""Reading: one polyphonic file or a folder of mono files."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np

from rtsep.audiofile import metadata
from rtsep.audiofile.arrangement import arrange
from rtsep.audiofile.formats import AUDIO_SUFFIXES, READABLE, Block, Place, natural
from rtsep.audiofile.joining import DAY
from rtsep.audiofile.naming import mic_names
from rtsep.audiofile.opening import OneFile, length
from rtsep.audiofile.origin import Origin
from rtsep.audiofile.pieces import Joined, Member, open_member
from rtsep.errors import InputError, SoundWarning
from rtsep.limits import check_memory, check_mics, check_rate

_IN_FOLDER = "allowed in a folder are mono files, or the numbered pieces of one polyphonic recording"


def open_input(path: Place | Member) -> Input:
    """Open a recording.

    Parameters
    ----------
    path : str or path
        One file, whose channel i is microphone i, or a folder of mono files in natural order of their names
        (`2-snare` before `10-vox`). In a folder, files shorter than the longest end in silence, because
        recorders often cut each track where its last clip ends; hidden files and subfolders are left out. Pieces of
        one recording are joined, and files are placed by their time stamps: see `arrange`. A `Member` of a folder is
        opened as a file is.

    Raises
    ------
    InputError
        If it is not that, or cannot be read.

    Warns
    -----
    SoundWarning
        For each of its `notes`.
    """
    if isinstance(path, Member):
        return _told(Input([replace(path, tags=metadata.Tags())], folder=False))   # the folder has named it
    where = Path(path)
    try:
        mode = os.stat(where).st_mode
        if not stat.S_ISDIR(mode):
            if not stat.S_ISREG(mode):
                raise InputError(str(path), "is neither a file nor a folder", READABLE)
            return _told(Input([Member((where,), where.stem, metadata.read(where))], folder=False))
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
    arrangement = arrange(found)
    return _told(Input(arrangement.members, folder=True, notes=arrangement.notes))


def members(files: Sequence[Path]) -> tuple[tuple[Member, ...], tuple[str, ...]]:
    """Find out what recordings the files of a folder are, each of which may have any number of channels; and notes.

    Raises
    ------
    InputError
        See `arrange`.
    """
    arrangement = arrange(files, separate=True)
    return arrangement.members, arrangement.notes


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
        leading number, each made unique. Where nobody has named them, those of the recorder's tracks.
    notes : tuple of str
        What was assumed of the files, where what is there is not what a header says, and which files of a folder are
        shorter: a line each.
    origin : Origin
        What outputs carry on of what the files say beside the sound.
    """

    def __init__(self, members: Sequence[Member], folder: bool, notes: Sequence[str] = ()) -> None:
        files = [member.pieces[0] for member in members]
        self._paths = files
        self._files: list[OneFile | Joined] = []
        self._position = 0
        try:
            if folder:   # before as many files are open as the system allows
                check_mics(str(files[0].parent), len(files))
            for member in members:
                self._files.append(open_member(member))
            if len(members) > 1:
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
        self.names, line = mic_names(members, self.channels, from_names=folder and len(members) == self.channels)
        self.notes = (*notes, *(note for file in self._files for note in file.notes))
        if folder:
            frames = [(path.name, file.frames) for path, file in zip(files, self._files, strict=True)]
            self.notes += shorter(files[0].parent, frames, self.rate)
        if line:
            self.notes += (f"{files[0].parent if folder else files[0]}: {line}",)
        self.origin = Origin(tuple(member.began(DAY * self.rate) for member in members), self.names)

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
                raise InputError(str(path), f"has {file.channels} channels", _IN_FOLDER)
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
