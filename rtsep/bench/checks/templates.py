"""Acceptance of sections 4.4 to 4.6: systems that know sounds by templates."""

from __future__ import annotations

import tempfile
from functools import cache, partial
from pathlib import Path

import numpy as np

from rtsep.bench import sts
from rtsep.bench.checks.check import Check, Measured, timed, version
from rtsep.systems import mosaic, nae
from rtsep.systems.drums import PARTS, Drums
from rtsep.systems.separator import Audio, Passage
from rtsep.systems.spectrum import Spectrum

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


def _factors() -> tuple[sts.Signal, nae.Floats, nae.Floats]:
    """Return 300 x 400 values of rank 12 and a starting point, as in sections 4.1 and 4.4."""
    rng = np.random.default_rng(0)
    values = rng.exponential(size=(300, 12)) @ rng.exponential(size=(12, 400))
    encoder, decoder = nae.balanced(values, rng.random((12, 400)), rng.random((12, 400)), None)
    return values, encoder, decoder


@cache
def _nae_losses() -> sts.Signal:
    """Return the relative error before and after each of 1000 multiplicative updates."""
    values, encoder, decoder = _factors()
    losses = [nae.loss(values, encoder, decoder, None)]
    for _ in range(1000):
        encoder, decoder = nae.multiply(values, encoder, decoder, None)
        losses.append(nae.loss(values, encoder, decoder, None))
    relative: sts.Signal = np.sqrt(np.array(losses) / np.square(values).sum())
    return relative


def _nae_rise() -> Measured:
    return Measured(float(np.diff(_nae_losses()).max()))


def _nae_above_nmf(iterations: int) -> Measured:
    from sklearn.decomposition import NMF

    values = _factors()[0]
    model = NMF(12, init="random", solver="mu", tol=0, max_iter=iterations, random_state=0)
    weights = model.fit_transform(values)
    theirs = np.linalg.norm(values - weights @ model.components_) / np.linalg.norm(values)
    ours = float(_nae_losses()[iterations])
    return Measured(ours / float(theirs), None, f"{version('scikit-learn')} NMF: error {theirs:.4f}; NAE {ours:.4f}")


def _nae_zeros() -> Measured:
    """Count what is not exactly 0 where dropout or the template says so, after 50 updates of each kind."""
    values, encoder, decoder = _factors()
    rng = np.random.default_rng(1)
    may, shape = rng.random((300, 12)) < 0.5, rng.random((12, 400)) < 0.5
    wrong = 0
    for update in ("multiplicative", "gradient"):
        coder, templates = nae.learn(values, encoder, decoder * shape, may, update, 50)
        wrong += int(np.count_nonzero(templates[~shape]))
        wrong += int(np.count_nonzero(nae.hidden(values, coder, may.astype(float))[~may]))
    return Measured(float(wrong))


@cache
def _mosaic(sparse: bool) -> tuple[float, float, float]:
    """Return how activations go with their neighbours on the diagonal and the anti-diagonal, and the seconds taken."""
    voice, chords = sts.sources()[[0, 3]]
    spectrum = Spectrum(2048, 512)
    target, templates = (np.abs(spectrum.analyse(sound[None])[0]) for sound in (voice, chords))
    settings = (3, 10, 3) if sparse else (0, 0, 0)
    found, seconds = timed(lambda: mosaic.learn(target, templates, 20, *settings))
    along, across = (
        float(np.corrcoef(one.ravel(), other.ravel())[0, 1])
        for one, other in ((found[:-1, :-1], found[1:, 1:]), (found[:-1, 1:], found[1:, :-1]))
    )
    return along, across, seconds


def _mosaic_correlation(which: int) -> Measured:
    ours, plain = _mosaic(True), _mosaic(False)
    return Measured(ours[which], ours[2] / 10, f"plain NMF: {plain[which]:.3f}, {plain[2] / 10:.2g} s/s")


CHECKS: tuple[Check, ...] = (
    Check("4.4", "nae", "multiplicative: largest rise of the error in 1000 it", 0.0, False, "", _nae_rise),
    Check("4.4", "nae", "values that dropout and templates forbid, 50 it", 0.0, False, "not 0", _nae_zeros),
    *(
        Check("4.4", "nae", f"300 x 400, rank 12: error over NMF's after {n} it", 1.0, True, "times",
              partial(_nae_above_nmf, n))
        for n in (100, 1000)
    ),
    Check("4.5", "mosaic", "chords to voice: correlation along the diagonal", 0.8, True, "",
          partial(_mosaic_correlation, 0)),
    Check("4.5", "mosaic", "chords to voice: correlation across it", 0.1, False, "", partial(_mosaic_correlation, 1)),
    *(
        Check("4.6", "drums", f"made drums, annotated: {name}", limit, True, "dB SDR more", partial(_drum, name))
        for name, limit in zip(PARTS, (7.0, 12.0, 6.0), strict=True)
    ),
)
