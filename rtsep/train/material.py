"""What networks are trained on: concerts with known truth, made from stems or played by the synthesiser.

A piece of work, a `Job`, says everything of one concert, so that its name in the cache is a hash of it and of the
files it is made from, and any process can make it. This file does not import torch: it runs in many processes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtsep.audiofile import Member
from rtsep.errors import InputError
from rtsep.scenes import Audio, Scene, Signal
from rtsep.train.bleed import BLEEDS, OFF, OWN, put

MADE_AS = 1
"""Counts up when the same job makes other sound: what the cache holds from before is made anew."""

_STEMS = ("vocals", "bass", "drums", "other")
_OTHERS = ("keys", "guitar", "sax", "violin")   # who is `other` in a made song
_BAND = ("drums", "bass", "guitar", "keys", "sax", "voice", "violin", "cello")
_ENDS = 1 << 16   # bytes at both ends of a file by which it is known, with its size: hashing ten hours takes minutes
_RESTS = 1e-4     # RMS, full scale 1, below which a source has nothing to say


@dataclass(frozen=True)
class Material:
    """Where concerts come from and what is put on them.

    Parameters
    ----------
    data : str
        `synth`; `cases:FOLDER`, of files with `mix` and `images` as `bed/kit.py` writes them; `musdb:FOLDER`,
        `dsd100:FOLDER`, `saraga:FOLDER` or `saraga`, where mirdata has put it; or a folder of recordings, or of
        folders of them.
    bleed : str
        none, linear (gains), room (the one of the bleed papers) or rooms (of several sizes).
    rate : int
        Hz.
    seconds : float
        Of one concert.
    scenes : int
        How many; of data on disk at most so many, 0 for all there are.
    mics : int
        Of concerts of the synthesiser; 4 are vocals, bass, drums and other.
    seed : int
    off, own : (float, float)
        Range of gains of other sources and of the own one, for linear bleed.
    """

    data: str
    bleed: str = "linear"
    rate: int = 22050
    seconds: float = 10.0
    scenes: int = 0
    mics: int = 4
    seed: int = 1
    off: tuple[float, float] = OFF
    own: tuple[float, float] = OWN


@dataclass(frozen=True)
class Job:
    """One concert to be made.

    Parameters
    ----------
    material : Material
    number : int
        Of the concert.
    track : int
        Of the data set; the file of `cases`.
    start : float
        Seconds.
    files : tuple of str
        Size and hash of what it is read from.
    """

    material: Material
    number: int
    track: int = 0
    start: float = 0.0
    files: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Name in the cache."""
        told = {**asdict(self), "made as": MADE_AS}
        told["material"] = {**told["material"], "scenes": 0, "data": _place(self.material.data)[0]}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


def plan(material: Material) -> list[Job]:
    """Say what is to be made.

    Raises
    ------
    InputError
        If the data are not there, or a setting is out of range.
    """
    _check(material)
    origin, folder = _place(material.data)
    if origin == "synth":
        return [Job(material, n) for n in range(material.scenes or 100)]
    found: list[Job] = []
    if origin == "cases":
        for number, file in enumerate(_cases(folder)):
            with np.load(file) as case:
                frames, rate = case["mix"].shape[1], int(case["fs"])
            found += _blocks(material, number, frames / rate, (_known_by(file),))
    else:
        from rtsep.datasets import find_tracks

        for number, track in enumerate(find_tracks(folder, origin)):
            files = [one for _, part in track.parts for file in part for one in _pieces(file)]
            found += _blocks(material, number, _length(track), tuple(_known_by(file) for file in files))
    if not found:
        raise InputError(material.data, f"has no {material.seconds:g} s in one piece", "choose fewer --seconds")
    if material.scenes:
        # Spread over all songs: the first ones alone would be one album.
        order = np.random.default_rng(material.seed).permutation(len(found))[: material.scenes]
        found = [found[n] for n in sorted(order)]
    return [Job(j.material, n, j.track, j.start, j.files) for n, j in enumerate(found)]


def make(job: Job) -> Scene | None:
    """Make one concert; None where a source rests all through it: there is nothing to learn."""
    m = job.material
    rng = np.random.default_rng([m.seed, job.number])
    origin, folder = _place(m.data)
    sound: Signal | Audio
    if origin == "synth":
        names, sound = _played(m, rng)
    elif origin == "cases":
        return _case(_cases(folder)[job.track], m, job.start)
    else:
        from rtsep.datasets import find_tracks, read_scene

        track = find_tracks(folder, origin)[job.track]
        found = read_scene(track, "none", m.rate, job.start, m.seconds, m.seed)
        if not found.known:
            return found
        names, sound = found.names, found.sources
    sources = np.asarray(sound, np.float64)
    if (np.square(sources).mean(axis=1) < _RESTS**2).any():
        return None
    mixing, mics, images = put(m.bleed, names, sources, rng, m.rate, m.off, m.own)
    return _scene(m, job, names, mics, images, sources, mixing)


def _scene(
    m: Material, job: Job, names: Sequence[str], mics: Signal, images: Signal, sources: Signal, mixing: Signal | None
) -> Scene:
    heard, own, dry = (x.astype(np.float32) for x in (mics, images, sources))
    kind = f"{_place(m.data)[0]} {m.bleed}"
    unknown = np.full(len(names), np.nan)
    gains = None if mixing is None else mixing.astype(np.float32)
    return Scene(m.rate, tuple(names), heard, own, dry, kind, m.seed + job.number, unknown, gains)


def _played(m: Material, rng: np.random.Generator) -> tuple[tuple[str, ...], Signal]:
    from rtsep import synth

    names: tuple[str, ...] = _STEMS
    band: tuple[str, ...] = ("voice", "bass", "drums", str(rng.choice(_OTHERS)))
    if m.mics != len(_STEMS):
        band = tuple(_BAND[n % len(_BAND)] for n in range(m.mics))
        names = tuple(f"{name}-{n // len(_BAND) + 1}" if n >= len(_BAND) else name for n, name in enumerate(band))
    # The first notes of some come late: two seconds more, and the end of it.
    whole = synth.band(band, int(rng.integers(2**31)), m.seconds + 2, m.rate)
    return names, whole[:, -round(m.seconds * m.rate):].astype(np.float64)


def _case(file: Path, m: Material, start: float) -> Scene:
    from scipy import signal

    with np.load(file) as case:
        rate = int(case["fs"])
        part = slice(round(start * rate), round((start + m.seconds) * rate))
        mics, every = case["mix"][:, part], case["images"][:, :, part]
        own = every[np.arange(len(every)), np.arange(len(every))]
        dry = case["dry"][:, part] if "dry" in case else own
    common = np.gcd(rate, m.rate)
    count = round(m.seconds * m.rate)
    made = [signal.resample_poly(x.astype(np.float64), m.rate // common, rate // common, axis=1)[:, :count]
            if rate != m.rate else x.astype(np.float64) for x in (mics, own, dry)]
    names = tuple(f"mic{n}" for n in range(1, len(mics) + 1))
    return _scene(m, Job(m, 0), names, made[0], made[1], made[2], None)


def _blocks(m: Material, track: int, seconds: float, files: tuple[str, ...]) -> list[Job]:
    return [Job(m, 0, track, n * m.seconds, files) for n in range(int(seconds / m.seconds + 1e-9))]


def _length(track: Any) -> float:
    """Return the seconds of a song's longest file."""
    from rtsep.finite import open_sound

    longest = 0.0
    for _, files in track.parts:
        for file in files:
            with open_sound(file) as source:
                longest = max(longest, source.frames / source.rate)
    return longest


def _pieces(file: Path | Member) -> tuple[Path, ...]:
    return (file,) if isinstance(file, Path) else file.pieces


def _known_by(file: Path) -> str:
    with open(file, "rb") as opened:
        size = opened.seek(0, 2)
        opened.seek(0)
        ends = opened.read(_ENDS)
        opened.seek(max(0, size - _ENDS))
        ends += opened.read(_ENDS)
    return f"{size}-{hashlib.sha256(ends).hexdigest()[:16]}"


def _cases(folder: str) -> list[Path]:
    found = sorted(Path(folder).glob("*.npz"))
    if not found:
        raise InputError(f"cases:{folder}", "has no .npz", "allowed is a folder of files with mix, images and fs")
    return found


def _place(data: str) -> tuple[str, str]:
    """Return the kind of a data set and its folder."""
    from rtsep.datasets import DATASETS

    if data == "synth":
        return "synth", ""
    kind, colon, folder = data.partition(":")
    if colon and kind in (*DATASETS, "cases"):
        return kind, folder
    if data == "saraga":
        return "saraga", _mirdata()
    return "folder", data


def _mirdata() -> str:
    try:
        import mirdata
    except ImportError:
        problem = "mirdata is not installed"
        raise InputError("--data saraga", problem, "pip install mirdata, or name the folder: saraga:FOLDER") from None
    return str(mirdata.initialize("saraga_carnatic").data_home)


def _check(m: Material) -> None:
    if m.bleed not in BLEEDS:
        raise InputError("--bleed", f"there is no {m.bleed}", "known: " + ", ".join(BLEEDS))
    ranges: tuple[tuple[str, float, float, float], ...] = (
        ("--seconds", m.seconds, 0.5, 600), ("--scenes", m.scenes, 0, 1_000_000), ("--mics", m.mics, 2, 32),
        ("rate", m.rate, 8000, 192000), ("--seed", m.seed, 0, 2**31),
    )
    for place, number, low, high in ranges:
        if not low <= number <= high:
            raise InputError(place, f"{number:g} is out of range", f"{low:g} to {high:g}")
    for place, (low, high) in (("--off", m.off), ("--own", m.own)):
        if not 0 <= low <= high <= 1:
            raise InputError(place, f"{low:g} to {high:g} is no range of gains", "allowed are two of 0 to 1")
