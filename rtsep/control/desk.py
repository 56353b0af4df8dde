"""The desk: what every control surface turns, whoever runs the engine, in this process or in another one."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from rtsep import presets
from rtsep.catalogue.strips import states_of, with_states
from rtsep.control.history import History
from rtsep.errors import InputError
from rtsep.params import Board, Param
from rtsep.presets import Preset
from rtsep.session import check_block, with_settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rtsep.control.listening import Listening


class Playing(Protocol):
    """Whoever runs an engine: the `Engine` itself, or who has another process run one."""

    @property
    def board(self) -> Board:
        """Where the targets stand."""

    @property
    def preset(self) -> Preset:
        """What sounds."""

    def reload(self, preset: Preset) -> str:
        """Go over to a preset, now or soon; returns what it took, or `asked` if that will be known later."""


class Snapshots(Protocol):
    """The snapshots of a show, whoever keeps them; any thread may ask."""

    @property
    def current(self) -> int | None:
        """Number of the one that was recalled last; None: none was."""

    def listing(self) -> list[tuple[int, str]]:
        """Return number and name of each, in the order of the show."""

    def go(self, which: int | str) -> None:
        """Recall one by its number or name.

        Raises
        ------
        InputError
            If there is none.
        """

    def step(self, by: int) -> None:
        """Recall the one that stands so far behind the current one; at the ends nothing happens."""

    def store(self, name: str = "") -> int:
        """Store what stands on the desk, and return the number; one of that name, or number, is stored anew.

        Raises
        ------
        InputError
            If it is no name, or there are too many.
        """

    @property
    def safe(self) -> tuple[str, ...]:
        """Patterns of the paths that no recall turns, see `rtsep.show.scope`."""

    def keep_safe(self, pattern: str, on: bool) -> None:
        """Let no recall turn what a pattern means, or let it again."""


class Transport(Protocol):
    """Of a recording that is played in place of the inputs; `play.run` and `play.loop` are on the board."""

    @property
    def seconds(self) -> float:
        """How long it is."""

    @property
    def position(self) -> float:
        """Seconds into it."""

    def locate(self, seconds: float) -> None:
        """Go to a place; any thread may.

        Raises
        ------
        InputError
            If there is no such second.
        """


class Desk:
    """Turns, freezes and reloads what plays; touches no audio.

    Parameters
    ----------
    playing : Playing
    settings : sequence of str
        `path=value` each, on top of whatever preset is loaded: what the user said at the start.
    block : int, optional
        Frames per block of the sound card, whatever a preset says; default: the preset's.
    save : callable, optional
        Has what was learnt kept in a file, and says to the user, now or soon, what has become of that.

    Attributes
    ----------
    snapshots : Snapshots or None
        Of the show that is open; None: there is none.
    transport : Transport or None
        None: the inputs are heard.
    history : History
        What has been turned.
    ear : Listening or None
        What keys choose for the ear; None: no output is given to that.
    states : dict of str to str
        With which plug-ins run or are going to, where these are not the preset's own: base64 by path.
    """

    def __init__(
        self, playing: Playing, settings: Sequence[str] = (), block: int | None = None,
        save: Callable[[], None] | None = None,
    ) -> None:
        self._playing = playing
        self._settings = tuple(settings)
        self._block = block
        self._save = save
        self._turning = threading.Lock()
        self.history = History(lambda: self._playing.board, lambda: self._playing.preset)
        self.snapshots: Snapshots | None = None
        self.transport: Transport | None = None
        self.ear: Listening | None = None
        self._coming: Preset | None = None
        self._loads = 0   # of states
        self.settled()

    def settled(self) -> None:
        """Take note that nothing is on its way: with what plug-ins run is what the preset that sounds says."""
        self._coming, self.states = None, states_of(self.preset)

    @property
    def preset(self) -> Preset:
        """What sounds now."""
        return self._playing.preset

    @property
    def mics(self) -> tuple[str, ...]:
        """Names of the microphones."""
        return self._playing.board.mics

    def paths(self) -> list[str]:
        """Return what can be turned now: the paths of the preset's parameters, without the microphones' names."""
        chain = [f"{stage}.{param.name}" for stage, params in presets.layout(self.preset) for param in params]
        return chain + ([] if self.transport is None else ["play.run", "play.loop"])

    def param(self, path: str) -> Param:
        """Return what stands at a path; see `Board.param`."""
        return self._playing.board.param(path)

    def spread(self, path: str) -> list[str]:
        """Return the single targets that a path means; see `Board.spread`."""
        return self._playing.board.spread(path)

    def every(self) -> list[str]:
        """Return the path of every single target that can be turned now."""
        return [single for path in self.paths() for single in self.spread(path)]

    @property
    def values(self) -> NDArray[np.float32]:
        """All targets, as they stand just now: float32[targets], not to be written to; see `Board.changed`."""
        return self._playing.board.values

    def changed(self, before: NDArray[np.float32], now: NDArray[np.float32]) -> dict[str, float]:
        """Return the targets that differ between two copies of `values`; see `Board.changed`."""
        return self._playing.board.changed(before, now)

    def get(self, path: str) -> float:
        """Return a target; see `Board.get`."""
        return self._playing.board.get(path)

    def set(self, path: str, value: float) -> None:
        """Set a target, to which the sound ramps; any thread may.

        Raises
        ------
        InputError
            If there is no such path, or `value` is out of range.
        """
        with self._turning:
            before = self.history.before(path)
            self._playing.board.set(path, value)
        self.history.note(path, before)

    def together(self, name: str = "", key: str = "") -> contextlib.AbstractContextManager[None]:
        """Let all that is set meanwhile by this thread be one step of the history; see `History.together`."""
        return self.history.together(name, key)

    def undo(self) -> str:
        """Take back the last step of what was turned, on whatever surface; returns what to say of it."""
        return self.history.back()

    def redo(self) -> str:
        """Do again what was taken back last; returns what to say of it."""
        return self.history.forth()

    def move(self, path: str, seen: float, value: float) -> bool:
        """Set a target that still stands where it was last seen; False: somebody else has turned it, and wins.

        Raises
        ------
        InputError
            As `set` does.
        """
        with self._turning:
            board = self._playing.board
            if board.get(path) != seen:
                return False
            board.set(path, value)
            return True

    def toggle(self, path: str) -> None:
        """Switch on what is off, and off what is on; see `set`."""
        self.set(path, 0.0 if self.get(path) > 0.5 else 1.0)

    @property
    def frozen(self) -> bool:
        """Whether something could be learnt and nothing is."""
        paths = presets.learning(self.preset)
        return bool(paths) and all(self.get(path) < 0.5 for path in paths)

    def freeze(self, on: bool) -> None:
        """Stop all that learns, or let it go on."""
        for path in presets.learning(self.preset):
            self.set(path, 0.0 if on else 1.0)

    @property
    def can_save(self) -> bool:
        """Whether the user has named a file for what is learnt."""
        return self._save is not None

    def save(self) -> None:
        """Have what was learnt kept, if the user has named a file for it."""
        if self._save is not None:
            self._save()

    def reload(self, preset: Preset | str, anew: bool = False) -> str:
        """Go over to another preset, or to what its file says now; the sound goes on.

        Parameters
        ----------
        preset : Preset or str
            Or its name or file.
        anew : bool
            Also set what both presets mean alike and has been turned since.

        Returns
        -------
        str
            What it took, as `Engine.reload` has it, or `asked`.

        Raises
        ------
        InputError
            If there is a mistake in it, or the sound card would have to be opened again for it.
        """
        place = preset if isinstance(preset, str) else f"preset {preset.name}"
        new = fitting(presets.load(preset) if isinstance(preset, str) else preset, self._settings, self._block)
        was, block = self.preset.host.block, new.host.block
        if block != was:
            raise InputError(place, f"host.block is {block}, but was {was}", "stop and start again to change it")
        check_block(new, block, place)
        if anew:
            with self.together(place):
                for path, value in self.preset.params.items():
                    self.set(path, value)
        return self._go_over(with_states(new, {**states_of(new), **self.states}, self._loads))

    def give_states(self, states: dict[str, str]) -> None:
        """Have plug-ins begin anew with these states, those that are not named with the preset's own.

        Parameters
        ----------
        states : dict of str to str
            Base64 by path, see `rtsep.catalogue.strips.kept`; they have been tried.

        Raises
        ------
        InputError
            As `reload` does.
        """
        self.states = states
        self._loads += 1
        self._go_over(with_states(self._coming or self.preset, states, self._loads))

    def _go_over(self, preset: Preset) -> str:
        took = self._playing.reload(preset)
        self._coming = preset if took == "asked" else None
        return took


def store(snapshots: Snapshots, which: str | None) -> int:
    """Store what stands on the desk to a snapshot, as `Snapshots.store` has it; None: to the current one.

    Raises
    ------
    InputError
        As that does, or if none was recalled or stored yet.
    """
    if which is None:
        if snapshots.current is None:
            raise InputError("the current snapshot", "there is none yet", "recall one, or say a name")
        which = str(snapshots.current)
    return snapshots.store(which)


def fitting(preset: Preset, settings: Sequence[str], block: int | None) -> Preset:
    """Return a preset as a user wants it who has said more than its name.

    Parameters
    ----------
    preset : Preset
    settings : sequence of str
        `path=value` each.
    block : int or None
        Frames per block; None: as the preset says.

    Raises
    ------
    InputError
    """
    host = preset.host if block is None else dataclasses.replace(preset.host, block=block)
    return dataclasses.replace(with_settings(preset, settings), host=host)
