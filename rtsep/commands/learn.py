"""From a soundcheck, who bleeds where: a calibration for run and render."""

from __future__ import annotations

import argparse

from rtsep.commands._arguments import add_json
from rtsep.commands._printing import compiling_told, print_json, print_numbers


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep learn` takes."""
    parser.add_argument("input", metavar="IN", help="a polyphonic file or a folder of mono files")
    parser.add_argument("-o", "--output", required=True, metavar="C", help="calibration file to write")
    parser.add_argument("--solos", default="auto", metavar="CSV", help="mic,start_s,end_s; found by itself otherwise")
    parser.add_argument("--taps", type=int, default=16384, metavar="N", help="length of each path, samples (16384)")
    add_json(parser, "what was learnt")


def run(args: argparse.Namespace) -> int:
    """Learn from the soundcheck."""
    with compiling_told():
        return _learn(args)


def _learn(args: argparse.Namespace) -> int:
    from rtsep import calibration, learning
    from rtsep.control.surfaces.terminal import progress
    from rtsep.finite import open_sound
    from rtsep.systems.solos import read_solos
    from rtsep.systems.soundcheck import learn

    with open_sound(args.input) as source:
        mics, rate, names = source.read(source.frames), source.rate, source.names
    if args.solos == "auto":
        solos = learning.find(mics, rate, args.input, "name them with --solos")
    else:
        solos = read_solos(args.solos, names, rate, mics.shape[1])
    with progress("learning") as advance:
        learnt = learn(mics, rate, solos, names, args.taps, advance)
    learning.demand_sure(learnt, args.input)
    calibration.save(learnt, args.output)
    rows = [
        {
            "mic": name,
            "solo_s": sum(s.end - s.start for s in solos if s.mic == i) / rate,
            "noise_dbfs": float(learnt.noise_db[i]),
            "confidence": float(max(learnt.confidence[:, i])),
        }
        for i, name in enumerate(names)
    ]
    if args.json:
        return print_json({"calibration": args.output, "mics": rows})
    print_numbers(rows, ("solo_s", "noise_dbfs", "confidence"), f"written: {args.output}")
    heard = {solo.mic for solo in solos}
    for i, name in enumerate(names):
        if not learnt.confidence[:, i].any():
            why = "nothing could be learnt from its solo" if i in heard else "no solo"
            print(f"{name}: {why}; its bleed will be learnt while running")
    return 0
