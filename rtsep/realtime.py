"""Real-time priority for threads, where the system grants it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys

AUDIO = 70    # of our own clock; a sound server chooses for its clients
DEVICE = 60   # of PortAudio's threads, where it does not ask itself: below our clock, above what JACK gives its clients
HELPER = 1    # above everything ordinary, below any audio thread: JACK gives its clients as little as 5
WATCH = 2     # who sheds load must not wait for the helpers that are part of it
HINT = (
    "real-time priority was refused: put `@audio - rtprio 95` into /etc/security/limits.d/audio.conf, "
    "join the group audio, and log in again"
)


def ask(priority: int) -> bool:
    """Ask for SCHED_FIFO at `priority` for this thread; False when the system refuses or knows no such thing."""
    if not hasattr(os, "sched_setscheduler"):
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError:
        return False
    return True


def watch() -> None:
    """Put this thread above the helpers, where the system grants it; threads that it starts are ordinary."""
    if hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(WATCH))


def threads() -> set[int]:
    """Return the ids of this process's threads, where the system tells."""
    with contextlib.suppress(OSError):
        return {int(name) for name in os.listdir("/proc/self/task")}
    return set()


def ensure(api: str, fresh: set[int]) -> str:
    """See that a thread runs before all others; returns what the user can do where none may, else nothing.

    Parameters
    ----------
    api : str
        Host API of the device.
    fresh : set of int
        Threads that opening it has made.
    """
    if sys.platform != "linux":
        return ""
    if granted():
        return ""
    if api.startswith("JACK"):
        return "JACK runs without real-time priority: start it as `jackd -R …`, or enable it in PipeWire"
    gave = False
    for thread in fresh:   # PortAudio's ALSA threads do not ask for it themselves
        with contextlib.suppress(OSError):
            os.sched_setscheduler(thread, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(DEVICE))
            gave = True
    if gave:
        return ""
    return HINT


def granted() -> bool:
    """Tell whether a thread of this process runs before all others; True where the system does not tell."""
    return sys.platform != "linux" or any(_is_urgent(thread) for thread in threads())


def _is_urgent(thread: int) -> bool:
    try:
        fields = pathlib.Path(f"/proc/self/task/{thread}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    # Fields 40 and 41 of proc(5). Helpers, and who watches, have real-time priority too, the lowest: they do not count.
    return int(fields[38]) & 0xFF in (os.SCHED_FIFO, os.SCHED_RR) and int(fields[37]) > WATCH
