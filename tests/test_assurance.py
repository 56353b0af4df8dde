"""How sure it is of what was learnt blind: what it is sure of is right, outlives a pause, a file and a restart."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable

import numpy as np
import pytest
import soundfile
from jack_server import jack_server
from live_run import PRESET, Start
from numpy.typing import NDArray
from scipy.signal import fftconvolve

import rtsep
from rtsep import assurance, calibration, learnt
from rtsep.cli import main
from rtsep.errors import InputError
from rtsep.hosts.records import Keeper, store
from rtsep.hosts.saves import Saves
from rtsep.runner import process
from rtsep.session import Session
from rtsep.stage import Block, Format
from rtsep.stages.canceller import Canceller

Wide = NDArray[np.float64]

RATE, K, TAPS = 48000, 4, 1024
NAMES = ("Kick", "Gtr", "Vox", "Spare")
SILENT = 3   # its player never plays


def band(seconds: float = 6.0) -> tuple[Block, Wide, Wide]:
    """Return mics, true paths and sources: coloured noises that take turns, and one player who never plays."""
    rng = np.random.default_rng(4)
    frames = round(seconds * RATE)
    playing = (rng.random((K, frames // 4800 + 1)) > 0.4).repeat(4800, 1)[:, :frames]
    sources = fftconvolve(rng.laplace(size=(K, frames)) * playing, 0.9 ** np.arange(60)[None], axes=1)[:, :frames]
    sources[SILENT] = 0
    paths = rng.standard_normal((K, K, TAPS)) * np.exp(-np.arange(TAPS) / 150)
    paths[..., :40] = 0
    paths[np.arange(K), np.arange(K)] = 0
    paths *= 0.3 / np.maximum(np.sqrt(np.sum(paths**2, axis=-1, keepdims=True)), 1e-9)
    mics = sources + sum(
        fftconvolve(sources[j : j + 1], paths[:, j], axes=1)[:, :frames] for j in range(K)
    )
    mics += 1e-4 * rng.standard_normal(mics.shape)
    return (0.05 * mics).astype(np.float32), paths, sources


def misalignment_db(found: Block, paths: Wide, sources: Wide) -> Wide:
    """Return what is left of each path's bleed, dB, from the truth; nan where there is none."""
    def power(taps: Wide, j: int) -> float:
        return float(np.sum(fftconvolve(sources[j, : RATE], taps) ** 2))

    left = np.full((K, K), np.nan)
    for i in range(K):
        for j in range(K):
            if i != j and j != SILENT:
                wrong = found[i, j].astype(float) - np.pad(paths[i, j], (0, found.shape[-1] - TAPS))
                left[i, j] = 10 * np.log10(power(wrong, j) / power(paths[i, j], j))
    return left


def test_what_it_is_sure_of_is_right_and_outlives_a_pause() -> None:
    mics, paths, sources = band()
    stage = Canceller(taps=TAPS)
    stage.prepare(Format(RATE, K))
    before = stage.learnt(best=True)
    assert before is not None
    assert (before["expected_db"] < assurance.SURE_DB).all()
    stage.reset()
    process(stage, mics)
    known = stage.learnt(best=True)
    assert known is not None
    assert known["seconds"][0] == pytest.approx(6, abs=0.1)
    sure, left = known["expected_db"] >= assurance.SURE_DB, misalignment_db(known["paths"], paths, sources)
    assert np.count_nonzero(sure[:SILENT, :SILENT]) >= 4
    assert (left[sure & ~np.isnan(left)] < -assurance.SURE_DB).all()
    assert not sure[:SILENT, SILENT].any()   # whoever has not played is not known
    rng = np.random.default_rng(1)
    process(stage, (1e-4 * rng.standard_normal((K, 10 * RATE))).astype(np.float32))
    later, now = stage.learnt(best=True), stage.learnt()
    assert later is not None
    assert now is not None
    np.testing.assert_array_equal(later["paths"][sure], known["paths"][sure])
    assert (later["expected_db"][sure] >= assurance.SURE_DB).all()
    assert np.abs(now["paths"][sure] - known["paths"][sure]).max() > 1e-3   # the filter itself has forgotten
    again = Canceller(taps=TAPS)
    again.start_from(later, (2, 1, 0, -1))
    again.prepare(Format(RATE, K))
    told = again.learnt(best=True)
    assert told is not None
    for i, j in np.argwhere(sure[:SILENT, :SILENT]):   # names in the order 2, 1, 0
        np.testing.assert_array_equal(told["paths"][2 - i, 2 - j], later["paths"][i, j])
    np.testing.assert_array_equal((told["expected_db"] >= assurance.SURE_DB)[:SILENT, :SILENT], sure[2::-1, 2::-1])
    assert told["seconds"] == later["seconds"]


def test_it_is_told_in_one_line() -> None:
    expected = np.array([[0, 9, 3], [2.9, 0, -1], [0, 5, 0]], np.float32)
    known = {"expected_db": expected, "seconds": np.array([83.2])}
    names = ("Kick", "Gtr", "Vox")
    assert assurance.of_learnt(known, names) == "learnt 83 s; sure of 3 of 5 paths (doubtful: Gtr←Kick, Vox←Kick)"
    assert assurance.of_learnt({"paths": expected}, names) == ""
    text = assurance.of_soundcheck(np.zeros((3, 3), np.float32), names)
    assert text == "a soundcheck; sure of 0 of 6 paths (doubtful: Kick←Gtr, Kick←Vox, Gtr←Kick, Gtr←Vox and 2 more)"
    some = learnt.Learnt(RATE, names, {"canceller": known, "auxiva": {}})
    assert some.told().endswith("paths (doubtful: Gtr←Kick, Vox←Kick); auxiva has learnt")


def test_render_saves_what_the_next_one_begins_with(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mics, _, _ = band()
    place, preset = tmp_path / "hall.cal", tmp_path / "p.toml"
    head = 'schema = 1\nlatency_class = "live"\n[[chain]]\nstage = '
    preset.write_text(head.replace("\n", '\nname = "p"\n', 1) + f'"canceller"\ntaps = {TAPS}\n')
    (tmp_path / "in").mkdir()
    for n, (name, mic) in enumerate(zip(NAMES, mics, strict=True), 1):
        soundfile.write(tmp_path / "in" / f"{n} {name}.wav", mic, RATE, subtype="FLOAT")
    words = ["render", str(tmp_path / "in"), "-o", str(tmp_path / "out.wav"), "--preset", str(preset)]
    assert main([*words, "--save", str(place)]) == 0
    told = capsys.readouterr().out.splitlines()[-1].removeprefix(f"{place}: ")
    assert told.startswith("learnt 6 s; sure of ")
    assert "Spare" in told
    assert main([*words, "--calibration", str(place), "--save", str(place)]) == 0
    shown = capsys.readouterr()
    assert shown.err.splitlines()[0] == f"rtsep: calibration hall.cal: {told}"
    assert shown.out.splitlines()[-1].startswith(f"{place}: learnt 12 s; sure of ")
    plain = tmp_path / "plain.toml"
    plain.write_text(head.replace("\n", '\nname = "plain"\n', 1) + '"input"\n')
    assert main([*words[:-1], str(plain), "--save", str(place)]) == 2
    assert capsys.readouterr().err == "rtsep: --save: preset plain learns nothing; leave it out\n"
    for nowhere in (tmp_path / "no" / "c", tmp_path):
        assert main([*words, "--save", str(nowhere)]) == 2
        assert "cannot be written" in capsys.readouterr().err


def test_a_run_saves_when_asked_and_at_the_end(tmp_path: pathlib.Path) -> None:
    mics, _, _ = band(1.0)
    kept, place = tmp_path / "kept", tmp_path / "hall.cal"
    with Session.open("live", RATE, NAMES) as session:
        process(session.engine, mics)
        keeper = Keeper(session.engine, None, NAMES)
        keeper.save(str(place))
        answer = wait_for(keeper.answer)
        assert answer == ("saved", f"saved {place}: {learnt.load(place).told()}")
        keeper.save(str(tmp_path / "no" / "c"))
        kind, text = wait_for(keeper.answer)
        assert kind == "unsaved"
        assert "cannot be written" in text
        keeper.finish()
    with Session.open("hpss", RATE, NAMES) as session:
        assert store(session.engine, str(place), NAMES)[0] == "unsaved"
    sent: list[tuple[object, ...]] = []
    said: list[str] = []
    saves = Saves(str(tmp_path / "end.cal"), kept, lambda *message: sent.append(message), said.append)
    saves.ask()
    assert sent == [("save",)]
    kept.write_bytes(b"what the audio process kept")
    saves.answered("saved", "saved it", False)
    saves.finish()   # the process has died before its end
    assert (tmp_path / "end.cal").read_bytes() == b"what the audio process kept"
    saves.answered("saved", "saved it", True)
    kept.write_bytes(b"older")
    saves.finish()
    assert (tmp_path / "end.cal").read_bytes() == b"what the audio process kept"


def test_the_sound_card_host_saves_at_its_end(start: Start, tmp_path: pathlib.Path) -> None:
    place, preset = tmp_path / "hall.cal", tmp_path / "test.toml"
    preset.write_text(PRESET)
    with jack_server(channels=2) as server:
        live = start(server, preset=str(preset), save=str(place), seconds=1.0)
        code, _ = live.end()
    assert code == 0, live.lines
    assert f"saved {place}: {learnt.load(place).told()}" in live.lines
    assert learnt.load(place).names == ("mic1", "mic2")


def wait_for(answer: Callable[[], tuple[str, str] | None]) -> tuple[str, str]:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if (found := answer()) is not None:
            return found
        time.sleep(0.01)
    raise AssertionError("no answer")


def test_a_soundcheck_says_how_sure_it_is(tmp_path: pathlib.Path) -> None:
    paths, sure = np.zeros((2, 2, 8), np.float32), np.array([[0, 1], [0.1, 0]], np.float32)
    calibration.save(rtsep.Calibration(RATE, NAMES[:2], paths, np.full(2, -90, np.float32), sure), tmp_path / "c.cal")
    with rtsep.Stream("live", RATE, NAMES[:2], tmp_path / "c.cal") as stream:
        assert stream.notes == ["calibration c.cal: a soundcheck; sure of 1 of 2 paths (doubtful: Gtr←Kick)"]
    with pytest.raises(InputError, match="no such file"):
        rtsep.Stream("live", RATE, NAMES[:2], tmp_path / "d.cal")
