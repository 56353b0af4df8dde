"""What all networks have in common, and what the causal ones remember from call to call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

QUIETER = 0.1
"""By which last layers of waveforms start: as they come, they are ten times as loud as music at `models.card.LEVEL`."""


class Past:
    """What a causal network remembers: the same places are visited in the same order in every call.

    Parameters
    ----------
    given : sequence of Tensor
        What the call before has kept; empty before the first: silence.

    Attributes
    ----------
    kept : list of Tensor
        For the next call.
    """

    def __init__(self, given: Sequence[Tensor] = ()) -> None:
        self._given: Iterator[Tensor] = iter(given)
        self.kept: list[Tensor] = []

    def state(self, zeros: Tensor) -> Tensor:
        """Return the state of this place, `zeros` before the first call."""
        return next(self._given, zeros)

    def join(self, x: Tensor, frames: int, dim: int = -1) -> Tensor:
        """Put the last `frames` of the calls before in front of `x`, and keep the newest."""
        if frames == 0:
            return x
        dim %= x.ndim
        shape = [frames if n == dim else x.shape[n] for n in range(x.ndim)]
        joined = torch.cat((self.state(x.new_zeros(shape)), x), dim)
        self.kept.append(joined.narrow(dim, x.shape[dim], frames))
        return joined


class Network(nn.Module):
    """A network, whose input and output have the layout that the card of its kind says.

    Attributes
    ----------
    context : (int, int)
        What the output is shorter than the input, before and after.
    multiple : int
        Of which the input's length has to be one.
    look_ahead : int or None
        Samples, or frames of a spectrum, beyond a result's that it looks at; None: as many as there are.
    any_channels : bool
        Whether each channel is worked on by itself.
    """

    context: tuple[int, int] = (0, 0)
    multiple: int = 1
    look_ahead: int | None = None
    any_channels: bool = False

    def fit(self, frames: int) -> int:
        """Return the length of an input nearest to `frames` that it can take."""
        return max(self.multiple, frames - frames % self.multiple)

    def begin(self, x: Tensor, y: Tensor) -> None:
        """Take from some examples, before the first step, what need not be learnt: levels, means."""

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Return what the network makes of `x`; only causal ones use `past`."""
        raise NotImplementedError


def count(network: nn.Module, statistics: bool = False) -> int:
    """Return the number of parameters; with the running statistics of normalisations where Keras counts them."""
    found = sum(p.numel() for p in network.parameters())
    if statistics:
        found += sum(b.numel() for b in network.buffers() if b.is_floating_point())
    return found
