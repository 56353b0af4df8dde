"""Gauges: what is measured of a run, by threads that the sound does not wait for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from rtsep.figures import gather
from rtsep.hosts import ear
from rtsep.hosts.overload import Overload
from rtsep.meters import METER_FRAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from rtsep.engine import Engine
    from rtsep.hosts.tape import Tape
    from rtsep.meters import Meters
    from rtsep.runner import Runner

QUIET_DB = -80         # dBFS: below it is no microphone that is plugged in and open
QUIET_SECONDS = 3.0    # longer than most rests in a song
# Block times are counted in bins of 0.5 %, from 0.01 us to 7 s.
_SHORTEST, _STEP, _BINS = 0.01, 1.005, 4096
_BURST_SECONDS = 0.3     # in which there are five bursts of up to 2048 frames at 44.1 kHz
_PAUSE = 0.003           # seconds without a call, above the millisecond that a sleep may take longer


class Gauges:
    """Measures a life of the audio process: block times, load, and everything else of `rtsep.figures`.

    What it measures of the callback it gives to the governor.

    Parameters
    ----------
    runner : Runner
    engine : Engine
    meters : Meters
        Its status is kept up to date.
    tape : Tape, optional
    period : callable, optional
        Gives the frames that the device says it hands over in one call, which may change; 0: it does not say.
    """

    def __init__(
        self, runner: Runner, engine: Engine, meters: Meters, tape: Tape | None, period: Callable[[], int] = lambda: 0
    ) -> None:
        from rtsep.clock import ticks_per_second

        self._runner, self._engine, self._meters, self._tape = runner, engine, meters, tape
        self._period = period
        self._us_per_tick = 1e6 / ticks_per_second()
        self._counts = np.zeros(_BINS, np.int64)
        self._seen = 0
        self._max = self._busy = 0.0
        self._late_blocks = 0
        self._marks = [(0.0, 0.0, 0)]   # (time, busy seconds, frames) of the last second
        self._overload = Overload(engine)

    def block(self) -> int:
        """Return how many frames the device hands over in one call."""
        record = self._runner.record
        frames: int = record["position"]
        calls: int = record["calls"]
        return self._period() or round(frames / max(1, calls))

    def update(self, now: float) -> None:
        """Take in the calls since the last update; `now` in seconds."""
        calls, frames = self._runner.record["calls"], self._runner.record["position"]
        timings = self._runner.record["timings"]
        size = timings.size
        places = np.arange(max(self._seen, calls - size), calls) % size
        us = timings[places] * self._us_per_tick
        self._seen = calls
        rate = self._runner.rate
        if us.size:
            bins = np.log(np.maximum(us, _SHORTEST) / _SHORTEST) / np.log(_STEP)
            self._counts += np.bincount(np.minimum(bins, _BINS - 1).astype(np.int64), minlength=_BINS)
            self._max = max(self._max, float(us.max()))
            self._busy += float(us.sum()) * 1e-6
            self._late_blocks += int((us > self.block() / rate * 1e6).sum())
        self._overload.update(now, us * 1e-6, self.block(), rate, self._runner.record["xruns"])
        self._marks = [mark for mark in self._marks if mark[0] > now - 1] + [(now, self._busy, frames)]
        _, busy, before = self._marks[0]
        figures = self.read()
        for name, value in figures.items():
            self._meters.put(name, value)
        if self._tape is not None:
            self._tape.look(figures)
        self._meters.put("load", (self._busy - busy) / max(1e-9, (frames - before) / rate))   # of the last second

    def news(self) -> list[str]:
        """Return what there is to say of what is given up because the machine is too slow; once."""
        news = self._overload.news()
        return [] if news is None else [news]

    def read(self) -> dict[str, float]:
        """Return every figure of this life, by name."""
        record = self._runner.record
        seconds = record["position"] / self._runner.rate
        p50, p99, p999 = self._percentiles()
        measured = {
            "calls": record["calls"],
            "seconds": seconds,
            "xruns": record["xruns"],
            "late_blocks": self._late_blocks,
            "bad_inputs": int(self._runner.bad_inputs.sum()),
            "bus_limited": record["bus_limited"],
            "ear_limited": ear.limited(self._runner),
            "shed": self._overload.steps, "shed_seconds": self._overload.seconds,
            "lost_frames": self._tape.lost if self._tape else 0,
            "block_us.p50": p50, "block_us.p99": p99, "block_us.p999": p999, "block_us.max": self._max,
            "load": self._busy / seconds if seconds else 0.0,
            "block": self.block(),
        }
        return gather(measured, self._engine.status())

    def _percentiles(self) -> tuple[float, float, float]:
        total = np.cumsum(self._counts)
        if not total[-1]:
            return 0.0, 0.0, 0.0
        places = (np.searchsorted(total, q * total[-1]) for q in (0.5, 0.99, 0.999))
        p50, p99, p999 = (min(self._max, _SHORTEST * _STEP ** (float(place) + 0.5)) for place in places)
        return p50, p99, p999


class RateWatch:
    """Notices a device that runs at another rate than it says.

    Parameters
    ----------
    rate : int
        The rate it says, Hz.
    """

    TOLERANCE = 0.04
    READINGS = 3

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._begin: tuple[float, int, int] | None = None
        self._odd: list[float] = []

    def update(self, now: float, frames: int, xruns: int, block: int) -> float | None:
        """Take note of how many frames have come by `now`.

        Returns
        -------
        float or None
            The rate the device really runs at, Hz, once three readings in a row are off by more than 4 % and
            agree: a machine that merely stalls loses a different number of frames each time.
        """
        if self._begin is None:
            self._begin = now, frames, xruns
            return None
        before, first, lost = self._begin
        # At least 100 blocks: then a block more or less is one per cent.
        if now - before < max(1.0, 100 * block / self._rate):
            return None
        self._begin = now, frames, xruns
        measured = (frames - first) / (now - before)
        if xruns != lost or abs(measured / self._rate - 1) <= self.TOLERANCE:
            self._odd.clear()
            return None
        self._odd.append(measured)
        recent = self._odd[-self.READINGS :]
        if len(recent) < self.READINGS or max(recent) > (1 + self.TOLERANCE / 2) * min(recent):
            return None
        return sum(recent) / len(recent)


class Standstill:
    """Notices that the sound stands still, from outside the process that makes it.

    Parameters
    ----------
    rate : int
        Hz.
    """

    SECONDS = 0.3
    _LONGEST_LOOK = 0.1   # seconds that may count between two looks: when the whole machine stood still, nobody is ill
    _SIGNS = 4            # times that the frames should have moved meanwhile: they are shown every `METER_FRAMES`

    def __init__(self, rate: int) -> None:
        self._patience = max(self.SECONDS, self._SIGNS * METER_FRAMES / rate)
        self.begin(0.0)

    def begin(self, now: float) -> None:
        """Take note that another process makes the sound from now on."""
        self._frames, self._looked, self._still = -1, now, 0.0

    def update(self, now: float, frames: int) -> bool:
        """Return whether it has stood still too long; `frames` as the engine has counted them."""
        passed, self._looked = min(now - self._looked, self._LONGEST_LOOK), now
        self._still = self._still + passed if frames == self._frames else 0.0
        self._frames = frames
        return self._still > self._patience


class QuietMics:
    """Notices microphones that have been silent for a while, each once until it sounds again.

    Parameters
    ----------
    names : tuple of str
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._heard: list[float | None] = [None] * len(names)
        self._told = [False] * len(names)

    def update(self, now: float, meters: Meters) -> list[str]:
        """Return the names to warn of."""
        fresh = []
        for c, peak in enumerate(meters.level("in_peak")):
            heard = self._heard[c]
            if heard is None or peak >= 10 ** (QUIET_DB / 20):
                self._heard[c] = now
                self._told[c] = False
            elif now - heard >= QUIET_SECONDS and not self._told[c]:
                self._told[c] = True
                fresh.append(self._names[c])
        return fresh


def burst(runner: Runner) -> int:
    """Measure how many frames come at once: calls without a pause of a millisecond belong together.

    Returns 0 where there are no real pauses: small blocks on a busy machine look like one long burst.
    """
    bursts, pauses = [0], [0.0]
    position = runner.record["position"]
    now = time.monotonic()
    until = now + _BURST_SECONDS
    while now < until:
        time.sleep(0.001)
        earlier, now = now, time.monotonic()
        before, position = position, runner.record["position"]
        if position > before:
            if pauses[-1]:
                bursts.append(0)
                pauses.append(0.0)
            bursts[-1] += position - before
        else:
            pauses[-1] += now - earlier
    if len(bursts) < 5 or np.median(pauses[1:-1]) < _PAUSE:
        return 0
    return int(np.median(bursts[1:-1]))   # the outer two were cut
