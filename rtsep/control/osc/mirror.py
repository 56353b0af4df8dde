"""Mirror: the desk of a run as the process that serves OSC sees it, on a board of its own.

What is set here stands here at once, and is on its way to the run. Until that has taken it, nothing that it tells of
the same targets counts: it may be older. What only the run can do is asked of it, and waited for, but not long.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rtsep import presets
from rtsep.control.desk import Desk
from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.params import Board
    from rtsep.presets import Preset


class Command(NamedTuple):
    """What the run is asked to do.

    Parameters
    ----------
    name : str
        Of `rtsep.control.osc.server.COMMANDS`.
    values : tuple
        What goes with it.
    """

    name: str
    values: tuple[object, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What a run tells beside its targets.

    Parameters
    ----------
    waits : bool
        Whether it waits for a device.
    info : dict
        As `rtsep.control.surface.Running` has it: what is asked for of it.
    listing : tuple of (int, str)
        The snapshots of the show; empty if none is open.
    current : int or None
        The one that was recalled last.
    safe : tuple of str
        Patterns of the paths that no recall turns.
    """

    waits: bool
    info: Mapping[str, object]
    listing: tuple[tuple[int, str], ...] = ()
    current: int | None = None
    safe: tuple[str, ...] = ()


class Turn(NamedTuple):
    """A value that is on its way.

    Parameters
    ----------
    value : float
    group : int
        What has the same belongs together; 0: to nothing.
    """

    value: float
    group: int


class Mirror(Desk):
    """A desk to be turned, whose targets go somewhere else.

    Parameters
    ----------
    preset : Preset
    mics : sequence of str
    ask : callable
        Has the run do a command, behind all that is on its way; raises its InputError.

    Attributes
    ----------
    turns : dict of str to Turn
        By path, in the order of the last words; whoever sends them takes them out with `leave`.
    facts : Facts
    """

    def __init__(self, preset: Preset, mics: Sequence[str], ask: Callable[[Command], None], facts: Facts) -> None:
        super().__init__(_Still(preset, presets.make_board(preset, mics)))
        self._own, self._ask = self._playing.board, ask
        self.turns: dict[str, Turn] = {}
        self._pending: dict[str, int] = {}   # by single path: in which batch its value leaves
        self._batch = 1                      # that leaves next
        self._group = self._groups = 0
        self.snapshots = _Snapshots(self, self._ask)   # the run says whether a show is open
        self.facts = facts

    def stand(self, preset: Preset) -> None:
        """Go over to what sounds now."""
        self._own.extend(presets.layout(preset))
        self._playing = _Still(preset, self._own)

    def set(self, path: str, value: float) -> None:
        """See `Desk.set`; it goes to the run soon."""
        self._own.set(path, value)
        self.turns.pop(path, None)   # the order of the last words is what counts
        self.turns[path] = Turn(value, self._group)
        for single in self.spread(path):
            self._pending[single] = self._batch

    def leave(self) -> tuple[int, dict[str, Turn]]:
        """Return what is to be sent now, and its number."""
        turns, self.turns = self.turns, {}
        self._batch += 1
        return self._batch - 1, turns

    def take(self, taken: int, values: Mapping[str, float]) -> None:
        """Take over how targets stand with the run, which has taken batches up to a number."""
        for path, value in values.items():
            if self._pending.get(path, 0) <= taken:
                with contextlib.suppress(InputError):   # of another preset, or of a recording that is played
                    self._own.restore(path, value)
        self._pending = {path: batch for path, batch in self._pending.items() if batch > taken}

    @contextlib.contextmanager
    def together(self, name: str = "", key: str = "") -> Iterator[None]:
        """See `Desk.together`; one within another is a part of it. What it is called the run finds out."""
        del name, key
        outer = self._group
        if not outer:
            self._groups += 1
            self._group = self._groups
        try:
            yield
        finally:
            self._group = outer

    def undo(self) -> str:
        """See `Desk.undo`; the run says what was."""
        self._ask(Command("undo"))
        return ""

    def redo(self) -> str:
        """See `Desk.redo`; the run says what was."""
        self._ask(Command("redo"))
        return ""


class _Still(NamedTuple):
    """Who plays nothing: `Desk` asks it for preset and board."""

    preset: Preset
    board: Board

    def reload(self, preset: Preset) -> str:
        raise NotImplementedError(preset.name)


class _Snapshots:
    """The snapshots of the run's show, at a distance; see `rtsep.control.desk.Snapshots`."""

    def __init__(self, mirror: Mirror, ask: Callable[[Command], None]) -> None:
        self._mirror, self._ask = mirror, ask

    @property
    def current(self) -> int | None:
        return self._mirror.facts.current

    def listing(self) -> list[tuple[int, str]]:
        return list(self._mirror.facts.listing)

    def go(self, which: int | str) -> None:
        self._ask(Command("go", (which,)))

    def step(self, by: int) -> None:
        self._ask(Command("step", (by,)))

    def store(self, name: str = "") -> int:
        self._ask(Command("store", (name,)))
        return self._mirror.facts.current or 0

    @property
    def safe(self) -> tuple[str, ...]:
        return self._mirror.facts.safe

    def keep_safe(self, pattern: str, on: bool) -> None:
        self._ask(Command("safe", (pattern, on)))
