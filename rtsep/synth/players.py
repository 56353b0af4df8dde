"""All instruments but the drums: each reads the score and plays its part."""

from __future__ import annotations

import numpy as np

from rtsep.synth.line import harmonics, sing, smooth, track
from rtsep.synth.score import Note, Score, melody
from rtsep.synth.sound import Signal, add, band_noise, gate, hertz, lowpass, pluck, resonate


def bass(score: Score, rng: np.random.Generator, frames: int, rate: int) -> Signal:
    """Play a groove on the chords, plucked."""
    grooves = ((0, 3, 4, 6, 8, 11, 12, 14), (0, 4, 8, 12), (0, 2, 4, 6, 8, 10, 12, 14), (0, 6, 8, 14))
    steps = grooves[rng.integers(4)]
    notes = []
    for bar in range(score.bars(frames / rate)):
        root = score.chord(bar)
        for step, following in zip(steps, (*steps[1:], 16), strict=True):
            degree = root if step == 0 else root + int(rng.choice([0, 0, 0, 4, 2, 6]))
            start = score.time(16 * bar + step)
            length = 0.9 * (following - step) * score.beat / 4
            notes.append(Note(start, length, score.pitch(degree, 28), 0.7 + 0.3 * rng.random()))
    plucked = pluck(rng, notes, frames, rate, brightness=400, sustain=2.5)
    pickup = lowpass(plucked, 1 / (2 * np.pi * 180), rate)
    return resonate(pickup, rate, 1.0, ((90, 1.5, 0.6), (700, 2.0, 0.5)))


def guitar(score: Score, rng: np.random.Generator, frames: int, rate: int) -> Signal:
    """Strum chords up and down."""
    steps = [(0, 6, 8, 14), (0, 4, 6, 10, 12), (0, 3, 6, 8, 11, 14), (2, 6, 10, 14)][rng.integers(4)]
    notes = []
    for bar in range(score.bars(frames / rate)):
        root = score.chord(bar)
        low = score.pitch(root, 43)
        strings = [low, score.pitch(root + 4, low), score.pitch(root, low + 8)]
        strings += [score.pitch(root + 2, low + 12), score.pitch(root + 4, low + 16)]
        for stroke, (step, following) in enumerate(zip(steps, (*steps[1:], 16), strict=True)):
            start = score.time(16 * bar + step)
            length = (0.5 if rng.random() < 0.3 else 0.97) * (following - step) * score.beat / 4
            order = strings if stroke % 2 == 0 else strings[:0:-1]  # an up-stroke leaves the lowest out
            spread = rng.uniform(0.006, 0.016)
            for rank, pitch in enumerate(order):
                strength = (0.9 if stroke % 2 == 0 else 0.6) * (0.8 + 0.2 * rng.random())
                notes.append(Note(start + rank * spread, length, pitch, strength))
    plucked = pluck(rng, notes, frames, rate, brightness=1500, sustain=1.8)
    body = ((105, 3.0, 0.6), (205, 3.0, 0.5), (420, 3.0, 0.4), (2400, 2.0, 0.3))
    return resonate(plucked, rate, 0.6, body)


def keys(score: Score, rng: np.random.Generator, frames: int, rate: int) -> Signal:
    """Play chords on an electric piano: a decaying modulator brightens each attack."""
    steps = [(0, 6, 10), (0, 3, 8, 11), (2, 6, 8, 14), (0, 8)][rng.integers(4)]
    times = np.arange(int(2.2 * rate)) / rate
    tones: dict[int, Signal] = {}
    out = np.zeros(frames)
    for bar in range(score.bars(frames / rate)):
        voicing = [score.pitch(score.chord(bar) + third, 55 + third) for third in (0, 2, 4, 6)]
        for step, following in zip(steps, (*steps[1:], 16), strict=True):
            length = 0.95 * (following - step) * score.beat / 4
            for pitch in voicing:
                if pitch not in tones:
                    turn = 2 * np.pi * hertz(pitch) * times
                    bell = 0.5 * np.exp(-times / 0.05) * np.sin(14 * turn)
                    bark = 1.4 * np.exp(-times / 0.5) * np.sin(turn)
                    tones[pitch] = np.sin(turn + bark + bell) * np.exp(-times * hertz(pitch) / 260)
                start = score.time(16 * bar + step) + rng.uniform(0, 0.008)
                add(out, gate(tones[pitch], length, 0.05, rate) * (0.6 + 0.4 * rng.random()), start, rate)
    tremolo: Signal = 1 - 0.15 * np.sin(2 * np.pi * 4.7 * np.arange(frames) / rate)
    return out * tremolo


def sax(score: Score, rng: np.random.Generator, frames: int, rate: int) -> Signal:
    """Play a melody through a reed."""
    steps = (2, 2, 2, 4, 6)
    notes = melody(score, rng, frames / rate, low=54, high=78, steps=steps, rest_every=3, rest=(3, 10))
    line = sing(rng, notes, frames, rate, attack=0.025, glide=0.012, vibrato=(5.0, 0.22))
    reed = line.loudness * harmonics(line, 0.55 + 0.32 * line.loudness, rate)
    breath = band_noise(rng, frames, rate, 1200, 7000) * line.loudness
    return resonate(reed + 0.02 * breath, rate, 0.5, ((480, 2.0, 1.0), (1150, 3.0, 0.7), (2600, 3.0, 0.4)))


_VOWELS = (  # Hz, the first four formants of a, e, i, o, u
    (730, 1160, 2500, 3400),
    (460, 1850, 2520, 3500),
    (300, 2200, 2900, 3600),
    (460, 860, 2480, 3400),
    (330, 800, 2380, 3300),
)


def voice(score: Score, rng: np.random.Generator, frames: int, rate: int) -> Signal:
    """Sing a melody on vowels, with consonants."""
    steps = (2, 2, 3, 4)
    notes = melody(score, rng, frames / rate, low=57, high=74, steps=steps, rest_every=2, rest=(4, 12))
    line = sing(rng, notes, frames, rate, attack=0.04, glide=0.03, vibrato=(5.6, 0.35))
    folds = line.loudness * harmonics(line, 0.70 + 0.2 * line.loudness, rate)
    folds += 0.012 * band_noise(rng, frames, rate, 600, 9000) * line.loudness

    vowels = rng.integers(len(_VOWELS), size=len(notes))
    out = np.zeros(frames)
    for index, formants in enumerate(_VOWELS):
        spoken = [note for note, vowel in zip(notes, vowels, strict=True) if vowel == index]
        share = smooth(track(spoken, frames, rate), 0.03, frames, rate)
        peaks = zip(formants, (8.0, 11.0, 15.0, 15.0), (1.0, 0.6, 0.3, 0.2), strict=True)
        out += resonate(folds * share, rate, 0.02, tuple(peaks))

    times = np.arange(int(0.09 * rate)) / rate
    puff = np.sin(np.pi * times / times[-1]) ** 2
    for note in notes:  # consonants: some hiss, some are a short stop
        if rng.random() < 0.6:
            low = float(rng.choice([1800, 3000, 4500]))
            hiss = band_noise(rng, len(times), rate, low, 2.2 * low) * puff
            add(out, 0.05 * hiss * note.strength, note.start - 0.06, rate)
    return out


def violin(score: Score, rng: np.random.Generator, frames: int, rate: int) -> Signal:
    """Bow a high melody."""
    notes = melody(score, rng, frames / rate, low=62, high=88, steps=(2, 2, 4, 4, 8), rest_every=4)
    body = ((280, 6.0, 1.0), (460, 6.0, 0.9), (1000, 3.0, 0.5), (2600, 2.0, 0.5))
    return _bow(rng, notes, frames, rate, body)


def viola(score: Score, rng: np.random.Generator, frames: int, rate: int) -> Signal:
    """Bow a melody in the middle."""
    notes = melody(score, rng, frames / rate, low=52, high=72, steps=(2, 4, 4, 8), rest_every=5)
    body = ((220, 6.0, 1.0), (370, 6.0, 0.9), (850, 3.0, 0.5), (2000, 2.0, 0.4))
    return _bow(rng, notes, frames, rate, body)


def cello(score: Score, rng: np.random.Generator, frames: int, rate: int) -> Signal:
    """Bow a low melody."""
    notes = melody(score, rng, frames / rate, low=37, high=57, steps=(4, 4, 8, 8), rest_every=6)
    body = ((105, 5.0, 1.0), (185, 5.0, 0.9), (430, 3.0, 0.6), (1500, 2.0, 0.5))
    return _bow(rng, notes, frames, rate, body)


def _bow(
    rng: np.random.Generator,
    notes: list[Note],
    frames: int,
    rate: int,
    body: tuple[tuple[float, float, float], ...],
) -> Signal:
    line = sing(rng, notes, frames, rate, attack=0.06, glide=0.015, vibrato=(5.9, 0.18))
    string = line.loudness * harmonics(line, 0.80 + 0.1 * line.loudness, rate)
    rosin = band_noise(rng, frames, rate, 900, 8000) * line.loudness
    return resonate(string + 0.015 * rosin, rate, 0.35, body)
