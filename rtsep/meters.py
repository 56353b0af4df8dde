"""Meters: what a running engine shows of itself, in memory that other processes may read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.figures import FIGURES
from rtsep.shared import Shared

METER_FRAMES = 2048   # that levels are measured over, as `rtsep_kernels.plane.engine` has it, which is slow to import
OCTAVES = (63, 125, 250, 500, 1000, 2000, 4000, 8000)   # Hz: the middle of each band
# Rows of `levels`, one value per microphone, over the last `METER_FRAMES`. The compiled engine writes them. What is
# held is so until `output.clear_clips`; a mean is over all there was to be heard since the engine began.
LEVELS = (
    "in_peak", "out_peak", "in_power", "out_power", "dry_power", "wet_power", "limiter_gain", "in_held", "limiter_held",
    *(f"reduction_{octave}" for octave in OCTAVES), *(f"mean_reduction_{octave}" for octave in OCTAVES),
)
FULL_SCALE = 0.9999   # from here on an input has clipped: the largest value of a 16-bit converter is 0.99997
OPEN = 0.999          # a limiter's gain above which it is as good as open: -0.01 dB
# Places of `counters`, which the compiled engine writes.
COUNTERS = ("frames", "faults", "limited")
_COUNTER_SPACE = 8
# Places of `status`, which the audio process's own thread writes a few times a second.
STATUS = ("running", "latency", "device_latency", *(figure.name for figure in FIGURES))
_STATUS_SPACE = -(-len(STATUS) // 8) * 8   # whole cache lines


class Meters:
    """Levels, counters and status of an engine.

    Parameters
    ----------
    channels : int
    name : str, optional
        Shared memory to use; without it the meters are private.
    create : bool
        Make the shared memory; `close` then removes it.

    Attributes
    ----------
    counters : int64[8]
    status : float64[24]
        `STATUS`: everything of `rtsep.figures`, and what the stream is.
    levels : float32[25, channels]
        Peaks linear, powers as sums of squares over 2048 frames. `dry` and `wet` are the chain's, before any gain.
        Reductions in dB: how much less a band has of the mic, before its level and mute, than it came with.
    """

    def __init__(self, channels: int, name: str | None = None, create: bool = True) -> None:
        self._memory = Shared({
            "counters": (np.int64, (_COUNTER_SPACE,)), "status": (np.float64, (_STATUS_SPACE,)),
            "levels": (np.float32, (len(LEVELS), channels)),
        }, name, create)
        self.counters: NDArray[np.int64] = self._memory["counters"]
        self.status: NDArray[np.float64] = self._memory["status"]
        self.levels: NDArray[np.float32] = self._memory["levels"]
        if create:
            self.level("limiter_gain")[:] = self.level("limiter_held")[:] = 1   # nothing is limited

    @property
    def name(self) -> str | None:
        """Of the shared memory; None: the meters are private."""
        return self._memory.name

    def level(self, name: str) -> NDArray[np.float32]:
        """Return one row of `levels`."""
        row: NDArray[np.float32] = self.levels[LEVELS.index(name)]
        return row

    def reduction(self, mean: bool = False) -> NDArray[np.float32]:
        """Return how much is taken away in each octave, float32[octaves, channels] in dB: now, or on average so far."""
        first = LEVELS.index(f"{'mean_' if mean else ''}reduction_{OCTAVES[0]}")
        rows: NDArray[np.float32] = self.levels[first : first + len(OCTAVES)]
        return rows

    def clipped(self) -> NDArray[np.bool_]:
        """Return which inputs have reached full scale, or have been limited behind, since it was cleared."""
        found: NDArray[np.bool_] = (self.level("in_held") >= FULL_SCALE) | (self.level("limiter_held") < OPEN)
        return found

    def early(self, threshold_db: float) -> NDArray[np.bool_]:
        """Return which inputs have reached a threshold since it was cleared."""
        found: NDArray[np.bool_] = self.level("in_held") >= 10 ** (threshold_db / 20)
        return found

    def told(self, names: Sequence[str], early_db: float) -> dict[str, Any]:
        """Return what a summary says of the levels.

        Parameters
        ----------
        names : sequence of str
            Of the microphones.
        early_db : float
            `output.early_clip_db`.

        Returns
        -------
        dict
            `clipped`, `early`: names of those that were, since it was cleared. `in_held_db`, `limiter_held_db`: by
            name, the highest peak and the most that the limiter took. `octaves_hz`; `reduction_db`: by name, the mean
            in each of them, and `average`, `max` over them.
        """
        held = {row: 20 * np.log10(np.maximum(self.level(row), 1e-6)) for row in ("in_held", "limiter_held")}
        mean = self.reduction(mean=True)
        return {
            "clipped": [name for name, yes in zip(names, self.clipped(), strict=True) if yes],
            "early": [name for name, yes in zip(names, self.early(early_db), strict=True) if yes],
            **{f"{row}_db": dict(zip(names, _rounded(values), strict=True)) for row, values in held.items()},
            "octaves_hz": list(OCTAVES),
            "reduction_db": {
                name: {"octaves": _rounded(row), "average": _rounded(row.mean()), "max": _rounded(row.max())}
                for name, row in zip(names, mean.T, strict=True)
            },
        }

    def counter(self, name: str) -> int:
        """Return one counter."""
        return int(self.counters[COUNTERS.index(name)])

    def get(self, name: str) -> float:
        """Return one status value."""
        return float(self.status[STATUS.index(name)])

    def put(self, name: str, value: float) -> None:
        """Set one status value."""
        self.status[STATUS.index(name)] = value

    def close(self) -> None:
        """Remove the shared memory if this side made it; the figures stay readable."""
        self._memory.close()


def _rounded(decibels: NDArray[np.float32] | np.float32) -> Any:
    """Return numbers as JSON may have them, to a hundredth."""
    return np.round(np.asarray(decibels, np.float64), 2).tolist()
