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
    from rtsep.hosts import devices, jackclient
    from rtsep.hosts.hostapis import JACK, PORTAUDIO

    found = [
        {**device, "label": label, "via": via}
        for via, table in ((PORTAUDIO, devices.devices()), (JACK, jackclient.devices()))
        for device, label in zip(table, devices.labels(table), strict=True)
    ]
    if args.json:
        return print_json(found)
    if not found:
        print("no sound device; start a JACK server or plug one in (rtsep demo and rtsep render need none)")
    for device in found:
        number = device["label"].removeprefix(f"{device['host_api']}:{device['name']}")
        option = "" if device["via"] == PORTAUDIO else f"   (--host-api {device['via']})"
        print(
            f"{device['host_api']}: {device['name']}{number}   {device['inputs']} in, {device['outputs']} out, "
            f"{device['default_rate']:g} Hz{option}"
        )
    return 0
