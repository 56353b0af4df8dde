"""What is really in a file of linear samples, whatever its header says.

The header is believed where what it says leads to the end of the file or to another chunk. Where it does not, the file
itself decides: its sound goes to its end, or to the chunks that end with it.
"""

from __future__ import annotations

from typing import BinaryIO, NamedTuple

from rtsep.audiofile.chunks import follows, trailing
from rtsep.audiofile.containers import Header

WRAP = 1 << 32        # what a size of 32 bits counts up to
_CLUSTER = 1 << 16    # bytes: the largest unit in which FAT32 gives out disk; what is left of the last one is no sound
_LEFTOVER = 4096      # bytes behind what both sizes of a header agree on: a page of memory, a tag, never a recording
_TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN")   # of players, behind the end of anything


class Extent(NamedTuple):
    """Bytes of samples that are there, and that the header says (None: it says that it does not know)."""

    there: int
    said: int | None
    left_out: int = 0    # bytes behind that are no sound


def extent(file: BinaryIO, header: Header, size: int, wrap: int = WRAP) -> Extent:
    """Find out how many bytes of samples there are.

    Parameters
    ----------
    file : binary file
    header : Header
        What is said in it.
    size : int
        Bytes of the file.
    wrap : int
        Where sizes begin again at 0.
    """
    room = max(0, size - header.start)
    for claim in header.claims:
        if _ends_well(file, header, claim, size):
            return Extent(claim, claim)
    if header.wraps:
        for claim in header.claims:
            for large in range(claim + wrap, room + 1, wrap):
                if _ends_well(file, header, large, size):
                    return Extent(large, claim)
    said = max(header.claims, default=None)
    short = [claim for claim in header.claims if claim < room]
    for claim in short:
        at = header.start + claim
        left = size - at
        if _starts_with_tag(file, at):
            return Extent(claim, claim)
        if claim and _zeros(file, at, size):
            return Extent(claim, claim, left if left > _CLUSTER else 0)
        if claim and left < _LEFTOVER and header.end - at in (0, claim % 2):
            return Extent(claim, claim, left)
    if short and said is not None and said > room:
        said = short[0]
    end = size if header.layout is None else trailing(file, header.layout, header.start, size)
    return Extent(end - header.start, said)


def _ends_well(file: BinaryIO, header: Header, claim: int, size: int) -> bool:
    """Whether the file, or another chunk, begins or ends where the samples end by what is said."""
    at = header.start + claim
    slack = header.form.frame if header.form is not None else 1
    if claim // slack == max(0, size - header.start) // slack:   # less than a frame is no sound: padding
        return True
    if at > size:
        return False
    if header.layout is None:
        return False
    padding = header.layout.padding(claim)
    return any(follows(file, header.layout, at + more, size) for more in {0, padding})


def _starts_with_tag(file: BinaryIO, at: int) -> bool:
    file.seek(at)
    return file.read(16).startswith(_TAGS)


def _zeros(file: BinaryIO, at: int, size: int) -> bool:
    file.seek(at)
    while at < size:
        data = file.read(min(1 << 20, size - at))
        if not data or data.count(0) != len(data):
            return False
        at += len(data)
    return True
