"""Signals: what a run is asked for from outside: to stop, or to read its preset again."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any


class Signals:
    """Takes note of signals.

    Attributes
    ----------
    stops : int
        How often it was asked to stop: Ctrl-C or SIGTERM.
    reload : bool
        Whether SIGHUP came; whoever obeys it takes it back.
    """

    def __init__(self) -> None:
        self.stops = 0
        self.reload = False

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Take note while the block runs."""
        handlers: dict[int, Callable[[int, Any], None]] = {signal.SIGINT: self._stop, signal.SIGTERM: self._stop}
        if hasattr(signal, "SIGHUP"):   # none on Windows
            handlers[signal.SIGHUP] = self._reload
        self._on_terminal = os.isatty(0)
        before = {kind: signal.signal(kind, handler) for kind, handler in handlers.items()}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)

    def _stop(self, _kind: int, _frame: object) -> None:
        self.stops += 1

    def _reload(self, kind: int, _frame: object) -> None:
        if self._on_terminal and not os.isatty(0):   # its window was closed: end, as programs do
            signal.signal(kind, signal.SIG_DFL)
            signal.raise_signal(kind)
        self.reload = True
