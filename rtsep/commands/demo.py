"""A simulated band on a stage, streamed through the engine in real time."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from rtsep.commands._arguments import add_json, add_preset, positive
from rtsep.commands._printing import compiling_told, print_json, print_numbers


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep demo` takes."""
    parser.add_argument("--seconds", type=positive, default=20.0, metavar="S", help="length (20)")
    parser.add_argument("--out", default="demo-out", metavar="DIR", help="folder for the results (demo-out)")
    add_preset(parser, "foh")
    parser.add_argument("--mics", type=int, default=6, metavar="N", help="microphones (6)")
    parser.add_argument("--kind", default="room", metavar="KIND", help="kind of scene, see `rtsep scene --help`")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="which concert (1)")
    add_json(parser, "the report")


def run(args: argparse.Namespace) -> int:
    """Play the demo."""
    with compiling_told():
        report = _played(args)
    if args.json:
        return print_json(report)
    columns = ("si_sdr_before", "si_sdr_after", "bleed_removed", "harm")
    print_numbers(report["mics"], columns, "dB; harm: higher is better, 30 is inaudible", report["mean"])
    _print_times(report)
    print(f"listen: {args.out}/before.wav, {args.out}/after.wav   look: {args.out}/before-after.png")
    return 0


def _played(args: argparse.Namespace) -> dict[str, Any]:
    from rtsep.demo import DemoOptions, demo

    options = DemoOptions(args.seconds, args.out, args.preset, args.mics, args.kind, args.seed)
    return demo(options, (lambda _line: None) if args.json else partial(print, flush=True))


def _print_times(report: dict[str, Any]) -> None:
    measured = set(report["measured_latency_samples"])
    agree = "=" if measured == {report["latency_samples"]} else "differs from"
    print(
        f"latency: declared {report['latency_samples']} {agree} measured "
        f"{', '.join(str(m) for m in sorted(measured))} samples"
    )
    same = "yes" if report["live_equals_offline"] else "no: that takes a machine on which no update is late"
    print(
        f"late blocks: {report['late_blocks']}   late updates: {report.get('late_updates', 0)}   "
        f"live = offline bit for bit: {same}"
    )
    times = report["block_us"]
    deadline = report["block"] / report["sample_rate"] * 1e6
    print(f"block: p50 {times['p50']:.0f}  p99 {times['p99']:.0f}  p99.9 {times['p999']:.0f} of {deadline:.0f} µs")
