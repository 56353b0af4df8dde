"""A trial: a server, the device, a run that sounds, one fault, and what was heard of it."""

from __future__ import annotations

import contextlib
import pathlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rtsep.bench.faults import hearing, machine
from rtsep.bench.faults.hearing import SILENT, Event, Heard
from rtsep.bench.faults.player import Player, make_mics
from rtsep.bench.faults.program import Program
from rtsep.bench.jackd import JackServer
from rtsep.errors import DeviceError
from rtsep.hosts.hostapis import PORTAUDIO

DEVICE = "player"
_START_PATIENCE = 60.0     # seconds until the first sound; a first run compiles before it is measured
_STATUS = re.compile(r"\bp99 \d|^\[1\]|-m rtsep run")   # the load, again and again; a shell's words
_NOTICED = 0.02            # seconds: what is shorter is heard as a click, and does not put off when sound is back
_CABLE_PATIENCE = 2.0      # seconds after the sound
_RECENT = 0.02             # seconds in which every mic's noise is heard


@dataclass(frozen=True)
class Setting:
    """What all trials share.

    Parameters
    ----------
    player : Path
        The compiled client.
    checkout : Path or None
        Whose program is tried; None: this one's.
    mics, period, rate : int
    realtime : bool
        Whether the server has real-time threads.
    preset : str
    host_api : str
        As `rtsep run --host-api` takes it.
    settle : float
        Seconds of sound before the fault, at least: it waits until nothing is being loaded any more.
    patience : float
        Seconds after a fault in which sound must be back.
    """

    player: pathlib.Path
    checkout: pathlib.Path | None = None
    mics: int = 4
    period: int = 128
    rate: int = 48000
    realtime: bool = True
    preset: str = "live"
    host_api: str = PORTAUDIO
    settle: float = 2.0
    patience: float = 20.0


@dataclass(frozen=True)
class Limits:
    """What may be heard of a fault; None: nothing is said of it.

    Parameters
    ----------
    silence, repeat : float or None
        Seconds, at most.
    after_return : float or None
        Seconds from when the device is right again until there is sound.
    goes_on : bool
        The run is still there afterwards, and ends with exit code `code`.
    peak : bool
        Nothing above -1 dBFS.
    clean : bool
        Nothing is left behind.
    says : bool
        Something is written about it.
    code : int
        At the end.
    """

    silence: float | None = 1.0
    repeat: float | None = 1.0
    after_return: float | None = None
    goes_on: bool = True
    peak: bool = True
    clean: bool = True
    says: bool = False
    code: int = 0


@dataclass(frozen=True)
class Fault:
    """A fault.

    Parameters
    ----------
    name : str
    act : callable
        Given the trial; returns when the fault is over, the sound needs not be back.
    limits : Limits
    arguments : callable
        Given the trial's folder and setting; returns more arguments of `rtsep run`.
    terminal : bool
        Whether it needs one.
    mics, period : int or None
        Where they matter.
    gain : float
        Of the microphones.
    ears : tuple of int or None
        Those that hear something; None: all.
    steady : float
        Seconds of sound without a gap that there must be before and afterwards.
    """

    name: str
    act: Callable[[Trial], None]
    limits: Limits = Limits()
    arguments: Callable[[pathlib.Path, Setting], list[str]] = lambda _folder, _setting: []
    terminal: bool = False
    mics: int | None = None
    period: int | None = None
    gain: float = 1.0
    ears: tuple[int, ...] | None = None
    steady: float = 1.0


@dataclass
class Outcome:
    """What was heard and seen of one trial; times in seconds, None where there is nothing to tell."""

    fault: str
    silence: float = 0.0
    repeat: float = 0.0
    deaf: float = 0.0
    peak_db: float = -200.0
    sound_after: float | None = None
    after_return: float | None = None
    cables: int = 0
    cables_before: int = 0
    renamed: bool = False
    runs_on: bool = False
    code: int | None = None
    said: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    xruns: int = 0
    load: float = 0.0
    wrong: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)


class Trial:
    """The parts of a trial, for the fault to act on.

    Parameters
    ----------
    setting : Setting
    fault : Fault
    folder : Path
        Its own.
    """

    tape_seconds = 75.0   # of each life of the device: the longest trial, with patience

    def __init__(self, setting: Setting, fault: Fault, folder: pathlib.Path) -> None:
        self.setting, self.fault, self.folder = setting, fault, folder
        self.mics = fault.mics or setting.mics
        self.period = fault.period or setting.period
        self.sound = make_mics(self.mics, setting.rate) * np.float32(fault.gain)
        self.ears = fault.ears or tuple(range(self.mics))
        self.notes: dict[str, Any] = {}
        self.wrong: list[str] = []           # what a fault itself finds beyond its limits
        self.returned: float | None = None   # when the device was right again
        self.since = 0.0                     # from when on it is listened to
        self.struck = 0.0                    # when the fault came that ends the sound
        self.xruns = 0                       # of the device until then
        self._tapes: list[Player] = []
        self.server = self._serve()
        self.plug()

    def _serve(self, name: str | None = None, period: int | None = None, rate: int | None = None) -> JackServer:
        server = JackServer(
            period or self.period, rate or self.setting.rate, self.mics, name, realtime=self.setting.realtime
        )
        if not server.ready():
            server.close()
            raise DeviceError("jackd does not start")
        return server

    # The device

    @property
    def device(self) -> Player:
        """The player that is plugged in, or was last."""
        return self._tapes[-1]

    def plug(self, mics: int | None = None, pause_ms: int = 0) -> float:
        """Plug the device in, with all or fewer mics; returns when its ports were there."""
        player = Player(self.setting.player, self.server, self.sound[:mics], self.tape_seconds, pause_ms, DEVICE)
        self._tapes.append(player)
        return player.wait()

    def serve_again(self, period: int | None = None, rate: int | None = None, mics: int | None = None) -> float:
        """Start the server again, maybe differently, and the device on it; returns when its ports were there."""
        self.server = self._serve(self.server.name, period, rate)
        return self.plug(mics)

    # The run

    def start(self, name: str = "temp") -> Program:
        """Start a run on the device."""
        return Program(
            self.server, self.folder, self.arguments(), self.setting.checkout, self.fault.terminal, name
        )

    def arguments(self) -> list[str]:
        """Return what `rtsep run` is told."""
        setting = self.setting
        arguments = ["-i", DEVICE, "-o", DEVICE, "--preset", setting.preset]
        if setting.host_api == PORTAUDIO:
            arguments += ["-b", str(min(512, self.period))]
        else:   # not said by default: another checkout may not know it
            arguments += ["--host-api", setting.host_api]
        return arguments + self.fault.arguments(self.folder, setting)

    def sounds(self, seconds: float = _RECENT) -> bool:
        """Whether all ears that should have heard something all the time lately, and nothing twice."""
        tape = self.device.heard()
        first = tape.sound.shape[1] - round(seconds * tape.rate)
        if first < 0 or not len(tape.stamps) or time.monotonic() - tape.stamps[-1] > 2 * _RECENT + seconds / 10:
            return False
        ears = [ear for ear in self.ears if ear < len(tape.sound)]
        frames = round(_RECENT * tape.rate)
        parts = np.abs(tape.sound[ears, first:])
        parts = parts[:, : parts.shape[1] // frames * frames].reshape(len(ears), -1, frames)
        return bool((parts.max(2) > SILENT).all()) and not hearing.repeats(tape, first)

    def play(self) -> None:
        """Start the run, wait for its sound, and plug a patchbay's cables.

        Raises
        ------
        DeviceError
            If there is no sound.
        """
        self.program = self.start()
        machine.until(self._steady_or_over, _START_PATIENCE, 0.1)
        if not self.sounds():
            said = self.program.said()
            self.program.end()
            raise DeviceError(f"no sound to begin with: {said[-3:]}")
        self.client = machine.client_at(self.server, f"{DEVICE}:mic_1")
        for ear in self.ears:   # beside those to the device, which the run makes itself
            port = f"out_{ear}" if self.setting.host_api == PORTAUDIO else f"out_mic{ear + 1}"
            machine.connect(self.server, f"{self.client}:{port}", f"system:playback_{ear + 1}")
        self.cables = machine.cables(self.server, self.client)
        time.sleep(max(0.0, self.setting.settle - self.fault.steady))
        machine.until(lambda: not machine.working(self.program.pid), _START_PATIENCE)   # whoever stands by is ready
        self.program.look()

    def _steady_or_over(self) -> bool:
        return self.sounds(self.fault.steady) or not (self.fault.terminal or self.program.alive())

    def come_back(self) -> None:
        """Say that the device is right again, now."""
        self.returned = time.monotonic()

    def wait_for_sound(self) -> bool:
        """Wait until it has sounded again for long enough, all of that after this call."""
        since, seconds = time.monotonic(), self.fault.steady
        return machine.until(
            lambda: (time.monotonic() - since > seconds and self.sounds(seconds)) or not self.program.alive(),
            self.setting.patience, 0.1,
        )

    def close(self) -> None:
        """End everything."""
        for player in self._tapes:
            player.close()
        self._retire()

    def _retire(self) -> None:
        """End the server. One that had to be killed keeps its place among JACK's eight: another one gives it back."""
        self.server.close()
        if self.server.process.returncode < 0:
            again = JackServer(self.period, self.setting.rate, self.mics, self.server.name)
            again.ready()
            again.close()

    # What came of it

    def run(self) -> Outcome:
        """Try the fault once."""
        outcome = Outcome(self.fault.name)
        try:
            self.play()
            self.xruns = self.device.get("xruns")
            self.since = self.struck = time.monotonic()
            self.fault.act(self)
            self.wait_for_sound()
            outcome.runs_on = self.program.alive() and machine.until(self.sounds, self.fault.steady)
            self._count_cables(outcome)
            outcome.said = [text for text in self.program.said(self.since) if not _STATUS.search(text)]
            until = time.monotonic()
            outcome.code = self.program.end()
            outcome.left = self.program.leftovers()
            self._listen(outcome, until)
        finally:
            with contextlib.suppress(AttributeError):   # it may never have started
                self.program.end(1.0)
                self.program.bury()
            self.close()
        outcome.load = machine.load()
        outcome.notes, outcome.wrong = self.notes, self.wrong
        return outcome

    def _count_cables(self, outcome: Outcome) -> None:
        outcome.cables_before = len(self.cables)

        def all_back() -> bool:
            client = machine.client_at(self.server, f"{DEVICE}:mic_1")
            outcome.renamed = bool(client) and client != self.client
            outcome.cables = len(self.cables & machine.cables(self.server, client)) if client else 0
            return outcome.cables == outcome.cables_before

        if outcome.runs_on:   # a server that is busy may not answer at once, and cables may follow the sound
            machine.until(all_back, _CABLE_PATIENCE, 0.2)

    def heard(self, until: float = float("inf")) -> list[Heard]:
        """Return the tapes of all lives of the device, up to a time."""
        tapes = [player.heard() for player in self._tapes]
        return [
            Heard(tape.sound[:, : tape.after(until)], tape.stamps[: tape.after(until) // tape.period], tape.period,
                  tape.rate)
            for tape in tapes
        ]

    def _listen(self, outcome: Outcome, until: float) -> None:
        tapes = self.heard(until)
        events = hearing.listen(tapes, self.since, self.ears)
        outcome.silence, outcome.repeat = (hearing.longest(events, kind) for kind in ("silence", "repeat"))
        outcome.deaf = hearing.longest(events, "deaf")
        outcome.peak_db = hearing.peak_db(tapes, self.since)
        outcome.xruns = sum(player.get("xruns") for player in self._tapes) - self.xruns
        if outcome.runs_on:
            last = _last(events)
            outcome.sound_after = max(0.0, last - self.struck)
            if self.returned is not None:
                outcome.after_return = max(0.0, last - self.returned)


def _last(events: Sequence[Event]) -> float:
    return max((event.end for event in events if event.kind != "deaf" and event.seconds > _NOTICED), default=0.0)
