"""Server: opens the socket, has a process serve it, and does to the desk what comes of that.

Reading a flood takes a core of Python: in a process of its own it takes nothing from the run. The socket stays open
here: should that process end, what comes meanwhile waits for the next one, and who has a lease keeps it.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import select
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Protocol

from rtsep.control.follow import Follower
from rtsep.control.osc.clients import local
from rtsep.control.osc.listener import Batch, Begin, Kept, News
from rtsep.control.osc.mirror import Facts
from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.control.desk import Desk, Snapshots
    from rtsep.control.surface import Running

_BUFFER = 1 << 22      # bytes that the kernel may keep for us: with Linux's usual limit a quarter of a second at 1 kHz
_LOOK_EVERY = 0.05     # seconds between two looks at the desk
_START = 60.0          # seconds that the process may take until it is heard of
_SILENT = 3.0          # seconds without a word after which it counts as stuck
_ENDING = 0.2          # seconds in which it ends by itself
_SHORTEST, _LONGEST = 0.5, 5.0   # seconds until another one is started
_LASTS = 10.0          # seconds; one that lives so long is no row of deaths any more
_INFO = ("latency_samples", "sample_rate", "device_latency_s")   # what is asked for of the stream


class Child(Protocol):
    """What serves the socket."""

    @property
    def pipe(self) -> Connection:
        """To it."""

    def end(self) -> str:
        """End it; returns how it has ended, as a part of a line."""


class Process:
    """A listener in a process of its own.

    Parameters
    ----------
    bound : socket
    """

    def __init__(self, bound: socket.socket) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        files = (theirs.fileno(), bound.fileno())
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rtsep.control.osc.listener", *map(str, files)], pass_fds=files,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,   # Ctrl-C is for the run
        )
        theirs.close()

    def end(self) -> str:
        """See `Child.end`."""
        self.pipe.close()   # at which it ends, if it can
        with contextlib.suppress(subprocess.TimeoutExpired):
            return f"exit code {self._process.wait(_ENDING)}"
        self._process.kill()
        self._process.wait()
        return "it does not answer"


class _Gone(Exception):
    """The process has ended, or is stuck."""


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
    launch : callable
        Makes what serves the socket.

    Raises
    ------
    InputError
        If it cannot listen there, or others could without a PIN.

    Attributes
    ----------
    host : str
    port : int
    said : deque of str
        What the user should know; whoever shows it takes it out.
    """

    def __init__(
        self, bind: str, port: int, pin: str | None = None, launch: Callable[[socket.socket], Child] = Process
    ) -> None:
        self._socket = _listening(bind, port, pin)
        self.host, self.port = self._socket.getsockname()[:2]
        self.said: deque[str] = deque()
        self._pin, self._launch = pin, launch
        self._seen: tuple[Running, bool] | None = None
        self._child: Child | None = None
        self._kept, self._failed = Kept(), 0
        self._heard = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="osc", daemon=True)

    @property
    def failed(self) -> int:
        """Errors that nobody has foreseen."""
        return self._failed + self._kept.failed

    def see(self, running: Running, waits: bool) -> None:
        """Take note of what runs; with the first of it the service begins."""
        began, self._seen = self._seen is not None, (running, waits)
        if not began:
            self._desk = running.desk
            self._follower = Follower(running.desk)
            self._thread.start()

    def close(self) -> None:
        """End the service."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_SILENT)
        if self._thread.is_alive() and self._child is not None:   # which it waits for
            self._child.end()
            self._thread.join(_SILENT)
        self._socket.close()

    def _serve(self) -> None:
        """Have one process after the other serve."""
        pause, told = _SHORTEST, False
        while not self._stop.is_set():
            began = time.monotonic()
            self._child = self._launch(self._socket)
            with contextlib.suppress(_Gone):
                self._live(self._child.pipe)
            with contextlib.suppress(_Gone):   # what it has said before
                while not self._stop.is_set() and (said := _hear(self._child.pipe, 0.0)) is not None:
                    self._take(said)
            why, self._child = self._child.end(), None
            if self._stop.is_set():
                return
            if time.monotonic() - began > _LASTS:
                pause, told = _SHORTEST, False
            if not told:
                told = True
                self.said.append(f"OSC: its process has ended ({why}); another one takes over")
            self._stop.wait(pause)
            pause = min(2 * pause, _LONGEST)

    def _live(self, pipe: Connection) -> None:
        """Serve by one process until it is gone.

        Raises
        ------
        _Gone
        """
        self._heard = time.monotonic() + _START
        self._taken, self._answer = 0, False
        self._problem: tuple[str, ...] | None = None
        self._begin(pipe)
        next_look = 0.0
        while not self._stop.is_set():
            now = time.monotonic()
            try:
                if self._answer or now >= next_look:
                    next_look = now + _LOOK_EVERY if now >= next_look else next_look
                    self._tell(pipe)
                said = _hear(pipe, max(0.0, next_look - time.monotonic()))
                if said is not None:
                    self._heard = time.monotonic()
                    self._take(said)
                elif time.monotonic() - self._heard > _SILENT:
                    raise _Gone
            except _Gone:
                raise
            except Exception:   # of a show that is just read again: the next look is another one
                self._failed += 1

    def _begin(self, pipe: Connection) -> None:
        """Tell a process all that it begins with; where targets stood when the one before was told last."""
        assert self._seen is not None
        running = self._seen[0]
        self._preset, self._facts = self._desk.preset, self._facts_now()
        assert running.meters.name is not None
        _say(pipe, Begin(
            self._pin, self.host, self._preset, self._desk.mics, self._follower.stood(), running.meters.name,
            self._facts, self._kept,
        ))

    def _tell(self, pipe: Connection) -> None:
        """Tell what is new, and what has been done; later, if the process does not read."""
        if not select.select([], [pipe], [], 0)[1]:
            return
        preset, facts, values = self._desk.preset, self._facts_now(), dict(self._follower.changed())
        other = preset != self._preset
        if other:
            values = self._follower.stood()
        if not (self._answer or values or other or facts != self._facts):
            return
        _say(pipe, News(
            self._taken, values, preset if other else None, facts if facts != self._facts else None, self._problem
        ))
        self._preset, self._facts, self._answer, self._problem = preset, facts, False, None

    def _facts_now(self) -> Facts:
        assert self._seen is not None
        running, waits = self._seen
        info, snapshots = {key: running.info[key] for key in _INFO}, self._desk.snapshots
        if snapshots is None:
            return Facts(waits, info)
        return Facts(waits, info, tuple(snapshots.listing()), snapshots.current, tuple(snapshots.safe))

    def _take(self, said: object) -> None:
        try:
            self._do(said)
        except Exception:   # for example of a show's file: what is said next is something else
            self._failed += 1

    def _do(self, said: object) -> None:
        if isinstance(said, Kept):
            self._kept = said
            return
        assert isinstance(said, Batch)
        self._taken, self._answer = said.number, True
        for group, turns in itertools.groupby(said.turns.items(), lambda item: item[1].group):
            with self._desk.together() if group else contextlib.nullcontext():
                for path, turn in turns:
                    self._follower.knows_all(path, turn.value)
                    with contextlib.suppress(InputError):   # the preset has just changed: it will be told
                        self._desk.set(path, turn.value)
        if said.command is not None:
            try:
                text = COMMANDS[said.command.name](self._desk, *said.command.values)
            except InputError as error:
                self._problem = (error.place, error.problem, error.allowed)
            else:
                if isinstance(text, str):
                    self.said.append(f"OSC: {text}")


def _snapshots(desk: Desk) -> Snapshots:
    if desk.snapshots is None:
        raise InputError("/scene", "no show is open")
    return desk.snapshots


COMMANDS: dict[str, Callable[..., object]] = {
    "go": lambda desk, which: _snapshots(desk).go(which),
    "step": lambda desk, by: _snapshots(desk).step(by),
    "store": lambda desk, which: _snapshots(desk).store(which),
    "safe": lambda desk, pattern, on: _snapshots(desk).keep_safe(pattern, on),
    "undo": lambda desk: desk.undo(),
    "redo": lambda desk: desk.redo(),
}
"""What a listener may ask of the desk; words that are returned are said to the user."""


def _say(pipe: Connection, message: object) -> None:
    try:
        pipe.send(message)
    except OSError:
        raise _Gone from None


def _hear(pipe: Connection, patience: float) -> object:
    """Return what a process says; None: nothing."""
    try:
        return pipe.recv() if pipe.poll(patience) else None
    except (EOFError, OSError):
        raise _Gone from None


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
