"""The terminal: what a run says and shows there, the keys that it obeys, and the progress of long work.

Two surfaces (`rtsep.control.surface`): `View` draws a picture on a terminal, `Lines` writes lines into anything else.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rtsep.figures import told

if TYPE_CHECKING:
    from rich.live import Live

    from rtsep.control.desk import Desk
    from rtsep.control.surface import Show

_DRAW_EVERY = 0.1     # seconds between two pictures
_STATUS_EVERY = 5.0   # seconds between two lines where there is no picture
_NOTES = 4            # messages that stay below the picture


class Lines:
    """Messages as lines on stderr, and one about the load every five seconds."""

    def __init__(self) -> None:
        self._shown = time.monotonic()

    def say(self, text: str) -> None:
        """Write a message."""
        print(text, file=sys.stderr, flush=True)

    def update(self, show: Show) -> bool:
        """Write a line if it is time; nobody can ask to quit here."""
        now, get = time.monotonic(), show.meters.get
        if get("running") and now - self._shown >= _STATUS_EVERY:
            self._shown = now
            self.say(f"load {100 * get('load'):.0f} %, p99 {get('block_us.p99'):.0f} us, {told(get, 'view', ', ')}")
        return False

    def close(self) -> None:
        """Nothing is to be given back."""


class View:
    """The picture on the terminal (stderr), ten times a second, and the keys; `close` gives the terminal back."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._notes: deque[str] = deque(maxlen=_NOTES)
        self._live: Live | None = None
        self._drawn = 0.0
        self._terminal: Any = None

    def say(self, text: str) -> None:
        """Show a message: among the picture if there is one, else as a line."""
        self._notes.append(text)
        if self._live is None:
            self._console.print(text, markup=False, highlight=False)

    def update(self, show: Show) -> bool:
        """Draw if it is time and obey keys; True when the user wants to quit."""
        from rtsep.control import view

        if self._live is None:
            self._open()
        quit_ = False
        for key in self._keys():
            quit_ |= press(key, show.desk)
        now = time.monotonic()
        if self._live is not None and now - self._drawn >= _DRAW_EVERY:
            self._drawn = now
            self._live.update(view.render(show, self._notes), refresh=True)
        return quit_

    def close(self) -> None:
        """Give the terminal back as it was; what had been said is printed once more."""
        if self._terminal is not None:
            import termios

            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._terminal)
            self._terminal = None
        if self._live is not None:
            self._live.stop()
            self._live = None
            for note in self._notes:
                self._console.print(note, markup=False, highlight=False)

    def _open(self) -> None:
        from rich.live import Live

        self._live = Live(console=self._console, auto_refresh=False, screen=True)
        self._live.start()
        # Keys one by one and unseen, where terminals can do that; Ctrl-C stays a signal.
        with contextlib.suppress(ImportError, OSError, ValueError):
            import termios
            import tty

            if sys.stdin.isatty():
                self._terminal = termios.tcgetattr(sys.stdin.fileno())
                tty.setcbreak(sys.stdin.fileno())

    def _keys(self) -> str:
        keys = ""
        while self._terminal is not None and select.select([sys.stdin], [], [], 0)[0]:
            pressed = os.read(sys.stdin.fileno(), 64).decode(errors="ignore").lower()
            if not pressed:
                break
            keys += pressed
        return keys


def press(key: str, desk: Desk) -> bool:
    """Do what a key means; True for quit."""
    if key == "d":
        desk.toggle("output.dry_all")
    elif key == "m":
        desk.toggle("output.mute_all")
    elif key == "f":
        desk.freeze(not desk.frozen)
    elif key == "s":
        desk.save()
    return key == "q"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep run` takes for it."""
    parser.add_argument("--no-view", action="store_true", help="no terminal view")


def open_surface(args: argparse.Namespace) -> View | Lines:
    """Return a picture on a terminal, or lines where there is none or nobody wants it."""
    return Lines() if args.no_view or not sys.stderr.isatty() else View()


@contextlib.contextmanager
def progress(label: str) -> Iterator[Callable[[float], None]]:
    """Show a progress bar on a terminal, and none in a pipe; what it yields is told the share that is done, 0 to 1."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=1.0)
        yield lambda done: bar.update(task, completed=done)
