"""Reading: what stands at an address just now."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from rtsep import __version__
from rtsep.control.osc import meters
from rtsep.errors import InputError
from rtsep.figures import known_latency

if TYPE_CHECKING:
    from rtsep.control.osc.entry import Address
    from rtsep.control.osc.packet import Value
    from rtsep.control.surface import Running

_PROTOCOL = "1"   # of these addresses; another one if any of them ever comes to mean something else


class Reader:
    """Answers who asks.

    Parameters
    ----------
    running : Running
    host : str
        Where this side is reached.
    waits : bool
        Whether there is no sound, as a device is waited for.
    counts : (int, int)
        Messages that came, and that were passed over.
    """

    def __init__(self, running: Running, host: str, waits: bool, counts: tuple[int, int]) -> None:
        self._running, self._host, self._waits, self._counts = running, host, waits, counts

    def read(self, entry: Address) -> tuple[Value, ...]:
        """Return the values at an address; of a parameter of all microphones, each one's.

        Raises
        ------
        InputError
            If there is nothing to be read.
        """
        desk = self._running.desk
        if entry.path:
            return tuple(entry.value(desk.get(path)) for path in desk.spread(entry.path))
        if entry.address.startswith("/ch/"):   # /ch/NN/config/name
            return (desk.mics[int(entry.address.split("/")[2]) - 1],)
        if entry.types == "b":
            return (meters.blob(entry.address, self._running.meters),)
        read: dict[str, Callable[[], tuple[Value, ...]]] = {
            "/info": lambda: (_PROTOCOL, "rtsep", desk.preset.name, __version__),
            "/xinfo": lambda: (self._host, socket.gethostname(), "rtsep", __version__),
            "/status": lambda: (self._state(), self._host, socket.gethostname()),
            "/bleed/learn": lambda: (int(not desk.frozen),),
            "/scene/current": self._scene,
            "/scene/safe": lambda: () if desk.snapshots is None else desk.snapshots.safe,
            "/stat/load": lambda: (self._running.meters.get("load"),),
            "/stat/xruns": lambda: (int(self._running.meters.get("xruns")),),
            "/stat/latency_ms": lambda: (self._latency(),),
            "/stat/state": lambda: (self._state(),),
            "/stat/received": lambda: (self._counts[0] % 2**31,),   # an int32
            "/stat/dropped": lambda: (self._counts[1] % 2**31,),
        }
        if entry.address not in read:
            raise InputError(entry.address, "there is nothing to be read", "see the list of addresses")
        return read[entry.address]()

    def _state(self) -> str:
        return "waiting" if self._waits else "running"

    def _latency(self) -> float:
        info = self._running.info
        chain: float = info["latency_samples"] / info["sample_rate"]
        return 1000 * (chain + (known_latency(info["device_latency_s"]) or 0.0))

    def _scene(self) -> tuple[Value, ...]:
        snapshots = self._running.desk.snapshots
        current = None if snapshots is None else snapshots.current
        if snapshots is None or current is None:
            return ("", -1)
        return (dict(snapshots.listing()).get(current, ""), current)

