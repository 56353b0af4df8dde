"""The governor: what to give up when the machine is too slow, and when to take it back.

Pure: it is told how much of their deadlines the callbacks took, and says which rungs of a ladder (`rtsep.shedding`)
are given up. It goes down as fast as it can tell that a rung was not enough, and comes back one rung at a time: after a
while without trouble, if what the rung saved would fit, and the later the more often that rung has failed.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

HIGH = 0.85           # of the deadline: JACK's server and other clients need the rest
LATELY = 0.3          # seconds that are looked at: 225 calls of 64 frames at 48 kHz, 28 of 512
# So many calls above HIGH are trouble, and so large a part of them. Real trouble is regular, as the work is. One
# or two calls are a machine that stood still, which giving up work does not mend.
MANY, PART = 3, 0.02
IDLE = 0.3            # of the deadline, the median: below it the machine stands still again and again, for others' sake
LOOKS = 2             # in so many looks there must have been some: else the machine stood still once
SOON = 0.1            # that part, as long as less than LATELY has been seen since the last step: a stall is soon that
BUSIEST = 95          # percentile: calls with more work than others come once or more in eight, a single stall does not
BUSY = 0.6            # of the deadline, these calls: below it a lost block was not ours, and this will not mend it
# Seconds after a step before calls count for what comes of it: a fade takes up to four partitions of 512 samples,
# begins with the next one, costs more than what it takes away, and is seen by who looks twenty times a second.
SETTLING = 0.15
GRACE = 1.0           # seconds after the first call in which nothing is given up: pages and caches are still cold
FIRST_WAIT, LONGEST_WAIT = 5.0, 320.0   # seconds without trouble until a rung is back; doubled by each failure
FAILED_WITHIN = 5.0   # seconds; trouble so soon after a rung was taken back is its fault
FORGIVEN = 600.0      # seconds without a failure after which a rung waits as at first
STRIDE = 0.3          # of the deadline: for each of it above HIGH one rung more is given up at once; few save as much
USELESS = 0.97        # of the mean share: where a rung that nothing is heard of at once left more, it is taken back


class Governor:
    """Decides how far down the ladder to be.

    Attributes
    ----------
    level : int
        Rungs given up, but for those in `kept`.
    kept : set of int
        Rungs that turned out not to help.
    steps : int
        How often something was given up.
    """

    def __init__(self) -> None:
        self.level = 0
        self.kept: set[int] = set()
        self.steps = 0
        self._calls: deque[tuple[float, NDArray[np.float64], int]] = deque()   # when, shares, xruns
        self._began: float | None = None
        self._changed = -np.inf
        self._trouble = -np.inf
        self._back = -np.inf                     # when a rung was taken back the last time
        self._before: float | None = None        # mean share before a rung that may not help
        self._peaks: dict[int, float] = {}       # busiest share when a level was left downwards
        self._saved: dict[int, float] = {}       # what the rung below a level saved, of the busiest share
        self._failures: dict[int, tuple[int, float]] = {}   # by level: how often, and when last

    @property
    def given(self) -> frozenset[int]:
        """Rungs that are given up now."""
        return frozenset(range(self.level)) - self.kept

    def update(self, now: float, shares: NDArray[np.float64], xruns: int, rungs: int, background: int) -> bool:
        """Take in the calls since the last time, and go on; True if what is given up has changed.

        Parameters
        ----------
        now : float
            Seconds.
        shares : float64[calls]
            Of the deadline that each took.
        xruns : int
            Blocks lost meanwhile.
        rungs, background : int
            On the ladder; how many of them, from the first, are such that nothing of them is heard at once.
        """
        before = self.given
        if self._began is None:
            self._began = now
        if self.level > rungs:   # another chain
            self.level, self.kept = rungs, set()
        if now - self._began >= GRACE:
            self._go_on(now, shares, xruns, rungs, background)
        return self.given != before

    def _go_on(self, now: float, shares: NDArray[np.float64], xruns: int, rungs: int, background: int) -> None:
        self._calls.append((now, shares, xruns))
        while self._calls and self._calls[0][0] <= now - LATELY:
            self._calls.popleft()
        if now - self._changed < SETTLING:
            self._calls.clear()
            return
        recent = np.concatenate([calls for _, calls, _ in self._calls])
        if not recent.size:
            return
        busiest = float(np.percentile(recent, BUSIEST))
        self._judge(recent, busiest)
        part = PART if now - self._changed > SETTLING + LATELY else SOON
        if self._too_busy(recent, part, busiest):
            self._trouble = now
            if self.level < rungs:
                self._give_up(now, recent, busiest, rungs, background)
        elif self.level > 0:
            self._take_back(now, busiest)

    def _too_busy(self, recent: NDArray[np.float64], part: float, busiest: float) -> bool:
        if np.median(recent) < IDLE:
            return False
        high = [int(np.count_nonzero(shares > HIGH)) for _, shares, _ in self._calls]
        often = sum(count > 0 for count in high) >= LOOKS and sum(high) >= max(MANY, part * recent.size)
        return often or (busiest > BUSY and sum(lost > 0 for _, _, lost in self._calls) >= LOOKS)

    def _judge(self, recent: NDArray[np.float64], busiest: float) -> None:
        """Note what the last step down has saved, as soon as that can be told."""
        peak = self._peaks.pop(self.level, None)
        if peak is not None:
            self._saved[self.level] = max(0.0, peak - busiest)
        if self._before is not None:
            if recent.mean() > USELESS * self._before:
                self.kept.add(self.level - 1)
            self._before = None

    def _give_up(
        self, now: float, recent: NDArray[np.float64], busiest: float, rungs: int, background: int
    ) -> None:
        if now - self._back < FAILED_WITHIN:
            times, _ = self._failures.get(self.level + 1, (0, now))
            self._failures[self.level + 1] = times + 1, now
            self._back = -np.inf
        more = 1 + max(0, int((busiest - HIGH) / STRIDE))
        if self.level < background:
            more = 1
            self._before = float(recent.mean())
        self.level = min(rungs, self.level + more)
        self._peaks[self.level] = busiest
        self._change(now)
        self.steps += 1

    def _take_back(self, now: float, busiest: float) -> None:
        times, when = self._failures.get(self.level, (0, now))
        if now - when > FORGIVEN:
            self._failures.pop(self.level, None)
            times = 0
        if now - max(self._changed, self._trouble) < min(LONGEST_WAIT, FIRST_WAIT * 2.0**times):
            return
        saved = self._saved.get(self.level, 0.0)
        if busiest + saved > HIGH:
            self._saved[self.level] = saved / 2   # of another time: what it would cost now, only trying can tell
            self._trouble = now
            return
        self.level -= 1
        while self.level and self.level - 1 in self.kept:
            self.level -= 1
        self.kept = {rung for rung in self.kept if rung < self.level}
        self._back = now
        self._change(now)

    def _change(self, now: float) -> None:
        self._changed = now
        self._calls.clear()

