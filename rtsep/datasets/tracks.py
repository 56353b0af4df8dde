"""The songs that are on disk, as each data set lays them out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rtsep import audiofile
from rtsep.errors import InputError
from rtsep.names import from_files, is_mix

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

_STEMS = ("vocals", "bass", "drums", "other")


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
        Name of each microphone, and the files, or parts of a folder, that are mixed into it.
    notes : tuple of str
        What was assumed of the files; lines.
    """

    dataset: str
    subset: str
    name: str
    parts: tuple[tuple[str, tuple[Path | audiofile.Member, ...]], ...]
    notes: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether every part holds its own source alone."""
        return self.dataset != "saraga"


def find_tracks(folder: str, dataset: str) -> tuple[Track, ...]:
    """List the songs of a data set, subset by subset, in natural order.

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
        parts, notes = audiofile.members(_recordings(song))
        names = from_files([part.stem for part in parts])
        mics = tuple((name, (part,)) for name, part in zip(names, parts, strict=True))
        yield Track("folder", "", song.name, mics, notes)


def _folders(place: Path) -> list[Path]:
    found = [song for song in place.iterdir() if song.is_dir() and not song.name.startswith(".")]
    return sorted(found, key=lambda song: audiofile.natural(song.name))


def _stems(song: Path) -> tuple[tuple[str, tuple[Path, ...]], ...]:
    for name in _STEMS:
        if not (song / f"{name}.wav").is_file():
            raise InputError(str(song), f"has no {name}.wav", "each song needs " + ", ".join(_STEMS))
    return tuple((name, (song / f"{name}.wav",)) for name in _STEMS)


def _recordings(place: Path) -> list[Path]:
    return [file for file in audiofile.recordings(place) if not is_mix(from_files([file.stem])[0])]
