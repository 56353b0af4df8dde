"""Clean what comes in at a sound card, a JACK server or any PortAudio device."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rtsep.commands._arguments import add_calibration, add_json, add_preset, add_save, add_settings, positive

_PRESET = "live"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep run` takes."""
    from rtsep.control import surface
    from rtsep.hosts.hostapis import NAMES, PORTAUDIO

    add_preset(parser, _PRESET)
    parser.set_defaults(preset=None)   # a show may name another one
    parser.add_argument("--show", metavar="FOLDER", help="what `rtsep show` makes: preset, patch, snapshots")
    parser.add_argument("--no-restore", action="store_true", help="begin a show anew, not where it stood last")
    parser.add_argument("-i", "--input-device", metavar="DEV", help="name, part of it, hostapi:name; name:2 if equal")
    parser.add_argument("-o", "--output-device", metavar="DEV", help="name, part of it, hostapi:name; name:2 if equal")
    parser.add_argument(
        "--host-api", choices=NAMES, default=PORTAUDIO,
        help="jack: a JACK server without PortAudio between, with ports that are named after the mics",
    )
    parser.add_argument("-r", "--samplerate", type=int, metavar="RATE", help="Hz; the device's own by default")
    parser.add_argument("-b", "--blocksize", type=int, metavar="BLOCK", help="frames; the preset's by default")
    parser.add_argument("--map", metavar="CSV", help="mic,in,out: device channels of each mic, from 1")
    parser.add_argument("--ear", metavar="OUT", help="device outputs to listen on, from 1: 15 or 15,16")
    add_settings(parser)
    add_calibration(parser)
    add_save(parser)
    parser.add_argument(
        "--record", metavar="DIR",
        help="store what comes in and goes out as DIR/in.wav, DIR/out.wav, and what happens in DIR/recording.jsonl",
    )
    parser.add_argument(
        "--play", metavar="IN", help="a recording in place of the inputs: a file, a folder, a DIR of --record"
    )
    parser.add_argument("--loop", action="store_true", help="it begins again at its end")
    parser.add_argument("--from", dest="begin", type=float, default=0.0, metavar="S", help="seconds into it")
    parser.add_argument("--seconds", type=positive, metavar="S", help="stop by itself")
    parser.add_argument(
        "--end-on-hangup", action="store_true", help="SIGHUP ends the run; by default it goes on without its terminal"
    )
    for kind in surface.kinds():
        kind.arguments(parser)
    add_json(parser, "the summary")


def run(args: argparse.Namespace) -> int:
    """Run until stopped."""
    from rtsep.control.surface import open_all
    from rtsep.hosts.request import RunOptions
    from rtsep.hosts.supervisor import run

    options = RunOptions(
        preset=args.preset or _PRESET, input_device=args.input_device, output_device=args.output_device,
        rate=args.samplerate, block=args.blocksize, map_csv=args.map, calibration=args.calibration,
        record=args.record, seconds=args.seconds, settings=tuple(args.set), save=args.save,
        play=args.play, loop=args.loop, begin=args.begin, ear=args.ear,
        end_on_hangup=args.end_on_hangup, host_api=args.host_api, show=args.show, restore=not args.no_restore,
    )
    if args.show is not None:
        from rtsep.show import starting

        options = starting.options(options, args.preset)
        args.midi = args.midi or starting.mapping(args.show)
    return run(options, lambda: open_all(args), _print_line if args.json else _print_summary)


def _print_line(summary: dict[str, Any]) -> None:
    _print(json.dumps(summary))


def _print_summary(summary: dict[str, Any]) -> None:
    from rtsep.figures import told

    us = summary["block_us"]
    _print(
        f"{summary['seconds']:.1f} s, {summary['calls']} blocks of {summary['block']} at "
        f"{summary['sample_rate']} Hz, load {100 * summary['load']:.1f} %\n"
        f"block p50 {us['p50']:.0f}  p99 {us['p99']:.0f}  p99.9 {us['p999']:.0f}  max {us['max']:.0f} us\n"
        f"{told(summary.__getitem__, 'summary', ', ')}, restarts {summary['restarts']}"
        + "".join(f"\nclipped: {', '.join(names)}" for names in [summary["levels"]["clipped"]] if names)
    )


def _print(text: str) -> None:
    """Print, but let nobody who does not read keep the run from its end and its exit code."""
    from rtsep.control.writer import say_last

    say_last(sys.stdout, text)
