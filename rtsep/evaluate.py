"""How good is it: metrics of a scene or of two folders, with harm measured through the very same filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rtsep import metrics
from rtsep.engine import Engine
from rtsep.errors import InputError
from rtsep.hosts import audiofile
from rtsep.scenes import Scene
from rtsep.stage import Block

SETTLE_SECONDS = 4.0   # a cold start is heard from here on


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


def score(scene: Scene, heard: Heard, skip_seconds: float = SETTLE_SECONDS) -> list[dict[str, Any]]:
    """Score each microphone of a scene.

    Parameters
    ----------
    scene : Scene
    heard : Heard
    skip_seconds : float
        Not counted at the beginning (a cold start), unless the scene is shorter than twice that.

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
    return rows


def compare_folders(reference: str, estimate: str, mixture: str | None = None) -> list[dict[str, Any]]:
    """Score estimated against true signals, file by file.

    Parameters
    ----------
    reference, estimate : str
        Each one polyphonic file or a folder of mono files in the same order.
    mixture : str, optional
        The microphones before: adds improvements.

    Returns
    -------
    list of dict
        Per channel, in dB: sdr, si_sdr, si_sir, si_sar, and improvement with a mixture.

    Raises
    ------
    InputError
        If channels, rates or lengths differ.
    """
    truth, rate, names = _whole(reference)
    given, given_rate, _ = _whole(estimate)
    _same(estimate, given, given_rate, truth, rate, reference)
    mics = None
    if mixture is not None:
        mics, mics_rate, _ = _whole(mixture)
        _same(mixture, mics, mics_rate, truth, rate, reference)
    rows = []
    for i, name in enumerate(names):
        _, sir, sar = metrics.si_sir_sar(truth, given[i], i)
        row: dict[str, Any] = {
            "mic": name,
            "sdr": float(metrics.sdr(truth[i], given[i])),
            "si_sdr": float(metrics.si_sdr(truth[i], given[i])),
            "si_sir": sir,
            "si_sar": sar,
        }
        if mics is not None:
            row["improvement"] = row["si_sdr"] - float(metrics.si_sdr(truth[i], mics[i]))
        rows.append(row)
    return rows


def mean(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Average every column of numbers."""
    keys = [key for key, value in rows[0].items() if isinstance(value, float)]
    return {key: float(np.nanmean([row[key] for row in rows])) for key in keys}


def _whole(path: str) -> tuple[Block, int, tuple[str, ...]]:
    with audiofile.open_input(path) as source:
        return source.read(source.frames), source.rate, source.names


def _same(place: str, given: Block, rate: int, truth: Block, true_rate: int, true_place: str) -> None:
    if given.shape != truth.shape or rate != true_rate:
        raise InputError(
            place, f"{given.shape[0]} channels of {given.shape[1]} frames at {rate} Hz",
            f"{true_place} has {truth.shape[0]} of {truth.shape[1]} at {true_rate} Hz",
        )
