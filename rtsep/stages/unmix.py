"""Stages that undo an instantaneous mixture by a matrix of gains; no latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtsep.catalogue import STAGES
from rtsep.catalogue.matrices import MAX_CONDITION
from rtsep.errors import InputError
from rtsep.stage import Block, Format, Stage
from rtsep_kernels import mix
from rtsep_kernels.plane import ring
from rtsep_kernels.plane.record import State, Table

Float = NDArray[np.float64]


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


def unmixing_of(
    place: str, mixing: ArrayLike, max_condition: float = MAX_CONDITION, regularisation: float = 0.0
) -> Float:
    """Return Λ†, float64[sources, mics], of a mixing matrix.

    Parameters
    ----------
    place : str
        What errors call it.
    mixing : float[mics, sources]
        Its columns are divided by their diagonal.
    max_condition : float
        Worse conditioned, it is refused.
    regularisation : float
        ε in (ΛᵀΛ + ε tr(ΛᵀΛ)/n I)⁻¹ Λᵀ; 0: the pseudo-inverse itself.

    Raises
    ------
    InputError
        If it is not a matrix of numbers with at least as many rows as columns, has a zero on its diagonal, or is
        badly conditioned.
    """
    try:
        lam = np.asarray(mixing, np.float64)
    except ValueError:
        lam = np.zeros(0)
    if lam.ndim != 2 or not lam.size or len(lam) < lam.shape[1] or not np.isfinite(lam).all():
        allowed = "allowed are numbers, at least as many rows (mics) as columns (sources)"
        raise InputError(place, f"it has shape {lam.shape}", allowed)
    if (np.diag(lam) == 0).any():
        raise InputError(place, "a zero on the diagonal", "each mic must hear its own source")
    lam = lam / np.diag(lam)
    condition = np.linalg.cond(lam)
    if condition > max_condition:
        raise InputError(place, f"condition number {condition:.1f}", f"allowed is up to {max_condition:g}")
    sources = lam.shape[1]
    if regularisation:
        gram = lam.T @ lam
        ridge = regularisation * np.trace(gram) / sources * np.eye(sources)
        return np.asarray(np.linalg.solve(gram + ridge, lam.T), np.float64)
    return np.asarray(np.linalg.pinv(lam), np.float64)
