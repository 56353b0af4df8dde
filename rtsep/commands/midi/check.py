"""Check a mapping without running it."""

from __future__ import annotations

import argparse

from rtsep.commands._arguments import PRESET, add_json, names
from rtsep.commands._printing import print_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep midi check` takes."""
    parser.add_argument("mapping", metavar="MAP.toml", help="what `rtsep midi learn` writes")
    parser.add_argument("--preset", metavar="P", help=f"and whether it has what is turned; {PRESET}")
    parser.add_argument("--mics", type=names, default=(), metavar="A,B", help="names of the microphones, for that")
    add_json(parser, "the mapping as read")


def run(args: argparse.Namespace) -> int:
    """Check the mapping."""
    import dataclasses

    from rtsep.control.midi.mapping import load

    mapping = load(args.mapping)
    if args.preset is not None:
        from rtsep.control.midi.turning import check

        check(mapping, args.preset, args.mics)
    if args.json:
        return print_json(dataclasses.asdict(mapping))
    programs = "" if mapping.programs is None else ", program changes recall snapshots"
    ports = ", ".join(port.input for port in mapping.ports) or "all"
    print(f"{args.mapping}: mapping is good: controls {len(mapping.controls)}, ports {ports}{programs}")
    return 0
