"""Tables: what a stage's state record holds at the start, again after every reset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Tables:
    """Arrays that hang off a record by their addresses, and numbers in it.

    Parameters
    ----------
    record : structured array of length 1
        Its fields of these names are written.
    values : mapping of str to array or number
        As they are at the start; copied.

    Attributes
    ----------
    arrays : dict of str to array
        In use.
    """

    def __init__(self, record: NDArray[Any], values: Mapping[str, NDArray[Any] | int | float]) -> None:
        self._record = record
        self._first = dict(values)
        self.arrays: dict[str, NDArray[Any]] = {}
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                self.arrays[name] = np.ascontiguousarray(value).copy()
                record[name] = self.arrays[name].ctypes.data

    def start(self) -> None:
        """Put everything as it was at the start."""
        for name, value in self._first.items():
            if name in self.arrays:
                self.arrays[name][...] = value
            else:
                self._record[name] = value
