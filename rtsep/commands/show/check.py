"""Check a show without running it."""

from __future__ import annotations

import argparse

from rtsep.commands._arguments import add_json
from rtsep.commands._printing import print_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep show check` takes."""
    parser.add_argument("folder", metavar="FOLDER", help="of the show")
    add_json(parser, "the show as read, and what of it has no place")


def run(args: argparse.Namespace) -> int:
    """Check it."""
    from rtsep.show import export, folder, keeping

    show = folder.load(args.folder)
    notes = folder.notes(show)
    keeping.load(show.folder)
    if args.json:
        return print_json({**export.told(show), "notes": notes})
    for note in notes:
        print(note)
    print(f"{args.folder}: show {show.name} is good: preset {show.preset}, {len(show.mics)} microphones, "
          f"{len(show.cues)} snapshots")
    return 0
