"""Concerts with known truth: what every microphone hears, and what it should have heard.

A scene is rendered in four steps: the instruments play (`synth`), every source reaches every microphone by
its own path (gains or rooms, some of which change while the concert runs), the bleed is set to a level, and
each microphone adds its noise. Own sound and bleed are kept apart until the end, so that the truth is exact.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep import synth
from rtsep.atomic import new_folder
from rtsep.errors import InputError

KINDS = ("linear", "linear-moving", "room", "room-moving", "hall")
"""What lies between the sources and the microphones.

linear
    Gains only: 1 for the own source, 0.05 to 0.4 for the others.
linear-moving
    As linear, but the gains cross-fade to others mid-piece, and later one performer plays 6 dB louder.
room
    RT60 0.4 to 0.8 s, cardioid or omnidirectional microphones at 10 to 50 cm, SIR 9 to 12 dB.
room-moving
    As room, but mid-piece one performer walks 1.5 m with the microphone and another leans 25 cm away from
    hers, and later one preamplifier is turned down by 4 dB.
hall
    RT60 0.9 to 1.2 s, larger, omnidirectional, SIR 6 to 8 dB; up to four microphones are a string quartet.
"""

NOISE_DB = -62.0
"""Noise of each microphone, relative to the image of its own source."""

PEAK = 0.95
"""Largest sample of a scene; full scale is 1."""

Audio = NDArray[np.float32]
Signal = NDArray[np.float64]

_BAND = ("drums", "bass", "guitar", "keys", "sax", "voice", "violin", "cello")
_QUARTET = ("violin", "violin", "viola", "cello", "voice", "keys", "bass", "sax")
_SOUND_SPEED = 343.0  # m/s
_GAP = 0.5  # s of silence after each solo of the soundcheck


@dataclass(frozen=True, eq=False)
class Scene:
    """A concert with its truth.

    Attributes
    ----------
    rate : int
        Sample rate in Hz.
    names : tuple of str
        Name of each microphone, after its own source; no name occurs twice.
    mics : float32[microphones, frames]
        What the microphones record: image + bleed + noise.
    images : float32[microphones, frames]
        Each source as its own microphone hears it, with its room and the microphone's gain. float32[0, frames] of
        a recording of which nobody knows the truth.
    sources : float32[microphones, frames]
        The dry sources; like `images` none, where they are not known.
    kind : str
        One of `KINDS`, or where the scene was read from.
    seed : int
        What it was made from.
    sir_db : float64[microphones]
        Energy of the image over that of the bleed, over the concert without the soundcheck; nan if not known.
    mixing : float32[microphones, sources], optional
        For linear kinds: mics = mixing @ sources + noise, until the gains first change. None for others.
    solos : tuple of (str, float, float)
        Name, start and end in seconds of each solo of the soundcheck.
    """

    rate: int
    names: tuple[str, ...]
    mics: Audio
    images: Audio
    sources: Audio
    kind: str
    seed: int
    sir_db: Signal
    mixing: Audio | None = None
    solos: tuple[tuple[str, float, float], ...] = ()

    @property
    def known(self) -> bool:
        """Whether the truth is known: images and sources."""
        return len(self.images) == len(self.names)


def make_scene(
    kind: str,
    seed: int,
    mics: int = 6,
    seconds: float = 20.0,
    rate: int = 48000,
    soundcheck: float = 0.0,
) -> Scene:
    """Render a concert.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    seed : int
        Decides music, room, places, levels and noise. The same arguments give the same samples.
    mics : int
        Number of microphones and sources, 2 to 32.
    seconds : float
        Length of the concert without the soundcheck, at least 1.
    rate : int
        Sample rate in Hz.
    soundcheck : float
        Seconds that each source plays alone before the concert, 0 for none. Nothing moves in it, and the
        music is not that of the concert.

    Returns
    -------
    Scene
        In the concert the image at each microphone has RMS 0.05, or less where peaks would pass 0.95.

    Raises
    ------
    InputError
        An argument out of range.
    """
    _check(kind, seed, mics, seconds, rate, soundcheck)
    rng = np.random.default_rng([seed, KINDS.index(kind), mics])
    names, sources, solos, concert = _perform(kind, seed, mics, seconds, rate, soundcheck)

    mixing = None
    if kind.startswith("linear"):
        mixing, images, bleed = _mix(sources, concert, rng, rate, moving=kind == "linear-moving")
    else:
        images, bleed = _fill_room(kind, sources, concert, rng, rate)
    level = synth.RMS / np.sqrt(_mean_power(images[:, concert]))[:, None]
    if mixing is None:
        # In rooms this is each preamplifier's gain. Linear images have this level but for rounding, and
        # must stay what the mixing matrix says.
        images, bleed = images * level, bleed * level

    noise = synth.RMS * 10 ** (NOISE_DB / 20) * rng.standard_normal(images.shape)
    recorded = images + bleed + noise
    scale = min(1.0, PEAK / float(max(np.abs(recorded).max(), np.abs(images).max(), np.abs(sources).max())))
    if mixing is None:
        sources = sources * min(1.0, PEAK / float(np.abs(sources).max()))
    else:
        sources = sources * scale
    return Scene(
        rate=rate,
        names=names,
        mics=(recorded * scale).astype(np.float32),
        images=(images * scale).astype(np.float32),
        sources=sources.astype(np.float32),
        kind=kind,
        seed=seed,
        sir_db=_sir(images[:, concert], bleed[:, concert]),
        mixing=None if mixing is None else mixing.astype(np.float32),
        solos=solos,
    )


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
        facts: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
        names = tuple(str(name) for name in facts["names"])
        rate, kind, seed = int(facts["rate"]), str(facts["kind"]), int(facts["seed"])
        sir_db = np.array(facts["sir_db"], np.float64)   # null becomes nan
        known = not np.isnan(sir_db).all()
        mixing = np.array(facts["mixing"], np.float32) if "mixing" in facts else None
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise InputError(str(place), problem, "a folder of `rtsep scene`") from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(str(place), f"is not a scene's description: {error!r}") from error

    mics = _read_part(folder / "mics", names, rate)
    images = sources = mics[:0]
    if known:
        images, sources = (_read_part(folder / part, names, rate) for part in ("images", "sources"))
        for part, audio in (("images", images), ("sources", sources)):
            if audio.shape != mics.shape:
                raise InputError(str(folder / part), f"{audio.shape[1]} frames", f"{mics.shape[1]}, as in mics")
    solos = _read_solos(folder / "solos.csv", names)
    return Scene(rate, names, mics, images, sources, kind, seed, sir_db, mixing, solos)


def _check(kind: str, seed: int, mics: int, seconds: float, rate: int, soundcheck: float) -> None:
    if kind not in KINDS:
        raise InputError("kind", f"unknown kind {kind!r}", f"known: {', '.join(KINDS)}")
    for place, number in (("seed", seed), ("mics", mics), ("rate", rate)):
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
            raise InputError(place, f"{number!r} is not a whole number")
    if seed < 0:
        raise InputError("seed", f"{seed} is negative", "0 or more")
    if not 2 <= mics <= 32:
        raise InputError("mics", f"{mics} is out of range", "2 to 32")
    if not 8000 <= rate <= 192000:
        raise InputError("rate", f"{rate} is out of range", "8000 to 192000 Hz")
    if not 1 <= seconds <= 3600:
        raise InputError("seconds", f"{seconds} is out of range", "1 to 3600")
    if not (soundcheck == 0 or 0.5 <= soundcheck <= 60):
        raise InputError("soundcheck", f"{soundcheck} is out of range", "0, or 0.5 to 60 seconds")


def _perform(
    kind: str, seed: int, mics: int, seconds: float, rate: int, soundcheck: float
) -> tuple[tuple[str, ...], Signal, tuple[tuple[str, float, float], ...], slice]:
    """Return names, dry sources of RMS 0.05 in the concert, solos, and where the concert is."""
    line_up = _QUARTET if kind == "hall" else _BAND
    instruments = [line_up[i % len(line_up)] for i in range(mics)]
    met: Counter[str] = Counter()
    names = []
    for instrument in instruments:
        met[instrument] += 1
        names.append(instrument if met[instrument] == 1 else f"{instrument}-{met[instrument]}")

    alone, together = round(soundcheck * rate), round(seconds * rate)
    gap = round(_GAP * rate) if alone else 0
    music = synth.band(instruments, seed, soundcheck + seconds, rate).astype(np.float64)
    played = music.shape[1]
    power = _mean_power(music[:, played - together :])
    # Someone who rests through a very short concert keeps the level of the whole piece.
    music *= np.where(power > 0, synth.RMS / np.sqrt(np.where(power > 0, power, 1.0)), 1.0)[:, None]

    begin = mics * (alone + gap)
    sources = np.zeros((mics, begin + together))
    sources[:, begin:] = music[:, played - together :]
    solos = []
    for i, name in enumerate(names):
        start = i * (alone + gap)
        if alone:
            sources[i, start : start + alone] = music[i, :alone] * _fades(alone, rate)
            solos.append((name, start / rate, (start + alone) / rate))
    return tuple(names), sources, tuple(solos), slice(begin, begin + together)


def _fades(frames: int, rate: int) -> Signal:
    """Fade in and out within 10 ms, as a piece that is cut would click."""
    edge = round(0.01 * rate)
    inside = np.arange(frames)
    shape: Signal = np.clip(np.minimum(inside, frames - 1 - inside) / edge, 0.0, 1.0)
    return shape


def _ramp(concert: slice, begin: float, end: float, frames: int) -> Signal:
    """Rise from 0 to 1 between two parts of the concert (0 its start, 1 its end)."""
    length = concert.stop - concert.start
    place = (np.arange(frames) - concert.start) / length
    rising: Signal = np.clip((place - begin) / (end - begin), 0.0, 1.0)
    return rising


def _mix(
    sources: Signal, concert: slice, rng: np.random.Generator, rate: int, moving: bool
) -> tuple[Signal, Signal, Signal]:
    """Mix by gains. Returns the first matrix, the images and the bleed; changes the sources if one steps."""
    count, frames = sources.shape
    first, second = (_gains(count, rng) for _ in range(2))
    if moving:
        length = (concert.stop - concert.start) / rate
        step = _ramp(concert, 0.75, 0.75 + 0.05 / length, frames)
        louder = int(rng.integers(count))
        sources[louder] *= 10 ** (6 * step / 20)
        sources[louder] *= synth.RMS / math.sqrt(_mean_power(sources[louder, concert]))
    others = first - np.eye(count)
    bleed = others @ sources
    if moving:
        fade = min(0.5, 0.2 * length) / length
        bleed += ((second - first) @ sources) * _ramp(concert, 0.5 - fade / 2, 0.5 + fade / 2, frames)
    return first, sources.copy(), bleed


def _gains(count: int, rng: np.random.Generator) -> Signal:
    gains = rng.uniform(0.05, 0.4, (count, count))
    np.fill_diagonal(gains, 1.0)
    # The scene holds float32, and the bleed must be what that matrix says.
    return gains.astype(np.float32).astype(np.float64)


@dataclass(frozen=True)
class _Room:
    size: Signal  # m
    rt60: float  # s
    cardioid: bool


def _fill_room(
    kind: str, sources: Signal, concert: slice, rng: np.random.Generator, rate: int
) -> tuple[Signal, Signal]:
    """Play the sources in a room. Returns images and bleed, the bleed at the kind's level."""
    count, frames = sources.shape
    if kind == "hall":
        size = rng.uniform((18, 14, 8), (26, 20, 12))
        room = _Room(size, float(rng.uniform(0.9, 1.2)), cardioid=False)
        target_db = rng.uniform(6, 8)
    else:
        size = rng.uniform((11, 9, 4.5), (16, 13, 7))
        room = _Room(size, float(rng.uniform(0.4, 0.8)), cardioid=bool(rng.random() < 0.5))
        target_db = rng.uniform(9, 12)
    places, microphones = _stage(count, room, rng)

    seed = int(rng.integers(2**31))
    if kind == "room-moving":
        who = rng.permutation(count)
        images, bleed = _move(
            sources, concert, room, places, microphones, rate, seed, walker=int(who[0]), leaner=int(who[1])
        )
        turned = int(who[2 % count])
        frames_20ms = 0.02 * rate / (concert.stop - concert.start)
        gain = 10 ** (-4 * _ramp(concert, 0.8, 0.8 + frames_20ms, frames) / 20)
        images[turned] *= gain
        bleed[turned] *= gain
    else:
        paths = _paths(room, places, microphones, rate, seed)
        images, bleed = _carry(sources * _loudness(paths, seed), paths, 0, frames)

    sir = float(np.median(_sir(images[:, concert], bleed[:, concert])))
    return images, bleed * 10 ** ((sir - target_db) / 20)


def _loudness(paths: Audio, seed: int) -> Signal:
    """Return the gain of each source that makes it about as loud at its microphone as the others at theirs.

    Quiet instruments get close microphones; what is left of the differences is within 2 dB.
    """
    own = np.array([float(np.linalg.norm(paths[i, i])) for i in range(len(paths))])
    spread = np.random.default_rng([seed, 0]).uniform(-2, 2, len(paths))
    gain: Signal = 10 ** (spread / 20) / own
    return gain[:, None]


def _stage(count: int, room: _Room, rng: np.random.Generator) -> tuple[Signal, Signal]:
    """Place the performers apart from each other, and a microphone 10 to 50 cm from each."""
    middle = room.size / 2
    half = np.array([min(4.0, middle[0] - 2), min(2.5, middle[1] - 2)])
    if count > 8:
        half = middle[:2] - 2
    places = np.empty((count, 3))
    for i in range(count):
        # The candidate farthest from everyone placed so far: spread, but never in rows.
        candidates = np.column_stack(
            (
                middle[0] + half[0] * rng.uniform(-1, 1, 30),
                middle[1] + half[1] * rng.uniform(-1, 1, 30),
                rng.uniform(0.8, 1.6, 30),
            )
        )
        nearest = np.linalg.norm(candidates[:, None] - places[None, :i], axis=-1).min(axis=1, initial=np.inf)
        places[i] = candidates[np.argmax(nearest)]
    around, above = rng.uniform(-1.3, 1.3, count) - np.pi / 2, rng.uniform(-0.3, 0.5, count)
    ahead, aside = np.sin(around) * np.cos(above), np.cos(around) * np.cos(above)
    direction = np.stack((aside, ahead, np.sin(above)), axis=1)
    return places, places + rng.uniform(0.1, 0.5, count)[:, None] * direction


def _move(
    sources: Signal,
    concert: slice,
    room: _Room,
    places: Signal,
    microphones: Signal,
    rate: int,
    seed: int,
    walker: int,
    leaner: int,
) -> tuple[Signal, Signal]:
    """Let one performer walk with the microphone and another lean away from hers.

    The movement is cut into steps of 19 cm, and neighbouring steps cross-fade.
    """
    frames, last = sources.shape[1], 8
    angles = np.arange(16) * np.pi / 8
    headings = np.stack((np.cos(angles), np.sin(angles), np.zeros(16)), axis=1)
    goals = places[walker] + 1.5 * headings
    spacing = np.linalg.norm(goals[:, None] - np.delete(places, walker, axis=0), axis=-1).min(axis=1)
    margin = np.minimum(goals, room.size - goals)[:, :2].min(axis=1)
    heading = headings[np.argmax(np.where(margin > 0.8, spacing, -1.0))]
    away = places[leaner] - microphones[leaner]
    away /= np.linalg.norm(away)

    along = last * _ramp(concert, 0.45, 0.65, frames)
    images, bleed = np.zeros_like(sources), np.zeros_like(sources)
    paths = _paths(room, places, microphones, rate, seed)
    played = sources * _loudness(paths, seed)
    still = np.setdiff1d(np.arange(len(sources)), (walker, leaner))
    for step in range(last + 1):
        part = step / last
        here, there = places.copy(), microphones.copy()
        here[walker] += 1.5 * part * heading
        there[walker] += 1.5 * part * heading
        here[leaner] += 0.25 * part * away
        weight = np.clip(1 - np.abs(along - step), 0.0, 1.0)
        heard = np.flatnonzero(weight)
        if not heard.size:
            continue
        begin, end = int(heard[0]), int(heard[-1]) + 1
        if step:
            # Steps of 19 cm leave late sound correlated below 700 Hz only: a moved path gets a new tail.
            first, paths = paths, _paths(room, here, there, rate, seed, step)
            paths[np.ix_(still, still)] = first[np.ix_(still, still)]
        own, others = _carry(played, paths, begin, end)
        images[:, begin:end] += own * weight[begin:end]
        bleed[:, begin:end] += others * weight[begin:end]
    return images, bleed


def _paths(
    room: _Room, places: Signal, microphones: Signal, rate: int, seed: int, step: int = 0
) -> Audio:
    """Return the impulse responses float32[microphones, sources, taps].

    Reflections up to an order are exact (image sources); from where the next order would begin, noise with
    the room's decay takes over. Exact late reflections would take minutes and sound no different.
    """
    import pyroomacoustics as pra
    from pyroomacoustics.directivities import Cardioid, DirectionVector
    from scipy import fft

    try:
        absorption, order = pra.inverse_sabine(room.rt60, room.size)
    except ValueError:  # more absorption than walls can have
        absorption, order = 0.95, 10
    order = min(order, 10)
    walls = pra.Material(min(absorption, 0.95))
    shoebox = pra.ShoeBox(room.size, fs=rate, materials=walls, max_order=order)
    for place in places:
        shoebox.add_source(place)
    if room.cardioid:
        facing = []
        for x, y, z in places - microphones:
            azimuth, colatitude = math.atan2(y, x), math.atan2(math.hypot(x, y), z)
            facing.append(Cardioid(DirectionVector(azimuth, colatitude, degrees=False)))
        shoebox.add_microphone_array(microphones.T, directivity=facing)
    else:
        shoebox.add_microphone_array(microphones.T)
    shoebox.compute_rir()

    # pyroomacoustics delays everything by half the length of its interpolation filters.
    early = pra.constants.get("frac_delay_length") // 2
    taps = fft.next_fast_len(round(1.1 * room.rt60 * rate), real=True)
    begin = round(order * float(room.size.min()) / _SOUND_SPEED * rate)
    fade = round(0.04 * rate)
    into = np.clip((np.arange(taps) - begin + fade) / fade, 0.0, 1.0)
    seam = slice(begin - fade, begin)
    paths = np.empty((len(places), len(places), taps), np.float32)
    for i, row in enumerate(shoebox.rir):
        rng = np.random.default_rng([seed, i, step])
        exact = np.zeros((len(places), taps))
        for j, response in enumerate(row):
            kept = response[early : early + taps]
            exact[j, : len(kept)] = kept
        exact = _decay(exact, math.inf, room.rt60, rate)
        tail = _decay(rng.standard_normal(exact.shape), room.rt60, room.rt60, rate)
        strength = np.sqrt(_mean_power(exact[:, seam]) / _mean_power(tail[:, seam]))[:, None]
        paths[i] = exact * np.sqrt(1 - into) + strength * tail * np.sqrt(into)
    return paths


def _decay(responses: Signal, middle: float, rt60: float, rate: int) -> Signal:
    """Let sound decay with RT60 `middle`, and above 4 kHz sooner, as air and curtains make it.

    The treble's own decay is that of a room in which it dies in 0.6 of the time.
    """
    from scipy import signal

    treble = signal.butter(1, min(4000, 0.4 * rate), "highpass", fs=rate, output="sos")
    high = np.asarray(signal.sosfilt(treble, responses, axis=-1), np.float64)
    times = np.arange(responses.shape[-1]) / rate
    common = np.exp(-3 * math.log(10) * times / middle)
    sooner = np.exp(-3 * math.log(10) * times / rt60 * (1 / 0.6 - 1))
    decayed: Signal = (responses - high + high * sooner) * common
    return decayed


def _carry(sources: Signal, paths: Audio, begin: int, end: int) -> tuple[Signal, Signal]:
    """Convolve frames `begin` to `end` of what arrives, block by block. Returns images and bleed."""
    from scipy import fft

    count, taps = len(sources), paths.shape[2]
    size = fft.next_fast_len(min(4 * taps, taps + end - begin), real=True)
    hop = size - taps + 1
    spectra = fft.rfft(paths, size, axis=2)
    own = spectra[np.arange(count), np.arange(count)].copy()
    spectra[np.arange(count), np.arange(count)] = 0
    images, bleed = np.empty((count, end - begin)), np.empty((count, end - begin))
    for start in range(begin, end, hop):
        stop = min(start + hop, end)
        block = np.zeros((count, size))
        first = start - taps + 1
        block[:, max(0, -first) : stop - first] = sources[:, max(0, first) : stop]
        heard = fft.rfft(block, axis=1)
        there = slice(start - begin, stop - begin)
        images[:, there] = fft.irfft(own * heard, size, axis=1)[:, taps - 1 : taps - 1 + stop - start]
        arriving = np.einsum("ijf,jf->if", spectra, heard)
        bleed[:, there] = fft.irfft(arriving, size, axis=1)[:, taps - 1 : taps - 1 + stop - start]
    return images, bleed


def _mean_power(x: Signal) -> Any:  # float64[...], a scalar for one signal
    return np.einsum("...t,...t->...", x, x) / x.shape[-1]


def _sir(images: Signal, bleed: Signal) -> Signal:
    ratio: Signal = 10 * np.log10(_mean_power(images) / _mean_power(bleed))
    return ratio


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
    import soundfile

    rows: list[Audio] = []
    for name in _file_names(names):
        place = str(folder / name)
        try:
            audio, own_rate = soundfile.read(place, dtype="float32", always_2d=True)
        except (OSError, soundfile.LibsndfileError) as error:
            raise InputError(place, f"cannot be read: {error}") from error
        if own_rate != rate:
            raise InputError(place, f"{own_rate} Hz", f"{rate} Hz, as in scene.json")
        if audio.shape[1] != 1:
            raise InputError(place, f"{audio.shape[1]} channels", "1 channel")
        if rows and len(audio) != len(rows[0]):
            raise InputError(place, f"{len(audio)} frames", f"{len(rows[0])} frames, as the files before it")
        rows.append(audio[:, 0])
    return np.stack(rows) if rows else np.zeros((0, 0), np.float32)


def _read_solos(place: Path, names: tuple[str, ...]) -> tuple[tuple[str, float, float], ...]:
    if not place.exists():
        return ()
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
