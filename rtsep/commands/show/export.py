"""Write a show as one file that needs nothing else, or as JSON."""

from __future__ import annotations

import argparse

from rtsep.commands._arguments import add_json
from rtsep.commands._printing import print_json
from rtsep.errors import InputError


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep show export` takes."""
    parser.add_argument("folder", metavar="FOLDER", help="of the show")
    parser.add_argument("-o", "--output", metavar="FILE.zip", help="written, with the presets that it needs")
    add_json(parser, "all of it, instead")


def run(args: argparse.Namespace) -> int:
    """Export it."""
    from rtsep.show import export, folder

    show = folder.load(args.folder)
    if args.output is None and not args.json:
        raise InputError("rtsep show export", "there is no -o", "say -o FILE.zip, or --json")
    if args.output is not None:
        count = export.pack(show, args.output)
        if not args.json:
            print(f"{args.output}: {count} files of show {show.name}")
    return print_json(export.told(show)) if args.json else 0
