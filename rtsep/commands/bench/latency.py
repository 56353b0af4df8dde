"""How late sound comes back: engine, JACK or sound card, declared and measured, of any program."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rtsep.commands._arguments import add_json, add_report, names, numbers, positive
from rtsep.commands._printing import print_grid, print_json, write_json
from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.bench.latency import Ask, Part
    from rtsep.bench.live_loops import Found

_PRESETS = ("live", "monitor", "foh", "record")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep bench latency` takes."""
    parser.add_argument("--through", choices=("engine", "jack", "card"), default="engine",
                        help="the engine alone, `rtsep run` in a JACK server, or a sound card with a cable (engine)")
    parser.add_argument("--presets", type=names, metavar="P,…", help="names or paths (live,monitor,foh,record)")
    parser.add_argument("--blocks", type=names, default=(), metavar="N,…",
                        help="frames: of the engine (16,32,64,128,256,512), or one for a card (64)")
    parser.add_argument("--periods", type=names, default=(), metavar="N,…",
                        help="with jack: a server of our own with its dummy driver for each, in place of yours")
    parser.add_argument("--external", nargs="?", const="", metavar="CLIENT",
                        help="with jack: measure this client, not rtsep; without a name lay the cables yourself")
    parser.add_argument("--declared", type=float, metavar="N", help="samples that it says; what JACK says by default")
    parser.add_argument("--mics", type=int, default=3, metavar="N", help="how many at once (3)")
    parser.add_argument("--probe", choices=("mls", "sweep"), default="mls", help="noise for all mics, or sweeps")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="periods of 0.7 s (5)")
    parser.add_argument("--clocks", type=positive, default=0.0, metavar="S",
                        help="with card or --external: watch drift and jitter for so long")
    parser.add_argument("-i", "--input-device", metavar="DEV", help="as `rtsep run` takes it")
    parser.add_argument("-o", "--output-device", metavar="DEV", help="as `rtsep run` takes it")
    parser.add_argument("-r", "--samplerate", type=int, metavar="RATE", help="Hz; 48000, or the device's")
    parser.add_argument("--map", metavar="CSV", help="with card: mic,in,out, as `rtsep run` takes it")
    add_report(parser)
    add_json(parser, "everything")


def run(args: argparse.Namespace) -> int:
    """Measure, print, keep; 1 if anything is not as declared or cannot be measured."""
    from rtsep.bench import latency, live_loops
    from rtsep.bench.loop.response import GOOD
    from rtsep.commands._keeping import keep
    from rtsep.control.surfaces.terminal import progress

    blocks = _frames("--blocks", args.blocks) or ((64,) if args.through == "card" else latency.BLOCKS)
    ask = latency.Ask(args.presets or _PRESETS, blocks, args.mics, args.samplerate or 48000, args.probe, args.repeats)
    live_loops.check_through(args.through, ask, {
        "--periods": (_frames("--periods", args.periods), ("jack",)), "--external": (args.external, ("jack",)),
        "--declared": (args.declared, ("jack",)), "--map": (args.map, ("card",)),
        "--input-device": (args.input_device, ("card",)), "--output-device": (args.output_device, ("card",)),
        "--clocks": (args.clocks, ("card", "jack")),
    })
    if args.external is None and (args.declared is not None or (args.clocks and args.through == "jack")):
        raise InputError("--declared" if args.declared is not None else "--clocks", "there is no --external")
    if args.through == "engine":
        with progress("measuring") as advance:
            found = [live_loops.Found(list(latency.engine(ask, advance)))]
    else:
        found = _live(args, ask)
    parts = _parts(args, ask)
    rows = [row for one in found for row in one.rows]
    clocks = next((one.clocks for one in found if one.clocks is not None), None)
    report = latency.report(rows, parts, clocks)
    asked = {"through": args.through, "presets": ask.presets, "blocks": ask.blocks, "mics": ask.mics, "rate": ask.rate,
             "probe": ask.probe, "periods": args.periods, "external": args.external}
    keep("latency", asked, latency.readings(rows, clocks), {"report": report})
    write_json(args.report, report)
    code = 0 if report["good"] else 1
    if args.json:
        print_json(report)
        return code
    print_grid(*latency.table(rows, ask.rate), 3, "delay of the loop, samples; ms with the device's own")
    device = max((row.measured for row in rows if row.what == "device"), default=0.0)
    print_grid(*latency.part_table(parts, device, ask.rate), 3, "where it goes, samples")
    print(f"{live_loops.told(found)}; {sum(row.verdict == GOOD for row in rows)} of {len(rows)} good")
    return code


def _live(args: argparse.Namespace, ask: Ask) -> list[Found]:
    from rtsep.bench import live_loops
    from rtsep.bench.loop.card import CardOptions

    if args.through == "card":
        options = CardOptions(args.input_device, args.output_device, args.samplerate, ask.blocks[0], args.map)
        return [live_loops.through_card(ask, options, args.clocks)]
    if args.external is not None:
        return [live_loops.external(ask, args.external, args.declared, args.clocks)]
    if not args.periods:
        return [live_loops.through_jack(ask)]
    found = []
    for period in _frames("--periods", args.periods):
        with live_loops.server(period, ask.rate):
            found.append(live_loops.through_jack(ask))
    return found


def _parts(args: argparse.Namespace, ask: Ask) -> list[Part]:
    """Measure what the stages of the presets add; of another program nobody knows."""
    from rtsep.bench import latency

    if args.external is not None or (args.through == "card" and args.presets is None):
        return []
    return [part for name in ask.presets for part in latency.parts(name, ask)]


def _frames(option: str, words: tuple[str, ...]) -> tuple[int, ...]:
    return numbers(option, words or None, "numbers of frames")
