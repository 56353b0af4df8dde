"""The recordings with known truth that quality is measured on: cases of a bed folder, or scenes made on the spot."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError
from rtsep.scenes import make_scene
from rtsep.stage import Block
from rtsep.systems.solos import Solo, read_solos

RATE = 48000
"""Sample rate of the cases in a folder, Hz."""

OWN = (("linear", 11), ("room", 12), ("room-moving", 13))
"""Kind and seed of the scenes that are made where no folder is given: three microphones, 9 s, solos of 4 s."""

_OWN_MICS, _OWN_SECONDS, _OWN_SOLO = 3, 9.0, 4.0


@dataclass(frozen=True, eq=False)
class Case:
    """A recording and its truth.

    Parameters
    ----------
    name : str
    kind : str
        `linear`, `linear-moving`, `room` or `room-moving`.
    rate : int
        Hz.
    mics : float32[mics, frames]
        What is recorded.
    images : float32[mics, frames]
        The own source of each microphone, as it hears it.
    mixing : float64[mics, mics], optional
        Of static linear cases: bleed of source j in microphone i is mixing[i, j] times image j; 1 on the diagonal.
    responses : float32[mics, mics, taps], optional
        Of static rooms: impulse response of each path from source j to microphone i, at the levels of the recording.
    soundcheck : float32[mics, frames], optional
        Every player alone, before the concert.
    solos : tuple of Solo
        Who plays alone when.
    """

    name: str
    kind: str
    rate: int
    mics: Block
    images: Block
    mixing: NDArray[np.float64] | None = None
    responses: NDArray[np.float32] | None = None
    soundcheck: Block | None = None
    solos: tuple[Solo, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """One name a microphone."""
        return tuple(f"mic{i + 1}" for i in range(len(self.mics)))


def find(folder: str | None) -> list[str]:
    """List the cases: the .npz files of a folder, or the own scenes.

    Raises
    ------
    InputError
        There is no such folder, or no case in it.
    """
    if folder is None:
        return [kind for kind, _ in OWN]
    if not Path(folder).is_dir():
        raise InputError(folder, "no such folder", "a folder of .npz cases, or none for own scenes")
    found = sorted(path.stem for path in Path(folder).glob("*.npz"))
    if not found:
        raise InputError(folder, "no .npz in it", "cases with the keys mix and images")
    return found


def load(folder: str | None) -> Iterator[Case]:
    """Yield the cases that `find` lists, one at a time: eight microphones take 300 MB.

    A case of a folder has a soundcheck where `soundcheck/CASE.wav` and `soundcheck/CASE.csv` (mic,start_s,end_s)
    lie in the folder: `bench/bed_soundcheck.py` writes them.

    Raises
    ------
    InputError
        A file cannot be read or does not hold what a case needs.
    """
    for name in find(folder):
        yield _own(name) if folder is None else read(Path(folder) / f"{name}.npz")


def read(path: Path) -> Case:
    """Read one case.

    Parameters
    ----------
    path : Path
        Holds mix[k, frames]; images[k, k, frames], of source j in microphone i; and, or 0, H[k, k, taps] with
        dry[k, frames], of a static room, and Lam[k, k], of linear mixtures.

    Returns
    -------
    Case

    Raises
    ------
    InputError
        The file cannot be read or does not hold what a case needs.
    """
    allowed = "mix[k, frames] and images[k, k, frames]"
    try:
        with np.load(path, allow_pickle=False) as archive:
            data = {key: archive[key] for key in ("mix", "images", "dry", "H", "Lam") if key in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(str(path), "cannot be read as .npz", allowed) from error
    if not {"mix", "images"} <= set(data):
        raise InputError(str(path), f"holds {', '.join(data) or 'nothing known'}", allowed)
    mics = np.ascontiguousarray(data["mix"], dtype=np.float32)
    every = data["images"]
    if mics.ndim != 2 or every.shape != (len(mics), *mics.shape):
        raise InputError(str(path), f"mix is {data['mix'].shape}, images {every.shape}", allowed)
    own = np.arange(len(mics))
    images = np.ascontiguousarray(every[own, own], dtype=np.float32)
    mixing = responses = None
    if np.ndim(data.get("Lam", 0)) == 2:
        mixing = _if_static(np.asarray(data["Lam"], np.float64), every)
        kind = "linear-moving" if mixing is None else "linear"
    elif np.ndim(data.get("H", 0)) == 3:
        kind, responses = "room", at_level(np.asarray(data["H"], np.float32), data["dry"], every)
    else:
        kind = "room-moving"
    soundcheck, solos = _read_soundcheck(path, len(mics))
    return Case(path.stem, kind, RATE, mics, images, mixing, responses, soundcheck, solos)


def at_level(
    responses: NDArray[np.float32], dry: NDArray[np.float32], every: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Scale each response so that it makes the image of the recording: bleed levels were set after the room.

    Parameters
    ----------
    responses : float32[mics, sources, taps]
    dry : float32[sources, frames]
    every : float32[mics, sources, frames]
        The images; their first 4 s are compared.

    Returns
    -------
    float32[mics, sources, taps]
    """
    from scipy.signal import fftconvolve

    k = len(dry)
    frames = min(dry.shape[1], 4 * RATE)
    scaled = responses.copy()
    for i in range(k):
        for j in range(k):
            made = fftconvolve(dry[j, :frames].astype(np.float64), responses[i, j])[:frames]
            scaled[i, j] *= float(made @ every[i, j, :frames]) / max(float(made @ made), 1e-30)
    return scaled


def _own(kind: str) -> Case:
    scene = make_scene(kind, dict(OWN)[kind], _OWN_MICS, _OWN_SECONDS, RATE, _OWN_SOLO)
    begin = scene.mics.shape[1] - round(_OWN_SECONDS * RATE)
    solos = tuple(
        Solo(scene.names.index(name), round(start * RATE), round(end * RATE)) for name, start, end in scene.solos
    )
    return Case(
        kind, kind, RATE, np.ascontiguousarray(scene.mics[:, begin:]), np.ascontiguousarray(scene.images[:, begin:]),
        None if scene.mixing is None else scene.mixing.astype(np.float64), None,
        np.ascontiguousarray(scene.mics[:, :begin]), solos,
    )


def _if_static(mixing: NDArray[np.float64], every: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """Return the gains between images if they hold from the first sample to the last."""
    relative = mixing / np.diag(mixing)
    k = len(mixing)
    # The gains are told before each microphone's level is set: what they became is in the images.
    for i in range(k):
        for j in range(k):
            own, bleed = every[j, j].astype(np.float64), every[i, j].astype(np.float64)
            relative[i, j] = (own @ bleed) / max(own @ own, 1e-30)
            if np.sum((bleed - relative[i, j] * own) ** 2) > 1e-4 * np.sum(bleed**2):
                return None
    return relative


def _read_soundcheck(path: Path, count: int) -> tuple[Block | None, tuple[Solo, ...]]:
    import soundfile

    wav, table = (path.parent / "soundcheck" / f"{path.stem}.{end}" for end in ("wav", "csv"))
    if not wav.exists():
        return None, ()
    try:
        audio, rate = soundfile.read(wav, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise InputError(str(wav), "cannot be read", "a WAV with the microphones as channels") from error
    if audio.shape[1] != count or rate != RATE:
        raise InputError(str(wav), f"{audio.shape[1]} channels at {rate} Hz", f"{count} at {RATE} Hz, as the case")
    names = [f"mic{i + 1}" for i in range(count)]
    return np.ascontiguousarray(audio.T), tuple(read_solos(table, names, rate, len(audio)))
