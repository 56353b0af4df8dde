"""Every system of SYSTEMS.md against its acceptance number."""

from __future__ import annotations

import argparse

from rtsep.commands._arguments import names
from rtsep.commands._printing import print_grid


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep bench systems` takes."""
    parser.add_argument("-o", "--output", metavar="FILE.md", help="write the table as Markdown here")
    parser.add_argument("--only", type=names, default=(), metavar="M,…", help="systems; all by default")


def run(args: argparse.Namespace) -> int:
    """Measure the systems and print the table."""
    from rtsep.atomic import replacing
    from rtsep.bench import systems
    from rtsep.commands._keeping import keep
    from rtsep.control.surfaces.terminal import progress

    with progress("measuring") as advance:
        rows = systems.measure(args.only, advance)
    keep("systems", {"only": args.only}, systems.readings(rows), {})
    if args.output:
        with replacing(args.output) as file:
            file.write(systems.markdown(rows).encode())
    print_grid(*systems.table(rows), 3, "acceptance numbers of SYSTEMS.md")
    return 0
