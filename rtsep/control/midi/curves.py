"""Curves: where a control stands (0 to 1) for a value of a parameter, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass

CURVES = ("linear", "log", "taper")

# A console's fader law, as the X32 documents its own (travel, dB from the bottom): +10, -10, -30, -60 and -90 dB stand
# at 1, 1/2, 1/4, 1/16 and 0. Here it is stretched over whatever range there is.
_TRAVEL = (0.0, 0.0625, 0.25, 0.5, 1.0)
_HEIGHT = (0.0, 0.3, 0.6, 0.8, 1.0)
_TAPERS_FROM = 40.0   # dB; a narrower range is a knob's, and linear


@dataclass(frozen=True)
class Curve:
    """How the travel of a control covers a range.

    Parameters
    ----------
    kind : str
        `linear`; `log`: equal ratios (frequencies, times); `taper`: a console's fader, the upper half of its travel
        covers the upper fifth of the range.
    low, high : float
        The values at 0 and 1; in unit of the parameter. For `log` both are above 0.
    """

    kind: str
    low: float
    high: float

    def value(self, position: float) -> float:
        """Return the value at a position, 0 to 1; never outside the range, to the last bit."""
        if position <= 0 or self.low == self.high:
            return self.low
        if position >= 1:
            return self.high
        if self.kind == "log":
            found = self.low * math.pow(self.high / self.low, position)
        else:
            share = _between(position, _TRAVEL, _HEIGHT) if self.kind == "taper" else position
            found = self.low + share * (self.high - self.low)
        return min(max(found, self.low), self.high)

    def position(self, value: float) -> float:
        """Return where a control stands for a value; at an end for what is outside the range."""
        if value <= self.low or self.low == self.high:
            return 0.0
        if value >= self.high:
            return 1.0
        if self.kind == "log":
            return math.log(value / self.low) / math.log(self.high / self.low)
        share = (value - self.low) / (self.high - self.low)
        return _between(share, _HEIGHT, _TRAVEL) if self.kind == "taper" else share


def usual(unit: str, low: float, high: float) -> str:
    """Return the kind of curve that people expect of a unit."""
    if unit == "dB" and high - low >= _TAPERS_FROM:
        return "taper"
    return "log" if unit in ("Hz", "ms") and low > 0 else "linear"


def _between(x: float, xs: tuple[float, ...], ys: tuple[float, ...]) -> float:
    n = next(n for n in range(1, len(xs)) if x <= xs[n] or n == len(xs) - 1)
    return ys[n - 1] + (x - xs[n - 1]) / (xs[n] - xs[n - 1]) * (ys[n] - ys[n - 1])
