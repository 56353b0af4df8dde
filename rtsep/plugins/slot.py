"""Slot: one plug-in with its three states, its guard against what is no number, and the dry sound it is faded to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.plugins.fades import Fade, Late
from rtsep.plugins.hosted import Hosted
from rtsep.plugins.slots import OFF, ON

Block = NDArray[np.float32]

LOUDEST = 1024.0          # +60 dBFS: no mic is; what a plug-in gives beyond is cut off there
_SETTLE_SECONDS = 0.02    # that a plug-in runs unheard before it is faded to, beside its latency
_TRIES, _TRIES_SECONDS = 3, 10.0   # times in so many seconds that it is made anew; then it stays dry


class Slot:
    """A plug-in that can be on, bypassed or off; also a whole chain of them.

    Parameters
    ----------
    name : str
        For what is said of it.
    hosted : Hosted
    rate, unit : int
    state : int
        `ON`, `BYPASS` or `OFF`.
    amid : bool
        It begins while there is sound: that is faded in, as echoes would repeat its first step.
    width : int
        Channels.

    Attributes
    ----------
    bad_blocks, remade : int
        Units that were no numbers, and how often it was made anew for that.
    worked : int
        Samples.
    """

    def __init__(self, name: str, hosted: Hosted, rate: int, unit: int, state: int = ON,
                 amid: bool = False, width: int = 1) -> None:
        self.name, self.hosted = name, hosted
        self._rate, self._unit = rate, unit
        self._late = Late(rate, unit, hosted.latency, width)
        self._heard = Fade(rate, state == ON)       # against the dry input, as late
        self._there = Fade(rate, state != OFF)      # against the input as it is
        self._fed = Fade(rate, not amid)            # what goes into it, after it was made anew
        self._fed.goal = True
        self._silence = np.zeros((width, unit), np.float32)
        self.state = state
        self._runs = state != OFF
        self._unheard = 0   # samples that it has to run before it is heard
        self._last: Block = self._silence[:, -1:]
        self.worked = 0
        self._remakes: list[int] = []
        self._given_up = False
        self._news: list[str] = []
        self.bad_blocks = self.remade = 0

    @property
    def latency(self) -> int:
        """Samples that it adds, once a fade is over."""
        return 0 if self.state == OFF else self.hosted.latency

    @property
    def plain(self) -> Any:
        """Its plug-in where it just runs and is heard, see `Hosted.plain`."""
        still = self._runs and not self._unheard and self._fed.level == self._heard.level == self._there.level == 1
        return self.hosted.plain if still and self.state == ON else None

    @property
    def other(self) -> bool:
        """Whether it may be worked with its neighbours from now on."""
        return self.plain is not None

    def aim(self, values: Sequence[float], at_once: bool) -> None:
        """Take over the targets of all its parameters."""
        self.hosted.aim(values, at_once)
        if at_once:
            self._late.aim(self.hosted.latency)
            self._late.clear()

    def turn(self, state: int, at_once: bool = False) -> None:
        """Be on, bypassed or off."""
        if state != OFF and self.state == OFF:
            self._given_up = False
        self.state = state
        if at_once:
            self._heard.jump(state == ON)
            self._there.jump(state != OFF)
            self._runs = state != OFF

    def work(self, block: Block) -> Block:
        """Return what becomes of a unit; it is always finite."""
        self.worked += self._unit
        self._get_ready()
        dry = self._late.push(block)
        out = block
        if self._runs:
            out = self._there.mix(block, dry if self._given_up else self._worked_on(block, dry))
            self._unheard = max(0, self._unheard - self._unit)
        self._last = out[:, -1:].copy()   # the unit is somebody's memory, who goes on with it
        return out

    def _worked_on(self, block: Block, dry: Block) -> Block:
        wet = usable(self.hosted.work(self._fed.mix(self._silence, block)))
        if wet is not None:
            return self._heard.mix(dry, wet)
        unheard = self._heard.silent
        self.failed()
        return dry if unheard else glued(dry, self._last)

    def reset(self) -> None:
        """Forget all that sounds."""
        self.hosted.reset()
        self._late.aim(self.hosted.latency)
        self._late.clear()
        self.turn(self.state, at_once=True)
        self._fed.jump(True)
        self._unheard, self._last, self._given_up = 0, self._silence[:, -1:], False
        self._remakes.clear()

    def twin(self) -> Slot | None:
        """Return another one in the same state, with nothing in it; None: that takes too long while playing."""
        hosted = self.hosted.twin()
        if hosted is None:
            return None
        twin = Slot(self.name, hosted, self._rate, self._unit, self.state, True, len(self._silence))
        twin.take_over(self)
        return twin

    def take_over(self, other: Slot) -> None:
        """Go on with what was counted of another one, which is not heard any more in a moment."""
        self.bad_blocks, self.remade, self.worked = other.bad_blocks, other.remade, other.worked
        self._remakes, self._given_up = list(other._remakes), other._given_up

    def news(self) -> list[str]:
        """Return what has happened since the last call."""
        told, self._news = self._news, []
        return [f"{self.name}: {line}" for line in (*told, *self.hosted.news())]

    def _get_ready(self) -> None:
        """See to it that fades go where the state wants them, and that what waits for silence gets its turn."""
        wanted = self.state != OFF
        if wanted and not self._runs:
            self.hosted.reset()
            self._runs = True
            self._begin()
            self._heard.jump(False)
        if not wanted and self._there.silent:
            self._runs = False
            self._heard.jump(False)
            return
        if self.hosted.ducks and (self._heard.silent or self._there.silent):
            self.hosted.settle()
            self._wait()
        if self._late.frames != self.hosted.latency:
            self._news.append(f"its latency is {self.hosted.latency} samples now, not {self._late.frames}")
            self._late.aim(self.hosted.latency)
            if self._unheard:   # what it was begun with comes out as much later
                self._wait()
        ready = not self._unheard and not self.hosted.ducks and not self._given_up
        self._heard.goal = self.state == ON and ready
        self._there.goal = wanted

    def _begin(self) -> None:
        self._fed.jump(False)
        self._fed.goal = True
        self._wait()

    def _wait(self) -> None:
        self._unheard = self.hosted.latency + round(_SETTLE_SECONDS * self._rate)

    def failed(self) -> None:
        """Be dry at once, and have the plug-in made anew: it answered something that is no number."""
        self.bad_blocks += 1
        self._heard.jump(False)
        self._begin()
        recent = [at for at in self._remakes if self.worked - at < _TRIES_SECONDS * self._rate]
        if len(recent) < _TRIES:
            self._remakes = [*recent, self.worked]
            self.remade += 1
            self._news.append("it answered something that is no number: made anew")
            self.hosted.remake()
        elif not self._given_up:
            self._given_up = True
            self._news.append("it answers no numbers again and again: bypassed until it is turned off and on")


def usable(block: Block) -> Block | None:
    """Return a unit without what is over range; None: it has something that is no number."""
    # One number says of nearly every unit that all is well; no comparison is true of what is none.
    if np.vdot(block, block) <= LOUDEST**2:
        return block
    return np.clip(block, -LOUDEST, LOUDEST) if np.isfinite(block).all() else None


def glued(block: Block, last: Block) -> Block:
    """Return a unit without a step from the sample before it, float32[channels, 1]."""
    frames = block.shape[1]
    fall = 0.5 + 0.5 * np.cos(np.pi * np.arange(1, frames + 1) / frames)
    return np.asarray(block + (last - block[:, :1]) * fall, np.float32)
