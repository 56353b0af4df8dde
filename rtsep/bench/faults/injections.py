"""What is done to a show, what must be said or counted of each, and at which ears it must not be heard for long."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rtsep.bench.faults import machine, processes, servers
from rtsep.bench.faults.show import BROKEN_EAR, MICS, Show
from rtsep.stage import Block
from rtsep.workers.recorder import COMM

_PATIENCE = 5.0          # seconds until a fault has come
_WORKER_STOPPED = 0.5    # seconds
_HELD_SECONDS = 2.0      # of a flood, of a machine that is busy, of a supervisor that does not get on
_BROKEN_SECONDS = 1.0    # of a mic
_FLOOD = 20_000          # messages a second
_FULL_SECONDS = 1.0      # in which nobody reads
_FILE_SECONDS = 1.2      # until a changed file has been looked at twice, which is every 0.4 s
_FLOODS = (
    "import socket, sys, time\n"
    "out, said = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), bytes.fromhex(sys.argv[2])\n"
    "end, begun, sent = time.monotonic() + float(sys.argv[3]), time.monotonic(), 0\n"
    "while time.monotonic() < end:\n"
    "    while sent < (time.monotonic() - begun) * float(sys.argv[4]):\n"
    "        out.sendto(said, ('127.0.0.1', int(sys.argv[1])))\n"
    "        sent += 1\n"
    "    time.sleep(0.0005)\n"
)
_ALL = tuple(range(len(MICS)))
_OTHERS = tuple(ear for ear in _ALL if ear != BROKEN_EAR)


@dataclass(frozen=True)
class Injection:
    """A fault of a show.

    Parameters
    ----------
    name : str
    act : callable
        Given the show; returns when the fault is over, the sound needs not be back.
    says : str
        A regular expression of what it says of it; empty: nothing has to be said.
    counts : tuple of str
        Figures (`Show.counters`), one of which must have risen, where nothing is said.
    heavy : bool
        Somebody must stand by before.
    ears : tuple of int
        Those that should hear something all the time.
    every : int
        It is injected so many times less often.
    spared : bool
        Nothing needs to be counted if nothing was heard.
    """

    name: str
    act: Callable[[Show], None]
    says: str = ""
    counts: tuple[str, ...] = ()
    heavy: bool = False
    ears: tuple[int, ...] = _ALL
    every: int = 1
    spared: bool = False


# Processes

def _kill_worker(show: Show) -> None:
    os.kill(show.worker("hang"), signal.SIGKILL)


def _stop_worker(show: Show) -> None:
    worker = show.worker("nonumber")
    os.kill(worker, signal.SIGSTOP)
    time.sleep(_WORKER_STOPPED)
    if machine.alive(worker):
        os.kill(worker, signal.SIGCONT)


def _kill_recorder(show: Show) -> None:
    for pid in machine.descendants(show.program.pid):
        if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == COMM:
            os.kill(pid, signal.SIGKILL)
            return
    show.wrong.append("there is no recorder")


def _hold_supervisor(show: Show) -> None:
    os.kill(show.program.pid, signal.SIGSTOP)
    time.sleep(_HELD_SECONDS)
    os.kill(show.program.pid, signal.SIGCONT)


def _busy(_show: Show) -> None:
    with machine.busy(2 * (os.cpu_count() or 1)):
        time.sleep(_HELD_SECONDS)


# Plug-ins

def _arm(show: Show, kind: str) -> None:
    """Have a plug-in end its process, and the next one of it not."""
    worker, armed = show.worker(kind), _path(show, kind, "armed")
    show.turn(armed, 1)
    if not machine.until(lambda: not machine.alive(worker), _PATIENCE, 0.005):
        show.wrong.append("its process lives")
    show.turn(armed, 0)


def _crash(show: Show) -> None:
    _arm(show, "crash")


def _hang(show: Show) -> None:
    _arm(show, "hang")


def _no_number(show: Show) -> None:
    """Have a plug-in answer NaN, then turn it off and on as one that was given up."""
    armed, state = (_path(show, "nonumber", name) for name in ("armed", "state"))
    show.turn(armed, 1)
    time.sleep(_WORKER_STOPPED)
    show.turn(armed, 0)
    time.sleep(0.1)
    show.turn(state, 0)
    time.sleep(0.2)
    show.turn(state, 2)


def _path(show: Show, kind: str, name: str) -> str:
    return f"strips.{MICS[list(show.plugins).index(kind)]}.{kind}.{name}"


# Surfaces and files

def _no_reader(show: Show) -> None:
    show.program.fill()
    time.sleep(_FULL_SECONDS)
    show.program.read_again()


def _midi_away(show: Show) -> None:
    show.unplug_pad()
    machine.until(lambda: show.program.said_at("is gone", show.struck) is not None, _PATIENCE)
    show.plug_pad()
    machine.until(lambda: show.program.said_at("is there", show.struck) is not None, _PATIENCE)


def _flood(show: Show) -> None:
    from rtsep.control.osc.packet import encode

    said = encode("/p/output/gain_db/mic4", 0.0).hex()
    subprocess.run(
        [sys.executable, "-c", _FLOODS, str(show.port), said, str(_HELD_SECONDS), str(_FLOOD)], check=True
    )


def _break_file(path: pathlib.Path) -> None:
    kept = path.read_text()
    path.write_text(kept.replace("schema = 1", "schema = [1"))
    time.sleep(_FILE_SECONDS)
    path.write_text(kept)
    time.sleep(_FILE_SECONDS)


def _break_preset(show: Show) -> None:
    _break_file(show.place / "presets" / "mine.toml")


def _break_snapshot(show: Show) -> None:
    _break_file(show.place / "snapshots" / "01-verse.toml")


# Microphones

def _mic(sound: Callable[[Show], Block | float]) -> Callable[[Show], None]:
    """Return what puts something in place of a mic for a while."""
    def act(show: Show) -> None:
        mics = show.device.mics.array
        kept = mics[BROKEN_EAR].copy()
        mics[BROKEN_EAR] = sound(show)
        time.sleep(_BROKEN_SECONDS)
        mics[BROKEN_EAR] = kept
    return act


def _ones(show: Show) -> Block:
    """Return the mic's own sound with samples of 1e30, ten a second."""
    sound: Block = show.sound[BROKEN_EAR].copy()
    sound[:: show.setting.rate // 10] = 1e30
    return sound


def _full(show: Show) -> Block:
    """Return noise of full scale."""
    return np.asarray(np.random.default_rng(3).uniform(-1, 1, show.sound.shape[1]), np.float32)


_STRIP = r"plug-ins crashed or hung"
_LOST = r"device lost|audio process died|waiting for the device"
_LATE = ("late_blocks", "xruns", "late_updates", "late_strips", "shed", "worker_restarts")
INJECTIONS = (
    Injection("audio killed", processes.kill_audio, _LOST, heavy=True),
    Injection("audio stopped", processes.stop_audio, _LOST, heavy=True),
    Injection("jackd killed, 0.5 s", servers.server_half_a_second, _LOST, heavy=True),
    Injection("jackd back: other period", servers.other_period, _LOST, heavy=True, every=5),
    Injection("jackd back: other rate", servers.other_rate, _LOST, heavy=True, every=5),
    Injection("device gone and back", servers.device_away, _LOST + "|player is gone", heavy=True),
    Injection("plug-in crashes", _crash, _STRIP, ("worker_restarts",)),
    Injection("plug-in hangs", _hang, _STRIP, ("worker_restarts",)),
    Injection("plug-in answers NaN", _no_number, r"mic3: ", ("bad_results",)),
    Injection("strip's worker killed", _kill_worker, _STRIP, ("worker_restarts",)),
    Injection("strip's worker stopped 0.5 s", _stop_worker, _STRIP, ("worker_restarts", "late_strips")),
    Injection("recorder killed", _kill_recorder, "the recorder died"),
    Injection("supervisor stopped 2 s", _hold_supervisor),
    Injection("machine busy 2 s", _busy, "overload|load is", _LATE, spared=True),
    Injection("stderr full 1 s", _no_reader),
    Injection("MIDI port gone and back", _midi_away, "MIDI: .* is gone"),
    Injection("OSC flood 2 s", _flood, counts=("osc",)),
    Injection("preset broken and mended", _break_preset, "preset not reloaded"),
    Injection("snapshot broken and mended", _break_snapshot, "show is not read again"),
    Injection("NaN mic", _mic(lambda _: np.nan), counts=("bad_inputs",), ears=_OTHERS),
    Injection("infinite mic", _mic(lambda _: np.inf), counts=("bad_inputs",), ears=_OTHERS),
    Injection("mic with 1e30", _mic(_ones), counts=("bad_inputs",), ears=_OTHERS),
    Injection("full-scale mic", _mic(_full), counts=("clipped",), ears=_OTHERS),
    Injection("silent mic", _mic(lambda _: 0.0), ears=_OTHERS),
)
