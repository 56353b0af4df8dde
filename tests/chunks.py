"""WAV files with chunks beside the sound, made by hand; and the chunks of a file, found by hand."""

from __future__ import annotations

import pathlib
import struct
import warnings

import numpy as np

from rtsep import audiofile
from rtsep.errors import SoundWarning

RATE = 8000


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def bext(start: int, description: bytes = b"", date: bytes = b"2026-11-28") -> bytes:
    """EBU Tech 3285: description, originator, its reference, date, time, time reference, version, the rest."""
    head = struct.pack("<256s32s32s10s8sII", description, b"Recorder", b"REF", date, b"20:00:00",
                       start & 0xFFFFFFFF, start >> 32)
    return head + struct.pack("<H", 1) + bytes(254) + b"A=PCM\r\n"


def ixml(*names: str, more: str = "") -> bytes:
    tracks = "".join(
        f"<TRACK><CHANNEL_INDEX>{i + 4}</CHANNEL_INDEX><INTERLEAVE_INDEX>{i}</INTERLEAVE_INDEX><NAME>{name}</NAME>"
        f"<FUNCTION>M</FUNCTION></TRACK>" for i, name in enumerate(names, 1)
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><BWFXML><SCENE>12</SCENE>{more}<TRACK_LIST><TRACK_COUNT>{len(names)}'
        f"</TRACK_COUNT>{tracks}</TRACK_LIST><USER>odd &amp; kept</USER></BWFXML>"
    ).encode()


def write(path: pathlib.Path, x: np.ndarray, before: bytes = b"", behind: bytes = b"", form: bytes = b"RIFF") -> None:
    """Write float32[channels, frames] with chunks before and behind it; RF64 and BW64 have their sizes in ds64."""
    x = np.atleast_2d(x)
    data = np.ascontiguousarray(x.T, np.float32).tobytes()
    fmt = chunk(b"fmt ", struct.pack("<HHIIHH", 3, len(x), RATE, RATE * 4 * len(x), 4 * len(x), 32))
    size = 4 + len(fmt) + len(before) + 8 + len(data) + len(behind)
    if form == b"RIFF":
        head = form + struct.pack("<I", size) + b"WAVE"
        sound = b"data" + struct.pack("<I", len(data)) + data
    else:
        ds64 = chunk(b"ds64", struct.pack("<QQQI", size + 36, len(data), x.shape[1], 0))
        head = form + b"\xff" * 4 + b"WAVE" + ds64
        sound = b"data" + b"\xff" * 4 + data
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + fmt + before + sound + behind)


def found(path: pathlib.Path) -> dict[bytes, bytes]:
    """Return every chunk of a WAV or RF64, and check that all sizes lead to the very end of the file."""
    raw = path.read_bytes()
    large = raw[:4] == b"RF64"
    (size,) = struct.unpack_from("<Q", raw, 20) if large else struct.unpack_from("<I", raw, 4)
    assert size == len(raw) - 8
    place, every = 12, {}
    while place < len(raw):
        name, (length,) = raw[place : place + 4], struct.unpack_from("<I", raw, place + 4)
        if large and name == b"data":
            (length,) = struct.unpack_from("<Q", raw, 28)
        assert name not in every
        every[name] = raw[place + 8 : place + 8 + length]
        place += 8 + length + length % 2
    assert place == len(raw)
    return every


def opened(place: pathlib.Path) -> tuple[audiofile.Input, list[str]]:
    """Open a recording; returns what is said of it, too, but for its lengths."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        source = audiofile.open_input(place)
    lines = [str(one.message) for one in caught if issubclass(one.category, SoundWarning)]
    lines = [line for line in lines if "the longest file has" not in line]
    assert all(line.isprintable() and line.startswith(str(place)) for line in lines)
    return source, lines
