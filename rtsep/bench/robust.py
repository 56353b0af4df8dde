"""Random recordings through a preset: nothing may explode, and no microphone end worse than it came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtsep import metrics, presets
from rtsep.bench.history import LESS, MORE, Reading, exact
from rtsep.bench.recordings import Recording, make_recording
from rtsep.errors import InputError
from rtsep.runner import process
from rtsep.session import Session

SKIP_SECONDS = 4.0
PEAK_DB = 1.0
"""The output's largest sample may exceed the input's by so much."""

WORST_DB = -1.0
"""No microphone with wanted sound may lose more SI-SDR, in 99 % of the recordings."""

_ROUNDING_DB = 0.01


@dataclass(frozen=True)
class RobustOptions:
    """What `robust` is asked for.

    Parameters
    ----------
    scenes : int
        How many recordings.
    seed : int
        Of the first; each next has the next.
    preset : str
        Name or path.
    """

    scenes: int = 200
    seed: int = 1
    preset: str = "live"


def robust(options: RobustOptions, advance: Callable[[float], None] | None = None) -> dict[str, Any]:
    """Run a preset on random recordings and check each.

    Parameters
    ----------
    options : RobustOptions
    advance : callable, optional
        Called with the part that is done, 0 to 1.

    Returns
    -------
    dict
        `preset`; `scenes`: what `check` returns for each; `summary`: counts of failed checks, the mean improvement,
        the part of the recordings in which no microphone lost more than 1 dB, and the `worst` microphone with its
        recording.

    Raises
    ------
    InputError
        No scene is asked for, or the preset is unknown.
    """
    if options.scenes < 1:
        raise InputError("--scenes", str(options.scenes), "1 or more")
    if options.seed < 0:
        raise InputError("--seed", str(options.seed), "0 or more")
    preset = presets.load(options.preset)
    checked = []
    for n in range(options.scenes):
        checked.append(check(make_recording(options.seed + n), preset))
        if advance is not None:
            advance((n + 1) / options.scenes)
    return {"preset": preset.name, "scenes": checked, "summary": _summary(checked)}


def check(recording: Recording, preset: presets.Preset) -> dict[str, Any]:
    """Run one recording.

    Parameters
    ----------
    recording : Recording
    preset : Preset

    Returns
    -------
    dict
        What the recording is made of; `si_sdr_db` and `improvement_db` per microphone, None without wanted sound;
        `silent_db`, level out over level in of the others, None where wanted or digital silence; `peak_db`, the
        largest sample out over in; `failed`: the checks that failed, of finite, stable, peak, mean, worst, silent.
    """
    k = len(recording.mics)
    with Session.open(preset, recording.rate, [f"mic{i + 1}" for i in range(k)]) as session:
        late = session.engine.latency
        out = process(session.engine, np.pad(recording.mics, ((0, 0), (0, late))))[:, late:]
        status = session.engine.status()
    return {**recording.told, **judge(recording, out, status)}


def judge(recording: Recording, out: np.typing.NDArray[np.float32], status: dict[str, int]) -> dict[str, Any]:
    """Check what came out of a recording.

    Parameters
    ----------
    recording : Recording
    out : float32[mics, frames]
        Without latency.
    status : dict
        The engine's counters: `unstable_samples`, `restores` and `faults` count as instability.

    Returns
    -------
    dict
        See `check`.
    """
    first = round(SKIP_SECONDS * recording.rate)
    failed = []
    finite = bool(np.isfinite(out).all())
    if not finite:
        failed.append("finite")
        out = np.nan_to_num(out, posinf=1.0, neginf=-1.0)
    if any(status.get(name, 0) for name in ("unstable_samples", "restores", "faults")):
        failed.append("stable")
    peak = float(20 * np.log10(max(float(np.abs(out).max()), 1e-9) / max(float(np.abs(recording.mics).max()), 1e-9)))
    if peak > PEAK_DB:
        failed.append("peak")
    gains = np.atleast_1d(metrics.improvement(recording.images[:, first:], recording.mics[:, first:], out[:, first:]))
    improvement = [float(g) if w and np.isfinite(g) else None for g, w in zip(gains, recording.wanted, strict=True)]
    scored = [g for g in improvement if g is not None]
    if scored and np.mean(scored) <= 0:
        failed.append("mean")
    if scored and min(scored) < WORST_DB:
        failed.append("worst")
    silent: list[float | None] = []
    for x, y, wanted in zip(recording.mics[:, first:], out[:, first:], recording.wanted, strict=True):
        before, after = (float(np.sum(z.astype(np.float64) ** 2)) for z in (x, y))
        if wanted:
            silent.append(None)
        elif before == 0:
            silent.append(None)
            if after > 0 and "silent" not in failed:
                failed.append("silent")
        else:
            silent.append(float(10 * np.log10(max(after, 1e-30) / before)))
            if (silent[-1] or 0.0) > _ROUNDING_DB and "silent" not in failed:
                failed.append("silent")
    before_db = np.atleast_1d(metrics.si_sdr(recording.images[:, first:], recording.mics[:, first:]))
    return {
        "si_sdr_db": [float(b) if g is not None else None for b, g in zip(before_db, improvement, strict=True)],
        "improvement_db": improvement, "silent_db": silent, "peak_db": peak, "failed": failed,
        "status": {name: int(value) for name, value in status.items()},
    }


def lines(report: dict[str, Any]) -> list[str]:
    """Tell a report in lines: one for each failed check, then the summary and the worst microphone.

    Parameters
    ----------
    report : dict
        What `robust` returned.

    Returns
    -------
    list of str
    """
    told = [f"{'failed':<7} {'value':<12} stage"] if any(s["failed"] for s in report["scenes"]) else []
    for scene in report["scenes"]:
        for name in scene["failed"]:
            value = {
                "peak": f"{scene['peak_db']:+.1f} dB",
                "mean": f"{_mean(scene):+.2f} dB",
                "worst": f"{min(_scored(scene), default=0.0):+.2f} dB",
                "silent": f"{max((s for s in scene['silent_db'] if s is not None), default=0.0):+.2f} dB",
                "stable": ", ".join(f"{k} {scene['status'].get(k, 0)}" for k in
                                    ("unstable_samples", "restores", "faults")),
            }.get(name, "")
            told.append(f"{name:<7} {value:<12} {_brief(scene)}")
    summary = report["summary"]
    counts = ", ".join(f"{name} {count}" for name, count in summary["failed"].items())
    told.append(
        f"{report['preset']}: {summary['scenes']} stages, {summary['mics']} microphones with wanted sound: mean "
        f"{summary['mean_db']:+.2f} dB; no microphone below {WORST_DB:g} dB in {100 * summary['kept']:.1f} % of stages"
    )
    told.append(f"stages that failed a check: {counts}")
    if summary["worst"]:
        worst = summary["worst"]
        scene = next(s for s in report["scenes"] if s["seed"] == worst["seed"])
        came = scene["si_sdr_db"][worst["mic"] - 1]
        told.append(
            f"worst: mic {worst['mic']} {worst['improvement_db']:+.2f} dB (came with {came:.1f} dB): {_brief(scene)}"
        )
    return told


def _summary(checked: list[dict[str, Any]]) -> dict[str, Any]:
    names = ("finite", "stable", "peak", "mean", "worst", "silent")
    scored = [g for scene in checked for g in _scored(scene)]
    every = ((g, mic, s["seed"]) for s in checked for mic, g in enumerate(s["improvement_db"]) if g is not None)
    worst = min(every, default=None)
    return {
        "scenes": len(checked),
        "mics": len(scored),
        "mean_db": float(np.mean(scored)) if scored else float("nan"),
        "kept": float(np.mean(["worst" not in scene["failed"] for scene in checked])),
        "failed": {name: sum(name in scene["failed"] for scene in checked) for name in names},
        "worst": None if worst is None else {"improvement_db": worst[0], "mic": worst[1] + 1, "seed": worst[2]},
    }


def readings(report: dict[str, Any]) -> list[Reading]:
    """Return what the history keeps: failed checks, and the mean over all mics."""
    summary = report["summary"]
    failed = [exact(f"failed.{name}", "scenes", LESS, count) for name, count in summary["failed"].items()]
    return [*failed, Reading("mean", summary["mean_db"], "dB", MORE, _ROUNDING_DB)]


def _scored(scene: dict[str, Any]) -> list[float]:
    return [g for g in scene["improvement_db"] if g is not None]


def _mean(scene: dict[str, Any]) -> float:
    return float(np.mean(_scored(scene) or [0.0]))


def _brief(scene: dict[str, Any]) -> str:
    special = [f"mic {n + 1} {role}" for n, role in enumerate(scene["roles"]) if role != "own"]
    special += [f"{mic} {what}" for mic, what in scene["broken"].items()]
    return (
        f"seed {scene['seed']}: {scene['mics']} mics, RT60 {scene['rt60']} s, {scene['pattern']}, {scene['rate']} Hz"
        + "".join(f", {text}" for text in special)
    )
