"""MIDI ports of this machine."""

from __future__ import annotations

import argparse

from rtsep.commands._arguments import add_json, add_midi_api
from rtsep.commands._printing import print_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep midi list` takes."""
    add_midi_api(parser)
    add_json(parser, "the list")


def run(args: argparse.Namespace) -> int:
    """List the ports."""
    from rtsep.control.midi.carrier import names

    found = names(args.api)
    if args.json:
        return print_json(found)
    if not found["inputs"] + found["outputs"]:
        print("no MIDI port; plug a device in")
    for name in found["inputs"]:
        print(f"in    {name}")
    for name in found["outputs"]:
        print(f"out   {name}")
    return 0
