"""The supervisor: the parent that starts the audio process, watches it, and has another one take over when it is lost.

It owns the shared memory, and imports nothing heavy before the audio process is on its way. Once the sound has begun,
only the user ends the run: whatever is lost is waited for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing.connection
import time
from collections.abc import Callable, Iterator
from typing import Any

from rtsep import figures, presets
from rtsep.control.surface import Surface
from rtsep.control.watch import Watch
from rtsep.errors import DeviceError, InputError, RtsepError, WorkerError
from rtsep.hosts import life, words
from rtsep.hosts.front import Front
from rtsep.hosts.gauges import Standstill
from rtsep.hosts.process import LOADING, OPENING, RUNNING, STOPPING, AudioProcess, Crashes
from rtsep.hosts.recording import NoRecording, Recording, facts
from rtsep.hosts.request import Request, RunOptions, check, stand_in
from rtsep.hosts.runfolder import RunFolder, sweep
from rtsep.hosts.signals import Signals
from rtsep.hosts.standby import Standby

_TICK = 0.05              # seconds between two looks at the meters
_START_PATIENCE = 20.0    # seconds that opening a device may take before it counts as hung
_AGAIN_PATIENCE = 5.0     # the same for one that stood by: it says several times a second that it waits
_END_PATIENCE = 6.0
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
        WorkerError also if all went well but the recording.
    """
    watch = None if options.preset in presets.names() else Watch(options.preset)   # saved from here on is news
    request = check(options)
    with contextlib.closing(RunFolder()) as folder:
        supervisor = Supervisor(request, options, watch, folder)
        try:
            return supervisor.run(open_surface)
        finally:
            if summary := supervisor.summary():
                tell(summary)


class Supervisor:
    """Starts and watches the audio process, and replaces it.

    Parameters
    ----------
    request : Request
        Of the first start.
    options : RunOptions
        What the request was made of.
    watch : Watch or None
        Of the preset's file; None: it is built in.
    folder : RunFolder
        For what is learnt, and its name for shared memory; the caller removes it.
    """

    def __init__(self, request: Request, options: RunOptions, watch: Watch | None, folder: RunFolder) -> None:
        self._keep, self._folder = folder.path / "learnt.npz", folder
        self._request = dataclasses.replace(request, keep=str(self._keep))
        self._options, self._file = options, watch
        self._front: Front | None = None
        self._recording: Recording | NoRecording = NoRecording()
        self._names: tuple[str, ...] = ()
        self._rate = 0
        self._info: dict[str, Any] = {}
        self._cables: tuple[Any, ...] | None = None
        self._figures: dict[str, float] = {}
        self._lives = 0
        self._crashes = Crashes()
        self._signals = Signals(options.end_on_hangup)
        self._began = time.monotonic()
        self._sound_began: float | None = None
        self._first_sound = self._silent_since = self._next_start = 0.0
        self._process: AudioProcess | None = None
        self._standby = Standby(self._make_spare, self._keep)

    def run(self, open_surface: Callable[[], Surface]) -> int:
        """See `supervisor.run`."""
        with self._signals.heard(), contextlib.ExitStack() as ending:
            ending.callback(self._close_memory)
            ending.callback(lambda: self._recording.finish())
            ending.callback(self._kill)
            ending.callback(self._standby.close)
            self._start()
            self._surface = open_surface()
            ending.callback(self._surface.close)
            code = self._watch()
            self._kill()
            if (problem := self._recording.finish()) and not code:
                raise WorkerError(problem)
            return code

    def summary(self) -> dict[str, Any]:
        """Return what there is to say of the run; nothing if it never sounded."""
        if not self._info:
            return {}
        return {
            **figures.nested(self._figures), **words.of_the_stream(self._info), **self._there.told(),
            "preset": self._there.desk.preset.name, "restarts": self._lives - 1, "first_sound_s": self._first_sound,
        }

    # The processes

    def _start(self) -> None:
        """Start the first process, or have the next one take over."""
        self._lives += 1
        if self._front is None:
            self._process = AudioProcess(life.serve, self._request)
            return
        self._front.playing.ask_again()
        self._process = self._standby.take(time.monotonic())
        if self._process.phase == OPENING:
            self._play()

    def _play(self) -> None:
        """Tell a process that has stood by, or would have, to open the device."""
        self._send("play", self._info.get("client", ""), self._cables)

    def _make_spare(self) -> AudioProcess:
        request = dataclasses.replace(self._request, preset=self._there.playing.preset, rate=self._rate)
        return AudioProcess(life.serve, stand_in(request, self._info, self._keep))

    def _kill(self) -> None:
        if self._process is not None:
            if self._phase in (RUNNING, STOPPING):
                self._silent_since = time.monotonic()
            self._process.kill()
            self._process = None
            sweep()   # memory of its own
        if self._front is not None and self._front.meters.get("calls"):   # it could not say its figures any more
            self._count(figures.read(self._front.meters.get))

    def _count(self, counted: dict[str, float]) -> None:
        """Add a life's figures to the run's."""
        self._figures = figures.add(self._figures, counted)
        self._there.meters.status[:] = 0

    def _close_memory(self) -> None:
        if self._front is not None:
            self._front.close()

    @property
    def _there(self) -> Front:
        assert self._front is not None
        return self._front

    @property
    def _phase(self) -> str:
        return "" if self._process is None else self._process.phase

    def _watch(self) -> int:
        while True:
            for message in self._messages():
                if self._handle(*message):
                    return 0
            now = time.monotonic()
            if self._signals.stops > 1:
                self._say("stopped by force")
                return _FORCED
            if self._process is not None and self._process.dead:
                self._crashed(now)
            self._check_patience(now)
            seconds = self._options.seconds
            over = seconds is not None and self._sound_began is not None and now - self._sound_began >= seconds
            if (self._signals.stops or over) and self._end():
                return 0
            if self._process is None and now >= self._next_start:
                self._start()
            if self._sound_began is not None:
                self._standby.update(now, self._stand)
            if self._phase != RUNNING:
                self._surface.wait(*self._waits_for(now))
            for line in self._recording.update():
                self._say(line)
            if self._front is not None and self._info:
                if self._phase == RUNNING and self._front.reloads.update(now, self._signals.reload):
                    self._signals.reload = False
                if self._front.look(now, self._info, self._phase == RUNNING):
                    self._signals.stops = max(self._signals.stops, 1)

    def _messages(self) -> Iterator[tuple[Any, ...]]:
        """Wait a tick at most, then give what the audio process has said."""
        if self._process is None:
            time.sleep(_TICK if self._next_start > time.monotonic() else 0)
            return
        with contextlib.suppress(OSError):
            multiprocessing.connection.wait(self._process.ears, _TICK)
        for message in self._process.messages():
            yield message
            if self._process is None:
                return

    def _handle(self, kind: str, *content: Any) -> bool:
        """Act on a message; True when the run has ended in good order."""
        assert self._process is not None
        if kind == "loaded":
            if self._front is None:
                self._process.enter(OPENING)   # it looks for the device
            else:
                self._process.send("go", self._stand())
        elif kind == "compiling":
            self._say("compiling the kernels: only the first run takes this long")
        elif kind == "channels":
            self._share(*content)
        elif kind == "ready":
            if self._lives > 1 and self._process.phase == LOADING:
                self._play()
            self._process.enter(OPENING)
        elif kind == "waits":
            self._process.enter(OPENING)
            self._there.waits(content[0])
        elif kind == "cables":
            self._cables = content[0]
        elif kind == "started":
            self._started(*content)
        elif kind == "reloaded":
            self._reloaded(*content)
        elif kind == "say":
            self._say(content[0])
        elif kind == "refused":
            self._there.reloads.refused(content[0])
        elif kind in ("saved", "unsaved"):
            self._there.saves.answered(kind, content[0], self._phase == STOPPING)
        elif kind == "states":
            self._there.states_told(content[0])
        elif kind == "lost":
            self._count(content[1])
            self._lost(content[0])
        elif kind == "done":
            self._count(content[0])
            return True
        elif kind == "error":
            self._failed(*content)
        return False

    def _stand(self) -> life.Stand:
        playing, meters = self._there.playing, self._there.meters
        return life.Stand(
            str(playing.board.name), str(meters.name), tuple(playing.laid), self._names, self._rate,
            self._recording.tape, None if self._there.playback is None else self._there.playback.place,
        )

    def _share(self, names: tuple[str, ...], rate: int) -> None:
        """Make the shared memory now that the microphones are known, and tell where it is."""
        assert self._process is not None
        self._front = Front(
            self._request.preset, names, self._folder.name, self._options, self._file, self._surface, self._send,
            self._keep, self._request.play, rate,
        )
        self._names, self._rate, self._standstill = names, rate, Standstill(rate)
        if self._request.record is not None:
            known, memory = facts(self._request, rate, names), f"{self._folder.name}-t"
            board, marks = self._front.playing.board, self._front.marks
            self._recording = Recording(self._request.record, rate, names, known, memory, board, marks)
        self._process.enter(LOADING)   # what the preset needs may have to be compiled
        self._process.send("go", self._stand())

    def _reloaded(self, change: str, exactly: dict[str, Any], latency: int) -> None:
        playing = self._there.playing
        self._there.reloads.taken(change, latency, self._info["latency_samples"])
        exactly = {"change": change, "latency_samples": latency, **exactly}
        self._recording.mark("reload", playing.asked_at, **exactly, preset=presets.dumps(playing.preset))
        self._info = {**self._info, "latency_samples": latency}
        if change == "chain":
            self._standby.replace(time.monotonic())   # for the new chain
            self._there.say_notes()

    def _send(self, *message: Any) -> None:
        if self._process is not None:
            self._process.send(*message)

    def _started(self, info: dict[str, Any], notes: list[str]) -> None:
        now = time.monotonic()
        assert self._process is not None
        self._process.enter(RUNNING)
        self._info = info
        self._recording.mark("device", **info)
        self._standstill.begin(now)
        if self._sound_began is None:
            self._there.started(info, notes)
            self._sound_began, self._first_sound = now, now - self._began
        else:
            self._there.returned(self._keep.exists())
        self._standby.need(now)

    def _lost(self, why: str) -> None:
        """Have another process take over: this one has lost the device, or itself."""
        self._say(f"device lost: {why}")
        self._recording.mark("device lost", why=why)
        self._there.reloads.give_up()
        self._kill()
        self._next_start = time.monotonic()

    def _failed(self, kind: str, arguments: tuple[str, ...]) -> None:
        if self._sound_began is not None and not (kind == "WrongRate" and self._lives == 1):
            self._lost(": ".join(arguments))
            self._next_start = time.monotonic() + Crashes.LONGEST_PAUSE
            return
        self._kill()
        if kind == "InputError":
            raise InputError(*arguments)
        kinds = {"DeviceError": DeviceError, "WrongRate": DeviceError, "WorkerError": WorkerError}
        raise kinds.get(kind, RtsepError)(arguments[0])

    def _crashed(self, now: float) -> None:
        assert self._process is not None
        code, said = self._process.exit_code, self._process.last_words()
        if self._front is not None:
            self._front.reloads.give_up()
        # Before the first sound it never was right; waiting for a device, PortAudio falls over servers that die.
        if self._sound_began is None or self._phase == RUNNING:
            self._crashes.note(now - self._process.began if self._phase == RUNNING else 0.0)
        self._kill()
        why = f"exit code {code}" + (f": {said}" if said else "")
        if self._sound_began is None:
            if code == 1:   # a Python error: it would come again
                raise WorkerError(f"the audio process failed before it made a sound ({why})")
            if self._crashes.many:
                raise WorkerError(f"the audio process died {self._crashes.quick} times ({why})")
        self._say(f"the audio process died ({why}); another one takes over")
        self._recording.mark("audio process died", exit_code=code)
        if self._crashes.many and self._keep.exists():
            self._say("what was learnt is left out: it may be why")
            self._keep.unlink(missing_ok=True)
            self._standby.close()
        self._next_start = now + self._crashes.pause()

    def _check_patience(self, now: float) -> None:
        if self._process is None:
            return
        lasts = now - self._process.began
        patience = _START_PATIENCE if self._sound_began is None else _AGAIN_PATIENCE
        if self._phase == OPENING and lasts > patience:
            why = f"opening it has taken {patience:.0f} s; is the sound server alive?"
            if self._sound_began is None:
                self._kill()
                raise DeviceError(f"the device does not answer: {why}")
            self._lost(why)
        elif self._phase == RUNNING and self._standstill.update(now, self._there.meters.counter("frames")):
            still = f"the sound stood still for {Standstill.SECONDS} s"
            self._lost("the audio process was stopped" if self._process.stopped else still)
        elif self._phase == STOPPING and lasts > _END_PATIENCE:
            self._kill()
            raise DeviceError("the device did not stop; the audio process was ended by force")

    def _end(self) -> bool:
        """Ask for an orderly end; True if there is nothing to be ended."""
        if self._phase == RUNNING:
            self._standby.close()
            self._send("stop")
            assert self._process is not None
            self._process.enter(STOPPING)
        elif self._phase == STOPPING:
            pass
        elif self._sound_began is not None:
            self._kill()
            raise DeviceError(f"the device did not come back; {self._lives - 1} restarts")
        else:
            self._kill()
            return True
        return False

    def _waits_for(self, now: float) -> tuple[str, float]:
        """Return what the run waits for, and how long already."""
        device = self._request.input_device or "the default device"
        doing = {LOADING: "loading the engine", OPENING: f"opening {device}", STOPPING: "stopping"}
        since = self._began if self._sound_began is None else self._silent_since
        if self._process is not None and self._phase == STOPPING:
            since = self._process.began
        return doing.get(self._phase, f"waiting for {device}"), now - since

    def _say(self, text: str) -> None:
        self._surface.say(text)
