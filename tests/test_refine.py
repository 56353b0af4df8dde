"""The refinement of the canceller's paths: its pieces against SciPy, a round against the closed form, its use."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import linalg, ndimage, signal

from rtsep.metrics import si_sdr
from rtsep.runner import process
from rtsep.stage import Block, Format
from rtsep.stages.canceller import Canceller, estimates
from rtsep.stages.canceller.settings import REFINEMENT
from rtsep_kernels.canceller import record as canceller_kernels
from rtsep_kernels.canceller.refine import adopt as refine_adopt
from rtsep_kernels.canceller.refine import learn, moves, phases, precondition, sound, weights
from rtsep_kernels.canceller.refine import record as r
from rtsep_kernels.canceller.refine import round as refine
from rtsep_kernels.canceller.refine import solve as refine_solve
from rtsep_kernels.canceller.refine import watch as refine_watch

RATE = 48000
Float = NDArray[np.float64]


def prepared(k: int = 3, taps: int = 16384, budget: int = 20000, rate: int = RATE, **options: Block) -> Canceller:
    stage = Canceller(taps=taps, refine=budget, **options)
    stage.prepare(Format(rate, k))
    return stage


def bursts(k: int, seconds: float, seed: int = 0) -> Float:
    """Return noise below 3 kHz; each source plays or pauses for half a second at a time, by itself."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * RATE)
    steps = (k, frames // 24000 + 1)
    level = np.repeat(0.01 + rng.uniform(0.2, 1, steps) * (rng.random(steps) > 0.5), 24000, axis=1)[:, :frames]
    low = signal.butter(4, 3000, fs=RATE, output="sos")
    noise = signal.sosfilt(low, rng.standard_normal((k, frames)))
    return np.asarray(0.1 * level * noise / noise.std(axis=1, keepdims=True))


def room(k: int, seed: int = 0, length: int = 12000) -> Float:
    """Return decaying random paths, a third of a millisecond late; none from a mic to itself."""
    paths = np.random.default_rng(100 + seed).standard_normal((k, k, length)) * np.exp(-np.arange(length) / 2500)
    paths *= 0.4 / np.sqrt(np.sum(paths**2, axis=-1, keepdims=True))
    paths[..., :16] = 0
    paths[np.arange(k), np.arange(k)] = 0
    return paths


def mixture(paths: Float, s: Float) -> Block:
    """Return what the mics hear, with a little noise of their own."""
    bled = sum(signal.oaconvolve(s[None, j], paths[:, j], axes=1)[:, : s.shape[1]] for j in range(len(s)))
    return (s + bled + 4e-5 * np.random.default_rng(7).standard_normal(s.shape)).astype(np.float32)


def filled(stage: Canceller, seed: int = 0) -> tuple[Float, Float]:
    """Fill the low-rate rings with noise bursts in a room, as if long heard; return x and y."""
    k = stage.fmt.channels
    rng = np.random.default_rng(seed)
    frames = r.RING * r.CHUNK
    level = np.repeat(rng.uniform(0.05, 1, (k, frames // 1024)) ** 2, 1024, axis=1)
    y = 0.1 * level * signal.lfilter([1], [1, -0.9], rng.standard_normal((k, frames)))
    reach = stage._refinement["reach"]
    paths = rng.standard_normal((k, k, reach)) * np.exp(-np.arange(reach) / (reach / 8))
    paths *= 0.4 / np.sqrt(np.sum(paths**2, axis=-1, keepdims=True))
    paths[np.arange(k), np.arange(k)] = 0
    x = y + sum(signal.oaconvolve(y[None, j], paths[:, j], axes=1)[:, :frames] for j in range(k))
    stage._refinement["x"][:], stage._refinement["y"][:] = x, y
    return stage._refinement["x"].astype(float), stage._refinement["y"].astype(float)


def relative(got: NDArray[Any], truth: NDArray[Any]) -> float:
    return float(np.linalg.norm(got - truth) / np.linalg.norm(truth))


# ---- The record


@pytest.mark.parametrize("rate", [16000, 44100, 48000, 96000])
def test_times_hold_at_every_rate(rate: int) -> None:
    """To half a chunk, which is a third of a second."""
    s = prepared(2, rate=rate)._refinement
    for name, seconds in {"memory": 10.24, "least": 1.0, "fresh_least": 0.7, "fresh_most": 1.4, "span": 1.0,
                          "soon": 0.7}.items():
        assert abs(s[name] * r.CHUNK / s["rate"] - seconds) <= 0.5 * r.CHUNK / s["rate"], name
    assert s["keeps"] / s["rate"] == pytest.approx(3, abs=1e-3)
    assert s["smooth"] * rate / 1024 == pytest.approx(750, abs=rate / 2048)
    assert -512 / rate / np.log(s["slow"]) == pytest.approx(21.3, rel=1e-2)
    if rate == 48000:
        assert [s[name] for name in ("memory", "least", "fresh_least", "fresh_most", "span", "soon", "smooth")] == [
            30, 3, 2, 4, 3, 2, 16]


def test_scratch_holds_nothing_from_piece_to_piece_and_a_snapshot_all_else() -> None:
    """Two stages go piece by piece through a watch, a mending and a round; the other's scratch is spoilt each time."""
    k = 3
    start, sure = (0.3 * room(k, 5)).astype(np.float32), np.ones((k, k), np.float32)
    stage, other = (prepared(k, 2048, start=start, confidence=sure) for _ in range(2))
    for one in (stage, other):
        filled(one)
        one._refinement["have"] = 6 * r.CHUNK
        one._refinement["budget"] = 1
    scratch = [name for name, field in r.REFINE.fields.items() if field.ours and not field.lasting
               and name not in ("lowpass", "window", "prior_variance", "edges")]
    assert "time" in scratch
    seen, pieces = set(), 0
    while stage._refinement["rounds"] == 0:
        for name in scratch:
            spoilt = other._refinement[name]
            spoilt[...] = 1e-3 if spoilt.dtype.kind == "f" else 7   # unlike NaN, no minimum hides it
        if pieces % 211 == 210:
            for mine, theirs in ((stage._refinement, other._refinement), (stage._paths, other._paths)):
                for _, values in theirs.running():
                    values[...] = 7
                theirs.restore(mine.snapshot())
        for one in (stage, other):
            one._refinement["debt"] = 0
            refine.work(one._refinement.record[0])
            if one._refinement["debt"] == 0:        # nothing to do before more is heard
                one._refinement["have"] += r.CHUNK // 4
        seen.add(stage._refinement["phase"])
        pieces += 1
        assert pieces < 5000
    assert len(seen) == 21
    assert stage._refinement["moves"] > 0
    for name in ("new", "anchor", "doubt", "improved", "y", "since", "settling", "unknown", "mask", "have", "moves",
                 "adopted", "dropped"):
        np.testing.assert_array_equal(other._refinement[name], stage._refinement[name], err_msg=name)
    for name in ("w_re", "w_im", "p", "memory", "drift"):
        np.testing.assert_array_equal(other._paths[name], stage._paths[name], err_msg=name)


# ---- The pieces


@pytest.mark.parametrize(("rate", "factor"), [(16000, 1), (32000, 2), (44100, 4), (48000, 4), (96000, 8)])
def test_sound_is_taken_at_a_low_rate(rate: int, factor: int) -> None:
    """Blocks that go round the ring of the canceller: scipy's filter, every fourth sample."""
    stage = prepared(2, rate=rate)
    s, c = stage._refinement.record[0], stage.record.record[0]
    assert s["factor"] == factor
    rng = np.random.default_rng(rate)
    blocks = canceller_kernels.HISTORY + 5
    heard = rng.standard_normal((2, 2, 512 * blocks)).astype(np.float32)
    for m in range(blocks):
        place = slice((m % canceller_kernels.HISTORY) * 512, (m % canceller_kernels.HISTORY + 1) * 512)
        stage.record["filled"][:, place] = heard[0, :, 512 * m : 512 * (m + 1)]
        stage.record["history"][:, place] = heard[1, :, 512 * m : 512 * (m + 1)]
        refine.take(s, c, m, 0)
    assert s["have"] == 512 * blocks // factor
    truth = signal.lfilter(stage._refinement["lowpass"], 1, heard)[..., factor - 1 :: factor]
    for name, expected in zip("xy", truth, strict=True):
        np.testing.assert_allclose(stage._refinement[name][:, : s["have"]], expected, atol=2e-5)
    # Nothing folds back, and the pass band is flat: 55 dB and a tenth of a decibel.
    f, response = signal.freqz(stage._refinement["lowpass"], worN=4096, fs=rate)
    if factor > 1:
        assert np.abs(response[f > 1.05 * rate / factor / 2]).max() < 10 ** (-55 / 20)
        assert abs(20 * np.log10(np.abs(response[f < 0.77 * rate / factor / 2]))).max() < 0.1


def powers(y: Float, frames: int) -> Float:
    window = np.sin(np.pi * (np.arange(r.FRAME) + 0.5) / r.FRAME)
    cut = np.lib.stride_tricks.sliding_window_view(y, r.FRAME)[:: r.FRAME // 2][:frames]
    return np.abs(np.fft.rfft(window * cut)) ** 2


def test_weights_are_the_smoothed_power_s_inverse() -> None:
    stage = prepared(2)
    s = stage._refinement.record[0]
    y = filled(stage)[1]
    s["mic"], s["first"], s["chunks"] = 1, r.RING - 2, 4        # round the end of the ring
    frames = 4 * r.FRAMES_PER_CHUNK - 1
    stage._refinement["since"][1] = (r.RING - 2) * r.CHUNK + 3 * 512
    for first in range(0, frames, 5):
        sound.take_powers(s, first, min(5, frames - first), 1)
    weights.weigh(s, frames)
    smooth = ndimage.uniform_filter(powers(np.roll(y[1], 2 * r.CHUNK), frames), 3, mode="nearest")
    floor = 1e-2 * smooth.mean(axis=0) + 1e-4 * smooth.mean() + 1e-9
    truth = s["trust"] * r.FRAME / 2 / (smooth + floor)
    truth[:3] = 0       # the mic does not believe in what is older
    np.testing.assert_allclose(stage._refinement["weights"][:frames, : r.FRAME // 2 + 1], truth, rtol=1e-3)


def test_weighing_frames_is_a_windowed_filter() -> None:
    stage = prepared(2)
    s = stage._refinement.record[0]
    rng = np.random.default_rng(1)
    s["first"], s["chunks"], frames = 5, 3, 3 * r.FRAMES_PER_CHUNK - 1
    weight = stage._refinement["weights"]
    weight[:] = rng.uniform(0, 3, weight.shape)
    source = stage._refinement["image"][: 3 * r.CHUNK] = rng.standard_normal(3 * r.CHUNK).astype(np.float32)
    for first in range(0, frames, 8):
        weights.weigh_frames(s, first, min(8, frames - first))
    window = np.sin(np.pi * (np.arange(r.FRAME) + 0.5) / r.FRAME)
    truth = np.zeros(3 * r.CHUNK)
    for f in range(frames):
        part = slice(512 * f, 512 * f + r.FRAME)
        w = weight[f, : r.FRAME // 2 + 1].astype(float)
        truth[part] += window * np.fft.irfft(np.fft.rfft(window * source[part]) * w)
    assert relative(stage._refinement["weighted"][: 3 * r.CHUNK], truth) < 1e-5


def test_a_neighbour_counts_where_the_mic_s_own_source_rests() -> None:
    stage = prepared(2)
    s = stage._refinement.record[0]
    y = filled(stage)[1]
    rng = np.random.default_rng(1)
    s["first"], s["chunks"], frames = 0, 3, 3 * r.FRAMES_PER_CHUNK - 1
    weight = stage._refinement["weights"]
    weight[:] = rng.uniform(0, 3, weight.shape)
    for first in range(0, frames, 8):
        sound.take_powers(s, first, min(8, frames - first), 1)
    weights.weigh_neighbour(s, frames, 1)
    truth = np.sum(weight[:frames, : r.FRAME // 2 + 1] * powers(y[1].astype(float), frames), axis=0)
    np.testing.assert_allclose(stage._refinement["density"][: r.FRAME // 2 + 1], truth, rtol=1e-3)


@pytest.mark.parametrize("anchored", [0, 1])
def test_the_prior_is_an_exponential_through_the_path(anchored: int) -> None:
    stage = prepared(2, taps=8192)
    s = stage._refinement.record[0]
    reach = int(s["reach"])
    assert reach == 2048
    rng = np.random.default_rng(3)
    path = stage._refinement["new"][0, 1]
    path[:reach] = 0.1 * rng.standard_normal(reach) * np.exp(-np.arange(reach) / 300)
    stage._refinement["doubt"][0, 1] = 0.25
    stage._guard["freed"][:] = 1
    stage._guard["anchored"][0] = anchored
    s["mic"] = 0
    weights.expect(s, 1)
    energy = path[:reach].astype(float) ** 2 + 0.1 * stage._refinement["prior_variance"][:reach]
    slope, start = np.polyfit((np.arange(16) + 0.5) * reach / 16, np.log(energy.reshape(16, -1).mean(axis=1)), 1)
    truth = np.exp(start + slope * np.arange(reach)) * (0.25 if anchored else 1)
    np.testing.assert_allclose(stage._refinement["variance"][1, :reach], truth, rtol=1e-3)
    stage._guard["freed"][0, 1] = 0       # the guard does not want this path
    weights.expect(s, 1)
    assert stage._refinement["variance"][1, :reach].max() < 1e-11


def coloured(seed: int) -> Float:
    """Return the autocorrelation of noise with 40 dB between its loud and its soft frequencies."""
    noise = np.random.default_rng(seed).standard_normal(40000)
    heard = signal.lfilter([1], [1, -1.6, 0.8], noise) + 0.05 * noise
    spectrum = np.fft.rfft(heard, 2**17)
    return np.asarray(np.fft.irfft(np.abs(spectrum) ** 2)[: r.ORDER])


@pytest.mark.parametrize("seed", range(3))
def test_levinson_solves_the_toeplitz_system(seed: int) -> None:
    correlation = coloured(seed)
    polynomial = np.zeros(r.ORDER)
    error = precondition.levinson(correlation, polynomial, np.zeros(r.ORDER))
    truth = linalg.solve_toeplitz(correlation, np.eye(r.ORDER)[0])
    np.testing.assert_allclose(polynomial / error, truth, rtol=1e-7, atol=1e-9 * truth[0])


@pytest.mark.parametrize("taps", [16384, 4096])
def test_the_preconditioner_inverts_the_autoregressive_matrix(taps: int) -> None:
    """Against Levinson's recursion for the whole matrix of 4096 x 4096, extended by the linear prediction."""
    stage = prepared(2, taps=taps)
    s = stage._refinement.record[0]
    rng = np.random.default_rng(5)
    reach = int(s["reach"])
    stage._refinement["variance"][1] = 1e-3
    s["mic"] = 0
    heard = signal.lfilter([1], [1, -1.6, 0.8], rng.standard_normal(12 * r.CHUNK))
    power = powers(heard, 23).sum(axis=0)
    stage._refinement["density"][: r.FRAME // 2 + 1] = power
    precondition.prepare_preconditioner(s, 1)
    residual = stage._refinement["residual"][1]
    residual[:reach] = rng.standard_normal(reach)
    precondition.precondition(s, 1)

    known = np.fft.irfft(power)[: r.ORDER]
    known[0] = known[0] * (1 + 1e-6) + 1e3
    polynomial = linalg.solve_toeplitz(known, np.eye(r.ORDER)[0])
    polynomial /= polynomial[0]
    # c[n] = - sum over m of a[m] c[n - m]: the autocorrelation that the model has beyond its order.
    beyond = signal.lfilter([1], polynomial, np.zeros(r.TAPS - r.ORDER),
                            zi=signal.lfiltic([1], polynomial, known[::-1]))[0]
    truth = linalg.solve_toeplitz(np.r_[known, beyond], residual.astype(float))
    assert relative(stage._refinement["solved"][1, :reach], truth[:reach]) < 1e-3
    assert not stage._refinement["solved"][1, reach:].any()
    # What is left unknown of the prior, in the Kalman filter's bins.
    density = ndimage.uniform_filter1d(np.pad(power, 2, mode="reflect"), 4)[2:-2][::4][:100]
    np.testing.assert_allclose(stage._refinement["unknown"][0, 1, 1:100], 1 / (1 + 1e-3 * density[1:]), rtol=0.1)


@pytest.mark.parametrize("taps", [16384, 4096])
@pytest.mark.parametrize("base", [0, 5])
def test_predicting_and_projecting_back_are_adjoint_convolutions(taps: int, base: int) -> None:
    stage = prepared(3, taps=taps)
    s = stage._refinement.record[0]
    y = filled(stage)[1]
    rng = np.random.default_rng(2)
    reach = int(s["reach"])
    s["first"], s["chunks"], s["mic"], s["base"] = 5, 3, 1, base * r.CHUNK
    filters = np.zeros((3, r.TAPS), np.float32)
    filters[:, :reach] = rng.standard_normal((3, reach))
    for chunk in range(3):
        sound.transform_chunk(s, 5 + chunk, chunk)
    for j in (0, 2):
        refine_solve.transform_filter(s, filters[j], j)
    got = []
    for chunk in range(3):
        refine_solve.predict_chunk(s, chunk)
        got.append(stage._refinement["time"][r.CHUNK :].copy())
    part = slice(5 * r.CHUNK, 8 * r.CHUNK)
    # One chunk before the first is known, unless the refinement has begun later.
    y[:, : max(base, 4) * r.CHUNK] = 0
    predicted = sum(signal.fftconvolve(y[j], filters[j])[part] for j in (0, 2))
    assert relative(np.concatenate(got), predicted) < 1e-5

    u = stage._refinement["weighted"][: 3 * r.CHUNK] = rng.standard_normal(3 * r.CHUNK).astype(np.float32)
    for chunk in range(3):
        refine_solve.back_project_chunk(s, chunk)
    inner = 0.0
    for j in (0, 2):
        target = np.ones(r.TAPS, np.float32)
        refine_solve.gather_taps(s, j, target)
        truth = np.array([u.astype(float) @ y[j, 5 * r.CHUNK - n : 8 * r.CHUNK - n] for n in range(0, reach, 97)])
        assert relative(target[:reach:97], truth) < 1e-5
        assert not target[reach:].any()
        inner += float(target.astype(float) @ filters[j])
    assert inner == pytest.approx(float(u.astype(float) @ predicted), rel=1e-4, abs=1e-3 * float(np.linalg.norm(u)))


# ---- The descent


def strided(y: Float, reach: int, first: int, frames: int) -> Float:
    """Return y late by 0, 1, ... samples, as columns: what `predict_chunk` multiplies with the taps."""
    return np.stack([y[first - n : first - n + frames] for n in range(reach)], axis=1)


def stft(x: Float) -> Float:
    """Return the frames of x (any further axes last), so that the inner product is that of the docstring."""
    window = np.sin(np.pi * (np.arange(r.FRAME) + 0.5) / r.FRAME)
    cut = np.lib.stride_tricks.sliding_window_view(x, r.FRAME, axis=0)[:: r.FRAME // 2]
    spectra = np.fft.rfft(window * cut) / np.sqrt(r.FRAME)
    spectra[..., 1:-1] *= np.sqrt(2)        # what is not there is the mirror image
    return np.asarray(spectra)


class Objective:
    """The docstring's sum for one mic, with the weights and the prior that the record holds."""

    def __init__(self, stage: Canceller, x: Float, y: Float) -> None:
        s = stage._refinement.record[0]
        self.mic, self.reach = int(s["mic"]), int(s["reach"])
        frames, first = int(s["chunks"]) * r.CHUNK, int(s["first"]) * r.CHUNK
        self.others = [j for j in range(len(x)) if j != self.mic]
        count = int(s["chunks"]) * r.FRAMES_PER_CHUNK - 1
        self.weights = stage._refinement["weights"][:count, : r.FRAME // 2 + 1].astype(float)
        self.variance = stage._refinement["variance"][self.others, : self.reach].astype(float)
        self.anchor = stage._refinement["anchor"][self.mic, self.others, : self.reach].astype(float)
        self.anchor *= stage._guard["anchored"][self.mic]
        self.heard = x[self.mic, first : first + frames]
        y = y.copy()
        y[:, : max(int(s["base"]), first - r.CHUNK)] = 0
        self.columns = np.concatenate([strided(y[j], self.reach, first, frames) for j in self.others], axis=1)

    def __call__(self, paths: Float) -> float:
        error = self.heard - self.columns @ paths[self.others, : self.reach].ravel()
        prior = np.sum((paths[self.others, : self.reach] - self.anchor) ** 2 / self.variance)
        return float(np.sum(self.weights * np.abs(stft(error)) ** 2) + prior)

    def least(self) -> float:
        """Return the least that it can be: of the dense normal equations."""
        seen = np.sqrt(self.weights)[:, None] * stft(self.columns)
        rows = seen.transpose(0, 2, 1).reshape(-1, self.columns.shape[1])
        target = (np.sqrt(self.weights) * stft(self.heard)).ravel()
        normal = (rows.conj().T @ rows).real + np.diag(1 / self.variance.ravel())
        right = (rows.conj().T @ target).real + (self.anchor / self.variance).ravel()
        paths = np.zeros((len(self.others) + 1, self.reach))
        paths[self.others] = np.linalg.solve(normal, right).reshape(-1, self.reach)
        return self(paths)


@pytest.mark.parametrize(("k", "anchored", "base"), [(2, 0, 0), (2, 1, 5), (3, 0, 0)])
def test_every_step_lowers_the_objective_towards_its_least(k: int, anchored: int, base: int) -> None:
    stage = prepared(k, taps=1024)
    s = stage._refinement.record[0]
    x, y = filled(stage)
    s["have"] = 8 * r.CHUNK
    stage._guard["freed"][:] = 1
    # What came before the fifth chunk is not believed in, or not even known.
    s["base"] = base * r.CHUNK
    stage._refinement["since"][:] = 5 * r.CHUNK
    stage._guard["anchored"][:] = anchored
    stage._refinement["doubt"][:] = 0.1
    rng = np.random.default_rng(1)
    stage._refinement["anchor"][..., :256] = 0.03 * rng.standard_normal((k, k, 256))
    course: list[list[float]] = []
    objectives: list[Objective] = []
    phase = phases.IDLE
    while s["phase"] != phases.FRESH:
        assert refine.do(s) < phases.WAIT
        if s["phase"] == phases.DIRECTION and phase != phases.DIRECTION and s["step"] == 1:
            objectives.append(Objective(stage, x, y))
            course.append([objectives[-1](stage._refinement["new"][s["mic"]])])
        elif s["phase"] == phases.SOLVE != phase and s["step"] > 0:
            course[-1].append(objectives[-1](stage._refinement["new"][s["mic"]]))
        elif s["phase"] in (phases.WEIGH, phases.FRESH) and phase == phases.GATHER:
            course[-1].append(objectives[-1](stage._refinement["new"][s["mic"] - 1]))
        phase = int(s["phase"])
    assert [o.mic for o in objectives] == list(range(k))
    for values in course:
        assert len(values) == learn.STEPS + 1
        assert (np.diff(values) < 0).all(), values
    least = objectives[-1].least()
    assert least <= values[-1]
    # A hundredth of the way is left; without the preconditioner it would be most of it.
    assert values[-1] - least < 0.01 * (values[0] - least), (values, least)


def test_the_error_kept_is_the_mic_cleaned_by_the_new_paths() -> None:
    stage = prepared(3)
    s = stage._refinement.record[0]
    x, y = filled(stage)
    s["have"] = 8 * r.CHUNK
    stage._guard["freed"][:] = 1
    while s["phase"] != phases.FRESH:
        refine.do(s)
    first, frames = int(s["first"]) * r.CHUNK, int(s["chunks"]) * r.CHUNK
    new = stage._refinement["new"].astype(float)
    for i in range(3):
        predicted = sum(signal.oaconvolve(y[j], new[i, j])[first : first + frames] for j in range(3) if j != i)
        assert relative(stage._refinement["improved"][i, :frames], x[i, first : first + frames] - predicted) < 1e-4


# ---- What becomes of a round's paths


def test_what_is_not_changed_comes_back_unchanged() -> None:
    """Down to the low rate, and all of it blended in again: the same paths up to 0.77 of the low Nyquist frequency."""
    k = 2
    stage = prepared(k, start=(0.5 * room(k)).astype(np.float32))
    s = stage._refinement.record[0]
    before = stage.paths
    assert np.abs(before).max() > 0.01
    for i in range(k):
        s["mic"] = i
        refine_adopt.set_mask(s, np.ones(r.BANDS, np.int64))
    hz = np.arange(r.BINS) * 12000 / r.SIZE
    assert np.all(stage._refinement["mask"][:, : r.BINS][:, hz < 0.77 * 6000] == 1)
    assert np.all(stage._refinement["mask"][:, : r.BINS][:, hz > 0.87 * 6000] == 0)
    refine_adopt.lower(s, 0, 1)
    low = estimates.low_rate(stage._refinement, before)[0, 1]
    assert relative(stage._refinement["new"][0, 1], low.astype(float)) < 1e-5
    refine_adopt.compare_paths(s, 0, 1)
    refine_adopt.blend(s, 0, np.float32(1))
    after = stage.paths
    np.testing.assert_array_equal(after[1, 0], before[1, 0])
    change = np.abs(np.fft.rfft(after[0, 1] - before[0, 1]))
    size = np.abs(np.fft.rfft(before[0, 1]))
    f = np.fft.rfftfreq(16384, 1 / RATE)
    typical = np.sqrt(np.mean(size**2))
    assert change[f < 0.77 * 6000].max() < 0.01 * typical
    assert change[f > 0.87 * 6000].max() < 0.01 * typical


def test_a_new_path_is_blended_in_by_its_share_and_mask() -> None:
    stage = prepared(2)
    s = stage._refinement.record[0]
    rng = np.random.default_rng(4)
    new = stage._refinement["new"][0, 1]
    new[:1000] = rng.standard_normal(1000) * np.exp(-np.arange(1000) / 200)
    s["mic"] = 0
    refine_adopt.set_mask(s, np.array([1, 0, 1, 0]))
    refine_adopt.compare_paths(s, 0, 1)
    refine_adopt.blend(s, 0, np.float32(0.25))
    wanted = np.fft.rfft(new.astype(float), r.SIZE)
    got = np.fft.rfft(stage.paths[0, 1].astype(float), 4 * r.SIZE)[: r.BINS]
    hz = np.arange(r.BINS) * 12000 / r.SIZE
    typical = np.sqrt(np.mean(np.abs(wanted) ** 2))
    # The edges between bands are 120 Hz wide, so what lies near them rings beyond what taps there are: a little.
    for low, high, share in ((0, 300, 0.25), (500, 1100, 0), (1300, 2500, 0.25), (2700, 6000, 0)):
        part = (hz >= low) & (hz < high)
        assert np.abs(got[part] - share * wanted[part]).max() < 0.05 * typical, (low, high)


@pytest.mark.parametrize("won", [(1, 0, 0, 0), (0, 1, 0, 1), (1, 1, 1, 1), (0, 0, 0, 0)])
def test_each_band_is_judged_by_itself(won: tuple[int, ...]) -> None:
    """Of two versions of a chunk the one that is quieter in a band wins it."""
    stage = prepared(2)
    s = stage._refinement.record[0]
    rng = np.random.default_rng(6)
    frames = 2 * r.CHUNK
    old = rng.standard_normal(frames)
    spectrum = np.fft.rfft(old)
    band = np.searchsorted(REFINEMENT.edges, np.arange(frames // 2 + 1) * 12000 / frames, side="right")
    new = np.fft.irfft(spectrum * np.where(np.array(won)[band], 0.8, 1.2))
    stage._refinement["image"][:frames], stage._refinement["error"][:frames] = old, new
    better = np.zeros(r.BANDS, np.int64)
    s["mic"] = 1
    assert refine_adopt.judge(s, 2, better) == sum(won)
    assert better.tolist() == list(won)


def test_a_mic_whose_new_paths_lose_forgets_its_older_half() -> None:
    stage = prepared(2)
    s = stage._refinement.record[0]
    s["mic"], s["have"] = 1, 100 * r.CHUNK
    kept = []
    for _ in range(4):
        refine_adopt.forget_older_half(s)
        kept.append((100 * r.CHUNK - stage._refinement["since"][1]) / 12000)
    assert kept == pytest.approx([5.12, 3, 3, 3])
    assert stage._refinement["since"][0] == 0


@pytest.mark.parametrize("anchored", [0, 1])
def test_the_kalman_filter_doubts_only_what_is_still_unknown(anchored: int) -> None:
    stage = prepared(2, taps=2048)
    s = stage._refinement.record[0]
    prior = stage._paths["prior"][:, None].astype(float)
    stage._guard["anchored"][:] = anchored
    stage._refinement["unknown"][:] = 0.3
    stage._refinement["mask"][0, : r.BINS // 2] = 1        # below 3 kHz
    before = stage._paths["memory"].copy()
    refine_adopt.believe(s, 0)
    doubt = stage._paths["p"][:, 0, 1, : canceller_kernels.BINS]
    bins = np.arange(canceller_kernels.BINS) * RATE / 1024
    np.testing.assert_allclose(doubt[:, bins < 2990] / prior, 0.3, rtol=1e-5)
    np.testing.assert_array_equal(doubt[:, bins > 3010] / prior, 1)
    np.testing.assert_array_equal(stage._paths["p"][:, 1].reshape(4, -1) / prior, 1)
    memory = stage._paths["memory"]
    np.testing.assert_array_equal(memory[1], before[1])
    if anchored:
        np.testing.assert_array_equal(memory[0], before[0])     # a soundcheck has said how long it is
    else:
        np.testing.assert_allclose(memory[0, : canceller_kernels.BINS][bins < 2990], s["slow"])
        np.testing.assert_allclose(memory[0, : canceller_kernels.BINS][bins > 3010], s["blind_memory"])


# ---- The whole


@functools.cache
def concert(seconds: float, seed: int = 1, k: int = 2) -> tuple[Float, Float, Block]:
    s, paths = bursts(k, seconds, seed), room(k, seed)
    return s, paths, mixture(paths, s)


def path_error(stage: Canceller, paths: Float) -> float:
    """Return how far the paths are from the truth, below 2 kHz, where there is sound to learn them from."""
    got = np.fft.rfft(stage.paths, 16384)
    truth = np.fft.rfft(paths, 16384)
    low = slice(17, 683)
    return relative(got[..., low], truth[..., low])


@pytest.mark.parametrize("k", [2, 3])
def test_paths_come_closer_to_the_truth(k: int) -> None:
    """Learn for ten seconds, stop, and clean two more that nobody has learnt from: twice, 2 dB in the mean."""
    cut = 10 * RATE
    gains = []
    for seed in (1, 2):
        s, paths, x = concert(12, seed, k)
        found, cleaned = [], []
        for budget in (0, 20000):
            stage = prepared(k, 16384, budget)
            process(stage, np.ascontiguousarray(x[:, :cut]))
            found.append(path_error(stage, paths))
            stage.board.set("canceller.adapt", 0)
            y = process(stage, np.ascontiguousarray(x[:, cut:]))
            part = slice(RATE // 5, None)       # the filters in use have changed for the last time
            cleaned.append(np.asarray(si_sdr(s[:, cut:][:, part], y[:, part])))
            assert (stage.status()["refinements"] > 5) == (budget > 0)
        assert found[1] < 0.75 * found[0], (seed, found)
        gains.append((cleaned[1] - cleaned[0]).mean())
    assert np.mean(gains) > 2, gains


def test_the_block_length_changes_no_bit() -> None:
    x = concert(12)[2][:, : 3 * RATE]
    stage = prepared(2, 4096)
    whole = process(stage, x, 64)
    rounds = stage.status()["refinements"]
    assert rounds > 0
    assert not np.array_equal(whole, process(prepared(2, 4096, 0), x, 64))
    for block in (1, 37, 480, 2048):
        stage.reset()
        np.testing.assert_array_equal(process(stage, x, block), whole, err_msg=f"block {block}")
        assert stage.status()["refinements"] == rounds


def test_frozen_it_learns_nothing() -> None:
    x = concert(12)[2][:, : 4 * RATE]
    start = (0.5 * room(2, 3)).astype(np.float32)
    stage = prepared(2, 16384, start=start)
    before = stage.paths
    stage.board.set("canceller.adapt", 0)
    process(stage, x)
    np.testing.assert_array_equal(stage.paths, before)
    assert stage.status()["refinements"] == 0
    assert stage._refinement["have"] == 0
    # Let go again: it starts from what it hears then.
    stage.board.set("canceller.adapt", 1)
    process(stage, x)
    assert stage.status()["refinements"] > 0
    assert not np.array_equal(stage.paths, before)


def test_what_was_heard_before_a_pause_is_not_joined_to_what_comes_after() -> None:
    x = concert(12)[2]
    stage = prepared(2, 16384)
    process(stage, np.ascontiguousarray(x[:, : 2 * RATE]))
    stage.board.set("canceller.adapt", 0)
    process(stage, np.ascontiguousarray(x[:, 2 * RATE : 3 * RATE]))
    s = stage._refinement.record[0]
    assert s["phase"] == phases.IDLE
    assert s["base"] == s["have"] == (stage._refinement["since"]).min() > 0


@pytest.mark.parametrize("seed", [4, 5])
def test_a_change_of_the_paths_is_recovered_from(seed: int) -> None:
    """Eight seconds later the mics are nearly as clean as if the old paths had never been heard."""
    k, cut = 2, 8 * RATE
    s, _, x = concert(20, seed, k)
    moved = mixture(room(k, 77), s)
    x = np.concatenate([x[:, :cut], moved[:, cut:]], axis=1)
    end = 4 * RATE
    changed = np.mean(si_sdr(s[:, -end:], process(prepared(k, 16384), x)[:, -end:]))
    plain = np.mean(si_sdr(s[:, -end:], process(prepared(k, 16384, 0), x)[:, -end:]))
    fresh = np.mean(si_sdr(s[:, -end:], process(prepared(k, 16384), np.ascontiguousarray(moved[:, cut:]))[:, -end:]))
    assert changed > fresh - 6
    assert changed > plain + 2
    # It is a change: at first the old paths harm.
    part = slice(cut, cut + RATE)
    first, same = x[:, : cut + RATE], concert(20, seed, k)[2][:, : cut + RATE]
    hurt, unhurt = (np.mean(si_sdr(s[:, part], process(prepared(k, 16384), heard)[:, part])) for heard in (first, same))
    assert hurt < unhurt - 3


@pytest.mark.parametrize("right", [True, False])
def test_a_soundcheck_that_is_wrong_is_let_go_of_and_a_right_one_is_not(right: bool) -> None:
    k = 3
    _, paths, x = concert(12, 3, k)
    start = paths if right else room(k, 55)
    stage = prepared(k, start=start.astype(np.float32), confidence=np.ones((k, k), np.float32))
    assert stage._guard["anchored"].tolist() == [1] * k
    process(stage, x)
    assert stage._guard["anchored"].tolist() == [int(right)] * k
    assert (stage._refinement["moves"] == 0) == right
    assert path_error(stage, paths) < 0.15


def test_a_job_does_no_more_than_its_budget_and_one_piece() -> None:
    """The work is even: what one job has done too much, the next ones do less."""
    budget, most = 3000, 0
    stage = prepared(2, 4096, budget)
    x = concert(12)[2]
    done = 0
    for m in range(300):
        process(stage, np.ascontiguousarray(x[:, 512 * m : 512 * (m + 1)]))
        most = max(most, stage._refinement["debt"])
        done = stage._refinement["rounds"]
    assert done > 0
    # The largest pieces: a path at the full rate there and back, and eight frames.
    assert 0 < most <= 3 * r.FFT_WIDE + 2 * r.FFT_PARTS


def test_too_small_a_budget_never_ends_a_round_and_does_no_harm() -> None:
    x = concert(12)[2]
    stage = prepared(3, 4096, 20)
    x = np.concatenate([x, x[:1, ::-1]])
    y = process(stage, np.ascontiguousarray(x))
    assert stage.status()["refinements"] == 0
    np.testing.assert_array_equal(y, process(prepared(3, 4096, 0), np.ascontiguousarray(x)))


def test_one_mic_needs_no_refinement() -> None:
    stage = prepared(1)
    x = concert(12)[2][:1, :RATE].copy()
    np.testing.assert_allclose(process(stage, x), x, atol=1e-6)
    assert stage.status()["refinements"] == 0


def test_silence_and_a_dead_mic_do_no_harm() -> None:
    _, _, x = concert(12)
    silent = np.zeros((3, 6 * RATE), np.float32)
    stage = prepared(3, 4096)
    np.testing.assert_array_equal(process(stage, silent), silent)
    assert not stage.paths.any()
    silent[:2] = x[:, : 6 * RATE]
    y = process(stage, silent)
    assert np.isfinite(y).all()
    assert np.isfinite(stage.paths).all()
    assert np.mean(y[2] ** 2) < 1e-4 * np.mean(y[0] ** 2)


# ---- What moves after a soundcheck


def watched(stage: Canceller, x: Float, chunks: int) -> None:
    """Let `chunks` chunks be watched, as `refine.work` does, but for the judgement."""
    s, k = stage._refinement.record[0], len(x)
    s["have"] = (chunks + 2) * r.CHUNK
    for chunk in range(1, chunks + 1):
        s["watched"] = chunk
        for _ in range(1 + k * (k + 1)):
            refine_watch.watch(s)
        s["watching"] = 0
        s["age"] += 1


def test_gains_are_the_weighted_least_squares_of_what_the_soundcheck_expects() -> None:
    """Against NumPy: the parts by convolution, one system of equations for each mic and band."""
    k, chunks = 3, 2
    stage = prepared(k)
    s = stage._refinement.record[0]
    x, y = filled(stage)
    rng = np.random.default_rng(3)
    anchor = 0.05 * rng.standard_normal((k, k, r.TAPS)) * np.exp(-np.arange(r.TAPS) / 300)
    stage._refinement["anchor"][:] = anchor
    stage._refinement["doubt"][:] = 1e-4
    stage._refinement["doubt"][0, 2] = 1           # of this path nothing is known
    stage._guard["anchored"][:] = 1
    y[1, 2 * r.CHUNK : 3 * r.CHUNK] *= 0.01     # here its player rests
    stage._refinement["y"][:] = y
    watched(stage, x, chunks)
    window = np.sin(np.pi * (np.arange(r.FRAME) + 0.5) / r.FRAME)
    hz = np.arange(r.FRAME // 2 + 1) * 12000 / r.FRAME
    edges = [0, *REFINEMENT.edges, 0.43 * 12000]

    def frames(sound: Float, chunk: int) -> Float:
        cut = np.lib.stride_tricks.sliding_window_view(sound[chunk * r.CHUNK : (chunk + 1) * r.CHUNK], r.FRAME)
        return np.asarray(np.fft.rfft(window * cut[:: r.FRAME // 2]))

    for i in range(k):
        known = [j for j in range(k) if j != i and (i, j) != (0, 2)]
        for band in range(r.BANDS):
            moves.solve_gains(s, i, band)
            inside = (hz >= edges[band]) & (hz < edges[band + 1])
            normal, right = 0.5 * np.eye(len(known)), np.full(len(known), 0.5)
            for chunk in range(1, chunks + 1):
                parts = []
                for j in known:
                    before = y[j, (chunk - 1) * r.CHUNK : (chunk + 1) * r.CHUNK]
                    part = np.zeros(y.shape[1])
                    part[(chunk - 1) * r.CHUNK : (chunk + 1) * r.CHUNK] = signal.fftconvolve(
                        before, anchor[i, j])[: 2 * r.CHUNK]
                    parts.append(frames(part * (0 if (j, chunk) == (1, 2) else 1), chunk))
                power = np.abs(frames(y[i], chunk)) ** 2 + np.abs(sum(parts)) ** 2 + 1e-7
                rows = np.stack([(part / np.sqrt(power))[:, inside].ravel() for part in parts])
                heard = (frames(x[i], chunk) / np.sqrt(power))[:, inside].ravel()
                normal += (rows.conj() @ rows.T).real
                right += (rows.conj() @ heard).real
            found = stage._refinement["gain"][i, known, band]
            np.testing.assert_allclose(found, np.linalg.solve(normal, right), rtol=1e-3, atol=1e-3)
            np.testing.assert_allclose(stage._refinement["cells"][i, known, band], np.diag(normal) - 0.5, rtol=1e-3,
                                       atol=1e-2)


def judged(gain: Float) -> tuple[list[int], list[int], Float]:
    """Return the rows and columns that have moved, and the faders, for gains float[k, k]."""
    stage = prepared(len(gain))
    stage._guard["anchored"][:] = 1
    stage._refinement["doubt"][:] = 1e-4
    stage._refinement["age"] = stage._refinement["span"]
    stage._refinement["normal"][:] = 0
    # Where no part has to do with any other, the right side is the gain times the cells.
    cells = 1e4
    for j in range(len(gain)):
        stage._refinement["normal"][0, :, :, j, j] = cells
        stage._refinement["normal"][0, :, :, j, -1] = cells * gain[:, j, None]
    moves.judge_moves(stage._refinement.record[0])
    rows, columns = (np.flatnonzero(flags).tolist() for flags in stage._refinement["moved"])
    return rows, columns, stage._refinement["turned"].copy()


def test_rows_columns_and_faders_are_told_apart() -> None:
    k = 5
    right = np.ones((k, k))
    assert judged(right)[:2] == ([], [])
    leant, walked, turned, unison = (right.copy() for _ in range(4))
    leant[:, 3] = (0.5, 0.3, 0.6, 1, 0.2)
    assert judged(leant)[:2] == ([], [3])
    walked[1], walked[:, 1] = (0.5, 1, 0.1, 0.3, 0.6), (0.4, 1, 0.2, 0.5, 0.3)
    assert judged(walked)[:2] == ([1], [1])
    turned[2], turned[:, 2] = 0.63, 1 / 0.63
    rows, columns, level = judged(turned)
    assert (rows, columns) == ([], [])
    np.testing.assert_allclose(level, [1, 1, 0.63, 1, 1], rtol=1e-3)
    unison[1, 4] = unison[4, 1] = 0.2           # two players have much in common: that is no move
    rows, columns, level = judged(unison)
    assert (rows, columns, level.tolist()) == ([], [], [1] * k)
    # Two mics: one path alone is not believed.
    assert judged(np.array([[1, 0.3], [1, 1]]))[:2] == ([], [])
    assert judged(np.array([[1, 0.3], [0.3, 1]]))[:2] != ([], [])


def soundchecked(paths: Float) -> Canceller:
    k = len(paths)
    return prepared(k, start=paths.astype(np.float32), confidence=np.ones((k, k), np.float32))


def test_who_walks_is_learnt_anew_and_the_others_stay_known() -> None:
    k, cut, walker = 4, 3 * RATE, 1
    s, before = bursts(k, 8, 21), room(k, 21)
    after = before.copy()
    after[walker], after[:, walker] = room(k, 22)[walker], room(k, 22)[:, walker]
    x = np.concatenate([mixture(before, s)[:, :cut], mixture(after, s)[:, cut:]], axis=1)
    stage = soundchecked(before)
    heard = process(stage, x)
    others = [i for i in range(k) if i != walker]
    stays = stage._refinement["doubt"][np.ix_(others, others)][~np.eye(k - 1, dtype=bool)]
    assert (stays < 1e-3).all()
    assert (stage._refinement["doubt"][others, walker] == 1).all()
    assert stage._guard["anchored"].tolist() == [int(i != walker) for i in range(k)]
    # As it was before: whoever moves, the whole soundcheck is let go of.
    stage = soundchecked(before)
    first = process(stage, np.ascontiguousarray(x[:, : cut + RATE]))
    stage._refinement["doubt"][:] = 1
    stage._refinement["anchor"][:] = 0
    stage._guard["anchored"][:] = 0
    stage._paths["p"][:] = stage._paths["prior"][:, None, None, None]
    stage._refinement["since"][:] = stage._refinement["have"] - 18000
    dropped = np.concatenate([first, process(stage, np.ascontiguousarray(x[:, cut + RATE :]))], axis=1)
    part = slice(cut + 2 * RATE, None)
    kept, lost = (np.mean(si_sdr(s[others][:, part], y[others][:, part])) for y in (heard, dropped))
    assert kept > lost + 1.5


def test_a_fader_is_followed_by_scaling() -> None:
    """Nothing is doubted: three seconds later the mics are as clean as if it had not moved, within 1 dB."""
    k, cut, gain = 4, 3 * RATE, 10 ** (-4 / 20)
    s, paths = bursts(k, 8, 23), room(k, 23)
    still = mixture(paths, s)
    x = still.copy()
    x[2, cut:] *= gain
    stage = soundchecked(paths)
    heard = process(stage, x)
    assert (stage._refinement["doubt"][~np.eye(k, dtype=bool)] < 1e-3).all()
    part = slice(cut + 3 * RATE, None)
    wanted = s.copy()
    wanted[2] *= gain
    same = np.mean(si_sdr(s[:, part], process(soundchecked(paths), still)[:, part]))
    assert np.mean(si_sdr(wanted[:, part], heard[:, part])) > same - 1
    assert stage._refinement["moves"] in (1, 2)      # the first figure may be of before and after


def test_players_in_unison_do_not_move() -> None:
    k = 4
    s, paths = bursts(k, 6, 24), room(k, 24)
    s[3] = 0.7 * s[0] + 0.1 * s[3]
    stage = soundchecked(paths)
    process(stage, mixture(paths, s))
    assert stage._refinement["moves"] == 0
    assert stage._guard["anchored"].tolist() == [1] * k
