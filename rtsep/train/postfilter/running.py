"""Running: from simulated concerts to a network and its file, as `rtsep train` and `rtsep export` do it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rtsep.errors import InputError
from rtsep.models.card import Card
from rtsep.train import checkpoint
from rtsep.train.loop import commit
from rtsep.train.postfilter import concerts, exporting
from rtsep.train.postfilter.evidence import setting_of
from rtsep.train.postfilter.fitting import Figures, Fitting
from rtsep.train.postfilter.network import PostFilter
from rtsep.train.postfilter.store import Material

PREFIX = "postfilter-"
"""Of the systems' names; what follows is the preset whose gains are corrected."""

PRESETS = ("monitor", "foh", "record")
SYSTEMS = tuple(PREFIX + preset for preset in PRESETS)

_CONCERTS, _STEPS = 600, 4000      # what a night on two cores is enough for
_EVERY_SECONDS = 300.0             # from one judgement to the next


@dataclass(frozen=True)
class Wanted:
    """What is to be trained; 0 means as many as a night is enough for.

    Parameters
    ----------
    system : str
        One of `SYSTEMS`.
    data : sequence of str
        `synth`, and `cases:DIR` for files of `mix` and `images`.
    scenes, steps, seed : int
        Concerts, batches.
    workers : int
        Processes that make concerts; 0: one for each core.
    """

    system: str
    data: Sequence[str]
    scenes: int = 0
    steps: int = 0
    seed: int = 1
    workers: int = 0


def train(
    wanted: Wanted, folder: Path, cache: Path, advance: Callable[[float], None],
    tell: Callable[[int, int, float, Figures], None],
) -> dict[str, Any]:
    """Make what is missing of the concerts, and train; goes on where it was interrupted.

    Parameters
    ----------
    wanted : Wanted
    folder : Path
        Of the training.
    cache : Path
        Where concerts, and what the network sees of them, are kept.
    advance : callable
        Called with the part of the concerts that is made.
    tell : callable
        Called with batches done and in all, the mean gain of late, and the figures, whenever it is judged.

    Returns
    -------
    dict
        What `run.json` holds.

    Raises
    ------
    InputError
        If the data are of another kind, or the folder holds another training.
    """
    torch.set_num_threads(1)
    preset = wanted.system.removeprefix(PREFIX)
    setting, cases = setting_of(preset), _cases(wanted.data)
    count, steps = wanted.scenes or _CONCERTS, wanted.steps or _STEPS
    told: dict[str, Any] = {
        "system": wanted.system, "data": f"{count} concerts: {', '.join(wanted.data)}", "seed": wanted.seed,
    }
    if (folder / checkpoint.RUN).exists():
        checkpoint.refuse_other(folder, told, checkpoint.read_run(folder))
    paths = concerts.make_all(
        cache / "concerts" / ("with-cases" if cases else "synth"), count, cases, wanted.workers,
        lambda part: advance(part / 2),
    )
    material = Material(paths, cache / f"{preset}-{'with-cases' if cases else 'synth'}", setting,
                        lambda part: advance(0.5 + part / 2))
    fitting = Fitting(material, folder, steps, seed=wanted.seed)
    run = {**told, "steps": steps, "commit": commit()}

    def judged(done: int, gain: float, figures: Figures) -> None:
        _write_run(folder, run, fitting)
        tell(done, steps, gain, figures)

    fitting.run(_EVERY_SECONDS, judged)
    return _write_run(folder, run, fitting)


def _write_run(folder: Path, told: dict[str, Any], fitting: Fitting) -> dict[str, Any]:
    """Write what was told and is reached: figures of the best network, and after how many batches it was that."""
    best = fitting.best
    assert best is not None, "the last batch is judged"
    run = {**told, "done": fitting.done, "best": best.done, "figures": dataclasses.asdict(best.figures)}
    checkpoint.write_run(folder, run)
    return run


def export(folder: Path, path: Path) -> Card:
    """Write the best network of a training as a model file.

    Raises
    ------
    InputError
        If there is none yet, or ONNX computes something else.
    """
    run, weights = checkpoint.read_run(folder), checkpoint.read_weights(folder)
    try:
        network = PostFilter.of(weights)
    except (KeyError, RuntimeError):
        raise InputError(str(folder), "its weights are of another network than its run.json") from None
    preset = str(run["system"]).removeprefix(PREFIX)
    figures = {name: value for name, value in run["figures"].items() if name != "mics"}
    told = exporting.Told(preset, str(run["data"]), int(run["best"]), int(run["seed"]), str(run["commit"]), figures)
    return exporting.export(network, setting_of(preset), told, path)


def _cases(data: Sequence[str]) -> list[str]:
    found: list[str] = []
    for one in data:
        kind, _, place = one.partition(":")
        if kind not in ("synth", "cases") or (kind == "cases") != bool(place):
            raise InputError("--data", f"{one} is not for this system", "allowed are synth and cases:DIR")
        if kind == "cases":
            files = sorted(str(file) for file in Path(place).glob("*.npz"))
            if not files:
                raise InputError("--data", f"there are no cases in {place}", "allowed is a folder of .npz files")
            found += files
    return found
