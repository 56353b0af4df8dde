"""DeepConvSep (Chandna, Miron, Janer, Gómez 2017; SYSTEMS.md 5.3).

| layer | output of a patch 30 x 513 |
|---|---|
| times 0.3; conv over all bins, 50 | 50 x 30 |
| conv over 15 frames, 30 | 30 x 16 |
| dense 128, ReLU | 128 |
| for each source: dense, ReLU | 30 x 16 |
| the two convolutions' transposes, with their weights; a bias, ReLU | 30 x 513 |
| share of the sum of all, times the mixture | 30 x 513 |

The public code gives the fourth source the second one's branch: a slip, not copied.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rtsep.train.networks.network import Network, Past

_SCALE = 0.3
_NOTHING = 1e-8   # keeps the shares of silence finite; a larger one stops it from learning
_ROUNDING = 3e-3  # in its place once it is trained: shares of less are of rounding, and ONNX rounds in its own way


class DeepConvSep(Network):
    """Magnitudes of a mixture to those of its sources, a patch at a time.

    Parameters
    ----------
    sources, bins, frames : int
    filters : (int, int)
        The report has 50 and 30; the public code 50 and 50.
    width : int
    """

    look_ahead = 0   # the newest frame of a patch is the one that is used live
    any_channels = True

    def __init__(
        self, sources: int = 4, bins: int = 513, frames: int = 30, filters: tuple[int, int] = (50, 30),
        width: int = 128,
    ) -> None:
        super().__init__()
        first, second = filters
        self.inner = (second, frames - 14)
        self.over_bins = nn.Conv1d(bins, first, 1)
        self.over_time = nn.Conv1d(first, second, 15)
        self.narrow = nn.Linear(second * (frames - 14), width)
        self.wide = nn.ModuleList(nn.Linear(width, second * (frames - 14)) for _ in range(sources))
        self.bias = nn.Parameter(torch.zeros(sources))

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:  # noqa: ARG002
        """Return [batch, sources, channels, frames, bins] of [batch, channels, frames, bins]."""
        batch, channels, frames, bins = x.shape
        patch = _SCALE * x.reshape(batch * channels, frames, bins).transpose(1, 2)
        code = torch.relu(self.narrow(self.over_time(self.over_bins(patch)).flatten(1)))
        found = []
        for number, wide in enumerate(self.wide):
            inner = torch.relu(wide(code)).reshape(-1, *self.inner)
            longer = functional.conv_transpose1d(inner, self.over_time.weight)
            found.append(torch.relu(functional.conv_transpose1d(longer, self.over_bins.weight) + self.bias[number]))
        every = torch.stack(found, 1).transpose(2, 3).reshape(batch, channels, -1, frames, bins).transpose(1, 2)
        every = every + (_NOTHING if self.training else _ROUNDING)
        return every / every.sum(1, keepdim=True) * x[:, None]
