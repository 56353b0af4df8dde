"""What is played: tempo, key and chords of a piece, and melodies on them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Note:
    """One note of one instrument."""

    start: float  # s
    length: float  # s
    pitch: float  # MIDI number, 69 = 440 Hz
    strength: float  # 0 to 1


@dataclass(frozen=True)
class Score:
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
        """Return the scale degree of the chord in a bar."""
        return self.chords[bar % len(self.chords)]

    def pitch(self, degree: int, low: int) -> int:
        """Return the lowest MIDI number from `low` on that is this degree of the scale."""
        tone = self.root + self.scale[degree % 7]
        return low + (tone - low) % 12

    def time(self, sixteenth: int) -> float:
        """Return when a sixteenth comes, seconds."""
        late = self.swing * 0.5 * self.beat if sixteenth % 4 == 2 else 0.0
        return sixteenth * self.beat / 4 + late

    def bars(self, seconds: float) -> int:
        """Return how many bars begin within so many seconds."""
        return math.ceil(seconds / (4 * self.beat))


def compose(seed: int) -> Score:
    """Return the piece of a seed."""
    rng = np.random.default_rng([seed, 1000])
    major, minor = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
    progressions = ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 1, 4), (0, 2, 3, 4), (0, 6, 5, 4))
    kick = np.where(np.arange(16) % 8 == 0, 1.0, rng.choice([0.0, 0.05, 0.8], 16, p=[0.6, 0.2, 0.2]))
    return Score(
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


def melody(
    score: Score,
    rng: np.random.Generator,
    seconds: float,
    low: int,
    high: int,
    steps: tuple[int, ...],
    rest_every: int,
    rest: tuple[int, int] = (2, 6),
) -> list[Note]:
    """Compose one voice: a walk on the scale that leans on chord tones, with a rest after each phrase.

    Steps and rests are counted in sixteenths, phrases (`rest_every`) in bars.
    """
    tones = [pitch for pitch in range(low, high + 1) if (pitch - score.root) % 12 in score.scale]
    place = len(tones) // 2
    notes: list[Note] = []
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
        notes.append(Note(max(0.0, start), sounding, tones[place], 0.55 + 0.45 * rng.random()))
        step = following
    return notes
