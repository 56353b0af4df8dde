"""Masking: the spectral stage with a system of separation in place of bleed suppression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from rtsep.catalogue import STAGES
from rtsep.stage import Format
from rtsep.stages.spectral import Spectral
from rtsep_kernels.plane.record import State, Table


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

    A subclass names its stage in `stage`, its compiled entry in `entry` and its record's table in `table` (which begins
    with `rtsep_kernels.masking.HEAD`), and implements `configure` and `values`.

    Parameters
    ----------
    name : str
        The stage's by default.
    given, options
        The stage's options (`rtsep.catalogue`), in order or by name; the rest have their defaults.
    """

    stage: str
    entry: Any
    table: Table

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

    @property
    def system(self) -> State:
        """The record of the system."""
        return self._decider

    def values(self, sizes: Sizes) -> Mapping[str, NDArray[Any] | int | float]:
        """Return what the system's record is made with: see `rtsep_kernels.plane.record.State`."""
        raise NotImplementedError

    def _decide(self, fmt: Format) -> tuple[Any, State]:
        frame = self.record
        sizes = Sizes(fmt.channels, frame["bins"], frame["row"], self._analysis, self._hop, fmt.rate)
        return type(self).entry, type(self).table.make(
            channels=sizes.channels, bins=sizes.bins, row=sizes.row, frame_ms=self._hop / fmt.rate * 1000,
            re=frame["re"], im=frame["im"], power=frame["power"], **self.values(sizes),
        )

    def _known(self, name: str) -> NDArray[Any]:
        array: NDArray[Any] = self._decider[name]
        return array
