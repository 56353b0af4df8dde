"""A `rtsep run` in a process of its own, as tests start it, listen to it and end it."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from rtsep.bench.jackd import JackServer
from rtsep.workers.recorder import COMM

PRESET = """
schema = 1
name = "test"
latency_class = "live"
[host]
block = 64
[[chain]]
stage = "input"
[[chain]]
stage = "canceller"
taps = 1024
"""
DRIVER = """
import json, sys
from rtsep.errors import RtsepError
from rtsep.hosts.request import RunOptions
from rtsep.hosts.supervisor import run
from rtsep.control.surfaces.terminal import Lines, View
options = json.loads(sys.argv[1])
surface = View if sys.stderr.isatty() else Lines
try:
    code = run(
        RunOptions(**{**options, "settings": tuple(options.get("settings", ()))}), surface,
        lambda summary: print(json.dumps(summary), flush=True),
    )
except RtsepError as error:
    print(f"rtsep: {error}", file=sys.stderr)
    code = error.exit_code
sys.exit(code)
"""
Start = Callable[..., "Live"]
PATIENCE = 60.0   # seconds; only a run that hangs takes so long


class Live:
    """A `rtsep run` in a process of its own.

    Parameters
    ----------
    server : JackServer
    options : dict
        Fields of RunOptions.
    """

    def __init__(self, server: JackServer, **options: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, json.dumps(options)],
            env=server.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        self.lines: list[str] = []
        self._fresh: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())
            self._fresh.put(line.rstrip())

    def until(self, word: str) -> str:
        """Wait until a line with `word` is printed."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                line = self._fresh.get(timeout=0.2)
            except queue.Empty:
                if self.process.poll() is not None and self._fresh.empty():
                    break
                continue
            if word in line:
                return line
        raise AssertionError(f"no line with {word!r} in {self.lines}")

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def audio_process(self) -> int:
        """Return the process id of the child that makes the sound."""
        return self._child(lambda name: name != COMM)

    def recorder(self) -> int:
        """Return the process id of the child that stores the recording."""
        return self._child(lambda name: name == COMM)

    def _child(self, wanted: Callable[[str], bool]) -> int:
        for child in self._children():
            place = pathlib.Path(f"/proc/{child}")
            if b"spawn_main" in (place / "cmdline").read_bytes() and wanted((place / "comm").read_text().strip()):
                return child
        raise AssertionError("there is no such process")

    def _children(self) -> list[int]:
        pid = self.process.pid
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def end(self) -> tuple[int, dict[str, Any]]:
        """Wait for the end; return the exit code and the summary."""
        assert self.process.stdout is not None
        code = self.process.wait(PATIENCE)   # before it is read: a run that hangs would be read for ever
        text = self.process.stdout.read()
        return code, json.loads(text) if text else {}

    def kill(self) -> None:
        """End it, if it still runs, with every process that it has started, stopped ones too."""
        if self.process.poll() is None:
            left = [self.process.pid, *self._children()]
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()


@contextlib.contextmanager
def runs() -> Iterator[Start]:
    """Give what starts a run as `Live` does; whatever still runs in the end is ended, as after a test that failed."""
    started: list[Live] = []

    def start(server: JackServer, **options: Any) -> Live:
        started.append(Live(server, **options))
        return started[-1]

    try:
        yield start
    finally:
        for run in started:
            run.kill()


def read_until(terminal: int, word: str) -> str:
    """Read what is shown on a terminal until a word is there; returns all that was read."""
    os.set_blocking(terminal, False)
    seen = ""
    end = time.monotonic() + PATIENCE
    while word not in seen:
        assert time.monotonic() < end, f"{word!r} is not in {seen[-2000:]!r}"
        try:
            seen += os.read(terminal, 65536).decode(errors="replace")
        except BlockingIOError:
            time.sleep(0.05)
    return seen
