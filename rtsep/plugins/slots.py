"""SlotConfig: one place in a chain of plug-ins; and the parameters that a chain has on the board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rtsep.params import Param

OFF, BYPASS, ON = 0, 1, 2
"""Of a slot, and of a whole chain. Off: it does not run and adds no latency. Bypass: it runs, and its input is heard,
as late as its output would be."""


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
    """

    name: str
    plugin: str
    path: str = ""
    state: bytes = b""


def chain_params(slots: Sequence[SlotConfig], rate: int = 48000, unit: int = 64) -> tuple[Param, ...]:
    """Return what may be turned in a chain, in the order of the vector that `PluginChain.work` takes.

    First `state` (of the whole chain); then of each slot in turn `NAME.state`, `NAME.place` (the order in which they
    are heard: low before high), and `NAME.PARAM` for all that the plug-in has. Loads no plug-in into this process: one
    of a file is probed in a child the first time (seconds), and looked up afterwards.

    Raises
    ------
    InputError
        If a name is taken twice or is none, or a plug-in cannot be had.
    """
    raise NotImplementedError


def chain_latency(slots: Sequence[SlotConfig], rate: int, unit: int) -> int:
    """Return the latency of a chain with its default values, samples, as `PluginChain.latency` will be.

    Raises
    ------
    InputError
    """
    raise NotImplementedError
