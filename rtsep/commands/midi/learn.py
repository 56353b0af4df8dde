"""Have a control turn something: move it, and it is written into a mapping."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from rtsep.commands._arguments import add_midi_api, positive
from rtsep.errors import DeviceError

if TYPE_CHECKING:
    from rtsep.control.midi.learn import Found

_MODES = ("absolute", "pickup", "relative", "toggle", "momentary", "note")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep midi learn` takes."""
    parser.add_argument("path", metavar="PATH", help="output.gain_db.vox, next, previous, a snapshot, or snapshots")
    parser.add_argument("-o", "--output", required=True, metavar="MAP.toml", help="made, or one entry of it changed")
    parser.add_argument("--port", default="", metavar="NAME", help="part of the port's name; any by default")
    parser.add_argument("--mode", default="", choices=_MODES, help="what moves mean; as it seems by default")
    parser.add_argument("--seconds", type=positive, metavar="S", help="give up after; never by default")
    add_midi_api(parser)


def run(args: argparse.Namespace) -> int:
    """Wait for a control, and write it down."""
    from rtsep.atomic import check_writable
    from rtsep.control.midi import learn

    learn.check_path(args.path)
    check_writable(args.output)
    sys.stderr.write("move the control from end to end, and back\n")
    found, name, output = _moved(args)
    port = args.port or name
    new = learn.entry(found, args.path, port, args.mode)
    learn.write(args.output, args.path, new, (port, "" if port in output else output))
    print(f"{args.output}: {args.path} is {found}, of {name}")
    return 0


def _moved(args: argparse.Namespace) -> tuple[Found, str, str]:
    """Return what was moved, and the names of its port and of where that is answered."""
    from rtsep.control.midi.carrier import Carrier
    from rtsep.control.midi.learn import QUIET, Recogniser
    from rtsep.control.midi.mapping import Port
    from rtsep.control.midi.parse import Parser

    until = None if args.seconds is None else time.monotonic() + args.seconds
    ports: dict[str, Recogniser] = {}
    named: dict[str, tuple[str, str]] = {}
    last: float | None = None
    carrier = Carrier((Port(args.port, args.port),) if args.port else (), args.api)
    try:
        while until is None or time.monotonic() < until or last is not None:
            for news in carrier.read(0.1):
                if news.kind == "problem":
                    raise DeviceError(f"no MIDI: {news.content['problem']}")
                if news.kind == "opened":
                    ports[news.key] = Recogniser()
                    named[news.key] = news.key if not args.port else news.content["name"], news.content["output"]
                elif news.kind == "message":
                    for message in Parser().feed(news.data):
                        ports[news.key].take(message)
                        last = time.monotonic()
            if last is not None and time.monotonic() - last > QUIET:
                for key, recogniser in ports.items():
                    found = recogniser.found()
                    if found is not None and (found.kind == "program") == (args.path == "snapshots"):
                        return found, *named[key]
                last = None
    finally:
        carrier.close()
    raise DeviceError("no control was moved" + (f"; is there a port {args.port!r}?" if args.port and not named else ""))
