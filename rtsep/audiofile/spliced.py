"""A file put together from parts of another one, in name only: what libsndfile is shown where a header lies."""

from __future__ import annotations

import os
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path


class Spliced:
    """A binary file to read, made of bytes and of spans of a file on disk; nothing is copied.

    Parameters
    ----------
    path : Path
    parts : bytes, or (int, int)
        In order: bytes as they are, or first byte and end of a span of the file.
    """

    def __init__(self, path: Path, *parts: bytes | tuple[int, int]) -> None:
        self._file = open(path, "rb")   # noqa: SIM115
        self._parts = [part for part in parts if _length(part) > 0]
        self._ends = list(accumulate(map(_length, self._parts)))
        self._at = 0

    def read(self, count: int = -1) -> bytes:
        """Return the next bytes."""
        size = self._ends[-1] if self._ends else 0
        count = size - self._at if count < 0 else count
        found = []
        while count > 0 and self._at < size:
            number = bisect_right(self._ends, self._at)
            part, inside = self._parts[number], self._at - (self._ends[number - 1] if number else 0)
            want = min(count, self._ends[number] - self._at)
            if isinstance(part, bytes):
                data = part[inside : inside + want]
            else:
                self._file.seek(part[0] + inside)
                data = self._file.read(want)
                if not data:   # the file became shorter
                    break
            found.append(data)
            self._at += len(data)
            count -= len(data)
        return b"".join(found)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._ends[-1] if self._ends else 0}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def tell(self) -> int:
        """Return the next byte's place."""
        return self._at

    def close(self) -> None:
        """Close the file on disk."""
        self._file.close()


def _length(part: bytes | tuple[int, int]) -> int:
    return len(part) if isinstance(part, bytes) else part[1] - part[0]
