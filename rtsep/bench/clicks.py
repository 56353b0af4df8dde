"""Do new filters click? Energy above 8 kHz around every switch, against the same run in which the old ones stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from rtsep.stage import Block, Format
from rtsep.stages.canceller import Canceller
from rtsep_kernels.canceller.record import BLOCK, DUE, GROUPS
from rtsep_kernels.canceller.refine import round as refine

HIGH_HZ = 8000.0
AROUND_SECONDS = 0.005
STANDS_OUT = 8.0      # times the RMS of what is around it is a step
LEAST_STEP = 3e-4     # and at least so large, -70 dBFS: what is softer nobody hears
_AROUND_STEP = 481    # samples that are around it: 10 ms at 48 kHz
SMALLEST = 1e-9       # -180 dBFS: below float32
_QUIETEST = 1e-9   # -90 dBFS: what is weaker in both runs is no click


@dataclass(frozen=True)
class Handover:
    """What is heard while refined filters come in, with and without them.

    Parameters
    ----------
    first : int
        Sample of the recording at which it begins.
    cleaned, without : float32[mics, frames]
        Until the last of them is in use and `AROUND_SECONDS` more; `without`: from the same state, the old filters
        stay.
    switches : tuple of int
        Samples, from `first` on, at which a filter changes.
    """

    first: int
    cleaned: Block
    without: Block
    switches: tuple[int, ...]


def handovers(mics: Block, rate: int, taps: int = 16384) -> Iterator[Handover]:
    """Clean a recording from a cold start; at every hand-over go two ways.

    Parameters
    ----------
    mics : float32[mics, frames]
    rate : int
        Hz.
    taps : int
    """
    ways = [Canceller("canceller", taps) for _ in range(2)]
    for stage in ways:
        stage.prepare(Format(rate, len(mics)))
        silence = np.zeros((len(mics), BLOCK), np.float32)
        stage.process(silence, silence.copy())
        stage.reset()
    pieces: list[tuple[Block, Block]] = []
    begun, last = -1, 0
    switches: list[int] = []
    for first in range(0, mics.shape[1] - BLOCK + 1, BLOCK):
        piece = np.ascontiguousarray(mics[:, first : first + BLOCK])
        if begun < 0 and refine.is_blending(ways[0]._refinement.record[0]):
            ways[1].restore(ways[0].snapshot())
            for name in ("change_re", "change_im"):
                ways[1]._refinement[name][:] = 0
            begun = first
        outs = (np.empty_like(piece), np.empty_like(piece))
        ways[0].process(piece, outs[0])
        if begun >= 0:
            ways[1].process(piece, outs[1])
            pieces.append(outs)
            # What a job has changed is due two partitions later, a group of partitions at a time.
            if not switches or refine.is_blending(ways[0]._refinement.record[0]):
                last = first + (DUE + 2 * GROUPS) * BLOCK
            switches.append(first - begun)
            if first >= last:
                cleaned, without = (np.concatenate(way, axis=1) for way in zip(*pieces, strict=True))
                yield Handover(begun, cleaned, without, tuple(switches[1:]))
                begun, switches, pieces = -1, [], []


def loudest(cleaned: Block, without: Block, switches: Sequence[int], rate: int) -> float:
    """Return by how much the energy above 8 kHz near a switch exceeds that of the run without it, at most, in dB.

    Parameters
    ----------
    cleaned, without : float32[mics, frames]
    switches : sequence of int
        Samples; 5 ms on both sides are looked at.
    rate : int
        Hz.
    """
    heard, expected = (high_energy(sound, switches, rate) for sound in (cleaned, without))
    floor = silence(rate)
    return float(10 * np.log10(np.max((heard + floor) / (expected + floor))))


def steps(sound: Block) -> NDArray[np.bool_]:
    """Find jumps from one sample to the next that stand out of what is around them.

    A jump counts by how much it differs from the mean of those before and after it.

    Parameters
    ----------
    sound : float32[mics, frames]

    Returns
    -------
    bool[mics, frames]
        Where the sample after a jump is one.
    """
    jumps = np.diff(sound.astype(np.float64), axis=1)
    off = np.zeros(sound.shape)
    off[:, 2:-1] = np.abs(jumps[:, 1:-1] - 0.5 * (jumps[:, :-2] + jumps[:, 2:]))
    around = np.ones(_AROUND_STEP) / _AROUND_STEP
    near = np.sqrt(np.maximum([signal.fftconvolve(row, around, "same") for row in off**2], 0))
    return (off > STANDS_OUT * near) & (off > LEAST_STEP)


def sizes(sound: Block) -> NDArray[np.float64]:
    """Return how large a step there would be at each sample, float64[mics, frames], if all of it were one.

    The sixth difference of a step is ten times as large at its place, that of a tone at 3 kHz 44 dB below it.
    """
    found = np.zeros(sound.shape)
    found[:, 3:-3] = np.abs(np.diff(sound.astype(np.float64), 6, axis=1)) / 10
    return found


def high_energy(sound: Block, places: Sequence[int], rate: int) -> NDArray[np.float64]:
    """Return the energy above 8 kHz within 5 ms of some samples, float64[mics, places]."""
    high = signal.butter(8, HIGH_HZ, "highpass", fs=rate, output="sos")
    around = round(AROUND_SECONDS * rate)
    power = signal.sosfilt(high, sound.astype(np.float64), axis=1) ** 2
    total: NDArray[np.float64] = np.cumsum(np.pad(power, ((0, 0), (1, 0))), axis=1)
    ends = [(max(0, f - around), min(sound.shape[1], f + around)) for f in places]
    return np.array([total[:, b] - total[:, a] for a, b in ends]).T


def silence(rate: int) -> float:
    """Return the energy within 5 ms of a sample below which there is no click."""
    return 2 * round(AROUND_SECONDS * rate) * _QUIETEST
