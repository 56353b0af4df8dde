"""Presets that come with rtsep, or one as a file to begin with."""

from __future__ import annotations

import argparse
from typing import Any

from rtsep.commands._arguments import add_json
from rtsep.commands._printing import print_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep presets` takes."""
    parser.add_argument("preset", nargs="?", metavar="P", help="print it as TOML, with what to know of it")
    add_json(parser, "the list")


def run(args: argparse.Namespace) -> int:
    """List the presets, or print one."""
    from rtsep import presets
    from rtsep.catalogue import CLASS_LIMITS

    if args.preset is not None:
        print(presets.text(args.preset), end="")
        return 0
    found = [presets.load(name) for name in presets.names()]
    rows: list[dict[str, Any]] = [
        {"preset": p.name, "class": p.latency_class, "adds_at_most_ms": CLASS_LIMITS[p.latency_class] * 1000,
         "chain": [c.stage for c in p.chain]}
        for p in found
    ]
    if args.json:
        return print_json(rows)
    for row in rows:
        chain = " → ".join(row["chain"])
        print(f"{row['preset']:<10} adds at most {row['adds_at_most_ms']:g} ms   {chain}")
    return 0
