"""Standby: an audio process that is warm and silent, and takes over when the one that plays is lost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rtsep.hosts.process import OPENING, READY

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable

    from rtsep.hosts.life import Stand
    from rtsep.hosts.process import AudioProcess

_AFTER = 0.5              # seconds of sound after which one is made: until then the first needs the machine
# Seconds before one that died, or was taken, is replaced; doubled as long as they die.
_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_DEATHS = 3               # in a row, after which it is made without what was learnt
_RENEW_EVERY = 5.0        # seconds: as often as what is learnt is kept
_RENEW_SHARE = 0.05       # of a core, at most, goes to keeping it up to date


class Standby:
    """Keeps one audio process standing by, with what has been learnt until lately.

    Parameters
    ----------
    make : callable
        Starts one.
    keep : Path
        Where what is learnt is kept.
    """

    def __init__(self, make: Callable[[], AudioProcess], keep: pathlib.Path) -> None:
        self._make, self._keep = make, keep
        self._process: AudioProcess | None = None
        self._due = math.inf
        self._deaths = 0
        self._seconds = 0.0          # that it takes to renew it
        self._renewed = 0.0          # when it was last asked for that
        self._known = 0              # time stamp of what it knows

    @property
    def ready(self) -> bool:
        """Whether one could take over at once."""
        return self._process is not None and self._process.phase == READY

    def need(self, now: float) -> None:
        """Make one soon, unless there is one; the sound has just begun."""
        if self._process is None:
            self._due = now + _AFTER

    def replace(self, now: float) -> None:
        """Make another one soon: what this one has made is of no use any more."""
        self.close()
        self.need(now)

    def update(self, now: float, stand: Callable[[], Stand]) -> None:
        """Look after it; the sound has begun. `stand` is asked when one has been loaded."""
        if self._process is None:
            if now >= self._due:
                self._process, self._renewed, self._known = self._make(), now, self._stamp()
            return
        for word, *content in self._process.messages():
            if word == "loaded":
                self._process.send("go", stand())
            elif word == "ready":
                self._process.enter(READY)
                self._seconds, self._deaths = content[0], 0
        if self._process.dead:
            self._process.kill()
            self._process = None
            self._due = now + min(_LONGEST_PAUSE, _PAUSE * 2**self._deaths)
            self._deaths += 1
            if self._deaths >= _DEATHS:   # what was learnt may be what it dies of
                self._keep.unlink(missing_ok=True)
        elif self.ready and now - self._renewed > max(_RENEW_EVERY, self._seconds / _RENEW_SHARE):
            stamp = self._stamp()
            if stamp != self._known:
                self._process.send("renew")
                self._renewed, self._known = now, stamp

    def take(self, now: float) -> AudioProcess:
        """Give it away, ready or not; the next is made soon, also while this one waits for the device."""
        process, self._process = self._process or self._make(), None
        self._due = now + _PAUSE
        if process.phase == READY:
            process.enter(OPENING)
        return process

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process = None
        self._due = math.inf

    def _stamp(self) -> int:
        try:
            return self._keep.stat().st_mtime_ns
        except OSError:
            return 0


