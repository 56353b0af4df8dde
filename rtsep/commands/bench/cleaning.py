"""The bleed papers' tables: what removes bleed of stand-in tracks, how fast, and what that saves a separator."""

from __future__ import annotations

import argparse
from pathlib import Path

from rtsep.commands._arguments import add_json
from rtsep.commands._printing import print_grid, print_json
from rtsep.errors import InputError


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep bench cleaning` takes."""
    parser.add_argument("folder", metavar="FOLDER", help="of trained models (bench/cleaning.py); results go there")
    parser.add_argument("--tracks", type=int, default=20, metavar="N", help="of 10 s, of each kind of bleed (20)")
    parser.add_argument("--cache", metavar="DIR", help="where made tracks are kept (~/.cache/rtsep/concerts)")
    parser.add_argument("-o", "--output", metavar="FILE.md", help="write the tables as Markdown here")
    add_json(parser, "everything")


def run(args: argparse.Namespace) -> int:
    """Measure what is not measured yet and print the tables."""
    from rtsep.atomic import replacing
    from rtsep.bench import cleaning, cleaningpage
    from rtsep.control.surfaces.terminal import progress
    from rtsep.models.session import demand_runtime
    from rtsep.train.store import default_cache

    demand_runtime("bench cleaning")
    if not 1 <= args.tracks <= 1000:
        raise InputError("--tracks", f"{args.tracks} is out of range", "1 to 1000")
    folder, cache = Path(args.folder), Path(args.cache) if args.cache else default_cache()
    with progress("cleaning") as advance:
        results = cleaning.measure(folder, cache, args.tracks, advance)
    names = cleaning.tracks("linear", 1, cache)[0].names
    report = cleaningpage.Report(results, cleaning.example(), names, cleaning.trainings(folder))
    if args.output:
        with replacing(args.output) as file:
            file.write(cleaningpage.markdown(report).encode())
    if args.json:
        return print_json(cleaningpage.told(report))
    print_grid(*cleaningpage.cleaning_rows(report), 3, "cleaned mics")
    print_grid(*cleaningpage.example_rows(report), 1, "four sources, gains of 0.1")
    print_grid(*cleaningpage.separated_rows(report), 3, "a separator trained on clean stems, of the sum of the mics")
    return 0
