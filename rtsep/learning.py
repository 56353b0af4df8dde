"""Learn from a soundcheck in memory or in a file: whose solos there are, and what they teach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rtsep.errors import InputError
from rtsep.finite import repaired
from rtsep.sound import Sound

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from rtsep.calibration import Calibration
    from rtsep.sound import Block
    from rtsep.systems.solos import Solo


def learn(
    x: ArrayLike,
    rate: float,
    solos: Sequence[tuple[str | int, float, float]] | None = None,
    names: Sequence[str] | None = None,
    taps: int = 16384,
) -> Calibration:
    """Learn from a soundcheck who bleeds where; the same as `rtsep learn`.

    Parameters
    ----------
    x : float32[mics, frames]
        A recording in which every performer plays alone for some seconds.
    rate : int
        Hz.
    solos : sequence of (mic, start, end), optional
        Who plays alone when: a microphone's name, or its number from 1, and two times in seconds. They are found in the
        recording by default.
    names : sequence of str, optional
        Of the microphones: `mic1`, `mic2` … by default.
    taps : int
        Length of each path, samples.

    Returns
    -------
    Calibration
        What `rtsep.clean` and `rtsep.Stream` take; `rtsep.calibration` saves and loads it.

    Raises
    ------
    InputError
        If no solo is found, one is not within the recording, nothing can be learnt from any, or `x` is not of that
        layout.

    Examples
    --------
    >>> known = rtsep.learn(soundcheck, 48000, [("vox", 0.0, 4.0), ("kick", 4.5, 8.5)], ["vox", "kick"])
    """
    from rtsep.systems import soundcheck
    from rtsep.systems.solos import place_solos

    sound = Sound(x, rate, names)
    mics = repaired(sound.samples, "x", sound.names)
    if solos is None:
        found = find(mics, sound.rate, "x", "name them with solos")
    else:
        rows = [(f"solos[{n}]", f"solos[{n}]", [str(cell) for cell in row]) for n, row in enumerate(solos)]
        found = place_solos(rows, sound.names, sound.rate, sound.frames)
        if not found:
            raise InputError("solos", "there is none", "allowed is one (mic, start, end) or more, or None")
    known = soundcheck.learn(mics, sound.rate, found, sound.names, taps)
    demand_sure(known, "x")
    return known


def find(mics: Block, rate: int, place: str, allowed: str) -> list[Solo]:
    """Find the solos of a recording.

    Raises
    ------
    InputError
        If there is none; with the place and what to do instead.
    """
    from rtsep.systems import soundcheck

    solos = soundcheck.find_solos(mics, rate)
    if not solos:
        raise InputError(place, "no passage was found in which one source plays alone", allowed)
    return solos


def demand_sure(known: Calibration, place: str) -> None:
    """Refuse a calibration that knows of nobody where the bleed goes: it would pass for one, and change nothing.

    Raises
    ------
    InputError
    """
    if not known.confidence.any():
        allowed = "allowed are solos that the own mic hears loudest, with nobody else playing, and two mics or more"
        raise InputError(place, "teaches nothing: in no solo can it be heard who bleeds where", allowed)
