"""f-UNet, df-UNet and df-UNet with graph attention (GIRNet; SYSTEMS.md 1.11), and a causal port.

| layer | output for 4 mics of 220 448 samples |
|---|---|
| twice conv 4x4, norm, leaky ReLU; pool 1x2, dropout | 16 x 4 x 110224 (dilated 1) |
| the same | 32 x 4 x 55112 (2), 64 x 4 x 27556 (4), 128 x 4 x 13778 (16) |
| graph attention, multiplied with its input | 128 x 4 x 13778 |
| twice conv 4x4, then norm, leaky ReLU | 256 x 4 x 13778 |
| transposed conv 4x4, with the encoder's; twice conv 4x4, leaky ReLU | 128 x 4 x 13778 |
| the same, twice as long | 64 x 4 x 27556, 32 x 4 x 55112, 16 x 4 x 110224 |
| transposed conv 4x4, leaky ReLU | 1 x 4 x 220448 |
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rtsep.train.networks.network import QUIETER, Network, Past

_TAPS = 4
_SLOPE = 0.3      # of every leaky ReLU but the attention's own
_SIMILAR = 0.6    # cosine from which two cells are neighbours


class DfUNet(Network):
    """Waveforms of all mics to those without bleed.

    Parameters
    ----------
    dilations : sequence of int
        Over time, one a level; all 1 is f-UNet.
    graph : str
        none; mics: one node a mic, at each time by itself; cells: every mic and time is a node, as published, which
        takes 12 GB for ten seconds.
    causal : bool
        Convolutions reach back only; a result depends on no more than the rest of its 16 samples.
    width : int
        Of the first level; each next has twice as many.
    """

    def __init__(
        self, dilations: tuple[int, ...] = (1, 2, 4, 16), graph: str = "none", causal: bool = False, width: int = 16
    ) -> None:
        super().__init__()
        self.multiple = 2 ** len(dilations)
        self.look_ahead = self.multiple - 1 if causal else None
        widths = [width * 2**n for n in range(len(dilations))]
        self.down = nn.ModuleList()
        before = 1
        for wide, dilation in zip(widths, dilations, strict=True):
            self.down.append(_Level(before, wide, dilation, causal))
            before = wide
        self.attention = Attention(before, graph) if graph != "none" else None
        self.bottom = nn.ModuleList([_Conv(before, 2 * before, 1, causal), _Conv(2 * before, 2 * before, 1, causal)])
        self.norm = nn.BatchNorm2d(2 * before, eps=1e-3)
        self.up = nn.ModuleList()
        before *= 2
        for number, wide in enumerate(reversed(widths)):
            self.up.append(_Step(before, wide, 1 if number == 0 else 2, causal))
            before = wide
        self.last = _Transposed(before, 1, 2, causal)

    def begin(self, x: Tensor, y: Tensor) -> None:  # noqa: ARG002
        """Start near silence."""
        with torch.no_grad():
            self.last.conv.weight.mul_(QUIETER)
            self.last.conv.bias.zero_()

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Return [batch, mics, frames] of the same."""
        past = past or Past()
        y = x[:, None]
        levels = []
        for level in self.down:
            y = level(y, past)
            levels.append(y)
        if self.attention is not None:
            y = y * self.attention(y)
        for conv in self.bottom:
            y = conv(y, past)
        y = functional.leaky_relu(self.norm(y), _SLOPE)
        for step, skip in zip(self.up, reversed(levels), strict=True):
            y = step(y, skip, past)
        return functional.leaky_relu(self.last(y, past), _SLOPE)[:, 0]


class _Conv(nn.Module):
    """4 x 4, as long as its input: over mics as Keras pads, over time as well or from the past."""

    def __init__(self, before: int, after: int, dilation: int, causal: bool) -> None:
        super().__init__()
        # The source dilates over mics, too: with 16 all taps miss the four mics, and the level is a constant.
        self.conv = nn.Conv2d(before, after, _TAPS, dilation=(1, dilation))
        self.reach, self.causal = (_TAPS - 1) * dilation, causal

    def forward(self, x: Tensor, past: Past) -> Tensor:
        first = self.reach // 2
        around = (0, 0) if self.causal else (first, self.reach - first)
        x = past.join(x, self.reach) if self.causal else x
        return self.conv(functional.pad(x, (*around, 1, _TAPS - 2)))


class _Transposed(nn.Module):
    """4 x 4, `stride` times as long as its input."""

    def __init__(self, before: int, after: int, stride: int, causal: bool) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(before, after, _TAPS, (1, stride))
        self.stride, self.causal = stride, causal

    def forward(self, x: Tensor, past: Past) -> Tensor:
        mics, frames = x.shape[2], x.shape[3] * self.stride
        first = (_TAPS - self.stride) // 2
        if self.causal:
            back = _TAPS // self.stride - 1
            x, first = past.join(x, back), back * self.stride
        return self.conv(x)[:, :, 1 : 1 + mics, first : first + frames]


class _Level(nn.Module):
    """Two convolutions and half the rate."""

    def __init__(self, before: int, after: int, dilation: int, causal: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList([_Conv(before, after, dilation, causal), _Conv(after, after, dilation, causal)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(after, eps=1e-3) for _ in range(2)])
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor, past: Past) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = functional.leaky_relu(norm(conv(x, past)), _SLOPE)
        return self.dropout(functional.max_pool2d(x, (1, 2)))


class _Step(nn.Module):
    """The next longer one of the decoder."""

    def __init__(self, before: int, after: int, stride: int, causal: bool) -> None:
        super().__init__()
        self.longer = _Transposed(before, after, stride, causal)
        self.convs = nn.ModuleList([_Conv(2 * after, after, 1, causal), _Conv(after, after, 1, causal)])

    def forward(self, x: Tensor, skip: Tensor, past: Past) -> Tensor:
        x = torch.cat((self.longer(x, past), skip), 1)
        for conv in self.convs:
            x = functional.leaky_relu(conv(x, past), _SLOPE)
        return x


class Attention(nn.Module):
    """Graph attention, one head: e = leaky(a [W h_i, W h_j]), softmax over j, sum of W h_j.

    The source takes every mic and time as a node: 55 112 of them (SYSTEMS.md 0.3, 7). `mics` is what was meant.
    """

    def __init__(self, width: int, graph: str) -> None:
        super().__init__()
        self.graph = graph
        self.weight = nn.Linear(width, width, bias=False)
        self.score = nn.Parameter(torch.empty(2, width))
        # What it returns is a factor: about one, a network starts as it would without.
        self.bias = nn.Parameter(torch.ones(width))
        self.dropout = nn.Dropout(0.2)
        nn.init.xavier_uniform_(self.score, gain=1.414)

    def forward(self, x: Tensor) -> Tensor:
        """Return [batch, width, mics, frames] of the same."""
        batch, width, mics, frames = x.shape
        if self.graph == "mics":
            nodes = x.permute(0, 3, 2, 1)
        else:
            nodes = x.permute(0, 2, 3, 1).reshape(batch, 1, mics * frames, width)
        turned = self.weight(nodes)
        own, other = (turned @ self.score.T).unbind(-1)
        score = functional.leaky_relu(own[..., :, None] + other[..., None, :], 0.2)
        if self.graph == "cells":
            unit = functional.normalize(nodes, dim=-1)
            alike = unit @ unit.transpose(-1, -2) >= _SIMILAR
            own_cell = torch.eye(mics * frames, dtype=torch.bool, device=x.device)
            score = score.masked_fill(~alike | own_cell, -1e9)
        heard = self.dropout(score.softmax(-1)) @ turned + self.bias
        heard = functional.leaky_relu(heard, _SLOPE)
        if self.graph == "mics":
            return heard.permute(0, 3, 2, 1)
        return heard.reshape(batch, mics, frames, width).permute(0, 3, 1, 2)
