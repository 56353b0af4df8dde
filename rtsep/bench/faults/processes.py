"""Faults of processes: killed, stopped, starved."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time

from rtsep.bench.faults import machine
from rtsep.bench.faults.trial import Fault, Limits, Trial
from rtsep.errors import DeviceError

_LOAD = 8                # endless loops beside
_STOPPED_SECONDS = 2.0   # between SIGSTOP and SIGCONT
_SHELL_SECONDS = 3.0     # between Ctrl-Z and fg
_TOGETHER_SECONDS = 2.0  # of two runs on one device
_OVERLOAD_SECONDS = 5.0  # in which it may shed
_SHED_SECONDS = 3.0      # after which hardly anything is to be heard of it
_MOST_XRUNS = 3          # in those; other programs cause some
_SAID = re.compile(r"already|another|second|other run")
_END_SECONDS = 2.0       # until whoever lost its supervisor has noticed


def _audio(trial: Trial) -> int:
    """Return the audio process; a signal to 0 would reach this program."""
    if not (audio := trial.program.audio()):
        raise DeviceError("there is no audio process")
    return audio


def kill_audio(trial: Trial) -> None:
    """Kill the audio process."""
    audio = _audio(trial)
    trial.struck = time.monotonic()
    os.kill(audio, signal.SIGKILL)


def kill_under_load(trial: Trial) -> None:
    """Kill it on a machine that has other things to do."""
    with machine.busy(_LOAD):
        time.sleep(1.0)
        kill_audio(trial)
        trial.wait_for_sound()


def stop_audio(trial: Trial) -> None:
    """Stop the audio process for good."""
    os.kill(_audio(trial), signal.SIGSTOP)


def stop_and_go(trial: Trial) -> None:
    """Stop it, and let it go on."""
    audio = _audio(trial)
    os.kill(audio, signal.SIGSTOP)
    time.sleep(_STOPPED_SECONDS)
    if machine.state(audio) == "T":
        os.kill(audio, signal.SIGCONT)


def suspend(trial: Trial) -> None:
    """Press Ctrl-Z, and type fg."""
    trial.program.type("\x1a")
    time.sleep(_SHELL_SECONDS)
    trial.notes["stopped"] = machine.state(trial.program.pid) == "T"
    trial.program.type("fg\n")


def kill_supervisor(trial: Trial) -> None:
    """Kill the parent; then start and end another run, which sweeps what the first has left."""
    program, since = trial.program, trial.since
    program.look()
    children = machine.descendants(program.pid)
    os.kill(program.pid, signal.SIGKILL)
    time.sleep(_END_SECONDS)
    if orphans := sum(machine.alive(child) for child in children):
        trial.wrong.append(f"orphans {orphans}")
    trial.notes["left_by_kill"] = program.leftovers()
    trial.since = time.monotonic()
    following = trial.start()
    machine.until(lambda: trial.sounds(0.5), trial.setting.patience, 0.1)
    trial.notes["next_code"] = following.end()
    trial.since = since


def second_run(trial: Trial) -> None:
    """Start another run on the same device."""
    other = trial.start("other")
    machine.until(lambda: len(_clients(trial)) > 1 or not other.alive(), trial.setting.patience, 0.1)
    time.sleep(_TOGETHER_SECONDS)
    trial.notes["second_code"] = other.end()
    trial.notes["second_said"] = said = other.said()[-3:]
    if not any(_SAID.search(text) for text in said):
        trial.wrong.append("the second run does not say that there is another one")


def _clients(trial: Trial) -> set[str]:
    ports = machine.connections(trial.server).get("player:mic_1", set())
    return {port.partition(":")[0] for port in ports}


def overload(trial: Trial) -> None:
    """Let it work for so many mics that it may be too much."""
    time.sleep(_OVERLOAD_SECONDS)
    before = trial.device.get("xruns")
    time.sleep(_SHED_SECONDS)
    trial.notes["last_xruns"] = last = trial.device.get("xruns") - before
    if last > _MOST_XRUNS:
        trial.wrong.append("crackles on")


def hog(_trial: Trial) -> None:
    """Keep the processors busy with ordinary processes."""
    with machine.busy(_LOAD):
        time.sleep(_END_SECONDS)


def interrupt_twice(trial: Trial) -> None:
    """End by force, by Ctrl-C twice, to see what is left."""
    program = trial.program
    program.look()
    for _ in range(2):
        os.kill(program.pid, signal.SIGINT)
        time.sleep(0.05)
    try:
        program.process.wait(5)
    except subprocess.TimeoutExpired:
        trial.notes["hangs"] = True


FAULTS = (
    Fault("audio killed", kill_audio),
    Fault("audio killed, load 8", kill_under_load),
    Fault("audio SIGSTOP", stop_audio),
    Fault("audio SIGSTOP, SIGCONT", stop_and_go),
    Fault("ctrl-z, fg", suspend, terminal=True),
    Fault("supervisor killed", kill_supervisor, Limits(silence=None, goes_on=False)),
    Fault("ctrl-c twice", interrupt_twice, Limits(silence=None, goes_on=False)),
    Fault("two runs", second_run, Limits(peak=False), gain=4.0),   # JACK adds them up: it can only be said
    Fault("load 8", hog, Limits(silence=0.02, repeat=0.02)),
    Fault("32 mics, 64 frames", overload, Limits(silence=0.1, repeat=0.1, says=True), mics=32, period=64,
          steady=0.05),
)
