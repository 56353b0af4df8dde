"""What share of its deadline a callback takes, over mics, blocks and chains; how many mics hold; law and rivals."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtsep.bench.history import LESS, MORE, History, Reading, Recorder, exact, measured
from rtsep.bench.load import cells, law, machine, rivals
from rtsep.bench.load.cells import Cell
from rtsep.bench.load.law import Law
from rtsep.bench.load.machine import Machine
from rtsep.bench.load.rivals import Ratio
from rtsep.errors import InputError

BENCH = "throughput"
_MACHINE = "machine"
MOST_MICS, MOST_BLOCK = 64, 4096


@dataclass(frozen=True)
class Ask:
    """What is measured.

    Parameters
    ----------
    chains : tuple of str
        Of `cells.CHAINS`.
    mics, blocks : tuple of int
    seconds : float
        Of each cell.
    model : str
        File; empty: one that only multiplies.
    rivals : tuple of str
        Of `rivals.KINDS`.
    rival_mics : int
    """

    chains: tuple[str, ...] = cells.CHAINS
    mics: tuple[int, ...] = cells.MICS
    blocks: tuple[int, ...] = cells.BLOCKS
    seconds: float = 2.0
    model: str = ""
    rivals: tuple[str, ...] = rivals.KINDS
    rival_mics: int = 8


@dataclass(frozen=True)
class Found:
    """What was measured.

    Parameters
    ----------
    cells : list of Cell
    laws : list of Law
    ratios : list of Ratio
    machine : Machine
    number : int
        Of the run in the history.
    """

    cells: list[Cell]
    laws: list[Law]
    ratios: list[Ratio] = field(default_factory=list)
    machine: Machine = field(default_factory=lambda: Machine(0.0, 0.0, {}))
    number: int = 0


def check(ask: Ask) -> None:
    """Refuse what cannot be measured.

    Raises
    ------
    InputError
    """
    for option, given, known in (("--chains", ask.chains, cells.CHAINS), ("--rivals", ask.rivals, rivals.KINDS)):
        for name in given:
            if name not in known:
                raise InputError(option, f"there is no {name}", f"allowed are {', '.join(known)}")
    for option, numbers, most in (("--mics", ask.mics, MOST_MICS), ("--blocks", ask.blocks, MOST_BLOCK),
                                  ("--rival-mics", (ask.rival_mics,), MOST_MICS)):
        for number in numbers:
            if not 1 <= number <= most:
                raise InputError(option, str(number), f"allowed is 1 to {most}")
    if not 0.2 <= ask.seconds <= 600:
        raise InputError("--seconds", f"{ask.seconds:g}", "allowed is 0.2 to 600")


def measure(ask: Ask, resume: bool = False, advance: Callable[[float], None] | None = None) -> Found:
    """Measure every cell, then the rivals; each is in the history as soon as it is there.

    Parameters
    ----------
    ask : Ask
    resume : bool
        Go on with a run with the same options that was killed.
    advance : callable, optional
        Told what share is done.
    """
    with History() as history, tempfile.TemporaryDirectory() as folder:
        model = ask.model or (cells.passing_model(Path(folder)) if cells.MODEL in ask.chains else "")
        recorder = history.begin(BENCH, dataclasses.asdict(ask), resume)
        known = recorder.notes()
        core = Machine(**known[_MACHINE]) if _MACHINE in known else machine.measure()
        if _MACHINE not in known:
            recorder.add(_machine_readings(core))
            recorder.note(_MACHINE, dataclasses.asdict(core))
        found = _grid(ask, model, recorder, known, advance)
        laws = law.fit(found, core)
        ratios = rivals.compare(ask.rival_mics, 64, ask.rivals, core) if ask.rivals else []
        recorder.add([*_most_readings(found), *rivals.readings(ratios)])
        recorder.note("laws", [dataclasses.asdict(one) for one in laws])
        recorder.note("ratios", [dataclasses.asdict(one) for one in ratios])
        recorder.finish()
        return Found(found, laws, ratios, core, recorder.number)


def _grid(
    ask: Ask, model: str, recorder: Recorder, known: dict[str, Any], advance: Callable[[float], None] | None
) -> list[Cell]:
    found: list[Cell] = []
    whole = len(ask.chains) * len(ask.mics) * len(ask.blocks)
    for chain in ask.chains:
        hopeless: set[int] = set()
        for mics in sorted(ask.mics):
            told = {block: Cell(**known[cells.key(chain, mics, block)]) for block in ask.blocks
                    if cells.key(chain, mics, block) in known}
            left = [block for block in ask.blocks if block not in told]
            fresh = list(told.values())
            for cell in cells.measure(chain, mics, left, ask.seconds, model, hopeless) if left else ():
                recorder.note(cells.key(chain, mics, cell.block), dataclasses.asdict(cell))
                recorder.add(_cell_readings(cell))
                fresh.append(cell)
                if advance is not None:
                    advance((len(found) + len(fresh)) / whole)
            hopeless |= {cell.block for cell in fresh if cells.is_hopeless(cell)}
            found += sorted(fresh, key=lambda cell: cell.block)
    return found


def _cell_readings(cell: Cell) -> list[Reading]:
    return [
        measured(f"{cells.key(cell.chain, cell.mics, cell.block)}.{name}", "%", LESS,
                 [100 * us / cell.deadline_us for us in parts])
        for name, parts in cell.fifths.items()
    ]


def _machine_readings(core: Machine) -> list[Reading]:
    return [Reading("machine.gflops", core.gflops, "Gflop/s", MORE),
            Reading("machine.memory", core.gigabytes, "GB/s", MORE),
            *(Reading(f"machine.wake.{name}", us, "us", LESS) for name, us in core.wake_us.items())]


def most(found: Sequence[Cell], chain: str, block: int) -> int | None:
    """Return the largest number of mics that holds, up to the first that does not; None: nothing was measured."""
    own = sorted((cell for cell in found if (cell.chain, cell.block) == (chain, block)), key=lambda cell: cell.mics)
    if not own:
        return None
    best = 0
    for cell in own:
        if not cell.holds:
            break
        best = cell.mics
    return best


def _most_readings(found: Sequence[Cell]) -> list[Reading]:
    kinds = dict.fromkeys((cell.chain, cell.block) for cell in found)
    return [exact(f"most.{chain}.{block}", "mics", MORE, most(found, chain, block) or 0) for chain, block in kinds]


def cell_table(found: Sequence[Cell]) -> tuple[list[str], list[list[str]]]:
    """Return heads and cells: shares of the deadline."""
    heads = ["chain", "problem", "mics", "block", "deadline us", "p50 %", "p99 %", "p99.9 %", "max %", "late",
             "(nothing)", "cores", "holds"]
    rows = []
    for cell in found:
        first = [cell.chain, cell.problem or "-", str(cell.mics), str(cell.block), f"{cell.deadline_us:.0f}"]
        if not cell.us:
            rows.append([*first, *["-"] * 8])
            continue
        shares = [f"{100 * cell.share[name]:.1f}" for name in ("p50", "p99", "p999", "max")]
        rows.append([*first, *shares, str(cell.late), str(cell.twin_late), f"{cell.cores:.2f}",
                     "yes" if cell.holds else "no"])
    return heads, rows


def most_table(found: Sequence[Cell], laws: Sequence[Law]) -> tuple[list[str], list[list[str]]]:
    """Return heads and cells: how many mics hold each block, and how many the law's median would."""
    blocks = sorted({cell.block for cell in found})
    rows = []
    for chain in dict.fromkeys(cell.chain for cell in found):
        own = next((one for one in laws if one.chain == chain), None)
        cells_ = []
        for block in blocks:
            there = most(found, chain, block)
            by_law = "" if own is None else f" ({own.most(block, cells.ROOM)})"
            cells_.append("-" if there is None else f"{there}{by_law}")
        rows.append([chain, *cells_])
    return ["chain", *(str(block) for block in blocks)], rows


def law_lines(laws: Sequence[Law], core: Machine) -> list[str]:
    """Return the laws in words, and the machine they hold on."""
    wake = ", ".join(f"{name} {us:.0f}" for name, us in core.wake_us.items())
    lines = [f"one core: {core.gflops:.1f} Gflop/s, {core.gigabytes:.1f} GB/s; wakes up {wake} us late; "
             "the law, with k mics and n pairs of them:"]
    for one in laws:
        used = "" if one.arithmetic != one.arithmetic else (
            f" ({100 * one.arithmetic:.0f} % of arithmetic, {100 * one.memory:.0f} % of memory while it runs)")
        lines.append(
            f"{one.chain}: {one.once:.2f} + {one.mic:.3f} k + ({one.mic_frames:.3f} k + {one.pair_frames:.4f} n) "
            f"block/64 us; median error {100 * one.error:.0f} %; bound by {one.bound}{used}")
    return lines


def report(found: Found) -> dict[str, Any]:
    """Return everything, for JSON."""
    return {
        "run": found.number, "machine": dataclasses.asdict(found.machine),
        "cells": [{**dataclasses.asdict(cell), "share": cell.share, "holds": cell.holds} for cell in found.cells],
        "laws": [dataclasses.asdict(one) for one in found.laws],
        "ratios": [dataclasses.asdict(one) for one in found.ratios],
    }
