"""Recordings through model files, whatever they are of: rates, levels, lengths, who gets which file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtsep import cli, separate
from rtsep.bench import sts
from rtsep.bench.toymodels import (
    GAINS,
    MAGNITUDES,
    SHAPES,
    SPECTRA,
    WAVES,
    constant,
    delayed,
    gain,
    model,
    save,
    shaped,
)
from rtsep.errors import InputError
from rtsep.systems.spectrum import Spectrum

Sound = Any
RATE = 16000


def noise(channels: int, frames: int = 24000, seed: int = 0) -> Sound:
    return (0.1 * np.random.default_rng(seed).standard_normal((channels, frames))).astype(np.float32)


@pytest.mark.parametrize("rate", [48000, 44100])
def test_a_cleaned_mic_keeps_what_the_networks_rate_cannot_hold(rate: int, tmp_path: Path) -> None:
    x = noise(4)
    parts = separate(x, rate, "f-unet", model=save(shaped("f-unet"), tmp_path / "m.onnx"))
    assert np.abs(np.concatenate(list(parts.values())) - x).max() < 1e-6
    muted = save(gain(0.0, "float[batch,4,frames]", {**SHAPES["f-unet"], "frames": 0}), tmp_path / "m.onnx")
    y = np.concatenate(list(separate(x, rate, "f-unet", model=muted).values()))
    level = np.abs(np.fft.rfft(y[:, 4000:20000])).mean(axis=0)
    bins = len(level)
    assert level[: int(0.35 * bins)].max() < 0.02 * level[int(0.6 * bins) :].mean()   # 11 025 Hz is at 0.46 and 0.5


def test_networks_hear_every_recording_at_one_level(tmp_path: Path) -> None:
    """A model that cuts at 0.1, the level of training, cuts loud and quiet recordings alike."""
    text = """m (float[batch,channels,frames] x) => (float[batch,channels,frames] y) {
        low = Constant <value_float = -0.1> () high = Constant <value_float = 0.1> () y = Clip(x, low, high)
    }"""
    path = save(model(text, {**WAVES, "rate": RATE}), tmp_path / "m.onnx")
    x = noise(2)
    for level in (1.0, 0.01, 5.0):
        y = np.concatenate(list(separate(level * x, RATE, "wavenet", model=path).values()))
        peak = level * float(np.sqrt(np.square(x).mean()))
        assert np.abs(y).max() == pytest.approx(peak, rel=1e-4)


def test_what_is_late_by_itself_is_moved_and_states_go_on(tmp_path: Path) -> None:
    path = save(delayed(300, {"rate": RATE}), tmp_path / "m.onnx")
    x = noise(2, 16000 * 25)   # longer than a piece
    y = np.concatenate(list(separate(x, RATE, "wave-u-net", model=path).values()))
    assert np.abs(y - x)[:, :-300].max() < 1e-6


def test_each_mic_gets_the_file_of_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "stems"
    folder.mkdir()
    card = {**MAGNITUDES, "rate": RATE}
    for amount, name in ((0.25, "Bass"), (0.5, "vocal"), (0.75, "drums")):
        save(gain(amount, SPECTRA, card), folder / f"{name}.onnx")
    x = noise(3)
    parts = separate(x, RATE, "cae", names=["vocal", "drums", "bass"], model=str(folder))
    for (name, y), row, amount in zip(parts.items(), x, (0.5, 0.75, 0.25), strict=True):
        assert np.abs(y[0] - amount * row).max() < 1e-6, name
    files = ",".join(str(folder / f"{name}.onnx") for name in ("Bass", "vocal", "drums"))
    parts = separate(x, RATE, "cae", model=files)   # mic1, mic2, mic3: in order
    assert np.abs(parts["mic1"][0] - 0.25 * x[0]).max() < 1e-6
    with pytest.raises(InputError, match="there are 3 models and 2 channels"):
        separate(x[:2], RATE, "cae", model=files)


def test_a_model_for_each_source_and_what_is_left(tmp_path: Path) -> None:
    card = {**MAGNITUDES, "rate": RATE}
    ends = "float[batch,1,frames,257]"
    for amount, name in ((0.5, "vocals"), (0.25, "bass")):
        text = f"""m ({ends} x) => (float[batch,1,1,frames,257] y) {{
            k = Constant <value_float = {amount}> () z = Mul(x, k) a = Constant <value_ints = [1]> ()
            y = Unsqueeze(z, a) }}"""
        save(model(text, {**card, "sources": (name,)}), tmp_path / f"{name}.onnx")
    x = noise(2)
    parts = separate(x, RATE, "open-unmix", model=str(tmp_path), rest=True)
    assert list(parts) == ["bass", "vocals", "rest"]
    for name, amount in (("bass", 0.25), ("vocals", 0.5), ("rest", 0.25)):
        assert np.abs(parts[name] - amount * x).max() < 1e-6, name
    with pytest.raises(InputError, match="two models make the same of vocals"):
        separate(x, RATE, "open-unmix", model=f"{tmp_path}/vocals.onnx,{tmp_path}/vocals.onnx")


def em(x: Sound, parts: Sound, rounds: int) -> Sound:
    """Norbert's equations as printed, sound to sound: local Gaussian models, full spatial covariances."""
    tool = Spectrum(4096, 1024)
    mixture = tool.analyse(x.astype(np.float64)).transpose(2, 1, 0)[..., None]              # [bins, frames, mics, 1]
    y = np.stack([tool.analyse(part.astype(np.float64)).transpose(2, 1, 0)[..., None] for part in parts])
    for _ in range(rounds):
        v = (np.abs(y) ** 2).mean((3, 4))[..., None, None]
        spatial = (y @ y.conj().swapaxes(3, 4)).sum(2, keepdims=True) / (v.sum(2, keepdims=True) + 1e-30)
        inverse = np.linalg.inv((v * spatial).sum(0) + 1e-12 * np.eye(len(x)))
        y = v * spatial @ inverse @ mixture
    return np.stack([tool.resynthesise(one[..., 0].transpose(2, 1, 0), x.shape[1]) for one in y])


@pytest.mark.parametrize(("system", "rounds"), [("open-unmix", 1), ("mmdensenet", 2), ("mdensenet", 1)])
def test_places_are_known_after_a_wiener_filter(system: str, rounds: int, tmp_path: Path) -> None:
    """Two sources with places of their own, told apart by being loud at times and soft always."""
    card = {**MAGNITUDES, "rate": RATE}
    for name, share in (("loud", "Div(x, s)"), ("soft", "Div(k, s)")):
        text = f"""m (float[batch,1,frames,257] x) => (float[batch,1,1,frames,257] y) {{
            k = Constant <value_float = 1.0> () s = Add(x, k) share = {share} z = Mul(x, share)
            a = Constant <value_ints = [1]> () y = Unsqueeze(z, a) }}"""
        save(model(text, {**card, "sources": (name,)}), tmp_path / f"{name}.onnx")
    loud = noise(1, 24000, 1)[0] * np.repeat([2.0, 0.0, 2.0, 0.0], 6000)
    images = np.stack([np.outer([0.9, 0.3], loud), np.outer([0.1, 0.3], noise(1, 24000, 2)[0])]).astype(np.float32)
    x = images.sum(0)
    plain = separate(x, RATE, system, model=str(tmp_path))
    found = separate(x, RATE, system, model=str(tmp_path), wiener=rounds)
    assert list(found) == ["loud", "soft"]
    wanted = em(x, np.stack(list(plain.values())), rounds)
    for one, twin, before, image in zip(found.values(), wanted, plain.values(), images, strict=True):
        assert np.abs(one - twin).max() < 1e-4 * np.abs(twin).max()
        assert np.square(one - image).sum() < 0.5 * np.square(before - image).sum()
    assert np.abs(sum(found.values()) - x).max() < 1e-6
    alone = {"model": str(tmp_path / "loud.onnx"), "wiener": rounds}
    left = separate(x, RATE, system, **alone, rest=True)
    assert np.abs(left["loud"] + left["rest"] - x).max() < 1e-6
    with pytest.raises(InputError, match="nobody to share the recording with"):
        separate(x, RATE, system, **alone)


def test_gains_are_the_median_of_many_windows_and_undone(tmp_path: Path) -> None:
    """A model that is wrong in loud windows: the median does not mind."""
    true = sts.gains_b(5)
    true = true / np.diag(true)
    rows = ", ".join(f"{value:.9f}" for value in true.ravel())
    text = f"""m (float[1,4,4800] x) => (float[1,4,4] y) {{
        shape = Constant <value_ints = [1, 4, 4]> () all = Constant <value_floats = [{rows}]> ()
        m = Reshape(all, shape) top = ReduceMax <keepdims = 1> (x) limit = Constant <value_float = 5.0> ()
        loud = Greater(top, limit) zero = Constant <value_float = 0.0> () none = Mul(m, zero) y = Where(loud, none, m)
    }}"""
    path = save(model(text, {**GAINS, "rate": RATE, "channels": 4}), tmp_path / "m.onnx")
    sources = noise(4, 4800 * 5)
    x = (true @ sources).astype(np.float32)
    x[:, 5000] = 30.0
    y = np.concatenate(list(separate(x, RATE, "t-unet", model=path).values()))
    error = np.delete(y - sources, 5000, axis=1)
    assert np.abs(error).max() < 1e-5
    singular = save(constant(np.ones((4, 4)), {**GAINS, "rate": RATE}), tmp_path / "m.onnx")
    with pytest.raises(InputError, match="condition number"):
        separate(x, RATE, "t-unet", model=singular)


@pytest.mark.parametrize(
    ("method", "made", "words"),
    [
        ("cae", None, "there is no model file; allowed is --set model=FILE.onnx"),
        ("cae", "f-unet", "is a model of f-unet; allowed is --method f-unet"),
        ("f-unet", "f-unet", "there are 3 mics; allowed are 4, or a model of one channel"),
        ("t-unet", "t-unet", "the recording has 3 channels; allowed are 4"),
    ],
)
def test_what_does_not_fit_is_one_line(method: str, made: str | None, words: str, tmp_path: Path) -> None:
    path = "" if made is None else save(shaped(made), tmp_path / "m.onnx")
    with pytest.raises(InputError, match=words) as caught:
        separate(noise(3), RATE, method, model=path)
    assert "\n" not in str(caught.value)


def test_a_model_that_returns_nan_is_refused(tmp_path: Path) -> None:
    text = "m (float[batch,channels,frames] x) => (float[batch,channels,frames] y) { z = Sub(x, x) y = Div(z, z) }"
    path = save(model(text, {**WAVES, "rate": RATE}), tmp_path / "m.onnx")
    with pytest.raises(InputError, match="returns what is not finite"):
        separate(noise(2), RATE, "wavenet", model=path)


def test_the_verb_and_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import soundfile

    soundfile.write(tmp_path / "in.wav", noise(2).T, RATE, subtype="FLOAT")
    path = save(shaped("wavenet"), tmp_path / "m.onnx")
    given = ["separate", str(tmp_path / "in.wav"), "-o", str(tmp_path / "out"), "--method", "wavenet", "--json"]
    assert cli.main([*given, "--set", f"model={path}", "--set", "provider=cpu"]) == 0
    assert json.loads(capsys.readouterr().out)["parts"] == ["vocals", "drums", "bass"]
    assert cli.main(["separate", "--list", "--json"]) == 0
    assert set(SHAPES) <= {row["name"] for row in json.loads(capsys.readouterr().out)}
