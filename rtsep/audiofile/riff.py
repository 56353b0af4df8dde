"""Chunks of RIFF files beside the sound: found in WAV, RF64 and BW64, and put behind the sound of what was written.

The order of chunks is free (EBU Tech 3285, 3306), and many recorders write theirs behind the sound: so none has to be
known before the first sample is written.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import BinaryIO

LARGEST = 1 << 20      # bytes of one that is kept: of 128 tracks an iXML has 40 kB, a coding history a few
_MOST = 1000           # that are walked over; recorders write ten, and a file of zeros would have 500 million
_SEE_64 = 0xFFFFFFFF   # a size that stands in the ds64 chunk
_IN_64 = ("RF64", "BW64")


def read(path: Path, wanted: Collection[str]) -> dict[str, bytes]:
    """Return chunks of a file by name: the first of each, without those that are broken or larger than `LARGEST`.

    Parameters
    ----------
    path : Path
        Any file: one that is not RIFF, or cannot be read, has none.
    wanted : collection of str
        Names of four characters.
    """
    found: dict[str, bytes] = {}
    try:
        with open(path, "rb") as file:
            head = file.read(12)
            if head[8:] != b"WAVE" or head[:4].decode("latin-1") not in ("RIFF", *_IN_64):
                return found
            _walk(file, wanted, found)
    except OSError:   # who opens it for its sound says so
        pass
    return found


def append(path: Path, chunks: Mapping[str, bytes]) -> None:
    """Put chunks behind everything in a WAV or RF64 that is complete, and count them in its size.

    Parameters
    ----------
    path : Path
    chunks : mapping of str to bytes
        By name; empty ones are left out.

    Raises
    ------
    OSError
        If the disk fails.
    """
    tail = b"".join(
        name.encode("latin-1") + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
        for name, content in chunks.items() if content
    )
    if not tail:
        return
    with open(path, "rb+") as file:
        end = file.seek(0, os.SEEK_END)
        file.write(bytes(end % 2) + tail)
        size = file.tell() - 8
        file.seek(0)
        if file.read(4).decode("latin-1") in _IN_64:
            file.seek(20)   # ds64 comes first, and the size of everything first in it
            file.write(struct.pack("<Q", size))
        else:
            file.seek(4)
            file.write(struct.pack("<I", size))


def _walk(file: BinaryIO, wanted: Collection[str], found: dict[str, bytes]) -> None:
    """Go from chunk to chunk until something is none."""
    place, large = 12, {}
    for _ in range(_MOST):
        file.seek(place)
        head = file.read(8)
        name, size = head[:4].decode("latin-1"), int.from_bytes(head[4:], "little")
        if not _is_name(head[:4]) or len(head) < 8:
            return
        if name == "ds64":
            large = _sizes(file.read(min(size, LARGEST)))
        if size == _SEE_64:
            size = large.get(name, 0)
            if not size:   # a recorder that crashed, or a pipe: where the sound ends, nobody knows
                return
        if name in wanted and name not in found and size <= LARGEST:
            content = file.read(size)
            if len(content) == size:
                found[name] = content
        place += 8 + size
        if size % 2:   # a byte follows, but some leave it out
            file.seek(place)
            place += not _is_name(file.read(4))


def _is_name(text: bytes) -> bool:
    return len(text) == 4 and text.isascii() and text.decode("ascii").isprintable()


def _sizes(ds64: bytes) -> dict[str, int]:
    """Return the sizes that do not fit elsewhere, by the name of their chunk."""
    if len(ds64) < 24:
        return {}
    sizes = {"data": int.from_bytes(ds64[8:16], "little")}
    for place in range(28, len(ds64) - 11, 12):
        sizes[ds64[place : place + 4].decode("latin-1")] = int.from_bytes(ds64[place + 4 : place + 12], "little")
    return sizes
