"""`rtsep run`: the parent that starts the audio process, shows what it does, and starts it again when it is lost.

It owns the shared memory, and imports nothing heavy before the audio process is on its way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rtsep.errors import DeviceError, InputError, RtsepError, WorkerError
from rtsep.hosts import devices, soundcard
from rtsep.meters import Meters
from rtsep.params import Board
from rtsep.presets import layout, load, make_board, notes

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from rtsep.presets import Preset
    from rtsep.terminal import View

_TICK = 0.1
_STATUS_EVERY = 5.0       # seconds between two status lines where there is no terminal
_QUIET = 10 ** (-80 / 20)
_QUIET_SECONDS = 3.0
_COMPILING_AFTER = 4.0    # seconds of loading after which it must be the first run
_START_PATIENCE = 20.0    # seconds that opening a device may take before it counts as hung
_QUICK = 10.0             # seconds; a process that dies sooner was never right
_QUICK_CRASHES = 3
_END_PATIENCE = 6.0
_HUNG_AFTER = 3.0         # seconds; the audio process itself notices a silent device in half a second
_FORCED = 130             # exit code after a second Ctrl-C, as shells know it
_SUMS = ("calls", "seconds", "xruns", "late_blocks", "late_updates", "skipped", "unstable", "faults", "bad_inputs",
         "limited", "lost_frames")


@dataclass(frozen=True)
class RunOptions:
    """What `rtsep run` is told.

    Parameters
    ----------
    preset : str
        Name or file.
    input_device, output_device : str, optional
        Part of a name, or `host api:name`.
    rate : int, optional
        Hz; default: the device's.
    block : int, optional
        Frames; default: the preset's.
    map_csv : str, optional
        Channel map, see `devices.read_map`.
    calibration : str, optional
        What `rtsep learn` wrote.
    record : str, optional
        Folder for in.wav and out.wav.
    seconds : float, optional
        How long; default: until stopped.
    settings : tuple of str
        `path=value` each.
    json : bool
        Print the summary as JSON on stdout.
    view : bool
        Show levels when on a terminal.
    """

    preset: str
    input_device: str | None = None
    output_device: str | None = None
    rate: int | None = None
    block: int | None = None
    map_csv: str | None = None
    calibration: str | None = None
    record: str | None = None
    seconds: float | None = None
    settings: tuple[str, ...] = ()
    json: bool = False
    view: bool = True


def run(options: RunOptions) -> int:
    """Run until stopped.

    Returns
    -------
    int
        0, or 130 after a second Ctrl-C.

    Raises
    ------
    InputError, DeviceError, WorkerError
        For the caller to print; the summary of what had run till then has been printed.
    """
    request = _request(options)
    with tempfile.TemporaryDirectory(prefix="rtsep-", ignore_cleanup_errors=True) as folder:
        return Supervisor(options, request, pathlib.Path(folder)).run()


class Supervisor:
    """Starts, watches and restarts the audio process.

    Parameters
    ----------
    options : RunOptions
    request : soundcard.Request
        Of the first start.
    folder : Path
        For what the canceller learns; the caller removes it.
    """

    def __init__(self, options: RunOptions, request: soundcard.Request, folder: pathlib.Path) -> None:
        self._options = options
        self._keep = folder / "learnt.npz"
        self._request = dataclasses.replace(request, keep=str(self._keep))
        self._board: Board | None = None
        self._meters: Meters | None = None
        self._names: tuple[str, ...] = ()
        self._rate = 0
        self._info: dict[str, Any] = {}
        self._sums: dict[str, Any] = dict.fromkeys(_SUMS, 0)
        self._latest: dict[str, Any] = {}
        self._lives = self._crashes = self._lost = 0
        self._moved = (0.0, 0.0)    # number of the last call that was seen, and when
        self._stops = 0
        self._began = time.monotonic()
        self._sound_began: float | None = None
        self._first_sound = 0.0
        self._process: Any = None
        self._pipe: Connection | None = None
        self._phase = ""            # loading, opening, running, stopping, or empty: no process
        self._phase_began = 0.0
        self._next_start = 0.0
        self._told_compiling = False
        self._view: View | None = None
        self._quiet: _QuietMics | None = None
        self._status_shown = time.monotonic()

    def run(self) -> int:
        """See `supervisor.run`."""
        with self._signals():
            try:
                self._start()
                self._prepare_view()
                code = self._watch()
            finally:
                self._kill()
                if self._view is not None:
                    self._view.close()
                if self._info:
                    self._print_summary()
                for memory in (self._board, self._meters):
                    if memory is not None:
                        memory.close()
        return code

    # The process

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        request = self._request
        if self._lives:
            request = soundcard.without_params(request)
            if self._info:   # by name from now on: another default device is not the one that was lost
                api, source, target = (self._info[key] for key in ("host_api", "input_device", "output_device"))
                request = dataclasses.replace(
                    request, rate=self._rate, input_device=f"{api}:{source}",
                    output_device=f"{api}:{target}" if target else None,
                )
            if self._keep.exists():
                request = dataclasses.replace(request, calibration=str(self._keep))
            if request.tape is not None:
                # Another life, another clock: its sample 0 is another moment.
                names = (pathlib.Path(path) for path in request.tape)
                files = tuple(str(path.with_name(f"{path.stem}-{self._lives + 1}.wav")) for path in names)
                request = dataclasses.replace(request, tape=(files[0], files[1]))
        self._lives += 1
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
        self._phase = ""

    def _watch(self) -> int:
        while True:
            for message in self._messages():
                if self._handle(*message):
                    return 0
            now = time.monotonic()
            if self._stops > 1:
                self._say("stopped by force")
                return _FORCED
            if self._process is not None and not self._process.is_alive():
                self._crashed(now)
            self._check_patience(now)
            over = self._options.seconds is not None and self._sound_began is not None and (
                now - self._sound_began >= self._options.seconds
            )
            if (self._stops or over) and self._end():
                return 0
            if not self._phase and now >= self._next_start:
                self._start()
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
        elif kind == "lost":
            self._add(content[1])
            self._device_lost(content[0])
        elif kind == "done":
            self._add(content[0])
            return True
        elif kind == "error":
            self._failed(*content)
        return False

    def _share(self, names: tuple[str, ...], rate: int) -> None:
        """Make the shared memory now that the microphones are known, and tell where it is."""
        if self._board is None:
            preset = self._request.preset
            name = "rtsep-" + secrets.token_hex(6)
            self._board = make_board(preset, names, name + "-b")
            self._meters = Meters(len(names), name + "-m")
            for path, value in preset.params.items():
                self._board.set(path, value)
            self._names, self._rate, self._quiet = names, rate, _QuietMics(names)
        elif (names, rate) != (self._names, self._rate):
            raise DeviceError(
                f"the device came back with {len(names)} microphones at {rate} Hz, "
                f"it was lost with {len(self._names)} at {self._rate} Hz; start again"
            )
        assert self._meters is not None
        self._meters.put("running", 0)
        self._send("go", self._board.name, self._meters.name)

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
            for note in notes(self._request.preset, info["channels"]):
                self._say(note)
            if info["priority_fix"]:
                self._say(info["priority_fix"])
        if self._sound_began is None:
            self._sound_began, self._first_sound = now, now - self._began
        else:
            self._say("the device is back" + (", and so is what was learnt" if self._keep.exists() else ""))
        self._lost = 0

    def _device_lost(self, why: str) -> None:
        self._say(f"device lost: {why}; waiting for it")
        self._lost += 1
        self._kill()
        self._next_start = time.monotonic() + min(1.0, 0.2 * 2 ** (self._lost - 1))

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
        quick = self._phase != "running" or now - self._phase_began < _QUICK
        self._crashes = self._crashes + 1 if quick else 1
        self._kill()
        if code == 1 and self._sound_began is None:   # a Python error, just printed: it would come again
            raise WorkerError("the audio process failed before it made a sound")
        if self._crashes >= _QUICK_CRASHES:
            raise WorkerError(f"the audio process died {self._crashes} times (last exit code {code})")
        self._say(f"the audio process died (exit code {code}); starting it again")
        self._next_start = now + 0.2 * 2 ** (self._crashes - 1)

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

    def _look(self, now: float) -> None:
        assert self._meters is not None
        assert self._board is not None
        assert self._quiet is not None
        if self._phase == "running":
            for name in self._quiet.update(now, self._meters):
                self._say(f"{name}: no signal (below -80 dBFS for {_QUIET_SECONDS:.0f} s)")
        if self._view is not None:
            if self._view.update(self._request.preset, self._info, self._meters, self._board):
                self._stops = max(self._stops, 1)
        elif self._phase == "running" and now - self._status_shown >= _STATUS_EVERY:
            self._status_shown = now
            get = self._meters.get
            self._say(
                f"load {100 * get('load'):.0f} %, p99 {get('block_p99'):.0f} us, xruns {get('xruns'):.0f}, "
                f"late updates {get('late_updates'):.0f}"
            )

    def _prepare_view(self) -> None:
        if self._options.view and sys.stderr.isatty():
            from rtsep.terminal import View

            self._view = View()

    def _say(self, text: str) -> None:
        if self._view is not None:
            self._view.say(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def _add(self, figures: dict[str, Any]) -> None:
        for key in _SUMS:
            self._sums[key] += figures[key]
        self._latest = figures

    def _print_summary(self) -> None:
        if not self._latest and self._meters is not None:
            self._latest = _from_meters(self._meters)
            self._sums.update({key: self._latest[key] for key in _SUMS if key in self._latest})
        info = self._info
        summary = {
            **self._latest, **self._sums,
            "latency_samples": info["latency_samples"], "device_latency_s": info["device_latency_s"],
            "sample_rate": info["sample_rate"], "channels": info["channels"], "microphones": list(self._names),
            "preset": self._request.preset.name, "host_api": info["host_api"],
            "input_device": info["input_device"], "output_device": info["output_device"],
            "restarts": self._lives - 1, "first_sound_s": self._first_sound, "startup_s": info["startup_s"],
        }
        if self._options.json:
            print(json.dumps(summary), flush=True)
            return
        us = summary["block_us"]
        print(
            f"{summary['seconds']:.1f} s, {summary['calls']} blocks of {summary['block']} at "
            f"{summary['sample_rate']} Hz, load {100 * summary['load']:.1f} %\n"
            f"block p50 {us['p50']:.0f}  p99 {us['p99']:.0f}  p99.9 {us['p999']:.0f}  max {us['max']:.0f} us\n"
            f"xruns {summary['xruns']}, late blocks {summary['late_blocks']}, late updates {summary['late_updates']}, "
            f"skipped {summary['skipped']}, unstable {summary['unstable']}, bad inputs {summary['bad_inputs']}, "
            f"limited {summary['limited']}, lost frames {summary['lost_frames']}, restarts {summary['restarts']}",
            flush=True,
        )

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Count requests to stop while the block runs."""
        def stop(*_: object) -> None:
            self._stops += 1

        before = {kind: signal.signal(kind, stop) for kind in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)


class _QuietMics:
    """Notices microphones that have been silent for a while, each once until it sounds again."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._heard: list[float | None] = [None] * len(names)
        self._told = [False] * len(names)

    def update(self, now: float, meters: Meters) -> list[str]:
        """Return the names to warn of."""
        fresh = []
        for c, peak in enumerate(meters.level("in_peak")):
            heard = self._heard[c]
            if heard is None or peak >= _QUIET:
                self._heard[c] = now
                self._told[c] = False
            elif now - heard >= _QUIET_SECONDS and not self._told[c]:
                self._told[c] = True
                fresh.append(self._names[c])
        return fresh


def _request(options: RunOptions) -> soundcard.Request:
    """Check everything that can be checked before a process is spawned."""
    preset = load(options.preset)
    preset = dataclasses.replace(preset, params={**preset.params, **_settings(options.settings, preset)})
    block = preset.host.block if options.block is None else options.block
    if not 1 <= block <= 8192:
        raise InputError("--block", str(block), "1 to 8192 frames")
    if soundcard.cancels(preset) and block > soundcard.CANCELLER_BLOCK:
        raise InputError(
            "--block" if options.block else f"preset {preset.name}: host.block", f"{block} frames",
            f"a preset with a canceller needs {soundcard.CANCELLER_BLOCK} or less: what it learns would be late",
        )
    if options.rate is not None and not 8000 <= options.rate <= 192000:
        raise InputError("--rate", str(options.rate), "8000 to 192000 Hz")
    if options.seconds is not None and not options.seconds > 0:
        raise InputError("--seconds", f"{options.seconds:g}", "more than 0")
    if options.calibration is not None and not os.path.isfile(options.calibration):
        raise InputError(options.calibration, "no such file", "a file written by a soundcheck")
    return soundcard.Request(
        preset=preset,
        input_device=options.input_device,
        output_device=options.output_device,
        rate=options.rate,
        block=block,
        map=None if options.map_csv is None else devices.read_map(options.map_csv),
        map_file=options.map_csv or "",
        calibration=options.calibration,
        keep=None,
        tape=None if options.record is None else _tape_files(options.record),
        wait=False,
    )


def _settings(settings: tuple[str, ...], preset: Preset) -> dict[str, float]:
    known = {f"{stage}.{param.name}": param for stage, params in layout(preset) for param in params}
    values = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals:
            raise InputError(f"--set {setting}", "there is no =", "path=value")
        key = ".".join(path.split(".")[:2])
        if key not in known:
            raise InputError(path, "there is no such parameter", "known: " + ", ".join(known))
        try:
            values[path] = known[key].check(path, float(text))
        except ValueError:
            raise InputError(path, f"{text!r} is not a number", "path=value") from None
    return values


def _tape_files(folder: str) -> tuple[str, str]:
    """Make the folder; a recording that is there already is never written over."""
    place = pathlib.Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(folder, f"cannot be made ({error.strerror})", "a folder for in.wav and out.wav") from error
    files = place / "in.wav", place / "out.wav"
    for file in files:
        if file.exists():
            raise InputError(str(file), "there is a recording already", "name another folder")
    if shutil.disk_usage(place).free < 1 << 20:
        raise InputError(folder, "the disk is full")
    return str(files[0]), str(files[1])


def _from_meters(meters: Meters) -> dict[str, Any]:
    """Return what is known of an audio process that could not say it any more."""
    get = meters.get
    frames = meters.counter("frames")
    return {
        "calls": int(get("calls")), "xruns": int(get("xruns")), "late_updates": int(get("late_updates")),
        "unstable": int(get("unstable")), "bad_inputs": int(get("bad_inputs")), "limited": meters.counter("limited"),
        "lost_frames": int(get("lost_frames")), "faults": meters.counter("faults"),
        "block_us": {"p50": get("block_p50"), "p99": get("block_p99"), "p999": 0.0, "max": get("block_max")},
        "load": get("load"), "block": round(frames / max(1.0, get("calls"))),
    }


def _milliseconds(seconds: float) -> str:
    """Say a device's latency; some, like JACK's dummy driver between two clients, report nonsense."""
    return f"{1000 * seconds:.1f} ms" if 0 <= seconds < 10 else "(its latency is not known)"
