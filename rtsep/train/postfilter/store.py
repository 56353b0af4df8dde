"""Evidence on disk: a folder for each concert, a file for each array, of which only what is drawn is read."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rtsep.atomic import new_folder
from rtsep.errors import InputError
from rtsep.train.postfilter import concerts
from rtsep.train.postfilter.evidence import Evidence, Setting, Values, evidence
from rtsep.train.postfilter.sums import Rule

_PART_SECONDS = 2.5       # of a concert in a batch: many short ones teach more than few long ones
_PARTS = 8                # in a batch
_KEPT_SECONDS = 9.0       # of each concert
_EARLIEST = 1.0           # s: before it the canceller has hardly begun
_HELD_OUT = 12            # one concert of so many is never learnt from
_CHECKED = "checked"       # a file beside the evidence of a concert that began after a soundcheck
_HALVES = ("seen", "odds", "weighed")   # kept as float16: what is about 1


class Material:
    """Evidence of concerts.

    Parameters
    ----------
    paths : sequence of Path
        Concerts.
    folder : Path
        Where their evidence is kept; what is there is not made again.
    setting : Setting
    advance : callable
        Called with the part that is done.
    """

    def __init__(self, paths: Sequence[pathlib.Path], folder: pathlib.Path, setting: Setting,
                 advance: Callable[[float], None]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.setting, self.rule = setting, Rule.of(setting)
        self.paths = []
        for number, path in enumerate(paths):
            to = folder / path.stem
            if not to.exists():
                _keep(concerts.load(path), setting, number, to)
            self.paths.append(to)
            advance((number + 1) / len(paths))
        self.held_out = [path for n, path in enumerate(self.paths) if n % _HELD_OUT == _HELD_OUT // 2]
        learnt = [path for path in self.paths if path not in self.held_out]
        # What is clean already is easily made worse, and there are few such concerts.
        self.learnt = learnt + [path for path in learnt if (path / _CHECKED).exists()]

    def draw(self, rng: np.random.Generator) -> list[Evidence]:
        """Return the parts of a batch."""
        steps = round(_PART_SECONDS * 1000 / self.setting.step_ms)
        parts = []
        for place in rng.integers(len(self.learnt), size=_PARTS):
            kept = _open(self.learnt[place])
            parts.append(_read(kept.part(int(rng.integers(max(1, kept.seen.shape[1] - steps))), steps)))
        return parts


def read(path: pathlib.Path) -> Evidence:
    """Read evidence that has been kept."""
    return _read(_open(path))


def read_seen(path: pathlib.Path) -> Values:
    """Read what the network sees, alone."""
    return _single(_array(path, "seen"))


def _keep(concert: concerts.CleanedConcert, setting: Setting, number: int, to: pathlib.Path) -> None:
    rng = np.random.default_rng([number, 5])
    last = concert.heard.shape[1] / concerts.RATE - _KEPT_SECONDS
    found = evidence(concert, setting, float(rng.uniform(_EARLIEST, max(_EARLIEST, last))), _KEPT_SECONDS)
    with new_folder(to) as beside:
        for name, values in dataclasses.asdict(found).items():
            np.save(beside / f"{name}.npy", values.astype(np.float16) if name in _HALVES else values)
        if concert.checked:
            (beside / _CHECKED).touch()


def _open(path: pathlib.Path) -> Evidence:
    """Return evidence where it lies."""
    return Evidence(**{field.name: _array(path, field.name) for field in dataclasses.fields(Evidence)})


def _array(path: pathlib.Path, name: str) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(path / f"{name}.npy", mmap_mode="c")   # torch takes nothing read-only
        return found
    except (OSError, ValueError) as error:
        raise InputError(str(path), f"is damaged: {error}", "remove it: it is made again") from None


def _read(kept: Evidence) -> Evidence:
    return Evidence(**{field.name: _single(getattr(kept, field.name)) for field in dataclasses.fields(Evidence)})


def _single(kept: NDArray[Any]) -> Values:
    """Read an array; torch widens halves in a third of NumPy's time."""
    found: Values = torch.from_numpy(np.asarray(kept)).to(torch.float32, copy=True).contiguous().numpy()
    return found
