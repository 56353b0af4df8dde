"""Keyboard: keys one by one and unseen, where a terminal can do that; Ctrl-C and Ctrl-Z stay signals."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator
from typing import Any

from rtsep.control.keys import split


class Keyboard:
    """Standard input, if it is a terminal. Whatever becomes of that, nothing is raised and nobody is stopped."""

    def __init__(self) -> None:
        self._file: int | None = None
        self._before: list[Any] | None = None
        self._begun = ""   # of a key that is said in several signs
        self._gone = False
        with contextlib.suppress(AttributeError, OSError, ValueError):   # None, closed, or not a file
            if os.isatty(sys.stdin.fileno()):
                self._file = sys.stdin.fileno()

    def open(self) -> None:
        """Take the terminal over; once more after somebody else has had it."""
        if self._file is None:
            return
        with _terminal():
            import termios
            import tty

            if self._before is None:
                self._before = termios.tcgetattr(self._file)
            tty.setcbreak(self._file, termios.TCSANOW)   # and do not wait for a terminal that has stopped

    def read(self) -> list[str]:
        """Return what has been pressed: letters, and the names of `rtsep.control.keys`."""
        text = ""
        if self._before is None or self._gone or self._file is None:
            return []
        try:
            with _terminal(raising=True):
                while select.select([self._file], [], [], 0)[0]:
                    pressed = os.read(self._file, 64).decode(errors="ignore").lower()
                    if not pressed:
                        self._gone = True
                        break
                    text += pressed
        except (OSError, ValueError):
            self._gone = True
        # What has begun comes whole at the next look, or was the key Escape.
        keys, self._begun = split(self._begun + text) if text else ([], "")
        return keys

    def close(self) -> None:
        """Give the terminal back as it was."""
        if self._file is not None and self._before is not None and foreground(self._file):
            with _terminal():
                import termios

                termios.tcsetattr(self._file, termios.TCSANOW, self._before)
        self._before = None


def foreground(file: int) -> bool:
    """Whether a terminal is ours to draw on: it has given itself to no other job of its shell."""
    try:
        return os.tcgetpgrp(file) == os.getpgrp()
    except (AttributeError, OSError):   # Windows, or no terminal that controls jobs
        return True


@contextlib.contextmanager
def _terminal(raising: bool = False) -> Iterator[None]:
    """Let nothing that a terminal does to others in its background stop this process, and errors pass unless wanted."""
    stops = {getattr(signal, name) for name in ("SIGTTIN", "SIGTTOU") if hasattr(signal, name)}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stops) if stops else set()
    try:
        yield
    except Exception:   # OSError, or termios.error, which is none
        if raising:
            raise
    finally:
        if stops:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
