"""Steps in sustained voices where filters, modes and chains change."""

from __future__ import annotations

import argparse

from rtsep.commands._arguments import add_json, add_preset, add_report, names, positive
from rtsep.commands._printing import print_grid, print_json, write_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep bench clicks` takes."""
    parser.add_argument("--only", type=names, default=(), metavar="C,…", help="changes; all by default")
    parser.add_argument("--mics", type=int, default=4, metavar="N", help="voices, each with a mic (4)")
    parser.add_argument("--seconds", type=positive, default=12.0, metavar="S", help="of each show (12)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the voices (1)")
    add_preset(parser, "live")
    add_report(parser)
    add_json(parser, "everything")


def run(args: argparse.Namespace) -> int:
    """Play every change and print what was heard of it."""
    from dataclasses import asdict

    from rtsep.bench import changes
    from rtsep.commands._keeping import keep

    rows = list(changes.measure(args.preset, args.mics, args.seconds, args.seed, args.only))
    report = [asdict(row) for row in rows]
    write_json(args.report, report)
    asked = {"preset": args.preset, "mics": args.mics, "seconds": args.seconds, "seed": args.seed, "only": args.only}
    keep("clicks", asked, changes.readings(rows), {"report": report})
    if args.json:
        return print_json(report)
    print_grid(*changes.table(rows), 1, "steps at multiples of 512 samples, half a block later (chance), and elsewhere")
    return 0
