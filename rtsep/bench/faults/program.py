"""The run under test: `rtsep run` of a checkout, in pipes or in a shell on a terminal, seen only from the outside."""

from __future__ import annotations

import contextlib
import os
import pathlib
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import termios
import threading
import time

from rtsep.bench.faults import machine
from rtsep.bench.jackd import JackServer
from rtsep.errors import DeviceError

_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[=>()][0-9A-B]?)")
_BOXES = re.compile(r"[\u00b7\u2500-\u259f\u2801-\u28ff]")   # frames and bars of the view: no message
_MOST_SAID = 10_000       # lines that are kept: of an hour, with one about the load every five seconds
_END_SECONDS = 1.0        # that the helpers of an ended run may take to end
_POLL = 0.1               # seconds between two looks of a reader at whether it is still wanted
_LOOK = 1.0               # seconds in which the audio process that plays must be told from a spare one
_ROOT = pathlib.Path(__file__).parents[3]
_LOCATOR = "NUMBA_CACHE_LOCATOR_CLASSES"
_SIGNALS = ("env", "--default-signal=HUP,INT,QUIT")   # a bench in the background may ignore them, and so its children
_TEMP_PREFIX = "rtsep"    # of what a run makes in temp folders and in shared memory


class Program:
    """A run.

    Parameters
    ----------
    server : JackServer
    folder : Path
        Its own: it runs there, and its temp folder is there.
    arguments : list of str
        Of `rtsep run`.
    checkout : Path, optional
        Whose program; this one's by default.
    terminal : bool
        Start it from a shell with job control on a terminal of its own, as people do.
    name : str
        Of its temp folder.
    port : str
        A microphone's: whoever is connected to it sounds.
    """

    def __init__(
        self, server: JackServer, folder: pathlib.Path, arguments: list[str], checkout: pathlib.Path | None = None,
        terminal: bool = False, name: str = "temp", port: str = "player:mic_1",
    ) -> None:
        root = (checkout or _ROOT).resolve()
        self.temp = folder / name
        self.temp.mkdir(exist_ok=True)
        self.environment = {
            **server.environment, "PYTHONPATH": f"{root}:{root / 'kernels'}", "TMPDIR": str(self.temp),
            "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "TERM": "xterm",
        }
        self.environment.pop(_LOCATOR, None)   # this program's kernels have set it; a checkout has its own
        self._server, self._port = server, port
        self._shared: set[str] = set()
        self._processes: set[int] = set()
        self._text = {"out": b"", "err": b""}
        self._said: list[tuple[float, str]] = []
        self._deaf: set[str] = set()
        self._readers: dict[str, threading.Thread] = {}
        self.terminal, self.reader, self.printer = -1, -1, -1
        self._in_shell = terminal
        command = [sys.executable, "-m", "rtsep", "run", *arguments]
        if terminal:
            self._open_terminal(command, folder)
        else:
            self._open_pipes(command, folder)

    def _open_pipes(self, command: list[str], folder: pathlib.Path) -> None:
        self.reader, self._err = os.pipe()
        self.printer, out = os.pipe()
        self.process = subprocess.Popen(
            [*_SIGNALS, *command], cwd=folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=out,
            stderr=self._err, start_new_session=True,
        )
        os.close(out)   # the other one is kept: a fault fills the pipe
        self._pid = self.process.pid
        self._read(self.reader, "err")
        self._read(self.printer, "out")

    def _open_terminal(self, command: list[str], folder: pathlib.Path) -> None:
        self.terminal, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        self._err = -1
        self.process = subprocess.Popen(
            [*_SIGNALS, "setsid", "-c", "bash", "--norc", "--noprofile", "-i"], cwd=folder, stdin=theirs, stdout=theirs,
            stderr=theirs, env={**self.environment, "PS1": "$ ", "HISTFILE": ""},
        )
        os.close(theirs)
        self._read(self.terminal, "err")
        self.type(shlex.join(command) + "\n")
        self._pid = 0

    def _read(self, fd: int, kind: str) -> None:
        def read() -> None:
            with contextlib.suppress(OSError):
                while kind not in self._deaf:
                    if not select.select([fd], [], [], _POLL)[0]:
                        continue
                    part = os.read(fd, 65536)
                    if not part:
                        break
                    self._text[kind] += part
                    self._note(kind, part)

        self._readers[kind] = threading.Thread(target=read, daemon=True)
        self._readers[kind].start()

    def _stop_reading(self, kind: str) -> None:
        self._deaf.add(kind)
        self._readers[kind].join()

    def _note(self, kind: str, part: bytes) -> None:
        for line in re.split(r"[\r\n]+", _ESCAPES.sub("", part.decode(errors="replace"))):
            text = line.strip()
            if kind == "err" and len(text.split()) > 2 and not _BOXES.search(text):
                self._said.append((time.monotonic(), text))
        del self._said[:-_MOST_SAID]

    @property
    def pid(self) -> int:
        """Of the supervisor; 0 until a shell has started it, or after its end."""
        if not self._pid or not machine.alive(self._pid):
            self._pid = self._job() if self._in_shell else self.process.pid
        return self._pid

    def _job(self) -> int:
        for child in machine.descendants(self.process.pid):
            with contextlib.suppress(OSError):
                if b"rtsep\0run" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes():
                    return child
        return self._pid   # as it was: it is gone, or an orphan

    def alive(self) -> bool:
        """Whether it runs."""
        if not self._in_shell:
            return self.process.poll() is None
        return bool(self.pid) and machine.alive(self.pid)

    def audio(self) -> int:
        """Return the id of the child that makes the sound, not of a spare one; 0 if there is none."""
        clients = [
            pid for pid in machine.descendants(self.pid) if any(name.startswith("jack") for name in machine.mapped(pid))
        ]
        if len(clients) < 2:
            return clients[0] if clients else 0
        semaphore = f"jack_sem.{os.getuid()}_{self._server.name}_{machine.client_at(self._server, self._port)}"
        until = time.monotonic() + _LOOK
        while time.monotonic() < until:
            for pid in clients:
                if machine.waits_in(pid, semaphore):
                    return pid
        raise DeviceError("there are several audio processes; which of them sounds?")

    def look(self) -> None:
        """Note its processes and what they keep in shared memory: what is there after its end was left behind."""
        for pid in [self.pid, *machine.descendants(self.pid)]:
            self._processes.add(pid)
            self._shared |= {name for name in machine.mapped(pid) if not name.startswith("jack")}

    def said(self, since: float = 0.0) -> list[str]:
        """Return the lines it has written to stderr after a time of `time.monotonic`, each once."""
        return list(dict.fromkeys(text for at, text in tuple(self._said) if at >= since))

    def said_at(self, word: str, since: float) -> float | None:
        """Return when a line with a word came after a time; None if none did."""
        return next((at for at, text in tuple(self._said) if at >= since and word in text), None)

    def out(self) -> str:
        """Return what it has written to stdout."""
        return self._text["out"].decode(errors="replace")

    def leftovers(self) -> list[str]:
        """Return what is left of an ended run: processes, shared memory, and in its temp folder."""
        machine.until(lambda: not any(map(machine.alive, self._processes)), _END_SECONDS)
        processes = [f"process {pid}" for pid in self._processes if machine.alive(pid)]
        shared = [f"/dev/shm/{name}" for name in sorted(self._shared) if os.path.exists(f"/dev/shm/{name}")]
        return processes + shared + [path.name for path in self.temp.iterdir() if path.name.startswith(_TEMP_PREFIX)]

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self.terminal, text.encode())

    def bury(self) -> None:
        """End by force the processes that it has left behind, and remove its shared memory: other trials come."""
        for pid in self._processes:
            if machine.alive(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for name in self._shared:
            if name.startswith(_TEMP_PREFIX):
                with contextlib.suppress(OSError):
                    os.unlink(f"/dev/shm/{name}")

    def close_terminal(self) -> None:
        """Close the window."""
        self._stop_reading("err")
        os.close(self.terminal)
        self.terminal = -1

    def deafen(self, stream: str) -> None:
        """Take away the reader of `stdout` or `stderr`."""
        self._stop_reading({"stdout": "out", "stderr": "err"}[stream])
        if stream == "stdout":
            os.close(self.printer)
            self.printer = -1
        else:
            os.close(self.reader)
            self.reader = -1

    def read_again(self) -> None:
        """Read its stderr again, after `fill`."""
        self._deaf.discard("err")
        self._read(self.reader, "err")

    def fill(self) -> None:
        """Write into its stderr until nothing more goes in; nobody reads it from now on."""
        self._stop_reading("err")
        mine = os.open(f"/proc/self/fd/{self._err}", os.O_WRONLY | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(mine, b"." * 512)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(mine, b".")
        os.close(mine)

    def end(self, patience: float = 15.0) -> int | None:
        """Press Ctrl-C and wait; returns the exit code, None if it cannot be known (an orphan's) or it did not end."""
        if self.alive():
            self.look()
            os.kill(self.pid, signal.SIGINT)
            if not machine.until(lambda: not self.alive(), patience):
                return self._kill(None)
        if not self._in_shell:
            return self._kill(self.process.wait())
        if self.terminal < 0:
            return self._kill(None)
        self.type("echo code=$?\n")
        ended = re.compile(r"code=(\d+)")
        machine.until(lambda: bool(ended.findall(self._plain())), 3.0)
        codes = ended.findall(self._plain())
        return self._kill(int(codes[-1]) if codes else None)

    def _plain(self) -> str:
        return _ESCAPES.sub("", self._text["err"].decode(errors="replace"))

    def _kill(self, code: int | None) -> int | None:
        """End what is still there, by force, and close the ends of pipes."""
        there = {one for one in [self._pid, *machine.descendants(self._pid)] if one and machine.alive(one)}
        for one in there:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self._err >= 0:
            os.close(self._err)
            self._err = -1
        time.sleep(_POLL)   # for the last lines
        for kind in self._readers:
            self._stop_reading(kind)
        for name in ("reader", "printer", "terminal"):
            if getattr(self, name) >= 0:
                os.close(getattr(self, name))
                setattr(self, name, -1)
        return code
