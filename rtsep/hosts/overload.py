"""Overload: has the engine give up what the governor says, counts it, and says it in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtsep import realtime
from rtsep.hosts.governor import Governor

if TYPE_CHECKING:
    from rtsep.engine import Engine

_CALM = 1.0   # seconds without a change before the next line: a ladder is not read out rung by rung


class Overload:
    """Between the gauges, the governor and the engine of a live host.

    The thread that updates it gets real-time priority, lest it come last when there is too much to do.

    Parameters
    ----------
    engine : Engine

    Attributes
    ----------
    steps : int
        How often something was given up.
    seconds : float
        How long something was.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._governor = Governor()
        self._xruns = 0
        self._looked: float | None = None
        self._now = 0.0
        self._changed = -np.inf
        self._told: frozenset[int] = frozenset()
        self._block, self._deadline, self._peak, self._lost = 0, 0.0, 0.0, 0   # since the last line
        self.seconds = 0.0

    @property
    def steps(self) -> int:
        """How often something was given up."""
        return self._governor.steps

    def update(self, now: float, took: NDArray[np.float64], block: int, rate: int, xruns: int) -> None:
        """Take in the calls since the last time.

        Parameters
        ----------
        now : float
            Seconds.
        took : float64[calls]
            Seconds each.
        block, rate : int
            Frames in a call, and in a second.
        xruns : int
            So far.
        """
        ladder = self._engine.ladder
        if self._looked is None:
            realtime.watch()
        if self._looked is not None and self._governor.given:
            self.seconds += now - self._looked
        self._looked = self._now = now
        lost, self._xruns = xruns - self._xruns, xruns
        if not took.size:
            return
        self._block, self._deadline = block, block / rate
        shares = took / self._deadline
        peak = float(np.percentile(shares, 99))
        if not self._governor.given and now - self._changed > _CALM:
            self._peak, self._lost = peak, lost
        else:
            self._peak, self._lost = max(self._peak, peak), self._lost + lost
        background = sum(rung.background for rung in ladder)
        if self._governor.update(now, shares, lost, len(ladder), background):
            self._changed = now
        # Every time: a reload may have changed the ladder, and what comes back does so in steps of its own.
        self._engine.shed(self._governor.given)

    def news(self) -> str | None:
        """Return a line when there is something to say: at once when it begins, then when it has come to rest."""
        given = self._governor.given
        if given == self._told or (self._told and self._now - self._changed < _CALM):
            return None
        more = bool(given - self._told)
        self._told = given
        ladder = self._engine.ladder
        rungs = [rung for n, rung in enumerate(ladder) if n in given]
        last = {rung.stage: rung.told for rung in rungs}   # of each stage
        state = "; ".join(last.values())
        if not more:
            return f"load is lower: {state}" if state else "load is lower: all that was given up is back"
        reliefs = dict.fromkeys(rung.relief for rung in ladder if rung.relief)
        helps = [f"larger blocks than {self._block} frames", *reliefs]
        if not realtime.granted():
            helps.append("real-time priority")
        line = (
            f"overload: the callback takes up to {100 * self._peak:.0f} % of its {1000 * self._deadline:.2f} ms, "
            f"{self._lost} xruns: {state}. What would help: {', '.join(helps)}"
        )
        self._peak, self._lost = 0.0, 0
        return line
