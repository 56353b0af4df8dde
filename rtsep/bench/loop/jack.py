"""A loop through a JACK server: our own client's ports, and what is patched between them."""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rtsep.errors import DeviceError, InputError
from rtsep.hosts.jackclient import JackClient, load
from rtsep.stage import Block

if TYPE_CHECKING:
    from rtsep_kernels.plane.record import State

CLIENT = "rtsep-loop"
SLACK = 5.0         # seconds beyond what playing takes, before a server counts as dead
_PAUSE = 0.02
_CAPTURE = 0        # JackCaptureLatency
_WAIT = 60.0        # seconds that somebody has for laying cables


class LoopClient(JackClient):
    """A client with as many ports out and in as there are mics.

    Parameters
    ----------
    mics : int

    Raises
    ------
    DeviceError
        There is no server.
    """

    def __init__(self, mics: int) -> None:
        super().__init__(CLIENT)
        self.mics = mics
        names = [f"send_{n + 1}" for n in range(mics)], [f"return_{n + 1}" for n in range(mics)]
        self._places = self.register(names[1], names[0])
        self.lost = 0
        self._loop: State | None = None

    def open(self) -> None:
        """Begin to be called, with silence."""
        self._give(np.zeros((self.mics, 1), np.float32), 1, self.mics)
        self.start(())

    def _give(self, sound: Block, frames: int, hears: int) -> State:
        """Hand over what is played; callbacks can be set only while the server does not call."""
        from rtsep_kernels import loop

        made = loop.LOOP.make(
            ports=self.mics, hears=hears, length=sound.shape[1], frames=frames, sound=sound,
            in_ports=np.array(self._places[0]), out_ports=np.array(self._places[1]),
            get_buffer=self.address("jack_port_get_buffer"), set_range=self.address("jack_port_set_latency_range"),
        )
        made.start()
        for what, entry in (
            ("process", loop.play_and_hear), ("xrun", loop.count_lost), ("latency", loop.tell_latencies)
        ):
            if self._set(f"jack_set_{what}_callback", entry.address, made.address):
                raise DeviceError(f"JACK refuses the callback {what}")
        self._loop = made
        return made

    def carry(self, sound: Block, periods: int, hears: int | None = None) -> Block:
        """See `carriers.Carrier`; `lost` counts the xruns meanwhile. With `hears` the first mics alone come back.

        Raises
        ------
        DeviceError
            The server does not call any more.
        """
        cables = self.cables()
        self._client.deactivate()
        made = self._give(np.ascontiguousarray(sound), periods * sound.shape[1],
                          self.mics if hears is None else hears)
        self.start(())
        self._lay(cables)
        time.sleep(2 * self.period / self.rate + _PAUSE)   # the graph has been sorted anew
        made["place"] = 0
        until = time.monotonic() + made["frames"] / self.rate * 2 + SLACK
        while made["place"] < made["frames"]:
            if time.monotonic() > until:
                raise DeviceError(f"the JACK server stopped after {made['place']} of {made['frames']} samples")
            time.sleep(_PAUSE)
        self.lost = int(made["lost"])
        heard: Block = made["heard"].copy()
        return heard

    def cables(self) -> list[tuple[str, str]]:
        """Return what our ports are connected to."""
        laid = [(one.name, other.name) for one in self._outs for other in self._client.get_all_connections(one)]
        return laid + [(other.name, one.name) for one in self._ins for other in self._client.get_all_connections(one)
                       if other.name.partition(":")[0] != self.name]

    def _lay(self, cables: Sequence[tuple[str, str]]) -> None:
        for source, target in cables:
            with contextlib.suppress(self._errors):   # who is at its other end may have gone
                self._client.connect(source, target)

    @contextlib.contextmanager
    def laid(self, cables: Sequence[tuple[str, str]]) -> Iterator[None]:
        """Lay cables, and take them away."""
        try:
            for source, target in cables:
                self._client.connect(source, target)
            yield
        except self._errors as error:
            raise DeviceError(f"JACK cannot connect: {error}") from error
        finally:
            for source, target in cables:
                with contextlib.suppress(self._errors):
                    self._client.disconnect(source, target)

    def direct(self) -> list[tuple[str, str]]:
        """Return cables from each send to its own return: the loop without anything in it."""
        ins, outs = self.port_names()
        return list(zip(outs, ins, strict=True))

    def around(self, name: str) -> list[tuple[str, str]]:
        """Return cables from each send through another client to its return.

        Raises
        ------
        InputError
            There is no such client, or it has too few ports.
        """
        there = self.devices()
        sources, targets = there.sources.get(name, []), there.targets.get(name, [])
        if min(len(sources), len(targets)) < self.mics:
            known = ", ".join(sorted(set(there.sources) & set(there.targets))) or "none"
            raise InputError("--external", f"{name} has {len(targets)} inputs and {len(sources)} outputs for "
                             f"{self.mics} mics", f"clients with both: {known}")
        ins, outs = self.port_names()
        return [*zip(outs, targets, strict=False), *zip(sources, ins, strict=False)]

    def wait_for_cables(self, patience: float = _WAIT) -> None:
        """Wait until somebody has connected the first send and the first return.

        Raises
        ------
        InputError
        """
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if all(self._client.get_all_connections(ports[0]) for ports in (self._ins, self._outs)):
                return
            time.sleep(_PAUSE)
        ins, outs = self.port_names()
        raise InputError("--external", "nothing was connected", f"patch {outs[0]} → the program → {ins[0]}, or name it")

    def declared(self) -> int:
        """Return how late the sound at our returns is said to be, at most: what everybody between says together."""
        ends = (ctypes.c_uint32 * 2)()
        found = [0]
        for port in self._ins:
            place = ctypes.c_void_p(int(self._cast("uintptr_t", port._ptr)))
            self._library.jack_port_get_latency_range(place, _CAPTURE, ends)
            found.append(ends[1])
        return max(found)


@contextlib.contextmanager
def opened(mics: int) -> Iterator[LoopClient]:
    """Be a client of the server, playing silence."""
    load()
    client = LoopClient(mics)
    try:
        client.open()
        yield client
    finally:
        client.close()
