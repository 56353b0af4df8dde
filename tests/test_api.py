"""`import rtsep`: the same samples as the verbs, one layout, and the types that a user's program sees."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import rtsep
from rtsep import separation
from rtsep.cli import main
from rtsep.errors import SoundWarning
from rtsep.stage import Block

ROOT = pathlib.Path(__file__).parent.parent
RATE = 48000
NAMES = ("mic1", "mic2", "mic3")


def concert(frames: int = 30000, k: int = 3, seed: int = 0) -> Block:
    rng = np.random.default_rng(seed)
    playing = (rng.random((k, frames // 2000 + 1)) > 0.4).repeat(2000, 1)[:, :frames]
    sources = 0.05 * rng.standard_normal((k, frames)) * playing
    return (sources + 0.3 * np.roll(sources[::-1], 60, axis=1)).astype(np.float32)


def write(path: pathlib.Path, x: Block, rate: int = RATE) -> str:
    soundfile.write(path, x.T, rate, subtype="FLOAT")
    return str(path)


def read(path: pathlib.Path) -> Block:
    return np.ascontiguousarray(soundfile.read(path, dtype="float32", always_2d=True)[0].T)


@pytest.fixture
def known() -> rtsep.Calibration:
    paths = np.zeros((3, 3, 128), np.float32)
    paths[0, 2, 60] = paths[2, 0, 60] = 0.3
    return rtsep.Calibration(RATE, NAMES, paths, np.full(3, -90, np.float32), np.ones((3, 3), np.float32))


# The same as the verbs


@pytest.mark.parametrize(("preset", "calibrated", "settings"), [
    ("live", False, {}),
    ("live", True, {}),
    ("foh", True, {"spectral.range_db": -12, "output.gain_db.mic2": -6.5}),
    ("hpss", False, {}),
])
def test_clean_is_render(
    preset: str, calibrated: bool, settings: dict[str, float], known: rtsep.Calibration, tmp_path: pathlib.Path
) -> None:
    x = concert()
    rtsep.calibration.save(known, tmp_path / "c.cal")
    words = ["render", write(tmp_path / "in.wav", x), "-o", str(tmp_path / "out.wav"), "--preset", preset]
    words += ["--calibration", str(tmp_path / "c.cal")] if calibrated else []
    words += [word for path, value in settings.items() for word in ("--set", f"{path}={value}")]
    assert main(words) == 0
    rendered = read(tmp_path / "out.wav")
    cleaned = rtsep.clean(x, RATE, preset, known if calibrated else None, settings)
    np.testing.assert_array_equal(cleaned, rendered)
    assert cleaned.dtype == np.float32
    assert np.abs(cleaned - x).max() > 1e-3
    if calibrated:
        texts = [f"{path}={value}" for path, value in settings.items()]
        again = rtsep.clean(x, RATE, preset, tmp_path / "c.cal", texts, NAMES)
        np.testing.assert_array_equal(again, rendered)


def test_what_a_calibration_does_not_know_is_said(
    known: rtsep.Calibration, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, folder, place = concert(2000), tmp_path / "in", tmp_path / "hall.cal"
    folder.mkdir()
    for n, name in enumerate(("Sax", "mic3", "mic1")):
        write(folder / f"{n + 1} {name}.wav", x[n : n + 1])
    rtsep.calibration.save(known, place)
    words = ["render", str(folder), "-o", str(tmp_path / "out"), "--preset", "live", "--calibration", str(place)]
    assert main(words) == 0
    note = "calibration hall.cal: no 'Sax'; 'mic2' is not in the show"
    assert capsys.readouterr().err.splitlines()[1:] == [f"rtsep: {note}"]
    with pytest.warns(UserWarning, match=note):
        cleaned = rtsep.clean(x, RATE, "live", place, names=("Sax", "mic3", "mic1"))
    with rtsep.Stream("live", RATE, ("mic1", "mic3", "Sax"), known) as stream:
        assert stream.notes[1:] == [note.replace(" hall.cal", "")]
        np.testing.assert_allclose(stream.process(x[[2, 1, 0]]), cleaned[[2, 1, 0]], atol=1e-6)
    rtsep.calibration.save(dataclasses.replace(known, names=("a", "b", "c")), place)
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("rtsep: calibration hall.cal: none of its 3 microphones is in the show")


def test_a_recording_that_is_longer_than_what_is_read_at_once(tmp_path: pathlib.Path) -> None:
    x = concert(150000, 1)
    chain = '[[chain]]\nstage = "input"\n[[chain]]\nstage = "spectral"\n'
    preset = tmp_path / "plain.toml"
    preset.write_text(f'schema = 1\nname = "plain"\nlatency_class = "foh"\n{chain}')
    words = ["render", write(tmp_path / "in.wav", x), "-o", str(tmp_path / "out.wav"), "--preset", str(preset)]
    assert main([*words, "-b", "999"]) == 0
    np.testing.assert_array_equal(rtsep.clean(x, RATE, preset), read(tmp_path / "out.wav"))
    with rtsep.Stream(preset, RATE, 1) as stream:
        assert stream.latency > 0
        whole = stream.process(np.pad(x, ((0, 0), (0, stream.latency))))
        np.testing.assert_array_equal(whole[:, stream.latency:], read(tmp_path / "out.wav"))


@pytest.mark.parametrize(("method", "channels", "options"), [
    ("hpss", 2, {"margin": 2.0}), ("mira", 2, {}), ("nmf", 1, {"rank": np.int64(4)}),
])
def test_separate_is_the_verb(
    method: str, channels: int, options: dict[str, object], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(separation, "PASSAGE_SECONDS", 1.0)   # several passages, each cross-faded to the next
    monkeypatch.setattr(separation, "OVERLAP_SECONDS", 0.2)
    x = concert(40000, channels)
    words = ["separate", write(tmp_path / "in.wav", x, 16000), "-o", str(tmp_path / "out"), "--method", method]
    assert main([*words, *(word for name, value in options.items() for word in ("--set", f"{name}={value}"))]) == 0
    parts = rtsep.separate(x, 16000, method, **options)
    files = sorted((tmp_path / "out").iterdir())
    assert [f"{n:02}-{name}.wav" for n, name in enumerate(parts, 1)] == [file.name for file in files]
    for part, file in zip(parts.values(), files, strict=True):
        assert part.dtype == np.float32
        np.testing.assert_array_equal(part, read(file))


def test_a_system_or_option_that_there_is_not_is_named() -> None:
    x = concert(16000, 1)
    with pytest.raises(rtsep.InputError, match="method: there is no magic; known:"):
        rtsep.separate(x, 16000, "magic")
    with pytest.raises(rtsep.InputError, match="margn: hpss has no option margn; known: "):
        rtsep.separate(x, 16000, "hpss", margn=2)
    with pytest.raises(rtsep.InputError, match=r"margin: 0\.0 is not allowed"):
        rtsep.separate(x, 16000, "hpss", margin=0)


@pytest.mark.parametrize("given", [True, False])
def test_learn_is_the_verb(given: bool, tmp_path: pathlib.Path) -> None:
    scene = rtsep.scenes.make_scene("room", 3, 2, 1.0, 16000, soundcheck=3.0)
    rtsep.scenes.write_scene(scene, tmp_path / "scene")
    words = ["learn", str(tmp_path / "scene" / "mics"), "-o", str(tmp_path / "c.cal"), "--taps", "512"]
    assert main([*words, *(("--solos", str(tmp_path / "scene" / "solos.csv")) if given else ())]) == 0
    told = rtsep.calibration.load(tmp_path / "c.cal")
    found = rtsep.learn(scene.mics, scene.rate, scene.solos if given else None, scene.names, taps=512)
    assert (found.rate, found.names) == (told.rate, told.names)
    for name in ("paths", "noise_db", "confidence"):
        np.testing.assert_array_equal(getattr(found, name), getattr(told, name))
    assert found.confidence.max() > 0.5
    if given:
        numbered = [(n, start, end) for n, (_, start, end) in enumerate(scene.solos, 1)]
        by_number = rtsep.learn(scene.mics, scene.rate, numbered, taps=512)
        np.testing.assert_array_equal(by_number.paths, found.paths)


def test_solos_that_are_none_are_named(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = concert(RATE, 2)
    path = write(tmp_path / "in.wav", x)
    assert main(["learn", path, "-o", str(tmp_path / "c.cal")]) == 2
    told = f"rtsep: {path}: no passage was found in which one source plays alone; name them with --solos\n"
    assert capsys.readouterr().err == told
    for solos, message in (
        ([("tuba", 0, 1)], r"solos\[0\]: unknown mic 'tuba'; known: mic1, mic2, or 1 to 2"),
        ([(1, 0, 0.5), (2, 0.25, 1)], r"solos\[1\]: overlaps the solo of mic1 in solos\[0\]"),
        ([(1, 0, 2)], r"solos\[0\]: end_s 2; at most 1, where the recording ends"),
        ([], "solos: there is none"),
        (None, "x: no passage was found in which one source plays alone; name them with solos"),
    ):
        with pytest.raises(rtsep.InputError, match=message):
            rtsep.learn(x, RATE, solos)


@pytest.mark.parametrize("channels", [1, 2])
def test_evaluate_is_the_verb(
    channels: int, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((3, channels, 16000)).astype(np.float32) * np.float32(0.1)
    song = truth.sum(axis=0) if channels > 1 else None   # one recording for all parts
    given = truth + np.float32(0.2) * truth[::-1]
    before = truth + np.float32(0.5) * truth[::-1] if song is None else song
    for name, parts in (("t", truth), ("g", given)):
        (tmp_path / name).mkdir()
        for n, part in enumerate(parts, 1):
            write(tmp_path / name / f"{n}-mic{n}.wav", part, 16000)
    write(tmp_path / "m.wav", before[:, 0] if song is None else song, 16000)
    words = ["evaluate", "--reference", str(tmp_path / "t"), "--estimate", str(tmp_path / "g"), "--json"]
    bss = "median" if channels == 1 else None   # of several channels it takes half a minute
    words += ["--bss", bss] if bss else []
    assert main([*words, "--mixture", str(tmp_path / "m.wav")]) == 0
    told = json.loads(capsys.readouterr().out)["mics"]
    sounds = [a[:, 0] if channels == 1 else a for a in (truth, given)]
    mixture = before[:, 0] if song is None else song
    assert rtsep.evaluate(*sounds, 16000, mixture, bss=bss) == told
    named = rtsep.evaluate(*sounds, 16000, names=("a", "b", "c"))
    assert [row["mic"] for row in named] == ["a", "b", "c"]
    assert "improvement" not in named[0]
    with pytest.raises(rtsep.InputError, match=r"estimate: .*reference has 3 "):
        rtsep.evaluate(sounds[0], sounds[1][:2], 16000)


# The layout


TURNED = r"x: float32\[48000, 2\] has 48000 channels.*it looks like \[frames, channels\]: give x\.T"


@pytest.mark.parametrize(("x", "message"), [
    (np.zeros((48000, 2), np.float32), TURNED),
    (np.zeros(48000, np.float32), r"x: float32\[48000\] has one axis; .*one channel is x\[None\]"),
    (np.zeros((2, 3, 4)), r"x: float64\[2, 3, 4\] is no sound"),
    (np.zeros((0, 100)), r"x: float64\[0, 100\] is no sound"),
    (np.zeros((2, 0)), "x: holds no sound"),
    (np.zeros((2, 100), np.int16), r"x: int16\[2, 100\] has integers; .*scale it to -1\.\.1"),
    (np.zeros((2, 100), bool), "has integers"),
    (np.zeros((2, 100), complex), "has no floats"),
])
def test_another_layout_is_refused(x: np.ndarray, message: str) -> None:
    for ask in (
        lambda: rtsep.clean(x, RATE, "live"), lambda: rtsep.separate(x, RATE, "hpss"), lambda: rtsep.learn(x, RATE)
    ):
        with pytest.raises(ValueError, match=message) as caught:
            ask()
        assert isinstance(caught.value, rtsep.InputError)
        assert "\n" not in str(caught.value)


def test_rates_and_names_that_cannot_be_are_refused() -> None:
    x = concert(1000, 2)
    for rate in (0, -1, 44100.5, float("nan"), "48000", True):
        with pytest.raises(rtsep.InputError, match=r"rate: .* is no sample rate"):
            rtsep.clean(x, rate, "live")
    for names, message in (
        (("a",), "1 names for 2 channels"), (("a", "a"), "'a' is there twice"), ("ab", "no list of names"),
        ((1, 2), "no list of names"),
    ):
        with pytest.raises(rtsep.InputError, match=message):
            rtsep.clean(x, RATE, "live", names=names)
    with pytest.raises(rtsep.InputError, match="no microphone"):
        rtsep.Stream("live", RATE, 0)


def test_floats_of_any_kind_and_order_are_taken() -> None:
    x = concert(9000, 2)
    expected = rtsep.clean(x, RATE, "live")
    wide = np.empty((2, 18000), np.float32)
    wide[:, ::2] = x
    for other in (x.astype(np.float64), np.asfortranarray(x), wide[:, ::2], x.astype(">f4"), x.tolist()):
        np.testing.assert_array_equal(rtsep.clean(other, float(RATE), "live"), expected)
    many = np.zeros((65, 200), np.float32)   # that may be 65 channels
    assert rtsep.separate(many, RATE, "hpss")["harmonic"].shape == many.shape


# What a program sees


def test_importing_costs_nothing() -> None:
    script = (
        "import json, sys\nbefore = set(sys.modules)\nimport rtsep\nnew = set(sys.modules) - before\n"
        "heavy = lambda: [m for m in ('numpy', 'numba', 'scipy') if m in sys.modules]\n"
        "said = [sorted(m for m in new if m.startswith('rtsep')), len(new), heavy()]\n"
        "assert {'clean', 'Stream', 'scenes'} <= set(dir(rtsep))\n"
        "assert issubclass(rtsep.InputError, ValueError)\nsaid.append(heavy())\n"
        "rtsep.Stream\nsaid.append(heavy())\nprint(json.dumps(said))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    ours, count, *heavy = json.loads(done.stdout)
    assert ours == ["rtsep"]
    assert count <= 40   # with what `typing` and `importlib` bring
    assert heavy == [[], [], ["numpy"]]   # and a stream's class needs nothing compiled
    with pytest.raises(AttributeError, match="no attribute 'cleen'"):
        _ = rtsep.cleen


def test_every_name_is_there() -> None:
    for name in rtsep.__all__:
        found = getattr(rtsep, name)
        assert found.__doc__, name
        assert getattr(found, "__name__", name).removeprefix("rtsep.") == name


USER = """
import numpy as np
import rtsep
from rtsep import Stream, clean

x = rtsep.scenes.make_scene("room", 1).mics
y: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = clean(x, 48000, "foh", settings={"output.gain_db": -3})
with Stream("live", 48000, ["vox", "kick"], settings=("output.gain_db=-3",)) as stream:
    y = stream.process(x)
    late: int = stream.latency
    known: rtsep.learnt.Learnt = stream.learnt()
    stream.set("output.gain_db.vox", -6)
parts: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = rtsep.separate(x, 48000, "hpss", margin=2.0)
calibration: rtsep.Calibration = rtsep.learn(x, 48000, [("vox", 0.0, 2.0)])
y = clean(x, 48000, calibration=calibration)
rows = rtsep.evaluate(x, y, 48000, mixture=x)
"""


def test_a_users_types_are_checked(tmp_path: pathlib.Path) -> None:
    assert (ROOT / "rtsep" / "py.typed").is_file()
    for name, text in (("good", USER), ("bad", USER + "rtsep.cleen\nclean(x)\ny = stream.learnt()\n")):
        (tmp_path / f"{name}.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", "good.py", "bad.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "MYPYPATH": f"{ROOT}{os.pathsep}{ROOT / 'kernels'}"},
    )
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 3, done.stdout
    assert all(line.startswith("bad.py:") for line in errors), done.stdout


def test_the_limiter_is_spoken_of() -> None:
    x = np.zeros((1, 4800), np.float32)
    x[0, 1000] = 1
    with pytest.warns(SoundWarning, match="turned down peaks above -1 dBFS, once"):
        rtsep.clean(x, 48000, "live")


@pytest.mark.parametrize("preset", ["foh", "monitor"])
def test_a_rate_that_is_too_low_for_a_class_is_named(preset: str) -> None:
    enough = {"foh": 11025, "monitor": 44100}[preset]
    words = rf"at 8000 Hz its windows cannot be made short enough.*ms late.*ms; use it from {enough} Hz on"
    with pytest.raises(rtsep.InputError, match=words):
        rtsep.clean(np.zeros((2, 800), np.float32), 8000, preset)
    rtsep.clean(np.zeros((2, 800), np.float32), enough, preset)


def test_a_soundcheck_that_teaches_nothing_writes_nothing(tmp_path: pathlib.Path) -> None:
    x = (0.1 * np.random.default_rng(0).standard_normal((2, 16000))).astype(np.float32)
    soundfile.write(tmp_path / "in.wav", x.T, 16000, subtype="FLOAT")
    (tmp_path / "solos.csv").write_text("mic,start_s,end_s\n1,0,0.5\n2,0.5,1\n")
    told = [str(tmp_path / name) for name in ("in.wav", "c.npz", "solos.csv")]
    assert main(["learn", told[0], "-o", told[1], "--solos", told[2], "--taps", "1024"]) == 2
    assert not (tmp_path / "c.npz").exists()
    with pytest.raises(rtsep.InputError, match="teaches nothing"):
        rtsep.learn(x, 16000, [(1, 0, 0.5), (2, 0.5, 1)], taps=1024)
