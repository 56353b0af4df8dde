"""What a run is trusted with on a stage: its limiter, its signals, its folder, its cables, and who stands by."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import pathlib
import pty
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from typing import Any

import naive
import numpy as np
import pytest
from jack_server import jack_server

from rtsep.bench.faults import machine
from rtsep.bench.jackd import RATE, JackServer
from rtsep.hosts import runfolder
from rtsep.hosts.cables import Cables
from rtsep.hosts.gauges import Standstill
from rtsep.hosts.process import AudioProcess
from rtsep.hosts.signals import Signals, left_alone
from rtsep.hosts.standby import Standby
from rtsep.meters import METER_FRAMES
from rtsep.runner import LIMITER_RELEASE_SECONDS, Runner
from rtsep.stage import Format
from rtsep.stages.mix import Input
from rtsep_kernels.plane import engine, grid

CEILING = np.float32(10 ** (-1 / 20))
FULL = 0.9   # below 1, above the ceiling


def _callback(channels: int, outputs: list[int]) -> tuple[Runner, Callable[..., int]]:
    stage = Input()
    stage.prepare(Format(RATE, channels))
    runner = Runner(stage)
    runner.record.put("inputs", np.arange(channels, dtype=np.int32))
    runner.record.put("outputs", np.array(outputs, np.int32))
    runner.record["device_inputs"], runner.record["device_outputs"] = channels, max(outputs) + 1
    runner.record["fade"] = runner.record["fade_target"] = 1
    call = ctypes.CFUNCTYPE(
        ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64,
        ctypes.c_void_p,
    )(grid.run_interleaved.address)

    def process(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> int:
        return int(call(x.ctypes.data, y.ctypes.data, len(x), None, 0, runner.address))

    return runner, process


def test_mics_that_share_an_output_are_limited_as_one() -> None:
    runner, process = _callback(4, [0, 0, 0, 1])
    rng = np.random.default_rng(3)
    x = rng.uniform(-FULL, FULL, (6000, 4)).astype(np.float32)
    x[:, 3] *= 0.5
    y = np.empty((6000, 2), np.float32)
    for first in range(0, 6000, 500):   # blocks that are no multiple of the grid
        piece, played = np.ascontiguousarray(x[first : first + 500]), np.empty((500, 2), np.float32)
        process(piece, played)
        y[first : first + 500] = played
    mixed = x[:, 0] + x[:, 1] + x[:, 2]
    assert np.abs(mixed).max() > 2
    assert np.abs(y).max() <= CEILING
    release = 1 - np.exp(-1 / (LIMITER_RELEASE_SECONDS * RATE))
    np.testing.assert_allclose(y[:, 0], naive.limiter(mixed.astype(float), release, float(CEILING)), atol=1e-5)
    np.testing.assert_array_equal(y[:, 1], x[:, 3])   # below the ceiling: not a bit is changed
    assert runner.record["bus_limited"] > 0


def test_the_meters_signs_of_life_are_as_often_as_the_engine_gives_them() -> None:
    assert METER_FRAMES == engine.METER_FRAMES


@pytest.mark.parametrize(("rate", "patience"), [(48000, 0.3), (8000, 1.024)])
def test_a_standstill_is_noticed_and_a_machine_that_stalls_is_not(rate: int, patience: float) -> None:
    watch = Standstill(rate)
    watch.begin(0.0)
    assert not any(watch.update(0.05 * tick, 2048 * tick) for tick in range(40))
    seen = [watch.update(2 + 0.05 * tick, 0) for tick in range(40)]
    assert seen.index(True) * 0.05 == pytest.approx(patience + 0.05, abs=0.06)
    watch.begin(10.0)
    watch.update(10.0, 7)
    assert not watch.update(15.0, 7)   # nobody has looked for five seconds
    assert not watch.update(15.05, 7)


def test_a_terminal_that_goes_does_not_end_the_run() -> None:
    asked = """
import os, signal, sys, time
from rtsep.hosts.signals import Signals
signals = Signals(sys.argv[1] == "end")
with signals.heard():
    os.write(3, b"ready")
    until = time.monotonic() + 20
    while not (signals.stops or signals.reload) and time.monotonic() < until and os.read(4, 1) == b"w":
        pass
    os.write(3, f"{signals.stops} {signals.reload}".encode())
"""
    for argument in ("go on", "end"):
        ours, theirs = pty.openpty()
        told, tell = os.pipe()
        ask, wake = os.pipe()

        def place(theirs: int = theirs, tell: int = tell, ask: int = ask) -> None:
            os.setsid()
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
            os.dup2(tell, 3)
            os.dup2(ask, 4)

        process = subprocess.Popen(
            [sys.executable, "-c", asked, argument], preexec_fn=place, pass_fds=(3, 4),
            stdin=theirs, stdout=subprocess.DEVNULL,
        )
        try:
            assert os.read(told, 5) == b"ready"
            os.close(theirs)
            os.close(ours)                        # the window is closed
            process.send_signal(signal.SIGHUP)    # as a shell passes it on
            time.sleep(0.2)
            os.write(wake, b"x")
            stops, reload = os.read(told, 20).split()
            assert (int(stops) > 0) == (argument == "end")   # the system may send one more
            assert reload == b"False"
        finally:
            process.kill()
            process.wait()


def test_sighup_without_a_lost_terminal_asks_to_read_the_preset_again() -> None:
    for end, stops, reload in ((False, 0, True), (True, 1, False)):
        signals = Signals(end)
        with signals.heard():
            os.kill(os.getpid(), signal.SIGHUP)
        assert (signals.stops, signals.reload) == (stops, reload)


def test_processes_can_be_started_that_no_terminal_reaches() -> None:
    before = signal.getsignal(signal.SIGINT)
    with left_alone():
        process = subprocess.Popen([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"],
                                   stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        for kind in (signal.SIGTSTP, signal.SIGHUP, signal.SIGQUIT):
            process.send_signal(kind)
        time.sleep(0.1)
        assert process.poll() is None
        state = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        assert state == "S"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert signal.getsignal(signal.SIGINT) == before


def test_folders_of_others_with_such_names_are_not_swept(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = [tmp_path / name for name in ("rtsep-takes", "rtsep-recorded", "rtsep-probe-mine-own")]
    ours = [pathlib.Path(tempfile.mkdtemp(prefix=prefix)) for prefix in ("rtsep-", "rtsep-probe-")]
    (ours[1] / "answer").touch()
    for folder in kept:
        folder.mkdir()
        (folder / "in.wav").write_bytes(b"a concert")
    for folder in (*kept, *ours):
        os.utime(folder, (0, 0))
    runfolder.sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rtsep-probe-mine-own", "rtsep-recorded", "rtsep-takes"]


def test_what_a_killed_run_has_left_is_swept_and_a_living_one_keeps_its_own() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c",
         "from rtsep.hosts.runfolder import RunFolder; import time; f = RunFolder(); print(f.path, flush=True); "
         "time.sleep(60)"], stdout=subprocess.PIPE, text=True,
    )
    try:
        assert process.stdout is not None
        theirs = pathlib.Path(process.stdout.readline().strip())
        memory = pathlib.Path("/dev/shm") / f"{theirs.name}-b"
        memory.write_bytes(b"board")
        (theirs / "learnt.npz").write_bytes(b"paths")
        runfolder.sweep()
        assert theirs.is_dir()
        assert memory.exists()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    own = pathlib.Path("/dev/shm") / f"rtsep-{process.pid}-12345678-w"   # of an audio process that is no more
    own.write_bytes(b"slots")
    alive = pathlib.Path("/dev/shm") / f"rtsep-{os.getpid()}-12345678-w"
    alive.write_bytes(b"slots")
    try:
        folder = runfolder.RunFolder()   # the next start
        assert not theirs.exists()
        assert not memory.exists()
        assert not own.exists()
        assert alive.exists()
        assert folder.path.is_dir()
        folder.close()
        assert not folder.path.exists()
    finally:
        alive.unlink()


class _Toy:
    """An audio process for `Standby`: it says what it is told to."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = [("loaded",)]
        self.heard: list[tuple[Any, ...]] = []
        self.phase, self.dead, self.killed = "loading", False, False

    def messages(self) -> Iterator[tuple[Any, ...]]:
        while self.said:
            yield self.said.pop(0)

    def send(self, *message: Any) -> None:
        self.heard.append(message)

    def enter(self, phase: str) -> None:
        self.phase = phase

    def kill(self) -> None:
        self.killed = True


def test_one_stands_by_is_renewed_and_replaced_when_it_dies(tmp_path: pathlib.Path) -> None:
    made: list[_Toy] = []
    keep = tmp_path / "learnt.npz"

    def make() -> Any:
        made.append(_Toy())
        return made[-1]

    standby = Standby(make, keep)
    standby.update(0.0, lambda: "stand")   # type: ignore[arg-type]
    assert not made                # the sound has not begun
    standby.need(0.0)
    standby.update(0.1, lambda: "stand")   # type: ignore[arg-type]
    assert not made                # it has just begun
    for now in (1.0, 1.1):
        standby.update(now, lambda: "stand")   # type: ignore[arg-type]
    assert made[0].heard == [("go", "stand")]
    assert not standby.ready
    made[0].said.append(("ready", 0.5))
    standby.update(1.2, lambda: "stand")   # type: ignore[arg-type]
    assert standby.ready
    keep.write_bytes(b"1")
    standby.update(8.0, lambda: "stand")   # type: ignore[arg-type]
    assert len(made[0].heard) == 1     # half a second of work is done every ten seconds
    for now in (12.0, 13.0, 23.0):
        standby.update(now, lambda: "stand")   # type: ignore[arg-type]
    assert made[0].heard[1:] == [("renew",)]   # once: nothing has been learnt since
    made[0].dead = True
    for now in (24.0, 24.5, 25.5, 25.6):
        standby.update(now, lambda: "stand")   # type: ignore[arg-type]
    assert made[0].killed
    assert len(made) == 2
    for _ in range(2):
        made[-1].dead = True
        for now in (100.0, 200.0):
            standby.update(now + 200 * len(made), lambda: "stand")   # type: ignore[arg-type]
    assert not keep.exists()       # three died in a row: it may be what they knew
    given: Any = standby.take(2000.0)
    assert given is made[-1]
    assert given.phase == "loading"
    assert standby.take(2000.0) is made[-1] is not given   # there was none: made at once
    count = len(made)
    standby.update(2000.5, lambda: "stand")   # type: ignore[arg-type]
    assert len(made) == count
    standby.update(2002.0, lambda: "stand")   # type: ignore[arg-type]
    assert len(made) == count + 1  # the one that was taken waits for its device: it may be lost, too
    standby.need(2003.0)
    standby.update(2004.0, lambda: "stand")   # type: ignore[arg-type]
    assert len(made) == count + 1  # there is one
    standby.replace(2005.0)
    standby.update(2006.0, lambda: "stand")   # type: ignore[arg-type]
    assert made[-2].killed
    assert len(made) == count + 2



def test_what_an_audio_process_prints_is_kept_and_never_waited_for() -> None:
    request: Any = 200_000
    process = AudioProcess(_print_much, request)
    end = time.monotonic() + 30
    while not process.dead and time.monotonic() < end:   # nobody reads meanwhile
        time.sleep(0.02)
    assert process.exit_code == 7
    assert "zzz" in process.last_words() or "its last words" in process.last_words()
    process.kill()


def _print_much(_pipe: Any, printing: Any, count: int) -> None:
    from rtsep.hosts.process import print_to

    print_to(printing)
    for text in (b"z" * count + b"\n", b"its last words\n"):
        with contextlib.suppress(BlockingIOError):
            os.write(2, text)
    os._exit(7)


@pytest.fixture(scope="module")
def server() -> Iterator[JackServer]:
    with jack_server(channels=4) as running:
        yield running


def test_cables_are_laid_again_as_the_user_had_them(server: JackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    import jack

    monkeypatch.setenv("JACK_DEFAULT_SERVER", server.name)

    def ours() -> Any:
        client = jack.Client("ours", servername=server.name, no_start_server=True)
        for c in range(2):
            client.outports.register(f"out{c}")
        client.activate()
        return client

    def there(client: Any) -> set[tuple[str, str]]:
        return {(p.name, q.name) for p in client.outports for q in client.get_all_connections(p)}

    client = ours()
    client.connect("ours:out0", "system:playback_1")
    cables = Cables(None)
    assert (cables.period, cables.rate) == (64, RATE)
    cables.watch("ours")
    assert machine.until(lambda: cables.news() == (("ours:out0", "system:playback_1"),), 20)
    client.connect("ours:out1", "system:playback_3")      # somebody patches
    client.disconnect("ours:out0", "system:playback_1")
    patched = (("ours:out1", "system:playback_3"),)
    assert machine.until(lambda: cables.news() == patched, 20)
    cables.close()
    client.close()

    other = jack.Client("desk", servername=server.name, no_start_server=True)
    other.activate()
    client = ours()
    client.connect("ours:out0", "system:playback_2")      # as PortAudio would by itself
    again = Cables([*patched, ("ours:out0", "desk:late")])
    again.watch("ours")
    assert machine.until(lambda: there(client) == {("ours:out1", "system:playback_3")}, 20)
    other.inports.register("late")                        # a port that comes back late
    assert machine.until(lambda: there(client) == {("ours:out1", "system:playback_3"), ("ours:out0", "desk:late")}, 20)
    assert again.others() == []
    assert machine.until(lambda: again.away == frozenset(), 20)
    other.inports[0].unregister()
    assert machine.until(lambda: again.away == {"desk"}, 20)
    other.inports.register("late")
    assert machine.until(lambda: again.away == frozenset(), 20)
    assert machine.until(lambda: len(there(client)) == 2, 20)
    player = jack.Client("second", servername=server.name, no_start_server=True)
    player.outports.register("out")
    player.activate()
    player.connect("second:out", "system:playback_3")
    assert again.others() == ["system:playback_3 (second)"]
    again.leave()
    for one in (client, other, player):
        one.close()


def test_the_end_of_the_server_is_noticed() -> None:
    with jack_server(channels=2) as running:
        before = os.environ.get("JACK_DEFAULT_SERVER")
        os.environ["JACK_DEFAULT_SERVER"] = running.name
        try:
            cables = Cables(None)
        finally:
            os.environ.pop("JACK_DEFAULT_SERVER")
            if before is not None:
                os.environ["JACK_DEFAULT_SERVER"] = before
        assert not cables.gone.is_set()
        running.kill()
        assert cables.gone.wait(20)
