"""Surface: what a host talks to a person through.

It is told what runs, looks at meters, and turns what the desk has; it never touches audio. The terminal is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rtsep.control.desk import Desk
    from rtsep.meters import Meters


@dataclass(frozen=True)
class Show:
    """What is running.

    Parameters
    ----------
    desk : Desk
        What sounds, and all that can be turned.
    info : dict
        Of the stream: at least `sample_rate`, `device_latency_s` and `host_api`.
    meters : Meters
        Read them.
    """

    desk: Desk
    info: dict[str, Any]
    meters: Meters


class Surface(Protocol):
    """Whatever a host may open, update about ten times a second, and close."""

    def say(self, text: str) -> None:
        """Pass on a message."""

    def update(self, show: Show) -> bool:
        """Show what runs and do what was asked for; True when that is to quit."""

    def close(self) -> None:
        """Give back what was taken, the terminal for example."""
