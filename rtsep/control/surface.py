"""Surface: what a host talks to a person through.

It is told what runs, looks at meters, and turns what the board has; it never touches audio. The terminal is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rtsep.meters import Meters
    from rtsep.params import Board
    from rtsep.presets import Preset


@dataclass(frozen=True)
class Show:
    """What is running.

    Parameters
    ----------
    preset : Preset
    info : dict
        Of the stream: at least `sample_rate`, `device_latency_s` and `host_api`.
    meters : Meters
        Read them.
    board : Board
        Write it.
    """

    preset: Preset
    info: dict[str, Any]
    meters: Meters
    board: Board


class Surface(Protocol):
    """Whatever a host may open, update about ten times a second, and close."""

    def say(self, text: str) -> None:
        """Pass on a message."""

    def update(self, show: Show) -> bool:
        """Show what runs and do what was asked for; True when that is to quit."""

    def close(self) -> None:
        """Give back what was taken, the terminal for example."""
