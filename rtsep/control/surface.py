"""Surface: what a host talks to a person through.

It is told what runs, looks at meters, and turns what the desk has; it never touches audio. The terminal is one.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rtsep.control.desk import Desk
    from rtsep.meters import Meters


def _unheard(_text: str) -> None:
    """Where nobody listens."""


@dataclass(frozen=True)
class Running:
    """What is running.

    Parameters
    ----------
    desk : Desk
        What sounds, and all that can be turned.
    info : dict
        Of the stream: at least `sample_rate`, `device_latency_s` and `host_api`.
    meters : Meters
        Read them.
    say : callable
        Passes on a message to all surfaces; for the supervisor's thread.
    """

    desk: Desk
    info: dict[str, Any]
    meters: Meters
    say: Callable[[str], None] = _unheard


class Surface(Protocol):
    """Whatever a host may open, update about ten times a second, and close."""

    def say(self, text: str) -> None:
        """Pass on a message."""

    def wait(self, what: str, seconds: float) -> None:
        """Show what the run waits for, and how long already; called as often as `update`, before it."""

    def update(self, running: Running) -> bool:
        """Show what runs and do what was asked for; True when that is to quit."""

    def close(self) -> None:
        """Give back what was taken, the terminal for example."""


class Surfaces:
    """Several surfaces as one.

    Parameters
    ----------
    surfaces : sequence of Surface
    """

    def __init__(self, surfaces: Sequence[Surface]) -> None:
        self._surfaces = tuple(surfaces)

    def say(self, text: str) -> None:
        """See `Surface.say`."""
        for surface in self._surfaces:
            surface.say(text)

    def wait(self, what: str, seconds: float) -> None:
        """See `Surface.wait`."""
        for surface in self._surfaces:
            surface.wait(what, seconds)

    def update(self, running: Running) -> bool:
        """See `Surface.update`: every one is updated, whoever wants to quit."""
        quit_ = False
        for surface in self._surfaces:
            quit_ |= surface.update(running)
        return quit_

    def close(self) -> None:
        """See `Surface.close`."""
        for surface in reversed(self._surfaces):
            surface.close()


def kinds() -> list[ModuleType]:
    """Return the modules of all surfaces there are, by name."""
    from rtsep.control import surfaces

    return [importlib.import_module(f"{surfaces.__name__}.{m.name}") for m in pkgutil.iter_modules(surfaces.__path__)]


def open_all(args: argparse.Namespace) -> Surfaces:
    """Open every surface that was asked for."""
    opened = (kind.open_surface(args) for kind in kinds())
    return Surfaces([surface for surface in opened if surface is not None])
