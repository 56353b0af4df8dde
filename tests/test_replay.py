"""A replay is what was heard, bit for bit: with knobs that another thread turned, and presets that were changed."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import secrets
import threading
import time

import numpy as np
import pytest
import soundfile
from fake_card import FakeCard

from rtsep import presets
from rtsep.cli import main
from rtsep.errors import InputError
from rtsep.hosts import recording, replay
from rtsep.hosts.request import RunOptions, check

RATE = 48000
NAMES = ("vox", "kick & <snare>", "bass.di")
SECONDS = 4
TEXT = (
    'schema = 1\nname = "show"\nlatency_class = "foh"\n[host]\nblock = 64\n[[chain]]\nstage = "input"\n'
    '[[chain]]\nstage = "canceller"\ntaps = 1024\n'
    '[[chain]]\nstage = "spectral"\nanalysis = 1024\nsynthesis = 512\nhop = 128\n'
    '[params]\n"spectral.range_db" = -12\n"output.gain_db.vox" = -3\n'
)
TURNED = ("output.gain_db.vox", "canceller.amount", "spectral.strength", "spectral.range_db.bass.di", "output.mute.3")


def band() -> np.ndarray:
    rng = np.random.default_rng(3)
    loud = np.repeat(rng.random((3, SECONDS * 4)) > 0.4, RATE // 4, 1)
    own = 0.05 * rng.standard_normal((3, SECONDS * RATE)) * loud
    x = own.copy()
    for i in range(3):
        for j in range(3):
            if i != j:
                x[i] += 0.3 * np.roll(own[j], 40 + 10 * i)
    return x.astype(np.float32)


def facts(preset: presets.Preset) -> dict:
    request = dataclasses.replace(check(RunOptions("live", rate=RATE)), preset=preset)
    return recording.facts(request, RATE, NAMES)


def test_what_was_turned_and_reloaded_is_heard_again(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    block = 100   # the grid is not the card's
    preset = presets.loads(TEXT, "show")
    board = presets.lay_out(preset, NAMES)
    place = tmp_path / "take"
    made = recording.Recording(
        str(place), RATE, NAMES, facts(preset), f"rtsep-{os.getpid()}-{secrets.token_hex(3)}-t", board
    )
    board.set("output.gain_db.vox", -1)   # between the preset and the first sample
    card = FakeCard(preset, RATE, NAMES, made, str(place), board)
    end = threading.Event()

    def turn() -> None:
        rng = np.random.default_rng(5)
        while not end.is_set():
            path = TURNED[rng.integers(len(TURNED))]
            param = board.param(path)
            board.set(path, float(rng.uniform(max(param.low, -20), param.high)))
            time.sleep(0.003)

    hops = TEXT.replace("hop = 128", "hop = 64").replace("synthesis = 512", "synthesis = 576")
    wanted = {1: hops, 4: hops.replace("taps = 1024", "taps = 2048")}
    said: list[tuple] = []

    def look(done: int) -> None:
        half = 2 * done // RATE   # seconds
        if half in wanted:
            card.changes.ask(presets.loads(wanted.pop(half), "show"))
        if (answer := card.changes.update()) is not None:
            kind, change, exactly = answer
            assert kind == "reloaded"
            said.append(answer)
            text = presets.dumps(card.engine.preset)
            made.mark("reload", change=change, latency_samples=0, **exactly, preset=text)
        if done // block % 20 == 0:
            made.update()

    turner = threading.Thread(target=turn)
    turner.start()
    card.play(band(), block, look)
    end.set()
    turner.join()
    card.session.close()
    assert card.engine.status()["late_updates"] == 0
    assert made.finish() is None
    lines = [json.loads(line) for line in (place / "recording.jsonl").read_text().splitlines()]
    assert [answer[1] for answer in said] == ["chain"] * 2
    assert sum(line["kind"] == "chain" for line in lines) == 2
    assert sum(line["kind"] == "values" for line in lines) > 100
    report = replay.replay(str(place), str(tmp_path / "again.wav"))
    heard, again = (soundfile.read(path, dtype="float32")[0] for path in (place / "out.wav", tmp_path / "again.wav"))
    assert report["same_frames"] == report["frames"] == SECONDS * RATE, report
    np.testing.assert_array_equal(heard, again)
    assert (heard != soundfile.read(place / "in.wav", dtype="float32")[0]).any()
    _planted(place, lines, tmp_path, capsys)


def _planted(place: pathlib.Path, lines: list, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Move changes by one segment, and see that it is heard."""
    turned = [line for line in lines if line["kind"] == "values" and line["first"] > 2 * RATE]
    # All levels: another parameter, or one level, may change nothing that is heard just then.
    for line in turned:
        line["first"] += 64 * any(path.startswith("output.gain_db") for path in line["set"])
    (place / "recording.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = replay.replay(str(place), str(folder / "off.wav"))
    assert report["frames"] - report["same_frames"] > 0
    lines.insert(-1, {"kind": "late_updates", "first": RATE, "last": RATE + 64, "count": 2})
    (place / "recording.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["render", str(place), "-o", str(folder / "late.wav"), "--replay"]) == 0
    told = capsys.readouterr()
    assert "from 1.000 s on it may not be what was heard: updates that were late" in told.err
    assert f"out.wav, bit for bit, until {report['same_frames'] / RATE:.3f} s" in told.out


def test_what_is_no_recording_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InputError, match="there is no recording"):
        replay.replay(str(tmp_path), str(tmp_path / "out.wav"))


@pytest.mark.parametrize(
    "given", [["--set", "output.gain_db=0"], ["--preset", "live"], ["--calibration", "c.npz"], ["--save", "c.npz"]]
)
def test_what_a_recording_says_is_not_said_again(
    tmp_path: pathlib.Path, given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["render", str(tmp_path), "-o", str(tmp_path / "again.wav"), "--replay", *given]) == 2
    assert f"{given[0]}: not with --replay; the recording says what was heard" in capsys.readouterr().err
