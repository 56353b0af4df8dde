"""Dispatch: what a message does to the desk, and what is answered."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rtsep.control.desk import store
from rtsep.control.osc import addresses
from rtsep.control.osc.clients import LEASE, Clients, Gate, Sender
from rtsep.control.osc.meters import FASTEST
from rtsep.control.osc.packet import Malformed, decode, encode
from rtsep.control.osc.pattern import is_pattern, matching
from rtsep.control.osc.reading import Reader
from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.control.desk import Snapshots
    from rtsep.control.osc.entry import Address
    from rtsep.control.osc.packet import Message, Value
    from rtsep.control.surface import Running

# Of answers and of commands there may be so many a second, and at once. Values that are set need no limit, see `take`.
_RATE, _BURST = 4000.0, 4000.0
_COMMAND, _PATTERN = 20, 50      # what one of them takes of that; an answer takes 1

Send = Callable[[bytes, Sender], None]
_SEE = "see the list of addresses"


class TooMany(InputError):
    """More than is done in a second; it is counted, but not answered, which would be more still."""


class Dispatch:
    """Does what messages say.

    Parameters
    ----------
    send : callable
        Sends a datagram, if that is possible at once.
    gate : Gate
    host : str
        Where it is reached, for those who ask.

    Attributes
    ----------
    clients : Clients
    received : int
        Messages that came; a malformed datagram counts as one.
    dropped : int
        Those that were passed over: malformed, refused, too many, or of who is not let in.
    """

    def __init__(self, send: Send, gate: Gate, host: str) -> None:
        self.clients = Clients()
        self.received = self.dropped = 0
        self._send, self._gate, self._host = send, gate, host
        self._of: tuple[object, ...] = ()
        self._table: dict[str, Address] = {}
        self._by_path: dict[str, list[Address]] = {}
        self._spread: dict[str, list[str]] = {}
        self._plain: dict[bytes, Address] = {}   # what can be turned, by its address
        self._left, self._refilled = _BURST, time.monotonic()
        self._commands: dict[str, Callable[[tuple[Value, ...], Sender], object]] = {
            "/xremote": self._lease, "/unsubscribe": lambda _, sender: self.clients.end(sender),
            "/bleed/learn": lambda values, _: self._desk.freeze(not self._table["/bleed/learn"].take(values)),
            "/scene/go": self._go, "/meters": self._watch,
            "/scene/store": self._store, "/scene/safe": self._keep_safe,
            "/undo": lambda *_: self._desk.undo(), "/redo": lambda *_: self._desk.redo(),
            "/scene/next": lambda *_: self._snapshots().step(1), "/scene/prev": lambda *_: self._snapshots().step(-1),
        }

    def see(self, running: Running, waits: bool) -> None:
        """Take note of what runs now; another preset has other addresses."""
        self._running, self._desk, self._waits = running, running.desk, waits
        of = (running.desk.preset, running.desk.mics)
        if self._of == of:
            return
        self._of = of
        self._table = addresses.listing(*of)
        self._plain = {entry.address.encode(): entry for entry in self._table.values() if entry.path}
        paths = {entry.path for entry in self._table.values()} - {""}
        self._spread = {path: self._desk.spread(path) for path in paths}
        self._by_path = {path: [] for path in paths}
        for entry in self._table.values():
            if entry.path:
                self._by_path[entry.path].append(entry)

    def take(self, datagrams: Sequence[tuple[bytes, Sender]]) -> None:
        """Do what datagrams say, in their order; of each all, or nothing if any part of it is malformed."""
        turns: list[tuple[Address, bytes, Sender]] = []
        now = time.monotonic()
        for data, sender in datagrams:
            entry = self._turned(data)
            if entry is not None and self._gate.open(sender, now):
                turns.append((entry, data, sender))
            else:
                self._turn_all(turns)
                turns = []
                self._take(data, sender)
        self._turn_all(turns)

    def told(self, path: str, value: float) -> list[bytes]:
        """Return what a client is told of a target: by each of its addresses."""
        return [encode(entry.address, entry.value(value)) for entry in self._by_path.get(path, ())]

    def watched(self, address: str) -> bool:
        """Whether there is something at an address that is no target: of those `told` tells."""
        return address in self._table and not self._table[address].path

    def read(self, address: str) -> bytes:
        """Return what is said of what stands at an address.

        Raises
        ------
        InputError
            If there is nothing to be read.
        """
        reader = Reader(self._running, self._host, self._waits, (self.received, self.dropped))
        return encode(address, *reader.read(self._table[address]))

    def _turned(self, data: bytes) -> Address | None:
        """Return what one plain message with a value turns, before it is read; None: it is something else."""
        end = data.find(0)
        entry = self._plain.get(data[:end])
        types = (end // 4 + 1) * 4
        return entry if data[types + 1 : types + 2] > b"\0" else None

    def _turn_all(self, turns: Sequence[tuple[Address, bytes, Sender]]) -> None:
        """Turn what is to be turned: the last right value for each target, in the order in which those have come.

        That leaves the board as all of them would, one after the other, at the price of a few however many there are.
        """
        right: list[tuple[Address, float, Sender]] = []
        seen: set[tuple[str, Sender]] = set()
        for entry, data, sender in reversed(turns):
            self.received += 1
            if (entry.path, sender) in seen:
                continue
            try:
                right.append((entry, entry.take(decode(data)[0].values), sender))
                seen.add((entry.path, sender))
            except Malformed:
                self.dropped += 1
            except InputError as error:
                self._refuse(entry.address, error, sender)
        last = {entry.path: number for number, (entry, _, _) in reversed(list(enumerate(right)))}
        for number, (entry, target, sender) in reversed(list(enumerate(right))):
            try:
                self._turn(entry, target, sender, last[entry.path] == number)
            except InputError as error:   # the preset has just changed, and this is not there any more
                self._refuse(entry.address, error, sender)

    def _take(self, data: bytes, sender: Sender) -> None:
        try:
            messages = decode(data)
        except Malformed:
            self.received += 1
            self.dropped += 1
            return
        self.received += len(messages)
        with self._desk.together() if len(messages) > 1 else contextlib.nullcontext():   # a page of a fader bank
            self._do(messages, sender)

    def _do(self, messages: Sequence[Message], sender: Sender) -> None:
        now = time.monotonic()
        for message in messages:
            if message.address == "/pin" or not self._gate.open(sender, now):
                self._pin(message, sender, now)
                continue
            try:
                self._message(message, sender)
            except InputError as error:
                self._refuse(message.address, error, sender)

    def _message(self, message: Message, sender: Sender) -> None:
        entry = self._table.get(message.address)
        if entry is None:
            self._several(message, sender)
        elif entry.path and message.values:
            self._turn(entry, entry.take(message.values), sender)
        elif entry.address in self._commands and (message.values or entry.access == "w"):
            self._afford(_COMMAND)
            self._commands[entry.address](message.values, sender)
        elif message.values:
            raise InputError(message.address, "it cannot be set", "ask without a value")
        else:
            self._answer(message.address, sender)

    def _turn(self, entry: Address, target: float, sender: Sender, stays: bool = True) -> None:
        """Set a target, unless that is overruled at once; who set it is not told of it."""
        if stays:
            self._desk.set(entry.path, target)
        client = self.clients.get(sender)
        if client is not None:
            for path in self._spread[entry.path]:
                client.knows(path, target)

    def _several(self, message: Message, sender: Sender) -> None:
        """Do what a pattern says of all that can be set or read; it gives no commands."""
        if not is_pattern(message.address):
            raise InputError(message.address, "there is no such address", _SEE)
        self._afford(_PATTERN)
        found = matching(message.address, [a for a, entry in self._table.items() if entry.path or entry.types])
        if not found:
            raise InputError(message.address, "no address is like this", _SEE)
        with self._desk.together():
            for entry in (self._table[address] for address in found):
                if entry.path and message.values:
                    self._turn(entry, entry.take(message.values), sender)
                elif entry.access != "w" and entry.address != "/error" and not message.values:
                    self._answer(entry.address, sender)

    def _answer(self, address: str, sender: Sender) -> None:
        self._afford(1)
        self._send(self.read(address), sender)

    def _afford(self, cost: int) -> None:
        """Take from what may be done in a second."""
        now = time.monotonic()
        self._left = min(_BURST, self._left + _RATE * (now - self._refilled))
        self._refilled = now
        if self._left < cost:
            raise TooMany("", "too many messages")
        self._left -= cost

    def _refuse(self, address: str, error: InputError, sender: Sender) -> None:
        """Say why nothing was done, to who is told of changes, or cannot be; it is counted anyway."""
        self.dropped += 1
        client = self.clients.get(sender)
        wanted = address == "/xremote" if client is None else client.may_err(time.monotonic())
        if wanted and not isinstance(error, TooMany):
            reason = error.problem + (f"; {error.allowed}" if error.allowed else "")
            self._send(encode("/error", address, reason), sender)

    def _pin(self, message: Message, sender: Sender, now: float) -> None:
        right = self._gate.try_pin(sender, message.values, now) if message.address == "/pin" else None
        if right is None:
            self.dropped += 1
        else:
            self._send(encode("/pin", int(right)), sender)

    def _lease(self, _: tuple[Value, ...], sender: Sender) -> None:
        self.clients.lease(sender, self._desk, time.monotonic())

    def _watch(self, values: tuple[Value, ...], sender: Sender) -> None:
        """Send a set of meters to a client that is told of changes, or is from now on."""
        address = values[0] if values else None
        fast = values[1] if len(values) > 1 else FASTEST
        if not isinstance(address, str) or address not in self._table or self._table[address].types != "b":
            known = ", ".join(a for a, entry in self._table.items() if entry.types == "b")
            raise InputError("/meters", "there are no such meters", f"known: {known}")
        if isinstance(fast, str | bytes) or not 1 <= fast <= FASTEST:
            raise InputError("/meters", "so often they are not sent", f"allowed is 1 to {FASTEST} times a second")
        now = time.monotonic()
        client = self.clients.lease(sender, self._desk, now)
        client.meters[address] = (round(FASTEST / fast), now + LEASE)

    def _go(self, values: tuple[Value, ...], _: Sender) -> None:
        self._snapshots().go(_which("/scene/go", values))

    def _store(self, values: tuple[Value, ...], _: Sender) -> None:
        store(self._snapshots(), str(_which("/scene/store", values)) if values else None)

    def _keep_safe(self, values: tuple[Value, ...], _: Sender) -> None:
        if len(values) != 2 or not isinstance(values[0], str) or values[1] not in (0, 1):
            raise InputError("/scene/safe", "what shall be safe, or not?", "allowed is a path or a pattern, and 1 or 0")
        self._snapshots().keep_safe(values[0], bool(values[1]))

    def _snapshots(self) -> Snapshots:
        if self._desk.snapshots is None:
            raise InputError("/scene", "no show is open")
        return self._desk.snapshots


def _which(address: str, values: tuple[Value, ...]) -> int | str:
    """Return the snapshot that is meant."""
    which = values[0] if len(values) == 1 else None
    if isinstance(which, float) and which.is_integer():   # many remotes have no other numbers
        which = int(which)
    if not isinstance(which, int | str) or isinstance(which, bool):
        raise InputError(address, "which snapshot?", "allowed is its number or its name")
    return which
