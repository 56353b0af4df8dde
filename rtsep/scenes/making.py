"""A scene from its seed: who plays when, what reaches which microphone, and the levels."""

from __future__ import annotations

from collections import Counter

import numpy as np

from rtsep import synth
from rtsep.errors import InputError
from rtsep.scenes.gains import mix
from rtsep.scenes.levels import mean_power, sir
from rtsep.scenes.room import fill_room
from rtsep.scenes.scene import Scene, Signal

KINDS = ("linear", "linear-moving", "room", "room-moving", "hall")
"""What lies between the sources and the microphones.

linear
    Gains only: 1 for the own source, 0.05 to 0.4 for the others.
linear-moving
    As linear, but the gains cross-fade to others mid-piece, and later one performer plays 6 dB louder.
room
    RT60 0.4 to 0.8 s, cardioid or omnidirectional microphones at 10 to 50 cm, SIR 9 to 12 dB.
room-moving
    As room, but mid-piece one performer walks 1.5 m with the microphone and another leans 25 cm away from
    hers, and later one preamplifier is turned down by 4 dB.
hall
    RT60 0.9 to 1.2 s, larger, omnidirectional, SIR 6 to 8 dB; up to four microphones are a string quartet.
"""

NOISE_DB = -62.0
"""Noise of each microphone, relative to the image of its own source."""

PEAK = 0.95
"""Largest sample of a scene; full scale is 1."""

_BAND = ("drums", "bass", "guitar", "keys", "sax", "voice", "violin", "cello")
_QUARTET = ("violin", "violin", "viola", "cello", "voice", "keys", "bass", "sax")
_GAP = 0.5  # s of silence after each solo of the soundcheck


def make_scene(
    kind: str,
    seed: int,
    mics: int = 6,
    seconds: float = 20.0,
    rate: int = 48000,
    soundcheck: float = 0.0,
) -> Scene:
    """Render a concert.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    seed : int
        Decides music, room, places, levels and noise. The same arguments give the same samples.
    mics : int
        Number of microphones and sources, 2 to 32.
    seconds : float
        Length of the concert without the soundcheck, at least 1.
    rate : int
        Sample rate in Hz.
    soundcheck : float
        Seconds that each source plays alone before the concert, 0 for none. Nothing moves in it, and the
        music is not that of the concert.

    Returns
    -------
    Scene
        In the concert the image at each microphone has RMS 0.05, or less where peaks would pass 0.95.

    Raises
    ------
    InputError
        An argument out of range.
    """
    _check(kind, seed, mics, seconds, rate, soundcheck)
    rng = np.random.default_rng([seed, KINDS.index(kind), mics])
    names, sources, solos, concert = _perform(kind, seed, mics, seconds, rate, soundcheck)

    mixing = None
    if kind.startswith("linear"):
        mixing, images, bleed = mix(sources, concert, rng, rate, moving=kind == "linear-moving")
    else:
        images, bleed = fill_room(kind, sources, concert, rng, rate)
    level = synth.RMS / np.sqrt(mean_power(images[:, concert]))[:, None]
    if mixing is None:
        # In rooms this is each preamplifier's gain. Linear images have this level but for rounding, and
        # must stay what the mixing matrix says.
        images, bleed = images * level, bleed * level

    noise = synth.RMS * 10 ** (NOISE_DB / 20) * rng.standard_normal(images.shape)
    recorded = images + bleed + noise
    scale = min(1.0, PEAK / float(max(np.abs(recorded).max(), np.abs(images).max(), np.abs(sources).max())))
    if mixing is None:
        sources = sources * min(1.0, PEAK / float(np.abs(sources).max()))
    else:
        sources = sources * scale
    return Scene(
        rate=rate,
        names=names,
        mics=(recorded * scale).astype(np.float32),
        images=(images * scale).astype(np.float32),
        sources=sources.astype(np.float32),
        kind=kind,
        seed=seed,
        sir_db=sir(images[:, concert], bleed[:, concert]),
        mixing=None if mixing is None else mixing.astype(np.float32),
        solos=solos,
    )


def _check(kind: str, seed: int, mics: int, seconds: float, rate: int, soundcheck: float) -> None:
    if kind not in KINDS:
        raise InputError("kind", f"unknown kind {kind!r}", f"known: {', '.join(KINDS)}")
    for place, number in (("seed", seed), ("mics", mics), ("rate", rate)):
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
            raise InputError(place, f"{number!r} is not a whole number")
    if seed < 0:
        raise InputError("seed", f"{seed} is negative", "0 or more")
    if not 2 <= mics <= 32:
        raise InputError("mics", f"{mics} is out of range", "2 to 32")
    if not 8000 <= rate <= 192000:
        raise InputError("rate", f"{rate} is out of range", "8000 to 192000 Hz")
    if not 1 <= seconds <= 3600:
        raise InputError("seconds", f"{seconds} is out of range", "1 to 3600")
    if not (soundcheck == 0 or 0.5 <= soundcheck <= 60):
        raise InputError("soundcheck", f"{soundcheck} is out of range", "0, or 0.5 to 60 seconds")


def _perform(
    kind: str, seed: int, mics: int, seconds: float, rate: int, soundcheck: float
) -> tuple[tuple[str, ...], Signal, tuple[tuple[str, float, float], ...], slice]:
    """Return names, dry sources of RMS 0.05 in the concert, solos, and where the concert is."""
    line_up = _QUARTET if kind == "hall" else _BAND
    instruments = [line_up[i % len(line_up)] for i in range(mics)]
    met: Counter[str] = Counter()
    names = []
    for instrument in instruments:
        met[instrument] += 1
        names.append(instrument if met[instrument] == 1 else f"{instrument}-{met[instrument]}")

    alone, together = round(soundcheck * rate), round(seconds * rate)
    gap = round(_GAP * rate) if alone else 0
    music = synth.band(instruments, seed, soundcheck + seconds, rate).astype(np.float64)
    played = music.shape[1]
    power = mean_power(music[:, played - together :])
    # Someone who rests through a very short concert keeps the level of the whole piece.
    music *= np.where(power > 0, synth.RMS / np.sqrt(np.where(power > 0, power, 1.0)), 1.0)[:, None]

    begin = mics * (alone + gap)
    sources = np.zeros((mics, begin + together))
    sources[:, begin:] = music[:, played - together :]
    solos = []
    for i, name in enumerate(names):
        start = i * (alone + gap)
        if alone:
            sources[i, start : start + alone] = music[i, :alone] * _fades(alone, rate)
            solos.append((name, start / rate, (start + alone) / rate))
    return tuple(names), sources, tuple(solos), slice(begin, begin + together)


def _fades(frames: int, rate: int) -> Signal:
    """Fade in and out within 10 ms, as a piece that is cut would click."""
    edge = round(0.01 * rate)
    inside = np.arange(frames)
    shape: Signal = np.clip(np.minimum(inside, frames - 1 - inside) / edge, 0.0, 1.0)
    return shape
