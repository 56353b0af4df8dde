"""Train and measure all that the bleed papers' tables need, on stand-in material: hours on one core.

    python bench/cleaning.py FOLDER [--cache DIR] [--only PLACE …] [--minutes M] [--tracks N]

Each training goes on where it was interrupted, and what is trained is not trained again. `--minutes` ends each training
early, `--only` takes some of them (`linear/cae/vocals`). At last `rtsep bench cleaning` measures and writes
bench/cleaning.md.

Widths are what two slow cores can train in an evening: the CAE has 8 and 16 filters (published 32 and 64, four times
the work), the U-nets a quarter of the filters (a sixteenth of the work), the separator 6 levels of 12 filters
(published 12 of 24). On room bleed all are fine-tuned from linear bleed, the papers' suffix F.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rtsep.cli import main

STEMS = ("vocals", "bass", "drums", "other")

LINEAR = "--data synth --seed 1 --scenes 200 --bleed linear"
ROOM = "--data synth --seed 1 --scenes 80 --bleed room"
CAE = "--system cae --set filters=(8,16) --every 50 --patience 100"
T_UNET = "--system t-unet --set filters=(4,8,16,32,64) --set dense=(128,64,32) --batch 8 --rate 0.002 --patience 100"
U_NET = "--set width=4 --batch 2 --frames 8192 --rate 0.002 --every 50 --patience 100"
SEPARATOR = (
    "--system wave-u-net --set levels=6 --set width=12 --batch 2 --frames 8192 --rate 0.002 --every 50 --patience 100 "
    "--data synth --seed 1 --scenes 40 --bleed none --steps 400"
)


def trainings() -> dict[str, str]:
    """Return what `rtsep train` is told for each model, by the model's place."""
    found = {"linear/cae/vocals": f"{CAE} {LINEAR} --stem vocals --steps 500"}
    for stem in STEMS[1:]:
        found[f"linear/cae/{stem}"] = f"{CAE} {LINEAR} --stem {stem} --start linear/cae/vocals --steps 400"
    found["linear/t-unet"] = f"{T_UNET} {LINEAR} --steps 400 --every 50"
    found["linear/df-unet"] = f"--system df-unet {U_NET} {LINEAR} --steps 1000"
    found["linear/df-unet-gat"] = f"--system df-unet-gat {U_NET} {LINEAR} --start linear/df-unet --steps 400"
    for name in list(found):
        system = name.split("/")[1]
        told = {"cae": f"{CAE} --stem {name.split('/')[-1]}", "t-unet": T_UNET + " --every 50"}
        steps = "--steps 200 --start " + name
        found[name.replace("linear", "room")] = f"{told.get(system, f'--system {system} {U_NET}')} {ROOM} {steps}"
    found["wave-u-net"] = SEPARATOR
    return found


def run(given: list[str]) -> int:
    """Train, export and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache")
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--minutes", default="")
    parser.add_argument("--tracks", default="20")
    args = parser.parse_args(given)
    cache = ["--cache", args.cache] if args.cache else []
    for place, told in trainings().items():
        if args.only and place not in args.only:
            continue
        words = told.split()
        if "--start" in words:
            at = words.index("--start") + 1
            words[at] = str(args.folder / "trainings" / words[at])
        trained, model = args.folder / "trainings" / place, (args.folder / place).with_suffix(".onnx")
        minutes = ["--minutes", args.minutes] if args.minutes else []
        model.parent.mkdir(parents=True, exist_ok=True)
        if main(["train", *words, "-o", str(trained), "--workers", "1", *minutes, *cache]):
            return 1
        if main(["export", str(trained), "-o", str(model)]):
            return 1
    if args.only:
        return 0
    return main(["bench", "cleaning", str(args.folder), "--tracks", args.tracks, "-o", "bench/cleaning.md", *cache])


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
