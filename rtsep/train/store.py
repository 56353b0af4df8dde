"""The cache of concerts: made once, side by side on all cores, and read where they lie."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from rtsep.atomic import replacing
from rtsep.errors import InputError
from rtsep.models.card import LEVEL
from rtsep.scenes import Audio, Scene, Signal
from rtsep.train.material import Job, Material, make, plan
from rtsep.train.sidebyside import each

_HELD_OUT = 10   # of so many concerts one is not trained on


@dataclass(frozen=True, eq=False)
class Concert:
    """What a network learns from: signals brought to `LEVEL`, the truth too.

    Attributes
    ----------
    names : tuple of str
    mics : float32[mics, frames]
    images, sources : float32[mics, frames]
        float32[0, frames] where nobody knows them.
    mixing : float64[mics, sources], optional
    """

    names: tuple[str, ...]
    mics: Audio
    images: Audio
    sources: Audio
    mixing: Signal | None = None

    @property
    def frames(self) -> int:
        """Length."""
        return self.mics.shape[1]

    @cached_property
    def mixture_gain(self) -> np.float32:
        """What brings the sum of all mics to `LEVEL`."""
        return np.float32(LEVEL / max(float(np.square(self.mics.sum(0), dtype=np.float64).mean()), 1e-12) ** 0.5)


def concert(scene: Scene) -> Concert:
    """Take a scene as a network hears it."""
    power = float(np.square(scene.mics, dtype=np.float64).mean())
    gain = np.float32(LEVEL / max(power, 1e-12) ** 0.5)
    mixing = None if scene.mixing is None else scene.mixing.astype(np.float64)
    return Concert(scene.names, gain * scene.mics, gain * scene.images, gain * scene.sources, mixing)


def hold_out(concerts: Sequence[Concert]) -> tuple[list[Concert], list[Concert]]:
    """Return what is trained on, and the last tenth, which is not: of a data set that is sorted the last songs."""
    count = max(1, len(concerts) // _HELD_OUT) if len(concerts) > 1 else 0
    return list(concerts[: len(concerts) - count]), list(concerts[-count:])


def default_cache() -> Path:
    """Return the user's cache of concerts."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rtsep" / "concerts"


def collect(
    material: Material, cache: Path, workers: int = 0, advance: Callable[[float], None] | None = None
) -> list[Concert]:
    """Return all concerts of some material; what is not in the cache is made first.

    After Ctrl-C, or a kill, what was made is there and is not made again.

    Parameters
    ----------
    material : Material
    cache : Path
    workers : int
        Processes; 0: one for each core. With 1 all is made in this one.
    advance : callable, optional
        Told what share is done.

    Raises
    ------
    InputError
        If the data are not there, cannot be read, or nothing of them can be learnt from.
    """
    jobs = plan(material)
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(str(cache), f"cannot be made: {error.strerror}", "name another --cache") from None
    missing = [job for job in jobs if not _facts(cache, job).exists()]
    for done, _ in enumerate(each(_store, [(cache, job) for job in missing], workers), len(jobs) - len(missing) + 1):
        if advance is not None:
            advance(done / len(jobs))
    found = [_read(cache, job) for job in jobs]
    kept = [one for one in found if one is not None]
    if not kept:
        raise InputError(material.data, "has no passage in which everybody plays", "other --data, or longer --seconds")
    return kept


def _store(cache: Path, job: Job) -> None:
    """Make a concert and write it: sound first, so that what has its facts is whole."""
    scene = make(job)
    facts: dict[str, object] = {"rests": scene is None}
    if scene is not None:
        one = concert(scene)
        rows = [one.mics, one.images, one.sources] if scene.known else [one.mics]
        with replacing(_sound(cache, job)) as file:
            np.save(file, np.concatenate(rows).astype(np.float32))
        facts |= {"names": one.names, "known": scene.known,
                  "mixing": None if one.mixing is None else one.mixing.tolist()}
    with replacing(_facts(cache, job)) as file:
        file.write(json.dumps(facts).encode())


def _read(cache: Path, job: Job) -> Concert | None:
    try:
        facts = json.loads(_facts(cache, job).read_text())
        if facts["rests"]:
            return None
        names = tuple(facts["names"])
        rows = np.load(_sound(cache, job), mmap_mode="r")   # hundreds of them are more than memory holds
    except (OSError, ValueError, KeyError) as error:
        place = str(_facts(cache, job))
        raise InputError(place, f"is damaged: {error}", "remove it: it is made again") from None
    count = len(names)
    nothing = rows[:0]
    mixing = None if facts["mixing"] is None else np.array(facts["mixing"])
    if not facts["known"]:
        return Concert(names, rows[:count], nothing, nothing, mixing)
    return Concert(names, rows[:count], rows[count : 2 * count], rows[2 * count :], mixing)


def _facts(cache: Path, job: Job) -> Path:
    return cache / f"{job.key}.json"


def _sound(cache: Path, job: Job) -> Path:
    return cache / f"{job.key}.npy"
