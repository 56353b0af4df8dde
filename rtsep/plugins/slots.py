"""SlotConfig: one place in a chain of plug-ins; and the parameters that a chain has on the board."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from rtsep.errors import InputError
from rtsep.params import Param
from rtsep.plugins.builtins import BUILTINS, LEFT_OUT

OFF, BYPASS, ON = 0, 1, 2
"""Of a slot, and of a whole chain. Off: it does not run and adds no latency. Bypass: it runs, and its input is heard,
as late as its output would be."""

MOST_SLOTS = 32
RATE, UNIT = 48000, 64   # where it does not matter which: what is asked for first is known then
OWN = ("state", "place")
"""Parameters that every slot has beside its plug-in's."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class SlotConfig:
    """One place in a chain.

    Parameters
    ----------
    name : str
        In paths, [a-z][a-z0-9_]*.
    plugin : str
        A built-in effect (`rtsep.plugins.builtins`), or the name of one in a file.
    path : str
        The plug-in's file. Empty: a built-in effect of that name, else a file of that name in the usual folders.
    state : bytes
        What a plug-in of a file begins with, its `raw_state`; empty: its own default.
    width : int
        Mics that it takes at once, as its channels; alike in a whole chain.
    """

    name: str
    plugin: str
    path: str = ""
    state: bytes = b""
    width: int = 1

    @property
    def builtin(self) -> bool:
        """Whether it is an effect of pedalboard's own."""
        return not self.path and self.plugin in BUILTINS

    @property
    def same(self) -> tuple[str, str, str]:
        """What two slots have in common if one may go on from where the other one is."""
        return self.name, self.plugin, self.path


def check_slots(slots: Sequence[SlotConfig]) -> None:
    """Refuse names that are none or taken, effects that are of no use live, and more than a chain may have.

    Raises
    ------
    InputError
    """
    if len(slots) > MOST_SLOTS:
        raise InputError("chain", f"{len(slots)} plug-ins", f"allowed are up to {MOST_SLOTS}")
    seen: set[str] = set()
    for slot in slots:
        if not _NAME.fullmatch(slot.name) or slot.name in OWN:
            allowed = "allowed are small letters, digits and _, a letter first, but not state or place"
            raise InputError(slot.name or "chain", f"{slot.name!r} is no name of a plug-in's place", allowed)
        if slot.name in seen:
            raise InputError(slot.name, "there are two plug-ins of that name", "allowed are names that differ")
        seen.add(slot.name)
        if not slot.path and slot.plugin in LEFT_OUT:
            raise InputError(slot.name, f"{slot.plugin} {LEFT_OUT[slot.plugin]}",
                             f"built-in effects: {', '.join(BUILTINS)}")


def chain_params(slots: Sequence[SlotConfig], rate: int = RATE, unit: int = UNIT) -> tuple[Param, ...]:
    """Return what may be turned in a chain, in the order of the vector that `PluginChain.work` takes.

    First `state` (of the whole chain); then of each slot in turn `NAME.state`, `NAME.place` (the order in which they
    are heard: low before high), and `NAME.PARAM` for all that the plug-in has. Loads no plug-in into this process: one
    of a file is probed in a child the first time (seconds), and looked up afterwards.

    Raises
    ------
    InputError
        If a name is taken twice or is none, or a plug-in cannot be had.
    """
    chain = tuple(slots)
    if all(slot.builtin for slot in chain):
        return _builtin_params(chain)   # asked for again and again while a preset is read: never another one
    return _params(chain, rate, unit)


@cache
def _builtin_params(chain: tuple[SlotConfig, ...]) -> tuple[Param, ...]:
    return _params(chain, 0, 0)


def _params(slots: Sequence[SlotConfig], rate: int, unit: int) -> tuple[Param, ...]:
    check_slots(slots)
    params = [_state("state", "Of the whole chain")]
    for place, slot in enumerate(slots):
        params.append(_state(f"{slot.name}.state", f"Of {slot.plugin}"))
        params.append(Param(f"{slot.name}.place", "", 0.0, MOST_SLOTS - 1.0, float(place), False,
                            "When it is heard: low before high."))
        params += [replace(param, name=f"{slot.name}.{param.name}") for param in slot_params(slot, rate, unit)]
    return tuple(params)


def slot_params(slot: SlotConfig, rate: int, unit: int) -> tuple[Param, ...]:
    """Return the parameters of a plug-in, named without its slot.

    Raises
    ------
    InputError
        If it cannot be had.
    """
    if slot.builtin:
        return BUILTINS[slot.plugin].params
    from rtsep.plugins.probing import probe

    found = probe(slot.plugin, slot.path, rate, unit, slot.state, place=slot.name, width=slot.width)
    return tuple(knob.param for knob in found.knobs)


def slot_habits(slot: SlotConfig) -> list[str]:
    """Return what should be said of a plug-in before a show, whatever the unit and the machine."""
    if slot.builtin:
        return []
    from rtsep.plugins.probing import probe

    try:
        return probe(slot.plugin, slot.path, RATE, UNIT, slot.state, place=slot.name, width=slot.width).habits
    except InputError:   # it is gone by now: whoever needs it says so
        return []


def chain_latency(slots: Sequence[SlotConfig], rate: int, unit: int) -> int:
    """Return the latency of a chain with its default values, samples, as `PluginChain.latency` will be.

    Raises
    ------
    InputError
    """
    check_slots(slots)
    return sum(_latency(slot, rate, unit) for slot in slots)


def _latency(slot: SlotConfig, rate: int, unit: int) -> int:
    if slot.builtin:
        builtin = BUILTINS[slot.plugin]
        return builtin.latency({param.name: param.default for param in builtin.params}, rate)
    from rtsep.plugins.probing import probe

    return probe(slot.plugin, slot.path, rate, unit, slot.state, place=slot.name, width=slot.width).latency


def _state(name: str, of: str) -> Param:
    return Param(name, "", 0.0, 2.0, 2.0, False,
                 f"{of}: 2 on, 1 bypassed (it runs, and its input is heard as late), 0 off (no latency).")
