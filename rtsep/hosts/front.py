"""The front of a run: its desk, the surfaces on which people see and turn it, and what it says."""

from __future__ import annotations

import pathlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rtsep import presets
from rtsep.control.clearing import Clearing
from rtsep.control.desk import Desk
from rtsep.control.listening import Listening
from rtsep.control.surface import Running, Surface
from rtsep.control.watch import Watch
from rtsep.hosts import words
from rtsep.hosts.distant import Distant
from rtsep.hosts.gauges import QUIET_DB, QUIET_SECONDS, QuietMics
from rtsep.hosts.playback import Playback
from rtsep.hosts.playring import LAYOUT, PlayPlace
from rtsep.hosts.reloads import Reloads
from rtsep.hosts.request import RunOptions
from rtsep.hosts.saves import Saves
from rtsep.meters import Meters
from rtsep.presets import Preset
from rtsep.show.pluginstates import Surroundings
from rtsep.show.starting import open_show


class Front:
    """What faces the user; made when the microphones are known.

    Parameters
    ----------
    preset : Preset
        What sounds first.
    names : tuple of str
        Of the microphones.
    memory : str
        What the names of shared memory begin with.
    options : RunOptions
    watch : Watch or None
        Of the preset's file; None: it is built in.
    surface : Surface
    send : callable
        Passes a message to the audio process.
    kept : Path
        Where that keeps what it has learnt.
    place : PlayPlace or None
        What is played in place of the inputs.
    rate : int
        Hz.

    Attributes
    ----------
    playing : Distant
    reloads : Reloads
    saves : Saves
    desk : Desk
    playback : Playback or None
    meters : Meters
        Shared; `close` removes them, as it does the board.
    """

    def __init__(
        self, preset: Preset, names: tuple[str, ...], memory: str, options: RunOptions, watch: Watch | None,
        surface: Surface, send: Callable[..., None], kept: pathlib.Path, place: PlayPlace | None, rate: int,
    ) -> None:
        self._surface = surface
        self.playing = Distant(preset, presets.lay_out(preset, names, f"{memory}-b"), send)
        self.meters = Meters(len(names), f"{memory}-m")
        self.saves = Saves(options.save, kept, send, surface.say)
        can_save = options.save is not None or options.show is not None
        self.desk = Desk(self.playing, options.settings, options.block, self._save if can_save else None)
        self.desk.ear = None if options.ear is None else Listening(self.desk)
        self._clearing = Clearing(self.desk, self.meters)
        self.playback: Playback | None = None
        if place is not None:
            self.playback = self._play(place._replace(memory=f"{memory}-p"), options)
        self._show = None if options.show is None else open_show(
            options, self.desk, Surroundings(lambda: send("states"), rate), kept
        )
        self.desk.snapshots = self._show
        self.reloads = Reloads(self.playing, self.desk, options.preset, watch, surface.say)
        self._quiet = QuietMics(names)
        self._waits = ""   # for what, as it was said last

    def _play(self, place: PlayPlace, options: RunOptions) -> Playback:
        self.playing.board.extend(LAYOUT)
        self.desk.set("play.loop", float(options.loop))
        self.desk.transport = made = Playback(place, self.playing.board, options.begin)
        return made

    @property
    def marks(self) -> deque[tuple[str, float, dict[str, Any]]]:
        """What is to be marked in a recording: see `OpenShow.marks`."""
        return deque() if self._show is None else self._show.marks

    def _save(self) -> None:
        """Keep what was learnt, in the user's file and in the show."""
        self.saves.ask()
        if self._show is not None:
            self._show.save()

    def close(self) -> None:
        """Remove the shared memory, and see that what was learnt is saved if that is wanted.

        Raises
        ------
        InputError
            If it cannot be.
        """
        if self._show is not None:
            self._show.close()
        if self.playback is not None:
            self.playback.close()
        self.meters.close()
        self.playing.board.close()
        self.saves.finish()

    def started(self, info: Mapping[str, Any], notes: Sequence[str]) -> None:
        """Say what runs, the first time."""
        self._surface.say(words.what_runs(info))
        self.say_notes()
        for note in (*notes, info["priority_fix"]):
            if note:
                self._surface.say(note)

    def returned(self, learnt: bool) -> None:
        """Say that it runs again."""
        self._waits = ""
        self._surface.say("the sound is back" + (", and so is what was learnt" if learnt else ""))

    def waits(self, why: str) -> None:
        """Say for what the sound waits, unless that has just been said."""
        if why != self._waits:
            self._waits = why
            self._surface.say(f"waiting for the device: {why}")

    def states_told(self, states: dict[str, str]) -> None:
        """Hand what the plug-ins keep to the show that has asked for it."""
        if self._show is not None:
            self._show.plugins.told(states)

    def say_notes(self) -> None:
        """Say what the preset has to say for so many microphones."""
        for note in presets.notes(self.desk.preset, len(self.desk.mics)):
            self._surface.say(note)

    def told(self) -> dict[str, Any]:
        """Return what a summary says of the mics; also when all has been closed."""
        mics = self.desk.mics
        return {"microphones": list(mics), "levels": self.meters.told(mics, self.desk.get("output.early_clip_db"))}

    def look(self, now: float, info: dict[str, Any], running: bool) -> bool:
        """Show what runs; True when the user wants to quit."""
        while self._show is not None and self._show.said:
            self._surface.say(self._show.said.popleft())
        for line in self.playback.update() if self.playback is not None else ():
            self._surface.say(line)
        if running:
            self._clearing.update()
            for name in self._quiet.update(now, self.meters):
                self._surface.say(f"{name}: no signal (below {QUIET_DB} dBFS for {QUIET_SECONDS:.0f} s)")
        return self._surface.update(Running(self.desk, info, self.meters, self._surface.say))
