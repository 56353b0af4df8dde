"""Make the folder of a new show."""

from __future__ import annotations

import argparse
from pathlib import Path

from rtsep.commands._arguments import add_preset, names


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep show new` takes."""
    parser.add_argument("folder", metavar="FOLDER", help="a new or an empty one")
    add_preset(parser, "live")
    parser.add_argument("--mics", type=names, default=(), metavar="NAME,…", help="the microphones, from channel 1 on")
    parser.add_argument("--name", metavar="TEXT", help="the folder's by default")
    parser.add_argument("--example", action="store_true", help="a copy of the show that comes with rtsep, to look at")


def run(args: argparse.Namespace) -> int:
    """Make it."""
    from rtsep.show import folder

    if args.example:
        show = folder.copy_example(args.folder)
    else:
        show = folder.create(args.folder, args.name or Path(args.folder).name, args.preset, args.mics)
    mics = f"{len(show.mics)} microphones" if show.mics else "the device's microphones"
    print(f"{args.folder}: show {show.name}, preset {show.preset}, {mics}, {len(show.cues)} snapshots")
    print(f"rtsep run --show {args.folder}")
    return 0
