"""Sound devices of this machine."""

from __future__ import annotations

import argparse

from rtsep.commands._arguments import add_json
from rtsep.commands._printing import print_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep devices` takes."""
    add_json(parser, "the list")


def run(args: argparse.Namespace) -> int:
    """List the devices."""
    from rtsep.hosts.devices import devices, labels

    found = devices()
    if args.json:
        return print_json([{**device, "label": label} for device, label in zip(found, labels(found), strict=True)])
    if not found:
        print("no sound device; start a JACK server or plug one in (rtsep demo and rtsep render need none)")
    for device, label in zip(found, labels(found), strict=True):
        number = label.removeprefix(f"{device['host_api']}:{device['name']}")
        print(
            f"{device['host_api']}: {device['name']}{number}   {device['inputs']} in, {device['outputs']} out, "
            f"{device['default_rate']:g} Hz"
        )
    return 0
