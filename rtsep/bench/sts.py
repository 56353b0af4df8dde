"""The standard test scenes of SYSTEMS.md: four made instruments at 22 050 Hz, mixed by gains or in a room.

The random numbers are drawn in the order of the reference generator, so that measured figures can be compared with
those of SYSTEMS.md. For concerts that sound like concerts see `rtsep.synth`; this is for numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float64]
RATE = 22050
NAMES = ("vocal", "bass", "drums", "other")

SCRIPT_ORDER = ("drums", "vocal", "bass", "other")
"""Of the places in the published script that makes rooms (§1.9)."""

UNIFORM = np.full((4, 4), 0.1) + 0.9 * np.eye(4)
"""Scene A: Λ with 1 on the diagonal and 0.1 elsewhere."""

_FULL_TURN = 6.28   # as the reference has it


@dataclass(frozen=True)
class Scene:
    """Microphones and what each should hear.

    Parameters
    ----------
    sources : float64[sources, frames]
        Dry.
    mics : float64[mics, frames]
    images : float64[mics, frames]
        The own source as its mic hears it: the reference of every SDR.
    mixing : float64[mics, sources], optional
        Λ, where the scene is a mixture by gains.
    images_all : float64[mics, sources, frames], optional
        Every source at every mic, where it is a room.
    """

    sources: Signal
    mics: Signal
    images: Signal
    mixing: Signal | None = None
    images_all: Signal | None = None


@cache
def _sources(seconds: float, seed: int) -> Signal:
    rng = np.random.default_rng(seed)
    frames = int(RATE * seconds)
    parts = [part(rng, frames) for part in (_vocal, _bass, _drums, _chords)]
    together = np.stack(parts)
    together -= together.mean(axis=1, keepdims=True)
    together *= 0.1 / np.sqrt((together**2).mean(axis=1, keepdims=True))
    together.flags.writeable = False
    return together


def sources(seconds: float = 10.0, seed: int = 0) -> Signal:
    """Return vocal, bass, drums and chords, float64[4, frames], each with an RMS of 0.1."""
    return _sources(seconds, seed).copy()


def scene_a(seconds: float = 10.0) -> Scene:
    """Return Scene A: X = Λ S with Λ uniform, 0.1 beside the diagonal."""
    return _mixed(sources(seconds), UNIFORM)


def scene_b(seed: int = 0, seconds: float = 10.0, least: float = 1.0) -> Scene:
    """Return Scene B: off-diagonal gains uniform in 0.05 to 0.31, diagonal uniform in `least` to 1."""
    return _mixed(sources(seconds), gains_b(seed, least))


def gains_b(seed: int, least: float = 1.0) -> Signal:
    """Return Scene B's Λ, float64[4, 4], of one draw."""
    rng = np.random.default_rng(seed)
    mixing: Signal = rng.uniform(0.05, 0.31, (4, 4))
    np.fill_diagonal(mixing, rng.uniform(least, 1.0, 4) if least < 1 else 1.0)
    return mixing


@cache
def _scene_c(seconds: float, order: tuple[str, ...]) -> Scene:
    from scipy import signal

    from rtsep import datasets

    dry, seats = sources(seconds), [order.index(name) for name in NAMES]
    paths = datasets.room_paths(RATE)[np.ix_(seats, seats)]
    every = signal.oaconvolve(dry[None], paths, axes=-1)[:, :, : dry.shape[1]]
    own = every[np.arange(4), np.arange(4)].copy()
    return Scene(dry, every.sum(axis=1), own, images_all=every)


def scene_c(seconds: float = 10.0, order: tuple[str, ...] = NAMES) -> Scene:
    """Return Scene C: the room of the bleed papers, `datasets.room_paths` (§1.9).

    `order` says who stands at the four places. SYSTEMS.md's text has the published script's, `SCRIPT_ORDER`; its
    figures come out to 0.1 dB with the order of NAMES: 11.8, 9.9, 8.7, 11.3 dB.
    """
    return _scene_c(seconds, order)


def sdr(reference: Signal, estimate: NDArray[np.floating]) -> Signal:
    """Return the plain ratio |s|² / |s - ŝ|² of SYSTEMS.md, dB, one a signal."""
    from rtsep import metrics

    return metrics.sdr(reference, estimate)


def _mixed(dry: Signal, mixing: Signal) -> Scene:
    return Scene(dry, mixing @ dry, np.diag(mixing)[:, None] * dry, mixing=mixing)


def _notes(
    rng: np.random.Generator, frames: int, step: float, duty: float, often: float
) -> tuple[Signal, list[tuple[int, int]]]:
    """Return an envelope of notes on a grid of `step` seconds, and where each begins and how long it is."""
    envelope, found = np.zeros(frames), []
    grid = int(step * RATE)
    for start in range(0, frames, grid):
        if rng.random() < often:
            length = min(int(duty * grid), frames - start)
            note = np.ones(length)
            edge = min(int(0.01 * RATE), length // 4)
            note[:edge] = np.linspace(0, 1, edge)
            note[length - edge :] = np.linspace(1, 0, edge)
            envelope[start : start + length] = note
            found.append((start, length))
    return envelope, found


def _vocal(rng: np.random.Generator, frames: int) -> Signal:
    envelope, notes = _notes(rng, frames, 0.5, 0.8, 0.75)
    sound = np.zeros(frames)
    for start, length in notes:
        pitch = rng.choice([196, 220, 247, 262, 294, 330])
        time = np.arange(length) / RATE
        vibrato = pitch * 0.006 / (2 * np.pi * 5.5) * np.sin(2 * np.pi * 5.5 * time)
        phase = 2 * np.pi * (pitch * time + vibrato)
        for harmonic in range(1, 16):
            wave = np.sin(harmonic * phase + rng.random() * _FULL_TURN)
            sound[start : start + length] += envelope[start : start + length] * wave / harmonic
    return sound + envelope * rng.normal(size=frames) * 0.01


def _bass(rng: np.random.Generator, frames: int) -> Signal:
    envelope, notes = _notes(rng, frames, 0.4, 0.9, 0.8)
    sound = np.zeros(frames)
    for start, length in notes:
        pitch = rng.choice([55, 61.7, 65.4, 73.4])
        _add_tone(sound, envelope, start, length, pitch, 8, 2.0, 1.3, rng)
    return sound


def _drums(rng: np.random.Generator, frames: int) -> Signal:
    sound = np.zeros(frames)
    grid = int(0.25 * RATE)
    for hit, start in enumerate(range(0, frames, grid)):
        length = min(grid, frames - start)
        time = np.arange(length) / RATE
        here = slice(start, start + length)
        if hit % 4 == 0:
            glide = 50 * time + 40 * (1 - np.exp(-time * 40)) / 40
            sound[here] += 1.2 * np.exp(-time * 25) * np.sin(2 * np.pi * glide)
        if hit % 4 == 2:
            sound[here] += 0.8 * np.exp(-time * 30) * rng.normal(size=length)
        sound[here] += 0.25 * np.exp(-time * 60) * np.diff(rng.normal(size=length), prepend=0)
    return sound


def _chords(rng: np.random.Generator, frames: int) -> Signal:
    envelope, notes = _notes(rng, frames, 1.0, 0.95, 0.9)
    sound = np.zeros(frames)
    for start, length in notes:
        for pitch in rng.choice([262, 330, 392, 440, 523, 587], 3, replace=False):
            _add_tone(sound, envelope, start, length, pitch, 7, 1.0, 1.5, rng)
    return sound


def _add_tone(
    sound: Signal, envelope: Signal, start: int, length: int, pitch: float, harmonics: int, decay: float, slope: float,
    rng: np.random.Generator,
) -> None:
    time = np.arange(length) / RATE
    here = slice(start, start + length)
    for harmonic in range(1, harmonics):
        wave = np.sin(2 * np.pi * harmonic * pitch * time + rng.random() * _FULL_TURN)
        sound[here] += envelope[here] * np.exp(-time * decay) * wave / harmonic**slope
