"""Writing: beside the place first, then renamed, so that what fails leaves what was there before."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from rtsep.atomic import beside, hold, let_go
from rtsep.audiofile import riff
from rtsep.audiofile.formats import FORMATS, LARGEST_WAV, SUBTYPES, Block, Place, check_format, file_name, without_path
from rtsep.audiofile.metadata import Tags
from rtsep.audiofile.origin import Origin
from rtsep.errors import InputError, SoundWarning

_NO_PEAK_CHUNK = 0x1050   # libsndfile's SFC_SET_ADD_PEAK_CHUNK, to be turned off: that chunk holds the time
_HEADER = 4096            # bytes of a file that are no samples, at most
TAGGED = ("WAV", "RF64")  # what has a place for bext and iXML


def open_output(
    path: Place, rate: int, channels: int, names: Sequence[str], frames: int, subtype: str | None = None,
    origin: Origin | None = None,
) -> Output:
    """Begin to write a recording.

    Parameters
    ----------
    path : str or path
        With the suffix .wav, .flac, .rf64 or .w64 one polyphonic file, which `commit` replaces if it exists;
        otherwise a folder, new or empty, for mono files `01-name.wav`.
    rate : int
        Hz.
    channels : int
    names : sequence of str
        Of the microphones.
    frames : int
        The most that will be written. It decides whether the disk is large enough, and WAV or RF64.
    subtype : str, optional
        One of `SUBTYPES`; FLOAT if left out, but PCM_24 for FLAC, which has no floats.
    origin : Origin, optional
        Of the sound: its bext and iXML chunks are written too, where the format has a place for them (`TAGGED`).

    Raises
    ------
    InputError
        If the format cannot hold this, or the place cannot be written.
    """
    return Output(path, rate, channels, names, frames, subtype, origin)


def refuse_same(input_path: Place, output_path: Place) -> None:
    """Raise InputError if writing the output would touch the input, links of both kinds seen through."""
    source, target = Path(os.path.realpath(input_path)), Path(os.path.realpath(output_path))
    allowed = "allowed is a place outside the input"
    if source == target:
        raise InputError(str(output_path), "is the input itself", allowed)
    if source.is_dir() and target.is_relative_to(source):
        raise InputError(str(output_path), f"lies inside the input {input_path}", allowed)
    # Names may differ and the file be the same: hard links, bind mounts, disks that ignore upper and lower case.
    with suppress(OSError):
        there = os.stat(target)
        inputs = [source, *source.iterdir()] if source.is_dir() else [source]
        outer = [Path(target.anchor)] if not target.parent.exists() else [target.parent, *target.parent.parents]
        for file in inputs:
            with suppress(OSError):
                if os.path.samestat(os.stat(file), there):
                    raise InputError(str(output_path), f"is the same file as the input {file}", allowed)
        for folder in outer if source.is_dir() else []:
            with suppress(OSError):
                if os.path.samestat(os.stat(folder), os.stat(source)):
                    raise InputError(str(output_path), f"lies inside the input {input_path}", allowed)


class Output:
    """A recording that is being written; made by `open_output`.

    As a context manager it commits at the end, and aborts if the end is an exception, Ctrl-C included.
    """

    def __init__(
        self, path: Place, rate: int, channels: int, names: Sequence[str], frames: int, subtype: str | None,
        origin: Origin | None = None,
    ) -> None:
        if channels < 1 or len(names) != channels or frames < 0:
            raise ValueError(f"{channels} channels, {len(names)} names, {frames} frames")
        self._place = str(path)
        self._channels = channels
        self._left = frames
        self._written = 0
        self._files: list[Any] = []
        self._temporary: Path | None = None
        self._held = -1
        kind, subtype = check_format(self._place, channels, subtype)
        self._folder = not kind
        # Renaming onto a link would replace the link, not what it leads to.
        self._target = self._check_place()
        size = frames * channels * SUBTYPES[subtype] + _HEADER * channels
        self._check_space(size // 2 if kind == "FLAC" else size)
        if kind in ("", "WAV"):
            kind = "RF64" if size // (channels if self._folder else 1) > LARGEST_WAV else "WAV"
        temporary = beside(self._target)
        digits = max(2, len(str(channels)))
        self._tags = _tags(origin, channels, self._folder)
        if kind not in TAGGED and any(tags != Tags() for tags in self._tags):
            self._tags = []
            left_out = "time stamps and names of tracks (bext, iXML) are left out"
            warnings.warn(f"{self._place}: {left_out}, {kind} has no place for them", SoundWarning, stacklevel=3)
        self._paths = [temporary]
        if self._folder:
            self._paths = [
                temporary / f"{i:0{digits}}-{file_name(name)}.wav" for i, name in enumerate(names, 1)
            ]
        try:
            self._temporary = temporary
            if self._folder:
                temporary.mkdir()
            for file in self._paths:
                self._files.append(_create_sound(file, rate, 1 if self._folder else channels, kind, subtype))
            self._held = hold(temporary)
        except BaseException as error:
            self.abort()
            self._explain(error)
            raise

    def write(self, block: Block) -> None:
        """Append frames.

        Parameters
        ----------
        block : float32[channels, n]

        Raises
        ------
        InputError
            If the disk is full or fails. Everything is removed then.
        ValueError
            If the block is none, or more than the `frames` that were announced.
        """
        if block.dtype != np.float32 or block.ndim != 2 or len(block) != self._channels:
            raise ValueError(f"{block.dtype}{list(block.shape)} is not float32[{self._channels}, n]")
        count = block.shape[1]
        if count > self._left:
            raise ValueError(f"{count} frames, but only {self._left} are left of what was announced")
        if self._temporary is None:
            raise ValueError("the output is closed")
        try:
            for i, file in enumerate(self._files):
                file.write(block[i] if self._folder else block.T)
        except BaseException as error:
            self.abort()
            self._explain(error)
            raise
        self._left -= count
        self._written += count

    def commit(self) -> None:
        """Close, and put what was written in its place.

        Raises
        ------
        InputError
            If that fails; then everything is as it was before.
        """
        if self._temporary is None:
            return
        try:
            for file in self._files:
                file.close()
            for path, tags in zip(self._paths, self._tags, strict=False):
                riff.append(path, {"bext": tags.bext, "iXML": tags.ixml})
            for path in self._paths:
                self._check_written(path)
            if self._folder and self._target.is_dir():
                self._target.rmdir()  # it was empty; only POSIX renames onto it
            os.replace(self._temporary, self._target)
        except BaseException as error:
            self.abort()
            self._explain(error)
            raise
        self._release()

    def abort(self) -> None:
        """Remove what was written; nothing happens after `commit`."""
        for file in self._files:
            with suppress(RuntimeError):  # the disk that is full may complain once more
                file.close()
        if self._temporary is not None:
            if self._folder:
                shutil.rmtree(self._temporary, ignore_errors=True)
            else:
                with suppress(OSError):
                    self._temporary.unlink()
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()

    def _release(self) -> None:
        """Forget what was beside, which is renamed or gone."""
        let_go(self._held)
        self._temporary, self._held = None, -1

    def _check_place(self) -> Path:
        """Return the place behind all links, if it can be written."""
        allowed = "allowed is a file or a folder that is new or empty, in a writable folder"
        try:
            target = Path(os.path.realpath(self._place))
            if not target.parent.is_dir():
                raise InputError(self._place, f"there is no folder {target.parent}", "make it first")
            if not os.access(target.parent, os.W_OK | os.X_OK):
                raise InputError(self._place, f"the folder {target.parent} cannot be written", allowed)
            if not target.exists():
                return target
            if self._folder:
                if not target.is_dir():
                    suffixes = ", ".join(FORMATS)
                    raise InputError(self._place, "is a file", f"allowed is a new folder, or the suffix {suffixes}")
                if any(target.iterdir()):
                    raise InputError(self._place, "is a folder that is not empty", "allowed is a new or empty one")
            elif not target.is_file():
                raise InputError(self._place, "exists and is not a file", "allowed is a new file or an old one")
            elif not os.access(target, os.W_OK):
                raise InputError(self._place, "is write-protected", "allowed is a new or writable file")
        except OSError as error:
            raise InputError(self._place, f"cannot be written: {error.strerror}", allowed) from None
        except InputError:
            raise
        except ValueError:  # a null character
            raise InputError(repr(self._place), "is not a path", allowed) from None
        return target

    def _check_space(self, size: int) -> None:
        free = shutil.disk_usage(self._target.parent).free
        if free < size:
            problem = f"needs {size / 1e6:.1f} MB, but {free / 1e6:.1f} MB are free"
            raise InputError(self._place, problem, "allowed is a place with more room")

    def _check_written(self, path: Path) -> None:
        """Raise OSError unless everything is on the disk: a write that comes to nothing may show only now."""
        import soundfile

        with open(path, "rb+") as file:
            os.fsync(file.fileno())
        if soundfile.info(str(path)).frames != self._written:
            raise OSError(0, "not everything was written")

    def _explain(self, error: BaseException) -> None:
        """Raise InputError in place of what the disk or libsndfile says."""
        # libsndfile keeps the reason to itself; soundfile asserts that all was written.
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
        elif isinstance(error, RuntimeError | AssertionError):
            reason = str(error).strip() or "is the disk full?"
        else:
            return
        reason = without_path(reason)
        raise InputError(self._place, f"cannot be written: {reason}", "nothing was changed") from None


def _tags(origin: Origin | None, channels: int, folder: bool) -> list[Tags]:
    """Return what each file carries beside the sound."""
    if origin is None:
        return []
    return [origin.mic(i) for i in range(channels)] if folder else [origin.whole]


def _create_sound(path: Path, rate: int, channels: int, kind: str, subtype: str) -> Any:
    import soundfile

    # The system's own words for what goes wrong, which libsndfile would keep to itself.
    with open(path, "xb"):
        pass
    file = soundfile.SoundFile(str(path), "w", rate, channels, subtype, format=kind)
    # Two equal renders are to be equal files.
    soundfile._snd.sf_command(file._file, _NO_PEAK_CHUNK, soundfile._ffi.NULL, 0)
    return file
