"""What recorders write beside the sound: when it begins, and what its tracks are called; bext (EBU Tech 3285) and iXML.

All of it is as odd as recorders are. What cannot be understood is kept as it is, and nothing is made of it.
"""

from __future__ import annotations

import html
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.sax.saxutils import escape

from rtsep.audiofile import riff

_DESCRIPTION = 256                 # bytes of a bext chunk, its first
_DATE = slice(320, 330)            # YYYY-MM-DD
_TIME = struct.Struct("<Q")        # samples since midnight; two words of 32 bits, the lower first
_TIME_PLACE = 338
_LATEST = 1 << 48                  # samples: more is no time but what stood in memory
_DESCRIBED = re.compile(r"[A-Za-z]?TRK([0-9]{1,3})=(.*)")
_SINCE_MIDNIGHT = ("TIMESTAMP_SAMPLES_SINCE_MIDNIGHT", "BWF_TIME_REFERENCE")   # an iXML's copies of that time
_HALVES = ("_LOW?", "_HI(?:GH)?")


@dataclass(frozen=True)
class Tags:
    """Both chunks of one file, as they stand there; empty: it has none.

    Parameters
    ----------
    bext, ixml : bytes
    """

    bext: bytes = b""
    ixml: bytes = b""

    @property
    def start(self) -> int | None:
        """Samples from midnight to the first one, if the file says so."""
        if len(self.bext) < _TIME_PLACE + _TIME.size:
            return None
        start: int = _TIME.unpack_from(self.bext, _TIME_PLACE)[0]
        return start if start < _LATEST else None

    @property
    def date(self) -> str:
        """YYYY-MM-DD; empty: the file does not say, or something else."""
        found = re.fullmatch(r"([0-9]{4})\D([0-9]{2})\D([0-9]{2})", self.bext[_DATE].decode("latin-1"))
        return "-".join(found.groups()) if found else ""

    def at(self, start: int) -> Tags:
        """Return these for sound that begins elsewhere, in samples since midnight."""
        if self.start in (None, start):
            return self
        bext = bytearray(self.bext)
        _TIME.pack_into(bext, _TIME_PLACE, start)
        text = moved = _text(self.ixml)
        for name in _SINCE_MIDNIGHT:
            for end, half in zip(_HALVES, (start & 0xFFFFFFFF, start >> 32), strict=True):
                moved = re.sub(rf"(<{name}{end}>)\s*[0-9]{{1,20}}\s*(<)", rf"\g<1>{half}\g<2>", moved)
        return Tags(bytes(bext), self.ixml if moved == text else _bytes(moved))

    def names(self, channels: int) -> tuple[str, ...]:
        """Return what the tracks of a file of so many channels are called; empty: nobody knows."""
        told = _described(self.bext, channels)
        told |= {channel: name for channel, entry in self.entries(channels).items() if (name := _inside(entry, "NAME"))}
        return tuple(told.get(channel, "") for channel in range(1, channels + 1))

    def entries(self, channels: int) -> dict[int, str]:
        """Return what the iXML's list of tracks says of each channel of such a file, from 1, as far as it is clear."""
        tracks = [part.rpartition("<TRACK>")[2] for part in _text(self.ixml).split("</TRACK>")[:-1]]
        places = [_inside(track, "INTERLEAVE_INDEX") for track in tracks]
        if len(tracks) == channels == 1:
            return {1: tracks[0]}
        if len(tracks) > channels or channels == 1:   # of many tracks nobody knows which one is a mono file
            return {}
        if len(set(places)) == len(places) and all(re.fullmatch("[0-9]{1,3}", place) for place in places):
            return dict(zip(map(int, places), tracks, strict=True))
        return dict(enumerate(tracks, 1)) if len(tracks) == channels else {}

    def with_tracks(self, entries: Sequence[str]) -> Tags:
        """Return these with other entries in the iXML's list of tracks, if it has one."""
        text = _text(self.ixml)
        first, last = text.find("<TRACK_LIST>"), text.find("</TRACK_LIST>")
        return replace(self, ixml=_bytes(text[:first] + _list(entries) + text[last:])) if 0 <= first < last else self


def read(path: Path) -> Tags:
    """Return what a file says beside its sound; a broken chunk is as none."""
    found = riff.read(path, ("bext", "iXML"))
    return Tags(found.get("bext", b""), found.get("iXML", b""))


def entry(own: str, place: int, name: str) -> str:
    """Return what an iXML says of a channel at a place in its file, from 1, and of another name if one is given.

    Parameters
    ----------
    own : str
        What it has said so far (`Tags.entries`), or nothing.
    place : int
    name : str
        May be anything; empty: it keeps its own.
    """
    shown = escape("".join(c if c.isprintable() else "?" for c in name))
    channel = "" if own else str(place)
    for tag, wanted in (("CHANNEL_INDEX", channel), ("INTERLEAVE_INDEX", str(place)), ("NAME", shown)):
        before, opened, rest = own.partition(f"<{tag}>")
        _, closed, after = rest.partition(f"</{tag}>")
        if wanted and opened and closed:
            own = f"{before}<{tag}>{wanted}</{tag}>{after}"
        elif wanted:
            own = f"{own}<{tag}>{wanted}</{tag}>"
    return own


def track_list(names: Sequence[str]) -> str:
    """Return an iXML's list of channels of these names."""
    return _list([entry("", place, name) for place, name in enumerate(names, 1)]) + "</TRACK_LIST>"


def _list(entries: Sequence[str]) -> str:
    """Return a list of tracks without its end."""
    tracks = "".join(f"<TRACK>{one}</TRACK>" for one in entries)
    return f"<TRACK_LIST><TRACK_COUNT>{len(entries)}</TRACK_COUNT>{tracks}"


def _described(bext: bytes, channels: int) -> dict[int, str]:
    """Return the names in a description that has lines like `sTRK1=Vox`, as Sound Devices and Zoom write it.

    The numbers are the recorder's, of which some may not have been armed: those that were are in order in the file.
    """
    lines = _text(bext[:_DESCRIPTION]).split("\0")[0].splitlines()
    told = [found for line in lines if (found := _DESCRIBED.fullmatch(line.strip()))]
    tracks = sorted((int(found[1]), found[2].strip()) for found in told)
    return {place: name for place, (_, name) in enumerate(tracks, 1) if name} if len(tracks) == channels else {}


def _inside(text: str, tag: str) -> str:
    inside = text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0].strip()
    return html.unescape(inside.removeprefix("<![CDATA[").removesuffix("]]>")).strip()


def _text(content: bytes) -> str:
    """Return text in whatever encoding it is; recorders say UTF-8 and write what they like."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _bytes(text: str) -> bytes:
    """Return a changed iXML: in UTF-8, and it says so."""
    said = re.sub(r"""^(\s*<\?xml[^>]*encoding=)["'][^"'>]*["']""", r'\g<1>"UTF-8"', text)
    return said.encode(errors="replace")
