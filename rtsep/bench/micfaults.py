"""What a broken microphone costs itself and the others: SI-SDR in windows, against the same run without the fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import rtsep
from rtsep.metrics import si_sdr
from rtsep.runner import process
from rtsep.scenes import Scene
from rtsep.session import Session

Signal = NDArray[np.float32]

SOUNDCHECK, BAND = 2.0, 18.0                   # seconds of each solo, and of all together after them
STRIKE = 6.0                                   # seconds of the band before the fault
WINDOW = 1.0                                   # seconds
_LATER = 2                                     # windows after a fault, from which on nobody should lose 1 dB any more
_HIT = 1                                       # the microphone that breaks
_QUIETEST = 1e-9                               # below this power a window says nothing


@dataclass(frozen=True)
class Loss:
    """What a fault has cost.

    Parameters
    ----------
    fault : str
    hit, others : float
        Most dB that a microphone loses in a window that begins after the fault has ended. In the first second they
        still hear, by their paths, what the broken one did not.
    hit_seconds, others_seconds : float
        Time after the end of the fault in which it loses more than 1 dB.
    hit_later, others_later : float
        Most dB lost in a window from two seconds on.
    below_dry : float
        Most dB that any of the others is worse than dry in a window, from the fault on; below 0: never worse.
    """

    fault: str
    hit: float
    hit_seconds: float
    hit_later: float
    others: float
    others_seconds: float
    others_later: float
    below_dry: float


def _silence(seconds: float) -> Callable[[Signal, int, np.random.Generator], float]:
    def inject(x: Signal, rate: int, _rng: np.random.Generator) -> float:
        x[: round(seconds * rate)] = 0
        return seconds

    return inject


def _level(value: float, seconds: float) -> Callable[[Signal, int, np.random.Generator], float]:
    def inject(x: Signal, rate: int, rng: np.random.Generator) -> float:
        count = max(1, round(seconds * rate))
        x[:count] = value * np.sign(rng.standard_normal(count))
        return seconds

    return inject


def _noise(x: Signal, rate: int, rng: np.random.Generator) -> float:
    x[: 2 * rate] = rng.uniform(-1, 1, 2 * rate)
    return 2.0


def _flip(x: Signal, _rate: int, _rng: np.random.Generator) -> float:
    x *= -1
    return 0.0


def _thump(x: Signal, rate: int, _rng: np.random.Generator) -> float:
    time = np.arange(round(0.3 * rate)) / rate
    x[: time.size] += (np.exp(-time / 0.1) * np.sin(2 * np.pi * 20 * time)).astype(np.float32)
    return 0.3


def _contact(x: Signal, rate: int, rng: np.random.Generator) -> float:
    step = round(0.05 * rate)
    for first in range(0, 3 * rate, step):
        if rng.random() < 0.5:
            x[first : first + step] = 0
    return 3.0


FAULTS: dict[str, Callable[[Signal, int, np.random.Generator], float]] = {
    "silent for 1 s": _silence(1.0), "unplugged for 5 s": _silence(5.0), "0.1 s at +-100": _level(100.0, 0.1),
    "one sample of 1000": _level(1000.0, 0.0), "one sample of 1e30": _level(1e30, 0.0),
    "NaN for 0.5 s": _level(float("nan"), 0.5), "full-scale noise for 2 s": _noise, "polarity flipped": _flip,
    "thump": _thump, "loose contact for 3 s": _contact,
}


def scene_of(seed: int) -> Scene:
    """Make a small stage with a soundcheck."""
    return rtsep.scenes.make_scene("room", seed=seed, mics=4, seconds=BAND, soundcheck=SOUNDCHECK)


def losses(scene: Scene, preset: str, blind: bool, words: Sequence[str] = ()) -> Iterator[Loss]:
    """Try every fault whose name has one of the words in it, or all, on one scene."""
    rate = scene.rate
    known = None if blind else rtsep.learn(scene.mics, rate, scene.solos, scene.names)

    strike = scene.mics.shape[1] - round((BAND - STRIKE) * rate)
    with Session.open(preset, rate, scene.names, known) as session:
        head = process(session.engine, scene.mics[:, :strike])
        begun = session.engine.snapshot()

        def gains(mics: Signal) -> Signal:
            session.engine.restore(begun)
            sound = np.concatenate([head, process(session.engine, mics[:, strike:])], axis=1)
            late = session.engine.latency
            return _windows(np.pad(sound, ((0, 0), (0, late)))[:, late:], scene.images, rate)

        right, dry = gains(scene.mics), _windows(scene.mics, scene.images, rate)
        for name, inject in FAULTS.items():
            if words and not any(word in name for word in words):
                continue
            mics = scene.mics.copy()
            lasted = inject(mics[_HIT, strike:], rate, np.random.default_rng(7))
            yield _loss(name, right, gains(mics), dry, strike / rate, lasted)


def _loss(name: str, right: Signal, broken: Signal, dry: Signal, strike: float, lasted: float) -> Loss:
    begun, after = int(strike / WINDOW), int(np.ceil((strike + lasted) / WINDOW))
    lost = (right - broken)[:, after:]
    others = np.delete(np.arange(len(right)), _HIT)
    return Loss(
        name, float(np.nanmax(lost[_HIT])), _lasts(lost[[_HIT]]), float(np.nanmax(lost[_HIT, _LATER:])),
        float(np.nanmax(lost[others])), _lasts(lost[others]), float(np.nanmax(lost[others, _LATER:])),
        float(np.nanmax((dry - broken)[others, begun:], initial=-np.inf)),
    )


def _windows(sound: Signal, images: Signal, rate: int) -> Signal:
    """Return SI-SDR of each mic in each window, dB; NaN where its own source rests."""
    size = round(WINDOW * rate)
    count = images.shape[1] // size
    found = np.full((len(images), count), np.nan, np.float32)
    for mic in range(len(images)):
        for window in range(count):
            part = slice(window * size, (window + 1) * size)
            own, heard = images[mic, part].astype(float), np.nan_to_num(sound[mic, part].astype(float))
            power = np.mean(own**2)
            if power > _QUIETEST and power > 0.05 * np.mean(images[mic].astype(float) ** 2):
                found[mic, window] = si_sdr(own, heard)
    return found


def _lasts(lost: Signal) -> float:
    """Return how many seconds it takes until no window loses more than 1 dB any more."""
    bad = np.flatnonzero(np.nan_to_num(lost).max(axis=0) > 1)
    return float((bad[-1] + 1) * WINDOW) if bad.size else 0.0
