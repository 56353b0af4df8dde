"""A client of a JACK server, by libjack itself: the devices there are, our ports, and what JACK-Client lacks.

JACK-Client opens the client, registers ports and lays cables. It knows no latency ranges, and its callbacks are
Python's: those are set here by their addresses, and are compiled.
"""

from __future__ import annotations

import ctypes
import importlib.util
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rtsep.errors import DeviceError

if TYPE_CHECKING:
    from rtsep_kernels.plane.record import State

HOST_API = "JACK"
CLIENT = "rtsep"
_LONGEST = 200           # bytes of a port's name: JACK has 256, and a number may have to be added
_CLOSE_PATIENCE = 1.0    # seconds: a server that has died never answers
_CAPTURE, _PLAYBACK = 0, 1   # of jack_latency_callback_mode_t
_CALLBACKS = {"process": "run_ports", "latency": "tell_latencies", "xrun": "count_xrun",
              "buffer_size": "keep_period", "sample_rate": "keep_rate"}


class NameTaken(DeviceError):
    """A client of that name is there already."""


@dataclass(frozen=True)
class Devices:
    """What can be connected to.

    Parameters
    ----------
    table : list of dict
        As `rtsep.hosts.devices.devices` has it; those with sockets come first.
    sources, targets : dict of str to list of str
        The ports of each by its name: where sound comes from, and where it goes.
    """

    table: list[dict[str, Any]]
    sources: dict[str, list[str]]
    targets: dict[str, list[str]]


class JackClient:
    """Our client.

    Parameters
    ----------
    name : str
    exact : bool
        Refuse a name that is taken; else the server adds a number.

    Raises
    ------
    DeviceError
        There is no JACK-Client, no libjack or no server. `NameTaken` if that is what is wrong.
    """

    def __init__(self, name: str = CLIENT, exact: bool = False) -> None:
        jack = load()
        try:
            self._client: Any = jack.Client(name, use_exact_name=exact, no_start_server=True)
        except jack.JackOpenError as error:
            if error.status.name_not_unique:
                raise NameTaken(f"{HOST_API}: there is a client {name!r} already") from error
            raise DeviceError(f"{HOST_API}: no server answers ({error}); is it running?") from error
        self._errors = jack.JackError
        self._library = ctypes.CDLL(jack._libname)
        self._address = int(jack._ffi.cast("uintptr_t", self._client._ptr))
        self._cast = jack._ffi.cast
        self._ins: list[Any] = []
        self._outs: list[Any] = []

    @property
    def name(self) -> str:
        """As the server has it."""
        return str(self._client.name)

    @property
    def rate(self) -> int:
        """Of the server, Hz."""
        return int(self._client.samplerate)

    @property
    def period(self) -> int:
        """Of the server, frames."""
        return int(self._client.blocksize)

    @property
    def realtime(self) -> bool:
        """Whether the server's threads run before all others."""
        return bool(self._client.realtime)

    def devices(self) -> Devices:
        """Return all clients with audio ports but this one."""
        physical = {_owner(port) for port in self._client.get_ports(is_audio=True, is_physical=True)}
        sources, targets = ({}, {})   # type: tuple[dict[str, list[str]], dict[str, list[str]]]
        for found, way in ((sources, {"is_output": True}), (targets, {"is_input": True})):
            for port in self._client.get_ports(is_audio=True, **way):
                if _owner(port) != self.name:
                    found.setdefault(_owner(port), []).append(port.name)
        names = sorted({**sources, **targets}, key=lambda name: name not in physical)
        table = [
            {"name": name, "host_api": HOST_API, "inputs": len(sources.get(name, ())),
             "outputs": len(targets.get(name, ())), "default_rate": float(self.rate)}
            for name in names
        ]
        return Devices(table, sources, targets)

    def register(self, ins: Sequence[str], outs: Sequence[str]) -> tuple[list[int], list[int]]:
        """Make ports; returns their addresses.

        Raises
        ------
        DeviceError
            The server has no room for them.
        """
        try:
            self._ins += [self._client.inports.register(name) for name in ins]
            self._outs += [self._client.outports.register(name) for name in outs]
        except self._errors as error:
            raise DeviceError(f"{HOST_API}: no port can be made ({error})") from error
        places = ([int(self._cast("uintptr_t", port._ptr)) for port in ports] for ports in (self._ins, self._outs))
        return next(places), next(places)

    def address(self, function: str) -> int:
        """Return where a function of libjack is."""
        return int(ctypes.cast(getattr(self._library, function), ctypes.c_void_p).value or 0)

    def call(self, record: State) -> None:
        """Let the server call the compiled callbacks with this record (`rtsep_kernels.plane.jackport.JACK`).

        Raises
        ------
        DeviceError
        """
        from rtsep_kernels.plane import jackport

        self._record = record
        for what, entry in _CALLBACKS.items():
            if self._set(f"jack_set_{what}_callback", getattr(jackport, entry).address, record.address):
                raise DeviceError(f"{HOST_API}: refuses the callback {what}")
        self._set("jack_on_shutdown", jackport.keep_gone.address, record.address)

    def _set(self, function: str, callback: int, given: int) -> int:
        called = getattr(self._library, function)
        called.argtypes = [ctypes.c_void_p] * 3
        called.restype = None if function == "jack_on_shutdown" else ctypes.c_int
        return int(called(self._address, callback, given) or 0)

    def start(self, cables: Sequence[tuple[str, str]]) -> None:
        """Begin to be called, and connect ports.

        Raises
        ------
        DeviceError
        """
        try:
            self._client.activate()
            for source, target in cables:
                self._client.connect(source, target)
        except self._errors as error:
            raise DeviceError(f"{HOST_API}: does not start ({error})") from error

    def port_names(self) -> tuple[list[str], list[str]]:
        """Return the whole names of our ports."""
        return [port.name for port in self._ins], [port.name for port in self._outs]

    def latency(self) -> int:
        """Return how late the devices at both ends of our ports say that they are, at most, together; frames."""
        latest = []
        for ports, mode in ((self._ins, _CAPTURE), (self._outs, _PLAYBACK)):
            ends = (ctypes.c_uint32 * 2)()
            found = [0]
            for port in ports:
                place = ctypes.c_void_p(int(self._cast("uintptr_t", port._ptr)))
                self._library.jack_port_get_latency_range(place, mode, ends)
                found.append(ends[1])
            latest.append(max(found))
        return sum(latest)

    def tell_anew(self) -> None:
        """Have everybody's latencies worked out again, without waiting for the server."""
        place = ctypes.c_void_p(self._address)
        threading.Thread(
            target=self._library.jack_recompute_total_latencies, args=(place,), name="latencies", daemon=True
        ).start()

    def close(self, patience: float = _CLOSE_PATIENCE) -> bool:
        """Leave the server; False if it has not let go within `patience`, seconds."""
        closing = threading.Thread(target=self._close, name="closing", daemon=True)
        closing.start()
        closing.join(patience)
        return not closing.is_alive()

    def _close(self) -> None:
        self._client.close()   # as long as this hangs, the thread keeps us, and we what the callbacks are given


def demand() -> None:
    """Refuse JACK where its Python package is missing, before an engine is loaded for it.

    Raises
    ------
    DeviceError
    """
    if importlib.util.find_spec("jack") is None:
        raise DeviceError(f"{HOST_API}: JACK-Client is missing; pip install 'rtsep[jack]'")


def load() -> Any:
    """Import JACK-Client, which loads libjack.

    Raises
    ------
    DeviceError
    """
    demand()
    try:
        import jack
    except (ImportError, OSError) as error:
        raise DeviceError(f"{HOST_API}: libjack cannot be loaded ({error}); install JACK or PipeWire's") from error
    return jack


def devices() -> list[dict[str, Any]]:
    """Return the devices of the JACK server; none if there is no server."""
    try:
        client = JackClient()
    except DeviceError:
        return []
    try:
        return client.devices().table
    finally:
        client.close()


def port_names(prefix: str, groups: Sequence[Sequence[str]]) -> list[str]:
    """Return what ports are called: `in_vox` for a mic, `out_vox+talk` for one that several mics share.

    A colon would end the client's name. What is too long is cut; of equal names the second is `in_vox 2`.
    """
    names: list[str] = []
    for mics in groups:
        whole = f"{prefix}_{'+'.join(mics)}".replace(":", "_").encode()[:_LONGEST].decode(errors="ignore")
        name, number = whole, 1
        while name in names:
            number += 1
            name = f"{whole} {number}"
        names.append(name)
    return names


def _owner(port: Any) -> str:
    return str(port.name.partition(":")[0])
