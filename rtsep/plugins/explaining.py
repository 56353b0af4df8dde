"""Whether all that a state of a plug-in has in it is another state and the values of its parameters."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rtsep.plugins import measuring, probing
from rtsep.plugins.finding import locate

_UNITS = 8   # that are worked before a plug-in is asked: some take parameters over with a unit


def explained(plugin: str, path: str, rate: int, unit: int, first: bytes, state: bytes, width: int = 1,
              seconds: float = probing.SECONDS) -> bool:
    """Return whether a plug-in with the first state and the values of the other one has that other one.

    Looked at in a child process; False as well if that crashes or hangs.

    Parameters
    ----------
    plugin, path : str
        As `SlotConfig` has them.
    rate, unit : int
    first, state : bytes
        `raw_state`; an empty first one is the plug-in's own default.
    width : int
        Mics that it takes at once.
    seconds : float
        The child is ended after so many.
    """
    if first == state:
        return True
    told = {"plugin": plugin, "file": str(locate(plugin, path)), "rate": rate, "unit": unit, "width": width,
            "first": base64.b64encode(first).decode(), "state": base64.b64encode(state).decode()}
    try:
        return bool(probing.answered(told, seconds)[0]["explained"])
    except KeyError:
        return False


def look(told: Mapping[str, Any], say: Callable[..., None]) -> None:
    """Look at it, in the child."""
    file, rate, unit = told["file"], told["rate"], told["unit"]
    names = measuring.names_in(file)

    def with_state(state: bytes) -> Any:
        plugin = measuring.load(file, told["plugin"] if told["plugin"] in names else names[0])
        if state:
            measuring.give(plugin, state)
        return plugin

    wanted = base64.b64decode(told["state"])
    plugin = with_state(wanted)
    values = [parameter.raw_value for parameter in plugin._parameters]
    plugin = None   # the old one first: some are allowed once only
    plugin = with_state(base64.b64decode(told["first"]))
    for parameter, value in zip(plugin._parameters, values, strict=True):
        if parameter.raw_value != value:
            parameter.raw_value = value
    silence = np.zeros((1, unit), np.float32)
    channels = measuring.channels_of(plugin, rate, unit, told["width"])
    for _ in range(_UNITS):
        measuring.run(plugin, silence, rate, channels)
    say(explained=bytes(plugin.raw_state) == wanted)
