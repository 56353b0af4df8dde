"""Clients: who is told of changes and for how long, and who may say anything at all."""

from __future__ import annotations

import functools
import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from rtsep.control.follow import Follower
from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.control.desk import Desk
    from rtsep.control.osc.packet import Value

LEASE = 10.0           # seconds, as an X32 has it
MOST = 8               # clients, as an X AIR has it
_ERRORS = 10.0         # to one client, a second: more nobody reads
_GUESS = 1.0           # seconds in which one wrong PIN is looked at, from all the world: four figures last three hours
_KNOWN = 600.0         # seconds without a word after which a PIN is asked for again
_MOST_KNOWN = 64       # senders that have said it: tablets change their port with every start

Sender = tuple[Any, ...]
"""Host, port, and what IPv6 has beside them."""


class Lease(NamedTuple):
    """What another process needs to go on with a client.

    Parameters
    ----------
    sender : Sender
    until : float
        Seconds, `time.monotonic`.
    meters : dict of str to (int, float)
        As `Client` has it.
    """

    sender: Sender
    until: float
    meters: dict[str, tuple[int, float]]


class Client:
    """One that is told of what changes.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        self.until = 0.0
        self.meters: dict[str, tuple[int, float]] = {}   # by address: every how many looks, until when
        self._follower = Follower(desk)
        self._news: dict[str, float] = {}
        self._errors, self._refilled = _ERRORS, 0.0

    def knows(self, path: str, value: float) -> None:
        """Note that it has set a single target itself."""
        self._follower.knows(path, value)
        self._news.pop(path, None)

    def news(self, most: int) -> list[tuple[str, float]]:
        """Return so many of the targets that it has not been told of; the others come with the next call."""
        self._news.update(self._follower.changed())
        return [(path, self._news.pop(path)) for path in list(self._news)[:most]]

    def may_err(self, now: float) -> bool:
        """Whether one more error may be said to it."""
        self._errors = min(_ERRORS, self._errors + _ERRORS * (now - self._refilled))
        self._refilled = now
        if self._errors < 1:
            return False
        self._errors -= 1
        return True


class Clients:
    """All that have a lease."""

    def __init__(self) -> None:
        self._by_sender: dict[Sender, Client] = {}

    def items(self) -> list[tuple[Sender, Client]]:
        """Return each with where it is."""
        return list(self._by_sender.items())

    def leases(self) -> tuple[Lease, ...]:
        """Return what another process goes on with."""
        return tuple(Lease(sender, client.until, dict(client.meters)) for sender, client in self.items())

    def keep(self, leases: Iterable[Lease], desk: Desk) -> None:
        """Go on with what another process has had."""
        for lease in leases:
            client = self._by_sender[lease.sender] = Client(desk)
            client.until, client.meters = lease.until, dict(lease.meters)

    def get(self, sender: Sender) -> Client | None:
        """Return one if it has a lease."""
        return self._by_sender.get(sender)

    def lease(self, sender: Sender, desk: Desk, now: float) -> Client:
        """Give or renew a lease.

        Raises
        ------
        InputError
            If there are too many.
        """
        if sender not in self._by_sender and len(self._by_sender) >= MOST:
            raise InputError("/xremote", f"{MOST} clients are served already", f"their leases end within {LEASE:g} s")
        client = self._by_sender.setdefault(sender, Client(desk))
        client.until = now + LEASE
        return client

    def end(self, sender: Sender) -> None:
        """End a lease."""
        self._by_sender.pop(sender, None)

    def lapse(self, now: float) -> None:
        """End the leases that were not renewed."""
        for sender, client in self.items():
            if client.until <= now:
                self.end(sender)


class Gate:
    """Lets in who is on the machine itself, and who has said the PIN.

    Parameters
    ----------
    pin : str or None
        None: nobody else is let in.
    known : mapping of Sender to float
        Who has said it already, and was heard of last at which second.
    """

    def __init__(self, pin: str | None, known: Mapping[Sender, float] | None = None) -> None:
        self._pin = pin
        self._known = dict(known or {})
        self._next_guess = 0.0

    @property
    def known(self) -> dict[Sender, float]:
        """Who has said the PIN, and was heard of last when."""
        return dict(self._known)

    def open(self, sender: Sender, now: float) -> bool:
        """Whether a sender may say anything."""
        if local(sender[0]):
            return True
        if now - self._known.get(sender, -_KNOWN) >= _KNOWN:
            return False
        self._known[sender] = now
        return True

    def try_pin(self, sender: Sender, values: tuple[Value, ...], now: float) -> bool | None:
        """Return whether it was right; None: it was not looked at, as another wrong one has just been."""
        if now < self._next_guess or self._pin is None:
            return None
        said = str(values[0]) if len(values) == 1 and isinstance(values[0], str | int) else ""
        if not hmac.compare_digest(said.encode(), self._pin.encode()):
            self._next_guess = now + _GUESS
            return False
        if sender not in self._known and len(self._known) >= _MOST_KNOWN:
            del self._known[min(self._known, key=self._known.__getitem__)]
        self._known[sender] = now
        return True


@functools.lru_cache(maxsize=256)
def local(host: str) -> bool:
    """Whether an address is of the machine itself."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
