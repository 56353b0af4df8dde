"""Bad input costs little memory and one line; what a preset takes is known before it is taken."""

from __future__ import annotations

import json
import os
import pathlib
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
import soundfile

from rtsep import calibration, learnt, limits, npz, presetfile, presets, tomltext
from rtsep.audiofile import open_input
from rtsep.calibration import Calibration
from rtsep.cli import main
from rtsep.errors import InputError
from rtsep.session import Session

HEAD = 'schema = 1\nname = "x"\nlatency_class = "live"\n'
MB = 1 << 20
LITTLE = 300 * MB    # above a plain start of Python with NumPy and what is compiled
# Runs one verb and says what the most was that it took; a planted bomb must not take the machine.
_RUN = """
import pathlib, re, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
from rtsep.cli import main
try:
    code = main(sys.argv[1:])
finally:
    # Not `ru_maxrss`, which begins with what the process had that has started this one.
    print(int(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) * 1024)
sys.exit(code)
"""


def spent(*words: object, **environment: str) -> tuple[int, list[str], int]:
    """Run a verb in a process of its own; return the exit code, what it said on stderr, and bytes at most."""
    done = subprocess.run([sys.executable, "-c", _RUN, *map(str, words)], capture_output=True, text=True, timeout=120,
                          env={**os.environ, **environment}, check=False)
    return done.returncode, done.stderr.splitlines(), int(done.stdout.split()[-1])


def refused(*words: object, says: str, **environment: str) -> None:
    code, lines, most = spent(*words, **environment)
    assert code == 2, lines
    assert len(lines) == 1
    assert says in lines[0]
    assert len(lines[0]) < 700
    assert most < LITTLE + 100 * MB   # a plain start takes 100 to 230


PRESETS = {
    "dots": (HEAD + "a" + ".a" * 120000 + " = 1\n", ":4: a key has more than 32 parts"),
    "dots in a table": (HEAD + "[a" + " . b" * 60000 + "]\n", ":4: a key has more than 32 parts"),
    "dots within": (HEAD + "a = {b" + ".b" * 100000 + " = 1}\n", ":4: a key has more than 32 parts"),
    "brackets": (HEAD + "a = " + "[" * 120000 + "]" * 120000, ":4: there are more than 32 brackets"),
    "lines": (HEAD.replace('"x"', '"""' + "\n" * 120000 + '"""'), ":2: name: "),
    "lines before": ('name = """' + "\n" * 120000 + '"""\nschema = 2\nlatency_class = "live"\n', ":120002: schema: 2"),
    "stages": (HEAD + "".join(f'[[chain]]\nstage = "input"\nname = "c{n}"\n' for n in range(200)), "c32: one stage"),
    "digits": (HEAD.replace("1", "1" * 200000), "is not TOML"),
}


@pytest.mark.parametrize("kind", PRESETS)
def test_a_preset_that_is_none_is_refused_at_once(kind: str, tmp_path: pathlib.Path) -> None:
    text, says = PRESETS[kind]
    (tmp_path / "p.toml").write_text(text)
    refused("check", tmp_path / "p.toml", says=says)


def test_statements_are_found_as_the_parser_does() -> None:
    text = 'a = """\n#x [\n"""""\nb = [ # [\n 1,\n]\n[c.d]\ne = \'[\'\n\n f = "\\"["\ng = \'\'\'\nx\'\'\'\'\n'
    assert tomltext.statements(tomltext.skeleton(text)) == [0, 3, 6, 7, 9, 10, 13]
    assert tomltext.too_deep(tomltext.skeleton('a = "' + "a." * 99 + '"\nb = [' + "0.25, " * 99 + "]\n")) is None
    with pytest.raises(InputError, match=r"p:13: nix.stage: 'nix' is not"):
        presetfile.loads(HEAD.replace('"x"', '"""x\\\n\n\n  """') + '[[chain]]\nstage = "matrix"\nmixing = [\n[1]\n]\n'
                         '[[chain]]\nstage = "nix"\n', "p")


def header(channels: int, rate: int) -> bytes:
    """Return a WAV of ten frames that says that of itself."""
    width = 2 * channels
    fmt = struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * width % 2**32, width, 16)
    return b"RIFF" + struct.pack("<I", 36 + 10 * width) + b"WAVEfmt " + fmt + b"data" + struct.pack(
        "<I", 10 * width) + bytes(10 * width)


@pytest.mark.parametrize(("channels", "rate", "says"), [
    (512, 48000, "has 512 channels; allowed are up to 128"), (1024, 48000, "has 1024 channels"),
    (2, 1, "1 Hz; allowed are 1000 to 768000"), (2, 2**31 - 1, "2147483647 Hz"),
])
def test_recordings_that_nothing_makes_are_refused(channels: int, rate: int, says: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "x.wav").write_bytes(header(channels, rate))
    with pytest.raises(InputError, match=says):
        open_input(tmp_path / "x.wav")


def test_a_length_that_is_claimed_costs_nothing(tmp_path: pathlib.Path) -> None:
    place = tmp_path / "x.flac"
    soundfile.write(place, np.zeros((100, 2)), 48000)
    data = bytearray(place.read_bytes())
    data[21:26] = bytes([data[21] | 0x0F, 0xFF, 0xFF, 0xFF, 0xFF])   # 2^36 - 1 frames: the five bytes behind the rate
    place.write_bytes(data)
    refused("learn", place, "-o", tmp_path / "c.cal", says="no passage was found")   # in the 100 that there are


def test_a_length_that_is_there_is_refused_before_it_is_read(tmp_path: pathlib.Path) -> None:
    place = tmp_path / "x.wav"
    size = 1 << 30
    place.write_bytes(header(2, 48000)[:40] + (size - 44).to_bytes(4, "little"))
    os.truncate(place, size)   # on disk there is hardly anything of it
    refused("learn", place, "-o", tmp_path / "c.cal", says=" GB of memory; allowed are ", RTSEP_MEMORY_GB="0.5")


def test_a_folder_of_300_files_is_refused_before_they_are_opened(tmp_path: pathlib.Path) -> None:
    for n in range(300):
        (tmp_path / f"{n}.wav").touch()
    with pytest.raises(InputError, match="300 microphones; allowed are up to 128"):
        open_input(tmp_path)


def calibrated(path: pathlib.Path, **fields: object) -> None:
    k = 2
    known = {"schema": np.int64(1), "rate": np.int64(48000), "names": np.array(["mic1", "mic2"]),
             "paths": np.zeros((k, k, 8), np.float32), "noise_db": np.zeros(k, np.float32),
             "confidence": np.zeros((k, k), np.float32)}
    with path.open("wb") as file:
        np.savez(file, **{**known, **fields})  # type: ignore[arg-type]


def claims(path: pathlib.Path) -> None:
    calibrated(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    told, asked = b"(2, 2, 8), }" + b" " * 15, b"(2, 2, 4503599627370496), }"   # 64 PiB
    assert told in members["paths.npy"]
    members["paths.npy"] = members["paths.npy"].replace(told, asked)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def bomb(path: pathlib.Path) -> None:
    calibrated(path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("more.npy", "w") as file:
        for _ in range(32):
            file.write(bytes(16 * MB))   # 512 MB in half a MB


def loud(path: pathlib.Path) -> None:
    paths = np.zeros((2, 2, 8), np.float32)
    paths[0, 1] = 3.4e38
    calibrated(path, paths=paths)


def long(path: pathlib.Path) -> None:
    calibrated(path, paths=np.zeros((2, 2, calibration.MOST_TAPS + 1), np.float32))


@pytest.mark.parametrize(("make", "says"), [
    (claims, "not a calibration, or damaged"), (bomb, "not a calibration, or damaged"),
])
def test_a_calibration_that_is_none_is_refused(
    make: Callable[[pathlib.Path], None], says: str, tmp_path: pathlib.Path
) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros((1000, 2)), 48000)
    make(tmp_path / "c.cal")
    refused("render", tmp_path / "x.wav", "-o", tmp_path / "y.wav", "--preset", "live", "--calibration",
            tmp_path / "c.cal", says=says)


def test_paths_that_no_stage_has_are_refused(tmp_path: pathlib.Path) -> None:
    for make, says in ((loud, r"taps of 3\.4e"), (long, "131073 taps")):
        make(tmp_path / "c.cal")
        with pytest.raises(InputError, match=says):
            learnt.load(tmp_path / "c.cal")


def test_what_was_learnt_is_checked_as_a_calibration_is(tmp_path: pathlib.Path) -> None:
    place, paths = tmp_path / "c", np.zeros((2, 2, 8), np.float32)
    for group, says in (
        ({"paths": np.full_like(paths, np.inf)}, "finite"), ({"paths": np.full_like(paths, 1e9)}, "taps of 1e"),
        ({"paths": paths[:1]}, "paths is"), ({"paths": paths, "expected_db": paths[0]}, "expected_db"),
    ):
        learnt.save(learnt.Learnt(48000, ("a", "b"), {"canceller": group}), place)
        with pytest.raises(InputError, match=says):
            learnt.load(place)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a calibration"):
        learnt.load(tmp_path / "pipe")
    known = Calibration(48000, ("a", "b"), paths, np.zeros(2, np.float32), np.zeros((2, 2), np.float32))
    calibration.save(known, place)
    assert npz.read(place)["paths"].shape == (2, 2, 8)


@pytest.mark.parametrize(("text", "says"), [
    ("[" * 100000 + "]" * 100000, "is not a scene's description"),
    ('{"names": [' + '"a", ' * 1000000 + '"a"]}', "bytes; allowed are up to"),
    (json.dumps({"names": [f"m{n}" for n in range(300)], "rate": 48000, "kind": "x", "seed": 1, "sir_db": [None]}),
     "300 microphones"),
])
def test_a_scene_that_is_none_is_refused(text: str, says: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "scene.json").write_text(text)
    refused("evaluate", "--scene", tmp_path, "--preset", "live", says=says)


def test_options_at_their_limits_are_refused_before_they_take_memory(tmp_path: pathlib.Path) -> None:
    stage = '[[chain]]\nstage = "canceller"\nname = "c{}"\ntaps = 24576\npairs = 4032\n'
    (tmp_path / "p.toml").write_text(HEAD + "".join(stage.format(n) for n in range(3)))
    soundfile.write(tmp_path / "x.wav", np.zeros((1000, 40)), 48000)
    words = ["render", tmp_path / "x.wav", "-o", tmp_path / "y.wav", "--preset", tmp_path / "p.toml"]
    refused(*words, says="preset x with 40 microphones at 48000 Hz: needs ", RTSEP_MEMORY_GB="1")
    refused(*words, says="RTSEP_MEMORY_GB: 'much' is no limit", RTSEP_MEMORY_GB="much")


def test_what_a_preset_takes_is_known_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Against what the system says that a process takes."""
    script = """if True:
        import pathlib
        from rtsep import presets
        from rtsep.fitting import needed
        from rtsep.session import Session
        from rtsep.stage import Format
        def taken():
            return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096
        with Session.open("live", 48000, ["a", "b"]) as small:
            small.engine.warm()
        told, before = needed(presets.load("foh"), Format(48000, 12)), taken()
        with Session.open("foh", 48000, [f"m{n}" for n in range(12)]) as session:
            session.engine.warm()
            print(told, taken() - before, session.engine.memory, before)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    told, taken, held, before = map(int, done.stdout.split())
    assert told == held
    assert told > 100 * MB
    assert 0.7 * taken < told < 1.3 * taken
    assert before < LITTLE   # to know it takes nothing
    assert main(["check", "foh", "--mics", "12", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["memory_bytes"] == told
    assert main(["check", "foh", "--mics", "12", "-r", "48000"]) == 0
    assert f"it takes {told / 1e9:.2f} GB with 12 microphones at 48000 Hz" in capsys.readouterr().out
    monkeypatch.setenv(limits.MEMORY, str(0.9 * told / 1e9))
    with pytest.raises(InputError, match="of memory; allowed are "):
        Session.open("foh", 48000, [f"m{n}" for n in range(12)])
    assert main(["check", "foh", "--mics", "129"]) == 2


def test_the_default_limit_is_half_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(limits.MEMORY, raising=False)
    assert 0 < limits.memory() < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    monkeypatch.setenv(limits.MEMORY, "0.5")
    assert limits.memory() == 5e8
    for wrong in ("0", "-1", "nan", ""):
        monkeypatch.setenv(limits.MEMORY, wrong)
        with pytest.raises(InputError, match="RTSEP_MEMORY_GB"):
            limits.memory()
    assert presets.load("live").name
