"""Copy one microphone's chain of plug-ins to others, with all values; a show that runs goes over to it."""

from __future__ import annotations

import argparse

from rtsep.commands._arguments import names


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep show chain` takes."""
    parser.add_argument("folder", metavar="FOLDER", help="of the show; its preset is written, the old is in history/")
    parser.add_argument("--copy", metavar="MIC", required=True, help="whose chain; or a strip of two microphones")
    parser.add_argument("--to", metavar="MIC,…", type=names, required=True, help="who gets it")


def run(args: argparse.Namespace) -> int:
    """Copy it."""
    from rtsep.show import folder, pasting

    path = pasting.paste(folder.load(args.folder), args.copy, args.to)
    print(f"{path}: the chain of {args.copy} is also that of {', '.join(args.to)}")
    return 0
