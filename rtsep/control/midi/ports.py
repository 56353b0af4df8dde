"""Ports: a process that owns the system's MIDI, so that nothing of it can reach the run.

rtmidi holds the GIL while it waits, for ever if a sound server has died, and its JACK callback is a real-time thread
that would wait for Python. Here neither matters: messages wait in rtmidi's own queue, are fetched every millisecond and
go through a pipe; who does not hear from this process for a while ends it and starts another one.

    python -m rtsep.control.midi.ports API INPUT OUTPUT INPUT OUTPUT …

Names are parts of ports' names; without any, all ports are opened. Frames on both pipes: kind, port, length, content.
"""

from __future__ import annotations

import json
import os
import re
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, BinaryIO, NoReturn

HEAD = struct.Struct("<cBH")
"""Kind, port and length of a frame."""

BEAT, PROBLEM, NAMES, OPENED, CLOSED, MESSAGE = b"B", b"P", b"N", b"O", b"C", b"M"
"""Kinds of frames. `MESSAGE` goes both ways."""

OURS = "rtsep-midi"
"""What the names of our own ports begin with; they are never opened."""

_OWN = f"{OURS}-{os.getpid()}"   # and those of this process; JACK adds a number to each client but the first

BEAT_EVERY = 0.25     # seconds
# Seconds between two empty sysex that our JACK ports are sent by ourselves: rtmidi hears nothing of a port after the
# beginning of a sysex, whatever comes, until one ends; a device that is switched off in the middle would stay unheard.
_RING_EVERY = 0.05
_EMPTY_SYSEX = [0xF0, 0xF7]
_LOOK_EVERY = 1.0     # seconds between two looks at the ports there are
_FETCH_EVERY = 0.001  # seconds; a DIN cable needs as long for one message
# Messages that may wait. rtmidi's 1024 are gone in a burst of one JACK period; 16384 take 16 seconds at 1000 a second.
_QUEUE = 16384
_MOST_PORTS = 255


class Ports:
    """Opens ports by name, again and again, and passes on what comes from them.

    Parameters
    ----------
    api : str
        `alsa`, `jack`, or empty: what the system has.
    wanted : list of (input, output)
    pipe : binary file
        For frames.
    """

    def __init__(self, api: str, wanted: list[tuple[str, str]], pipe: BinaryIO) -> None:
        self._wanted, self._pipe = wanted, pipe
        self._api, self._server = _chosen(api)
        self._lock = threading.Lock()   # rtmidi's objects come and go in one thread, and send in another
        self._look_in, self._look_out = self._input(), self._output()
        self._known: Any = None
        self._open: dict[int, _Open] = {}

    def run(self) -> NoReturn:
        """Go on for ever, or until the sound server is gone."""
        beat = look = ring = 0.0
        while True:
            now = time.monotonic()
            if self._server is not None and self._server.gone:
                raise RuntimeError("the JACK server is gone")
            with self._lock:
                if now >= look:
                    look = now + _LOOK_EVERY
                    self._look()
                frames = [_frame(MESSAGE, n, data) for n, port in self._open.items() for data in port.fetch()]
            if now >= ring and self._server is not None:
                ring = now + _RING_EVERY
                self._server.ring()
            if now >= beat:
                beat = now + BEAT_EVERY
                frames.append(_frame(BEAT, 0))
            if frames:
                self._pipe.write(b"".join(frames))
                self._pipe.flush()
            time.sleep(_FETCH_EVERY)

    def listen(self, pipe: BinaryIO) -> None:
        """Send what comes through a pipe; end the process when that is closed."""
        while len(head := pipe.read(HEAD.size)) == HEAD.size:
            _, number, size = HEAD.unpack(head)
            data = pipe.read(size)
            with self._lock:
                port = self._open.get(number)
                if port is not None and port.output is not None:
                    port.output.send_message(list(data))
        os._exit(0)

    def _look(self) -> None:
        """Open what has come and close what has gone."""
        inputs, outputs = _others(self._look_in.get_ports()), _others(self._look_out.get_ports())
        if (inputs, outputs) == self._known:
            return
        self._known = (inputs, outputs)
        self._tell(NAMES, 0, {"inputs": inputs, "outputs": outputs})
        for number, port in list(self._open.items()):
            if port.name not in inputs:
                port.close()
                del self._open[number]
                self._tell(CLOSED, number, {"key": port.key, "name": port.name})
        for key, name, output in self._matches(inputs, outputs):
            number = next((n for n, port in self._open.items() if port.name == name), -1)
            if number < 0:
                number = next(n for n in range(_MOST_PORTS + 1) if n not in self._open)
                if number == _MOST_PORTS:
                    continue
                self._open[number] = _Open(key, name, self._input())
            elif self._open[number].output_name == output:
                continue
            self._open[number].answer_at(output, self._output)
            if self._server is not None:
                self._server.hang_bell()
            self._tell(OPENED, number, {"key": key, "name": name, "output": output})

    def _matches(self, inputs: list[str], outputs: list[str]) -> list[tuple[str, str, str]]:
        """Return key, input and output of each port that should be open; the output is empty where there is none."""
        if not self._wanted:
            return [(_lasting(name), name, _same(name, outputs)) for name in inputs]
        found = []
        for part, answer in self._wanted:
            name = next((name for name in inputs if part in name), "")
            if name:
                found.append((part, name, next((name for name in outputs if answer in name), "")))
        return found

    def _tell(self, kind: bytes, number: int, content: dict[str, Any]) -> None:
        self._pipe.write(_frame(kind, number, json.dumps(content).encode()))

    def _input(self) -> Any:
        import rtmidi

        made = rtmidi.MidiIn(self._api, name=_OWN, queue_size_limit=_QUEUE)
        made.ignore_types(sysex=True, timing=True, active_sense=True)
        return made

    def _output(self) -> Any:
        import rtmidi

        return rtmidi.MidiOut(self._api, name=_OWN)


class _Open:
    """A device that is open."""

    def __init__(self, key: str, name: str, source: Any) -> None:
        self.key, self.name, self.output_name = key, name, ""
        self.output: Any = None
        self._input = source
        source.open_port(source.get_ports().index(name), "in")

    def answer_at(self, name: str, make: Callable[[], Any]) -> None:
        """Send to a port from now on; empty: to none."""
        if self.output is not None:
            self.output.close_port()
        self.output, self.output_name = None, name
        if name:
            self.output = make()
            self.output.open_port(self.output.get_ports().index(name), "out")

    def fetch(self) -> list[bytes]:
        """Return the messages that have come; what begins without a status is the rest of a sysex that was cut."""
        found = []
        while (message := self._input.get_message()) is not None:
            if message[0] and message[0][0] & 0x80:
                found.append(bytes(message[0]))
        return found

    def close(self) -> None:
        self._input.close_port()
        if self.output is not None:
            self.output.close_port()


class _Server:
    """Hears when the JACK server ends: rtmidi does not, and lists its ports for ever. It has the bell, too."""

    def __init__(self) -> None:
        import jack
        import rtmidi

        self.gone = False
        self._client = jack.Client(_OWN, no_start_server=True)
        self._client.set_shutdown_callback(self._ended)
        self._client.activate()
        self._bell = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, name=_OWN)
        self._bell.open_virtual_port("bell")

    def hang_bell(self) -> None:
        """Lead the bell to all ports at which this process hears something."""
        [bell] = self._client.get_ports(f"^{_OWN}(-[0-9]+)?:bell$", is_midi=True, is_output=True)
        rung = {port.name for port in self._client.get_all_connections(bell)}
        for port in self._client.get_ports(f"^{_OWN}(-[0-9]+)?:in$", is_midi=True, is_input=True):
            if port.name not in rung:
                self._client.connect(bell, port)

    def ring(self) -> None:
        """End whatever sysex has begun at one of them."""
        self._bell.send_message(_EMPTY_SYSEX)

    def _ended(self, _status: Any, _reason: str) -> None:
        self.gone = True


def _chosen(api: str) -> tuple[int, _Server | None]:
    """Return rtmidi's number of an API, and the server that it depends on.

    Raises
    ------
    RuntimeError
        If there is no MIDI.
    """
    import rtmidi

    if not sys.platform.startswith("linux"):
        return int(rtmidi.API_UNSPECIFIED), None
    if api == "alsa" or (not api and os.path.exists("/dev/snd/seq")):
        return int(rtmidi.API_LINUX_ALSA), None
    missing = "" if api else "no ALSA sequencer (/dev/snd/seq) and "
    try:
        import jack
    except ImportError:
        raise RuntimeError(f"there is {missing}no JACK-Client: pip install 'rtsep[jack]'") from None
    except OSError:   # no libjack
        raise RuntimeError(f"there is {missing}no JACK") from None
    try:
        return int(rtmidi.API_UNIX_JACK), _Server()
    except jack.JackError:
        raise RuntimeError(f"there is {missing}no JACK server") from None


def _others(names: list[str]) -> list[str]:
    return [name for name in names if not name.startswith(OURS)]


def _lasting(name: str) -> str:
    """Return a port's name without the numbers that ALSA gives it anew whenever it is plugged in."""
    return re.sub(r" \d+:\d+$", "", name)


def _same(name: str, outputs: list[str]) -> str:
    """Return where a port is answered: at the same name, or where its client has only one."""
    if name in outputs:
        return name
    of_client = [output for output in outputs if output.partition(":")[0] == name.partition(":")[0]]
    return of_client[0] if len(of_client) == 1 else ""


def _frame(kind: bytes, number: int, content: bytes = b"") -> bytes:
    return HEAD.pack(kind, number, len(content)) + content


def main(arguments: list[str]) -> int:
    """Be the process."""
    api, *names = arguments
    out = sys.stdout.buffer
    try:
        ports = Ports(api, list(zip(names[::2], names[1::2], strict=True)), out)
        threading.Thread(target=ports.listen, args=(sys.stdin.buffer,), daemon=True).start()
        ports.run()
    except BrokenPipeError:
        os._exit(0)
    except Exception as error:   # whatever MIDI libraries raise; the other side says it, and tries again
        out.write(_frame(PROBLEM, 0, json.dumps({"problem": " ".join(str(error).split())}).encode()))
        out.flush()
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
