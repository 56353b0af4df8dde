"""Shared: arrays in memory that several processes use. One life cycle for the board, the meters and the workers' slots.

Whoever creates it owns it, and alone removes it; should the owner be killed, Python's resource tracker removes it. Who
attaches is not known to that tracker (`SharedMemory` would tell it, before Python 3.13): the death of a worker takes
nothing away from the others.
"""

from __future__ import annotations

import _posixshmem  # type: ignore[import-not-found]
import contextlib
import math
import mmap
import os
from collections.abc import Mapping
from multiprocessing import resource_tracker
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_LINE = 64   # bytes: of a cache line, and what FFTW and AVX-512 want
_KIND = "shared_memory"   # the tracker's word

Layout = Mapping[str, tuple[DTypeLike, tuple[int, ...]]]


class Shared:
    """Arrays, all zeros at first, each at a multiple of 64 bytes.

    What has been removed stays usable for those who have it: the memory itself goes with the last array that looks
    at it.

    Parameters
    ----------
    layout : mapping of str to (dtype, shape)
        The same on every side.
    name : str, optional
        Shared memory to use; without it the arrays are private.
    create : bool
        Make the shared memory; `close` then removes it.

    Raises
    ------
    FileExistsError, FileNotFoundError
        If there is such memory already, or none.
    ValueError
        If it is too small: the other side has another layout.

    Attributes
    ----------
    name : str or None
    """

    def __init__(self, layout: Layout, name: str | None = None, create: bool = True) -> None:
        self.name = name
        self._owned = create and name is not None
        places, size = {}, 0
        for key, (dtype, shape) in layout.items():
            places[key] = size
            size += -(-math.prod(shape) * np.dtype(dtype).itemsize // _LINE) * _LINE
        raw = _private(size) if name is None else _mapped(name, size, create)
        self._arrays: dict[str, NDArray[Any]] = {
            key: np.ndarray(shape, dtype, raw, places[key]) for key, (dtype, shape) in layout.items()
        }

    def __getitem__(self, key: str) -> NDArray[Any]:
        """Return an array."""
        return self._arrays[key]

    def close(self) -> None:
        """Remove the shared memory if this side made it, so that nobody else can find it."""
        if self._owned:
            self._owned = False
            with contextlib.suppress(FileNotFoundError):
                _posixshmem.shm_unlink(f"/{self.name}")
            resource_tracker.unregister(f"/{self.name}", _KIND)


def _private(size: int) -> NDArray[np.uint8]:
    raw = np.zeros(size + _LINE, np.uint8)
    first = -raw.ctypes.data % _LINE
    return raw[first : first + size]


def _mapped(name: str, size: int, create: bool) -> NDArray[np.uint8]:
    """Map shared memory; whole pages, so that every array is aligned."""
    size = max(size, 1)   # nothing cannot be mapped
    flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if create else 0)
    file = _posixshmem.shm_open(f"/{name}", flags, mode=0o600)
    try:
        if create:
            resource_tracker.register(f"/{name}", _KIND)
            os.ftruncate(file, size)
        there = os.fstat(file).st_size
        if there < size:
            raise ValueError(f"shared memory {name} has {there} bytes, {size} are needed")
        return np.frombuffer(mmap.mmap(file, size), np.uint8)
    finally:
        os.close(file)
