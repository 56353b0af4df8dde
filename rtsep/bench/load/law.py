"""The law: what the callback of a chain takes, in mics and frames, fitted; and what bounds it on this machine.

    microseconds = a + b k + (c k + d n) block / 64

with k mics and n pairs of mics (at most as many as the canceller holds). No term may be negative; errors are relative,
so that small cells count as much as large ones. What bounds a chain is what of the machine it uses most of, if that is
at least a half: arithmetic and memory of one core, against what a product of matrices and of long vectors get. Plug-ins
and models work in other processes: of them the callback is only the way there and back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from rtsep.bench.load.cells import CANCELLER, MATRIX, RATE, SPECTRAL, Cell
from rtsep.bench.load.machine import Machine
from rtsep.catalogue import STAGES

ARITHMETIC, MEMORY, CALLS, ELSEWHERE = "arithmetic", "memory bandwidth", "the call itself", "other processes"
MIXED = "none of these alone"
_MOSTLY = 0.5              # of what it uses: less bounds nothing
_PER = 64                  # frames that the law counts in
_LEAST = 4                 # cells: as many as it has terms
_TAPS = 16384              # of a path, as the catalogue has it
_NEAR, _FAR, _SEGMENT = 15, 512, 64   # near partitions of 64; a far one; see `rtsep_kernels.canceller.record`
_WINDOW, _HOP = 1024, 128  # of the spectral stage, as the catalogue has it


@dataclass(frozen=True)
class Law:
    """A fitted law, in microseconds.

    Parameters
    ----------
    chain : str
    once, mic : float
        Of a call, and of each mic in it.
    mic_frames, pair_frames : float
        Of each mic and of each pair, for 64 frames.
    error : float
        Median relative error of the cells.
    bound : str
        What of the machine it uses most of, where the largest cell was measured.
    arithmetic, memory : float
        Shares of what one core does at most, there; nan: not known.
    """

    chain: str
    once: float
    mic: float
    mic_frames: float
    pair_frames: float
    error: float
    bound: str
    arithmetic: float
    memory: float

    def microseconds(self, mics: int, block: int) -> float:
        """Return what a callback takes."""
        parts = block / _PER * (self.mic_frames * mics + self.pair_frames * pairs(self.chain, mics))
        return self.once + self.mic * mics + parts

    def most(self, block: int, share: float) -> int:
        """Return with how many mics a callback takes no more than a share of its deadline; at most 1024."""
        deadline = 1e6 * block / RATE
        return max((k for k in range(1, 1025) if self.microseconds(k, block) <= share * deadline), default=0)


def pairs(chain: str, mics: int) -> int:
    """Return how many pairs of mics a chain works on: of a canceller those that it holds."""
    every = mics * (mics - 1)
    return min(every, int(STAGES["canceller"].defaults["pairs"])) if chain == CANCELLER else every


def fit(cells: Sequence[Cell], machine: Machine | None) -> list[Law]:
    """Fit a law for each chain of which enough was measured."""
    laws = []
    for chain in dict.fromkeys(cell.chain for cell in cells):
        own = [cell for cell in cells if cell.chain == chain and cell.us]
        if len({(cell.mics, cell.block) for cell in own}) >= _LEAST:
            laws.append(_fit(chain, own, machine))
    return laws


def _fit(chain: str, cells: Sequence[Cell], machine: Machine | None) -> Law:
    took = np.array([cell.us["p50"] for cell in cells])
    terms = np.array([[1.0, cell.mics, cell.block / _PER * cell.mics, cell.block / _PER * pairs(chain, cell.mics)]
                      for cell in cells])
    found, _ = nnls(terms / took[:, None], np.ones(took.size))
    error = float(np.median(np.abs(terms @ found / took - 1)))
    largest = max(cells, key=lambda cell: (cell.mics, cell.block))
    arithmetic, memory = shares(chain, largest, machine)
    once = (found[0] + found[1] * largest.mics) / float(terms[cells.index(largest)] @ found or 1)
    uses = {ARITHMETIC: arithmetic, MEMORY: memory, CALLS: once}
    most = max(uses, key=lambda name: uses[name])
    bound = ELSEWHERE if math.isnan(arithmetic) else most if uses[most] >= _MOSTLY else MIXED
    a, b, c, d = (float(value) for value in found)
    return Law(chain, a, b, c, d, error, bound, arithmetic, memory)


def work(chain: str, mics: int) -> tuple[float, float]:
    """Return floating-point operations, and bytes that do not fit into the first caches, for each sample of sound.

    Counted from what each chain must do: products of a matrix; of a path its head, near and far partitions, whose far
    spectra come from memory once in 512 samples; transforms at 2.5 N log2 N.
    """
    if chain == MATRIX:
        return 2.0 * mics * mics, 8.0 * mics
    if chain == CANCELLER:
        far = _TAPS // _FAR - 1
        held = pairs(chain, mics)
        near = _NEAR * 8 * (_SEGMENT + 1) / _SEGMENT
        flops = 2 * (_SEGMENT - 1) + near + far * 8 * (_FAR + 1) / _FAR
        return held * flops, held * far * 8 * (_FAR + 1) / _FAR
    if chain == SPECTRAL:
        return mics * 2 * 2.5 * _WINDOW * math.log2(_WINDOW) / _HOP, mics * 8.0
    return math.nan, math.nan


def shares(chain: str, cell: Cell, machine: Machine | None) -> tuple[float, float]:
    """Return what of one core's arithmetic and memory a cell's callback uses while it runs."""
    if machine is None:
        return math.nan, math.nan
    flops, bytes_ = work(chain, cell.mics)
    seconds = cell.us["p50"] / 1e6
    per_second = cell.block / seconds / 1e9
    return flops * per_second / machine.gflops, bytes_ * per_second / machine.gigabytes
