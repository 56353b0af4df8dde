"""The bleed papers' second table (SYSTEMS.md 1.13): what bleed in the stems costs a separator, and what cleaning saves.

The same network is trained, with the same steps, on stems that are clean, that bleed, and that were cleaned in several
ways. Then each separates the same clean mixtures, and is judged by the clean stems.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from rtsep import metrics
from rtsep.atomic import replacing
from rtsep.bench.cleaning import RATE, Way, cleaner, tracks, ways
from rtsep.errors import InputError
from rtsep.models.file import open_model
from rtsep.systems import modelhosts
from rtsep.train.store import Concert

CLEAN, BLEEDING = "clean", "bleeding"
STEMS_SEED = 20231023
"""Of the songs that separators are trained on: cleaned stems are of songs that no network has learnt to clean."""


def conditions(folder: Path) -> dict[str, Way | None]:
    """Return whose stems separators are trained on: clean and bleeding ones, and all that cleans linear bleed."""
    found: dict[str, Way | None] = {CLEAN: None, BLEEDING: None}
    for way in ways(folder):
        if way.system not in ("mics", "mean gains") and way.trained in ("", "linear"):
            found[way.system] = way
    return found


def write_stems(folder: Path, cache: Path, count: int, condition: str) -> Path:
    """Write songs of stems as a separator's training takes them: `folder/stems/CONDITION/NUMBER/STEM.wav`.

    Parameters
    ----------
    folder : Path
        Of the trained networks.
    cache : Path
        Of the tracks.
    count : int
        Songs.
    condition : str
        One of `conditions`.

    Raises
    ------
    InputError
        If there is no such condition.
    """
    known = conditions(folder)
    if condition not in known:
        raise InputError("cleaning", f"there is nothing that makes {condition} stems", "known: " + ", ".join(known))
    place = folder / "stems" / condition
    way = known[condition]
    songs = tracks("linear", count, cache, STEMS_SEED)
    clean = None if way is None else cleaner(way, songs[0].names)
    for number, song in enumerate(songs):
        target = place / f"{number:03d}"
        if len(list(target.glob("*.wav"))) == len(song.names):
            continue
        target.mkdir(parents=True, exist_ok=True)
        sound = song.images if condition == CLEAN else song.mics if clean is None else clean(song)[0]
        for name, stem in zip(song.names, sound, strict=True):
            _write(target / f"{name}.wav", np.asarray(stem, np.float32))
    return place


def _write(path: Path, stem: np.ndarray) -> None:
    import soundfile

    with replacing(path) as file:
        soundfile.write(file, stem, RATE, "FLOAT", format="WAV")


def measure(
    folder: Path, cache: Path, count: int, advance: Callable[[float], None] | None = None
) -> dict[str, list[list[float]]]:
    """Separate clean mixtures with the separators in `folder/separators`.

    Returns
    -------
    dict of str to list
        For each condition SDR in dB of each track's stems.
    """
    files = sorted((folder / "separators").glob("*.onnx"))
    material = tracks("linear", count, cache) if files else []
    found = {}
    for done, file in enumerate(files, 1):
        found[file.stem] = separated(file, material)
        if advance is not None:
            advance(done / len(files))
    return found


def separated(file: Path, material: Sequence[Concert]) -> list[list[float]]:
    """Return SDR of each track's stems, separated from their sum by a model, in dB."""
    [loaded] = modelhosts.load("wave-u-net", str(file), ("mix",), "cpu")
    if set(loaded.card.sources) != set(material[0].names):
        raise InputError(str(file), "makes " + ", ".join(loaded.card.sources), ", ".join(material[0].names))
    rows = [material[0].names.index(name) for name in loaded.card.sources]
    results = []
    for one in material:
        mixture = one.images.sum(axis=0, keepdims=True)
        parts = modelhosts.separated(loaded, mixture, RATE, modelhosts.level(mixture))[0]
        sdr = np.empty(len(rows))
        sdr[rows] = metrics.sdr(one.images[rows], parts)
        results.append([float(x) for x in sdr])
    return results


def recovered(found: dict[str, list[list[float]]]) -> dict[str, float]:
    """Return which share of what bleed costs each way of cleaning saves, 0 to 1."""
    mean = {name: float(np.mean(rows)) for name, rows in found.items()}
    if CLEAN not in mean or BLEEDING not in mean:
        return {}
    lost = mean[CLEAN] - mean[BLEEDING]
    return {name: (value - mean[BLEEDING]) / lost for name, value in mean.items() if name not in (CLEAN, BLEEDING)}


def trainings(folder: Path) -> dict[str, str]:
    """Return what each exported model says of its training."""
    found = {}
    for path in sorted(folder.rglob("*.onnx")):
        card = open_model(path).card
        loss = ", ".join(f"{name} {value:.4g}" for name, value in card.figures.items())
        found[str(path.relative_to(folder))] = f"{card.steps} steps; {loss}; {card.data}"
    return found
