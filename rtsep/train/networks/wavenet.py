"""Separation by a Wavenet that looks both ways (Lluís, Pons and Serra 2019; SYSTEMS.md 5.2), and a causal one.

Conv 3, 64; stacks of ten gated layers dilated 1 to 512: conv 3, 2 x 64, tanh times sigmoid, conv 1 to 64 for the next
layer and 64 for the sum of all; then ReLU, conv 3, 2048, ReLU, conv 3, 256, conv 1. Only the last has a bias.
The last source is the mixture without the others.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rtsep.train.networks.network import Network, Past


class Wavenet(Network):
    """A mixture to its sources.

    Parameters
    ----------
    sources : int
        Among them what the others leave: 4, or the voice and the rest.
    stacks, layers, width : int
    last : (int, int)
        Widths of the convolutions after the sum.
    causal : bool
        Convolutions reach back only: no look-ahead, and as many results as samples.
    """

    def __init__(
        self, sources: int = 4, stacks: int = 4, layers: int = 10, width: int = 64,
        last: tuple[int, int] = (2048, 256), causal: bool = False,
    ) -> None:
        super().__init__()
        self.causal = causal
        self.look_ahead = 0 if causal else None
        self.dilations = [2**n for n in range(layers)] * stacks
        half = 0 if causal else sum(self.dilations)
        self.context = (half, half)
        self.first = nn.Conv1d(1, width, 3, bias=False)
        self.gated = nn.ModuleList(nn.Conv1d(width, 2 * width, 3, dilation=d, bias=False) for d in self.dilations)
        self.mixed = nn.ModuleList(nn.Conv1d(width, 2 * width, 1, bias=False) for _ in self.dilations)
        self.after = nn.ModuleList(
            [nn.Conv1d(width, last[0], 3, bias=False), nn.Conv1d(last[0], last[1], 3, bias=False)]
        )
        self.out = nn.Conv1d(last[1], sources - 1, 1)

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Return [batch, sources, frames - context] of [batch, 1, frames]."""
        past = past or Past()
        before, after = self.context
        target = slice(before, x.shape[2] - after)
        y = self._same(self.first, x, 1, past)
        total: Tensor | int = 0
        for gated, mixed, dilation in zip(self.gated, self.mixed, self.dilations, strict=True):
            a, b = self._same(gated, y, dilation, past).chunk(2, 1)
            more, skip = mixed(torch.tanh(a) * torch.sigmoid(b)).chunk(2, 1)
            y, total = y + more, total + skip[..., target]
        for conv in self.after:
            total = self._same(conv, functional.relu(total), 1, past)
        found = self.out(total)
        return torch.cat((found, x[..., target] - found.sum(1, keepdim=True)), 1)

    def _same(self, conv: nn.Module, x: Tensor, dilation: int, past: Past) -> Tensor:
        """Return as many frames as there are in `x`."""
        if self.causal:
            return conv(past.join(x, 2 * dilation))
        return conv(functional.pad(x, (dilation, dilation)))
