"""One plug-in that runs: unit in, unit out, as late as is known; its parameters go where they are told."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.params import Param
from rtsep.plugins.builtins import BUILTINS, Builtin, never_late
from rtsep.plugins.fades import Fade

Block = NDArray[np.float32]

RAMP_SECONDS = 0.02   # of a parameter, as consoles have it
STEP = 8              # samples between two steps of a ramp: a call takes 5 µs, and steps are 30 dB below a jump's
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
        """Of an effect of pedalboard's own that just runs and is never late: its object. None: it has to be worked."""
        return None

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
    """

    def __init__(self, builtin: Builtin, rate: int, unit: int, values: Sequence[float]) -> None:
        self._builtin, self._rate, self._unit = builtin, rate, unit
        self._ducked = tuple(n for n, param in enumerate(builtin.params) if param.name in builtin.ducked)
        self._now = [float(value) for value in values]   # what it is set to
        self._goal = list(self._now)
        self._from = list(self._now)
        self._ramp = max(1, round(RAMP_SECONDS * rate))
        self._at = self._ramp   # samples of the ramp that are done
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
        still = self._next is None and self._now == self._goal and self._at >= self._ramp
        return self._plugin if still and self._builtin.latency is never_late else None

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
        if list(values) != self._goal:   # the rest goes there on a ramp from where it is now
            self._goal, self._from, self._at = [float(value) for value in values], list(self._now), 0

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
        if self._at >= self._ramp:
            return self._run(self._plugin, block)
        pieces = []
        for first in range(0, block.shape[1], STEP):
            piece = np.ascontiguousarray(block[:, first : first + STEP])
            self._at = min(self._ramp, self._at + piece.shape[1])
            self._move(self._at / self._ramp)
            pieces.append(self._run(self._plugin, piece))
        return np.concatenate(pieces, axis=1)

    def reset(self) -> None:
        """See `Hosted.reset`."""
        self._plugin.reset()

    def remake(self) -> None:
        """See `Hosted.remake`."""
        self._plugin = self._made()

    def twin(self) -> BuiltinHost:
        """See `Hosted.twin`."""
        return BuiltinHost(self._builtin, self._rate, self._unit, self._goal)

    def _made(self) -> Any:
        """Return the effect, prepared for units, with nothing in it."""
        import pedalboard

        plugin = getattr(pedalboard, self._builtin.name)()
        for param, value in zip(self._builtin.params, self._now, strict=True):
            setattr(plugin, param.name, self._spoken(param.name, value))
        self._run(plugin, np.zeros((1, self._unit), np.float32))   # the largest block first: a larger one resets it
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
