"""A plug-in of a file, in a slot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.plugins import measuring
from rtsep.plugins.hosted import RAMP_SECONDS, Hosted
from rtsep.plugins.probing import Knob, Probe

Block = NDArray[np.float32]

_SAME = 1e-5   # of a plug-in's own 0 to 1: nearer than what is kept of its curves, farther than float32


class FileHost(Hosted):
    """A plug-in of a file; loaded by the thread that makes it, the main thread.

    Its parameters go to their targets in a ramp of one step a unit, as it takes them over at the edges of blocks; those
    with choices, and those of two values, go at once; those that move its latency, while the dry input is heard. Its
    latency is what was measured. If it says another one later, it is different by as much; that of a plug-in that says
    what is not so is measured again, as it is after every state that is loaded.

    Parameters
    ----------
    found : Probe
    state : bytes
        `raw_state` that it begins with; empty: its own default.
    values : sequence of float
        Of all knobs.
    """

    def __init__(self, found: Probe, state: bytes, values: Sequence[float]) -> None:
        self._found = found
        self._steps = max(1, round(RAMP_SECONDS * found.rate / found.unit))
        self._ramps: dict[int, list[float]] = {}   # by knob: raw values to come, the last one first
        self._ducked = [n for n, knob in enumerate(found.knobs) if knob.param.name in found.latency_knobs]
        self._news: list[str] = []
        self._failed = 0
        self.measured = found.measured
        self._off = found.latency - found.declared
        self._plugin: Any = None
        self._load(state)
        self._initial = self._known = self.state()   # known: the one of which the latency is known
        self.aim(values, at_once=True)

    @property
    def latency(self) -> int:
        """See `Hosted.latency`."""
        return max(0, (self.declared or 0) + self._off)

    def aim(self, values: Sequence[float], at_once: bool) -> None:
        """See `Hosted.aim`; what the plug-in is at already is not set again."""
        for n, (knob, value) in enumerate(zip(self._found.knobs, values, strict=True)):
            raw = _raw(knob, value)
            if abs(raw - self._goal[n]) <= _SAME:
                continue
            self._goal[n] = raw
            if n in self._ducked:
                continue
            first = self._now[n]
            jumps = at_once or knob.choices or len(knob.curve) <= 2
            steps = 1 if jumps else self._steps
            self._ramps[n] = [first + (raw - first) * k / steps for k in range(steps, 0, -1)]
        if at_once:
            self._step()
            self.settle()

    @property
    def ducks(self) -> bool:
        """See `Hosted.ducks`."""
        return any(self._now[n] != self._goal[n] for n in self._ducked)

    def settle(self) -> None:
        """See `Hosted.settle`."""
        if not self.ducks:
            return
        for n in self._ducked:
            self._tell(n, self._goal[n])
        self._run_silence()
        if not self._found.agrees:
            self._measure()

    def work(self, block: Block) -> Block:
        """See `Hosted.work`."""
        if self._ramps:
            self._step()
        out = measuring.run(self._plugin, block, self._found.rate, self._found.channels)
        self._look()
        return out

    def reset(self) -> None:
        """See `Hosted.reset`."""
        self._plugin.reset()
        self._run_silence()

    def remake(self) -> None:
        """See `Hosted.remake`: cleared the first time, loaded anew with its state when that did not help."""
        self._failed += 1
        if self._failed % 2:
            self.reset()
            return
        goal = self._goal
        self._load(self.state())
        for n, raw in enumerate(goal):   # also those that were on their way
            self._goal[n] = raw
            self._tell(n, raw)

    def twin(self) -> None:
        """See `Hosted.twin`: to load a file takes too long."""

    def state(self) -> bytes:
        """See `Hosted.state`."""
        return bytes(self._plugin.raw_state)

    def load(self, state: bytes) -> None:
        """See `Hosted.load`; without a state, as it was made."""
        state = state or self._initial
        if self.state() != state:
            measuring.give(self._plugin, state)
        self._run_silence()
        self._read()
        if state != self._known:
            self._known = state
            self._measure()

    def news(self) -> list[str]:
        """See `Hosted.news`."""
        told, self._news = self._news, []
        return told

    def _load(self, state: bytes) -> None:
        self._plugin = None   # the old one first: some are allowed once only
        self._plugin = measuring.load(self._found.path, self._found.name)
        if state:
            measuring.give(self._plugin, state)
        self._run_silence()
        self._read()

    def _run_silence(self) -> None:
        """Have it prepared for units, and take over what it was told."""
        silence = np.zeros((1, self._found.unit), np.float32)
        measuring.run(self._plugin, silence, self._found.rate, self._found.channels)
        self.declared = int(self._plugin.reported_latency_samples)

    def _read(self) -> None:
        """Take notice of where its parameters are."""
        self._parameters = list(self._plugin._parameters)
        self._now = [float(self._parameters[knob.index].raw_value) for knob in self._found.knobs]
        self._goal = list(self._now)
        self._ramps.clear()

    def _measure(self) -> None:
        """Measure the latency again: it may be another one with another state."""
        self._run_silence()
        self.measured = measuring.latency(self._plugin, self._found.rate, self._found.unit, self._found.channels)
        self._off = 0 if self.measured is None else self.measured - (self.declared or 0)
        self.reset()

    def _step(self) -> None:
        for n in list(self._ramps):
            self._tell(n, self._ramps[n].pop())
            if not self._ramps[n]:
                del self._ramps[n]

    def _tell(self, n: int, raw: float) -> None:
        self._now[n] = raw
        self._parameters[self._found.knobs[n].index].raw_value = raw

    def _look(self) -> None:
        """See whether it says another latency now: it takes parameters over with a unit, or moves by itself."""
        said = int(self._plugin.reported_latency_samples)
        if said != self.declared:
            self._news.append(f"it says {said} samples of latency now, not {self.declared}")
            self.declared = said
            if self.measured is not None:
                self.measured = said + self._off


def _raw(knob: Knob, value: float) -> float:
    """Return a value as the plug-in's own 0 to 1."""
    curve = np.asarray(knob.curve)
    points = np.linspace(0, 1, len(curve))
    if curve[0] > curve[-1]:
        curve, points = curve[::-1], points[::-1]
    return float(np.interp(value, curve, points))
