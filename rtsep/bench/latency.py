"""How late sound is that goes around a loop: through the engine alone, JACK or a sound card; declared and measured.

What a chain adds is told apart from what carries it: the same loop without anything in it is measured first. What of
a chain each stage adds is measured by leaving the rest of it out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rtsep import presets
from rtsep.bench.history import EQUAL, Reading, exact
from rtsep.bench.loop import carriers, probes
from rtsep.bench.loop.clocks import Clocks
from rtsep.bench.loop.response import GOOD, Echo
from rtsep.errors import InputError
from rtsep.names import numbered
from rtsep.presets import Preset
from rtsep.session import Session, check_block

TOLERANCE = 1.0      # samples between declared and measured
BLOCKS = (16, 32, 64, 128, 256, 512)
SETTLE = 4           # periods, 2.7 s: a canceller has begun to work
_ENGINE, _DEVICE = "engine", "device"
_PARTS = {"strips": "plug-ins", "model": "model"}   # kinds of stages; all others are the algorithm
WRONG, INVERTED = "not as declared", "polarity inverted"


@dataclass(frozen=True)
class Ask:
    """What is measured, and how.

    Parameters
    ----------
    presets : tuple of str
        Names or paths.
    blocks : tuple of int
        Frames.
    mics : int
    rate : int
        Hz.
    probe : str
        `probes.MLS` or `probes.SWEEP`.
    repeats : int
        Periods.
    """

    presets: tuple[str, ...]
    blocks: tuple[int, ...] = BLOCKS
    mics: int = 3
    rate: int = 48000
    probe: str = probes.MLS
    repeats: int = 5


@dataclass(frozen=True)
class Row:
    """One mic around one loop.

    Parameters
    ----------
    through : str
        `engine`, `jack` or `card`.
    what : str
        The preset, the other program, or `device`: the loop without anything in it.
    block : int
        Frames.
    mic : str
    declared : float
        Samples; nan: nobody says.
    measured : float
        Samples, less the device's own.
    confidence : float
        Half of its 95 % interval.
    device : float
        Samples that the loop itself takes.
    polarity : int
    gain_db : float
    crest : float
        Of the response over its noise.
    verdict : str
        `GOOD`, or what is wrong.
    """

    through: str
    what: str
    block: int
    mic: str
    declared: float
    measured: float
    confidence: float
    device: float
    polarity: int
    gain_db: float
    crest: float
    verdict: str


@dataclass(frozen=True)
class Part:
    """What one stage of a chain adds, at most to any mic.

    Parameters
    ----------
    preset, stage : str
    part : str
        `algorithm`, `plug-ins` or `model`.
    declared, measured : float
        Samples.
    """

    preset: str
    stage: str
    part: str
    declared: float
    measured: float


def row(
    through: str, what: str, block: int, mic: str, echo: Echo, declared: float = math.nan, device: float = 0.0
) -> Row:
    """Return what is said of one mic: a loop that is good is held against what is declared."""
    measured = echo.delay - device
    verdict = echo.verdict
    # What is off by one sample exactly is not left to the last digits of a measurement.
    if verdict == GOOD and not round(abs(measured - declared), 2) <= TOLERANCE and not math.isnan(declared):
        verdict = WRONG
    elif verdict == GOOD and echo.polarity < 0:
        verdict = INVERTED
    return Row(through, what, block, mic, declared, measured, echo.confidence, device, echo.polarity, echo.gain_db,
               echo.crest, verdict)


def engine(ask: Ask, advance: Callable[[float], None] | None = None) -> Iterator[Row]:
    """Measure presets through the engine alone, while it takes bleed away.

    Raises
    ------
    InputError
        A preset is unknown, or needs shorter blocks.
    """
    loaded = [presets.load(name) for name in ask.presets]
    for preset in loaded:
        for block in ask.blocks:
            check_block(preset, block, "--blocks")
    for n, preset in enumerate(loaded):
        for m, block in enumerate(ask.blocks):
            with Session.open(preset, ask.rate, numbered(ask.mics)) as session:
                found = carriers.measure(
                    carriers.through(session.engine, block), ask.probe, ask.mics, ask.rate, ask.repeats, SETTLE, True)
                late = declared(session)
            for mic, echo, own in zip(numbered(ask.mics), found, late, strict=True):
                yield row(_ENGINE, preset.name, block, mic, echo, own)
            if advance is not None:
                advance((n * len(ask.blocks) + m + 1) / len(loaded) / len(ask.blocks))


def declared(session: Session) -> list[float]:
    """Return how late each mic says that it is, samples: of plug-ins that are not aligned each has its own."""
    late = [float(session.engine.latency)] * session.engine.fmt.channels
    for stage in session.engine.chain.stages:
        late = [whole - stage.latency + mine for whole, mine in zip(late, stage.delays, strict=True)]
    return late


def parts(name: str, ask: Ask) -> Iterator[Part]:
    """Measure what each stage of a preset adds that says it adds something: the chain with it, less that without it."""
    preset = presets.load(name)
    with Session.open(preset, ask.rate, numbered(ask.mics)) as session:
        late = [(stage.name, stage.latency) for stage in session.engine.chain.stages]
    kinds = {config.name: config.stage for config in preset.chain}
    before = 0.0
    for stage, samples in late:
        if samples:
            found = _latest(_until(preset, stage), ask)
            yield Part(preset.name, stage, _PARTS.get(kinds[stage], "algorithm"), samples, found - before)
            before = found


def _until(preset: Preset, stage: str) -> Preset:
    """Return a preset whose chain ends with a stage."""
    names = [config.name for config in preset.chain]
    gone = set(names[names.index(stage) + 1 :])
    kept = {path: value for path, value in preset.params.items() if path.partition(".")[0] not in gone}
    return dataclasses.replace(
        preset, chain=tuple(config for config in preset.chain if config.name not in gone), params=kept)


def _latest(preset: Preset, ask: Ask) -> float:
    with Session.open(preset, ask.rate, numbered(ask.mics)) as session:
        block = min(ask.blocks[-1], presets.most_block(preset) or ask.blocks[-1])
        found = carriers.measure(
            carriers.through(session.engine, block), probes.MLS, ask.mics, ask.rate, ask.repeats, SETTLE, True)
    return max(echo.delay for echo in found)


def check(ask: Ask) -> None:
    """Refuse what cannot be measured.

    Raises
    ------
    InputError
    """
    if ask.mics < 1:
        raise InputError("--mics", str(ask.mics), "allowed is 1 or more")
    if not 2 <= ask.repeats <= 1000:
        raise InputError("--repeats", str(ask.repeats), "allowed is 2 to 1000: one has no confidence interval")
    for block in ask.blocks:
        if not 1 <= block <= 8192:
            raise InputError("--blocks", str(block), "allowed is 1 to 8192")


def device_rows(through: str, block: int, names: Sequence[str], echoes: Sequence[Echo], said: float) -> list[Row]:
    """Return what is said of a loop without anything in it; it need not be as late as its driver says."""
    rows = []
    for mic, echo in zip(names, echoes, strict=True):
        made = row(through, _DEVICE, block, mic, echo)
        rows.append(dataclasses.replace(made, declared=said))
    return rows


def readings(rows: Sequence[Row], told: Clocks | None) -> list[Reading]:
    """Return what the history keeps; of a loop in samples half a one is nothing."""
    made = [
        Reading(f"{r.through}.{r.what}.{r.block}.{r.mic}.delay", r.measured, "samples", EQUAL,
                max(0.5, 0.0 if math.isnan(r.confidence) else r.confidence))
        for r in rows if not math.isnan(r.measured)
    ]
    wrong = sum(r.verdict != GOOD for r in rows)
    made.append(exact("wrong", "mics", EQUAL, wrong))
    if told is not None and not math.isnan(told.drift_ppm):
        made.append(Reading("clocks.drift", told.drift_ppm, "ppm", EQUAL, max(1.0, told.confidence_ppm)))
    return made


def table(rows: Sequence[Row], rate: int) -> tuple[list[str], list[list[str]]]:
    """Return heads and cells."""
    heads = ["through", "what", "mic", "block", "declared", "measured", "± 95 %", "ms", "device", "polarity", "gain dB",
             "verdict"]
    cells = []
    for r in rows:
        numbers = [_number(r.declared, 0), _number(r.measured, 3), _number(r.confidence, 3),
                   _number(1000 * (r.measured + r.device) / rate, 2), _number(r.device, 1),
                   {1: "+", -1: "−"}.get(r.polarity, "-"), _number(r.gain_db, 1), r.verdict]
        cells.append([r.through, r.what, r.mic, str(r.block), *numbers])
    return heads, cells


def part_table(found: Sequence[Part], device: float, rate: int) -> tuple[list[str], list[list[str]]]:
    """Return heads and cells: where the samples go."""
    heads = ["preset", "part", "stage", "declared", "measured", "ms"]
    cells = [["every one", "device buffers", "-", "-", _number(device, 1), _number(1000 * device / rate, 2)]]
    cells += [[p.preset, p.part, p.stage, _number(p.declared, 0), _number(p.measured, 3),
               _number(1000 * p.measured / rate, 2)] for p in found]
    return heads, cells


def report(rows: Sequence[Row], found: Sequence[Part], told: Clocks | None) -> dict[str, Any]:
    """Return everything, for JSON."""
    return {
        "rows": [dataclasses.asdict(r) for r in rows], "parts": [dataclasses.asdict(p) for p in found],
        "clocks": None if told is None else dataclasses.asdict(told), "good": all(r.verdict == GOOD for r in rows),
    }


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value + 0.0:.{digits}f}"
