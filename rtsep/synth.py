"""Instruments that play themselves: test music without samples, downloads or licences.

A seed decides tempo, key and chords of a piece, and every instrument reads them, so that instruments of one
seed play together as a band would: that correlation is what makes separation hard. The sounds are plain
models of their instruments (plucked strings, a bow or reed as a series of harmonics through body resonances,
a voice through formants), close enough to have the attacks, the sustained tones, the pitch movement and the
pauses of real ones.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError

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

Audio = NDArray[np.float32]
Signal = NDArray[np.float64]


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

    score = _compose(seed)
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


@dataclass(frozen=True)
class _Note:
    start: float  # s
    length: float  # s
    pitch: float  # MIDI number, 69 = 440 Hz
    strength: float  # 0 to 1


@dataclass(frozen=True)
class _Score:
    """What all instruments of a piece share."""

    beat: float  # s
    swing: float  # part of a half beat by which the off-beat comes late
    root: int  # semitones above C
    scale: tuple[int, ...]  # seven degrees in semitones
    chords: tuple[int, ...]  # scale degree of the chord in each bar, repeated
    kick: tuple[float, ...]  # chance of a hit on each sixteenth of a bar
    open_hat: bool
    hat_step: int  # sixteenths between two hats
    hits: int  # seed of everything the kit decides by chance

    def chord(self, bar: int) -> int:
        return self.chords[bar % len(self.chords)]

    def pitch(self, degree: int, low: int) -> int:
        """Return the lowest MIDI number from `low` on that is this degree of the scale."""
        tone = self.root + self.scale[degree % 7]
        return low + (tone - low) % 12

    def time(self, sixteenth: int) -> float:
        late = self.swing * 0.5 * self.beat if sixteenth % 4 == 2 else 0.0
        return sixteenth * self.beat / 4 + late

    def bars(self, seconds: float) -> int:
        return math.ceil(seconds / (4 * self.beat))


def _compose(seed: int) -> _Score:
    rng = np.random.default_rng([seed, 1000])
    major, minor = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
    progressions = ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 1, 4), (0, 2, 3, 4), (0, 6, 5, 4))
    kick = np.where(np.arange(16) % 8 == 0, 1.0, rng.choice([0.0, 0.05, 0.8], 16, p=[0.6, 0.2, 0.2]))
    return _Score(
        beat=60 / float(rng.uniform(84, 132)),
        swing=float(rng.choice([0.0, 0.0, 0.3])),
        root=int(rng.integers(12)),
        scale=minor if rng.random() < 0.5 else major,
        chords=progressions[rng.integers(len(progressions))],
        kick=tuple(kick.tolist()),
        open_hat=bool(rng.random() < 0.4),
        hat_step=int(rng.choice([1, 2, 2])),
        hits=int(rng.integers(2**31)),
    )


def _drums(score: _Score, rng: np.random.Generator, frames: int, rate: int) -> Signal:
    kick, snare, hats = (part(score, rng, frames, rate) for part in (_kick, _snare, _hats))
    return kick + 0.8 * snare + 0.35 * hats


def _kick(score: _Score, _: np.random.Generator, frames: int, rate: int) -> Signal:
    rng = np.random.default_rng([score.hits, 0])
    times = np.arange(int(0.35 * rate)) / rate
    fall = 48 * times + 110 * 0.03 * (1 - np.exp(-times / 0.03))  # cycles: 158 Hz falling to 48 Hz
    drum = np.sin(2 * np.pi * fall) * np.exp(-times / 0.11)
    beater = _band_noise(rng, len(times), rate, 1500, 5000) * np.exp(-times / 0.004)
    hits = [
        (score.time(16 * bar + step), 0.8 + 0.2 * rng.random())
        for bar in range(score.bars(frames / rate))
        for step in range(16)
        if rng.random() < score.kick[step]
    ]
    return _strike(rng, hits, [drum + 0.3 * beater], frames, rate)


def _snare(score: _Score, _: np.random.Generator, frames: int, rate: int) -> Signal:
    rng = np.random.default_rng([score.hits, 1])
    times = np.arange(int(0.3 * rate)) / rate
    strokes = []
    for _variant in range(4):
        head = sum(np.sin(2 * np.pi * f * times) * np.exp(-times / d) for f, d in ((186, 0.07), (331, 0.04)))
        wires = _band_noise(rng, len(times), rate, 1000, 9000) * np.exp(-times / 0.09)
        strokes.append(0.6 * head + wires)
    hits = []
    for bar in range(score.bars(frames / rate)):
        hits += [(score.time(16 * bar + step), 0.85 + 0.15 * rng.random()) for step in (4, 12)]
        ghosts = rng.choice((3, 7, 9, 10, 14, 15), 2, replace=False)
        hits += [(score.time(16 * bar + int(step)), 0.1 + 0.15 * rng.random()) for step in ghosts]
    return _strike(rng, hits, strokes, frames, rate)


def _hats(score: _Score, _: np.random.Generator, frames: int, rate: int) -> Signal:
    rng = np.random.default_rng([score.hits, 2])
    times = np.arange(int(0.4 * rate)) / rate
    metal = _band_noise(rng, len(times), rate, 5500, 16000)
    for frequency in (2050, 3071, 4162, 5437, 6123, 7411):
        metal += 0.15 * np.sign(np.sin(2 * np.pi * frequency * times))
    strokes = [metal * np.exp(-times / decay) for decay in (0.025, 0.03, 0.16)]
    closed: list[tuple[float, float]] = []
    opened: list[tuple[float, float]] = []
    for bar in range(score.bars(frames / rate)):
        for step in range(0, 16, score.hat_step):
            strength = (1.0 if step % 4 == 0 else 0.55) * (0.8 + 0.2 * rng.random())
            is_open = score.open_hat and step == 14
            (opened if is_open else closed).append((score.time(16 * bar + step), strength))
    return _strike(rng, closed, strokes[:2], frames, rate) + _strike(rng, opened, strokes[2:], frames, rate)


def _bass(score: _Score, rng: np.random.Generator, frames: int, rate: int) -> Signal:
    grooves = ((0, 3, 4, 6, 8, 11, 12, 14), (0, 4, 8, 12), (0, 2, 4, 6, 8, 10, 12, 14), (0, 6, 8, 14))
    steps = grooves[rng.integers(4)]
    notes = []
    for bar in range(score.bars(frames / rate)):
        root = score.chord(bar)
        for step, following in zip(steps, (*steps[1:], 16), strict=True):
            degree = root if step == 0 else root + int(rng.choice([0, 0, 0, 4, 2, 6]))
            start = score.time(16 * bar + step)
            length = 0.9 * (following - step) * score.beat / 4
            notes.append(_Note(start, length, score.pitch(degree, 28), 0.7 + 0.3 * rng.random()))
    plucked = _pluck(rng, notes, frames, rate, brightness=400, sustain=2.5)
    pickup = _lowpass(plucked, 1 / (2 * np.pi * 180), rate)
    return _resonate(pickup, rate, 1.0, ((90, 1.5, 0.6), (700, 2.0, 0.5)))


def _guitar(score: _Score, rng: np.random.Generator, frames: int, rate: int) -> Signal:
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
                notes.append(_Note(start + rank * spread, length, pitch, strength))
    plucked = _pluck(rng, notes, frames, rate, brightness=1500, sustain=1.8)
    body = ((105, 3.0, 0.6), (205, 3.0, 0.5), (420, 3.0, 0.4), (2400, 2.0, 0.3))
    return _resonate(plucked, rate, 0.6, body)


def _keys(score: _Score, rng: np.random.Generator, frames: int, rate: int) -> Signal:
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
                    turn = 2 * np.pi * _hertz(pitch) * times
                    bell = 0.5 * np.exp(-times / 0.05) * np.sin(14 * turn)
                    bark = 1.4 * np.exp(-times / 0.5) * np.sin(turn)
                    tones[pitch] = np.sin(turn + bark + bell) * np.exp(-times * _hertz(pitch) / 260)
                start = score.time(16 * bar + step) + rng.uniform(0, 0.008)
                _add(out, _gate(tones[pitch], length, 0.05, rate) * (0.6 + 0.4 * rng.random()), start, rate)
    tremolo: Signal = 1 - 0.15 * np.sin(2 * np.pi * 4.7 * np.arange(frames) / rate)
    return out * tremolo


def _sax(score: _Score, rng: np.random.Generator, frames: int, rate: int) -> Signal:
    steps = (2, 2, 2, 4, 6)
    notes = _melody(score, rng, frames / rate, low=54, high=78, steps=steps, rest_every=3, rest=(3, 10))
    line = _sing(rng, notes, frames, rate, attack=0.025, glide=0.012, vibrato=(5.0, 0.22))
    reed = line.loudness * _harmonics(line, 0.55 + 0.32 * line.loudness, rate)
    breath = _band_noise(rng, frames, rate, 1200, 7000) * line.loudness
    return _resonate(reed + 0.02 * breath, rate, 0.5, ((480, 2.0, 1.0), (1150, 3.0, 0.7), (2600, 3.0, 0.4)))


_VOWELS = (  # Hz, the first four formants of a, e, i, o, u
    (730, 1160, 2500, 3400),
    (460, 1850, 2520, 3500),
    (300, 2200, 2900, 3600),
    (460, 860, 2480, 3400),
    (330, 800, 2380, 3300),
)


def _voice(score: _Score, rng: np.random.Generator, frames: int, rate: int) -> Signal:
    steps = (2, 2, 3, 4)
    notes = _melody(score, rng, frames / rate, low=57, high=74, steps=steps, rest_every=2, rest=(4, 12))
    line = _sing(rng, notes, frames, rate, attack=0.04, glide=0.03, vibrato=(5.6, 0.35))
    folds = line.loudness * _harmonics(line, 0.70 + 0.2 * line.loudness, rate)
    folds += 0.012 * _band_noise(rng, frames, rate, 600, 9000) * line.loudness

    vowels = rng.integers(len(_VOWELS), size=len(notes))
    out = np.zeros(frames)
    for index, formants in enumerate(_VOWELS):
        spoken = [note for note, vowel in zip(notes, vowels, strict=True) if vowel == index]
        share = _smooth(_track(spoken, frames, rate), 0.03, frames, rate)
        peaks = zip(formants, (8.0, 11.0, 15.0, 15.0), (1.0, 0.6, 0.3, 0.2), strict=True)
        out += _resonate(folds * share, rate, 0.02, tuple(peaks))

    times = np.arange(int(0.09 * rate)) / rate
    puff = np.sin(np.pi * times / times[-1]) ** 2
    for note in notes:  # consonants: some hiss, some are a short stop
        if rng.random() < 0.6:
            low = float(rng.choice([1800, 3000, 4500]))
            hiss = _band_noise(rng, len(times), rate, low, 2.2 * low) * puff
            _add(out, 0.05 * hiss * note.strength, note.start - 0.06, rate)
    return out


def _violin(score: _Score, rng: np.random.Generator, frames: int, rate: int) -> Signal:
    notes = _melody(score, rng, frames / rate, low=62, high=88, steps=(2, 2, 4, 4, 8), rest_every=4)
    body = ((280, 6.0, 1.0), (460, 6.0, 0.9), (1000, 3.0, 0.5), (2600, 2.0, 0.5))
    return _bow(rng, notes, frames, rate, body)


def _viola(score: _Score, rng: np.random.Generator, frames: int, rate: int) -> Signal:
    notes = _melody(score, rng, frames / rate, low=52, high=72, steps=(2, 4, 4, 8), rest_every=5)
    body = ((220, 6.0, 1.0), (370, 6.0, 0.9), (850, 3.0, 0.5), (2000, 2.0, 0.4))
    return _bow(rng, notes, frames, rate, body)


def _cello(score: _Score, rng: np.random.Generator, frames: int, rate: int) -> Signal:
    notes = _melody(score, rng, frames / rate, low=37, high=57, steps=(4, 4, 8, 8), rest_every=6)
    body = ((105, 5.0, 1.0), (185, 5.0, 0.9), (430, 3.0, 0.6), (1500, 2.0, 0.5))
    return _bow(rng, notes, frames, rate, body)


def _bow(
    rng: np.random.Generator,
    notes: list[_Note],
    frames: int,
    rate: int,
    body: tuple[tuple[float, float, float], ...],
) -> Signal:
    line = _sing(rng, notes, frames, rate, attack=0.06, glide=0.015, vibrato=(5.9, 0.18))
    string = line.loudness * _harmonics(line, 0.80 + 0.1 * line.loudness, rate)
    rosin = _band_noise(rng, frames, rate, 900, 8000) * line.loudness
    return _resonate(string + 0.015 * rosin, rate, 0.35, body)


def _melody(
    score: _Score,
    rng: np.random.Generator,
    seconds: float,
    low: int,
    high: int,
    steps: tuple[int, ...],
    rest_every: int,
    rest: tuple[int, int] = (2, 6),
) -> list[_Note]:
    """Compose one voice: a walk on the scale that leans on chord tones, with a rest after each phrase.

    Steps and rests are counted in sixteenths, phrases (`rest_every`) in bars.
    """
    tones = [pitch for pitch in range(low, high + 1) if (pitch - score.root) % 12 in score.scale]
    place = len(tones) // 2
    notes: list[_Note] = []
    step, phrase_end, breath = 0, 16 * rest_every, int(rng.integers(*rest))
    while score.time(step) < seconds:
        length = int(rng.choice(steps))
        if step + length >= phrase_end - breath:
            length = max(2, phrase_end - breath - step)
            following = max(phrase_end, step + length)
            phrase_end, breath = following + 16 * rest_every, int(rng.integers(*rest))
        else:
            following = step + length
        place = int(np.clip(place + rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 3]), 0, len(tones) - 1))
        if step % 8 == 0:
            root = score.chord(step // 16)
            chord = {(score.root + score.scale[(root + third) % 7]) % 12 for third in (0, 2, 4)}
            place = min((abs(p - place), p) for p, tone in enumerate(tones) if tone % 12 in chord)[1]
        start = score.time(step) + rng.uniform(-0.008, 0.012)
        sounding = (0.93 if rng.random() < 0.7 else 0.7) * length * score.beat / 4
        notes.append(_Note(max(0.0, start), sounding, tones[place], 0.55 + 0.45 * rng.random()))
        step = following
    return notes


_CONTROL = 32
"""Frames from one value of a pitch or loudness track to the next."""


@dataclass(frozen=True)
class _Line:
    frequency: Signal  # Hz, one value a frame
    loudness: Signal  # 0 to 1, one value a frame


def _sing(
    rng: np.random.Generator,
    notes: list[_Note],
    frames: int,
    rate: int,
    attack: float,
    glide: float,
    vibrato: tuple[float, float],
) -> _Line:
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
    drift -= _lowpass(drift, 1.0, rate / _CONTROL)
    rate_hz, depth = vibrato
    wobble = rate_hz * times + 0.1 * np.cumsum(rng.standard_normal(points)) * math.sqrt(_CONTROL / rate)
    pitch = _lowpass(pitch, glide, rate / _CONTROL) + drift
    pitch += depth * np.clip((age - 0.15) / 0.3, 0, 1) * np.sin(2 * np.pi * wobble)
    loudness = _smooth(_track(notes, frames, rate), attack, frames, rate)
    swell = 1 + 0.15 * np.sin(2 * np.pi * 0.31 * np.arange(frames) / rate + rng.uniform(0, 6))
    frequency = np.interp(np.arange(frames), np.arange(points) * _CONTROL, _hertz(pitch))
    return _Line(frequency, np.clip(loudness * swell, 0, 1))


def _track(notes: list[_Note], frames: int, rate: int) -> Signal:
    """Return the strength of the sounding note, 0 in rests, one value each `_CONTROL` frames."""
    track = np.zeros(frames // _CONTROL + 2)
    for note in notes:
        begin, end = (int(time * rate) // _CONTROL for time in (note.start, note.start + note.length))
        track[begin : max(end, begin + 1)] = note.strength
    return track


def _smooth(track: Signal, seconds: float, frames: int, rate: int) -> Signal:
    """Smooth a track and stretch it to one value a frame."""
    smoothed = _lowpass(track, seconds, rate / _CONTROL)
    return np.interp(np.arange(frames), np.arange(len(track)) * _CONTROL, smoothed)


def _harmonics(line: _Line, brightness: Signal, rate: int) -> Signal:
    """Sum all harmonics of a line, each weaker than the one below by the factor `brightness`.

    The sum over h of r^h sin(hφ) is r sin φ / (1 - 2 r cos φ + r²), so that it costs one sine and one cosine.
    """
    turn = 2 * np.pi * (np.cumsum(line.frequency / rate) % 1.0)
    # The factor that brings the harmonic at the Nyquist frequency to -60 dB: brighter would alias.
    r = np.minimum(brightness, 10 ** (-6 * line.frequency / rate))
    sound: Signal = np.sqrt(1 - r * r) * np.sin(turn) / (1 - 2 * r * np.cos(turn) + r * r)
    return sound


def _pluck(
    rng: np.random.Generator, notes: list[_Note], frames: int, rate: int, brightness: float, sustain: float
) -> Signal:
    """Pluck a string for each note (Karplus & Strong, doi:10.2307/3680062, with a loss factor).

    The loop is computed a period at a time, for all notes of one pitch together.
    """
    out = np.zeros(frames)
    by_pitch: dict[float, list[_Note]] = {}
    for note in notes:
        by_pitch.setdefault(note.pitch, []).append(note)
    for pitch, plucks in by_pitch.items():
        frequency = float(_hertz(pitch))
        period = max(4, round(rate / frequency - 0.5))  # the mean of two neighbours adds half a frame
        cycles = math.ceil((max(note.length for note in plucks) + 0.1) * rate / period)
        loss = 10 ** (-3 / (sustain * frequency))
        strings = np.empty((len(plucks), cycles, period))
        noise = rng.standard_normal((len(plucks), period))
        strings[:, 0] = _lowpass(noise, 1 / (2 * np.pi * brightness), rate)
        strings[:, 0] -= np.roll(strings[:, 0], period // 5, axis=1)  # plucked at a fifth of its length
        strings[:, 0] /= np.sqrt(np.mean(strings[:, 0] ** 2, axis=1, keepdims=True))
        before = np.zeros(len(plucks))
        for cycle in range(1, cycles):
            last = strings[:, cycle - 1]
            strings[:, cycle, 1:] = 0.5 * loss * (last[:, 1:] + last[:, :-1])
            strings[:, cycle, 0] = 0.5 * loss * (last[:, 0] + before)
            before = last[:, -1]
        for note, string in zip(plucks, strings.reshape(len(plucks), -1), strict=True):
            _add(out, note.strength * _gate(string, note.length, 0.03, rate), note.start, rate)
    return out


def _strike(
    rng: np.random.Generator, hits: list[tuple[float, float]], strokes: list[Signal], frames: int, rate: int
) -> Signal:
    """Put one of the recorded strokes at each (time, strength), a few milliseconds off as hands are."""
    out = np.zeros(frames)
    for time, strength in hits:
        stroke = strokes[rng.integers(len(strokes))]
        _add(out, strength * stroke, max(0.0, time + 0.004 * rng.standard_normal()), rate)
    return out


def _gate(tone: Signal, length: float, release: float, rate: int) -> Signal:
    """Cut a tone after `length` seconds, with a fade of `release` seconds."""
    end = min(len(tone), round((length + release) * rate))
    fade = min(end, round(release * rate))
    cut = tone[:end].copy()
    cut[end - fade :] *= np.linspace(1, 0, fade)
    return cut


def _add(out: Signal, sound: Signal, start: float, rate: int) -> None:
    begin = max(0, round(start * rate))
    end = min(len(out), begin + len(sound))
    if begin < end:
        out[begin:end] += sound[: end - begin]


def _band_noise(rng: np.random.Generator, frames: int, rate: int, low: float, high: float) -> Signal:
    """Return noise of RMS near 1 between two frequencies, in Hz."""
    from scipy import signal

    top = 0.45 * rate
    edges = (min(low, 0.5 * top), min(high, top))
    sections = signal.butter(1, edges, "bandpass", fs=rate, output="sos")
    noise = np.asarray(signal.sosfilt(sections, rng.standard_normal(frames)), np.float64)
    return noise * math.sqrt(rate / 2 / (edges[1] - edges[0]))


def _resonate(
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


def _lowpass(sound: Signal, seconds: float, rate: float) -> Signal:
    """Smooth along the last axis with one pole, starting as if the first value had lasted for ever."""
    from scipy import signal

    pole = math.exp(-1 / (seconds * rate))
    state = pole * sound[..., :1]
    smoothed, _ = signal.lfilter([1 - pole], [1, -pole], sound, axis=-1, zi=state)
    return np.asarray(smoothed, np.float64)


def _hertz(pitch: float | Signal) -> Signal:
    """Return the frequency of a MIDI number."""
    return np.asarray(440.0 * 2 ** ((np.asarray(pitch, np.float64) - 69) / 12))


_PLAYERS: dict[str, Callable[[_Score, np.random.Generator, int, int], Signal]] = {
    "drums": _drums,
    "bass": _bass,
    "guitar": _guitar,
    "keys": _keys,
    "sax": _sax,
    "voice": _voice,
    "violin": _violin,
    "viola": _viola,
    "cello": _cello,
    "kick": _kick,
    "snare": _snare,
    "hats": _hats,
}
