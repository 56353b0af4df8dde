"""Wave-U-Net (Stoller, Ewert, Dixon 2018; SYSTEMS.md 5.4) with context and difference output, and a causal small one.

Level i of 12 has 24 i filters: conv 15, leaky ReLU, every second sample; conv 15 at the bottom; back up by linear
interpolation, beside the same level's, conv 5, leaky ReLU; at last conv 1 beside the input, tanh. Without padding
147 443 samples give 16 389. The last source is the mixture without the others.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rtsep.train.networks.network import QUIETER, Network, Past

_SLOPE = 0.2
_DOWN, _UP = 15, 5   # taps
_LEVELS = 12
_CAUSAL_LEVELS = 6   # 63 samples of look-ahead at most, where twelve would have 4095


class WaveUNet(Network):
    """A mixture to its sources.

    Parameters
    ----------
    sources : int
        Among them what the others leave.
    channels, levels, width : int
        12 levels, or 6 if causal.
    causal : bool
        Convolutions reach back only and there are as many results as samples: one depends on no more than the rest of
        its 2^levels samples.
    """

    def __init__(
        self, sources: int = 4, channels: int = 2, levels: int | None = None, width: int = 24, causal: bool = False,
    ) -> None:
        super().__init__()
        levels = levels or (_CAUSAL_LEVELS if causal else _LEVELS)
        self.causal, self.channels = causal, channels
        self.multiple = 2**levels if causal else 1
        self.look_ahead = 2**levels - 1 if causal else None
        widths = [width * n for n in range(1, levels + 2)]
        self.down = nn.ModuleList(
            nn.Conv1d(before, after, _DOWN) for before, after in zip([channels, *widths[:-2]], widths[:-1], strict=True)
        )
        self.bottom = nn.Conv1d(widths[-2], widths[-1], _DOWN)
        self.up = nn.ModuleList(
            nn.Conv1d(deep + skip, skip, _UP)
            for deep, skip in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.out = nn.Conv1d(widths[0] + channels, (sources - 1) * channels, 1)
        if not causal:
            lost = self._lost(levels)
            self.context = (lost // 2, lost // 2)

    def fit(self, frames: int) -> int:
        """See `Network.fit`."""
        return super().fit(frames) if self.causal else self.lengths(len(self.down), frames - sum(self.context))[0]

    def begin(self, x: Tensor, y: Tensor) -> None:  # noqa: ARG002
        """Start near silence, where each source is nearer than to what a new layer makes of music."""
        with torch.no_grad():
            self.out.weight.mul_(QUIETER)
            self.out.bias.zero_()

    @staticmethod
    def _lost(levels: int) -> int:
        """Return what all convolutions take from the input's length, in its samples."""
        lost = (_DOWN - 1) * (2 ** (levels + 1) - 1)
        return lost + (_UP - 1) * (2**levels - 1)

    @staticmethod
    def lengths(levels: int, least: int) -> tuple[int, int]:
        """Return the shortest input whose output has at least `least` samples, and that output's length.

        Every level wants an odd number of samples: the first and the last of them stay.
        """
        bottom = 1
        while True:
            size = bottom
            for _ in range(levels):
                size = 2 * size - 1 - (_UP - 1)
            if size >= least and size > 0:
                before = bottom + _DOWN - 1
                for _ in range(levels):
                    before = 2 * before - 1 + _DOWN - 1
                return before, size
            bottom += 1

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Return [batch, sources, channels, frames - context] of [batch, channels, frames]; one channel has no axis."""
        past = past or Past()
        y, skips = x, []
        for conv in self.down:
            y = self._conv(conv, y, past)
            skips.append(y)
            # The last of two where only the past may be known; of an odd number the first and the last.
            y = y[..., 1::2] if self.causal else y[..., ::2]
        y = self._conv(self.bottom, y, past)
        for conv, skip in zip(self.up, reversed(skips), strict=True):
            y = self._longer(y, past)
            y = self._conv(conv, torch.cat((y, _middle(skip, y.shape[2])), 1), past)
        mixture = _middle(x, y.shape[2])
        found = torch.tanh(self.out(torch.cat((y, mixture), 1)))
        found = found.unflatten(1, (-1, self.channels))
        found = torch.cat((found, mixture[:, None] - found.sum(1, keepdim=True)), 1)
        return found[:, :, 0] if self.channels == 1 else found

    def _conv(self, conv: nn.Conv1d, x: Tensor, past: Past) -> Tensor:
        x = past.join(x, conv.kernel_size[0] - 1) if self.causal else x
        return functional.leaky_relu(conv(x), _SLOPE)

    def _longer(self, x: Tensor, past: Past) -> Tensor:
        """Put means between neighbours."""
        if self.causal:
            pair = past.join(x, 1)
            return torch.stack(((pair[..., :-1] + pair[..., 1:]) / 2, x), -1).flatten(-2)
        means = (x[..., :-1] + x[..., 1:]) / 2
        between = torch.stack((x[..., :-1], means), -1).flatten(-2)
        return torch.cat((between, x[..., -1:]), -1)


def _middle(x: Tensor, frames: int) -> Tensor:
    first = (x.shape[-1] - frames) // 2
    return x[..., first : first + frames]
