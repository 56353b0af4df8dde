"""The bench: rivals do what their equations say, oracles reach what is known to be possible, the verbs refuse."""

from __future__ import annotations

import json
import pathlib
import re
import signal

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from rtsep import cli, metrics, synth
from rtsep.bench import bleed, cases, oracles, rivals, robust
from rtsep.bench.cases import Case
from rtsep.bench.recordings import SILENT, Recording, make_recording
from rtsep.bench.rivals import gate, nlms
from rtsep.stage import Block
from rtsep.systems import ica, powermodel
from rtsep.systems.auxiva import Auxiva
from rtsep.systems.separator import Passage

RATE = 48000


def bursts(k: int, frames: int, seed: int = 0) -> NDArray[np.float64]:
    """Return noise that comes and goes: independent, sparse and heavy-tailed."""
    rng = np.random.default_rng(seed)
    playing = (rng.random((k, frames // 2400 + 1)) > 0.5).repeat(2400, 1)[:, :frames]
    return 0.05 * rng.laplace(size=(k, frames)) * playing


def linear_case(frames: int = 96000) -> Case:
    sources = bursts(3, frames)
    mixing = np.array([[1, 0.3, 0.1], [0.2, 1, 0.3], [0.25, 0.1, 1]])
    return Case("x", "linear", RATE, (mixing @ sources).astype(np.float32), sources.astype(np.float32), mixing)


def gain_of(case: Case, cleaned: Block) -> NDArray[np.float64]:
    return np.asarray(metrics.improvement(case.images, case.mics, cleaned))


# ------------------------------------------------------------------ rivals

def naive_kamir(v: NDArray[np.float64], iterations: int, least: float, first: float) -> NDArray[np.float64]:
    """One bin, v[mics, frames], in the loops of the paper; returns the gains of the own sources."""
    k, frames = v.shape
    leak = np.maximum(np.eye(k), first)
    p = v.copy()
    for _ in range(iterations):
        y = np.array([[(leak[i, i] * p[i, t] / sum(leak[i, j] * p[j, t] for j in range(k))) ** 2 * v[i, t]
                       for t in range(frames)] for i in range(k)])
        p = np.array([y[i] / leak[i, i] for i in range(k)])
        m = leak @ p
        new = leak.copy()
        for i in range(k):
            for j in range(k):
                new[i, j] *= sum(v[i] * p[j] / m[i] ** 2) / sum(p[j] / m[i])
        leak = np.maximum(new / new.sum(1, keepdims=True), least)
    return np.array([leak[i, i] * p[i] / (leak @ p)[i] for i in range(k)])


def test_kamir_is_the_loops_of_the_paper() -> None:
    rng = np.random.default_rng(1)
    power = rng.exponential(size=(3, 4, 20))
    own = powermodel.own_mics(3)
    fit = powermodel.Fit("kamir", 3, first_leak=0.8, least_leak=0.05, rows_to_1=True)
    leak, source = fit(power.astype(np.float32).transpose(0, 2, 1), own)
    for f in range(4):
        mine = np.diag(leak[..., f])[:, None] * source[..., f] / (leak[..., f] @ source[..., f])
        np.testing.assert_allclose(mine, naive_kamir(power[:, f], 3, 0.05, 0.8), rtol=2e-3, atol=1e-5)


def naive_mira(
    v: NDArray[np.float64], iterations: int, first: float, sparsity: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One bin: leaks with a diagonal of 1, and powers."""
    k, frames = v.shape
    leak = np.maximum(np.eye(k), first)
    p = v.copy()
    for _ in range(iterations):
        new = p.copy()
        for t in range(frames):
            m = leak @ p[:, t]
            g, s = np.prod(p[:, t]) ** (1 / k), p[:, t].sum()
            for j in range(k):
                more = sum(leak[i, j] * v[i, t] / m[i] ** 2 for i in range(k)) + sparsity * k * g / s**2
                less = sum(leak[i, j] / m[i] for i in range(k)) + sparsity * g / (p[j, t] * s)
                new[j, t] *= more / less
        p = new
        m = leak @ p
        leak = np.array([[leak[i, j] * sum(v[i] * p[j] / m[i] ** 2) / sum(p[j] / m[i]) for j in range(k)]
                         for i in range(k)])
        scale = np.diag(leak).copy()
        leak, p = leak / scale, p * scale[:, None]
    return leak, p


@pytest.mark.parametrize("sparsity", [0.0, 5.0])
def test_mira_is_the_loops_of_the_paper(sparsity: float) -> None:
    rng = np.random.default_rng(2)
    power = rng.exponential(size=(3, 4, 20))
    fit = powermodel.Fit("mira", 3, first_leak=0.5, sparsity=sparsity)
    leak, source = fit(power.astype(np.float32).transpose(0, 2, 1), powermodel.own_mics(3))
    for f in range(4):
        naive_leak, naive_source = naive_mira(power[:, f], 3, 0.5, sparsity)
        np.testing.assert_allclose(leak[..., f], naive_leak, rtol=2e-3)
        np.testing.assert_allclose(source[..., f], naive_source, rtol=5e-3, atol=1e-5)


def test_mira_finds_the_leaks_of_powers_that_add() -> None:
    """An ideal mixture of sparse powers, V = L P without cross terms: the leaks come out, and the cost falls.

    Without the weight on sparsity any smaller leaks explain it as well: the weight is what finds them.
    """
    rng = np.random.default_rng(3)
    sources = rng.exponential(size=(3, 2, 400)) * (rng.random((3, 2, 400)) > 0.6) + 1e-6
    truth = np.array([[1, 0.2, 0.1], [0.1, 1, 0.3], [0.2, 0.05, 1]])
    power = np.einsum("ij,jft->itf", truth, sources).astype(np.float32)
    leak, _ = powermodel.Fit("mira", 100, sparsity=1.0)(power, powermodel.own_mics(3))
    np.testing.assert_allclose(leak, np.broadcast_to(truth[..., None], leak.shape), atol=0.03)

    def cost(iterations: int) -> float:
        found, p = powermodel.Fit("mira", iterations)(power, powermodel.own_mics(3))
        ratio = power / np.einsum("ijf,jtf->itf", found.astype(np.float64), p)
        return float(np.sum(ratio - np.log(ratio) - 1))

    costs = [cost(n) for n in (1, 2, 4, 8, 16)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < 0.2 * costs[0]


@pytest.mark.parametrize("name", ["kamir", "mira"])
def test_maskers_help_a_mixture_of_sparse_sources(name: str) -> None:
    music = synth.band(("drums", "voice", "guitar"), 3, 3.0, RATE)
    mixing = np.array([[1, 0.3, 0.1], [0.2, 1, 0.3], [0.25, 0.1, 1]])
    case = Case("x", "linear", RATE, (mixing @ music).astype(np.float32), music)
    assert gain_of(case, rivals.rival(name)(case.mics, case.rate)).mean() > 3


def test_nlms_identifies_a_short_path() -> None:
    """Microphone 1 hears only what reaches it from player 2, through three taps: what is left falls by 25 dB."""
    rng = np.random.default_rng(4)
    source = 0.1 * rng.standard_normal(96000)
    path = np.zeros(700)
    path[[30, 200, 699]] = 0.5, -0.3, 0.2
    mics = np.stack([np.convolve(source, path)[:96000], source]).astype(np.float32)
    cleaned = nlms.nlms(mics, RATE, block=256, step=0.5, gate_db=np.inf)
    before, after = (np.mean(x[0, 72000:].astype(np.float64) ** 2) for x in (mics, cleaned))
    assert 10 * np.log10(after / before) < -25
    # Shorter than the path, or not allowed to learn, it cannot.
    short = nlms.nlms(mics, RATE, block=256, partitions=2, step=0.5, gate_db=np.inf)
    assert 10 * np.log10(np.mean(short[0, 72000:] ** 2) / before) > -15
    np.testing.assert_allclose(nlms.nlms(mics, RATE, gate_db=-np.inf), mics, atol=1e-7)


def test_nlms_is_causal() -> None:
    mics = bursts(3, 20000).astype(np.float32)
    other = mics.copy()
    other[:, 12288:] = 0
    np.testing.assert_array_equal(nlms.nlms(mics, RATE)[:, :12288], nlms.nlms(other, RATE)[:, :12288])


def test_gate_opens_holds_and_closes_as_told() -> None:
    power = np.zeros((1, 1000))
    power[0, 100:200] = 1.0
    power[0, 200:] = 1e-4
    step = 0.001
    gains = gate.gains(power, step, -20.0, -18.0, 0.002, 0.05, 0.1, 1e9)[0]
    closed = 10 ** (-18 / 20)
    np.testing.assert_allclose(gains[:100], closed)
    # One attack time constant after it opened: 63 % of the way.
    assert gains[101] == pytest.approx(1 - (1 - closed) * np.exp(-1), rel=1e-6)
    # The detector falls by 20 dB in 46 ms, then the gate is held for 50 ms more.
    assert gains[200 + 90] == pytest.approx(1, abs=1e-6)
    later = 200 + 47 + 50
    assert gains[later + 100] == pytest.approx(closed + (1 - closed) * np.exp(-1), rel=0.03)
    silence = gate.gate(np.zeros((2, 1000), np.float32), RATE)
    assert not silence.any()


def test_fastica_inverts_a_mixture() -> None:
    case = linear_case()
    assert gain_of(case, rivals.rival("fastica")(case.mics, case.rate)).min() > 15


def test_own_scale_undoes_order_sign_and_level() -> None:
    mixing = np.array([[1, 0.3, 0.1], [0.2, 1, 0.3], [0.25, 0.1, 1]])
    scrambled = np.linalg.inv(mixing)[[2, 0, 1]] * np.array([[-3.0], [0.1], [7.0]])
    np.testing.assert_allclose(ica.own_scale(scrambled), np.linalg.inv(mixing), atol=1e-12)


def test_auxiva_separates_and_survives_a_dead_microphone() -> None:
    case = linear_case(48000)
    mics = case.mics.copy()
    mics[1] = 0
    for window, iterations, sound in ((1024, 30, case.mics), (512, 3, mics)):
        system = Auxiva(window, iterations)
        passage = Passage(sound, case.rate, ("a", "b", "c"))
        system.fit(passage)
        own = np.concatenate(list(system.separate(passage).values()))
        assert np.isfinite(own).all()
        if sound is case.mics:
            assert np.mean(gain_of(case, own)) > 5


@pytest.mark.parametrize("name", rivals.RIVALS)
def test_rivals_keep_shape_and_stay_finite(name: str) -> None:
    """At another rate, odd and shorter than a window; a silent and a doubled microphone do no harm."""
    mics = bursts(3, 5001).astype(np.float32)
    mics[1], mics[2] = 0, mics[0]
    given = mics.copy()
    cleaned = rivals.rival(name)(mics, 44100)
    assert cleaned.shape == mics.shape
    assert cleaned.dtype == np.float32
    assert np.isfinite(cleaned).all()
    np.testing.assert_array_equal(mics, given)


# ------------------------------------------------------------------ oracles

def test_true_inverse_is_exact() -> None:
    case = linear_case()
    bound = oracles.true_matrix(case)
    assert bound is not None
    assert metrics.si_sdr(case.images, bound.cleaned).min() > 100
    # Alone, source i keeps [inverse]_ii of itself at its microphone.
    kept = np.diag(np.linalg.inv(case.mixing if case.mixing is not None else np.eye(3)))
    assert bound.alone is not None
    np.testing.assert_allclose(metrics.harm(case.images, bound.alone), -20 * np.log10(abs(1 - kept)), atol=0.01)


def test_masks_of_tones_want_long_windows() -> None:
    """Two tones 60 Hz apart: a window of 2.7 ms cannot tell them apart, one of 43 ms can."""
    t = np.arange(48000) / RATE
    own = np.stack([np.sin(2 * np.pi * f * t) for f in (440.0, 500.0)])
    mics = own + 0.4 * own[::-1]
    case = Case("tones", "linear", RATE, mics.astype(np.float32), own.astype(np.float32))
    short, long = (gain_of(case, oracles.ratio_mask(case, n).cleaned).mean() for n in (128, 2048))
    assert long > short + 6


def room_case() -> Case:
    """Two players, paths of 40 taps between the microphones that no filter of 32 holds."""
    rng = np.random.default_rng(6)
    sources = 0.05 * rng.standard_normal((2, 48000))
    responses = np.zeros((2, 2, 60))
    responses[0, 0, [0, 7]] = 1, 0.4
    responses[1, 1, [0, 11]] = 1, -0.3
    responses[0, 1, 5:45] = 0.04 * rng.standard_normal(40)
    responses[1, 0, 9:49] = 0.04 * rng.standard_normal(40)
    images = np.array([[fftconvolve(sources[j], responses[i, j])[:48000] for j in range(2)] for i in range(2)])
    own = images[[0, 1], [0, 1]]
    return Case("room", "room", RATE, images.sum(1).astype(np.float32), own.astype(np.float32),
                responses=responses.astype(np.float32))


def test_true_paths_cancel_what_they_hold() -> None:
    case = room_case()
    long, short = (oracles.true_paths(case, n) for n in (512, 32))
    assert long is not None
    assert short is not None
    assert metrics.si_sdr(case.images, long.cleaned).min() > 60
    assert metrics.si_sdr(case.images, short.cleaned).max() < 20
    assert oracles.true_paths(linear_case(), 32) is None


def test_best_filters_are_the_least_squares_ones() -> None:
    rng = np.random.default_rng(7)
    inputs = rng.standard_normal((2, 3000)).astype(np.float32)
    targets = rng.standard_normal((1, 3000)).astype(np.float32)
    targets[0, 3:] += inputs[1, :-3]
    taps = 8
    # Zeros after the end, so that the sums of the direct solution are the whole correlations.
    inputs[:, -taps:] = 0
    delayed = np.stack([np.roll(inputs[j], n) for j in range(2) for n in range(taps)]).astype(np.float64)
    direct = np.linalg.lstsq(delayed.T, targets[0].astype(np.float64), rcond=None)[0].reshape(2, taps)
    np.testing.assert_allclose(oracles.best_filters(inputs, targets, taps)[0], direct, atol=1e-5)


def test_longer_bounds_are_better() -> None:
    case = room_case()
    for oracle, sizes in ((oracles.causal_fir, (16, 128)), (oracles.wiener, (128, 1024))):
        few, many = (gain_of(case, oracle(case, n).cleaned).mean() for n in sizes)
        assert many > few + 1


# ------------------------------------------------------------------ cases and the table

def write_folder(folder: pathlib.Path) -> None:
    """Write a linear case of 2.5 s with a soundcheck, as bed/simulate.py and bench/bed_soundcheck.py do."""
    frames = 5 * RATE // 2
    sources = bursts(2, frames)
    mixing = np.array([[1, 0.4], [0.3, 1]])
    images = mixing[:, :, None] * sources[None]
    np.savez(folder / "L.npz", mix=images.sum(1), images=images, dry=sources, H=0, Lam=mixing, sir=np.zeros(2))
    (folder / "soundcheck").mkdir()
    solo = np.zeros((2, 4 * RATE))
    solo[0, : 2 * RATE], solo[1, 2 * RATE :] = bursts(2, 2 * RATE, 9)
    soundfile.write(folder / "soundcheck" / "L.wav", (mixing @ solo).T, RATE, subtype="FLOAT")
    (folder / "soundcheck" / "L.csv").write_text("mic,start_s,end_s\nmic1,0,2\nmic2,2,4\n")


def run(*arguments: object) -> int:
    """Return the exit code of a command line; in this process, as numba takes seconds to load."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as leaving:
        return int(leaving.code or 0)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_table_of_a_folder(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path)
    out = tmp_path / "r.json"
    assert run("bench", "bleed", tmp_path, "--presets", "live", "--rivals", "gate", "--oracles", "inverse,mask-512",
               "--seconds-skip", 1, "--report", out) == 0
    told = capsys.readouterr()
    assert "mask-512" in told.out
    assert re.fullmatch(r"kept: rtsep bench history \d+\n", told.err)   # no progress bar in a pipe
    report = json.loads(out.read_text())
    systems = {system["name"]: system for system in report["systems"]}
    assert list(systems) == ["live", "gate", "inverse", "mask-512"]
    live = systems["live"]["cases"]["L"]
    assert {"cold", "soundcheck", "harm", "soundcheck_harm"} <= set(live)
    assert len(live["cold"]) == 2
    assert np.mean(live["soundcheck"]) > 10
    assert systems["inverse"]["summary"]["linear"]["cold"]["mean"] > 80
    assert systems["live"]["latency_samples"] == {"L": 0}


def test_harm_can_be_left_out(tmp_path: pathlib.Path) -> None:
    """The chain's own output is the same either way, and so is every other figure."""
    write_folder(tmp_path)
    fast, whole = (
        bleed.bleed(bleed.BleedOptions(str(tmp_path), ("live",), skip=1.0, harm=harm)) for harm in (False, True)
    )
    quick, slow = (report["systems"][0]["cases"]["L"] for report in (fast, whole))
    assert "harm" not in quick
    np.testing.assert_allclose(quick["cold"], slow["cold"], atol=1e-6)


def test_summaries_are_means_of_cases() -> None:
    told = [{"name": "a", "kind": "room"}, {"name": "b", "kind": "room-moving"}, {"name": "c", "kind": "linear"}]
    scored = {"a": {"cold": [1.0, 3.0]}, "b": {"cold": [4.0, float("nan")]}, "c": {"cold": [30.0]}}
    summary = bleed.summarise(scored, told)
    assert summary["rooms"]["cold"] == {"mean": 3.0, "lowest": 2.0, "highest": 4.0, "worst_mic": 1.0, "cases": 2}
    assert summary["static rooms"]["cold"]["mean"] == 2.0
    assert summary["linear"]["cold"]["mean"] == 30.0
    assert "linear-moving" not in summary


def test_own_scenes_have_soundchecks() -> None:
    case = next(cases.load(None))
    assert case.kind == "linear"
    assert case.soundcheck is not None
    assert {solo.mic for solo in case.solos} == {0, 1, 2}
    # The concert alone is scored, and nobody's solo is in it.
    assert case.mics.shape == case.images.shape == (3, 9 * RATE)
    solo = case.solos[1]
    level = np.sqrt(np.mean(case.soundcheck[:, solo.start : solo.end] ** 2, axis=1))
    assert level.argmax() == solo.mic


def test_gains_of_a_moving_mixture_are_not_taken_for_static(tmp_path: pathlib.Path) -> None:
    sources = bursts(2, 20000)
    mixing = np.array([[1, 0.4], [0.3, 1]])
    images = mixing[:, :, None] * sources[None]
    images[0, 1, 10000:] *= 0.5
    np.savez(tmp_path / "L.npz", mix=images.sum(1), images=images, dry=sources, H=0, Lam=mixing)
    case = cases.read(tmp_path / "L.npz")
    assert case.kind == "linear-moving"
    assert case.mixing is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("bleed", "nowhere"), "no such folder"),
        (("bleed", "{empty}"), "no .npz"),
        (("bleed", "{bad}"), "cannot be read as .npz"),
        (("bleed", "--presets", "nice"), "nice"),
        (("bleed", "--rivals", "magic"), "known: nlms"),
        (("bleed", "--oracles", "mask-1"), "known: mask-128"),
        (("bleed", "--seconds-skip", "-1"), "not a positive number"),
        (("bleed", "--seconds-skip", "20", "--rivals", "none", "--oracles", "none"), "at least 21"),
        (("robust", "--scenes", "0"), "--scenes: 0"),
        (("robust", "--preset", "nice"), "nice"),
    ],
)
def test_wrong_input_is_one_line(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    places = {"{empty}": tmp_path / "empty", "{bad}": tmp_path / "bad"}
    for place in places.values():
        place.mkdir()
    (tmp_path / "bad" / "x.npz").write_text("no")
    assert run("bench", *(places.get(a, a) for a in arguments)) == 2
    told = capsys.readouterr()
    lines = told.err.strip().splitlines()
    assert len(lines) == 1, told.err
    assert says in lines[0]
    assert told.out == ""


# ------------------------------------------------------------------ robustness

def quiet_recording() -> Recording:
    images = bursts(3, 5 * RATE).astype(np.float32)
    images[2] = 0
    mics = images + np.float32(0.2) * images[[1, 0, 1]]
    return Recording({"seed": 1}, RATE, mics, images, np.array([True, True, False]))


@pytest.mark.parametrize(
    ("failure", "change"),
    [
        ("finite", lambda out: out.__setitem__((0, 100), np.nan)),
        ("peak", lambda out: out.__setitem__((0, 100), 3.0)),
        ("worst", lambda out: out.__setitem__(1, out[1] + 0.5 * out[0])),
        ("mean", lambda out: out.__setitem__((slice(0, 2),), out[:2] + 0.5 * out[1::-1])),
        ("silent", lambda out: out.__setitem__(2, 3 * out[2])),
        ("stable", None),
    ],
)
def test_every_check_can_fail(failure: str, change: object) -> None:
    recording = quiet_recording()
    # Half the bleed is gone: better everywhere, and nothing fails.
    out = recording.mics.copy()
    out -= 0.1 * recording.images[[1, 0, 1]]
    assert robust.judge(recording, out.copy(), {"faults": 0})["failed"] == []
    if callable(change):
        change(out)
    told = robust.judge(recording, out, {"faults": 0 if callable(change) else 1})
    assert failure in told["failed"]


def test_recordings_are_as_various_as_promised() -> None:
    recordings = [make_recording(seed) for seed in (1, 3)]
    again = make_recording(1)
    np.testing.assert_array_equal(recordings[0].mics, again.mics)
    for recording in recordings:
        assert np.isfinite(recording.mics).all()
        assert 2 <= len(recording.mics) <= 16
        assert np.abs(recording.mics).max() <= 0.6 + 1e-6   # 0.5, and DC
        for mic, role in enumerate(recording.told["roles"]):
            assert not (role in SILENT and recording.wanted[mic])
            if role == "dead":
                assert not (recording.mics[mic] - recording.mics[mic, 0]).any()


def test_the_robustness_run(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One recording that is too quiet to be helped is told with what failed; the exit code stays 0."""
    recording = quiet_recording()
    facts = make_recording(3).told
    # A second microphone on a source, taken for somebody's own: its sound cannot but suffer.
    mics, images = recording.mics[:, : 5 * RATE], recording.images[[1, 1, 0]]
    recording = Recording(facts, RATE, mics, images, np.array([True, True, False]))
    monkeypatch.setattr(robust, "make_recording", lambda _seed: recording)
    out = tmp_path / "r.json"
    assert run("bench", "robust", "--scenes", 2, "--seed", 3, "--report", out) == 0
    told = capsys.readouterr().out.splitlines()
    report = json.loads(out.read_text())
    assert report["summary"]["scenes"] == 2
    failed = report["scenes"][0]["failed"]
    assert failed
    for name in failed:
        assert sum(line.startswith(f"{name} ") and "seed 3" in line for line in told) == 2
    assert any("no microphone below -1 dB in" in line for line in told)
    assert told[-1].startswith("worst: mic")
