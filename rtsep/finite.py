"""Where recorded sound comes in: samples that are no sound become 0, are counted, and are told of in one line.

One NaN would be in every bin of its frames, and from there in all that is learnt; what sorts or indexes by it leaves
its arrays. So nobody reads a recording but through `open_sound`, and no array of a caller's is worked on but through
`Finite` or `repaired`. Only the chain guards itself (`rtsep_kernels.plane.grid`): live there is nobody before it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rtsep import audiofile
from rtsep.audiofile.metadata import Tags
from rtsep.audiofile.origin import Origin
from rtsep.errors import SoundWarning
from rtsep.names import numbered
from rtsep.sound import Block, Source

LOUDEST = np.float32(2**20)
"""+120 dBFS: 16-bit integers kept as floats pass. Powers of powers, which systems work with, end at float32's 3e38:
from +144 dBFS on some are infinite (`bench/fuzz.py`), and no converter has made such a sample."""

_TOLD = 4   # names that one line lists


class Finite:
    """A recording whose samples are all finite; a `Source`, and a context manager that tells of what was not.

    Parameters
    ----------
    source : Source
        As new.
    place : str
        What it is called.

    Attributes
    ----------
    rate, channels, frames, names
        As of a `Source`.
    origin : Origin
        What its files say beside the sound.
    """

    def __init__(self, source: Source, place: str) -> None:
        self.rate, self.channels, self.frames, self.names = source.rate, source.channels, source.frames, source.names
        self.origin = source.origin if isinstance(source, audiofile.Input) else Origin((Tags(),), source.names)
        self._source, self._place = source, place
        self._position = 0
        self._counted: int | None = None   # up to here, from where reading began
        self._bad = np.zeros(source.channels, np.int64)

    @property
    def bad_inputs(self) -> dict[str, int]:
        """How many samples became 0, of each microphone that had any; each counts once, however often it is read."""
        return _named(self.names, self._bad)

    def read(self, frames: int) -> Block:
        """See `Source.read`."""
        piece = self._source.read(frames)
        first, count = self._position, piece.shape[1]
        counted = first if self._counted is None else self._counted
        # Counted is what follows without a gap: excerpts that are read ahead are read once more in their turn.
        seen = min(count, counted - first) if first <= counted else count
        repair(piece[:, :seen])
        self._bad += repair(piece[:, seen:])
        self._position = first + count
        self._counted = max(counted, self._position) if first <= counted else counted
        return piece

    def seek(self, frame: int) -> None:
        """See `Source.seek`."""
        self._source.seek(frame)
        self._position = frame

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(self._source, audiofile.Input):
            self._source.close()
        if kind is None:   # what failed says its own line
            tell(self._place, self.bad_inputs)


def open_sound(path: str | os.PathLike[str] | audiofile.Member) -> Finite:
    """Open a recording as `audiofile.open_input` does, with samples that are all finite."""
    return Finite(audiofile.open_input(path), str(path))


def repair(x: Block) -> NDArray[np.int64]:
    """Make what is no sound 0, in place, and return how many samples of each channel that were, int64[channels].

    Parameters
    ----------
    x : float32[channels, frames]
    """
    # `not <=` is true for NaN.
    bad = ~(np.abs(x) <= LOUDEST)
    counts: NDArray[np.int64] = np.count_nonzero(bad, axis=1)
    if counts.any():
        x[bad] = 0
    return counts


def repaired(x: Block, place: str, names: Sequence[str]) -> Block:
    """Return a caller's sound with samples that are all finite, and tell of what was not.

    Parameters
    ----------
    x : float32[parts, ...]
        Left alone.
    place : str
        What it is called.
    names : sequence of str
        Of the parts; where there are not as many, they are numbered.

    Returns
    -------
    float32[parts, ...]
        `x` itself where nothing is wrong with it.
    """
    flat = x.reshape(len(x), -1).copy()
    counts = repair(flat)
    tell(place, _named(names if len(names) == len(x) else numbered(len(x)), counts))
    return flat.reshape(x.shape) if counts.any() else x


def line(place: str, bad: Mapping[str, int]) -> str:
    """Return what is said of samples that became 0, by microphone."""
    told = [f"{count} samples of {mic}" for mic, count in list(bad.items())[:_TOLD]]
    if len(bad) > _TOLD:
        told.append(f"{sum(list(bad.values())[_TOLD:])} of {len(bad) - _TOLD} more")
    return f"{place}: {', '.join(told)} were NaN, infinite or far beyond full scale; they became 0"


def tell(place: str, bad: Mapping[str, int]) -> None:
    """Warn in one line if samples became 0; the command line prints it."""
    if bad:
        warnings.warn(line(place, bad), SoundWarning, stacklevel=3)


def _named(names: Sequence[str], counts: NDArray[np.int64]) -> dict[str, int]:
    return {name: int(count) for name, count in zip(names, counts, strict=True) if count}
