"""How punctual a program was."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def percentiles(us: ArrayLike) -> dict[str, float]:
    """Summarise measured block times.

    Parameters
    ----------
    us : float[blocks]
        In microseconds, or any other unit.

    Returns
    -------
    dict
        p50, p99, p999 (interpolated, 99.9 %) and max in the same unit; nan when nothing was measured.
    """
    times = np.asarray(us, np.float64).ravel()
    names = ("p50", "p99", "p999", "max")
    if not times.size:
        return dict.fromkeys(names, math.nan)
    return dict(zip(names, np.percentile(times, (50, 99, 99.9, 100)).tolist(), strict=True))
