"""List the snapshots of a show."""

from __future__ import annotations

import argparse

from rtsep.commands._arguments import add_json
from rtsep.commands._printing import print_grid, print_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep show list` takes."""
    parser.add_argument("folder", metavar="FOLDER", help="of the show")
    add_json(parser, "them")


def run(args: argparse.Namespace) -> int:
    """List them, and say which was recalled last."""
    from rtsep.show import folder, keeping

    show = folder.load(args.folder)
    state = keeping.load(show.folder)
    current = None if state is None else state.current
    if args.json:
        return print_json({
            "name": show.name, "current": current,
            "snapshots": [{"number": cue.number, "name": cue.name, "fade_s": cue.fade_s, "values": len(cue.values)}
                          for cue in show.cues],
        })
    rows = [[str(cue.number), cue.name, ", ".join(cue.scope), f"{cue.fade_s:g}", str(len(cue.values)),
             "last" if cue.number == current else ""] for cue in show.cues]
    print_grid(("number", "name", "scope", "fade s", "values", ""), rows, 3, f"snapshots of {show.name}")
    if not rows:
        print(f"{show.name} has no snapshots yet")
    return 0
