"""Every example runs as it is, says what it promises, and leaves nothing behind."""

from __future__ import annotations

import os
import pathlib
import re
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from rtsep import presets
from rtsep.catalogue import STAGES

FOLDER = pathlib.Path(__file__).parent.parent / "examples"
Numbers = list[float]


def numbers(text: str) -> Numbers:
    return [float(number) for number in re.findall(r"(?<![\w-])[-+]?\d+(?:\.\d+)?(?=\s|$|,|;)", text)]


def _levels(found: Numbers) -> bool:
    """Of before and after: something is taken away, and nobody is silenced."""
    return all(after < before < after + 12 for before, after in zip(found[::2], found[1::2], strict=True))


# Those that take seconds of work; the others are run by every `make test`.
SLOW = {"clean_a_folder", "live_callback", "own_preset", "own_stage", "measure_a_chain", "use_a_model_file"}
# What is true of the numbers that each one prints.
EXPECTED: dict[str, Callable[[Numbers], bool]] = {
    "clean_a_recording": _levels,
    "stream_blocks": lambda found: found[0] == 128 and found[-1] > 6,
    "between_pedalboards": lambda found: found[1] == found[2] and 0.1 < found[3] < 2,
    "soundcheck": lambda found: found[-1] > found[0] + 5,
    "separate_a_song": lambda found: found[3] > found[1] + 0.2,
    "evaluate_a_scene": lambda found: len(found) == 12 and min(found) > 0,
    "clean_a_folder": lambda found: len(found) == 3 and min(found) > 0,
    "live_callback": lambda found: found == [40, 0],
    "own_preset": lambda found: found[1] > found[0] + 0.1,
    "own_stage": lambda found: found[0] == -20 and found[1] < -30,
    "measure_a_chain": lambda found: found[0] == found[1] == 128,
    "use_a_model_file": lambda found: found == [1024, -6],
}
PROGRAMS = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in EXPECTED]


def test_every_example_is_expected() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == {*EXPECTED, "show_by_osc"}
    assert set(EXPECTED) >= SLOW


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_example_runs(name: str, tmp_path: pathlib.Path) -> None:
    done = subprocess.run(
        [sys.executable, FOLDER / f"{name}.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = numbers(done.stdout)
    assert EXPECTED[name](found), done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_preset_is_good() -> None:
    found = presets.load(FOLDER / "own_preset.toml")
    assert sum(STAGES[c.stage].latency(c.options) for c in found.chain) == 320


@pytest.mark.slow
def test_a_show_is_driven_by_osc(tmp_path: pathlib.Path) -> None:
    from jack_server import jack_server

    free = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    free.bind(("127.0.0.1", 0))
    port = str(free.getsockname()[1])
    free.close()
    rtsep = [sys.executable, "-m", "rtsep"]
    subprocess.run([*rtsep, "show", "new", "tonight", "--example"], cwd=tmp_path, check=True, capture_output=True)
    with jack_server(period=256, channels=4) as server:
        run = subprocess.Popen([*rtsep, "run", "--show", "tonight", "--host-api", "jack", "--osc", port, "--no-view"],
                               cwd=tmp_path, env=server.environment, stderr=subprocess.PIPE, text=True)
        try:
            assert run.stderr is not None
            for line in run.stderr:
                if "latency" in line:
                    break
            done = subprocess.run([sys.executable, FOLDER / "show_by_osc.py", port], cwd=tmp_path, capture_output=True,
                                  text=True, check=False, timeout=60)
        finally:
            run.terminate()
            run.communicate(timeout=30)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "/scene/current opening 2" in lines
    assert "/p/output/gain_db/drums -6.0" in lines
    assert lines[-1] == "/p/output/gain_db/drums -4.0"   # as the snapshot has it: taken back


@pytest.mark.slow
def test_a_network_is_trained_exported_and_heard(tmp_path: pathlib.Path) -> None:
    for module in ("torch", "onnx", "onnxruntime"):
        pytest.importorskip(module)
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["sh", FOLDER / "train_and_export.sh"], cwd=tmp_path, env={**os.environ, "PATH": path},
                          capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "vocals" in done.stdout
    assert len(list((tmp_path / "parts").iterdir())) >= 1
