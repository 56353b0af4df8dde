"""MIDI through real ports: JACK's, as there is no other on a machine without devices."""

from __future__ import annotations

import json
import pathlib
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from jack_server import jack_server
from test_midi import KICK, VOX, Playing, cc, cut, garbage

from rtsep.bench.jackd import JackServer
from rtsep.bench.midipad import Pad
from rtsep.control.desk import Desk
from rtsep.control.midi.carrier import Carrier
from rtsep.control.midi.curves import Curve
from rtsep.control.midi.mapping import load, loads
from rtsep.control.surface import Running
from rtsep.control.surfaces.midi import Midi
from rtsep.meters import Meters

pytest.importorskip("rtmidi", reason="python-rtmidi is not installed")
HEAD = 'schema = 1\napi = "jack"\n'
PAD = '[[port]]\ninput = "pad"\n'
PATIENCE = 20.0   # seconds; only what hangs takes so long
# A server loses the messages of the periods that a client misses: long ones keep that rare on a machine that is busy.
PERIOD = 1024
FULL = b"\xb0\x07\x7f"


class Rig:
    """A desk without sound, and the surface."""

    def __init__(self, text: str) -> None:
        self.desk, self.said = Desk(Playing()), list[str]()
        mapping = loads(HEAD + text, "m")
        self.surface = Midi(mapping, Carrier(mapping.ports, mapping.api))
        self._running = Running(self.desk, {}, Meters(2), self.said.append)
        self.surface.update(self._running)

    def until(self, true: Callable[[], Any], again: Callable[[], Any] = lambda: None) -> None:
        """Wait until something is so, and do something for it now and then."""
        end = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < end, self.said
            again()
            time.sleep(0.05)
            self.surface.update(self._running)

    def hears(self, word: str, times: int = 1) -> None:
        self.until(lambda: sum(word in line for line in self.said) >= times)

    def taken(self, pad: Pad, message: bytes, path: str, value: float) -> None:
        """Have a device say something until it has been heard: in its first moments JACK loses messages."""
        self.until(lambda: self.desk.get(path) == value, lambda: pad.send([message]))


@pytest.fixture(scope="module")
def server() -> Iterator[JackServer]:
    with jack_server(PERIOD) as running:
        yield running


@pytest.fixture
def rig(server: JackServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Rig]]:
    monkeypatch.setenv("JACK_DEFAULT_SERVER", server.name)
    made: list[Rig] = []

    def make(text: str) -> Rig:
        made.append(Rig(text))
        return made[-1]

    yield make
    for one in made:
        one.surface.close()


@pytest.fixture
def pad(server: JackServer) -> Iterator[Pad]:
    made = Pad(server, "pad")
    yield made
    made.close()


def control(more: str) -> str:
    return f"[[control]]\n{more}\n"


def test_a_fader_turns_and_follows_and_devices_come_and_go(server: JackServer, rig: Any, pad: Pad) -> None:
    there = rig(PAD + PAD.replace("pad", "second") + control(cc(7)) + control(cc(8, KICK, 'port = "second"')))
    there.hears("MIDI: pad:out is there")
    assert there.said[0] == "MIDI: second is not there yet; there is pad:out"
    there.taken(pad, FULL, VOX, 12)
    there.desk.set(VOX, -60)
    pad.until(b"\xb0\x07\x00")
    second = Pad(server, "second")
    there.hears("MIDI: second:out is there")
    there.taken(second, b"\xb0\x08\x7f", KICK, 12)
    there.taken(second, b"\xb0\x7b\x00", "output.dry_all", 1)
    second.close()
    there.hears("MIDI: second:out is gone; it is looked for")
    there.desk.set(KICK, -60)
    again = Pad(server, "second")
    again.until(b"\xb0\x08\x00")   # where it is to stand
    again.close()
    assert there.said[-1].startswith("MIDI: second:out is ")


@pytest.mark.slow
def test_bursts_and_a_thousand_a_second_are_neither_lost_nor_mixed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with jack_server(256, sync=True) as server:   # JACK itself loses none where it waits for late clients
        monkeypatch.setenv("JACK_DEFAULT_SERVER", server.name)
        pad = Pad(server, "pad")
        fine = 'message = "cc14"\nchannel = 1\nnumber = 1\nto = "canceller.amount.vox"\nfeedback = false'
        there, taken = Rig(PAD + control(fine)), list[float]()
        there.desk.set = lambda _path, value: taken.append(value)   # type: ignore[method-assign]
        there.hears("pad:out is there")
        try:
            for every in (0.0, 0.001):
                del taken[:]
                values = [3 * n for n in range(5000)]
                halves = [half for v in values for half in (bytes((0xB0, 1, v >> 7)), bytes((0xB0, 33, v & 127)))]
                pad.send(halves, every)
                there.until(lambda: len(taken) >= 5000)
                assert taken[-5000:] == pytest.approx([v / 16383 for v in values])
                assert len(taken) <= 5001   # the very first upper half is told alone
        finally:
            there.surface.close()
            pad.close()


@pytest.mark.slow
def test_a_device_that_sends_back_what_it_is_told_settles(rig: Any, pad: Pad) -> None:
    there = rig(PAD + control(cc(7)) + control(f'message = "cc14"\nchannel = 1\nnumber = 2\nto = "{VOX}"'))
    there.hears("pad:out is there")
    there.taken(pad, FULL, VOX, 12)
    pad.echo(True)
    pad.send([bytes((0xB0, 7, n)) for n in range(100)], 0.005)
    fader = Curve("taper", -60, 12)
    there.taken(pad, b"\xb0\x07\x63", VOX, np.float32(fader.value(99 / 127)))
    pad.until(bytes((0xB0, 34, round(fader.position(there.desk.get(VOX)) * 16383) & 127)))
    time.sleep(1.0)
    pad.heard()
    time.sleep(1.0)
    assert pad.heard() == []
    assert there.desk.get(VOX) == np.float32(fader.value(99 / 127))


@pytest.mark.slow
def test_garbage_at_the_port_turns_nothing_and_the_next_message_counts(rig: Any, pad: Pad) -> None:
    there = rig(PAD + control(cc(7)))
    there.hears("pad:out is there")
    there.taken(pad, FULL, VOX, 12)
    rng = random.Random(5)
    chunks = (garbage(rng, rng.randrange(1, 4)) for _ in range(1000))   # rtmidi sends no more than 3 bytes at once
    pad.send([c for c in chunks if not any(m[0] == 0xB0 and m[1] in (7, 120, 123) for m in cut(c))], 0.0005)
    there.surface.update(there._running)
    assert (there.desk.get(VOX), there.desk.get("output.dry_all")) == (12, 0)
    there.taken(pad, b"\xb0\x07\x00", VOX, -60)


@pytest.mark.slow
def test_a_sysex_that_never_ends_makes_nobody_deaf(rig: Any, pad: Pad) -> None:
    """As from a device that is switched off within a dump: rtmidi passes over all that follows, clocks and faders."""
    there = rig(PAD + control(cc(7)))
    there.hears("pad:out is there")
    there.taken(pad, FULL, VOX, 12)
    pad.send([b"\xf0\x01\x02"])
    there.taken(pad, b"\xb0\x07\x00", VOX, -60)


@pytest.mark.slow
def test_a_server_that_dies_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with jack_server(PERIOD) as server:
        monkeypatch.setenv("JACK_DEFAULT_SERVER", server.name)
        there, pad = Rig(PAD + control(cc(7))), Pad(server, "pad")
        there.hears("pad:out is there")
        server.kill()
        pad.close()
        there.hears("is gone; it is looked for")
        there.hears("no MIDI: there is no JACK server; it is tried again")
        again = JackServer(PERIOD, server.rate, 2, server.name)
        try:
            assert again.ready()
            pad = Pad(again, "pad")
            there.hears("pad:out is there", 2)
            there.taken(pad, FULL, VOX, 12)
            there.desk.set(VOX, -60)
            pad.until(b"\xb0\x07\x00")
        finally:
            pad.close()
            there.surface.close()
            again.close()


@pytest.mark.slow
def test_a_control_is_learnt_and_the_ports_are_listed(server: JackServer, pad: Pad, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "map.toml"
    learning = subprocess.Popen(
        [sys.executable, "-m", "rtsep", "midi", "learn", VOX, "-o", str(path), "--port", "pad", "--api", "jack"],
        env=server.environment, stdout=subprocess.PIPE, text=True,
    )
    time.sleep(3.0)
    pad.send([bytes((0xB0, 21, n)) for n in range(128)], 0.01)
    said, _ = learning.communicate(timeout=PATIENCE)
    assert learning.returncode == 0
    assert said == f"{path}: {VOX} is controller 21, channel 1, of pad:out\n"
    (found,) = load(path).controls
    assert (found.kind, found.number, found.to, found.port, found.mode) == ("cc", 21, (VOX,), "pad", "absolute")
    listed = subprocess.run([sys.executable, "-m", "rtsep", "midi", "list", "--api", "jack", "--json"],
                            env=server.environment, capture_output=True, text=True, check=True)
    assert "pad:out" in json.loads(listed.stdout)["inputs"]


def test_a_machine_without_midi_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from rtsep.cli import main

    monkeypatch.setenv("JACK_DEFAULT_SERVER", "there-is-no-such-server")
    assert main(["midi", "list", "--api", "jack"]) == 3
    assert capsys.readouterr().err == "rtsep: no MIDI: there is no JACK server\n"
