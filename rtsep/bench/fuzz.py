"""Hostile sound for every system and every verb that reads recordings: what comes out must be finite, or one line.

`bench/fuzz.py` runs every case in a process of its own, so that a crash is seen, and prints the matrix.
"""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import SYSTEMS
from rtsep.catalogue.networks import NETWORKS
from rtsep.finite import LOUDEST

RATE = 16000
SECONDS = 2.8   # above REPET's three shortest periods
LENGTHS = (1, 2, 3, 7, 31, 63, 64, 65, 128, 255, 257, 300)
"""Of the recordings that are hardly any, samples."""

HUGE = np.float32(3e38)
"""Just finite: its square is not."""

GOOD = ("ok", "said", "refused")
"""Verdicts: done without a word, done with one, refused in one line."""

TWINS = {"df-unet": "f-unet", "df-unet-gat": "f-unet", "mmdensenet": "mdensenet"}
"""Systems that run the same code with a model of the same shape as another."""

_MUCH_LOUDER = 10.0   # times the loudest sample that went in: the least that nobody could explain

Audio = NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """What is called.

    Parameters
    ----------
    name : str
    channels : int
        Of the recording.
    verb : tuple of str
        The command line; `IN`, `OUT` and the names of `_material` stand for places.
    """

    name: str
    channels: int
    verb: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of one sound.

    Parameters
    ----------
    sound : str
    verdict : str
        One of `GOOD`, or what went wrong.
    words : str
        What was said.
    """

    sound: str
    verdict: str
    words: str


def cases() -> dict[str, Case]:
    """Return every system as it is by default, its other ways of working, and the verbs; by name."""
    found = [_system(name, name) for name in SYSTEMS]
    for name, system in SYSTEMS.items():
        if any(option.name == "causal" for option in system.options):
            found.append(_system(f"{name} causal", name, "causal=true", *_CAUSAL.get(name, ())))
    found += [_system(f"{name} {way}", name, *settings) for name, way, settings in _WAYS]
    found += [Case(name, channels, verb) for name, channels, verb in _VERBS]
    return {case.name: case for case in found}


def sounds(case: Case) -> dict[str, Audio]:
    """Return hostile recordings float32[channels, frames] by name."""
    channels, plain = case.channels, music(case.channels, alone=case.verb[0] == "learn")
    made: dict[str, Audio] = {"music": plain}
    for name, value in (("nan", np.nan), ("+inf", np.inf), ("-inf", -np.inf), ("3e38", HUGE)):
        made[name] = _with(plain, value)
    made["all nan"] = np.full_like(plain, np.nan)
    made["all 3e38"] = np.full_like(plain, HUGE)
    made["denormal"] = (plain * 1e-25 * 1e-15).astype(np.float32)
    made["loudest"] = plain * (LOUDEST / np.abs(plain).max())
    made["dc"] = np.full_like(plain, 0.5)
    time = np.arange(plain.shape[1])
    made["square"] = np.tile(np.where(time // 80 % 2, -1.0, 1.0).astype(np.float32), (channels, 1))
    made["click"] = np.zeros_like(plain)
    made["click"][0, plain.shape[1] // 2] = 1
    for name, channel in (("first silent", 0), ("last silent", channels - 1)):
        made[name] = plain.copy()
        made[name][channel] = 0
    for name, sign in (("equal", 1), ("inverted", -1)):
        made[name] = plain.copy()
        made[name][1 % channels] = sign * plain[0]
    made["all equal"] = np.tile(plain[0], (channels, 1))
    made["silent"] = np.zeros_like(plain)
    for frames in LENGTHS:
        made[f"{frames} samples"] = plain[:, 4000 : 4000 + frames].copy()
    return made


def music(channels: int, seconds: float = SECONDS, alone: bool = False, seed: int = 0) -> Audio:
    """Return notes and hits that bleed into all channels, with a little noise; `alone`: one source after the other."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * RATE)
    time = np.arange(frames) / RATE
    sources = np.zeros((channels, frames))
    for c in range(channels):
        for start in range(c * 900, frames - 4000, 5000):
            pitch = 150 * (c + 1) * 2 ** (rng.integers(12) / 12)
            decay = np.exp(-np.arange(4000) / 1500)
            tone = sum(np.sin(2 * np.pi * pitch * h * time[:4000]) / h for h in range(1, 8))
            sources[c, start : start + 4000] += tone * decay + 0.3 * rng.standard_normal(4000) * decay**8
        if alone:
            sources[c, : c * frames // channels] = sources[c, (c + 1) * frames // channels :] = 0
    mixing = np.eye(channels) + 0.25 * rng.random((channels, channels))
    return (0.1 * mixing @ sources + 1e-4 * rng.standard_normal((channels, frames))).astype(np.float32)


def attempt(main: Callable[[list[str]], int], case: Case, name: str, x: Audio, folder: Path) -> Outcome:
    """Run a case on one sound in this process.

    Parameters
    ----------
    main : callable
        The command line: `rtsep.cli.main`.
    case : Case
    name : str
        Of the sound.
    x : float32[channels, frames]
    folder : Path
        Empty; for what goes in and comes out.
    """
    words = io.StringIO()
    source, out = folder / "in.wav", folder / "out"
    _write(source, x)
    places = {"IN": str(source), "OUT": str(out), **_material(folder, x), **_models(folder, case)}
    arguments = [_placed(word, places) for word in case.verb]
    try:
        with (
            contextlib.redirect_stderr(words), contextlib.redirect_stdout(io.StringIO()) as printed,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("always")
            code = main(arguments)
    except Exception as error:
        return Outcome(name, type(error).__name__, str(error)[:200])
    said = [line for line in words.getvalue().splitlines() if line]
    left = [path.name for path in folder.glob(".rtsep-*")]
    if left or not all(line.startswith("rtsep: ") for line in said):
        return Outcome(name, "left over" if left else "noisy", " | ".join([*left, *said])[:200])
    text = said[0].removeprefix("rtsep: ") if said else ""
    if code:
        return Outcome(name, "refused" if code == 2 and len(said) == 1 else f"exit {code}", " | ".join(said)[:200])
    problem = _judge(case, out, x, printed.getvalue())
    return Outcome(name, problem or ("said" if said else "ok"), text)


def _judge(case: Case, out: Path, x: Audio, printed: str) -> str:
    """Return what is wrong with what was written or printed; empty: nothing."""
    import soundfile

    text = printed.strip()
    if text.startswith("{"):
        try:
            json.loads(text, parse_constant=_no_constant)
        except ValueError:
            return "no JSON"
    usual = np.abs(x[np.abs(x) <= LOUDEST]).max(initial=0)
    for file in sorted(out.rglob("*.wav")) if out.is_dir() else []:
        y, _ = soundfile.read(file, dtype="float64", always_2d=True)
        if not np.isfinite(y).all():
            return "NaN"
        if len(y) != x.shape[1] and case.verb[0] != "scene":
            return "length"
        if np.abs(y).max(initial=0) > _MUCH_LOUDER * usual + 1e-6:
            return f"{20 * np.log10(np.abs(y).max() / max(usual, 1e-12)):+.0f} dB"
    return ""


def _no_constant(text: str) -> float:
    raise ValueError(text)


def _with(plain: Audio, value: float | np.float32) -> Audio:
    """Return a recording with a bad sample in the first channel, and some in a row in the last."""
    x = plain.copy()
    x[0, 9000] = value
    x[-1, 20000:20100] = value
    return x


def _system(name: str, method: str, *settings: str) -> Case:
    words = [word for setting in (*_NEEDED.get(method, ()), *settings) for word in ("--set", setting)]
    return Case(name, _CHANNELS.get(method, 3), ("separate", "IN", "-o", "OUT", "--method", method, *words))


def _placed(word: str, places: dict[str, str]) -> str:
    head, equals, tail = word.rpartition("=")
    return head + equals + places.get(tail, tail)


def _write(path: Path, x: Audio) -> None:
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, x.T, RATE, subtype="FLOAT")


def _material(folder: Path, x: Audio) -> dict[str, str]:
    """Write what systems and verbs need beside the recording, and return where each is."""
    import mido

    score = mido.MidiFile(type=1)
    for pitch in (50, 70):
        track = mido.MidiTrack()
        track += [mido.Message("note_on", note=pitch, time=100), mido.Message("note_off", note=pitch, time=900)]
        score.tracks.append(track)
    score.save(folder / "score.mid")
    (folder / "hits.csv").write_text("time_s,drum\n0.1,kick\n0.4,snare\n0.5,hihat\n1.0,kick\n")
    plain = music(len(x), 1.0)
    _write(folder / "good.wav", plain)
    _write(folder / "same.wav", music(len(x), 3.0)[:, : x.shape[1]])
    for channel, part in enumerate(x):
        _write(folder / "songs" / "one" / f"{channel + 1:02}.wav", part[None])
    _write(folder / "solos.wav", x)
    span = x.shape[1] / RATE / len(x)
    lines = [f"{c + 1},{c * span:.6f},{(c + 1) * span:.6f}" for c in range(len(x))]
    (folder / "solos.csv").write_text("mic,start_s,end_s\n" + "\n".join(lines) + "\n")
    return {
        "SCORE": str(folder / "score.mid"), "HITS": str(folder / "hits.csv"), "GOOD": str(folder / "good.wav"),
        "SAME": str(folder / "same.wav"), "SONGS": str(folder / "songs"), "SOLOS": str(folder / "solos.csv"),
    }


def _models(folder: Path, case: Case) -> dict[str, str]:
    """Write a model for a system that runs one: of its shape, not trained."""
    if "model=MODEL" not in case.verb:
        return {}
    from rtsep.bench import toymodels

    made = toymodels.shaped(case.verb[case.verb.index("--method") + 1])
    return {"MODEL": toymodels.save(made, folder / "model.onnx")}


_FOUR = ("t-unet", "f-unet", "df-unet", "df-unet-gat")   # made for so many mics
_NETWORKS = tuple(system.name for system in NETWORKS)
_CHANNELS = {"duet": 2, "adress": 2, "projet": 2, "postfilter": 4, "hpss": 2, "kam": 2, "cascade": 2, "yin": 2,
             **{name: 4 if name in _FOUR else 2 for name in _NETWORKS}}
_NEEDED = {
    "demix": ("mixing=1 0.1 0.1; 0.1 1 0.1; 0.1 0.1 1",), "nmf-score": ("score=SCORE",), "hands": ("score=SCORE",),
    "mosaic": ("material=GOOD",), "drums": ("score=HITS",), **dict.fromkeys(_NETWORKS, ("model=MODEL",)),
}
_CAUSAL: dict[str, tuple[str, ...]] = {"nmf": ("templates=combs",), "drums": ("score=",)}
_WAYS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("masks", "multichannel", ("mask=multichannel",)), ("masks", "alpha", ("mask=alpha", "alpha=1.2", "logit=true")),
    ("masks", "sources", ("sources=IN",)), ("masks", "sources beside", ("sources=SAME",)),
    ("kam", "four", ("kernels=horizontal,vertical,periodic,cross",)),
    ("duet", "delay", ("max_delay=2",)), ("projet", "delay", ("max_delay=2",)),
    ("altmin", "full", ("form=full",)), ("altmin", "learn", ("learn=true",)),
    ("kamir", "logistic", ("form=logistic", "kernel=3")), ("fastmira", "projection", ("sketch=projection",)),
    ("postfilter", "cleaned", ("cleaned=IN",)), ("postfilter", "mira", ("cleaned=mira",)),
    ("hpss", "binary", ("mask=binary", "margin=2")), ("mosaic", "itself", ("material=IN", "griffin_lim=2")),
    ("nmf", "is", ("divergence=is",)), ("nmf", "euclidean", ("divergence=euclidean",)),
    ("nmf-score", "is", ("divergence=is",)), ("nae", "gradient", ("update=gradient",)),
    ("nae", "score", ("score=SCORE",)),
)
_VERBS: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    ("learn", 3, ("learn", "IN", "-o", "OUT")),
    ("learn solos", 3, ("learn", "IN", "-o", "OUT", "--solos", "SOLOS", "--json")),
    ("evaluate", 3, ("evaluate", "--reference", "SAME", "--estimate", "IN", "--json")),
    ("evaluate bss", 3, ("evaluate", "--reference", "IN", "--estimate", "SAME", "--mixture", "IN", "--bss", "--json")),
    ("scene linear", 3, ("scene", "OUT", "--from", "SONGS", "--bleed", "linear", "--seconds", "1", "-r", "16000")),
    ("scene none", 3, ("scene", "OUT", "--from", "SONGS", "--json")),
    ("render live", 3, ("render", "IN", "-o", "OUT", "--preset", "live", "--json")),
    ("render foh", 3, ("render", "IN", "-o", "OUT", "--preset", "foh", "--json")),
)
