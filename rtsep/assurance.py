"""How sure it is of what has been learnt: what a file of it says, and whoever saves or loads one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXPECTED_DB, SECONDS = "expected_db", "seconds"
"""In what a stage has learnt, if it can say: float32[mics, mics], how much of the bleed of mic j (second axis) in mic i
is expected to go at least, negative where that path is not used; and float64[1], how much sound it was learnt from."""

SURE_DB = 3.0      # half of the bleed's power: what takes less away than that is hardly heard
CONFIDENT = 0.25   # confidence from which a soundcheck's path is believed in
_TOLD = 4          # doubtful paths that one line lists


def of_learnt(learnt: Mapping[str, NDArray[Any]], names: Sequence[str]) -> str:
    """Return what a stage says of what it has learnt: `learnt 83 s; sure of 14 of 20 paths (doubtful: Vox←Kick …)`.

    Parameters
    ----------
    learnt : mapping of str to array
        See `Stage.learnt`.
    names : sequence of str
        Of the microphones.

    Returns
    -------
    str
        Empty if it cannot say.
    """
    if EXPECTED_DB not in learnt or SECONDS not in learnt:
        return ""
    expected = learnt[EXPECTED_DB]
    return f"learnt {float(learnt[SECONDS][0]):.0f} s; {_told(expected >= SURE_DB, expected >= 0, names)}"


def of_soundcheck(confidence: NDArray[np.float32], names: Sequence[str]) -> str:
    """Return the same of a soundcheck's calibration, from the confidence of its paths."""
    return f"a soundcheck; {_told(confidence >= CONFIDENT, np.ones(confidence.shape, bool), names)}"


def _told(sure: NDArray[np.bool_], used: NDArray[np.bool_], names: Sequence[str]) -> str:
    others = ~np.eye(len(names), dtype=bool)
    sure, used = sure & others, used & others
    text = f"sure of {np.count_nonzero(sure)} of {np.count_nonzero(used)} paths"
    doubtful = [f"{names[i]}←{names[j]}" for i, j in np.argwhere(used & ~sure)]
    if doubtful:
        rest = f" and {len(doubtful) - _TOLD} more" if len(doubtful) > _TOLD else ""
        text += f" (doubtful: {', '.join(doubtful[:_TOLD])}{rest})"
    return text
