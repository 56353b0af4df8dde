"""Samples that are no sound become 0 wherever a recording comes in, are counted once, and told of in one line."""

from __future__ import annotations

import ast
import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import rtsep
from rtsep import atomic, separation
from rtsep.bench import fuzz
from rtsep.catalogue import SYSTEMS
from rtsep.cli import main
from rtsep.errors import SoundWarning
from rtsep.finite import LOUDEST, Finite, line, repair
from rtsep.sound import Sound
from rtsep.systems.separator import Audio, Passage

RATE = 16000
BAD = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf, "huge": 3e38}


def noise(mics: int, frames: int = 6000) -> Audio:
    return (0.1 * np.random.default_rng(0).standard_normal((mics, frames))).astype(np.float32)


def spoilt(mics: int, value: float = np.nan) -> Audio:
    x = noise(mics)
    x[0, 1000] = x[0, 1001] = x[-1, 5000] = value
    return x


def write(path: pathlib.Path, x: Audio) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, x.T, RATE, subtype="FLOAT")
    return str(path)


@pytest.mark.parametrize("value", [*BAD.values(), np.nextafter(LOUDEST, np.float32(np.inf))])
def test_what_is_no_sound_becomes_0(value: float) -> None:
    x = spoilt(2, value)
    assert repair(x).tolist() == [2, 1]
    wanted = noise(2)
    wanted[0, 1000] = wanted[0, 1001] = wanted[1, 5000] = 0
    np.testing.assert_array_equal(x, wanted)


def test_sound_is_left_alone() -> None:
    x = np.array([[0.0, -0.0, 1e-45, -LOUDEST, LOUDEST, 0.3]], np.float32)
    y = x.copy()
    assert repair(y).tolist() == [0]
    assert y.tobytes() == x.tobytes()


def test_each_sample_counts_once_however_it_is_read() -> None:
    source = Finite(Sound(spoilt(2), RATE), "x")
    source.read(500)
    source.seek(4000)
    source.read(2000)   # ahead, as excerpts are
    source.seek(0)
    for first in range(0, 6000, 900):
        source.seek(max(0, first - 100))
        assert np.isfinite(source.read(1000)).all()
    assert source.bad_inputs == {"mic1": 2, "mic2": 1}


def test_many_mics_are_one_line() -> None:
    text = line("in.wav", {f"mic{n}": n for n in range(1, 8)})
    assert text.startswith("in.wav: 1 samples of mic1, 2 samples of mic2")
    assert "18 of 3 more" in text


@pytest.mark.parametrize("name", BAD)
def test_separate_counts_and_tells(name: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "in.wav", spoilt(2, BAD[name]))
    assert main(["separate", source, "-o", str(tmp_path / "out"), "--method", "hpss", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["bad_inputs"] == {"mic1": 2, "mic2": 1}
    assert shown.err.count("\n") == 1
    assert "2 samples of mic1, 1 samples of mic2" in shown.err
    assert all(np.isfinite(soundfile.read(file)[0]).all() for file in (tmp_path / "out").iterdir())


def test_a_second_recording_is_mended_too(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, truth = write(tmp_path / "in.wav", noise(2)), write(tmp_path / "true.wav", spoilt(2))
    arguments = ["separate", source, "-o", str(tmp_path / "out"), "--method", "masks", "--set", f"sources={truth}"]
    assert main(arguments) == 0
    assert "true.wav: 2 samples of mic1" in capsys.readouterr().err
    assert all(np.isfinite(soundfile.read(file)[0]).all() for file in (tmp_path / "out").iterdir())


def test_a_refusal_stays_one_line(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "in.wav", spoilt(2))
    assert main(["learn", source, "-o", str(tmp_path / "c")]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "no passage" in shown
    assert "became 0" in shown


def test_evaluate_tells_and_scores_what_is_left(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, given = write(tmp_path / "t.wav", noise(2)), write(tmp_path / "g.wav", spoilt(2))
    assert main(["evaluate", "--reference", truth, "--estimate", given, "--json"]) == 0
    shown = capsys.readouterr()
    assert min(row["sdr"] for row in json.loads(shown.out)["mics"]) > 20
    assert "g.wav: 2 samples of mic1" in shown.err


def test_a_scene_of_a_data_set_is_finite(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, part in enumerate(spoilt(2)):
        write(tmp_path / "song" / f"{number}.wav", part[None])
    arguments = ["scene", str(tmp_path / "s"), "--from", str(tmp_path), "--bleed", "linear", "-r", str(RATE),
                 "--seconds", "0.3"]
    assert main([*arguments, "--json"]) == 0
    shown = capsys.readouterr()
    assert shown.err.count("became 0") == 1   # the other one is behind the end
    assert all(3 < abs(row["sir_db"]) < 60 for row in json.loads(shown.out)["mics"])


def test_arrays_are_mended_in_a_copy() -> None:
    x = spoilt(2)
    before = x.tobytes()
    with pytest.warns(SoundWarning, match="x: 2 samples of mic1"):
        assert all(np.isfinite(part).all() for part in rtsep.separate(x, RATE, "hpss").values())
    with pytest.warns(SoundWarning, match="estimate: 2 samples of mic1"):
        rtsep.evaluate(noise(2), x, RATE)
    with pytest.warns(SoundWarning, match="x: 2 samples of mic1"):
        assert np.isfinite(rtsep.clean(x, RATE, "live")).all()
    with pytest.warns(SoundWarning, match="x: 2 samples of mic1"), pytest.raises(rtsep.InputError, match="teaches"):
        rtsep.learn(x, RATE, [("mic1", 0.0, 0.1)])
    assert x.tobytes() == before


def test_nobody_reads_a_recording_past_the_guard() -> None:
    root = pathlib.Path(rtsep.__file__).parent
    callers = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "open_input":
                callers.add(path.relative_to(root).as_posix())
    # The runner guards what the file host, a replay and a played recording give it; two ask for channels and names.
    guarded = {"hosts/file.py", "hosts/replay.py", "workers/reader.py"}
    assert callers == {"finite.py", *guarded, "comparison.py", "hosts/playring.py"}


SHORT = ("nan", "3e38", "dc", "silent", "inverted", "1 samples", "3 samples", "64 samples")
FRAMES = 12000   # of long sounds: the whole matrix is `bench/fuzz.py`'s


@pytest.mark.parametrize("name", [name for name in SYSTEMS if name not in fuzz.TWINS])
def test_a_system_survives_hostile_sound(name: str, tmp_path: pathlib.Path) -> None:
    case = fuzz.cases()[name]
    made = fuzz.sounds(case)
    for number, sound in enumerate(SHORT):
        folder = tmp_path / str(number)
        folder.mkdir()
        outcome = fuzz.attempt(main, case, sound, made[sound][:, :FRAMES], folder)
        assert outcome.verdict in fuzz.GOOD, outcome


class _Crash:
    """A system that tells that it is at work, and is killed in the midst."""

    def fit(self, excerpt: Passage) -> None: ...

    def separate(self, _passage: Passage) -> dict[str, Audio]:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}


def crash(source: str, target: str) -> None:
    separation.make = lambda *_: _Crash()   # type: ignore[assignment]
    separation.separate_files(separation.SeparateOptions(source, target, "hpss"))


def test_what_a_killed_process_has_left_is_removed_at_the_next_start(tmp_path: pathlib.Path) -> None:
    source = write(tmp_path / "in.wav", noise(1))
    code = f"import test_finite; test_finite.crash({source!r}, {str(tmp_path / 'out')!r})"
    assert subprocess.run([sys.executable, "-c", code], cwd=pathlib.Path(__file__).parent).returncode == -9
    assert list(tmp_path.glob(".rtsep-*.tmp"))
    assert main(["separate", source, "-o", str(tmp_path / "out"), "--method", "hpss"]) == 0
    assert not list(tmp_path.glob(".rtsep-*"))


def test_what_is_being_written_stays(tmp_path: pathlib.Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with atomic.new_folder(tmp_path / "a") as mine, atomic.replacing(tmp_path / "f") as file:
        # On a shared disk another machine's: no such process here, and yet it is locked.
        other = tmp_path / f".rtsep-{gone.pid}-abc123.tmp"
        other.mkdir()
        held = atomic.hold(other)
        atomic.sweep(tmp_path)
        assert mine.is_dir()
        assert other.is_dir()
        file.write(b"x")
        atomic.let_go(held)
        atomic.sweep(tmp_path)
        assert not other.exists()
    assert (tmp_path / "f").read_bytes() == b"x"
