"""The streams of an Ogg file (RFC 3533): one behind the other where files were joined, each with its own last page."""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

_HEAD = 27
_FIRST, _LAST = 2, 4   # flags of a page
_NO_PLACE = (1 << 64) - 1


class Link(NamedTuple):
    """One stream: its bytes, whether its last page says so, and where its first page with sound ends, in samples."""

    first: int
    end: int
    ended: bool
    begin: int


def look(file: BinaryIO, base: int, size: int) -> list[Link]:
    """Return the streams that stand one behind the other; what breaks off in the middle of a page ends before it.

    Parameters
    ----------
    file : binary file
    base : int
        Byte of the first page.
    size : int
        Bytes of the file.
    """
    links: list[Link] = []
    at, opened, sounding, serial = base, False, False, -1
    while True:
        file.seek(at)
        head = file.read(_HEAD)
        if len(head) < _HEAD or head[:4] != b"OggS":
            return links
        flags, place, number, segments = struct.unpack("<xxxxxBQIxxxxxxxxB", head)
        end = at + _HEAD + segments + sum(file.read(segments))
        if end > size:
            return links
        if flags & _FIRST and (sounding or not opened):
            links.append(Link(at, end, False, -1))
            opened, sounding, serial = True, False, number
        elif not opened:
            return links
        sounding = sounding or not flags & _FIRST
        link = links[-1]
        ended = link.ended or (number == serial and bool(flags & _LAST))
        begin = place if link.begin < 0 and 0 < place < _NO_PLACE and number == serial else link.begin
        links[-1] = Link(link.first, end, ended, begin)
        at = end
