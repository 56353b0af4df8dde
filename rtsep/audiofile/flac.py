"""How many samples a FLAC file holds: each of its frames says where it stands (RFC 9639, section 9.1)."""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

_TAIL = 1 << 22   # bytes in which the last frame is looked for: 8 channels of 65535 samples of 32 bits are half of it
_SAMPLES = 5 + 13   # bytes from `fLaC` to the 36 bits of STREAMINFO that count the samples


class Flac(NamedTuple):
    """What a FLAC file says and holds, in samples of a channel."""

    said: int       # 0: it does not say
    there: int      # up to the end of the last frame
    before: int     # up to its beginning
    sure: bool      # the last frame is whole, by its check sum; if not, it may be, with other bytes behind it
    rate: int
    counted: int    # byte at which the said samples are counted: five, of which four bits are others'
    last: int       # byte of the last frame


class _Frame(NamedTuple):
    at: int
    first: int
    samples: int


def look(file: BinaryIO, base: int, size: int) -> Flac | None:
    """Return what a FLAC file says and holds; None if no frame is found in it.

    Parameters
    ----------
    file : binary file
    base : int
        Byte at which `fLaC` stands.
    size : int
        Bytes of the file.
    """
    file.seek(base)
    head = file.read(42)
    if len(head) < 42 or head[4] & 0x7F:
        return None
    (block,) = struct.unpack_from(">H", head, 10)
    facts = int.from_bytes(head[18:26], "big")
    rate, said = facts >> 44, facts & ((1 << 36) - 1)
    begin = _behind_metadata(file, base + 4, size)
    first = max(begin, size - _TAIL)
    file.seek(first)
    tail = file.read(size - first)
    found = _last(tail, block, said, first == begin)
    if found is None or not rate:
        return None
    there, sure = found.first + found.samples, _crc_16(tail[found.at :]) == 0
    return Flac(said, there, found.first, sure, rate, base + _SAMPLES + 3, first + found.at)


def counted(frames: int, old: bytes) -> bytes:
    """Return the five bytes that say how many samples there are, as they should be; `old` are those of the file."""
    return bytes([(old[0] & 0xF0) | frames >> 32]) + struct.pack(">I", frames & 0xFFFFFFFF)


def _behind_metadata(file: BinaryIO, at: int, size: int) -> int:
    last = False
    while not last and at < size:
        file.seek(at)
        head = file.read(4).ljust(4, b"\0")
        last, at = bool(head[0] & 0x80), at + 4 + int.from_bytes(head[1:], "big")
    return at


def _last(tail: bytes, block: int, said: int, whole: bool) -> _Frame | None:
    """Return the last frame: noise may look like the head of one, but not like one that another one leads to."""
    at, later = len(tail), dict[int, _Frame]()
    while (at := tail.rfind(b"\xff", 0, at)) >= 0:
        frame = _frame(tail, at, block)
        if frame is None:
            continue
        end = frame.first + frame.samples
        if end in later:
            return later[end]
        if end == said or (whole and not at and not frame.first):
            return frame
        later.setdefault(frame.first, frame)
    return None


def _frame(data: bytes, at: int, block: int) -> _Frame | None:
    """Return the frame that begins at a place, if one does; `block` is the length of all but the last, if it is one."""
    head = data[at : at + 16]
    if len(head) < 7 or head[1] & 0xFE != 0xF8 or head[3] & 1 or head[3] >> 4 > 10 or head[3] >> 1 & 7 == 3:
        return None
    code, rate = head[2] >> 4, head[2] & 15
    varies = bool(head[1] & 1)   # then the frame counts samples, not frames
    if code == 0 or rate == 15 or not (varies or block):
        return None
    number, place = _number(head, 4)
    more = {6: 1, 7: 2}.get(code, 0)
    if number < 0 or len(head) < place + more + 3:
        return None
    samples = int.from_bytes(head[place : place + more], "big") + 1 if more else _samples(code)
    place += more + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if place >= len(head) or _crc_8(head[:place]) != head[place]:
        return None
    return _Frame(at, number if varies else number * block, samples)


def _samples(code: int) -> int:
    return 192 if code == 1 else 576 << (code - 2) if code < 6 else 256 << (code - 8)


def _number(head: bytes, at: int) -> tuple[int, int]:
    """Return a number that is written as UTF-8 writes them, and where it ends; -1 if it is none."""
    ones = 0
    while ones < 8 and head[at] & 0x80 >> ones:
        ones += 1
    if ones in (1, 8):
        return -1, at
    value, end = head[at] & 0x7F >> ones, at + max(1, ones)
    for byte in head[at + 1 : end]:
        if byte & 0xC0 != 0x80:
            return -1, at
        value = value << 6 | byte & 0x3F
    return value, end


def _crc_8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc << 1 ^ (0x107 if crc & 0x80 else 0)
    return crc


def _crc_16(data: bytes) -> int:
    """Return 0 for a whole frame: its check sum stands at its end."""
    table = []
    for value in range(256):
        crc = value << 8
        for _ in range(8):
            crc = crc << 1 ^ (0x18005 if crc & 0x8000 else 0)
        table.append(crc)
    crc = 0
    for byte in data:
        crc = (crc << 8 & 0xFFFF) ^ table[crc >> 8 ^ byte]
    return crc
