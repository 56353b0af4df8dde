"""One plug-in that runs: unit in, unit out, as late as is known; its parameters go where they are told."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.params import Param
from rtsep.plugins.builtins import BUILTINS, Builtin, never_late
from rtsep.plugins.fades import Fade

Block = NDArray[np.float32]

RAMP_SECONDS = 0.02   # of a parameter, as consoles have it
STEP = 8              # samples between two steps of a ramp at least: a call takes 5 µs, steps are 30 dB below a jump's
_FINE_DB, _FINE_OCTAVES, _FINE = 0.02, 0.005, 0.002   # steps that a whole unit may have: -60 dB of what sounds, or less
_NYQUIST = 0.49       # of the rate: filters above would not be stable


class Hosted(ABC):
    """A plug-in in a slot.

    Attributes
    ----------
    declared, measured : int or None
        Latency that it says itself, and what an impulse took, samples.
    """

    declared: int | None = None
    measured: int | None = None

    @property
    @abstractmethod
    def latency(self) -> int:
        """Samples that it adds."""

    @property
    def plain(self) -> Any:
        """An effect of pedalboard's own that is never late, and just goes on: its object. None: it has to be worked.

        Its ramps go on by `advance`, so often in a unit as `steps` says.
        """
        return None

    @property
    def steps(self) -> int:
        """Into how many pieces the next unit has to be cut for its ramps; 0: nothing moves."""
        return 0

    def advance(self, frames: int) -> None:   # noqa: B027  (nothing moves)
        """Go on with all ramps by so many samples."""

    @abstractmethod
    def aim(self, values: Sequence[float], at_once: bool) -> None:
        """Take over the targets of all parameters."""

    @abstractmethod
    def work(self, block: Block) -> Block:
        """Return what it makes of a unit; it may be no number."""

    @property
    def ducks(self) -> bool:
        """Whether something waits to be set while the plug-in is not heard."""
        return False

    def settle(self) -> None:   # noqa: B027  (nothing waits)
        """Set what waits: nobody hears the plug-in just now."""

    @abstractmethod
    def reset(self) -> None:
        """Forget all that sounds; parameters stay."""

    @abstractmethod
    def remake(self) -> None:
        """Be made anew with the same parameters, as what it holds may be no number."""

    @abstractmethod
    def twin(self) -> Hosted | None:
        """Return another one with the same parameters; None: that takes too long while playing."""

    def state(self) -> bytes:
        """Return what it keeps beside its parameters."""
        return b""

    def load(self, state: bytes) -> None:   # noqa: B027  (keeps nothing)
        """Go on from that."""

    def news(self) -> list[str]:
        """Return what it has to say since the last call."""
        return []


class BuiltinHost(Hosted):
    """An effect of pedalboard's own.

    Parameters
    ----------
    builtin : Builtin
    rate, unit : int
    values : sequence of float
        Of all parameters.
    width : int
        Channels; those of dynamics have each a level of their own.
    """

    def __init__(self, builtin: Builtin, rate: int, unit: int, values: Sequence[float], width: int = 1) -> None:
        self._builtin, self._rate, self._unit, self._width = builtin, rate, unit, width
        self._ducked = tuple(n for n, param in enumerate(builtin.params) if param.name in builtin.ducked)
        self._now = [float(value) for value in values]   # what it is set to
        self._goal = list(self._now)
        self._from = list(self._now)
        self._ramp = max(1, round(RAMP_SECONDS * rate))
        self._at = self._ramp   # samples of the ramp that are done
        self._span = 0.0        # how far it goes, in the finest steps
        self._never_late = builtin.latency is never_late
        self._plugin: Any = self._made()
        self._next: Any = None   # one with other values that is taking over
        self._beside = 0         # samples until it is faded to
        self._fade = Fade(rate, False)
        self._latency = self._reckoned()

    @property
    def latency(self) -> int:
        """See `Hosted.latency`."""
        return self._latency

    @property
    def plain(self) -> Any:
        """See `Hosted.plain`."""
        return self._plugin if self._never_late and not self._blends and not self.ducks else None

    @property
    def steps(self) -> int:
        """See `Hosted.steps`."""
        if self._at >= self._ramp:
            return 0
        return min(max(1, math.ceil(self._span * self._unit / self._ramp)), -(-self._unit // STEP))

    def advance(self, frames: int) -> None:
        """See `Hosted.advance`."""
        if self._at < self._ramp:
            self._at = min(self._ramp, self._at + frames)
            self._move(self._at / self._ramp)

    def aim(self, values: Sequence[float], at_once: bool) -> None:
        """See `Hosted.aim`."""
        if at_once:
            self._goal = [float(value) for value in values]
            self._now, self._at = list(self._goal), self._ramp
            self._next = None
            self._fade.jump(False)
            self._plugin = self._made()
            self._latency = self._reckoned()
            return
        for n, (param, value) in enumerate(zip(self._builtin.params, values, strict=True)):
            if value != self._goal[n] and param.name in self._builtin.smooth:
                self._goal[n] = self._now[n] = self._from[n] = float(value)
                self._set(n)
        if list(values) != self._goal:   # the rest goes there from where it is now
            self._goal = [float(value) for value in values]
            if self._builtin.beside is None:
                self._from, self._at = list(self._now), 0
                self._span = max((_fine(param, first, last) for param, first, last
                                  in zip(self._builtin.params, self._from, self._goal, strict=True)), default=0.0)

    @property
    def ducks(self) -> bool:
        """See `Hosted.ducks`."""
        return any(self._now[n] != self._goal[n] for n in self._ducked)

    def settle(self) -> None:
        """See `Hosted.settle`."""
        for n in self._ducked:
            self._now[n] = self._goal[n]
            self._set(n)
        self._latency = self._reckoned()

    def work(self, block: Block) -> Block:
        """See `Hosted.work`."""
        if self._builtin.beside is not None:
            return self._blended(block)
        return in_steps(block, self.steps, self.advance, lambda piece: self._run(self._plugin, piece))

    def reset(self) -> None:
        """See `Hosted.reset`."""
        self._plugin.reset()

    def remake(self) -> None:
        """See `Hosted.remake`."""
        self._plugin, self._next = self._made(), None   # one that was taking over has its values in `_now`
        self._fade.jump(False)

    def twin(self) -> BuiltinHost | None:
        """See `Hosted.twin`."""
        if self._builtin.alone:
            return None
        return BuiltinHost(self._builtin, self._rate, self._unit, self._goal, self._width)

    @property
    def _blends(self) -> bool:
        """Whether one with other values is taking over, or is going to."""
        return self._builtin.beside is not None and (self._next is not None or self._now != self._goal)

    def _made(self) -> Any:
        """Return the effect, prepared for units, with nothing in it."""
        import pedalboard

        plugin = getattr(pedalboard, self._builtin.name)()
        for param, value in zip(self._builtin.params, self._now, strict=True):
            setattr(plugin, param.name, self._spoken(param.name, value))
        # The largest block first: a larger one resets it.
        self._run(plugin, np.zeros((self._width, self._unit), np.float32))
        plugin.reset()
        return plugin

    def _run(self, plugin: Any, block: Block) -> Block:
        """Return a whole block: what a latent effect has not got yet comes as zeros in front."""
        frames = block.shape[1]
        out: Block = plugin.process(block, self._rate, buffer_size=frames, reset=False)
        missing = frames - out.shape[1]
        return np.pad(out, ((0, 0), (missing, 0))) if missing else out

    def _blended(self, block: Block) -> Block:
        if self._next is None and self._now != self._goal:
            self._now = list(self._goal)
            self._next = self._made()
            self._beside = round((self._builtin.beside or 0.0) * self._rate)
        if self._next is None:
            return self._run(self._plugin, block)
        self._fade.goal = self._beside <= 0
        self._beside -= self._unit
        out = self._fade.mix(self._run(self._plugin, block), self._run(self._next, block))
        if self._fade.level == 1:
            self._plugin, self._next = self._next, None
            self._fade.jump(False)
        return out

    def _move(self, share: float) -> None:
        for n, (first, last) in enumerate(zip(self._from, self._goal, strict=True)):
            if first != last and n not in self._ducked:
                self._now[n] = last if share == 1 else _between(self._builtin.params[n], first, last, share)
                self._set(n)

    def _set(self, n: int) -> None:
        name = self._builtin.params[n].name
        for plugin in (self._plugin, self._next):
            if plugin is not None:
                setattr(plugin, name, self._spoken(name, self._now[n]))

    def _spoken(self, name: str, value: float) -> Any:
        """Return a value as pedalboard takes it."""
        if name == "mode":
            import pedalboard

            mode = pedalboard.LadderFilter.Mode
            return (mode.LPF12, mode.HPF12, mode.BPF12, mode.LPF24, mode.HPF24, mode.BPF24)[round(value)]
        if name == "true_peak":
            return value >= 0.5
        return min(value, _NYQUIST * self._rate) if name in _CORNERS else value

    def _reckoned(self) -> int:
        told = {param.name: value for param, value in zip(self._builtin.params, self._now, strict=True)}
        return self._builtin.latency(told, self._rate)


def in_steps(block: Block, steps: int, advance: Callable[[int], None], work: Callable[[Block], Block]) -> Block:
    """Return a unit that is worked in one piece, or in as many as its ramps need; `advance` comes before each."""
    if steps == 0:
        return work(block)
    out, frames = np.empty_like(block), block.shape[1]
    ends = [frames * n // steps for n in range(steps + 1)]
    for first, last in itertools.pairwise(ends):
        advance(last - first)
        out[:, first:last] = work(np.ascontiguousarray(block[:, first:last]))
    return out


def _fine(param: Param, first: float, last: float) -> float:
    """Return how far apart two values are, in the finest steps that are of use."""
    if param.unit == "dB":
        return abs(last - first) / _FINE_DB
    if param.unit == "Hz" or param.name == "q":
        return abs(math.log2(last / first)) / _FINE_OCTAVES
    if param.name == "ratio":
        return abs(1 / last - 1 / first) / _FINE
    return abs(last - first) / (param.high - param.low) / _FINE


def _between(param: Param, first: float, last: float, share: float) -> float:
    """Return a value on the way between two, so that equal shares are heard as equal steps."""
    if param.unit == "Hz" or param.name == "q":
        return first * math.exp(math.log(last / first) * share)
    if param.name == "ratio":
        return 1 / (1 / first + (1 / last - 1 / first) * share)
    return first + (last - first) * share


_CORNERS = {
    param.name for builtin in BUILTINS.values() for param in builtin.params if "frequency" in param.name
} | {"cutoff_hz"}
