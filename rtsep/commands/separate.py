"""Any system of separation by name, offline: one file for each part."""

from __future__ import annotations

import argparse

from rtsep.commands._arguments import add_json
from rtsep.commands._printing import compiling_told, print_grid, print_json
from rtsep.errors import InputError


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep separate` takes."""
    parser.add_argument("input", nargs="?", metavar="IN", help="a polyphonic file or a folder of mono files")
    parser.add_argument("-o", "--output", metavar="DIR", help="a new or empty folder")
    parser.add_argument("--method", metavar="M", help="a system's name, see --list")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="an option of the system")
    parser.add_argument("--list", action="store_true", help="all systems; with --method that one and its options")
    add_json(parser, "the report or the list")


def run(args: argparse.Namespace) -> int:
    """Separate the recording, or list the systems."""
    if args.list:
        return _list(args)
    if not (args.input and args.output and args.method):
        raise InputError("separate", "IN, -o and --method are needed", "or --list to see all systems")
    with compiling_told():
        return _separate(args)


def _separate(args: argparse.Namespace) -> int:
    from rtsep.control.surfaces.terminal import progress
    from rtsep.separation import SeparateOptions, separate_files

    with progress("separating") as advance:
        report = separate_files(SeparateOptions(args.input, args.output, args.method, tuple(args.set)), advance)
    if args.json:
        return print_json(report)
    speed = 1 / max(report["realtime_factor"], 1e-9)
    print(f"{args.output}: {', '.join(report['parts'])}; {speed:.1f} times real time")
    return 0


def _list(args: argparse.Namespace) -> int:
    from rtsep.catalogue import SYSTEMS, latency_ms

    if args.method and args.method not in SYSTEMS:
        raise InputError("--method", f"there is no {args.method}", "known: " + ", ".join(SYSTEMS))
    chosen = [system for system in SYSTEMS.values() if args.method in (None, system.name)]
    if args.json:
        return print_json([
            {
                "name": s.name, "section": s.section, "task": s.task, "inputs": s.inputs, "live": s.live,
                "role": s.role, "latency_ms": latency_ms(s), "source": s.source,
                "options": {o.name: o.default for o in s.options},
            }
            for s in chosen
        ])
    if args.method:
        system = chosen[0]
        print(f"{system.name} ({system.section}): {system.task}\ninputs: {system.inputs}\nsource: {system.source}")
        print(f"stream: {system.role}" + (f" (stage {system.live})" if system.live else ""))
        if system.stage:
            print(f"preset {system.live}: {system.stage.hint}")
        for option in system.options:
            print(f"  --set {option.name}={option.default}   {option.help}")
        return 0
    rows = []
    for s in chosen:
        late = latency_ms(s)
        shown = "-" if late is None else f"{late:.1f}"
        rows.append((s.name, s.section, s.task, s.inputs, s.live or "-", shown, s.source))
    heads = ("name", "section", "task", "inputs", "live stage", "ms", "source")
    print_grid(heads, rows, 5, "latency in ms at 48 kHz")
    return 0
