"""A running show reloads its preset: through a JACK server with a dummy driver, by saving the file and by SIGHUP."""

from __future__ import annotations

import json
import os
import pathlib
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
from jack_server import jack_server
from live_run import DRIVER, PATIENCE, PRESET, Start, read_until

from rtsep.bench.jackd import JackServer

MICS = 2
PLAIN = PRESET[: PRESET.index('[[chain]]\nstage = "canceller"')]
QUIET = PLAIN + '[params]\n"output.gain_db" = -20\n'
# Everything dry, so that the lateness can be seen sample by sample.
LATE = PLAIN.replace('"live"', '"foh"') + (
    '[[chain]]\nstage = "spectral"\nsynthesis = 512\nhop = 128\n'
    '[params]\n"output.gain_db" = -20\n"output.dry" = 1\n'
)
LATENCY = 512 + 128 - 64


@pytest.fixture(scope="module")
def server() -> Iterator[JackServer]:
    with jack_server(channels=MICS) as running:
        yield running


def save(path: pathlib.Path, text: str) -> None:
    """Save as an editor does: beside, then renamed."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    os.replace(beside, path)


def test_a_show_reloads_what_is_saved_and_a_broken_file_changes_nothing(
    start: Start, server: JackServer, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "show.toml"
    path.write_text(PLAIN)
    with server.player(MICS) as player:
        run = start(
            server, preset=str(path), record=str(tmp_path / "tape"), input_device=player, output_device="system"
        )
        run.until("microphones; latency 0 samples")
        save(path, QUIET)
        assert run.until("reloaded") == "preset reloaded: values"
        time.sleep(0.5)
        path.write_text(LATE.replace("hop = 128", "hop = fast"))
        line = run.until("not reloaded")
        assert line.startswith(f"preset not reloaded: {path}:12: ")
        path.write_text(LATE.replace("block = 64", "block = 128"))
        line = run.until("not reloaded")
        assert line == (
            f"preset not reloaded: {path}: host.block is 128, but was 64; stop and start again to change it"
        )
        path.write_text(LATE)
        assert run.until("reloaded") == f"preset reloaded: chain, cross-faded; latency now {LATENCY} samples"
        path.write_text(LATE.replace("hop = 128", "hop = 64").replace("512", "576"))
        assert run.until("reloaded") == "preset reloaded: chain, cross-faded; latency unchanged"
        time.sleep(0.5)
        run.interrupt()
        code, summary = run.end()
    assert code == 0
    assert summary["latency_samples"] == LATENCY
    assert summary["restarts"] == summary["faults"] == 0
    given, heard = (soundfile.read(tmp_path / "tape" / f"{n}.wav", dtype="float32")[0] for n in ("in", "out"))
    first = np.flatnonzero((heard != given).any(axis=1))[0]
    assert first > 0
    ratio = heard[first + 4800 : first + 9600].ravel() @ given[first + 4800 : first + 9600].ravel()
    assert ratio / (given[first + 4800 : first + 9600] ** 2).sum() == pytest.approx(0.1, rel=1e-4)
    end = slice(len(heard) - 12000, len(heard) - 4800)   # before the fade-out
    late = slice(end.start - LATENCY, end.stop - LATENCY)
    np.testing.assert_allclose(heard[end], np.float32(0.1) * given[late], rtol=1e-4, atol=1e-7)


def test_sighup_reads_it_again_and_sets_its_values(start: Start, server: JackServer, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "show.toml"
    path.write_text(QUIET)
    run = start(server, preset=str(path), settings=["output.gain_db=-6"])
    run.until("microphones; latency")
    run.process.send_signal(signal.SIGHUP)
    assert run.until("set again") == "preset test: its values are set again"
    assert run.until("reloaded") == "preset reloaded: nothing has changed"
    save(path, PLAIN)   # -6 dB is the user's, whatever the file says
    assert run.until("reloaded") == "preset reloaded: nothing has changed"
    path.unlink()
    run.process.send_signal(signal.SIGHUP)
    assert f"{path}: there is no such preset" in run.until("not reloaded")
    run.interrupt()
    assert run.end()[0] == 0


def test_sighup_of_a_builtin_preset_sets_its_values(start: Start, server: JackServer) -> None:
    run = start(server, preset="hpss")
    run.until("microphones; latency")
    run.process.send_signal(signal.SIGHUP)
    assert run.until("set again") == "preset hpss: built in, its values are set again"
    assert run.until("reloaded") == "preset reloaded: nothing has changed"
    run.interrupt()
    assert run.end()[0] == 0


@pytest.mark.slow
def test_a_new_life_begins_with_what_was_reloaded(start: Start, server: JackServer, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "show.toml"
    path.write_text(PLAIN)
    run = start(server, preset=str(path))
    run.until("microphones; latency 0 samples")
    path.write_text(LATE)
    run.until("preset reloaded: chain")
    path.write_text(PRESET)   # the board has places for both stages now, in the order in which they came
    run.until("preset reloaded: chain, cross-faded; latency now 0 samples")
    save(path, LATE)
    run.until("preset reloaded: chain")
    os.kill(run.audio_process(), signal.SIGKILL)
    run.until("the sound is back")
    save(path, LATE.replace("= -20", "= -10"))
    assert run.until("reloaded") == "preset reloaded: values"
    save(path, PRESET)
    # Which was LATENCY, else it would be unchanged.
    assert run.until("reloaded") == "preset reloaded: chain, cross-faded; latency now 0 samples"
    run.interrupt()
    code, summary = run.end()
    assert code == 0
    assert summary["restarts"] == 1
    assert summary["latency_samples"] == 0


def test_a_device_with_large_blocks_takes_no_canceller(start: Start, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "show.toml"
    path.write_text(PLAIN)
    with jack_server(period=1024, channels=MICS) as large:
        run = start(large, preset=str(path))
        run.until("microphones; latency")
        save(path, PRESET)
        assert "at a time; this preset needs 512 or less" in run.until("not reloaded")
        save(path, QUIET)   # and the show goes on
        assert run.until("reloaded") == "preset reloaded: values"
        run.interrupt()
        assert run.end()[0] == 0


def test_what_is_frozen_by_a_key_stays_frozen(server: JackServer, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "show.toml"
    path.write_text(PRESET)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, json.dumps({"preset": str(path)})],
        env={**server.environment, "TERM": "xterm", "COLUMNS": "120"}, stdin=theirs, stdout=subprocess.PIPE,
        stderr=theirs, text=True,
    )
    try:
        read_until(ours, "bleed removed")
        os.write(ours, b"f")
        read_until(ours, "freeze ON")
        save(path, PRESET.replace('name = "test"', 'name = "second"') + '[params]\n"canceller.amount" = 0.5\n')
        read_until(ours, "preset reloaded: values")
        picture = read_until(ours, "quit")
        picture += read_until(ours, "quit")
        assert "freeze ON" in picture
        assert "second" in picture
        os.write(ours, b"q")
        read_until(ours, "\x1b[?1049l")   # back from the second screen
        assert process.stdout is not None
        assert json.loads(process.stdout.read())["preset"] == "second"
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
