"""What tests of OSC need: a desk without sound, a server on it, and a client that speaks with python-osc."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from rtsep import presets
from rtsep.control.desk import Desk
from rtsep.control.osc import listener
from rtsep.control.osc.server import Child, Server
from rtsep.control.surface import Running
from rtsep.meters import Meters
from rtsep.params import Board
from rtsep.presets import Preset, make_board

MICS = ("vox", "kick 1", "a.b")
PATIENCE = 20.0   # seconds; only what hangs takes so long
_NUMBERS = itertools.count()


class Silent:
    """Plays nothing: a board, and a preset that may be replaced."""

    def __init__(self, preset: Preset, mics: Sequence[str] = MICS) -> None:
        self.preset, self.board = preset, make_board(preset, mics)

    board: Board
    preset: Preset

    def reload(self, preset: Preset) -> str:
        self.board.extend(presets.layout(preset))
        self.preset = preset
        return "asked"


def running(preset: Preset, mics: Sequence[str] = MICS) -> Running:
    meters = Meters(len(mics), f"rtsep-{os.getpid()}-{next(_NUMBERS)}-m")
    atexit.register(meters.close)
    for name, value in (("load", 0.25), ("xruns", 3.0), ("running", 1.0)):
        meters.put(name, value)
    info = {"latency_samples": 480, "sample_rate": 48000, "device_latency_s": 0.005}
    return Running(Desk(Silent(preset, mics)), info, meters)


class Here:
    """A listener in a thread of this process: it begins at once, and what a test has replaced it has, too."""

    def __init__(self, bound: socket.socket) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        self._thread = threading.Thread(target=listener.serve, args=(theirs, bound), daemon=True)
        self._thread.start()

    def end(self) -> str:
        self.pipe.close()
        self._thread.join(PATIENCE)
        return ""


@contextlib.contextmanager
def serving(what: Running, launch: Callable[[socket.socket], Child] = Here) -> Iterator[Server]:
    """Serve it at a port that is free; nothing unforeseen may have happened at the end."""
    server = Server("127.0.0.1", 0, launch=launch)
    server.see(what, False)
    try:
        yield server
    finally:
        server.close()
    assert server.failed == 0


def soon(so: Callable[[], bool]) -> bool:
    """Whether something is so at last: what a listener has taken is a moment later with the run."""
    until = time.monotonic() + PATIENCE
    while not so():
        if time.monotonic() > until:
            return False
        time.sleep(0.001)
    return True


def stands(what: Running, path: str, value: float) -> bool:
    """Whether a target stands somewhere at last."""
    return soon(lambda: what.desk.get(path) == value)


def message(address: str, *values: Any) -> bytes:
    """Return a datagram as python-osc builds it; a pair is a value and its type."""
    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(*(value if isinstance(value, tuple) else (value,)))
    return builder.build().dgram


class Client:
    """One socket that talks to a server."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", port))
        self.socket.settimeout(PATIENCE)

    def say(self, address: str, *values: Any) -> None:
        self.socket.send(message(address, *values))

    def hear(self) -> tuple[str, list[Any]]:
        """Return the next message."""
        said = OscMessage(self.socket.recv(65536))
        return said.address, said.params

    def ask(self, address: str) -> list[Any]:
        """Return what stands at an address; what is heard before of others is passed over."""
        self.say(address)
        return self.until(lambda said: said[0] == address)[1]

    def until(self, wanted: Callable[[tuple[str, list[Any]]], bool]) -> tuple[str, list[Any]]:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            said = self.hear()
            if wanted(said):
                return said
        raise AssertionError("it was not said")

    def lease(self) -> None:
        """Be told of changes, and have heard what is said at the beginning."""
        self.say("/xremote")
        self.settle()

    def settle(self) -> list[tuple[str, list[Any]]]:
        """Return all that is said until nothing has been for three looks of the server, but for figures."""
        heard: list[tuple[str, list[Any]]] = []
        self.socket.settimeout(0.15)
        with contextlib.suppress(TimeoutError):
            while True:
                heard.append(self.hear())
        self.socket.settimeout(PATIENCE)
        return [said for said in heard if not said[0].startswith(("/stat", "/scene"))]

    def close(self) -> None:
        self.socket.close()
