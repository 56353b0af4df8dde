"""Masking: the spectral stage with a system of separation in place of bleed suppression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import STAGES
from rtsep.stage import Format
from rtsep.stages.spectral import Spectral
from rtsep.stages.tables import Tables


@dataclass(frozen=True)
class Sizes:
    """What the arrays of a system must fit.

    Parameters
    ----------
    channels : int
    bins, row : int
        Bins of a spectrum, and how many values a row of the stage's arrays has: bins and padding.
    window, hop : int
        Samples.
    rate : int
        Hz.
    """

    channels: int
    bins: int
    row: int
    window: int
    hop: int
    rate: int


class Masking(Spectral):
    """Base of the systems that run live; see `rtsep_kernels.masking` for the kernel's side.

    A subclass names its stage in `stage`, its compiled entry in `entry` and its record in `state_dtype` (which begins
    with `rtsep_kernels.masking.HEAD`), and implements `configure` and `tables`. Each table becomes an array that lives
    as long as the stage, at the address in the record's field of that name; every `start` copies the values given into
    it again.

    Parameters
    ----------
    name : str
        The stage's by default.
    given, options
        The stage's options (`rtsep.catalogue`), in order or by name; the rest have their defaults.
    """

    stage: str
    entry: Any
    state_dtype: np.dtype[Any]

    def __init_subclass__(cls) -> None:
        cls.params = STAGES[cls.stage].params

    def __init__(self, name: str = "", *given: Any, **options: Any) -> None:
        values = STAGES[self.stage].complete(given, options)
        analysis, synthesis, hop = (values.pop(key) for key in ("analysis", "synthesis", "hop"))
        super().__init__(name or self.stage, analysis, synthesis, hop, "unity")
        self.configure(**values)

    def configure(self, *args: Any, **options: Any) -> None:
        """Take the options but for the windows."""
        raise NotImplementedError

    def tables(self, sizes: Sizes) -> Mapping[str, NDArray[Any] | int | float]:
        """Return fields of the record: arrays as they are at the start, and numbers."""
        raise NotImplementedError

    def _known(self, name: str) -> NDArray[Any]:
        return self._tables.arrays[name]

    def _decide(self, fmt: Format, bins: int, row: int) -> None:
        record = np.zeros(1, self.state_dtype)
        record["channels"], record["bins"], record["row"] = fmt.channels, bins, row
        record["frame_ms"] = self._hop / fmt.rate * 1000
        for name in ("re", "im", "power", "gains"):
            record[name] = self._keep[name].ctypes.data
        for param in self.params:
            record[param.name] = self.board.address(f"{self.name}.{param.name}")
        sizes = Sizes(fmt.channels, bins, row, self._analysis, self._hop, fmt.rate)
        self._tables = Tables(record, self.tables(sizes))
        self._record["estimator"] = type(self).entry.address
        self._record["estimator_state"] = record.ctypes.data

    def _start(self) -> None:
        super()._start()
        self._tables.start()
