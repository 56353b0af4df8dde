"""Acceptance of mixtures by gains: sections 1.1 to 1.4 and 2.1, and AuxIVA."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
from numpy.typing import NDArray

from rtsep.bench import sts
from rtsep.bench.checks.check import Check, Measured, timed, version
from rtsep.stages import unmix
from rtsep.systems import altmin, demix, ica
from rtsep.systems.altmin import Altmin
from rtsep.systems.auxiva import Auxiva
from rtsep.systems.demix import Demix
from rtsep.systems.fastica import Fastica
from rtsep.systems.ratio import Ratio
from rtsep.systems.separator import Passage, Separator

_RIDGE, _TOLERANCE, _MOST = 1e-5, 1e-3, 1000
"""The published η, tolerance and number of iterations, for scenes of ten seconds."""
_LOW, _HIGH = 0.001, 0.5
_B_DRAWS = 300   # of Scene B
_DRAWS = 20
_MIC_SDR_DB = 50.0
"""Of the microphones' own noise in section 1.4."""


def _passage(mics: sts.Signal) -> Passage:
    names = tuple(f"mic{c + 1}" for c in range(len(mics)))
    return Passage(np.ascontiguousarray(mics, np.float32), sts.RATE, names)


def _cost(system: Separator, passage: Passage) -> float:
    """Return seconds per second of learning and separating."""
    begun = time.perf_counter()
    system.fit(passage)
    system.separate(passage)
    return (time.perf_counter() - begun) * passage.rate / int(passage.sound.shape[1])


def _wrong(found: NDArray[np.floating], mixing: sts.Signal) -> float:
    """Return the largest error of Λ, columns divided by their diagonal."""
    return float(np.abs(found / np.diag(found) - mixing / np.diag(mixing)).max())


# --- 1.1 -------------------------------------------------------------------------------------------------------------

def _mixture_level() -> Measured:
    scene = sts.scene_a()
    return Measured(float(np.abs(sts.sdr(scene.images, scene.mics) - 15.3).max()))


def _mixture_inverse() -> Measured:
    scene = sts.scene_a()
    found = scene.mics @ np.linalg.pinv(scene.sources)
    return Measured(float(np.abs(found - sts.UNIFORM).max()))


# --- 1.2 -------------------------------------------------------------------------------------------------------------

def _gram(scene: sts.Scene, mix: sts.Signal, tolerance: float = _TOLERANCE) -> sts.Signal:
    both = np.vstack([scene.mics, mix])
    return altmin.gram_form(both @ both.T, False, _LOW, _HIGH, _RIDGE, tolerance, _MOST)[0]


def _altmin_clean() -> Measured:
    """Measure what a user gets, file format and all."""
    scene = sts.scene_a()
    passage = _passage(np.vstack([scene.mics, scene.sources.sum(axis=0)]))
    system = Altmin()
    system.fit(passage)
    return Measured(_wrong(system.mixing, sts.UNIFORM), _cost(system, passage))


def _altmin_published() -> Measured:
    scene = sts.scene_a()
    found = [_gram(scene, scene.sources.sum(axis=0), loose)[0, 1] for loose in (1e-2, 1.0)]
    return Measured(float(np.abs(np.array(found) - (0.0995, 0.0957)).max()))


def _altmin_own_mix() -> Measured:
    scene = sts.scene_a()
    found = _gram(scene, scene.mics.sum(axis=0))
    return Measured(float(np.abs(found[~np.eye(4, dtype=bool)] - _LOW).max()))


def _altmin_draws() -> Measured:
    """Measure the median over draws of Λ: the clean mix fixes 4 of 12 gains, so that most are wrong by some hundredths.

    The algorithm needs the products of mics and mix alone, which follow from those of the sources.
    """
    dry = sts.sources()
    products, errors = dry @ dry.T, []
    for seed in range(_B_DRAWS):
        mixing = sts.gains_b(seed)
        both = np.vstack([mixing, np.ones(4)])
        gram = both @ products @ both.T
        found = altmin.gram_form(gram, False, _LOW, _HIGH, _RIDGE, _TOLERANCE, _MOST)[0]
        errors.append(_wrong(found, mixing))
    return Measured(float(np.median(errors)))


def _altmin_scene_b(seed: int) -> Measured:
    """Measure one draw of Λ, with the mics themselves."""
    scene = sts.scene_b(seed)
    assert scene.mixing is not None
    return Measured(_wrong(_gram(scene, scene.sources.sum(axis=0)), scene.mixing))


def _altmin_forms() -> Measured:
    scene = sts.scene_a()
    mix = scene.sources.sum(axis=0)
    found, short = timed(lambda: _gram(scene, mix))
    limits = (False, _LOW, _HIGH, _RIDGE, _TOLERANCE, _MOST)
    (full, _, count), long = timed(lambda: altmin.full_form(scene.mics, mix, *limits))
    reference = f"full form, NumPy: {count} iterations, {long / 10:.3g} s/s"
    return Measured(float(np.abs(found - full).max()), short / 10, reference)


# --- 1.3 -------------------------------------------------------------------------------------------------------------

def _demix_exact() -> Measured:
    scene = sts.scene_a()
    unmixing = unmix.unmixing_of("Λ", sts.UNIFORM)
    found, seconds = timed(lambda: demix.apply(unmixing, scene.mics))
    return Measured(float(sts.sdr(scene.images, found).min()), seconds / 10)


def _demix_file() -> Measured:
    """Measure what a user gets: float32 in and out."""
    scene = sts.scene_a()
    system = Demix("; ".join(" ".join(map(str, row)) for row in sts.UNIFORM))
    system.fit(_passage(scene.mics))
    parts, seconds = timed(lambda: system.separate(_passage(scene.mics)))
    return Measured(float(sts.sdr(scene.images, np.concatenate(list(parts.values()))).min()), seconds / 10)


def _demix_blocks() -> Measured:
    scene = sts.scene_a()
    unmixing = unmix.unmixing_of("Λ", sts.UNIFORM)
    whole = demix.apply(unmixing, scene.mics)
    blocks = [demix.apply(unmixing, scene.mics[:, n : n + 64]) for n in range(0, scene.mics.shape[1], 64)]
    return Measured(float(np.abs(np.concatenate(blocks, axis=1) - whole).max()))


def _demix_more_mics() -> Measured:
    dry = sts.sources()
    rng = np.random.default_rng(0)
    mixing = rng.uniform(0.05, 0.31, (5, 4))
    mixing[np.arange(4), np.arange(4)] = 1
    found = demix.apply(unmix.unmixing_of("Λ", mixing), mixing @ dry)
    return Measured(float(np.abs(found - dry).max()))


# --- 1.4, 2.1 --------------------------------------------------------------------------------------------------------

@cache
def _ratio_draws() -> tuple[tuple[float, ...], float]:
    """Return the errors over the draws of the author's generator, and seconds per second."""
    errors, seconds = [], 0.0
    for seed in range(_DRAWS):
        scene = sts.scene_b(seed, least=0.6)
        assert scene.mixing is not None
        noise = np.random.default_rng(1000 + seed).standard_normal(scene.mics.shape)
        level = np.sqrt(np.mean(scene.mics**2, axis=1, keepdims=True)) * 10 ** (-_MIC_SDR_DB / 20)
        system, passage = Ratio(), _passage(scene.mics + level * noise)
        seconds += 10 * _cost(system, passage)
        errors.append(_wrong(system.mixing, scene.mixing))
    return tuple(errors), seconds / _DRAWS / 10


def _ratio_median() -> Measured:
    errors, cost = _ratio_draws()
    return Measured(float(np.median(errors)), cost)


def _ratio_good() -> Measured:
    errors, cost = _ratio_draws()
    return Measured(float(np.sum(np.array(errors) <= 0.01)), cost)


def _fastica() -> Measured:
    scene = sts.scene_a()
    passage, system = _passage(scene.mics), Fastica()
    system.fit(passage)
    from sklearn.decomposition import FastICA

    theirs, cost = timed(
        lambda: FastICA(whiten="unit-variance", max_iter=500, tol=1e-5, random_state=0).fit(scene.mics.T)
    )
    figure = _wrong(ica.own_mixing(theirs.components_), sts.UNIFORM)
    return Measured(
        _wrong(np.linalg.inv(system.unmixing), sts.UNIFORM), _cost(system, passage),
        f"{version('scikit-learn')} (which is used): {figure:.3f}, {cost / 10:.3g} s/s",
    )


# --- AuxIVA ----------------------------------------------------------------------------------------------------------

@cache
def _talkers() -> tuple[sts.Signal, sts.Signal]:
    """Return mics and images of two talkers (noise with the loudness of syllables) in the room of Scene C, 10 s.

    AuxIVA tells sources apart by bins that sound together. The notes of Scene C's band share few bins and sound on
    one grid: there AuxIVA does harm, by any implementation. What it was made for is this.
    """
    import pyroomacoustics as pra
    from scipy.signal import lfilter

    rng = np.random.default_rng(1)
    frames, syllable = 10 * sts.RATE, sts.RATE // 10
    size = (13.5, 7.0, 7.0)
    absorption, order = pra.inverse_sabine(0.25, size)
    room = pra.ShoeBox(size, fs=sts.RATE, materials=pra.Material(absorption), max_order=order)
    for place in ((3, 5, 1), (5.5, 5.5, 1)):
        loudness = np.repeat(rng.gamma(0.5, 2, frames // syllable + 1), syllable)[:frames]
        loudness = np.convolve(loudness, np.hanning(syllable // 2) / (syllable / 4), "same")
        sound = lfilter([1.0], [1.0, -0.9], rng.standard_normal(frames)) * loudness
        room.add_source(place, signal=0.1 * sound / np.sqrt(np.mean(sound**2)))
    room.add_microphone_array(np.array([(3, 4.5, 1), (5.5, 5, 1)]).T)
    every = np.asarray(room.simulate(return_premix=True))[:, :, :frames].transpose(1, 0, 2)
    return every.sum(axis=1), every[[0, 1], [0, 1]].copy()


def _gain(system: Separator, first: int, mics: sts.Signal, images: sts.Signal) -> tuple[float, float]:
    """Return the mean improvement from a sample on, dB, and seconds per second."""
    passage = _passage(mics)
    cost = _cost(system, passage)
    own = np.concatenate(list(system.separate(passage).values()))
    better = sts.sdr(images[:, first:], own[:, first:]) - sts.sdr(images[:, first:], mics[:, first:])
    return float(better.mean()), cost


def _auxiva(causal: bool) -> Measured:
    mics, images = _talkers()
    first = mics.shape[1] // 2 if causal else 0
    value, cost = _gain(Auxiva(window=2048, causal=causal), first, mics, images)
    theirs, seconds = _gain(Auxiva(window=2048), first, mics, images)
    band = sts.scene_c()
    harm = _gain(Auxiva(window=2048, causal=causal), 0, band.mics, band.images)[0]
    name = version("pyroomacoustics") + ("" if causal else " (which is used)")
    return Measured(value, cost, f"{name}: {theirs:.1f} dB, {seconds:.2g} s/s; on Scene C we get {harm:.1f} dB")


CHECKS: tuple[Check, ...] = (
    Check("1.1", "mixture model", "Scene A: SDR of the mics, distance from 15.3", 0.1, False, "dB", _mixture_level),
    Check("1.1", "mixture model", "Scene A: X pinv(S) against Λ", 1e-10, False, "", _mixture_inverse),
    Check("1.2", "altmin", "Scene A, m = ΣS, b = 1: largest error of Λ", 0.01, False, "", _altmin_clean),
    Check("1.2", "altmin", "Scene A at tolerances 1e-2 and 1: distance from 0.0995 and 0.0957", 1e-4, False, "",
          _altmin_published),
    Check("1.2", "altmin", "Scene A, m = ΣX: distance of all gains from γ1", 1e-12, False, "", _altmin_own_mix),
    Check("1.2", "altmin", f"Scene B, m = ΣS: median over {_B_DRAWS} draws of the largest error of Λ", 0.12, False, "",
          _altmin_draws),
    Check("1.2", "altmin", "Scene B, m = ΣS, draw 5: largest error of Λ", 0.06, False, "",
          lambda: _altmin_scene_b(5)),
    Check("1.2", "altmin", "Scene A: full form against Gram form", 1e-9, False, "", _altmin_forms),
    Check("1.3", "demix", "Scene A, true Λ, float64", 100.0, True, "dB SDR", _demix_exact),
    Check("1.3", "demix", "Scene A, true Λ, files", 100.0, True, "dB SDR", _demix_file),
    Check("1.3", "demix", "Scene A: blocks of 64 against the whole", 1e-12, False, "", _demix_blocks),
    Check("1.3", "demix", "5 mics, 4 sources: largest error", 1e-9, False, "", _demix_more_mics),
    Check("1.4", "ratio", "20 draws, noise at -50 dB: median error of Λ", 0.001, False, "", _ratio_median, slow=True),
    Check("1.4", "ratio", "20 draws, noise at -50 dB: within 0.01", 18.0, True, "of 20", _ratio_good, slow=True),
    Check("2.1", "fastica", "Scene A: largest error of Λ", 0.06, False, "", _fastica),
    # Not of SYSTEMS.md. Where pyroomacoustics gets 15.6 dB, two thirds and half of it mean that nothing is broken.
    Check("beyond", "auxiva", "two talkers in Scene C's room, batch: mean gain", 10.0, True, "dB SDR",
          lambda: _auxiva(False), slow=True),
    Check("beyond", "auxiva", "two talkers in Scene C's room, online, last 5 of 10 s: mean gain", 8.0, True, "dB SDR",
          lambda: _auxiva(True), slow=True),
)
