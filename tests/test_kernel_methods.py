"""Systems of section 3 and the cascade of 4.7: against naive twins, closed forms, other libraries; and refusals."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from rtsep.bench import sts
from rtsep.bench.checks import kernels as checks
from rtsep.errors import InputError
from rtsep.stage import Format
from rtsep.systems import kam, masks, repet, repet_sim, yin
from rtsep.systems.cascade import Cascade
from rtsep.systems.cascade import factorise as nmf
from rtsep.systems.separator import Audio, Passage, make
from rtsep.systems.spectrum import Spectrum
from rtsep_kernels import masks as mask_kernels
from rtsep_kernels import repet as repet_kernels
from rtsep_kernels import yin as yin_kernels
from rtsep_kernels.maths import median

RATE = sts.RATE
NAMES = ("masks", "repet", "repet-adaptive", "repet-sim", "kam", "yin", "cascade")


def passage(sound: NDArray[np.floating], first: int = 0) -> Passage:
    sound = np.atleast_2d(sound).astype(np.float32)
    return Passage(sound, RATE, tuple(f"mic{c + 1}" for c in range(len(sound))), first)


def run(system: object, sound: NDArray[np.floating]) -> dict[str, Audio]:
    system.fit(passage(sound))
    return system.separate(passage(sound))


def mixture(channels: int = 2) -> Audio:
    rng = np.random.default_rng(3)
    return ((0.2 + rng.random((channels, 4))) @ sts.sources()[:, : 6 * RATE]).astype(np.float32)


# --- all of them -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_parts_are_finite_and_add_up_and_the_input_is_left_alone(name: str) -> None:
    x = mixture()
    kept = x.copy()
    parts = run(make(name), x)
    np.testing.assert_array_equal(x, kept)
    assert all(part.dtype == np.float32 and np.isfinite(part).all() for part in parts.values())
    if name == "masks":
        assert [part.shape for part in parts.values()] == [(1, x.shape[1])] * 2
    else:
        assert {part.shape for part in parts.values()} == {x.shape}
        np.testing.assert_allclose(sum(parts.values()), x, atol=2e-6)
        assert all(np.abs(part).max() > 1e-3 for part in parts.values())


@pytest.mark.parametrize("name", NAMES)
def test_silence_stays_silent(name: str) -> None:
    for part in run(make(name), np.zeros((2, 4 * RATE))).values():
        np.testing.assert_array_equal(part, 0)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "masks"])
def test_channels_do_not_disturb_each_other(name: str) -> None:
    if name.startswith("repet") and name != "repet-sim":
        pytest.skip("one period for all channels")
    x = mixture()
    both, one = run(make(name), x), run(make(name), x[1:])
    for part in both:
        np.testing.assert_array_equal(both[part][1], one[part][0])


# --- masks -----------------------------------------------------------------------------------------------------------
def powers(count: int = 3) -> Audio:
    power = np.random.default_rng(0).exponential(size=(count, 40, 65)).astype(np.float32) ** 3
    power[:, :4] = 0
    power[0, 4:6] = power[1, 4:6]
    return power


@pytest.mark.parametrize(("mask", "alpha"), [("soft", 1.0), ("wiener", 2.0), ("alpha", 0.6), ("alpha", 2.0)])
def test_masks_are_shares_of_levels(mask: str, alpha: float) -> None:
    power = powers()
    levels = np.sqrt(power.astype(np.float64)) ** alpha
    shares = masks.Masks(mask=mask, alpha=alpha).shares(power)
    audible = power.sum(axis=0) > 1e-3
    wanted = levels / (levels.sum(axis=0) + ~audible)
    np.testing.assert_allclose(shares[:, audible], wanted[:, audible], atol=1e-6)
    np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(shares[:, :4], 1 / 3, atol=1e-6)
    squeezed = masks.Masks(mask=mask, alpha=alpha, logit=True).shares(power)
    np.testing.assert_allclose(squeezed, 1 / (1 + np.exp(-15 * (shares - 0.6))), atol=1e-5)


def test_a_binary_mask_has_one_winner() -> None:
    power = powers()
    shares = masks.Masks(mask="binary").shares(power)
    np.testing.assert_array_equal(shares.argmax(axis=0), power.argmax(axis=0))
    np.testing.assert_array_equal(np.sort(shares, axis=0), np.broadcast_to([[[0]], [[0]], [[1]]], shares.shape))


def naive_filter(x: NDArray[np.complexfloating], images: NDArray[np.complexfloating], extra: float) -> NDArray:
    sources, channels, frames, bins = images.shape
    out = np.zeros(images.shape, complex)
    v = np.mean(np.abs(images) ** 2, axis=1)
    for b in range(bins):
        r = [images[j, :, :, b] @ images[j, :, :, b].conj().T / v[j, :, b].sum() for j in range(sources)]
        for n in range(frames):
            models = [v[j, n, b] * r[j] + extra / sources * np.eye(channels) for j in range(sources)]
            inverse = np.linalg.inv(sum(models))
            for j in range(sources):
                out[j, :, n, b] = models[j] @ inverse @ x[:, n, b]
    return out


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_the_multichannel_filter_is_its_naive_twin(channels: int) -> None:
    rng = np.random.default_rng(1)
    images = rng.standard_normal((3, channels, 12, 5)) + 1j * rng.standard_normal((3, channels, 12, 5))
    images = (images * np.array([1, 0.1, 3])[:, None, None, None]).astype(np.complex64)
    x = images.sum(axis=0)
    wanted = naive_filter(x, images, 1e-8 * float(np.mean(np.abs(x) ** 2)))
    found = masks.filtered(x, images)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    np.testing.assert_allclose(found.sum(axis=0), x, atol=1e-4)


def test_the_multichannel_filter_survives_silence_and_a_single_direction() -> None:
    images = np.random.default_rng(1).standard_normal((2, 1, 30, 5)) * np.ones((1, 3, 1, 1)) + 0j
    images[:, :, :10] = 0
    images[1] = 0
    found = masks.filtered(images.sum(axis=0).astype(np.complex64), images.astype(np.complex64))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=0), images.sum(axis=0), atol=1e-4)
    silent = np.zeros((2, 2, 4, 5), np.complex64)
    np.testing.assert_array_equal(masks.filtered(silent[0], silent), 0)


def stereo(tmp_path: pathlib.Path) -> tuple[NDArray[np.float64], Audio, str]:
    sources, angles = sts.sources()[:, : 4 * RATE], np.array([0.2, 0.6, 1.0, 1.4])
    images = np.stack([np.cos(angles), np.sin(angles)], axis=1)[:, :, None] * sources[:, None]
    path = str(tmp_path / "sources.wav")
    soundfile.write(path, sources.T, RATE, subtype="FLOAT")
    return images, images.sum(axis=0).astype(np.float32), path


def gained(images: NDArray[np.float64], parts: dict[str, Audio]) -> NDArray[np.float64]:
    return np.array([
        float(sts.sdr(image.ravel(), part.ravel())) for image, part in zip(images, parts.values(), strict=True)
    ])


def test_knowing_the_places_is_better_and_is_norberts(tmp_path: pathlib.Path) -> None:
    images, x, path = stereo(tmp_path)
    single = gained(images, run(masks.Masks(sources=path), x))
    parts = run(masks.Masks(mask="multichannel", sources=path), x)
    placed = gained(images, parts)
    twice = gained(images, run(masks.Masks(mask="multichannel", iterations=2, sources=path), x))
    assert (placed > single + 1).all()
    assert twice.mean() > placed.mean()
    np.testing.assert_allclose(sum(parts.values()), x, atol=1e-6)
    norbert = pytest.importorskip("norbert")
    spectrum = Spectrum(2048, 512)
    v = np.abs(spectrum.analyse(sts.sources()[:, : 4 * RATE])).transpose(1, 2, 0)[:, :, None] ** 2
    theirs = norbert.wiener(v, spectrum.analyse(x.astype(float)).transpose(1, 2, 0).copy(), 1)
    found = [spectrum.resynthesise(theirs[..., j].transpose(2, 0, 1), x.shape[1]) for j in range(4)]
    np.testing.assert_allclose(placed, gained(images, dict(enumerate(found))), atol=0.1)


def test_sources_are_read_where_the_passage_is(tmp_path: pathlib.Path) -> None:
    _, x, path = stereo(tmp_path)
    system = masks.Masks(sources=path)
    system.fit(passage(x))
    whole = system.separate(passage(x))["mic2"]
    first = 2 * RATE
    later = system.separate(passage(x[:, first:], first))["mic2"]
    np.testing.assert_allclose(later[:, 4096:-4096], whole[:, first + 4096 : -4096], atol=0.02)
    assert np.corrcoef(later.ravel(), whole[:, first:].ravel())[0, 1] > 0.999
    behind = system.separate(passage(x, 100 * RATE))   # the sources have ended: nobody is louder
    for part in behind.values():
        np.testing.assert_allclose(part, x / 4, atol=1e-6)


def test_what_masks_refuse(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InputError, match="1 channel"):
        run(masks.Masks(), np.zeros(RATE))
    for other in ({"causal": True}, {"logit": True}):
        with pytest.raises(InputError, match="multichannel"):
            run(masks.Masks(mask="multichannel", **other), np.zeros((2, RATE)))
    for rate, channels, words in ((8000, 2, "8000 Hz"), (RATE, 1, "one source")):
        path = str(tmp_path / f"{rate}-{channels}.wav")
        soundfile.write(path, np.zeros((100, channels)), rate)
        with pytest.raises(InputError, match=words):
            run(masks.Masks(sources=path), np.zeros(RATE))
    with pytest.raises(InputError, match="no such file"):
        run(masks.Masks(sources=str(tmp_path / "none.wav")), np.zeros(RATE))


def test_an_equation_is_solved() -> None:
    rng = np.random.default_rng(0)
    half = rng.standard_normal((4, 4)) + 1j * rng.standard_normal((4, 4))
    matrix, x = half @ half.conj().T + np.eye(4), rng.standard_normal(4) + 1j
    wanted = np.linalg.solve(matrix, x)
    mask_kernels.solve(matrix, x)
    np.testing.assert_allclose(x, wanted, atol=1e-12)


# --- medians ---------------------------------------------------------------------------------------------------------
def test_a_median_is_numpys() -> None:
    rng = np.random.default_rng(0)
    for n in range(1, 60):
        for values in (rng.random(n), rng.integers(0, 4, n), np.zeros(n), np.arange(n), -np.arange(n)):
            kind = np.asarray(values, np.float32)
            assert median.middle(kind.copy(), n) == np.median(kind)


def test_medians_of_frames_and_of_crosses() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((70, 300)).astype(np.float32)   # more bins than are done at once
    picks = rng.integers(0, 300, (300, 9)).astype(np.int32)
    counts = rng.integers(1, 10, 300).astype(np.int32)
    wanted = np.stack([np.median(values[:, picks[n, : counts[n]]], axis=1) for n in range(300)])
    found = np.empty_like(wanted)
    median.of_frames(np.ascontiguousarray(values.T), picks, counts, found)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    out = np.empty_like(values)
    median.crosses(values, 2, 3, out)
    for row, n in np.ndindex(7, 300):   # beginning at the edge
        arms = [values[max(0, row - 2) : row + 3, n], values[row, max(0, n - 3) : n], values[row, n + 1 : n + 4]]
        assert out[row, n] == np.median(np.concatenate(arms))


# --- REPET -----------------------------------------------------------------------------------------------------------
def test_the_beat_spectrum_is_the_mean_autocorrelation() -> None:
    power = np.random.default_rng(0).random((50, 300)).astype(np.float32)
    wanted = np.array([np.mean(power[: 50 - lag] * power[lag:]) for lag in range(50)])
    np.testing.assert_allclose(repet.beat_spectrum(power), wanted / wanted[0], rtol=1e-5)


def loop(seconds: float, period: float, seed: int = 0) -> NDArray[np.float64]:
    """Return a bar of noise bursts and tones, again and again."""
    rng = np.random.default_rng(seed)
    bar = np.zeros(round(period * RATE))
    for start in rng.choice(len(bar) - 3000, 6, replace=False):
        time_ = np.arange(3000) / RATE
        tone = np.sin(2 * np.pi * rng.uniform(200, 2000) * time_)
        bar[start : start + 3000] += (tone + 0.3 * rng.standard_normal(3000)) * np.exp(-time_ * 20)
    return 0.1 * np.tile(bar, int(seconds / period) + 1)[: round(seconds * RATE)]


def chance(seconds: float, seed: int = 1) -> NDArray[np.float64]:
    """Return tones at moments and pitches that never repeat."""
    rng = np.random.default_rng(seed)
    x = np.zeros(round(seconds * RATE))
    for start in rng.choice(len(x) - 6000, int(2 * seconds), replace=False):
        time_ = np.arange(6000) / RATE
        x[start : start + 6000] += np.sin(2 * np.pi * rng.uniform(200, 2000) * time_) * np.hanning(6000)
    return 0.05 * x


@pytest.mark.parametrize("period", [0.9, 1.234, 2.5])
def test_the_period_is_found_under_what_does_not_repeat(period: float) -> None:
    x = loop(20, period) + chance(20)
    power = np.abs(Spectrum(2048, 512).analyse(x[None])[0]).astype(np.float32) ** 2
    frame = 512 / RATE
    beats = repet.beat_spectrum(power)
    found = repet.find_period(beats, (0.8 / frame, 8 / frame)) / period * frame
    assert round(found) >= 1   # several periods are one as well
    assert abs(found / round(found) - 1) < 0.001
    single = repet.find_period(beats, (0.8 / frame, 1.5 * period / frame)) * frame
    # From the first repetition to the last it goes astray by a fraction of a frame.
    assert abs(single - period) * 20 / period < frame / 5
    assert repet.find_period(repet.beat_spectrum(power[:100]), (0.8 / frame, 8 / frame)) == 0   # too short


@pytest.mark.parametrize("period", [7, 7.4])
def test_a_repeated_segment_is_the_median_of_its_repetitions(period: float) -> None:
    values = np.random.default_rng(0).random((60, 5)).astype(np.float32)
    found = repet.repeated(values, period)
    starts = [round(n * period) for n in range(60) if round(n * period) < 60]
    for n in range(60):
        offset = n - max(start for start in starts if start <= n)
        same = [start + offset for start in starts if start + offset < 60]
        np.testing.assert_allclose(found[n], np.median(values[same], axis=0), rtol=1e-6)


def test_repetitions_are_whole_periods_away() -> None:
    picks, counts = repet.repetitions(np.full(20, 6.3), 5)
    assert picks[10, : counts[10]].tolist() == [4, 10, 16]
    assert picks[0, : counts[0]].tolist() == [0, 6, 13]


def test_repet_takes_a_loop_from_under_a_voice() -> None:
    back, front = loop(12, 1.1), chance(12)
    x = back + front
    before = float(sts.sdr(back, x))
    for system in (repet.Repet(), repet.Repet(period_s=1.1), repet.Repet(shortest_s=1.0, longest_s=3.0)):
        assert float(sts.sdr(back, run(system, x)["background"][0])) > before + 8
    wrong = run(repet.Repet(period_s=1.37), x)["background"][0]
    assert float(sts.sdr(back, wrong)) < before + 2


def test_below_a_frequency_all_is_background() -> None:
    bass = 0.1 * np.sin(2 * np.pi * 60 * np.arange(4 * RATE) / RATE) * np.linspace(0, 1, 4 * RATE)
    for name in ("repet", "repet-adaptive", "repet-sim"):
        low = run(make(name, ("background_hz=100",)), bass)["foreground"]
        none = run(make(name, ("background_hz=0",)), bass)["foreground"]
        assert np.sum(low**2) < 0.05 * np.sum(none**2)


def test_the_adaptive_form_follows_a_new_tempo() -> None:
    back = np.concatenate([loop(20, 1.0), loop(20, 1.3, seed=5)])
    x = back + chance(40)
    gains = {}
    for name in ("repet", "repet-adaptive"):
        found = run(make(name, ("longest_s=3",)), x)["background"][0]
        gains[name] = float(sts.sdr(back, found) - sts.sdr(back, x))
    assert gains["repet-adaptive"] > max(4, gains["repet"] + 3)
    fine = run(make("repet-adaptive", ("longest_s=3", "step_s=2", "stretch_s=6", "order=3")), x)["background"][0]
    assert float(sts.sdr(back, fine) - sts.sdr(back, x)) > 2


@pytest.mark.parametrize("name", ["repet", "repet-adaptive", "repet-sim"])
def test_a_short_last_passage_looks_back(name: str) -> None:
    """2.5 s do not hold three bars of 1.1 s; what was heard before does."""
    back, front = loop(32, 1.1), chance(32)
    x = (back + front).astype(np.float32)
    first = 58 * RATE // 2
    system, new = make(name), make(name)
    for one in (system, new):
        one.fit(passage(x))
    system.separate(passage(x[: first + 2 * RATE]))
    last = slice(first, None)
    known = system.separate(passage(x[last], first))["background"][0]
    alone = new.separate(passage(x[last], first))["background"][0]
    assert known.shape == alone.shape == x[last].shape
    assert float(sts.sdr(back[last], known)) > float(sts.sdr(back[last], alone)) + 2


@pytest.mark.parametrize(
    ("name", "settings", "seconds", "words"),
    [
        ("repet", (), 1.0, "allowed is 2.4 s"),
        ("repet", ("period_s=3",), 5.0, "allowed is 6.0 s"),
        ("repet", ("shortest_s=3", "longest_s=2"), 20.0, "periods from 3 to 2"),
        ("repet-adaptive", (), 2.0, "allowed is 2.4 s"),
        ("repet-adaptive", ("shortest_s=5",), 30.0, "periods from 5"),
        ("kam", ("kernels=horizontal",), 5.0, "two or more"),
        ("kam", ("kernels=horizontal,round",), 5.0, "two or more"),
        ("kam", ("kernels=cross,cross",), 5.0, "two or more"),
        ("kam", ("kernels=cross,vertical", "causal=true"), 5.0, "looks ahead"),
        ("kam", ("kernels=cross,periodic",), 2.0, "allowed is 2.4 s"),
        ("yin", ("window=256",), 5.0, "does not hold two periods"),
        ("yin", ("fmin=500",), 5.0, "pitches from 500"),
        ("yin", ("model=sinusoids", "causal=true"), 5.0, "not possible"),
        ("cascade", ("fmin=20",), 5.0, "does not hold two periods"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    name: str, settings: tuple[str, ...], seconds: float, words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        run(make(name, settings), 0.1 * np.ones(round(seconds * RATE)))
    assert "\n" not in str(caught.value)


# --- REPET-SIM -------------------------------------------------------------------------------------------------------
def naive_peaks(values: Audio, apart: int, threshold: float, most: int) -> list[int]:
    reach = max(apart, 1)
    found = [
        n for n, value in enumerate(values)
        if value > threshold and value >= values[max(0, n - reach + 1) : n + reach].max()
    ]
    return sorted(found, key=lambda n: -values[n])[:most]


@pytest.mark.parametrize("apart", [0, 1, 2, 5, 30])
def test_peaks_are_those_of_the_naive_twin(apart: int) -> None:
    rng = np.random.default_rng(apart)
    for _ in range(50):
        values = rng.standard_normal(rng.integers(1, 60)).astype(np.float32)
        for most in (3, 100):
            places, heights = np.zeros(most, np.float32), np.zeros(most, np.float32)
            count = repet_kernels.peaks(values, len(values), apart, np.float32(0.1), places, heights)
            assert places[:count].astype(int).tolist() == naive_peaks(values, apart, 0.1, most)


@pytest.mark.parametrize("causal", [False, True])
def test_the_model_is_that_of_the_naive_twin(causal: bool) -> None:
    rng = np.random.default_rng(0)
    magnitudes = rng.random((90, 33)).astype(np.float32) ** 4
    magnitudes[20:25] = 0
    system = repet_sim.RepetSim(causal=causal, similar=4, threshold=0.3)
    found = system._model(magnitudes, 40, 3)
    unit = magnitudes / (np.linalg.norm(magnitudes, axis=1, keepdims=True) + 1e-10)
    for n in range(90):
        first, last = (max(0, n - 39), n + 1) if causal else (0, 90)
        picks = naive_peaks(unit[first:last] @ unit[n], 3, 0.3, 4) or [n - first]
        np.testing.assert_allclose(found[n], np.median(magnitudes[first:last][picks], axis=0), rtol=1e-5)


def riff(bars: int, seed: int = 2) -> NDArray[np.float64]:
    """Return the same bar with breaks of chance between."""
    rng, bar = np.random.default_rng(seed), loop(1.0, 1.0, seed)
    return np.concatenate([np.concatenate([bar, np.zeros(rng.integers(2000, 20000))]) for _ in range(bars)])


def test_similar_frames_need_no_period() -> None:
    back = riff(16)
    x = back + chance(30)[: len(back)]
    gains = {
        name: float(sts.sdr(back, run(make(name, settings), x)["background"][0]) - sts.sdr(back, x))
        for name, settings in (("repet", ()), ("repet-sim", ()), ("repet-sim", ("causal=true",)))
    }
    assert gains["repet-sim"] > max(3, gains["repet"] + 3)


def test_options_of_similarity_are_heeded() -> None:
    x = riff(6) + chance(30)[: len(riff(6))]
    usual = run(make("repet-sim"), x)["background"]
    for setting in ("similar=2", "apart_s=0.2", "threshold=0.9"):
        assert np.any(run(make("repet-sim", (setting,)), x)["background"] != usual)
    causal = run(make("repet-sim", ("causal=true",)), x)["background"]
    assert np.any(run(make("repet-sim", ("causal=true", "buffer_s=3")), x)["background"] != causal)


def test_the_causal_form_goes_on_where_the_last_passage_was() -> None:
    x = (riff(10) + chance(30)[: len(riff(10))]).astype(np.float32)
    options = {"causal": True, "buffer_s": 4.0, "window": 512}
    whole = run(repet_sim.RepetSim(**options), x)["background"][0]
    system, first, over = repet_sim.RepetSim(**options), 7 * RATE + 77, RATE
    system.fit(passage(x))
    system.separate(passage(x[: first + over]))
    later = system.separate(passage(x[first:], first))["background"][0]
    np.testing.assert_allclose(later, whole[first:], atol=1e-6)


# --- KAM -------------------------------------------------------------------------------------------------------------
def test_one_iteration_is_soft_hpss_of_another_library() -> None:
    librosa = pytest.importorskip("librosa")
    tones, clicks = checks._tones_and_clicks()
    spectrum, window, hop = Spectrum(1024, 256), 1024, 256
    spectra = spectrum.analyse((tones + clicks)[: 2 * RATE].astype(np.float32)[None])[0]
    power = spectra.real**2 + spectra.imag**2
    system = kam.Kam(window, iterations=1, harmonic_ms=19 * hop / RATE * 1000, percussive_hz=19 * RATE / window)
    own = system.masks(power, RATE)
    theirs = librosa.decompose.hpss(np.ascontiguousarray(power.T), kernel_size=19, power=1.0, mask=True)
    for mine, other in zip(own, theirs, strict=True):
        audible = power > 1e-6
        assert np.abs(mine - other.T)[audible].mean() < 0.01


def test_fitting_back_again_separates_more() -> None:
    loop_, voice = checks._loop_and_voice()
    figures = [
        float(sts.sdr(loop_, run(kam.Kam(kernels="periodic,cross", iterations=times, period_s=1.0), loop_ + voice)[
            "periodic"][0])) for times in (1, 2, 3)
    ]
    assert figures[1] > figures[0] + 1
    assert figures[2] > figures[1] + 0.5


def test_back_fitting_is_that_of_the_paper() -> None:
    from scipy.ndimage import median_filter

    power = powers()[2]
    system = kam.Kam(128, iterations=3, harmonic_ms=5 * 32 / RATE * 1000, percussive_hz=7 * RATE / 128)
    sources = [power.astype(np.float64) / 2] * 2
    for _ in range(3):
        models = [median_filter(sources[0], (5, 1)), median_filter(sources[1], (1, 7))]
        total = models[0] + models[1]
        shares = [np.divide(model, total, out=np.full(total.shape, 0.5), where=total > 0) for model in models]
        sources = [share**2 * power for share in shares]
    for mine, wanted in zip(system.masks(power, RATE), shares, strict=True):
        np.testing.assert_allclose(mine[6:], wanted[6:], atol=1e-3)


def test_each_kernel_takes_what_it_is_for() -> None:
    time_ = np.arange(8 * RATE) / RATE
    held = 0.1 * np.sin(2 * np.pi * 500 * time_)
    clicks = np.zeros_like(held)
    clicks[2000::5512] = 1
    bars, sung = loop(8, 1.0), chance(8)

    def share(kernels: str, wanted: str, sound: NDArray[np.float64], **options: float) -> float:
        part = run(kam.Kam(kernels=kernels, **options), sound)[wanted][0]
        return float(np.sum(part * sound) / np.sum(sound**2))

    assert share("horizontal,vertical", "horizontal", held) > 0.95
    assert share("horizontal,vertical", "vertical", clicks) > 0.95
    along = {"cross_ms": 200.0, "cross_hz": 20.0}
    assert share("vertical,cross", "vertical", clicks, **along) > 0.8
    assert share("vertical,cross", "cross", held, **along) > 0.8
    known, other = (share("periodic,cross", "periodic", bars, period_s=period) for period in (1.0, 1.37))
    assert known > other + 0.2
    assert share("periodic,cross", "periodic", bars) > other + 0.2   # found
    assert share("periodic,cross", "cross", sung, period_s=1.0) > 0.7


# --- YIN -------------------------------------------------------------------------------------------------------------
def naive_yin(x: NDArray[np.float64], shortest: int, longest: int, threshold: float) -> tuple[float, float]:
    lags = longest + 2
    used = (len(x) - lags) // 4 * 4
    d = np.array([np.sum((x[:used] - x[lag : lag + used]) ** 2) for lag in range(lags)])
    normal = np.ones(lags)
    normal[1:] = d[1:] * np.arange(1, lags) / np.cumsum(d[1:])
    best = shortest + int(np.argmin(normal[shortest : longest + 1]))
    for lag in range(shortest, longest + 1):
        if normal[lag] < threshold and (lag == longest or normal[lag + 1] > normal[lag]):
            best = lag
            break
    a, b, c = d[best - 1 : best + 2]
    return best + np.clip(0.5 * (a - c) / (a - 2 * b + c), -1, 1) if a - 2 * b + c > 0 else best, normal[best]


@pytest.mark.parametrize("threshold", [0.05, 0.3])
def test_a_period_is_that_of_the_naive_twin(threshold: float) -> None:
    rng, time_ = np.random.default_rng(0), np.arange(1500) / RATE
    difference = np.zeros(230, np.float32)
    for _ in range(40):
        pitch = rng.uniform(100, 390)
        x = sum(np.sin(2 * np.pi * pitch * h * time_ + rng.random()) / h for h in range(1, 6))
        x = (x + rng.uniform(0, 2) * rng.standard_normal(1500)).astype(np.float32)
        found = yin_kernels.period(x, 55, 228, np.float32(threshold), difference)
        np.testing.assert_allclose(found, naive_yin(x.astype(float), 55, 228, threshold), rtol=1e-3)


@pytest.mark.parametrize("pitch", [100.0, 147.3, 220.0, 391.0])
def test_pitches_are_right_within_five_cents(pitch: float) -> None:
    time_ = np.arange(RATE) / RATE
    x = sum(np.sin(2 * np.pi * pitch * h * time_) / h for h in range(1, 8)).astype(np.float32)
    found, aperiodicity = yin.track(x, RATE, 2048, 512, 98.0, 400.0, 0.15)
    assert np.abs(1200 * np.log2(found[4:-4] / pitch)).max() < 5
    assert aperiodicity[4:-4].max() < 0.05


def test_noise_and_silence_have_no_pitch() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    assert yin.track(noise, RATE, 2048, 512, 98.0, 400.0, 0.15)[1][4:-4].min() > 0.5
    assert yin.track(np.zeros(RATE, np.float32), RATE, 2048, 512, 98.0, 400.0, 0.15)[1].min() >= 0.8
    voice = run(yin.Yin(voiced=0.5), 0.1 * noise)["voice"]
    assert np.sum(voice**2) < 0.01 * np.sum((0.1 * noise) ** 2)


def test_the_comb_is_around_the_harmonics() -> None:
    found = yin.comb(np.array([0, 100.5, 311.0], np.float32), 8000, 256, 20.0)
    frequency = np.arange(129) * 8000 / 256
    assert not found[0].any()
    for row, pitch in zip(found[1:], (100.5, 311.0), strict=True):
        harmonics = pitch * np.arange(1, 60)
        np.testing.assert_array_equal(row, np.abs(frequency[:, None] - harmonics).min(axis=1) <= 20)


def test_a_voice_comes_from_behind_drums() -> None:
    voice, _, drums, _ = sts.sources()
    figures = {}
    for model in ("mask", "sinusoids"):
        parts = run(yin.Yin(model=model), voice + drums)
        figures[model] = float(sts.sdr(voice, parts["voice"][0]))
        np.testing.assert_allclose(parts["voice"] + parts["rest"], (voice + drums)[None], atol=1e-6)
    assert min(figures.values()) > 7
    alike = {
        width: float(sts.sdr(voice, run(yin.Yin(width_hz=width), voice + drums)["voice"][0])) for width in (4.0, 200.0)
    }
    assert max(alike.values()) < figures["mask"]
    strict = run(yin.Yin(threshold=0.01, voiced=0.01), voice + drums)["voice"]
    assert np.sum(strict**2) < np.sum(voice**2) / 2


def test_sinusoids_rebuild_a_tone() -> None:
    time_ = np.arange(RATE) / RATE
    tone = sum(0.1 * np.sin(2 * np.pi * 150 * h * time_ + h) / h for h in range(1, 9))
    found = run(yin.Yin(model="sinusoids"), tone)["voice"][0]
    middle = slice(4096, -4096)
    assert float(sts.sdr(tone[middle], found[middle])) > 35


def test_a_live_window_too_short_for_the_pitch_is_refused() -> None:
    stage = yin.YinLive("yin", 512, 512, 128, fmin=98.0)
    with pytest.raises(InputError, match=r"yin\.analysis: a window of 512 does not hold two periods"):
        stage.prepare(Format(48000, 1))


# --- cascade ---------------------------------------------------------------------------------------------------------
def test_the_cascade_adds_up_exactly_and_finds_the_voice() -> None:
    voice, bass, drums, _ = sts.sources()
    mix = voice + drums + bass
    found, rest = Cascade().extract(mix, RATE)
    assert np.abs(found + rest - mix).max() <= 1e-12
    assert float(sts.sdr(voice, found) - sts.sdr(voice, mix)) > 6
    # Alone, neither is enough.
    single = run(yin.Yin(), mix)["voice"][0]
    assert float(sts.sdr(voice, found)) > float(sts.sdr(voice, single))
    mix = mix[: 2 * RATE]
    usual = Cascade().extract(mix, RATE)[0]
    for options in ({"rank": 3}, {"iterations": 5}, {"width_hz": 10.0}, {"threshold": 0.4}, {"fmax": 250.0}):
        assert np.any(Cascade(**options).extract(mix, RATE)[0] != usual)


def test_consonants_are_kept_where_a_tone_begins() -> None:
    """A burst of high noise in front of a tone is the singer's; the same burst alone is not."""
    rng, time_ = np.random.default_rng(0), np.arange(3 * RATE) / RATE
    tone = sum(np.sin(2 * np.pi * 200 * h * time_) / h for h in range(1, 10)) * ((time_ > 2) & (time_ < 2.6))
    burst = np.convolve(rng.standard_normal(1100), [1, -1])[:1100] * np.hanning(1100)
    x = 0.1 * tone
    starts = (round(0.7 * RATE), round(1.97 * RATE))
    for start in starts:
        x[start : start + 1100] += 0.1 * burst
    found = Cascade().extract(x, RATE)[0]
    alone, sung = (
        np.sum(np.abs(np.fft.rfft(found[start : start + 1100] * np.hanning(1100))[200:]) ** 2) for start in starts
    )   # above 4 kHz, where the tone is not
    assert sung > 10 * alone


def test_factorisation_comes_nearer() -> None:
    rng = np.random.default_rng(0)
    v = (rng.random((40, 3)) @ rng.random((3, 30))).astype(np.float32)
    start = rng.random((40, 3)), rng.random((3, 30))
    errors = [np.linalg.norm(v - np.matmul(*nmf(v, *start, times))) for times in (1, 10, 100)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.05 * np.linalg.norm(v)
