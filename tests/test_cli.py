"""The command line as a user meets it: every verb once, every kind of bad input with one line and exit code 2."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from rtsep import commands, presets
from rtsep.audiofile import open_input
from rtsep.cli import main
from rtsep.runner import process
from rtsep.session import Session
from rtsep.stage import Block

RATE = 48000
PRESETS = ("live", "monitor", "foh", "record")


def rtsep(*arguments: object, code: int = 0, cwd: pathlib.Path | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "rtsep", *map(str, arguments)], capture_output=True, text=True, cwd=cwd, check=False,
        timeout=300,
    )
    assert done.returncode == code, done.stderr + done.stdout
    return done


def refused(*arguments: object, says: str, cwd: pathlib.Path | None = None) -> str:
    """Run with bad input: exit code 2, one line on stderr that names what is wrong, nothing on stdout."""
    done = rtsep(*arguments, code=2, cwd=cwd)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert says in lines[0], lines[0]
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return lines[0]


def concert(frames: int = 24000, k: int = 3, seed: int = 0) -> Block:
    rng = np.random.default_rng(seed)
    playing = (rng.random((k, frames // 2000 + 1)) > 0.4).repeat(2000, 1)[:, :frames]
    sources = 0.05 * rng.standard_normal((k, frames)) * playing
    mixed = sources.copy()
    for i in range(k):
        for j in range(k):
            if i != j:
                mixed[i, 60:] += 0.3 * sources[j, :-60]
    return mixed.astype(np.float32)


@pytest.fixture
def recording(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "concert.wav"
    soundfile.write(path, concert().T, RATE, subtype="FLOAT")
    return path


def read(path: pathlib.Path) -> Block:
    return np.ascontiguousarray(soundfile.read(path, dtype="float32", always_2d=True)[0].T)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_block_length_changes_no_bit(recording: pathlib.Path, preset: str) -> None:
    """Adaptation on, all presets, all block lengths: the same float32 samples."""
    with open_input(str(recording)) as source:
        x = source.read(source.frames)
        names = source.names
    engine = Session.open(preset, RATE, names).engine
    whole = process(engine, x, 64)
    assert engine.status()["updates"] > 20
    for block in (1, 16, 37, 480, 2048):
        engine.reset()
        np.testing.assert_array_equal(process(engine, x, block), whole, err_msg=f"block {block}")


def test_render_is_the_engine_without_its_latency(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    out, report = tmp_path / "clean.wav", tmp_path / "r.json"
    rtsep("render", recording, "-o", out, "--preset", "foh", "-b", 480, "--report", report)
    figures = json.loads(report.read_text())
    assert {"latency_samples", "sample_rate", "block", "channels", "seconds", "cpu_s", "realtime_factor",
            "block_us"} <= set(figures)
    assert set(figures["block_us"]) == {"p50", "p99", "p999", "max"}
    x, y = read(recording), read(out)
    assert y.shape == x.shape
    engine = Session.open("foh", RATE, ("mic1", "mic2", "mic3")).engine
    late = engine.latency
    assert figures["latency_samples"] == late > 0
    truth = process(engine, np.pad(x, ((0, 0), (0, late))))[:, late:]
    np.testing.assert_array_equal(y, truth)
    raw = tmp_path / "raw.wav"
    rtsep("render", recording, "-o", raw, "--preset", "foh", "--no-compensate")
    np.testing.assert_array_equal(read(raw)[:, late:], truth[:, :-late])


def test_a_long_recording_needs_no_more_memory(tmp_path: pathlib.Path) -> None:
    """Streamed: twelve times the length, the same peak but for a few megabytes."""
    preset = tmp_path / "plain.toml"
    preset.write_text('schema = 1\nname = "plain"\nlatency_class = "live"\n[[chain]]\nstage = "input"\n')
    peaks = []
    for seconds in (10, 120):
        long = tmp_path / f"{seconds}.wav"
        soundfile.write(long, np.zeros((seconds * RATE, 16), np.float32), RATE, subtype="FLOAT")
        script = (
            "import resource\nfrom rtsep.cli import main\n"
            f"assert main(['render', {str(long)!r}, '-o', {str(tmp_path / 'out.wav')!r}, '-b', '2048', "
            f"'--preset', {str(preset)!r}]) == 0\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        peaks.append(float(done.stdout.split()[-1]))
        long.unlink()
    # The longer file alone has 369 MB.
    assert peaks[1] - peaks[0] < 30


def test_settings_reach_the_engine(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    out = tmp_path / "dry.wav"
    rtsep("render", recording, "-o", out, "--set", "output.dry_all=1", "--set", "output.gain_db.2=-6", "--json")
    x, y = read(recording), read(out)
    np.testing.assert_array_equal(y[0], x[0])
    np.testing.assert_allclose(y[1], x[1] * np.float32(10 ** (-6 / 20)), rtol=1e-6)


def test_nan_in_the_file_is_replaced_counted_and_reported(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    x = read(recording)
    x[1, 5000:5003] = np.nan
    hurt, out = tmp_path / "hurt.wav", tmp_path / "out.wav"
    soundfile.write(hurt, x.T, RATE, subtype="FLOAT")
    done = rtsep("render", hurt, "-o", out, "--json")
    assert json.loads(done.stdout)["bad_inputs"] == {"mic2": 3}
    assert "3 samples of mic2" in done.stderr
    assert np.isfinite(read(out)).all()


@pytest.mark.slow   # the README's own commands are run by `test_readme`
def test_scene_learn_render_evaluate(tmp_path: pathlib.Path) -> None:
    """The whole way of an engineer: soundcheck, calibration, render with it, and what it brought."""
    check, scene = tmp_path / "soundcheck", tmp_path / "concert"
    # One seed is one stage and one room, with and without a soundcheck before the concert.
    rtsep("scene", check, "--seed", 3, "--mics", 3, "--seconds", 1, "--soundcheck", 4)
    rtsep("scene", scene, "--seed", 3, "--mics", 3, "--seconds", 8)
    calibration = tmp_path / "c.rtcal"
    told = rtsep("learn", check / "mics", "-o", calibration, "--solos", check / "solos.csv", "--json")
    assert all(row["confidence"] > 0.5 for row in json.loads(told.stdout)["mics"])
    rtsep("render", scene / "mics", "-o", tmp_path / "clean", "--preset", "live", "--calibration", calibration)
    assert len(list((tmp_path / "clean").iterdir())) == 3
    scored = rtsep("evaluate", "--reference", scene / "images", "--estimate", tmp_path / "clean",
                   "--mixture", scene / "mics", "--json")
    improvement = json.loads(scored.stdout)["mean"]["improvement"]
    given = rtsep("evaluate", "--scene", scene, "--preset", "live", "--calibration", calibration, "--skip", 0, "--json")
    blind = rtsep("evaluate", "--scene", scene, "--preset", "live", "--skip", 0, "--json")
    mean = json.loads(given.stdout)["mean"]
    assert mean["improvement"] == pytest.approx(improvement, abs=0.01)
    assert mean["improvement"] > json.loads(blind.stdout)["mean"]["improvement"] + 3
    assert mean["improvement"] > 8
    assert mean["harm"] > 15
    assert mean["bleed_removed"] > 8
    refused("render", scene / "mics" / sorted(os.listdir(scene / "mics"))[0], "-o", tmp_path / "x.wav",
            "--calibration", calibration, says="3")
    soundfile.write(tmp_path / "other.wav", np.zeros((2000, 3)), 44100)
    refused("render", tmp_path / "other.wav", "-o", tmp_path / "x.wav", "--calibration", calibration, says="48000")
    assert not (tmp_path / "x.wav").exists()


def test_demo(tmp_path: pathlib.Path) -> None:
    out = tmp_path / "out"
    done = rtsep("demo", "--seconds", 6, "--mics", 3, "--out", out)
    assert "latency: declared" in done.stdout
    assert "=" in next(line for line in done.stdout.splitlines() if line.startswith("latency: declared"))
    report = json.loads((out / "report.json").read_text())
    assert set(report["measured_latency_samples"]) == {report["latency_samples"]}
    # Paced by the clock: it cannot be quicker than the music.
    assert report["wall_s"] >= report["seconds"] - report["block"] / report["sample_rate"]
    assert report["mean"]["improvement"] > 2
    if report["late_updates"] == 0:
        assert report["live_equals_offline"]
    for name in ("before.wav", "after.wav", "truth.wav", "before-after.png"):
        assert (out / name).stat().st_size > 10000
    rtsep("demo", "--seconds", 1, "--mics", 2, "--out", out, "--json")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "song.txt").write_text("mine")
    refused("demo", "--out", tmp_path / "mine", says="no demo has made")
    assert (tmp_path / "mine" / "song.txt").read_text() == "mine"


def test_reading_verbs_speak_json() -> None:
    assert set(PRESETS) <= {row["preset"] for row in json.loads(rtsep("presets", "--json").stdout)}
    text = rtsep("presets", "hpss").stdout
    assert text.startswith("# Keeps what sounds on (0)")
    assert presets.loads(text, "hpss") == presets.load("hpss")
    assert json.loads(rtsep("check", "foh", "--json").stdout)["latency_class"] == "foh"
    assert "is good" in rtsep("check", "live").stdout
    assert "rtsep" in rtsep("--version").stdout


def test_bad_usage_is_one_line() -> None:
    refused("frobnicate", says="frobnicate")
    refused("render", says="IN")
    refused("demo", "--seconds", "-3", says="-3")
    refused("demo", "--kind", "moon", says="moon")
    refused("demo", "--mics", "1", says="1")
    refused("check", "nonsense", says="nonsense")
    refused("evaluate", says="--reference")


def test_bad_input_is_one_line_and_writes_nothing(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    out = tmp_path / "out.wav"
    refused("render", tmp_path / "none.wav", "-o", out, says="none.wav")
    text = tmp_path / "text.wav"
    text.write_text("this is no audio")
    refused("render", text, "-o", out, says="text.wav")
    empty = tmp_path / "empty.wav"
    soundfile.write(empty, np.zeros((0, 2)), RATE)
    refused("render", empty, "-o", out, says="empty.wav")
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    soundfile.write(mixed / "01-a.wav", np.zeros(1000), 44100)
    soundfile.write(mixed / "02-b.wav", np.zeros(1000), 48000)
    refused("render", mixed, "-o", out, says="48000")
    refused("render", recording, "-o", recording, says="concert.wav")
    refused("render", recording, "-o", tmp_path / "nowhere" / "out.wav", says="nowhere")
    refused("render", recording, "-o", out, "--preset", "loud", says="loud")
    refused("render", recording, "-o", out, "--set", "spectral.range_db=9", says="spectral.range_db")
    refused("render", recording, "-o", out, "--set", "spectral.colour=9", says="spectral.colour")
    refused("render", recording, "-o", out, "--set", "output.gain_db.tuba=0", says="tuba")
    refused("render", recording, "-o", out, "--set", "output.gain_db=loud", says="loud")
    refused("render", recording, "-o", out, "-b", "0", says="0")
    refused("render", recording, "-o", out, "--subtype", "MP3", says="MP3")
    refused("render", recording, "-o", out, "--calibration", text, says="text.wav")
    preset = tmp_path / "p.toml"
    preset.write_text((presets_text := presets.dumps(presets.load("live"))) + '\n[[chain]]\nstge = "input"\n')
    line = presets_text.count("\n") + 3
    refused("render", recording, "-o", out, "--preset", preset, says=f"p.toml:{line}")
    preset.write_text(presets_text.replace("taps = 16384", "taps = 8000"))
    assert "8000" in refused("check", preset, says="p.toml:")
    assert not out.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["concert.wav", "text.wav", "empty.wav", "mixed", "p.toml"]
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder(tmp_path: pathlib.Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0)
    try:
        refused("render", locked, "-o", tmp_path / "out.wav", says="locked")
    finally:
        locked.chmod(0o755)


def test_a_full_disk(recording: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """A limit on file size stands in for the disk: the write itself fails half way."""
    out = tmp_path / "out.wav"
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from rtsep.cli import main\n"
        f"sys.exit(main(['render', {str(recording)!r}, '-o', {str(out)!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["concert.wav"]


def test_ctrl_c_leaves_the_old_file_or_nothing(tmp_path: pathlib.Path) -> None:
    long = tmp_path / "long.wav"
    soundfile.write(long, np.tile(concert(), (1, 60)).T, RATE, subtype="FLOAT")
    out = tmp_path / "out.wav"
    out.write_bytes(b"the old file")
    child = subprocess.Popen(
        [sys.executable, "-m", "rtsep", "render", str(long), "-o", str(out), "-b", "16"], stderr=subprocess.PIPE,
        # A suite that runs in the background ignores Ctrl-C, and its children would inherit that.
        text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for _ in range(600):   # until it is writing
        if len(list(tmp_path.iterdir())) > 2 or child.poll() is not None:
            break
        time.sleep(0.05)
    assert child.poll() is None
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130, said
    assert "Traceback" not in said
    assert out.read_bytes() == b"the old file"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["long.wav", "out.wav"]


def test_a_verb_is_one_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file in the folder is a verb, with its help, and nothing else is told of it."""
    (tmp_path / "hum.py").write_text(
        '"""Hum a note."""\n\n'
        "def arguments(parser):\n    parser.add_argument('--hertz', type=float, default=440.0)\n\n"
        "def run(args):\n    print(f'mmm at {args.hertz:g} Hz')\n    return 0\n"
    )
    (tmp_path / "_shared.py").write_text('"""No verb."""\n')
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["hum", "--hertz", "220"]) == 0
        assert capsys.readouterr().out == "mmm at 220 Hz\n"
        with pytest.raises(SystemExit):
            main(["--help"])
    finally:
        signal.signal(signal.SIGTERM, before)
        sys.modules.pop("rtsep.commands.hum", None)
    assert "hum       hum a note\n" in capsys.readouterr().out


def test_who_waits_for_the_compiler_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    import numba

    from rtsep.commands._printing import compiling_told

    with compiling_told():
        assert numba.njit(lambda x: x + 1)(1) == 2
        assert numba.njit(lambda x: x + 2)(1) == 3
    assert capsys.readouterr().err.count("compiling the kernels") == 1
    with compiling_told():
        pass
    assert capsys.readouterr().err == ""
