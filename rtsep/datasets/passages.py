"""Passages of songs as scenes, read block by block."""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rtsep import audiofile
from rtsep.datasets.bleeds import BLEEDS, PLACES, draw_gains, play
from rtsep.datasets.tracks import Track, find_tracks
from rtsep.errors import InputError, SoundWarning
from rtsep.finite import open_sound
from rtsep.metrics import LIMIT_DB
from rtsep.scenes import Audio, Scene, Signal

BLEED_RATE = 22050
"""Hz, of scenes with bleed unless another rate is asked for."""

BLOCK_SECONDS = 10.0
"""Length of scenes with bleed unless another is asked for."""

# The published recipe drops a block of 220 500 samples if one of these has an l2 norm of 0.9 or less.
_NEEDED = ("vocals", "bass", "drums")
_QUIET_POWER = 0.9**2 / 220500


def read_scene(
    track: Track,
    bleed: str = "none",
    rate: int | None = None,
    start: float = 0.0,
    seconds: float | None = None,
    seed: int = 1,
) -> Scene:
    """Read one passage of a song, with bleed or as it is.

    Parameters
    ----------
    track : Track
    bleed : str
        One of `BLEEDS`.
    rate : int, optional
        Hz; `BLEED_RATE` with bleed, otherwise that of the files.
    start : float
        Seconds from the song's beginning.
    seconds : float, optional
        `BLOCK_SECONDS` with bleed; without, as much as there is.
    seed : int
        Decides the gains, with the song's name.

    Returns
    -------
    Scene
        Of a song that is not `clean` without images and sources.

    Raises
    ------
    InputError
        If the passage is not there or cannot be read; with bleed also if it is shorter than asked for, if vocals,
        bass or drums rest in it, or if the song is not clean.
    """
    _check(track, bleed, rate, start, seconds)
    own_rate, frames = _measure(track)
    rate = rate or (own_rate if bleed == "none" else BLEED_RATE)
    if seconds is None and bleed != "none":
        seconds = BLOCK_SECONDS
    first, total = round(start * rate), -(-frames * rate // own_rate)
    count = total - first if seconds is None else round(seconds * rate)
    if first >= total or (bleed != "none" and first + count > total):
        problem = f"has no {count / rate:g} s from {start:g} s on" if seconds else f"has nothing from {start:g} s on"
        raise InputError(track.name, problem, f"it is {total / rate:g} s long")
    sound = _read(track, own_rate, rate, first, min(count, total - first))
    if bleed != "none":
        for (name, _), part in zip(track.parts, sound, strict=True):
            if name in _NEEDED and _power(part) <= _QUIET_POWER:
                raise InputError(track.name, f"{name} rest in the {seconds:g} s from {start:g} s on", "choose another")
    return _make(track, bleed, rate, sound, seed)


def read_scenes(
    folder: str, dataset: str, bleed: str = "none", seconds: float = BLOCK_SECONDS, rate: int | None = None,
    seed: int = 1,
) -> Iterator[Scene]:
    """Read a data set from end to end, song by song and block by block, one at a time.

    Parameters
    ----------
    folder, dataset : str
        As for `find_tracks`.
    bleed : str
        One of `BLEEDS`.
    seconds : float
        Length of a block.
    rate : int, optional
        As for `read_scene`.
    seed : int
        As for `read_scene`.

    Yields
    ------
    Scene
        With bleed, the passages that `read_scene` refuses are left out: too short, or a source rests.

    Raises
    ------
    InputError
        If something cannot be read.
    """
    for track in find_tracks(folder, dataset):
        _check(track, bleed, rate, 0.0, seconds)
        own_rate, frames = _measure(track)
        wanted = rate or (own_rate if bleed == "none" else BLEED_RATE)
        total, block = -(-frames * wanted // own_rate), round(seconds * wanted)
        for first in range(0, total, block):
            if bleed != "none" and first + block > total:
                break
            sound = _read(track, own_rate, wanted, first, min(block, total - first))
            names = [name for name, _ in track.parts]
            resting = (n in _NEEDED and _power(part) <= _QUIET_POWER for n, part in zip(names, sound, strict=True))
            if bleed == "none" or not any(resting):
                yield _make(track, bleed, wanted, sound, seed)


def _check(track: Track, bleed: str, rate: int | None, start: float, seconds: float | None) -> None:
    if bleed not in BLEEDS:
        raise InputError("--bleed", f"there is no {bleed}", "known: " + ", ".join(BLEEDS))
    if bleed != "none" and not track.clean:
        raise InputError("--bleed", f"{track.dataset} has bleed of its own and no clean sources", "allowed is none")
    if bleed == "room" and len(track.parts) > len(PLACES):
        raise InputError(track.name, f"has {len(track.parts)} sources", f"the room has {len(PLACES)} places")
    if rate is not None and not 8000 <= rate <= 192000:
        raise InputError("rate", f"{rate} is out of range", "8000 to 192000 Hz")
    if not (math.isfinite(start) and start >= 0):
        raise InputError("start", f"{start:g} is out of range", "0 s or more")
    if seconds is not None and not seconds > 0:
        raise InputError("seconds", f"{seconds:g} is out of range", "more than 0 s")


def _measure(track: Track) -> tuple[int, int]:
    """Return the rate of a song's files, and the frames of the longest."""
    for note in track.notes:
        warnings.warn(note, SoundWarning, stacklevel=3)
    rates: dict[int, Path | audiofile.Member] = {}
    lengths: list[tuple[str, int]] = []
    for _, files in track.parts:
        for file in files:
            with open_sound(file) as source:
                rates.setdefault(source.rate, file)
                lengths.append((file.name, source.frames))
    if len(rates) > 1:
        (one, _), (other, place) = list(rates.items())[:2]
        raise InputError(str(place), f"has {other} Hz, but others have {one} Hz", "allowed is one rate in a song")
    rate = next(iter(rates))
    for note in audiofile.shorter(track.name, lengths, rate):
        warnings.warn(note, SoundWarning, stacklevel=3)
    return rate, max(frames for _, frames in lengths)


def _read(track: Track, own_rate: int, rate: int, first: int, frames: int) -> Audio:
    """Return float32[parts, frames] from `first` on, both counted at `rate`; what ends early ends in silence."""
    from scipy import signal

    common = math.gcd(own_rate, rate)
    up, down = rate // common, own_rate // common
    # `up` frames are made of `down`: whole numbers of them keep every passage on one grid. Twelve are more than
    # the filter's reach, so that a passage is the same, whatever else is read.
    margin = 12 if rate != own_rate else 0
    group = max(0, first // up - margin)
    count = -(-(first + frames) // up) + margin - group
    sound = np.zeros((len(track.parts), frames), np.float32)
    for row, (_, files) in zip(sound, track.parts, strict=True):
        for file in files:
            with open_sound(file) as source:
                source.seek(min(group * down, source.frames))
                heard = source.read(count * down).mean(axis=0, dtype=np.float64) / len(files)
            if rate != own_rate:
                heard = signal.resample_poly(heard, up, down)
            heard = heard[first - group * up :][:frames]
            row[: len(heard)] += heard.astype(np.float32)
    return sound


def _make(track: Track, bleed: str, rate: int, sound: Audio, seed: int) -> Scene:
    names = tuple(name for name, _ in track.parts)
    kind = " ".join(word for word in (track.dataset, track.subset, track.name, bleed) if word)
    nothing = np.zeros((0, sound.shape[1]), np.float32)
    if not track.clean:
        return Scene(rate, names, sound, nothing, nothing, kind, seed, np.full(len(names), np.nan))
    mixing: Signal | None = None
    if bleed == "linear":
        mixing = draw_gains(len(names), np.random.default_rng([seed, zlib.crc32(track.name.encode())]))
        mics, images = mixing @ sound, np.diag(mixing)[:, None] * sound
    elif bleed == "room":
        mics, images = play(names, sound, rate)
    else:
        mics, images = sound.astype(np.float64), sound.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 10 * np.log10(_power(images) / _power(mics - images))
    return Scene(
        rate, names, mics.astype(np.float32), images.astype(np.float32), sound, kind, seed,
        np.nan_to_num(np.clip(ratio, -LIMIT_DB, LIMIT_DB)), None if mixing is None else mixing.astype(np.float32),
    )


def _power(x: Audio | Signal) -> Signal:
    return np.asarray(np.mean(np.square(x, dtype=np.float64), axis=-1), np.float64)
