"""Hours under load: late blocks beside a callback that does nothing, memory, delay; goes on after kill -9."""

from __future__ import annotations

import argparse

from rtsep.commands._arguments import add_json, add_report, positive
from rtsep.commands._printing import print_json, write_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep bench soak` takes."""
    parser.add_argument("--minutes", type=positive, default=60.0, metavar="M", help="how long (60)")
    parser.add_argument("--mics", type=int, default=16, metavar="N", help="how many (16)")
    parser.add_argument("-b", "--blocksize", type=int, default=64, metavar="BLOCK", help="frames (64)")
    parser.add_argument("--resume", action="store_true", help="go on with one of the same options that was killed")
    parser.add_argument("-o", "--output", metavar="FILE.jsonl", help="add a line of JSON for each minute here")
    parser.add_argument("--picture", metavar="FILE.png", help="draw it here")
    add_report(parser)
    add_json(parser, "the summary and every minute")


def run(args: argparse.Namespace) -> int:
    """Soak, and say what was found; 1 if it does not hold."""
    import dataclasses
    import sys

    from rtsep.atomic import check_writable, replacing
    from rtsep.bench import soak
    from rtsep.control.writer import say_last

    ask = soak.Ask(args.minutes, args.mics, args.blocksize)
    soak.check(ask)
    for path in (args.output, args.picture, args.report):
        if path is not None:
            check_writable(path)

    def told(leg: soak.Leg) -> None:
        say_last(sys.stderr, f"minute {leg.number + 1}: {leg.late} late of {leg.blocks} (nothing: {leg.nothing_lost}), "
                             f"{leg.memory_mb:.0f} MB, delay {leg.delay:.2f}")

    legs, number = soak.soak(ask, args.resume, args.output, told)
    found = soak.summary(legs)
    report = {"run": number, "summary": found, "legs": [dataclasses.asdict(leg) for leg in legs]}
    write_json(args.report, report)
    if args.picture is not None:
        with replacing(args.picture) as file:
            file.write(soak.draw(legs))
    code = 1 if found["wrong"] else 0
    if args.json:
        print_json(report)
        return code
    late, lost = (100 * found[name] for name in ("late_share", "nothing_share"))
    print(
        f"{found['legs']} minutes, {ask.mics} mics, blocks of {ask.block}: {found['late']} of {found['blocks']} blocks "
        f"late ({late:.3f} %), a callback that does nothing lost {lost:.3f} %\n"
        f"memory {found['slope_mb_h']:+.2f} ± {found['slope_half']:.2f} MB/h; delay {found['delay']:.2f} samples, "
        f"changed by {found['growth_samples']:.3f}; {found['xruns']} xruns, {found['late_strips']} late plug-ins\n"
        f"{found['osc']} OSC messages, {found['recalls']} recalls, {found['crashes']} plug-in processes killed, "
        f"{found['restarts']} back; {'; '.join(found['wrong']) or 'it holds'}"
    )
    return code
