"""Recordings as streams: one polyphonic file or a folder of mono files, read and written block by block.

Nothing here holds more than a block, so a recording may be hours long. What is written stands under a hidden
name beside its place until `commit`, so that a render that fails leaves what was there before, and nothing else.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.stage import Block

Place = str | os.PathLike[str]

FORMATS = {".wav": "WAV", ".flac": "FLAC", ".rf64": "RF64", ".w64": "W64"}
"""What is written, by suffix."""

SUBTYPES = {"FLOAT": 4, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "DOUBLE": 8}
"""Bytes of a sample."""

# In a folder, what counts as a recording; of the rest (notes, peak files of editors) nothing is said.
AUDIO_SUFFIXES = {
    *FORMATS, ".wave", ".bwf", ".aif", ".aiff", ".aifc", ".caf", ".au", ".ogg", ".oga", ".opus", ".mp3", ".m4a",
}  # fmt: skip

FLAC_CHANNELS = 8

# WAV counts bytes in 32 bits, and some readers with a sign: above, RF64 under the same suffix.
LARGEST_WAV = 2_000_000_000

READABLE = "allowed is a WAV, RF64 or FLAC, or a folder of mono ones"


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
    except ValueError:  # a null character
        raise InputError(repr(str(path)), "is not a path", READABLE) from None
    if not found:
        raise InputError(str(path), "is a folder without recordings", READABLE)
    return Input(found, folder=True)


def recordings(folder: Path) -> list[Path]:
    """Return what counts as a recording in a folder, in natural order of names; hidden files are left out."""
    return sorted((file for file in folder.iterdir() if _is_recording(file)), key=lambda file: natural(file.name))


def open_output(
    path: Place, rate: int, channels: int, names: Sequence[str], frames: int, subtype: str | None = None
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

    Raises
    ------
    InputError
        If the format cannot hold this, or the place cannot be written.
    """
    return Output(path, rate, channels, names, frames, subtype)


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
        self.names = mic_names(files) if folder else tuple(f"mic{i + 1}" for i in range(self.channels))

    def read(self, frames: int) -> Block:
        """Return the next frames: fewer than asked for at the end, none behind it.

        Returns
        -------
        float32[channels, n]
            C-contiguous, the caller's own.
        """
        count = max(0, min(frames, self.frames - self._position))
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


class Output:
    """A recording that is being written; made by `open_output`.

    As a context manager it commits at the end, and aborts if the end is an exception, Ctrl-C included.
    """

    def __init__(
        self, path: Place, rate: int, channels: int, names: Sequence[str], frames: int, subtype: str | None
    ) -> None:
        if channels < 1 or len(names) != channels or frames < 0:
            raise ValueError(f"{channels} channels, {len(names)} names, {frames} frames")
        self._place = str(path)
        self._channels = channels
        self._left = frames
        self._written = 0
        self._files: list[Any] = []
        self._temporary: Path | None = None
        kind, subtype = _check_format(self._place, channels, subtype)
        self._folder = not kind
        # Renaming onto a link would replace the link, not what it leads to.
        self._target = self._check_place()
        size = frames * channels * SUBTYPES[subtype] + 4096 * channels
        self._check_space(size // 2 if kind == "FLAC" else size)
        if kind in ("", "WAV"):
            kind = "RF64" if size // (channels if self._folder else 1) > LARGEST_WAV else "WAV"
        temporary = self._target.with_name(f".rtsep-{secrets.token_hex(6)}.tmp")
        digits = max(2, len(str(channels)))
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
            for path, file in zip(self._paths, self._files, strict=True):
                file.close()
                self._check_written(path)
            if self._folder and self._target.is_dir():
                self._target.rmdir()  # it was empty; only POSIX renames onto it
            os.replace(self._temporary, self._target)
        except BaseException as error:
            self.abort()
            self._explain(error)
            raise
        self._temporary = None

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
            self._temporary = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()

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
        reason = _without_path(reason)
        raise InputError(self._place, f"cannot be written: {reason}", "nothing was changed") from None


def mic_names(files: Sequence[Path]) -> tuple[str, ...]:
    """Return the microphones' names: `01-kick.wav` is `kick`, and a second one `kick-2`.

    A name of digits alone becomes `mic3`, because parameter paths also take a microphone's number.
    """
    names: list[str] = []
    for number, file in enumerate(files, 1):
        stem = re.sub(r"^[0-9]+[\s._-]+(?=.)", "", file.stem).strip()
        stem = re.sub(r"[\s.=]+", "-", stem)  # dots and = separate in parameter paths
        name = "".join(c if c.isprintable() else "_" for c in stem) or f"mic{number}"
        if name.isdecimal():
            name = f"mic{int(name)}"
        unique, copy = name, 2
        while unique in names:
            unique, copy = f"{name}-{copy}", copy + 1
        names.append(unique)
    return tuple(names)


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Return a key that sorts `2-snare` before `10-vox`."""
    parts = re.split("([0-9]+)", name.casefold())
    # Odd places hold digits. Pairs compare whatever stands where: numbers by value, the rest as text.
    return [(int(part), "") if i % 2 else (-1, part) for i, part in enumerate(parts)], name


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
        reason = _without_path(str(error)) if isinstance(error, RuntimeError) else "it has no header"
        raise InputError(place, f"is not audio: {reason}", READABLE) from None
    problem = ""
    if file.channels < 1:
        problem = "has no channels"
    elif file.frames < 1:
        problem = "has no samples"
    elif file.frames > 1 << 48:  # a FLAC that was piped to disk says 2^63 - 1
        problem = "does not say how long it is"
    if problem:
        file.close()
        raise InputError(place, problem, "allowed is a recording with at least one sample")
    return file


def _create_sound(path: Path, rate: int, channels: int, kind: str, subtype: str) -> Any:
    import soundfile

    # The system's own words for what goes wrong, which libsndfile would keep to itself.
    with open(path, "xb"):
        pass
    file = soundfile.SoundFile(str(path), "w", rate, channels, subtype, format=kind)
    # SFC_SET_ADD_PEAK_CHUNK off: that chunk holds the time, and two equal renders would not be equal files.
    soundfile._snd.sf_command(file._file, 0x1050, soundfile._ffi.NULL, 0)
    return file


def _check_format(place: str, channels: int, subtype: str | None) -> tuple[str, str]:
    """Return libsndfile's name of the format, empty for a folder, and the subtype."""
    suffix = Path(place).suffix.lower()
    kind = FORMATS.get(suffix, "")
    if not kind and suffix in AUDIO_SUFFIXES:
        known = ", ".join(FORMATS)
        raise InputError(place, f"{suffix} is not written", f"allowed are {known}, or a folder without such a suffix")
    subtype = subtype or ("PCM_24" if kind == "FLAC" else "FLOAT")
    allowed = ("PCM_16", "PCM_24") if kind == "FLAC" else tuple(SUBTYPES)
    if subtype not in allowed:
        problem = f"{subtype!r} is not a subtype of {kind or 'WAV'}"
        raise InputError(place, problem, "allowed is one of " + ", ".join(allowed))
    if kind == "FLAC" and channels > FLAC_CHANNELS:
        problem = f"FLAC cannot hold {channels} channels"
        raise InputError(place, problem, f"allowed are up to {FLAC_CHANNELS}; .wav or a folder holds more")
    return kind, subtype


def file_name(name: str) -> str:
    """Return a name that every system takes, and that no path is hidden in."""
    safe = "".join("_" if c in '<>:"/\\|?*' or not c.isprintable() else c for c in name)
    return safe.encode()[:200].decode(errors="ignore").rstrip(" .") or "mic"


def _without_path(reason: str) -> str:
    """Return libsndfile's message without the path, which the error names already, on one line."""
    return " ".join(re.sub(r"^Error opening '.*': ", "", reason, flags=re.DOTALL).split()).rstrip(".")
