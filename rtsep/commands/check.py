"""Check a preset without running it."""

from __future__ import annotations

import argparse

from rtsep.commands._arguments import PRESET, add_json
from rtsep.commands._printing import print_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep check` takes."""
    parser.add_argument("preset", metavar="P", help=PRESET)
    add_json(parser, "the preset as read")


def run(args: argparse.Namespace) -> int:
    """Check the preset."""
    from rtsep import presets

    preset = presets.load(args.preset)
    if args.json:
        return print_json({
            "name": preset.name, "latency_class": preset.latency_class, "block": preset.host.block,
            "chain": [{"stage": c.stage, "name": c.name, **c.options} for c in preset.chain],
            "params": dict(preset.params),
        })
    print(f"{args.preset}: preset {preset.name} is good: {', '.join(c.name for c in preset.chain)}")
    return 0
