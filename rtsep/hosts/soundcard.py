"""The sound card: everything that runs in the audio process, which `rtsep.hosts.supervisor` spawns and watches.

PortAudio calls the compiled chain directly; no Python runs while sound is made. The Python in this process only
opens the stream, looks at it twenty times a second and stores the tape. PortAudio's own stop may hang for ever when
a sound server dies, so this process always ends with `os._exit`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import pathlib
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rtsep import realtime
from rtsep.errors import DeviceError, InputError, RtsepError
from rtsep.hosts.devices import Mic, choose_pair, devices, full_name, portaudio
from rtsep.hosts.records import Figures, Keeper, RateWatch, Tape
from rtsep.presets import most_block

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from rtsep.engine import Engine
    from rtsep.meters import Meters
    from rtsep.presets import Preset
    from rtsep.stage import Runner

SOFT_START_SECONDS = 0.4
FADE_OUT_SECONDS = 0.05
SILENCE_MEANS_LOST = 0.5        # seconds without a call
FIRST_CALL_PATIENCE = 3.0       # seconds that a device may take to begin
SAVE_EVERY = 5.0                # seconds between two copies of what has been learnt
_POLL = 0.05
_STOP_PATIENCE = 2.0


@dataclass(frozen=True)
class Request:
    """What the supervisor asks of an audio process.

    Parameters
    ----------
    preset : Preset
        Checked, with the user's settings among its params.
    input_device, output_device : str or None
    rate : int or None
        None: the device's own.
    block : int
    map : tuple of Mic or None
        None: as many as the device has inputs.
    map_file : str
        Where the map was read, for messages.
    calibration : str or None
    keep : str or None
        File for what is learnt, every 5 s.
    tape : tuple of str or None
        Files for input and output of every sample.
    wait : bool
        The device was there before: wait until it is back.
    """

    preset: Preset
    input_device: str | None
    output_device: str | None
    rate: int | None
    block: int
    map: tuple[Mic, ...] | None
    map_file: str
    calibration: str | None
    keep: str | None
    tape: tuple[str, str] | None
    wait: bool


def serve(pipe: Connection, request: Request) -> None:
    """Run an audio process: what the supervisor spawns. Never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)   # Ctrl-C reaches the whole group; the supervisor decides
    code = 0
    try:
        Session(pipe, request).run()
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


class Session:
    """One life of the audio process, from finding the device to its end.

    Parameters
    ----------
    pipe : Connection
        To the supervisor. Sent: `loaded`, `channels`, `started`, `note`, `lost`, `done`, `error`; received: `go`
        with the names of the shared memory, and `stop`.
    request : Request
    """

    def __init__(self, pipe: Connection, request: Request) -> None:
        self.pipe = pipe
        self.request = request

    def run(self) -> None:
        """Live this life."""
        self._startup = _StopWatch()
        looking = threading.Thread(target=_portaudio_quietly, daemon=True)
        looking.start()   # it looks for devices while numba is imported
        from rtsep import engine as _engine
        from rtsep.stage import Runner as _Runner

        self._startup.mark("imports")
        self.pipe.send(("loaded",))
        looking.join()
        self._sd = portaudio()
        self._find()
        self._startup.mark("device")
        mics, rate = self._mics, self._rate
        self.pipe.send(("channels", tuple(mic.name for mic in mics), rate))
        go = self._receive()
        if go[0] != "go":
            return
        self._meters, self._engine = self._prepare(_engine, *go[1:])
        self._runner = _Runner(self._engine)
        self._connect(self._runner)
        tape = None
        try:
            if self.request.tape is not None:
                tape = Tape(self._runner, self.request.tape)
            self._figures = Figures(self._runner, self._engine, self._meters, tape)
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
        figures = self._figures.read()
        self.pipe.send(("done", figures) if outcome == "stopped" else ("lost", outcome, figures))

    def _find(self) -> None:
        request = self.request
        pause = 0.2
        while True:
            table = devices()
            try:
                self._source, self._target = choose_pair(table, request.input_device, request.output_device)
                break
            except DeviceError:
                if not request.wait or self._told_to_stop(pause):
                    raise
                pause = min(2 * pause, 1.0)
                # No stream of ours lives here, so PortAudio may look for devices anew.
                self._sd._terminate()
                self._sd._initialize()
        self._device = table[self._source], table[self._target]
        self._rate = request.rate or round(self._device[0]["default_rate"])
        inputs, outputs = self._device[0]["inputs"], self._device[1]["outputs"]
        self._mics = request.map or tuple(
            Mic(f"mic{c + 1}", c, c if c < outputs else None, 0) for c in range(inputs)
        )
        for mic in self._mics:
            for what, channel, there in (("in", mic.input, inputs), ("out", mic.output, outputs)):
                if channel is not None and channel >= there:
                    name = full_name(self._device[0 if what == "in" else 1])
                    raise InputError(
                        f"{request.map_file}:{mic.line}", f"{what} is {channel + 1}", f"{name} has {there} channels"
                    )

    def _prepare(self, engine_module: Any, board_name: str, meters_name: str) -> tuple[Meters, Engine]:
        from rtsep.meters import Meters
        from rtsep.presets import make_board
        from rtsep.stage import Format

        preset, names = self.request.preset, [mic.name for mic in self._mics]
        known = None
        if self.request.calibration is not None:
            from rtsep.learnt import load

            known = load(self.request.calibration)
        board = make_board(preset, names, board_name, create=False)
        meters = Meters(len(names), meters_name, create=False)
        engine: Engine = engine_module.Engine(preset, known, meters)
        fmt = Format(self._rate, len(names))
        engine.prepare(fmt, board)
        # Once through everything, so that the first real block does not wait for memory pages.
        silence = np.zeros((fmt.channels, 2048), np.float32)
        engine_module.process(engine, silence, 64)
        engine.reset()
        return meters, engine

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
        keeper = Keeper(self._engine, self.request.keep, [mic.name for mic in self._mics])
        gc.collect()
        gc.freeze()
        threads = _threads()
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
                return "stopped"
            now = time.monotonic()
            seen = self._runner.record["calls"]
            self._figures.update(now)
            if seen != calls:
                calls, moved, still = seen, now, 0
                if not announced:
                    announced = True
                    self._announce(stream, threads)
                    self._check_burst(stream)
            else:
                # Polls are counted too: when the whole machine stands still, nothing is lost.
                still += 1
                patience = SILENCE_MEANS_LOST if announced else FIRST_CALL_PATIENCE
                if now - moved > patience and still > 5:
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
            "block": self._figures.block(),
            "channels": len(self._mics),
            "latency_samples": self._engine.latency,
            "device_latency_s": seconds,
            "startup_s": self._startup.seconds,
            "priority_fix": _priority_fix(api, _threads() - threads_before),
        }))

    def _check_burst(self, stream: Any) -> None:
        """Refuse a device whose own blocks are too large for what the preset learns, though PortAudio cuts them."""
        most = most_block(self.request.preset)
        if most is None:
            return
        burst = _burst(self._runner)
        if burst > 1.2 * most:
            self._stop(stream)
            raise InputError(
                full_name(self._device[0]), f"it hands over about {burst} frames at a time",
                f"this preset needs {most} or less: set the device, or JACK's period",
            )

    def _stop(self, stream: Any) -> bool:
        """Fade out and close the stream; False if PortAudio hangs."""
        record = self._runner.record
        record["fade_step"] = 1 / (FADE_OUT_SECONDS * self._rate)
        record["fade_target"] = 0
        until = time.monotonic() + 10 * FADE_OUT_SECONDS
        while record["fade"] > 0 and time.monotonic() < until:
            time.sleep(0.005)
        # What lies in the device's buffers is still the fade.
        time.sleep(min(0.2, self._meters.get("device_latency") + self.request.block / self._rate))
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
            return self.pipe.poll(seconds) and self._receive()[0] == "stop"
        except (EOFError, OSError):
            return True


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


def _burst(runner: Runner) -> int:
    """Measure how many frames come at once, over 0.3 s: calls without a pause of a millisecond belong together.

    Returns 0 where there are no real pauses: small blocks on a busy machine look like one long burst.
    """
    bursts, pauses = [0], [0.0]
    position = runner.record["position"]
    now = time.monotonic()
    until = now + 0.3
    while now < until:
        time.sleep(0.001)
        earlier, now = now, time.monotonic()
        before, position = position, runner.record["position"]
        if position > before:
            if pauses[-1]:
                bursts.append(0)
                pauses.append(0.0)
            bursts[-1] += position - before
        else:
            pauses[-1] += now - earlier
    if len(bursts) < 5 or np.median(pauses[1:-1]) < 0.003:
        return 0
    return int(np.median(bursts[1:-1]))   # the outer two were cut


def _threads() -> set[int]:
    with contextlib.suppress(OSError):
        return {int(name) for name in os.listdir("/proc/self/task")}
    return set()


def _priority_fix(api: str, threads: set[int]) -> str:
    """Return what to do when no audio thread may run before all others, else nothing."""
    if sys.platform != "linux":
        return ""
    if any(_is_urgent(thread) for thread in _threads()):
        return ""
    if api.startswith("JACK"):
        return "JACK runs without real-time priority: start it as `jackd -R …`, or enable it in PipeWire"
    granted = False
    for thread in threads:   # PortAudio's ALSA threads do not ask for it themselves
        with contextlib.suppress(OSError):
            os.sched_setscheduler(thread, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(60))
            granted = True
    if granted:
        return ""
    return realtime.HINT


def _is_urgent(thread: int) -> bool:
    try:
        fields = pathlib.Path(f"/proc/self/task/{thread}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    # Fields 40 and 41 of proc(5). A stage's helper has real-time priority too, the lowest: it does not count.
    return int(fields[38]) & 0xFF in (os.SCHED_FIFO, os.SCHED_RR) and int(fields[37]) > realtime.HELPER


def _close(stream: Any) -> None:
    with contextlib.suppress(Exception):
        stream.stop()
        stream.close()


def without_params(request: Request) -> Request:
    """Return the request of a restart: the board keeps what the user has set since, and the device may be late."""
    return dataclasses.replace(request, preset=dataclasses.replace(request.preset, params={}), wait=True)
