"""Cables: the connections of our ports in a JACK server, as whoever patches there has made them.

They belong to the user, not to a process: one that takes over lays them again, also those whose other end comes back
late.
"""

from __future__ import annotations

import collections
import contextlib
import re
import threading
from collections.abc import Collection
from typing import Any

_WATCHER = "rtsep-patch"   # a client without ports, which looks at the others
_EVERY = 0.1               # seconds between two looks
_TAKEN_OUT = 10            # looks without a cable whose ends are there: a device that goes loses its cables first

Cable = tuple[str, str]    # names of two ports: where the sound comes from, where it goes


class Cables:
    """Watches the connections of one client and mends them, in a thread: a server need not answer.

    Parameters
    ----------
    wanted : collection of Cable, optional
        What an earlier process of this run had; default: what there is when the watching begins.

    Raises
    ------
    OSError
        There is no JACK server, or no library for it.

    Attributes
    ----------
    period, rate : int
        Frames in a block of the server, and Hz.
    gone : Event
        Set when the server has ended.
    away : frozenset of str
        Clients that are not there, or not whole, and that cables wait for.
    """

    def __init__(self, wanted: Collection[Cable] | None) -> None:
        try:
            import jack

            self._jack: Any = jack.Client(_WATCHER, no_start_server=True)
        except Exception as error:   # JACK-Client's own errors are known only once it is imported
            raise OSError(str(error)) from error
        self.period, self.rate = int(self._jack.blocksize), int(self._jack.samplerate)
        self.gone = threading.Event()
        self._jack.set_shutdown_callback(lambda *_: self.gone.set())
        self._wanted = None if wanted is None else set(wanted)
        self._seen: dict[Cable, tuple[str, str]] = {}    # laid, between these two ports: names come again
        self._missed: collections.Counter[Cable] = collections.Counter()
        self._looked = False
        self._told: set[Cable] | None = None
        self.away: frozenset[str] = frozenset()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cables", daemon=True)

    def watch(self, client: str) -> None:
        """Begin; `client` is the name of ours, which plays."""
        self._client = client
        self._thread.start()

    def news(self) -> tuple[Cable, ...] | None:
        """Return the cables that there should be if that has changed since it was last asked."""
        wanted = self._wanted
        if wanted is None or not self._looked or wanted == self._told:
            return None
        self._told = set(wanted)
        return tuple(sorted(wanted))

    def others(self) -> list[str]:
        """Return who else plays into the ports that our cables lead to: `port (client)`."""
        found = []
        with contextlib.suppress(Exception):
            for source, target in sorted(self._there()):
                if self._ours(source):
                    port = self._jack.get_port_by_name(target)
                    clients = {other.name.partition(":")[0] for other in self._jack.get_all_connections(port)}
                    found += [f"{target} ({client})" for client in sorted(clients - {self._client})]
        return found

    def close(self) -> None:
        """Watch no more. The watching client goes with the process: to close it, the server would have to answer."""
        self._stop.set()

    def leave(self) -> None:
        """End the watching client: the server is alive, but what was to be watched could not be opened."""
        self._stop.set()
        with contextlib.suppress(Exception):
            self._jack.close()

    # The thread

    def _run(self) -> None:
        while not self.gone.is_set() and not self._stop.wait(_EVERY if self._looked else 0):
            with contextlib.suppress(Exception):   # a port that just went, a server that just died
                self._look()

    def _look(self) -> None:
        there = self._there()
        if self.gone.is_set():
            return
        if self._wanted is None:
            self._wanted = set(there)
        elif not self._looked:   # what PortAudio has laid by itself
            for cable in there - self._wanted:
                self._jack.disconnect(*cable)
            there &= self._wanted
        ports = {port.name: str(port.uuid) for port in self._jack.get_ports()}
        wanted, away = self._wanted | there, set[str]()
        for cable in wanted - there:
            ends = ports.get(cable[0], ""), ports.get(cable[1], "")
            if not all(ends):
                self._seen.pop(cable, None)   # one end is away: it is laid again when that is back
                away |= {name.partition(":")[0] for name, end in zip(cable, ends, strict=True) if not end}
            elif self._seen.get(cable) != ends:
                self._jack.connect(*cable)
            else:
                self._missed[cable] += 1
                if self._missed[cable] >= _TAKEN_OUT:   # somebody has taken it out
                    wanted.discard(cable)
        for cable in there:
            self._seen[cable] = ports.get(cable[0], ""), ports.get(cable[1], "")
            self._missed.pop(cable, None)
        self._looked = True
        self._wanted = wanted
        self.away = frozenset(away - {self._client})

    def _there(self) -> set[Cable]:
        cables = set()
        for port in self._jack.get_ports(f"^{re.escape(self._client)}:"):
            for other in self._jack.get_all_connections(port):
                cables.add((port.name, other.name) if port.is_output else (other.name, port.name))
        return cables

    def _ours(self, port: str) -> bool:
        return port.startswith(f"{self._client}:")
