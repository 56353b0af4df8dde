"""A JACK server without PortAudio between: compiled callbacks on ports that are named after the mics."""

from __future__ import annotations

import ctypes
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from jack_server import jack_server
from live_run import PATIENCE, PRESET, Start
from numpy.typing import NDArray

from rtsep import presets
from rtsep.bench.jackd import RATE, JackServer
from rtsep.engine import Engine
from rtsep.errors import DeviceError, InputError
from rtsep.hosts import jackclient, request
from rtsep.hosts.jackcard import JackCard
from rtsep.presets import make_board
from rtsep.runner import Runner, process
from rtsep.stage import Format
from rtsep.stages.mix import Input
from rtsep_kernels.plane import grid, jackport
from rtsep_kernels.plane.record import State

PERIODS = (64, 1, 63, 1024, 100, 512, 64, 2000, 7)
LATE = PRESET.replace('"live"', '"monitor"') + """
[[chain]]
stage = "spectral"
analysis = 512
synthesis = 128
hop = 64
"""
MAP = "mic,in,out\nLead Vox: 1,3,2\nkick,1,1\nsnare/top,2,1\nspare,4,\n"
LATENCY = 128
IN = ["in_Lead Vox_ 1", "in_kick", "in_snare/top", "in_spare"]
OUT = ["out_Lead Vox_ 1", "out_kick+snare/top", "out_spare"]

_BUFFER = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32)
_RANGE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_uint32))


class Ports:
    """What libjack's functions answer: buffers and latency ranges by the number of a port."""

    def __init__(self, runner: Runner, outputs: Sequence[int]) -> None:
        self.buffers: dict[int, NDArray[np.float32]] = {}
        self.ranges: dict[tuple[int, int], tuple[int, int]] = {}
        self.asked: list[tuple[int, int]] = []
        mics, outs = len(outputs), max(outputs) + 1
        self._runner = runner   # whose memory the record points to
        self._functions = _BUFFER(self._buffer), _RANGE(self._get), _RANGE(self._set)
        runner.record.put("outputs", np.array(outputs, np.int32))
        runner.record["fade"] = runner.record["fade_target"] = 1
        self.record: State = jackport.JACK.make(runner=runner.record, mics=mics, outs=outs)
        for name, function in zip(("get_buffer", "get_range", "set_range"), self._functions, strict=True):
            self.record[name] = ctypes.cast(function, ctypes.c_void_p).value
        self.record["in_ports"] = np.arange(1, mics + 1)
        self.record["out_ports"] = np.arange(101, outs + 101)
        self._run = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_uint32, ctypes.c_void_p)(jackport.run_ports.address)

    def run(self, frames: int) -> None:
        assert self._run(frames, self.record.address) == 0

    def _buffer(self, port: int, frames: int) -> int | None:
        self.asked.append((port, frames))
        return self.buffers[port].ctypes.data if port in self.buffers else None

    def _get(self, port: int, mode: int, ends: ctypes._Pointer[ctypes.c_uint32]) -> None:
        ends[0], ends[1] = self.ranges.get((port, mode), (0, 0))

    def _set(self, port: int, mode: int, ends: ctypes._Pointer[ctypes.c_uint32]) -> None:
        self.ranges[port, mode] = ends[0], ends[1]


def runner(mics: int) -> Runner:
    stage = Input()
    stage.prepare(Format(RATE, mics))
    return Runner(stage)


# Without a server


def test_any_period_gives_what_portaudio_gets_bit_for_bit() -> None:
    """Mixed, limited and faded alike, although each call has another period and other buffers."""
    total = sum(PERIODS)
    x = np.random.default_rng(1).standard_normal((3, total)).astype(np.float32)
    x[1, 500], x[2, 600] = np.nan, 100
    there = runner(3)
    there.record.put("inputs", np.arange(3, dtype=np.int32))
    there.record.put("outputs", np.array([1, 0, 1], np.int32))
    there.record["device_inputs"], there.record["device_outputs"] = 3, 2
    there.record["fade"] = there.record["fade_target"] = 1
    expected = np.empty((total, 2), np.float32)
    given = np.ascontiguousarray(x.T)
    ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 2, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64,
                     ctypes.c_void_p)(grid.run_interleaved.address)(
        given.ctypes.data, expected.ctypes.data, total, None, 0, there.address)

    here = runner(3)
    ports = Ports(here, [1, 0, 1])
    heard = []
    for first, frames in zip(np.cumsum((0, *PERIODS)), PERIODS, strict=False):
        ports.buffers = {c + 1: x[c, first : first + frames].copy() for c in range(3)}
        ports.buffers |= {port: np.full(frames, 9, np.float32) for port in (101, 102)}
        ports.asked.clear()
        ports.run(frames)
        assert sorted(ports.asked) == [(port, frames) for port in (1, 2, 3, 101, 102)]
        heard.append(np.stack([ports.buffers[101], ports.buffers[102]], 1))
    np.testing.assert_array_equal(np.concatenate(heard), expected)
    assert np.abs(expected).max() <= 10 ** (-1 / 20) + 1e-6
    assert here.record["bus_limited"] == there.record["bus_limited"] > 0
    assert here.bad_inputs.tolist() == there.bad_inputs.tolist() == [0, 1, 1]
    assert here.record["calls"] == len(PERIODS)


def test_ports_without_a_buffer_are_silent_and_one_buffer_may_be_in_and_out() -> None:
    ports = Ports(runner(2), [1, 0])
    x = np.random.default_rng(2).standard_normal((2, 200)).astype(np.float32) / 10
    crossed = x.copy()
    ports.buffers = {1: crossed[0], 2: crossed[1], 101: crossed[0], 102: crossed[1]}   # each mic plays into the other
    ports.run(200)
    np.testing.assert_array_equal(crossed, x[::-1])
    ports.buffers = {1: x[0], 101: crossed[0]}
    ports.run(200)
    assert not crossed[0].any()


def test_latency_ranges_pass_through_the_chain() -> None:
    ports = Ports(runner(3), [1, 0, 1])
    ports.record["latency"] = 512
    tell = ctypes.CFUNCTYPE(None, ctypes.c_int32, ctypes.c_void_p)(jackport.tell_latencies.address)
    capture, playback = jackport.CAPTURE, jackport.PLAYBACK
    ports.ranges = {
        (1, capture): (64, 128), (2, capture): (10, 20), (3, capture): (32, 100),
        (101, playback): (5, 6), (102, playback): (7, 80),
    }
    tell(capture, ports.record.address)
    assert (ports.ranges[101, capture], ports.ranges[102, capture]) == ((522, 532), (544, 640))
    tell(playback, ports.record.address)
    assert [ports.ranges[port, playback] for port in (1, 2, 3)] == [(519, 592), (517, 518), (519, 592)]


def test_callbacks_take_note() -> None:
    here = runner(1)
    record = Ports(here, [0]).record
    number = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_uint32, ctypes.c_void_p)
    for _ in range(2):
        ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(jackport.count_xrun.address)(record.address)
    number(jackport.keep_period.address)(256, record.address)
    number(jackport.keep_rate.address)(44100, record.address)
    assert (here.record["xruns"], record["period"], record["rate"], record["gone"]) == (2, 256, 44100, 0)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(jackport.keep_gone.address)(record.address)
    assert record["gone"] == 1


def test_ports_are_named_after_mics() -> None:
    assert jackclient.port_names("in", [["Lead Vox: 1"], ["Überkick"]]) == ["in_Lead Vox_ 1", "in_Überkick"]
    assert jackclient.port_names("out", [["a", "b"], ["a:b"], ["a_b"]]) == ["out_a+b", "out_a_b", "out_a_b 2"]
    names = jackclient.port_names("in", [["鼓" * 64 + str(n)] for n in range(3)] + [["鼓" * 70]])
    assert len(set(names)) == 4
    assert max(len(name.encode()) for name in names) < 256


def test_what_it_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, preset: str) -> None:
    with pytest.raises(InputError, match=r"--blocksize: 64; none with --host-api jack: the server's period is it"):
        request.check(request.RunOptions(preset, host_api="jack", block=64))
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "jack", None)
        with pytest.raises(DeviceError, match=r"JACK-Client is missing; pip install 'rtsep\[jack\]'"):
            request.check(request.RunOptions(preset, host_api="jack"))   # before an engine is loaded
        with pytest.raises(DeviceError, match="JACK-Client is missing"):
            jackclient.load()
    pytest.importorskip("jack", reason="JACK-Client is not installed")
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "rtsep-there-is-none")
    with pytest.raises(DeviceError, match="no server answers"):
        JackCard(request.check(request.RunOptions(preset, host_api="jack"))).find()
    assert jackclient.devices() == []


def test_who_is_gone_and_back_is_said_once(preset: str) -> None:
    card = JackCard(request.check(request.RunOptions(preset, host_api="jack")))
    card._record, card._told, chain = {"period": 64}, 64, presets.load(preset)   # type: ignore[assignment]
    assert card.news(chain) == []
    card.cables = SimpleNamespace(away=frozenset({"stage", "desk"}))   # type: ignore[assignment]
    assert card.news(chain) == [f"{name} is gone: its cables wait for it" for name in ("desk", "stage")]
    assert card.news(chain) == []
    card.cables = SimpleNamespace(away=frozenset({"desk"}))   # type: ignore[assignment]
    assert card.news(chain) == ["stage is back"]


# With one


def test_live_equals_offline_whatever_the_server_does_to_its_period(
    start: Start, server: JackServer, tmp_path: pathlib.Path
) -> None:
    """Named ports, their cables and latencies; a period that changes twice while it plays."""
    path, patch = tmp_path / "test.toml", tmp_path / "map.csv"
    path.write_text(LATE)
    patch.write_text(MAP)
    tape = tmp_path / "tape"
    played = np.random.default_rng(3).uniform(-0.1, 0.1, (2 * RATE, 4)).astype(np.float32)
    soundfile.write(tmp_path / "played.wav", played, RATE, subtype="FLOAT")
    with server.player(4, str(tmp_path / "played.wav")) as player:
        run = start(
            server, preset=str(path), record=str(tape), map_csv=str(patch), input_device=player,
            output_device="JACK:system", host_api="jack",
        )
        run.until("4 microphones; latency")
        assert until(lambda: len(cables(server)) == 6)
        found = ports(server)
        for period in (256, 128):
            resize(server, period)
            run.until(f"JACK's period is {period} frames now")
            time.sleep(0.5)
        resize(server, 64)
        run.interrupt()
        code, summary = run.end()
    assert code == 0, run.lines
    assert summary["restarts"] == 0
    assert summary["host_api"] == "JACK"
    assert [name for name in found if name.startswith("rtsep:")] == [f"rtsep:{name}" for name in IN + OUT]
    wires = [f"player:out{c}" for c in (3, 1, 2, 4)]
    assert [found[f"rtsep:{name}"][0] for name in IN] == [[wire] for wire in wires]
    assert [found[f"rtsep:{name}"][0] for name in OUT] == [["system:playback_2"], ["system:playback_1"], []]
    assert summary["latency_samples"] == LATENCY
    for port, other, way in ((IN[0], "system:playback_2", "playback"), (OUT[0], "player:out3", "capture")):
        assert found[f"rtsep:{port}"][1][way] == tuple(end + LATENCY for end in found[other][1][way])

    x, rate = soundfile.read(tape / "in.wav", dtype="float32", always_2d=True)
    y, _ = soundfile.read(tape / "out.wav", dtype="float32", always_2d=True)
    assert len(x) == round(summary["seconds"] * rate)
    frames = x[np.linspace(0, len(x) - 1, 20, dtype=int)]
    sounding = frames[frames.any(1)]   # a server that changes its period is silent for a moment
    assert len(sounding) > 15
    for c, source in enumerate((2, 0, 1, 3)):   # each mic is what the map says; not in step, if the player was late
        assert np.isin(sounding[:, c], played[:, source]).all()
    if summary["late_updates"] or summary["lost_frames"]:
        pytest.skip("there were late updates: this machine is too busy")
    settings = presets.loads(LATE, "test")
    engine = Engine(settings)
    engine.prepare(Format(rate, 4), make_board(settings, ["a", "b", "c", "d"]))
    np.testing.assert_array_equal(y, process(engine, np.ascontiguousarray(x.T), 480).T)


@pytest.mark.slow
def test_the_sound_and_its_cables_come_back(start: Start, preset: str, tmp_path: pathlib.Path) -> None:
    """After a crash of the audio process, and of the server; then the chain is changed for one that is later."""
    with jack_server(channels=2) as first:
        run = start(first, preset=preset, host_api="jack", record=str(tmp_path / "tape"))
        run.until("2 microphones; latency")
        for verb, ends in (("connect", ["rtsep:out_mic1", "system:playback_2"]),
                           ("disconnect", ["rtsep:out_mic2", "system:playback_2"])):
            subprocess.run([f"jack_{verb}", "-s", first.name, *ends], env=first.environment, check=True)
        time.sleep(1.5)   # longer than a cable must be away to be taken for taken out
        before = cables(first)
        os.kill(run.audio_process(), signal.SIGKILL)
        run.until("the sound is back")
        assert until(lambda: cables(first) == before)
        first.kill()
        run.until("device lost: JACK:system: the JACK server has ended")
        second = JackServer(64, RATE, 2, first.name)
        try:
            assert second.ready()
            run.until("the sound is back")
            assert until(lambda: cables(second) == before)
            pathlib.Path(preset).write_text(LATE)
            run.until("preset reloaded: chain")
            assert until(lambda: heard_later(second) == (LATENCY, LATENCY))
            run.interrupt()
            code, summary = run.end()
        finally:
            second.close()
    assert code == 0
    assert summary["restarts"] == 2
    assert before == {
        ("rtsep:in_mic1", "system:capture_1"), ("rtsep:in_mic2", "system:capture_2"),
        ("rtsep:out_mic1", "system:playback_1"), ("rtsep:out_mic1", "system:playback_2"),
    }


def test_what_the_server_cannot_do_is_refused(
    server: JackServer, preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JACK_DEFAULT_SERVER", server.name)
    for options, message in (
        ({"rate": 44100}, "JACK:system: cannot run at 44100 Hz; it offers 48000 Hz"),
        ({"input_device": "scarlett"}, "no input device matches; there are: JACK:system"),
    ):
        with pytest.raises(DeviceError, match=message):
            JackCard(request.check(request.RunOptions(preset, host_api="jack", **options))).find()
    card = JackCard(request.check(request.RunOptions(preset, host_api="jack")))
    resize(server, 1024)
    try:
        card.find()
        card.connect(here := runner(4))
        with pytest.raises(InputError, match="JACK's period is 1024 frames; this preset needs 512 or less"):
            card.open(here, presets.loads(PRESET, "test"), None)
        resize(server, 512)
        card.find()
        card.connect(here)
        card.open(here, presets.loads(PRESET, "test"), None)
        assert card.lost() == ""
        number = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_uint32, ctypes.c_void_p)
        number(jackport.keep_rate.address)(44100, card._record.address)
        assert card.lost() == "JACK:system: the JACK server runs at 44100 Hz now, not at 48000 Hz"
        number(jackport.keep_period.address)(1024, card._record.address)
        told = "JACK's period is 1024 frames now, it was 512; this preset needs 512 or less"
        assert [card.news(presets.loads(PRESET, "test")) for _ in range(2)] == [[told], []]
        assert card._close()
    finally:
        resize(server, 64)
    assert not any(name.startswith("rtsep") for name in ports(server))
    assert jackclient.JackClient(exact=True).close()   # nobody has kept the name


def test_devices_lists_them_both_ways(server: JackServer) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rtsep", "devices"], env=server.environment, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert "JACK Audio Connection Kit: system   4 in, 4 out, 48000 Hz" in lines
    assert "JACK: system   4 in, 4 out, 48000 Hz   (--host-api jack)" in lines


def ports(server: JackServer) -> dict[str, tuple[list[str], dict[str, tuple[int, int]]]]:
    """Return each port's connections, and its latency ranges by direction."""
    done = subprocess.run(
        ["jack_lsp", "-s", server.name, "-c", "-l"], env=server.environment, capture_output=True, text=True, check=True
    )
    found: dict[str, tuple[list[str], dict[str, tuple[int, int]]]] = {}
    name = ""
    for line in done.stdout.splitlines():
        if told := re.match(r"\tport (\w+) latency = \[ (\d+) (\d+) \]", line):
            found[name][1][told[1]] = int(told[2]), int(told[3])
        elif line.startswith("   "):
            found[name][0].append(line[3:])
        else:
            name = line
            found[name] = [], {}
    return found


def cables(server: JackServer) -> set[tuple[str, str]]:
    """Return all of ours."""
    found = ports(server).items()
    return {(name, other) for name, (others, _) in found if name.startswith("rtsep:") for other in others}


def heard_later(server: JackServer) -> tuple[int, int]:
    """Return by how much our ports say that sound gets later on its way: to come, and gone."""
    found = {name: ends for name, (_, ends) in ports(server).items()}
    return (
        found["rtsep:in_mic1"]["playback"][0] - found["rtsep:out_mic1"]["playback"][0],
        found["rtsep:out_mic1"]["capture"][0] - found["rtsep:in_mic1"]["capture"][0],
    )


def until(true: Callable[[], bool]) -> bool:
    """Wait until a function says yes; False if it does not."""
    end = time.monotonic() + PATIENCE
    while not true() and time.monotonic() < end:
        time.sleep(0.1)
    return true()


def resize(server: JackServer, period: int) -> None:
    subprocess.run(
        ["jack_bufsize", str(period)], env=server.environment, check=True, stdout=subprocess.DEVNULL, timeout=20
    )
