"""Listener: a process that reads what comes by UDP, does what can be done without the run, and tells clients news.

    python -m rtsep.control.osc.listener PIPE SOCKET

Both are open files. However much comes: what goes through the pipe is one value for each target, as often as the run
takes them, and so many commands as `rtsep.control.osc.dispatch` allows, in their order.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, NamedTuple

from rtsep.control.osc.clients import Gate, Lease, Sender
from rtsep.control.osc.dispatch import Dispatch, TooMany
from rtsep.control.osc.lost import lost
from rtsep.control.osc.meters import FASTEST
from rtsep.control.osc.mirror import Command, Facts, Mirror, Turn
from rtsep.control.osc.packet import LONGEST
from rtsep.control.surface import Running
from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.presets import Preset

_PASS = 2048           # datagrams between two looks at the clock
_BUSY = 100            # datagrams in one look after which they are fetched only every so often:
_PAUSE = 0.002         # seconds, in which the kernel keeps what comes, and others compute
_PACE, _BUSY_PACE = 0.002, 0.01    # seconds between two batches of values: as the data plane's ramps; and in a flood
_PATIENCE = 0.3        # seconds that the run may take to answer a command, until clients are served without that
_MOST_ASKED = 64       # commands that wait for an answer
_NEWS = 100            # targets of which a client is told at once: what its own buffer holds
_STAT_EVERY = 20       # looks: once a second
_BEAT_EVERY = 5        # looks
_TOLD = ("/stat/state", "/scene/current", "/scene/safe", "/bleed/learn")   # when they change; these, once a second
_TOLD_SLOWLY = ("/stat/load", "/stat/xruns", "/stat/latency_ms")


class Kept(NamedTuple):
    """What outlives a listener.

    Parameters
    ----------
    received, dropped, failed : int
        Messages that came, that were passed over; errors that nobody has foreseen.
    leases : tuple of Lease
    known : dict of Sender to float
        Who has said the PIN, and when.
    lost : int
        Of those that were passed over: the kernel had no room for them.
    """

    received: int = 0
    dropped: int = 0
    failed: int = 0
    leases: tuple[Lease, ...] = ()
    known: Mapping[Sender, float] = {}
    lost: int = 0


@dataclass(frozen=True)
class Begin:
    """The first thing that a listener is told.

    Parameters
    ----------
    pin : str or None
    host : str
        Where it is reached.
    preset : Preset
    mics : tuple of str
    values : dict of str to float
        Of all targets.
    meters : str
        Their shared memory.
    facts : Facts
    kept : Kept
    """

    pin: str | None
    host: str
    preset: Preset
    mics: tuple[str, ...]
    values: Mapping[str, float]
    meters: str
    facts: Facts
    kept: Kept


@dataclass(frozen=True)
class News:
    """What it is told then.

    Parameters
    ----------
    taken : int
        The last batch of which everything has been done.
    values : dict of str to float
        That have changed, or are not as they were asked for.
    preset : Preset or None
        That sounds now; None: still the same.
    facts : Facts or None
        None: still the same.
    problem : tuple of str or None
        Why the command of batch `taken` was refused.
    """

    taken: int
    values: Mapping[str, float]
    preset: Preset | None = None
    facts: Facts | None = None
    problem: tuple[str, ...] | None = None


class Batch(NamedTuple):
    """What it says: values, and then a command.

    Parameters
    ----------
    number : int
    turns : dict of str to Turn
    command : Command or None
    """

    number: int
    turns: dict[str, Turn]
    command: Command | None


class _Over(Exception):
    """The run has ended, or wants no more of this process."""


class _Link:
    """The pipe to the run.

    Parameters
    ----------
    pipe : Connection
    begin : Begin
    """

    def __init__(self, pipe: Connection, begin: Begin) -> None:
        self._pipe = pipe
        self.mirror = Mirror(begin.preset, begin.mics, self._ask, begin.facts)
        self.mirror.take(0, begin.values)
        self._sent = self._taken = 0
        self._last = 0.0
        self._asked: set[int] = set()
        self._problems: dict[int, tuple[str, ...]] = {}
        self._slow = False

    def due(self, pace: float) -> float | None:
        """Return when values should leave, seconds; None: none wait, or the run is not ready for them."""
        return self._last + pace if self.mirror.turns and self._taken == self._sent else None

    def flush(self, command: Command | None = None) -> int:
        """Send what waits, and a command; returns the number of that batch."""
        self._sent, turns = self.mirror.leave()
        self._last = time.monotonic()
        self.say(Batch(self._sent, turns, command))
        return self._sent

    def say(self, message: object) -> None:
        try:
            self._pipe.send(message)
        except OSError:
            raise _Over from None

    def hear(self) -> None:
        """Take in all that the run has said."""
        try:
            while self._pipe.poll():
                self._take(self._pipe.recv())
        except (EOFError, OSError):
            raise _Over from None

    def _take(self, news: News) -> None:
        self._slow = False
        self._taken = news.taken
        if news.preset is not None:
            self.mirror.stand(news.preset)
        self.mirror.take(news.taken, news.values)
        if news.facts is not None:
            self.mirror.facts = news.facts
        if news.taken in self._asked and news.problem:
            self._problems[news.taken] = news.problem
        self._asked = {number for number in self._asked if number > news.taken}

    def _ask(self, command: Command) -> None:
        """Have the run do something, and wait a little, so that who asks next sees what has come of it."""
        if len(self._asked) >= _MOST_ASKED:
            raise TooMany("", "the run does not answer")
        number = self.flush(command)
        self._asked.add(number)
        until = time.monotonic() + _PATIENCE
        while number in self._asked and not self._slow:
            left = until - time.monotonic()
            if left <= 0:
                self._slow = True   # it is not waited for again until it has said something
                return
            select.select([self._pipe], [], [], left)
            self.hear()
        if (problem := self._problems.pop(number, None)) is not None:
            raise InputError(*problem)


class Listener:
    """Serves.

    Parameters
    ----------
    pipe : Connection
    bound : socket
    begin : Begin
    """

    def __init__(self, pipe: Connection, bound: socket.socket, begin: Begin) -> None:
        from rtsep.meters import Meters

        self._pipe, self._socket = pipe, bound
        self._files: list[socket.socket | Connection] = [bound, pipe]
        self._link = _Link(pipe, begin)
        self._meters = Meters(len(begin.mics), begin.meters, create=False)
        self._gate = Gate(begin.pin, begin.kept.known)
        self._dispatch = Dispatch(self._send, self._gate, begin.host)
        self._dispatch.received, self._dispatch.dropped, self._failed = begin.kept[:3]
        self._dispatch.clients.keep(begin.kept.leases, self._link.mirror)
        self._lost = begin.kept.lost
        self._said: dict[str, bytes] = {}
        self._looks = 0

    def run(self) -> None:
        """Serve until the run is over."""
        next_look, came = time.monotonic(), 0
        while True:
            now = time.monotonic()
            try:
                if now >= next_look:
                    next_look, came = now + 1 / FASTEST, 0
                    self._look(now)
                pace = _BUSY_PACE if came > _BUSY else _PACE
                due = self._link.due(pace)
                wait = min(next_look, next_look if due is None else due) - now
                ready, _, _ = select.select(self._files, [], [], max(0.0, wait))
                if self._pipe in ready:
                    self._link.hear()
                if self._socket in ready:
                    came += self._fetch()
                due = self._link.due(pace)
                if due is not None and time.monotonic() >= due:
                    self._link.flush()
            except _Over:
                return
            except Exception:   # whatever it is: the next message is another one
                self._failed += 1
            if came > _BUSY:
                time.sleep(_PAUSE)

    def _fetch(self) -> int:
        """Do what those datagrams say that are there; returns how many there were."""
        there: list[tuple[bytes, Sender]] = []
        with contextlib.suppress(OSError):   # no more is there; or, as Windows tells here, a client is gone
            while len(there) < _PASS:
                there.append(self._socket.recvfrom(LONGEST + 1))
        self._dispatch.take(there)
        return len(there)

    def _look(self, now: float) -> None:
        """See what has changed and tell it."""
        mirror = self._link.mirror
        facts = mirror.facts
        self._dispatch.see(Running(mirror, dict(facts.info), self._meters), facts.waits)
        self._looks += 1
        clients = self._dispatch.clients
        clients.lapse(now)
        if self._looks % _BEAT_EVERY == 1:
            before, self._lost = self._lost, lost(self._socket)
            self._dispatch.dropped += self._lost - before
            counts = self._dispatch.received, self._dispatch.dropped, self._failed
            self._link.say(Kept(*counts, clients.leases(), self._gate.known, self._lost))
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


def serve(pipe: Connection, bound: socket.socket) -> None:
    """Be the process."""
    bound.setblocking(False)
    try:
        begin: Begin = pipe.recv()
    except (EOFError, OSError):
        return
    Listener(pipe, bound, begin).run()


if __name__ == "__main__":
    from rtsep.control.osc import listener  # what it sends must be of the module that the other side knows

    listener.serve(Connection(int(sys.argv[1])), socket.socket(fileno=int(sys.argv[2])))
