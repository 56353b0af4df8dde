"""Cross-fades of equal gain, and a delay that can be changed without a click: what chains are joined with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]

SECONDS = 0.015
"""Of every cross-fade of plug-ins: no click, and over before a player notices."""

_UNITS = 64                # of a delay's memory beyond what may be read back
_HISTORY_SECONDS = 0.11    # that may be asked for later: more than the longest look-ahead of `BrickwallLimiter`


class Fade:
    """A weight that goes between 0 and 1 on half a cosine; two things faded by it and its complement add up to one.

    Parameters
    ----------
    rate : int
        Hz.
    full : bool
        Begin at 1.
    """

    def __init__(self, rate: int, full: bool) -> None:
        self._frames = max(1, round(SECONDS * rate))
        self._at = self._frames if full else 0
        self.goal = full

    @property
    def level(self) -> int | None:
        """0 or 1 where it rests, None while it moves."""
        if self.goal:
            return 1 if self._at == self._frames else None
        return 0 if self._at == 0 else None

    @property
    def silent(self) -> bool:
        """Whether nothing of it is heard now."""
        return self._at == 0

    def jump(self, full: bool) -> None:
        """Be at one end at once."""
        self.goal, self._at = full, self._frames if full else 0

    def run(self, frames: int) -> Block:
        """Return the weights of so many samples, float32[frames], and go on by them."""
        steps = np.arange(1, frames + 1) * (1 if self.goal else -1)
        at = np.clip(self._at + steps, 0, self._frames)
        self._at = int(at[-1])
        return np.asarray(0.5 - 0.5 * np.cos(np.pi * at / self._frames), np.float32)

    def mix(self, none: Block, full: Block) -> Block:
        """Return a unit in which `full` has the weight, and `none` what is left; exactly one of them at rest."""
        if self.level is None:
            return none + self.run(none.shape[1]) * (full - none)
        return full if self.level else none


class Late:
    """A delay of any number of samples; another one is cross-faded to.

    Parameters
    ----------
    rate, unit : int
    frames : int
        Samples.
    width : int
        Channels.
    """

    def __init__(self, rate: int, unit: int, frames: int, width: int = 1) -> None:
        self._unit, self._least = unit, round(_HISTORY_SECONDS * rate)
        self._now = self._goal = self._next = frames
        self._fade = Fade(rate, False)
        self._line = np.zeros((width, 0), np.float32)
        self._end = 0
        self._make_room(frames)

    @property
    def frames(self) -> int:
        """Samples by which it delays, or is going to."""
        return self._goal

    def aim(self, frames: int) -> None:
        """Go over to another delay; one that is on its way is finished first."""
        if frames != self._goal:
            self._goal = frames
            self._make_room(frames)

    def clear(self) -> None:
        """Forget what came in, and be as late as was asked for."""
        self._line[:] = 0
        self._now = self._goal
        self._fade.jump(False)

    def push(self, block: Block) -> Block:
        """Take a unit in, and return one that came as much earlier; valid until the next one."""
        if self._end == self._line.shape[1]:
            kept = self._line[:, self._end - self._span :].copy()
            self._line[:, : self._span] = kept
            self._end = self._span
        self._line[:, self._end : self._end + self._unit] = block
        self._end += self._unit
        if self._now == self._goal:
            return self._behind(self._now)
        if self._fade.level == 0:
            self._next = self._goal
            self._fade.goal = True
        out = self._fade.mix(self._behind(self._now), self._behind(self._next))
        if self._fade.level == 1:
            self._now = self._next
            self._fade.jump(False)
        return out

    def _behind(self, frames: int) -> Block:
        end = self._end - frames
        return self._line[:, end - self._unit : end]

    def _make_room(self, frames: int) -> None:
        """Have room for what is read back, and for some units, so that it is moved but now and then."""
        span = max(frames, self._least) + self._unit
        if self._line.shape[1] < span + _UNITS * self._unit:
            line = np.zeros((len(self._line), span + _UNITS * self._unit), np.float32)
            kept = min(self._end, span)
            line[:, span - kept : span] = self._line[:, self._end - kept : self._end]
            self._line, self._end, self._span = line, span, span
