"""Train a network of a separation system on concerts with known truth; goes on where it was interrupted."""

from __future__ import annotations

import argparse
import ast
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtsep.commands._arguments import add_json, positive
from rtsep.commands._printing import print_json
from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.train.loop import Progress
    from rtsep.train.material import Material
    from rtsep.train.recipe import Recipe
    from rtsep.train.store import Concert

_SAID_S = 10.0   # between lines where there is no terminal


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep train` takes."""
    parser.add_argument("--system", metavar="NAME", help="what to train; --list shows all")
    parser.add_argument("--data", action="append", default=[], metavar="D",
                        help="synth, musdb:DIR, dsd100:DIR, saraga[:DIR], cases:DIR or a folder of stems; repeatable")
    parser.add_argument("-o", "--output", metavar="DIR", help="folder of the training")
    parser.add_argument("--stem", default="", metavar="S", help="whose network, where each stem has its own")
    parser.add_argument("--sounding", type=float, default=0.0, metavar="X",
                        help="share of examples in which the stem has to sound, 0 to 1 (0)")
    parser.add_argument("--bleed", default="linear", metavar="B", help="none, linear, room, rooms (linear)")
    parser.add_argument("--off", nargs=2, type=float, metavar=("A", "B"), help="gains of others, linear (0.05 0.31)")
    parser.add_argument("--own", nargs=2, type=float, metavar=("A", "B"), help="own gains, linear (0.6 1)")
    parser.add_argument("--scenes", type=int, default=0, metavar="N", help="concerts of each --data (synth: 100; all)")
    parser.add_argument("--seconds", type=positive, default=10.0, metavar="S", help="of a concert (10)")
    parser.add_argument("--mics", type=int, default=4, metavar="N", help="of synth (4)")
    parser.add_argument("--steps", type=int, default=0, metavar="N", help="steps at most")
    parser.add_argument("--epochs", type=int, default=0, metavar="N", help="epochs at most (the source's)")
    parser.add_argument("--batch", type=int, default=0, metavar="N", help="examples in a step (the source's)")
    parser.add_argument("--frames", type=int, default=0, metavar="N", help="length of an example (the source's)")
    parser.add_argument("--every", type=int, default=0, metavar="N", help="steps between checkpoints (an epoch)")
    parser.add_argument("--patience", type=int, default=0, metavar="N", help="checkpoints without gain (the source's)")
    parser.add_argument("--causal", action="store_true", help="the variant that runs live")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="an option of the network")
    parser.add_argument("--start", default="", metavar="DIR", help="a training whose weights to start from (fine-tune)")
    parser.add_argument("--rate", type=positive, default=0.0, metavar="X", help="of learning (the source's)")
    parser.add_argument("--minutes", type=positive, default=0.0, metavar="M", help="stop after; can go on")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of material and training (1)")
    parser.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda (auto)")
    parser.add_argument("--precision", default="auto", metavar="P", help="auto, float32, mixed (auto: mixed on cuda)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of the CPU while training (1)")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that make concerts (all cores)")
    parser.add_argument("--cache", metavar="DIR", help="where made concerts are kept (~/.cache/rtsep/concerts)")
    parser.add_argument("--list", action="store_true", help="what can be trained")
    add_json(parser, "the result")


def run(args: argparse.Namespace) -> int:
    """Make what is missing of the concerts, and train."""
    need_torch("train")
    from rtsep.train.postfilter.running import SYSTEMS as OWN
    from rtsep.train.recipe import RECIPES

    if args.list:
        return _list()
    if not (args.system and args.data and args.output):
        raise InputError("train", "it needs --system, --data and -o", "or --list to see all systems")
    if args.system not in (*RECIPES, *OWN):
        raise InputError("--system", f"there is no {args.system}", "known: " + ", ".join((*RECIPES, *OWN)))
    if Path(args.output).is_file():
        raise InputError(args.output, "is a file", "allowed is a folder")
    for name, least in (("threads", 1), ("workers", 0), ("steps", 0), ("epochs", 0), ("batch", 0), ("frames", 0),
                        ("every", 0), ("patience", 0), ("seed", 0)):
        if getattr(args, name) < least:
            raise InputError(f"--{name}", f"{getattr(args, name)} is too small", f"allowed is {least} or more")
    if args.system in OWN:
        return _train_own(args)
    recipe = RECIPES[args.system]
    options = _options(args.set)
    recipe.build(args.causal, **options)   # what is wrong with it is said before an hour of making concerts
    concerts, unseen, data = _concerts(args, recipe)
    return _train(args, recipe, options, concerts, unseen, data)


def need_torch(verb: str) -> None:
    """Refuse with the one install command where torch, or what exports need, is missing."""
    import importlib.util

    for name in ("torch", "onnx", "onnxruntime")[: 1 if verb == "train" else 3]:
        if importlib.util.find_spec(name) is None:
            raise InputError(f"rtsep {verb}", f"{name} is not installed", "pip install 'rtsep[train,cpu]'")


def _concerts(args: argparse.Namespace, recipe: Recipe) -> tuple[list[Concert], list[Concert], str]:
    """Return the concerts, those that are not trained on, of each data set some, and in words what they are."""
    from rtsep.control.surfaces.terminal import progress
    from rtsep.train.bleed import OFF, OWN
    from rtsep.train.material import Material
    from rtsep.train.store import collect, default_cache, hold_out

    cache = Path(args.cache) if args.cache else default_cache()
    found: list[Concert] = []
    unseen: list[Concert] = []
    said: list[str] = []
    for data in args.data:
        material: Material = Material(
            data, args.bleed, recipe.rate, args.seconds, args.scenes, args.mics, args.seed,
            tuple(args.off or OFF), tuple(args.own or OWN),
        )
        with progress(f"concerts of {data}") as advance:
            made = collect(material, cache, args.workers, advance)
        trained, held = hold_out(made)
        found += trained
        unseen += held
        said.append(f"{len(made)} concerts of {args.seconds:g} s, {data.partition(':')[0]}, bleed {args.bleed}")
    return found, unseen, "; ".join(said) + (f"; F: starts from {args.start}" if args.start else "")


def _train(
    args: argparse.Namespace, recipe: Recipe, options: dict[str, Any], concerts: list[Concert],
    unseen: list[Concert], data: str,
) -> int:
    from rtsep.train.loop import Settings, train

    settings = Settings(
        args.steps, args.epochs, args.batch, args.frames, args.seed, args.device, args.precision, args.threads,
        args.every, args.patience, args.stem, args.sounding, args.causal, options, args.start, args.rate, args.minutes,
    )
    with _telling(recipe.name) as tell:
        told = train(recipe, concerts, Path(args.output), settings, data, tell, unseen)
    if args.json:
        return print_json(told)
    reached = ", ".join(f"{name} {value:.4g}" for name, value in told["figures"].items())
    stopped = ", no better for long" if told["stopped_early"] else ""
    print(f"{args.output}: {told['done']} steps{stopped}; {reached}")
    return 0


def _train_own(args: argparse.Namespace) -> int:
    """Train the network that corrects a preset's gains."""
    from rtsep.control.surfaces.terminal import progress
    from rtsep.train.postfilter.fitting import Figures
    from rtsep.train.postfilter.running import Wanted, train
    from rtsep.train.store import default_cache

    def tell(done: int, steps: int, gain: float, figures: Figures) -> None:
        line = f"batch {done} of {steps}, gains {gain:+.2f} dB; on concerts not learnt from {figures.mean:+.2f} " \
               f"({figures.mics} mics, worst {figures.worst:+.2f}), harm {figures.harm:+.2f}"
        print(f"rtsep: {args.system}: {line}", file=sys.stderr, flush=True)

    cache = Path(args.cache) if args.cache else default_cache().parent / "postfilter"
    wanted = Wanted(args.system, args.data, args.scenes, args.steps, args.seed, args.workers)
    with progress("concerts") as advance:
        told = train(wanted, Path(args.output), cache, advance, tell)
    if args.json:
        return print_json(told)
    print(f"{args.output}: {told['done']} batches; {told['figures']['mean']:+.2f} dB over the rule without it")
    return 0


@contextmanager
def _telling(name: str) -> Iterator[Callable[[Progress], None]]:
    """Show how far training is, and how long it takes: on a terminal a bar, otherwise a line every ten seconds."""
    if sys.stderr is not None and sys.stderr.isatty():
        from rtsep.control.surfaces.terminal import progress

        with progress(name) as advance:
            yield lambda p: advance(p.step / p.steps)
        return
    said = [time.monotonic()]

    def tell(p: Progress) -> None:
        if time.monotonic() - said[0] >= _SAID_S or p.step == p.steps:
            said[0] = time.monotonic()
            left = f"{int(p.left_s) // 3600}:{int(p.left_s) // 60 % 60:02d}:{int(p.left_s) % 60:02d} left"
            line = f"step {p.step} of {p.steps}, loss {p.loss:.4g}, validated {p.validated:.4g}, {left}"
            print(f"rtsep: {name}: {line}", file=sys.stderr, flush=True)

    yield tell


def _options(given: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise InputError("--set", f"{text} is no OPTION=VALUE")
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = value
    return found


def _list() -> int:
    from rtsep.commands._printing import print_grid
    from rtsep.train.recipe import RECIPES

    rows = [(r.name, r.kind, r.task, f"{r.rate}", f"{r.parameters:,}".replace(",", " "), r.source)
            for r in RECIPES.values()]
    print_grid(("name", "kind", "task", "Hz", "parameters", "source"), rows, 3, "published form")
    return 0
