"""The bleed papers' tables (SYSTEMS.md 1.5 to 1.13): what removes bleed of gains and of a room, how fast, for whom.

Tracks are stand-ins that nobody has trained on: four stems played by the synthesiser, mixed by random gains
("linear"), or in the papers' room ("room"). A network is trained on the one and tested on both. Whom it helps is a
separator that was trained on mixtures of clean stems, and gets the sum of the mics as they are and cleaned. What is
measured is written down track by track: after an interruption the rest is measured.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep import metrics
from rtsep.bench import sts
from rtsep.errors import InputError
from rtsep.models.card import MATRIX
from rtsep.models.file import open_model
from rtsep.stages.unmix import unmixing_of
from rtsep.systems import modelhosts
from rtsep.systems.altmin import Altmin
from rtsep.systems.demix import apply
from rtsep.systems.kamir import Kamir
from rtsep.systems.powermodel import Fit, magnitude2, own_mics
from rtsep.systems.ratio import Ratio
from rtsep.systems.separator import Passage, Separator, make
from rtsep.systems.spectrum import Spectrum
from rtsep.train.bleed import OFF, OWN
from rtsep.train.material import Material
from rtsep.train.store import Concert, collect

Sound = NDArray[np.floating[Any]]
Matrix = NDArray[np.float64]

BLEEDS = ("linear", "room")
NETWORKS = ("cae", "t-unet", "df-unet", "df-unet-gat")
SEPARATOR = "wave-u-net"
CLEAN, BLEEDING = "clean", "mics"
RATE, SECONDS = 22050, 10.0
TEST_SEED = 20231022
"""Of the test's tracks: no training has it."""
WARM_SECONDS = 2.0
RESULTS = "results.jsonl"


@dataclass(frozen=True)
class Way:
    """One way to clean.

    Parameters
    ----------
    system : str
        `clean` is the truth, and `mics` does nothing; `mean gains` undoes the mean of all matrices that gains are
        drawn from, and looks at nothing: what a network of gains has to beat.
    trained : str
        On which bleed; empty: not at all.
    model : str
        File or folder.
    """

    system: str
    trained: str = ""
    model: str = ""

    @property
    def files(self) -> list[Path]:
        """All of the model."""
        path = Path(self.model)
        return sorted(path.glob("*.onnx")) if path.is_dir() else [path] if self.model else []


@dataclass(frozen=True)
class Result:
    """One track, cleaned in one way.

    Attributes
    ----------
    system, trained, state : str
    bleed : str
    track : int
    sdr : tuple of float
        Of each stem against its image in its own mic, dB.
    distance : float, optional
        Frobenius norm of the error of the gains, columns divided by their diagonal.
    separated : tuple of float
        SDR of each stem as the separator finds it in the sum of the cleaned mics; empty where there is no separator.
    seconds, cpu : float
        Of the cleaning: by the clock, and of the processor.
    """

    system: str
    trained: str
    state: str
    bleed: str
    track: int
    sdr: tuple[float, ...]
    distance: float | None
    separated: tuple[float, ...]
    seconds: float
    cpu: float

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """What no other has."""
        return self.system, self.trained, self.state, self.bleed, self.track


CLASSICAL = tuple(Way(name) for name in (CLEAN, BLEEDING, "kamir", "altmin", "ratio", "mean gains"))
_Cleaned = tuple[Sound, Matrix | None]


def ways(folder: Path) -> list[Way]:
    """Return all ways: what needs no training, and the networks that are in `folder/BLEED`."""
    found = list(CLASSICAL)
    for name in NETWORKS:
        for bleed in BLEEDS:
            one = folder / bleed / f"{name}.onnx"
            several = folder / bleed / name   # a file for each stem
            found += [Way(name, bleed, str(place)) for place in (one, several) if place.exists()]
    return found


def tracks(bleed: str, count: int, cache: Path, seed: int = TEST_SEED, seconds: float = SECONDS) -> list[Concert]:
    """Return stand-in tracks, made where the cache has none yet."""
    return collect(Material("synth", bleed, RATE, seconds, count, seed=seed), cache, 1)


def measure(
    folder: Path, cache: Path, count: int, advance: Callable[[float], None] | None = None
) -> list[Result]:
    """Clean all tracks in all ways; what was measured before is not measured again.

    Parameters
    ----------
    folder : Path
        Of the trained networks; results are kept there.
    cache : Path
        Of the tracks.
    count : int
        Tracks of each kind of bleed.
    advance : callable, optional
        Told what share is done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(way, bleed) for bleed in BLEEDS for way in ways(folder)]
    separator = folder / f"{SEPARATOR}.onnx"
    before = {one.key: one for one in recorded(folder)}
    material = {bleed: tracks(bleed, count, cache) for bleed in BLEEDS}
    found = []
    with open(folder / RESULTS, "a") as file:
        for done, (way, bleed) in enumerate(wanted):
            for one in _each(way, bleed, material[bleed], before, separator):
                if one.key not in before:
                    file.write(json.dumps(asdict(one)) + "\n")
                    file.flush()
                found.append(one)
                if advance is not None:
                    advance((done + (one.track + 1) / count) / len(wanted))
    return found


def recorded(folder: Path) -> list[Result]:
    """Return what was measured before; a line that an interruption has cut is left out."""
    if not (folder / RESULTS).exists():
        return []
    found = []
    for line in (folder / RESULTS).read_text().splitlines():
        try:
            told = json.loads(line)
            found.append(Result(**{**told, "sdr": tuple(told["sdr"]), "separated": tuple(told["separated"])}))
        except (ValueError, TypeError, KeyError):
            continue
    return found


def _each(
    way: Way, bleed: str, material: Sequence[Concert], before: dict[Any, Result], separator: Path
) -> Iterator[Result]:
    files = [*way.files, *([separator] if separator.exists() else [])]
    state = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    keys = [(way.system, way.trained, state, bleed, n) for n in range(len(material))]
    missing = [n for n, key in enumerate(keys) if key not in before]
    clean = cleaner(way, material[0].names) if missing else None
    judge = separator_of(separator, material[0].names) if missing and separator.exists() else None
    if clean is not None:   # what is compiled, or read at first, is not counted
        clean(_beginning(material[missing[0]]))
    for number, key in enumerate(keys):
        if key in before or clean is None:
            yield before[key]
            continue
        one = material[number]
        begun, worked = time.perf_counter(), time.process_time()
        found, gains = clean(one)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - worked
        if way.system == "kamir":
            gains = kamir_gains(one.mics)   # the system does not tell them
        known = None if gains is None or one.mixing is None else metrics.mixing_distance(one.mixing, gains)
        sdr = tuple(float(x) for x in metrics.sdr(one.images, found))
        parts = () if judge is None else judge(one, found)
        yield Result(way.system, way.trained, state, bleed, number, sdr, known, parts, seconds, cpu)


def separator_of(separator: Path, names: Sequence[str]) -> Callable[[Concert, Sound], tuple[float, ...]]:
    """Return what gives, of a track and its mics, SDR of each stem as a separator finds it in the mics' sum, dB.

    Raises
    ------
    InputError
        If the model makes other stems.
    """
    [loaded] = modelhosts.load(SEPARATOR, str(separator), ("mix",), "cpu")
    if set(loaded.card.sources) != set(names):
        made = "makes " + ", ".join(loaded.card.sources)
        raise InputError(str(separator), made, "allowed are " + ", ".join(names))
    rows = [loaded.card.sources.index(name) for name in names]

    def judge(one: Concert, mics: Sound) -> tuple[float, ...]:
        mixture = np.asarray(mics, np.float32).sum(axis=0, keepdims=True)
        parts = modelhosts.separated(loaded, mixture, RATE, modelhosts.level(mixture))[0]
        return tuple(float(x) for x in metrics.sdr(one.images, parts[rows]))

    return judge


def _beginning(one: Concert) -> Concert:
    part = np.s_[:, : round(WARM_SECONDS * RATE)]
    return Concert(one.names, one.mics[part], one.images[part], one.sources[part], one.mixing)


def cleaner(way: Way, names: tuple[str, ...]) -> Callable[[Concert], _Cleaned]:
    """Return what cleans a track: its mics, and the gains of bleed where it tells them.

    Raises
    ------
    InputError
        If there is no such system.
    """
    if way.model:
        return _network(way, names)
    if way.system == CLEAN:
        return lambda one: (one.images, None)
    if way.system == BLEEDING:
        return lambda one: (one.mics, np.eye(len(one.mics)))
    if way.system == "mean gains":
        mean = np.full((len(names), len(names)), sum(OFF) / 2)
        np.fill_diagonal(mean, sum(OWN) / 2)
        unmixing = unmixing_of("mean gains", mean)
        return lambda one: (apply(unmixing, one.mics), mean)
    known = {"kamir": _kamir, "altmin": _optimiser, "ratio": _ratio}
    if way.system not in known:
        raise InputError("cleaning", f"there is no {way.system}", "known: " + ", ".join(known))
    return known[way.system]


def _network(way: Way, names: tuple[str, ...]) -> Callable[[Concert], _Cleaned]:
    """Open the model files once, as for a hundred tracks in one go."""
    loaded = modelhosts.load(way.system, way.model, names, "cpu")

    def clean(one: Concert) -> _Cleaned:
        sound = np.ascontiguousarray(one.mics)
        gain = modelhosts.level(sound)
        if loaded[0].card.kind == MATRIX:
            unmixing = modelhosts.gains(loaded[0], sound, RATE, gain)
            return apply(unmixing, sound), np.asarray(np.linalg.inv(unmixing), np.float64)
        own = np.empty_like(sound)
        for each in loaded:
            rows = list(each.rows)
            own[rows] = modelhosts.separated(each, np.ascontiguousarray(sound[rows]), RATE, gain)[:, 0]
        return own, None

    return clean


def _fitted(system: Separator, mics: Sound, channels: tuple[str, ...], names: tuple[str, ...]) -> Sound:
    """Return the named parts of what a system, fitted to a passage, makes of it."""
    passage = Passage(np.ascontiguousarray(mics), RATE, channels)
    system.fit(passage)
    parts = system.separate(passage)
    return np.concatenate([parts[name] for name in names])


def _kamir(one: Concert) -> _Cleaned:
    return _fitted(make("kamir", ()), one.mics, one.names, one.names), None


def _ratio(one: Concert) -> _Cleaned:
    system = Ratio()
    return _fitted(system, one.mics, one.names, one.names), np.asarray(system.mixing, np.float64)


def _optimiser(one: Concert) -> _Cleaned:
    """Clean with the papers' optimiser, which is given the clean mix: of the sources as their own mics have them.

    Its diagonal is 1, and so are the gains in the mix: with dry sources in the mix neither would be true.
    """
    both = np.vstack([one.mics, one.images.sum(axis=0)]).astype(np.float32)
    system = Altmin()
    return _fitted(system, both, (*one.names, "mix"), one.names), np.asarray(system.mixing, np.float64)


def kamir_gains(mics: Sound) -> Matrix:
    """Return KAMIR's gains of bleed: of its leaks, which are of power and for each bin, the mean by energy."""
    defaults = Kamir()
    spectrum = Spectrum(defaults.window, defaults.window // defaults.overlap)
    fit = Fit("kamir", defaults.iterations, defaults.leak_updates, defaults.first_leak, 0.0, defaults.least_leak,
              defaults.normalise)
    leak, powers = fit(magnitude2(spectrum.analyse(np.ascontiguousarray(mics, np.float32))), own_mics(len(mics)))
    weight = powers.sum(axis=1, dtype=np.float64)
    mean = np.einsum("ijf,jf->ij", leak.astype(np.float64), weight) / weight.sum(axis=1)
    gains: Matrix = np.sqrt(mean)
    return gains / np.diag(gains)


def example() -> dict[str, Matrix]:
    """Return the papers' example: four sources mixed with gains of 0.1, and what two methods find them to be."""
    scene = sts.scene_a()
    mixed = np.vstack([scene.mics, scene.sources.sum(axis=0)]).astype(np.float32)
    system = Altmin()
    system.fit(Passage(mixed, sts.RATE, (*sts.NAMES, "mix")))
    return {"true": sts.UNIFORM, "altmin": system.mixing, "kamir": kamir_gains(scene.mics)}


def recovered(results: Sequence[Result], bleed: str) -> dict[tuple[str, str], float]:
    """Return which share of what bleed costs the separator each way of cleaning saves: 1 is all; may be below 0."""
    means: dict[tuple[str, str], float] = {}
    for way in dict.fromkeys((r.system, r.trained) for r in results):
        found = [r.separated for r in results if (r.system, r.trained, r.bleed) == (*way, bleed) and r.separated]
        if found:
            means[way] = float(np.mean(found))
    clean, bleeding = means.pop((CLEAN, ""), None), means.pop((BLEEDING, ""), None)
    if clean is None or bleeding is None:
        return {}
    return {way: (mean - bleeding) / (clean - bleeding) for way, mean in means.items()}


def trainings(folder: Path) -> dict[str, str]:
    """Return what each exported model says of its training."""
    found = {}
    for path in sorted(folder.rglob("*.onnx")):
        card = open_model(path).card
        loss = ", ".join(f"{name} {value:.4g}" for name, value in card.figures.items())
        found[str(path.relative_to(folder))] = f"{card.steps} steps; {loss}; {card.data}"
    return found
