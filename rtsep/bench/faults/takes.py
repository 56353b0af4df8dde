"""Takes: whether the files that a run has recorded are whole, also after all its processes were killed."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import struct
import time
from typing import Any

from rtsep.bench.faults import machine, verdicts
from rtsep.bench.faults.show import RECORDING, Show
from rtsep.bench.faults.trial import Setting
from rtsep.errors import DeviceError

MOST_LOST = 1.0        # seconds of a recording
_PLAYED_SECONDS = 3.0  # before and after the reader of stdout goes away


def look(folder: pathlib.Path) -> dict[str, Any]:
    """Return what is in the files of a take.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict
        `frames`: by file, or what is wrong with it. `cues`: by file, how many. `lines`: how often each kind is in the
        list of what happened. `placed`: how many of its lines have a place in the sound.
    """
    import soundfile

    lines = []
    for text in (folder / "recording.jsonl").read_text().splitlines():
        with contextlib.suppress(ValueError):   # the last one may be half a line
            lines.append(json.loads(text))
    kinds = [line["kind"] for line in lines]
    frames: dict[str, int | str] = {}
    for name in ("in.wav", "out.wav"):
        try:
            frames[name] = soundfile.info(folder / name).frames
        except (OSError, soundfile.LibsndfileError) as error:
            frames[name] = str(error)
    return {
        "frames": frames, "cues": {name: cues(folder / name) for name in frames},
        "lines": {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        "placed": sum("first" in line for line in lines),
        "exit": next((line for line in lines if line["kind"] == "end"), None),
    }


def cues(path: pathlib.Path) -> int:
    """Return how many places the cue list of a WAV or RF64 file has; 0: there is none."""
    with open(path, "rb") as file:
        head = file.read(12)
        sound = 0   # bytes, where RF64 says so
        while len(chunk := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", chunk)
            if name == b"ds64":
                sound = struct.unpack("<QQ", file.read(16))[1]
                file.seek(size - 16, os.SEEK_CUR)
                continue
            if name == b"cue ":
                return int(struct.unpack("<I", file.read(4))[0])
            size = sound if name == b"data" and head[:4] == b"RF64" else size
            file.seek(size + size % 2, os.SEEK_CUR)
    return 0


def wrong(found: dict[str, Any], seconds: float, rate: int, ended: bool, ending: float = 0.0) -> list[str]:
    """Return what is wrong with a take, in words.

    Parameters
    ----------
    found : dict
        Of `look`.
    seconds : float
        How long the run has sounded.
    rate : int
        Hz.
    ended : bool
        In good order: then both files are equally long, and their cue lists name all that has a place.
    ending : float
        Seconds that it took to end, while it was recorded on.
    """
    problems = [f"{name}: {frames}" for name, frames in found["frames"].items() if isinstance(frames, str)]
    counts = [frames for frames in found["frames"].values() if not isinstance(frames, str)]
    problems += [f"{seconds - frames / rate:+.2f} s lost" for frames in counts if seconds - frames / rate > MOST_LOST]
    most = seconds + ending + MOST_LOST
    problems += [f"{n / rate - seconds:.2f} s too long" for n in counts if n / rate > most]
    if ended:
        if len(set(counts)) > 1:
            problems.append("files of different lengths")
        if found["exit"] is None or found["exit"]["frames"] not in counts:
            problems.append("its end is not said")
        problems += [
            f"{name}: {count} cues for {found['placed']} places" for name, count in found["cues"].items()
            if count != found["placed"]
        ]
    return problems


def end_all_at_once(show: Show) -> dict[str, Any]:
    """Take the reader of stdout from a show that sounds, then kill all its processes; return what is left of it.

    Parameters
    ----------
    show : Show
    """
    since = show.begin()
    time.sleep(_PLAYED_SECONDS)
    show.program.deafen("stdout")
    time.sleep(_PLAYED_SECONDS)
    blind = show.well(show.ears)
    show.program.look()
    for pid in [show.program.pid, *machine.descendants(show.program.pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    seconds = time.monotonic() - since
    show.program.process.wait()
    found = look(show.folder / RECORDING)
    problems = wrong(found, seconds, show.setting.rate, ended=False)
    lost = [seconds - n / show.setting.rate for n in found["frames"].values() if not isinstance(n, str)]
    return {
        **found, "lost_s": round(max(lost), 3) if lost else None,
        "wrong": problems + ([] if blind else ["not heard without a reader of stdout"]),
    }


def fill_disk(setting: Setting) -> dict[str, Any]:
    """Record onto a disk that is too small, in a run of its own; return what came of it."""
    (fault,) = verdicts.find(["disk full"])
    try:
        outcome = verdicts.attempt(setting, fault)
    except (DeviceError, PermissionError) as error:
        return {"not_tried": str(error), "wrong": []}
    return {
        "silence_ms": round(1000 * outcome.silence, 1), "peak_db": round(outcome.peak_db, 2), "notes": outcome.notes,
        "said": outcome.said, "wrong": verdicts.beyond(outcome, fault.limits),
    }
