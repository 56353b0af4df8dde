"""An evening: all faults of a show in shuffled order, each judged by itself, and a row for each kind."""

from __future__ import annotations

import contextlib
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from rtsep.bench.faults import judging, machine
from rtsep.bench.faults.injections import INJECTIONS, Injection
from rtsep.bench.faults.judging import Window
from rtsep.bench.faults.show import MICS, Show
from rtsep.bench.faults.verdicts import CEILING_DB
from rtsep.errors import DeviceError

BETWEEN = "(nothing)"
_ROUNDING_DB = 0.001       # the ceiling is a float32
_BACK_PATIENCE = 20.0      # seconds
_WORD_PATIENCE = 2.0       # seconds after the sound in which it must be said or counted
_ALL = tuple(range(len(MICS)))


@dataclass(frozen=True)
class Found:
    """What came of one injection.

    Parameters
    ----------
    fault : str
    at : float
        Seconds from the beginning of the show.
    window : Window
    back : float
        Seconds from the fault, or from when the device was right again, until the sound was as before.
    recovered : bool
    counted : bool or None
        None: there is nothing to count.
    how : str
        The line, or the figure that has risen.
    wrong : list of str
    """

    fault: str
    at: float
    window: Window
    back: float
    recovered: bool
    counted: bool | None
    how: str
    wrong: list[str] = field(default_factory=list)


def plan(times: int, seed: int, words: Sequence[str] = ()) -> list[Injection]:
    """Return what comes when: each so many times, in an order of a seed.

    Parameters
    ----------
    times : int
        Those that are injected `every` so many times at least once.
    seed : int
    words : sequence of str
        Only faults whose names contain one of them; all without words.
    """
    wanted = [i for i in INJECTIONS if not words or any(word.casefold() in i.name.casefold() for word in words)]
    found = [injection for injection in wanted for _ in range(max(1, times // injection.every))]
    random.Random(seed).shuffle(found)
    return found


def perform(show: Show, order: Sequence[Injection], seconds: float, tell: Callable[[Found], None]) -> list[Found]:
    """Inject one after the other; they are as far apart as it takes to fill the time, or farther.

    Parameters
    ----------
    show : Show
        It sounds.
    order : sequence of Injection
    seconds : float
    tell : callable
        Told of each.
    """
    found: list[Found] = []
    with contextlib.suppress(KeyboardInterrupt):   # what was found until then counts
        _one_after_the_other(show, order, seconds, tell, found)
    return found


def _one_after_the_other(
    show: Show, order: Sequence[Injection], seconds: float, tell: Callable[[Found], None], found: list[Found]
) -> None:
    begun = judged = time.monotonic()
    for number, injection in enumerate(order):
        while time.monotonic() < begun + number * seconds / len(order) or not show.program.alive():
            if not show.program.alive():
                return
            time.sleep(0.02)
        calm = show.calm(injection.heavy)
        one = inject(show, injection, begun)
        if not calm:
            one.wrong.append("not calm before it")
        # Until then nothing was done to it; what the last one has left is heard here.
        quiet = judging.judge(show.heard(), judged, show.struck, None, _ALL)
        found += [Found(BETWEEN, judged - begun, quiet, 0.0, True, None, ""), one]
        judged = time.monotonic()
        show.forget(judged - 2.0)
        tell(one)


def inject(show: Show, injection: Injection, begun: float) -> Found:
    """Inject one fault and say what was heard of it."""
    before = show.counters()
    show.returned, show.wrong = None, []
    show.since = show.struck = struck = time.monotonic()
    try:
        injection.act(show)
    except (DeviceError, OSError) as error:   # what it is done to is not there: the next one may find it again
        show.wrong.append(f"not injected: {error}")
    acted = time.monotonic()
    recovered = machine.until(lambda: show.well(injection.ears, acted), _BACK_PATIENCE, 0.05)
    how = ""

    def told() -> bool:
        nonlocal how
        how = evidence(injection, show.program.said(struck), before, show.counters())
        return bool(how)

    needed = bool(injection.says or injection.counts)
    if needed:
        machine.until(told, 0.1 if injection.spared else _WORD_PATIENCE, 0.1)
    until = time.monotonic()
    window = judging.judge(show.heard(), struck, until, show.normal, injection.ears)
    heard = max(window.silence, window.repeat, window.off) > judging.NOTICED
    counted = bool(how) if needed and (heard or how or not injection.spared) else None
    reference = struck if show.returned is None else show.returned
    back = max(0.0, (window.last or reference) - reference)
    return Found(injection.name, struck - begun, window, back, recovered, counted, how, show.wrong)


def evidence(injection: Injection, said: Sequence[str], before: dict[str, float], after: dict[str, float]) -> str:
    """Return by what a fault was told: a line, or a figure that has risen; nothing if by none.

    Parameters
    ----------
    injection : Injection
    said : sequence of str
        Since the fault.
    before, after : dict of str to float
        `Show.counters`; one that is less than before was begun anew.
    """
    if injection.says:
        for text in said:
            if re.search(injection.says, text):
                return text
    for name in injection.counts:
        rise = after[name] - before[name] if after[name] >= before[name] else after[name]
        if rise > (10 if name == "osc" else 0):   # a few are our own questions
            return f"{name} +{rise:g}"
    return ""


def beyond(found: Found) -> list[str]:
    """Return what must never be, in words."""
    wrong = list(found.wrong)
    if found.window.peak_db > CEILING_DB + _ROUNDING_DB:
        wrong.append(f"peak {found.window.peak_db:+.2f} dBFS")
    if found.window.not_finite:
        wrong.append("not finite")
    if not found.recovered:
        wrong.append("not back")
    if found.counted is False:
        wrong.append("not counted")
    return wrong


def rows(found: Sequence[Found]) -> list[dict[str, Any]]:
    """Return one row for each kind of fault, and one for when there was none: ms as median and maximum."""
    table = []
    for name in dict.fromkeys([*(injection.name for injection in INJECTIONS), BETWEEN]):
        some = [one for one in found if one.fault == name]
        if not some:
            continue
        row: dict[str, Any] = {"fault": name, "n": len(some)}
        for figure in ("silence", "repeat", "off", "deaf"):
            ms = [1000 * getattr(one.window, figure) for one in some]
            row[f"{figure}_ms"] = {"median": round(median(ms), 1), "max": round(max(ms), 1)}
        backs = [one.back for one in some]
        needed = [one for one in some if one.counted is not None]
        row |= {
            "back_s": {"median": round(median(backs), 2), "max": round(max(backs), 2)},
            "peak_db": round(max(one.window.peak_db for one in some), 2),
            "not_finite": sum(one.window.not_finite for one in some),
            "recovered": sum(one.recovered for one in some),
            "counted": sum(bool(one.counted) for one in needed), "to_count": len(needed),
            "how": next((one.how for one in some if one.how), ""),
            "wrong": sorted({text for one in some for text in beyond(one)}),
            "each": [asdict(one) for one in some],
        }
        table.append(row)
    return table


HEAD = (
    f"{'fault':<29} {'n':>3} {'silence ms':>13} {'repeat':>6} {'dry/fade ms':>13} {'deaf':>6} {'back s':>13} "
    f"{'peak dB':>7} {'NaN':>3} {'back':>6} {'counted':>7}  told by; what is wrong"
)


def line(row: dict[str, Any]) -> str:
    """Return one line of the table under `HEAD`: median / maximum."""
    silence, off = (f"{row[name]['median']:.0f} / {row[name]['max']:.0f}" for name in ("silence_ms", "off_ms"))
    back = f"{row['back_s']['median']:.2f} / {row['back_s']['max']:.2f}"
    counted = f"{row['counted']}/{row['to_count']}" if row["to_count"] else "-"
    wrong = f"  WRONG: {'; '.join(row['wrong'])}" if row["wrong"] else ""
    return (
        f"{row['fault']:<29} {row['n']:>3} {silence:>13} {row['repeat_ms']['max']:>6.0f} {off:>13} "
        f"{row['deaf_ms']['max']:>6.0f} {back:>13} {row['peak_db']:>7.2f} {row['not_finite']:>3} "
        f"{row['recovered']:>3}/{row['n']:<3}{counted:>7}  {row['how'][:60]}{wrong}"
    )
