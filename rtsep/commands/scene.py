"""Write a concert, simulated or of a data set: mics/, images/ (own sound at each mic), sources/."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rtsep.commands._arguments import add_json, positive
from rtsep.commands._printing import print_json, print_numbers
from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.scenes import Scene


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep scene` takes."""
    parser.add_argument("output", metavar="OUT", help="folder to make")
    parser.add_argument("--kind", default="room", metavar="KIND", help="linear, linear-moving, room, room-moving, hall")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="which concert (1)")
    parser.add_argument("--mics", type=int, default=6, metavar="N", help="microphones (6)")
    parser.add_argument("--seconds", type=positive, metavar="S", help="length (20; with --bleed 10; otherwise all)")
    parser.add_argument("-r", "--samplerate", type=int, metavar="RATE", help="Hz (48000; with --bleed 22050)")
    parser.add_argument("--soundcheck", type=float, default=0.0, metavar="S",
                        help="seconds of each source alone, first")
    parser.add_argument("--from", dest="origin", metavar="DIR", help="a data set, in place of a simulated band")
    parser.add_argument("--dataset", default="folder", metavar="D", help="musdb (HQ), dsd100, saraga, folder (folder)")
    parser.add_argument("--track", type=int, default=1, metavar="N", help="which song of it (1)")
    parser.add_argument("--start", type=float, default=0.0, metavar="S", help="where in the song (0)")
    parser.add_argument("--bleed", default="none", metavar="B", help="put on it: none, linear (gains), room (none)")
    add_json(parser, "what was written")


def run(args: argparse.Namespace) -> int:
    """Write the scene."""
    from rtsep.scenes import write_scene

    scene = _made(args) if args.origin is None else _read(args)
    write_scene(scene, args.output)
    rows = [{"mic": n, "sir_db": float(s)} for n, s in zip(scene.names, scene.sir_db, strict=True)]
    if args.json:
        shown = rows if scene.known else [{"mic": name, "sir_db": None} for name in scene.names]
        return print_json({"scene": args.output, "kind": scene.kind, "seed": scene.seed, "mics": shown})
    if scene.known:
        print_numbers(rows, ("sir_db",), f"written: {args.output}")
    else:
        print(f"{args.output}: {', '.join(scene.names)}; nobody knows what they should have heard")
    return 0


def _made(args: argparse.Namespace) -> Scene:
    """Simulate a band."""
    from rtsep.scenes import make_scene

    if args.bleed != "none":
        raise InputError("--bleed", "it is put on the songs of a data set", "name one with --from")
    seconds, rate = args.seconds or 20.0, 48000 if args.samplerate is None else args.samplerate
    return make_scene(args.kind, args.seed, args.mics, seconds, rate, args.soundcheck)


def _read(args: argparse.Namespace) -> Scene:
    """Take a song of a data set."""
    from rtsep.datasets import find_tracks, read_scene

    tracks = find_tracks(args.origin, args.dataset)
    if not 1 <= args.track <= len(tracks):
        raise InputError("--track", f"there is no {args.track}", f"allowed is 1 to {len(tracks)}")
    track = tracks[args.track - 1]
    return read_scene(track, args.bleed, args.samplerate, args.start, args.seconds, args.seed)
