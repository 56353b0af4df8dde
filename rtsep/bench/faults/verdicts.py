"""Trials summed up: figures of each fault, and what of them is beyond the limits."""

from __future__ import annotations

import contextlib
import pathlib
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

from rtsep.bench.faults import material, processes, servers, terminals
from rtsep.bench.faults.trial import Fault, Limits, Outcome, Setting, Trial
from rtsep.bench.jackd import JackServer
from rtsep.errors import DeviceError

CEILING_DB = -1.0
_ROUNDING_DB = 0.001      # the ceiling is a float32
_MOST_MESSAGES = 4
_FIGURES = re.compile(r" [+-]?\d.*")   # after a limit's name; they are in the other columns

FAULTS = (*processes.FAULTS, *servers.FAULTS, *terminals.FAULTS, *material.FAULTS)
SHORT = ("audio killed", "audio SIGSTOP", "jackd killed, 0.5 s", "terminal closed")   # what the tests try


def find(words: Sequence[str]) -> list[Fault]:
    """Return the faults whose names contain one of some words; all without words.

    Raises
    ------
    ValueError
        If a word is in no name.
    """
    for word in words:
        if not any(word.casefold() in fault.name.casefold() for fault in FAULTS):
            raise ValueError(f"no such fault: {word}")
    return [fault for fault in FAULTS if not words or any(word.casefold() in fault.name.casefold() for word in words)]


def realtime_granted() -> bool:
    """Whether a server may have real-time threads here."""
    server = JackServer(256, 48000, 2, realtime=True)
    try:
        return server.ready(2.0)
    finally:
        server.close()


def attempt(setting: Setting, fault: Fault) -> Outcome:
    """Try a fault once, in a folder of its own.

    Raises
    ------
    DeviceError
        If there is no sound before the fault.
    PermissionError
        If it needs what this user may not.
    """
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as name:
        folder = pathlib.Path(name)
        try:
            outcome = Trial(setting, fault, folder).run()
            if (folder / "small").is_dir():
                frames = material.look_at_recording(folder / "small" / "record")
                outcome.notes["frames"] = frames
                if len(set(frames.values())) > 1:
                    outcome.wrong.append("files of different lengths")
            return outcome
        finally:
            if (folder / "small").is_mount():
                subprocess.run(["umount", "-l", str(folder / "small")], check=False)


def beyond(outcome: Outcome, limits: Limits, slack: float = 1.0) -> list[str]:
    """Return what of an outcome is beyond the limits, in words; nothing if all is well.

    Parameters
    ----------
    outcome : Outcome
    limits : Limits
    slack : float
        How many times longer than the limits seconds may be: a test runs on any machine, as busy as it may be.
    """
    found = []
    for name in ("silence", "repeat"):
        most, was = getattr(limits, name), getattr(outcome, name)
        if most is not None and was > slack * most:
            found.append(f"{name} {was:.2f} s")
    if limits.goes_on and not outcome.runs_on:
        found.append("no sound afterwards")
    if limits.goes_on and outcome.code not in (limits.code, None):
        found.append(f"exit code {outcome.code}")
    if limits.after_return is not None and (outcome.after_return or 0.0) > slack * limits.after_return:
        found.append(f"return {outcome.after_return:.2f} s")
    if limits.peak and outcome.peak_db > CEILING_DB + _ROUNDING_DB:
        found.append(f"peak {outcome.peak_db:+.1f} dBFS")
    if limits.goes_on and outcome.cables < outcome.cables_before:
        found.append(f"cables {outcome.cables} of {outcome.cables_before}")
    if outcome.renamed:
        found.append("another client name")
    if limits.clean and outcome.left:
        found.append(f"left behind {len(outcome.left)}")
    if limits.says and not outcome.said:
        found.append("says nothing")
    return found + outcome.wrong


def repeat(
    setting: Setting, faults: Iterable[Fault], times: int, told: Callable[[Fault, list[Outcome], list[str]], None]
) -> None:
    """Try faults several times each, and tell of each what came of it, and what of it failed to be tried.

    Parameters
    ----------
    setting : Setting
    faults : iterable of Fault
    times : int
    told : callable
    """
    for fault in faults:
        outcomes, failures = [], []
        for _ in range(times):
            try:
                outcomes.append(attempt(setting, fault))
            except (DeviceError, PermissionError) as error:
                failures.append(str(error))
        told(fault, outcomes, failures)


def summed(fault: Fault, outcomes: Sequence[Outcome], failures: Sequence[str]) -> dict[str, Any]:
    """Return the figures of one fault: median and maximum of seconds, what was said, and the verdict.

    Parameters
    ----------
    fault : Fault
    outcomes : sequence of Outcome
    failures : sequence of str
        Trials that never came to the fault.
    """
    row: dict[str, Any] = {"fault": fault.name, "n": len(outcomes), "not_tried": list(failures)}
    for name in ("silence", "repeat", "deaf", "sound_after", "after_return"):
        there = [value for outcome in outcomes if (value := getattr(outcome, name)) is not None]
        row[name] = {"median": round(median(there), 3), "max": round(max(there), 3)} if there else None
    if not outcomes:
        return {**row, "beyond": {"not tried": len(failures)}}
    said = Counter(text for outcome in outcomes for text in dict.fromkeys(outcome.said))
    wrong = Counter(_FIGURES.sub("", text) for outcome in outcomes for text in beyond(outcome, fault.limits))
    return {
        **row,
        "peak_db": round(max(outcome.peak_db for outcome in outcomes), 2),
        "cables": [outcome.cables for outcome in outcomes], "cables_before": outcomes[0].cables_before,
        "runs_on": sum(outcome.runs_on for outcome in outcomes),
        "codes": [outcome.code for outcome in outcomes],
        "left": sorted({_kind(left) for outcome in outcomes for left in outcome.left}),
        "said": [text for text, _ in said.most_common(_MOST_MESSAGES)],
        "xruns": [outcome.xruns for outcome in outcomes],
        "load": [round(outcome.load, 1) for outcome in outcomes],
        "notes": [outcome.notes for outcome in outcomes if outcome.notes],
        "beyond": dict(wrong),
    }


def _kind(left: str) -> str:
    """Return the name of something left behind without what is different each time."""
    if left.startswith("process"):
        return "process"
    with contextlib.suppress(ValueError):
        place = left.index("rtsep-")
        return left[:place] + "rtsep-*" + ("-" + left.rpartition("-")[2] if left.count("-") > 1 else "")
    return left


HEAD = (
    f"{'fault':<32} {'n':>2} {'silence s':>13} {'repeat s':>13} {'peak dB':>7} {'cables':>7} {'back s':>13} "
    f"{'returned s':>13} {'runs on':>7} {'exit':<5} {'xruns':>5} {'load':>5}  verdict"
)


def line(row: dict[str, Any]) -> str:
    """Return one line of the table under `HEAD`: seconds as median/maximum."""
    if not row["n"]:
        return f"{row['fault']:<32}  0 not tried: {row['not_tried'][0] if row['not_tried'] else ''}"
    seconds = [
        f"{row[name]['median']:.2f} / {row[name]['max']:.2f}" if row[name] else "-"
        for name in ("silence", "repeat", "sound_after", "after_return")
    ]
    codes = ",".join(sorted({"?" if code is None else str(code) for code in row["codes"]}))
    verdict = "ok" if not row["beyond"] else "; ".join(f"{n} x {text}" for text, n in row["beyond"].items())
    return (
        f"{row['fault']:<32} {row['n']:>2} {seconds[0]:>13} {seconds[1]:>13} {row['peak_db']:>7.1f} "
        f"{min(row['cables']):>3}/{row['cables_before']:<3} {seconds[2]:>13} {seconds[3]:>13} "
        f"{row['runs_on']:>3}/{row['n']:<3} {codes:<5} {max(row['xruns']):>5} {max(row['load']):>5.1f}  {verdict}"
    )
