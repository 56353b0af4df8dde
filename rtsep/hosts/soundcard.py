"""The sound card: everything that runs in the audio process, which `rtsep.hosts.supervisor` spawns and watches.

PortAudio calls the compiled chain directly; no Python runs while sound is made. The Python in this process only
opens the stream, looks at it twenty times a second and stores the tape. PortAudio's own stop may hang for ever when
a sound server dies, so this process always ends with `os._exit`.
"""

from __future__ import annotations

import contextlib
import csv
import ctypes
import dataclasses
import gc
import os
import pathlib
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import DeviceError, InputError, RtsepError

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
CANCELLER_BLOCK = 512           # adaptation is due two partitions of 512 later
SAVE_EVERY = 5.0                # seconds between two copies of what the canceller has learnt
_POLL = 0.05
_TAPE_SECONDS = 4.0
_STOP_PATIENCE = 2.0
_RF64_AUTO_DOWNGRADE = 0x1210   # libsndfile: a file that stayed below 4 GB ends as plain WAV


@dataclass(frozen=True)
class Mic:
    """One line of a channel map: device channels count from 0 here, and from 1 in the file."""

    name: str
    input: int
    output: int | None
    line: int


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
        File for what the canceller learns, every 5 s.
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


def devices() -> list[dict[str, Any]]:
    """List the sound devices there are now.

    Returns
    -------
    list of dict
        `name`, `host_api`, `inputs`, `outputs`, `default_rate` (Hz) of each; the position in the list is
        PortAudio's index and holds only until it is asked again.
    """
    sd = _portaudio()
    apis = [api["name"] for api in sd.query_hostapis()]
    return [
        {
            "name": device["name"],
            "host_api": apis[device["hostapi"]],
            "inputs": device["max_input_channels"],
            "outputs": device["max_output_channels"],
            "default_rate": device["default_samplerate"],
        }
        for device in sd.query_devices()
    ]


def choose(table: Sequence[dict[str, Any]], wanted: str, direction: str) -> int:
    """Find the one device that a user means.

    Parameters
    ----------
    table : sequence of dict
        As `devices` gives it.
    wanted : str
        Part of a name, or `host api:name` with parts of both; upper and lower case are the same.
    direction : str
        `inputs` or `outputs`.

    Returns
    -------
    int
        Place in `table`.

    Raises
    ------
    DeviceError
        If none or several match; the message lists what there is.
    """
    there = [i for i, device in enumerate(table) if device[direction] > 0]
    kind = direction.removesuffix("s")
    if not there:
        raise DeviceError(f"{kind} device {wanted!r}: this machine has no {kind} device; is the sound server running?")
    text = wanted.casefold()
    exact = [i for i in there if text in (table[i]["name"].casefold(), full_name(table[i]).casefold())]
    found = exact or [i for i in there if _matches(table[i], text)]
    if len(found) == 1:
        return found[0]
    problem = f"{len(found)} {kind} devices match" if found else f"no {kind} device matches"
    names = ", ".join(full_name(table[i]) for i in found or there)
    raise DeviceError(f"{kind} device {wanted!r}: {problem}; {'choose from' if found else 'there are'}: {names}")


def full_name(device: dict[str, Any]) -> str:
    """Return `host api:name`, which is how messages call a device and how users may."""
    return f"{device['host_api']}:{device['name']}"


def choose_pair(table: Sequence[dict[str, Any]], wanted_in: str | None, wanted_out: str | None) -> tuple[int, int]:
    """Find the input and the output device; what is not said follows what is.

    Raises
    ------
    DeviceError
        See `choose`; also if the two belong to different host APIs, which PortAudio can't join.
    """
    source = choose(table, wanted_in, "inputs") if wanted_in else None
    target = choose(table, wanted_out, "outputs") if wanted_out else None
    if source is None:
        source = _partner(table, target, "inputs")
    if target is None:
        target = _partner(table, source, "outputs")
    if table[source]["host_api"] != table[target]["host_api"]:
        raise DeviceError(
            f"input {full_name(table[source])} and output {full_name(table[target])} belong to different host APIs; "
            "choose two of the same"
        )
    return source, target


def read_map(path: str | os.PathLike[str]) -> tuple[Mic, ...]:
    """Read a channel map: CSV with the header `mic,in,out`, device channels from 1, empty `out`: not played.

    Raises
    ------
    InputError
        With file and line.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(str(path), f"is not a CSV file ({error})") from error
    rows = [(line, row) for line, row in rows if any(row)]
    if not rows or rows[0][1] != ["mic", "in", "out"]:
        found = ",".join(rows[0][1]) if rows else "nothing"
        raise InputError(f"{path}:{rows[0][0] if rows else 1}", f"the header is {found!r}", "it must be mic,in,out")
    mics: list[Mic] = []
    for line, row in rows[1:]:
        mics.append(_map_row(f"{path}:{line}", line, row, mics))
    if not mics:
        raise InputError(f"{path}:{rows[0][0]}", "there is no microphone", "one line for each: mic,in,out")
    return tuple(mics)


def cancels(preset: Preset) -> bool:
    """Return whether the chain has a canceller, whose learning large device blocks would make late."""
    return any(stage.stage == "canceller" for stage in preset.chain)


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
        portaudio = threading.Thread(target=_portaudio_quietly, daemon=True)
        portaudio.start()   # it looks for devices while numba is imported
        from rtsep import engine as _engine
        from rtsep.stage import Runner as _Runner

        self._startup.mark("imports")
        self.pipe.send(("loaded",))
        portaudio.join()
        self._sd = _portaudio()
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
        from rtsep.stage import Format

        preset, names = self.request.preset, [mic.name for mic in self._mics]
        calibration = None
        if self.request.calibration is not None:
            from rtsep.calibration import load

            calibration = load(self.request.calibration)
        board = engine_module.make_board(preset, names, board_name, create=False)
        meters = Meters(len(names), meters_name, create=False)
        engine: Engine = engine_module.Engine(preset, calibration, meters)
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
        record["inputs"], record["outputs"] = self._pins_in.ctypes.data, self._pins_out.ctypes.data
        record["device_inputs"], record["device_outputs"] = self._wide_in, self._wide_out
        record["fade"], record["fade_target"] = 0, 1
        record["fade_step"] = 1 / (SOFT_START_SECONDS * self._rate)

    def _open(self) -> Any:
        from rtsep_kernels.grid import run_interleaved

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
        keeper = _Keeper(self._engine, self.request.keep, [mic.name for mic in self._mics])
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
            seen = int(self._runner.record["calls"][0])
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
                frames, xruns = (int(self._runner.record[key][0]) for key in ("position", "xruns"))
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
        """Refuse a device whose own blocks are too large for a canceller, though PortAudio cuts them for us."""
        if not cancels(self.request.preset):
            return
        burst = _burst(self._runner)
        if burst > 1.2 * CANCELLER_BLOCK:
            self._stop(stream)
            raise InputError(
                full_name(self._device[0]), f"it hands over about {burst} frames at a time",
                f"a preset with a canceller needs {CANCELLER_BLOCK} or less: set the device, or JACK's period",
            )

    def _stop(self, stream: Any) -> bool:
        """Fade out and close the stream; False if PortAudio hangs."""
        record = self._runner.record
        record["fade_step"] = 1 / (FADE_OUT_SECONDS * self._rate)
        record["fade_target"] = 0
        until = time.monotonic() + 10 * FADE_OUT_SECONDS
        while record["fade"][0] > 0 and time.monotonic() < until:
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


class Figures:
    """What a run is measured by: block times, load and all counters.

    Parameters
    ----------
    runner : Runner
    engine : Engine
    meters : Meters
        Its status is kept up to date.
    tape : Tape, optional
    """

    _BINS = 4096   # of 0.5 %, from 0.01 us on

    def __init__(self, runner: Runner, engine: Engine, meters: Meters, tape: Tape | None) -> None:
        from rtsep.clock import ticks_per_second

        self._runner, self._engine, self._meters, self._tape = runner, engine, meters, tape
        self._us_per_tick = 1e6 / ticks_per_second()
        self._counts = np.zeros(self._BINS, np.int64)
        self._seen = 0
        self._max = self._busy = 0.0
        self._late_blocks = 0
        self._marks = [(0.0, 0.0, 0)]   # (time, busy seconds, frames) of the last second

    def block(self) -> int:
        """Return how many frames the device hands over in one call."""
        record = self._runner.record
        return round(int(record["position"][0]) / max(1, int(record["calls"][0])))

    def update(self, now: float) -> None:
        """Take in the calls since the last update; `now` in seconds."""
        calls, frames = int(self._runner.record["calls"][0]), int(self._runner.record["position"][0])
        size = self._runner.timings.size
        places = np.arange(max(self._seen, calls - size), calls) % size
        us = self._runner.timings[places] * self._us_per_tick
        self._seen = calls
        rate = self._runner.rate
        if us.size:
            bins = np.log(np.maximum(us, 0.01) / 0.01) / np.log(1.005)
            self._counts += np.bincount(np.minimum(bins, self._BINS - 1).astype(np.int64), minlength=self._BINS)
            self._max = max(self._max, float(us.max()))
            self._busy += float(us.sum()) * 1e-6
            self._late_blocks += int((us > self.block() / rate * 1e6).sum())
        self._marks = [mark for mark in self._marks if mark[0] > now - 1] + [(now, self._busy, frames)]
        _, busy, before = self._marks[0]
        self._show(self._percentiles(), (self._busy - busy) / max(1e-9, (frames - before) / rate))

    def read(self) -> dict[str, Any]:
        """Return everything that a summary says of this life of the audio process."""
        self.update(time.monotonic())
        record, status = self._runner.record, self._engine.status()
        seconds = int(record["position"][0]) / self._runner.rate
        p50, p99, p999 = self._percentiles()
        return {
            "calls": int(record["calls"][0]),
            "seconds": seconds,
            "xruns": int(record["xruns"][0]),
            "late_blocks": self._late_blocks,
            "late_updates": status.get("late_updates", 0),
            "skipped": status.get("skipped_updates", 0),
            "unstable": status.get("unstable_samples", 0),
            "faults": status.get("faults", 0),
            "bad_inputs": int(self._runner.bad_inputs.sum()),
            "limited": status.get("limited", 0),
            "lost_frames": self._tape.lost if self._tape else 0,
            "block_us": {"p50": p50, "p99": p99, "p999": p999, "max": self._max},
            "load": self._busy / seconds if seconds else 0.0,
            "block": self.block(),
        }

    def _percentiles(self) -> tuple[float, float, float]:
        total = np.cumsum(self._counts)
        if not total[-1]:
            return 0.0, 0.0, 0.0
        places = (np.searchsorted(total, q * total[-1]) for q in (0.5, 0.99, 0.999))
        p50, p99, p999 = (min(self._max, 0.01 * 1.005 ** (float(place) + 0.5)) for place in places)
        return p50, p99, p999

    def _show(self, percentiles: tuple[float, float, float], load: float) -> None:
        put, record, status = self._meters.put, self._runner.record, self._engine.status()
        put("block_p50", percentiles[0])
        put("block_p99", percentiles[1])
        put("block_max", self._max)
        put("load", load)
        put("calls", int(record["calls"][0]))
        put("xruns", int(record["xruns"][0]))
        put("late_updates", status.get("late_updates", 0))
        put("unstable", status.get("unstable_samples", 0))
        put("bad_inputs", int(self._runner.bad_inputs.sum()))
        put("lost_frames", self._tape.lost if self._tape else 0)


class RateWatch:
    """Notices a device that runs at another rate than it says.

    Parameters
    ----------
    rate : int
        The rate it says, Hz.
    """

    TOLERANCE = 0.04
    READINGS = 3

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._begin: tuple[float, int, int] | None = None
        self._odd: list[float] = []

    def update(self, now: float, frames: int, xruns: int, block: int) -> float | None:
        """Take note of how many frames have come by `now`.

        Returns
        -------
        float or None
            The rate the device really runs at, Hz, once three readings in a row are off by more than 4 % and
            agree: a machine that merely stalls loses a different number of frames each time.
        """
        if self._begin is None:
            self._begin = now, frames, xruns
            return None
        before, first, lost = self._begin
        # At least 100 blocks: then a block more or less is one per cent.
        if now - before < max(1.0, 100 * block / self._rate):
            return None
        self._begin = now, frames, xruns
        measured = (frames - first) / (now - before)
        if xruns != lost or abs(measured / self._rate - 1) <= self.TOLERANCE:
            self._odd.clear()
            return None
        self._odd.append(measured)
        recent = self._odd[-self.READINGS :]
        if len(recent) < self.READINGS or max(recent) > (1 + self.TOLERANCE / 2) * min(recent):
            return None
        return sum(recent) / len(recent)


class Tape:
    """Stores input and output of every sample, from the runner's ring to two files, in a thread of its own.

    Parameters
    ----------
    runner : Runner
    files : tuple of str
        For the input and for the output; must not exist.
    """

    def __init__(self, runner: Runner, files: tuple[str, str]) -> None:
        import soundfile

        from rtsep_kernels.grid import GRID
        from rtsep_kernels.ring import RING_HEADER, ring_read

        self._read = ring_read
        width = 2 * runner.channels
        self._header = np.zeros(RING_HEADER, np.int64)
        self._ring: NDArray[np.float32] = np.empty((round(_TAPE_SECONDS * runner.rate), width), np.float32)
        self._ring[:] = 0   # the audio thread must not be the first to touch these pages
        self._row = np.zeros((GRID, width), np.float32)
        self._rows = np.zeros((8192, width), np.float32)
        self._read(self._header, self._ring, self._rows)   # compiled, or fetched from the cache, before it counts
        self._files = []
        for path in files:
            try:
                file = soundfile.SoundFile(path, "w", runner.rate, runner.channels, "FLOAT", format="RF64")
            except (OSError, soundfile.SoundFileError) as error:
                raise InputError(path, f"cannot be written ({error})") from error
            soundfile._snd.sf_command(file._file, _RF64_AUTO_DOWNGRADE, soundfile._ffi.NULL, 1)
            self._files.append(file)
        record = runner.record
        record["tape_data"], record["tape_rows"] = self._ring.ctypes.data, self._ring.shape[0]
        record["tape_row"] = self._row.ctypes.data
        record["tape_header"] = self._header.ctypes.data
        self._runner = runner
        self._full = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tape", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Frames that are in neither file, because storing was too slow or the disk is full."""
        return int(self._header[16]) + self._full

    def finish(self) -> None:
        """Store what is left and close the files; the stream has ended, or is dead."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        done = False
        while not done:
            done = self._stop.wait(0.05)
            while count := int(self._read(self._header, self._ring, self._rows)):
                self._write(count)
        for file in self._files:
            file.close()

    def _write(self, count: int) -> None:
        channels = self._runner.channels
        try:
            for file, part in zip(self._files, (self._rows[:, :channels], self._rows[:, channels:]), strict=True):
                file.write(np.ascontiguousarray(part[:count]))
        except (OSError, RuntimeError):   # soundfile's errors are RuntimeErrors; the concert goes on
            self._full += count


class _Keeper:
    """Saves what the canceller has learnt, so that a restarted audio process need not learn it again."""

    def __init__(self, engine: Engine, path: str | None, names: Sequence[str]) -> None:
        from rtsep.stages.canceller import Canceller

        self._path, self._names, self._rate = path, tuple(names), engine.fmt.rate
        self._cancellers = [stage for stage in engine.chain.stages if isinstance(stage, Canceller)]
        self._due = threading.Event()
        self._end = False
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        if path is not None and self._cancellers:
            self._thread.start()

    def wake(self) -> None:
        """Save soon."""
        self._due.set()

    def finish(self) -> None:
        """Save no more; waits for the file that is being written, but not long."""
        self._end = True
        self._due.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def _run(self) -> None:
        from rtsep.calibration import Calibration, save

        # This is the least urgent work of the process; niceness is a thread's own on Linux.
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        k = len(self._names)
        while True:
            self._due.wait()
            self._due.clear()
            if self._end:
                return
            paths = self._cancellers[0].paths
            if not np.isfinite(paths).all():
                continue
            paths[np.arange(k), np.arange(k)] = 0
            known = Calibration(
                self._rate, self._names, paths, np.full(k, -120, np.float32), np.zeros((k, k), np.float32)
            )
            with contextlib.suppress(InputError):   # a full disk costs the copy, not the concert
                save(known, str(self._path))


def _portaudio() -> Any:
    """Import sounddevice, which initialises PortAudio; the first time under rtsep's name.

    Raises
    ------
    DeviceError
        If PortAudio is missing or finds no sound system.
    """
    if "sounddevice" not in sys.modules:
        # Only JACK shows it; other host APIs' PortAudio has no such function. The name must outlive the call.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libportaudio.so.2").PaJack_SetClientName(_CLIENT_NAME)
        # Looking for devices must not start a JACK server.
        os.environ.setdefault("JACK_NO_START_SERVER", "1")
    try:
        import sounddevice
    except OSError as error:
        raise DeviceError(f"PortAudio cannot be loaded ({error}); install libportaudio2") from error
    except Exception as error:
        raise DeviceError(f"PortAudio finds no sound system ({error})") from error
    return sounddevice


_CLIENT_NAME = b"rtsep"


def _portaudio_quietly() -> None:
    with contextlib.suppress(DeviceError):   # asked for again, and reported, in the main thread
        _portaudio()


def _matches(device: dict[str, Any], text: str) -> bool:
    name = device["name"].casefold()
    api, colon, rest = text.partition(":")
    return text in name or (colon == ":" and api in device["host_api"].casefold() and rest in name)


def _partner(table: Sequence[dict[str, Any]], other: int | None, direction: str) -> int:
    """Return the device for one direction when only the other, or none, was chosen."""
    usable = [i for i, device in enumerate(table) if device[direction] > 0]
    if other is not None:
        api = table[other]["host_api"]
        if other in usable:
            return other
        usable = [i for i in usable if table[i]["host_api"] == api]
    else:
        # Whoever runs a JACK server wants it used.
        usable = [i for i in usable if table[i]["host_api"].startswith("JACK")] or usable
    kind = direction.removesuffix("s")
    if not usable:
        raise DeviceError(f"there is no {kind} device to use; see `rtsep devices`; is the sound server running?")
    defaults = [i for i in _default_indices(direction) if i in usable]
    return (defaults or usable)[0]


def _default_indices(direction: str) -> list[int]:
    key = f"default_{direction.removesuffix('s')}_device"
    return [api[key] for api in _portaudio().query_hostapis()]


def _map_row(place: str, line: int, row: Sequence[str], before: Sequence[Mic]) -> Mic:
    if len(row) != 3:
        raise InputError(place, f"{len(row)} columns", "three: mic,in,out")
    name, source, target = row
    if not name or name.isdecimal() or "." in name or "=" in name:
        raise InputError(place, f"mic is {name!r}", "a name that is no number and has no . or =")
    if name in [mic.name for mic in before]:
        raise InputError(place, f"mic {name!r} is there twice", "names must differ")
    for what, text in (("in", source), ("out", target)):
        allowed = "a channel of the device, from 1" + ("" if what == "in" else ", or nothing")
        if not (text.isascii() and text.isdecimal() and int(text) >= 1) and (what == "in" or text):
            raise InputError(place, f"{what} is {text!r}", allowed)
    if int(source) - 1 in [mic.input for mic in before]:
        raise InputError(place, f"in {source} is there twice", "each microphone has an input of its own")
    return Mic(name, int(source) - 1, int(target) - 1 if target else None, line)


def _burst(runner: Runner) -> int:
    """Measure how many frames come at once, over 0.3 s: calls without a pause of a millisecond belong together.

    Returns 0 where there are no real pauses: small blocks on a busy machine look like one long burst.
    """
    bursts, pauses = [0], [0.0]
    position = int(runner.record["position"][0])
    now = time.monotonic()
    until = now + 0.3
    while now < until:
        time.sleep(0.001)
        earlier, now = now, time.monotonic()
        before, position = position, int(runner.record["position"][0])
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
    return (
        "real-time priority is refused: put `@audio - rtprio 95` into /etc/security/limits.d/audio.conf, "
        "join the group audio and log in again"
    )


def _is_urgent(thread: int) -> bool:
    try:
        fields = pathlib.Path(f"/proc/self/task/{thread}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return int(fields[38]) & 0xFF in (1, 2)   # policy, field 41 of proc(5): SCHED_FIFO or SCHED_RR


def _close(stream: Any) -> None:
    with contextlib.suppress(Exception):
        stream.stop()
        stream.close()


def without_params(request: Request) -> Request:
    """Return the request of a restart: the board keeps what the user has set since, and the device may be late."""
    return dataclasses.replace(request, preset=dataclasses.replace(request.preset, params={}), wait=True)
