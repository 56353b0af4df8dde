"""Random recordings for the robustness run: any room, any microphones, some of them broken."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import oaconvolve, resample_poly

from rtsep import synth
from rtsep.scenes import NOISE_DB
from rtsep.scenes.paths import SOUND_SPEED, carry
from rtsep.stage import Block

Float = NDArray[np.float64]

PATTERNS = {"omni": 1.0, "subcardioid": 0.7, "cardioid": 0.5, "hypercardioid": 0.25, "figure-8": 0.0}
"""Directivity a + (1 - a) cos."""

SILENT = ("dead", "noise", "resting")
"""Microphones without wanted sound: digital silence, noise alone, or a player who does not play (bleed alone)."""

PEAK = 0.5
"""Largest sample of the recording: 5 dB below the engine's limiter, so that a loop that explodes shows."""

_MELODIC = tuple(name for name in synth.INSTRUMENTS if name not in ("drums", "kick", "snare", "hats"))
_LEVEL = 0.05  # RMS of an image, before the preamplifiers differ


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording in a random room.

    Parameters
    ----------
    told : dict
        What it is made of, for the report.
    rate : int
        Hz.
    mics : float32[mics, frames]
        The recording.
    images : float32[mics, frames]
        Wanted sound in each microphone; of a second microphone on a source, that source there.
    wanted : bool[mics]
        Which microphones carry wanted sound.
    """

    told: dict[str, Any]
    rate: int
    mics: Block
    images: Block
    wanted: NDArray[np.bool_]


def make_recording(seed: int) -> Recording:
    """Make a random recording: 2 to 16 microphones, RT60 0.1 to 2 s, 8 to 12 s at 44.1, 48 or 96 kHz.

    Paths are direct sound, six first reflections of a shoebox, and noise that decays, at the level that the critical
    distance says.

    Parameters
    ----------
    seed : int

    Returns
    -------
    Recording
    """
    rng = np.random.default_rng([seed, 3])
    rate = int(rng.choice((44100, 48000, 96000)))
    k = int(rng.integers(2, 17))
    rt60 = float(np.exp(rng.uniform(math.log(0.1), math.log(2.0))))
    seconds = float(rng.uniform(8, 12))
    pattern = str(rng.choice(list(PATTERNS)))
    size = rng.uniform((7, 6, 3), (25, 18, 10))
    roles = _roles(k, rng)
    places, microphones, facing = _place(roles, size, rng)
    paths = _paths(places, microphones, facing, PATTERNS[pattern], size, rt60, rate, rng)
    instruments = _line_up(k, rng)
    sources = _play(instruments, seed, seconds, rate)
    images, bleed = _hear(sources, paths, roles, rng)

    noise = _LEVEL * 10 ** (NOISE_DB / 20) * rng.standard_normal(images.shape)
    mics = images + bleed + noise
    for mic, (role, _) in enumerate(roles):
        if role == "dead":
            mics[mic] = 0
        elif role == "noise":
            mics[mic] = noise[mic]
    scale = PEAK / float(np.abs(mics).max())
    mics, images = mics * min(1.0, scale), images * min(1.0, scale)
    broken = _break(mics, rng)
    settled = images.shape[1] // 3
    # Who rests for the rest of a short piece cannot be judged.
    sounding = np.mean(images[:, settled:] ** 2, axis=1) > 1e-2 * np.var(mics[:, settled:], axis=1)
    wanted = np.array([role not in SILENT for role, _ in roles]) & sounding
    told = {
        "seed": seed, "rate": rate, "mics": k, "rt60": round(rt60, 2), "pattern": pattern, "seconds": round(seconds, 1),
        "room_m": [round(float(s), 1) for s in size], "instruments": instruments,
        "roles": [role if role != "second" else f"second on mic {first + 1}" for role, first in roles],
        "broken": {f"mic {mic + 1}": what for mic, what in broken.items()},
        "distance_m": [round(float(d), 2) for d in np.linalg.norm(microphones - places, axis=1)],
    }
    return Recording(told, rate, mics.astype(np.float32), images.astype(np.float32), wanted)


def _hear(
    sources: NDArray[np.float32], paths: NDArray[np.float32], roles: list[tuple[str, int]], rng: np.random.Generator
) -> tuple[Float, Float]:
    """Return images and bleed behind preamplifiers of different gain; changes the sources to what is played."""
    k, frames = sources.shape
    for mic, (role, _) in enumerate(roles):
        if role in SILENT or role == "second":
            sources[mic] = 0
    loudness = np.linalg.norm(paths[np.arange(k), np.arange(k)], axis=1)
    # As loud at their own microphones as each other, within 3 dB: who is soft gets a close microphone.
    sources *= (10 ** (rng.uniform(-3, 3, k) / 20) / loudness)[:, None].astype(np.float32)
    images, bleed = carry(sources.astype(np.float64), paths, 0, frames)
    for mic, (role, first) in enumerate(roles):
        if role == "second":
            images[mic] = oaconvolve(sources[first], paths[mic, first])[:frames]
            bleed[mic] -= images[mic]
    level = np.sqrt(np.mean((images + bleed) ** 2, axis=1))
    preamp = _LEVEL * 10 ** (rng.uniform(-6, 6, k) / 20) / np.maximum(level, 1e-9)
    return images * preamp[:, None], bleed * preamp[:, None]


def _break(mics: Float, rng: np.random.Generator) -> dict[int, str]:
    """Clip one microphone and add DC to one, sometimes; return what was done to which."""
    broken = {}
    if rng.random() < 0.3:
        mic = int(rng.integers(len(mics)))
        limit = float(np.percentile(np.abs(mics[mic]), rng.uniform(98, 99.9)))
        mics[mic] = np.clip(mics[mic], -limit, limit)
        broken[mic] = "clipped"
    if rng.random() < 0.3:
        mic = int(rng.integers(len(mics)))
        mics[mic] += float(rng.uniform(-0.1, 0.1))
        broken[mic] = "DC" if mic not in broken else "clipped, DC"
    return broken


def _line_up(k: int, rng: np.random.Generator) -> list[str]:
    """Return instruments no two of which play one part: a kit is one microphone, or three, or not there."""
    kit: tuple[tuple[str, ...], ...] = ((), ("drums",), ("kick", "snare", "hats"))
    chosen = list(kit[int(rng.integers(3))][:k])
    chosen += [str(name) for name in rng.choice(_MELODIC, k - len(chosen))]
    return [chosen[n] for n in rng.permutation(k)]


def _roles(k: int, rng: np.random.Generator) -> list[tuple[str, int]]:
    """Return what each microphone is for, and for a second one, on whose source it stands."""
    roles = [("own", mic) for mic in range(k)]
    free = list(rng.permutation(np.arange(1, k)))
    if len(free) > 1 and rng.random() < 0.4:
        mic = int(free.pop())
        roles[mic] = (str(rng.choice(SILENT)), mic)
    if len(free) > 1 and rng.random() < 0.3:
        mic = int(free.pop())
        own = [m for m, (role, _) in enumerate(roles) if role == "own" and m != mic]
        roles[mic] = ("second", int(rng.choice(own)))
    return roles


def _place(
    roles: list[tuple[str, int]], size: Float, rng: np.random.Generator
) -> tuple[Float, Float, Float]:
    """Return places of players and microphones, m, and where each microphone looks."""
    k = len(roles)
    places = np.empty((k, 3))
    for i in range(k):
        candidates = rng.uniform((1, 1, 0.8), (size[0] - 1, size[1] - 1, 1.6), (30, 3))
        # Within 6 m of each other, as on a stage, and no two in one place.
        candidates[:, :2] = size[:2] / 2 + np.clip(candidates[:, :2] - size[:2] / 2, -3, 3)
        nearest = np.linalg.norm(candidates[:, None] - places[None, :i], axis=-1).min(axis=1, initial=np.inf)
        places[i] = candidates[np.argmax(nearest)]
    for mic, (role, first) in enumerate(roles):
        if role == "second":
            places[mic] = places[first]
    direction = rng.standard_normal((k, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    microphones = places + rng.uniform(0.05, 0.6, k)[:, None] * direction
    microphones = np.clip(microphones, 0.2, size - 0.2)
    looks = places - microphones
    return places, microphones, looks / np.linalg.norm(looks, axis=1, keepdims=True)


def _paths(
    places: Float, microphones: Float, facing: Float, omni: float, size: Float, rt60: float, rate: int,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    k = len(places)
    volume = float(np.prod(size))
    surface = 2 * float(size[0] * size[1] + size[0] * size[2] + size[1] * size[2])
    reflect = math.sqrt(1 - min(0.161 * volume / (surface * rt60), 0.95))
    taps = round((0.9 * rt60 + 0.06) * rate)
    times = np.arange(taps) / rate
    decay = np.exp(-3 * math.log(10) * times / rt60)
    # Energy of the tail against the direct sound at 1 m; directive microphones hear less of it.
    tail = (omni**2 + (1 - omni) ** 2 / 3) * rt60 / (0.057**2 * volume)
    mixing = 4 * volume / surface / SOUND_SPEED
    paths = np.zeros((k, k, taps), np.float32)
    for j in range(k):
        images = [places[j]]
        for axis in range(3):
            for wall in (0.0, size[axis]):
                mirrored = places[j].copy()
                mirrored[axis] = 2 * wall - mirrored[axis]
                images.append(mirrored)
        for i in range(k):
            path = np.zeros(taps)
            arrival = 0.0
            for order, image in enumerate(images):
                way = image - microphones[i]
                distance = float(np.linalg.norm(way))
                gain = (omni + (1 - omni) * float(way @ facing[i]) / distance) / distance * (reflect if order else 1.0)
                delay = distance / SOUND_SPEED * rate
                if not order:
                    arrival = delay / rate
                first = int(delay)
                if first + 1 < taps:
                    path[first] += gain * (1 - delay + first)
                    path[first + 1] += gain * (delay - first)
            late = rng.standard_normal(taps) * decay * (times > arrival + mixing)
            energy = float(late @ late)
            if energy > 0:
                path += late * math.sqrt(tail * math.exp(-6 * math.log(10) * mixing / rt60) / energy)
            paths[i, j] = path
    return paths


def _play(instruments: list[str], seed: int, seconds: float, rate: int) -> NDArray[np.float32]:
    if rate <= 48000:
        return synth.band(instruments, seed, seconds, rate).copy()
    # Half the work, and nothing above 24 kHz is missed.
    return np.asarray(resample_poly(synth.band(instruments, seed, seconds, rate // 2), 2, 1, axis=1), np.float32)
