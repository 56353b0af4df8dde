"""MIDI through real ports: JACK's, as there is no other on a machine without devices."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jack_server import jack_server
from test_midi import VOX, Playing, cc

from rtsep.bench.jackd import JackServer
from rtsep.bench.midipad import Pad
from rtsep.control.desk import Desk
from rtsep.control.midi.carrier import Carrier
from rtsep.control.midi.mapping import loads
from rtsep.control.surface import Running
from rtsep.control.surfaces.midi import Midi
from rtsep.meters import Meters

pytest.importorskip("rtmidi", reason="python-rtmidi is not installed")
HEAD = 'schema = 1\napi = "jack"\n'
PATIENCE = 15.0   # seconds; only what hangs takes so long


@pytest.fixture(scope="module")
def server() -> Iterator[JackServer]:
    with jack_server(128) as running:
        yield running


class Rig:
    """A desk without sound, and the surface."""

    def __init__(self, text: str) -> None:
        self.desk, self.said = Desk(Playing()), list[str]()
        mapping = loads(HEAD + text, "m")
        self.surface = Midi(mapping, Carrier(mapping.ports, mapping.api))
        self._running = Running(self.desk, {}, Meters(2), self.said.append)
        self.surface.update(self._running)

    def until(self, true: Callable[[], Any], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < end, f"{what}; {self.said}"
            time.sleep(0.005)
            self.surface.update(self._running)

    def hears(self, word: str) -> None:
        self.until(lambda: any(word in line for line in self.said), word)


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


def test_a_fader_turns_and_follows_and_its_port_may_go_and_come(server: JackServer, rig: Any, pad: Pad) -> None:
    ports = '[[port]]\ninput = "pad"\n[[port]]\ninput = "other"\n'
    there = rig(ports + control(cc(7)) + control(cc(8, more='port = "other"')))
    there.hears("MIDI: pad:out is there")
    assert "MIDI: other is not there yet; there is pad:out" in there.said
    pad.until(b"\xb0\x07\x4a")                    # where it is to stand: 0 dB
    pad.send([b"\xb0\x07\x7f"])
    there.until(lambda: there.desk.get(VOX) == 12, "the desk")
    there.desk.set(VOX, -60)
    assert pad.until(b"\xb0\x07\x00") == [b"\xb0\x07\x00"]
    other = Pad(server, "other")
    there.hears("MIDI: other:out is there")
    other.until(b"\xb0\x08\x00")
    other.send([b"\xb0\x08\x7f", b"\xb0\x7b\x00"])
    there.until(lambda: there.desk.get(VOX) == 12, "the other")
    there.hears("panic from other: all microphones are dry")
    other.close()
    there.hears("MIDI: other:out is gone; it is looked for")
    again = Pad(server, "other")
    again.until(b"\xb0\x08\x7f")
    again.close()


def test_a_burst_of_thousands_is_neither_lost_nor_mixed_up(rig: Any, pad: Pad) -> None:
    there = rig(control('message = "cc14"\nchannel = 1\nnumber = 1\nto = "canceller.amount.vox"\nfeedback = false'))
    taken: list[float] = []
    there.desk.set = lambda _path, value: taken.append(value)
    there.hears("pad:out is there")
    values = [5 * n for n in range(3000)]
    pad.send([half for v in values for half in (bytes((0xB0, 1, v >> 7)), bytes((0xB0, 33, v & 127)))])
    there.until(lambda: len(taken) > 3000, "all of it")
    assert taken[1:] == pytest.approx([v / 16383 for v in values])   # the first upper half is told alone


def test_a_device_that_sends_back_what_it_is_told_settles(rig: Any, pad: Pad) -> None:
    there = rig(control(cc(7)) + control(f'message = "cc14"\nchannel = 1\nnumber = 2\nto = "{VOX}"'))
    there.until(lambda: "MIDI: pad:out is there" in there.said, "its input")
    pad.echo(True)
    pad.send([bytes((0xB0, 7, n)) for n in range(100)], 0.005)
    there.until(lambda: there.desk.get(VOX) > 5, "the move")
    pad.until(bytes((0xB0, 34, there_raw(there) & 127)))
    time.sleep(0.5)
    pad.heard()
    time.sleep(0.5)
    assert pad.heard() == []


def there_raw(there: Rig) -> int:
    from rtsep.control.midi.curves import Curve

    return round(Curve("taper", -60, 12).position(there.desk.get(VOX)) * 16383)


def test_garbage_at_the_port_turns_nothing_and_the_next_message_counts(rig: Any, pad: Pad) -> None:
    import random

    from test_midi import cut, garbage

    there = rig(control(cc(7)))
    there.hears("pad:out is there")
    rng = random.Random(5)
    sent = [data for data in (garbage(rng, rng.randrange(1, 4)) for _ in range(3000))
            if not any(m[0] == 0xB0 and m[1] in (7, 120, 123) for m in cut(data))]
    pad.send([bytes((0xB0, 7, 127)), *sent, b"\xf7", b"\xb0\x08\x01"], 0.0005)
    there.until(lambda: there.desk.get(VOX) != 0, "the first")
    time.sleep(0.3)
    assert there.desk.get(VOX) == 12
    pad.send([b"\xb0\x07\x00"])
    there.until(lambda: there.desk.get(VOX) == -60, "the last")
    assert there.desk.get("output.dry_all") == 0


def test_a_server_that_dies_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with jack_server(128) as server:
        monkeypatch.setenv("JACK_DEFAULT_SERVER", server.name)
        there, pad = Rig(control(cc(7))), Pad(server, "pad")
        there.hears("pad:out is there")
        pad.close()
        pad = Pad(server, "pad")
        server.kill()
        pad.close()
        there.hears("is gone; it is looked for")
        there.hears("no MIDI: there is no JACK server; it is tried again")
        for n in range(3000):   # rtmidi would wait for ever for who is to carry them
            there.desk.set(VOX, -n / 100)
        again = JackServer(128, 48000, 2, server.name)
        try:
            assert again.ready()
            pad = Pad(again, "pad")
            there.until(lambda: sum("pad:out is there" in line for line in there.said) >= 2, "pad again")
            pad.send([b"\xb0\x07\x7f"])
            there.until(lambda: there.desk.get(VOX) == 12, "the desk")
        finally:
            pad.close()
            there.surface.close()
            again.close()
