"""CAE: one convolutional autoencoder for each stem (Rajesh and Rajan, WASPAA 2023; SYSTEMS.md 1.8).

| layer | output |
|---|---|
| three frames above each other | 1 x 3075 |
| conv 2, 32, ReLU, norm | 32 x 3074 |
| conv 2, 64, ReLU, norm | 64 x 3073 |
| dense 100, ReLU | 100 |
| dense, ReLU | 64 x 3073 |
| transposed conv 2, 32, ReLU, norm | 32 x 3074 |
| transposed conv 2, 1, ReLU, norm | 1 x 3075 |
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rtsep.train.networks.network import Network, Past


class Cae(Network):
    """Magnitudes of a few frames with bleed to those without, each mic by itself.

    Parameters
    ----------
    bins, frames : int
        The source's script trains on frames that do not overlap and is used on ones that do: one hop for both here.
    width : int
        Of the narrow layer.
    filters : (int, int)
    """

    look_ahead = 0   # the newest of its frames is the one that is used
    any_channels = True

    def __init__(
        self, bins: int = 1025, frames: int = 3, width: int = 100, filters: tuple[int, int] = (32, 64)
    ) -> None:
        super().__init__()
        first, second = filters
        # The frames lie along the last axis, not above each other: the same, and on a CPU twice as fast.
        self.inner = (second, 1, frames * bins - 2)
        flat = second * (frames * bins - 2)
        self.encode = nn.Sequential(
            nn.Conv2d(1, first, (1, 2)), nn.ReLU(), nn.BatchNorm2d(first, eps=1e-3),
            nn.Conv2d(first, second, (1, 2)), nn.ReLU(), nn.BatchNorm2d(second, eps=1e-3),
        )
        self.narrow = nn.Linear(flat, width)
        self.wide = nn.Linear(width, flat)
        self.decode = nn.Sequential(
            nn.ConvTranspose2d(second, first, (1, 2)), nn.ReLU(), nn.BatchNorm2d(first, eps=1e-3),
            nn.ConvTranspose2d(first, 1, (1, 2)), nn.ReLU(), nn.BatchNorm2d(1, eps=1e-3),
        )

    def begin(self, x: Tensor, y: Tensor) -> None:  # noqa: ARG002
        """Let the last norm start at the level of what it should return, which a thousand steps would go to reach."""
        deviation, mean = torch.std_mean(y)
        with torch.no_grad():
            self.decode[-1].weight.fill_(float(deviation))
            self.decode[-1].bias.fill_(float(mean))

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:  # noqa: ARG002
        """Return [batch, channels, frames, bins] of the same."""
        batch, channels, frames, bins = x.shape
        code = torch.relu(self.narrow(self.encode(x.reshape(batch * channels, 1, 1, frames * bins)).flatten(1)))
        wide = torch.relu(self.wide(code)).reshape(batch * channels, *self.inner)
        return self.decode(wide).reshape(batch, channels, frames, bins)
