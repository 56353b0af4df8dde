"""Reading: one quantity that a bench has measured, how often, and how far chance may carry it.

The noise band of a reading comes from its repeats within the run: the value is their median, and the band is
`SIGMAS` standard errors of that median to either side, with the standard deviation estimated robustly from the median
absolute deviation, as a stall of the machine must not widen it. What has one repeat has no band and is never judged,
unless it is exact: a count of samples is the same every time.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LESS, MORE, EQUAL = "less", "more", "equal"
"""Which way is good: the smaller, the larger, or any change is bad."""

# Of five normal repeats on each side two bands added up are exceeded by chance in 0.3 % of comparisons, of nine in none
# of 4000, of three in 1.8 %: the deviation is estimated from those few itself.
SIGMAS = 5.0
_TO_SIGMA = 1.4826               # median absolute deviation to standard deviation of a normal distribution
_OF_MEDIAN = math.sqrt(math.pi / 2)   # standard error of a median against that of a mean
# Of few repeats the median absolute deviation is too small: Croux & Rousseeuw, COMPSTAT 1992, table 1.
_FEW = {2: 1.196, 3: 1.495, 4: 1.363, 5: 1.206, 6: 1.200, 7: 1.140, 8: 1.129, 9: 1.107}


@dataclass(frozen=True)
class Reading:
    """One quantity.

    Parameters
    ----------
    name : str
        Unique within its run; parts with dots between, the general one first.
    value : float
    unit : str
    better : str
        `LESS`, `MORE` or `EQUAL`.
    noise : float or None
        Half the width of its noise band; None: it is not known.
    repeats : tuple of float
        What the value is the median of.
    """

    name: str
    value: float
    unit: str
    better: str
    noise: float | None = None
    repeats: tuple[float, ...] = ()


def measured(name: str, unit: str, better: str, repeats: Sequence[float]) -> Reading:
    """Return the reading of a quantity that was measured one or more times within a run."""
    values = tuple(float(value) for value in repeats)
    return Reading(name, statistics.median(values), unit, better, band(values), values)


def exact(name: str, unit: str, better: str, value: float) -> Reading:
    """Return the reading of a quantity that chance cannot change on one machine, such as a count of samples."""
    return Reading(name, float(value), unit, better, 0.0, (float(value),))


def band(repeats: Sequence[float]) -> float | None:
    """Return how far the median of these repeats may be off; None: of one repeat nobody knows.

    See the head of this module.
    """
    count = len(repeats)
    if count < 2:
        return None
    middle = statistics.median(repeats)
    deviation = statistics.median(abs(value - middle) for value in repeats)
    sigma = _TO_SIGMA * deviation * _FEW.get(count, count / (count - 0.8))
    return SIGMAS * sigma * _OF_MEDIAN / math.sqrt(count)


def fifths(values: NDArray[np.float64], percentile: float) -> list[float]:
    """Return a percentile of each fifth of what was measured one after the other: repeats within one run."""
    import numpy

    return [float(numpy.percentile(part, percentile)) for part in numpy.array_split(values, 5) if part.size]
