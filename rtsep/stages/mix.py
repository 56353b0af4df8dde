"""Stages without a spectrum: the input's trim, and the matrices that undo an instantaneous mixture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import STAGES
from rtsep.errors import InputError
from rtsep.stage import RAMP_SECONDS, Block, Format, Stage
from rtsep.stages.tables import Tables
from rtsep.systems.demix import unmixing_of
from rtsep_kernels import mix
from rtsep_kernels.plane import ramp, ring
from rtsep_kernels.plane.memory import aligned


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

    def _build(self, fmt: Format) -> tuple[Any, NDArray[Any], int]:
        k = fmt.channels
        self._record = np.zeros(1, mix.INPUT)
        self._record["channels"] = k
        self._record["ramp_segments"] = fmt.segments(RAMP_SECONDS)
        self._record["frames_per_ms"] = fmt.rate / 1000
        self._record["fade_frames"] = round(RAMP_SECONDS * fmt.rate)
        longest = round(self._max_delay_ms * fmt.rate / 1000)
        self._record["longest"] = longest
        frames = 1 << max(7, (longest + 63).bit_length())
        self._record["ring_frames"] = frames
        self._hold("ring", aligned((k, frames)))
        self._hold("gains", aligned((k, ramp.RAMP)))
        for name in ("delay", "was_delay", "faded"):
            self._hold(name, np.zeros(k, np.int64))
        return mix.input_trim, self._record, 0

    def _start(self) -> None:
        self._keep["ring"][:] = 0
        per_ms = float(self._record["frames_per_ms"][0])
        for c, mic in enumerate(self.board.mics):
            path = f"{self.name}.%s.{mic}"
            gain = 10 ** (self.board.get(path % "gain_db") / 20)
            if self.board.get(path % "invert") > 0.5:
                gain = -gain
            self._keep["gains"][c] = (gain, gain, gain, 0, 0)
            most = int(self._record["longest"][0])
            delay = min(int(self.board.get(path % "delay_ms") * per_ms + 0.5), most)
            self._keep["delay"][c] = delay
            self._keep["was_delay"][c] = delay
            self._keep["faded"][c] = self._record["fade_frames"][0]

    def shadow(self) -> Input:
        """Return a twin on the same board: nothing is learnt here."""
        twin = Input(self.name, self._max_delay_ms)
        twin.prepare(self.fmt, self.board)
        return twin


class Unmixing(Stage):
    """Base of the stages that multiply the microphones by a matrix, which moves to every new estimate; no latency.

    A subclass names its stage in `stage`, its compiled entry in `entry` and its record in `state_dtype` (which begins
    with `rtsep_kernels.mix.UNMIX`), and implements `configure` and `tables`. Each table becomes an array that lives as
    long as the stage, at the address in the record's field of that name; every start copies the values given into it
    again.

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
        super().__init__(name or self.stage)
        values = STAGES[self.stage].complete(given, options)
        self._ramp_ms: float = values.pop("ramp_ms")
        self.configure(**values)

    def configure(self, *args: Any, **options: Any) -> None:
        """Take the options but for `ramp_ms`."""
        raise NotImplementedError

    def tables(self, fmt: Format) -> Mapping[str, NDArray[Any] | int | float]:
        """Return fields of the record: arrays as they are at the start, and numbers."""
        raise NotImplementedError

    @property
    def unmixing(self) -> Block:
        """The matrix of now, float32[mics, mics]: out = M x."""
        matrix: Block = self._keep["now"].reshape(self.fmt.channels, -1).copy()
        return matrix

    def _known(self, name: str) -> NDArray[Any]:
        if name != "goal":
            return self._tables.arrays[name]
        matrix: Block = self._keep[name].reshape(self.fmt.channels, -1)
        return matrix

    def _recall(self) -> None:
        super()._recall()
        for name in ("now", "next"):
            self._keep[name][:] = self._keep["goal"]

    def _build(self, fmt: Format) -> tuple[Any, NDArray[Any], int]:
        k = fmt.channels
        self._record = np.zeros(1, self.state_dtype)
        self._record["channels"] = k
        self._record["ramp_segments"] = fmt.segments(self._ramp_ms / 1000)
        for name in ("now", "next", "goal", "step"):
            self._hold(name, aligned(k * k))
        self._first: Block = np.eye(k, dtype=np.float32)
        self._tables = Tables(self._record, self.tables(fmt))
        return type(self).entry, self._record, 0

    def _start(self) -> None:
        self._record["left"] = 0
        for name in ("now", "next", "goal"):
            self._keep[name][:] = self._first.ravel()
        self._keep["step"][:] = 0
        self._tables.start()

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

    def _build(self, fmt: Format) -> tuple[Any, NDArray[Any], int]:
        self._record = np.zeros(1, mix.FOLLOW)
        self._record["channels"] = fmt.channels
        for name in ("now", "next"):
            self._hold(name, self._master._keep[name])
        return mix.follow, self._record, 0

    def _start(self) -> None:
        """Nothing of its own starts."""


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
    state_dtype = mix.MATRIX

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
        arrays = self._tables.arrays
        ring.slot_publish(arrays["slot"], arrays["estimates"], self._unmixing(mixing).ravel())

    def tables(self, fmt: Format) -> Mapping[str, NDArray[Any] | int | float]:
        """See `Unmixing.tables`."""
        slot = np.zeros(ring.SLOT_HEADER, np.int64)
        ring.slot_clear(slot)
        if len(self._mixing):
            self._first = self._unmixing(self._mixing)
        return {"slot": slot, "estimates": np.zeros((3, fmt.channels**2), np.float32)}

    def _unmixing(self, mixing: Sequence[Sequence[float]] | NDArray[np.float64]) -> Block:
        k = self.fmt.channels
        unmixing = unmixing_of(f"{self.name}.mixing", mixing, self._max_condition)
        if unmixing.shape != (k, k):
            raise InputError(
                f"{self.name}.mixing", f"it has shape {unmixing.shape[::-1]}", f"allowed is {k} rows of {k} numbers"
            )
        return unmixing.astype(np.float32)
