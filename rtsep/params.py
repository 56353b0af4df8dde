"""Param: what a user may turn. Board: where every parameter's target stands, for all processes to write."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError
from rtsep.shared import Shared

# What presets loaded later may add: parameters of every mic, and others (chains of plug-ins have hundreds).
_SPARE_PER_MIC, _SPARE = 32, 4096


@dataclass(frozen=True)
class Param:
    """A value that may change at any time; the data plane ramps to it.

    Parameters
    ----------
    name : str
        May have dots in it, where a stage has parts: `vox.comp.threshold_db`.
    unit : str
        `dB`, `ms`, `on` (0 or 1) or empty.
    low, high, default : float
        In `unit`.
    per_mic : bool
        One value for each microphone, else one for all.
    help : str
        One sentence.
    """

    name: str
    unit: str
    low: float
    high: float
    default: float
    per_mic: bool
    help: str

    def check(self, place: str, value: object) -> float:
        """Return `value` as a float, or raise InputError naming `place` and the range."""
        allowed = f"a number from {self.low:g} to {self.high:g}" + (f" {self.unit}" if self.unit else "")
        if isinstance(value, int):
            value = _float(value)
        if not isinstance(value, float) or not math.isfinite(value):
            raise InputError(place, f"{value!r} is not a number", f"allowed is {allowed}")
        if not self.low <= value <= self.high:
            raise InputError(place, f"{value:g} is out of range", f"allowed is {allowed}")
        return float(value)


def _float(value: int) -> float:
    """Return infinity for what is too large: it is refused like any other number out of range."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


@dataclass(frozen=True)
class Option:
    """A setting that is fixed when a stage is prepared; changing it rebuilds the stage.

    Parameters
    ----------
    name : str
    kind : type
        `int`, `float`, `bool`, `str` or `list`.
    default : object
    low, high : float
        Range of numbers.
    multiple_of : int
        Integers must be multiples of this.
    choices : tuple of str
        Allowed strings; empty: any.
    help : str
        One sentence.
    """

    name: str
    kind: type
    default: Any
    help: str
    low: float = -math.inf
    high: float = math.inf
    multiple_of: int = 1
    choices: tuple[str, ...] = ()

    def check(self, place: str, value: object) -> Any:
        """Return `value` if it is allowed, or raise InputError naming `place` and what is."""
        allowed = self.allowed()
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = _float(value)
        if not isinstance(value, self.kind) or (isinstance(value, bool) and self.kind is not bool):
            raise InputError(place, f"{value!r} is not allowed", f"allowed is {allowed}")
        if isinstance(value, int | float) and not isinstance(value, bool):
            outside = not self.low <= value <= self.high
            if outside or (isinstance(value, int) and value % self.multiple_of):
                raise InputError(place, f"{value!r} is not allowed", f"allowed is {allowed}")
        if self.choices and value not in self.choices:
            raise InputError(place, f"{value!r} is not allowed", f"allowed is {allowed}")
        return value

    def allowed(self) -> str:
        """Return in words what is allowed."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        words = {int: "an integer", float: "a number", bool: "true or false", str: "a string", list: "a list"}
        text = words[self.kind]
        if self.low > -math.inf:
            text += f" from {self.low:g} to {self.high:g}"
        if self.multiple_of > 1:
            text += f", a multiple of {self.multiple_of}"
        return text


class Board:
    """Targets of all parameters, one float32 vector, in shared memory when it has a name.

    Paths are `stage.param` (all microphones at once) and `stage.param.mic`, where `mic` is a name or a number
    from 1. An aligned float32 is written whole on every machine that numba compiles for, so no lock is needed.

    Parameters
    ----------
    mics : sequence of str
        Names of the microphones.
    params : iterable of (stage name, params)
        In the order in which they are laid out; the same in every process.
    name : str, optional
        Shared memory to use. With `create` it is made, and `close` removes it.
    create : bool

    Attributes
    ----------
    values : float32[targets]
    used : int64[1]
        How many are laid out, in this process.
    extended : int
        How often more have been.
    """

    def __init__(
        self,
        mics: Sequence[str],
        params: Iterable[tuple[str, Sequence[Param]]],
        name: str | None = None,
        create: bool = True,
    ) -> None:
        self.mics = tuple(mics)
        self._places: dict[str, tuple[Param, int]] = {}
        self.used: NDArray[np.int64] = np.zeros(1, np.int64)
        self.extended = 0
        self._copy: NDArray[np.float32] | None = None
        self._still: NDArray[np.float32] | None = None
        params = list(params)
        used = sum(self._width(param) for _, group in params for param in group)
        size = used + _SPARE_PER_MIC * len(self.mics) + _SPARE
        self._memory = Shared({"values": (np.float32, (size,))}, name, create)
        self.values: NDArray[np.float32] = self._memory["values"]
        self.extend(params, fill=create)

    def latch(self) -> NDArray[np.float32]:
        """Return a copy of `values` from which all stages read that are prepared from now on; it changes when told.

        Whoever runs them brings it up to date, between two pieces of sound: see `rtsep_kernels.plane.latch`.
        """
        if self._copy is None:
            self._copy = np.zeros_like(self.values)
        self.refresh()
        return self._copy

    @property
    def latched(self) -> NDArray[np.float32]:
        """What stages read: the copy, if there is one."""
        if self._still is not None:
            return self._still
        return self.values if self._copy is None else self._copy

    @contextlib.contextmanager
    def still(self, values: NDArray[np.float32]) -> Iterator[None]:
        """Let stages that ask meanwhile read these values, which nobody changes."""
        self._still = values
        try:
            yield
        finally:
            self._still = None

    def refresh(self) -> None:
        """Bring the copy up to date, while nothing runs that reads it."""
        if self._copy is not None:
            self._copy[:] = self.values

    @property
    def name(self) -> str | None:
        """Of the shared memory; None: the board is private."""
        return self._memory.name

    def extend(self, params: Iterable[tuple[str, Sequence[Param]]], fill: bool = True) -> None:
        """Lay out further parameters behind those there are; known paths stay where and as they are.

        Every process that has the board must do it in the same order; `fill` is for one of them.

        Raises
        ------
        InputError
            If the room that was spared for them is used up; then nothing is laid out.
        """
        told = [(f"{stage}.{param.name}", param) for stage, group in params for param in group]
        # Another kind of stage may have come by a name: its parameter stays where it was if that has room for it.
        fresh = {path: param for path, param in told if self._room(path) < self._width(param)}
        if self.used[0] + sum(map(self._width, fresh.values())) > self.values.size:
            raise InputError(next(iter(fresh)), "the board is full", "restart with this preset instead of reloading it")
        for path, param in told:
            if path in fresh:
                place, width = int(self.used[0]), self._width(param)
                self._places[path] = (fresh[path], place)
                if fill:
                    self.values[place : place + width] = param.default
                self.used[0] += width   # last: from here on it is latched
                del fresh[path]
            else:
                self._places[path] = (param, self._places[path][1])
        self.extended += 1

    def set(self, path: str, value: float) -> None:
        """Set a target.

        Raises
        ------
        InputError
            If there is no such path, or `value` is out of range.
        """
        param, places = self._find(path)
        self.values[places] = param.check(path, value)

    def get(self, path: str) -> float:
        """Return a target; of `stage.param`, the first microphone's."""
        return float(self.values[self._find(path)[1]][0])

    def seen(self, path: str) -> float:
        """Return a target as stages read it."""
        return float(self.latched[self._find(path)[1]][0])

    def paths(self) -> list[str]:
        """Return all paths without the microphones' names."""
        return list(self._places)

    def param(self, path: str) -> Param:
        """Return what stands at a path.

        Raises
        ------
        InputError
            If nothing does.
        """
        return self._find(path)[0]

    def spread(self, path: str) -> list[str]:
        """Return the paths of single targets that a path means: one for each microphone, or itself."""
        param, places = self._find(path)
        several = param.per_mic and places.stop - places.start == len(self.mics) and path in self._places
        return [f"{path}.{mic}" for mic in self.mics] if several else [path]

    def changed(self, before: NDArray[np.float32], now: NDArray[np.float32]) -> dict[str, float]:
        """Return the targets that differ between two copies of `values`, the new ones by path, of each single one."""
        found = {}
        if not np.array_equal(before, now):
            different = (before != now).tolist()
            for path, (param, first) in tuple(self._places.items()):
                for n in range(self._width(param)):
                    if different[first + n]:
                        found[f"{path}.{self.mics[n]}" if param.per_mic else path] = float(now[first + n])
        return found

    def address(self, path: str) -> int:
        """Return the address of the first microphone's target: what a stage's state record holds."""
        return int(self.latched.ctypes.data + 4 * self._places[path][1])

    def restore(self, path: str, value: float) -> None:
        """Set a target to what it has been before: it was checked then, as it was before it was rounded to float32.

        Raises
        ------
        InputError
            If there is no such path.
        """
        self.values[self._find(path)[1]] = value

    def labels(self) -> list[str]:
        """Return the path of every single target, in the order of `values`; empty where nothing stands any more."""
        labels = [""] * int(self.used[0])
        for path, (param, place) in tuple(self._places.items()):
            for n, name in enumerate([f".{mic}" for mic in self.mics] if param.per_mic else [""]):
                labels[place + n] = path + name
        return labels

    def close(self) -> None:
        """Remove the shared memory if this side made it; the values stay readable."""
        self._memory.close()

    def _room(self, path: str) -> int:
        """Return how many targets are laid out for a path."""
        return self._width(self._places[path][0]) if path in self._places else 0

    def _width(self, param: Param) -> int:
        """Return how many targets a parameter has."""
        return len(self.mics) if param.per_mic else 1

    def _find(self, path: str) -> tuple[Param, slice]:
        key, mic = located(path, self._places)
        if not key:
            raise InputError(path, "there is no such parameter", f"known: {', '.join(self._places)}")
        param, place = self._places[key]
        if not mic or not param.per_mic:
            if mic:
                raise InputError(path, "this parameter is one for all microphones", f"use {key}")
            return param, slice(place, place + self._width(param))
        if mic in self.mics:
            index = self.mics.index(mic)
        elif mic.isdecimal() and 1 <= int(mic) <= len(self.mics):
            index = int(mic) - 1
        else:
            known = ", ".join(self.mics)
            raise InputError(path, f"there is no microphone {mic!r}", f"known: {known} or 1 to {len(self.mics)}")
        return param, slice(place + index, place + index + 1)


def located(path: str, known: Container[str]) -> tuple[str, str | None]:
    """Take a path apart: into what of it is a known parameter's, and the microphone, whose name may have dots as well.

    Parameters
    ----------
    path : str
        `stage.param` or `stage.param.mic`.
    known : container of str
        Paths of parameters.

    Returns
    -------
    key : str
        The longest one that `path` begins with; empty: there is none.
    mic : str or None
        What follows; None: nothing does.
    """
    key, mic = path, None
    while key not in known:
        key, dot, _ = key.rpartition(".")
        if not dot:
            return "", None
        mic = path[len(key) + 1 :]
    return key, mic
