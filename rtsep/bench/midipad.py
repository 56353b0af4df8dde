"""A MIDI device in a JACK server, in a process of its own: rtmidi would hang whoever is here when a server dies."""

from __future__ import annotations

import subprocess
import sys
import time

from rtsep.bench.jackd import JackServer

_PATIENCE = 10.0   # seconds; only a device that hangs takes so long


class Pad:
    """A device with a port `NAME:out` and a port `NAME:in`.

    Parameters
    ----------
    server : JackServer
    name : str
    """

    def __init__(self, server: JackServer, name: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, name], env=server.environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1,
        )
        self._ask("ready")

    def send(self, messages: list[bytes], every: float = 0.0) -> list[float]:
        """Send messages, one every so many seconds; returns the times, `time.monotonic` of the machine, at which."""
        words = " ".join(message.hex() for message in messages)
        return [float(word) for word in self._ask(f"send {every} {words}").split()]

    def heard(self) -> list[bytes]:
        """Return what has been sent to it since the last time."""
        return [bytes.fromhex(word) for word in self._ask("heard").split()]

    def until(self, message: bytes) -> list[bytes]:
        """Return all that is heard until a message comes."""
        end, found = time.monotonic() + _PATIENCE, list[bytes]()
        while message not in found:
            if time.monotonic() > end:
                raise TimeoutError(f"{message.hex()} is not in {[one.hex() for one in found]}")
            found += self.heard()
            time.sleep(0.01)
        return found

    def echo(self, on: bool) -> None:
        """Have it send back whatever it is told, or no more."""
        self._ask(f"echo {int(on)}")

    def there(self) -> bool:
        """Whether it still is: it ends with its server."""
        return self._process.poll() is None

    def close(self) -> None:
        """Unplug it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:   # its server is dead
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        return self._process.stdout.readline()


def _be(name: str) -> None:
    """Be the device."""
    import rtmidi

    out, ear = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, name=name), rtmidi.MidiIn(rtmidi.API_UNIX_JACK, name=name)
    ear.ignore_types(sysex=False)
    out.open_virtual_port("out")
    ear.open_virtual_port("in")
    heard: list[str] = []
    echoes = [False]

    def hear(message: tuple[list[int], float], _data: object) -> None:
        heard.append(bytes(message[0]).hex())
        if echoes[0]:
            out.send_message(message[0])

    ear.set_callback(hear)
    for line in sys.stdin:
        word, *rest = line.split()
        answer = ""
        if word == "send":
            answer = " ".join(map(repr, _send(out, float(rest[0]), [list(bytes.fromhex(one)) for one in rest[1:]])))
        elif word == "heard":
            count = len(heard)
            answer = " ".join(heard[:count])
            del heard[:count]
        elif word == "echo":
            echoes[0] = rest == ["1"]
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()
    out.close_port()
    ear.close_port()


def _send(out: object, every: float, messages: list[list[int]]) -> list[float]:
    times, begun = [], time.monotonic()
    for n, message in enumerate(messages):
        while time.monotonic() < begun + n * every:
            time.sleep(0.0002)
        times.append(time.monotonic())
        out.send_message(message)   # type: ignore[attr-defined]
    return times


if __name__ == "__main__":
    _be(sys.argv[1])
