"""The learned estimator: what the network sees and where its answer goes, against NumPy; late, wrong or gone."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import signal
import time

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from made_models import constant

from rtsep import presets
from rtsep.catalogue import STAGES
from rtsep.chain import Chain
from rtsep.errors import InputError
from rtsep.models.file import open_model
from rtsep.runner import process
from rtsep.stage import Block, Format
from rtsep.stages import learned
from rtsep.stages.canceller import Canceller
from rtsep.stages.spectral import Spectral, windows
from rtsep_kernels.learned import EVIDENCES, VALUES, WEIGHTS

RATE, MICS = 48000, 3
ANALYSIS, SYNTHESIS, HOP = 1024, 512, 128
STEP = learned.step_of(HOP)
PRESET = """
schema = 1
name = "test"
latency_class = "foh"
[[chain]]
stage = "spectral"
hop = 128
"""
ZEROS = np.zeros((WEIGHTS, learned.BANDS), np.float32)


def concert(seconds: float, seed: int = 0) -> Block:
    rng = np.random.default_rng(seed)
    frames = round(seconds * RATE)
    sources = rng.standard_normal((MICS, frames)) * (np.sin(np.arange(frames) / 9000 + np.arange(MICS)[:, None]) > 0)
    mixing = np.eye(MICS) + 0.2 * (1 - np.eye(MICS))
    return np.ascontiguousarray(0.1 * mixing @ sources + 1e-4 * rng.standard_normal((MICS, frames)), np.float32)


def chain(model: str | None) -> tuple[Chain, Spectral]:
    spectral = (
        Spectral("spectral", ANALYSIS, SYNTHESIS, HOP) if model is None
        else Spectral("spectral", ANALYSIS, SYNTHESIS, HOP, "learned", model)
    )
    made = Chain([Canceller("canceller", 1024), spectral])
    made.prepare(Format(RATE, MICS))
    return made, spectral


def rendered(model: str | None, x: Block, block: int = 256) -> Block:
    made, _ = chain(model)
    try:
        return process(made, x, block)
    finally:
        made.close()


def log2(power: np.ndarray) -> np.ndarray:
    """As the kernels have it: straight between powers of two."""
    fraction, exponent = np.frexp(power)
    return exponent - 2 + 2 * fraction


def test_a_network_that_says_nothing_changes_nothing(tmp_path: pathlib.Path) -> None:
    x = concert(1.0)
    model = constant(tmp_path / "zeros.onnx", ZEROS)
    np.testing.assert_array_equal(rendered(model, x), rendered(None, x))


def test_block_lengths_change_no_bit(tmp_path: pathlib.Path) -> None:
    x = concert(0.7)
    made, _ = chain(constant(tmp_path / "some.onnx", np.random.default_rng(1).normal(0, 1, ZEROS.shape)))
    try:
        one = process(made, x, 64)
        made.reset()
        np.testing.assert_array_equal(process(made, x, 1000), one)
    finally:
        made.close()
    assert np.abs(one - rendered(None, x, 64)).max() > 1e-3, "it must do something"


def test_what_it_sees_and_what_it_does(tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(2)
    weights = rng.normal(0, 1, ZEROS.shape).astype(np.float32)
    made, stage = chain(constant(tmp_path / "some.onnx", weights))
    x = concert(1.0)[:, : 93 * 512]
    y = process(chain_of_canceller(), x, 256)
    stage.board.set("spectral.release_ms", 0)
    process(made, x[:, : -HOP], 64)
    network = stage._network
    assert network is not None
    before = network.record["frame"]
    process_more(made, x[:, -HOP:])
    frame = network.record["frame"]   # the one whose last segment has just run; it ended a hop ago
    assert frame == before + 1
    end = (frame - 1) * HOP
    window = windows(ANALYSIS, SYNTHESIS, HOP)[0].astype(float)
    spectra = [np.fft.rfft(part[:, end - ANALYSIS : end] * window) for part in (x, y)]
    silence = network.record.parts["rule"]["silence"]
    power_x, power_y, gone = (np.abs(z) ** 2 + silence for z in (*spectra, spectra[0] - spectra[1]))
    bins = power_x.shape[1]
    seen = network.record["evidence"][:, :, :bins]
    loud = power_y > 1e-7   # where float32 rounding of a sum is no matter
    for place, expected in ((3, log2(power_x) - log2(power_y)), (4, log2(gone) - log2(power_y))):
        assert np.abs(seen[:, place] - expected)[loud].max() < 0.02
    # What is told are means over bands; of the last step.
    number = (frame - 1) // STEP.frames
    told = network.record["inputs"][number % network.record["slots"]].reshape(MICS, VALUES, learned.BANDS)
    places = learned.band_places(RATE, ANALYSIS, bins)
    if (frame - 1) % STEP.frames == 0:
        for band in (0, 5, 31):
            within = slice(places["first"][band], places["last"][band] + 1)
            np.testing.assert_allclose(told[:, 3, band], seen[:, 3, within].mean(axis=-1), atol=1e-3)
    # What is done: the bands' weights, straight between their middles, times evidence.
    middle = (places["first"] + places["last"]) / 2
    each = np.stack([np.interp(np.arange(bins), middle, row) for row in weights])
    odds = network.record["odds"][:, :bins] + each[0]
    odds = odds + np.einsum("eb,meb->mb", each[1:], np.clip(seen, -30, 30)) / 4
    floor = 10 ** (-18 / 20)
    expected_gains = floor + (1 - floor) / (1 + 2.0 ** -np.clip(odds, -30, 30))
    got = stage.gains
    # `residual` takes 2^-odds straight between powers of two as well: up to 6 % of the odds' weight.
    assert np.abs(got - expected_gains).max() < 0.02
    assert len(weights) == EVIDENCES + 1
    made.close()


def chain_of_canceller() -> Chain:
    made = Chain([Canceller("canceller", 1024)])
    made.prepare(Format(RATE, MICS))
    return made


def process_more(made: Chain, x: Block) -> None:
    made.process(np.ascontiguousarray(x), np.empty_like(x))


def test_a_shadow_of_a_moment_is_late_by_two_steps(tmp_path: pathlib.Path) -> None:
    """Weights are used `lag` steps after the frame that they were asked for, not sooner."""
    x = concert(0.2)
    opening = np.zeros_like(ZEROS)
    opening[0] = 30.0
    plain, wide = rendered(None, x, 64), rendered(constant(tmp_path / "open.onnx", opening), x, 64)
    differs = np.flatnonzero(np.abs(plain - wide).max(axis=0))
    frames = STEP.lag * STEP.frames
    assert differs[0] >= frames * HOP, "a step that could not be answered yet"
    assert differs[0] < (frames + 8) * HOP + SYNTHESIS


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)])
def test_live_it_goes_on_without_the_network(tmp_path: pathlib.Path, signal_number: int) -> None:
    """Killed or stopped: weights hold, then fade to the rule; what is heard then is the rule's, bit for bit."""
    opening = np.zeros_like(ZEROS)
    opening[0] = 30.0
    made, stage = chain(constant(tmp_path / "open.onnx", opening))
    plain, _ = chain(None)
    network = stage._network
    assert network is not None
    x, block = concert(2.5), 256
    differences, trusts = [], []
    made.go_live()
    plain.go_live()
    try:
        for n in range(x.shape[1] // block):
            piece = np.ascontiguousarray(x[:, n * block : (n + 1) * block])
            a, b = np.empty_like(piece), np.empty_like(piece)
            if n == 250:
                os.kill(network.link.supervisor.pid, signal_number)
            made.process(piece, a)
            plain.process(piece, b)
            assert np.isfinite(a).all()
            assert np.abs(a).max() < 1
            differences.append(np.abs(a - b).max())
            trusts.append(network.record["trust"])
            time.sleep(block / RATE)
        assert max(trusts[200:250]) == 1, "it was on time"
        assert min(trusts[250:]) == 0, "and then given up"
        assert stage.status()["late_updates"] > 0
    finally:
        made.close()
        plain.close()


def test_nan_counts_and_fades_out(tmp_path: pathlib.Path) -> None:
    opening = np.zeros_like(ZEROS)
    opening[0] = 30.0
    made, stage = chain(constant(tmp_path / "nan.onnx", opening, wait=30))
    y = process(made, concert(1.0), 256)
    assert np.isfinite(y).all()
    network = stage._network
    assert network is not None
    assert network.record["trust"] == 0
    assert stage.status()["bad_results"] > 10
    made.close()


def test_a_snapshot_goes_on_bit_for_bit(tmp_path: pathlib.Path) -> None:
    model = constant(tmp_path / "some.onnx", np.random.default_rng(3).normal(0, 1, ZEROS.shape), wait=60)
    x = concert(0.8)
    first, _ = chain(model)
    second, _ = chain(model)
    cut = 20000
    try:
        process(first, x[:, :cut], 256)
        kept = first.snapshot()
        expected = process(first, x[:, cut:], 256)
        second.restore(kept)
        np.testing.assert_array_equal(process(second, x[:, cut:], 256), expected)
    finally:
        for made in (first, second):
            made.close()


def test_a_canceller_that_is_passed_over_leaves_nothing_gone(tmp_path: pathlib.Path) -> None:
    made, stage = chain(constant(tmp_path / "zeros.onnx", ZEROS))
    network = stage._network
    assert network is not None
    x = concert(0.5)
    process(made, x, 64)
    assert network.record["fresh"] == 1
    made.bypasses[made.stages[0]]["wanted"] = 1
    process(made, x, 64)
    assert network.record["fresh"] == 0
    made.close()


def test_what_cannot_be_run_is_said_and_leaves_the_rule(tmp_path: pathlib.Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    x = concert(0.3)
    made, stage = chain(str(broken))
    np.testing.assert_array_equal(process(made, x, 256), rendered(None, x))
    said = stage.news()
    assert len(said) == 1
    assert "broken.onnx" in said[0]
    assert "gains without a network" in said[0]
    assert not stage.news()


def test_a_preset_names_a_model_that_is_there_and_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    text = PRESET.replace("hop = 128", 'hop = 128\nestimator = "learned"\nmodel = "/nowhere/x.onnx"')
    with pytest.raises(InputError, match=r"there is no file /nowhere/x\.onnx"):
        presets.loads(text, "test")
    with pytest.raises(InputError, match="nobody asks"):
        presets.loads(text.replace('estimator = "learned"\n', ""), "test")
    options = {**STAGES["spectral"].defaults, "estimator": "learned"}
    assert STAGES["spectral"].notes(options, 4) == []
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert "pip install 'rtsep[cpu]'" in STAGES["spectral"].notes(options, 4)[0]
    assert learned.find("", Format(RATE, 4), 1024, 512, 128) is None


@pytest.mark.parametrize("name", ["monitor", "foh", "record"])
def test_the_networks_that_come_with_rtsep_belong_to_their_presets(name: str) -> None:
    stage = next(config for config in presets.load(name).chain if config.stage == "spectral")
    assert stage.options["estimator"] == "learned"
    windows_of = (stage.options[key] for key in ("analysis", "synthesis", "hop"))
    found = learned.find("", Format(RATE, MICS), *windows_of)
    assert found is not None
    card = open_model(found).card
    assert (card.system, card.rate, card.window, card.hop) == (
        f"postfilter-{name}", RATE, stage.options["analysis"], stage.options["hop"],
    )
    assert card.figures["mean"] > 0
    assert os.path.getsize(found) < 5e6 / 3, "all of them together stay under 5 MB"
