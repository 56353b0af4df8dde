"""What this machine loses by itself: how late a callback that does nothing is called, why, and what can be done.

Causes are told apart as far as the kernel counts: a thread that is ready and has no core waits behind others; what the
hypervisor takes is stolen; what is left is the timer, a core that slept deeply, or code that keeps interrupts out.
Interrupts that come far more often while blocks are late are named.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtsep.bench.history import LESS, Reading, fifths, measured
from rtsep.bench.wakeups import Wakes, Window
from rtsep.doctor import machine
from rtsep.doctor.finding import WARN, Finding
from rtsep.metrics.punctuality import percentiles

EDGES_US = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000)
_LATE = 0.5        # of a block: from then on what is done in it may not be done in time
_OFTEN = 3.0       # times as many interrupts a second while blocks are late
_FEW = 20.0        # a second: fewer do not keep anybody from anything
_SHARE = 0.3       # of the lateness: what is less is not the cause
_DEEP_US = 50.0    # that a core may need to wake up from a state before it is worth a word
_CPUIDLE = "/sys/devices/system/cpu/cpu0/cpuidle"


@dataclass(frozen=True)
class Cause:
    """Why blocks were late.

    Parameters
    ----------
    name : str
    seconds : float
        Of all the lateness.
    text : str
    advice : str
    """

    name: str
    seconds: float
    text: str
    advice: str


def causes(wakes: Wakes, virtual: bool) -> list[Cause]:
    """Return what made wake-ups late that were late by half a block or more, the largest first.

    Parameters
    ----------
    wakes : Wakes
    virtual : bool
        The machine is a guest of another one.
    """
    late = wakes.late_us > 1e6 * _LATE * wakes.period
    total = float(wakes.late_us[late].sum()) / 1e6
    if not total:
        return []
    inside = [w for w in wakes.windows if late[w.first : w.last].any()]
    waited = min(total, sum(w.waited for w in inside))
    pushed, stolen = sum(w.pushed_off for w in inside), sum(w.stolen for w in inside)
    left = max(0.0, total - waited)
    found = [
        Cause("behind other threads", waited,
              f"ready without a core for {1000 * waited:.1f} ms, pushed off {pushed} times",
              "end other programs; `taskset` them away from the audio's core, or boot with isolcpus=; where it ran "
              "without real-time priority, grant that"),
    ]
    if virtual:
        found.append(Cause(
            "hypervisor or timer", left,
            f"a virtual machine: its host took {1000 * stolen:.0f} ms of all cores meanwhile",
            "give the guest cores of its own (pinning), or play on real hardware: nothing in the guest helps"))
    else:
        found.append(Cause(
            "timer, idle states, interrupts held off", left, "nobody else ran, and it was not woken in time",
            "a kernel with PREEMPT_RT; keep cores from deep sleep (`cpupower idle-set -D 10`), SMI off in the BIOS"))
    found += _interrupts(inside, [w for w in wakes.windows if not late[w.first : w.last].any()])
    return sorted((one for one in found if one.seconds > _SHARE * total or one.name.startswith("interrupt")),
                  key=lambda one: -one.seconds)


def _interrupts(late: Sequence[Window], calm: Sequence[Window]) -> list[Cause]:
    """Return interrupts that come far more often while blocks are late."""
    if not late or not calm:
        return []
    busy, idle = sum(w.seconds for w in late), sum(w.seconds for w in calm)
    found = []
    for name in sorted({name for w in late for name in w.interrupts}):
        then = sum(w.interrupts.get(name, 0) for w in late) / busy
        else_ = sum(w.interrupts.get(name, 0) for w in calm) / idle
        number = name.split()[0]
        if number.isdecimal() and then > max(_FEW, _OFTEN * else_):   # those with names are the kernel's own
            found.append(Cause(
                f"interrupt {name}", 0.0, f"{then:.0f} a second while blocks were late, {else_:.0f} else",
                f"keep it off the audio's core: `echo MASK > /proc/irq/{number}/smp_affinity`, or unplug its device"))
    return found


def findings(cpuidle: str = _CPUIDLE) -> list[Finding]:
    """Return what of this machine can be set otherwise: as `rtsep doctor` has it, and its idle states."""
    found = [*machine.limits(), *machine.processor()]
    slow = []
    for state in sorted(pathlib.Path(cpuidle).glob("state[0-9]*")):
        try:
            name, us = (state / "name").read_text().strip(), float((state / "latency").read_text())
            off = (state / "disable").read_text().strip() == "1"
        except (OSError, ValueError):
            continue
        if us > _DEEP_US and not off:
            slow.append(f"{name} ({us:.0f} us)")
    if slow:
        found.append(Finding("idle states", WARN, f"cores may sleep as deeply as {slow[-1]}",
                             "`cpupower idle-set -D 50` before a show, or boot with processor.max_cstate=1"))
    return found


def histogram(wakes: Wakes) -> list[int]:
    """Return how many wake-ups were late by up to each of `EDGES_US`, and by more than the last."""
    return [int(count) for count in np.histogram(wakes.late_us, [-np.inf, *EDGES_US, np.inf])[0]]


def report(runs: Sequence[Wakes], virtual: bool) -> dict[str, Any]:
    """Return everything, for JSON."""
    return {
        "edges_us": list(EDGES_US),
        "runs": [
            {"urgent": run.urgent, "period_us": 1e6 * run.period, "blocks": run.blocks, "lost": run.lost,
             "late_us": percentiles(run.late_us), "histogram": histogram(run),
             "causes": [dataclasses.asdict(cause) for cause in causes(run, virtual)]}
            for run in runs
        ],
    }


def readings(runs: Sequence[Wakes]) -> list[Reading]:
    """Return what the history keeps: percentiles of fifths of the time, and the share of blocks that were lost."""
    made = []
    for run in runs:
        kind = "urgent" if run.urgent else "ordinary"
        made += [measured(f"{kind}.p{q}", "us", LESS, fifths(run.late_us, q)) for q in (50, 99)]
        made.append(Reading(f"{kind}.lost", 100 * run.lost / run.blocks, "%", LESS))
    return made


def lines(run: Wakes, virtual: bool) -> list[str]:
    """Return what is said of one run: figures, a histogram, and why."""
    p = percentiles(run.late_us)
    kind = "with real-time priority" if run.urgent else "without real-time priority"
    told = [
        f"{kind}, blocks of {1e6 * run.period:.0f} us: p50 {p['p50']:.0f}, p99 {p['p99']:.0f}, p99.9 {p['p999']:.0f}, "
        f"at most {p['max']:.0f} us late; {run.lost} of {run.blocks} blocks lost"
    ]
    counts = histogram(run)
    last = max((n for n, count in enumerate(counts) if count), default=0)
    widest = max(counts)
    first = next((n for n, count in enumerate(counts) if count), 0)
    for n, count in list(enumerate(counts))[first : last + 1]:
        label = f"≤ {EDGES_US[n]}" if n < len(EDGES_US) else f"> {EDGES_US[-1]}"
        bar = "█" * round(40 * np.log1p(count) / np.log1p(widest))   # of logarithms: the rare ones matter
        told.append(f"  {label:>9} us {count:8d} {bar}".rstrip())
    for cause in causes(run, virtual):
        told += [f"  late by half a block or more: {cause.name}: {cause.text}", f"     → {cause.advice}"]
    return told
