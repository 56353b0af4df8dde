"""Bleed as networks learn it (SYSTEMS.md 1.9): gains of any range, the bleed papers' room, and rooms like it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rtsep.datasets import play
from rtsep.errors import InputError
from rtsep.scenes import Signal

BLEEDS = ("none", "linear", "room", "rooms")
OFF, OWN = (0.05, 0.31), (0.6, 1.0)
"""Ranges of gains in the bleed papers' scripts: of other sources, of the own one."""

# The scripts' later rooms: whole metres, RT60; who plays stands where the first room has its four places.
_SIZES = ((13, 16), (7, 10), (7, 10))
_RT60 = 0.35
_SEATS = ((3.0, 5.0, 1.0), (5.5, 5.5, 1.0), (8.0, 5.5, 1.0), (10.5, 5.0, 1.0))
_AWAY = 0.5   # m, from a source to its mic, towards the audience


def put(
    bleed: str, names: Sequence[str], sources: Signal, rng: np.random.Generator, rate: int,
    off: tuple[float, float] = OFF, own: tuple[float, float] = OWN,
) -> tuple[Signal | None, Signal, Signal]:
    """Put bleed on sources.

    Parameters
    ----------
    bleed : str
        One of `BLEEDS`.
    names : sequence of str
    sources : float64[sources, frames]
    rng : Generator
    rate : int
        Hz.
    off, own : (float, float)
        Ranges of gains.

    Returns
    -------
    mixing : float64[mics, sources] or None
        None in rooms.
    mics, images : float64[sources, frames]

    Raises
    ------
    InputError
        If there are more sources than places in the room.
    """
    count = len(sources)
    if bleed == "none":
        return np.eye(count), sources.copy(), sources.copy()
    if bleed == "linear":
        mixing = rng.uniform(*off, (count, count))
        np.fill_diagonal(mixing, rng.uniform(*own, count))
        mixing = np.round(mixing, 2)   # as the scripts have it
        return mixing, mixing @ sources, np.diag(mixing)[:, None] * sources
    if count > len(_SEATS):
        raise InputError("--bleed", f"{bleed} has {len(_SEATS)} places, and there are {count} sources", "linear, none")
    if bleed == "room":
        mics, images = play(tuple(names), sources.astype(np.float32), rate)
        return None, mics, images
    mics, images = _in_a_room(sources, rng, rate)
    return None, mics, images


def _in_a_room(sources: Signal, rng: np.random.Generator, rate: int) -> tuple[Signal, Signal]:
    import pyroomacoustics as pra
    from scipy import signal

    size = [float(rng.integers(*sides)) for sides in _SIZES]
    absorption, order = pra.inverse_sabine(_RT60, size)
    room = pra.ShoeBox(size, fs=rate, materials=pra.Material(absorption), max_order=order)
    seats = np.array(_SEATS)[: len(sources)]
    for seat in seats:
        room.add_source(seat)
    room.add_microphone_array((seats - [0.0, _AWAY, 0.0]).T)
    room.compute_rir()
    mics, images = np.zeros(sources.shape), np.zeros(sources.shape)
    for mic, row in enumerate(room.rir):
        for source, path in enumerate(row):
            heard = signal.oaconvolve(sources[source], path)[: sources.shape[1]]
            mics[mic] += heard
            if mic == source:
                images[mic] = heard
    return mics, images
