"""Where the samples stand in a file of linear samples: WAV, RF64, BW64, W64, AIFF, AIFC, CAF and AU.

What is said here is what the header says. Whether that is so is for `rtsep.audiofile.extent` to find out: a header is
written first and mended last, and a recorder that lost its power never came to that.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

from rtsep.audiofile.chunks import CAF, IFF, RIFF, W64, Layout, chunks, trailing

UNKNOWN_32, UNKNOWN_64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF   # of those who do not know; in RF64: who say it elsewhere

_W64_RIFF = bytes.fromhex("2e91cf11a5d628db04c10000")   # behind `riff` in Sony Wave64
_WAV_GUID = bytes.fromhex("000000001000800000aa00389b71")  # of an extensible format, behind the format's tag
_PCM, _FLOAT, _ALAW, _ULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_PCM_NAMES = {2: "PCM_16", 3: "PCM_24", 4: "PCM_32"}
_FLOAT_NAMES = {4: "FLOAT", 8: "DOUBLE"}
_SIGNED_NAMES = {1: "PCM_S8", **_PCM_NAMES}

# AIFF-C's codes: bytes of a sample, where that does not follow from its bits; names by bytes; order of bytes.
_AIFF_CODES: dict[bytes, tuple[int, dict[int, str], str]] = {
    **dict.fromkeys((b"NONE", b"twos"), (0, _SIGNED_NAMES, "BIG")),
    b"sowt": (0, _SIGNED_NAMES, "LITTLE"), b"raw ": (1, {1: "PCM_U8"}, "BIG"),
    b"in24": (3, _PCM_NAMES, "BIG"), **dict.fromkeys((b"42ni", b"42n1"), (3, _PCM_NAMES, "LITTLE")),
    b"in32": (4, _PCM_NAMES, "BIG"), b"23ni": (4, _PCM_NAMES, "LITTLE"),
    **dict.fromkeys((b"fl32", b"FL32"), (4, _FLOAT_NAMES, "BIG")),
    **dict.fromkeys((b"fl64", b"FL64"), (8, _FLOAT_NAMES, "BIG")),
    **dict.fromkeys((b"ulaw", b"ULAW"), (1, {1: "ULAW"}, "BIG")),
    **dict.fromkeys((b"alaw", b"ALAW"), (1, {1: "ALAW"}, "BIG")),
}


@dataclass(frozen=True)
class Form:
    """How a sample is stored, in libsndfile's words."""

    subtype: str
    endian: str
    width: int    # bytes of one sample
    channels: int
    rate: int

    @property
    def frame(self) -> int:
        """Bytes of a sample of every channel."""
        return self.width * self.channels


@dataclass(frozen=True)
class Header:
    """What the header of a file says.

    Parameters
    ----------
    kind : str
        What the container is called.
    form : Form, optional
        None if the samples are not linear.
    start : int
        Byte at which the samples begin.
    claims : tuple of int
        Bytes of samples, as they are said in one or more places; none where it says that it does not know.
    end : int
        Byte at which the whole file ends by its header; 0 if it does not say.
    layout : Layout, optional
        Of the chunks that may stand behind the samples.
    codec : int
        The format's tag of a WAV, 0 of others.
    """

    kind: str
    form: Form | None
    start: int
    claims: tuple[int, ...]
    end: int = 0
    layout: Layout | None = None
    codec: int = 0

    @property
    def wraps(self) -> bool:
        """Whether sizes have 32 bits, so that they start again at 0 behind 4 GiB."""
        return self.layout is None or self.layout.size == 4


def header(file: BinaryIO, base: int, size: int) -> Header | None:
    """Return what the header of a file says; None if it is no container of these or breaks off before the samples."""
    file.seek(base)
    magic = file.read(16)
    if magic[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and magic[8:12] == b"WAVE":
        return _wave(file, base, size, magic)
    if magic == b"riff" + _W64_RIFF:
        return _wave64(file, base, size)
    if magic[:4] == b"FORM" and magic[8:12] in (b"AIFF", b"AIFC"):
        return _aiff(file, base, size, magic)
    if magic[:4] == b"caff":
        return _caf(file, base, size)
    if magic[:4] in (b".snd", b"dns."):
        return _au(file, base, magic)
    return None


def _wave(file: BinaryIO, base: int, size: int, magic: bytes) -> Header | None:
    kind = "WAV" if magic[:3] == b"RIF" else magic[:4].decode()
    layout = IFF if magic[:4] == b"RIFX" else RIFF
    form, codec = None, 0
    large: int | None = None
    for name, at, length in chunks(file, layout, base + 12, size):
        file.seek(at)
        if name == b"ds64":
            data = file.read(28)
            large = int.from_bytes(data[8:16], "little")
        elif name == b"fmt ":
            form, codec = _wave_form(file.read(min(length, 64)), layout.order)
        elif name == b"data":
            (end,) = struct.unpack(layout.order + "I", magic[4:8])
            claims: tuple[int, ...] = () if length == UNKNOWN_32 else (length,)
            if large is not None:   # then a 0 here says nothing
                claims = (large, *(claims if length else ()))
            return Header(kind, form, at, claims, base + 8 + end, layout, codec)
    return None


def _wave64(file: BinaryIO, base: int, size: int) -> Header | None:
    form, codec = None, 0
    for name, at, length in chunks(file, W64, base + 40, size):
        file.seek(at)
        if name[:4] == b"fmt ":
            form, codec = _wave_form(file.read(max(0, min(length, 64))))
        elif name[:4] == b"data":
            file.seek(base + 16)
            (end,) = struct.unpack("<Q", file.read(8))
            return Header("W64", form, at, _claimed_64(length), base + end, W64, codec)
    return None


def _claimed_64(length: int) -> tuple[int, ...]:
    """Return the one claim; none of what has all bits set, the size of a chunk's head taken off or not."""
    return () if length >= UNKNOWN_64 - 64 else (max(0, length),)


def _wave_form(data: bytes, order: str = "<") -> tuple[Form | None, int]:
    if len(data) < 16:
        return None, 0
    tag, channels, rate, _, frame, bits = struct.unpack_from(order + "HHIIHH", data)
    if tag == _EXTENSIBLE and data[26:40] == _WAV_GUID:
        (tag,) = struct.unpack_from(order + "H", data, 24)
    width = (bits + 7) // 8
    if not channels or not rate or frame != channels * width:
        return None, tag
    names = {
        _PCM: {1: "PCM_U8", **_PCM_NAMES}, _FLOAT: _FLOAT_NAMES, _ALAW: {1: "ALAW"}, _ULAW: {1: "ULAW"},
    }.get(tag, {})
    endian = "LITTLE" if order == "<" else "BIG"
    return (Form(names[width], endian, width, channels, rate) if width in names else None), tag


def _aiff(file: BinaryIO, base: int, size: int, magic: bytes) -> Header | None:
    found = _aiff_chunks(file, base + 12, size)
    if "start" in found and "frames" not in found:   # the form stands behind samples of which the size is wrong
        found = {**_aiff_chunks(file, trailing(file, IFF, found["start"], size), size), **found}
    if "start" not in found:
        return None
    form: Form | None = found.get("form")
    claims = (max(0, found["length"]),) if found["length"] < UNKNOWN_32 - 16 else ()
    if form is not None and found["frames"]:
        claims += (found["frames"] * form.frame,)
    (end,) = struct.unpack(">I", magic[4:8])
    return Header("AIFF" if magic[8:12] == b"AIFF" else "AIFC", form, found["start"], claims, base + 8 + end, IFF)


def _aiff_chunks(file: BinaryIO, at: int, size: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, first, length in chunks(file, IFF, at, size):
        file.seek(first)
        if name == b"COMM":
            data = file.read(min(length, 64))
            if len(data) >= 18:
                found["frames"], found["form"] = struct.unpack_from(">I", data, 2)[0], _aiff_form(data)
        elif name == b"SSND":
            (offset,) = struct.unpack(">I", file.read(8)[:4].rjust(4, b"\0"))
            found["start"], found["length"] = first + 8 + offset, length - 8 - offset
    return found


def _aiff_form(data: bytes) -> Form | None:
    channels, _, bits = struct.unpack_from(">HIH", data)
    exponent, mantissa = struct.unpack_from(">HQ", data, 8)
    rate = int(mantissa * 2.0 ** (exponent - 16383 - 63)) if exponent < 16383 + 32 else 0
    width, code = (bits + 7) // 8, data[18:22] or b"NONE"
    fixed, names, endian = _AIFF_CODES.get(code, (0, {}, "BIG"))
    width = fixed or width
    if width not in names or not channels or not rate:
        return None
    return Form(names[width], endian, width, channels, rate)


def _caf(file: BinaryIO, base: int, size: int) -> Header | None:
    form = None
    for name, at, length in chunks(file, CAF, base + 8, size):
        if name == b"desc":
            file.seek(at)
            form = _caf_form(file.read(32))
        elif name == b"data":   # four bytes count its edits
            claims = () if length >= UNKNOWN_64 - 64 else (max(0, length - 4),)
            return Header("CAF", form, at + 4, claims, 0, CAF)
    return None


def _caf_form(data: bytes) -> Form | None:
    if len(data) < 32:
        return None
    rate, code, flags, packet, frames, channels, bits = struct.unpack(">d4sIIIII", data)
    width = (bits + 7) // 8 if code == b"lpcm" else 1
    names = {
        b"lpcm": _FLOAT_NAMES if flags & 1 else _SIGNED_NAMES, b"ulaw": {1: "ULAW"}, b"alaw": {1: "ALAW"},
    }.get(code, {})
    if width not in names or frames != 1 or not channels or packet != channels * width or not 0 < rate < UNKNOWN_32:
        return None
    return Form(names[width], "LITTLE" if flags & 2 else "BIG", width, channels, int(rate))


def _au(file: BinaryIO, base: int, magic: bytes) -> Header | None:
    order = ">" if magic[:4] == b".snd" else "<"
    file.seek(base + 4)
    data = file.read(20)
    if len(data) < 20:
        return None
    offset, length, code, rate, channels = struct.unpack(order + "IIIII", data)
    known = {1: "ULAW", 2: "PCM_S8", 3: "PCM_16", 4: "PCM_24", 5: "PCM_32", 6: "FLOAT", 7: "DOUBLE", 27: "ALAW"}
    width = {3: 2, 4: 3, 5: 4, 6: 4, 7: 8}.get(code, 1)
    form = None
    if code in known and channels and rate:
        form = Form(known[code], "BIG" if order == ">" else "LITTLE", width, channels, rate)
    return Header("AU", form, base + offset, () if length == UNKNOWN_32 else (length,))
