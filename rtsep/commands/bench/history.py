"""What was measured on this machine, and what has become worse since a run, a commit or a version."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rtsep.commands._arguments import add_json
from rtsep.commands._printing import print_grid, print_json
from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.bench.history.compare import Change
    from rtsep.bench.history.reading import Reading
    from rtsep.bench.history.store import History, Run


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep bench history` takes."""
    parser.add_argument("number", nargs="?", type=int, metavar="N", help="show this run; a list by default")
    parser.add_argument("--bench", default="", metavar="B", help="only of this bench: latency, throughput …")
    parser.add_argument(
        "--compare", metavar="REF",
        help="a run's number, a commit or a version: what is worse now, beyond the noise; exit code 1 if anything is",
    )
    parser.add_argument("--csv", action="store_true", help="print as CSV")
    add_json(parser, "it")


def run(args: argparse.Namespace) -> int:
    """Print a list, a run, or a comparison."""
    from rtsep.bench.history.store import History

    if args.number is not None and args.compare is not None:
        raise InputError("--compare", f"not with run {args.number}", "it compares the newest runs")
    with History() as history:
        if args.compare is not None:
            return _compare(history, args)
        runs = history.runs(args.bench)
        if args.bench and not runs:
            raise InputError("--bench", f"nothing of {args.bench!r} was measured here", "see rtsep bench history")
        if args.number is None:
            return _list(runs, args)
        found = next((one for one in runs if one.number == args.number), None)
        if found is None:
            raise InputError(str(args.number), "there is no such run", "`rtsep bench history` lists them")
        return _show(found, history.readings(found.number), history.notes(found.number), args)


def _list(runs: Sequence[Run], args: argparse.Namespace) -> int:
    if args.json:
        return print_json([dataclasses.asdict(one) for one in runs])
    heads = ["run", "bench", "began", "seconds", "commit", "version", "load", "options"]
    rows = [
        [str(r.number), r.bench, r.began, "not finished" if r.seconds is None else f"{r.seconds:.0f}", _short(r.commit),
         r.versions["rtsep"], f"{r.machine['load']:g}", " ".join(f"{k}={_word(v)}" for k, v in r.options.items())]
        for r in runs
    ]
    return _table(args, heads, rows, 3, "what was measured on this machine")


def _show(run: Run, readings: Sequence[Reading], notes: dict[str, Any], args: argparse.Namespace) -> int:
    if args.json:
        return print_json({**dataclasses.asdict(run), "readings": [dataclasses.asdict(r) for r in readings],
                           "notes": notes})
    heads = ["reading", "unit", "value", "noise", "repeats", "good is"]
    rows = [[r.name, r.unit, _number(r.value), _number(r.noise), str(len(r.repeats)), r.better] for r in readings]
    about = run.machine
    title = (f"run {run.number}, {run.bench}, {run.began}, {_short(run.commit) or run.versions['rtsep']}; "
             f"{about['processor']}, {about['cores']} cores, {about['kernel']}, load {about['load']:g}")
    return _table(args, heads, rows, 2, title)


def _compare(history: History, args: argparse.Namespace) -> int:
    from rtsep.bench.history.compare import UNKNOWN, WORSE, compare

    changes = compare(history, args.compare, args.bench)
    worse = [change for change in changes if change.verdict == WORSE]
    code = 1 if worse else 0
    if args.json:
        print_json({"good": not worse, "changes": [dataclasses.asdict(change) for change in changes]})
        return code
    heads = ["bench", "reading", "unit", "verdict", "before", "now", "noise"]
    shown: Sequence[Change] = sorted(changes, key=lambda change: change.verdict != WORSE)
    rows = [[c.bench, c.name, c.unit, c.verdict, _number(c.before), _number(c.now), _number(c.noise)] for c in shown]
    unknown = sum(change.verdict == UNKNOWN for change in changes)
    title = f"{len(changes)} readings since {args.compare}: {len(worse)} worse, {unknown} without a noise band"
    _table(args, heads, rows, 4, title)
    return code


def _table(
    args: argparse.Namespace, heads: Sequence[str], rows: Sequence[Sequence[str]], texts: int, title: str
) -> int:
    if args.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(heads)
        writer.writerows(rows)
    elif rows:
        print_grid(heads, rows, texts, title)
    else:
        print("nothing was measured on this machine yet")
    return 0


def _number(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.6g}"


def _word(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _short(commit: str) -> str:
    return commit[:10] + ("+" if commit.endswith("+") else "")
