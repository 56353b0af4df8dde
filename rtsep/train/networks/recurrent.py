"""LSTM layers whose state is explicit."""

from __future__ import annotations

from torch import Tensor, nn

from rtsep.train.networks.network import Past


class Recurrent(nn.Module):
    """LSTM layers, batch first.

    Parameters
    ----------
    before, after : int
        Width of input and output; each way has half of it if there are two.
    layers : int
    bidirectional : bool
    dropout : float
        Between layers.
    """

    def __init__(self, before: int, after: int, layers: int, bidirectional: bool, dropout: float) -> None:
        super().__init__()
        width = after // 2 if bidirectional else after
        self.lstm = nn.LSTM(
            before, width, layers, batch_first=True, bidirectional=bidirectional, dropout=dropout if layers > 1 else 0.0
        )

    def forward(self, x: Tensor, past: Past) -> Tensor:
        """Return [batch, frames, after] of [batch, frames, before]."""
        if self.lstm.bidirectional:
            return self.lstm(x)[0]
        zeros = x.new_zeros(self.lstm.num_layers, x.shape[0], self.lstm.hidden_size)
        h, c = past.state(zeros), past.state(zeros)
        y, (h, c) = self.lstm(x, (h, c))
        past.kept += [h, c]
        return y
