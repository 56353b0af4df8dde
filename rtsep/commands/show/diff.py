"""Say in what two shows, or two snapshots, differ."""

from __future__ import annotations

import argparse

from rtsep.commands._arguments import add_json
from rtsep.commands._printing import print_grid, print_json

_WHAT = "a show's folder, a snapshot's file, or FOLDER:SNAPSHOT with its number or name"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep show diff` takes."""
    parser.add_argument("first", metavar="A", help=_WHAT)
    parser.add_argument("second", metavar="B", help="another one")
    add_json(parser, "what differs")


def run(args: argparse.Namespace) -> int:
    """Compare them."""
    from dataclasses import asdict

    from rtsep.show.compare import differences

    found = differences(args.first, args.second)
    if args.json:
        return print_json([asdict(one) for one in found])
    rows = [[one.snapshot, one.what, _shown(one.first), _shown(one.second)] for one in found]
    print_grid(("snapshot", "what", args.first, args.second), rows, 4, f"{len(rows)} differences")
    if not rows:
        print("they are the same")
    return 0


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
