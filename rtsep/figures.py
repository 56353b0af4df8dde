"""Figures: everything that a run is measured by, in one table.

A counter is counted in one place and named here; what the processes share (`Meters`), the summary, its JSON, the
terminal's picture and the adding up over restarts follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

SUM, LAST, MAX, MEAN = "sum", "last", "max", "mean"
_KNOWN_LATENCY = 10.0   # seconds; what a device says beyond is nonsense


@dataclass(frozen=True)
class Figure:
    """One figure of a run.

    Parameters
    ----------
    name : str
        In meters and in JSON, where `a.b` is b in a.
    unit : str
        `s`, `us`, a share as empty text, or what is counted.
    lives : str
        Over the audio processes of one run: `sum`, `last`, `max`, or `mean`, for which a second counts as a second.
    places : tuple of str
        Where people read it by its label: `view`, `summary`. JSON has all.
    label : str
        Its name in words.
    counter : str
        In `Engine.status()`, where it counts; empty: the host measures it.
    """

    name: str
    unit: str
    lives: str = SUM
    places: tuple[str, ...] = ()
    label: str = ""
    counter: str = ""

    @property
    def counted(self) -> bool:
        """Whether it is a whole number."""
        return self.unit not in ("s", "us", "")


_BOTH = ("view", "summary")

FIGURES = (
    Figure("calls", "blocks"),
    Figure("seconds", "s"),
    Figure("xruns", "blocks", SUM, _BOTH, "xruns"),
    Figure("late_blocks", "blocks", SUM, _BOTH, "late blocks"),
    Figure("late_updates", "updates", SUM, _BOTH, "late updates", "late_updates"),
    Figure("late_strips", "units", SUM, ("summary",), "late plug-ins", "late_strips"),
    Figure("bad_results", "units", SUM, (), "bad results", "bad_results"),
    Figure("worker_restarts", "times", SUM, ("summary",), "workers restarted", "worker_restarts"),
    Figure("skipped", "updates", SUM, ("summary",), "skipped", "skipped_updates"),
    Figure("unstable", "samples", SUM, ("summary",), "unstable", "unstable_samples"),
    Figure("faults", "segments", SUM, (), "faults", "faults"),
    Figure("bad_inputs", "samples", SUM, ("summary",), "bad inputs"),
    Figure("shut_out", "times", SUM, ("summary",), "mics shut out", "shut_out"),
    Figure("flipped", "times", SUM, ("summary",), "polarities flipped", "flipped"),
    Figure("limited", "times", SUM, ("summary",), "limited", "limited"),
    Figure("bus_limited", "times", SUM, ("summary",), "mixes limited"),
    Figure("ear_limited", "times"),
    Figure("lost_frames", "frames", SUM, ("summary",), "lost frames"),
    Figure("shed", "steps", SUM, _BOTH, "shed"),
    Figure("shed_seconds", "s"),
    Figure("block_us.p50", "us", MAX),
    Figure("block_us.p99", "us", MAX),
    Figure("block_us.p999", "us", MAX),
    Figure("block_us.max", "us", MAX),
    Figure("load", "", MEAN),
    Figure("block", "frames", LAST),
)


def gather(measured: Mapping[str, float], counters: Mapping[str, int]) -> dict[str, float]:
    """Return every figure by name: what a host has measured, and what the engine has counted (0: not in this chain)."""
    return {f.name: counters.get(f.counter, 0) if f.counter else measured[f.name] for f in FIGURES}


def read(get: Callable[[str], float]) -> dict[str, float]:
    """Return every figure by name, from where it is shared; counts as whole numbers."""
    return {f.name: int(get(f.name)) if f.counted else get(f.name) for f in FIGURES}


def add(total: Mapping[str, float], life: Mapping[str, float]) -> dict[str, float]:
    """Add the figures of one more audio process to those of a run; of the first, to none."""
    if not total:
        return dict(life)
    old = total["seconds"] / max(1e-9, total["seconds"] + life["seconds"])   # share of the lives before
    rules: dict[str, Callable[[float, float], float]] = {
        SUM: lambda before, now: before + now, LAST: lambda _, now: now, MAX: max,
        MEAN: lambda before, now: old * before + (1 - old) * now,
    }
    return {f.name: rules[f.lives](total[f.name], life[f.name]) for f in FIGURES}


def nested(values: Mapping[str, float]) -> dict[str, Any]:
    """Return figures as JSON has them: `a.b` is b in a."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        group, _, inner = name.partition(".")
        if inner:
            found.setdefault(group, {})[inner] = value
        else:
            found[name] = value
    return found


def known_latency(seconds: float) -> float | None:
    """Return a device's latency, or None: some, like JACK's dummy driver between two clients, report nonsense."""
    return seconds if 0 <= seconds < _KNOWN_LATENCY else None


def milliseconds(seconds: float) -> str:
    """Say a device's latency, if it is one."""
    known = known_latency(seconds)
    return "(its latency is not known)" if known is None else f"{1000 * known:.1f} ms"


def told(get: Callable[[str], float], place: str, between: str) -> str:
    """Say in words what is shown at a place."""
    return between.join(f"{f.label} {get(f.name):.0f}" for f in FIGURES if place in f.places)
