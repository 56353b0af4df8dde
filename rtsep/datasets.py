"""Songs of public data sets as scenes: what is on disk, and what bleed is put on it.

Nothing is read before it is asked for, and no more than one block of one song at a time, so that a data set of ten
hours takes no more memory than ten seconds of it. Everything is mixed down to mono: a microphone has one channel.
The data sets themselves are for research only and are not part of rtsep.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from rtsep import audiofile
from rtsep.errors import InputError
from rtsep.metrics import LIMIT_DB
from rtsep.scenes import Audio, Scene, Signal

DATASETS = ("musdb", "dsd100", "saraga", "folder")
"""What is read.

musdb
    MUSDB18-HQ, doi:10.5281/zenodo.3338373: `train/SONG/` and `test/SONG/` with vocals, bass, drums and other as WAV.
dsd100
    DSD100 and MSD100: `Sources/Dev/SONG/` and `Sources/Test/SONG/` with the same four.
saraga
    Saraga: every folder with `SONG.multitrack-PART.mp3`, as mirdata lays them out. Real microphones on a real stage,
    so that nobody knows what each should have heard. Left and right of the mridangam become one.
folder
    Any folder of recordings with one source each, or of folders of them; one called mix or mixture is no source.
"""

BLEEDS = ("none", "linear", "room")
"""What is put between the sources of a data set and the microphones.

none
    Nothing: the microphones hear what is on disk.
linear
    MUSDB of the bleed papers: gains, drawn once a song, 0.05 to 0.31 and 0.6 to 1 for the own source.
room
    MUSDBR of the bleed papers: a simulated room of 13.5 x 7 x 7 m, RT60 0.25 s, each microphone half a metre away.
"""

BLEED_RATE = 22050
"""Hz, of scenes with bleed unless another rate is asked for."""

BLOCK_SECONDS = 10.0
"""Length of scenes with bleed unless another is asked for."""

_STEMS = ("vocals", "bass", "drums", "other")

# The published recipe drops a block of 220 500 samples if one of these has an l2 norm of 0.9 or less.
_NEEDED = ("vocals", "bass", "drums")
_QUIET_POWER = 0.9**2 / 220500

_ROOM_SIZE = (13.5, 7.0, 7.0)   # m
_ROOM_RT60 = 0.25   # s
# Who stands where, and the places of source and microphone; others take the places as they come.
_STAGE = ("drums", "vocals", "bass", "other")
_PLACES = ((3.0, 5.0, 1.0), (5.5, 5.5, 1.0), (8.0, 5.5, 1.0), (10.5, 5.0, 1.0))
_MICROPHONES = ((3.0, 4.5, 1.0), (5.5, 5.0, 1.0), (8.0, 5.0, 1.0), (10.5, 4.5, 1.0))


@dataclass(frozen=True)
class Track:
    """A song on disk.

    Parameters
    ----------
    dataset : str
        One of `DATASETS`.
    subset : str
        train, test, Dev or Test; empty where there is only one.
    name : str
    parts : tuple of (str, tuple of Path)
        Name of each microphone, and the files that are mixed into it.
    """

    dataset: str
    subset: str
    name: str
    parts: tuple[tuple[str, tuple[Path, ...]], ...]

    @property
    def clean(self) -> bool:
        """Whether every part holds its own source alone."""
        return self.dataset != "saraga"


def find_tracks(folder: str, dataset: str) -> tuple[Track, ...]:
    """List the songs of a data set, subset by subset, in natural order; no audio is opened.

    Parameters
    ----------
    folder : str
        Where the data set lies.
    dataset : str
        One of `DATASETS`.

    Raises
    ------
    InputError
        If it is not there, not laid out as it should be, or a file of a song is missing.
    """
    readers = {"musdb": _musdb, "dsd100": _dsd100, "saraga": _saraga, "folder": _any_folder}
    if dataset not in readers:
        raise InputError("--dataset", f"there is no {dataset}", "known: " + ", ".join(DATASETS))
    if not Path(folder).is_dir():
        raise InputError(folder, "there is no such folder", f"allowed is where {dataset} lies")
    try:
        return tuple(readers[dataset](Path(folder)))
    except OSError as error:
        raise InputError(folder, f"cannot be read: {error.strerror}") from None


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


def draw_gains(count: int, rng: np.random.Generator) -> Signal:
    """Return a mixing matrix float64[mics, sources] as the linear bleed of the papers has it, of two decimals."""
    gains = rng.uniform(0.05, 0.31, (count, count))
    np.fill_diagonal(gains, rng.uniform(0.6, 1.0, count))
    rounded: Signal = np.round(gains, 2)
    return rounded


def play(names: tuple[str, ...], sound: Audio, rate: int) -> tuple[Signal, Signal]:
    """Play sources in the room of the bleed papers.

    Parameters
    ----------
    names : tuple of str
        vocals, bass, drums and other have their own places; of others the first takes the first.
    sound : float32[sources, frames]
    rate : int

    Returns
    -------
    mics, images : float64[sources, frames]
        What the microphones hear, and of it their own sources.
    """
    from scipy import signal

    seats = [_STAGE.index(name) for name in names] if set(names) <= set(_STAGE) else list(range(len(names)))
    paths = room_paths(rate)
    mics, images = np.zeros(sound.shape), np.zeros(sound.shape)
    for source, part in zip(seats, sound.astype(np.float64), strict=True):
        for row, mic in enumerate(seats):
            heard = signal.oaconvolve(part, paths[mic, source])[: len(part)]
            mics[row] += heard
            if mic == source:
                images[row] = heard
    return mics, images


@cache
def room_paths(rate: int) -> Signal:
    """Return the impulse responses float64[mics, sources, taps] of the room of the bleed papers, read-only."""
    import pyroomacoustics as pra

    absorption, order = pra.inverse_sabine(_ROOM_RT60, _ROOM_SIZE)
    room = pra.ShoeBox(_ROOM_SIZE, fs=rate, materials=pra.Material(absorption), max_order=order)
    for place in _PLACES:
        room.add_source(place)
    room.add_microphone_array(np.array(_MICROPHONES).T)
    room.compute_rir()
    paths = np.zeros((len(_MICROPHONES), len(_PLACES), max(len(path) for row in room.rir for path in row)))
    for i, row in enumerate(room.rir):
        for j, path in enumerate(row):
            paths[i, j, : len(path)] = path
    paths.flags.writeable = False
    return paths


def _musdb(root: Path) -> Iterator[Track]:
    subsets = [root / name for name in ("train", "test") if (root / name).is_dir()]
    stems = [file for place in (root, *subsets) for file in place.glob("*.stem.mp4")]
    if stems:
        problem = "is MUSDB18 in its compressed form, .stem.mp4"
        raise InputError(str(root), problem, "allowed is MUSDB18-HQ, which has a folder of WAV files for each song")
    if not subsets:
        raise InputError(str(root), "has neither train/ nor test/", "allowed is the folder of MUSDB18-HQ")
    for place in subsets:
        for song in _folders(place):
            yield Track("musdb", place.name, song.name, _stems(song))


def _dsd100(root: Path) -> Iterator[Track]:
    subsets = [root / "Sources" / name for name in ("Dev", "Test") if (root / "Sources" / name).is_dir()]
    if not subsets:
        problem = "has neither Sources/Dev/ nor Sources/Test/"
        raise InputError(str(root), problem, "allowed is the folder of DSD100 or MSD100")
    for place in subsets:
        for song in _folders(place):
            yield Track("dsd100", place.name, song.name, _stems(song))


def _saraga(root: Path) -> Iterator[Track]:
    songs = sorted({file.parent for file in root.rglob("*.multitrack-*.mp3")})
    if not songs:
        raise InputError(str(root), "has no SONG.multitrack-PART.mp3", "allowed is the folder of Saraga's multitracks")
    for song in songs:
        parts: dict[str, list[Path]] = {}
        for file in sorted(song.glob("*.multitrack-*.mp3")):
            part = file.name.rsplit(".multitrack-", 1)[1].removesuffix(".mp3")
            # One drum with two heads: it is one instrument, and the bleed papers have it as one.
            parts.setdefault(part.removesuffix("-left").removesuffix("-right"), []).append(file)
        yield Track("saraga", "", song.name, tuple((name, tuple(files)) for name, files in parts.items()))


def _any_folder(root: Path) -> Iterator[Track]:
    songs = [place for place in (root, *_folders(root)) if _recordings(place)]
    if not songs:
        raise InputError(str(root), "is a folder without recordings", audiofile.READABLE)
    for song in songs:
        files = _recordings(song)
        names = audiofile.mic_names(files)
        yield Track("folder", "", song.name, tuple((name, (file,)) for name, file in zip(names, files, strict=True)))


def _folders(place: Path) -> list[Path]:
    found = [song for song in place.iterdir() if song.is_dir() and not song.name.startswith(".")]
    return sorted(found, key=lambda song: audiofile.natural(song.name))


def _stems(song: Path) -> tuple[tuple[str, tuple[Path, ...]], ...]:
    for name in _STEMS:
        if not (song / f"{name}.wav").is_file():
            raise InputError(str(song), f"has no {name}.wav", "each song needs " + ", ".join(_STEMS))
    return tuple((name, (song / f"{name}.wav",)) for name in _STEMS)


def _recordings(place: Path) -> list[Path]:
    return [file for file in audiofile.recordings(place) if file.stem.casefold() not in ("mix", "mixture")]


def _check(track: Track, bleed: str, rate: int | None, start: float, seconds: float | None) -> None:
    if bleed not in BLEEDS:
        raise InputError("--bleed", f"there is no {bleed}", "known: " + ", ".join(BLEEDS))
    if bleed != "none" and not track.clean:
        raise InputError("--bleed", f"{track.dataset} has bleed of its own and no clean sources", "allowed is none")
    if bleed == "room" and len(track.parts) > len(_PLACES):
        raise InputError(track.name, f"has {len(track.parts)} sources", f"the room has {len(_PLACES)} places")
    if rate is not None and not 8000 <= rate <= 192000:
        raise InputError("rate", f"{rate} is out of range", "8000 to 192000 Hz")
    if not (math.isfinite(start) and start >= 0):
        raise InputError("start", f"{start:g} is out of range", "0 s or more")
    if seconds is not None and not seconds > 0:
        raise InputError("seconds", f"{seconds:g} is out of range", "more than 0 s")


def _measure(track: Track) -> tuple[int, int]:
    """Return the rate of a song's files, and the frames of the longest."""
    rates: dict[int, Path] = {}
    frames = 0
    for _, files in track.parts:
        for file in files:
            with audiofile.open_input(file) as source:
                rates.setdefault(source.rate, file)
                frames = max(frames, source.frames)
    if len(rates) > 1:
        (one, _), (other, place) = list(rates.items())[:2]
        raise InputError(str(place), f"has {other} Hz, but others have {one} Hz", "allowed is one rate in a song")
    return next(iter(rates)), frames


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
            with audiofile.open_input(file) as source:
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
