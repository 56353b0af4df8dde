"""The sound card: everything that runs in the audio process, which `rtsep.hosts.supervisor` spawns and watches.

PortAudio calls the compiled chain directly; no Python runs while sound is made. The Python in this process only
opens the stream, looks at it twenty times a second and stores the tape. PortAudio's own stop may hang for ever when
a sound server dies, so this process always ends with `os._exit`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

import numpy as np

from rtsep import realtime
from rtsep.errors import DeviceError, InputError, RtsepError
from rtsep.hosts.changes import Changes
from rtsep.hosts.devices import Mic, choose_pair, devices, full_name, portaudio
from rtsep.hosts.gauges import Gauges, RateWatch, burst
from rtsep.hosts.records import Keeper, Tape, store
from rtsep.hosts.request import Request
from rtsep.meters import Meters
from rtsep.presets import layout, make_board, most_block
from rtsep.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

    from rtsep.presets import Preset
    from rtsep.runner import Runner

SOFT_START_SECONDS = 0.4
FADE_OUT_SECONDS = 0.05
SILENCE_MEANS_LOST = 0.5        # seconds without a call
FIRST_CALL_PATIENCE = 3.0       # seconds that a device may take to begin
SAVE_EVERY = 5.0                # seconds between two copies of what has been learnt
_POLL = 0.05                    # seconds between two looks at the stream
_STILL_POLLS = 5                # looks without a call, at least: when the whole machine stands still, nothing is lost
_STOP_PATIENCE = 2.0            # seconds that PortAudio may take to close a stream
_FADE_PATIENCE = 10 * FADE_OUT_SECONDS
_LONGEST_BUFFER = 0.2           # seconds; what a device says of its latency may be nonsense
_FIRST_SEARCH, _SEARCH_EVERY = 0.2, 1.0   # seconds until a lost device is looked for, at first and at most
_BURST_TOLERANCE = 1.2          # bursts are measured through a busy machine's eyes


def serve(pipe: Connection, request: Request) -> None:
    """Run an audio process: what the supervisor spawns. Never returns."""
    for kind in (signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)):   # none on Windows
        signal.signal(kind, signal.SIG_IGN)   # a terminal's reach the whole group; the supervisor decides
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
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)


class Life:
    """One life of the audio process, from finding the device to its end.

    Parameters
    ----------
    pipe : Connection
        To the supervisor. Sent: `loaded`, `channels`, `started`, `reloaded`, `refused`, `saved`, `unsaved`, `lost`,
        `done`, `error`; received: `go` with the names of the shared memory and all presets that the board was laid out
        for, `reload` with a checked preset, `save`, and `stop`.
    request : Request
    """

    def __init__(self, pipe: Connection, request: Request) -> None:
        self.pipe = pipe
        self.request = request
        self._changes: Changes | None = None
        self._keeper: Keeper | None = None

    def run(self) -> None:
        """Live this life."""
        self._startup = _StopWatch()
        looking = threading.Thread(target=_portaudio_quietly, daemon=True)
        looking.start()   # it looks for devices while numba is imported
        importlib.import_module("rtsep.engine")
        self._startup.mark("imports")
        self.pipe.send(("loaded",))
        looking.join()
        self._sd = portaudio()
        self._find()
        self._startup.mark("device")
        self.pipe.send(("channels", self._names, self._rate))
        go = self._receive()
        if go[0] != "go":
            return
        self._prepare(*go[1:])
        tape = None
        try:
            if self.request.tape is not None:
                tape = Tape(self._runner, self.request.tape)
            self._gauges = Gauges(self._runner, self._engine, self._meters, tape)
            self._startup.mark("prepare")
            stream = self._open()
            self._engine.go_live()
            outcome = self._live(stream)
            stopped = outcome == "stopped" and self._stop(stream)
        finally:
            if tape is not None:
                tape.finish()
        self._meters.put("running", 0)
        if stopped:
            self._engine.close()
        if outcome == "stopped" and self.request.save is not None:
            self.pipe.send(store(self._engine, self.request.save, self._names))
        self._gauges.update(time.monotonic())
        figures = self._gauges.read()
        self.pipe.send(("done", figures) if outcome == "stopped" else ("lost", outcome, figures))

    def _find(self) -> None:
        request = self.request
        pause = _FIRST_SEARCH
        while True:
            table = devices()
            try:
                self._source, self._target = choose_pair(table, request.input_device, request.output_device)
                break
            except DeviceError:
                if not request.wait or self._told_to_stop(pause):
                    raise
                pause = min(2 * pause, _SEARCH_EVERY)
                # No stream of ours lives here, so PortAudio may look for devices anew.
                self._sd._terminate()
                self._sd._initialize()
        self._device = table[self._source], table[self._target]
        self._rate = request.rate or round(self._device[0]["default_rate"])
        inputs, outputs = self._device[0]["inputs"], self._device[1]["outputs"]
        self._mics = request.map or tuple(
            Mic(f"mic{c + 1}", c, c if c < outputs else None, 0) for c in range(inputs)
        )
        self._names = tuple(mic.name for mic in self._mics)
        for mic in self._mics:
            for what, channel, there in (("in", mic.input, inputs), ("out", mic.output, outputs)):
                if channel is not None and channel >= there:
                    name = full_name(self._device[0 if what == "in" else 1])
                    raise InputError(
                        f"{request.map_file}:{mic.line}", f"{what} is {channel + 1}", f"{name} has {there} channels"
                    )

    def _prepare(self, board_name: str, meters_name: str, laid: Sequence[Preset]) -> None:
        """Open the session on the supervisor's board and meters, and lead the device's channels to it."""
        preset, names = self.request.preset, self._names
        board = make_board(laid[0], names, board_name, create=False)
        for later in (*laid[1:], preset):
            board.extend(layout(later), fill=False)
        self._meters = Meters(len(names), meters_name, create=False)
        session = Session.open(
            preset, self._rate, names, self.request.calibration, board=board, meters=self._meters
        )
        self._engine = session.engine
        self._runner = session.start()
        self._connect(self._runner)

    def _connect(self, runner: Runner) -> None:
        record = runner.record
        self._pins_in = np.array([mic.input for mic in self._mics], np.int32)
        self._pins_out = np.array([-1 if mic.output is None else mic.output for mic in self._mics], np.int32)
        self._wide_in, self._wide_out = int(self._pins_in.max()) + 1, int(self._pins_out.max()) + 1
        record.put("inputs", self._pins_in)
        record.put("outputs", self._pins_out)
        record["device_inputs"], record["device_outputs"] = self._wide_in, self._wide_out
        record["fade"], record["fade_target"] = 0, 1
        record["fade_step"] = 1 / (SOFT_START_SECONDS * self._rate)

    def _open(self) -> Any:
        from rtsep_kernels.plane.grid import run_interleaved

        sd = self._sd
        duplex = self._wide_out > 0
        source, target = self._source, self._target
        try:
            return sd._StreamBase(
                "duplex" if duplex else "input",
                samplerate=self._rate,
                blocksize=self.request.block,
                device=(source, target) if duplex else source,
                channels=(self._wide_in, self._wide_out) if duplex else self._wide_in,
                dtype="float32",
                latency="low",
                clip_off=True,     # our limiter has done it
                dither_off=True,
                callback=sd._ffi.cast("PaStreamCallback *", run_interleaved.address),
                userdata=sd._ffi.cast("void *", self._runner.address),
            )
        except (sd.PortAudioError, ValueError) as error:
            name, default = full_name(self._device[0]), self._device[0]["default_rate"]
            why = str(error).removeprefix("Error opening _StreamBase: ")
            hint = f"; it offers {default:g} Hz" if default != self._rate else ""
            raise DeviceError(
                f"{name}: {self._wide_in} in and {self._wide_out} out at {self._rate} Hz: {why}{hint}"
            ) from error

    def _live(self, stream: Any) -> str:
        """Watch the stream; returns `stopped`, or how the device was lost."""
        keeper = self._keeper = Keeper(self._engine, self.request.keep, self._names)
        self._changes = Changes(self._engine, self._check_change)
        gc.collect()
        gc.freeze()
        threads = realtime.threads()
        try:
            stream.start()
        except self._sd.PortAudioError as error:
            raise DeviceError(f"{full_name(self._device[0])}: does not start ({error})") from error
        begun = moved = time.monotonic()
        still, calls = 0, 0
        announced = False
        watch = RateWatch(self._rate)
        while True:
            if self._told_to_stop(_POLL):
                keeper.finish()
                self._changes.finish()
                return "stopped"
            if (answer := self._changes.update()) is not None:
                self._meters.put("latency", self._engine.latency)
                self.pipe.send((*answer, self._engine.latency))
            if (saved := keeper.answer()) is not None:
                self.pipe.send(saved)
            now = time.monotonic()
            seen = self._runner.record["calls"]
            self._gauges.update(now)
            if seen != calls:
                calls, moved, still = seen, now, 0
                if not announced:
                    announced = True
                    self._announce(stream, threads)
                    try:
                        self._check_burst(self.request.preset)
                    except InputError:
                        self._stop(stream)
                        raise
            else:
                still += 1
                patience = SILENCE_MEANS_LOST if announced else FIRST_CALL_PATIENCE
                if now - moved > patience and still > _STILL_POLLS:
                    keeper.finish()
                    return f"{full_name(self._device[0])}: no sound for {now - moved:.1f} s"
            if announced:
                frames, xruns = (self._runner.record[key] for key in ("position", "xruns"))
                measured = watch.update(now, frames, xruns, frames // max(calls, 1))
                if measured is not None:
                    self._stop(stream)
                    raise WrongRate(
                        f"{full_name(self._device[0])}: runs at {measured:.0f} Hz, not {self._rate}; "
                        "set the device to one of them and say -r"
                    )
                if now - begun > SAVE_EVERY:
                    keeper.wake()
                    begun = now

    def _announce(self, stream: Any, threads_before: set[int]) -> None:
        self._startup.mark("stream")
        latency = stream.latency
        seconds = float(sum(latency)) if isinstance(latency, tuple) else float(latency)
        self._meters.put("latency", self._engine.latency)
        self._meters.put("device_latency", seconds)
        self._meters.put("running", 1)
        api = self._device[0]["host_api"]
        self.pipe.send(("started", {
            "host_api": api,
            "input_device": self._device[0]["name"],
            "output_device": self._device[1]["name"] if self._wide_out else "",
            "sample_rate": self._rate,
            "stream_rate": float(stream.samplerate),
            "block": self._gauges.block(),
            "channels": len(self._mics),
            "latency_samples": self._engine.latency,
            "device_latency_s": seconds,
            "startup_s": self._startup.seconds,
            "notes": self._engine.known_notes,
            "priority_fix": realtime.ensure(api, realtime.threads() - threads_before),
        }))

    def _check_burst(self, preset: Preset) -> None:
        """Refuse a device whose own blocks are too large for what a preset learns, though PortAudio cuts them."""
        most = most_block(preset)
        if most is None:
            return
        frames = burst(self._runner)
        if frames > _BURST_TOLERANCE * most:
            raise InputError(
                full_name(self._device[0]), f"it hands over about {frames} frames at a time",
                f"this preset needs {most} or less: set the device, or JACK's period",
            )

    def _check_change(self, preset: Preset) -> None:
        """Refuse a preset that needs smaller bursts than the one that runs; they are measured only for that."""
        allowed, most = (most_block(one) for one in (self._engine.preset, preset))
        if most is not None and (allowed is None or most < allowed):
            self._check_burst(preset)

    def _stop(self, stream: Any) -> bool:
        """Fade out and close the stream; False if PortAudio hangs."""
        record = self._runner.record
        record["fade_step"] = 1 / (FADE_OUT_SECONDS * self._rate)
        record["fade_target"] = 0
        until = time.monotonic() + _FADE_PATIENCE
        while record["fade"] > 0 and time.monotonic() < until:
            time.sleep(0.005)
        # What lies in the device's buffers is still the fade.
        time.sleep(min(_LONGEST_BUFFER, self._meters.get("device_latency") + self.request.block / self._rate))
        closing = threading.Thread(target=_close, args=(stream,), daemon=True)
        closing.start()
        closing.join(_STOP_PATIENCE)
        return not closing.is_alive()

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


def _portaudio_quietly() -> None:
    with contextlib.suppress(DeviceError):   # asked for again, and reported, in the main thread
        portaudio()


def _close(stream: Any) -> None:
    with contextlib.suppress(Exception):
        stream.stop()
        stream.close()
