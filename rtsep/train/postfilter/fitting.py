"""Fitting: the network is moved to gains that leave less of the bleed than the rule does, and no more harm."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rtsep.train import checkpoint
from rtsep.train.postfilter.evidence import Evidence, Setting
from rtsep.train.postfilter.network import PostFilter
from rtsep.train.postfilter.store import Material, read, read_seen
from rtsep.train.postfilter.sums import Rule, left, whole

# With 3 every step is timid, in parts of 2.5 s; with a harm of 0.2 some mics lose 8 dB of it.
_LOSERS = 2.0             # who gains less than the rule counts as many times
_HARM, _HARM_FREE_DB = 0.4, 0.2   # weight of harm that is more than the rule's, and how much more is free
_AUDIBLE = 1e-4           # truth beside what is heard; below it a mic counts as silent
_RATE, _CLIP, _DECAY = 2e-3, 1.0, 0.02   # of Adam; longest gradient; what weights lose
_ANSWERS = 4.0            # times that: of the last layer, which starts at zeros; at 1 it is what everything waits for
_MOST_DB = 12.0           # better than that is not asked for
_EXAMPLES = 40            # concerts that the input's mean and spread are taken from


@dataclass(frozen=True)
class Figures:
    """What a network brings over the rule without it, in concerts that it never saw; dB SI-SDR per mic.

    Parameters
    ----------
    mean, worst, fifth : float
        `fifth`: the fifth percentile.
    harm : float
        Mean change of the harm measure; negative is more harm.
    mics : int
    """

    mean: float
    worst: float
    fifth: float
    harm: float
    mics: int


def gain_db(
    network: PostFilter, parts: Sequence[Evidence], setting: Setting, rule: Rule
) -> tuple[Tensor, Tensor, Tensor]:
    """Return, per audible mic, what the network's gains bring over the rule's, what that changes of harm, its weights.

    Returns
    -------
    gains, harm : float32[mics]
        dB; of harm, more is better.
    weights : float32[mics, steps, WEIGHTS, BANDS]
    """
    most = max(len(part.seen) for part in parts)
    steps = parts[0].seen.shape[1]
    seen = torch.zeros(len(parts), most, steps, *parts[0].seen.shape[2:])
    there = torch.zeros(len(parts), most)
    for n, part in enumerate(parts):
        seen[n, : len(part.seen)] = torch.from_numpy(part.seen)
        there[n, : len(part.seen)] = 1
    answers, _, _ = network(seen, there)
    lag = setting.step.lag
    used = torch.cat([torch.zeros_like(answers[:, :, :lag]), answers[:, :, :-lag]], 2)
    found = [_of_part(used[n, : len(part.seen)], part, rule) for n, part in enumerate(parts)]
    return torch.cat([one[0] for one in found]), torch.cat([one[1] for one in found]), answers


def _of_part(weights: Tensor, part: Evidence, rule: Rule) -> tuple[Tensor, Tensor]:
    power, truth = whole(part, rule)
    audible = truth > _AUDIBLE * power
    with torch.no_grad():
        before = _scores(left(torch.zeros_like(weights), part, rule), power, truth)
    after = _scores(left(weights, part, rule), power, truth)
    return (after[0] - before[0])[audible], (after[1] - before[1])[audible]


def _scores(sums: tuple[Tensor, Tensor, Tensor], power: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return SI-SDR and harm, dB: both of the spectrum, windows overlapping."""
    truth = truth + 1e-5 * power + 1e-12
    alike = (sums[1] / truth) * (sums[1] / (sums[0] + 1e-6 * power + 1e-12))
    alike = alike.clamp(1e-5, 1 - 1e-6)
    return 10 * torch.log10(alike / (1 - alike)), -10 * torch.log10(sums[2] / truth + 1e-4)


def loss(gains: Tensor, harm: Tensor, weights: Tensor) -> Tensor:
    """Return what is made small: mics that lose count more, and so does harm beyond the rule's."""
    lost = torch.where(gains < 0, _LOSERS * gains, gains.clamp(max=_MOST_DB)).mean()
    return -lost + _HARM * torch.relu(-harm - _HARM_FREE_DB).mean() + 1e-3 * (weights**2).mean()


def judge(network: PostFilter, material: Material) -> Figures:
    """Return what a network brings in the concerts that are held out."""
    gains, harms = [], []
    network.eval()
    with torch.no_grad():
        for path in material.held_out:
            found = gain_db(network, [read(path)], material.setting, material.rule)
            gains.append(found[0].numpy())
            harms.append(found[1].numpy())
    network.train()
    every = np.concatenate(gains)
    return Figures(float(every.mean()), float(every.min()), float(np.percentile(every, 5)),
                   float(np.concatenate(harms).mean()), len(every))


@dataclass(frozen=True)
class Best:
    """The best network so far.

    Parameters
    ----------
    worth : float
        By which networks are compared.
    done : int
        Batches that it had learnt from.
    figures : Figures
    """

    worth: float
    done: int
    figures: Figures


class Fitting:
    """A fit that may be interrupted, and goes on bit for bit from its last checkpoint.

    Parameters
    ----------
    material : Material
    folder : Path
        Of the checkpoint, and of the best weights by the concerts that are held out; see `rtsep.train.checkpoint`.
    steps : int
        Batches in all.
    width, seed : int

    Attributes
    ----------
    done : int
        Batches.
    best : Best or None
        None before it was judged.
    """

    def __init__(self, material: Material, folder: pathlib.Path, steps: int, width: int = 96, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.material, self.steps, self.done = material, steps, 0
        self.best: Best | None = None
        self.network = PostFilter(width).train()
        self._folder, self._seed = folder, seed
        self._batches = _Batches(material, seed, steps)
        answers = list(self.network.weights.parameters())
        rest = [values for name, values in self.network.named_parameters() if not name.startswith("weights.")]
        self._adam = torch.optim.AdamW(
            [{"params": answers, "weight_decay": 0.0}, {"params": rest, "weight_decay": _DECAY}], _RATE
        )
        before = checkpoint.begin(folder)
        if before is None:
            self._scale_input()
        else:
            self._go_on(before)

    def _scale_input(self) -> None:
        some = self.material.learnt[:: max(1, len(self.material.learnt) // _EXAMPLES)]
        seen = np.concatenate([np.concatenate(read_seen(path)) for path in some])
        self.network.shift.copy_(torch.from_numpy(seen.mean((0, 2)))[:, None])
        self.network.scale.copy_(torch.from_numpy(0.7 / (seen.std((0, 2)) + 1e-3))[:, None])

    def step(self) -> float:
        """Learn from one batch, and return what it gained over the rule, dB."""
        part = self.done / self.steps
        warm = min(1.0, self.done / 30 + 0.05)
        for faster, group in zip((_ANSWERS, 1.0), self._adam.param_groups, strict=True):
            group["lr"] = faster * _RATE * warm * (1.0 if part < 0.5 else max(0.03, 2 * (1 - part)))
        batch = self._batches.take(self.done)
        torch.manual_seed(self._seed * self.steps + self.done)   # of what is dropped
        gains, harm, weights = gain_db(self.network, batch, self.material.setting, self.material.rule)
        made = loss(gains, harm, weights)
        self._adam.zero_grad()
        made.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        self._adam.step()
        self.done += 1
        return float(gains.detach().mean())

    def run(self, every: float, tell: Callable[[int, float, Figures], None]) -> None:
        """Learn until all steps are done; `every` so many seconds it is judged, kept, and told."""
        next_look, gains = time.monotonic() + every, []
        while self.done < self.steps:
            gains.append(self.step())
            if time.monotonic() > next_look or self.done == self.steps:
                figures = self.judge()
                tell(self.done, float(np.mean(gains[-100:])), figures)
                next_look = time.monotonic() + every

    def judge(self) -> Figures:
        """Judge the network, keep it if it is the best so far, and write a checkpoint."""
        figures = judge(self.network, self.material)
        worth = figures.mean + 0.5 * min(0.0, figures.fifth)
        if self.best is None or worth > self.best.worth:
            self.best = Best(worth, self.done, figures)
            checkpoint.write_weights(self._folder, self.network.state_dict())
        checkpoint.write_state(self._folder, {
            "network": self.network.state_dict(), "adam": self._adam.state_dict(), "done": self.done,
            "best": dataclasses.asdict(self.best),
        })
        return figures

    def _go_on(self, before: dict[str, Any]) -> None:
        self.network.load_state_dict(before["network"])
        self._adam.load_state_dict(before["adam"])
        best = before["best"]
        self.done, self.best = before["done"], Best(best["worth"], best["done"], Figures(**best["figures"]))


class _Batches:
    """Each drawn from the seed and its own number; the next one is read while this one is learnt from."""

    def __init__(self, material: Material, seed: int, count: int) -> None:
        self._material, self._seed, self._count = material, seed, count
        self._reader = ThreadPoolExecutor(1)
        self._coming: tuple[int, Future[list[Evidence]]] | None = None

    def take(self, number: int) -> list[Evidence]:
        """Return a batch."""
        if self._coming is None or self._coming[0] != number:
            self._read(number)
        assert self._coming is not None
        batch = self._coming[1].result()
        self._coming = None
        if number + 1 < self._count:
            self._read(number + 1)
        return batch

    def _read(self, number: int) -> None:
        rng = np.random.default_rng([self._seed, number])
        self._coming = number, self._reader.submit(self._material.draw, rng)
