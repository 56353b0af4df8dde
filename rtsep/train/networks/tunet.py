"""t-UNet: the encoder of a U-net that predicts the mixing matrix (the bleed papers' code; SYSTEMS.md 1.10).

| layer | output for 220 500 samples |
|---|---|
| conv 4, ReLU, pool 9; each mic by itself | 16 x 24499, 32 x 2721, 64 x 302, 128 x 33, 512 x 3 |
| dense, ReLU | 512, 128, 64, 32 |
| dense | 4 x 4 |
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rtsep.train.networks.network import Network, Past

_FILTERS = (16, 32, 64, 128, 512)
_DENSE = (512, 128, 64, 32)
_POOL = 9
_LEAST = 1e-3   # gain that an answer starts with: of zero softplus has no slope
_QUIET = 1e-6   # RMS below which there is nothing to bring to a level


class TUNet(Network):
    """Waveforms of all mics to the gains from each source into each mic.

    Parameters
    ----------
    mics, frames : int
    output : str
        relu, as published: cannot learn again once a gain is at 0. softplus starts anywhere above.
    level : bool
        Bring all mics by one factor to an RMS of 1 first; as published the answer depends on the level.
    filters, dense : sequence of int
    """

    look_ahead = 0   # a matrix is used for what comes after

    def __init__(
        self, mics: int = 4, frames: int = 220500, output: str = "softplus", level: bool = True,
        filters: tuple[int, ...] = _FILTERS, dense: tuple[int, ...] = _DENSE,
    ) -> None:
        super().__init__()
        self.mics, self.output, self.level = mics, output, level
        stages: list[nn.Module] = []
        before, left = 1, frames
        for width in filters:
            # The largest first, then ReLU: the same, and a ninth of it.
            stages += [nn.Conv2d(before, width, (1, 4)), nn.MaxPool2d((1, _POOL)), nn.ReLU()]
            before, left = width, (left - 3) // _POOL
        self.encode = nn.Sequential(*stages)
        layers: list[nn.Module] = []
        wide = mics * left * before
        for width in dense:
            layers += [nn.Linear(wide, width), nn.ReLU()]
            wide = width
        self.dense = nn.Sequential(*layers, nn.Linear(wide, mics * mics))

    def begin(self, x: Tensor, y: Tensor) -> None:  # noqa: ARG002
        """Start with the mean of all gains as the answer."""
        mean = y.mean(0).flatten().clamp(min=_LEAST)
        with torch.no_grad():
            self.dense[-1].bias.copy_(mean.expm1().log() if self.output == "softplus" else mean)

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:  # noqa: ARG002
        """Return [batch, mics, mics] of [batch, mics, frames]."""
        if self.level:
            x = x / x.square().mean((1, 2), keepdim=True).sqrt().clamp(min=_QUIET)
        gains = self.dense(self.encode(x[:, None]).flatten(1)).reshape(-1, self.mics, self.mics)
        return nn.functional.softplus(gains) if self.output == "softplus" else torch.relu(gains)
