"""Random stages with broken microphones: nothing may get worse."""

from __future__ import annotations

import argparse

from rtsep.commands._arguments import add_json, add_preset, add_report
from rtsep.commands._printing import print_json, write_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep bench robust` takes."""
    parser.add_argument("--scenes", type=int, default=200, metavar="N", help="how many (200)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the first scene (1)")
    add_preset(parser, "live")
    add_report(parser)
    add_json(parser, "everything")


def run(args: argparse.Namespace) -> int:
    """Run the stages and print what went wrong."""
    from rtsep.bench import robust
    from rtsep.commands._keeping import keep
    from rtsep.control.surfaces.terminal import progress

    options = robust.RobustOptions(args.scenes, args.seed, args.preset)
    with progress("measuring") as advance:
        report = robust.robust(options, advance)
    write_json(args.report, report)
    asked = {"scenes": args.scenes, "seed": args.seed, "preset": args.preset}
    keep("robust", asked, robust.readings(report), {"report": report})
    if args.json:
        return print_json(report)
    for line in robust.lines(report):
        print(line)
    return 0
