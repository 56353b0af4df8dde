"""How good is it: metrics of a scene or of two folders, with harm measured through the very same filters.

Folders are compared file by file: a file is one part (a microphone, or what a separation calls a part), and a file of
several channels is that part's image. Its channels are judged together, as one signal that one gain scales, because a
voice that moves from left to right is wrong in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rtsep import audiofile, metrics
from rtsep.engine import Engine
from rtsep.errors import InputError
from rtsep.finite import open_sound, repaired
from rtsep.names import from_files
from rtsep.scenes import Scene
from rtsep.sound import mic_names, signals, whole_rate
from rtsep.stage import Block

SETTLE_SECONDS = 4.0   # a cold start is heard from here on

SUMMARIES = ("median", "mean")
"""Of BSS-eval over the seconds of a recording: museval's and that of the bleed papers."""

BSS_COLUMNS = ("bss_sdr", "bss_isr", "bss_sir", "bss_sar")


@dataclass(frozen=True)
class Heard:
    """A scene after the engine, all float32[mics, frames] without latency.

    Parameters
    ----------
    cleaned : float32[mics, frames]
        What comes out.
    alone : float32[mics, frames]
        What the same filters, sample by sample, make of each mic's wanted sound alone (zeros in the other mics).
    """

    cleaned: Block
    alone: Block


def listen(engine: Engine, scene: Scene) -> Heard:
    """Run a scene through the engine's chain, and each wanted sound alone beside it, in step.

    Parameters
    ----------
    engine : Engine
        Prepared for the scene, as new.
    scene : Scene

    Returns
    -------
    Heard

    Raises
    ------
    InputError
        If the scene's truth is not known.
    """
    if not scene.known:
        raise InputError(scene.kind, "has no true signals to compare with", "allowed is a scene with images/")
    chain = engine.chain
    shadows = [chain.shadow() for _ in scene.names]
    late = chain.latency
    k, frames = scene.mics.shape
    total = -(-(frames + late) // 64) * 64
    mics, images = (np.pad(a, ((0, 0), (0, total - frames))) for a in (scene.mics, scene.images))
    cleaned, alone = np.zeros((k, total), np.float32), np.zeros((k, total), np.float32)
    result = np.zeros((k, 64), np.float32)
    single = np.zeros((k, 64), np.float32)
    for first in range(0, total, 64):
        now = slice(first, first + 64)
        chain.process(np.ascontiguousarray(mics[:, now]), result)
        cleaned[:, now] = result
        for i, shadow in enumerate(shadows):
            single[:] = 0
            single[i] = images[i, now]
            shadow.process(single, result)
            alone[i, now] = result[i]
    return Heard(cleaned[:, late : late + frames], alone[:, late : late + frames])


def score(
    scene: Scene, heard: Heard, skip_seconds: float = SETTLE_SECONDS, bss: str | None = None
) -> list[dict[str, Any]]:
    """Score each microphone of a scene.

    Parameters
    ----------
    scene : Scene
    heard : Heard
    skip_seconds : float
        Not counted at the beginning (a cold start), unless the scene is shorter than twice that.
    bss : str, optional
        One of `SUMMARIES`: adds `BSS_COLUMNS`.

    Returns
    -------
    list of dict
        Per mic, in dB: si_sdr_before, si_sdr_after, improvement, sdr_after, bleed_removed, harm.
    """
    first = int(skip_seconds * scene.rate)
    if scene.mics.shape[1] < 2 * first:
        first = 0
    rows = []
    for i, name in enumerate(scene.names):
        wanted, mic = scene.images[i, first:], scene.mics[i, first:]
        clean, alone = heard.cleaned[i, first:], heard.alone[i, first:]
        before, after = float(metrics.si_sdr(wanted, mic)), float(metrics.si_sdr(wanted, clean))
        rows.append({
            "mic": name,
            "si_sdr_before": before,
            "si_sdr_after": after,
            "improvement": after - before,
            "sdr_after": float(metrics.sdr(wanted, clean)),
            # Up to the chain being linear in each instant, what is not the wanted sound's own output is bleed.
            "bleed_removed": float(metrics.bleed_removed(mic - wanted, clean - alone)),
            "harm": float(metrics.harm(wanted, alone)),
        })
    _add_bss(rows, bss, scene.images[:, first:], heard.cleaned[:, first:], scene.rate)
    return rows


@dataclass(frozen=True)
class Comparison:
    """Recordings that belong together, part by part.

    Parameters
    ----------
    names : tuple of str
        Of the parts, after the true ones.
    rate : int
        Hz.
    truth, given : float32[parts, channels, frames]
        What should be there, and what is.
    mics : float32[parts, channels, frames], optional
        What was there before.
    """

    names: tuple[str, ...]
    rate: int
    truth: Block
    given: Block
    mics: Block | None = None


def read_comparison(reference: str, estimate: str, mixture: str | None = None) -> Comparison:
    """Read estimated and true signals, file by file.

    Parameters
    ----------
    reference, estimate : str
        Each one polyphonic file, whose channels are the parts, or a folder whose files are the parts, all with the
        same number of channels. If a folder's names are those of the other, whatever number stands before them, names
        decide which belong together, otherwise their order.
    mixture : str, optional
        What was there before: likewise, or one recording for all parts, as a song that was separated.

    Raises
    ------
    InputError
        If parts, channels, rates or lengths differ.
    """
    true = _whole(reference)
    guess = _whole(estimate)
    _same(estimate, guess, true, reference)
    order = list(range(len(true.names)))
    if sorted(guess.names) == sorted(true.names):
        order = [guess.names.index(name) for name in true.names]
    mics = None
    if mixture is not None:
        before = _whole(mixture)
        before = _Recording(before.names, before.rate, _for_each_part(before.sound, true.sound))
        _same(mixture, before, true, reference)
        mics = before.sound
        if sorted(before.names) == sorted(true.names):
            mics = mics[[before.names.index(name) for name in true.names]]
    return Comparison(true.names, true.rate, true.sound, guess.sound[order], mics)


def compare(comparison: Comparison, bss: str | None = None) -> list[dict[str, Any]]:
    """Score estimated against true signals.

    Parameters
    ----------
    comparison : Comparison
    bss : str, optional
        One of `SUMMARIES`: adds `BSS_COLUMNS`.

    Returns
    -------
    list of dict
        Per part, in dB: sdr, si_sdr, si_sir, si_sar, and improvement if it is known what was there before.
    """
    c = comparison
    sources = _centred(c.truth)
    rows = []
    for i, name in enumerate(c.names):
        given = _centred(c.given[i])
        _, sir, sar = metrics.si_sir_sar(sources, given, i)
        row: dict[str, Any] = {
            "mic": name,
            "sdr": float(metrics.sdr(c.truth[i].ravel(), c.given[i].ravel())),
            "si_sdr": float(metrics.si_sdr(sources[i], given)),
            "si_sir": sir,
            "si_sar": sar,
        }
        if c.mics is not None:
            row["improvement"] = row["si_sdr"] - float(metrics.si_sdr(sources[i], _centred(c.mics[i])))
        rows.append(row)
    _add_bss(rows, bss, c.truth, c.given, c.rate)
    return rows


def evaluate(
    reference: ArrayLike,
    estimate: ArrayLike,
    rate: float,
    mixture: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    bss: str | None = None,
) -> list[dict[str, Any]]:
    """Score estimated against true signals: the same figures as `rtsep evaluate`.

    Parameters
    ----------
    reference, estimate : float32[parts, frames] or float32[parts, channels, frames]
        What should be there, and what is, in the same order. The channels of a part are judged together.
    rate : int
        Hz.
    mixture : float32, optional
        What was there before: likewise, or one recording for all parts.
    names : sequence of str, optional
        Of the parts: `mic1`, `mic2` … by default.
    bss : str, optional
        `median` or `mean` over the seconds: adds BSS-eval version 4 as `bss_sdr`, `bss_isr`, `bss_sir`, `bss_sar`.

    Returns
    -------
    list of dict
        Per part its name as `mic` and, in dB, sdr, si_sdr, si_sir, si_sar, and improvement if there is a mixture.

    Raises
    ------
    InputError
        If shapes differ, or one is not of that layout.

    Examples
    --------
    >>> rows = rtsep.evaluate(scene.images, rtsep.clean(scene.mics, scene.rate), scene.rate, scene.mics)
    >>> [row["improvement"] for row in rows]
    """
    hz, truth = whole_rate(rate), signals(reference, "reference")
    known = mic_names(len(truth), names)
    truth = repaired(truth, "reference", known)
    true = _Recording(known, hz, truth)
    guess = _Recording(known, hz, repaired(signals(estimate, "estimate"), "estimate", known))
    _same("estimate", guess, true, "reference")
    mics = None
    if mixture is not None:
        mics = _for_each_part(repaired(signals(mixture, "mixture"), "mixture", known), truth)
        _same("mixture", _Recording(true.names, hz, mics), true, "reference")
    return compare(Comparison(true.names, hz, truth, guess.sound, mics), bss)


def compare_folders(reference: str, estimate: str, mixture: str | None = None) -> list[dict[str, Any]]:
    """Score estimated against true signals, file by file: `read_comparison`, then `compare`."""
    return compare(read_comparison(reference, estimate, mixture))


def mean(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Average every column of numbers; nan where no row has one."""
    columns = {key: [row[key] for row in rows] for key, value in rows[0].items() if isinstance(value, float)}
    judged = {key: [value for value in values if not np.isnan(value)] for key, values in columns.items()}
    return {key: float(np.mean(values)) if values else float("nan") for key, values in judged.items()}


def _add_bss(rows: list[dict[str, Any]], summary: str | None, truth: Block, given: Block, rate: int) -> None:
    if summary is None:
        return
    if summary not in SUMMARIES:
        raise InputError("--bss", f"there is no {summary}", "known: " + ", ".join(SUMMARIES))
    found = metrics.bss_eval(truth, given, rate)
    figures = found.median() if summary == "median" else found.mean()
    for i, row in enumerate(rows):
        row.update({f"bss_{name}": float(values[i]) for name, values in figures.items()})


@dataclass(frozen=True)
class _Recording:
    names: tuple[str, ...]
    rate: int
    sound: Block   # float32[parts, channels, frames]


def _whole(path: str) -> _Recording:
    files = _files(path)
    if not files:
        with open_sound(path) as source:
            return _Recording(source.names, source.rate, source.read(source.frames)[:, None])
    rates, parts = [], []
    for file in files:
        with open_sound(file) as source:
            rates.append(source.rate)
            parts.append(source.read(source.frames))
    for file, part, rate in zip(files, parts, rates, strict=True):
        if rate != rates[0] or len(part) != len(parts[0]):
            problem = f"has {len(part)} channels at {rate} Hz"
            raise InputError(str(file), problem, f"{files[0].name} has {len(parts[0])} at {rates[0]} Hz")
    # Files may end early, as recorders leave them: in silence.
    sound = np.zeros((len(parts), len(parts[0]), max(part.shape[1] for part in parts)), np.float32)
    for row, part in zip(sound, parts, strict=True):
        row[:, : part.shape[1]] = part
    return _Recording(from_files([file.stem for file in files]), rates[0], sound)


def _files(path: str) -> Sequence[Path]:
    """Return the parts in a folder; none where `open_input` has to say what it is."""
    try:
        return audiofile.recordings(Path(path)) if Path(path).is_dir() else ()
    except OSError:
        return ()


def _for_each_part(mixture: Block, truth: Block) -> Block:
    """Return what was there before for each part float32[parts, channels, frames]: it may be one recording for all."""
    count, channels, _ = truth.shape
    if mixture.shape[:2] != (count, channels) and mixture[..., 0].size == channels:
        song = mixture.reshape(1, channels, -1)
        return np.broadcast_to(song, (count, channels, song.shape[2]))
    return mixture


def _same(place: str, given: _Recording, true: _Recording, true_place: str) -> None:
    if given.sound.shape != true.sound.shape or given.rate != true.rate:
        raise InputError(place, _shape(given), f"{true_place} has {_shape(true)}")


def _shape(recording: _Recording) -> str:
    parts, channels, frames = recording.sound.shape
    what = f"{parts} channels" if channels == 1 else f"{parts} parts of {channels} channels"
    return f"{what} of {frames} frames at {recording.rate} Hz"


def _centred(sound: Block) -> Block:
    """Join the channels of parts float32[..., channels, frames] to one signal, each without its own mean."""
    if sound.shape[-2] > 1:
        sound = sound - sound.mean(axis=-1, keepdims=True, dtype=np.float64).astype(np.float32)
    return sound.reshape(*sound.shape[:-2], -1)
