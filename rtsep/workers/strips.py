"""Strips: the worker that has the chains of plug-ins of one or several mics."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Sequence

import numpy as np
import pedalboard  # noqa: F401  (a spare has it, before it has a job)
from numpy.typing import NDArray

from rtsep.plugins import probing
from rtsep.plugins.chain import PluginChain
from rtsep.plugins.slots import SlotConfig, chain_latency
from rtsep.stages.remote.job import Block, Worker


def stand_by() -> None:
    """Do once what takes long the first time: a spare, which has no job yet, has time for it."""
    probing.hosted_by()
    spare = Strips(48000, 1, 64, ("",), [[SlotConfig("gain", "Gain")]])
    spare.work(np.zeros((1, 64), np.float32))


class Strips(Worker):
    """Works a chain for each channel; should its plug-ins become faster, it stays as late as it was when it was loaded.

    Parameters
    ----------
    rate, channels, unit : int
        As every factory takes them.
    mics : sequence of str
        What the channels are called.
    chains : sequence of sequence of SlotConfig
        Of the channels.
    """

    def __init__(
        self, rate: int, channels: int, unit: int, mics: Sequence[str], chains: Sequence[Sequence[SlotConfig]]
    ) -> None:
        self._mics = tuple(mics)
        self._latencies = [chain_latency(slots, rate, unit) for slots in chains]
        self._chains = [
            PluginChain(rate, unit, slots, late) for slots, late in zip(chains, self._latencies, strict=True)
        ]
        ends = np.cumsum([0, *(len(chain.params) for chain in self._chains)])
        self._places = [slice(*pair) for pair in itertools.pairwise(ends)]
        self._values: NDArray[np.float32] = np.array(
            [param.default for chain in self._chains for param in chain.params], np.float32
        )
        self._out = np.zeros((channels, unit), np.float32)
        self._late = [0] * channels
        self._kept = self._state()

    def turn(self, values: Block) -> None:
        """See `Worker.turn`."""
        self._values = values

    def work(self, block: Block) -> Block:
        """See `Worker.work`."""
        for c, (chain, place) in enumerate(zip(self._chains, self._places, strict=True)):
            self._out[c] = chain.work(block[c : c + 1], self._values[place])[0]
        return self._out

    def reset(self) -> None:
        """See `Worker.reset`."""
        for chain in self._chains:
            chain.reset()

    def report(self) -> bytes:
        """Return how late each chain is, samples, as JSON."""
        return json.dumps({"latency": self._latencies}).encode()

    def news(self) -> list[str]:
        """See `Worker.news`."""
        told = []
        for c, chain in enumerate(self._chains):
            told += [f"{self._mics[c]}: {line}" for line in chain.news()]
            late = max(0, chain.latency - self._latencies[c])
            if late != self._late[c]:
                self._late[c] = late
                told.append(
                    f"{self._mics[c]}: its plug-ins are {late} samples later than when they were loaded: reload the "
                    "preset to align them" if late else f"{self._mics[c]}: its plug-ins are aligned again"
                )
        return told

    def snapshot(self) -> bytes:
        """Return what the plug-ins began with: what has been turned since stands on the board.

        Asking a plug-in for its state takes it many times as long as a unit, so it is done when it is loaded.
        """
        return self._kept

    def restore(self, state: bytes) -> None:
        """See `Worker.restore`."""
        self.reset()
        for chain, text in zip(self._chains, json.loads(state), strict=True):
            chain.restore(base64.b64decode(text))
        self._kept = state

    def _state(self) -> bytes:
        return json.dumps([base64.b64encode(chain.snapshot()).decode() for chain in self._chains]).encode()
