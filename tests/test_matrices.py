"""Mixtures by gains and AuxIVA: each kernel against a twin or a closed form, each option, each refusal."""

from __future__ import annotations

import pathlib
from typing import Any

import naive_matrices as naive
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from rtsep.bench import sts
from rtsep.errors import InputError
from rtsep.runner import process
from rtsep.stage import Format
from rtsep.stages.unmix import Unmixing
from rtsep.systems import altmin, auxiva, demix, ica, ratio
from rtsep.systems.altmin import Altmin, AltminLive
from rtsep.systems.auxiva import Auxiva, AuxivaLive
from rtsep.systems.demix import Demix
from rtsep.systems.fastica import Fastica, FasticaLive
from rtsep.systems.ratio import Ratio
from rtsep.systems.separator import Audio, Passage, Separator
from rtsep_kernels import altmin as altmin_kernels
from rtsep_kernels import auxiva as auxiva_kernels
from rtsep_kernels.maths import linear

RATE = 16000
NAMES = ("a", "b", "c", "d", "e")
MIXING = np.array([[1, 0.3, 0.1], [0.2, 1, 0.3], [0.25, 0.1, 1]])
OTHER = np.array([[1, 0.05, 0.4], [0.35, 1, 0.1], [0.1, 0.4, 1]])


def sources(k: int, frames: int, seed: int = 0) -> NDArray[np.float64]:
    """Return noise that comes and goes: independent, sparse and heavy-tailed."""
    rng = np.random.default_rng(seed)
    playing = (rng.random((k, frames // 800 + 1)) > 0.4).repeat(800, 1)[:, :frames]
    return 0.1 * rng.laplace(size=(k, frames)) * playing


def passage(sound: NDArray[Any], rate: int = RATE) -> Passage:
    return Passage(np.ascontiguousarray(sound, np.float32), rate, NAMES[: len(sound)])


def separated(system: Separator, sound: NDArray[Any], rate: int = RATE) -> Audio:
    given = passage(sound, rate)
    system.fit(given)
    return np.concatenate(list(system.separate(given).values()))


def run(stage: Any, sound: NDArray[Any]) -> Audio:
    stage.prepare(Format(RATE, len(sound)))
    return process(stage, np.ascontiguousarray(sound, np.float32))


# ------------------------------------------------------------------ small linear algebra

@pytest.mark.parametrize("n", [1, 2, 3, 7, 16])
def test_small_matrices_are_numpys(n: int) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.standard_normal((n, n)), rng.standard_normal((n, n))
    room = n + 2   # scratch may be larger than what counts
    big = np.full((6, room, room), np.nan)
    big[0, :n, :n], big[1, :n, :n] = a, b
    linear.times(big[0], big[1], n, n, n, big[2])
    np.testing.assert_allclose(big[2, :n, :n], a @ b, atol=1e-12)
    linear.gram(big[0], n, n, big[2])
    np.testing.assert_allclose(big[2, :n, :n], a.T @ a, atol=1e-12)
    big[3] = big[1]
    linear.solve(big[2], big[3], n, n)
    np.testing.assert_allclose(big[3, :n, :n], np.linalg.solve(a.T @ a, b), rtol=1e-7, atol=1e-9)
    symmetric = a + a.T
    big[2, :n, :n] = symmetric
    linear.eigen(big[2], big[3], n)
    np.testing.assert_allclose(np.sort(np.diag(big[2, :n, :n])), np.linalg.eigvalsh(symmetric), atol=1e-12)
    vectors = big[3, :n, :n]
    np.testing.assert_allclose(vectors @ np.diag(np.diag(big[2, :n, :n])) @ vectors.T, symmetric, atol=1e-12)
    big[2] = big[0]
    linear.decorrelate(big[2], n, big[3], big[4], big[5])
    np.testing.assert_allclose(big[2, :n, :n], naive.orthonormal(a), atol=1e-8)


@pytest.mark.parametrize("n", [1, 2, 5, 16])
def test_the_inverse_has_its_guard(n: int) -> None:
    rng = np.random.default_rng(n)
    lam = np.eye(n) + 0.2 * rng.random((n, n)) * (1 - np.eye(n))
    condition = np.linalg.cond(lam)
    out, product, vectors = np.zeros((3, n, n))
    assert linear.pseudo_inverse(lam, n, condition * 1.01 + 1e-9, out, product, vectors)
    np.testing.assert_allclose(out, np.linalg.inv(lam), atol=1e-10)
    if n > 1:
        assert not linear.pseudo_inverse(lam, n, condition * 0.99, out, product, vectors)
    assert not linear.pseudo_inverse(np.full((n, n), np.nan), n, 20.0, out, product, vectors)


@pytest.mark.parametrize("seed", range(20))
def test_assignment_is_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 17))
    cost = rng.integers(0, 5, (n, n)).astype(float) if seed % 2 else rng.exponential(size=(n, n))
    column = np.zeros(n, np.int64)
    linear.assign(cost, n, column, np.zeros((2, n + 1)), np.zeros((2, n + 1)), np.zeros((2, n + 1), np.int64))
    assert sorted(column) == list(range(n))
    assert cost[np.arange(n), column].sum() == pytest.approx(cost[linear_sum_assignment(cost)].sum())


# ------------------------------------------------------------------ altmin

def with_mix(mixing: NDArray[np.float64], dry: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.vstack([mixing @ dry, dry.sum(axis=0)])


@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("k", [2, 5])
def test_the_gram_form_is_the_published_one(k: int, learn: bool) -> None:
    dry = sources(k, 8000)
    mixing = np.eye(k) + 0.2 * np.random.default_rng(k).random((k, k)) * (1 - np.eye(k))
    both = with_mix(mixing, dry)
    limits = (learn, 0.01, 0.4, 1e-5, 1e-6, 40)
    short = altmin.gram_form(both @ both.T, *limits)
    long = altmin.full_form(both[:-1], both[-1], *limits)
    assert short[2] == long[2]
    np.testing.assert_allclose(short[0], long[0], atol=1e-9)
    np.testing.assert_allclose(short[1], long[1], atol=1e-9)
    assert (np.abs(short[1] - 1).max() > 1e-3) == learn


def test_learning_the_mix_costs_what_is_reported() -> None:
    """SYSTEMS.md §0.3-2: 0.069 instead of 0.1."""
    scene = sts.scene_a()
    both = with_mix(sts.UNIFORM, scene.sources)
    found = altmin.gram_form(both @ both.T, True, 0.001, 0.5, 1e-5, 1e-3, 1000)[0]
    assert found[~np.eye(4, dtype=bool)].min() == pytest.approx(0.069, abs=0.002)


@pytest.mark.parametrize("place", [0, 1, 2, 4])
def test_the_mix_may_be_any_channel(place: int) -> None:
    dry = sources(3, 16000)
    mixing = np.full((3, 3), 0.1) + 0.9 * np.eye(3)
    both = np.insert(mixing @ dry, (place or 4) - 1, dry.sum(axis=0), axis=0)
    system = Altmin(mix=place)
    out = separated(system, both)
    np.testing.assert_allclose(system.mixing, mixing, atol=0.01)
    mics = [c for c in range(4) if c != (place or 4) - 1]
    assert sts.sdr(dry, out[mics]).min() > 35
    np.testing.assert_array_equal(np.delete(out, mics, axis=0)[0], both[(place or 4) - 1].astype(np.float32))


def test_options_of_altmin_do_what_they_say() -> None:
    dry = sources(3, 16000)
    both = with_mix(MIXING, dry)
    found = {}
    for name, system in {
        "gram": Altmin(), "full": Altmin(form="full"), "low": Altmin(low=0.2), "high": Altmin(high=0.15),
        "one": Altmin(iterations=1), "loose": Altmin(tolerance=0.1), "learn": Altmin(learn=True),
    }.items():
        system.fit(passage(both))
        found[name] = system
    np.testing.assert_allclose(found["full"].mixing, found["gram"].mixing, atol=1e-9)
    assert found["full"].count == found["gram"].count
    assert found["low"].mixing.min() == 0.2
    assert found["high"].mixing[~np.eye(3, dtype=bool)].max() == 0.15
    assert found["one"].count == 1
    assert 1 < found["loose"].count < found["gram"].count
    assert np.ptp(found["learn"].weights) > 1e-3
    # The same at any level: what ends the iterations is a share.
    quiet = Altmin()
    quiet.fit(passage(both * 2.0**-10))
    np.testing.assert_allclose(quiet.mixing, found["gram"].mixing, atol=1e-12)


def test_altmin_refuses_what_it_cannot_use() -> None:
    both = with_mix(MIXING, sources(3, 4000))
    silent = both.copy()
    silent[3] = 0
    for system, sound, words in (
        (Altmin(), both[:2], "2 channels"), (Altmin(mix=9), both, "no channel 9"),
        (Altmin(), silent, "channel 4 is silent"), (Altmin(low=0.4, high=0.1), both, "above high"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            system.fit(passage(sound))
        assert "\n" not in str(caught.value)


def test_live_altmin_is_algorithm_1_on_samples_that_fade() -> None:
    """The stage's matrix against the published form with samples weighted by their age."""
    segments, every, memory_s = 200, 0.1, 0.3
    both = with_mix(MIXING, sources(3, 64 * segments)).astype(np.float32)
    stage = AltminLive(memory_s=memory_s, every_s=every, tolerance=1e-9, ramp_ms=20.0)
    run(stage, both)
    period = round(every * RATE / 64)
    seen = 175   # the last multiple of the period that leaves time for the iterations and the ramp
    assert seen % period == 0
    age = (seen - 1 - np.arange(64 * seen) // 64) * 64 / RATE
    weighted = both[:, : 64 * seen] * np.exp(-age / memory_s / 2)
    total = np.sum(weighted[:3] ** 2)
    mixing, _, count = altmin.full_form(
        weighted[:3], weighted[3], False, 0.001, 0.5, altmin_kernels.RIDGE * total, 1e-9 * total, 1000
    )
    assert count < 20
    truth = np.eye(4)
    truth[:3, :3] = np.linalg.inv(mixing)
    np.testing.assert_allclose(stage.unmixing, truth, atol=1e-6)
    assert np.abs(truth - np.eye(4)).max() > 0.1


def test_live_altmin_finds_the_mix_where_it_is() -> None:
    both = with_mix(MIXING, sources(3, RATE)).astype(np.float32)
    last = run(AltminLive(every_s=0.1, memory_s=0.5), both)
    assert np.abs(last - both).max() > 0.01
    for place in (1, 2, 3):
        moved = run(AltminLive(mix=place, every_s=0.1, memory_s=0.5), np.insert(both[:3], place - 1, both[3], axis=0))
        np.testing.assert_allclose(np.delete(moved, place - 1, axis=0), last[:3], atol=1e-6)


def test_live_altmin_follows_a_change() -> None:
    dry = sources(3, 6 * RATE)
    uniform = [np.full((3, 3), gain) + (1 - gain) * np.eye(3) for gain in (0.1, 0.3)]
    both = np.concatenate([with_mix(lam, half) for lam, half in zip(uniform, np.split(dry, 2, axis=1), strict=True)], 1)
    stage = AltminLive(memory_s=0.3, every_s=0.2)
    found = []
    stage.prepare(Format(RATE, 4))
    for part in np.split(both, 2, axis=1):
        process(stage, np.ascontiguousarray(part, np.float32))
        found.append(np.linalg.inv(stage.unmixing.astype(float)[:3, :3]))
    for lam, wanted in zip(found, uniform, strict=True):
        assert np.abs(lam - wanted).max() < 0.04
    # What never forgets is still between the two.
    slow = AltminLive(memory_s=600.0, every_s=0.2)
    run(slow, both)
    assert np.abs(np.linalg.inv(slow.unmixing.astype(float)[:3, :3]) - uniform[1]).max() > 0.08


def test_live_altmin_learns_nothing_from_a_silent_mix_or_when_told() -> None:
    both = with_mix(MIXING, sources(3, RATE))
    silent = both.copy()
    silent[3] = 0
    np.testing.assert_array_equal(run(AltminLive(every_s=0.1), silent), silent.astype(np.float32))
    quiet = both * 1e-5
    np.testing.assert_array_equal(run(AltminLive(every_s=0.1), quiet), quiet.astype(np.float32))
    stage = AltminLive(every_s=0.1)
    stage.prepare(Format(RATE, 4))
    stage.board.set("altmin.adapt", 0)
    np.testing.assert_array_equal(process(stage, both.astype(np.float32)), both.astype(np.float32))
    stage.board.set("altmin.adapt", 1)
    assert np.abs(process(stage, both.astype(np.float32)) - both).max() > 0.01
    # Nor is a matrix taken that would amplify noise; nor is there anything to learn with one mic.
    np.testing.assert_array_equal(run(AltminLive(every_s=0.1, max_condition=1.2), both), both.astype(np.float32))
    alone = with_mix(np.eye(1), sources(1, RATE)).astype(np.float32)
    np.testing.assert_array_equal(run(AltminLive(every_s=0.1), alone), alone)


@pytest.mark.parametrize(("channels", "make"), [
    (4, lambda ramp: AltminLive(every_s=0.5, memory_s=0.2, ramp_ms=ramp)),
    (3, lambda ramp: FasticaLive(window_s=0.5, kept=2048, steps=5, ramp_ms=ramp)),
])
def test_a_new_matrix_comes_without_a_step(channels: int, make: Any) -> None:
    both = with_mix(MIXING, sources(3, RATE))[:channels]
    longest = {}
    for ramp in (20.0, 100.0):
        stage: Unmixing = make(ramp)
        stage.prepare(Format(RATE, channels))
        before: NDArray[Any] = np.eye(channels)
        moved = []
        for segment in np.split(both, RATE // 64, axis=1):
            process(stage, np.ascontiguousarray(segment, np.float32))
            moved.append(np.abs(stage.unmixing - before).max())
            before = stage.unmixing
        longest[ramp] = max(moved)
        assert longest[ramp] > 0.003
        assert np.count_nonzero(moved) >= ramp / 4 - 1
    assert longest[100.0] < 0.3 * longest[20.0]


def test_a_shadow_follows_in_step() -> None:
    both = with_mix(MIXING, sources(3, RATE)).astype(np.float32)
    alone = both * np.array([[1], [0], [0], [0]], np.float32)
    stage = AltminLive(every_s=0.1)
    stage.prepare(Format(RATE, 4))
    shadow = stage.shadow()
    for n in range(0, RATE, 64):
        process(stage, np.ascontiguousarray(both[:, n : n + 64]))
        now = process(shadow, np.ascontiguousarray(alone[:, n : n + 64]))
    np.testing.assert_allclose(now, stage.unmixing @ alone[:, -64:], atol=1e-6)
    assert np.abs(now - alone[:, -64:]).max() > 1e-3


# ------------------------------------------------------------------ demix

def test_demix_takes_numbers_and_files(tmp_path: pathlib.Path) -> None:
    dry = sources(3, 2000)
    (tmp_path / "lam.txt").write_text("1, 0.3, 0.1\n0.2, 1, 0.3\n\n0.25, 0.1, 1\n")
    for mixing in ("1 .3 .1; .2 1 .3; .25 .1 1", str(tmp_path / "lam.txt"), "2 .6 .1; .4 2 .3; .5 .2 1"):
        np.testing.assert_allclose(separated(Demix(mixing), MIXING @ dry), dry, atol=1e-6)
    tall = np.vstack([MIXING, [0.2, 0.2, 0.2]])
    system = Demix("; ".join(" ".join(map(str, row)) for row in tall))
    out = separated(system, tall @ dry)
    np.testing.assert_allclose(out, dry, atol=1e-6)
    assert list(system.separate(passage(tall @ dry))) == ["a", "b", "c"]


def test_regularisation_is_the_formula() -> None:
    gram = MIXING.T @ MIXING
    truth = np.linalg.inv(gram + 0.1 * np.trace(gram) / 3 * np.eye(3)) @ MIXING.T
    np.testing.assert_allclose(demix.unmixing_of("x", MIXING, regularisation=0.1), truth, atol=1e-12)
    system = Demix("1 .9; .9 1", max_condition=30.0, regularisation=0.5)
    assert np.abs(separated(system, sources(2, 100))).max() < np.abs(
        separated(Demix("1 .9; .9 1"), sources(2, 100))
    ).max()


@pytest.mark.parametrize(("mixing", "channels", "words"), [
    ("", 2, "no mixing matrix"), ("1 x; 2 1", 2, "no matrix"), ("1 .1; 1", 2, "no matrix"),
    ("1 .1 .1; .1 1 .1", 2, "shape"), ("1 .1; .1 1", 3, "3 channels"), ("1 1; 1 1", 2, "condition"),
    ("0 1; 1 1", 2, "diagonal"), ("nan 1; 1 1", 2, "shape"),
])
def test_demix_refuses_what_is_no_mixing(mixing: str, channels: int, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        Demix(mixing).fit(passage(sources(channels, 100)))
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------ fastica, ratio

def test_live_fastica_is_its_twin() -> None:
    """Three windows, each from where the last one ended."""
    window_s, kept, steps = 0.2, 800, 4
    window = 64 * round(window_s * RATE / 64)
    mics = (MIXING @ sources(3, 4 * window)).astype(np.float32)
    stage = FasticaLive(window_s=window_s, kept=kept, steps=steps, ramp_ms=20.0)
    run(stage, mics)
    own = np.eye(3)
    for n in range(3):
        own = naive.fastica_window(mics[:, n * window : (n + 1) * window : window // kept][:, :kept].astype(float),
                                   own, steps)
    np.testing.assert_allclose(stage.unmixing, own, atol=1e-5)
    assert np.abs(np.linalg.inv(own) - MIXING).max() < 0.1


def test_live_fastica_finds_gains_and_follows_them() -> None:
    dry = sources(3, 8 * RATE)
    stage = FasticaLive(window_s=1.0)
    stage.prepare(Format(RATE, 3))
    for lam, half in ((MIXING, dry[:, : 4 * RATE]), (OTHER, dry[:, 4 * RATE :])):
        out = process(stage, (lam @ half).astype(np.float32))
        late = slice(5 * RATE // 2, None)
        assert (sts.sdr(half[:, late], out[:, late]) - sts.sdr(half[:, late], (lam @ half)[:, late])).min() > 8


def test_live_fastica_holds_what_it_cannot_know() -> None:
    mics = MIXING @ sources(3, RATE)
    rng = np.random.default_rng(0)
    silent, twice = mics.copy(), mics.copy()
    silent[1], twice[1] = 0, mics[0]
    gaussian = MIXING @ (0.1 * rng.standard_normal((3, RATE)))
    upside = mics[[1, 0, 2]]   # each louder in the other's mic: order cannot be told from swapped names
    for sound in (silent, twice, gaussian, mics * 1e-5):
        np.testing.assert_array_equal(run(FasticaLive(window_s=0.3), sound), sound.astype(np.float32))
    assert np.isfinite(run(FasticaLive(window_s=0.3), upside)).all()
    np.testing.assert_array_equal(
        run(FasticaLive(window_s=0.3, max_condition=1.1), mics), mics.astype(np.float32)
    )
    stage = FasticaLive(window_s=0.3)
    stage.prepare(Format(RATE, 3))
    stage.board.set("fastica.adapt", 0)
    np.testing.assert_array_equal(process(stage, mics.astype(np.float32)), mics.astype(np.float32))


def test_fastica_options_and_refusals() -> None:
    dry = sources(3, RATE)
    mics = MIXING @ dry
    good = separated(Fastica(), mics)
    assert sts.sdr(dry, good).min() > 20
    np.testing.assert_array_equal(separated(Fastica(), mics), good)   # nothing is left to chance
    errors = [np.abs(np.linalg.inv(s.unmixing) - MIXING).max()
              for s in (Fastica(), Fastica(iterations=1), Fastica(tolerance=1.0), Fastica(samples=200))
              if s.fit(passage(mics)) is None]
    assert all(error > errors[0] + 1e-3 for error in errors[1:])
    for system in (Fastica(), Ratio(), Auxiva()):
        with pytest.raises(InputError, match="1 channel;"):
            system.fit(passage(mics[:1]))


def test_the_mode_of_ratios() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([0.2 + 0.001 * rng.standard_normal(500), rng.uniform(0.1, 0.3, 1000)])
    weights = rng.random(1500) + 0.5
    found = ratio.mode(values, weights, 0.004, 1.5)
    assert found == pytest.approx(0.2, abs=5e-4)
    # Two modes as high as each other: neither is believed.
    both = np.concatenate([values[:500], values[:500] + 0.05])
    assert ratio.mode(both, np.ones(1000), 0.004, 1.5) is None
    assert ratio.mode(both, np.ones(1000), 0.004, 1.0) is not None
    assert ratio.mode(np.zeros(0), np.zeros(0), 0.004, 1.5) is None


def test_ratio_refines_what_fastica_found_and_falls_back() -> None:
    scene = sts.scene_b()
    assert scene.mixing is not None
    given = passage(scene.mics, sts.RATE)
    coarse = Fastica()
    coarse.fit(given)
    first = np.abs(np.linalg.inv(coarse.unmixing) - scene.mixing).max()
    fine = Ratio()
    fine.fit(given)
    assert np.abs(fine.mixing - scene.mixing).max() < min(1e-3, first / 10)
    doubting = Ratio(clearer=100.0)
    doubting.fit(given)
    np.testing.assert_allclose(doubting.mixing, np.linalg.inv(coarse.unmixing), atol=1e-9)
    # A reach that does not hold the truth finds something else; a wide kernel and a short window blur.
    for system in (Ratio(reach=first / 3), Ratio(width=0.05), Ratio(window=256)):
        system.fit(given)
        assert np.abs(system.mixing - scene.mixing).max() > 2 * np.abs(fine.mixing - scene.mixing).max()


def test_own_mixing_inverts_own_scale() -> None:
    scrambled = np.linalg.inv(MIXING)[[2, 0, 1]] * np.array([[-3.0], [0.1], [7.0]])
    np.testing.assert_allclose(ica.own_mixing(scrambled), MIXING, atol=1e-12)


# ------------------------------------------------------------------ auxiva

def test_online_auxiva_is_its_twin() -> None:
    rng = np.random.default_rng(0)
    k, frames, bins, row = 3, 40, 5, 16
    loud = rng.gamma(0.5, 2, (k, frames, 1))
    dry = loud * (rng.standard_normal((k, frames, bins)) + 1j * rng.standard_normal((k, frames, bins)))
    mixing = np.eye(k) + 0.3 * (rng.standard_normal((bins, k, k)) + 1j * rng.standard_normal((bins, k, k)))
    spectra = np.einsum("fij,jnf->inf", mixing, dry)
    re, im = np.zeros((2, frames, k, row), np.float32)
    re[..., :bins], im[..., :bins] = spectra.real.swapaxes(0, 1), spectra.imag.swapaxes(0, 1)
    values = auxiva.first_values(auxiva.Sizes(k, bins, row, 512, 64, RATE), 0.1)
    values |= {"memory": np.float32(0.9), "warm": 10, "quiet": np.float32(0)}
    auxiva_kernels.separate(re, im, **values, work=np.empty((2 * k + 5, row), np.float32))
    found = (re + 1j * im)[..., :bins].swapaxes(0, 1)
    # The kernel's mean power is over its padding, too.
    loading, alike = float(auxiva_kernels.LOADING) * bins / row, float(auxiva_kernels.ALIKE)
    truth = naive.auxiva(spectra, 0.9, 10, loading, alike)
    np.testing.assert_allclose(found, truth, atol=2e-3 * np.abs(truth).max())
    np.testing.assert_allclose(found[:, :10], spectra[:, :10], rtol=1e-3, atol=1e-4)
    assert np.abs(truth - spectra)[:, 11:].max() > 0.1 * np.abs(truth).max()


def delayed(seed: int = 0, frames: int = 6 * RATE) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mics and images of two sources, each in the other's mic later and filtered."""
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.gamma(0.5, 2, (2, frames // 1600 + 1)), 1600, axis=1)[:, :frames]
    dry = 0.1 * rng.standard_normal((2, frames)) * loud
    mics = dry.copy()
    for i, (lag, gain) in enumerate(((23, 0.5), (31, 0.4))):
        mics[i, lag:] += gain * dry[1 - i, :-lag]
        mics[i, 2 * lag :] -= 0.2 * dry[1 - i, : -2 * lag]
    return mics, dry


@pytest.mark.parametrize("causal", [False, True])
def test_auxiva_undoes_delays_where_gains_cannot(causal: bool) -> None:
    mics, dry = delayed()
    late = slice(3 * RATE, None)
    before = sts.sdr(dry[:, late], mics[:, late])
    out = separated(Auxiva(512, 20, causal, 1.0), mics)
    assert (sts.sdr(dry[:, late], out[:, late]) - before).min() > 8
    gains = separated(Fastica(), mics)
    assert (sts.sdr(dry[:, late], gains[:, late]) - before).max() < 3


def test_auxiva_options() -> None:
    mics, dry = delayed()
    gains = {}
    for name, system in {
        "best": Auxiva(512, 20), "short window": Auxiva(64, 20), "few": Auxiva(512, 1),
        "online": Auxiva(512, 20, True, 1.0), "forgetful": Auxiva(512, 20, True, 0.2),
    }.items():
        gains[name] = float(np.mean(sts.sdr(dry[:, 3 * RATE :], separated(system, mics)[:, 3 * RATE :])))
    assert gains["best"] > max(gains["short window"], gains["few"]) + 1
    assert gains["online"] > gains["forgetful"] + 1


def test_live_auxiva_freezes_and_ignores_silence() -> None:
    mics, _ = delayed()
    sound = np.ascontiguousarray(mics[:, : 2 * RATE], np.float32)
    stage = AuxivaLive("auxiva", 512, 512, 64, 0.3)
    stage.prepare(Format(RATE, 2))
    process(stage, sound)
    unmixing = stage.system["unmixing"]
    learnt = unmixing.copy()
    assert np.abs(learnt[0, 1]).max() > 0.01
    process(stage, np.zeros_like(sound))
    process(stage, np.zeros_like(sound))
    kept = unmixing.copy()
    process(stage, np.zeros_like(sound))
    np.testing.assert_array_equal(unmixing, kept)   # once the window holds nothing but silence
    stage.board.set("auxiva.adapt", 0)
    out = process(stage, sound)
    np.testing.assert_array_equal(unmixing, kept)
    assert np.abs(out).max() > 0.01


@pytest.mark.parametrize("case", ["a sum", "the same", "a dead mic", "one source", "a tone", "loud"])
def test_online_auxiva_survives_what_has_no_inverse(case: str) -> None:
    """More channels than sources: covariances without full rank, for a long time."""
    frames = 8 * RATE
    mics = MIXING @ sources(3, frames)
    if case == "a sum":
        mics = with_mix(MIXING, sources(3, frames))
    elif case == "the same":
        mics[1] = mics[0]
    elif case == "a dead mic":
        mics[1] = 0
    elif case == "one source":
        mics = MIXING[:, :1] * mics[0]
    elif case == "a tone":
        mics = MIXING @ np.sin(np.arange(frames) * np.array([[0.1], [0.1], [0.2]])) * 0.1
    else:
        mics *= 1e4
    out = separated(Auxiva(256, causal=True, memory_s=0.3), mics)
    assert np.isfinite(out).all()
    assert np.abs(out).max() < 3 * np.abs(mics).max()


# ------------------------------------------------------------------ all

SYSTEMS: dict[str, Any] = {
    "altmin": lambda: Altmin(), "altmin causal": lambda: Altmin(causal=True, every_s=0.1),
    "demix": lambda: Demix("1 .1 .1 .1; .1 1 .1 .1; .1 .1 1 .1; .1 .1 .1 1"),
    "fastica": lambda: Fastica(), "fastica causal": lambda: Fastica(causal=True, window_s=0.2),
    "ratio": lambda: Ratio(512), "auxiva": lambda: Auxiva(256, 3), "auxiva causal": lambda: Auxiva(256, causal=True),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_keeps_its_promises(name: str) -> None:
    """Parts by name, input untouched, silence and a dead mic without NaN, causal learning kept between passages."""
    sound = with_mix(MIXING, sources(3, RATE)).astype(np.float32)
    system, given = SYSTEMS[name](), passage(sound)
    copy = sound.copy()
    system.fit(given)
    parts = system.separate(given)
    assert list(parts) == list(NAMES[:4])
    assert all(part.shape == (1, RATE) and part.dtype == np.float32 for part in parts.values())
    np.testing.assert_array_equal(sound, copy)
    silence = system.separate(Passage(np.zeros_like(sound), RATE, NAMES[:4], RATE))
    assert np.abs(np.concatenate(list(silence.values()))[:, -100:]).max() < 1e-6
    short = system.separate(Passage(sound[:, :1].copy(), RATE, NAMES[:4], RATE))
    assert all(part.shape == (1, 1) for part in short.values())
    dead = sound.copy()
    dead[1] = 0
    assert np.isfinite(separated(SYSTEMS[name](), dead)).all()
    if name != "altmin":
        everything = np.zeros_like(sound)
        if "altmin" not in name:
            assert not separated(SYSTEMS[name](), everything).any()


@pytest.mark.parametrize("name", ["altmin causal", "fastica causal", "auxiva causal"])
def test_a_later_passage_begins_with_what_was_learnt(name: str) -> None:
    sound = (MIXING @ sources(3, 3 * RATE)).astype(np.float32)
    system = SYSTEMS[name]()
    system.fit(passage(sound))
    system.separate(passage(sound))
    first = np.ascontiguousarray(sound[:, : RATE // 10])
    later = system.separate(Passage(first, RATE, NAMES[:3], 3 * RATE))["a"][0]
    anew = system.separate(Passage(first, RATE, NAMES[:3], 0))["a"][0]
    np.testing.assert_allclose(anew, first[0], atol=1e-5)
    assert np.abs(later - first[0]).max() > 1e-2


# ------------------------------------------------------------------ mics that are alike, silent, or hardly there

def levels_db(out: Audio, sound: NDArray[Any]) -> NDArray[np.float64]:
    return 10 * np.log10(np.mean(out.astype(float) ** 2, axis=1) / np.mean(sound**2, axis=1))


@pytest.mark.parametrize("gain", [1.0, -1.0, 0.7, -0.3])
@pytest.mark.parametrize("noise", [0.0, 1e-4])
def test_a_pair_keeps_both_sides(gain: float, noise: float) -> None:
    mics = sources(1, 2 * RATE).repeat(2, 0) * [[1.0], [gain]]
    mics += noise * np.random.default_rng(1).standard_normal(mics.shape)
    for system in (Ratio(), Fastica()):
        np.testing.assert_allclose(levels_db(separated(system, mics), mics), 0, atol=0.1)


def test_mics_that_are_almost_alike_are_not_blown_up() -> None:
    mics = sources(1, 2 * RATE).repeat(2, 0) * [[1.0], [-1.0]] + 0.005 * sources(2, 2 * RATE, seed=3)
    assert levels_db(separated(Ratio(), mics), mics).max() < 1


@pytest.mark.parametrize("silent", [0, 1, 3])
def test_a_silent_mic_changes_nothing_for_the_others(silent: int) -> None:
    mics = MIXING @ sources(3, 2 * RATE)
    with_it = np.insert(mics, silent, 0, axis=0)
    for system in (Ratio(), Fastica()):
        out = separated(system, with_it)
        np.testing.assert_array_equal(out[silent], 0)
        np.testing.assert_allclose(np.delete(out, silent, 0), separated(system, mics), atol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 3, 31])
def test_what_is_too_short_to_learn_from_is_not_blown_up(frames: int) -> None:
    mics = MIXING @ sources(3, 4000)[:, 2000 : 2000 + frames]
    for system in (Ratio(), Fastica(), Auxiva()):
        out = separated(system, mics)
        assert np.abs(out).max() <= 3 * np.abs(mics).max() + 1e-6
