"""Signals: what a run is asked for from outside: to stop, or to read its preset again."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

# What a terminal sends to everything that was started from it: keys, and that it is gone.
_OF_TERMINALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGHUP", "SIGQUIT", "SIGTSTP", "SIGTTIN", "SIGTTOU")
    if hasattr(signal, name)   # Windows has few
)

_ECHO = 5.0   # seconds in which the system and every shell may send SIGHUP for one closed window


class Signals:
    """Takes note of signals.

    Parameters
    ----------
    end_on_hangup : bool
        SIGHUP asks to stop.

    Attributes
    ----------
    stops : int
        How often it was asked to stop: Ctrl-C or SIGTERM.
    reload : bool
        Whether SIGHUP came, and not because the terminal was closed; whoever obeys it takes it back.
    """

    def __init__(self, end_on_hangup: bool = False) -> None:
        self.stops = 0
        self.reload = False
        self._end_on_hangup = end_on_hangup
        self._left = -math.inf   # when the terminal was closed

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Take note while the block runs."""
        handlers: dict[int, Callable[[int, Any], None]] = {signal.SIGINT: self._stop, signal.SIGTERM: self._stop}
        if hasattr(signal, "SIGHUP"):   # none on Windows
            handlers[signal.SIGHUP] = self._hang_up
        self._on_terminal = os.isatty(0)
        before = {kind: signal.signal(kind, handler) for kind, handler in handlers.items()}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)

    def _stop(self, _kind: int, _frame: object) -> None:
        self.stops += 1

    def _hang_up(self, _kind: int, _frame: object) -> None:
        if self._end_on_hangup:
            self.stops += 1
        elif self._on_terminal and not os.isatty(0):   # its window was closed: the show goes on without
            self._on_terminal, self._left = False, time.monotonic()
        elif time.monotonic() - self._left > _ECHO:
            self.reload = True


@contextlib.contextmanager
def left_alone() -> Iterator[None]:
    """Let processes that are started in the block ignore, from their first instruction on, what a terminal sends."""
    before = {kind: signal.signal(kind, signal.SIG_IGN) for kind in _OF_TERMINALS}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def leave_terminal() -> None:
    """Leave the terminal's session: nothing that is typed or done there reaches this process any more."""
    for kind in _OF_TERMINALS:
        signal.signal(kind, signal.SIG_IGN)
    if hasattr(os, "setsid"):
        with contextlib.suppress(OSError):   # it leads a group already
            os.setsid()
