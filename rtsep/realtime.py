"""Real-time priority for the calling thread, where the system grants it."""

from __future__ import annotations

import os

AUDIO = 70   # of our own clock; a sound server chooses for its clients
HELPER = 1    # above everything ordinary, below any audio thread: JACK gives its clients as little as 5
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
