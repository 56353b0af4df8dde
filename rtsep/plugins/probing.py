"""What a plug-in of a file is like: test-loaded in a child process, which may crash or hang; and kept in a cache."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from rtsep import atomic
from rtsep.errors import InputError
from rtsep.params import Param
from rtsep.plugins.finding import locate

SECONDS = 30.0   # that a child gets
_CHANCE = 4      # slow units, of 400, that may be the machine's: stalls come now and then whatever runs
_VERSION = 1     # of what is kept; another one is asked for anew

# Not a `multiprocessing.Process`: see `rtsep.stages.remote.supervise`.
_PROGRAM = (
    "import json, sys; told = json.loads(sys.stdin.readline()); sys.path[:] = told['path']; "
    "from rtsep.plugins.child import main; main(told)"
)


class PluginProblem(InputError):
    """A plug-in cannot be used, and why in one line: it crashes, hangs, cannot be loaded, is an instrument."""


@dataclass(frozen=True)
class Knob:
    """A parameter of a plug-in.

    Parameters
    ----------
    param : Param
        Its name is safe in paths; its values are in the unit that the plug-in shows, or 0 to 1 where that is no number.
        Its default is what the plug-in began with.
    index : int
        Which of the plug-in's own parameters it is.
    label : str
        The plug-in's own name of it.
    curve : tuple of float
        Values in that unit, at equal steps of the plug-in's own 0 to 1; it only rises, or only falls.
    choices : tuple of str
        Of an enumerated one: its values are 0, 1, 2 …
    """

    param: Param
    index: int
    label: str
    curve: tuple[float, ...]
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Probe:
    """What a plug-in is like, at one rate and unit.

    Parameters
    ----------
    name, manufacturer, version, uid : str
    path : str
    mtime : float
    size : int
        Bytes.
    rate, unit : int
    channels : int
        1: it takes a mono mic as it is; 2: it is fed the mic twice, or two mics.
    knobs : tuple of Knob
    declared : int
        Latency that it says it has, samples.
    measured : int or None
        Latency of an impulse; None: nothing that could be measured came out.
    p50_ms, max_ms : float
        Time for one unit.
    slow : int
        Units, of a few hundred, that took longer than they last.
    nan : bool
        It answered with something that is no number.
    main_thread : bool
        It can be loaded by the main thread of its process only.
    late_params : bool
        A parameter takes effect only a block later.
    latency_knobs : tuple of str
        Parameters that move its latency, whether it says so or not.
    breaks_at : str
        The parameter at which it crashed or hung when it was turned to its ends; empty: at none.
    state_kept : bool
        A state that is loaded reads back the same, without its editor having been open.
    """

    name: str
    manufacturer: str
    version: str
    uid: str
    path: str
    mtime: float
    size: int
    rate: int
    unit: int
    channels: int
    knobs: tuple[Knob, ...]
    declared: int
    measured: int | None
    p50_ms: float
    max_ms: float
    slow: int
    nan: bool
    main_thread: bool
    late_params: bool
    latency_knobs: tuple[str, ...]
    breaks_at: str
    state_kept: bool

    @property
    def latency(self) -> int:
        """What it really adds, samples: what was measured, else what it says."""
        return self.declared if self.measured is None else self.measured

    @property
    def agrees(self) -> bool:
        """Whether it says what was measured; also if nothing could be."""
        return self.measured in (None, self.declared)

    @property
    def notes(self) -> list[str]:
        """What should be said of it before a show, a line each: it lies about its latency, is slow, answers NaN."""
        block_ms = 1000 * self.unit / self.rate
        told = []
        if self.slow > _CHANCE:
            told.append(f"{self.slow} units took longer than their {block_ms:.2f} ms, up to {self.max_ms:.1f} ms")
        if self.p50_ms > block_ms / 2:
            told.append(f"takes {self.p50_ms:.2f} ms of the {block_ms:.2f} ms that a unit lasts")
        return self.habits + told

    @property
    def habits(self) -> list[str]:
        """What of that is so whatever the unit and the machine."""
        told = []
        if not self.agrees:
            told.append(f"says {self.declared} samples of latency, but an impulse takes {self.measured}")
        if self.measured is None and not self.nan:
            told.append(f"no impulse comes through, so its latency of {self.declared} samples is what it says")
        if self.nan:
            told.append("answers what is no number: its dry input is heard then")
        if self.late_params:
            told.append("takes its parameters over a block late")
        if self.breaks_at:
            told.append(f"crashes or hangs when {self.breaks_at} is turned to its ends")
        if not self.state_kept:
            told.append("does not read back a state that was loaded: some take it over only when their editor was open")
        return told


def probe(
    plugin: str, path: str = "", rate: int = 48000, unit: int = 64, state: bytes = b"", seconds: float = SECONDS,
    place: str = "plugin", fresh: bool = False, width: int = 1,
) -> Probe:
    """Look a plug-in up, or test-load it in a child process.

    Parameters
    ----------
    plugin, path : str
        As `SlotConfig` has them.
    rate, unit : int
    state : bytes
        `raw_state` that it is given first.
    seconds : float
        The child is ended after so many.
    place : str
        Of the setting, for errors.
    fresh : bool
        Do not look it up.
    width : int
        Mics that it has to take at once, as its channels.

    Raises
    ------
    PluginProblem
        If it cannot be used.
    InputError
        If there is none.
    """
    file = locate(plugin, path, place)
    mtime, size = _stamp(file)
    key = [_VERSION, plugin, str(file), mtime, size, hosted_by(), rate, unit, width,
           hashlib.sha256(state).hexdigest()]
    kept = cache_folder() / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]}.json"
    if not fresh:
        with suppress(OSError, ValueError, KeyError, TypeError):   # none there, or one that is not whole
            return _read(json.loads(kept.read_bytes()))
    told = _ask({"plugin": plugin, "file": str(file), "rate": rate, "unit": unit, "width": width,
                 "state": base64.b64encode(state).decode()}, seconds, place)
    found = _read({**told, "path": str(file), "mtime": mtime, "size": size, "rate": rate, "unit": unit})
    with suppress(OSError, InputError):   # then it is asked again next time
        kept.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(kept) as out:
            out.write(json.dumps(dataclasses.asdict(found)).encode())
    return found


@cache
def hosted_by() -> str:
    """Return the version of pedalboard; looking for it takes a tenth of a second."""
    return metadata.version("pedalboard")


def cache_folder() -> Path:
    """Return where probes are kept: `rtsep/plugins` in the user's cache folder (XDG_CACHE_HOME)."""
    told = os.environ.get("XDG_CACHE_HOME")
    return Path(told or Path.home() / ".cache") / "rtsep" / "plugins"


def _stamp(file: Path) -> tuple[float, int]:
    """Return when the newest part of a plug-in was made, and its size: of a bundle, of all its files."""
    parts = [one.stat() for one in ([file] if file.is_file() else file.rglob("*")) if one.is_file()]
    return max((part.st_mtime for part in parts), default=0.0), sum(part.st_size for part in parts)


def answered(told: Mapping[str, Any], seconds: float) -> tuple[dict[str, Any], str]:
    """Have a child look at a plug-in, and end it; returns what it said, and how it ended: `hung`, or its exit code."""
    with tempfile.TemporaryDirectory(prefix="rtsep-probe-") as folder:
        answer = Path(folder) / "answer"
        answer.touch()
        child = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True, cwd=folder,
        )
        line = json.dumps({**told, "path": [os.path.abspath(one) for one in sys.path], "answer": str(answer)})
        hung = False
        try:
            child.communicate(line.encode() + b"\n", timeout=seconds)
        except subprocess.TimeoutExpired:
            hung = True
        finally:
            _end(child)
        lines = [json.loads(one) for one in answer.read_text().splitlines() if one.endswith("}")]
    said: dict[str, Any] = {}
    for one in lines:
        said |= one
    return said, "hung" if hung else _how(child.returncode)


def _ask(told: Mapping[str, Any], seconds: float, place: str) -> dict[str, Any]:
    """Have a child load the plug-in; its word is final, its silence too."""
    said, end = answered(told, seconds)
    name, doing = Path(str(told["file"])).name, said.get("doing", "being loaded")
    if "problem" in said:
        raise PluginProblem(place, f"{name} {said['problem']}", str(said.get("allowed", "")))
    if "main_thread" in said:
        return {**said, "breaks_at": ""}
    if "latency_knobs" in said:   # it died of being loaded by another thread, and of nothing else
        return {**said, "breaks_at": "", "main_thread": True}
    if "turned" in said:          # of that parameter: the chain is warned, the user may keep away from it
        return {**said, "breaks_at": said["turned"], "latency_knobs": [], "main_thread": True}
    if end == "hung":
        raise PluginProblem(place, f"{name} hangs while {doing} ({seconds:g} s)", "take it out of the chain")
    raise PluginProblem(place, f"{name} crashes while {doing} ({end})", "take it out of the chain")


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a child, and what its plug-in has started."""
    if sys.platform != "win32":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.wait()
    if child.stdin:
        with suppress(OSError):
            child.stdin.close()


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"


def _read(told: Mapping[str, Any]) -> Probe:
    knobs = tuple(
        Knob(Param(**knob["param"]), knob["index"], knob["label"], tuple(knob["curve"]), tuple(knob["choices"]))
        for knob in told["knobs"]
    )
    fields = {field.name: told[field.name] for field in dataclasses.fields(Probe)}
    return Probe(**{**fields, "knobs": knobs, "latency_knobs": tuple(told["latency_knobs"])})
