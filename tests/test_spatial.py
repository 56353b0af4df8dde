"""DUET, ADRess, PROJET: sources panned between two channels, against slow twins, closed forms and truth."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from rtsep.bench.checks.spatial import figures
from rtsep.errors import InputError
from rtsep.runner import process
from rtsep.stage import Format, Stage
from rtsep.systems import projet
from rtsep.systems.adress import Adress, AdressLive
from rtsep.systems.duet import Duet, DuetLive, even_peaks
from rtsep.systems.pairs import forgetting, planes, quiet
from rtsep.systems.projet import Projections, Projet, ProjetLive
from rtsep.systems.separator import Audio, Passage, make
from rtsep.systems.spectrum import Spectrum
from rtsep_kernels import adress as adress_kernels
from rtsep_kernels import duet as duet_kernels
from rtsep_kernels import projet as projet_kernels

RATE = 16000
SECONDS = 2.0
Floats = NDArray[np.float64]


def turns(sources: int, seed: int = 0, seconds: float = SECONDS) -> Floats:
    """Return sources of notes; each bin belongs to one of them nearly always."""
    rng = np.random.default_rng(seed)
    frames = int(seconds * RATE)
    time = np.arange(frames) / RATE
    sounds = np.zeros((sources, frames))
    for j in range(sources):
        for start in range(0, frames, 4000):
            pitch = (150 + 60 * j) * 2 ** (rng.integers(12) / 12)
            decay = np.exp(-np.arange(min(4000, frames - start)) / 2500)
            tone = sum(np.sin(2 * np.pi * pitch * h * time[: len(decay)] + h) / h for h in range(1, 12))
            sounds[j, start : start + len(decay)] = tone * decay
    return 0.1 * sounds / sounds.std(axis=1, keepdims=True)


def placed(sounds: Floats, pans: tuple[float, ...], delays: tuple[int, ...] = ()) -> Floats:
    """Return stereo images, float64[sources, 2, frames]; a positive delay is of the right channel."""
    images = np.zeros((len(sounds), 2, sounds.shape[1]))
    for j, (sound, pan) in enumerate(zip(sounds, np.radians(pans), strict=True)):
        delay = delays[j] if delays else 0
        images[j] = np.cos(pan) * np.roll(sound, max(0, -delay)), np.sin(pan) * np.roll(sound, max(0, delay))
    return images


def mixed(images: Floats) -> Passage:
    sound = np.ascontiguousarray(images.sum(axis=0), np.float32)
    sound.flags.writeable = False   # a system that changes its input fails
    return Passage(sound, RATE, ("left", "right"))


def parts_of(system: Duet | Adress | Projet, passage: Passage) -> list[Audio]:
    system.fit(passage)
    parts = system.separate(passage)
    return [part for name, part in parts.items() if name != "rest"]


def heard(stage: Stage, x: Audio, **params: float) -> Audio:
    """Run a stage, as new; the latency is taken out."""
    stage.prepare(Format(RATE, len(x)))
    for name, value in {"range_db": -120.0, **params}.items():
        stage.board.set(f"{stage.name}.{name}", value)
    stage.reset()
    return process(stage, np.ascontiguousarray(np.pad(x, ((0, 0), (0, stage.latency)))))[:, stage.latency :]


def random_spectra(frames: int = 20, bins: int = 257, seed: int = 0) -> NDArray[np.complex64]:
    rng = np.random.default_rng(seed)
    shape = (2, frames, bins)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


# --- all three -------------------------------------------------------------------------------------------------------
SYSTEMS = ("duet", "adress", "projet")
STAGES = (DuetLive, AdressLive, ProjetLive)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("channels", [1, 3])
def test_only_stereo_is_taken(name: str, channels: int) -> None:
    sound = np.zeros((channels, 1000), np.float32)
    with pytest.raises(InputError, match=f"{name}: the recording has {channels} channel.*allowed is 2$") as caught:
        make(name).fit(Passage(sound, RATE, tuple("abc"[:channels])))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("causal", ["causal=false", "causal=true"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_silence_stays_silent(name: str, causal: str) -> None:
    system = make(name, ("window=512", causal))
    silence = Passage(np.zeros((2, 3000), np.float32), RATE, ("left", "right"))
    system.fit(silence)
    for part in system.separate(silence).values():
        np.testing.assert_array_equal(part, 0)


@pytest.mark.parametrize("causal", ["causal=false", "causal=true"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_silent_channel_does_no_harm(name: str, causal: str) -> None:
    """X2 / X1 is 0 or infinite in every bin; what is there stays on its side."""
    x = np.zeros((2, 8000), np.float32)
    x[1] = turns(1, seconds=0.5)[0]
    system = make(name, ("window=512", causal))
    passage = Passage(x, RATE, ("left", "right"))
    system.fit(passage)
    parts = system.separate(passage)
    total = np.sum(list(parts.values()), axis=0)
    np.testing.assert_allclose(total, x, atol=1e-4)
    last = parts["rest"] if name == "adress" else parts["source3"]
    assert np.sum((last - x) ** 2) < 0.1 * np.sum(x**2)


@pytest.mark.parametrize("stage", STAGES, ids=SYSTEMS)
def test_pairs_do_not_know_each_other_and_the_odd_one_passes(stage: Callable[[str, int, int, int], Stage]) -> None:
    one = mixed(placed(turns(3), (10, 45, 80))).sound
    two = mixed(placed(turns(2, 5), (30, 70))).sound
    odd = turns(1, 9).astype(np.float32)
    together = heard(stage("s", 512, 512, 128), np.concatenate([one, two, odd]))
    np.testing.assert_array_equal(together[:2], heard(stage("s", 512, 512, 128), one))
    np.testing.assert_array_equal(together[2:4], heard(stage("s", 512, 512, 128), two))
    np.testing.assert_allclose(together[4:], odd, atol=1e-6)


@pytest.mark.parametrize("stage", STAGES, ids=SYSTEMS)
def test_at_a_range_of_0_db_nothing_is_taken(stage: Callable[[str, int, int, int], Stage]) -> None:
    x = mixed(placed(turns(3), (10, 45, 80))).sound
    np.testing.assert_allclose(heard(stage("s", 512, 512, 128), x, range_db=0.0), x, atol=1e-5)


# --- DUET ------------------------------------------------------------------------------------------------------------
def naive_histogram(spectra: NDArray[np.complex64], window: int, most: float, exponent: float) -> Floats:
    left, right = spectra.astype(complex)[:, :, 1:]
    omega = np.broadcast_to(2 * np.pi * np.arange(1, spectra.shape[2]) / window, left.shape)
    angle = np.arctan2(abs(right), abs(left))
    delay = -np.angle(right / left) / omega if most else np.zeros_like(angle)
    ends = most or 1.0
    counted = omega * most < np.pi
    edges = [np.linspace(0, np.pi / 2, 91), np.linspace(-ends, ends, 52)]
    weights = (abs(left) * abs(right)) ** exponent
    found: Floats = np.histogram2d(angle[counted], delay[counted], edges, weights=weights[counted])[0]
    return found


@pytest.mark.parametrize(("most", "exponent"), [(3.0, 1.0), (0.0, 1.0), (8.0, 0.5)])
def test_the_histogram_is_numpys(most: float, exponent: float) -> None:
    spectra = random_spectra()
    histogram = np.zeros((90, 51))
    duet_kernels.note_all(*planes(spectra), 2 * math.pi / 512, most, exponent, histogram)
    np.testing.assert_allclose(histogram, naive_histogram(spectra, 512, most, exponent), rtol=1e-9)
    smooth = np.empty_like(histogram)
    duet_kernels.smoothe(histogram, 0, 90, smooth)
    np.testing.assert_allclose(smooth, 9 * uniform_filter(histogram, 3, mode="constant"), atol=1e-9 * smooth.max())


def test_each_bin_goes_to_the_nearest_peak() -> None:
    """Rickard's own formula, with the ratio a = tan φ."""
    spectra = random_spectra()
    peaks = np.array([[0.2, -1.0, 1], [0.8, 0.5, 1], [1.1, 2.0, 0], [1.4, 3.0, 1]])   # the third was not found
    owner = np.empty((20, 257), np.int64)
    duet_kernels.own_all(*planes(spectra), 2 * math.pi / 512, peaks, np.empty((4, 6)), owner)
    left, right = spectra.astype(complex)
    omega = 2 * np.pi * np.arange(257) / 512
    ratio, delay = np.tan(peaks[:, 0])[:, None, None], peaks[:, 1][:, None, None]
    distance = abs(ratio * np.exp(-1j * omega * delay) * left - right) ** 2 / (1 + ratio**2)
    distance[2] = np.inf
    np.testing.assert_array_equal(owner, distance.argmin(axis=0))


def test_peaks_come_from_left_to_right_and_at_a_distance() -> None:
    histogram = np.zeros((90, 51))
    for angle, delay, height in ((70, 25, 5.0), (20, 10, 3.0), (22, 12, 2.9), (45, 40, 1.0)):
        histogram[angle, delay] = height
    peaks = even_peaks(4)
    duet_kernels.pick_all(histogram, 3.0, np.empty_like(histogram), np.zeros((4, 3)), peaks)
    assert np.degrees(peaks[:3, 0]) == pytest.approx([20.5, 45.5, 70.5], abs=1.0)
    assert peaks[:3, 1] == pytest.approx([(10.5 / 51 * 2 - 1) * 3, (40.5 / 51 * 2 - 1) * 3, 0.0], abs=0.13)
    assert peaks[:, 2].tolist() == [1, 1, 1, 0]   # 22 is too near to 20


def test_sources_with_one_pan_differ_by_delay() -> None:
    images = placed(turns(2), (45, 45), (-2, 3))
    system = Duet(2048, sources=2, max_delay=5.0)
    found = parts_of(system, mixed(images))
    assert system.peaks[:, 1] == pytest.approx([-2, 3] if system.peaks[0, 1] < 0 else [3, -2], abs=0.2)
    order = np.argsort(system.peaks[:, 1])
    assert figures(images, [found[n] for n in order]).min() > 10
    blind = parts_of(Duet(2048, sources=2, max_delay=0.0), mixed(images))
    assert max(figures(images, blind).max(), figures(images, blind[::-1]).max()) < 5


def test_a_lower_exponent_finds_the_weaker_source() -> None:
    """A quiet source in many bins beside a loud one whose bins scatter."""
    rng = np.random.default_rng(1)
    spectra = np.zeros((2, 40, 1025), np.complex64)
    level = np.where(rng.random((40, 1025)) < 0.02, 300.0, 0.0)
    angle = np.radians(25 + 8 * rng.standard_normal((40, 1025)))
    quiet_ones = np.where(level == 0, 1.0, 0.0)
    spectra[0] = level * np.cos(angle) + quiet_ones * np.cos(np.radians(60))
    spectra[1] = level * np.sin(angle) + quiet_ones * np.sin(np.radians(60))
    nearest = []
    for exponent in (1.0, 0.5):
        histogram, peaks = np.zeros((90, 51)), even_peaks(2)
        duet_kernels.note_all(*planes(spectra), 2 * math.pi / 2048, 0.0, exponent, histogram)
        duet_kernels.pick_all(histogram, 0.0, np.empty_like(histogram), np.zeros((2, 3)), peaks)
        nearest.append(float(abs(np.degrees(peaks[:, 0]) - 60).min()))
    assert nearest[1] < 1 < nearest[0]


def test_masks_share_out_the_whole() -> None:
    passage = mixed(placed(turns(3), (15, 45, 75)))
    np.testing.assert_allclose(np.sum(parts_of(Duet(1024), passage), axis=0), passage.sound, atol=1e-6)


@pytest.mark.parametrize(("memory", "arrived"), [(0.2, True), (1000.0, False)])
def test_live_peaks_follow_a_source_as_fast_as_they_forget(memory: float, arrived: bool) -> None:
    sounds = turns(2, seconds=3.0)
    x = placed(sounds, (20, 70))
    x[0, :, 2 * RATE :] = placed(sounds[:1, 2 * RATE :], (45,))[0]
    peaks = even_peaks(2)
    histogram, smooth = np.zeros((2, 90, 51))
    spectra = Spectrum(1024, 256, True).analyse(mixed(x).sound)
    duet_kernels.follow_all(
        *planes(spectra), 2 * math.pi / 1024, 0.0, 1.0, forgetting(memory, 256, RATE), quiet(1024, 1024, 256),
        histogram, smooth, np.zeros((2, 3)), peaks, np.empty((2, 6)), np.empty(spectra.shape[1:], np.int64),
    )
    assert np.degrees(peaks[:, 0]) == pytest.approx([45 if arrived else 20, 70], abs=2)


def test_what_was_learnt_survives_a_pause() -> None:
    """Noise 90 dB below full scale for longer than the memory."""
    x = placed(turns(2, seconds=4.0), (20, 70))
    x[:, :, RATE:] = 0
    x[0, :, RATE:] = 3e-5 * np.random.default_rng(0).standard_normal((2, 3 * RATE))
    peaks = even_peaks(2)
    histogram, smooth = np.zeros((2, 90, 51))
    spectra = Spectrum(1024, 256, True).analyse(mixed(x).sound)
    duet_kernels.follow_all(
        *planes(spectra), 2 * math.pi / 1024, 0.0, 1.0, forgetting(0.1, 256, RATE), quiet(1024, 1024, 256),
        histogram, smooth, np.zeros((2, 3)), peaks, np.empty((2, 6)), np.empty(spectra.shape[1:], np.int64),
    )
    assert np.degrees(peaks[:, 0]) == pytest.approx([20, 70], abs=2)


# --- ADRess ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("steps", [4, 100])
def test_the_closed_form_is_the_search_over_all_gains(steps: int) -> None:
    spectra = random_spectra(3, 60)
    left, right = spectra.astype(complex)
    for n, b in itertools.product(range(3), range(60)):
        one, other = left[n, b], right[n, b]
        strong, weak = (one, other) if abs(one) >= abs(other) else (other, one)
        plane = abs(weak - np.arange(steps + 1) / steps * strong)
        null = int(plane.argmin())
        where, sure = adress_kernels.depth(one.real, one.imag, other.real, other.imag, steps)
        assert where == (null if strong is one else 2 * steps - null)
        assert sure == pytest.approx(1 - plane.min() / plane.max(), abs=1e-6)


@pytest.mark.parametrize(("azimuth", "steps"), [(0, 0), (math.degrees(math.atan(0.5)), 50), (45, 100), (90, 200)])
def test_places_are_ratios_of_levels(azimuth: float, steps: float) -> None:
    assert adress_kernels.place(azimuth, 100) == pytest.approx(steps, abs=1e-9)


@pytest.mark.parametrize("pan", [0, 20, 45, 60, 90])
def test_a_lone_source_is_found_at_its_pan_and_nowhere_else(pan: float) -> None:
    image = placed(turns(1), (pan,))
    passage = mixed(image)
    for azimuth in (0, 20, 45, 60, 90):
        system = Adress(1024, azimuths=str(azimuth))
        system.fit(passage)
        parts = system.separate(passage)
        np.testing.assert_allclose(parts["source1"] + parts["rest"], passage.sound, atol=1e-6)
        found, left = np.sum(parts["source1"] ** 2), np.sum(parts["rest"] ** 2)
        assert (left < 1e-3 * found) if azimuth == pan else (found < 1e-3 * left)


def test_width_says_how_far_around() -> None:
    passage = mixed(placed(turns(1), (math.degrees(math.atan(0.8)),)))   # 20 steps of 100 from the centre
    found = [parts_of(Adress(1024, width=width), passage)[0] for width in (0.0, 0.3, 0.5, 2.0)]
    shares = [float(np.sum(part**2)) for part in found]
    whole = float(np.sum(passage.sound**2))
    assert shares[0] < 1e-3 * whole
    assert shares[1] < 1e-2 * whole
    assert shares[2] > 0.97 * whole
    assert shares[3] > 0.97 * whole


@pytest.mark.parametrize("azimuths", ["", "left", "45,", "91", "-1", "nan"])
def test_wrong_azimuths_are_refused_in_one_line(azimuths: str) -> None:
    with pytest.raises(InputError, match=r"azimuths: .*allowed is degrees from 0") as caught:
        make("adress", (f"azimuths={azimuths}",)).fit(mixed(placed(turns(1), (45,))))
    assert "\n" not in str(caught.value)


def test_azimuth_and_width_are_turned_live_and_per_mic() -> None:
    x = mixed(placed(turns(1), (20,))).sound
    stage = AdressLive("s", 1024, 1024, 256)
    away = heard(stage, x, azimuth=45.0)
    assert np.sum(away**2) < 1e-3 * np.sum(x**2)
    stage.board.set("s.azimuth.1", 20.0)       # no reset: it goes on
    on = process(stage, x)[:, 4096:]
    assert np.sum(on[0] ** 2) > 0.8 * np.sum(x[0] ** 2)
    assert np.sum(on[1] ** 2) < 1e-3 * np.sum(x[1] ** 2)
    stage.board.set("s.width", 2.0)
    assert np.sum(process(stage, x)[1, 4096:] ** 2) > 0.5 * np.sum(x[1] ** 2)
    stage.board.set("s.keep", 1.0)
    assert np.sum(process(stage, x)[0, 4096:] ** 2) < 1e-2 * np.sum(x[0] ** 2)


# --- PROJET ----------------------------------------------------------------------------------------------------------
def naive_step(seen: Floats, response: Floats, places: Floats, level: Floats) -> tuple[Floats, Floats]:
    """Return P and Q after the two updates of the publication, α = β = 1; Q's columns sum to 1."""
    heard_ = response @ places
    model = heard_ @ level
    level = level * (heard_.T @ (seen / model)) / heard_.sum(axis=0)[:, None]
    ratio = seen / (heard_ @ level)
    up = np.einsum("ml,mc,jc->lj", response, ratio, level)
    down = np.einsum("ml,jc->lj", response, level)
    moved = places * up / down
    return level, moved / moved.sum(axis=0)


def test_a_step_is_the_publications() -> None:
    spectra = random_spectra(4, 33)
    looks, response = Projections(0.0).at(0.0)
    seen = np.abs(looks @ spectra.reshape(2, -1))
    system = Projet(64)
    system._places = projet.normalised(np.random.default_rng(3).random((30, 3)))
    level = np.random.default_rng(4).random((3, seen.shape[1])).astype(np.float32)
    wanted_level, wanted_places = naive_step(seen.astype(float), response, system._places, level.astype(float))
    system._step([(seen, response)], [level], np.empty((4, seen.shape[1]), np.float32))
    np.testing.assert_allclose(level, wanted_level, rtol=1e-4)
    np.testing.assert_allclose(system._places, wanted_places, rtol=1e-4)


def test_every_step_lowers_the_divergence() -> None:
    spectra = random_spectra(4, 33)
    looks, response = Projections(0.0).at(0.0)
    seen = np.abs(looks @ spectra.reshape(2, -1))
    system = Projet(64)
    system._places = projet.first_values(3, 1)["places"][0]
    level = np.ones((3, seen.shape[1]), np.float32)
    work, costs = np.empty((4, seen.shape[1]), np.float32), []
    for _ in range(20):
        system._step([(seen, response)], [level], work)
        model = response @ system._places @ level
        # Of equal sums, as after an update of P: what normalising Q has taken away is given back.
        model *= seen.sum() / model.sum()
        costs.append(float(np.sum(seen * np.log(seen / model))))
    assert np.all(np.diff(costs) < 1e-3 * costs[0])
    assert costs[-1] < 0.9 * costs[0]


@pytest.mark.parametrize("most", [0.0, 6.0])
def test_what_projections_hear_is_their_product_with_the_places(most: float) -> None:
    omega = 0.7
    looks, response = Projections(most).at(omega)
    phi, delta = projet.points(projet.place_angles(), projet.delays(most, 17))
    steering = np.stack([np.cos(phi) + 0j, np.sin(phi) * np.exp(-1j * omega * delta)])
    assert response.shape == ((10, 30) if not most else (90, 510))
    np.testing.assert_allclose(response, abs(looks @ steering), atol=1e-6)


def test_images_add_up_to_the_mixture() -> None:
    passage = mixed(placed(turns(3), (15, 45, 75)))
    for system in (Projet(1024, iterations=5), Projet(1024, causal=True)):
        np.testing.assert_allclose(np.sum(parts_of(system, passage), axis=0), passage.sound, atol=1e-5)
    short = mixed(placed(turns(3, seconds=0.2), (15, 45, 75)))
    delayed = parts_of(Projet(256, iterations=2, max_delay=4.0), short)
    np.testing.assert_allclose(np.sum(delayed, axis=0), short.sound, atol=1e-5)


def test_it_shares_bins_that_duet_gives_away() -> None:
    """Two sources that always overlap, noise and noise: what it was made for."""
    rng = np.random.default_rng(2)
    overlapping = 0.1 * rng.standard_normal((2, RATE))
    envelope = 0.55 + 0.45 * np.sin(2 * np.pi * np.outer([3, 4], np.arange(RATE) / RATE))
    images = placed(overlapping * envelope, (20, 65))
    passage = mixed(images)
    ours = figures(images, parts_of(Projet(1024, sources=2), passage))
    duets = figures(images, parts_of(Duet(1024, sources=2, max_delay=0.0), passage))
    assert np.all(ours > duets + 1)


def test_more_iterations_and_updates_are_better() -> None:
    images = placed(turns(3), (15, 45, 75))
    passage = mixed(images)
    few, many = (figures(images, parts_of(Projet(1024, iterations=n), passage)).min() for n in (2, 30))
    assert many > few + 3
    once, often = (figures(images, parts_of(Projet(1024, True, updates=n), passage)).min() for n in (1, 5))
    assert often > once + 1


def test_delays_are_refused_where_they_are_not_known() -> None:
    with pytest.raises(InputError, match="max_delay: 2 with causal; allowed is 0: pans only") as caught:
        make("projet", ("causal=true", "max_delay=2")).fit(mixed(placed(turns(1), (45,))))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("memory", "arrived"), [(0.1, True), (1000.0, False)])
def test_live_places_follow_as_fast_as_they_forget(memory: float, arrived: bool) -> None:
    sounds = turns(2, seconds=8.0)
    x = placed(sounds, (12, 75))
    x[0, :, 3 * RATE :] = placed(sounds[:1, 3 * RATE :], (32,))[0]
    spectra = Spectrum(1024, 256, True).analyse(mixed(x).sound)
    state = projet_kernels.PROJET.make(
        channels=2, bins=513, row=513, updates=3, forget=forgetting(memory, 256, RATE), quiet=quiet(1024, 1024, 256),
        **projet.first_values(2, 1),
    )
    unmix = np.empty((2, 2, spectra.shape[1], 2, 513), np.float32)
    projet_kernels.follow_all(state.record, *planes(spectra), unmix)
    centres = np.degrees(projet.place_angles() @ state["places"][0])
    assert centres[1] == pytest.approx(75, abs=8)
    assert (centres[0] > 28) == arrived, centres


def test_a_gain_closes_as_slowly_as_it_is_told() -> None:
    x = mixed(placed(turns(1), (80,))).sound
    quick = heard(ProjetLive("s", 512, 512, 128), x, keep=0.0, release_ms=0.0)
    slow = heard(ProjetLive("s", 512, 512, 128), x, keep=0.0, release_ms=2000.0)
    first = slice(0, RATE // 4)
    assert np.sum(quick[:, first] ** 2) < 0.1 * np.sum(x[:, first] ** 2)
    assert np.sum(slow[:, first] ** 2) > 0.5 * np.sum(x[:, first] ** 2)


@pytest.mark.parametrize("stage", [DuetLive, ProjetLive])
def test_a_sample_beyond_all_bounds_is_forgotten(stage: Callable[[str, int, int, int], Stage]) -> None:
    x = np.tile(mixed(placed(turns(3), (15, 45, 75))).sound, 2)
    hurt = x.copy()
    hurt[:, RATE] = 3e38
    whole, marred = (heard(stage("s", 512, 512, 128), sound, keep=2.0) for sound in (x, hurt))
    later = slice(2 * RATE, None)
    assert np.sum((whole - marred)[:, later] ** 2) < 1e-3 * np.sum(whole[:, later] ** 2)


def test_source_after_the_last_is_the_last() -> None:
    x = mixed(placed(turns(2), (20, 70))).sound
    for stage in (DuetLive("s", 512, 512, 128, 2), ProjetLive("s", 512, 512, 128, 2)):
        np.testing.assert_array_equal(heard(stage, x, keep=7.0), heard(stage, x, keep=1.0))
