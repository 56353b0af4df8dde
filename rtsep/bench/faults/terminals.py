"""Faults of whoever looks on: the terminal, the readers of stderr and stdout, SIGHUP.

None of them may be heard. After each the audio process is killed: a run that hangs in writing, or has quietly lost its
mind, does not come back from that.
"""

from __future__ import annotations

import os
import signal
import time

from rtsep.bench.faults.processes import kill_audio
from rtsep.bench.faults.trial import Fault, Trial

_BLIND_SECONDS = 3.0   # without a view, before the second fault


def _go_on(trial: Trial) -> None:
    time.sleep(_BLIND_SECONDS)
    trial.notes["alive_without_view"] = trial.program.alive() and trial.sounds()
    if trial.program.audio():
        kill_audio(trial)


def close_terminal(trial: Trial) -> None:
    """Close the window in which it runs."""
    trial.program.pid   # noqa: B018 - looked up while its shell is there
    trial.program.close_terminal()
    _go_on(trial)


def hold_terminal(trial: Trial) -> None:
    """Press Ctrl-S; later Ctrl-Q."""
    trial.program.type("\x13")
    _go_on(trial)
    trial.wait_for_sound()
    trial.program.type("\x11")


def lose_stderr(trial: Trial) -> None:
    """End the reader of stderr."""
    trial.program.deafen("stderr")
    _go_on(trial)


def lose_stdout(trial: Trial) -> None:
    """End the reader of stdout."""
    trial.program.deafen("stdout")
    _go_on(trial)


def fill_stderr(trial: Trial) -> None:
    """Keep the reader of stderr from reading."""
    trial.program.fill()
    _go_on(trial)


def hang_up(trial: Trial) -> None:
    """Send SIGHUP."""
    os.kill(trial.program.pid, signal.SIGHUP)
    _go_on(trial)


FAULTS = (
    Fault("terminal closed", close_terminal, terminal=True),
    Fault("ctrl-s", hold_terminal, terminal=True),
    Fault("stderr's reader gone", lose_stderr),
    Fault("stdout's reader gone", lose_stdout),
    Fault("stderr full", fill_stderr),
    Fault("SIGHUP", hang_up),
)
