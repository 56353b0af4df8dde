"""Audio files, streamed: one polyphonic file or a folder of mono files, read and written in bounded memory."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import re
import shutil
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np

from rtsep.errors import InputError
from rtsep.stage import Block

SUFFIXES = (".wav", ".flac", ".rf64", ".w64")
SUBTYPES = {"FLOAT": 4, "DOUBLE": 8, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4}   # bytes a sample
_FORMATS = {".wav": "WAV", ".flac": "FLAC", ".rf64": "RF64", ".w64": "W64"}
_FLAC_CHANNELS = 8
_WAV_BYTES = 2_000_000_000    # beyond it a .wav is written as RF64, whose sizes have 64 bits
_READABLE = (*SUFFIXES, ".aif", ".aiff", ".caf", ".ogg")


class Input:
    """A recording, read piece by piece.

    Attributes
    ----------
    rate, channels, frames : int
    names : tuple of str
        Of the microphones: `mic1`, … of a polyphonic file; the files' names, without a leading number, of a folder.
    """

    def __init__(self, files: Sequence[Any], names: tuple[str, ...], frames: int) -> None:
        self._files = files
        self.names = names
        self.rate = int(files[0].samplerate)
        self.channels = len(names)
        self.frames = frames
        self._at = 0

    def read(self, frames: int) -> Block:
        """Return the next float32[channels, n], n smaller at the end and 0 behind it."""
        count = max(0, min(frames, self.frames - self._at))
        self._at += count
        if len(self._files) == 1:
            return np.ascontiguousarray(self._files[0].read(count, dtype="float32", always_2d=True).T)
        block = np.zeros((self.channels, count), np.float32)
        for row, file in zip(block, self._files, strict=True):
            got = file.read(count, dtype="float32")   # fewer where this file is shorter: silence follows
            row[: got.size] = got
        return block

    def seek(self, frame: int) -> None:
        """Go to a frame counted from the beginning."""
        self._at = min(max(0, frame), self.frames)
        for file in self._files:
            file.seek(min(self._at, file.frames))

    def close(self) -> None:
        """Close all files."""
        for file in self._files:
            file.close()

    def __enter__(self) -> Input:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_input(path: str) -> Input:
    """Open a polyphonic file, or a folder of mono files in natural name order.

    Files of a folder may differ in length: the shorter ones are silent to the end of the longest.

    Raises
    ------
    InputError
        If it is missing, unreadable, no audio, empty, or the files of a folder are not mono or differ in rate.
    """
    place = pathlib.Path(path)
    if not place.exists():
        raise InputError(path, "there is no such file or folder", "give a WAV, RF64 or FLAC, or a folder of mono files")
    if not place.is_dir():
        file = _open(place)
        return Input([file], tuple(f"mic{c + 1}" for c in range(file.channels)), file.frames)
    try:
        found = sorted((p for p in place.iterdir() if _is_audio(p)), key=_natural)
    except OSError as error:
        raise InputError(path, error.strerror or "cannot be read", "give a folder that can be read") from None
    if not found:
        raise InputError(path, "there is no audio file in this folder", f"known are {', '.join(_READABLE)}")
    files: list[Any] = []
    try:
        for part in found:
            file = _open(part)
            files.append(file)
            if file.channels != 1:
                raise InputError(str(part), f"it has {file.channels} channels", "a folder holds mono files")
            if file.samplerate != files[0].samplerate:
                problem = f"{file.samplerate} Hz, and {found[0].name} has {files[0].samplerate}"
                raise InputError(str(part), problem, "all files of a folder have one rate")
        return Input(files, _names(found), max(file.frames for file in files))
    except BaseException:
        for file in files:
            file.close()
        raise


class Output:
    """A recording in the making: written beside its place, renamed on `commit`; nothing remains of it on `abort`."""

    def __init__(self, target: pathlib.Path, beside: pathlib.Path, files: Sequence[Any]) -> None:
        self._target = target
        self._beside = beside
        self._files = files

    def write(self, block: Block) -> None:
        """Append float32[channels, frames].

        Raises
        ------
        InputError
            If the disk is full or fails.
        """
        with _told(str(self._target)):
            if len(self._files) == 1 and not self._beside.is_dir():
                self._files[0].write(block.T)
            else:
                for row, file in zip(block, self._files, strict=True):
                    file.write(row)

    def commit(self) -> None:
        """Finish the files and put them in their place.

        Raises
        ------
        InputError
            If that fails; then nothing remains but what was there before.
        """
        try:
            with _told(str(self._target)):
                for file in self._files:
                    file.flush()
                    file.close()
                _sync(self._beside)
                if self._beside.is_dir() and self._target.is_dir():
                    self._target.rmdir()   # `open_output` has seen that it is empty
                os.replace(self._beside, self._target)
        except InputError:
            self.abort()
            raise

    def abort(self) -> None:
        """Remove what was written."""
        for file in self._files:
            with contextlib.suppress(Exception):   # the disk may be full: closing flushes
                file.close()
        _remove(self._beside)

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()


def open_output(
    path: str, rate: int, channels: int, names: Sequence[str], frames: int, subtype: str = "FLOAT"
) -> Output:
    """Begin a polyphonic file (by its suffix) or, without a known suffix, a folder of mono WAV files.

    Parameters
    ----------
    path : str
    rate, channels : int
    names : sequence of str
        Of the microphones: names of a folder's files.
    frames : int
        Expected length: decides on RF64 and whether the disk has room.
    subtype : str
        FLOAT, DOUBLE, PCM_16, PCM_24 or PCM_32.

    Raises
    ------
    InputError
        If the format does not hold these channels or samples, or the place cannot be written.
    """
    import soundfile

    target = pathlib.Path(path)
    suffix = target.suffix.lower()
    if subtype not in SUBTYPES:
        raise InputError(f"--subtype {subtype}", "it is not known", f"allowed are {', '.join(SUBTYPES)}")
    size = frames * channels * SUBTYPES[subtype]
    kind = _FORMATS.get(suffix, "WAV")
    if kind == "WAV" and (size if suffix else size // channels) > _WAV_BYTES:
        kind = "RF64"
    if not soundfile.check_format(kind, subtype):
        good = ", ".join(s for s in SUBTYPES if soundfile.check_format(kind, s))
        raise InputError(path, f"{kind} cannot hold {subtype}", f"allowed are {good}")
    if kind == "FLAC" and channels > _FLAC_CHANNELS:
        raise InputError(path, f"FLAC cannot hold {channels} channels", f"allowed are {_FLAC_CHANNELS}; use .wav")
    folder = suffix not in SUFFIXES
    _check_place(target, folder, size)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    files: list[Any] = []
    try:
        with _told(path):
            if folder:
                _remove(beside)
                beside.mkdir()
                width = max(2, len(str(channels)))
                for c, name in enumerate(names):
                    part = beside / f"{c + 1:0{width}d}-{_plain(name)}.wav"
                    files.append(soundfile.SoundFile(part, "w", rate, 1, subtype, format=kind))
            else:
                files.append(soundfile.SoundFile(beside, "w", rate, channels, subtype, format=kind))
    except BaseException:
        Output(target, beside, files).abort()
        raise
    return Output(target, beside, files)


def refuse_same(source: str, target: str) -> None:
    """Refuse an output that is the input, lies in it, or holds it, through links too.

    Raises
    ------
    InputError
    """
    a, b = pathlib.Path(source), pathlib.Path(target)
    if not a.exists():
        return
    real_a, real_b = a.resolve(), b.resolve()
    same = real_a == real_b or (b.exists() and a.samefile(b))
    inside = a.is_dir() and (real_a in real_b.parents or any(b.exists() and p.samefile(b) for p in a.iterdir()))
    around = real_b in real_a.parents and b.suffix.lower() not in SUFFIXES and not b.is_dir()
    if same or inside or around:
        raise InputError(target, "the output is the input", "give another name")


def _open(path: pathlib.Path) -> Any:
    import soundfile

    try:
        with path.open("rb"):   # libsndfile calls a lack of permission "System error"
            pass
        file = soundfile.SoundFile(path)
    except OSError as error:
        raise InputError(str(path), error.strerror or "cannot be read", "give a file that can be read") from None
    except (soundfile.LibsndfileError, TypeError):
        raise InputError(str(path), "it is no audio that can be read", f"known are {', '.join(_READABLE)}") from None
    if file.channels < 1:
        file.close()
        raise InputError(str(path), "it has no channels", "at least one is needed")
    if file.frames < 1:
        file.close()
        raise InputError(str(path), "it has no samples", "at least one is needed")
    return file


def _is_audio(path: pathlib.Path) -> bool:
    return path.suffix.lower() in _READABLE and not path.name.startswith(".") and path.is_file()


def _natural(path: pathlib.Path) -> list[tuple[int, int, str]]:
    """Order 2-bass before 10-vox, as people do."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]


def _names(paths: Sequence[pathlib.Path]) -> tuple[str, ...]:
    names: list[str] = []
    for path in paths:
        name = re.sub(r"^\d+[\s._-]+", "", path.stem) or path.stem
        name = re.sub(r"[\s.=]+", "-", name)   # dots and = separate in parameter paths
        unique, count = name, 2
        while unique in names:
            unique, count = f"{name}-{count}", count + 1
        names.append(unique)
    return tuple(names)


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)


def _check_place(target: pathlib.Path, folder: bool, size: int) -> None:
    parent = target.parent
    if not parent.is_dir():
        raise InputError(str(target), f"there is no folder {parent}", "make it first")
    if not os.access(parent, os.W_OK):
        raise InputError(str(target), f"{parent} cannot be written", "choose another folder")
    if folder and target.exists() and (not target.is_dir() or any(target.iterdir())):
        allowed = f"give an empty or a new folder, or a name that ends in {', '.join(SUFFIXES)}"
        raise InputError(str(target), "it exists and is not an empty folder", allowed)
    if not folder and target.is_dir():
        raise InputError(str(target), "it is a folder", "give a file's name")
    free = shutil.disk_usage(parent).free
    if size > free:
        raise InputError(str(target), f"the disk has {free / 1e6:.0f} MB free", f"needed are {size / 1e6:.0f} MB")


class _told(contextlib.AbstractContextManager[None]):
    """Turn what a full or failing disk raises into one line."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if kind is None or error is None:
            return
        import soundfile

        if isinstance(error, OSError):
            problem = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
            raise InputError(self._place, problem or "cannot be written", "make room or choose another place") from None
        if isinstance(error, soundfile.LibsndfileError | AssertionError):
            # libsndfile says "System error", python-soundfile asserts that all was written: both mean a failed write.
            problem = "it could not be written: the disk is full or fails"
            raise InputError(self._place, problem, "make room or choose another place") from None


def _sync(path: pathlib.Path) -> None:
    for part in path.iterdir() if path.is_dir() else (path,):
        descriptor = os.open(part, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove(path: pathlib.Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
