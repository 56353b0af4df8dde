"""Strips: the worker that has the chains of plug-ins of one or several mics."""

from __future__ import annotations

import base64
import itertools
import json
import time
from collections.abc import Iterator, Sequence

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
    """Works a chain for each strip; should its plug-ins become faster, it stays as late as it was when it was loaded.

    Parameters
    ----------
    rate, channels, unit : int
        As every factory takes them.
    strips : sequence of str
        What they are called.
    chains : sequence of sequence of SlotConfig
        Theirs; each takes as many of the channels as its slots are wide.
    """

    def __init__(
        self, rate: int, channels: int, unit: int, strips: Sequence[str], chains: Sequence[Sequence[SlotConfig]]
    ) -> None:
        self._strips = tuple(strips)
        self._latencies = [chain_latency(slots, rate, unit) for slots in chains]
        self._chains = [
            PluginChain(rate, unit, slots, late) for slots, late in zip(chains, self._latencies, strict=True)
        ]
        first = np.cumsum([0, *(slots[0].width for slots in chains)])
        self._rows = [slice(*pair) for pair in itertools.pairwise(first)]
        ends = np.cumsum([0, *(len(chain.params) for chain in self._chains)])
        self._places = [slice(*pair) for pair in itertools.pairwise(ends)]
        self._values: NDArray[np.float32] = np.array(
            [param.default for chain in self._chains for param in chain.params], np.float32
        )
        self._out = np.zeros((channels, unit), np.float32)
        self._late = [0] * len(chains)
        self._slow: list[str] = []   # what took longer than a unit lasts
        self._unit_seconds = unit / rate
        self._kept = self._state()

    def turn(self, values: Block) -> None:
        """See `Worker.turn`."""
        self._values = values

    def work(self, block: Block) -> Block:
        """See `Worker.work`."""
        for chain, rows, place in zip(self._chains, self._rows, self._places, strict=True):
            self._out[rows] = chain.work(block[rows], self._values[place])
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
        told, self._slow = self._slow, []
        for c, chain in enumerate(self._chains):
            told += [f"{self._strips[c]}: {line}" for line in chain.news()]
            late = max(0, chain.latency - self._latencies[c])
            if late != self._late[c]:
                self._late[c] = late
                told.append(
                    f"{self._strips[c]}: its plug-ins are {late} samples later than when they were loaded: reload the "
                    "preset to align them" if late else f"{self._strips[c]}: its plug-ins are aligned again"
                )
        return told

    def tell(self) -> Iterator[bytes]:
        """See `Worker.tell`: every plug-in's state, one after each unit; then all, base64 by strip and name, as JSON.

        What does not take longer than the rest of a unit is not heard; for longer that strip is dry.
        """
        told, kept = {}, []
        for strip, chain in zip(self._strips, self._chains, strict=True):
            states, began = {}, time.perf_counter()
            for name, state in chain.states():
                states[name] = state
                if (took := time.perf_counter() - began) > self._unit_seconds:
                    self._slow.append(f"{strip}: {name} took {1000 * took:.1f} ms to give its state away")
                yield b""
                began = time.perf_counter()
            told[strip] = {name: base64.b64encode(state).decode() for name, state in states.items()}
            kept.append(base64.b64encode(chain.snapshot(states)).decode())
        self._kept = json.dumps(kept).encode()
        yield json.dumps(told).encode()

    def snapshot(self) -> bytes:
        """Return what the plug-ins began with, or told last: what has been turned since stands on the board.

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
