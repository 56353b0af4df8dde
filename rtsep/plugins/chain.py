"""PluginChain: one mic's plug-ins in order, in units of a fixed length, with a latency that is known to the sample."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep.params import Param
from rtsep.plugins.builtins import BUILTINS
from rtsep.plugins.fades import Late
from rtsep.plugins.hosted import BuiltinHost, Hosted
from rtsep.plugins.line import Line
from rtsep.plugins.slot import Slot
from rtsep.plugins.slots import OWN, SlotConfig, chain_params

Block = NDArray[np.float32]


@dataclass(frozen=True)
class SlotReport:
    """What is to be said of one slot while it runs.

    Parameters
    ----------
    name, plugin : str
    state : int
        `ON`, `BYPASS` or `OFF`.
    declared : int or None
        Latency that the plug-in says it has, samples; None: it says nothing (built-in effects).
    measured : int or None
        Latency that was measured when it was loaded, or given another state.
    latency : int
        What is reckoned with.
    bad_blocks : int
        Units in which it answered something that is no number, and its dry input was heard.
    remade : int
        How often it was made anew for that.
    """

    name: str
    plugin: str
    state: int
    declared: int | None
    measured: int | None
    latency: int
    bad_blocks: int
    remade: int


class PluginChain:
    """Plug-ins one after the other; made, worked and closed by one thread, the main thread of its process.

    A mic is mono. A plug-in that takes nothing but stereo is fed the mic twice, and the mean of its two outputs is
    what is heard. Slots of a larger `width` take as many mics at once, as channels of one plug-in.

    The output is exactly `latency` samples late. That changes only when a slot is turned off or on, the chain is
    replaced, or a plug-in changes its own; `news` tells of each, and the change is cross-faded. With `align` it does
    not change at all, as long as what the plug-ins need is no more.

    Parameters
    ----------
    rate : int
        Hz.
    unit : int
        Samples that `work` takes, always.
    slots : sequence of SlotConfig
        May be empty.
    align : int
        Samples by which the output is late at least: chains of several mics stay together.

    Raises
    ------
    InputError
        If a plug-in cannot be had.

    Attributes
    ----------
    params : tuple of Param
        In the order of the vector that `work` takes, see `chain_params`.
    """

    def __init__(self, rate: int, unit: int, slots: Sequence[SlotConfig], align: int = 0) -> None:
        self._rate, self._unit, self._align = rate, unit, align
        self._configs = tuple(slots)
        self._width = max((slot.width for slot in slots), default=1)
        self.params: tuple[Param, ...] = chain_params(slots, rate, unit)
        self._low, self._high, self._values = _bounds(self.params)
        self._places = _places(self._configs, self.params)
        self._owners = _owners(self._places)
        self._line = Line(rate, unit, self._made(self._configs, self.params, self._values))
        self._whole = Slot("chain", self._line, rate, unit, width=self._width)
        self._pad = Late(rate, unit, max(0, align - self._whole.latency), self._width)
        self._fresh, self._waiting = True, False   # the first values are taken over at once
        self._given = b""

    @property
    def latency(self) -> int:
        """Samples by which the output is late from now on (a fade to it may still be going on)."""
        return max(self._align, self._whole.latency)

    def work(self, block: Block, values: NDArray[np.float32]) -> Block:
        """Return what becomes of one unit.

        The same units with the same values give the same samples, bit for bit.

        Parameters
        ----------
        block : float32[width, unit]
            Finite; not written to.
        values : float32[len(params)]
            Targets from this unit on, in the order of `params`; what is out of range or no number is left as it was.
            The first ones are taken over at once, later ones on a ramp.

        Returns
        -------
        float32[width, unit]
            Finite, the caller's to keep.
        """
        self._take_over(values)
        with np.errstate(over="ignore", invalid="ignore"):   # both are looked for, and dealt with
            out = self._whole.work(block)
        self._pad.aim(max(0, self._align - self._whole.latency))
        out = self._pad.push(out)
        self._fresh = False
        return out.copy()

    def replace(self, slots: Sequence[SlotConfig]) -> None:
        """Go over to other plug-ins: old and new run side by side, then cross-fade, aligned by `align`.

        Slots of the same name, plug-in and path keep their values and their state. `params` is another one afterwards.
        Loading files takes as long as it takes: nothing is worked meanwhile.

        Raises
        ------
        InputError
            If a plug-in cannot be had; then nothing has changed.
        """
        kept = {config.same: (slot, values) for config, slot, values in self._slots()}
        params = chain_params(slots, self._rate, self._unit)
        values = np.array([param.default for param in params], np.float32)
        for config, first, last in _places(slots, params):
            if config.same in kept and len(kept[config.same][1]) == last - first:
                values[first:last] = kept[config.same][1]
        values[0] = self._values[0]
        made = self._made(slots, params, values, amid=True)
        for config, slot in zip(slots, made, strict=True):
            if config.same in kept:
                slot.hosted.load(kept[config.same][0].hosted.state())
                slot.take_over(kept[config.same][0])
        self._line.finish()
        self.params, self._configs = params, tuple(slots)
        self._low, self._high, _ = _bounds(params)
        self._places = _places(slots, params)
        self._owners = _owners(self._places)
        self._values = values
        self._line.go_over(made, self._order())
        self._given = b""
        if self._fresh:   # nothing has sounded yet
            self._whole.reset()

    def reset(self) -> None:
        """Be as new: plug-ins with the state they began with, nothing of what sounded before."""
        self._line.finish()
        for config, slot in zip(self._configs, self._line.slots, strict=True):
            slot.hosted.load(config.state)
        self._whole.reset()
        self._pad.aim(max(0, self._align - self._whole.latency))
        self._pad.clear()
        self._fresh = True

    def states(self) -> Iterator[tuple[str, bytes]]:
        """Yield name and `raw_state` of each plug-in of a file; a large one takes many times as long as a unit."""
        for config, slot, _ in self._slots():
            if not config.builtin:
                yield config.name, slot.hosted.state()

    def snapshot(self, states: Mapping[str, bytes] | None = None) -> bytes:
        """Return every plug-in's `raw_state` and its values.

        What sounds just now is not in it (pedalboard does not give it out): after `restore` tails begin anew.

        Parameters
        ----------
        states : mapping of str to bytes, optional
            Those that have been asked for already, see `states`.
        """
        known = dict(self.states()) if states is None else states
        told = [
            {"same": list(config.same), "state": base64.b64encode(known.get(config.name, b"")).decode(),
             "values": dict(zip(self._names(config), map(float, values), strict=True))}
            for config, slot, values in self._slots()
        ]
        return json.dumps({"state": float(self._values[0]), "slots": told}).encode()

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot of the same slots; of others, those with the same name, plug-in and path."""
        told = json.loads(state)
        known = {tuple(one["same"]): one for one in told["slots"]}
        self._line.finish()
        self._values[0] = told["state"]
        for config, slot, values in self._slots():
            if config.same in known:
                one = known[config.same]
                values[:] = [one["values"].get(name, value)
                             for name, value in zip(self._names(config), values, strict=True)]
                slot.hosted.load(base64.b64decode(one["state"]))
        self._fresh = True
        self._take_over(self._values.copy())
        self._whole.reset()
        self._pad.aim(max(0, self._align - self._whole.latency))
        self._pad.clear()

    def news(self) -> list[str]:
        """Return what has happened since the last call, a line each."""
        return self._line.told() + self._whole.news()

    def report(self) -> list[SlotReport]:
        """Return how each slot does, in the order in which they were given."""
        return [
            SlotReport(config.name, config.plugin, slot.state, slot.hosted.declared, slot.hosted.measured,
                       slot.hosted.latency, slot.bad_blocks, slot.remade)
            for config, slot, _ in self._slots()
        ]

    def _made(self, slots: Sequence[SlotConfig], params: Sequence[Param], values: NDArray[np.float32],
              amid: bool = False) -> list[Slot]:
        """Return slots that run; of values, those of the plug-ins and the states are taken."""
        made = []
        for config, first, last in _places(slots, params):
            hosted = _hosted(config, self._rate, self._unit, values[first + len(OWN) : last].tolist())
            state = round(float(values[first]))
            made.append(Slot(config.name, hosted, self._rate, self._unit, state, amid, config.width))
        return made

    def _take_over(self, values: NDArray[np.float32]) -> None:
        given = values.tobytes()
        if given == self._given and not self._fresh and not self._waiting:
            return
        self._given = given
        good = np.isfinite(values) & (values >= self._low) & (values <= self._high)
        values = np.where(good, values, self._values)
        before, self._values = self._values, values
        self._whole.turn(round(float(values[0])), self._fresh)
        if self._fresh:
            owners = set(range(len(self._places)))
        else:
            owners = set(self._owners[before != values].tolist())
        for slots in self._line.turned():
            for n in owners - {-1}:
                _, first, last = self._places[n]
                slots[n].turn(round(float(values[first])), self._fresh)
                slots[n].aim(values[first + len(OWN) : last].tolist(), self._fresh)
        self._line.touched()
        order = self._order()
        if self._fresh:
            self._line.order = order
        elif order != self._line.order and not self._line.changes:
            self._line.put(order)
        self._waiting = self._line.changes   # for the end of it: places may have changed again

    def _order(self) -> list[int]:
        """Return the slots in the order of their places."""
        places = [float(self._values[first + 1]) for _, first, _ in self._places]
        return sorted(range(len(places)), key=lambda n: (round(places[n]), n))

    def _slots(self) -> list[tuple[SlotConfig, Slot, NDArray[np.float32]]]:
        """Return each slot with its config and its values, a view."""
        newest = self._line.heard()[-1]
        return [(config, slot, self._values[first:last]) for slot, (config, first, last)
                in zip(newest, self._places, strict=True)]

    def _names(self, config: SlotConfig) -> list[str]:
        prefix = f"{config.name}."
        return [param.name.removeprefix(prefix) for param in self.params if param.name.startswith(prefix)]


def _hosted(config: SlotConfig, rate: int, unit: int, values: Sequence[float]) -> Hosted:
    if config.builtin:
        return BuiltinHost(BUILTINS[config.plugin], rate, unit, values, config.width)
    from rtsep.plugins.filed import FileHost
    from rtsep.plugins.probing import probe

    found = probe(config.plugin, config.path, rate, unit, config.state, place=config.name, width=config.width)
    return FileHost(found, config.state, values)


def _bounds(params: Sequence[Param]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return the lowest, the highest and the default values."""
    low, high, default = (
        np.array([getattr(param, name) for param in params], np.float32) for name in ("low", "high", "default")
    )
    return low, high, default


def _owners(places: Sequence[tuple[SlotConfig, int, int]]) -> NDArray[np.int64]:
    """Return for each value whose it is: the slot's number, -1 for the whole chain's."""
    return np.array([-1] + [n for n, (_, first, last) in enumerate(places) for _ in range(last - first)], np.int64)


def _places(slots: Sequence[SlotConfig], params: Sequence[Param]) -> list[tuple[SlotConfig, int, int]]:
    """Return for each slot where its values are: from the first to behind the last."""
    found, first = [], 1   # behind the whole chain's state
    for config in slots:
        last = first
        while last < len(params) and params[last].name.startswith(f"{config.name}."):
            last += 1
        found.append((config, first, last))
        first = last
    return found
