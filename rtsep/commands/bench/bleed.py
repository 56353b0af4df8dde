"""Bleed removed: presets, rival methods and oracles in one table."""

from __future__ import annotations

import argparse

from rtsep.commands._arguments import add_json, add_report, names, positive
from rtsep.commands._printing import print_grid, print_json, write_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep bench bleed` takes."""
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help=".npz cases; own scenes by default")
    parser.add_argument("--presets", type=names, default=("live", "monitor", "foh", "record"), metavar="P,…",
                        help="names or paths (live,monitor,foh,record)")
    parser.add_argument("--rivals", type=names, default=("all",), metavar="M,…",
                        help="nlms, gate, any system that needs nothing but the mics, none, or all")
    parser.add_argument("--oracles", type=names, default=("all",), metavar="O,…",
                        help="mask, wiener, fir, paths, or one of them as mask-512; inverse, none, or all")
    parser.add_argument("--seconds-skip", type=positive, default=4.0, metavar="S", help="not counted at first (4)")
    parser.add_argument("--no-harm", action="store_true", help="leave out what the filters do to wanted sound: quicker")
    add_report(parser)
    add_json(parser, "everything, per microphone,")


def run(args: argparse.Namespace) -> int:
    """Measure and print both tables."""
    from rtsep.bench import bleed
    from rtsep.bench.oracles import ORACLES
    from rtsep.bench.rivals import RIVALS
    from rtsep.commands._keeping import keep
    from rtsep.control.surfaces.terminal import progress

    options = bleed.BleedOptions(
        folder=args.folder, presets=args.presets, rivals=_chosen(args.rivals, RIVALS),
        oracles=_chosen(args.oracles, tuple(ORACLES)), skip=args.seconds_skip, harm=not args.no_harm,
    )
    with progress("measuring") as advance:
        report = bleed.bleed(options, advance)
    write_json(args.report, report)
    asked = {"presets": options.presets, "rivals": options.rivals, "oracles": options.oracles, "skip": options.skip,
             "harm": options.harm, "cases": [case["name"] for case in report["cases"]]}
    keep("bleed", asked, bleed.readings(report), {"report": report})
    if args.json:
        return print_json(report)
    print_grid(*bleed.case_rows(report), 4, "each case: improvement of SI-SDR, mean and worst microphone; harm, dB")
    print_grid(*bleed.system_rows(report), 1, "each system: mean over cases, dB")
    return 0


def _chosen(asked: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    return known if asked == ("all",) else () if asked == ("none",) else asked
