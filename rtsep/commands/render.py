"""A recording through the very same chain."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from rtsep.commands._arguments import add_calibration, add_json, add_preset, add_report, add_save, add_settings
from rtsep.commands._printing import compiling_told, print_json, write_json

_PRESET = "foh"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep render` takes."""
    parser.add_argument("input", metavar="IN", help="a polyphonic file or a folder of mono files")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="a .wav, .flac, .rf64, .w64, or a folder")
    add_preset(parser, _PRESET)
    add_settings(parser)
    parser.add_argument("-b", "--blocksize", type=int, metavar="BLOCK", help="frames per call; changes no sample")
    add_report(parser)
    add_calibration(parser)
    add_save(parser)
    parser.add_argument("--no-compensate", action="store_true", help="leave the chain's latency in the result")
    parser.add_argument("--subtype", metavar="T", help="FLOAT (default), PCM_16, PCM_24, PCM_32, DOUBLE")
    parser.add_argument(
        "--replay", action="store_true",
        help="IN is a recording of `rtsep run --record`: with its preset, all that was turned, and its latency",
    )
    add_json(parser, "the report")


def run(args: argparse.Namespace) -> int:
    """Render the recording."""
    with compiling_told():
        return _replay(args) if args.replay else _render(args)


def _render(args: argparse.Namespace) -> int:
    from rtsep.control.surfaces.terminal import progress
    from rtsep.hosts.file import RenderOptions, render

    options = RenderOptions(
        source=args.input, target=args.output, preset=args.preset, block=args.blocksize, settings=tuple(args.set),
        calibration=args.calibration, compensate=not args.no_compensate, subtype=args.subtype, save=args.save,
    )
    with progress("rendering") as advance:
        report = render(options, advance)
    write_json(args.report, report)
    _warn(args.input, report)
    if args.json:
        return print_json(report)
    print(
        f"{args.output}: {report['channels']} channels, {report['seconds']:.1f} s at {report['sample_rate']} Hz, "
        f"latency {report['latency_samples']} samples "
        f"({'taken out' if report['compensated_samples'] else 'left in' if args.no_compensate else 'none'}), "
        f"{1 / max(report['realtime_factor'], 1e-9):.1f} times real time"
    )
    if args.save:
        print(f"{args.save}: {report['saved']}")
    return 0


def _replay(args: argparse.Namespace) -> int:
    from rtsep.control.surfaces.terminal import progress
    from rtsep.errors import InputError
    from rtsep.hosts.replay import replay

    given = [name for name in ("set", "calibration", "save", "subtype") if getattr(args, name)]
    if given or args.preset != _PRESET:
        raise InputError(f"--{(given or ['preset'])[0]}", "not with --replay", "the recording says what was heard")
    with progress("replaying") as advance:
        report = replay(args.input, args.output, advance)
    write_json(args.report, report)
    for note in report["notes"]:
        print(f"rtsep: {note}", file=sys.stderr)
    if args.json:
        return print_json(report)
    same, frames = report["same_frames"], report["frames"]
    told = {None: "out.wav is not there", frames: "out.wav, bit for bit"}
    until = f"out.wav, bit for bit, until {(same or 0) / report['sample_rate']:.3f} s"
    print(
        f"{args.output}: {report['channels']} channels, {report['seconds']:.1f} s at {report['sample_rate']} Hz, "
        f"{told.get(same, until)}"
    )
    return 0


def _warn(source: str, report: dict[str, Any]) -> None:
    from rtsep.finite import line

    if report["bad_inputs"]:
        print(f"rtsep: {line(source, report['bad_inputs'])}", file=sys.stderr)
    for note in report["notes"]:
        print(f"rtsep: {note}", file=sys.stderr)
