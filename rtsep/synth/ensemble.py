"""Who plays: instruments by name, each at the same level and a little out of tune with the others."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from rtsep.errors import InputError
from rtsep.synth.kit import drums, hats, kick, snare
from rtsep.synth.players import bass, cello, guitar, keys, sax, viola, violin, voice
from rtsep.synth.score import Score, compose
from rtsep.synth.sound import Audio, Signal

INSTRUMENTS = (
    "drums",
    "bass",
    "guitar",
    "keys",
    "sax",
    "voice",
    "violin",
    "viola",
    "cello",
    "kick",
    "snare",
    "hats",
)
"""Names that `play` and `band` know. Kick, snare and hats are parts of the same kit as drums."""

RMS = 0.05
"""Level of everything that is played here, full scale = 1."""

_PLAYERS: dict[str, Callable[[Score, np.random.Generator, int, int], Signal]] = {
    "drums": drums,
    "bass": bass,
    "guitar": guitar,
    "keys": keys,
    "sax": sax,
    "voice": voice,
    "violin": violin,
    "viola": viola,
    "cello": cello,
    "kick": kick,
    "snare": snare,
    "hats": hats,
}


def play(name: str, seed: int, seconds: float, rate: int) -> Audio:
    """Play one instrument.

    Parameters
    ----------
    name : str
        One of `INSTRUMENTS`.
    seed : int
        The piece, not negative. The same seed gives the same samples.
    seconds : float
        Length.
    rate : int
        Sample rate in Hz.

    Returns
    -------
    float32[frames]
        The instrument, RMS 0.05 over its whole length.

    Raises
    ------
    InputError
        An unknown instrument, or a seed, length or rate out of range.
    """
    sound: Audio = band((name,), seed, seconds, rate)[0]
    return sound


def band(names: Sequence[str], seed: int, seconds: float, rate: int) -> Audio:
    """Play several instruments together, in one tempo, key and chord progression.

    Parameters
    ----------
    names : sequence of str
        Names from `INSTRUMENTS`. An instrument that occurs twice plays two different parts, except for the
        drums, where every occurrence is the same kit.
    seed : int
        The piece, not negative. The same seed gives the same samples.
    seconds : float
        Length.
    rate : int
        Sample rate in Hz.

    Returns
    -------
    float32[instruments, frames]
        One row an instrument, each of RMS 0.05, or silent if its first note comes later. A row does not
        depend on who else plays.

    Raises
    ------
    InputError
        An unknown instrument, or a seed, length or rate out of range.
    """
    for name in names:
        if name not in INSTRUMENTS:
            raise InputError("names", f"unknown instrument {name!r}", f"known: {', '.join(INSTRUMENTS)}")
    if not names:
        raise InputError("names", "no instrument", f"known: {', '.join(INSTRUMENTS)}")
    if seed < 0:
        raise InputError("seed", f"{seed} is negative", "0 or more")
    if not 0 < seconds <= 3600:
        raise InputError("seconds", f"{seconds} is out of range", "above 0, at most 3600")
    if not 8000 <= rate <= 192000:
        raise InputError("rate", f"{rate} is out of range", "8000 to 192000 Hz")

    score = compose(seed)
    frames = max(1, round(seconds * rate))
    out = np.empty((len(names), frames), np.float32)
    earlier: Counter[str] = Counter()
    for row, name in zip(out, names, strict=True):
        rng = np.random.default_rng([seed, INSTRUMENTS.index(name), earlier[name]])
        earlier[name] += 1
        sound = _out_of_tune(_PLAYERS[name](score, rng, frames, rate), rng, rate)
        level = math.sqrt(float(np.mean(sound**2)))
        row[:] = sound * (RMS / level) if level > 0 else 0.0
    return out


def _out_of_tune(sound: Signal, rng: np.random.Generator, rate: int) -> Signal:
    """Play a few cents beside the others, and wander.

    Without it two instruments on one note are one coherent sine, which no two players ever are, and which no
    method that looks for correlation could tell from bleed.
    """
    from scipy import ndimage

    seconds = np.arange(sound.size) / rate
    cents = np.full(sound.size, rng.uniform(-5.0, 5.0))
    for hertz in (0.13, 0.31, 0.74):
        cents += rng.uniform(0.5, 2.0) * np.sin(2 * np.pi * (hertz * seconds + rng.random()))
    place = np.cumsum(2 ** (cents / 1200)) - 1
    bent: Signal = ndimage.map_coordinates(sound, place[None], order=3, mode="constant")
    return bent
