"""Open-Unmix (Stöter, Uhlich, Liutkus, Mitsufuji 2019; SYSTEMS.md 5.6), one network a target.

| layer | width |
|---|---|
| bins to 16 kHz, plus a mean, times a scale | 2 x 1487 |
| dense without bias, norm, tanh | 512 |
| three LSTM layers, 256 each way or 512 one way; beside their input | 1024 |
| dense without bias, norm, ReLU | 512 |
| dense without bias, norm, times a scale, plus a mean, ReLU, times the mixture | 2 x 2049 |
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rtsep.train.networks.network import Network, Past
from rtsep.train.networks.recurrent import Recurrent


class OpenUnmix(Network):
    """Magnitudes to those of one source.

    Parameters
    ----------
    channels, bins, kept, width, layers : int
        `kept`: bins that are looked at, up to 16 kHz.
    causal : bool
        One way, no look-ahead: the source's `--unidirectional`.
    """

    def __init__(
        self, channels: int = 2, bins: int = 2049, kept: int = 1487, width: int = 512, layers: int = 3,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.look_ahead = 0 if causal else None
        self.kept = kept
        self.in_mean, self.in_scale = nn.Parameter(torch.zeros(kept)), nn.Parameter(torch.ones(kept))
        self.out_mean, self.out_scale = nn.Parameter(torch.ones(bins)), nn.Parameter(torch.ones(bins))
        self.first = nn.Linear(channels * kept, width, bias=False)
        self.first_norm = nn.BatchNorm1d(width)
        self.recurrent = Recurrent(width, width, layers, not causal, dropout=0.4)
        self.second = nn.Linear(2 * width, width, bias=False)
        self.second_norm = nn.BatchNorm1d(width)
        self.third = nn.Linear(width, channels * bins, bias=False)
        self.third_norm = nn.BatchNorm1d(channels * bins)

    def begin(self, x: Tensor, y: Tensor) -> None:  # noqa: ARG002
        """Bring the input to mean 0 and deviation 1, each bin by itself, as the source starts."""
        deviation, mean = torch.std_mean(x[..., : self.kept], (0, 1, 2))
        with torch.no_grad():
            self.in_mean.copy_(-mean)
            self.in_scale.copy_(1 / deviation.clamp(min=1e-4 * float(deviation.max())))

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Return [batch, channels, frames, bins] of the same."""
        batch, channels, frames, bins = x.shape
        y = (x[..., : self.kept] + self.in_mean) * self.in_scale
        y = self.first(y.transpose(1, 2).flatten(2))
        y = torch.tanh(_over(self.first_norm, y))
        y = torch.cat((y, self.recurrent(y, past or Past())), -1)
        y = torch.relu(_over(self.second_norm, self.second(y)))
        y = _over(self.third_norm, self.third(y)).reshape(batch, frames, channels, bins).transpose(1, 2)
        return torch.relu(y * self.out_scale + self.out_mean) * x


def _over(norm: nn.Module, x: Tensor) -> Tensor:
    """Normalise the last axis."""
    return norm(x.transpose(1, 2)).transpose(1, 2)
