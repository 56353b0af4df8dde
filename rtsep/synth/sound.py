"""What sounds are made of: plucked strings, noise, resonances and filters."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtsep.synth.score import Note

Audio = NDArray[np.float32]
Signal = NDArray[np.float64]


def pluck(
    rng: np.random.Generator, notes: list[Note], frames: int, rate: int, brightness: float, sustain: float
) -> Signal:
    """Pluck a string for each note (Karplus & Strong, doi:10.2307/3680062, with a loss factor).

    The loop is computed a period at a time, for all notes of one pitch together.
    """
    out = np.zeros(frames)
    by_pitch: dict[float, list[Note]] = {}
    for note in notes:
        by_pitch.setdefault(note.pitch, []).append(note)
    for pitch, plucks in by_pitch.items():
        frequency = float(hertz(pitch))
        period = max(4, round(rate / frequency - 0.5))  # the mean of two neighbours adds half a frame
        cycles = math.ceil((max(note.length for note in plucks) + 0.1) * rate / period)
        loss = 10 ** (-3 / (sustain * frequency))
        strings = np.empty((len(plucks), cycles, period))
        noise = rng.standard_normal((len(plucks), period))
        strings[:, 0] = lowpass(noise, 1 / (2 * np.pi * brightness), rate)
        strings[:, 0] -= np.roll(strings[:, 0], period // 5, axis=1)  # plucked at a fifth of its length
        strings[:, 0] /= np.sqrt(np.mean(strings[:, 0] ** 2, axis=1, keepdims=True))
        before = np.zeros(len(plucks))
        for cycle in range(1, cycles):
            last = strings[:, cycle - 1]
            strings[:, cycle, 1:] = 0.5 * loss * (last[:, 1:] + last[:, :-1])
            strings[:, cycle, 0] = 0.5 * loss * (last[:, 0] + before)
            before = last[:, -1]
        for note, string in zip(plucks, strings.reshape(len(plucks), -1), strict=True):
            add(out, note.strength * gate(string, note.length, 0.03, rate), note.start, rate)
    return out


def gate(tone: Signal, length: float, release: float, rate: int) -> Signal:
    """Cut a tone after `length` seconds, with a fade of `release` seconds."""
    end = min(len(tone), round((length + release) * rate))
    fade = min(end, round(release * rate))
    cut = tone[:end].copy()
    cut[end - fade :] *= np.linspace(1, 0, fade)
    return cut


def add(out: Signal, sound: Signal, start: float, rate: int) -> None:
    """Add a sound to `out` from `start` seconds on, as far as it reaches."""
    begin = max(0, round(start * rate))
    end = min(len(out), begin + len(sound))
    if begin < end:
        out[begin:end] += sound[: end - begin]


def band_noise(rng: np.random.Generator, frames: int, rate: int, low: float, high: float) -> Signal:
    """Return noise of RMS near 1 between two frequencies, in Hz."""
    from scipy import signal

    top = 0.45 * rate
    edges = (min(low, 0.5 * top), min(high, top))
    sections = signal.butter(1, edges, "bandpass", fs=rate, output="sos")
    noise = np.asarray(signal.sosfilt(sections, rng.standard_normal(frames)), np.float64)
    return noise * math.sqrt(rate / 2 / (edges[1] - edges[0]))


def resonate(
    sound: Signal, rate: int, direct: float, peaks: tuple[tuple[float, float, float], ...]
) -> Signal:
    """Add resonances (Hz, Q, gain) to a part of the direct sound."""
    from scipy import signal

    out = direct * sound
    for frequency, q, gain in peaks:
        if frequency < 0.45 * rate:
            numerator, denominator = signal.iirpeak(frequency, q, fs=rate)
            out += gain * np.asarray(signal.lfilter(numerator, denominator, sound))
    return out


def lowpass(sound: Signal, seconds: float, rate: float) -> Signal:
    """Smooth along the last axis with one pole, starting as if the first value had lasted for ever."""
    from scipy import signal

    pole = math.exp(-1 / (seconds * rate))
    state = pole * sound[..., :1]
    smoothed, _ = signal.lfilter([1 - pole], [1, -pole], sound, axis=-1, zi=state)
    return np.asarray(smoothed, np.float64)


def hertz(pitch: float | Signal) -> Signal:
    """Return the frequency of a MIDI number."""
    return np.asarray(440.0 * 2 ** ((np.asarray(pitch, np.float64) - 69) / 12))
