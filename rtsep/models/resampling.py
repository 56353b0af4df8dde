"""Resampler: another rate for a stream, block by block, with nothing lost and a latency that is told."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]

_HALF = 16     # zero crossings of the sinc on each side: 1.5 ms there and back at 22 050 Hz
_BETA = 8.0    # of the Kaiser window: images 80 dB down
_ROLL = 0.94   # of the lower Nyquist frequency: where the filter begins to close


class Resampler:
    """A windowed sinc, evaluated at the times of the new samples.

    New sample n is the sound at ``(n * down - shift) / up`` of the old ones, before the first of which there is
    silence; it comes out as soon as all that it is made of has come.

    Parameters
    ----------
    channels : int
    rate, other : int
        Of what comes in and out, Hz.
    shift : int
        By how much later the new samples are, in 1 / `up` of an old one.

    Attributes
    ----------
    up, down : int
        The ratio of the rates in lowest terms.
    reach : int
        Old samples before and behind its time that a new one is made of.
    """

    def __init__(self, channels: int, rate: int, other: int, shift: int = 0) -> None:
        common = math.gcd(rate, other)
        self.up, self.down = other // common, rate // common
        widest = max(self.up, self.down)
        self.reach = -(-_HALF * widest // self.up)
        # h(phase, j): what old sample `base + j` counts, j from 1 - reach to reach, for a time phase / up behind base.
        distance = np.arange(self.up)[:, None] / self.up - np.arange(1 - self.reach, self.reach + 1)[None]
        scaled = distance * self.up / widest
        within = np.clip(1 - np.square(scaled / _HALF), 0, None)
        taps = np.sinc(_ROLL * scaled) * np.i0(_BETA * np.sqrt(within)) / np.i0(_BETA) * (within > 0)
        self._taps = (taps / taps.sum(axis=1, keepdims=True)).astype(np.float32)
        self._channels, self._shift = channels, shift
        self.reset()

    def reset(self) -> None:
        """Begin again, with silence before."""
        first = -(self._shift // self.up) - 2 * self.reach - 1
        self._kept: Block = np.zeros((self._channels, -first), np.float32)
        self._first = first      # which old sample the first kept one is
        self._next = 0           # new sample

    def push(self, block: Block) -> Block:
        """Take the next old samples, float32[channels, frames], and return the new ones that can be made now."""
        self._kept = np.concatenate([self._kept, block], axis=1)
        end = self._first + self._kept.shape[1]
        # floor((n down - shift) / up) + reach < end
        last = ((end - self.reach) * self.up + self._shift - 1) // self.down
        times = np.arange(self._next, last + 1) * self.down - self._shift
        bases = times // self.up
        windows = np.lib.stride_tricks.sliding_window_view(self._kept, 2 * self.reach, axis=1)
        places = bases + 1 - self.reach - self._first
        found = np.einsum("cnt,nt->cn", windows[:, places], self._taps[times % self.up]) if len(times) else None
        self._next = max(self._next, last + 1)
        spare = (self._next * self.down - self._shift) // self.up + 1 - self.reach - self._first
        if spare > 0:
            self._kept, self._first = self._kept[:, spare:], self._first + spare
        return np.zeros((self._channels, 0), np.float32) if found is None else np.asarray(found, np.float32)

    def state(self) -> list[NDArray[np.float64]]:
        """Return what it remembers."""
        return [np.array([self._first, self._next], np.float64), self._kept.astype(np.float64)]

    def restore(self, state: list[NDArray[np.float64]]) -> None:
        """Go on from what `state` has returned."""
        self._first, self._next = (int(value) for value in state[0])
        self._kept = state[1].astype(np.float32)
