"""Plug-in states of a show that runs: asked for when a snapshot is stored, tested and given back when it is recalled.

A thread does what takes long: a state is tried in a child process first, which may crash or hang on it. Then the chain
is built anew beside the one that sounds, its latencies are measured, and it takes over in a cross-fade: no strip
misses a unit.
"""

from __future__ import annotations

import base64
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rtsep.catalogue.strips import Kept, kept
from rtsep.errors import InputError
from rtsep.show import statefiles
from rtsep.show.statefiles import OF_PRESET

if TYPE_CHECKING:
    from collections import deque

    from rtsep.control.desk import Desk

ANSWER_SECONDS = 5.0   # that the audio process may take; the plug-ins' processes have 2 s of them
_LOOK = 0.2            # seconds between two looks whether one is missing


@dataclass(frozen=True)
class Surroundings:
    """What surrounds a show that runs.

    Parameters
    ----------
    ask : callable
        Has the audio process tell what its plug-ins keep, soon, to `PluginStates.told`.
    rate : int
        Hz.
    """

    ask: Callable[[], None]
    rate: int


class PluginStates:
    """Takes the plug-ins' states for snapshots, and gives them back.

    Parameters
    ----------
    folder : Path
        Of the show.
    desk : Desk
    around : Surroundings or None
        None: nobody can be asked, so that snapshots keep no states.
    said : deque of str
        For what the user should know.
    stored : callable
        Given a snapshot's number and names of state files by path, when they are in the folder.
    """

    def __init__(self, folder: Path, desk: Desk, around: Surroundings | None, said: deque[str],
                 stored: Callable[[int, dict[str, str]], None]) -> None:
        self._folder, self._desk, self._around, self._said, self._stored = folder, desk, around, said, stored
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._asked: tuple[int, float] | None = None   # the number of a snapshot that waits for them, until when
        self._wanted: dict[str, tuple[str, str]] = {}  # for whom and which, by path: what has been recalled
        self._lock = threading.Lock()
        self._names: dict[str, str] = {}               # of files, by what is in them
        self._closing = False

    def begin(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._work, name="plug-in states", daemon=True).start()

    def close(self) -> None:
        """Do nothing more."""
        self._closing = True

    def now(self) -> dict[str, str]:
        """Return with which states plug-ins run, where these are not the preset's: names of files by path."""
        states = dict(self._desk.states)
        for state in states.values():
            if state not in self._names:
                self._names[state] = statefiles.name_of(state)
        return {path: self._names[state] for path, state in states.items()}

    def ask(self, number: int) -> None:
        """Have the states of now put into a snapshot, soon."""
        if self._around is not None and self._known():
            self._asked = number, time.monotonic() + ANSWER_SECONDS
            self._around.ask()

    def told(self, states: Mapping[str, str]) -> None:
        """Take what the plug-ins have told, base64 by path."""
        asked, self._asked = self._asked, None
        if asked is not None:
            self._jobs.put(lambda: self._store(asked[0], states))

    def recall(self, what: str, names: Mapping[str, str]) -> None:
        """Give plug-ins these states, soon; of several that wait the latest is meant.

        Parameters
        ----------
        what : str
            Whose they are, for messages.
        names : mapping of str to str
            Of files, by path.
        """
        with self._lock:
            self._wanted |= {path: (what, name) for path, name in names.items()}
        self._jobs.put(self._give)

    # The thread

    def _work(self) -> None:
        while not self._closing:
            try:
                self._jobs.get(timeout=_LOOK)()
            except queue.Empty:
                asked = self._asked
                if asked is not None and time.monotonic() > asked[1]:
                    self._asked = None
                    self._said.append(f"snapshot {asked[0]}: without the plug-ins' states: none came within "
                                      f"{ANSWER_SECONDS:g} s")
            except (InputError, OSError) as error:
                self._said.append(f"plug-ins' states: {error}")

    def _known(self) -> dict[str, Kept]:
        return kept(self._desk.preset, self._desk.mics)

    def _store(self, number: int, told: Mapping[str, str]) -> None:
        known, now = self._known(), dict(self._desk.states)
        names = {}
        for path, state in told.items():
            if path not in known:
                continue
            before = now.get(path)
            if not self._new(known[path], before, state):
                names[path] = OF_PRESET if before is None else statefiles.write(self._folder, before)
                continue
            names[path] = statefiles.write(self._folder, state)
            now[path] = state
            self._try(path, known[path], state)   # so that it is known when it is recalled
        self._desk.states = {**self._desk.states, **now}
        self._stored(number, names)

    def _new(self, one: Kept, before: str | None, state: str) -> bool:
        """Return whether a state has more in it than the one before it, and what stands on the board."""
        from rtsep.plugins.explaining import explained

        first = one.slot.state if before is None else base64.b64decode(before)
        rate = self._around.rate if self._around else 0
        return not explained(one.slot.plugin, one.slot.path, rate, one.unit, first, base64.b64decode(state),
                             one.slot.width)

    def _try(self, path: str, one: Kept, state: str) -> str | None:
        """Try a state in a child; returns what is to be said of it, None: it is refused, and that is said."""
        from rtsep.plugins.probing import probe

        assert self._around is not None
        given = base64.b64decode(state)
        try:
            before, found = (
                probe(one.slot.plugin, one.slot.path, self._around.rate, one.unit, raw, place=path,
                      width=one.slot.width)
                for raw in (one.slot.state, given)
            )
        except InputError as error:
            self._said.append(f"{error.place}: a state is refused: {error.problem}; it stays as it is")
            return None
        moved = f", {found.latency} samples late" if found.latency != before.latency else ""
        return moved + ("" if found.state_kept else "; it does not read back: its editor may have to be opened once")

    def _give(self) -> None:
        with self._lock:
            wanted, self._wanted = self._wanted, {}
        if not wanted or self._around is None:
            return
        known, states = self._known(), dict(self._desk.states)
        lost = [path for path in wanted if path not in known]
        for path, (what, name) in wanted.items():
            if path not in known:
                continue
            if name == OF_PRESET:
                states.pop(path, None)
            elif name != self.now().get(path):
                state = statefiles.read(self._folder, name)
                if (told := self._try(path, known[path], state)) is not None:
                    self._said.append(f"{what}: {path} comes with its state{told}")
                    states[path] = state
        if lost:
            self._said.append(f"no plug-in takes the states of {', '.join(lost)}")
        if states != self._desk.states:
            self._desk.give_states(states)
