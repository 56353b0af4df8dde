"""The sound card host, through a JACK server with a dummy driver; parts that need no device are tested alone."""

from __future__ import annotations

import ctypes
import json
import os
import pathlib
import pty
import resource
import signal
import subprocess
import sys
import termios
import time
from typing import Any

import numpy as np
import pytest
import soundfile
from jack_server import jack_server
from live_run import DRIVER, PATIENCE, PRESET, Live, Start, read_until, runs

from rtsep import presets
from rtsep.bench.jackd import RATE, JackServer
from rtsep.engine import Engine
from rtsep.errors import DeviceError, InputError, WorkerError
from rtsep.hosts import devices, gauges, life, request
from rtsep.presets import make_board
from rtsep.runner import Runner, process
from rtsep.stage import Format
from rtsep.stages.mix import Input
from rtsep_kernels.plane import grid

MICS = 3
LEARNT = "the sound is back, and so is what was learnt"
TABLE = [
    {"name": "system", "host_api": "JACK Audio Connection Kit", "inputs": 4, "outputs": 4, "default_rate": 48000.0},
    {"name": "player", "host_api": "JACK Audio Connection Kit", "inputs": 3, "outputs": 0, "default_rate": 48000.0},
    {"name": "Desk USB", "host_api": "ALSA", "inputs": 32, "outputs": 32, "default_rate": 48000.0},
    {"name": "Desk USB 2", "host_api": "ALSA", "inputs": 2, "outputs": 2, "default_rate": 44100.0},
]


# Without a device


@pytest.mark.parametrize(("text", "place", "problem"), [
    ("name,in,out\nvox,1,1\n", ":1", "the header is 'name,in,out'"),
    ("", ":1", "the header is 'nothing'"),
    ("mic,in,out\n", ":1", "there is no microphone"),
    ("mic,in,out\nvox,1\n", ":2", "2 columns"),
    ("mic,in,out\nvox,1,1\n\nvox,2,2\n", ":4", "'vox' is there twice"),
    ("mic,in,out\n7,1,1\n", ":2", "mic is '7'"),
    ("mic,in,out\nvox.1,1,1\n", ":2", "mic is 'vox.1'"),
    ("mic,in,out\nvox,0,1\n", ":2", "in is '0'"),
    ("mic,in,out\nvox,,1\n", ":2", "in is ''"),
    ("mic,in,out\nvox,1,left\n", ":2", "out is 'left'"),
    ("mic,in,out\nvox,1,\nkick,1,\n", ":3", "in 1 is there twice"),
])
def test_a_wrong_map_is_refused_with_file_and_line(
    tmp_path: pathlib.Path, text: str, place: str, problem: str
) -> None:
    path = tmp_path / "map.csv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        devices.read_map(path)
    assert caught.value.place == f"{path}{place}"
    assert problem in str(caught.value)


def test_a_map_counts_from_one_and_may_leave_outputs_empty(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text("\ufeffmic, in, out\nvox, 3, 1\nkick,1,\n", encoding="utf-8")
    assert devices.read_map(path) == (devices.Mic("vox", 2, 0, 2), devices.Mic("kick", 0, None, 3))
    with pytest.raises(InputError, match="cannot be read"):
        devices.read_map(tmp_path / "none.csv")


@pytest.mark.parametrize(("wanted", "place"), [
    ("system", 0), ("JACK:sys", 0), ("play", 1), ("desk usb", 2), ("ALSA:Desk USB 2", 3), ("usb 2", 3),
])
def test_devices_are_chosen_by_part_of_their_name(wanted: str, place: int) -> None:
    assert devices.choose(TABLE, wanted, "inputs") == place


@pytest.mark.parametrize(("wanted", "direction", "message"), [
    ("scarlett", "inputs", "no input device matches"),
    ("player", "outputs", "no output device matches"),
    ("desk", "inputs", "2 input devices match; choose from: ALSA:Desk USB, ALSA:Desk USB 2"),
])
def test_an_unclear_device_is_refused_with_a_list(wanted: str, direction: str, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        devices.choose(TABLE, wanted, direction)
    with pytest.raises(DeviceError, match="no input device"):
        devices.choose([], wanted, "inputs")


EQUAL = [
    {"name": "USB Audio", "host_api": "Core Audio", "inputs": 2, "outputs": 2, "default_rate": 48000.0},
    {"name": "USB Audio Pro", "host_api": "Core Audio", "inputs": 8, "outputs": 8, "default_rate": 48000.0},
    {"name": "USB Audio", "host_api": "Core Audio", "inputs": 0, "outputs": 2, "default_rate": 48000.0},
    {"name": "USB Audio", "host_api": "Core Audio", "inputs": 2, "outputs": 2, "default_rate": 48000.0},
    {"name": "USB Audio", "host_api": "ASIO", "inputs": 2, "outputs": 0, "default_rate": 48000.0},
]


@pytest.mark.parametrize(("wanted", "direction", "place"), [
    ("Core Audio:USB Audio:1", "inputs", 0), ("core audio:usb audio:3", "inputs", 3), ("USB Audio:2", "outputs", 2),
    ("audio pro", "inputs", 1), ("usb audio:03", "outputs", 3), ("ASIO:USB Audio", "inputs", 4),
])
def test_equal_devices_are_chosen_by_number(wanted: str, direction: str, place: int) -> None:
    assert devices.choose(EQUAL, wanted, direction) == place


@pytest.mark.parametrize(("table", "wanted", "direction", "message"), [
    (EQUAL, "Core Audio:USB Audio", "inputs",
     "2 input devices match; choose from: Core Audio:USB Audio:1, Core Audio:USB Audio:3$"),
    (EQUAL, "USB Audio:2", "inputs", "no input device matches; there are: .*Audio:1, .*Pro, .*Audio:3, ASIO:USB Audio"),
    (EQUAL, "USB Audio:0", "inputs", "no input device matches"),
    # One of two is away: nobody can say which of them is left, and the other one's mics would come in its place.
    (EQUAL[:2], "USB Audio:1", "inputs", "there are: Core Audio:USB Audio, Core Audio:USB Audio Pro$"),
])
def test_equal_devices_are_told_apart_in_messages(
    table: list[dict[str, Any]], wanted: str, direction: str, message: str
) -> None:
    with pytest.raises(DeviceError, match=message):
        devices.choose(table, wanted, direction)


def test_input_and_output_must_share_a_host_api() -> None:
    assert devices.choose_pair(TABLE, "player", "system") == (1, 0)
    with pytest.raises(DeviceError, match="different host APIs"):
        devices.choose_pair(TABLE, "player", "ALSA:Desk USB 2")


def test_a_wrong_rate_is_noticed_and_stalls_are_not() -> None:
    watch = gauges.RateWatch(48000)
    results = [watch.update(float(second), 44100 * second, 0, 64) for second in range(5)]
    assert results[:3] == [None] * 3
    assert results[3] == pytest.approx(44100)
    for lost, xruns in (((0, 3000, 9000, 15000, 17000), 0), ((0, 4000, 8000, 12000, 16000), 1), ((0,) * 5, 0)):
        watch = gauges.RateWatch(48000)
        for second, frames in enumerate(lost):
            assert watch.update(float(second), 48000 * second - frames, xruns * second, 64) is None


def test_the_callback_maps_channels_fades_and_counts() -> None:
    stage = Input()
    stage.prepare(Format(RATE, 2))
    runner = Runner(stage)
    inputs, outputs = np.array([2, 0], np.int32), np.array([1, -1], np.int32)
    record = runner.record
    record.put("inputs", inputs)
    record.put("outputs", outputs)
    record["device_inputs"], record["device_outputs"] = 3, 2
    record["fade_target"], record["fade_step"] = 1, 1 / 1000
    call = ctypes.CFUNCTYPE(
        ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64,
        ctypes.c_void_p,
    )(grid.run_interleaved.address)
    given = np.full((1500, 3), 0.5, np.float32)
    given[700, 2], given[:, 0] = np.nan, 0.1
    played = np.full((1500, 2), 9, np.float32)
    call(given.ctypes.data, played.ctypes.data, 1500, None, 2, runner.address)
    expected = 0.5 * np.minimum(np.arange(1, 1501) / 1000, 1)
    expected[700] = 0
    np.testing.assert_allclose(played[:, 1], expected, atol=1e-4)
    assert not played[:, 0].any()
    assert runner.bad_inputs.tolist() == [1, 0]
    assert record["xruns"] == 1
    record["fade_target"] = 0
    call(given.ctypes.data, played.ctypes.data, 1500, None, 0, runner.address)
    assert np.abs(np.diff(played[:, 1])).max() < 0.51   # the NaN's gap, but no other
    assert np.abs(np.diff(np.delete(played[:, 1], 700))).max() < 0.002
    assert record["fade"] == 0
    call(None, played.ctypes.data, 64, None, 0, runner.address)   # no input, as some drivers do
    assert not played[:64].any()


@pytest.mark.parametrize(("options", "message"), [
    ({"block": 1024}, "this preset needs 512 or less"),
    ({"rate": 100}, "8000 to 192000"),
    ({"seconds": 0.0}, "more than 0"),
    ({"settings": ("canceller.speed=1",)}, "no such parameter"),
    ({"settings": ("canceller.amount=2",)}, "out of range"),
    ({"settings": ("canceller.amount=much",)}, "not a number"),
    ({"settings": ("canceller.amount",)}, "there is no ="),
    ({"calibration": "/nowhere.npz"}, "no such file"),
    ({"map_csv": "/nowhere.csv"}, "cannot be read"),
])
def test_bad_options_are_refused_before_anything_starts(preset: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        request.check(request.RunOptions(preset, **options))


def test_a_recording_is_never_written_over(preset: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "out.wav").write_bytes(b"the concert")
    with pytest.raises(InputError, match="there is a recording already"):
        request.check(request.RunOptions(preset, record=str(tmp_path)))


# Through JACK


def test_live_equals_offline_bit_for_bit(start: Start, server: JackServer, preset: str, tmp_path: pathlib.Path) -> None:
    with server.player(MICS) as player:
        for attempt in range(5):
            tape = tmp_path / f"tape{attempt}"
            code, summary = start(
                server, preset=preset, seconds=3, record=str(tape), input_device=player, output_device="JACK:system",
                settings=["canceller.amount.mic2=0.5"],
            ).end()
            assert code == 0
            if summary["late_updates"] == 0 and summary["lost_frames"] == 0:
                break
        else:
            pytest.skip("every run had late updates: this machine is too busy")
    x, rate = soundfile.read(tape / "in.wav", dtype="float32", always_2d=True)
    y, _ = soundfile.read(tape / "out.wav", dtype="float32", always_2d=True)
    settings = presets.loads(PRESET, "test")
    engine = Engine(settings)
    board = make_board(settings, ["mic1", "mic2", "mic3"])
    board.set("canceller.amount.mic2", 0.5)
    engine.prepare(Format(rate, MICS), board)
    expected = process(engine, np.ascontiguousarray(x.T), 480).T
    assert np.abs(x).max() > 0.01
    assert np.abs(x - y).max() > 0.01   # it has learnt something
    np.testing.assert_array_equal(y, expected)

    assert len(x) == round(summary["seconds"] * rate)
    assert recorded(tape)[-1]["exact_frames"] == len(x)
    assert summary["calls"] * 64 == len(x)
    assert (summary["block"], summary["sample_rate"], summary["channels"]) == (64, RATE, MICS)
    assert (summary["preset"], summary["latency_samples"], summary["restarts"]) == ("test", 0, 0)
    assert summary["host_api"] == "JACK Audio Connection Kit"
    us = summary["block_us"]
    assert 0 < us["p50"] <= us["p99"] <= us["p999"] <= us["max"]
    assert summary["load"] > 0
    assert set(summary["startup_s"]) == {"imports", "device", "prepare", "open", "stream"}
    assert summary["device_latency_s"] is None or 0 < summary["device_latency_s"] < 10   # it may not be known
    assert summary["bad_inputs"] == summary["unstable"] == summary["faults"] == 0


@pytest.mark.parametrize(("options", "code", "message"), [
    ({"rate": 44100}, 3, "it offers 48000 Hz"),
    ({"input_device": "scarlett"}, 3, "no input device matches"),
    ({"settings": ["canceller.amount.mic9=0"]}, 2, "there is no microphone 'mic9'; known: mic1, mic2, mic3, mic4"),
])
def test_what_the_device_cannot_do_is_refused(
    start: Start, server: JackServer, preset: str, options: dict[str, Any], code: int, message: str
) -> None:
    run = start(server, preset=preset, seconds=1, **options)
    assert run.end()[0] == code, run.lines
    assert message in "\n".join(run.lines)


def test_a_device_with_large_blocks_gets_no_canceller(start: Start, preset: str) -> None:
    with jack_server(period=1024, channels=2) as large:   # PortAudio cuts its blocks to the 64 that we ask for
        run = start(large, preset=preset, seconds=2)
        assert run.end()[0] == InputError.exit_code, run.lines
    assert "JACK's period is 1024 frames; this preset needs 512 or less" in run.lines[-1]


def test_a_map_that_asks_for_more_than_there_is(
    start: Start, server: JackServer, preset: str, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "map.csv"
    path.write_text("mic,in,out\nvox,1,\nkick,9,1\n")
    run = start(server, preset=preset, seconds=1, map_csv=str(path), input_device="system")
    assert run.end()[0] == InputError.exit_code, run.lines
    assert f"{path}:3: in is 9; JACK Audio Connection Kit:system has 4 channels" in "\n".join(run.lines)


def test_ctrl_c_ends_in_good_order(start: Start, server: JackServer, preset: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text("mic,in,out\nvox,2,\nkick,1,\n")   # nothing is played: an input-only stream
    run = start(server, preset=preset, record=str(tmp_path / "tape"), map_csv=str(path), input_device="system")
    run.until("2 microphones; latency 0 samples")
    run.until("kick: no signal")
    run.interrupt()
    code, summary = run.end()
    assert code == 0
    assert summary["microphones"] == ["vox", "kick"]
    assert summary["seconds"] > 0
    for name in ("in.wav", "out.wav"):
        assert soundfile.info(tmp_path / "tape" / name).frames == round(summary["seconds"] * RATE)


def test_an_audio_process_that_keeps_dying_is_replaced_again_and_again(
    start: Start, server: JackServer, preset: str
) -> None:
    run = start(server, preset=preset)
    run.until("microphones; latency")
    for deaths in range(1, 5):
        os.kill(run.audio_process(), signal.SIGKILL)
        run.until("the audio process died (exit code -9)")
        run.until("the sound is back")
        assert run.lines.count("the sound is back") + run.lines.count(LEARNT) == deaths
    run.interrupt()
    code, summary = run.end()
    assert code == 0
    assert summary["restarts"] == 4


def test_a_second_ctrl_c_forces_the_end(start: Start, server: JackServer, preset: str) -> None:
    run = start(server, preset=preset)
    run.until("microphones; latency")
    os.kill(run.audio_process(), signal.SIGSTOP)   # it can't end in good order now
    run.interrupt()
    time.sleep(0.5)
    assert run.process.poll() is None
    run.interrupt()
    assert run.end()[0] == 130


def test_an_audio_process_that_hangs_is_replaced(start: Start, server: JackServer, preset: str) -> None:
    run = start(server, preset=preset)
    run.until("microphones; latency")
    os.kill(run.audio_process(), signal.SIGSTOP)
    run.until("device lost: the audio process was stopped")
    run.until("the sound is back")
    run.interrupt()
    code, summary = run.end()
    assert code == 0
    assert summary["restarts"] == 1


def test_nothing_is_left_of_a_run_that_a_test_leaves(server: JackServer, preset: str) -> None:
    with runs() as start:
        run = start(server, preset=preset)
        run.until("microphones; latency")
        left = run.audio_process()
        os.kill(left, signal.SIGSTOP)
        run.interrupt()                # it waits for the one that is stopped
    assert run.process.poll() == -signal.SIGKILL
    assert gone(left)


def gone(pid: int) -> bool:
    """Whether a process ends, or has ended and waits to be asked how."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if "\nState:\tZ" in pathlib.Path(f"/proc/{pid}/status").read_text():
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def test_the_device_is_lost_and_comes_back(start: Start, preset: str, tmp_path: pathlib.Path) -> None:
    with jack_server(channels=2) as first:
        run = start(first, preset=preset, input_device="system", record=str(tmp_path / "tape"))
        run.until("microphones; latency")
        time.sleep(life.SAVE_EVERY + 1)   # what was learnt is kept every 5 s
        first.kill()
        run.until("device lost: JACK Audio Connection Kit:system: the JACK server has ended")
        wrong = JackServer(1024, RATE, 2, first.name)
        try:
            assert wrong.ready()
            run.until("JACK's period is 1024 frames")
            time.sleep(1.5)   # it is tried again and again
        finally:
            wrong.kill()
        second = JackServer(64, RATE, 2, first.name)
        try:
            assert second.ready()
            assert run.until("the sound is back") == LEARNT
            run.interrupt()
            code, summary = run.end()
        finally:
            second.close()
    assert code == 0
    assert summary["restarts"] >= 1
    assert sorted(path.name for path in (tmp_path / "tape").iterdir()) == ["in.wav", "out.wav", "recording.jsonl"]
    lines = recorded(tmp_path / "tape")
    gap = next(line for line in lines if line["kind"] == "gap")
    assert gap["last"] - gap["first"] > 0.05 * RATE   # the server was away
    assert gap["first"] == lines[-1]["exact_frames"]
    assert sum(line["kind"] == "life" for line in lines) == 2   # who could not open the device has not lived
    for name in ("in.wav", "out.wav"):
        frames = soundfile.info(tmp_path / "tape" / name).frames
        assert frames == round(summary["seconds"] * RATE) + gap["last"] - gap["first"]


def test_a_full_disk_costs_only_the_recording(
    start: Start, server: JackServer, preset: str, tmp_path: pathlib.Path
) -> None:
    run = start(server, preset=preset, record=str(tmp_path / "tape"), input_device="system")
    run.until("microphones; latency")
    resource.prlimit(run.recorder(), resource.RLIMIT_FSIZE, (2_000_000, -1))
    assert "File too large; it ends after" in run.until("the recording has stopped")
    run.interrupt()
    code, summary = run.end()
    assert code == WorkerError.exit_code
    assert "the recording has stopped" in run.lines[-1]
    lengths = {soundfile.info(tmp_path / "tape" / name).frames for name in ("in.wav", "out.wav")}
    assert lengths == {recorded(tmp_path / "tape")[-1]["frames"]}
    assert 0 < max(lengths) < summary["seconds"] * RATE


def test_two_runs_into_one_folder(start: Start, server: JackServer, preset: str, tmp_path: pathlib.Path) -> None:
    runs = [start(server, preset=preset, record=str(tmp_path / "tape"), input_device="system") for _ in range(2)]
    first, second = sorted(runs, key=lambda run: run.process.poll() is None and not _refused(run), reverse=True)
    assert second.end()[0] == InputError.exit_code
    assert "there is a recording already; name another folder" in second.lines[-1]
    first.interrupt()
    code, summary = first.end()
    assert code == 0
    assert soundfile.info(tmp_path / "tape" / "in.wav").frames == round(summary["seconds"] * RATE)


def _refused(run: Live) -> bool:
    try:
        run.until("microphones; latency")
    except AssertionError:
        return True
    return False


def recorded(folder: pathlib.Path) -> list[dict[str, Any]]:
    """Return what a recording says of itself."""
    return [json.loads(line) for line in (folder / "recording.jsonl").read_text().splitlines()]


def test_a_device_that_stays_away_is_an_error(start: Start, preset: str) -> None:
    with jack_server(channels=2) as gone:
        run = start(gone, preset=preset, seconds=4)
        run.until("microphones; latency")
        gone.kill()
        code, summary = run.end()
    assert code == DeviceError.exit_code
    assert "did not come back" in run.lines[-1]
    assert summary["calls"] > 0


def test_the_terminal_is_given_back(server: JackServer, preset: str) -> None:
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    process_ = subprocess.Popen(
        [sys.executable, "-c", DRIVER, json.dumps({"preset": preset})],
        env={**server.environment, "TERM": "xterm", "COLUMNS": "120"}, stdin=theirs, stdout=subprocess.PIPE,
        stderr=theirs, text=True,
    )
    try:
        read_until(ours, "bleed removed")
        os.write(ours, b"f")
        read_until(ours, "freeze ON")
        os.write(ours, b"q")
        read_until(ours, "\x1b[?1049l")   # back from the second screen
        assert process_.stdout is not None
        summary = json.loads(process_.stdout.read())
        assert process_.wait(PATIENCE) == 0
        assert summary["calls"] > 0
        assert termios.tcgetattr(theirs) == before
    finally:
        process_.kill()
        process_.wait()
        os.close(ours)
        os.close(theirs)
