"""Opened: a show that runs. It recalls and stores snapshots, and keeps the state that a run goes on from.

Two threads of the control process: one moves what fades, the other writes files, which a disk may make wait. Whoever
asks for something waits for neither.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rtsep import presets
from rtsep.atomic import hold, let_go
from rtsep.catalogue.strips import with_states
from rtsep.errors import InputError
from rtsep.show import storing
from rtsep.show.cue import Cue, rounded
from rtsep.show.fades import Fades
from rtsep.show.folder import Show, load
from rtsep.show.keeping import Keeper, State
from rtsep.show.placing import place
from rtsep.show.pluginstates import PluginStates, Surroundings
from rtsep.show.remembering import Copies
from rtsep.show.scope import any_matches, apart
from rtsep.show.watching import FolderWatch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rtsep.control.desk import Desk
    from rtsep.presets import Preset

FADE_EVERY = 0.01      # seconds between two steps of a fade: the data plane's ramps are as long
_BUSY = 4.0            # times as long as a step has taken, the thread rests at least: it never takes a core for itself
KEEP_EVERY = 0.4       # seconds between two looks at what has changed: what is lost stays well below one
_PATIENCE = 15.0       # seconds that another preset may take to come; then values without it
_DISK_PATIENCE = 2.0   # seconds that a disk may take at the end
_LOUDEST_START = 0.0   # dB: nobody wants to be surprised at the start by what was turned up for a soft song
_LEVEL = "output.gain_db"
_LONGEST_PATTERN, _MOST_SAFE = 256, 256   # signs of one, and how many: each recall holds every path against all
_MOST_MARKS = 1000     # that nobody has taken: there is no recording
_NOT_RESTORED = ("play",)   # of a recording that was played in place of the inputs

_Mark = tuple[bytes, int | None, tuple[str, ...], str, dict[str, str]]


class OpenShow:
    """The snapshots of a show that runs (`rtsep.control.desk.Snapshots`).

    Parameters
    ----------
    show : Show
    desk : Desk
    preset : str
        What sounds first: name, or file.
    clock : callable
        Seconds that pass.
    around : Surroundings, optional
        Who is asked for what plug-ins keep; default: nobody, and snapshots are without.
    copies : Copies, optional
        Of what is learnt.

    Attributes
    ----------
    plugins : PluginStates
    said : deque of str
        What the user should know; whoever shows it takes it out.
    marks : deque of (str, float, dict)
        For a recording: what has happened, when (`time.monotonic`), and its details; whoever records takes it out.
    """

    def __init__(
        self, show: Show, desk: Desk, preset: str, clock: Callable[[], float] = time.monotonic,
        around: Surroundings | None = None, copies: Copies | None = None,
    ) -> None:
        self._show, self._desk, self._clock, self._copies = show, desk, clock, copies
        self._preset = preset if preset in presets.names() else os.path.relpath(preset, show.folder)
        self._lock = threading.RLock()
        self._fades = Fades(desk)
        self._current: int | None = None
        self._safe = show.safe
        self._waiting: _Waiting | None = None
        self._keeper, self._watch = Keeper(show.folder), FolderWatch(show.folder)
        self._jobs: deque[Callable[[], None]] = deque()   # for the disk
        self._kept: _Mark | None = None
        self._trouble = ""   # with the disk, as it was said last
        self._closing, self._held = False, -1
        self._moving, self._writing = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []
        self.said: deque[str] = deque()
        self.marks: deque[tuple[str, float, dict[str, Any]]] = deque(maxlen=_MOST_MARKS)
        self.plugins = PluginStates(show.folder, desk, around, self.said, self._put_states)

    def begin(self) -> None:
        """Start the threads; from here on what is turned can be taken back."""
        self._desk.history.forget()
        self._desk.history.halts.append(self._halt)
        self._kept = self._mark()
        self._held = hold(self._show.folder)
        if self._held < 0 and sys.platform != "win32":   # which has no such locks
            self.said.append(f"{self._show.folder}: another run has this show open, and keeps its state there as well")
        self.plugins.begin()
        for name, work in (("fades", self._move), ("show", self._write)):
            thread = threading.Thread(target=work, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        """Stop where everything stands, and keep that."""
        self._closing = True
        self.plugins.close()
        self._moving.set()
        self._writing.set()
        for thread in self._threads:
            thread.join(_DISK_PATIENCE)
        if not any(thread.is_alive() for thread in self._threads):
            self._keep(last=True)
        let_go(self._held)

    # What surfaces ask

    @property
    def current(self) -> int | None:
        """See `Snapshots.current`."""
        return self._current

    def listing(self) -> list[tuple[int, str]]:
        """See `Snapshots.listing`."""
        return [(cue.number, cue.name) for cue in self._show.cues]

    def go(self, which: int | str) -> None:
        """See `Snapshots.go`: from where everything stands, also within a fade."""
        with self._lock:
            self._recall(self._show.find(which))

    def step(self, by: int) -> None:
        """See `Snapshots.step`; before the first recall the first one is the next."""
        with self._lock:
            numbers = [cue.number for cue in self._show.cues]
            here = numbers.index(self._current) if self._current in numbers else -1
            if 0 <= here + by < len(numbers):
                self._recall(self._show.cues[here + by])

    def store(self, name: str = "") -> int:
        """See `Snapshots.store`."""
        with self._lock:
            self._show, cue = storing.stored(self._show, name, self._values(), self._desk.preset)
            show, self._current = self._show, cue.number
            self._jobs.append(lambda: self._watch.ours(storing.save(show, cue, self._keeper)))
        self._writing.set()
        self.said.append(f"snapshot {cue.number} {cue.name}: stored")
        self.plugins.ask(cue.number)
        return cue.number

    def _put_states(self, number: int, names: dict[str, str]) -> None:
        """Put plug-ins' states, which are in the folder, into a snapshot that has been stored."""
        with self._lock:
            cue = next((one for one in self._show.cues if one.number == number), None)
            if cue is None:
                return
            changed = storing.with_states(cue, names, self._desk.preset)
            self._show = show = storing.with_cue(self._show, changed)
            self._jobs.append(lambda: self._watch.ours(storing.save(show, changed, self._keeper)))
        self._writing.set()
        self.said.append(f"snapshot {number} {changed.name}: the states of {len(changed.states)} plug-ins are in it")

    @property
    def safe(self) -> tuple[str, ...]:
        """See `Snapshots.safe`."""
        return self._safe

    def keep_safe(self, pattern: str, on: bool) -> None:
        """See `Snapshots.keep_safe`; it holds from the next recall on, for fades on their way as well."""
        if not pattern.strip() or not pattern.isprintable() or len(pattern) > _LONGEST_PATTERN:
            raise InputError("what is safe", repr(pattern[:40]), "a path, or a pattern of paths, in one line")
        with self._lock:
            others = tuple(one for one in self._safe if one != pattern)
            if on and len(others) >= _MOST_SAFE:
                raise InputError("what is safe", f"there are {len(others)} patterns already", "use a * in one of them")
            self._safe = (*others, pattern) if on else others

    def save(self) -> None:
        """Keep what was learnt in the show's folder, soon."""
        self._jobs.append(self._copy)
        self._writing.set()

    def _halt(self, paths: Collection[str]) -> dict[str, float]:
        """Stop the fades of some paths; see `rtsep.control.history.Halt`."""
        with self._lock:
            return self._fades.halt(paths)

    # The start

    def restore(self, state: State, settings: Sequence[str] = ()) -> None:
        """Set everything as it stood last, before anything sounds.

        Parameters
        ----------
        state : State
        settings : sequence of str
            `path=value` each, which the user has said for this run: they hold.
        """
        placed = place(state.values, self._desk)
        for path, value in placed.values.items():
            if any_matches(_NOT_RESTORED, path):
                continue
            if any_matches((_LEVEL,), path) and value > _LOUDEST_START:
                self.said.append(f"{path} was {value:+g} dB: it starts at {_LOUDEST_START:g}; turn it up by hand")
                value = _LOUDEST_START
            self._desk.set(path, value)
        for setting in settings:
            path, _, text = setting.partition("=")
            self._desk.set(path, float(text))
        self._current, self._safe = state.current, state.safe
        known = dict(self.listing())
        last = f"snapshot {state.current} {known[state.current]}" if state.current in known else "no snapshot"
        self.said.append(f"the show stands as it did last: {last}, {len(placed.values)} values")
        self.said.extend(placed.lines("last state"))
        for path in ("output.mute_all", "output.dry_all"):
            if self._desk.get(path) > 0.5:
                self.said.append(f"{path} is on, as it was")

    # Recall

    def advance(self, now: float) -> bool:
        """Go on with what is on its way; returns whether anything is. `now` in seconds, `time.monotonic`."""
        with self._lock:
            waiting = self._waiting
            if waiting is not None and (_sounds(waiting.wanted, self._desk.preset) or now >= waiting.until):
                if _sounds(waiting.wanted, self._desk.preset):
                    self._preset = waiting.preset
                self._waiting = None
                self._apply(waiting.cue, now)
            self._fades.advance(now)
            return self._fades.any or self._waiting is not None

    def _recall(self, cue: Cue) -> None:
        now = self._clock()
        if cue.preset:
            source = self._show.source(cue.preset)
            wanted = presets.load(source)
            coming = self._desk.preset if self._waiting is None else self._waiting.wanted
            if not _sounds(wanted, coming):
                if self._desk.reload(source) == "asked":
                    self._waiting = _Waiting(cue, cue.preset, wanted, now + _PATIENCE)
                else:
                    self._preset = cue.preset
        self._current = cue.number
        if self._waiting is not None:   # its values come when what has them is there
            self._waiting.cue = cue
        else:
            self._apply(cue, now)
        self._moving.set()
        self._writing.set()

    def _apply(self, cue: Cue, now: float) -> None:
        placed, held = place(cue.values, self._desk), apart(self._desk.preset)
        with self._desk.together(f"snapshot {cue.number} {cue.name}"):
            for path, value in placed.values.items():
                if cue.has(path, held) and not any_matches(self._safe, path):
                    self._fades.start(path, value, cue.fade(path), now)
        self.marks.append(("snapshot", time.monotonic(), {"number": cue.number, "name": cue.name}))
        self.said.append(f"snapshot {cue.number} {cue.name}")
        self.said.extend(placed.lines(f"snapshot {cue.number} {cue.name}"))
        states = {path: name for path, name in cue.states.items()
                  if cue.has(path, held) and not any_matches(self._safe, path)}
        if states:
            self.plugins.recall(f"snapshot {cue.number} {cue.name}", states)

    def _move(self) -> None:
        while not self._closing:
            self._moving.wait()
            self._moving.clear()
            going = True
            while going and not self._closing:
                began = time.monotonic()
                going = self.advance(began)
                time.sleep(max(FADE_EVERY, _BUSY * (time.monotonic() - began)))

    # What is kept

    def _write(self) -> None:
        while not self._closing:
            self._writing.wait(KEEP_EVERY)
            self._writing.clear()
            self._keep()
            self._read_again()

    def _read_again(self) -> None:
        """Take over what somebody has changed in the folder; what is wrong there changes nothing."""
        if self._jobs or not self._watch.changed():
            return
        self._watch.seen()
        try:
            show = load(self._show.folder)
        except (InputError, OSError) as error:
            self.said.append(f"the show is not read again: {error}")
            return
        with self._lock:
            if not self._jobs:   # else something has just been stored, which is not in the folder yet
                if show.safe != self._show.safe:
                    self._safe = show.safe
                self._show = show
                self.said.append(f"the show is read again: {len(show.cues)} snapshots")

    def _keep(self, last: bool = False) -> None:
        """Do what waits for the disk, and write the state if it is another one than before."""
        try:
            while self._jobs:
                self._jobs[0]()
                self._jobs.popleft()   # only now: a disk that was full may have room again
            mark = self._mark()
            if mark != self._kept or last:
                with self._lock:
                    state = State(self._current, self._preset, self._safe, self._values(), self.plugins.now())
                self._keeper.keep(state, last)
                self._kept = mark
            if self._copies is not None and (last or self._copies.due):
                self._copies.make()
            self._trouble = ""
        except (InputError, OSError) as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                self.said.append(f"the show is not kept: {error}")

    def _copy(self) -> None:
        made = None if self._copies is None else self._copies.make()
        self.said.append("nothing has been learnt that could be saved" if made is None else f"saved {made}")

    def _mark(self) -> _Mark:
        """Return what tells one state from another; taken before the state is, so that nothing is missed."""
        values: NDArray[np.float32] = self._desk.values
        return values.tobytes(), self._current, self._safe, self._preset, self.plugins.now()

    def _values(self) -> dict[str, float]:
        return {path: rounded(self._desk.get(path)) for path in self._desk.every()}


def _sounds(wanted: Preset, sounding: Preset) -> bool:
    """Return whether a preset needs no other chain than one that sounds; values and states may differ."""
    one, other = (with_states(preset, {}) for preset in (wanted, sounding))
    return (one.chain, one.latency_class) == (other.chain, other.latency_class)


@dataclasses.dataclass
class _Waiting:
    """A snapshot that waits for its preset, whose chain is being built.

    Parameters
    ----------
    cue : Cue
    preset : str
        As the show names it.
    wanted : Preset
    until : float
        Seconds; then it is recalled without.
    """

    cue: Cue
    preset: str
    wanted: Preset
    until: float
