"""What gains leave of a concert, as sums over its spectrum, and how these depend on the network's weights.

The forward pass is the rule of `rtsep_kernels.learned` with instant attack; the backward one is its derivative by hand:
a pass over everything instead of fifty, which is what training on two cores needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rtsep.stages import learned
from rtsep.train.postfilter.concerts import RATE
from rtsep.train.postfilter.evidence import Evidence, Setting
from rtsep_kernels.learned import LIMIT

Values = NDArray[np.float32]

_SETTLING = 10       # steps that are not counted: the gains begin open
_LN2 = np.float32(np.log(2.0))
_ONE = np.float32(1)


@dataclass(frozen=True, eq=False)
class Rule:
    """What of a setting the sums depend on.

    Parameters
    ----------
    below, above : int64[bins]
    share : float32[bins]
        Bands that a bin lies between.
    counts : float32[bins]
        How many bins each stands for.
    floor : float
        Least gain.
    release : float
        Share of the way that a gain closes in a step.
    """

    below: NDArray[np.int64]
    above: NDArray[np.int64]
    share: Values
    counts: Values
    floor: float
    release: float

    @classmethod
    def of(cls, setting: Setting) -> Rule:
        """Return that of a setting."""
        kept, counts = setting.bins()
        places = learned.band_places(RATE, setting.analysis, setting.analysis // 2 + 1)
        release = 1 - np.exp(-setting.step_ms / max(setting.release_ms, 1e-3))
        return cls(places["below"][kept], places["above"][kept], places["share"][kept], counts,
                   10 ** (setting.range_db / 20), float(release))


def left(weights: Tensor, evidence: Evidence, rule: Rule) -> tuple[Tensor, Tensor, Tensor]:
    """Return, per mic, sums over spectrum and time: g²|Y|², g Re(Y* S) and (1 - g)²|S|², of the gains g.

    Parameters
    ----------
    weights : float32[mics, steps, WEIGHTS, BANDS]
        As they are in use in each step.
    evidence : Evidence
    rule : Rule

    Returns
    -------
    three float32[mics]
        Differentiable with respect to the weights.
    """
    found: tuple[Tensor, Tensor, Tensor] = _Sums.apply(weights, evidence, rule)
    return found


def whole(evidence: Evidence, rule: Rule) -> tuple[Tensor, Tensor]:
    """Return, per mic, the sums of |Y|² and |S|²."""
    power, truth = (torch.from_numpy((row[:, _SETTLING:] * rule.counts).sum((1, 2)))
                    for row in (evidence.cleaned, evidence.truth))
    return power, truth


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, evidence: Evidence, rule: Rule) -> tuple[Tensor, ...]:   # type: ignore[override]
        given = np.ascontiguousarray(weights.detach().numpy())
        gains, opened = np.empty_like(evidence.odds), np.empty_like(evidence.odds)
        ctx.known = (
            given, evidence.odds, evidence.weighed, evidence.cleaned, evidence.both, evidence.truth, rule.counts,
            rule.below, rule.above, rule.share, np.float32(rule.floor), np.float32(rule.release), gains, opened,
        )
        sums = _forward(*ctx.known)
        return tuple(torch.from_numpy(row.astype(np.float32)) for row in sums)

    @staticmethod
    def backward(ctx: Any, *by: Tensor) -> tuple[Tensor, None, None]:
        slopes = np.zeros_like(ctx.known[0])
        _backward(*ctx.known, *(row.numpy().astype(np.float32) for row in by), slopes)
        return torch.from_numpy(slopes), None, None


@numba.njit(fastmath=True, cache=True)  # type: ignore[untyped-decorator]
def _forward(weights, odds, weighed, cleaned, both, truth, counts, below, above, share, floor, release, gains, opened):  # type: ignore[no-untyped-def]
    mics, steps, bins = odds.shape
    power, common, harm = np.zeros(mics), np.zeros(mics), np.zeros(mics)
    now, gain = np.empty(bins, np.float32), np.empty(bins, np.float32)
    for m in range(mics):
        gain[:] = _ONE
        for t in range(steps):
            for b in range(bins):
                low, high = weights[m, t, 0, below[b]], weights[m, t, 0, above[b]]
                now[b] = odds[m, t, b] + low + (high - low) * share[b]
            for e in range(weighed.shape[1]):
                for b in range(bins):
                    low, high = weights[m, t, e + 1, below[b]], weights[m, t, e + 1, above[b]]
                    now[b] += (low + (high - low) * share[b]) * weighed[m, e, t, b]
            a, c, h = np.float32(0), np.float32(0), np.float32(0)
            for b in range(bins):
                limited = min(max(now[b], -LIMIT), LIMIT)
                open_ = _ONE / (_ONE + np.exp(-limited * _LN2))
                wanted = floor + (_ONE - floor) * open_
                gain[b] = wanted if wanted > gain[b] else gain[b] + (wanted - gain[b]) * release
                gains[m, t, b], opened[m, t, b] = gain[b], open_
                a += gain[b] * gain[b] * cleaned[m, t, b] * counts[b]
                c += gain[b] * both[m, t, b] * counts[b]
                h += (_ONE - gain[b]) ** 2 * truth[m, t, b] * counts[b]
            if t >= _SETTLING:
                power[m] += a
                common[m] += c
                harm[m] += h
    return power, common, harm


@numba.njit(fastmath=True, cache=True)  # type: ignore[untyped-decorator]
def _backward(weights, odds, weighed, cleaned, both, truth, counts, below, above, share, floor, release, gains, opened,  # type: ignore[no-untyped-def]
              by_power, by_common, by_harm, slopes):
    mics, steps, bins = odds.shape
    carried, slope = np.empty(bins, np.float32), np.empty(bins, np.float32)
    for m in range(mics):
        carried[:] = np.float32(0)
        for t in range(steps - 1, -1, -1):
            for b in range(bins):
                gain, here = gains[m, t, b], carried[b]
                if t >= _SETTLING:
                    here += counts[b] * (
                        2 * gain * cleaned[m, t, b] * by_power[m] + both[m, t, b] * by_common[m]
                        - 2 * (_ONE - gain) * truth[m, t, b] * by_harm[m]
                    )
                before = gains[m, t - 1, b] if t > 0 else _ONE
                open_ = opened[m, t, b]
                if floor + (_ONE - floor) * open_ > before:
                    carried[b] = np.float32(0)
                else:
                    carried[b] = here * (_ONE - release)
                    here = here * release
                slope[b] = here * (_ONE - floor) * open_ * (_ONE - open_) * _LN2
            for b in range(bins):
                part = slope[b] * share[b]
                slopes[m, t, 0, above[b]] += part
                slopes[m, t, 0, below[b]] += slope[b] - part
            for e in range(weighed.shape[1]):
                for b in range(bins):
                    whole_ = slope[b] * weighed[m, e, t, b]
                    part = whole_ * share[b]
                    slopes[m, t, e + 1, above[b]] += part
                    slopes[m, t, e + 1, below[b]] += whole_ - part
