"""A run that plays a recording in place of its inputs, and records it: through a JACK server with a dummy driver."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import soundfile
from jack_server import jack_server
from live_run import PRESET, Live

import rtsep
from rtsep.bench.jackd import RATE, JackServer
from rtsep.hosts.replay import replay

SECONDS = 20
PLAIN = PRESET[: PRESET.index('[[chain]]\nstage = "canceller"')].replace('"live"', '"foh"')
LATE = PLAIN + '[[chain]]\nstage = "spectral"\nsynthesis = 512\nhop = 128\n'


@pytest.fixture(scope="module")
def server() -> Iterator[JackServer]:
    with jack_server(channels=2) as running:
        yield running


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    sound = 0.1 * np.random.default_rng(1).standard_normal((SECONDS * RATE, 3))   # more than the device has channels
    (tmp_path / "song").mkdir()
    for n, name in enumerate(("vox", "kick", "bass")):
        soundfile.write(tmp_path / "song" / f"{n + 1:02d}-{name}.wav", sound[:, n].astype(np.float32), RATE, "FLOAT")
    return tmp_path / "song"


def sound(path: pathlib.Path) -> np.ndarray:
    return np.atleast_2d(soundfile.read(path, dtype="float32", always_2d=True)[0].T)


def lines(folder: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "recording.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_what_is_heard_is_the_file_through_the_chain_and_again_in_a_replay(
    server: JackServer, tmp_path: pathlib.Path, file: pathlib.Path
) -> None:
    preset, take = tmp_path / "show.toml", tmp_path / "take"
    preset.write_text(LATE)
    run = Live(server, preset=str(preset), play=str(file), record=str(take), settings=["output.gain_db.kick=-3"])
    run.until("microphones; latency 576 samples")
    time.sleep(1)
    before = time.monotonic()
    preset.write_text(LATE + '[params]\n"spectral.strength" = 0.5\n"output.gain_db" = -6\n')
    assert run.until("reloaded") == "preset reloaded: values"
    preset.write_text(LATE.replace("512", "576").replace("128", "64"))
    run.until("preset reloaded: chain")
    time.sleep(0.5)
    run.interrupt()
    code, summary = run.end()
    assert code == 0
    assert summary["microphones"] == ["vox", "kick", "bass"]
    assert summary["late_updates"] == 0
    given, heard = sound(take / "in.wav"), sound(take / "out.wav")
    played = np.concatenate([sound(path) for path in sorted(file.iterdir())])
    begun = np.flatnonzero(given.any(axis=0))[0]
    np.testing.assert_array_equal(given[:, begun:], played[:, : given.shape[1] - begun])
    turned = min(line["first"] for line in lines(take)[2:] if line["kind"] == "values" and not line.get("beginning"))
    assert 0 < turned < (time.monotonic() - before + 30) * RATE
    settings = {"output.gain_db.kick": -3}
    with rtsep.Stream(rtsep.presets.loads(LATE, "show"), RATE, ["vox", "kick", "bass"], settings=settings) as stream:
        np.testing.assert_array_equal(heard[:, :turned], stream.process(given[:, :turned].copy()))
    report = replay(str(take), str(tmp_path / "again.wav"))
    assert report["same_frames"] == report["frames"] == given.shape[1]
    assert report["notes"] == []
    assert [line["kind"] for line in lines(take)].count("chain") == 1


@pytest.mark.slow
def test_a_new_audio_process_plays_on_and_what_was_turned_outlives_all(
    server: JackServer, tmp_path: pathlib.Path, file: pathlib.Path
) -> None:
    preset, take = tmp_path / "show.toml", tmp_path / "take"
    preset.write_text(PLAIN)
    run = Live(server, preset=str(preset), play=str(file), record=str(take))
    run.until("microphones; latency 0 samples")
    os.kill(run.audio_process(), signal.SIGKILL)
    run.until("the sound is back")
    preset.write_text(PLAIN + '[params]\n"output.gain_db.vox" = -6\n')
    run.until("reloaded")
    time.sleep(1.5)   # what may be lost is a second
    recorder = run.recorder()
    for process in (recorder, run.process.pid):
        os.kill(process, signal.SIGKILL)
    run.process.wait()
    said = lines(take)
    values = [line for line in said if line["kind"] == "values"]
    assert values[-1]["set"] == {"output.gain_db.vox": -6}
    assert [line["number"] for line in said if line["kind"] == "life"] == [1, 2]
    given = sound(take / "in.wav")
    assert given.shape[1] > values[-1]["first"]
    played = np.concatenate([sound(path) for path in sorted(file.iterdir())])
    life = [line["first"] for line in said if line["kind"] == "life"][1]
    after = given[:, life + 480 : life + 5000]   # behind the fade
    places = np.flatnonzero(played[0] == after[0, 0])
    assert any((played[:, p : p + after.shape[1]] == after).all() for p in places if p > 0)
