"""Models of powers (KAMIR, MIRA, FastMIRA) and the post-filter: the loops of the papers, refusals, promises."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from scipy.stats import gmean

from rtsep.bench import sts
from rtsep.bench.checks import bleed
from rtsep.errors import InputError
from rtsep.stages.spectral import windows
from rtsep.systems import powermodel
from rtsep.systems.fastmira import FastMira
from rtsep.systems.kamir import Kamir, close_mics
from rtsep.systems.mira import Mira
from rtsep.systems.postfilter import PostFilter
from rtsep.systems.powermodel import Causal, Fit, Follower, Tracking, own_mics
from rtsep.systems.separator import Audio, Passage, Separator
from rtsep.systems.spectrum import Spectrum
from rtsep_kernels import powerlive, powers

Float = NDArray[np.float64]
RATE = 16000


def bursts(mics: int, frames: int, seed: int = 0) -> Audio:
    """Return noise that comes and goes and bleeds."""
    rng = np.random.default_rng(seed)
    playing = (rng.random((mics, frames // 800 + 1)) > 0.5).repeat(800, 1)[:, :frames]
    mixing = np.eye(mics) + 0.3 * rng.random((mics, mics))
    return (0.05 * mixing @ (rng.standard_normal((mics, frames)) * playing)).astype(np.float32)


def passage(sound: Audio, first: int = 0) -> Passage:
    return Passage(sound, RATE, tuple(f"mic{n + 1}" for n in range(len(sound))), first)


def test_the_geometric_mean_is_scipys() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 2, 5, 40):
        p = (10 ** rng.uniform(-13, 9, (count, powers.WIDTH))).astype(np.float32)
        work = np.zeros((3, powers.WIDTH), np.float32)
        powers.geometric_mean(p, work[0], work[1], work[2])
        np.testing.assert_allclose(work[2], gmean(p.astype(np.float64), axis=0), rtol=1e-5)


# ------------------------------------------------------------------ whole passages

def naive_kamir(
    v: Float, close: NDArray[np.int64], rounds: int, updates: int, least: float, first: float, rows: bool, median: int
) -> tuple[Float, Float]:
    """One bin, v[mics, frames]: leaks and powers, in the loops of the paper."""
    mics, count = close.shape
    leak = np.maximum(close, first)
    p = np.array([v[close[:, j] == 1].mean(axis=0) for j in range(count)])
    for _ in range(rounds):
        m = leak @ p
        p = np.array([
            np.mean([(leak[i, j] * p[j] / m[i]) ** 2 * v[i] / leak[i, j] for i in range(mics) if close[i, j]], axis=0)
            for j in range(count)
        ])
        p = median_filter(p, (1, median), mode="reflect")
        for _ in range(updates):
            m = leak @ p
            leak = np.array([[leak[i, j] * np.sum(v[i] * p[j] / m[i] ** 2) / np.sum(p[j] / m[i])
                              for j in range(count)] for i in range(mics)])
            leak = np.maximum(leak / (leak.sum(axis=1, keepdims=True) if rows else 1), least)
    return leak, p


@pytest.mark.parametrize(
    ("told", "updates", "rows", "median"), [("1,2;3", 1, True, 1), ("1;2;3", 3, False, 1), ("1;2,3;3", 2, True, 5)]
)
def test_kamir_is_the_loops_of_the_paper(told: str, updates: int, rows: bool, median: int) -> None:
    rng = np.random.default_rng(1)
    power = rng.exponential(size=(3, 24, 70))
    close = close_mics(told, 3)
    fit = Fit("kamir", 3, updates, 0.7, least_leak=0.02, rows_to_1=rows, median=median)
    leak, found = fit(power.astype(np.float32), close)
    for b in (0, 63, 64, 69):
        wanted, powers_ = naive_kamir(power[:, :, b], close, 3, updates, 0.02, 0.7, rows, median)
        np.testing.assert_allclose(leak[..., b], wanted, rtol=2e-3)
        np.testing.assert_allclose(found[..., b], powers_, rtol=5e-3, atol=1e-6)


def test_the_kernels_are_the_matrix_program() -> None:
    """The twin that the table measures the speed against does the same work."""
    power = np.random.default_rng(2).exponential(size=(4, 30, 70)).astype(np.float32)
    for method in ("kamir", "mira"):
        theirs = bleed.numpy_gains(method, np.ascontiguousarray(power.transpose(2, 0, 1))).transpose(1, 2, 0)
        np.testing.assert_allclose(bleed.our_gains(method, power), theirs, rtol=0.02, atol=1e-4)


def test_the_logistic_form_is_one_pass() -> None:
    x = bursts(3, 4000)
    heard = Kamir(256, 4, form="logistic", first_leak=0.5).separate(passage(x))
    spectrum = Spectrum(256, 64)
    spectra = spectrum.analyse(x)
    v = np.abs(spectra.astype(np.complex128)) ** 2 + 1e-12
    wiener = v / (v + 0.5 * (v.sum(axis=0) - v))
    wanted = spectrum.resynthesise((spectra * (1 - 1 / (1 + np.exp(20 * (wiener - 0.6))))).astype(np.complex64), 4000)
    np.testing.assert_allclose(np.concatenate(list(heard.values())), wanted, atol=1e-5)


def test_a_source_with_two_close_mics_is_imaged_in_both() -> None:
    rng = np.random.default_rng(3)
    playing = (rng.random((2, 40)) > 0.5).repeat(800, 1)
    dry = 0.05 * rng.standard_normal((2, 32000)) * playing
    images = np.array([[1.0, 0.2], [0.8, 0.3], [0.25, 1.0]])[:, :, None] * dry[None]
    parts = Kamir(512, 4, close="1,2;3").separate(passage(images.sum(axis=1).astype(np.float32)))
    assert {name: part.shape for name, part in parts.items()} == {"source 1": (2, 32000), "source 2": (1, 32000)}
    before = sts.sdr(images[[0, 1, 2], [0, 0, 1]], images.sum(axis=1))
    after = sts.sdr(images[[0, 1, 2], [0, 0, 1]], np.concatenate(list(parts.values())))
    assert np.all(after > before)
    assert np.mean(after - before) > 2


def test_sparsity_and_more_rounds_separate_more() -> None:
    scene = sts.scene_a(4.0)

    def gained(system: Separator) -> float:
        parts = system.separate(bleed.passage(scene))
        return bleed.gain(scene, np.concatenate(list(parts.values())))

    assert gained(Mira(1024, 4)) > gained(Mira(1024, 4, sparsity=0.0)) + 1
    assert gained(Mira(1024, 4)) > gained(Mira(1024, 4, iterations=1)) + 1
    assert gained(Kamir(1024, 4, normalise=False, least_leak=1e-3)) > gained(Kamir(1024, 4, least_leak=0.3)) + 1


# ------------------------------------------------------------------ frame by frame

def naive_causal(method: str, sound: Audio, spectrum: Spectrum, tracking: Tracking) -> tuple[Float, Float]:
    """Return masks [mics, frames, bins] and leaks [mics, mics, bins], bin by bin."""
    spectra = spectrum.analyse(sound).astype(np.complex128)
    full = float((windows(spectrum.window, spectrum.window, spectrum.hop)[0].astype(np.float64) ** 2).sum())
    k, frames, bins = spectra.shape
    memory = tracking.memory_s * RATE / spectrum.hop
    masks, leaks = np.zeros(spectra.shape), np.zeros((k, k, bins))
    for b in range(bins):
        leak = np.maximum(np.eye(k), tracking.first_leak)
        above, below = 5 * leak, np.full((k, k), 5.0)
        for t in range(frames):
            v = np.abs(spectra[:, t, b]) ** 2 + 1e-12 * full
            p = v.copy()
            for _ in range(tracking.steps):
                m = leak @ p
                if method == "kamir":
                    p = np.diag(leak) * p**2 * v / m**2
                else:
                    g, s = np.exp(np.log(p).mean()), p.sum()
                    more = leak.T @ (v / m**2) + tracking.sparsity * k * g / s**2
                    p = p * more / (leak.T @ (1 / m) + tracking.sparsity * g / (p * s))
                p = np.maximum(p, 1e-15 * full)
            m = leak @ p
            masks[:, t, b] = np.diag(leak) * p / m
            if np.any(v > 1e-10 * full):
                kept = 1 - max(1 / memory, 1 / (t + 50))
                above = kept * above + leak * (v / m**2)[:, None] * p
                below = kept * below + (1 / m)[:, None] * p
            leak = above / below
            if method == "kamir":
                leak = np.maximum(leak / leak.sum(axis=1, keepdims=True), tracking.least_leak)
            else:
                leak = leak / np.diag(leak)
        leaks[..., b] = leak
    return masks, leaks


@pytest.mark.parametrize("method", ["kamir", "mira"])
def test_frame_by_frame_is_the_recursion(method: str) -> None:
    x = bursts(3, 6000)
    x[:, :1500] = 0   # silence teaches nothing
    spectrum = Spectrum(128, 32, live=True)
    tracking = Tracking(method, 2, 0.2, 0.6, 20.0, 0.05, rows_to_1=True)
    causal = Causal(tracking, spectrum, 3, RATE)
    heard = causal.clean(x)
    masks, leaks = naive_causal(method, x, spectrum, tracking)
    wanted = spectrum.resynthesise((spectrum.analyse(x) * masks).astype(np.complex64), 6000)
    np.testing.assert_allclose(causal.leak, leaks, rtol=5e-3)
    np.testing.assert_allclose(heard, wanted, atol=2e-4)


def test_leaks_are_kept_from_passage_to_passage() -> None:
    x = bursts(2, 16000)
    spectrum, tracking = Spectrum(256, 64, live=True), Tracking("mira", 2, 5.0, sparsity=40.0)
    follower = Follower()
    first = follower.clean(tracking, spectrum, passage(x))
    second = follower.clean(tracking, spectrum, passage(x, 16000))
    assert np.abs(second - first).max() > 1e-3
    np.testing.assert_array_equal(follower.clean(tracking, spectrum, passage(x)), first)   # another recording


def test_shorter_memory_follows_sooner() -> None:
    """A neighbour goes away after 2 s: who forgets finds the new leak."""
    rng = np.random.default_rng(4)
    dry = 0.05 * rng.standard_normal((2, 80000)) * (rng.random((2, 100)) > 0.5).repeat(800, 1)
    x = dry.copy()
    x[0, :32000] += 0.6 * dry[1, :32000]
    x[0, 32000:] += 0.1 * dry[1, 32000:]
    leaks = []
    for memory in (0.5, 100.0):
        causal = Causal(Tracking("mira", 3, memory, sparsity=40.0), Spectrum(256, 64, live=True), 2, RATE)
        causal.clean(x.astype(np.float32))
        leaks.append(float(np.median(causal.leak[0, 1])))
    assert leaks[0] < 0.03
    assert leaks[1] > 2 * leaks[0]


# ------------------------------------------------------------------ FastMIRA

def test_a_sketch_of_all_frames_is_mira() -> None:
    """With room for every frame nothing is left to chance, and the leaks are those of a fit to those frames."""
    x = bursts(3, 16000)
    system = FastMira(256, 4, frames=4096)
    system.fit(passage(x))
    again = FastMira(256, 4, frames=4096, seed=5)
    again.fit(passage(x))
    assert system.leak is not None
    assert again.leak is not None
    np.testing.assert_array_equal(system.leak, again.leak)
    whole = Spectrum(256, 64).analyse(x)[:, 4:-4]   # those that lie inside
    wanted, _ = Fit("mira", 6, sparsity=100.0)(powermodel.magnitude2(whole), own_mics(3))
    assert np.median(np.abs(np.sqrt(system.leak) - np.sqrt(wanted))) < 0.02


def test_frames_beat_the_published_projection() -> None:
    scene = sts.scene_a(10.0)
    found = {}
    for sketch in ("frames", "projection"):
        system = FastMira(1024, 4, sketch=sketch, frames=256)
        system.fit(bleed.passage(scene))
        assert system.leak is not None
        weight = np.ones((4, 513), np.float32)
        found[sketch] = np.abs(bleed.amplitudes(system.leak, weight) - scene.mixing).max()
    assert found["projection"] > 0.05
    assert found["frames"] < 0.5 * found["projection"]


def test_the_reservoir_keeps_frames_of_all_times_alike() -> None:
    """Each frame is loud as its number: which ones are kept can be read back, early and late ones alike."""
    frames, size, spectrum = 4000, 200, Spectrum(128, 64, live=True)
    tracking = Tracking("mira", 1, 1e6, reservoir=size, share=1)
    causal = Causal(tracking, spectrum, 2, RATE)
    numbers = np.arange(1, frames + 1, dtype=np.float32)
    power = np.tile(numbers[None, :, None], (2, 1, spectrum.bins))
    powerlive.masks(causal.state.record, power, np.empty_like(power))
    kept = np.sort(np.round(causal.state["reservoir"][0, :, 0, 0]))
    assert len(np.unique(kept)) == size
    halves = np.histogram(kept, 4, (0, frames))[0]
    assert halves.min() > 0.6 * size / 4
    # With a memory of the last 400 frames the early ones are gone.
    causal = Causal(Tracking("mira", 1, 400 * 64 / RATE, reservoir=size, share=1), spectrum, 2, RATE)
    powerlive.masks(causal.state.record, power, np.empty_like(power))
    assert np.median(causal.state["reservoir"][0, :, 0, 0]) > frames - 600


def test_the_reservoir_finds_the_leaks() -> None:
    scene = sts.scene_a(10.0)
    tracking = Tracking("mira", 3, 100.0, sparsity=100.0, reservoir=256, share=8)
    causal = Causal(tracking, Spectrum(1024, 256, live=True), 4, sts.RATE)
    causal.clean(scene.mics.astype(np.float32))
    leak, found = Fit("mira", 6, sparsity=100.0)(
        powermodel.magnitude2(Spectrum(1024, 256, live=True).analyse(scene.mics.astype(np.float32))), own_mics(4)
    )
    energy = found.sum(axis=1)
    assert np.abs(bleed.amplitudes(causal.leak, energy) - bleed.amplitudes(leak, energy)).max() < 0.03
    assert np.abs(bleed.amplitudes(causal.leak, energy) - scene.mixing).max() < 0.05


# ------------------------------------------------------------------ post-filter

def test_the_post_filter_is_its_equation() -> None:
    x, y = bursts(3, 5000), bursts(3, 5000, 1)
    y = (0.7 * x + 0.3 * y).astype(np.float32)
    both = np.ascontiguousarray(np.stack([x, y], axis=1).reshape(6, -1))
    system = PostFilter(256, 4, strength=0.3, floor=0.2, smooth_ms=10.0)
    system.fit(passage(both))
    parts = system.separate(passage(both))
    spectrum = Spectrum(256, 64)
    b, p = (np.abs(spectrum.analyse(s.astype(np.float64))) for s in (x, y))
    threshold = 0.002 / 1024 * windows(256, 256, 64)[0].sum()
    v = b * (b - p > threshold)
    wanted = np.clip((p - 0.3 * (v.sum(axis=0) - v)) / (b + 1e-10), 0.2, 1)
    share, held = 1 - np.exp(-64 / RATE / 0.010), np.ones((3, b.shape[2]))
    mask = np.empty_like(b)
    for t in range(b.shape[1]):
        held = held + share * (wanted[:, t] - held)
        mask[:, t] = np.where(b[:, t] > 0, np.minimum(held * b[:, t] / (p[:, t] + 1e-10), 1), 1)
    filtered = spectrum.resynthesise(spectrum.analyse(y.astype(np.float64)) * mask, 5000)
    for n in range(3):
        np.testing.assert_array_equal(parts[f"mic{2 * n + 1}"][0], x[n])
        np.testing.assert_allclose(parts[f"mic{2 * n + 2}"][0], filtered[n], atol=1e-4)


def test_cleaned_mics_come_from_a_file_or_a_system(tmp_path: pathlib.Path) -> None:
    x = bursts(2, 16000)
    cleaner = Mira(256, 4)
    cleaned = np.concatenate(list(cleaner.separate(passage(x)).values()))
    soundfile.write(tmp_path / "cleaned.wav", cleaned.T, RATE, subtype="FLOAT")
    both = np.ascontiguousarray(np.stack([x, cleaned], axis=1).reshape(4, -1))
    wanted = list(PostFilter(256, 4).separate(passage(both)).values())[1::2]
    told = PostFilter(256, 4, cleaned=str(tmp_path / "cleaned.wav"))
    told.fit(passage(x))
    np.testing.assert_array_equal(np.concatenate(list(told.separate(passage(x)).values())), np.concatenate(wanted))
    made = PostFilter(256, 4, cleaned="mira")
    made.fit(passage(x))
    assert set(made.separate(passage(x))) == {"mic1", "mic2"}
    with pytest.raises(InputError, match="allowed is 3 at 16000"):
        PostFilter(256, 4, cleaned=str(tmp_path / "cleaned.wav")).fit(passage(bursts(3, 16000)))


# ------------------------------------------------------------------ what all promise

@pytest.mark.parametrize(
    ("system", "mics", "words"),
    [
        (Kamir(), 1, "1 channel; allowed is 2"),
        (Mira(), 1, "1 channel; allowed is 2"),
        (FastMira(), 1, "1 channel; allowed is 2"),
        (PostFilter(), 1, "1 channel; allowed is 2"),
        (PostFilter(), 3, "3 channels.*pairs"),
        (PostFilter(cleaned="postfilter"), 2, "the post-filter itself"),
        (PostFilter(cleaned="no such file.wav"), 2, "no such file"),
        (Mira(2048, 3), 2, "a divisor"),
        (Kamir(kernel=4), 2, "an odd number"),
        (Kamir(close="1;3"), 2, "'3' is no microphone"),
        (Kamir(close="1;drums"), 2, "numbers from 1 to 2"),
        (Kamir(close="1;2", causal=True), 2, "neither"),
    ],
)
def test_unsuitable_input_is_one_line(system: Separator, mics: int, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        system.fit(passage(bursts(mics, 3000)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("cls", [Kamir, Mira, FastMira, PostFilter])
def test_silence_dead_mics_and_short_sounds_do_no_harm(cls: type, causal: bool) -> None:
    for frames in (1, 700, 5001):
        for sound in (np.zeros((4, frames), np.float32), bursts(4, frames), 1e3 * bursts(4, frames)):
            sound[2] = 0
            before = sound.copy()
            system = cls(256, 4, causal)
            system.fit(passage(sound))
            parts = system.separate(passage(sound))
            np.testing.assert_array_equal(sound, before)
            out = np.concatenate([parts[f"mic{n + 1}"] for n in range(4)])
            assert out.shape == sound.shape
            assert out.dtype == np.float32
            assert np.isfinite(out).all()
            assert not out[2].any()
            assert np.abs(out).max() <= 2 * np.abs(sound).max()
