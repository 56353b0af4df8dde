"""What a test needs to know of a system that runs live; each family lists its own in `live_*.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rtsep.stage import Stage
from rtsep.systems.separator import Separator


@dataclass(frozen=True)
class Live:
    """A stage, the offline system that does the same, and how they are fed.

    Parameters
    ----------
    stage, offline : callable
        Make one each, with the same parameters; for 16 kHz.
    parts : tuple of str
        Part n is what the stage leaves when `keep` is n. Empty: the stage has no `keep`, and each mic keeps its own
        part, the offline part with its name.
    channels : int
    """

    stage: Callable[[], Stage]
    offline: Callable[[], Separator]
    parts: tuple[str, ...] = ()
    channels: int = 3
