"""What has become worse since: a run against earlier ones of the same bench, with the same options, on this machine.

A reading is worse if it has moved the wrong way by more than both noise bands together. Of a commit all runs count:
the value is the median over them, and where there are several, their own spread may widen the band, as what varies from
run to run does not show within one.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rtsep.bench.history.place import commit
from rtsep.bench.history.reading import EQUAL, LESS, Reading, band
from rtsep.bench.history.store import History, Run
from rtsep.errors import InputError

WORSE, BETTER, SAME, UNKNOWN = "worse", "better", "same", "unknown"
"""Beyond the noise, within it, or there is no band to say so."""

_FLOATS = 1e-9   # of a value: what summing in another order makes


@dataclass(frozen=True)
class Change:
    """A reading, before and now.

    Parameters
    ----------
    bench, name, unit : str
    before, now : float
    noise : float or None
        Both bands together.
    verdict : str
        `WORSE`, `BETTER`, `SAME` or `UNKNOWN`.
    """

    bench: str
    name: str
    unit: str
    before: float
    now: float
    noise: float | None
    verdict: str


def compare(history: History, reference: str, bench: str = "") -> list[Change]:
    """Compare the newest run of each bench and options with those of a reference.

    Parameters
    ----------
    history : History
    reference : str
        Number of a run, the beginning of a commit's name, what git calls a commit, or a version of rtsep.
    bench : str
        Only this one; empty: all.

    Raises
    ------
    InputError
        If there is no such run, or nothing to be compared with it.
    """
    runs = [run for run in history.runs(bench) if run.seconds is not None]
    before = chosen(runs, reference)
    single = reference.isdecimal() and len(before) == 1 and before[0].number == int(reference)
    changes = []
    for group in _groups(before):
        first = group[-1]
        later = [run for run in runs if run.number not in {one.number for one in before} and _alike(run, first)]
        if not later or later[-1].number < first.number:
            continue
        now = [run for run in later if not single and run.commit == later[-1].commit] or [later[-1]]
        changes += _changes(history, group, now)
    if not changes:
        raise InputError("--compare", f"nothing was measured after {reference} with the same options on this machine")
    return changes


def chosen(runs: Sequence[Run], reference: str) -> list[Run]:
    """Return the runs that a reference means.

    Raises
    ------
    InputError
        If it means none.
    """
    number = [run for run in runs if str(run.number) == reference]
    named = [run for run in runs if len(reference) >= 4 and run.commit.startswith(reference)]
    version = [run for run in runs if run.versions.get("rtsep") == reference]
    found = number or named or version
    if not found and (name := commit(reference)):
        found = [run for run in runs if run.commit == name]
    if not found:
        raise InputError("--compare", f"no finished run is called {reference!r}",
                         "allowed is a number of `rtsep bench history`, a commit or a version that was measured")
    return found


def _groups(runs: Sequence[Run]) -> list[list[Run]]:
    groups: list[list[Run]] = []
    for run in runs:
        for group in groups:
            if _alike(run, group[0]):
                group.append(run)
                break
        else:
            groups.append([run])
    return groups


def _alike(a: Run, b: Run) -> bool:
    return (a.bench, a.options, a.machine["key"]) == (b.bench, b.options, b.machine["key"])


def _changes(history: History, before: Sequence[Run], now: Sequence[Run]) -> list[Change]:
    old, new = _pooled(history, before), _pooled(history, now)
    return [_change(now[0].bench, old[name], new[name]) for name in new if name in old]


def _pooled(history: History, runs: Sequence[Run]) -> dict[str, Reading]:
    """Return one reading for each name, over several runs."""
    found: dict[str, list[Reading]] = {}
    for run in runs:
        for reading in history.readings(run.number):
            found.setdefault(reading.name, []).append(reading)
    pooled = {}
    for name, many in found.items():
        values, bands = [one.value for one in many], [one.noise for one in many if one.noise is not None]
        between = band(values)
        widest = [*bands, between] if between is not None else bands
        pooled[name] = Reading(name, statistics.median(values), many[-1].unit, many[-1].better,
                               max(widest) if widest else None)
    return pooled


def _change(bench: str, old: Reading, new: Reading) -> Change:
    noise = None if old.noise is None or new.noise is None else old.noise + new.noise
    moved = new.value - old.value
    if noise is None or moved != moved:
        verdict = UNKNOWN
    elif abs(moved) <= noise + _FLOATS * abs(old.value):
        verdict = SAME
    elif new.better == EQUAL or (moved > 0) == (new.better == LESS):
        verdict = WORSE
    else:
        verdict = BETTER
    return Change(bench, new.name, new.unit, old.value, new.value, noise, verdict)
