"""Sustained voices in a reverberant room: nothing in them hides a step of the output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep.stage import Block
from rtsep.synth.sound import hertz, lowpass

Signal = NDArray[np.float64]

SCALE = (45, 47, 49, 50, 52, 54, 56, 57)   # MIDI numbers from A2 on
REGISTERS = (0, 7, 12, 16)                 # semitones above it: bass to soprano
HARMONICS = 8
GLIDE_SECONDS = 0.03        # from note to note, so that no source has a step of its own
BEGIN_SECONDS = 0.1
BLEED = 0.25                # of a voice in the others' mics: -12 dB
NEAR, FARTHER = 20, 150     # samples from a voice to its mic, and more of it to each farther one
REVERBERATION = 0.9         # seconds to -60 dB
ROOM, ROOM_SECONDS = 0.01, 0.5   # RMS of its response at the start, beside a direct sound of 1; what is kept of it
NOISE = 3e-5                # RMS of each mic's own noise: -90 dBFS
PEAK = 0.4                  # of the loudest mic


@dataclass(frozen=True, eq=False)
class Choir:
    """Voices, and the paths by which mics hear them.

    Parameters
    ----------
    rate : int
        Hz.
    voices : float64[mics, frames]
    paths : float64[mics, mics, taps]
        From voice j (second axis) to mic i.
    noise : float64[mics, frames]
    """

    rate: int
    voices: Signal
    paths: Signal
    noise: Signal

    def heard(self, singing: Signal | None = None, paths: Signal | None = None) -> Block:
        """Return what the mics hear, float32[mics, frames].

        Parameters
        ----------
        singing : float64[mics, frames], optional
            How much of each voice is there; all of it by default.
        paths : float64[mics, mics, taps], optional
            Other ones than the choir's.
        """
        voices = self.voices if singing is None else self.voices * singing
        return (mix(voices, self.paths if paths is None else paths) + self.noise).astype(np.float32)


def choir(mics: int, seconds: float, rate: int, seed: int) -> Choir:
    """Make voices that sing without a break, each in front of a mic of its own.

    Parameters
    ----------
    mics : int
    seconds : float
    rate : int
        Hz.
    seed : int
    """
    rng = np.random.default_rng(seed)
    frames = round(seconds * rate)
    voices = np.array([_voice(rng, n, frames, rate) for n in range(mics)])
    paths = room(mics, rate, rng)
    loudest = np.abs(mix(voices, paths)).max()
    return Choir(rate, voices * (PEAK / loudest), paths, NOISE * rng.standard_normal(voices.shape))


def room(mics: int, rate: int, rng: np.random.Generator) -> Signal:
    """Return paths through a reverberant room, float64[mics, mics, taps]."""
    taps = round(ROOM_SECONDS * rate)
    decay = ROOM * 10 ** (-3 * np.arange(taps) / (REVERBERATION * rate))
    paths = rng.standard_normal((mics, mics, taps)) * decay
    for i in range(mics):
        for j in range(mics):
            first = NEAR + FARTHER * abs(i - j)
            paths[i, j, :first] = 0
            paths[i, j, first] = 1
            paths[i, j] *= 1 if i == j else BLEED
    return paths


def mix(voices: Signal, paths: Signal) -> Signal:
    """Return voices as mics hear them, float64[mics, frames]."""
    from scipy.signal import fftconvolve

    frames = voices.shape[1]
    heard = [sum(fftconvolve(voice, path)[:frames] for voice, path in zip(voices, row, strict=True)) for row in paths]
    return np.array(heard)


def _voice(rng: np.random.Generator, number: int, frames: int, rate: int) -> Signal:
    time = np.arange(frames) / rate
    length = 0.6 + 0.1 * (number % len(REGISTERS))   # seconds of a note
    notes = rng.choice(SCALE, int(frames / rate / length) + 1) + REGISTERS[number % len(REGISTERS)]
    pitch = lowpass(np.repeat(notes.astype(float), round(length * rate) + 1)[:frames], GLIDE_SECONDS, rate)
    vibrato = 1 + 0.01 * np.sin(2 * np.pi * (5 + 0.3 * number) * time)
    phase = 2 * np.pi * np.cumsum(hertz(pitch) * vibrato) / rate
    sung = sum(np.sin(h * phase + h) / h**1.5 for h in range(1, HARMONICS + 1))
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 0.3 * (number % len(REGISTERS) + 1) * time)
    begins = np.minimum(time / BEGIN_SECONDS, 1)
    return np.asarray(sung * swell * begins**2 * (3 - 2 * begins), np.float64)
