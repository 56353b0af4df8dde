"""Stages without a spectrum: the input's trim, and the matrix that undoes an instantaneous mixture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError
from rtsep.stage import RAMP_SECONDS, Block, Format, Stage
from rtsep.stages.catalogue import STAGES
from rtsep_kernels import mix, ramp, ring
from rtsep_kernels.memory import aligned


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

    def __init__(self, name: str = "input", max_delay_ms: float = 50.0) -> None:
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


class Matrix(Stage):
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

    params = STAGES["matrix"].params

    def __init__(
        self,
        name: str = "matrix",
        mixing: Sequence[Sequence[float]] | NDArray[np.float64] = (),
        ramp_ms: float = 40.0,
        max_condition: float = 20.0,
    ) -> None:
        super().__init__(name)
        self._mixing = mixing
        self._ramp_ms = ramp_ms
        self._max_condition = max_condition

    def set_mixing(self, mixing: Sequence[Sequence[float]] | NDArray[np.float64]) -> None:
        """Move to the inverse of another mixing matrix, ramped; any thread may call this, one at a time.

        Raises
        ------
        InputError
            If it is not square, has the wrong size, a zero on its diagonal, or is badly conditioned.
        """
        ring.slot_publish(self._keep["slot"], self._keep["estimates"], self._unmixing(mixing))

    def _unmixing(self, mixing: Sequence[Sequence[float]] | NDArray[np.float64]) -> Block:
        k = self.fmt.channels
        try:
            lam = np.asarray(mixing, np.float64)
        except ValueError:
            lam = np.zeros(0)
        if lam.shape != (k, k) or not np.isfinite(lam).all():
            raise InputError(f"{self.name}.mixing", f"it has shape {lam.shape}", f"allowed is {k} rows of {k} numbers")
        if (np.diag(lam) == 0).any():
            raise InputError(f"{self.name}.mixing", "a zero on the diagonal", "each mic must hear its own source")
        lam = lam / np.diag(lam)
        condition = np.linalg.cond(lam)
        if condition > self._max_condition:
            raise InputError(
                f"{self.name}.mixing", f"condition number {condition:.1f}", f"allowed is up to {self._max_condition:g}"
            )
        return np.linalg.pinv(lam).astype(np.float32).ravel()

    def _build(self, fmt: Format) -> tuple[Any, NDArray[Any], int]:
        k = fmt.channels
        self._record = np.zeros(1, mix.MATRIX)
        self._record["channels"] = k
        self._record["ramp_segments"] = fmt.segments(self._ramp_ms / 1000)
        self._hold("slot", np.zeros(ring.SLOT_HEADER, np.int64))
        self._hold("estimates", aligned((3, k * k)))
        for name in ("now", "next", "goal", "step"):
            self._hold(name, aligned(k * k))
        self._first = self._unmixing(self._mixing) if len(self._mixing) else np.eye(k, dtype=np.float32).ravel()
        return mix.matrix, self._record, 0

    def _start(self) -> None:
        ring.slot_clear(self._keep["slot"])
        self._record["left"] = 0
        for name in ("now", "next", "goal"):
            self._keep[name][:] = self._first
        self._keep["step"][:] = 0

    def shadow(self) -> Matrix:
        """Return a twin with the matrix of now; harm is measured with one that does not move."""
        twin = Matrix(self.name, (), self._ramp_ms, self._max_condition)
        twin.prepare(self.fmt, self.board)
        twin._first = self._keep["goal"].copy()
        twin._start()
        return twin
