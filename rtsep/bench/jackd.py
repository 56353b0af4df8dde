"""A JACK server with its dummy driver, for tests and benches, and players; several can run side by side."""

from __future__ import annotations

import contextlib
import os
import pathlib
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import DeviceError

RATE = 48000


class JackServer:
    """A running server.

    Parameters
    ----------
    period, rate, channels : int
    name : str, optional
        A name that was used before, to come back after a death.
    realtime : bool
        Ask for real-time threads, as a real server has; the system may refuse, then it does not start.
    sync : bool
        Wait for late clients. Else MIDI of such a period is lost, or there twice: the server's buffers are passed over.
    leashed : bool
        It ends with the thread that starts it, even if that is killed; where there is `setpriv`.
    """

    def __init__(
        self, period: int, rate: int, channels: int, name: str | None = None, realtime: bool = False,
        sync: bool = False, leashed: bool = False,
    ) -> None:
        self.name = name or f"rtsep-test-{os.getpid()}-{secrets.token_hex(3)}"
        self.rate = rate
        self.environment = {
            **os.environ, "JACK_DEFAULT_SERVER": self.name, "JACK_NO_AUDIO_RESERVATION": "1",
            "JACK_NO_START_SERVER": "1",
        }
        leash = ["setpriv", "--pdeathsig", "TERM"] if leashed and shutil.which("setpriv") else []
        command = [*leash, "jackd", "-R" if realtime else "-r", *(["-S"] if sync else []), "-n", self.name]
        command += ["-d", "dummy", "-r", str(rate), "-p", str(period)]
        command += ["-C", str(channels), "-P", str(channels)]
        self.process = subprocess.Popen(
            command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def ready(self, patience: float = 10.0) -> bool:
        """Wait until clients may connect."""
        until = time.monotonic() + patience
        while time.monotonic() < until and self.process.poll() is None:
            if self.ports():
                return True
            time.sleep(0.05)
        return False

    def ports(self) -> list[str]:
        """Return the names of all ports; none when the server does not answer."""
        done = subprocess.run(
            ["jack_lsp", "-s", self.name], env=self.environment, capture_output=True, text=True, timeout=10, check=False
        )
        return [line for line in done.stdout.splitlines() if ":" in line] if done.returncode == 0 else []

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End it in good order."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()
        for left in pathlib.Path("/dev/shm").glob(f"jack*{self.name}*"):   # what a killed server leaves behind
            left.unlink(missing_ok=True)

    @contextlib.contextmanager
    def player(self, channels: int, sound: str = "") -> Iterator[str]:
        """Run a client that plays for ever; yields its name, which PortAudio lists as a device.

        Parameters
        ----------
        channels : int
        sound : str
            An audio file with so many channels at `RATE`; empty: noise bursts.

        Raises
        ------
        DeviceError
            If it cannot connect.
        """
        name = "player"
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, self.name, name, str(channels), sound], env=self.environment,
            stdout=subprocess.PIPE, text=True,
        )
        try:
            assert process.stdout is not None
            if process.stdout.readline().strip() != "playing":
                raise DeviceError("the player cannot connect to JACK")
            yield name
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _bursts(channels: int, frames: int) -> NDArray[np.float32]:
    """Make noise whose sources take turns and bleed into each other: something to be learnt."""
    rng = np.random.default_rng(1)
    on = rng.random((channels, frames // 4800 + 1)) > 0.4
    sources = rng.standard_normal((channels, frames)) * on.repeat(4800, 1)[:, :frames]
    return np.asarray(0.08 * (sources + 0.3 * np.roll(sources.sum(0) - sources, 50, 1)), np.float32)


def _play(server: str, name: str, channels: int, sound: str) -> None:
    """Play a file, or noise, over and over."""
    import jack
    import soundfile

    client = jack.Client(name, servername=server, no_start_server=True)
    signal = soundfile.read(sound, dtype="float32", always_2d=True)[0].T if sound else _bursts(channels, 2 * RATE)
    ports = [client.outports.register(f"out{c + 1}") for c in range(channels)]
    place = 0

    def play(n: int) -> None:
        nonlocal place
        for c, port in enumerate(ports):
            out = port.get_array()   # not always of n frames: the server may be about to change its period
            out[:] = signal[c].take(np.arange(place, place + out.size), mode="wrap")
        place = (place + n) % signal.shape[1]

    client.set_process_callback(play)
    with client:
        sys.stdout.write("playing\n")
        sys.stdout.flush()
        while True:
            time.sleep(60)


if __name__ == "__main__":
    _play(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
