"""One life of an audio process: a child that the supervisor starts, and starts again when it is lost.

The first finds the device and plays. Each later one has stood by until it was needed, with everything made and warm:
it only has to open the device.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
import os
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

import numpy as np

from rtsep.errors import DeviceError, InputError, RtsepError
from rtsep.hosts import ear, playring
from rtsep.hosts.changes import Changes, StatesAsked
from rtsep.hosts.gauges import Gauges, RateWatch
from rtsep.hosts.hostapis import make_card
from rtsep.hosts.process import print_to
from rtsep.hosts.records import Keeper, make_with, store
from rtsep.hosts.signals import leave_terminal
from rtsep.hosts.tape import Tape, TapePlace
from rtsep.meters import Meters
from rtsep.presets import layout, make_board, most_block
from rtsep.session import Session

if TYPE_CHECKING:
    from collections.abc import Collection
    from multiprocessing.connection import Connection

    from rtsep.hosts.cables import Cable
    from rtsep.hosts.playring import PlayPlace
    from rtsep.hosts.request import Request
    from rtsep.params import Board
    from rtsep.presets import Preset

SOFT_START_SECONDS = 0.4
SOFT_RETURN_SECONDS = 0.1       # after a fault: long enough for no click, short beside the silence before
SILENCE_MEANS_LOST = 0.5        # seconds without a call
FIRST_CALL_PATIENCE = 3.0       # seconds that a device may take to begin
SAVE_EVERY = 5.0                # seconds between two copies of what has been learnt
_POLL = 0.05                    # seconds between two looks at the stream
_STILL_POLLS = 5                # looks without a call, at least: when the whole machine stands still, nothing is lost
_FIRST_SEARCH, _SEARCH_EVERY = 0.1, 0.4   # seconds until a lost device is looked for, at first and at most


@dataclasses.dataclass(frozen=True)
class Stand:
    """Where an audio process stands: what all of a run share.

    Parameters
    ----------
    board, meters : str
        Names of the shared memory.
    laid : tuple of Preset
        All that the board was laid out for, in order.
    names : tuple of str
        Of the microphones.
    rate : int
        Hz.
    tape : TapePlace or None
        Where everything is recorded.
    play : PlayPlace or None
        What is played in place of the inputs.
    """

    board: str
    meters: str
    laid: tuple[Preset, ...]
    names: tuple[str, ...]
    rate: int
    tape: TapePlace | None
    play: PlayPlace | None = None


def serve(pipe: Connection, printing: Connection, request: Request) -> None:
    """Run an audio process: what the supervisor spawns. Never returns."""
    leave_terminal()
    print_to(printing)
    code = 0
    try:
        Life(pipe, request).run()
    except RtsepError as error:
        place = (error.place, error.problem, error.allowed) if isinstance(error, InputError) else (str(error),)
        pipe.send(("error", type(error).__name__, place))
        code = error.exit_code
    except (EOFError, BrokenPipeError):
        code = 1   # the supervisor is gone
    except BaseException:
        with contextlib.suppress(OSError):
            traceback.print_exc()
        code = 1
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(code)


class Life:
    """One life of the audio process, from its start to its end.

    Parameters
    ----------
    pipe : Connection
        To the supervisor. Sent: `compiling`; `loaded`, then, by the first alone, `channels`; `ready`; by the others
        `waits`; `started`, `cables`, `say`, `reloaded`, `refused`, `saved`, `unsaved`, `states`, `lost`, `done`,
        `error`.
        Received: `go` with a `Stand`; `renew` and `play`, by those that stand by; `reload` with a checked preset,
        `save`, `states`, and `stop`.
    request : Request
    """

    def __init__(self, pipe: Connection, request: Request) -> None:
        self.pipe = pipe
        self.request = request
        self._changes: Changes | None = None
        self._keeper: Keeper | None = None
        self._states = StatesAsked()
        self._card = make_card(request)

    def run(self) -> None:
        """Live this life."""
        self._startup = _StopWatch()
        looking = threading.Thread(target=self._card.load, daemon=True)
        looking.start()   # it looks for devices while numba is imported
        from rtsep_kernels.compiling import Told  # numba, which the supervisor must not wait for

        compiling = Told(lambda: self.pipe.send(("compiling",)))
        with compiling:
            importlib.import_module("rtsep.engine")
        self._startup.mark("imports")
        self.pipe.send(("loaded",))
        looking.join()
        if not self.request.spare:
            self._card.find()
            self._startup.mark("device")
            self.pipe.send(("channels", tuple(mic.name for mic in self._card.mics), self._card.rate))
        word, *content = self._receive()
        if word != "go":
            return
        with compiling:   # what the preset needs
            self._prepare(content[0])
        self._startup.mark("prepare")
        self.pipe.send(("ready", self._seconds))
        opened = self._stand_by() if self.request.spare else self._open(None)
        if opened:
            self._play()

    def _prepare(self, stand: Stand) -> None:
        """Make everything that sounds, on the supervisor's board."""
        from rtsep.clock import ticks_per_second

        self._stand = stand
        self._board = self._laid_out(stand.board, create=False)
        ticks_per_second()   # measured now: it takes longer than to take over
        make_with(self.request, self._make, lambda text: self.pipe.send(("say", text)))

    def _make(self, calibration: str | None) -> None:
        """Make the session, which nobody sees yet: another process may be playing."""
        began = time.monotonic()
        session = Session.open(
            self.request.preset, self._stand.rate, self._stand.names, calibration, board=self._board
        )
        self._made = session.engine, session.start()
        gc.collect()
        gc.freeze()
        self._seconds = time.monotonic() - began

    def _laid_out(self, name: str | None, create: bool) -> Board:
        """Return a board as the supervisor has laid it out."""
        stand = self._stand
        board = make_board(stand.laid[0], stand.names, name, create)
        if stand.play is not None:
            board.extend(playring.LAYOUT, create)
        for later in (*stand.laid[1:], self.request.preset):
            board.extend(layout(later), create)
        return board

    # Standing by

    def _stand_by(self) -> bool:
        """Wait until this process is needed, and open the device; False if it is needed no more."""
        making: threading.Thread | None = None
        while True:
            if making is not None and not making.is_alive():
                making = None
                self.pipe.send(("ready", self._seconds))
            if not self.pipe.poll(None if making is None else _POLL):
                continue
            word, *content = self._receive()
            if word == "renew" and making is None:
                making = threading.Thread(target=self._renew, daemon=True)
                making.start()
            elif word == "play":   # with what is made, whether something newer is being made or not
                self._startup = _StopWatch()
                return self._open_again(*content)
            elif word == "stop":
                return False

    def _renew(self) -> None:
        """Make the session again with what the one that plays has learnt since."""
        with contextlib.suppress(InputError):   # it is just being written, or the disk is full: the last one stays
            self._make(self.request.keep)

    def _open_again(self, client: str, cables: Collection[Cable] | None) -> bool:
        """Open the device as soon as it is back as it was; False if we are told to stop before."""
        pause, told = _FIRST_SEARCH, ""
        while True:
            try:
                self._card.find_again(self._stand.names, self._stand.rate, client)
                self._startup.mark("device")
                return self._open(cables)
            except RtsepError as error:
                if str(error) != told:
                    told = str(error)
                self.pipe.send(("waits", told))
                if self._told_to_stop(pause):
                    return False
                pause = min(2 * pause, _SEARCH_EVERY)

    def _open(self, cables: Collection[Cable] | None) -> bool:
        """Lead the device's channels to what is made, and start it."""
        self._engine, self._runner = self._made
        self._card.connect(self._runner)
        self._card.tell_latency(self._engine.latency)
        ear.connect(self._card.ear, self._engine, self._runner)
        self._card.open(self._runner, self.request.preset, cables)
        self._show()   # only now: a device that cannot be opened yet is tried again and again
        self._card.start()
        self._startup.mark("open")
        return True

    def _show(self) -> None:
        """Begin to be seen, recorded and measured: this is the process that plays."""
        self._meters = Meters(len(self._stand.names), self._stand.meters, create=False)
        self._engine.show_on(self._meters)
        record = self._runner.record
        if self._stand.play is not None:
            playring.attach(self._runner, self._board, self._stand.play)
        soft = SOFT_RETURN_SECONDS if self.request.spare else SOFT_START_SECONDS
        record["fade"], record["fade_target"], record["fade_step"] = 0, 1, 1 / (soft * self._card.rate)
        tape = None if self._stand.tape is None else Tape(self._runner, self._stand.tape)
        if tape is not None:
            tape.begin(self._engine.latency, self._engine.latch.state, self._turned())
        self._gauges = Gauges(self._runner, self._engine, self._meters, tape, self._card.period)
        self._engine.go_live()

    def _turned(self) -> list[tuple[int, int]]:
        """Return which targets do not begin where their parameters do by default: place, and bits of the float32."""
        fresh = self._laid_out(None, create=True)
        stands = self._board.latched[: int(fresh.used[0])].view(np.int32)
        places = np.flatnonzero(stands != fresh.values[: stands.size].view(np.int32))
        return [(int(place), int(stands[place])) for place in places]

    # Playing

    def _play(self) -> None:
        outcome = self._live()
        stopped = outcome == "stopped" and self._card.stop(self._runner)
        self._meters.put("running", 0)
        if stopped:
            self._engine.close()
        if outcome == "stopped" and self.request.save is not None:
            self.pipe.send(store(self._engine, self.request.save, self._stand.names))
        self._gauges.update(time.monotonic())
        figures = self._gauges.read()
        self.pipe.send(("done", figures) if outcome == "stopped" else ("lost", outcome, figures))

    def _live(self) -> str:
        """Watch the stream; returns `stopped`, or how the device was lost."""
        card, record = self._card, self._runner.record
        keeper = self._keeper = Keeper(self._engine, self.request.keep, self._stand.names)
        self._changes = Changes(self._engine, self._check_change, self.request.record)
        begun = moved = time.monotonic()
        still, calls = 0, 0
        announced = False
        watch = RateWatch(card.rate)
        while True:
            if self._told_to_stop(_POLL):
                keeper.finish()
                self._changes.finish()
                return "stopped"
            if lost := card.lost():
                return lost
            if (answer := self._changes.update()) is not None:
                self._meters.put("latency", self._engine.latency)
                card.tell_latency(self._engine.latency)
                self.pipe.send((*answer, self._engine.latency))
            for told in (keeper.answer(), self._states.answer()):
                if told is not None:
                    self.pipe.send(told)
            now = time.monotonic()
            seen = record["calls"]
            self._gauges.update(now)
            for news in (*self._gauges.news(), *self._engine.news(), *card.news(self._engine.preset)):
                self.pipe.send(("say", news))
            if seen != calls:
                calls, moved, still = seen, now, 0
                if not announced:
                    announced = True
                    self._announce()
            else:
                still += 1
                patience = SILENCE_MEANS_LOST if announced else FIRST_CALL_PATIENCE
                if now - moved > patience and still > _STILL_POLLS:
                    return f"{card.name}: no sound for {now - moved:.1f} s"
            if announced:
                self._check_rate(watch, now)
                if card.cables is not None and (cables := card.cables.news()) is not None:
                    self.pipe.send(("cables", cables))
                if now - begun > SAVE_EVERY:
                    keeper.wake()
                    begun = now

    def _check_rate(self, watch: RateWatch, now: float) -> None:
        record = self._runner.record
        measured = watch.update(now, record["position"], record["xruns"], self._gauges.block())
        if measured is not None:
            self._card.stop(self._runner)
            raise WrongRate(
                f"{self._card.name}: runs at {measured:.0f} Hz, not {self._card.rate}; "
                "set the device to one of them and say --samplerate"
            )

    def _announce(self) -> None:
        self._startup.mark("stream")
        about = self._card.about()
        self._meters.put("latency", self._engine.latency)
        self._meters.put("device_latency", about["device_latency_s"])
        self._meters.put("running", 1)
        self.pipe.send(("started", {
            **about,
            "block": self._gauges.block(),
            "latency_samples": self._engine.latency,
            "startup_s": self._startup.seconds,
        }, [*self._engine.known_notes, *self._card.notes()]))
        try:
            self._card.check_burst(self._runner, self.request.preset)
        except InputError:
            self._card.stop(self._runner)
            raise

    def _check_change(self, preset: Preset) -> None:
        """Refuse a preset that needs smaller bursts than the one that runs; they are measured only for that."""
        allowed, most = (most_block(one) for one in (self._engine.preset, preset))
        if most is not None and (allowed is None or most < allowed):
            self._card.check_burst(self._runner, preset)

    def _receive(self) -> tuple[Any, ...]:
        message: tuple[Any, ...] = self.pipe.recv()
        return message

    def _told_to_stop(self, seconds: float) -> bool:
        """Wait for a word of the supervisor; its death is one too."""
        try:
            if not self.pipe.poll(seconds):
                return False
            kind, *content = self._receive()
        except (EOFError, OSError):
            return True
        if kind == "reload" and self._changes is not None:
            self._changes.ask(*content)
        if kind == "save" and self._keeper is not None and self.request.save is not None:
            self._keeper.save(self.request.save)
        if kind == "states" and self._changes is not None:
            self._states.ask(self._engine)
        return bool(kind == "stop")


class _StopWatch:
    """How long each step of the start took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def mark(self, step: str) -> None:
        now = time.monotonic()
        self.seconds[step] = round(now - self._last, 4)
        self._last = now


class WrongRate(DeviceError):
    """The device runs at another rate than it says: starting it again would not help."""
