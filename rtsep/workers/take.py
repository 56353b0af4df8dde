"""A take: the three files of a recording. Input and output, equally long at every moment, and what there is to know.

`recording.jsonl` has one JSON object a line, written as it happens: first what was recorded and how, then all marks.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtsep import presets
from rtsep.audiofile.growing import GrowingWav, Mark
from rtsep.errors import InputError

FILES = ("in.wav", "out.wav", "recording.jsonl")
# From such a mark on no render of in.wav is out.wav, bit for bit; from one of the others on only a replay of them is.
BREAKING = ("lost", "gap", "unknown", "late_updates", "late_strips", "bad_results", "skipped", "shed")
REPLAYED = ("values", "chain")
_LEAST_ROOM = 1 << 20    # bytes on the disk, to begin with
_SPARE = 1 << 18         # bytes of each file that are given back to a full disk, for marks and labels
_MOST_CUES = 10000       # in the WAV files; the lines have all


class Claim(NamedTuple):
    """The files of a recording that this run has made: folder, and device and inode of each."""

    folder: str
    files: tuple[tuple[int, int], ...]


def check_free(folder: str) -> None:
    """Make the folder; raise InputError if it cannot be, holds a recording, or the disk is full."""
    try:
        os.makedirs(folder, exist_ok=True)
        room = os.statvfs(folder)
    except OSError as error:
        raise InputError(folder, f"cannot be made ({error.strerror})", "a folder for in.wav and out.wav") from error
    for name in FILES:
        if os.path.lexists(os.path.join(folder, name)):
            raise _taken(os.path.join(folder, name))
    if room.f_bavail * room.f_frsize < _LEAST_ROOM:
        raise InputError(folder, "the disk is full")


def claim(folder: str) -> Claim:
    """Make the files, all of them or none; of several runs at once one comes to have them.

    Raises
    ------
    InputError
        If there is one already, be it a link that leads nowhere.
    """
    check_free(folder)
    made: list[tuple[int, int]] = []
    for name in FILES:
        path = os.path.join(folder, name)
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except OSError as error:
            release(Claim(folder, tuple(made)))
            if isinstance(error, FileExistsError):
                raise _taken(path) from error
            raise InputError(path, f"cannot be written ({error.strerror})") from error
        made.append(_identity(file))
        os.close(file)
    return Claim(folder, tuple(made))


def release(claimed: Claim) -> None:
    """Remove the files again, as far as they are still those that were made."""
    for name, identity in zip(FILES, claimed.files, strict=False):
        with contextlib.suppress(OSError):
            found = os.lstat(os.path.join(claimed.folder, name))
            if (found.st_dev, found.st_ino) == identity:
                os.unlink(os.path.join(claimed.folder, name))


class Take:
    """The files, open for writing.

    Parameters
    ----------
    claimed : Claim
    rate : int
        Hz.
    names : sequence of str
        Of the microphones.

    Raises
    ------
    OSError
        If one of them is gone, or another one is in its place.
    """

    def __init__(self, claimed: Claim, rate: int, names: Sequence[str]) -> None:
        self._channels = len(names)
        files = []
        for name, identity in zip(FILES, claimed.files, strict=True):
            path = os.path.join(claimed.folder, name)
            files.append(os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC))
            if _identity(files[-1]) != identity:
                raise FileNotFoundError(2, "another file is in its place", path)
        *sounds, self._lines = files
        self._wavs = tuple(GrowingWav(file, rate, names) for file in sounds)
        there = os.pread(self._lines, os.fstat(self._lines).st_size, 0)
        self._place = there.rfind(b"\n") + 1   # half a line is what a recorder has left that was killed

    def write(self, frame: int, rows: NDArray[np.float32]) -> None:
        """Write float32[frames, inputs and outputs] at a frame."""
        for wav, part in zip(self._wavs, (rows[:, : self._channels], rows[:, self._channels :]), strict=True):
            wav.write(frame, part)

    def show(self, frames: int) -> None:
        """Let both files say that they have so many frames."""
        for wav in self._wavs:
            wav.show(frames)

    def note(self, kind: str, **details: Any) -> None:
        """Append a line, whole or not at all."""
        time = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"kind": kind, **details, "time": time}).encode() + b"\n"
        done = 0
        try:
            while done < len(line):
                done += os.pwrite(self._lines, line[done:], self._place + done)
        except OSError:
            os.ftruncate(self._lines, self._place)
            raise
        self._place += done

    def marks(self) -> list[dict[str, Any]]:
        """Return all lines that speak of frames."""
        text = os.pread(self._lines, self._place, 0).decode(errors="replace")
        lines = (json.loads(line) for line in text.splitlines())
        return [line for line in lines if "first" in line]

    def finish(self, frames: int, why: str) -> None:
        """Note the end, put all marks into the files and end them after so many frames."""
        marks = self.marks()
        replayed = min((m["first"] for m in marks if breaks(m)), default=frames)
        told = self._of_the_preset()
        exact = min((m["first"] for m in marks if m["kind"] in REPLAYED and m.get("set") != told), default=frames)
        reach = {"exact_frames": min(exact, replayed, frames), "replay_frames": min(replayed, frames)}
        self.note("end", frames=frames, **reach, why=why)
        cues = [Mark(m["first"], min(m["last"], frames) - m["first"], _label(m)) for m in marks if m["first"] <= frames]
        for wav in self._wavs:
            wav.finish(frames, sorted(cues)[:_MOST_CUES])

    def _of_the_preset(self) -> dict[str, float] | None:
        """Return the targets that its preset puts elsewhere than where they are by default; None: nobody knows."""
        first = json.loads(os.pread(self._lines, self._place, 0).partition(b"\n")[0] or b"{}")
        try:
            preset, mics = presets.loads(first["preset"], "preset"), first["microphones"]
            plain = presets.make_board(preset, mics)
            return plain.changed(plain.values, presets.lay_out(preset, mics).values)
        except (KeyError, InputError):
            return None

    def give_up(self, frames: int, why: str) -> int:
        """End before the disk was full: both files at one frame; returns which.

        A full disk gets some sound back, so that marks and the last line find room.
        """
        frames = max(0, frames - _SPARE // (4 * self._channels))
        for wav in self._wavs:   # first of all both end there, whatever comes next
            with contextlib.suppress(OSError):
                wav.finish(frames, ())
        with contextlib.suppress(OSError):
            self.finish(frames, why)
        return frames


def breaks(mark: dict[str, Any]) -> bool:
    """Return whether even a replay may be another sound from this mark on."""
    return mark["kind"] in BREAKING or (mark["kind"] == "reload" and not mark.get("exact", True))


def _identity(file: int) -> tuple[int, int]:
    found = os.fstat(file)
    return found.st_dev, found.st_ino


def _label(mark: dict[str, Any]) -> str:
    known = ("kind", "first", "last", "time", "preset")
    return " ".join([mark["kind"], *(f"{key}={value}" for key, value in mark.items() if key not in known)])


def _taken(path: str) -> InputError:
    return InputError(path, "there is a recording already", "name another folder")
