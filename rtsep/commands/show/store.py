"""Store a snapshot in a show that is not running: what stood there last, or else its preset's values."""

from __future__ import annotations

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep show store` takes."""
    parser.add_argument("folder", metavar="FOLDER", help="of the show")
    parser.add_argument("name", metavar="NAME", help="of the snapshot; one that is there is stored anew")


def run(args: argparse.Namespace) -> int:
    """Store it."""
    from rtsep.show import folder, storing

    cue, origin = storing.store_offline(folder.load(args.folder), args.name)
    print(f"snapshot {cue.number} {cue.name}: {len(cue.values)} values, {origin}")
    return 0
