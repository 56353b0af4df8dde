"""Models: time per call, memory and warm-up, by provider and number of mics."""

from __future__ import annotations

import argparse

from rtsep.commands._arguments import add_json, names, positive
from rtsep.commands._printing import print_grid, print_json
from rtsep.errors import InputError


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep bench models` takes."""
    parser.add_argument("models", nargs="+", metavar="FILE", help="model files (.onnx)")
    parser.add_argument("--providers", type=names, default=(), metavar="P,…", help="cpu, cuda, tensorrt (all)")
    parser.add_argument("--mics", type=names, default=(), metavar="N,…", help="numbers (1,2,4,8,16,32,64)")
    parser.add_argument("--seconds", type=positive, default=2.0, metavar="S", help="of each measurement (2)")
    parser.add_argument("--paced", action="store_true", help="call at a stream's pace, not back to back")
    parser.add_argument("-o", "--output", metavar="FILE.md", help="write the table as Markdown here")
    add_json(parser, "everything")


def run(args: argparse.Namespace) -> int:
    """Measure the models and print the table."""
    from dataclasses import asdict

    from rtsep.atomic import replacing
    from rtsep.bench import models
    from rtsep.commands._keeping import keep
    from rtsep.control.surfaces.terminal import progress
    from rtsep.models.session import demand_runtime

    demand_runtime("bench models")
    if not all(text.isdecimal() and 1 <= int(text) <= models.MICS[-1] for text in args.mics):
        raise InputError("--mics", ",".join(args.mics), f"allowed are numbers from 1 to {models.MICS[-1]}")
    mics = tuple(map(int, args.mics)) or models.MICS
    providers = args.providers or models.PROVIDERS
    whole = len(args.models) * len(mics) * sum(len(models.ways(provider)) for provider in providers)
    cells = []
    with progress("measuring") as advance:
        for cell in models.measure(args.models, providers, mics, args.seconds, args.paced):
            cells.append(cell)
            advance(len(cells) / whole)
    asked = {"models": args.models, "providers": providers, "mics": mics, "seconds": args.seconds, "paced": args.paced}
    keep("models", asked, models.readings(cells), {"cells": [asdict(cell) for cell in cells]})
    if args.output:
        with replacing(args.output) as file:
            file.write(models.markdown(cells).encode())
    if args.json:
        return print_json([asdict(cell) for cell in cells])
    print_grid(*models.table(cells), 3, "share: p99 of the time between two calls")
    return 0
