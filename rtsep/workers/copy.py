"""Copy: the worker that only copies, to try the way there and back."""

from __future__ import annotations

from rtsep.stages.remote.job import Block, Worker


class Copy(Worker):
    """Return every unit as it came.

    Parameters
    ----------
    rate, channels, unit : int
        As every factory takes them.
    """

    def __init__(self, rate: int, channels: int, unit: int) -> None:
        self.rate, self.channels, self.unit = rate, channels, unit

    def work(self, block: Block) -> Block:
        """See `Worker.work`."""
        return block

    def reset(self) -> None:
        """See `Worker.reset`."""
