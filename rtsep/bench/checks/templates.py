"""Acceptance of sections 4.4 to 4.6: systems that know sounds by templates."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from rtsep.bench import sts
from rtsep.bench.checks.check import Check, Measured, timed
from rtsep.estimators.drums import PARTS, Drums
from rtsep.estimators.separator import Audio, Passage

_DRUM_SHARES = (0.517, 0.095, 0.382)
"""Of the energy: what makes 0.3, -9.8 and -2.1 dB in the mix, as SYSTEMS.md has it."""


def drum_scene(seconds: float = 10.0) -> tuple[sts.Signal, list[tuple[float, str]]]:
    """Return kick, snare and hi-hat as in the drums of `sts`, float64[3, frames], and when each is hit."""
    rng = np.random.default_rng(0)
    frames, grid = int(seconds * sts.RATE), int(0.25 * sts.RATE)
    parts, hits = np.zeros((3, frames)), []
    for number, start in enumerate(range(0, frames, grid)):
        time = np.arange(min(grid, frames - start)) / sts.RATE
        here, second = slice(start, start + len(time)), start / sts.RATE
        if number % 4 == 0:
            glide = 50 * time + 40 * (1 - np.exp(-40 * time)) / 40
            parts[0, here] = np.exp(-25 * time) * np.sin(2 * np.pi * glide)
            hits.append((second, "kick"))
        if number % 4 == 2:
            parts[1, here] = np.exp(-30 * time) * rng.standard_normal(len(time))
            hits.append((second, "snare"))
        parts[2, here] = np.exp(-60 * time) * np.diff(rng.standard_normal(len(time)), prepend=0)
        hits.append((second, "hihat"))
    parts *= 0.1 * np.sqrt(np.array(_DRUM_SHARES) / (parts**2).mean(axis=1))[:, None]
    return parts, hits


@cache
def _drums() -> tuple[sts.Signal, Audio, dict[str, Audio], float]:
    parts, hits = drum_scene()
    mix = parts.sum(axis=0).astype(np.float32)[None]
    with tempfile.TemporaryDirectory() as folder:
        score = Path(folder) / "hits.csv"
        score.write_text("".join(f"{second},{name}\n" for second, name in hits))
        system = Drums(score=str(score))
        system.fit(Passage(mix, sts.RATE, ("mix",)))
    found, seconds = timed(lambda: system.separate(Passage(mix, sts.RATE, ("mix",))))
    return parts, mix, found, seconds


def _drum(name: str) -> Measured:
    parts, mix, found, seconds = _drums()
    truth = parts[PARTS.index(name)]
    before, after = (float(sts.sdr(truth, x[0])) for x in (mix, found[name]))
    return Measured(after - before, seconds / 10, f"from {before:.1f} to {after:.1f} dB; libnmfd is not on PyPI")


CHECKS: tuple[Check, ...] = (
    *(
        Check("4.6", "drums", f"made drums, annotated: {name}", limit, True, "dB SDR more",
              lambda name=name: _drum(name))
        for name, limit in zip(PARTS, (7.0, 12.0, 6.0), strict=True)
    ),
)
