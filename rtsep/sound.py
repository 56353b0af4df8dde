"""Sound in arrays: which ones are taken, how microphones are called, and a recording in memory, read as a file is.

The layout is float32[channels, frames] everywhere. It is never guessed: an array of another layout is refused.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtsep.errors import InputError
from rtsep.limits import check_mics, check_rate
from rtsep.names import checked, numbered

Block = NDArray[np.float32]

MOST_CHANNELS = 64   # more are taken for frames, if the other axis could be channels


class Source(Protocol):
    """A recording that is read piece by piece: a file's `audiofile.Input`, or a `Sound`."""

    rate: int
    channels: int
    frames: int
    names: tuple[str, ...]

    def read(self, frames: int) -> Block:
        """Return the next frames: fewer than asked for at the end, none behind it."""

    def seek(self, frame: int) -> None:
        """Go to a frame, counted from 0."""


class Sound:
    """A recording in memory; a `Source`.

    Parameters
    ----------
    x : float32[channels, frames]
        See `block`; at least one frame.
    rate : float
        Hz, a whole number.
    names : sequence of str, optional
        Of the microphones: `mic1`, `mic2` … by default.

    Raises
    ------
    InputError
        If one of them is not that.
    """

    def __init__(self, x: ArrayLike, rate: float, names: Sequence[str] | None = None) -> None:
        self.samples = block(x, "x")
        self.rate = whole_rate(rate)
        self.channels, self.frames = self.samples.shape
        if not self.frames:
            raise InputError("x", "holds no sound", "allowed is at least one sample")
        self.names = mic_names(self.channels, names)
        self._position = 0

    def read(self, frames: int) -> Block:
        """See `Source.read`; C-contiguous, the caller's own."""
        piece = self.samples[:, self._position : self._position + max(0, frames)].copy()
        self._position += piece.shape[1]
        return piece

    def seek(self, frame: int) -> None:
        """See `Source.seek`."""
        self._position = frame


def block(x: ArrayLike, place: str, channels: int | None = None) -> Block:
    """Return sound as the program works on it, or say what is wrong with it.

    Parameters
    ----------
    x : array of floats [channels, frames]
        Other floats than float32 are converted, and what is not C-contiguous is copied.
    place : str
        What errors call it.
    channels : int, optional
        How many there must be. Where any number may be, more than 64 are refused if the other axis has at most 64:
        that is an array the other way round.

    Returns
    -------
    float32[channels, frames]
        C-contiguous; `x` itself if it is that already.

    Raises
    ------
    InputError
        If it has integers, another number of axes, no channels, or can only be the other way round.
    """
    array = _floats(x, place)
    shape = _shape(array)
    if array.ndim == 1:
        raise InputError(place, f"{shape} has one axis", f"allowed is [channels, frames]: one channel is {place}[None]")
    if array.ndim != 2 or not len(array):
        raise InputError(place, f"{shape} is no sound", "allowed is float32[channels, frames]")
    turned = f"it looks like [frames, channels]: give {place}.T"
    if channels is None:
        if len(array) > MOST_CHANNELS >= array.shape[1]:
            raise InputError(place, f"{shape} has {len(array)} channels of {array.shape[1]} frames", turned)
    elif len(array) != channels:
        allowed = turned if array.shape[1] == channels else f"allowed is [{channels}, frames]"
        raise InputError(place, f"{shape} has {len(array)} channels", allowed)
    return _float32(array)


def signals(x: ArrayLike, place: str) -> NDArray[np.float32]:
    """Return parts of one channel each, or of several, as float32[parts, channels, frames].

    Parameters
    ----------
    x : array of floats [parts, frames] or [parts, channels, frames]
    place : str
        What errors call it.

    Raises
    ------
    InputError
        See `block`; and if it has no frames.
    """
    array = _floats(x, place)
    several = _float32(array) if array.ndim == 3 else block(array, place)[:, None]
    if not several.size:
        raise InputError(place, f"{_shape(array)} holds no sound", "allowed is at least one sample")
    return several


def whole_rate(rate: float) -> int:
    """Return a sample rate, or raise InputError: it is a whole number of Hz."""
    if isinstance(rate, bool) or not isinstance(rate, numbers.Real) or rate < 1 or not float(rate).is_integer():
        raise InputError("rate", f"{rate!r} is no sample rate", "allowed is a whole number of Hz")
    check_rate("rate", int(rate))
    return int(rate)


def mic_names(channels: int, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the microphones' names: `mic1`, `mic2` … where there are none.

    Raises
    ------
    InputError
        If there are not as many as channels, or one cannot be one (`rtsep.names.checked`).
    """
    check_mics("channels", channels)
    if names is None:
        return numbered(channels)
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise InputError("names", f"{names!r} is no list of names", "allowed is one text per microphone")
    if len(names) != channels:
        raise InputError("names", f"{len(names)} names for {channels} channels", "allowed is one per microphone")
    return checked([str(name) for name in names], "names")


def _floats(x: ArrayLike, place: str) -> NDArray[np.floating]:
    array = np.asarray(x)
    if array.dtype.kind in "iub":
        allowed = "allowed are floats: scale it to -1..1, full scale being 1"
        raise InputError(place, f"{_shape(array)} has integers", allowed)
    if array.dtype.kind != "f":
        raise InputError(place, f"{_shape(array)} has no floats", "allowed is float32[channels, frames]")
    return array


def _float32(array: NDArray[np.floating]) -> Block:
    with np.errstate(over="ignore"):   # what becomes infinite is counted and replaced like any other bad sample
        return np.ascontiguousarray(array, np.float32)


def _shape(array: NDArray[np.generic]) -> str:
    return f"{array.dtype}[{', '.join(map(str, array.shape))}]"
