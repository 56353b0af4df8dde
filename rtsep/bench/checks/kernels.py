"""Acceptance of section 3: masks and kernel methods."""

from __future__ import annotations

import numpy as np

from rtsep.bench import sts
from rtsep.bench.checks.check import Check, Measured, timed, version
from rtsep.estimators.hpss import Hpss
from rtsep.estimators.separator import Passage


def _tones_and_clicks() -> tuple[sts.Signal, sts.Signal]:
    """Return two sines (440, 660 Hz) and short bursts of noise, 27 dB weaker, 10 s."""
    rng = np.random.default_rng(0)
    time = np.arange(10 * sts.RATE) / sts.RATE
    tones = 0.3 * np.sin(2 * np.pi * 440 * time) + 0.2 * np.sin(2 * np.pi * 660 * time)
    clicks = np.zeros_like(tones)
    for start in range(0, len(clicks) - 400, sts.RATE // 4):
        clicks[start : start + 400] = rng.standard_normal(400) * np.exp(-np.arange(400) / 80)
    clicks *= np.sqrt((tones**2).sum() / (clicks**2).sum()) * 10 ** (-13.6 / 20)
    return tones, clicks


def _hpss(part: str) -> Measured:
    tones, clicks = _tones_and_clicks()
    mix = (tones + clicks).astype(np.float32)
    system = Hpss(window=1024)
    system.separate(Passage(mix[None], sts.RATE, ("mix",)))
    parts, seconds = timed(lambda: system.separate(Passage(mix[None], sts.RATE, ("mix",))))
    truth = tones if part == "harmonic" else clicks
    reference = ""
    if version("librosa"):
        import librosa

        librosa.effects.hpss(mix[:4096], kernel_size=31, n_fft=1024)
        theirs, cost = timed(lambda: librosa.effects.hpss(mix, kernel_size=31, n_fft=1024))
        figure = sts.sdr(truth, theirs[0 if part == "harmonic" else 1])
        reference = f"{version('librosa')}: {figure:.1f} dB, {cost / 10:.4f} s/s"
    return Measured(float(sts.sdr(truth, parts[part][0])), seconds / 10, reference)


CHECKS = (
    Check("3.2", "hpss", "sines and clicks: harmonic part", 30.0, True, "dB SDR", lambda: _hpss("harmonic")),
    Check("3.2", "hpss", "sines and clicks: percussive part", 17.0, True, "dB SDR", lambda: _hpss("percussive")),
)
