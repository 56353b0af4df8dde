"""OSC: what datagrams mean, which addresses there are, who may turn what, and who is told."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import multiprocessing
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from jack_server import jack_server
from osc_client import MICS, Client, message, running, serving, soon, stands
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message import OscMessage

from rtsep import cli, presets
from rtsep.bench.osc import garbage
from rtsep.control.osc import addresses, clients, dispatch, listener, lost, mirror
from rtsep.control.osc import server as server_module
from rtsep.control.osc.clients import Clients, Gate
from rtsep.control.osc.packet import LONGEST, Malformed, decode, encode
from rtsep.control.osc.pattern import is_pattern, matching
from rtsep.control.osc.server import Process, Server
from rtsep.control.surface import Running
from rtsep.errors import InputError
from rtsep.params import Param

MONITOR = presets.load("monitor")


@pytest.fixture
def served() -> Iterator[tuple[Running, Client, Client]]:
    """Return what runs and two clients of its server."""
    what = running(MONITOR)
    with serving(what) as server:
        one, other = Client(server.port), Client(server.port)
        yield what, one, other
        one.close()
        other.close()


def bundle(*elements: bytes) -> bytes:
    """Make one by hand."""
    return b"#bundle\0" + bytes(7) + b"\1" + b"".join(struct.pack(">i", len(e)) + e for e in elements)


# Datagrams

@pytest.mark.parametrize("values", [
    (), (1,), (-2147483648,), (0.5,), ((1 << 40, "h"),), ((0.1, "d"),), ("vox",), ("four",), (b"\1\2\3",), (True,),
    (False,), ("/meters/in", 20), (1, 2.5, "three", b"4", True),
])
def test_a_message_is_what_python_osc_says_it_is(values: tuple[Any, ...]) -> None:
    data = message("/a/b", *values)
    (read,) = decode(data)
    assert read.address == "/a/b"
    assert list(read.values) == OscMessage(data).params
    if not any(isinstance(value, tuple | bool) for value in values):
        assert encode("/a/b", *values) == data


def test_bundles_are_read_in_order() -> None:
    inner, outer = OscBundleBuilder(IMMEDIATELY), OscBundleBuilder(IMMEDIATELY)
    for number in range(3):
        inner.add_content(OscMessage(message("/inner", number)))
    outer.add_content(OscMessage(message("/first", 1)))
    outer.add_content(inner.build())
    outer.add_content(OscMessage(message("/last")))
    read = decode(outer.build().dgram)
    assert [(m.address, *m.values) for m in read] == [
        ("/first", 1), ("/inner", 0), ("/inner", 1), ("/inner", 2), ("/last",)
    ]


GOOD = message("/p/output/gain_db/vox", -6.0)
DEEP = GOOD
for _ in range(100):
    DEEP = bundle(DEEP)
MALFORMED = {
    "nothing": b"", "zeros": bytes(64), "no words": GOOD[:-1], "half": GOOD[:-4], "more": GOOD + bytes(4),
    "no end": b"/abc", "no slash": message("p"), "no comma": b"/a\0\0f\0\0\0" + bytes(4),
    "other letters": b"/\xe9\0\0" + b",f\0\0" + bytes(4), "unknown type": b"/a\0\0,Q\0\0" + bytes(4),
    "blob too long": b"/a\0\0,b\0\0" + struct.pack(">i", 1000) + bytes(8),
    "blob of less than nothing": b"/a\0\0,b\0\0" + struct.pack(">i", -4) + bytes(8),
    "bundle without time": b"#bundle\0" + bytes(4), "element too long": bundle() + struct.pack(">i", 400) + GOOD,
    "element of -4": bundle() + struct.pack(">i", -4),   # keeps python-osc for ever
    "element of 0": bundle() + bytes(4),
    "one bad among good": bundle(GOOD, GOOD[:-4]), "deep": DEEP, "long": message("/a", "x" * LONGEST),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_malformed_is_refused(name: str) -> None:
    with pytest.raises(Malformed):
        decode(MALFORMED[name])


def test_no_bytes_do_anything_but_be_refused() -> None:
    """Whatever is changed in a datagram, it is malformed, or a message of types that there are."""
    chance = random.Random(1)
    whole = bundle(GOOD, message("/a", 1, "two", b"3"), bundle(message("/b", 2.0)))
    for _ in range(5000):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.choice((0, 1, 4, 44, 47, 102, 128, 255, chance.randrange(256)))
        with contextlib.suppress(Malformed):
            for read in decode(bytes(data[: chance.choice((len(data), chance.randrange(len(data))))])):
                assert read.address.startswith("/")
                assert all(isinstance(value, float | int | str | bytes) for value in read.values)


@pytest.mark.parametrize(("pattern", "found"), [
    ("/*", ["/a", "/ab", "/b"]), ("/a*", ["/a", "/ab"]), ("/?", ["/a", "/b"]), ("/[a-b]", ["/a", "/b"]),
    ("/[!a]", ["/b"]), ("/{a,ab}", ["/a", "/ab"]), ("/a{,b}", ["/a", "/ab"]), ("/c/*", ["/c/01/x"][:0]),
    ("/c/*/x", ["/c/01/x", "/c/02/x"]), ("/c/0[2-9]/?", ["/c/02/x"]), ("/**b", ["/ab", "/b"]),
    ("/[", []), ("/{a", []), ("/]", []), ("/}", []), ("/[]", []), ("/a]", []), ("/{a{b}}", []), ("/[z-a]", []),
    ("/" + "*a" * 120 + "*", []), ("/" + "*" * 300, []), ("/.", []), ("/(a)*", []),
])
def test_patterns_mean_what_osc_says(pattern: str, found: list[str]) -> None:
    known = ["/a", "/ab", "/b", "/c/01/x", "/c/02/x", "/" + "a" * 100]
    got = matching(pattern, known) if is_pattern(pattern) else []
    assert [address for address in got if len(address) < 50] == found


# Addresses

def test_every_target_has_an_address_and_takes_back_what_it_says() -> None:
    what = running(MONITOR)
    table = addresses.listing(MONITOR, MICS)
    assert set(what.desk.every()) <= {entry.path for entry in table.values()}
    for entry in (e for e in table.values() if e.path):
        param = what.desk.param(entry.path)
        assert entry.help
        for target in (param.low, param.high, param.default):
            said = entry.value(float(np.float32(target)))
            (read,) = decode(message(entry.address, (said, entry.types)))
            what.desk.set(entry.path, entry.take(read.values))   # a float32 that is a little beyond is taken, too
            reach = (-60.0, 10.0) if entry.address.endswith("fader") else (param.low, param.high)
            assert what.desk.get(entry.path) == pytest.approx(min(reach[1], max(reach[0], target)), abs=1e-4)
    assert table["/p/output/gain_db/kick_1"].path == "output.gain_db.kick 1"
    assert table["/p/output/gain_db/a.b"].path == "output.gain_db.a.b"
    assert "/ch/04/mix/on" not in table


def test_a_range_that_no_float32_holds_is_reached() -> None:
    entry = dataclasses.replace(addresses.listing(MONITOR, MICS)["/ch/01/bleed/amount"], low=-0.1, high=0.1)
    for edge in (-0.1, 0.1):
        assert entry.take(decode(message("/x", edge))[0].values) == edge
    for beyond in (np.nextafter(np.float32(-0.1), np.float32(-1)), np.nextafter(np.float32(0.1), np.float32(1))):
        with pytest.raises(InputError, match="out of range"):
            entry.take(decode(message("/x", float(beyond)))[0].values)


@pytest.mark.parametrize(("place", "db"), [(1.0, 10), (0.75, 0), (0.5, -10), (0.25, -30), (0.0625, -60), (0.0, -60)])
def test_a_fader_is_an_x32s(place: float, db: float) -> None:
    entry = addresses.listing(MONITOR, MICS)["/ch/01/mix/fader"]
    assert entry.take((place,)) == pytest.approx(db)
    assert entry.value(db) == pytest.approx(max(place, 0.0625))


def test_names_that_osc_forbids_become_numbers_or_lose_the_signs() -> None:
    assert addresses.segments(("vox", "kick 1", "kick#1", "ü", "7", "a/b")) == ["vox", "2", "3", "4", "5", "a_b"]


def test_plug_ins_are_inserts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a mic's own chain, else of that which all others have; three states are two for a console."""
    def knob(name: str, per_mic: bool, high: float = 2.0) -> Param:
        return Param(name, "", 0.0, high, high, per_mic, "Turned.")

    own = [knob(f"{mic}.{name}", False) for mic in MICS[1:] for name in ("state", "eq.state", "eq.q", "comp.state")]
    layout = [("strips", [*own, knob("gate.state", True), knob("gate.a.b", True)]), *presets.layout(MONITOR)]
    monkeypatch.setattr(presets, "layout", lambda _: layout)
    what = running(MONITOR)
    table = addresses.listing(MONITOR, MICS)
    assert {a: table[a].path for a in table if a.startswith("/ch/03/ins")} == {
        "/ch/03/ins/1/on": "strips.a.b.eq.state", "/ch/03/ins/1/par/q": "strips.a.b.eq.q",
        "/ch/03/ins/2/on": "strips.a.b.comp.state",
    }
    assert {a: table[a].path for a in table if a.startswith("/ch/01/ins")} == {
        "/ch/01/ins/1/on": "strips.gate.state.vox", "/ch/01/ins/1/par/a/b": "strips.gate.a.b.vox",
    }
    assert table["/p/strips/a.b/eq/q"].path == "strips.a.b.eq.q"
    with serving(what) as server, contextlib.closing(Client(server.port)) as client:
        for said, state in ((0, 1.0), (1, 2.0)):
            client.say("/ch/03/ins/1/on", said)
            assert client.ask("/ch/03/ins/1/on") == [said]
            assert stands(what, "strips.a.b.eq.state", state)


def test_the_verb_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["osc", "--list", "--preset", "monitor", "--mics", "vox,kick 1,a.b", "--json"]) == 0
    told = {row["address"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(told) == list(addresses.listing(MONITOR, MICS))
    assert (told["/ch/02/bleed/amount_db"]["low"], told["/ch/02/bleed/amount_db"]["unit"]) == (-60, "dB")
    assert cli.main(["osc", "--mics", "2", "--markdown"]) == 0
    page = capsys.readouterr().out
    assert "| /p/output/gain_db/mic2 | f | rw | -60 to 12 dB | Level behind" in page
    assert "spectral" not in page
    assert all(line.count(" | ") == 4 for line in page.replace("\\|", "").splitlines())
    assert cli.main(["osc", "--mics", "0"]) == 2


# Through a socket

def test_values_go_in_and_come_out(served: tuple[Running, Client, Client]) -> None:
    what, one, _ = served
    one.say("/p/output/gain_db/vox", -6.5)
    assert one.ask("/p/output/gain_db/vox") == [-6.5]
    assert one.ask("/p/output/gain_db") == [-6.5, 0, 0]
    one.say("/p/output/gain_db", -3)   # a whole number is a number
    assert one.ask("/p/output/gain_db") == [-3, -3, -3]
    one.say("/ch/02/mix/on", 0)
    assert one.ask("/ch/02/mix/on") == [0]
    assert soon(lambda: what.desk.get("output.mute.kick 1") == 1)
    one.say("/ch/0[13]/mix/on", 0)
    assert one.ask("/p/output/mute") == [1, 1, 1]
    one.say("/ch/{01,02}/mix/on")
    assert [one.hear(), one.hear()] == [("/ch/01/mix/on", [0]), ("/ch/02/mix/on", [0])]
    one.say("/panic/mute", True)
    assert one.ask("/panic/mute") == [1]
    one.say("/bleed/learn", 0)
    assert one.ask("/bleed/learn") == [0]
    assert soon(lambda: what.desk.frozen)
    assert one.ask("/ch/02/config/name") == ["kick 1"]
    assert one.ask("/stat/load") == [0.25]
    assert one.ask("/stat/xruns") == [3]
    assert one.ask("/stat/latency_ms") == [15]
    assert one.ask("/stat/state") == ["running"]
    assert one.ask("/status")[0] == "running"
    assert one.ask("/info")[1:3] == ["rtsep", "monitor"]
    assert one.ask("/xinfo")[2] == "rtsep"
    assert one.ask("/stat/dropped") == [0]


def test_garbage_changes_nothing(served: tuple[Running, Client, Client]) -> None:
    what, one, _ = served
    before = what.desk.values.copy()
    wrong = [
        message("/p/output/gain_db/vox", value) for value in (math.nan, math.inf, -math.inf, 13.0, -61, "x", b"x", 1e30)
    ]
    wrong += [
        message("/p/output/gain_db/vox", 1.0, 2.0), message("/ch/01/mix/on", 0.5), message("/ch/01/mix/on", 2),
        message("/nowhere", 1.0), message("/p/*/gain_db/vox", 99.0), message("/ch/01/config/name", "x"),
        message("/scene/go"), message("/scene/next"), message("/meters", "/meters/in", 0), message("/meters", 5),
        message("/meters", "/meters/in", math.nan), message("/pin", 1), message("/error", "a", "b"), message("/pin"),
    ]
    for data in (*MALFORMED.values(), *wrong):
        one.socket.send(data)
    dropped = one.ask("/stat/dropped")
    np.testing.assert_array_equal(what.desk.values, before)
    assert dropped == [len(MALFORMED) + len(wrong)]


def test_no_garbage_changes_anything(served: tuple[Running, Client, Client]) -> None:
    _fuzz(*served[:2], 1500)


@pytest.mark.slow
def test_no_garbage_of_a_minute_changes_anything(served: tuple[Running, Client, Client]) -> None:
    _fuzz(*served[:2], 10**9, 60.0)


def _fuzz(what: Running, one: Client, most: int, seconds: float = 60.0) -> None:
    one.lease()
    before, until = what.desk.values.copy(), time.monotonic() + seconds
    made = garbage([a for a, entry in addresses.listing(MONITOR, MICS).items() if entry.path])
    for number, data in enumerate(made):
        one.socket.send(data)
        if not number % 50:
            one.ask("/stat/state")
        if number == most or time.monotonic() > until:
            break
    assert one.ask("/stat/dropped")[0] > number / 2
    np.testing.assert_array_equal(what.desk.values, before)
    one.say("/p/output/gain_db/vox", -1.0)
    assert one.ask("/p/output/gain_db/vox") == [-1]


@pytest.mark.slow
def test_ten_thousand_messages_at_1_khz_are_all_there_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    what, written = running(MONITOR), []
    monkeypatch.setattr(what.desk, "set", lambda path, value: written.append((path, value)))
    paths = [f"{name}.{mic}" for name in ("input.delay_ms", "spectral.range_db") for mic in MICS]
    table = {entry.path: a for a, entry in addresses.listing(MONITOR, MICS).items() if a.startswith("/p/")}
    with serving(what) as server, contextlib.closing(Client(server.port)) as client:
        began = time.monotonic()
        for number in range(10_000):
            path = paths[number % len(paths)]
            client.say(table[path], number * 0.006 - 60 * ("range" in path))
            time.sleep(max(0.0, began + number / 1000 - time.monotonic()))
        assert client.ask("/stat/received") == [10_001]
        assert client.ask("/stat/dropped") == [0]
    for path in paths:
        values = [value for where, value in written if where == path]
        assert values == sorted(values)
        last = max(n for n in range(10_000) if paths[n % len(paths)] == path)
        assert values[-1] == pytest.approx(last * 0.006 - 60 * ("range" in path), abs=1e-5)
    assert len(written) > 5000   # only those are not written that came with a later one for the same target


def test_the_last_word_is_the_last(served: tuple[Running, Client, Client]) -> None:
    """Many values at once: of all mics and of one, good ones and bad ones; what was said last counts."""
    _, one, _ = served
    expected = dict.fromkeys(MICS, 0.0)
    chance = random.Random(2)
    for number in range(3000):
        value, mic = float(chance.randrange(-60, 20)), chance.choice((*MICS, ""))
        if not number % 40:
            one.ask("/stat/load")   # what the server's buffer holds
        said = addresses.segments(MICS)[MICS.index(mic)] if mic else ""
        one.say(f"/p/output/gain_db/{said}".rstrip("/"), value)
        if value <= 12:
            expected.update({mic: value} if mic else dict.fromkeys(MICS, value))
    assert one.ask("/p/output/gain_db") == list(expected.values())


def test_what_comes_together_ends_as_if_it_came_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all mics, of one, by two addresses of one target, of two senders; wrong ones, patterns, bundles between."""
    monkeypatch.setattr(dispatch, "_BURST", math.inf)
    chance, senders = random.Random(3), (("127.0.0.1", 1), ("127.0.0.1", 2))
    together, single = running(MONITOR), running(MONITOR)
    answers: dict[int, list[bytes]] = {0: [], 1: []}
    dispatches = [dispatch.Dispatch(lambda data, _, n=n: answers[n].append(data), Gate(None), "here") for n in range(2)]
    for one, what in zip(dispatches, (together, single), strict=True):
        one.see(what, False)
    said = ["/p/output/gain_db", "/p/output/gain_db/vox", "/ch/01/mix/fader", "/p/output/gain_db/kick_1", "/panic/dry",
            "/ch/0[12]/mix/fader", "/p/output/gain_db/nobody"]
    for _ in range(100):
        row = []
        for _ in range(chance.randrange(1, 40)):
            address = chance.choice(said)
            value = chance.choice((0.0, 1.0, 0.5, 0.25, -3.0, 12.0, 20.0, math.nan, "x"))
            data = message(address, *[value] * chance.choice((1, 1, 1, 1, 0, 2)))
            data = chance.choice((data, data, data, data, bundle(data, message("/panic/dry", 0.0)), data[:-4]))
            row.append((data, chance.choice(senders)))
        dispatches[0].take(row)
        for datagram in row:
            dispatches[1].take([datagram])
        np.testing.assert_array_equal(together.desk.values, single.desk.values)
    assert answers[0] == answers[1]
    assert dispatches[0].received == dispatches[1].received


def test_questions_and_patterns_are_answered_so_often_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_RATE", 0.0)   # the clock of a busy machine is no witness
    what, answers = running(MONITOR), []
    one = dispatch.Dispatch(lambda data, _: answers.append(data), Gate(None), "here")
    one.see(what, False)
    one.take([(message("/stat/load"), ("127.0.0.1", 1))] * 9000)
    assert (len(answers), one.received, one.dropped) == (4000, 9000, 5000)
    one.take([(message("/p/output/gain_db", -1.0), ("127.0.0.1", 1))])   # what is set needs no answer
    assert what.desk.get("output.gain_db") == -1


def test_a_preset_that_comes_brings_its_addresses() -> None:
    what = running(presets.load("live"))
    with serving(what) as server, contextlib.closing(Client(server.port)) as client:
        client.lease()
        client.say("/p/spectral/strength", 2.0)
        assert client.until(lambda said: said[0] == "/error")[1][1].startswith("there is no such address")
        what.desk._playing.reload(MONITOR)
        client.settle()
        client.say("/p/spectral/strength", 2.0)
        assert client.ask("/p/spectral/strength") == [2]


def test_learning_of_several_stages_is_one_switch() -> None:
    text = presets.dumps(presets.load("live"))
    two = presets.loads(text + '[[chain]]\nstage = "canceller"\nname = "second"\n', "two")
    what = running(two)
    with serving(what) as server, contextlib.closing(Client(server.port)) as client:
        client.lease()
        client.say("/bleed/learn", 0)
        assert client.ask("/bleed/learn") == [0]
        assert soon(lambda: what.desk.frozen)
        client.settle()
        what.desk.freeze(False)
        assert client.until(lambda said: said == ("/bleed/learn", [1]))


def test_only_who_is_told_of_changes_is_told_of_errors(served: tuple[Running, Client, Client]) -> None:
    _, one, other = served
    one.lease()
    for client in (one, other):
        client.say("/p/output/gain_db/vox", 20.0)
        client.say("/nowhere")
    assert [said[1] for said in one.settle()] == [
        ["/p/output/gain_db/vox", "20 is out of range; allowed is one number from -60 to 12 dB"],
        ["/nowhere", "there is no such address; see the list of addresses"],
    ]
    assert other.settle() == []
    for _ in range(200):
        one.say("/nowhere")
    assert 1 <= len(one.settle()) < 50


# Leases and what is told

def test_a_lease_ends_and_there_are_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    what, now = running(MONITOR), 100.0
    leases = Clients()
    for port in range(8):
        leases.lease(("127.0.0.1", port), what.desk, now)
    with pytest.raises(InputError, match="8 clients are served already"):
        leases.lease(("127.0.0.1", 8), what.desk, now)
    leases.lease(("127.0.0.1", 0), what.desk, now + 5)
    leases.lapse(now + 10)
    assert [sender[1] for sender, _ in leases.items()] == [0]
    leases.lease(("127.0.0.1", 8), what.desk, now + 10)
    monkeypatch.setattr(clients, "LEASE", 0.3)
    with serving(what) as server, contextlib.closing(Client(server.port)) as client:
        client.say("/xremote")
        client.until(lambda said: said[0] == "/stat/state")
        client.settle()
        client.settle()
        what.desk.set("output.gain_db.vox", -1)
        assert client.settle() == []   # it has not asked again


def test_changes_are_told_to_all_but_who_made_them(served: tuple[Running, Client, Client]) -> None:
    what, one, other = served
    for client in (one, other):
        client.lease()
    news = [("/ch/01/mix/fader", [0.5]), ("/p/output/gain_db/vox", [-10])]
    what.desk.set("output.gain_db.vox", -10)   # another surface
    assert one.settle() == other.settle() == news
    one.say("/ch/01/mix/fader", 0.75)
    assert one.settle() == []
    assert other.settle() == [("/ch/01/mix/fader", [0.75]), ("/p/output/gain_db/vox", [0])]
    one.say("/p/output/gain_db", 5.0)
    assert one.settle() == []
    assert len(other.settle()) == 6
    other.say("/unsubscribe")
    one.say("/p/output/gain_db", 6.0)
    assert other.settle() == []


def test_what_a_client_sets_itself_is_no_news_and_what_it_is_denied_is() -> None:
    desk = running(MONITOR).desk
    client, other = clients.Client(desk), clients.Client(desk)
    for mic in MICS:
        desk.set(f"output.gain_db.{mic}", -9)
    assert client.news(1) == [("output.gain_db.vox", -9)]
    client.knows("output.gain_db.a.b", -5.5)
    desk.set("output.gain_db.a.b", -5.5)
    assert client.news(9) == [("output.gain_db.kick 1", -9)]
    assert dict(other.news(9))["output.gain_db.a.b"] == -5.5
    client.knows("output.gain_db.vox", -1)
    desk.set("output.gain_db.vox", -1)
    desk.set("output.gain_db.vox", -9)   # another surface, before anybody has looked
    assert client.news(9) == [("output.gain_db.vox", -9)]
    assert client.news(9) == other.news(9) == []


def test_who_is_overruled_at_once_is_told_so() -> None:
    what, first, second = running(MONITOR), ("127.0.0.1", 1), ("127.0.0.1", 2)
    one = dispatch.Dispatch(lambda *_: None, Gate(None), "here")
    one.see(what, False)
    client = one.clients.lease(first, what.desk, 0.0)
    one.take([(message("/p/output/gain_db/vox", value), sender) for value, sender in ((-9.0, first), (0.0, second))])
    assert client.news(9) == [("output.gain_db.vox", 0)]


def test_two_that_mirror_each_other_come_to_rest(served: tuple[Running, Client, Client]) -> None:
    what, *pair = served
    for client in pair:
        client.lease()
    for step in range(40):
        for number, client in enumerate(pair):
            client.say("/p/output/gain_db/vox", float((step + 7 * number) % 12))
    said = 1
    for _ in range(100):
        said = 0
        for client in pair:
            for address, values in client.settle():
                said += 1
                client.say(address, *values)   # as a bridge between two surfaces does
        if not said:
            break
    assert said == 0
    assert pair[0].ask("/p/output/gain_db/vox") == [what.desk.get("output.gain_db.vox")]


def test_many_changes_are_told_piece_by_piece_and_end_as_they_are(served: tuple[Running, Client, Client]) -> None:
    what, one, _ = served
    one.lease()
    for path in what.desk.every():
        what.desk.set(path, what.desk.param(path).high)
    heard = dict(one.settle())
    table = addresses.listing(MONITOR, MICS)
    singles = [e for e in table.values() if e.path and what.desk.spread(e.path) == [e.path]]
    assert {e.address for e in singles if what.desk.param(e.path).default != what.desk.param(e.path).high} <= set(heard)
    for entry in singles:
        if entry.address in heard:
            assert heard[entry.address] == [pytest.approx(entry.value(what.desk.get(entry.path)))]


def test_meters_come_as_an_x_air_sends_them(served: tuple[Running, Client, Client]) -> None:
    what, one, _ = served
    what.meters.level("in_peak")[:] = (1.0, 0.1, 0.0)
    what.meters.level("in_power")[:] = (2048, 2048 / 4, math.nan)
    what.meters.level("dry_power")[:] = (1, 1, 0)
    what.meters.level("wet_power")[:] = (1, 0.01, 0)

    def decibels(address: str) -> list[float]:
        (said,) = one.ask(address)
        count, *values = struct.unpack(f"<i{(len(said) - 4) // 2}h", said)
        assert count == len(values) == len(MICS)
        return [value / 256 for value in values]

    assert decibels("/meters/in") == pytest.approx([0, -20, -128], abs=1 / 256)
    assert decibels("/meters/in_rms") == pytest.approx([0, -6.02, -128], abs=1 / 128)
    assert decibels("/meters/removed") == pytest.approx([0, -20, 0], abs=1 / 128)
    assert decibels("/meters/limiter") == [0, 0, 0]
    one.say("/meters", "/meters/in", 20)
    heard = [one.hear()[0] for _ in range(10)]
    assert heard.count("/meters/in") >= 5


class Show:
    """Three snapshots."""

    current: int | None = None
    safe: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.stored: list[str] = []

    def listing(self) -> list[tuple[int, str]]:
        return [(1, "opener"), (2, "ballad"), (5, "encore")]

    def go(self, which: int | str) -> None:
        for number, name in self.listing():
            if which in (number, name):
                self.current = number
                return
        raise InputError("show", f"there is no snapshot {which!r}")

    def step(self, by: int) -> None:
        numbers = [number for number, _ in self.listing()]
        assert self.current is not None
        self.current = numbers[numbers.index(self.current) + by]


    def store(self, name: str = "") -> int:
        self.stored.append(name)
        return 7

    def keep_safe(self, pattern: str, on: bool) -> None:
        self.safe = (*self.safe, pattern) if on else ()


def test_snapshots_are_scenes(served: tuple[Running, Client, Client]) -> None:
    what, one, other = served
    other.lease()
    assert one.ask("/scene/current") == ["", -1]
    what.desk.snapshots = Show()
    for words, name in ((("/scene/go", 2), "ballad"), (("/scene/next",), "encore"), (("/scene/prev",), "ballad"),
                        (("/scene/go", "opener"), "opener"), (("/scene/go", 5.0), "encore"),
                        (("/scene/go", 9), "encore"), (("/scene/*", 1), "encore")):
        one.say(*words)
        assert one.ask("/scene/current")[0] == name
    assert other.until(lambda said: said[0] == "/scene/current" and said[1] == ["encore", 5])


def test_snapshots_are_stored_and_paths_are_safe(served: tuple[Running, Client, Client]) -> None:
    what, one, other = served
    one.lease()
    one.say("/scene/store", 1)
    assert one.until(lambda said: said[0] == "/error")[1] == ["/scene/store", "no show is open"]
    what.desk.snapshots = show = Show()
    one.say("/scene/store")
    assert one.until(lambda said: said[0] == "/error")[1][1].startswith("there is none yet")
    one.say("/scene/go", 2)
    for said in ((), (5,), ("new one",), ("",)):
        one.say("/scene/store", *said)
    other.lease()
    one.say("/scene/safe", "*.vox", 1)
    assert one.ask("/scene/safe") == ["*.vox"]
    assert other.until(lambda said: said[0] == "/scene/safe" and said[1] == ["*.vox"])
    one.say("/scene/safe", "*.vox", 0)
    assert soon(lambda: show.safe == ())
    assert show.stored == ["2", "5", "new one", ""]
    one.say("/scene/safe", "*.vox", 2)
    assert one.until(lambda said: said[0] == "/error")[1][0] == "/scene/safe"


def test_what_was_turned_is_taken_back_whoever_turned_it(served: tuple[Running, Client, Client]) -> None:
    what, one, other = served
    one.lease()
    one.say("/undo")
    other.say("/ch/*/mix/fader", 0.5)          # a step, for all three
    assert soon(lambda: what.desk.get("output.gain_db.vox") == -10)
    for value in (-1.0, -2.0, -3.0):           # another one
        other.say("/p/output/gain_db/vox", value)
    one.say("/panic/mute", 1)                  # none
    assert soon(lambda: what.desk.get("output.mute_all") == 1 and what.desk.get("output.gain_db.vox") == -3)
    for expected in ([-10, -10, -10], [0, 0, 0]):
        one.say("/undo")
        assert other.ask("/p/output/gain_db") == expected
    one.say("/redo")
    assert other.ask("/p/output/gain_db") == [-10, -10, -10]
    assert ("/ch/02/mix/fader", [0.5]) in one.settle()
    assert other.ask("/panic/mute") == [1]


# The process

def kept(server: Server, asked: float) -> bool:
    """Whether the run knows at last of a lease that was asked for then; it is told four times a second."""
    return soon(lambda: any(lease.until >= asked + clients.LEASE for lease in server._kept.leases))


@pytest.mark.parametrize(("how", "deaths"), [
    (signal.SIGKILL, 1), pytest.param(signal.SIGKILL, 3, marks=pytest.mark.slow),
    pytest.param(signal.SIGSTOP, 1, marks=pytest.mark.slow),
])
def test_the_process_may_be_killed_and_nothing_else_notices(
    how: int, deaths: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clients stay, what comes meanwhile is done when another one is there, counts go on; it is said once."""
    what, made = running(MONITOR), []
    monkeypatch.setattr(server_module, "_SILENT", 1.5)

    def launch(bound: socket.socket) -> Process:
        made.append(Process(bound))
        return made[-1]

    with serving(what, launch) as server, contextlib.closing(Client(server.port)) as client:
        client.say("/p/output/gain_db/kick_1", -2.0)
        assert client.ask("/p/output/gain_db/kick_1") == [-2]
        for value in range(-3, -3 - deaths, -1):
            asked = time.monotonic()
            client.lease()
            assert kept(server, asked)
            before = made[-1]._process
            before.send_signal(how)
            if how == signal.SIGKILL:
                before.wait()
            client.say("/p/output/gain_db/vox", float(value))
            assert client.ask("/p/output/gain_db/vox") == [value]
            assert stands(what, "output.gain_db.vox", value)
            assert before.poll() is not None
            what.desk.set("output.gain_db.kick 1", value)
            assert client.until(lambda said: said[0] == "/p/output/gain_db/kick_1")[1] == [value]   # its lease goes on
        assert client.ask("/stat/received")[0] >= 5
        assert len(server.said) == 1
        assert server.said[0].startswith("OSC: its process has ended (")
        assert len(made) == 1 + deaths


def test_what_a_process_has_said_before_it_ended_is_done() -> None:
    class Dead:
        """Says two things and is gone."""

        def __init__(self, _: socket.socket) -> None:
            self.pipe, theirs = multiprocessing.Pipe()
            theirs.send(listener.Batch(1, {"output.gain_db.vox": mirror.Turn(-7.0, 0)}, None))
            theirs.send(listener.Kept(received=5))
            theirs.close()

        def end(self) -> str:
            self.pipe.close()
            return "exit code -9"

    what = running(MONITOR)
    with serving(what, Dead) as server:
        assert stands(what, "output.gain_db.vox", -7)
        assert soon(lambda: server._kept.received == 5)


def test_a_flood_reaches_the_run_as_few_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes, the desk is turned some times a second; the last words count, and commands keep their place."""
    what, written = running(MONITOR), []
    real = what.desk.set

    def turned(path: str, value: float) -> None:
        written.append((path, value))
        real(path, value)

    monkeypatch.setattr(what.desk, "set", turned)
    what.desk.snapshots = show = Show()
    monkeypatch.setattr(show, "go", lambda which: written.append(("go", which)))
    with serving(what) as server, contextlib.closing(Client(server.port)) as client:
        for number in range(3000):
            client.say("/p/output/gain_db/vox", -float(number % 60))
            if number % 50 == 49:
                client.ask("/stat/received")   # what the kernel keeps
        client.say("/p/output/gain_db/vox", 5.0)
        client.say("/scene/go", 1)
        client.say("/p/output/gain_db/vox", 6.0)
        assert client.ask("/stat/received") == [3000 + 60 + 4]
        assert soon(lambda: written[-1] == ("output.gain_db.vox", 6))
    assert written[-3:-1] == [("output.gain_db.vox", 5), ("go", 1)]
    assert len(written) < 1000


def test_what_the_run_has_not_taken_yet_counts_more_than_what_it_says() -> None:
    asked: list[mirror.Command] = []
    one = mirror.Mirror(MONITOR, MICS, asked.append, mirror.Facts(False, {}))
    one.set("output.gain_db", -3.0)
    one.set("output.gain_db.vox", -5.0)
    one.set("output.gain_db", -4.0)
    assert list(one.turns) == ["output.gain_db.vox", "output.gain_db"]
    number, turns = one.leave()
    one.set("output.gain_db.vox", -6.0)
    one.take(number - 1, dict.fromkeys((f"output.gain_db.{mic}" for mic in MICS), 9.0))
    assert [one.get(f"output.gain_db.{mic}") for mic in MICS] == [-6, -4, -4]
    one.take(number, dict.fromkeys((f"output.gain_db.{mic}" for mic in MICS), 9.0))   # another surface, later
    assert [one.get(f"output.gain_db.{mic}") for mic in MICS] == [-6, 9, 9]
    one.take(number + 1, {"output.gain_db.vox": 8.0, "play.run": 1.0})
    assert one.get("output.gain_db.vox") == 8
    assert [turn.value for turn in turns.values()] == [-5, -4]


def test_a_batch_leaves_when_the_one_before_is_taken_and_not_too_soon() -> None:
    ours, theirs = multiprocessing.Pipe()
    with contextlib.closing(ours), contextlib.closing(theirs):
        facts = mirror.Facts(False, {})
        link = listener._Link(ours, listener.Begin(None, "", MONITOR, MICS, {}, "", facts, listener.Kept()))
        assert link.due(0.5) is None
        link.mirror.set("output.gain_db.vox", 1.0)
        assert link.due(0.5) == 0.5   # long ago
        began = time.monotonic()
        number = link.flush()
        link.mirror.set("output.gain_db.vox", 2.0)
        assert link.due(0.5) is None
        theirs.send(listener.News(number, {}))
        link.hear()
        due = link.due(0.5)
        assert due is not None
        assert due >= began + 0.5
        sent = theirs.recv()
        assert (sent.number, sent.turns["output.gain_db.vox"].value, sent.command) == (1, 1.0, None)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no other system tells")
def test_what_the_kernel_had_no_room_for_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, contextlib.closing(Client(9)) as client:
        one.bind(("127.0.0.1", 0))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.setblocking(False)
        client.socket.connect(one.getsockname())
        for _ in range(200):
            client.say("/p/output/gain_db/vox", 1.0)
        there = 0
        with contextlib.suppress(BlockingIOError):
            while one.recv(100):
                there += 1
        assert 0 < there < 200
        assert lost.lost(one) == 200 - there
    monkeypatch.setattr(listener, "lost", lambda _: 7)
    with serving(running(MONITOR)) as server, contextlib.closing(Client(server.port)) as client:
        assert soon(lambda: client.ask("/stat/dropped") == [7])


def test_who_is_denied_by_the_run_is_told_what_stands_there(
    served: tuple[Running, Client, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    what, one, _ = served
    real = what.desk.set
    monkeypatch.setattr(what.desk, "set", lambda path, _: real(path, 0.0))   # a hand holds all faders
    one.lease()
    one.say("/p/output/gain_db/vox", 5.0)
    assert one.until(lambda said: said[0] == "/p/output/gain_db/vox")[1] == [0]


# Who may come in

def test_others_are_let_in_by_a_pin_only() -> None:
    for bind in ("0.0.0.0", "::"):
        with pytest.raises(InputError, match="allowed is that with --osc-pin"):
            Server(bind, 0)
    Server("0.0.0.0", 0, "2468").close()
    with contextlib.closing(Client(9)) as taken, pytest.raises(InputError, match="--osc: port"):
        Server("127.0.0.1", taken.socket.getsockname()[1])
    near, far, third = ("127.0.0.1", 1), ("192.168.1.5", 1), ("192.168.1.5", 2)
    gate = Gate("2468")
    assert gate.open(near, 0)
    assert not gate.open(far, 0)
    assert gate.try_pin(far, ("1357",), 0) is False
    assert gate.try_pin(far, ("2468",), 0.5) is None   # not looked at: one wrong one a second
    assert gate.try_pin(far, (2468,), 1.5)
    assert gate.open(far, 2)
    assert not gate.open(third, 2)
    assert gate.open(far, 601)
    assert not gate.open(far, 601 + 600)
    assert Gate(None).try_pin(far, (), 0) is None


@pytest.mark.parametrize(("words", "problem"), [
    (["--osc", "0"], "--osc: 0; a port from 1 to 65535"), (["--osc", "--osc-pin", "12"], "--osc-pin: it is too short"),
    (["--osc", "--osc-bind", "0.0.0.0"], "0.0.0.0 lets others in"),
])
def test_what_cannot_be_served_is_said_in_one_line(words: list[str], problem: str) -> None:
    import argparse

    from rtsep.control.surfaces import osc

    parser = argparse.ArgumentParser()
    osc.arguments(parser)
    with pytest.raises(InputError) as caught:
        osc.open_surface(parser.parse_args(words))
    assert problem in str(caught.value)
    assert osc.open_surface(parser.parse_args([])) is None


@pytest.mark.slow
def test_a_run_is_turned_and_ended() -> None:
    """The whole way: `rtsep run --osc` on a sound server."""
    with contextlib.closing(Client(9)) as free:   # a port that is free once this is closed
        port = free.socket.getsockname()[1]
    with jack_server(channels=2) as server:
        words = ["run", "--no-view", "--json", "--osc", str(port), "-i", "system", "-o", "system"]
        run = subprocess.Popen(
            [sys.executable, "-m", "rtsep", *words], env=server.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, text=True,
        )
        try:
            with contextlib.closing(Client(port)) as client:
                client.socket.settimeout(0.5)
                until = time.monotonic() + 120   # the kernels may have to be compiled
                while time.monotonic() < until:
                    with contextlib.suppress(OSError):   # nobody is there yet
                        if client.ask("/stat/state") == ["running"]:
                            break
                client.settle()
                client.say("/ch/01/mix/fader", 0.5)
                assert client.ask("/p/output/gain_db/mic1") + client.ask("/ch/01/mix/fader") == [-10, 0.5]
                assert client.ask("/info")[2] == "live"
        finally:
            run.send_signal(signal.SIGINT)
            said, _ = run.communicate(timeout=60)
        assert run.returncode == 0
        assert json.loads(said)["preset"] == "live"
