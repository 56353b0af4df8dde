"""The supervisor: the parent that starts the audio process, watches it, and starts it again when it is lost.

It owns the shared memory, and imports nothing heavy before the audio process is on its way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import multiprocessing.connection
import pathlib
import secrets
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rtsep import figures, presets
from rtsep.control.desk import Desk
from rtsep.control.surface import Show, Surface
from rtsep.control.watch import Watch
from rtsep.errors import DeviceError, InputError, RtsepError, WorkerError
from rtsep.hosts import soundcard
from rtsep.hosts.distant import Distant
from rtsep.hosts.gauges import QUIET_DB, QUIET_SECONDS, QuietMics
from rtsep.hosts.reloads import Reloads
from rtsep.hosts.request import Request, RunOptions, check, once_more
from rtsep.hosts.saves import Saves
from rtsep.hosts.signals import Signals
from rtsep.meters import Meters
from rtsep.session import lay_out

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_TICK = 0.1               # seconds between two looks at the meters
_COMPILING_AFTER = 4.0    # seconds of loading after which it must be the first run
_START_PATIENCE = 20.0    # seconds that opening a device may take before it counts as hung
_QUICK = 10.0             # seconds; a process that dies sooner was never right
_QUICK_CRASHES = 3
_END_PATIENCE = 6.0
_HUNG_AFTER = 3.0         # seconds; the audio process itself notices a silent device in half a second
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 1.0   # seconds before a restart; each further one waits twice as long
_KNOWN_LATENCY = 10.0     # seconds; what a device says beyond is nonsense
_FORCED = 130             # exit code after a second Ctrl-C, as shells know it


def run(options: RunOptions, open_surface: Callable[[], Surface], tell: Callable[[dict[str, Any]], None]) -> int:
    """Run until stopped.

    Parameters
    ----------
    options : RunOptions
    open_surface : callable
        Makes what shows the run; called once the audio process is on its way.
    tell : callable
        Given the summary at the end, errors or not, if anything has run: `rtsep.figures`, and what the stream was.

    Returns
    -------
    int
        0, or 130 after a second Ctrl-C.

    Raises
    ------
    InputError, DeviceError, WorkerError
    """
    watch = None if options.preset in presets.names() else Watch(options.preset)   # saved from here on is news
    request = check(options)
    with tempfile.TemporaryDirectory(prefix="rtsep-", ignore_cleanup_errors=True) as folder:
        supervisor = Supervisor(request, options, watch, pathlib.Path(folder))
        try:
            return supervisor.run(open_surface)
        finally:
            supervisor.saves.finish()
            if summary := supervisor.summary():
                tell(summary)


class Supervisor:
    """Starts, watches and restarts the audio process.

    Parameters
    ----------
    request : Request
        Of the first start.
    options : RunOptions
        What the request was made of.
    watch : Watch or None
        Of the preset's file; None: it is built in.
    folder : Path
        For what is learnt; the caller removes it.
    """

    def __init__(
        self, request: Request, options: RunOptions, watch: Watch | None, folder: pathlib.Path
    ) -> None:
        self._keep = folder / "learnt.npz"
        self._request = dataclasses.replace(request, keep=str(self._keep))
        self._options, self._file = options, watch
        self._playing: Distant | None = None
        self._meters: Meters | None = None
        self._names: tuple[str, ...] = ()
        self._rate = 0
        self._info: dict[str, Any] = {}
        self._figures: dict[str, float] = {}
        self._lives = self._crashes = self._lost = 0
        self._moved = (0.0, 0.0)    # number of the last call that was seen, and when
        self._signals = Signals()
        self._began = time.monotonic()
        self._sound_began: float | None = None
        self._first_sound = 0.0
        self._process: Any = None
        self._pipe: Connection | None = None
        self._phase = ""            # loading, opening, running, stopping, or empty: no process
        self._phase_began = 0.0
        self._next_start = 0.0
        self._told_compiling = False
        self._quiet: QuietMics | None = None
        self.saves = Saves(options.save, self._keep, self._send, self._say)

    def run(self, open_surface: Callable[[], Surface]) -> int:
        """See `supervisor.run`."""
        with self._signals.heard(), contextlib.ExitStack() as ending:
            ending.callback(self._close_memory)
            ending.callback(self._kill)
            self._start()
            self._surface = open_surface()
            ending.callback(self._surface.close)
            return self._watch()

    def summary(self) -> dict[str, Any]:
        """Return what there is to say of the run; nothing if it never sounded."""
        info = self._info
        if not info:
            return {}
        return {
            **figures.nested(self._figures),
            "latency_samples": info["latency_samples"], "device_latency_s": info["device_latency_s"],
            "sample_rate": info["sample_rate"], "channels": info["channels"], "microphones": list(self._names),
            "preset": self._desk.preset.name, "host_api": info["host_api"],
            "input_device": info["input_device"], "output_device": info["output_device"],
            "restarts": self._lives - 1, "first_sound_s": self._first_sound, "startup_s": info["startup_s"],
        }

    # The process

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._lives += 1
        request = self._request
        if self._playing is not None:
            self._playing.ask_again()
            request = dataclasses.replace(request, preset=self._playing.preset)
        if self._lives > 1:
            request = once_more(request, self._lives, self._info, self._keep)
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=soundcard.serve, args=(theirs, request), daemon=True)
        # It inherits that Ctrl-C is ignored, from its first instruction on.
        ours = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._process.start()
        finally:
            signal.signal(signal.SIGINT, ours)
        theirs.close()
        self._enter("loading")

    def _enter(self, phase: str) -> None:
        self._phase, self._phase_began = phase, time.monotonic()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._meters is not None:
            self._meters.put("running", 0)
        self._phase = ""

    def _close_memory(self) -> None:
        if self._meters is not None and not self._figures:   # no life could say it any more
            self._figures = figures.read(self._meters.get)
        if self._meters is not None:
            self._meters.close()
        if self._playing is not None:
            self._playing.board.close()

    def _watch(self) -> int:
        while True:
            for message in self._messages():
                if self._handle(*message):
                    return 0
            now = time.monotonic()
            if self._signals.stops > 1:
                self._say("stopped by force")
                return _FORCED
            if self._process is not None and not self._process.is_alive():
                self._crashed(now)
            self._check_patience(now)
            seconds = self._options.seconds
            over = seconds is not None and self._sound_began is not None and now - self._sound_began >= seconds
            if (self._signals.stops or over) and self._end():
                return 0
            if not self._phase and now >= self._next_start:
                self._start()
            if self._phase == "running" and self._reloads.update(now, self._signals.reload):
                self._signals.reload = False
            if self._info:
                self._look(now)

    def _messages(self) -> Iterator[tuple[Any, ...]]:
        """Wait a tick at most, then give what the audio process has said."""
        if self._pipe is None:
            time.sleep(_TICK)
            return
        with contextlib.suppress(EOFError, OSError):
            multiprocessing.connection.wait([self._pipe, self._process.sentinel], _TICK)
            while self._pipe is not None and self._pipe.poll():
                yield self._pipe.recv()

    def _handle(self, kind: str, *content: Any) -> bool:
        """Act on a message; True when the run has ended in good order."""
        if kind == "loaded":
            self._enter("opening")
        elif kind == "channels":
            self._share(*content)
        elif kind == "started":
            self._started(content[0])
        elif kind == "reloaded":
            self._reloaded(*content)
        elif kind == "refused":
            self._reloads.refused(content[0])
        elif kind in ("saved", "unsaved"):
            self.saves.answered(kind, content[0], self._phase == "stopping")
        elif kind == "lost":
            self._figures = figures.add(self._figures, content[1])
            self._device_lost(content[0])
        elif kind == "done":
            self._figures = figures.add(self._figures, content[0])
            return True
        elif kind == "error":
            self._failed(*content)
        return False

    def _share(self, names: tuple[str, ...], rate: int) -> None:
        """Make the shared memory now that the microphones are known, and tell where it is."""
        if self._playing is None:
            name = "rtsep-" + secrets.token_hex(6)
            board = lay_out(self._request.preset, names, name + "-b")
            self._playing = Distant(self._request.preset, board, self._send)
            self._desk = Desk(self._playing, self._options.settings, self._options.block, self.saves.ask)
            self._reloads = Reloads(self._playing, self._desk, self._options.preset, self._file, self._say)
            self._meters = Meters(len(names), name + "-m")
            self._names, self._rate, self._quiet = names, rate, QuietMics(names)
        elif (names, rate) != (self._names, self._rate):
            raise DeviceError(
                f"the device came back with {len(names)} microphones at {rate} Hz, "
                f"it was lost with {len(self._names)} at {self._rate} Hz; start again"
            )
        assert self._meters is not None
        self._send("go", self._playing.board.name, self._meters.name, tuple(self._playing.laid))

    def _reloaded(self, change: str, latency: int) -> None:
        self._reloads.taken(change, latency, self._info["latency_samples"])
        self._info = {**self._info, "latency_samples": latency}
        if change == "chain":
            self._say_notes()

    def _send(self, *message: Any) -> None:
        with contextlib.suppress(OSError):   # it just died; the next tick sees that
            if self._pipe is not None:
                self._pipe.send(message)

    def _started(self, info: dict[str, Any]) -> None:
        now = time.monotonic()
        self._enter("running")
        self._info = info
        devices = info["input_device"]
        if info["output_device"] != devices:
            devices += " -> " + (info["output_device"] or "nothing")
        rate = info["sample_rate"]
        self._say(
            f"{info['host_api']}: {devices}, {info['stream_rate']:g} Hz, blocks of {info['block']}, "
            f"{info['channels']} microphones; "
            f"latency {info['latency_samples']} samples ({1000 * info['latency_samples'] / rate:.2f} ms) "
            f"+ device {_milliseconds(info['device_latency_s'])}"
        )
        if self._sound_began is None:
            for note in info["notes"]:
                self._say(note)
            self._say_notes()
            if info["priority_fix"]:
                self._say(info["priority_fix"])
            self._sound_began, self._first_sound = now, now - self._began
        else:
            self._say("the device is back" + (", and so is what was learnt" if self._keep.exists() else ""))
        self._lost = 0

    def _device_lost(self, why: str) -> None:
        self._say(f"device lost: {why}; waiting for it")
        self._lost += 1
        self._kill()
        self._next_start = time.monotonic() + min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (self._lost - 1))

    def _failed(self, kind: str, arguments: tuple[str, ...]) -> None:
        if kind == "DeviceError" and self._sound_began is not None:
            self._device_lost(arguments[0])
            return
        self._kill()
        if kind == "InputError":
            raise InputError(*arguments)
        kinds = {"DeviceError": DeviceError, "WrongRate": DeviceError, "WorkerError": WorkerError}
        raise kinds.get(kind, RtsepError)(arguments[0])

    def _crashed(self, now: float) -> None:
        code = self._process.exitcode
        if self._playing is not None:
            self._reloads.give_up()
        quick = self._phase != "running" or now - self._phase_began < _QUICK
        self._crashes = self._crashes + 1 if quick else 1
        self._kill()
        if code == 1 and self._sound_began is None:   # a Python error, just printed: it would come again
            raise WorkerError("the audio process failed before it made a sound")
        if self._crashes >= _QUICK_CRASHES:
            raise WorkerError(f"the audio process died {self._crashes} times (last exit code {code})")
        self._say(f"the audio process died (exit code {code}); starting it again")
        self._next_start = now + _FIRST_PAUSE * 2 ** (self._crashes - 1)

    def _check_patience(self, now: float) -> None:
        if self._phase == "loading" and now - self._phase_began > _COMPILING_AFTER and not self._told_compiling:
            self._told_compiling = True
            self._say("compiling the kernels: only the first run takes this long")
        if self._phase == "opening" and not self._waits() and now - self._phase_began > _START_PATIENCE:
            self._kill()
            why = f"opening it has taken {_START_PATIENCE:.0f} s; is the sound server alive?"
            if self._sound_began is None:
                raise DeviceError(f"the device does not answer: {why}")
            self._device_lost(why)
        if self._phase == "running" and self._hangs(now):
            self._reloads.give_up()
            self._device_lost("the audio process hangs")
        if self._phase == "stopping" and now - self._phase_began > _END_PATIENCE:
            self._kill()
            raise DeviceError("the device did not stop; the audio process was ended by force")

    def _hangs(self, now: float) -> bool:
        assert self._meters is not None
        calls = self._meters.get("calls")
        if calls != self._moved[0]:
            self._moved = calls, now
        return now - max(self._moved[1], self._phase_began) > _HUNG_AFTER

    def _waits(self) -> bool:
        """Whether the audio process is looking for a device that was lost, which may take as long as it takes."""
        return self._lives > 1

    def _end(self) -> bool:
        """Ask for an orderly end; True if there is nothing to be ended."""
        if self._phase == "running":
            self._send("stop")
            self._enter("stopping")
        elif self._phase == "stopping":
            pass
        elif self._sound_began is not None:
            self._kill()
            raise DeviceError(f"the device did not come back; {self._lives - 1} restarts")
        else:
            self._kill()
            return True
        return False

    # What is shown

    def _say_notes(self) -> None:
        assert self._playing is not None
        for note in presets.notes(self._playing.preset, self._info["channels"]):
            self._say(note)

    def _look(self, now: float) -> None:
        assert self._meters is not None
        assert self._quiet is not None
        if self._phase == "running":
            for name in self._quiet.update(now, self._meters):
                self._say(f"{name}: no signal (below {QUIET_DB} dBFS for {QUIET_SECONDS:.0f} s)")
        if self._surface.update(Show(self._desk, self._info, self._meters)):
            self._signals.stops = max(self._signals.stops, 1)

    def _say(self, text: str) -> None:
        self._surface.say(text)


def _milliseconds(seconds: float) -> str:
    """Say a device's latency; some, like JACK's dummy driver between two clients, report nonsense."""
    return f"{1000 * seconds:.1f} ms" if 0 <= seconds < _KNOWN_LATENCY else "(its latency is not known)"
