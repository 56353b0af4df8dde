"""Chunks: a name, a size, what is in it; how WAV, W64, AIFF and CAF are laid out."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

# Behind the four letters of a name in Sony Wave64; the second is that of `list`.
_W64_CHUNK, _W64_LIST = bytes.fromhex("f3acd3118cd100c04f8edb8a"), bytes.fromhex("2f91cf11a5d628db04c10000")
_TAIL = 1 << 22         # bytes: before the end of a file, where chunks behind the samples are looked for
_MOST_CHUNKS = 4096     # a file of noise has no end of them

# What programs and recorders write behind samples: RIFF, AIFF and CAF.
_NAMES = tuple(
    name.encode().ljust(4)
    for name in (
        "LIST", "list", "INFO", "bext", "iXML", "axml", "aXML", "chna", "cue", "smpl", "inst", "fact", "PEAK", "peak",
        "JUNK", "junk", "PAD", "pad", "FLLR", "id3", "ID3", "cart", "DISP", "acid", "strc", "afsp", "_PMX", "umid",
        "minf", "elm1", "regn", "levl", "qlty", "link", "LGWV", "ovwf", "SMED", "ubxt", "dbmd", "r64m", "slnt", "plst",
        "note", "labl", "MARK", "INST", "COMT", "COMM", "NAME", "AUTH", "(c)", "ANNO", "APPL", "AESD", "SSND", "basc",
        "uuid", "info", "free", "strg", "mark", "midi", "chan", "pakt",
    )
)


@dataclass(frozen=True)
class Layout:
    """How chunks follow each other.

    Parameters
    ----------
    name, size : int
        Bytes of a chunk's name and of its size.
    order : str
        `<` or `>`.
    whole : bool
        The size counts name and size too.
    align : int
        Chunks begin at multiples of so many bytes, counted from the first.
    """

    name: int
    size: int
    order: str
    whole: bool
    align: int

    @property
    def head(self) -> int:
        """Bytes before a chunk's content."""
        return self.name + self.size

    def pack(self, head: bytes) -> tuple[bytes, int]:
        """Return a chunk's name and the bytes of its content."""
        (size,) = struct.unpack(self.order + ("I" if self.size == 4 else "Q"), head[self.name : self.head])
        return head[: self.name], size - self.head if self.whole else size

    def padding(self, length: int) -> int:
        """Return the bytes that fill a chunk up."""
        return -(length + self.head) % self.align

    def is_name(self, name: bytes) -> bool:
        """Whether this may be the name of a chunk."""
        letters = len(name) >= 4 and all(0x20 <= c < 0x7F for c in name[:4])
        return letters and (self.name == 4 or name[4:] in (_W64_CHUNK, _W64_LIST))

    def is_known(self, name: bytes) -> bool:
        """Whether programs write chunks of this name."""
        return self.is_name(name) and (self.name > 4 or name in _NAMES)


RIFF = Layout(4, 4, "<", False, 2)
IFF = Layout(4, 4, ">", False, 2)
W64 = Layout(16, 8, "<", True, 8)
CAF = Layout(4, 8, ">", False, 1)


def chunks(file: BinaryIO, layout: Layout, at: int, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, first byte and length of the content of each chunk from a place on; the last may be said too long."""
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(layout.head)
        if len(head) < layout.head:
            return
        name, length = layout.pack(head)
        yield name, at + layout.head, length
        if length < 0:
            return
        at += layout.head + length
        if at > size:
            return
        at = _next(file, layout, at, layout.padding(length))


def follows(file: BinaryIO, layout: Layout, at: int, size: int) -> bool:
    """Whether a chunk begins at a place: one that is known, or any that leads to the very end of the file."""
    file.seek(at)
    name = file.read(layout.name)
    return layout.is_known(name) or (layout.is_name(name) and _leads_to_end(file, layout, at, size))


def trailing(file: BinaryIO, layout: Layout, start: int, size: int) -> int:
    """Return where the chunks behind the samples begin, of which nothing is known but that they end with the file."""
    first = max(start, size - _TAIL)
    file.seek(first)
    tail = file.read(size - first)
    found = size
    for name in (_W64_CHUNK, _W64_LIST) if layout.name > 4 else _NAMES:
        at = tail.find(name)
        while 0 <= at < found - first:
            begin = first + at - (layout.name - len(name))
            if begin >= start and _leads_to_end(file, layout, begin, size):
                found = begin
                break
            at = tail.find(name, at + 1)
    return found


def _leads_to_end(file: BinaryIO, layout: Layout, at: int, size: int) -> bool:
    for name, first, length in chunks(file, layout, at, size):
        if not layout.is_name(name) or length < 0 or first + length > size:
            return False
        at = first + length
        if size - at <= layout.padding(length):
            return True
    return False


def _next(file: BinaryIO, layout: Layout, at: int, padding: int) -> int:
    """Return where the next chunk begins; some writers leave the padding out."""
    if padding and layout.name == 4:
        file.seek(at)
        names = file.read(padding + 4)
        if layout.is_name(names[:4]) and not layout.is_name(names[padding:]):
            return at
    return at + padding
