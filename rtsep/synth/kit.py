"""The drums: kick, snare and hats, each by itself, and the kit of them."""

from __future__ import annotations

import numpy as np

from rtsep.synth.score import Score
from rtsep.synth.sound import Signal, add, band_noise


def drums(score: Score, rng: np.random.Generator, frames: int, rate: int) -> Signal:
    """Play the whole kit."""
    low, middle, high = (part(score, rng, frames, rate) for part in (kick, snare, hats))
    return low + 0.8 * middle + 0.35 * high


def kick(score: Score, _: np.random.Generator, frames: int, rate: int) -> Signal:
    """Play the bass drum: a sine that falls, and the beater."""
    rng = np.random.default_rng([score.hits, 0])
    times = np.arange(int(0.35 * rate)) / rate
    fall = 48 * times + 110 * 0.03 * (1 - np.exp(-times / 0.03))  # cycles: 158 Hz falling to 48 Hz
    drum = np.sin(2 * np.pi * fall) * np.exp(-times / 0.11)
    beater = band_noise(rng, len(times), rate, 1500, 5000) * np.exp(-times / 0.004)
    hits = [
        (score.time(16 * bar + step), 0.8 + 0.2 * rng.random())
        for bar in range(score.bars(frames / rate))
        for step in range(16)
        if rng.random() < score.kick[step]
    ]
    return _strike(rng, hits, [drum + 0.3 * beater], frames, rate)


def snare(score: Score, _: np.random.Generator, frames: int, rate: int) -> Signal:
    """Play the snare on two and four, with soft strokes between."""
    rng = np.random.default_rng([score.hits, 1])
    times = np.arange(int(0.3 * rate)) / rate
    strokes = []
    for _variant in range(4):
        head = sum(np.sin(2 * np.pi * f * times) * np.exp(-times / d) for f, d in ((186, 0.07), (331, 0.04)))
        wires = band_noise(rng, len(times), rate, 1000, 9000) * np.exp(-times / 0.09)
        strokes.append(0.6 * head + wires)
    hits = []
    for bar in range(score.bars(frames / rate)):
        hits += [(score.time(16 * bar + step), 0.85 + 0.15 * rng.random()) for step in (4, 12)]
        ghosts = rng.choice((3, 7, 9, 10, 14, 15), 2, replace=False)
        hits += [(score.time(16 * bar + int(step)), 0.1 + 0.15 * rng.random()) for step in ghosts]
    return _strike(rng, hits, strokes, frames, rate)


def hats(score: Score, _: np.random.Generator, frames: int, rate: int) -> Signal:
    """Play the hi-hat: metal that is closed or open."""
    rng = np.random.default_rng([score.hits, 2])
    times = np.arange(int(0.4 * rate)) / rate
    metal = band_noise(rng, len(times), rate, 5500, 16000)
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


def _strike(
    rng: np.random.Generator, hits: list[tuple[float, float]], strokes: list[Signal], frames: int, rate: int
) -> Signal:
    """Put one of the recorded strokes at each (time, strength), a few milliseconds off as hands are."""
    out = np.zeros(frames)
    for time, strength in hits:
        stroke = strokes[rng.integers(len(strokes))]
        add(out, strength * stroke, max(0.0, time + 0.004 * rng.standard_normal()), rate)
    return out
