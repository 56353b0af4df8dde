"""The sound card: a device of PortAudio found by name, opened with the compiled callback, and closed with a fade."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from rtsep import realtime
from rtsep.errors import DeviceError, InputError, RtsepError
from rtsep.hosts import ear
from rtsep.hosts.cables import Cables
from rtsep.hosts.devices import (
    Mic,
    choose_pair,
    client_name,
    default_indices,
    devices,
    labels,
    load_portaudio,
    portaudio,
    search_anew,
)
from rtsep.hosts.gauges import burst
from rtsep.hosts.playring import mics as played_mics
from rtsep.presets import most_block

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from rtsep.hosts.cables import Cable
    from rtsep.hosts.request import Request
    from rtsep.presets import Preset
    from rtsep.runner import Runner

FADE_OUT_SECONDS = 0.05
_FADE_PATIENCE = 10 * FADE_OUT_SECONDS
STOP_PATIENCE = 2.0             # seconds that closing a stream may take
_LONGEST_BUFFER = 0.2           # seconds; what a device says of its latency may be nonsense
_BURST_TOLERANCE = 1.2          # bursts are measured through a busy machine's eyes
NAME_PATIENCE, NAME_PAUSE = 1.0, 0.03   # seconds until a server has let go of a client that died, and between looks


class Card:
    """The device of one audio process.

    Parameters
    ----------
    request : Request

    Attributes
    ----------
    mics : tuple of Mic
        Valid after `find`, as are the next two.
    rate : int
        Hz.
    api : str
        The host API.
    cables : Cables or None
        Of a JACK server, valid after `open`.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self.cables: Cables | None = None
        self._stream: Any = None

    def load(self) -> None:
        """Load what takes time, in a thread: so does the engine meanwhile. What fails is reported by `find`."""
        if self._request.spare:
            load_portaudio()
            return
        with contextlib.suppress(DeviceError):
            portaudio()

    def find(self) -> None:
        """Look for it among the devices there are now.

        Raises
        ------
        DeviceError
            There is none, or several.
        InputError
            It lacks channels that the map names, or those to listen on are not free.
        """
        self._choose(devices(), default_indices)

    def _choose(self, table: list[dict[str, Any]], defaults: Callable[[str], list[int]]) -> None:
        request = self._request
        self._source, self._target = choose_pair(table, request.input_device, request.output_device, defaults)
        self._device = table[self._source], table[self._target]
        self._labels = labels(table)[self._source], labels(table)[self._target]
        self.api: str = self._device[0]["host_api"]
        self.rate = request.rate or round(self._device[0]["default_rate"])
        inputs, outputs = self._device[0]["inputs"], self._device[1]["outputs"]
        self.mics = request.map or tuple(
            Mic(f"mic{c + 1}", c, c if c < outputs else None, 0) for c in range(inputs)
        )
        if request.play is not None:
            self.mics = played_mics(request.play, inputs, outputs)
        for mic in self.mics:
            for what, channel, there in (("in", mic.input, inputs), ("out", mic.output, outputs)):
                if channel is not None and channel >= there:
                    name = self._labels[0 if what == "in" else 1]
                    raise InputError(
                        f"{request.map_file}:{mic.line}", f"{what} is {channel + 1}", f"{name} has {there} channels"
                    )
        ear.check(request.ear, self.mics, outputs, self._labels[1])

    def find_again(self, names: tuple[str, ...], rate: int, client: str) -> None:
        """Look for what was lost, and see that it is as it was.

        Parameters
        ----------
        names : tuple of str
            Of the microphones.
        rate : int
            Hz.
        client : str
            The name that we had in a JACK server; empty: none.

        Raises
        ------
        DeviceError, InputError
            It is not there, or not yet as it was.
        """
        until = time.monotonic() + NAME_PATIENCE
        search_anew(client)
        while client and client_name() not in (client, "") and time.monotonic() < until:
            time.sleep(NAME_PAUSE)
            search_anew(client)
        self.find()
        self._check_same(names, rate)

    def _check_same(self, names: tuple[str, ...], rate: int) -> None:
        if len(self.mics) != len(names):
            raise DeviceError(f"{self.name} has {len(self.mics)} inputs, it was lost with {len(names)}")
        offered = round(self._device[0]["default_rate"])
        if self.jack and offered != rate:
            raise DeviceError(f"{self.name} is back at {offered} Hz, it was lost at {rate} Hz")

    @property
    def name(self) -> str:
        """As messages call it."""
        return self._labels[0]

    @property
    def jack(self) -> bool:
        """Whether it is a JACK server's."""
        return self.api.startswith("JACK")

    def connect(self, runner: Runner) -> None:
        """Lead its channels to the runner."""
        record = runner.record
        self._pins_in = np.array([mic.input for mic in self.mics], np.int32)
        self._pins_out = np.array([-1 if mic.output is None else mic.output for mic in self.mics], np.int32)
        self._wide_in = int(self._pins_in.max()) + 1
        self._wide_out = max(int(self._pins_out.max()), *self._request.ear, -1) + 1
        record.put("inputs", self._pins_in)
        record.put("outputs", self._pins_out)
        record["device_inputs"], record["device_outputs"] = self._wide_in, self._wide_out

    @property
    def ear(self) -> tuple[int, ...]:
        """Which of the outputs that the callback writes the engineer listens on; valid after `connect`."""
        return self._request.ear

    def open(self, runner: Runner, preset: Preset, cables: Collection[Cable] | None) -> None:
        """Open it, but for `start`; `cables` are those of an earlier process of this run.

        Raises
        ------
        DeviceError
        InputError
            Its blocks are too large for the preset.
        """
        if self.jack:
            with contextlib.suppress(OSError):
                self.cables = Cables(cables)
        try:
            self._check_period(preset)
            self._stream = self._made(runner)
        except RtsepError:
            self._leave_cables()
            raise

    def start(self) -> None:
        """Let it call the runner.

        Raises
        ------
        DeviceError
        """
        try:
            self._stream.start()
        except portaudio().PortAudioError as error:
            self._leave_cables()
            raise DeviceError(f"{self.name}: does not start ({error})") from error
        if self.cables is not None:
            self.cables.watch(client_name())

    def _leave_cables(self) -> None:
        if self.cables is not None:
            self.cables.leave()

    def _made(self, runner: Runner) -> Any:
        from rtsep_kernels.plane.grid import run_interleaved

        sd = portaudio()
        duplex = self._wide_out > 0
        source, target = self._source, self._target
        self._threads = realtime.threads()
        try:
            return sd._StreamBase(
                "duplex" if duplex else "input",
                samplerate=self.rate,
                blocksize=self._request.block,
                device=(source, target) if duplex else source,
                channels=(self._wide_in, self._wide_out) if duplex else self._wide_in,
                dtype="float32",
                latency="low",
                clip_off=True,     # our limiter has done it
                dither_off=True,
                callback=sd._ffi.cast("PaStreamCallback *", run_interleaved.address),
                userdata=sd._ffi.cast("void *", runner.address),
            )
        except (sd.PortAudioError, ValueError) as error:
            default = self._device[0]["default_rate"]
            why = str(error).removeprefix("Error opening _StreamBase: ")
            hint = f"; it offers {default:g} Hz" if default != self.rate else ""
            raise DeviceError(
                f"{self.name}: {self._wide_in} in and {self._wide_out} out at {self.rate} Hz: {why}{hint}"
            ) from error

    def _check_period(self, preset: Preset) -> None:
        most = most_block(preset)
        if self.cables is not None and most is not None and self.cables.period > most:
            raise InputError(
                self.name, f"JACK's period is {self.cables.period} frames", f"this preset needs {most} or less"
            )

    def latency(self) -> float:
        """Return what it says of its own latency, seconds."""
        latency = self._stream.latency
        return float(sum(latency)) if isinstance(latency, tuple) else float(latency)

    def about(self) -> dict[str, Any]:
        """Return what a summary says of it."""
        return {
            "host_api": self.api,
            "input_device": self._device[0]["name"],
            "output_device": self._device[1]["name"] if self._wide_out else "",
            "sample_rate": self.rate,
            "stream_rate": self._stream_rate(),
            "channels": len(self.mics),
            "device_latency_s": self.latency(),
            "client": self._own_name(),
            "priority_fix": realtime.ensure(self.api, realtime.threads() - self._threads),
        }

    def _stream_rate(self) -> float:
        return float(self._stream.samplerate)

    def _own_name(self) -> str:
        return client_name() if self.jack else ""

    def period(self) -> int:
        """Return how many frames it hands over at once, where it says so; 0: it does not."""
        return 0

    def tell_latency(self, frames: int) -> None:
        """Let it know how late the chain is; nobody asks PortAudio for that."""

    def news(self, _preset: Preset) -> list[str]:
        """Return lines about what has changed about it since the last time."""
        return []

    def lost(self) -> str:
        """Return how it was lost; empty: it was not."""
        ended = self.cables is not None and self.cables.gone.is_set()
        return f"{self.name}: the JACK server has ended" if ended else ""

    def notes(self) -> list[str]:
        """Return what is odd about where the sound goes."""
        notes = []
        for pin in range(self._wide_out):
            mixed = [mic.name for mic in self.mics if mic.output == pin]
            if len(mixed) > 1:
                notes.append(f"output {pin + 1} is a mix of {', '.join(mixed)}; it is limited as one")
        others = [] if self.cables is None else self.cables.others()
        if others:
            notes.append(
                f"another client plays into our outputs, too: {', '.join(others)}; nobody limits the sum"
            )
        return notes

    def check_burst(self, runner: Runner, preset: Preset) -> None:
        """Refuse a device whose own blocks are too large for what a preset learns, though PortAudio cuts them.

        Raises
        ------
        InputError
        """
        most = most_block(preset)
        if most is None:
            return
        frames = burst(runner)
        if frames > _BURST_TOLERANCE * most:
            raise InputError(
                self.name, f"it hands over about {frames} frames at a time",
                f"this preset needs {most} or less: set the device, or JACK's period",
            )

    def stop(self, runner: Runner) -> bool:
        """Fade out and close; False if that hangs."""
        record = runner.record
        record["fade_step"] = 1 / (FADE_OUT_SECONDS * self.rate)
        record["fade_target"] = 0
        until = time.monotonic() + _FADE_PATIENCE
        while record["fade"] > 0 and time.monotonic() < until:
            time.sleep(0.005)
        # What lies in the device's buffers is still the fade.
        time.sleep(min(_LONGEST_BUFFER, max(0.0, self.latency()) + self._request.block / self.rate))
        if self.cables is not None:
            self.cables.close()
        return self._close()

    def _close(self) -> bool:
        closing = threading.Thread(target=_close, args=(self._stream,), daemon=True)
        closing.start()
        closing.join(STOP_PATIENCE)
        return not closing.is_alive()


def _close(stream: Any) -> None:
    with contextlib.suppress(Exception):
        stream.stop()
        stream.close()
