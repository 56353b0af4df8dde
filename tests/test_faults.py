"""Faults on stage: what finds them can hear, and the short form of `bench/faults.py`."""

from __future__ import annotations

import os
import pathlib
import platform
import shutil
import subprocess
import sys

import numpy as np
import pytest
from jack_server import jack_server

from rtsep.bench.faults import hearing, machine, verdicts
from rtsep.bench.faults.hearing import Event, Heard
from rtsep.bench.faults.player import compile_player, make_mics
from rtsep.bench.faults.trial import Limits, Outcome, Setting
from rtsep.errors import WorkerError

RATE, PERIOD, START = 48000, 64, 100.0
SLACK = 2.0   # other tests may run beside


def tape(frames: int = 48000, start: float = START) -> Heard:
    """Return two ears' sustained sound, on time."""
    sound = make_mics(2, RATE)[:, :frames].copy()
    return Heard(sound, start + np.arange(frames // PERIOD) * PERIOD / RATE, PERIOD, RATE)


def test_sustained_sound_has_no_events() -> None:
    assert hearing.listen([tape()], START, (0, 1)) == []
    assert hearing.peak_db([tape()], START) == pytest.approx(20 * np.log10(np.abs(tape().sound).max()))


def test_silence_is_found_to_the_sample_and_only_if_all_are_silent() -> None:
    heard = tape()
    heard.sound[0, 10000:20000] = 0
    assert hearing.listen([heard], START, (0, 1)) == []
    heard.sound[1, 10100:20001] = 9e-5
    (event,) = hearing.listen([heard], START, (0, 1))
    assert event.kind == "silence"
    assert event.begin == pytest.approx(START + 10100 / RATE)
    assert event.seconds == pytest.approx(9900 / RATE)
    assert hearing.listen([heard], START + 0.5, (0, 1)) == []
    heard.sound[1, 10100:20001] = 1.1e-4
    assert [event.kind for event in hearing.listen([heard], START, (0, 1))] == ["repeat"]   # which the plant is, too


def test_a_repeated_block_is_found_and_a_similar_one_is_not() -> None:
    heard = tape()
    block = heard.sound[1, 640:704].copy()
    heard.sound[1, 704 : 704 + 5 * 64] = np.tile(block, 5)
    (event,) = hearing.listen([heard], START, (0, 1))
    assert event.kind == "repeat"
    assert event.seconds == pytest.approx(5 * 64 / RATE, abs=2 / RATE)
    heard.sound[1, 704 : 704 + 5 * 64 : 60] += np.float32(1e-6)
    assert hearing.listen([heard], START, (0, 1)) == []


def test_what_lies_between_two_lives_of_the_device_is_silence() -> None:
    first, second = tape(), tape(start=START + 3)
    second.sound[:, :480] = 0
    (event,) = hearing.listen([first, second], START, (0, 1))
    assert event == Event("silence", pytest.approx(START + 1), pytest.approx(START + 3.01))


def test_ears_that_are_not_called_are_told_apart() -> None:
    heard = tape()
    late = Heard(heard.sound, heard.stamps + 0.3 * (heard.stamps > START + 0.5), PERIOD, RATE)
    (event,) = hearing.listen([late], START, (0, 1))
    assert event.kind == "deaf"
    assert event.seconds == pytest.approx(0.3, abs=0.002)


def test_not_finite_peaks_are_infinite() -> None:
    heard = tape()
    heard.sound[0, 5] = np.nan
    assert hearing.peak_db([heard], START) == np.inf


@pytest.mark.parametrize(("change", "words"), [
    ({"silence": 1.2}, "silence 1.20 s"),
    ({"repeat": 1.2}, "repeat 1.20 s"),
    ({"runs_on": False}, "no sound afterwards"),
    ({"code": 3}, "exit code 3"),
    ({"after_return": 2.5}, "return 2.50 s"),
    ({"peak_db": -0.9}, "peak -0.9 dBFS"),
    ({"cables": 3}, "cables 3 of 4"),
    ({"renamed": True}, "another client name"),
    ({"left": ["rtsep-1"]}, "left behind 1"),
    ({"said": []}, "says nothing"),
])
def test_each_limit_can_be_passed(change: dict[str, object], words: str) -> None:
    limits = Limits(after_return=2.0, says=True)
    good = {
        "silence": 1.0, "repeat": 1.0, "peak_db": -1.0, "after_return": 2.0, "cables": 4, "cables_before": 4,
        "runs_on": True, "code": 0, "said": ["the device is back"],
    }
    assert verdicts.beyond(Outcome("none", **good), limits) == []
    assert verdicts.beyond(Outcome("none", **{**good, **change}), limits) == [words]


def test_figures_are_summed_up_in_one_line() -> None:
    fault = verdicts.find(["audio killed"])[0]
    outcomes = [
        Outcome(fault.name, silence=s, runs_on=True, code=0, cables=2, cables_before=2, sound_after=s)
        for s in (0.2, 0.3, 1.5)
    ]
    row = verdicts.summed(fault, outcomes, ["no sound to begin with"])
    assert row["silence"] == {"median": 0.3, "max": 1.5}
    assert row["beyond"] == {"silence": 1}
    assert "0.30 / 1.50" in verdicts.line(row)
    assert "not tried: no" in verdicts.line(verdicts.summed(fault, [], ["no sound to begin with"]))
    with pytest.raises(ValueError, match="no such fault"):
        verdicts.find(["flood"])


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    with jack_server(channels=2):   # or skip
        pass
    if shutil.which("jack_connect") is None or shutil.which("bash") is None:
        pytest.skip("jack_connect or bash is not installed")
    folder: pathlib.Path = tmp_path_factory.mktemp("player")
    try:
        program = compile_player(folder)
    except WorkerError as error:
        pytest.skip(str(error))
    return Setting(program, mics=2, period=256, settle=1.5, patience=12.0, realtime=verdicts.realtime_granted())


# One of a process and one of the server with every change; what is like them is slow.
QUICK = ("audio killed", "jackd killed, 0.5 s")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in verdicts.SHORT]
)
def test_a_fault_on_stage_is_survived(setting: Setting, name: str) -> None:
    (fault,) = (fault for fault in verdicts.FAULTS if fault.name == name)
    outcome = verdicts.attempt(setting, fault)
    assert not verdicts.beyond(outcome, fault.limits, SLACK), outcome


@pytest.mark.skipif(platform.machine() != "x86_64", reason="another number of the system call")
def test_a_thread_that_waits_in_shared_memory_is_seen() -> None:
    waiting = (
        "import ctypes, mmap, sys\n"
        "with open('/dev/shm/' + sys.argv[1], 'w+b') as file:\n    file.truncate(4096)\n"
        "    memory = mmap.mmap(file.fileno(), 4096)\n"
        "word = ctypes.c_uint32.from_buffer(memory)\n"
        "print('here', flush=True)\n"
        "ctypes.CDLL(None).syscall(202, ctypes.byref(word), 0, 0, None)   # FUTEX_WAIT on x86\n"
    )
    name = f"faults-{os.getpid()}"
    process = subprocess.Popen([sys.executable, "-c", waiting, name], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        assert machine.until(lambda: machine.waits_in(process.pid, name), 5)
        assert not machine.waits_in(process.pid, name + "-other")
    finally:
        process.kill()
        process.communicate()
        os.unlink(f"/dev/shm/{name}")
