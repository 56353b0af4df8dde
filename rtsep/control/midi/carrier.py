"""Carrier: talks to the process that owns the system's MIDI, and starts another one when that dies or is stuck."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from rtsep.control.midi.mapping import Port
from rtsep.control.midi.ports import BEAT, CLOSED, HEAD, MESSAGE, NAMES, OPENED, PROBLEM
from rtsep.errors import DeviceError

_SILENT = 3.0                # seconds without a beat after which the process counts as stuck
_PATIENCE = 10.0             # seconds that a list of ports may take
_NOBODY = "\n"               # is in no port's name
_SHORTEST, _LONGEST = 0.5, 5.0   # seconds until another one is started


@dataclass(frozen=True)
class News:
    """What has happened at the ports.

    Parameters
    ----------
    kind : str
        `message`, `opened`, `closed`, `names` or `problem`.
    key : str
        The port, as the mapping calls it, or its name.
    data : bytes
        Of a message.
    content : dict
        Of the others.
    """

    kind: str
    key: str = ""
    data: bytes = b""
    content: Any = None


class Carrier:
    """Carries messages; for one thread.

    Parameters
    ----------
    ports : sequence of Port
        Empty: all there are.
    api : str
        See `rtsep.control.midi.ports`.
    """

    def __init__(self, ports: Sequence[Port] = (), api: str = "") -> None:
        names = [name for port in ports for name in (port.input, port.output)]
        self._command = [sys.executable, "-m", "rtsep.control.midi.ports", api, *names]
        self._process: subprocess.Popen[bytes] | None = None
        self._open: dict[int, str] = {}
        self._answering: dict[str, int] = {}
        self._pause, self._next_start = _SHORTEST, 0.0

    @property
    def answering(self) -> list[str]:
        """Return the keys of the ports that can be sent something."""
        return list(self._answering)

    def read(self, patience: float) -> list[News]:
        """Wait so many seconds at most, then return what has come."""
        now = time.monotonic()
        if self._process is None:
            if now < self._next_start:
                time.sleep(min(patience, self._next_start - now))
                return []
            self._start(now)
        found: list[News] = []
        with contextlib.suppress(queue.Empty):
            data = self._heard.get(timeout=patience)
            while True:
                if not data:
                    return found + self._ended()
                self._rest += data
                self._heard_at = time.monotonic()
                found += self._frames()
                data = self._heard.get_nowait()
        if time.monotonic() - self._heard_at > _SILENT:
            return found + self._ended()
        return found

    def send(self, key: str, data: bytes) -> None:
        """Send a message to a port, if that is there, and the process takes it."""
        number = self._answering.get(key)
        if number is not None and self._process is not None:
            assert self._process.stdin is not None
            try:
                os.write(self._process.stdin.fileno(), HEAD.pack(MESSAGE, number, len(data)) + data)
            except OSError:   # it is gone, or stuck and its pipe full: `read` finds out
                self._answering.pop(key, None)

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            assert process.stdin is not None
            process.stdin.close()

    def _start(self, now: float) -> None:
        environment = {**os.environ, "JACK_NO_START_SERVER": "1"}
        self._process = process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
            env=environment, start_new_session=True,   # Ctrl-C is for the run
        )
        assert process.stdin is not None
        assert process.stdout is not None
        if hasattr(os, "set_blocking"):   # not on every Windows; there only this thread would wait for who is stuck
            os.set_blocking(process.stdin.fileno(), False)
        self._rest, self._heard_at = b"", now + _SILENT   # Python has to start
        self._heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(process.stdout, self._heard), name="midi-pipe", daemon=True).start()

    def _ended(self) -> list[News]:
        """Have another one started, later if that goes on."""
        self.close()
        self._next_start = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, _LONGEST)
        closed = [News("closed", key, content={"name": key}) for key in self._open.values()]
        self._open, self._answering = {}, {}
        return closed

    def _frames(self) -> list[News]:
        found, place = [], 0
        while place + HEAD.size <= len(self._rest):
            kind, number, size = HEAD.unpack_from(self._rest, place)
            content = self._rest[place + HEAD.size : place + HEAD.size + size]
            if len(content) < size:
                break
            place += HEAD.size + size
            if kind == MESSAGE:
                found.append(News("message", self._open.get(number, ""), content))
            elif kind != BEAT:
                found.append(self._told(kind, number, json.loads(content)))
        self._rest = self._rest[place:]
        return found

    def _told(self, kind: bytes, number: int, content: Any) -> News:
        key = content.get("key", "")
        if kind == OPENED:
            self._pause = _SHORTEST
            self._open[number] = key
            self._answering.pop(key, None)
            if content["output"]:
                self._answering[key] = number
        elif kind == CLOSED:
            self._open.pop(number, None)
            self._answering.pop(key, None)
        return News({OPENED: "opened", CLOSED: "closed", NAMES: "names", PROBLEM: "problem"}[kind], key, b"", content)


def _listen(pipe: IO[bytes], heard: queue.SimpleQueue[bytes]) -> None:
    """Hand on what comes through a pipe; nothing at its end."""
    with pipe:
        while data := os.read(pipe.fileno(), 1 << 16):
            heard.put(data)
    heard.put(b"")


def names(api: str) -> dict[str, list[str]]:
    """Return the `inputs` and `outputs` there are, as rtmidi calls them, without opening any.

    Raises
    ------
    DeviceError
        If there is no MIDI.
    """
    carrier = Carrier((Port(_NOBODY, _NOBODY),), api)
    until = time.monotonic() + _PATIENCE
    try:
        while time.monotonic() < until:
            for news in carrier.read(0.1):
                if news.kind == "problem":
                    raise DeviceError(f"no MIDI: {news.content['problem']}")
                if news.kind == "names":
                    return dict(news.content)
    finally:
        carrier.close()
    raise DeviceError(f"no MIDI: the system has not answered for {_PATIENCE:.0f} s")
