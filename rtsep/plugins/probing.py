"""What a plug-in of a file is like: test-loaded in a child process, which may crash or hang; and kept in a cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rtsep.errors import InputError
from rtsep.params import Param

SECONDS = 30.0   # that a child gets


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
        Values in that unit, at equal steps of the plug-in's own 0 to 1.
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
        1: it takes a mono mic as it is; 2: it is fed the mic twice.
    knobs : tuple of Knob
    declared : int
        Latency that it says it has, samples.
    measured : int or None
        Latency of an impulse; None: nothing that could be measured came out.
    p50_ms, max_ms : float
        Time for one unit.
    nan : bool
        It answered with something that is no number.
    main_thread : bool
        It must be loaded by the main thread of its process.
    late_params : bool
        A parameter takes effect only a block later.
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
    nan: bool
    main_thread: bool
    late_params: bool

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
        raise NotImplementedError


def probe(
    plugin: str, path: str = "", rate: int = 48000, unit: int = 64, state: bytes = b"", seconds: float = SECONDS,
    place: str = "plugin", fresh: bool = False,
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

    Raises
    ------
    PluginProblem
        If it cannot be used.
    InputError
        If there is none.
    """
    raise NotImplementedError


def cache_folder() -> Path:
    """Return where probes are kept."""
    raise NotImplementedError
