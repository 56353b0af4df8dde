"""Faults of what goes in and out: loud sums, broken microphones, a full disk, a folder that is taken."""

from __future__ import annotations

import os
import pathlib
import subprocess
import time

import numpy as np

from rtsep.bench.faults import machine
from rtsep.bench.faults.trial import Fault, Limits, Setting, Trial
from rtsep.stage import Block

_LOUD = 4.0             # a mic's peaks then reach full scale
_LISTEN_SECONDS = 3.0
_BROKEN_SECONDS = 1.0   # for which a mic is broken; 0.1 s for what is out of range
_BRIEF_SECONDS = 0.1
_SMALL_DISK = "1m"      # less than a second and a half of two files of four mics
_REFUSED = 2            # exit code of bad input
_AUDIBLE = Limits(silence=0.1, repeat=0.1)


def one_output(folder: pathlib.Path, _setting: Setting) -> list[str]:
    """Lead three mics to one output."""
    path = folder / "map.csv"
    path.write_text("mic,in,out\nvox,1,1\nkick,2,1\nsnare,3,1\n")
    return ["--map", str(path)]


def record(folder: pathlib.Path, _setting: Setting) -> list[str]:
    """Record into a folder."""
    return ["--record", str(folder / "record")]


def record_small(folder: pathlib.Path, _setting: Setting) -> list[str]:
    """Record into a folder on a small disk."""
    disk = folder / "small"
    disk.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_SMALL_DISK}", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if done.returncode:
        raise PermissionError("a small disk needs root")
    return ["--record", str(disk / "record")]


def listen(_trial: Trial) -> None:
    """Do nothing but listen."""
    time.sleep(_LISTEN_SECONDS)


def _break(trial: Trial, sound: Block | float, seconds: float) -> None:
    """Put something in place of a mic for a while."""
    mics = trial.device.mics.array
    kept = mics[0].copy()
    mics[0] = sound
    time.sleep(seconds)
    mics[0] = kept
    time.sleep(_LISTEN_SECONDS)


def not_a_number(trial: Trial) -> None:
    """Send NaN from one mic."""
    _break(trial, np.nan, _BROKEN_SECONDS)


def infinite(trial: Trial) -> None:
    """Send infinity from one mic."""
    _break(trial, np.inf, _BROKEN_SECONDS)


def huge(trial: Trial) -> None:
    """Send a hundred times full scale, either way, from one mic."""
    signs = np.sign(np.random.default_rng(2).standard_normal(trial.sound.shape[1]))
    _break(trial, (100 * signs).astype(np.float32), _BRIEF_SECONDS)


def one_huge_sample(trial: Trial) -> None:
    """Send samples of 1e30, ten a second, from one mic."""
    sound = trial.sound[0].copy()
    sound[:: trial.setting.rate // 10] = 1e30
    _break(trial, sound, _BROKEN_SECONDS)


def full_scale(trial: Trial) -> None:
    """Send full-scale noise from one mic."""
    noise = 2 * np.random.default_rng(3).random(trial.sound.shape[1], np.float32) - 1
    _break(trial, noise, _BROKEN_SECONDS)


def silent_mic(trial: Trial) -> None:
    """Send digital silence from one mic."""
    _break(trial, 0.0, _BROKEN_SECONDS)


def disk_full(trial: Trial) -> None:
    """Listen to what happens when the recording has no room; look at the two files."""
    if not machine.until(lambda: trial.program.said_at("record", 0.0) is not None, _LISTEN_SECONDS):
        trial.wrong.append("not said while it runs")


def look_at_recording(folder: pathlib.Path) -> dict[str, int | str]:
    """Return the frames of each file of a recording, or what is wrong with it."""
    import soundfile

    found: dict[str, int | str] = {}
    for path in sorted(folder.glob("*.wav")):
        try:
            found[path.name] = soundfile.info(path).frames
        except soundfile.LibsndfileError as error:
            found[path.name] = str(error)
    return found


def same_folder(trial: Trial) -> None:
    """Start another run that records into the same folder."""
    folder = trial.folder / "record"
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}
    other = trial.start("other")
    machine.until(lambda: not other.alive(), trial.setting.patience)
    trial.notes["second_code"] = code = other.end()
    if code != _REFUSED:
        trial.wrong.append("the second run is not refused")
    trial.notes["second_said"] = other.said()[-2:]
    kept = all((folder / name).exists() and os.stat(folder / name).st_ino == node for name, node in before.items())
    if not kept:
        trial.wrong.append("the first recording is lost")


FAULTS = (
    Fault("three mics on one output", listen, Limits(silence=0.1), one_output, gain=_LOUD, ears=(0,)),
    Fault("NaN mic", not_a_number, _AUDIBLE),
    Fault("infinite mic", infinite, _AUDIBLE),
    Fault("mic at +-100", huge, _AUDIBLE),
    Fault("mic with 1e30", one_huge_sample, _AUDIBLE),
    Fault("full-scale mic", full_scale, _AUDIBLE),
    Fault("silent mic", silent_mic, _AUDIBLE),
    Fault("disk full", disk_full, Limits(silence=0.1, repeat=0.1, code=4), record_small),
    Fault("two runs record into one folder", same_folder, Limits(), record),
)
