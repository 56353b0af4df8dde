"""How late this machine wakes up a thread that does nothing, and what the kernel counted meanwhile."""

from __future__ import annotations

import ctypes
import pathlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtsep import realtime

_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)
_WINDOW = 0.25   # seconds between two looks at the kernel's counters: what is late lies within one of them
_STEAL = 7       # place in a line `cpu` of proc(5), /proc/stat


@dataclass(frozen=True)
class Window:
    """What the kernel counted in a quarter of a second.

    Parameters
    ----------
    first, last : int
        Wake-ups within it.
    seconds : float
    waited : float
        Seconds for which the thread was ready and had no core (/proc/…/schedstat).
    pushed_off : int
        Times that another thread took its core (nonvoluntary_ctxt_switches).
    stolen : float
        Seconds of all cores that the hypervisor gave to others.
    interrupts : mapping of str to int
        Of all cores, by their line of /proc/interrupts.
    """

    first: int
    last: int
    seconds: float
    waited: float
    pushed_off: int
    stolen: float
    interrupts: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Wakes:
    """What was measured.

    Parameters
    ----------
    period : float
        Seconds of a block.
    urgent : bool
        With real-time priority.
    late_us : float64[wake-ups]
    lost : int
        Blocks that were over before anybody woke up for them.
    windows : list of Window
    """

    period: float
    urgent: bool
    late_us: NDArray[np.float64]
    lost: int
    windows: list[Window] = field(default_factory=list)

    @property
    def blocks(self) -> int:
        """All blocks that there were."""
        return self.late_us.size + self.lost


def measure(period: float, seconds: float, urgent: bool = True, proc: str = "/proc") -> Wakes:
    """Let a thread sleep from block to block.

    Parameters
    ----------
    period : float
        Seconds of a block.
    seconds : float
        How long.
    urgent : bool
        Ask for real-time priority; whether it was granted is in the result.
    proc : str
        Where the kernel's counters are.
    """
    from rtsep_kernels import wakeups

    record = wakeups.WAKES.make(period=round(1e9 * period), wanted=max(1, round(seconds / period)))
    record.start()
    told: list[tuple[int, bool]] = []
    begun = threading.Event()

    def sleep() -> None:
        told.append((threading.get_native_id(), urgent and realtime.ask(realtime.AUDIO)))
        begun.set()
        _ENTRY(wakeups.wake_up.address)(record.address)

    thread = threading.Thread(target=sleep, name="wake-ups")
    thread.start()
    begun.wait()
    look = _Look(pathlib.Path(proc), told[0][0])
    windows, before, since = [], look.counters(), 0
    try:
        while thread.is_alive():
            thread.join(_WINDOW)
            now, done = look.counters(), int(record["done"])
            windows.append(_window(before, now, since, done))
            before, since = now, done
    finally:
        record["stop"] = 1
        thread.join()
    late: NDArray[np.int64] = record["late"][: record["done"]]
    return Wakes(period, told[0][1], late / 1000.0, int(record["lost"]), windows)


@dataclass(frozen=True)
class _Counters:
    at: float
    waited_ns: int
    pushed_off: int
    stolen: float
    interrupts: dict[str, int]


def _window(a: _Counters, b: _Counters, first: int, last: int) -> Window:
    interrupts = {name: count - a.interrupts.get(name, 0) for name, count in b.interrupts.items()}
    waited, pushed = max(0, b.waited_ns - a.waited_ns) / 1e9, max(0, b.pushed_off - a.pushed_off)
    return Window(first, last, b.at - a.at, waited, pushed, b.stolen - a.stolen,
                  {name: count for name, count in interrupts.items() if count})


class _Look:
    """Reads the kernel's counters of a thread and of the machine; what there is none of stays 0."""

    def __init__(self, proc: pathlib.Path, thread: int) -> None:
        self._proc, self._thread = proc, proc / "self" / "task" / str(thread)
        self._last = (0, 0)

    def counters(self) -> _Counters:
        schedstat, status = _read(self._thread / "schedstat").split(), _read(self._thread / "status")
        if len(schedstat) == 3:   # of a thread that has ended there is nothing: the last look holds
            pushed = next((int(line.split()[1]) for line in status.splitlines()
                           if line.startswith("nonvoluntary_ctxt_switches")), 0)
            self._last = (int(schedstat[1]), pushed)
        cpu = _read(self._proc / "stat").splitlines()[:1]
        fields = cpu[0].split()[1:] if cpu else []
        stolen = int(fields[_STEAL]) / 100 if len(fields) > _STEAL else 0.0   # USER_HZ is 100 for all programs
        return _Counters(time.monotonic(), *self._last, stolen, interrupts(_read(self._proc / "interrupts")))


def interrupts(text: str) -> dict[str, int]:
    """Return how often each interrupt came, on all cores, by number and name, from the text of /proc/interrupts."""
    lines = text.splitlines()
    cores = len(lines[0].split()) if lines else 0
    found = {}
    for line in lines[1:]:
        name, _, rest = line.strip().partition(":")
        words = rest.split()
        counts = [int(word) for word in words[:cores] if word.isdecimal()]
        found[" ".join([name, *words[len(counts) :]])] = sum(counts)
    return found


def _read(path: pathlib.Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
