"""Clocks: do the input's and the output's run alike. A loop's delay, period by period over minutes, tells.

If it grows, the output's clock is the slower one of two devices; the slope is the difference. What is left of a
straight line is jitter; a step is sound that was lost, or put in, between two periods.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rtsep.bench.loop.response import confidence

_STEP = 1.0   # samples between two periods beyond what the slope makes: clocks do not jump


@dataclass(frozen=True)
class Clocks:
    """What minutes of a loop tell of its clocks.

    Parameters
    ----------
    drift_ppm, confidence_ppm : float
        By how much the delay grows, millionths; half of its 95 % interval.
    jitter : float
        RMS of what is left of a straight line, samples.
    most : float
        Largest of it, from top to bottom.
    slips : tuple of float
        Steps of the delay, samples.
    """

    drift_ppm: float
    confidence_ppm: float
    jitter: float
    most: float
    slips: tuple[float, ...]


def clocks(delays: Sequence[float], period: int) -> Clocks:
    """Look at the delay of each period.

    Parameters
    ----------
    delays : sequence of float
        Samples, of periods that follow on each other.
    period : int
        Samples.
    """
    if len(delays) < 3:
        return Clocks(math.nan, math.nan, math.nan, math.nan, ())
    steps = np.diff(delays)
    steps = (steps + period / 2) % period - period / 2   # a delay may pass the end of a period
    usual = float(np.median(steps))
    jumps = np.abs(steps - usual) > _STEP
    slips = tuple(float(step - usual) for step in steps[jumps])
    steps[jumps] = usual
    line = np.concatenate([[0.0], np.cumsum(steps)])
    n = np.arange(line.size)
    slope, start = np.polyfit(n, line, 1)
    left = line - (slope * n + start)
    # The slope's own error, as of any regression; Student's t for the periods that there are.
    sigma = confidence(left.tolist()) / math.sqrt(float(np.mean((n - n.mean()) ** 2)))
    return Clocks(1e6 * float(slope) / period, 1e6 * sigma / period, float(np.std(left)), float(np.ptp(left)), slips)
