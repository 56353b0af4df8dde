"""A WAV file that grows and can be read at any time: what a recorder writes for hours, and may be killed over.

Its header leaves room for the 64-bit sizes of RF64 (EBU Tech 3306), which take over when the file outgrows 4 GiB. The
names of the microphones stand in an iXML chunk before the sound, marks in a cue list behind it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtsep.audiofile.metadata import track_list

_LARGEST = (1 << 32) - 1        # what a 32-bit size says; in RF64 it stands for "see the 64-bit one"
_LARGEST_WAV = _LARGEST - 1
_EXTENSIBLE = 0xFFFE            # the only format tag that says nothing of loudspeakers with more than two channels
_FLOAT_GUID = bytes.fromhex("0300000000001000800000aa00389b71")   # KSDATAFORMAT_SUBTYPE_IEEE_FLOAT


class Mark(NamedTuple):
    """A place in the sound, as cue lists have it: first frame, how many frames, and what is there."""

    frame: int
    frames: int
    label: str


class GrowingWav:
    """Writes float32 sound at any place of an open file.

    Parameters
    ----------
    file : int
        Descriptor, open for writing.
    rate : int
        Hz.
    names : sequence of str
        One for each channel.
    """

    def __init__(self, file: int, rate: int, names: Sequence[str]) -> None:
        self._file, self._rate, self._channels = file, rate, len(names)
        self._width = 4 * len(names)
        self._names = _chunk(b"iXML", _ixml(names))
        self._first = len(self._header(0, 0))

    def write(self, frame: int, block: NDArray[np.float32]) -> None:
        """Write float32[frames, channels] at a frame; what was never written is silence, and costs no disk."""
        self._put(self._first + frame * self._width, np.ascontiguousarray(block).tobytes())

    def show(self, frames: int) -> None:
        """Let the header say that there are so many frames."""
        size = self._first + frames * self._width
        if os.fstat(self._file).st_size < size:
            os.ftruncate(self._file, size)
        self._put(0, self._header(frames, 0))

    def finish(self, frames: int, marks: Sequence[Mark]) -> None:
        """End after so many frames, with marks behind them."""
        os.ftruncate(self._file, self._first + frames * self._width)
        tail = _cues(marks)
        self._put(0, self._header(frames, 0))
        self._put(self._first + frames * self._width, tail)
        self._put(0, self._header(frames, len(tail)))

    def _put(self, place: int, data: bytes) -> None:
        done = 0
        while done < len(data):
            done += os.pwrite(self._file, data[done:], place + done)

    def _header(self, frames: int, tail: int) -> bytes:
        """Return everything before the first sample; always as long."""
        data = frames * self._width
        form = struct.pack(
            "<HHIIHHHHI", _EXTENSIBLE, self._channels, self._rate, self._rate * self._width, self._width, 32, 22, 32, 0
        ) + _FLOAT_GUID
        room = struct.calcsize("<QQQI")
        inside = 4 + (8 + room) + (8 + len(form)) + (8 + 4) + len(self._names) + 8   # from "WAVE" to the first sample
        size = inside + data + tail
        large = size > _LARGEST_WAV
        sizes = struct.pack("<QQQI", size, data, frames, 0) if large else bytes(room)
        return b"".join((
            b"RF64" if large else b"RIFF", struct.pack("<I", _LARGEST if large else size), b"WAVE",
            _chunk(b"ds64" if large else b"JUNK", sizes), _chunk(b"fmt ", form),
            _chunk(b"fact", struct.pack("<I", _LARGEST if large else frames)), self._names,
            b"data", struct.pack("<I", _LARGEST if large else data),
        ))


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def _ixml(names: Sequence[str]) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><BWFXML><IXML_VERSION>1.61</IXML_VERSION>'
        f"{track_list(names)}</BWFXML>"
    ).encode(errors="replace")


def _cues(marks: Sequence[Mark]) -> bytes:
    """Return a cue list and its labels; places beyond 32 bits cannot be said in one."""
    marks = [mark for mark in marks if mark.frame <= _LARGEST]
    if not marks:
        return b""
    points, labels, lengths = [struct.pack("<I", len(marks))], [b"adtl"], []
    for number, mark in enumerate(marks, 1):
        points.append(struct.pack("<II4sIII", number, mark.frame, b"data", 0, 0, mark.frame))
        labels.append(_chunk(b"labl", struct.pack("<I", number) + mark.label.encode(errors="replace") + b"\0"))
        if mark.frames:
            length = struct.pack("<II4sHHHH", number, min(mark.frames, _LARGEST), b"rgn ", 0, 0, 0, 0)
            lengths.append(_chunk(b"ltxt", length))   # behind all labels: libsndfile reads no further
    return _chunk(b"cue ", b"".join(points)) + _chunk(b"LIST", b"".join(labels + lengths))
