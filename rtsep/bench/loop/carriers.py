"""Carriers: what takes a probe around a loop. Each gives back, for every mic, what a number of periods made of it.

A carrier is a function of float32[mics, frames], one period, and a number of periods; it returns
float32[mics, periods * frames], of which the first period is not looked at: it fills the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rtsep.bench.loop import probes, response
from rtsep.bench.loop.response import Echo
from rtsep.errors import DeviceError
from rtsep.stage import Block

if TYPE_CHECKING:
    from rtsep.stage import Stage

Carrier = Callable[[Block, int], Block]

_BLEED, _APART, _FIRST = 0.4, 10, 90   # how loud mics hear each other, and how many samples later


def through(stage: Stage, block: int) -> Carrier:
    """Return the carrier of a stage alone: a chain, an engine, offline."""
    def carry(sound: Block, periods: int) -> Block:
        from rtsep.runner import process

        return process(stage, np.ascontiguousarray(np.tile(sound, (1, periods))), block)
    return carry


def bled(sound: Block) -> Block:
    """Return periods of sound as mics on a stage hear them: each hears all others, softer and later."""
    heard = sound.astype(np.float64)
    for i in range(len(sound)):
        for j in range(len(sound)):
            if i != j:
                heard[i] += _BLEED * np.roll(sound[j], _FIRST + _APART * j)
    return heard.astype(np.float32)


def measure(
    carry: Carrier, kind: str, mics: int, rate: int, repeats: int, settle: int = 1, bleed: bool = False,
    order: int = probes.ORDER,
) -> list[Echo]:
    """Send a probe around a loop.

    Parameters
    ----------
    carry : Carrier
    kind : str
        `probes.MLS`: all mics at once; `probes.SWEEP`: one after the other, as all sweeps are alike.
    mics : int
    rate : int
        Hz.
    repeats : int
        Periods that are measured.
    settle : int
        Periods before.
    bleed : bool
        Let mics hear each other, so that a chain has something to take away: of MLS alone.
    order : int
        See `probes.probes`.

    Returns
    -------
    list of Echo
        One for each mic.
    """
    own = probes.probes(kind, mics, rate, order)
    if kind == probes.MLS:
        return echoes(own, carry(bled(own) if bleed else own, settle + repeats), settle)
    found = []
    for mic in range(mics):
        alone = np.zeros_like(own)
        alone[mic] = own[mic]
        found.append(echoes(own, carry(alone, settle + repeats), settle)[mic])
    return found


def echoes(own: Block, heard: Block, settle: int) -> list[Echo]:
    """Judge what came back, mic by mic.

    Raises
    ------
    DeviceError
        Less came back than was sent.
    """
    frames = own.shape[1]
    periods = heard.shape[1] // frames
    if periods <= settle:
        raise DeviceError(f"only {heard.shape[1]} samples came back")
    return [response.judge(own[mic], pieces(heard[mic], frames, settle)) for mic in range(len(own))]


def pieces(heard: Block, frames: int, settle: int) -> Sequence[Block]:
    """Return the periods behind the first ones."""
    return [heard[n * frames : (n + 1) * frames] for n in range(settle, heard.size // frames)]
