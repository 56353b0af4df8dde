"""A noise gate on every microphone: what engineers do against bleed when they have nothing else."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]
_BLOCK_SECONDS = 64 / 48000


def gate(
    mics: Audio,
    rate: int,
    *,
    threshold_db: float = -12.0,
    range_db: float = -18.0,
    attack: float = 0.002,
    hold: float = 0.05,
    release: float = 0.15,
    memory: float = 5.0,
) -> Audio:
    """Turn every microphone down while it is much softer than it has been.

    Causal but for one block of 64 samples at 48 kHz.

    Parameters
    ----------
    mics : float32[mics, frames]
        The recording.
    rate : int
        Sampling rate, Hz.
    threshold_db : float
        Opens above this level, relative to the microphone's own loud level, dB.
    range_db : float
        Gain of a closed gate, dB.
    attack, release : float
        Time constants of opening and closing, seconds.
    hold : float
        Stays open for so long after the level has fallen, seconds.
    memory : float
        Time constant in which the loud level is forgotten, seconds.

    Returns
    -------
    float32[mics, frames]
        The gated microphones.

    References
    ----------
    Giannoulis, Massberg, Reiss, J. Audio Eng. Soc. 60 (2012), for detector and ballistics of dynamics processors.
    """
    block = max(1, round(_BLOCK_SECONDS * rate))
    k, frames = mics.shape
    count = -(-frames // block)
    framed = np.pad(mics, ((0, 0), (0, count * block - frames))).reshape(k, count, block)
    gain = gains(np.mean(framed.astype(np.float64) ** 2, axis=2), block / rate, threshold_db, range_db, attack, hold,
                 release, memory)
    # A straight line within each block: steps would click.
    edges = np.concatenate([gain[:, :1], gain], axis=1)
    into = (np.arange(block) + 1) / block
    shape = edges[:, :-1, None] * (1 - into) + edges[:, 1:, None] * into
    return np.ascontiguousarray((framed * shape).reshape(k, -1)[:, :frames], dtype=np.float32)


def gains(
    power: NDArray[np.float64],
    step: float,
    threshold_db: float,
    range_db: float,
    attack: float,
    hold: float,
    release: float,
    memory: float,
) -> NDArray[np.float64]:
    """Return the gain of each block.

    Parameters
    ----------
    power : float64[mics, blocks]
        Mean square of each block.
    step : float
        Length of a block, seconds; the others as in `gate`.
    threshold_db, range_db, attack, hold, release, memory : float

    Returns
    -------
    float64[mics, blocks]
        Between the range and 1.
    """
    k, count = power.shape
    closed, threshold = 10 ** (range_db / 20), 10 ** (threshold_db / 10)
    open_rate, close_rate, forget = (math.exp(-step / t) for t in (attack, release, memory))
    smoothing = math.exp(-step / 0.01)
    level, loud, left = np.zeros(k), np.zeros(k), np.zeros(k)
    now = np.full(k, closed)
    result = np.empty((k, count))
    for n in range(count):
        level = np.maximum(power[:, n], smoothing * level)
        loud = np.maximum(level, forget * loud)
        left = np.where((level > threshold * loud) & (level > 0), hold, left - step)
        goal = np.where(left > 0, 1.0, closed)
        now = goal + (now - goal) * np.where(goal > now, open_rate, close_rate)
        result[:, n] = now
    return result
