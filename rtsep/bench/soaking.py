"""The load of a soak: one `rtsep run` that is disturbed all the time, and what is read of it.

A thread in its control process hogs the GIL; OSC messages flood it; snapshots are recalled; plug-in processes are
killed. What is measured stands beside a callback that does nothing at the same time on the same machine.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import threading
import time

from rtsep import figures
from rtsep.bench import wakeups
from rtsep.bench.faults import machine
from rtsep.bench.loop import jack
from rtsep.control.osc.packet import encode
from rtsep.errors import DeviceError
from rtsep.meters import Meters

NAMES = tuple[str, ...]
FLOOD = 500             # OSC messages a second
RECALL_SECONDS = 20.0   # between two recalls of snapshots
CRASH_SECONDS = 60.0    # between two plug-in processes that are killed
_READY = 120.0          # seconds that a run may take to sound
_SOFT = 1.5             # seconds: the soft start is over
_HOST = "pedalboard_native"   # what processes with plug-ins have mapped, and no other
_PAGE = os.sysconf("SC_PAGE_SIZE")


def preset(block: int) -> str:
    """Return the preset: canceller, spectrum, and three plug-ins on every mic."""
    return (
        f'schema = 1\nname = "soak"\nlatency_class = "record"\n[host]\nblock = {block}\n[[chain]]\nstage = "input"\n'
        '[[chain]]\nstage = "canceller"\n[[chain]]\nstage = "spectral"\n[[chain]]\nstage = "strips"\ndelay = 512\n'
        'each = [{plugin = "HighpassFilter", name = "hp"}, {plugin = "PeakFilter", name = "eq"}, '
        '{plugin = "Compressor", name = "comp"}]\n'
    )


def show(place: pathlib.Path, mics: NAMES, block: int) -> None:
    """Make a show with two snapshots at a place."""
    from rtsep.show import cue, folder

    mine = place.with_suffix(".toml")
    mine.write_text(preset(block))
    made = folder.create(place, "soak", str(mine), mics)
    for number, gain in ((1, 0.0), (2, -3.0)):
        values = {"strips.eq.gain_db": gain, "output.gain_db": gain}
        snapshot = cue.Cue(number, f"s{number}", 1.0, values=values, file=f"0{number}-s{number}")
        cue.save(snapshot, made.folder / "snapshots")


class Run:
    """`rtsep run` between the ports of our JACK client.

    Parameters
    ----------
    place : Path
        Of the show.
    mics : int

    Raises
    ------
    DeviceError
        It does not begin to sound.
    """

    def __init__(self, place: pathlib.Path, mics: int) -> None:
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        words = ["run", "--show", str(place), "--host-api", "jack", "-i", jack.CLIENT, "-o", jack.CLIENT, "--osc",
                 str(self.port), "--no-view", "--json"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rtsep.bench.hogged", *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True)
        self.said: list[str] = []
        self._sounds = threading.Event()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        if not self._sounds.wait(_READY) or self.process.poll() is not None:
            self.close()
            raise DeviceError(f"the run does not start: {self.said[-1] if self.said else 'it says nothing'}")
        time.sleep(_SOFT)
        (name,) = (name for name in machine.mapped(self.process.pid) if name.endswith("-m"))
        self._meters = Meters(mics, name, create=False)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said = [*self.said[-99:], line.strip()]
            if "latency" in line:
                self._sounds.set()
        self._sounds.set()

    def figures(self) -> dict[str, float]:
        """Return all that it counts."""
        return figures.read(self._meters.get)

    def family(self) -> list[int]:
        """Return its process and all below."""
        return [self.process.pid, *machine.descendants(self.process.pid)]

    def memory_mb(self) -> float:
        """Return what all its processes hold of memory, what they share counted once for each."""
        pages = 0
        for pid in self.family():
            with contextlib.suppress(OSError, IndexError):
                pages += int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * _PAGE / 1e6

    def crash(self, rng: random.Random) -> bool:
        """Kill a process that has plug-ins; False if there is none just now."""
        found = []
        for pid in self.family():
            with contextlib.suppress(OSError):
                if _HOST in pathlib.Path(f"/proc/{pid}/maps").read_text():
                    found.append(pid)
        if not found:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(rng.choice(found), signal.SIGKILL)
        return True

    def close(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        self.process.kill()
        self.process.wait()
        self._reading.join(5)
        if self.process.stderr is not None:
            self.process.stderr.close()


class Disturbance:
    """Floods, recalls and kills, until the end of a `with`.

    Parameters
    ----------
    run : Run
    mics : tuple of str

    Attributes
    ----------
    sent, recalls, crashes : int
        What has been done so far.
    """

    def __init__(self, run: Run, mics: NAMES) -> None:
        self._run, self._mics = run, mics
        self.sent = self.recalls = self.crashes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._disturb, daemon=True)

    def _disturb(self) -> None:
        rng = random.Random(1)
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
            sock.connect(("127.0.0.1", self._run.port))
            recall, crash = (time.monotonic() + after for after in (RECALL_SECONDS, CRASH_SECONDS))
            while not self._stop.wait(10 / FLOOD):
                with contextlib.suppress(OSError):   # nobody listens just now
                    for _ in range(10):
                        mic = rng.choice(self._mics)
                        sock.send(encode(f"/p/output/gain_db/{mic}", rng.uniform(-1.0, 0.0)))
                        self.sent += 1
                    if time.monotonic() > recall:
                        recall += RECALL_SECONDS
                        sock.send(encode("/scene/go", 1 + self.recalls % 2))
                        self.recalls += 1
                if time.monotonic() > crash:
                    crash += CRASH_SECONDS
                    self.crashes += self._run.crash(rng)

    def __enter__(self) -> Disturbance:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


class Nothing:
    """A callback that does nothing, called in blocks of the same length, on a clock of its own.

    Parameters
    ----------
    period, seconds : float
        Of a block; how long.
    """

    def __init__(self, period: float, seconds: float) -> None:
        self._found: list[wakeups.Wakes] = []
        self._thread = threading.Thread(
            target=lambda: self._found.append(wakeups.measure(period, seconds)), daemon=True)
        self._thread.start()

    def wait(self) -> wakeups.Wakes:
        """Wait for its end, and return what it has lost."""
        self._thread.join()
        return self._found[0]
