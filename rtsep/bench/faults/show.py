"""A show: one run that records, with snapshots, plug-ins, MIDI and OSC, and goes on through one fault after another."""

from __future__ import annotations

import contextlib
import pathlib
import socket
import time
from collections.abc import Mapping

from rtsep import figures
from rtsep.bench.faults import judging, machine
from rtsep.bench.faults.hearing import SILENT
from rtsep.bench.faults.judging import Levels
from rtsep.bench.faults.trial import DEVICE, Fault, Limits, Setting, Trial
from rtsep.bench.midipad import Pad
from rtsep.control.osc.packet import encode
from rtsep.errors import DeviceError
from rtsep.hosts.hostapis import PORTAUDIO
from rtsep.meters import Meters

MICS = ("mic1", "mic2", "mic3", "mic4", "mic5")   # as a JACK server's ports are called without a show
BROKEN_EAR = len(MICS) - 1                        # of the mic that sends what is no sound
DOWN_DB = -12   # of every strip: a mic that is dry is as much louder
DELAY = 512     # samples of the strips: a machine that others use is late now and then
PAD = "pad"
RECORDING = "take"
_LEVEL_SECONDS = 1.0   # of sound before a fault, from which usual levels are taken
_WELL_SECONDS = 0.6    # without anything but usual sound, after which it is back
_CALM_PATIENCE = 30.0  # seconds
_ANSWER = 0.2          # seconds that OSC may take
_SMALL = Fault("show", lambda _trial: None, Limits())


def preset(plugins: Mapping[str, pathlib.Path], period: int) -> str:
    """Return a preset: the chain of `foh`, and a strip for each mic that turns it down.

    Parameters
    ----------
    plugins : mapping of str to Path
        VST3 bundles with `gain` and `armed`, of the first mics, in turn; the others have a built-in effect.
    period : int
        Frames.
    """
    strips = [
        f'[[chain.strips]]\nmic = "{mic}"\nplugins = [{{plugin = "{kind}", name = "{kind}", path = "{path}"}}]\n'
        for mic, (kind, path) in zip(MICS, plugins.items(), strict=False)
    ]
    turned = [f'"strips.{mic}.{kind}.gain" = {DOWN_DB}\n' for mic, kind in zip(MICS, plugins, strict=False)]
    return (
        f'schema = 1\nname = "show"\nlatency_class = "record"\n[host]\nblock = {period}\n'
        '[[chain]]\nstage = "input"\n[[chain]]\nstage = "canceller"\n'
        '[[chain]]\nstage = "spectral"\nanalysis = 1024\nsynthesis = 512\nhop = 128\n'
        f'[[chain]]\nstage = "strips"\ndelay = {DELAY}\neach = [{{plugin = "Gain"}}, {{plugin = "HighpassFilter"}}]\n'
        + "".join(strips) + f'[params]\n"strips.gain.gain_db" = {DOWN_DB}\n' + "".join(turned)
    )


class Show(Trial):
    """The parts of a show, for faults to act on.

    Parameters
    ----------
    setting : Setting
        `mics` are those of `MICS`.
    folder : Path
        Its own.
    plugins : mapping of str to Path
        See `preset`.
    seconds : float
        That it may last.
    """

    def __init__(
        self, setting: Setting, folder: pathlib.Path, plugins: Mapping[str, pathlib.Path], seconds: float
    ) -> None:
        self.tape_seconds = seconds
        self.plugins, self.place = plugins, folder / "show"
        self._write(setting.period)
        self._pad: Pad | None = None
        self.normal: Levels | None = None   # the usual levels, of when all was well last
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        super().__init__(setting, _SMALL, folder)
        self._socket.connect(("127.0.0.1", self.port))

    def _write(self, period: int) -> None:
        from rtsep.show import cue, folder

        mine = self.place.parent / "mine.toml"
        mine.write_text(preset(self.plugins, period))
        made = folder.create(self.place, "night", str(mine), MICS)
        cue.save(cue.Cue(1, "verse", values={"output.gain_db": 0.0}, file="01-verse"), made.folder / "snapshots")
        (self.place.parent / "map.toml").write_text(
            f'schema = 1\napi = "jack"\n[[port]]\ninput = "{PAD}"\n[[control]]\nmessage = "cc"\nchannel = 1\n'
            'number = 7\nto = "output.gain_db.mic5"\n'
        )

    def arguments(self) -> list[str]:
        """Return what `rtsep run` is told."""
        host = ["-b", str(self.period)] if self.setting.host_api == PORTAUDIO else ["--host-api", self.setting.host_api]
        return [
            "-i", DEVICE, "-o", DEVICE, *host, "--show", str(self.place), "--midi", str(self.folder / "map.toml"),
            "--osc", str(self.port), "--record", str(self.folder / RECORDING), "--no-view", "--json",
        ]

    # The parts

    def begin(self) -> float:
        """Have it sound; returns since when, seconds of `time.monotonic`."""
        self.plug_pad()
        self.play()
        (name,) = (name for name in machine.mapped(self.program.pid) if name.endswith("-m"))
        self.meters = Meters(len(MICS), name, create=False)
        tape = self.device.heard()
        return tape.when(int((abs(tape.sound[0]) > SILENT).argmax()))

    def plug_pad(self) -> None:
        """Plug the MIDI device in, also where one was lost with its server."""
        if self._pad is not None:
            self._pad.close()
        self._pad = Pad(self.server, PAD)

    def unplug_pad(self) -> None:
        """Unplug it."""
        if self._pad is not None:
            self._pad.close()
            self._pad = None

    def worker(self, kind: str) -> int:
        """Return the process that has a plug-in of the audio process that plays.

        Raises
        ------
        DeviceError
            If none has it just now.
        """
        for pid in self._workers(kind, self.program.audio()):
            return pid
        raise DeviceError(f"nobody has {kind}")

    def _workers(self, kind: str, above: int) -> list[int]:
        """Return all processes below another one that have a plug-in."""
        path, found = str(self.plugins[kind]), []
        for pid in machine.descendants(above):
            with contextlib.suppress(OSError):
                if path in pathlib.Path(f"/proc/{pid}/maps").read_text():
                    found.append(pid)
        return found

    def stands_by(self) -> bool:
        """Whether a second audio process has all plug-ins, too, and nobody loads anything any more."""
        pid = self.program.pid
        return all(len(self._workers(kind, pid)) > 1 for kind in self.plugins) and not machine.working(pid)

    def turn(self, path: str, value: float) -> None:
        """Turn something, by OSC."""
        with contextlib.suppress(OSError):
            self._socket.send(encode("/p/" + path.replace(".", "/"), float(value)))

    def ask(self, address: str) -> float | None:
        """Return what stands at an OSC address; None: nobody answers soon."""
        from pythonosc.osc_message import OscMessage

        self._socket.settimeout(_ANSWER)
        with contextlib.suppress(OSError):
            self._socket.send(encode(address))
            end = time.monotonic() + _ANSWER
            while time.monotonic() < end:
                said = OscMessage(self._socket.recv(65536))
                if said.address == address:
                    return float(said.params[0])
        return None

    def counters(self) -> dict[str, float]:
        """Return all that it counts; those of a life are 0 again after it."""
        found = {name: value for name, value in figures.read(self.meters.get).items() if "." not in name}
        return found | {"clipped": float(self.meters.clipped().sum()), "osc": self.ask("/stat/received") or 0.0}

    # What sounds

    def well(self, ears: tuple[int, ...], since: float = 0.0) -> bool:
        """Whether it has sounded as usual for a while, until just now, all of that after a time."""
        tape, now = self.device.heard(), time.monotonic()
        if now - _WELL_SECONDS < since:
            return False
        if not len(tape.stamps) or tape.stamps[0] > now - _WELL_SECONDS or now - tape.stamps[-1] > _WELL_SECONDS / 2:
            return False
        return judging.judge([tape], now - _WELL_SECONDS, now, self.normal, ears).last is None

    def calm(self, heavy: bool) -> bool:
        """Wait until all is as it should be before a fault; a heavy one needs that somebody stands by."""
        if self._pad is None or not self._pad.there():
            self.plug_pad()
        self.turn("output.clear_clips", 1)
        ears = tuple(range(len(MICS)))
        calm = machine.until(lambda: self.well(ears), _CALM_PATIENCE, 0.1)
        if calm:   # it drifts while things are learnt
            now = time.monotonic()
            self.normal = judging.usual([self.device.heard()], now - _LEVEL_SECONDS, now)
        if heavy:
            calm &= machine.until(self.stands_by, _CALM_PATIENCE, 0.1)
        self.program.look()
        return calm

    def forget(self, until: float) -> None:
        """Give back the memory of what was heard before a time."""
        for player in tuple(self._tapes):
            tape = player.heard()
            player.forget(tape.after(until))
            if player is not self.device and not (len(tape.stamps) and tape.stamps[-1] >= until):
                player.close()
                self._tapes.remove(player)

    def close(self) -> None:
        """End everything."""
        self.unplug_pad()
        self._socket.close()
        super().close()

