"""SDR family, bleed removed and harm, as a table or JSON."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from rtsep.commands._arguments import add_calibration, add_json, add_preset
from rtsep.commands._printing import compiling_told, print_json, print_numbers
from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.comparison import Comparison

    Scored = tuple[Comparison, list[dict[str, Any]], tuple[str, ...], tuple[str, ...]]
    """What to draw, the rows, which columns to print, and who rests."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep evaluate` takes."""
    parser.add_argument("--reference", metavar="DIR", help="true signals")
    parser.add_argument("--estimate", metavar="DIR", help="estimated signals")
    parser.add_argument("--mixture", metavar="DIR", help="microphones before: adds the improvement")
    parser.add_argument("--scene", metavar="DIR", help="a scene: render it with --preset and score it, with harm")
    add_preset(parser, "foh")
    add_calibration(parser)
    parser.add_argument("--skip", type=float, default=4.0, metavar="S",
                        help="seconds not counted after a cold start (4)")
    parser.add_argument("--bss", nargs="?", const="median", metavar="median|mean",
                        help="adds BSS-eval version 4, over windows of 1 s (median)")
    parser.add_argument("--picture", metavar="FILE.png", help="spectrograms and gains before and after")
    add_json(parser, "the figures")


def run(args: argparse.Namespace) -> int:
    """Score a scene or two folders."""
    from rtsep import evaluation

    if args.picture and not args.picture.lower().endswith(".png"):
        raise InputError("--picture", f"{args.picture} is not a PNG", "allowed is FILE.png")
    if args.scene:
        with compiling_told():
            shown, rows, columns, resting = _score_scene(args)
    else:
        shown, rows, columns, resting = _score_folders(args)
    if args.bss:
        columns += evaluation.BSS_COLUMNS
    if args.picture:
        _draw(args.picture, shown, rows)
    mean = evaluation.mean(rows, resting)
    if args.json:
        return print_json({"mics": rows, "mean": mean, "resting": resting})
    note = f"dB; the mean is without {', '.join(resting)}: at rest" if resting else "dB"
    print_numbers(rows, columns, note, mean)
    return 0


def _score_scene(args: argparse.Namespace) -> Scored:
    """Render a scene and score every microphone."""
    from rtsep import evaluation
    from rtsep.comparison import Comparison
    from rtsep.scenes import read_scene
    from rtsep.session import Session

    if args.reference or args.estimate:
        raise InputError("--scene", "it is given together with --reference or --estimate", "give one or the other")
    scene = read_scene(args.scene)
    with Session.open(args.preset, scene.rate, scene.names, args.calibration) as session:
        for note in session.notes:
            print(f"rtsep: {note}", file=sys.stderr)
        heard = evaluation.listen(session.engine, scene)
    rows = evaluation.score(scene, heard, args.skip, args.bss)
    columns = ("si_sdr_before", "si_sdr_after", "improvement", "sdr_after", "bleed_removed", "harm")
    resting = evaluation.resting(scene.images[:, evaluation.counted_from(scene, args.skip) :], scene.names)
    return Comparison(scene.names, scene.rate, scene.images, heard.cleaned, scene.mics), rows, columns, resting


def _score_folders(args: argparse.Namespace) -> Scored:
    """Score estimates against true signals."""
    from rtsep import evaluation
    from rtsep.comparison import read_comparison

    if not (args.reference and args.estimate):
        raise InputError("evaluate", "there is nothing to compare", "give --reference and --estimate, or --scene")
    if args.picture and not args.mixture:
        raise InputError("--picture", "it shows before and after", "name what was before with --mixture")
    shown = read_comparison(args.reference, args.estimate, args.mixture)
    rows = evaluation.compare(shown, args.bss)
    columns = ("sdr", "si_sdr", "si_sir", "si_sar") + (("improvement",) if args.mixture else ())
    return shown, rows, columns, evaluation.resting(shown.truth, shown.names)


def _draw(path: str, comparison: Comparison, rows: list[dict[str, Any]]) -> None:
    from rtsep.atomic import replacing
    from rtsep.picture import draw

    after = [row["si_sdr_after" if "si_sdr_after" in row else "si_sdr"] for row in rows]
    before = [late - row["improvement"] for late, row in zip(after, rows, strict=True)]
    c = comparison
    assert c.mics is not None
    with replacing(path) as file:
        draw(file, c.names, c.rate, c.mics, c.given, c.truth, before, after)
