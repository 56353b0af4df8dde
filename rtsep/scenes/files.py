"""Scenes on disk: a folder of WAV files with their truth."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from rtsep.atomic import new_folder
from rtsep.errors import InputError
from rtsep.finite import open_sound
from rtsep.limits import check_file, check_memory, check_mics
from rtsep.names import checked
from rtsep.scenes.scene import Audio, Scene


def write_scene(scene: Scene, folder: str | os.PathLike[str]) -> None:
    """Write a scene as WAV files of 32-bit floats, with `scene.json` and, after a soundcheck, `solos.csv`.

    The files are `mics/01-drums.wav`, … and, if they are known, the same under `images/` and `sources/`. They are
    written to a folder beside, which is renamed when it is complete: a folder of that name is always a whole scene.

    Parameters
    ----------
    scene : Scene
        What to write.
    folder : path
        Must not exist, or be an empty folder.

    Raises
    ------
    InputError
        The folder is not empty, is a file, or cannot be written.
    """
    import soundfile

    folder = Path(folder).resolve()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(str(folder), "exists and is not an empty folder", "name a new folder")
    try:
        with new_folder(folder) as beside:
            truth = (("images", scene.images), ("sources", scene.sources)) if scene.known else ()
            for part, signals in (("mics", scene.mics), *truth):
                (beside / part).mkdir()
                for name, audio in zip(_file_names(scene.names), signals, strict=True):
                    soundfile.write(beside / part / name, audio, scene.rate, subtype="FLOAT", format="WAV")
            (beside / "scene.json").write_text(json.dumps(_facts(scene), indent=2) + "\n", encoding="utf-8")
            if scene.solos:
                with (beside / "solos.csv").open("w", newline="", encoding="utf-8") as file:
                    csv.writer(file).writerows([("mic", "start_s", "end_s"), *scene.solos])
    except OSError as error:
        raise InputError(str(folder), f"cannot be written: {error}") from error


def read_scene(folder: str | os.PathLike[str]) -> Scene:
    """Read a scene that `write_scene` wrote.

    Parameters
    ----------
    folder : path
        The folder of the scene.

    Returns
    -------
    Scene
        Equal to the one written, sample for sample.

    Raises
    ------
    InputError
        A file is missing, cannot be read or does not belong to the others.
    """
    folder = Path(folder)
    place = folder / "scene.json"
    try:
        check_file(place)
        facts: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
        names = checked([str(name) for name in facts["names"]], str(place))
        rate, kind, seed = int(facts["rate"]), str(facts["kind"]), int(facts["seed"])
        sir_db = np.array(facts["sir_db"], np.float64)   # null becomes nan
        known = not np.isnan(sir_db).all()
        mixing = np.array(facts["mixing"], np.float32) if "mixing" in facts else None
    except InputError:
        raise
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise InputError(str(place), problem, "a folder of `rtsep scene`") from error
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(str(place), f"is not a scene's description: {str(error)[:80]!r}") from error
    check_mics(str(place), len(names))

    mics = _read_part(folder / "mics", names, rate)
    images = sources = mics[:0]
    if known:
        images, sources = (_read_part(folder / part, names, rate) for part in ("images", "sources"))
        for part, audio in (("images", images), ("sources", sources)):
            if audio.shape != mics.shape:
                raise InputError(str(folder / part), f"{audio.shape[1]} frames", f"{mics.shape[1]}, as in mics")
    solos = _read_solos(folder / "solos.csv", names)
    return Scene(rate, names, mics, images, sources, kind, seed, sir_db, mixing, solos)


def _facts(scene: Scene) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "rate": int(scene.rate),
        "names": list(scene.names),
        "kind": scene.kind,
        "seed": int(scene.seed),
        "sir_db": [None if np.isnan(ratio) else ratio for ratio in scene.sir_db.tolist()],
    }
    if scene.mixing is not None:
        facts["mixing"] = scene.mixing.tolist()
    return facts


def _file_names(names: tuple[str, ...]) -> list[str]:
    """Return numbered names, so that files sort as the microphones do, whatever characters are in them."""
    return [f"{i:02d}-{re.sub(r'[^A-Za-z0-9._-]', '_', name)}.wav" for i, name in enumerate(names, 1)]


def _read_part(folder: Path, names: tuple[str, ...], rate: int) -> Audio:
    rows: list[Audio] = []
    for name in _file_names(names):
        place = str(folder / name)
        with open_sound(place) as source:
            if source.rate != rate:
                raise InputError(place, f"{source.rate} Hz", f"{rate} Hz, as in scene.json")
            if source.channels != 1:
                raise InputError(place, f"{source.channels} channels", "1 channel")
            if rows and source.frames != len(rows[0]):
                raise InputError(place, f"{source.frames} frames", f"{len(rows[0])} frames, as the files before it")
            check_memory(str(folder), 4 * len(names) * source.frames)
            rows.append(source.read(source.frames)[0])
    return np.stack(rows) if rows else np.zeros((0, 0), np.float32)


def _read_solos(place: Path, names: tuple[str, ...]) -> tuple[tuple[str, float, float], ...]:
    if not place.exists():
        return ()
    check_file(place)
    solos = []
    with place.open(newline="", encoding="utf-8") as file:
        for line, row in enumerate(csv.reader(file), 1):
            if line == 1 and row == ["mic", "start_s", "end_s"]:
                continue
            try:
                name, start, end = row
                solo = (name, float(start), float(end))
            except ValueError as error:
                problem = f"{','.join(row)!r} is not a solo"
                raise InputError(f"{place}:{line}", problem, "mic,start_s,end_s") from error
            if name not in names:
                problem = f"unknown microphone {name!r}"
                raise InputError(f"{place}:{line}", problem, f"known: {', '.join(names)}")
            solos.append(solo)
    return tuple(solos)
