"""Look at this machine before a show: real time, devices, disk, plug-ins, and whether the preset fits."""

from __future__ import annotations

import argparse
import dataclasses
import sys

from rtsep.commands._arguments import add_json, add_preset, names
from rtsep.commands._printing import print_json
from rtsep.errors import InputError
from rtsep.hosts import hostapis

_RATE = 48000   # Hz, where nobody says one
_MARKS = {"good": "ok  ", "warning": "warn", "bad": "BAD "}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep doctor` takes."""
    add_preset(parser, "live")
    parser.add_argument("--mics", type=int, default=32, metavar="N", help="how many microphones there will be (32)")
    parser.add_argument("-b", "--blocksize", type=int, metavar="BLOCK", help="frames; the preset's by default")
    parser.add_argument("-r", "--samplerate", type=int, metavar="RATE", help="Hz (48000, or the JACK server's)")
    parser.add_argument(
        "--host-api", choices=hostapis.NAMES, default=hostapis.PORTAUDIO, help="as `rtsep run` takes it"
    )
    parser.add_argument("-i", "--input-device", metavar="DEV", help="as `rtsep run` takes it")
    parser.add_argument("-o", "--output-device", metavar="DEV", help="as `rtsep run` takes it")
    parser.add_argument("--record", default=".", metavar="DIR", help="where a recording would be (here)")
    parser.add_argument("--midi", type=names, default=(), metavar="PORT,…", help="MIDI ports that must be there")
    add_json(parser, "what was found")


def run(args: argparse.Namespace) -> int:
    """Look, say, and return 1 if a show should not begin like this."""
    from rtsep import doctor, presets
    from rtsep.doctor.server import Server, ask
    from rtsep.limits import check_mics, check_rate
    from rtsep.session import block_size, check_block

    preset = presets.load(args.preset)
    block, rate = block_size(preset, args.blocksize), args.samplerate or _RATE
    server: Server | str = ""
    if args.host_api == hostapis.JACK:
        if args.blocksize is not None:
            raise InputError("--blocksize", str(block), "none with --host-api jack: the server's period is it")
        server = ask()
        if isinstance(server, Server):
            block, rate = server.period, server.rate
    if args.mics < 1:
        raise InputError("--mics", str(args.mics), "allowed is 1 or more")
    check_mics("--mics", args.mics)
    check_rate("--samplerate", rate)
    if not server:
        check_block(preset, block, "--blocksize")
    question = doctor.Question(
        preset, args.mics, block, rate, args.input_device, args.output_device, args.record, args.midi,
        args.host_api, server, args.samplerate,
    )
    found = []
    for finding in doctor.examine(question):
        found.append(finding)
        if not args.json:
            print(f"{_MARKS[finding.verdict]} {finding.check}: {finding.text}")
            if finding.advice:
                print(f"     → {finding.advice}")
            sys.stdout.flush()
    bad = sum(finding.verdict == doctor.BAD for finding in found)
    if args.json:
        print_json({"good": not bad, "findings": [dataclasses.asdict(finding) for finding in found]})
    else:
        warned = sum(finding.verdict == doctor.WARN for finding in found)
        print(f"{bad} bad, {warned} to think about" if bad or warned else "all good")
    return 1 if bad else 0
