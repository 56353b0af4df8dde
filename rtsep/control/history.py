"""History: what has been turned, step by step, whoever has turned it; the last step can be taken back, and done again.

A recall is one step, and so is what a hand does to one knob without a pause. What stands apart of recalls (panics, the
ear, what learns) is no step: who takes back a mistake does not want the microphones back that were muted for it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from rtsep.params import Board
from rtsep.presets import Preset
from rtsep.show.scope import any_matches, apart

MOST_STEPS = 100   # what a hand can have done in some minutes; nobody counts back further
PAUSE = 1.0        # seconds without a turn after which the next one of the same knob is another step

Halt = Callable[[frozenset[str]], Mapping[str, float]]
"""Given single paths, stops what moves them by itself, and returns where each was on its way to."""


@dataclass
class _Step:
    name: str
    key: str                   # what goes on of the same key is the same step; empty: nothing does
    values: dict[str, float]   # by single path: as they were before
    last: float


class History:
    """The steps of a desk; any thread may.

    Parameters
    ----------
    board : Board
    preset : callable
        Returns the one that sounds.
    clock : callable
        Seconds that pass.

    Attributes
    ----------
    halts : list of Halt
        Asked before a step is taken back.
    """

    def __init__(
        self, board: Callable[[], Board], preset: Callable[[], Preset], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._board, self._preset, self._clock = board, preset, clock
        self._back: deque[_Step] = deque(maxlen=MOST_STEPS)
        self._forth: deque[_Step] = deque(maxlen=MOST_STEPS)
        self._lock = threading.Lock()
        self._open = threading.local()
        self._apart: tuple[object, dict[str, bool]] = (None, {})
        self.halts: list[Halt] = []

    def before(self, path: str) -> dict[str, float]:
        """Return how the single targets of a path stand: to be noted when it has been turned.

        Raises
        ------
        InputError
            If there is no such path.
        """
        board = self._board()
        return {single: board.get(single) for single in board.spread(path)}

    def note(self, path: str, before: Mapping[str, float], moves: bool = False) -> None:
        """Note that a path has been turned; `moves`: it is about to, by itself."""
        if self._stands_apart(path):
            return
        board = self._board()
        turned = {one: value for one, value in before.items() if moves or board.get(one) != value}
        step: _Step | None = getattr(self._open, "step", None)
        if step is None:
            self._add(_Step(path, path, turned, self._clock()))
        else:
            for one, value in turned.items():
                step.values.setdefault(one, value)

    @contextlib.contextmanager
    def together(self, name: str = "", key: str = "") -> Iterator[None]:
        """Let all that this thread turns meanwhile be one step.

        Parameters
        ----------
        name : str
            How it is called when it is taken back; default: by what it turned.
        key : str
            Steps of the same key that follow one another without a pause are one.
        """
        if getattr(self._open, "step", None) is not None:
            yield
            return
        self._open.step = step = _Step(name, key, {}, 0.0)
        try:
            yield
        finally:
            self._open.step = None
            step.last = self._clock()
            first, more = next(iter(step.values), ""), len(step.values) - 1
            step.name = name or first + (f" and {more} more" if more > 0 else "")
            self._add(step)

    def back(self) -> str:
        """Take the last step back; returns what to say of it."""
        return self._go(self._back, self._forth, "undone")

    def forth(self) -> str:
        """Do again what was taken back last, if nothing has been turned since."""
        return self._go(self._forth, self._back, "done again")

    def forget(self) -> None:
        """Begin here."""
        with self._lock:
            self._back.clear()
            self._forth.clear()

    def _add(self, step: _Step) -> None:
        if not step.values:
            return
        with self._lock:
            self._forth.clear()
            for known in reversed(self._back):
                if step.last - known.last > PAUSE:
                    break
                if step.key and known.key == step.key:
                    known.values = {**step.values, **known.values}
                    known.last = step.last
                    return
                if not known.values.keys().isdisjoint(step.values):   # a recall, and then the knob again
                    break
            self._back.append(step)

    def _go(self, source: deque[_Step], other: deque[_Step], word: str) -> str:
        while True:
            with self._lock:
                if not source:
                    return f"nothing that could be {word}"
                step = source.pop()
            going: dict[str, float] = {}
            for halt in self.halts:
                going |= halt(frozenset(step.values))
            board, was = self._board(), {}
            known = set(board.labels())
            for path, value in step.values.items():
                if path in known:   # another preset may have come by
                    was[path] = going.get(path, board.get(path))
                    param = board.param(path)
                    board.restore(path, min(max(value, param.low), param.high))
            if any(was[path] != step.values[path] for path in was):
                with self._lock:
                    other.append(_Step(step.name, "", was, 0.0))
                return f"{word}: {step.name}"

    def _stands_apart(self, path: str) -> bool:
        preset = self._preset()
        if self._apart[0] is not preset:
            self._apart = (preset, {})
        known = self._apart[1]
        if path not in known:
            known[path] = any_matches(apart(preset), path)
        return known[path]
