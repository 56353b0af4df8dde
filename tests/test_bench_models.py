"""`rtsep bench models`: what it measures is there, and what it cannot measure it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rtsep import cli
from rtsep.bench.toymodels import WAVES, delayed, gain, save


def test_models_are_measured_where_they_run_and_only_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("a machine with a GPU")
    path = save(delayed(37), tmp_path / "m.onnx")
    page = tmp_path / "models.md"
    given = ["bench", "models", path, "--mics", "2", "--seconds", "0.05", "-o", str(page), "--json"]
    assert cli.main([*given, "--providers", "cpu,cuda"]) == 0
    cpu, cuda, graph = json.loads(capsys.readouterr().out)
    assert (cpu["provider"], cpu["mics"], cpu["problem"]) == ("cpu", 2, "")
    assert cpu["calls"] >= 10
    assert 0 < cpu["us"]["p50"] <= cpu["us"]["p99"] <= cpu["us"]["p999"] <= cpu["us"]["max"]
    assert cpu["deadline_us"] == pytest.approx(512 / 0.048, rel=1e-6)
    assert cpu["warm_up_s"] > 0
    for cell in (cuda, graph):
        assert cell["us"] is None
        assert cell["problem"].startswith("not measured")
    assert f"| {Path(path).stem} | cuda graph | 2 | not measured" in page.read_text()


def test_what_cannot_be_measured_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    four = save(gain(1.0, card={**WAVES, "channels": 4}), tmp_path / "m.onnx")
    assert cli.main(["bench", "models", four, "--mics", "2", "--seconds", "0.05", "--providers", "cpu", "--json"]) == 0
    assert "there are 2 mics" in json.loads(capsys.readouterr().out)[0]["problem"]
    for words, flags in (("--mics: 0; allowed", ("--mics", "0")), ("there is no gpu", ("--providers", "gpu"))):
        assert cli.main(["bench", "models", four, *flags]) == 2
        assert words in capsys.readouterr().err
