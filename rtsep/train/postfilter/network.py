"""Network: what is to be added to the rule's weights, from what is seen of every microphone; any number of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rtsep.stages.learned import BANDS
from rtsep_kernels.learned import VALUES, WEIGHTS

_WIDEST = 4.0     # standard deviations that are told apart
_DROPPED = 0.25   # of what layers say, while it learns: 180 concerts are soon known by heart


class PostFilter(nn.Module):
    """A recurrent network per microphone, weights shared; each looks at the mean and the maximum of the others.

    Permuting the microphones permutes the answers. It is causal, and answers zeros before it is trained: the rule as it
    is. A confidence per band, 0 to 1, multiplies the answer, so that unfamiliar sound may be left to the rule.

    Parameters
    ----------
    width : int
        Of the layers.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("shift", torch.zeros(VALUES, 1))
        self.register_buffer("scale", torch.ones(VALUES, 1))
        self.front = nn.Linear(VALUES * BANDS, width)
        self.own = nn.GRU(width, width, batch_first=True)
        self.all = nn.GRU(3 * width, width, batch_first=True)
        self.weights = nn.Linear(2 * width, WEIGHTS * BANDS)
        self.confidence = nn.Linear(2 * width, BANDS)
        self.drop = nn.Dropout(_DROPPED)
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)
        self.eval()   # nothing is dropped but where it learns

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> PostFilter:
        """Return the network that has these weights.

        Raises
        ------
        KeyError, RuntimeError
            If they are of another one.
        """
        network = cls(len(weights["front.weight"]))
        network.load_state_dict(weights)
        return network

    def forward(self, seen: Tensor, there: Tensor, own: Tensor | None = None, every: Tensor | None = None
                ) -> tuple[Tensor, Tensor, Tensor]:
        """Return weights [scenes, mics, steps, WEIGHTS, BANDS] and both states [1, scenes * mics, width].

        Parameters
        ----------
        seen : [scenes, mics, steps, VALUES, BANDS]
        there : [scenes, mics]
            1 where there is such a mic, 0 where a scene has fewer.
        own, every : states, optional
            As returned before; zeros by default.
        """
        scenes, mics, steps = seen.shape[:3]
        scaled = torch.clamp((seen - self.shift) * self.scale, -_WIDEST, _WIDEST)
        z = self.drop(torch.tanh(self.front(scaled.reshape(scenes * mics, steps, VALUES * BANDS))))
        a, own = self.own(z, own)
        v = self.drop(a).reshape(scenes, mics, steps, self.width)
        c, every = self.all(torch.cat([v, *_others(v, there)], -1).reshape(scenes * mics, steps, 3 * self.width), every)
        both = self.drop(torch.cat([a, c], -1))
        weights = self.weights(both).reshape(scenes, mics, steps, WEIGHTS, BANDS)
        sure = torch.sigmoid(self.confidence(both)).reshape(scenes, mics, steps, 1, BANDS)
        return weights * sure, own, every


def _others(v: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the maximum over the other mics of each; -1, the least of a GRU, where there is none."""
    present = there[:, :, None, None]
    mean = ((v * present).sum(1, keepdim=True) - v * present) / (there.sum(1) - 1).clamp(min=1)[:, None, None, None]
    low = torch.where(present > 0, v, torch.full_like(v, -1.0))
    if v.shape[1] < 2:
        return mean, torch.full_like(v, -1.0)
    best = low.topk(2, dim=1)[0]
    return mean, torch.where(low == best[:, :1], best[:, 1:2].expand_as(low), best[:, :1].expand_as(low))
