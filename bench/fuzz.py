"""Does every system and verb survive hostile sound: the matrix of cases × sounds, with how each ended.

`ok` is done, `said` done with one line about it, `refused` exit code 2 with one line; anything else is a fault: a
signal that killed the process, an exception, NaN in the result, another length, a result ten times louder than what
went in.

    python bench/fuzz.py [--only CASE,…] [--sounds NAME,…] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

from rtsep.bench import fuzz


def run(case: fuzz.Case, left: Sequence[str]) -> Iterator[fuzz.Outcome]:
    """Run a case on sounds, all in the same child until that dies; then in a new one."""
    left = list(left)
    while left:
        command = [sys.executable, __file__, "--child", case.name, *left]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for line in child.stdout:
            outcome = fuzz.Outcome(*json.loads(line))
            left.remove(outcome.sound)
            yield outcome
        errors = child.communicate()[1]
        if child.returncode:
            death = signal.Signals(-child.returncode).name if child.returncode < 0 else f"exit {child.returncode}"
            yield fuzz.Outcome(left.pop(0), death, errors.strip()[-200:])


def child(name: str, chosen: Sequence[str]) -> None:
    """Run one case in this process, and print each outcome as a line of JSON."""
    from rtsep.cli import main as command_line

    case = fuzz.cases()[name]
    report = os.fdopen(os.dup(1), "w")
    for sound, x in fuzz.sounds(case).items():
        if sound in chosen:
            with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
                outcome = fuzz.attempt(command_line, case, sound, x, pathlib.Path(folder))
            print(json.dumps([outcome.sound, outcome.verdict, outcome.words]), file=report, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="CASE,…", help="cases; all by default")
    parser.add_argument("--sounds", default="", metavar="NAME,…", help="sounds; all by default")
    parser.add_argument("--json", metavar="FILE", help="write every outcome here too")
    args = parser.parse_args()
    known = fuzz.cases()
    chosen = [name for name in args.only.split(",") if name] or list(known)
    wanted = [name for name in args.sounds.split(",") if name] or list(fuzz.sounds(known["learn"]))
    table = {}
    for name in chosen:
        table[name] = {outcome.sound: outcome for outcome in run(known[name], wanted)}
        bad = {sound: o for sound, o in table[name].items() if o.verdict not in fuzz.GOOD}
        print(f"{name}: {len(bad)} of {len(table[name])} bad", file=sys.stderr, flush=True)
        if args.json:
            rows = {case: {s: [o.verdict, o.words] for s, o in row.items()} for case, row in table.items()}
            pathlib.Path(args.json).write_text(json.dumps(rows, indent=1) + "\n")
    print("| case | " + " | ".join(wanted) + " |\n|" + "---|" * (len(wanted) + 1))
    for name, row in table.items():
        print(f"| {name} | " + " | ".join(row[sound].verdict for sound in wanted) + " |")
    return any(outcome.verdict not in fuzz.GOOD for row in table.values() for outcome in row.values())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main())
