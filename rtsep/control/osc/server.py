"""Server: a socket and a thread of its own, which does what datagrams say and tells clients what has changed."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

from rtsep.control.osc.clients import Gate, Sender, local
from rtsep.control.osc.dispatch import Dispatch
from rtsep.control.osc.meters import FASTEST
from rtsep.control.osc.packet import LONGEST
from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.control.surface import Running

_BUFFER = 1 << 22      # bytes that the kernel may keep for us: with Linux's usual limit a quarter of a second at 1 kHz
_PASS = 2048           # datagrams between two looks at the clock
_BUSY = 100            # datagrams in one look after which they are fetched only every so often:
_PAUSE = 0.002         # seconds, in which the kernel keeps what comes, and others compute
_NEWS = 100            # targets of which a client is told at once: what its own buffer holds
_STAT_EVERY = 20       # looks: once a second
_TOLD = ("/stat/state", "/scene/current", "/bleed/learn")   # at once when they change; these, once a second
_TOLD_SLOWLY = ("/stat/load", "/stat/xruns", "/stat/latency_ms")


class Server:
    """Serves OSC from when it is told what runs until it is closed.

    Parameters
    ----------
    bind : str
        Address to listen at.
    port : int
        0: any.
    pin : str or None
        What those must say first who are not on this machine.

    Raises
    ------
    InputError
        If it cannot listen there, or others could without a PIN.

    Attributes
    ----------
    host : str
    port : int
    failed : int
        Errors that nobody has foreseen.
    """

    def __init__(self, bind: str, port: int, pin: str | None = None) -> None:
        self._socket = _listening(bind, port, pin)
        self.host, self.port = self._socket.getsockname()[:2]
        self._dispatch = Dispatch(self._send, Gate(pin), self.host)
        self._seen: tuple[Running, bool] | None = None
        self.failed = 0
        self._said: dict[str, bytes] = {}
        self._looks = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="osc", daemon=True)

    def see(self, running: Running, waits: bool) -> None:
        """Take note of what runs; with the first of it the service begins."""
        began, self._seen = self._seen is not None, (running, waits)
        if not began:
            self._thread.start()

    def close(self) -> None:
        """End the service."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        next_look, came = time.monotonic(), 0
        while not self._stop.is_set():
            now = time.monotonic()
            try:
                if now >= next_look:
                    next_look, came = now + 1 / FASTEST, 0
                    self._look(now)
                self._socket.settimeout(max(0.001, next_look - now))
                came += self._fetch()
            except Exception:   # whatever it is, for example of a show's file: the next message is another one
                self.failed += 1
            if came > _BUSY:
                time.sleep(_PAUSE)

    def _fetch(self) -> int:
        """Wait for datagrams and do what those say that are there; returns how many there were."""
        there: list[tuple[bytes, Sender]] = []
        with contextlib.suppress(OSError):   # no more is there; or, as Windows tells here, a client is gone
            while len(there) < _PASS:
                there.append(self._socket.recvfrom(LONGEST + 1))
                if len(there) == 1:
                    self._socket.settimeout(0)
        self._dispatch.take(there)
        return len(there)

    def _look(self, now: float) -> None:
        """See what has changed and tell it."""
        assert self._seen is not None
        self._dispatch.see(*self._seen)
        self._looks += 1
        clients = self._dispatch.clients
        clients.lapse(now)
        if not clients.items():
            return
        watched = _TOLD if self._looks % _STAT_EVERY else (*_TOLD, *_TOLD_SLOWLY)
        fresh = [said for address in watched if (said := self._news_of(address))]
        shown: dict[str, bytes] = {}
        for sender, client in clients.items():
            news = [said for path, value in client.news(_NEWS) for said in self._dispatch.told(path, value)]
            for said in (*news, *fresh):
                self._send(said, sender)
            for address, (every, until) in tuple(client.meters.items()):
                if until <= now:
                    del client.meters[address]
                elif self._looks % every == 0:
                    shown.setdefault(address, self._dispatch.read(address))
                    self._send(shown[address], sender)

    def _news_of(self, address: str) -> bytes | None:
        said = self._dispatch.read(address) if self._dispatch.watched(address) else None
        if said is None:
            return None
        was, self._said[address] = self._said.get(address), said
        return None if said == was else said

    def _send(self, data: bytes, sender: Sender) -> None:
        with contextlib.suppress(OSError):   # who is gone, or slow, misses it
            self._socket.sendto(data, sender)


def _listening(bind: str, port: int, pin: str | None) -> socket.socket:
    try:
        family, _, _, _, where = socket.getaddrinfo(bind, port, type=socket.SOCK_DGRAM)[0]
    except OSError as error:
        raise InputError("--osc-bind", f"{bind}: {error.strerror}", "an address of this machine") from None
    if pin is None and not local(str(where[0])):
        raise InputError("--osc-bind", f"{bind} lets others in", "allowed is that with --osc-pin, or 127.0.0.1")
    opened = socket.socket(family, socket.SOCK_DGRAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        opened.bind(where)
    except OSError as error:
        opened.close()
        raise InputError("--osc", f"port {port} of {bind}: {error.strerror}", "another one") from None
    return opened
