"""MDenseNet and MMDenseNet (Takahashi and Mitsufuji 2017; SYSTEMS.md 5.1), and MDenseNet that reaches back only.

A dense layer is norm, ReLU, conv 3x3 of k maps, on all maps before it in its block. Down is a mean of 2x2, up a
transposed conv 2x2 beside the block of the same size. (k, layers) of blocks 1 to 7:

| | low half | high half | full | MDenseNet |
|---|---|---|---|---|
| first conv, frames x bins | 3x4 | 3x3 | 3x4 | 3x4 |
| 1, 7 | 14, 4 and 16, 4 | 10, 3 | 6, 2 | 12, 4 |
| 2, 3, 5, 6 | 16, 4 | 10, 3 | 6, 2 | 12, 4 |
| 4 | 16, 4 | 10, 3 | 6, 4 | 12, 4 |

Then low and high beside each other in frequency, with full as further maps; block 8 (4, 2); conv 1x2.
Whether a block hands on its last layer's maps or all new ones is open in the paper: `hands_on`. As printed, low and
high have different numbers of maps and do not fit (SYSTEMS.md 0.3, 6): block 7 of the high half has 16 maps where one
layer is handed on, as in the public port, and otherwise a conv 1x1 brings them to the low half's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rtsep.train.networks.network import Network, Past

Blocks = tuple[tuple[int, int], ...]

MDENSE: Blocks = ((12, 4),) * 7
LOW: Blocks = ((14, 4),) + ((16, 4),) * 6
HIGH: Blocks = ((10, 3),) * 7
FULL: Blocks = ((6, 2),) * 3 + ((6, 4),) + ((6, 2),) * 3
_LAST = (4, 2)
_FIRST = 32   # maps of the first convolution


class MDenseNet(Network):
    """Magnitudes to those of one source; frames and bins are multiples of 8.

    Parameters
    ----------
    channels : int
    hands_on : str
        last or all.
    multi : bool
        MMDenseNet: two halves and the whole.
    causal : bool
        Convolutions reach back only; a result depends on no more than the rest of its 8 frames.
    first, blocks, low, high, full
        Maps of the first convolution, and (k, layers) of blocks 1 to 7.
    """

    multiple = 8

    def __init__(
        self, channels: int = 2, hands_on: str = "all", multi: bool = False, causal: bool = False, first: int = _FIRST,
        blocks: Blocks = MDENSE, low: Blocks = LOW, high: Blocks = HIGH, full: Blocks = FULL,
    ) -> None:
        super().__init__()
        self.look_ahead = 7 if causal else None
        every = hands_on == "all"
        self.match: nn.Module = nn.Identity()
        if multi:
            if not every:
                high = (*high[:-1], (low[-1][0], high[-1][1]))
            bands = [_Band(channels, first, over_bins, own, every, causal)
                     for over_bins, own in ((4, low), (3, high), (4, full))]
            if every:
                self.match = nn.Conv2d(bands[1].maps, bands[0].maps, 1)
            wide = bands[0].maps + bands[2].maps
        else:
            bands = [_Band(channels, first, 4, blocks, every, causal)]
            wide = bands[0].maps
        self.bands = nn.ModuleList(bands)
        self.dense = _Block(wide, *_LAST, every, causal)
        self.out = nn.Conv2d(self.dense.maps, channels, (1, 2))

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Return [batch, channels, frames, bins] of the same. A bin over a multiple of 8, the topmost, becomes 0."""
        past = past or Past()
        bins = x.shape[3]
        used = x[..., : bins - bins % 8]
        if len(self.bands) == 1:
            y = self.bands[0](used, past)
        else:
            half = used.shape[3] // 2
            low, high, full = self.bands
            lower, higher = low(used[..., :half], past), self.match(high(used[..., half:], past))
            y = torch.cat((torch.cat((lower, higher), 3), full(used, past)), 1)
        y = self.out(functional.pad(self.dense(y, past), (0, 1)))
        return functional.pad(y, (0, bins - y.shape[3]))


class _Conv(nn.Module):
    """As long as its input, over time from the past alone if causal."""

    def __init__(self, before: int, after: int, over_bins: int, causal: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, (3, over_bins))
        self.causal, self.over_bins = causal, over_bins - 1

    def forward(self, x: Tensor, past: Past) -> Tensor:
        beside = (self.over_bins // 2, self.over_bins - self.over_bins // 2)
        if self.causal:
            return self.conv(functional.pad(past.join(x, 2, 2), beside))
        return self.conv(functional.pad(x, (*beside, 1, 1)))


class _Block(nn.Module):
    """Dense layers."""

    def __init__(self, before: int, k: int, layers: int, every: bool, causal: bool) -> None:
        super().__init__()
        self.every = every
        self.norms = nn.ModuleList(nn.BatchNorm2d(before + n * k) for n in range(layers))
        self.convs = nn.ModuleList(_Conv(before + n * k, k, 3, causal) for n in range(layers))
        self.maps = k * layers if every else k

    def forward(self, x: Tensor, past: Past) -> Tensor:
        found = [x]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            found.append(conv(functional.relu(norm(torch.cat(found, 1))), past))
        return torch.cat(found[1:], 1) if self.every else found[-1]


class _Band(nn.Module):
    """A first convolution and blocks 1 to 7."""

    def __init__(self, channels: int, first: int, over_bins: int, blocks: Blocks, every: bool, causal: bool) -> None:
        super().__init__()
        self.first = _Conv(channels, first, over_bins, causal)
        self.down, self.longer, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        wide = first
        for k, layers in blocks[:4]:
            self.down.append(_Block(wide, k, layers, every, causal))
            wide = self.down[-1].maps
        for (k, layers), skip in zip(blocks[4:], list(self.down)[2::-1], strict=True):
            self.longer.append(nn.ConvTranspose2d(wide, wide, 2, 2))
            self.up.append(_Block(wide + skip.maps, k, layers, every, causal))
            wide = self.up[-1].maps
        self.maps = wide

    def forward(self, x: Tensor, past: Past) -> Tensor:
        y, skips = self.first(x, past), []
        for number, block in enumerate(self.down):
            y = block(functional.avg_pool2d(y, 2) if number else y, past)
            skips.append(y)
        for longer, block, skip in zip(self.longer, self.up, skips[2::-1], strict=True):
            y = block(torch.cat((longer(y), skip), 1), past)
        return y
