"""What the canceller is tuned to: in seconds, Hz and parts of what is named, each with its origin.

Times hold at every rate. They were found at 48 kHz, in blocks of 512 samples: a value with many digits is there the
round number per block that its comment names, bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep_kernels.canceller.record import BLOCK, GROUPS, HISTORY, SEGMENT

_RATE = 48000   # Hz, at which the prior's decay was found


def kept(seconds: float, rate: int, step: int = BLOCK) -> float:
    """Return what a memory of so many seconds (in which something falls to 1 / e) keeps after `step` samples."""
    return math.exp(-step / rate / seconds)


@dataclass(frozen=True)
class Learning:
    """The Kalman filter, and what is handed over and taken back.

    Where no other origin is named, a value is the round number with which the simulated stages of `rtsep bench` were
    cleaned well; half or twice as much changes little.

    Parameters
    ----------
    blind, calibrated : tuple of float
        Seconds of memory, and the part of the prior by which doubt grows per second: from nothing (0.999 and 1e-4
        a block), and from a soundcheck, which is good and moves little (0.99999 and 3e-6).
    prior, prior_kept : float
        Expected power of a path in its first 512 samples at 48 kHz, per bin: -17 dB; and what is left of it in each
        512 more: 60 dB less after 0.9 s, a room or a stage.
    tracked : int
        Partitions that the Kalman filter adapts, with up to eight mics; the others are refined only. A bound of the
        work, so that it is no time: 85 ms at 48 kHz.
    caution : float
        Times the smoothed power of what is left counts as the wanted sound, which the filter must not learn: 1 would
        be right if that power were known.
    smooth : float
        Seconds of memory of that power: 0.6 a block. Notes start faster than that, so that the larger of the
        smoothed and the newest one is used.
    tamed, tamed_memory : float
        Seconds in which a mic's output has been clearly louder than its input, after which its paths shrink: two
        players in unison may cancel for some tenths of a second; and the seconds in which they fall to 1 / e:
        0.7 a block, so that what was learnt wrongly is gone within a tenth of a second.
    again : float
        Seconds: of two explosions, the second one leaves nothing; a thousand blocks.
    good : float
        Seconds from one keeping of a good partition to the next: 256 blocks. What explodes has been growing for less.
    loudness : float
        Seconds of memory of the loudest input: it falls by 6 dB in 1.8 s, 0.9995 in 64 samples.
    confident : float
        Confidence from which a soundcheck's path is believed in.
    known_doubt : float
        Part of the prior that such a path leaves unknown: -33 dB, as a soundcheck's take of some seconds gives.
    """

    blind: tuple[float, float] = (10.6613, 0.009375)
    calibrated: tuple[float, float] = (1067.0, 2.8125e-4)
    prior: float = 0.02
    prior_kept: float = 0.85
    tracked: int = 8
    caution: float = 1.5
    smooth: float = 0.02088123
    tamed: float = 0.34
    tamed_memory: float = 0.02990585
    again: float = 10.67
    good: float = 2.73
    loudness: float = 2.666
    confident: float = 0.25
    known_doubt: float = 5e-4

    def per_block(self, known: bool, rate: int) -> tuple[float, float]:
        """Return memory a2 and drift q, from a soundcheck or from nothing."""
        memory, drift = self.calibrated if known else self.blind
        return kept(memory, rate), drift * BLOCK / rate

    def priors(self, rate: int) -> NDArray[np.float64]:
        """Return the expected power of each partition of a path, per bin, float64[HISTORY]."""
        left = self.prior_kept ** (_RATE / rate)
        first = self.prior * (1 - left) / (1 - self.prior_kept)   # over all partitions the power is the same
        priors: NDArray[np.float64] = first * left ** np.arange(HISTORY)
        return priors

    def tracked_of(self, mics: float) -> int:
        """Return how many partitions are tracked with all pairs of so many mics: beyond eight, work is bounded."""
        return min(self.tracked, max(2, self.tracked * 8 // max(1, math.ceil(mics))))

    def kalman(self, rate: int) -> dict[str, float]:
        """Return the numbers of `rtsep_kernels.canceller.kalman.KALMAN`."""
        # The powers of so many blocks are at hand, and some of them are just being overwritten.
        tamed = min(round(self.tamed * rate / BLOCK), HISTORY - 2 * GROUPS)
        return {"caution": self.caution, "smoothing": kept(self.smooth, rate), "tamed_blocks": tamed,
                "tamed": kept(self.tamed_memory, rate)}

    def handover(self, partitions: int, rate: int) -> dict[str, int]:
        """Return the numbers of `rtsep_kernels.canceller.handover.HANDOVER`."""
        return {"again_blocks": round(self.again * rate / BLOCK),
                "good_blocks": max(partitions, round(self.good * rate / BLOCK))}

    def loudness_kept(self, rate: int) -> float:
        """Return what a segment keeps of the loudest input."""
        return kept(self.loudness, rate, SEGMENT)


LEARNING = Learning()
