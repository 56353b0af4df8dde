"""One voice as a line of pitch and loudness, and the harmonics that sound along it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rtsep.synth.score import Note
from rtsep.synth.sound import Signal, hertz, lowpass

_CONTROL = 32
"""Frames from one value of a pitch or loudness track to the next."""


@dataclass(frozen=True)
class Line:
    """How one voice moves."""

    frequency: Signal  # Hz, one value a frame
    loudness: Signal  # 0 to 1, one value a frame


def sing(
    rng: np.random.Generator,
    notes: list[Note],
    frames: int,
    rate: int,
    attack: float,
    glide: float,
    vibrato: tuple[float, float],
) -> Line:
    """Turn notes into one gliding line with a vibrato that grows on long notes (Hz, semitones)."""
    points = frames // _CONTROL + 2
    times = np.arange(points) * _CONTROL / rate
    pitch = np.full(points, notes[0].pitch, np.float64)
    age = np.zeros(points)
    for note in notes:
        begin = int(note.start * rate) // _CONTROL
        pitch[begin:] = note.pitch
        age[begin:] = times[begin:] - note.start
    drift = np.cumsum(rng.standard_normal(points)) * 0.002 * math.sqrt(_CONTROL / rate / 0.001)
    drift -= lowpass(drift, 1.0, rate / _CONTROL)
    rate_hz, depth = vibrato
    wobble = rate_hz * times + 0.1 * np.cumsum(rng.standard_normal(points)) * math.sqrt(_CONTROL / rate)
    pitch = lowpass(pitch, glide, rate / _CONTROL) + drift
    pitch += depth * np.clip((age - 0.15) / 0.3, 0, 1) * np.sin(2 * np.pi * wobble)
    loudness = smooth(track(notes, frames, rate), attack, frames, rate)
    swell = 1 + 0.15 * np.sin(2 * np.pi * 0.31 * np.arange(frames) / rate + rng.uniform(0, 6))
    frequency = np.interp(np.arange(frames), np.arange(points) * _CONTROL, hertz(pitch))
    return Line(frequency, np.clip(loudness * swell, 0, 1))


def track(notes: list[Note], frames: int, rate: int) -> Signal:
    """Return the strength of the sounding note, 0 in rests, one value each `_CONTROL` frames."""
    track = np.zeros(frames // _CONTROL + 2)
    for note in notes:
        begin, end = (int(time * rate) // _CONTROL for time in (note.start, note.start + note.length))
        track[begin : max(end, begin + 1)] = note.strength
    return track


def smooth(track: Signal, seconds: float, frames: int, rate: int) -> Signal:
    """Smooth a track and stretch it to one value a frame."""
    smoothed = lowpass(track, seconds, rate / _CONTROL)
    return np.interp(np.arange(frames), np.arange(len(track)) * _CONTROL, smoothed)


def harmonics(line: Line, brightness: Signal, rate: int) -> Signal:
    """Sum all harmonics of a line, each weaker than the one below by the factor `brightness`.

    The sum over h of r^h sin(hφ) is r sin φ / (1 - 2 r cos φ + r²), so that it costs one sine and one cosine.
    """
    turn = 2 * np.pi * (np.cumsum(line.frequency / rate) % 1.0)
    # The factor that brings the harmonic at the Nyquist frequency to -60 dB: brighter would alias.
    r = np.minimum(brightness, 10 ** (-6 * line.frequency / rate))
    sound: Signal = np.sqrt(1 - r * r) * np.sin(turn) / (1 - 2 * r * np.cos(turn) + r * r)
    return sound
