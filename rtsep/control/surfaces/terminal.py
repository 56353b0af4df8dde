"""The terminal: what a run says and shows there, the keys that it obeys, and the progress of long work.

Two surfaces (`rtsep.control.surface`): `View` draws a picture on a terminal, `Lines` writes lines into anything else.
Neither ever waits for who reads there: all goes through a `rtsep.control.writer`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from rtsep.control.clearing import BUTTON
from rtsep.control.keyboard import Keyboard, foreground
from rtsep.control.keys import DOWN, UP
from rtsep.control.listening import IN, OUT, REMOVED, Listening
from rtsep.control.paint import fit, shown
from rtsep.control.writer import Writer
from rtsep.errors import InputError
from rtsep.figures import told

if TYPE_CHECKING:
    from rtsep.control.desk import Desk, Snapshots
    from rtsep.control.removed import Removed
    from rtsep.control.surface import Running

_DRAW_EVERY = 0.1     # seconds between two pictures
_STATUS_EVERY = 5.0   # seconds between two lines where there is no picture
_FIRST_WAIT = 2.0     # seconds of waiting after which a line says so; the next ones each after twice as long
_NOTES = 4            # messages that stay below the picture
_MOST_SAID = 50       # messages that are printed once more when the picture is gone
_FRESH = 5.0          # seconds in which a message takes the place of something else, if there is no other
_STOPPED = 1.0        # seconds without an update after which somebody else may have had the terminal
_SPINNER = "|/-\\"
# Ask for the second screen and hide the cursor; give both back. Clear the line and begin it again.
_OPEN, _CLOSE, _AGAIN = "\x1b[?1049h\x1b[?25l", "\x1b[?1049l\x1b[?25h", "\r\x1b[K"


class Lines:
    """Messages as lines on stderr, and one about the load every five seconds."""

    def __init__(self) -> None:
        self._writer = Writer(sys.stderr)
        self._shown = time.monotonic()
        self._next_wait = _FIRST_WAIT

    def say(self, text: str) -> None:
        """Write a message."""
        for line in text.splitlines():
            self._writer.line(shown(line))

    def wait(self, what: str, seconds: float) -> None:
        """Write a line now and then."""
        if seconds >= self._next_wait:
            self._next_wait = 2 * seconds
            self.say(f"{what}, {seconds:.0f} s")

    def update(self, running: Running) -> bool:
        """Write a line if it is time; nobody can ask to quit here."""
        now, get = time.monotonic(), running.meters.get
        if get("running"):
            self._next_wait = _FIRST_WAIT
            if now - self._shown >= _STATUS_EVERY:
                self._shown = now
                load, p99 = get("load"), get("block_us.p99")
                self.say(f"load {100 * load:.0f} %, p99 {p99:.0f} us, {told(get, 'view', ', ')}")
        return False

    def close(self) -> None:
        """Write what is left, as far as somebody reads it."""
        self._writer.close()


class View:
    """The picture on the terminal (stderr), ten times a second, and the keys; `close` gives the terminal back."""

    def __init__(self) -> None:
        self._writer = Writer(sys.stderr)
        self._keyboard = Keyboard()
        self._notes: deque[str] = deque(maxlen=_NOTES)
        self._said: deque[str] = deque(maxlen=_MOST_SAID)   # while there was a picture
        self._noted = 0.0
        self._removed: Removed | None = None
        self._open = False
        self._drawn = self._updated = 0.0
        self._waiting = ""
        self._plain = bool(os.environ.get("NO_COLOR"))

    def say(self, text: str) -> None:
        """Show a message: among the picture if there is one, else as a line."""
        self._noted = time.monotonic()
        for line in text.splitlines():
            self._notes.append(line)
            if self._open:
                self._said.append(line)
            else:
                self._writer.line(_AGAIN + shown(line))

    def wait(self, what: str, seconds: float) -> None:
        """Show what is waited for: in the picture if there is one, else in a line that lives."""
        self._waiting = f"{_SPINNER[int(seconds / _DRAW_EVERY) % len(_SPINNER)]} {what}, {seconds:.1f} s"
        if not self._open:
            self._writer.frame(_AGAIN + fit(self._waiting, self._size()[0] - 1).rstrip())

    def update(self, running: Running) -> bool:
        """Draw if it is time and obey keys; True when the user wants to quit."""
        from rtsep.control.removed import Removed

        now = time.monotonic()
        if self._removed is None:
            self._removed = Removed(len(running.desk.mics))
        self._removed.update(running.meters)
        ours = self._writer.file is None or foreground(self._writer.file)
        if ours and (not self._open or now - self._updated > _STOPPED):
            self._take()
        self._updated = now if ours else 0.0
        quit_ = False
        if ours:
            for key in self._keyboard.read():
                try:
                    quit_ |= press(key, running.desk, self.say)
                except InputError as error:   # of a snapshot
                    self.say(str(error))
            if now - self._drawn >= _DRAW_EVERY and not self._writer.gone:
                self._drawn = now
                self._draw(running, now)
        self._waiting = ""
        return quit_

    def close(self) -> None:
        """Give the terminal back as it was; what had been said is printed once more."""
        self._keyboard.close()
        if self._open:
            self._open = False
            self._writer.control(_CLOSE)
            for line in self._said:
                self._writer.line(shown(line))
        elif self._waiting:
            self._writer.control(_AGAIN)
        self._writer.close()

    def _take(self) -> None:
        self._writer.control(_OPEN if self._open else _AGAIN + _OPEN)
        self._open = True
        self._keyboard.open()

    def _draw(self, running: Running, now: float) -> None:
        from rtsep.control.paint import paint
        from rtsep.control.view import render

        assert self._removed is not None
        columns, rows = self._size()
        fresh = now - self._noted < _FRESH
        lines = render(running, self._removed.decibels(), columns, rows, tuple(self._notes), self._waiting, fresh)
        self._writer.frame(paint(lines, columns, rows, not self._plain))

    def _size(self) -> tuple[int, int]:
        try:
            size = os.get_terminal_size(2 if self._writer.file is None else self._writer.file)
        except OSError:
            size = os.terminal_size((0, 0))
        return _size(size.columns, "COLUMNS", 80), _size(size.lines, "LINES", 24)


def _size(said: int, variable: str, usual: int) -> int:
    """Return what a terminal says of its size, else what the environment says, else what is usual."""
    if said > 0:
        return said
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() and int(text) > 0 else usual


def press(key: str, desk: Desk, say: Callable[[str], None]) -> bool:
    """Do what a key means, and say what came of it where that is not seen; True for quit."""
    if key == "d":
        desk.toggle("output.dry_all")
    elif key == "m":
        desk.toggle("output.mute_all")
    elif key == "f":
        desk.freeze(not desk.frozen)
    elif key == "c":
        desk.set(BUTTON, 1.0)
    elif key == "s":
        desk.save()
    elif key in ("u", "y"):
        say(desk.undo() if key == "u" else desk.redo())
    elif key == " " and desk.transport is not None:
        desk.toggle("play.run")
    elif key == "r" and desk.transport is not None:
        desk.transport.locate(0.0)
    elif key == "l" and desk.transport is not None:
        desk.toggle("play.loop")
    elif desk.snapshots is not None and key in _SNAPSHOTS:
        _SNAPSHOTS[key](desk.snapshots)
    elif desk.ear is not None and key in _EAR:
        _EAR[key](desk.ear)
    elif desk.ear is not None and key == "b":
        desk.toggle("ear.dim")
    return key == "q"


_EAR: dict[str, Callable[[Listening], object]] = {
    UP: lambda ear: ear.step(-1), DOWN: lambda ear: ear.step(1),
    "i": lambda ear: ear.way(IN), "o": lambda ear: ear.way(OUT), "x": lambda ear: ear.way(REMOVED),
    "a": lambda ear: ear.pfl(), **{figure: partial(Listening.type, figure=figure) for figure in "0123456789"},
}
_SNAPSHOTS: dict[str, Callable[[Snapshots], object]] = {
    "n": lambda snapshots: snapshots.step(1), "p": lambda snapshots: snapshots.step(-1),
    "w": lambda snapshots: snapshots.store(),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep run` takes for it."""
    parser.add_argument("--no-view", action="store_true", help="no terminal view")


def open_surface(args: argparse.Namespace) -> View | Lines:
    """Return a picture on a terminal, or lines where there is none or nobody wants it."""
    return Lines() if args.no_view or not _on_terminal() else View()


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()   # None: it was closed before Python began


@contextlib.contextmanager
def progress(label: str) -> Iterator[Callable[[float], None]]:
    """Show a progress bar on a terminal, and none in a pipe; what it yields is told the share that is done, 0 to 1."""
    if not _on_terminal():
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=1.0)
        yield lambda done: bar.update(task, completed=done)
