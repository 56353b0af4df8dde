"""What runs models: honest about the provider, buffers that stay, states that go on, and one line when it cannot."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtsep.bench.toymodels import FREE, MAGNITUDES, SPECTRA, WAVES, delayed, gain, model, save
from rtsep.errors import InputError
from rtsep.models.file import ModelFile, open_model
from rtsep.models.session import Bound, Session


def opened(made: Any, tmp_path: Path) -> ModelFile:
    return open_model(save(made, tmp_path / "m.onnx"))


def test_a_provider_that_is_not_there_is_said_and_the_cpu_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    found = opened(gain(0.5), tmp_path)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert (Session(found).provider, Session(found).said) == ("cpu", ())
    asked = Session(found, "cuda")
    assert asked.provider == "cpu"
    assert len(asked.said) == 1
    assert "cuda was asked for, but this onnxruntime has none" in asked.said[0]
    assert asked.said[0].endswith("it runs on cpu")
    # Available, they say, but it cannot be loaded: what counts is what the session took.
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [
        "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"])
    for name in ("cuda", "tensorrt"):
        with pytest.warns(UserWarning, match="not in available"):
            asked = Session(found, name, graphs=True)
        assert (asked.provider, asked.graphs, len(asked.said)) == ("cpu", False, 1)
        assert "it runs on cpu" in asked.said[0]
    with pytest.raises(InputError, match="'gpu' is not allowed; allowed is one of auto, cpu, cuda, tensorrt"):
        Session(found, "gpu")


def test_a_model_that_cannot_be_recorded_runs_on_the_gpu_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no GPU here: a stand-in for onnxruntime's session that takes no CUDA graphs, or nothing at all."""
    import onnxruntime

    broken = ["1"]

    class Stand:
        def __init__(self, _content: bytes, _options: Any, providers: list[Any], **_more: Any) -> None:
            self.providers = [name if isinstance(name, str) else name[0] for name in providers]
            graphs = dict(entry for entry in providers if isinstance(entry, tuple)).get("CUDAExecutionProvider")
            if graphs is not None and graphs["enable_cuda_graph"] in broken:
                raise RuntimeError("not all nodes\nare partitioned")

        def get_providers(self) -> list[str]:
            return self.providers

    found = opened(gain(0.5), tmp_path)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [
        "CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Stand)
    asked = Session(found, "cuda", graphs=True)
    assert (asked.provider, asked.graphs, asked.said) == ("cuda", False, ())
    broken.append("0")
    asked = Session(found, "cuda", graphs=True)
    assert asked.provider == "cpu"
    assert "but it fails (not all nodes are partitioned); it runs on cpu" in asked.said[0]
    assert Session(found).said == (), "nobody asked for one"
    broken.clear()
    assert Session(found, graphs=True).graphs


def test_without_onnxruntime_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = opened(gain(0.5), tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"onnxruntime, which is not installed; pip install 'rtsep\[cpu\]'"):
        Session(found)


@pytest.mark.parametrize("direct", [True, False], ids=["arrays of ours", "copied, as on a GPU"])
def test_a_state_goes_on_from_call_to_call_and_buffers_stay(direct: bool, tmp_path: Path) -> None:
    bound = Bound(Session(opened(delayed(5), tmp_path)), (1, 2, 8), direct)
    sound = np.arange(64, dtype=np.float32).reshape(2, 32)
    late = np.concatenate([np.zeros((2, 5), np.float32), sound[:, :-5]], axis=1)
    place = bound.x.ctypes.data, bound.y.ctypes.data

    def played(first: int) -> Any:
        found = []
        for block in range(first, 4):
            bound.x[0] = sound[:, 8 * block : 8 * block + 8]
            found.append(bound.run()[0].copy())
        return np.concatenate(found, axis=1)

    assert (played(0) == late).all()
    assert (bound.states[0] == sound[None, :, -5:]).all()
    bound.set_states()
    assert (played(0) == late).all(), "as new"
    bound.set_states([sound[None, :, 3:8]])
    assert (played(1) == late[:, 8:]).all(), "from another state"
    assert (bound.x.ctypes.data, bound.y.ctypes.data) == place
    with pytest.raises(ValueError, match="a state of shape"):
        bound.set_states([np.zeros((1, 2, 4), np.float32)])


def test_all_mics_are_one_batch(tmp_path: Path) -> None:
    for card in (MAGNITUDES, {**MAGNITUDES, "channels": 0}):
        bound = Session(opened(gain(0.25, SPECTRA, card), tmp_path)).bind(1, 2, batch=32)
        bound.x[...] = np.arange(bound.x.size).reshape(bound.x.shape)
        assert (bound.run() == 0.25 * bound.x).all()


def test_shapes_that_are_not_what_the_card_says_are_refused(tmp_path: Path) -> None:
    # What it declares is free, what comes out is something else: only a call shows it.
    text = f"m ({FREE} x) => ({FREE} y) {{ y = Concat <axis = 1> (x, x) }}"
    with pytest.raises(InputError, match=r"from x \[1, 2, 64\] comes y \[1, 4, 64\]; its card allows \[1, 2, \?\]"):
        Session(opened(model(text), tmp_path)).bind(2, 64)
    text = f"m ({FREE} x) => ({FREE} y) {{ y = Concat <axis = 2> (x, x) }}"
    with pytest.raises(InputError, match="of 64 samples it returns 128"):
        Session(opened(model(text), tmp_path)).bind(2, 64)
    grows = f"m ({FREE} x, {FREE} a) => ({FREE} y, {FREE} b) {{ y = Add(x, a) b = Concat <axis = 1> (a, x) }}"
    with pytest.raises(InputError, match=r"state 'a' comes back as \[1, 4, 64\]; allowed is \[1, 2, 64\]"):
        Session(opened(model(grows, {**WAVES, "states": (("a", "b"),)}), tmp_path)).bind(2, 64)
    found = opened(gain(1.0, card={**WAVES, "multiple": 48}), tmp_path)
    with pytest.raises(InputError, match="cannot take 64 frames; allowed is a multiple of 48"):
        Session(found).bind(1, 64)
    fixed = opened(gain(1.0, "float[1,4,64]"), tmp_path)
    with pytest.raises(InputError, match=r"cannot take x \[1, 2, 64\]; allowed is \[1, 4, 64\]"):
        Session(fixed).bind(2, 64)


def test_what_onnxruntime_refuses_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = f"m ({FREE} x) => ({FREE} y) {{ y = Nonsense(x) }}"
    with pytest.raises(InputError, match="onnxruntime refuses it") as caught:
        Session(opened(model(text), tmp_path))
    assert "\n" not in str(caught.value)
    found = opened(gain(1.0), tmp_path)
    with pytest.raises(InputError, match="onnxruntime refuses it"):
        Session(dataclasses.replace(found, content=found.content[:-40]))
    text = f"m ({FREE} x) => ({FREE} y) {{ s = Constant <value_ints = [7]> () y = Reshape(x, s) }}"
    with pytest.raises(InputError, match="onnxruntime cannot run it") as caught:
        Session(opened(model(text), tmp_path)).bind(2, 64)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", ""), "it has been said, once"


def test_the_doctor_says_what_really_runs_models(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    from rtsep.doctor.providers import providers

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [
        "CUDAExecutionProvider", "CPUExecutionProvider"])
    with pytest.warns(UserWarning, match="not in available"):
        told = providers()[0].text
    assert told.endswith("runs them on cpu"), "CUDA is listed and cannot be loaded"
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "onnxruntime and onnx not installed" in providers()[0].text
