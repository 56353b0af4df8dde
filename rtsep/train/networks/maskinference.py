"""Deep mask inference (the third report, after nussl; SYSTEMS.md 5.5): dB, norm, two LSTM layers, a sigmoid mask.

The report has two layers and dropout, its notebook's training cell one layer and none (SYSTEMS.md 0.3, 4); its
features are 257, not 256. Built is what the report describes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rtsep.train.networks.network import Network, Past
from rtsep.train.networks.recurrent import Recurrent

_QUIET = 1e-4   # amplitude; nussl's floor before the logarithm


class MaskInference(Network):
    """Magnitudes to those of one source, each channel by itself.

    Parameters
    ----------
    bins, width, layers : int
    causal : bool
        One way, twice as wide, no look-ahead; as published `width` each way.
    """

    any_channels = True

    def __init__(self, bins: int = 257, width: int = 50, layers: int = 2, causal: bool = False) -> None:
        super().__init__()
        self.look_ahead = 0 if causal else None
        self.norm = nn.BatchNorm2d(1)
        self.recurrent = Recurrent(bins, 2 * width, layers, not causal, dropout=0.3)
        self.mask = nn.Linear(2 * width, bins)

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Return [batch, channels, frames, bins] of the same."""
        batch, channels, frames, bins = x.shape
        flat = x.reshape(batch * channels, 1, frames, bins)
        y = self.norm(20 * torch.log10(flat.clamp(min=_QUIET)))
        y = self.recurrent(y[:, 0], past or Past())
        return torch.sigmoid(self.mask(y)).reshape(batch, channels, frames, bins) * x
