"""Altmin: find gains and sources at once, X = Λ S and m = bᵀS, by alternating minimisation (Algorithm 1).

Use it where there is a channel m with all sources and no bleed beside the microphones: isolated feeds, direct boxes, or
a sound check played back; then Λ comes out to a hundredth. Do not use it with a mix made of the same microphones: such
a mix says nothing new, and every gain ends at its lower bound. Do not use it in a room: delays and echoes are no gains.
Nor is the answer unique: gains that differ much from each other come out wrong by some hundredths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import SYSTEMS
from rtsep.errors import InputError
from rtsep.runner import process
from rtsep.stage import Format
from rtsep.stages.unmix import Unmixing, unmixing_of
from rtsep.systems.demix import apply
from rtsep.systems.separator import Audio, Passage, by_name
from rtsep_kernels import altmin as kernels

Matrix = NDArray[np.float64]


_DEFAULTS = SYSTEMS["altmin"].defaults


@dataclass
class Altmin:
    """Alternating minimisation, then the inverse of Λ.

    Parameters
    ----------
    mix : int
        Number of the channel that is the clean mix, from 1; 0 is the last.
    form : str
        `gram` works on the products of the channels, `full` on all samples: the same iterates, as published.
    learn : bool
        Learn b, the gains in the mix; else all are 1.
    low, high : float
        γ1 and γ2, bounds of the gains beside the diagonal.
    tolerance : float
        Ends when the cost moves by no more than this share of the microphones' energy. The published 1e-3 is 1e-7
        of ten seconds at an RMS of 0.1; a share makes the result independent of level and length.
    iterations : int
        At most.
    causal : bool
        As the live stage: the products are forgotten with `memory_s`, and solved again every `every_s`.
    memory_s, every_s : float
        Seconds.

    References
    ----------
    Rajesh & Rajan, "Neural networks for interference reduction in multi-track recordings", WASPAA 2023,
    doi:10.1109/WASPAA58266.2023.10248133, Algorithm 1, with the diagonal of Λ set to 1 and the corrections of
    SYSTEMS.md §0.3.
    """

    mix: int = _DEFAULTS["mix"]
    form: str = _DEFAULTS["form"]
    learn: bool = _DEFAULTS["learn"]
    low: float = _DEFAULTS["low"]
    high: float = _DEFAULTS["high"]
    tolerance: float = _DEFAULTS["tolerance"]
    iterations: int = _DEFAULTS["iterations"]
    causal: bool = _DEFAULTS["causal"]
    memory_s: float = _DEFAULTS["memory_s"]
    every_s: float = _DEFAULTS["every_s"]

    def fit(self, excerpt: Passage) -> None:
        """See `Separator.fit`."""
        excerpt.demand_channels("altmin", 3)
        order = mix_last("altmin", self.mix, len(excerpt.sound), self.low, self.high)
        both = excerpt.sound[order].astype(np.float64)
        power = np.mean(both**2, axis=1)
        if power[-1] <= kernels.FAINT * power[:-1].mean():
            allowed = "allowed is the channel of a clean mix"
            raise InputError("altmin.mix", f"channel {order[-1] + 1} is silent", allowed)
        self._stage: AltminLive | None = None
        if self.causal:
            return
        total = float(np.sum(both[:-1] ** 2))
        limits = (self.learn, self.low, self.high, kernels.RIDGE * total, self.tolerance * total, self.iterations)
        if self.form == "full":
            self.mixing, self.weights, self.count = full_form(both[:-1], both[-1], *limits)
        else:
            self.mixing, self.weights, self.count = gram_form(both @ both.T, *limits)
        self.unmixing = np.eye(len(both))
        mics = order[:-1]
        self.unmixing[np.ix_(mics, mics)] = unmixing_of("altmin", self.mixing)

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; a part for each mic, its own source, and the mix as it is."""
        if not self.causal:
            return by_name(apply(self.unmixing, passage.sound), passage.names)
        if self._stage is None or passage.first == 0:
            self._stage = AltminLive(
                mix=self.mix, learn=self.learn, low=self.low, high=self.high, tolerance=self.tolerance,
                iterations=self.iterations, memory_s=self.memory_s, every_s=self.every_s,
            )
            self._stage.prepare(Format(passage.rate, len(passage.sound)))
        return by_name(process(self._stage, passage.sound), passage.names)


def gram_form(
    gram: Matrix, learn: bool, low: float, high: float, ridge: float, tolerance: float, iterations: int
) -> tuple[Matrix, Matrix, int]:
    """Return Λ, b and the number of iterations from C = Y Yᵀ, float64[mics + 1, mics + 1], of mics and mix.

    Parameters
    ----------
    gram : float64[mics + 1, mics + 1]
    learn, low, high, iterations
        As in `Altmin`.
    ridge, tolerance : float
        η and the least change of the cost, both absolute.
    """
    mics = len(gram) - 1
    mixing, weights = np.zeros((mics, mics)), np.zeros(mics)
    gram = np.ascontiguousarray(gram, np.float64)
    work = np.zeros((4, mics + 1, mics + 1))
    count = kernels.minimise(gram, mixing, weights, learn, low, high, ridge, tolerance, iterations, work)
    return mixing, weights, int(count)


def full_form(
    mics: Matrix, mix: Matrix, learn: bool, low: float, high: float, ridge: float, tolerance: float, iterations: int
) -> tuple[Matrix, Matrix, int]:
    """Return the same from all samples, float64[mics, frames] and float64[frames], as the algorithm is published."""
    k = len(mics)
    unit: Matrix = np.eye(k)
    sources: Matrix = mics.copy()
    weights: Matrix = np.ones(k)
    before = np.inf
    mixing = unit
    for n in range(iterations):
        free = np.linalg.solve(sources @ sources.T + ridge * unit, sources @ mics.T).T
        mixing = np.asarray(np.clip(free, low, high) * (1 - unit) + unit, np.float64)
        both = np.outer(weights, mix) + mixing.T @ mics
        sources = np.asarray(np.linalg.solve(mixing.T @ mixing + np.outer(weights, weights), both), np.float64)
        if learn:
            weights = np.asarray(np.linalg.solve(sources @ sources.T + ridge * unit, sources @ mix), np.float64)
        cost = np.sum((mics - mixing @ sources) ** 2) + np.sum((mix - weights @ sources) ** 2)
        if abs(before - cost) <= tolerance:
            return mixing, weights, n + 1
        before = cost
    return mixing, weights, iterations


def mix_last(place: str, mix: int, channels: int, low: float, high: float) -> NDArray[np.int64]:
    """Return the channels in the order in which they are worked on, the mix last, or refuse the options."""
    if mix > channels:
        raise InputError(f"{place}.mix", f"there is no channel {mix}", f"allowed is 0 (the last) to {channels}")
    if low > high:
        raise InputError(f"{place}.low", f"{low:g} is above high, {high:g}", "allowed is at most high")
    last = (mix or channels) - 1
    return np.array([c for c in range(channels) if c != last] + [last], np.int64)


class AltminLive(Unmixing):
    """The same in the stream: products that are forgotten, solved again and again, applied at once.

    The mix passes as it is. Until a first solution, and while the mix is silent, nothing changes; with one microphone
    beside the mix nothing ever does.

    Parameters
    ----------
    name : str
    mix, learn, low, high, tolerance, iterations, memory_s, every_s
        As in `Altmin`.
    ramp_ms : float
        Time to move to a new matrix.
    max_condition : float
        Λ with a larger condition number is not taken.
    """

    stage = "altmin"
    entry = kernels.altmin
    table = kernels.ALTMIN
    knowledge: Mapping[str, tuple[int, ...]] = {"goal": (0, 1), "gram": (0, 1)}

    def configure(
        self, mix: int, learn: bool, low: float, high: float, tolerance: float, iterations: int, memory_s: float,
        every_s: float, max_condition: float,
    ) -> None:
        """See `Unmixing.configure`."""
        self._mix, self._memory_s, self._every_s = mix, memory_s, every_s
        self.terms = (mix,)
        self._numbers_given = {
            "learn": learn, "low": low, "high": high, "tolerance": tolerance, "iterations": iterations,
            "max_condition": max_condition,
        }

    def _in_place(self, name: str, array: NDArray[Any]) -> NDArray[Any] | None:
        if self._places is None:
            return array
        order: NDArray[np.int64] = self.record["order"]
        if self._places[order[-1]] != order[-1] or array.shape != (len(order), len(order)):
            return None   # another channel is the mix
        if name == "gram":   # is in that order, here and there
            at = np.argsort(order)[np.array(self._places)[order]]
            return None if min(self._places) < 0 else array[np.ix_(at, at)]
        return super()._in_place(name, array)

    def values(self, fmt: Format) -> Mapping[str, NDArray[Any] | int | float]:
        """See `Unmixing.values`."""
        low, high = self._numbers_given["low"], self._numbers_given["high"]
        return {
            **self._numbers_given,
            "order": mix_last(self.name, self._mix, fmt.channels, low, high),
            "memory": float(np.exp(-kernels.SEGMENT / (self._memory_s * fmt.rate))),
            "period": fmt.segments(self._every_s),
        }
