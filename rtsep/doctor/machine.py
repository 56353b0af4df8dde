"""The machine: may threads run before all others, does the processor sleep or throttle, how late does it wake up."""

from __future__ import annotations

import os
import pathlib
import resource
import sys
import threading

import numpy as np

from rtsep import realtime
from rtsep.bench import wakeups
from rtsep.doctor.finding import BAD, GOOD, WARN, Finding

_GOVERNORS = "/sys/devices/system/cpu"
_MOST_LOST = 0.01   # share of blocks: one in a second of 64 frames is heard


def limits() -> list[Finding]:
    """Look at what the system lets our threads do."""
    granted: list[bool] = []
    thread = threading.Thread(target=lambda: granted.append(realtime.ask(realtime.AUDIO)))   # it ends with that
    thread.start()
    thread.join()
    found = [
        Finding("real time", GOOD, f"threads may run with priority {realtime.AUDIO}") if granted[0]
        else Finding("real time", WARN, "threads may not run before all others", realtime.HINT)
    ]
    memory = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if memory != resource.RLIM_INFINITY and os.geteuid() != 0:
        found.append(Finding(
            "locked memory", WARN, f"only {memory // 1024} kB may be kept from being swapped out",
            "put `@audio - memlock unlimited` into /etc/security/limits.d/audio.conf",
        ))
    return found


def processor(folder: str = _GOVERNORS) -> list[Finding]:
    """Look at who decides how fast the processor runs."""
    files = sorted(pathlib.Path(folder).glob("cpu[0-9]*/cpufreq/scaling_governor"))
    kinds = sorted({file.read_text().strip() for file in files})
    if not kinds:
        return [Finding("processor", GOOD, f"{os.cpu_count()} cores; their speed is not ours to see")]
    if kinds == ["performance"]:
        return [Finding("processor", GOOD, f"{os.cpu_count()} cores at full speed")]
    text = f"{os.cpu_count()} cores, governor {', '.join(kinds)}: they slow down when they have little to do"
    return [Finding("processor", WARN, text, "`cpupower frequency-set -g performance` before a show")]


def wake_up(period: float, seconds: float = 2.0) -> list[Finding]:
    """Measure how late a thread wakes up that sleeps for a block at a time, as an audio thread does.

    Parameters
    ----------
    period : float
        Of a block, seconds.
    seconds : float
        How long.
    """
    if sys.platform != "linux":
        return [Finding("wake-up", GOOD, "this system's are not measured")]
    wakes = wakeups.measure(period, seconds)
    p50, p99, most = (float(np.percentile(wakes.late_us, q)) for q in (50, 99, 100))
    text = f"p50 {p50:.0f}, p99 {p99:.0f}, at most {most:.0f} us late for blocks of {1e6 * period:.0f} us"
    if not wakes.lost:
        return [Finding("wake-up", GOOD, text)]
    advice = ("end other programs, use longer blocks (--blocksize), or a kernel with PREEMPT_RT; "
              "`rtsep bench xruns` says why")
    verdict = BAD if wakes.lost / wakes.blocks > _MOST_LOST else WARN
    return [Finding("wake-up", verdict, f"{text}; {wakes.lost} of {wakes.blocks} blocks lost", advice)]


def system() -> list[Finding]:
    """Say what the system is."""
    version = os.uname()
    preempt = next((f" {kind}" for kind in ("PREEMPT_RT", "PREEMPT") if kind in version.version), "")
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    return [Finding("system", GOOD, f"{version.sysname} {version.release}{preempt}, {python}")]
