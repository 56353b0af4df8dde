"""Stages without a spectrum: the input's trim, and the matrices that undo an instantaneous mixture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import STAGES
from rtsep.errors import InputError
from rtsep.stage import RAMP_SECONDS, Block, Format, Stage
from rtsep.systems.demix import unmixing_of
from rtsep_kernels import mix
from rtsep_kernels.plane import ring
from rtsep_kernels.plane.record import State, Table


class Input(Stage):
    """Gain, polarity and alignment delay of each microphone.

    The alignment delay comes on top of the chain's latency, which stays 0 here: it is the user's own.

    Parameters
    ----------
    name : str
    max_delay_ms : float
        Longest alignment delay, milliseconds.
    """

    params = STAGES["input"].params

    def __init__(self, name: str = "input", max_delay_ms: float = STAGES["input"].defaults["max_delay_ms"]) -> None:
        super().__init__(name)
        self._max_delay_ms = max_delay_ms

    def _build(self, fmt: Format) -> tuple[Any, State, int]:
        longest = round(self._max_delay_ms * fmt.rate / 1000)
        record = mix.INPUT.make(
            channels=fmt.channels, ramp_segments=fmt.segments(RAMP_SECONDS), frames_per_ms=fmt.rate / 1000,
            fade_frames=round(RAMP_SECONDS * fmt.rate), longest=longest,
            ring_frames=1 << max(7, (longest + 63).bit_length()),
        )
        return mix.input_trim, record, 0

    def _start(self) -> None:
        mix.settle_input(self.record.record)

    def shadow(self) -> Input:
        """Return a twin on the same board: nothing is learnt here."""
        twin = Input(self.name, self._max_delay_ms)
        twin.prepare(self.fmt, self.board)
        return twin


class Unmixing(Stage):
    """Base of the stages that multiply the microphones by a matrix, which moves to every new estimate; no latency.

    A subclass names its stage in `stage`, its compiled entry in `entry` and its record's table in `table` (which begins
    with `rtsep_kernels.mix.UNMIX`), and implements `configure` and `values`.

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
        super().__init__(name or self.stage)
        values = STAGES[self.stage].complete(given, options)
        self._ramp_ms: float = values.pop("ramp_ms")
        self.configure(**values)

    def configure(self, *args: Any, **options: Any) -> None:
        """Take the options but for `ramp_ms`."""
        raise NotImplementedError

    def values(self, fmt: Format) -> Mapping[str, NDArray[Any] | int | float]:
        """Return what the record is made with: see `rtsep_kernels.plane.record.State`."""
        raise NotImplementedError

    def first(self) -> Block:
        """Return the matrix to begin with, float32[mics, mics]."""
        return np.eye(self.fmt.channels, dtype=np.float32)

    @property
    def unmixing(self) -> Block:
        """The matrix of now, float32[mics, mics]: out = M x."""
        matrix: Block = self.record["now"].copy()
        return matrix

    def _recall(self) -> None:
        super()._recall()
        if self._learnt:
            self.record["now"] = self.record["next"] = self.record["goal"]

    def _build(self, fmt: Format) -> tuple[Any, State, int]:
        first = self.first()
        record = type(self).table.make(
            channels=fmt.channels, ramp_segments=fmt.segments(self._ramp_ms / 1000), now=first, next=first, goal=first,
            **self.values(fmt),
        )
        return type(self).entry, record, 0

    def shadow(self) -> Stage:
        """Return a stage that multiplies another signal by this one's matrix, in step with it."""
        twin = _Follower(self)
        twin.prepare(self.fmt, self.board)
        return twin


class _Follower(Stage):
    """See `Unmixing.shadow`: it has no matrix of its own."""

    def __init__(self, master: Unmixing) -> None:
        super().__init__(master.name)
        self._master = master

    def _build(self, fmt: Format) -> tuple[Any, State, int]:
        matrix = self._master.record
        return mix.follow, mix.FOLLOW.make(channels=fmt.channels, now=matrix["now"], next=matrix["next"]), 0


class Matrix(Unmixing):
    """Undo an instantaneous mixture x = Λ s with the pseudo-inverse of Λ.

    Use it for digital crosstalk, splits and coincident pickups; a room is no instantaneous mixture, and a scalar Λ
    hardly helps there.

    Parameters
    ----------
    name : str
    mixing : float[k, k], optional
        Λ: how much of source j (column) is in mic i (row). Columns are divided by their diagonal, since a source's
        gain at its own mic cannot be told from its level. Empty: nothing is undone.
    ramp_ms : float
        Time to move to a new matrix.
    max_condition : float
        Λ with a larger condition number is refused: its inverse would amplify noise more than it removes bleed.

    References
    ----------
    Rajesh & Rajan, WASPAA 2023, doi:10.1109/WASPAA58266.2023.10248133: S = Λ† X.
    """

    stage = "matrix"
    entry = mix.matrix
    table = mix.MATRIX

    def configure(self, mixing: Sequence[Sequence[float]] | NDArray[np.float64], max_condition: float) -> None:
        """See `Unmixing.configure`."""
        self._mixing = mixing
        self._max_condition = max_condition

    def set_mixing(self, mixing: Sequence[Sequence[float]] | NDArray[np.float64]) -> None:
        """Move to the inverse of another mixing matrix, ramped; any thread may call this, one at a time.

        Raises
        ------
        InputError
            If it is not square, has the wrong size, a zero on its diagonal, or is badly conditioned.
        """
        estimates = self.record["estimates"].reshape(3, -1)
        ring.slot_publish(self.record["slot"], estimates, self._unmixing(mixing).ravel())

    def values(self, fmt: Format) -> Mapping[str, NDArray[Any] | int | float]:
        """See `Unmixing.values`."""
        del fmt   # nothing hangs on it
        slot = np.zeros(ring.SLOT_HEADER, np.int64)
        ring.slot_clear(slot)
        return {"slot": slot}

    def first(self) -> Block:
        """See `Unmixing.first`."""
        return self._unmixing(self._mixing) if len(self._mixing) else super().first()

    def _unmixing(self, mixing: Sequence[Sequence[float]] | NDArray[np.float64]) -> Block:
        k = self.fmt.channels
        unmixing = unmixing_of(f"{self.name}.mixing", mixing, self._max_condition)
        if unmixing.shape != (k, k):
            raise InputError(
                f"{self.name}.mixing", f"it has shape {unmixing.shape[::-1]}", f"allowed is {k} rows of {k} numbers"
            )
        return unmixing.astype(np.float32)
