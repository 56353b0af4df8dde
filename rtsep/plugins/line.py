"""Line: slots one after the other; another order or other slots take over in a cross-fade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.plugins.fades import Fade
from rtsep.plugins.hosted import Hosted, in_steps
from rtsep.plugins.slot import Slot, glued, usable

Block = NDArray[np.float32]

_BESIDE_SECONDS = 0.05   # that old and new run side by side before the fade: levels of compressors have settled


@dataclass
class _Change:
    """What is on its way: other slots that run beside the old ones, or the old ones in another order."""

    slots: list[Slot]
    order: list[int]
    beside: int   # samples left before the fade
    alone: bool   # no other slots: the dry input is heard while they change places
    twins: bool   # of the old ones: what is turned is turned on both


class Line(Hosted):
    """Slots in an order, each with its input from the one before; what a whole chain's slot has as its plug-in.

    Parameters
    ----------
    rate, unit : int
    slots : list of Slot
        As they were given.
    """

    def __init__(self, rate: int, unit: int, slots: list[Slot]) -> None:
        self._rate, self._unit = rate, unit
        self.slots = slots
        self.order = list(range(len(slots)))
        self._change: _Change | None = None
        self._fade = Fade(rate, False)
        self._left: list[str] = []              # news of slots that are not there any more
        self._parts: list[Slot | _Group] = []   # as they are worked; none: to be found again

    @property
    def latency(self) -> int:
        """See `Hosted.latency`: of all slots that are not off."""
        change = self._change
        slots = self.slots if change is None or change.alone else change.slots
        return sum(slot.latency for slot in slots)

    @property
    def changes(self) -> bool:
        """Whether a change is on its way; the next one has to wait."""
        return self._change is not None

    @property
    def ducks(self) -> bool:
        """See `Hosted.ducks`: places are changed unheard where plug-ins cannot be had twice."""
        return self._change is not None and self._change.alone

    def settle(self) -> None:
        """See `Hosted.settle`."""
        assert self._change is not None
        self.finish()

    def put(self, order: list[int]) -> None:
        """Go over to another order of the same slots."""
        twins = [slot.twin() for slot in self.slots]
        if None in twins:
            self._change = _Change([], order, 0, True, False)
        else:
            self.go_over([slot for slot in twins if slot is not None], order, True)

    def go_over(self, slots: list[Slot], order: list[int], twins: bool = False) -> None:
        """Go over to other slots, which begin now; twins of the old ones take the same values."""
        self._change = _Change(slots, order, round(_BESIDE_SECONDS * self._rate), False, twins)
        self._fade.jump(False)

    def finish(self) -> None:
        """Be where a change leads, at once."""
        if self._change is not None and not self._change.alone:
            self._left += [line for slot in self.slots for line in slot.news()]
            self.slots = self._change.slots
        if self._change is not None:
            self.order, self._change = self._change.order, None
        self._parts = []
        self._fade.jump(False)

    def heard(self) -> list[list[Slot]]:
        """Return the slots that run: one list, two while others take over."""
        change = self._change
        return [self.slots] if change is None or change.alone else [self.slots, change.slots]

    def touched(self) -> None:
        """Take notice of it that slots were turned, or told values."""
        self._parts = []

    def turned(self) -> list[list[Slot]]:
        """Return the slots that take new values."""
        change = self._change
        return self.heard() if change is None or change.alone or change.twins else [change.slots]

    def work(self, block: Block) -> Block:
        """See `Hosted.work`."""
        change = self._change
        if change is None or change.alone:
            return self._together(block)
        out, new = block, block
        for n in self.order:
            out = self.slots[n].work(out)
        for n in change.order:
            new = change.slots[n].work(new)
        self._parts = []
        change.beside -= self._unit
        if change.beside > 0:
            return out
        self._fade.goal = True
        out = self._fade.mix(out, new)
        if self._fade.level == 1:
            self.finish()
        return out

    def _together(self, block: Block) -> Block:
        """Return what becomes of a unit; effects that just run are worked together."""
        if not self._parts:
            self._parts = self._grouped()
        again = False
        for part in self._parts:
            block = part.work(block)
            again = again or part.other
        if again:
            self._parts = []
        return block

    def _grouped(self) -> list[Slot | _Group]:
        parts: list[Slot | _Group] = []
        for n in self.order:
            slot = self.slots[n]
            plugin = slot.plain
            if plugin is None:
                parts.append(slot)
                continue
            if not parts or isinstance(parts[-1], Slot):
                parts.append(_Group(self._rate))
            group = parts[-1]
            assert isinstance(group, _Group)
            group.slots.append(slot)
            group.plugins.append(plugin)
        return parts

    def aim(self, values: Sequence[float], at_once: bool) -> None:
        """See `Hosted.aim`: nothing of its own; the slots are told one by one."""

    def reset(self) -> None:
        """See `Hosted.reset`."""
        self.finish()
        for slot in self.slots:
            slot.reset()

    def remake(self) -> None:
        """See `Hosted.remake`: slots never answer what is no number."""

    def twin(self) -> None:
        """See `Hosted.twin`."""

    def told(self) -> list[str]:
        """Return what its slots have to say since the last call."""
        left, self._left = self._left, []
        return left + [line for slots in self.heard() for slot in slots for line in slot.news()]


class _Group:
    """Slots whose effects are pedalboard's own and just run: one call of it works them all, four times as fast."""

    def __init__(self, rate: int) -> None:
        self.slots: list[Slot] = []
        self.plugins: list[Any] = []
        self.other = False   # whether it may not stay together
        self._rate = rate
        self._last: Block | None = None

    def work(self, block: Block) -> Block:
        """Return what becomes of a unit."""
        steps = 0
        for slot in self.slots:
            slot.worked += block.shape[1]
            steps = max(steps, slot.hosted.steps)
        wet = usable(in_steps(block, steps, self._advance, self._run))
        if wet is None:
            silence = np.zeros_like(block)   # whoever answers no number to that is to blame
            bad = [slot for slot in self.slots if usable(slot.hosted.work(silence)) is None]
            for slot in bad or self.slots:
                slot.failed()
            self.other = True
            wet = block if self._last is None else glued(block, self._last)
        self._last = wet[:, -1:].copy()
        return wet

    def _advance(self, frames: int) -> None:
        for slot in self.slots:
            slot.hosted.advance(frames)

    def _run(self, block: Block) -> Block:
        import pedalboard

        out: Block = pedalboard.process(block, self._rate, self.plugins, block.shape[1], False)
        return out
