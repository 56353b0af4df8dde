"""What this machine loses by itself: how late it wakes a callback that does nothing, why, and what to do."""

from __future__ import annotations

import argparse

from rtsep.commands._arguments import add_json, add_report, positive
from rtsep.commands._printing import print_json, write_json
from rtsep.errors import InputError


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep bench xruns` takes."""
    parser.add_argument("-b", "--blocksize", type=int, default=64, metavar="BLOCK", help="frames (64)")
    parser.add_argument("-r", "--samplerate", type=int, default=48000, metavar="RATE", help="Hz (48000)")
    parser.add_argument("--seconds", type=positive, default=10.0, metavar="S", help="with priority, then without (10)")
    parser.add_argument("--jack", action="store_true", help="count xruns of your JACK server, too")
    add_report(parser)
    add_json(parser, "everything")


def run(args: argparse.Namespace) -> int:
    """Measure, and say what was found and what can be done."""
    import sys

    from rtsep.bench import wakeups, xruns
    from rtsep.bench.history import place
    from rtsep.commands._keeping import keep
    from rtsep.doctor.finding import GOOD
    from rtsep.errors import DeviceError
    from rtsep.limits import check_rate

    check_rate("--samplerate", args.samplerate)
    if not 1 <= args.blocksize <= 8192:
        raise InputError("--blocksize", str(args.blocksize), "allowed is 1 to 8192")
    if sys.platform != "linux":
        raise DeviceError("rtsep bench xruns: this system has no clock_nanosleep; it needs Linux")
    period, virtual = args.blocksize / args.samplerate, bool(place.machine()["virtual"])
    runs = [wakeups.measure(period, args.seconds, urgent) for urgent in (True, False)]
    report = xruns.report(runs, virtual)
    if args.jack:
        report["jack"] = _jack(args.seconds)
    found = xruns.findings()
    report["findings"] = [{"check": f.check, "verdict": f.verdict, "text": f.text, "advice": f.advice} for f in found]
    asked = {"block": args.blocksize, "rate": args.samplerate, "seconds": args.seconds}
    keep("xruns", asked, xruns.readings(runs), {"report": report})
    write_json(args.report, report)
    if args.json:
        return print_json(report)
    for one in runs:
        print("\n".join(xruns.lines(one, virtual)))
    if args.jack:
        told = report["jack"]
        print(f"JACK, periods of {told['period']}: {told['xruns']} xruns in {told['seconds']:g} s of silence")
    for finding in found:
        print(f"{'ok  ' if finding.verdict == GOOD else 'warn'} {finding.check}: {finding.text}")
        if finding.advice:
            print(f"     → {finding.advice}")
    return 0


def _jack(seconds: float) -> dict[str, float]:
    import numpy as np

    from rtsep.bench.loop import jack

    with jack.opened(1) as client:
        client.carry(np.zeros((1, client.rate), np.float32), max(1, round(seconds)))
        return {"period": client.period, "xruns": client.lost, "seconds": max(1.0, round(seconds))}
