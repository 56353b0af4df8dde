"""The terminal view of a running engine. It reads shared memory and writes the board; it never touches audio."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rtsep.meters import Meters
from rtsep.params import Board
from rtsep.presets import learning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rtsep.presets import Preset

_WINDOW = 2048        # frames over which the engine measures powers
_FLOOR_DB = -60.0     # left end of a bar
_BAR = 20
_SILENCE = 1e-8       # mean square (-80 dBFS) below which bleed removed means nothing


def render(
    preset: Preset, info: dict[str, Any], meters: Meters, board: Board, notes: Sequence[str] = ()
) -> RenderableType:
    """Draw one picture.

    Parameters
    ----------
    preset : Preset
    info : dict
        `sample_rate`, `device_latency_s` and `host_api` of the stream.
    meters : Meters
    board : Board
    notes : sequence of str
        The latest messages, shown below.
    """
    get = meters.get
    samples = get("latency")
    late = Text(f"xruns {get('xruns'):.0f}  late updates {get('late_updates'):.0f}")
    if get("xruns") or get("late_updates"):
        late.stylize("yellow")
    head = Text.assemble(
        (preset.name, "bold"), f" ({preset.latency_class})  latency {samples:.0f} samples "
        f"{1000 * samples / info['sample_rate']:.2f} ms + device {1000 * info['device_latency_s']:.1f} ms\n",
        f"{info['host_api']}  load {100 * get('load'):.0f} %  p99 {get('block_p99'):.0f} us  ", late,
    )
    table = Table(box=None, pad_edge=False)
    for column in ("mic", "in dBFS", "", "out dBFS", "", "bleed removed", "limiter"):
        table.add_column(column, no_wrap=True, justify="right" if column.endswith(("dBFS", "removed")) else "left")
    for c, mic in enumerate(board.mics):
        peak_in, peak_out = meters.level("in_peak")[c], meters.level("out_peak")[c]
        table.add_row(
            mic, f"{_db(peak_in):.1f}", _bar(peak_in), f"{_db(peak_out):.1f}", _bar(peak_out),
            _removed(meters.level("dry_power")[c], meters.level("out_power")[c]),
            _limiter(meters.level("limiter_gain")[c]),
        )
    keys = Text()
    for key, word, on in (
        ("d", "dry all", board.get("output.dry_all") > 0.5),
        ("m", "mute all", board.get("output.mute_all") > 0.5),
        ("f", "freeze", _frozen(preset, board)),
        ("q", "quit", False),
    ):
        keys.append(f" {key} {word}{' ON' if on else ''} ", "reverse" if on else "dim")
        keys.append(" ")
    return Group(head, table, keys, *(Text(note, "yellow") for note in notes))


def press(key: str, preset: Preset, board: Board) -> bool:
    """Do what a key means; True for quit."""
    if key == "d":
        board.set("output.dry_all", 1 - round(board.get("output.dry_all")))
    elif key == "m":
        board.set("output.mute_all", 1 - round(board.get("output.mute_all")))
    elif key == "f":
        learn = float(_frozen(preset, board))
        for path in learning(preset):
            board.set(path, learn)
    return key == "q"


class View:
    """The picture on the terminal (stderr), ten times a second, and the keys; `close` gives the terminal back."""

    _EVERY = 0.1

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._notes: deque[str] = deque(maxlen=4)
        self._live: Live | None = None
        self._drawn = 0.0
        self._terminal: Any = None

    def say(self, text: str) -> None:
        """Show a message: among the picture if there is one, else as a line."""
        self._notes.append(text)
        if self._live is None:
            self._console.print(text, markup=False, highlight=False)

    def update(self, preset: Preset, info: dict[str, Any], meters: Meters, board: Board) -> bool:
        """Draw if it is time and obey keys; True when the user wants to quit."""
        if self._live is None:
            self._open()
        quit_ = False
        for key in self._keys():
            quit_ |= press(key, preset, board)
        now = time.monotonic()
        if self._live is not None and now - self._drawn >= self._EVERY:
            self._drawn = now
            self._live.update(render(preset, info, meters, board, tuple(self._notes)), refresh=True)
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


def _frozen(preset: Preset, board: Board) -> bool:
    paths = learning(preset)
    return bool(paths) and all(board.get(path) < 0.5 for path in paths)


def _db(peak: float) -> float:
    return 20 * float(np.log10(max(float(peak), 1e-6)))


def _bar(peak: float) -> Text:
    db = _db(peak)
    full = round(_BAR * min(1.0, max(0.0, 1 - db / _FLOOR_DB)))
    return Text("█" * full + "·" * (_BAR - full), "red" if db > -3 else "yellow" if db > -12 else "green")


def _removed(dry: float, out: float) -> str:
    if dry < _SILENCE * _WINDOW:
        return "-"
    return f"{min(99.9, 10 * float(np.log10(dry / max(out, 1e-20)))):.1f} dB"


def _limiter(gain: float) -> Text:
    return Text("" if gain > 0.999 else f"{_db(gain):.1f} dB", "bold red")
