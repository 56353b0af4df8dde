"""The bleed of the bleed papers: gains drawn for a song, or one room."""

from __future__ import annotations

from functools import cache

import numpy as np

from rtsep.scenes import Audio, Signal

BLEEDS = ("none", "linear", "room")
"""What is put between the sources of a data set and the microphones.

none
    Nothing: the microphones hear what is on disk.
linear
    MUSDB of the bleed papers: gains, drawn once a song, 0.05 to 0.31 and 0.6 to 1 for the own source.
room
    MUSDBR of the bleed papers: a simulated room of 13.5 x 7 x 7 m, RT60 0.25 s, each microphone half a metre away.
"""

_ROOM_SIZE = (13.5, 7.0, 7.0)   # m
_ROOM_RT60 = 0.25   # s
# Who stands where, and the places of source and microphone; others take the places as they come.
_STAGE = ("drums", "vocals", "bass", "other")
PLACES = ((3.0, 5.0, 1.0), (5.5, 5.5, 1.0), (8.0, 5.5, 1.0), (10.5, 5.0, 1.0))
_MICROPHONES = ((3.0, 4.5, 1.0), (5.5, 5.0, 1.0), (8.0, 5.0, 1.0), (10.5, 4.5, 1.0))


def draw_gains(count: int, rng: np.random.Generator) -> Signal:
    """Return a mixing matrix float64[mics, sources] as the linear bleed of the papers has it, of two decimals."""
    gains = rng.uniform(0.05, 0.31, (count, count))
    np.fill_diagonal(gains, rng.uniform(0.6, 1.0, count))
    rounded: Signal = np.round(gains, 2)
    return rounded


def play(names: tuple[str, ...], sound: Audio, rate: int) -> tuple[Signal, Signal]:
    """Play sources in the room of the bleed papers.

    Parameters
    ----------
    names : tuple of str
        vocals, bass, drums and other have their own places; of others the first takes the first.
    sound : float32[sources, frames]
    rate : int

    Returns
    -------
    mics, images : float64[sources, frames]
        What the microphones hear, and of it their own sources.
    """
    from scipy import signal

    seats = [_STAGE.index(name) for name in names] if set(names) <= set(_STAGE) else list(range(len(names)))
    paths = room_paths(rate)
    mics, images = np.zeros(sound.shape), np.zeros(sound.shape)
    for source, part in zip(seats, sound.astype(np.float64), strict=True):
        for row, mic in enumerate(seats):
            heard = signal.oaconvolve(part, paths[mic, source])[: len(part)]
            mics[row] += heard
            if mic == source:
                images[row] = heard
    return mics, images


@cache
def room_paths(rate: int) -> Signal:
    """Return the impulse responses float64[mics, sources, taps] of the room of the bleed papers, read-only."""
    import pyroomacoustics as pra

    absorption, order = pra.inverse_sabine(_ROOM_RT60, _ROOM_SIZE)
    room = pra.ShoeBox(_ROOM_SIZE, fs=rate, materials=pra.Material(absorption), max_order=order)
    for place in PLACES:
        room.add_source(place)
    room.add_microphone_array(np.array(_MICROPHONES).T)
    room.compute_rir()
    paths = np.zeros((len(_MICROPHONES), len(PLACES), max(len(path) for row in room.rir for path in row)))
    for i, row in enumerate(room.rir):
        for j, path in enumerate(row):
            paths[i, j, : len(path)] = path
    paths.flags.writeable = False
    return paths
