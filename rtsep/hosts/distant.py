"""Distant: the engine of another process, as a desk on this side sees it (`rtsep.control.desk.Playing`)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rtsep.presets import layout

if TYPE_CHECKING:
    from collections.abc import Callable

    from rtsep.params import Board
    from rtsep.presets import Preset


class Distant:
    """Hands presets on one by one, and knows which one sounds.

    Parameters
    ----------
    preset : Preset
        What sounds first.
    board : Board
        Shared, laid out for it.
    send : callable
        Passes a message to the process.

    Attributes
    ----------
    laid : list of Preset
        All that the board has been laid out for, in order: who attaches to it does the same.
    asked_at : float
        When the process was last asked for a preset, `time.monotonic()`.
    """

    def __init__(self, preset: Preset, board: Board, send: Callable[..., None]) -> None:
        self.preset, self.board = preset, board
        self.laid = [preset]
        self.asked_at = 0.0
        self._send = send
        self._waiting: Preset | None = None
        self._asked: Preset | None = None

    def reload(self, preset: Preset) -> str:
        """See `Playing.reload`; of several that wait for one on its way the latest is meant."""
        self._waiting = preset
        return "asked"

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is on its way."""
        return self._waiting is None and self._asked is None

    def hand_on(self) -> None:
        """Ask for what waits, unless something is on its way; the process runs.

        Raises
        ------
        InputError
            If the board has no room for its parameters; then it is dropped.
        """
        if self._waiting is None or self._asked is not None:
            return
        preset, self._waiting = self._waiting, None
        paths = len(self.board.paths())
        self.board.extend(layout(preset))
        if len(self.board.paths()) > paths:
            self.laid.append(preset)
        self._asked, self.asked_at = preset, time.monotonic()
        self._send("reload", preset)

    def answered(self, taken: bool) -> Preset:
        """Take note of the answer; returns what sounds now."""
        if taken and self._asked is not None:
            self.preset = self._asked
        self._asked = None
        return self.preset

    def ask_again(self) -> None:
        """Take note that the process has ended with its device: what was on its way waits for the next."""
        self._waiting, self._asked = self._waiting or self._asked, None

    def give_up(self) -> bool:
        """Take note that the process has died; True if a preset was on its way, which may be why: it is dropped."""
        lost, self._asked = self._asked is not None, None
        return lost
