"""The host of the offline systems: passages, files, refusals; and live = offline for each that runs in the stream."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
import soundfile
from live_systems import LIVE

from rtsep import separation
from rtsep.bench import fuzz
from rtsep.catalogue import SYSTEMS
from rtsep.cli import main
from rtsep.runner import process
from rtsep.stage import Format, Stage
from rtsep.systems.hpss import Hpss
from rtsep.systems.separator import Audio, Passage
from rtsep.systems.spectrum import Spectrum

RATE = 16000


def music(channels: int, frames: int = 2 * RATE, seed: int = 0) -> Audio:
    return fuzz.music(channels, frames / RATE, seed=seed)


def stream(stage: Stage, x: Audio, keep: int | None) -> Audio:
    """Run a stage, as new, with nothing of a mic held back by its range; latency taken out."""
    stage.prepare(Format(RATE, len(x)))
    for path, value in (("range_db", -120.0), *((("keep", float(keep)),) if keep is not None else ())):
        if any(param.name == path for param in stage.params):
            stage.board.set(f"{stage.name}.{path}", value)
    stage.reset()
    late = stage.latency
    return process(stage, np.ascontiguousarray(np.pad(x, ((0, 0), (0, late)))))[:, late:]


@pytest.mark.parametrize("name", LIVE)
def test_live_is_offline(name: str) -> None:
    case = LIVE[name]
    x = music(case.channels)
    names = tuple(f"mic{c + 1}" for c in range(case.channels))
    offline, passage = case.offline(), Passage(x, RATE, names)
    offline.fit(passage)
    parts = offline.separate(passage)
    if case.parts:
        wanted = [parts[part] for part in case.parts]
        heard = [stream(case.stage(), x, keep) for keep in range(len(case.parts))]
    else:
        wanted = [np.concatenate([parts[mic] for mic in names])]
        heard = [stream(case.stage(), x, None)]
    for one, other in zip(wanted, heard, strict=True):
        assert np.abs(one).max() > 1e-3
        assert np.abs(one - x).max() > 1e-3   # something was separated
        np.testing.assert_allclose(other, one, atol=1e-5)


@pytest.mark.parametrize("name", LIVE)
def test_the_future_does_not_change_the_past(name: str) -> None:
    case = LIVE[name]
    x = music(case.channels)
    other = x.copy()
    other[:, RATE:] = music(case.channels, seed=1)[:, RATE:]
    outs = []
    for sound in (x, other):
        stage = case.stage()
        stage.prepare(Format(RATE, case.channels))
        outs.append(process(stage, sound))
    np.testing.assert_array_equal(outs[0][:, :RATE], outs[1][:, :RATE])
    assert np.any(outs[0][:, RATE:] != outs[1][:, RATE:])


def test_every_system_with_a_live_stage_is_compared() -> None:
    from rtsep.catalogue import STAGES

    stages = {case.stage().name for case in LIVE.values()}
    assert {s.live for s in SYSTEMS.values() if s.live} <= stages
    assert {s.live for s in SYSTEMS.values() if s.live} <= set(STAGES)


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("frames", [1, 100, 5000])
def test_a_spectrum_that_is_left_alone_comes_back(live: bool, frames: int) -> None:
    spectrum = Spectrum(512, 128, live)
    for kind, most in ((np.float32, 1e-6), (np.float64, 1e-12 if not live else 1e-6)):
        x = np.random.default_rng(0).standard_normal((2, frames)).astype(kind)
        spectra = spectrum.analyse(x)
        assert spectra.shape == (2, spectrum.count(frames), spectrum.bins)
        y = spectrum.resynthesise(spectra, frames)
        assert y.dtype == kind
        np.testing.assert_allclose(y, x, atol=most)


def test_the_spectrum_is_scipys() -> None:
    from scipy.signal import ShortTimeFFT
    from scipy.signal.windows import hann

    x = np.random.default_rng(0).standard_normal(5000)
    ours = Spectrum(512, 128).analyse(x[None])[0]
    theirs = ShortTimeFFT(hann(512, sym=False), 128, 1.0, phase_shift=None).stft(x).T
    first = next(n for n in range(8) if np.allclose(ours[n + 1], theirs[1]))
    np.testing.assert_allclose(ours[first : first + 40], theirs[:40], atol=1e-10)


def write(folder: pathlib.Path, x: Audio, rate: int = RATE) -> str:
    path = folder / "in.wav"
    soundfile.write(path, x.T, rate, subtype="FLOAT")
    return str(path)


def test_separate_writes_a_file_for_each_part(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = music(2)
    arguments = ["separate", write(tmp_path, x), "-o", str(tmp_path / "out"), "--method", "hpss", "--json"]
    assert main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["parts"] == ["harmonic", "percussive"]
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == ["01-harmonic.wav", "02-percussive.wav"]
    total = sum(soundfile.read(file, dtype="float32")[0].T for file in files)
    np.testing.assert_allclose(total, x, atol=1e-6)
    assert main(arguments) == 2   # the folder is no longer empty
    assert sorted((tmp_path / "out").iterdir()) == files


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "nope"], "there is no nope"),
        (["--method", "hpss", "--set", "margin=0"], "margin=0"),
        ([], "--method are needed"),
    ],
)
def test_a_wrong_call_is_one_line(
    arguments: list[str], words: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, music(1))
    assert main(["separate", path, "-o", str(tmp_path / "out"), *arguments]) == 2
    shown = capsys.readouterr().err
    assert words in shown
    assert shown.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_nothing_is_left_when_a_system_fails(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hpss, "separate", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        separation.separate_files(separation.SeparateOptions(write(tmp_path, music(1)), str(tmp_path / "out"), "hpss"))
    assert [file.name for file in tmp_path.iterdir()] == ["in.wav"]


class _Half:
    """Gives half of everything, and tells what it was given."""

    def __init__(self) -> None:
        self.excerpt = 0
        self.lengths: list[tuple[int, int]] = []

    def fit(self, excerpt: Passage) -> None:
        self.excerpt = excerpt.sound.shape[1]

    def separate(self, passage: Passage) -> dict[str, Audio]:
        self.lengths.append((passage.first, passage.sound.shape[1]))
        return {"half": passage.sound * np.float32(0.5)}


def test_passages_are_joined_without_a_seam(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(separation, "PASSAGE_SECONDS", 0.5)
    monkeypatch.setattr(separation, "OVERLAP_SECONDS", 0.1)
    monkeypatch.setattr(separation, "EXCERPT_SECONDS", 0.2)
    x, system = music(2), _Half()
    with separation.audiofile.open_input(write(tmp_path, x)) as source:
        pieces = [parts["half"] for _, parts in separation.passages(system, source)]
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), x / 2, atol=1e-7)
    assert max(length for _, length in system.lengths) == RATE // 2
    assert [first for first, _ in system.lengths] == [n * RATE * 2 // 5 for n in range(len(system.lengths))]
    assert system.excerpt == 4 * RATE // 5


def test_the_list_tells_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["separate", "--list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in listed} == set(SYSTEMS)
    assert all(row["task"] and row["inputs"] and row["role"] and row["source"] for row in listed)
    assert main(["separate", "--list"]) == 0
    assert all(name in capsys.readouterr().out for name in ("hpss",))
    assert main(["separate", "--list", "--method", "hpss"]) == 0
    assert "--set margin=1.0" in capsys.readouterr().out
