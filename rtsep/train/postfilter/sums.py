"""What gains leave of a concert, as sums over its spectrum, and how these depend on the network's weights.

The forward pass is the rule of `rtsep_kernels.learned` with instant attack; the backward one is its derivative by hand:
a pass over everything instead of fifty, which is what training on two cores needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rtsep.stages import learned
from rtsep.train.postfilter.concerts import RATE
from rtsep.train.postfilter.evidence import Evidence, Setting
from rtsep_kernels import slopes

Values = NDArray[np.float32]



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
    power, truth = (torch.from_numpy((row[:, slopes.SETTLING:] * rule.counts).sum((1, 2)))
                    for row in (evidence.cleaned, evidence.truth))
    return power, truth


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, evidence: Evidence, rule: Rule) -> tuple[Tensor, ...]:
        given = np.ascontiguousarray(weights.detach().numpy())
        gains, opened = np.empty_like(evidence.odds), np.empty_like(evidence.odds)
        ctx.known = (
            given, evidence.odds, evidence.weighed, evidence.cleaned, evidence.both, evidence.truth, rule.counts,
            rule.below, rule.above, rule.share, np.float32(rule.floor), np.float32(rule.release), gains, opened,
        )
        sums = slopes.forward(*ctx.known)
        return tuple(torch.from_numpy(row.astype(np.float32)) for row in sums)

    @staticmethod
    def backward(ctx: Any, *by: Tensor) -> tuple[Tensor, None, None]:
        found = np.zeros_like(ctx.known[0])
        each = [row.numpy().astype(np.float32) for row in by]
        given = (*ctx.known[1:], *each, found)
        slopes.backward(*given)
        return torch.from_numpy(found), None, None
