"""Models in a stream: nothing lost, as late as told, whatever is pushed at once, and the future changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtsep.bench.toymodels import MAGNITUDES, SHAPES, SPECTRA, WAVES, delayed, gain, model, save, shared
from rtsep.models.file import open_model
from rtsep.models.resampling import Resampler
from rtsep.models.session import Session
from rtsep.models.streaming import streamed

Sound = Any


def noise(channels: int, frames: int, seed: int = 0) -> Sound:
    return (0.1 * np.random.default_rng(seed).standard_normal((channels, frames))).astype(np.float32)


@pytest.mark.parametrize("rates", [(48000, 22050), (22050, 48000), (44100, 48000), (16000, 48000), (48000, 16000)])
def test_a_resampled_tone_is_the_tone_in_blocks_of_any_length(rates: tuple[int, int]) -> None:
    rate, other = rates
    tone = np.sin(2 * np.pi * 997 * np.arange(rate // 2) / rate).astype(np.float32)[None]
    shift = 5
    whole, parts = (Resampler(1, rate, other, shift) for _ in range(2))
    y = whole.push(tone)
    cuts = np.cumsum(np.random.default_rng(1).integers(1, 300, 200))
    pieces = [parts.push(block) for block in np.split(tone, cuts[cuts < tone.shape[1]], axis=1)]
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), y, atol=1e-6)
    times = (np.arange(y.shape[1]) * whole.down - shift) / whole.up / rate
    late = slice(whole.reach * 3, None)
    assert np.abs(y[0] - np.sin(2 * np.pi * 997 * times))[late].max() < 1e-4
    assert abs(y.shape[1] - tone.shape[1] * other / rate) < whole.reach * other / rate + 3


def causal(name: str) -> Any:
    """Return a model of a system's shape that passes on, and looks at nothing to come."""
    card = {**SHAPES[name], "look_ahead": 0, "sources": (), "channels": 1}
    if card["kind"] == "wave":
        card = {**card, "frames": 2048}
    return shared(card)


MODELS: dict[str, Any] = {
    "cae": causal("cae"), "deepconvsep": causal("deepconvsep"), "open-unmix": causal("open-unmix"),
    "mdensenet": causal("mdensenet"), "mask-inference": causal("mask-inference"), "wave-u-net": causal("wave-u-net"),
    "any length": gain(1.0), "with a state": delayed(37), "in steps": gain(1.0, card={**WAVES, "multiple": 48}),
    "patches that look ahead": gain(1.0, SPECTRA.replace("frames", "8"), {**MAGNITUDES, "frames": 8,
                                                                          "look_ahead": 3 * 128}),
    "returns less": shared({**WAVES, "frames": 1000, "channels": 1, "look_ahead": 300}, 400),
}


@pytest.mark.parametrize("name", MODELS)
def test_what_passes_all_on_is_late_and_nothing_else(name: str, tmp_path: Path) -> None:
    session = Session(open_model(save(MODELS[name], tmp_path / "m.onnx")))
    x = noise(3, 12000)
    for unit, whole in ((256, 256), (256, 1), (100, 100)):
        stream = streamed(session, 3, 0, unit, whole, 2000)
        rng = np.random.default_rng(3)
        left, out = x, []
        while left.shape[1] >= 600:
            take = unit if whole > 1 else int(rng.integers(0, 600))
            out.append(stream.push(left[:, :take]))
            assert out[-1].shape == (3, take)
            left = left[:, take:]
        y = np.concatenate(out, axis=1)
        late = stream.latency
        assert np.abs(y[:, :late]).max(initial=0) < 1e-6
        assert np.abs(y[:, late:] - x[:, : y.shape[1] - late]).max() < 1e-6, (unit, whole)


@pytest.mark.parametrize("name", ["cae", "with a state", "any length"])
def test_it_goes_on_from_what_it_remembered_and_begins_as_new(name: str, tmp_path: Path) -> None:
    session = Session(open_model(save(MODELS[name], tmp_path / "m.onnx")))
    x = noise(2, 6400)
    stream = streamed(session, 2, 0, 128, 128, 1000)
    first = [stream.push(block).copy() for block in np.split(x, 50, axis=1)]
    stream.reset()
    for n in range(25):
        np.testing.assert_array_equal(stream.push(x[:, 128 * n : 128 * n + 128]), first[n])
    kept = stream.state()
    other = streamed(session, 2, 0, 128, 128, 1000)
    other.restore(kept)
    for n in range(25, 50):
        np.testing.assert_array_equal(other.push(x[:, 128 * n : 128 * n + 128]), first[n])


def test_magnitudes_only_ever_become_smaller(tmp_path: Path) -> None:
    x = noise(2, 4096)
    for amount, heard in ((3.0, 1.0), (0.5, 0.5), (0.0, 0.0)):
        session = Session(open_model(save(gain(amount, SPECTRA, MAGNITUDES), tmp_path / "m.onnx")))
        stream = streamed(session, 2, 0, 128, 128, 0)
        y = np.concatenate([stream.push(block) for block in np.split(x, 32, axis=1)], axis=1)
        late = stream.latency
        assert np.abs(y[:, late:] - heard * x[:, :-late]).max() < 1e-6


def test_the_sum_over_the_past_is_seen_by_a_model_without_a_state(tmp_path: Path) -> None:
    """Of a model for any length, the context is what it is shown: here it returns the loudest sample of that."""
    text = """m (float[batch,1,frames] x) => (float[batch,1,frames] y) {
        top = ReduceMax <keepdims = 1> (x) s = Shape(x) y = Expand(top, s) }"""
    text = text.replace("ReduceMax <keepdims = 1> (x)", "ReduceMax <keepdims = 1> (x, a)").replace(
        "top =", "a = Constant <value_ints = [2]> () top =")
    session = Session(open_model(save(model(text, {**WAVES, "channels": 1}), tmp_path / "m.onnx")))
    stream = streamed(session, 1, 0, 64, 64, 640)
    x = np.zeros((1, 64 * 20), np.float32)
    x[0, 10] = 1
    y = np.concatenate([stream.push(block) for block in np.split(x, 20, axis=1)], axis=1)
    assert y[0].nonzero()[0].tolist() == list(range(704))
