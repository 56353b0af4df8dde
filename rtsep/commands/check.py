"""Check a preset without running it, or a model file: what it is, or what it lacks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rtsep.commands._arguments import PRESET, add_json
from rtsep.commands._printing import print_json
from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.presets import Preset


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep check` takes."""
    parser.add_argument("preset", metavar="P", help=f"{PRESET}; or a model, FILE.onnx")
    parser.add_argument("--mics", type=int, metavar="N", help="say how much memory it takes with so many microphones")
    parser.add_argument("-r", "--samplerate", type=int, default=48000, metavar="RATE", help="Hz, for that (48000)")
    add_json(parser, "the preset or the model's card as read")


def run(args: argparse.Namespace) -> int:
    """Check the preset or the model."""
    if Path(args.preset).suffix.lower() == ".onnx":
        return _model(args)
    from rtsep import presets

    preset = presets.load(args.preset)
    taken = None if args.mics is None else _memory(preset, args.mics, args.samplerate)
    if args.json:
        return print_json({
            "name": preset.name, "latency_class": preset.latency_class, "block": preset.host.block,
            "chain": [{"stage": c.stage, "name": c.name, **c.options} for c in preset.chain],
            "params": dict(preset.params), **({} if taken is None else {"memory_bytes": taken}),
        })
    print(f"{args.preset}: preset {preset.name} is good: {', '.join(c.name for c in preset.chain)}")
    if taken is not None:
        print(f"it takes {taken / 1e9:.2f} GB with {args.mics} microphones at {args.samplerate} Hz")
    return 0


def _memory(preset: Preset, mics: int, rate: int) -> int:
    from rtsep.fitting import needed
    from rtsep.limits import check_mics, check_rate
    from rtsep.stage import Format

    if mics < 1:
        raise InputError("--mics", str(mics), "allowed is 1 or more")
    check_mics("--mics", mics)
    check_rate("--samplerate", rate)
    return needed(preset, Format(rate, mics))


def _model(args: argparse.Namespace) -> int:
    from rtsep.models.describe import lines, summary, tried
    from rtsep.models.file import open_model

    if args.mics is not None:
        raise InputError("--mics", "is for presets", "leave it out for a model")
    model = open_model(args.preset)
    ran = tried(model)
    if args.json:
        return print_json({**summary(model), "ran": ran})
    for line in lines(model):
        print(line)
    print(ran)
    return 0
