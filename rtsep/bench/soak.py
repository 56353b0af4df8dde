"""Does it hold for hours: a run under load, leg by leg, beside a callback that does nothing.

A leg is a minute. In each the loop's delay is measured all the time, late blocks are counted, of the run and of the
callback that does nothing, and memory is looked at. Each leg is in the history and in a file of JSON lines as soon as
it is over, so that a soak that is killed goes on where it was.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from rtsep.bench import live_loops, soaking
from rtsep.bench.history import LESS, MORE, History, Reading
from rtsep.bench.loop import carriers, jack, probes, response
from rtsep.errors import InputError
from rtsep.names import numbered

BENCH = "soak"
RATE = 48000
LEG_SECONDS = 60.0
MOST_LATE = 0.001      # share of blocks beyond what the callback that does nothing loses
MOST_SLOPE = 1.0       # MB an hour
MOST_GROWTH = 1.0      # samples
_WARM = 2              # legs of a life in which memory may still grow: what is used for the first time
_FILL = 3              # periods before the delay is looked at
_LOOKS = 3             # at memory, of which the median counts: workers come and go


@dataclass(frozen=True)
class Ask:
    """What is asked for.

    Parameters
    ----------
    minutes : float
    mics, block : int
    """

    minutes: float = 60.0
    mics: int = 16
    block: int = 64


@dataclass(frozen=True)
class Leg:
    """A minute.

    Parameters
    ----------
    number, life : int
        From 0; how often the soak had been begun or resumed before.
    at : float
        Seconds since the life began.
    blocks, late, xruns : int
        Of the run.
    nothing_blocks, nothing_lost : int
        Of the callback that does nothing.
    late_strips, late_updates, restarts : int
        What else the run has counted.
    memory_mb : float
    delay, worst : float
        Median of the loop's delay, samples, and the largest distance of a period from it.
    load, p99_us : float
        Of the run's callback.
    sent, recalls, crashes : int
        What was done to it in this leg.
    """

    number: int
    life: int
    at: float
    blocks: int
    late: int
    xruns: int
    nothing_blocks: int
    nothing_lost: int
    late_strips: int
    late_updates: int
    restarts: int
    memory_mb: float
    delay: float
    worst: float
    load: float
    p99_us: float
    sent: int
    recalls: int
    crashes: int


def check(ask: Ask) -> None:
    """Refuse what cannot be done.

    Raises
    ------
    InputError
    """
    if not 0 < ask.minutes <= 10000:
        raise InputError("--minutes", f"{ask.minutes:g}", "allowed is more than 0, and 10000 at most")
    if not 1 <= ask.mics <= 64:
        raise InputError("--mics", str(ask.mics), "allowed is 1 to 64")
    if ask.block < 16 or ask.block > 512 or ask.block & (ask.block - 1):
        raise InputError("--blocksize", str(ask.block), "allowed are powers of 2 from 16 to 512")


def soak(
    ask: Ask, resume: bool = False, output: str | None = None, told: Callable[[Leg], None] | None = None
) -> tuple[list[Leg], int]:
    """Soak; returns all legs and the number of the run in the history.

    Parameters
    ----------
    ask : Ask
    resume : bool
        Go on with one with the same options that was killed.
    output : str, optional
        File to which each leg is added as a line of JSON.
    told : callable, optional
        Told each leg.
    """
    with History() as history, tempfile.TemporaryDirectory(prefix="rtsep-soak-") as folder:
        recorder = history.begin(BENCH, dataclasses.asdict(ask), resume)
        legs = [Leg(**leg) for key, leg in recorder.notes().items() if key.startswith("leg.")]
        life = 1 + max((leg.life for leg in legs), default=-1)
        many = math.ceil(60 * ask.minutes / LEG_SECONDS)
        seconds = min(LEG_SECONDS, 60 * ask.minutes)
        names = numbered(ask.mics)
        place = pathlib.Path(folder) / "show"
        soaking.show(place, names, ask.block)
        with live_loops.server(ask.block, RATE), jack.opened(ask.mics) as client:
            run = soaking.Run(place, ask.mics)
            try:
                with soaking.Disturbance(run, names) as disturbance:
                    began = time.monotonic()
                    while len(legs) < many:
                        leg = _leg(client, run, disturbance, ask, seconds, len(legs), life, began)
                        legs.append(leg)
                        recorder.note(f"leg.{leg.number}", dataclasses.asdict(leg))
                        _append(output, leg)
                        if told is not None:
                            told(leg)
            finally:
                run.close()
        recorder.add(readings(legs))
        recorder.finish()
        return legs, recorder.number


def _leg(
    client: jack.LoopClient, run: soaking.Run, disturbance: soaking.Disturbance, ask: Ask, seconds: float, number: int,
    life: int, began: float,
) -> Leg:
    own = probes.probes(probes.MLS, ask.mics, RATE)
    frames = own.shape[1]
    before, done = run.figures(), (disturbance.sent, disturbance.recalls, disturbance.crashes)
    nothing = soaking.Nothing(ask.block / RATE, seconds)
    heard = client.carry(carriers.bled(own), _FILL + max(2, round(seconds * RATE / frames)), 1)
    after, wakes = run.figures(), nothing.wait()
    memory = []
    for _ in range(_LOOKS):
        memory.append(run.memory_mb())
        time.sleep(0.2)
    found = [response.respond(own[0], period) for period in carriers.pieces(heard[0], frames, _FILL)]
    sure = response.around([one.delay for one in found if one.crest >= response.SURE] or [math.nan], frames)
    delay = statistics.median(sure)

    def counted(name: str) -> int:   # of another life of the audio process all begins at 0
        return int(after[name] - before[name] if after[name] >= before[name] else after[name])

    return Leg(
        number, life, time.monotonic() - began, counted("calls"), counted("late_blocks"), counted("xruns"),
        wakes.blocks, wakes.lost, counted("late_strips"), counted("late_updates"), counted("worker_restarts"),
        statistics.median(memory), delay, max(abs(one - delay) for one in sure), after["load"], after["block_us.p99"],
        disturbance.sent - done[0], disturbance.recalls - done[1], disturbance.crashes - done[2],
    )


def _append(output: str | None, leg: Leg) -> None:
    if output is not None:
        with open(output, "a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(leg)) + "\n")
            file.flush()
            os.fsync(file.fileno())


def slope(legs: Sequence[Leg]) -> tuple[float, float]:
    """Return by how much memory grows, MB an hour, and half of its 95 % interval; nan where there is too little.

    Each life has a line of its own, all with the same slope: what is loaded may differ from one to the next.
    """
    times, memory = [], []
    for life in {leg.life for leg in legs}:
        own = [leg for leg in legs if leg.life == life][_WARM:]
        times += [(leg.at - statistics.fmean(one.at for one in own)) / 3600 for leg in own]
        memory += [leg.memory_mb - statistics.fmean(one.memory_mb for one in own) for leg in own]
    left = len(times) - len({leg.life for leg in legs}) - 1
    spread = float(np.sum(np.square(times)))
    if left < 1 or not spread:
        return math.nan, math.nan
    found = float(np.dot(times, memory)) / spread
    rest = np.asarray(memory) - found * np.asarray(times)
    error = math.sqrt(float(np.sum(rest**2)) / left / spread)
    return found, float(stats.t.ppf(0.975, left)) * error


def summary(legs: Sequence[Leg]) -> dict[str, Any]:
    """Return what all legs come to, and what of it is `wrong`."""
    blocks, nothing = sum(leg.blocks for leg in legs), sum(leg.nothing_blocks for leg in legs)
    late, lost = sum(leg.late for leg in legs), sum(leg.nothing_lost for leg in legs)
    grows, half = slope(legs)
    growth = max(leg.delay for leg in legs) - min(leg.delay for leg in legs)
    wrong = []
    if not blocks or late / blocks > lost / max(1, nothing) + MOST_LATE:
        wrong.append("more late blocks than the machine loses by itself")
    if grows - (half if math.isfinite(half) else 0.0) > MOST_SLOPE:
        wrong.append("memory grows")
    if not growth <= MOST_GROWTH:
        wrong.append("the delay changes")
    return {
        "legs": len(legs), "blocks": blocks, "late": late, "late_share": late / max(1, blocks),
        "nothing_lost": lost, "nothing_share": lost / max(1, nothing), "xruns": sum(leg.xruns for leg in legs),
        "late_strips": sum(leg.late_strips for leg in legs), "restarts": sum(leg.restarts for leg in legs),
        "crashes": sum(leg.crashes for leg in legs), "recalls": sum(leg.recalls for leg in legs),
        "osc": sum(leg.sent for leg in legs), "slope_mb_h": grows, "slope_half": half, "growth_samples": growth,
        "delay": statistics.median(leg.delay for leg in legs), "wrong": wrong,
    }


def readings(legs: Sequence[Leg]) -> list[Reading]:
    """Return what the history keeps; repeats are the legs."""
    from rtsep.bench.history import measured

    told = summary(legs)
    made = [
        measured("late", "%", LESS, [100 * leg.late / max(1, leg.blocks) for leg in legs]),
        measured("nothing", "%", LESS, [100 * leg.nothing_lost / max(1, leg.nothing_blocks) for leg in legs]),
        measured("p99", "us", LESS, [leg.p99_us for leg in legs]),
        Reading("growth", told["growth_samples"], "samples", LESS, 0.5),
        Reading("minutes", float(len(legs)), "", MORE),
    ]
    if math.isfinite(told["slope_mb_h"]):
        made.append(Reading("memory", told["slope_mb_h"], "MB/h", LESS, told["slope_half"]))
    return made


def draw(legs: Sequence[Leg]) -> bytes:
    """Return a PNG: late blocks, delay, memory and load over time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 9), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"rtsep under load for {len(legs)} minutes")
    minutes = [leg.number + 1 for leg in legs]
    late, delay, memory, load = figure.subplots(4, 1, sharex=True)
    late.plot(minutes, [100 * leg.late / max(1, leg.blocks) for leg in legs], ".-", label="rtsep",
              color="#d1495b")
    late.plot(minutes, [100 * leg.nothing_lost / max(1, leg.nothing_blocks) for leg in legs], ".-",
              label="does nothing", color="#999999")
    late.set_ylabel("late blocks, %")
    late.legend()
    delay.errorbar(minutes, [leg.delay for leg in legs], [leg.worst for leg in legs], fmt=".-", color="#00798c")
    delay.set_ylabel("delay, samples")
    memory.plot(minutes, [leg.memory_mb for leg in legs], ".-", color="#30638e")
    memory.set_ylabel("memory, MB")
    load.plot(minutes, [100 * leg.load for leg in legs], ".-", color="#edae49")
    load.set_ylabel("load, %")
    load.set_xlabel("minutes")
    for n in [n for n, leg in enumerate(legs) if n and leg.life != legs[n - 1].life]:
        for axes in (late, delay, memory, load):
            axes.axvline(minutes[n] - 0.5, color="black", linestyle=":")   # it was killed here, and resumed
    made = io.BytesIO()
    figure.savefig(made, dpi=90, format="png")
    return made.getvalue()
