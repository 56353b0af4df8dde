"""Every OSC address of a preset, with types, range, unit and meaning."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rtsep.commands._arguments import add_json, add_preset
from rtsep.commands._printing import print_grid, print_json
from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.control.osc.entry import Address

HEADS = ("address", "types", "access", "range", "meaning")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep osc` takes."""
    add_preset(parser, "live")
    parser.add_argument("--mics", default="1", metavar="N", help="how many, or their names: vox,kick (1)")
    parser.add_argument("--list", action="store_true", help="print the addresses, which is all that this verb does")
    parser.add_argument("--markdown", action="store_true", help="print a table for a page")
    add_json(parser, "the list")


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    from rtsep import presets
    from rtsep.control.osc.addresses import listing

    found = listing(presets.load(args.preset), _mics(args.mics))
    if args.json:
        return print_json([
            {"address": a.address, "types": a.types, "access": a.access, "low": a.low, "high": a.high, "unit": a.unit,
             "path": a.path, "help": a.help}
            for a in found.values()
        ])
    rows = [cells(a) for a in found.values()]
    if args.markdown:
        for row in (HEADS, ["---"] * len(HEADS), *rows):
            print("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
        return 0
    print_grid(HEADS, rows, len(HEADS), f"OSC addresses of preset {args.preset}; without a value they are read")
    return 0


def cells(a: Address) -> Sequence[str]:
    """Return what the list says of an address, under `HEADS`."""
    range_ = "" if a.low is None or a.high is None else f"{a.low:g} to {a.high:g} {a.unit}".rstrip()
    return (a.address, a.types, a.access, range_, a.help)


def _mics(text: str) -> tuple[str, ...]:
    from rtsep.limits import check_mics
    from rtsep.names import checked, numbered

    if not text.isdecimal():
        return checked(text.split(","), "--mics")
    if int(text) < 1:
        raise InputError("--mics", text, "allowed is 1 or more")
    check_mics("--mics", int(text))
    return numbered(int(text))
