"""How good is it: metrics of a scene or of two folders, with harm measured through the very same filters.

What is compared is in `rtsep.comparison`. The channels of a part are judged together, as one signal that one gain
scales, because a voice that moves from left to right is wrong in both.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rtsep import metrics
from rtsep.comparison import Comparison, Recording, check_same, for_each_part, read_comparison
from rtsep.engine import Engine
from rtsep.errors import InputError
from rtsep.finite import repaired
from rtsep.scenes import Scene
from rtsep.sound import mic_names, signals, whole_rate
from rtsep.stage import Block

SETTLE_SECONDS = 4.0   # a cold start is heard from here on

RESTS_DB = -50.0
"""Of the loudest part: what is softer over the whole recording does not play in it; it is noise, or a slip."""

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
    first = counted_from(scene, skip_seconds)
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


def counted_from(scene: Scene, skip_seconds: float) -> int:
    """Return the frame from which `score` counts."""
    first = int(skip_seconds * scene.rate)
    return 0 if scene.mics.shape[1] < 2 * first else first


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
    true = Recording(known, hz, truth)
    guess = Recording(known, hz, repaired(signals(estimate, "estimate"), "estimate", known))
    check_same("estimate", guess, true, "reference")
    mics = None
    if mixture is not None:
        mics = for_each_part(repaired(signals(mixture, "mixture"), "mixture", known), truth)
        check_same("mixture", Recording(true.names, hz, mics), true, "reference")
    return compare(Comparison(true.names, hz, truth, guess.sound, mics), bss)


def compare_folders(reference: str, estimate: str, mixture: str | None = None) -> list[dict[str, Any]]:
    """Score estimated against true signals, file by file: `read_comparison`, then `compare`."""
    return compare(read_comparison(reference, estimate, mixture))


def resting(truth: Block, names: Sequence[str]) -> tuple[str, ...]:
    """Return the parts that hardly sound.

    A source that rests has nothing that could be kept: its figures tell how silent its part has become, often by some
    60 dB, and would drown all others in a mean.

    Parameters
    ----------
    truth : float32[parts, ...]
    names : sequence of str
    """
    power = np.array([np.mean(part.astype(np.float64) ** 2) for part in truth])
    return tuple(name for name, one in zip(names, power, strict=True) if one <= 10 ** (RESTS_DB / 10) * power.max())


def mean(rows: list[dict[str, Any]], without: Collection[str] = ()) -> dict[str, float]:
    """Average every column of numbers, each part counting the same; nan where no row has one.

    Parameters
    ----------
    rows : list of dict
        At least one.
    without : collection of str
        Parts that are left out: see `resting`.
    """
    heard = [row for row in rows if row["mic"] not in without]
    columns = {key: [row[key] for row in heard] for key, value in rows[0].items() if isinstance(value, float)}
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


def _centred(sound: Block) -> Block:
    """Join the channels of parts float32[..., channels, frames] to one signal, each without its own mean."""
    if sound.shape[-2] > 1:
        sound = sound - sound.mean(axis=-1, keepdims=True, dtype=np.float64).astype(np.float32)
    return sound.reshape(*sound.shape[:-2], -1)
