"""`rtsep doctor`: each check is given a machine that has what it looks for."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from jack_server import jack_server

from rtsep import presets
from rtsep.bench.wakeups import Wakes
from rtsep.doctor import BAD, GOOD, WARN, Finding, devices, machine, room, server
from rtsep.doctor import disk as disks

PRESET = """
schema = 1
name = "trim"
latency_class = "live"
[[chain]]
stage = "input"
"""


def only(findings: list[Finding]) -> Finding:
    (found,) = findings
    return found


@pytest.mark.parametrize(("governors", "verdict"), [
    ((), GOOD), (("performance", "performance"), GOOD), (("performance", "powersave"), WARN),
])
def test_a_processor_that_slows_down_is_named(tmp_path: pathlib.Path, governors: tuple[str, ...], verdict: str) -> None:
    for n, governor in enumerate(governors):
        folder = tmp_path / f"cpu{n}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(governor + "\n")
    found = only(machine.processor(str(tmp_path)))
    assert found.verdict == verdict
    assert bool(found.advice) == (verdict == WARN)


def test_a_machine_that_wakes_up_a_block_late_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = 10   # blocks of a second
    monkeypatch.setattr(machine.wakeups, "measure", lambda period, seconds: Wakes(
        period, True, np.full(round(seconds / period) - lost, 50.0), lost))
    found = only(machine.wake_up(0.001, 0.05))
    assert found.verdict == BAD
    assert "10 of 50 blocks lost" in found.text
    lost = 0
    assert only(machine.wake_up(0.001, 0.05)).verdict == GOOD


@pytest.mark.parametrize(("free", "verdict"), [(10**13, GOOD), (10**9, WARN)])
def test_a_disk_that_gets_full_is_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, free: int, verdict: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: shutil._ntuple_diskusage(free, 0, free))
    monkeypatch.setattr(disks, "_TRIAL", 1 << 20)
    monkeypatch.setattr(disks, "_SPARE", 0.0)
    found = only(disks.disk(str(tmp_path), 48000, 32))
    assert found.verdict == verdict
    assert list(tmp_path.iterdir()) == []
    hours = free / (48000 * 32 * 8) / 3600   # float32, in and out
    assert f"{hours:.1f} h of 32 mics" in found.text


def test_a_folder_that_is_not_there_and_a_disk_too_slow_are_bad(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert only(disks.disk(str(tmp_path / "none"), 48000, 2)).verdict == BAD
    monkeypatch.setattr(disks, "_TRIAL", 1 << 20)
    assert only(disks.disk(str(tmp_path), 10**12, 32)).verdict == BAD


def test_a_device_and_a_port_that_are_not_there_are_bad() -> None:
    assert only(devices.sound("no such device", None, 48000, 2)).verdict == BAD
    assert only(devices.midi(("no such port",))).verdict == BAD
    assert only(devices.midi()).verdict == GOOD


TABLE = (
    {"name": "system", "host_api": "JACK", "inputs": 4, "outputs": 2, "default_rate": 48000.0},
    {"name": "Stage Box", "host_api": "JACK", "inputs": 32, "outputs": 32, "default_rate": 48000.0},
)


@pytest.mark.parametrize(("wanted", "rate", "period", "mics", "expected"), [
    (None, None, 64, 2, {"JACK server": GOOD, "JACK ports": GOOD}),
    (None, 44100, 64, 4, {"JACK server": BAD, "JACK ports": WARN}),
    (None, 48000, 64, 5, {"JACK server": GOOD, "JACK ports": BAD}),
    ("stage box", None, 1024, 32, {"JACK server": GOOD, "JACK period": BAD, "JACK ports": GOOD}),
    ("nobody", None, 64, 2, {"JACK server": GOOD, "JACK ports": BAD}),
])
def test_a_jack_server_is_looked_at(
    wanted: str | None, rate: int | None, period: int, mics: int, expected: dict[str, str]
) -> None:
    there = server.Server(48000, period, True, TABLE)
    found = server.jack(there, wanted, wanted, rate, mics, presets.load("live"))
    assert {one.check: one.verdict for one in found} == expected
    assert all(bool(one.advice) == (one.verdict != GOOD) for one in found)
    slow = server.jack(server.Server(48000, period, False, TABLE), wanted, wanted, None, mics, presets.load("live"))
    assert slow[0].verdict == WARN


def test_a_jack_server_that_runs_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "rtsep-test-nobody")
    none = server.ask()
    assert isinstance(none, str)
    assert only(server.jack(none, None, None, None, 2, presets.load("live"))).verdict == BAD
    with jack_server(128, 44100, 3) as running:
        monkeypatch.setenv("JACK_DEFAULT_SERVER", running.name)
        there = server.ask()
    assert isinstance(there, server.Server)
    assert (there.rate, there.period) == (44100, 128)
    assert [(one["name"], one["inputs"], one["outputs"]) for one in there.table] == [("system", 3, 3)]


def test_room_says_what_it_takes_and_when_it_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_SECONDS", 0.3)
    monkeypatch.setattr(room, "_SETTLE", 0.1)
    preset = presets.loads(PRESET, "test")
    text = only(room.room(preset, 48000, 4096, 3)).text
    assert text.startswith("3 mics, blocks of 4096: callback p50 ")
    assert "latency 0 samples" in text
    monkeypatch.setattr(room, "_ROOM", 0.0)
    assert only(room.room(preset, 48000, 4096, 3)).verdict in (WARN, BAD)


def test_the_verb_says_all_and_its_exit_code_says_whether_to_start(tmp_path: pathlib.Path) -> None:
    preset = tmp_path / "trim.toml"
    preset.write_text(PRESET)
    done = subprocess.run(
        [sys.executable, "-m", "rtsep", "doctor", "--preset", preset, "--mics", "2", "-b", "1024", "--json", "--record",
         tmp_path, "-r", "48000", "-i", "no such device", "-o", "none", "--midi", "none,neither"],
        capture_output=True, text=True, check=False,
    )
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    assert not said["good"]
    bad = {finding["check"] for finding in said["findings"] if finding["verdict"] == "bad"}
    assert {"sound device", "MIDI"} <= bad
    assert said["findings"][0]["check"] == "system"
    assert all(finding["advice"] for finding in said["findings"] if finding["verdict"] != "good")


def test_a_wrong_argument_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rtsep", "doctor", "--mics", "0"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    words = ["doctor", "--host-api", "jack", "-b", "64"]
    done = subprocess.run([sys.executable, "-m", "rtsep", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
