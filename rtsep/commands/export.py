"""Write a training's best weights as an ONNX file that says what it is, checked: causality, and the same results."""

from __future__ import annotations

import argparse
from pathlib import Path

from rtsep.commands._arguments import add_json
from rtsep.commands._printing import print_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep export` takes."""
    parser.add_argument("input", metavar="DIR", help="folder of `rtsep train`")
    parser.add_argument("-o", "--output", required=True, metavar="FILE.onnx", help="file to write")
    parser.add_argument("--licence", default="", metavar="L", help="of the weights, as SPDX calls it")
    parser.add_argument("--look-ahead", type=int, metavar="N",
                        help="samples that the file declares to look ahead (what the network says); it is refused if "
                             "it looks further")
    add_json(parser, "the card")


def run(args: argparse.Namespace) -> int:
    """Export."""
    from rtsep.commands.train import need_torch

    need_torch("export")
    import dataclasses

    from rtsep.train.checkpoint import read_run
    from rtsep.train.export import export
    from rtsep.train.postfilter import running
    from rtsep.train.postfilter.running import SYSTEMS

    folder = Path(args.input)
    if read_run(folder).get("system") in SYSTEMS:
        card = running.export(folder, Path(args.output))
    else:
        card = export(folder, Path(args.output), args.licence, args.look_ahead)
    if args.json:
        return print_json(dataclasses.asdict(card))
    ahead = "offline only" if card.look_ahead is None else f"looks {card.look_ahead} samples ahead"
    print(f"{args.output}: {card.system}, {card.kind}, {card.rate} Hz, {ahead}, {len(card.states)} states")
    return 0
