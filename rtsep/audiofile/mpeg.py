"""How many frames an MPEG audio file holds (MP3, ISO 11172-3 and 13818-3): they are counted, never worked out.

What a header says of the whole file stands, if at all, in a first frame without sound, `Xing` or `Info`. Libraries work
out the length from the bit rate where it is missing, and believe it where it is wrong.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

_RATES = (44100, 48000, 32000)
_BIT_RATES = {   # kbit/s by version 1 or not, and layer
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAME = 0xFFFE0C00   # bits of a head that all frames of a file have in common: version, layer, sample rate
_PIECE = 1 << 16     # bytes that are searched at once for a frame behind damage
_LARGEST_BYTES = 0xFFFFFFFF
_DELAY = 529         # samples by which a layer III decoder is late; what libmpg123 calls GAPLESS_DELAY


class Head(NamedTuple):
    """The four bytes at a frame's beginning."""

    bits: int
    layer: int      # 1 to 3
    rate: int       # Hz
    samples: int    # of a channel
    size: int       # bytes of the frame


class Mpeg(NamedTuple):
    """What an MPEG audio file says and holds."""

    head: Head            # of the first frame
    first: int            # byte of the first frame
    end: int              # byte behind the last one
    frames: int           # with sound
    said: int | None      # frames by the first frame that has none; None: it does not say
    info: int             # byte of what that frame says; 0 if there is none


def look(file: BinaryIO, base: int, size: int) -> Mpeg | None:
    """Return what an MPEG audio file says and holds; None if it has no frames.

    Parameters
    ----------
    file : binary file
    base : int
        Byte behind tags, from which frames are looked for.
    size : int
        Bytes of the file.
    """
    at = _search(file, base, size, None)
    if at < 0:
        return None
    file.seek(at)
    data = file.read(4096)
    head = parse(data[:4])
    assert head is not None
    said, info = _info(data, head)
    if info:
        info += at
    first, end, frames, at = at, at, 0, at + (head.size if info else 0)
    if said is None and info:   # a frame that says nothing is no help
        first, info = at, 0
    while at >= 0 and at < size:
        file.seek(at)
        found = parse(file.read(4))
        if found is None or (found.bits ^ head.bits) & _SAME:
            at = _search(file, at + 1, size, head)
            continue
        if at + found.size > size:   # broken off
            break
        frames, at = frames + 1, at + found.size
        end = at
    return Mpeg(head, first, end, frames, said, info)


def parse(data: bytes) -> Head | None:
    """Return what the four bytes of a head say; None if it is none, or of the free bit rate that nobody uses."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    (bits,) = struct.unpack(">I", data)
    version, layer = bits >> 19 & 3, 4 - (bits >> 17 & 3)
    rate, speed = bits >> 10 & 3, bits >> 12 & 15
    if version == 1 or layer == 4 or rate == 3 or speed in (0, 15):
        return None
    hz = _RATES[rate] >> (0 if version == 3 else 1 if version == 2 else 2)
    bit_rate = 1000 * _BIT_RATES[version == 3, layer][speed]
    padding = bits >> 9 & 1
    if layer == 1:
        return Head(bits, 1, hz, 384, (12 * bit_rate // hz + padding) * 4)
    samples = 1152 if version == 3 or layer == 2 else 576
    return Head(bits, layer, hz, samples, samples // 8 * bit_rate // hz + padding)


def counted(mpeg: Mpeg, old: bytes) -> bytes:
    """Return what a first frame without sound should say; `old` are its bytes from `info` to the end of its tag.

    The padding at the end goes, which nobody can tell of a file that is not whole; that at the beginning stays.
    """
    new = bytearray(old)
    (flags,) = struct.unpack_from(">I", new, 4)
    at = 8
    if flags & 1:
        struct.pack_into(">I", new, at, mpeg.frames)
        at += 4
    if flags & 2:
        struct.pack_into(">I", new, at, min(_LARGEST_BYTES, mpeg.end - mpeg.first))
    at = 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1) + 21
    if len(new) >= at + 3:   # 12 bits each of silence before and behind, as LAME adds it
        new[at + 1] &= 0xF0
        new[at + 2] = 0
    return bytes(new)


def lead(mpeg: Mpeg) -> tuple[bytes, int]:
    """Return what is put before a layer III file that does not say its length, and the samples that are read of it.

    A frame that says the length makes libmpg123 take a decoder's usual delay off the beginning, which it does not where
    nothing is said. A second one, of silence, is there for that.
    """
    bits = mpeg.head.bits & ~0xF200 | 1 << 12 | 1 << 16   # of the lowest bit rate that has room, no check sum
    side = _side(bits)
    said = struct.pack(">4sIII", b"Xing", 3, mpeg.frames + 1, min(_LARGEST_BYTES, mpeg.end - mpeg.first))
    head = parse(struct.pack(">I", bits))
    while head is not None and head.size < 4 + side + len(said):
        bits += 1 << 12
        head = parse(struct.pack(">I", bits))
    assert head is not None
    silence = struct.pack(">I", bits)
    frame = silence + bytes(side) + said
    return frame.ljust(head.size, b"\0") + silence.ljust(head.size, b"\0"), head.samples - _DELAY


def _side(bits: int) -> int:
    """Return the bytes between head and sound of a layer III frame, the check sum aside."""
    mono, version_1 = bits >> 6 & 3 == 3, bits >> 19 & 3 == 3
    return (17 if mono else 32) if version_1 else (9 if mono else 17)


def _info(data: bytes, head: Head) -> tuple[int | None, int]:
    """Return the frames that a first frame without sound says, and where in it that begins; 0 if it is a usual one."""
    side = _side(head.bits)
    for at in (4 + side, 6 + side):   # with a check sum two bytes later
        if data[at : at + 4] in (b"Xing", b"Info") and at + 12 <= head.size:
            flags, frames = struct.unpack_from(">II", data, at + 4)
            return (frames if flags & 1 else None), at
    return None, 0


def _search(file: BinaryIO, at: int, size: int, like: Head | None) -> int:
    """Return the byte of the next frame behind which another one stands, or the file ends; -1 if there is none."""
    while at < size:
        file.seek(at)
        data = file.read(_PIECE)
        place = data.find(b"\xff")
        while place >= 0:
            head = _head_at(file, at + place, size, like)
            if head is not None:
                return at + place
            place = data.find(b"\xff", place + 1)
        at += len(data)
    return -1


def _head_at(file: BinaryIO, at: int, size: int, like: Head | None) -> Head | None:
    file.seek(at)
    head = parse(file.read(4))
    if head is None or (like is not None and (head.bits ^ like.bits) & _SAME):
        return None
    behind = at + head.size
    if behind == size:
        return head
    file.seek(behind)
    after = parse(file.read(4))
    return None if after is None or (after.bits ^ head.bits) & _SAME else head
