"""MIDI without a cable: bytes to events, mappings, what they turn; the oracles cut bytes and compute curves anew."""

from __future__ import annotations

import argparse
import pathlib
import random
import re

import mido
import numpy as np
import pytest

from rtsep import presets
from rtsep.control.desk import Desk
from rtsep.control.midi.curves import Curve, usual
from rtsep.control.midi.learn import Found, Recogniser, entry, write
from rtsep.control.midi.mapping import Control, Port, load, loads
from rtsep.control.midi.parse import Decoder, Event, Parser, message_of
from rtsep.control.midi.turning import HOLD, Turning, check, ticks
from rtsep.control.surfaces import midi
from rtsep.errors import InputError
from rtsep.params import Board

PRESET = presets.loads(
    'schema = 1\nname = "t"\nlatency_class = "live"\n[[chain]]\nstage = "input"\n[[chain]]\nstage = "canceller"\n', "t"
)
MICS = ("vox", "kick")
VOX, KICK = "output.gain_db.vox", "output.gain_db.kick"


class Playing:
    """What a desk needs of an engine; nothing sounds."""

    def __init__(self) -> None:
        self.preset = PRESET
        self.board: Board = presets.make_board(PRESET, MICS)

    def reload(self, preset: presets.Preset) -> str:
        self.preset = preset
        return "params"


class Snapshots:
    """A show that notes what is recalled; 3 is empty."""

    current: int | None = None

    def __init__(self) -> None:
        self.recalled: list[int | str] = []
        self.stored: list[str] = []

    def store(self, name: str = "") -> int:
        self.stored.append(name)
        return 2

    def listing(self) -> list[tuple[int, str]]:
        return [(1, "one"), (2, "two")]

    def go(self, which: int | str) -> None:
        if which == 3:
            raise InputError("snapshot 3", "there is none", "known: 1, 2")
        self.recalled.append(which)

    def step(self, by: int) -> None:
        self.recalled.append(f"{by:+}")


class Rig:
    """A desk with a mapping."""

    def __init__(self, *controls: str, head: str = "") -> None:
        self.desk = Desk(Playing())
        self.said: list[str] = []
        text = f"schema = 1\n{head}\n" + "".join(f"[[control]]\n{c}\n" for c in controls)
        self.turning = Turning(loads(text, "m"), self.desk, self.said.append)
        self.parser, self.decoder, self.now = Parser(), Decoder(), 0.0

    def send(self, *data: int, port: str = "p") -> None:
        for message in self.parser.feed(bytes(data)):
            for event in self.decoder.decode(message):
                self.turning.take(port, event, self.now)

    def hear(self, seconds: float = 1.0) -> list[tuple[int, ...]]:
        self.now += seconds
        return [tuple(data) for _, data in self.turning.answer(["p"], self.now, 100)]


def cc(number: int, to: str = VOX, more: str = "") -> str:
    return f'message = "cc"\nchannel = 1\nnumber = {number}\nto = "{to}"\n{more}'


def cut(data: bytes) -> list[tuple[int, ...]]:
    """Cut a stream by its statuses; naive, and right."""
    found = []
    for piece in re.findall(rb"[\x80-\xf7][\x00-\x7f]*", re.sub(rb"[\xf8-\xff]", b"", data)):
        status, rest = piece[0], piece[1:]
        size = 0 if status >= 0xF0 else 1 if 0xC0 <= status < 0xE0 else 2
        found += [(status, *rest[n * size : (n + 1) * size]) for n in range(len(rest) // size if size else 0)]
    return found


def garbage(rng: random.Random, size: int) -> bytes:
    kinds = [lambda: rng.randrange(256), lambda: rng.randrange(128), lambda: 0xB0, lambda: rng.randrange(0xF0, 0x100)]
    return bytes(rng.choice(kinds)() for _ in range(size))


# Bytes

def test_a_stream_is_cut_as_its_statuses_say_whatever_it_holds_and_in_whatever_pieces() -> None:
    rng = random.Random(1)
    for _ in range(200):
        data, parser, found, place = garbage(rng, 500), Parser(), [], 0
        while place < len(data):
            size = rng.randrange(1, 9)
            found += parser.feed(data[place : place + size])
            place += size
        assert found == cut(data)


def test_mido_reads_the_same_messages_where_it_can() -> None:
    rng = random.Random(2)
    known = mido.Parser()
    for _ in range(2000):
        status = rng.choice([*range(0x80, 0xF0), 0xF0, 0xF2, 0xF8])
        size = {0xF0: 40, 0xF2: 2, 0xF8: 0}.get(status, 2 - (0xC0 <= status < 0xE0))
        data = [rng.randrange(128) for _ in range(size)]
        known.feed([status, *data, *([0xF7] if status == 0xF0 else [])])
        sent = bytes([status, *data, *([0xF7] if status == 0xF0 else [])])
        theirs = [tuple(m.bytes()) for m in known if hasattr(m, "channel")]
        assert Parser().feed(sent) == theirs


def test_a_sysex_of_any_length_is_passed_over_and_one_that_is_interrupted_as_well() -> None:
    parser = Parser()
    assert parser.feed(b"\xf0" + b"\x40" * 1_000_000) == []
    assert parser.feed(b"\xb0\x07\x40") == [(0xB0, 7, 0x40)]          # interrupted: the fader counts
    assert parser.feed(b"\x41\x42") == [(0xB0, 0x41, 0x42)]           # running status
    assert parser.feed(b"\xf0\x01\xf8\xf7\x43\x44") == []             # which a sysex ends
    assert parser.feed(b"\x90\xf8\x3c\xfe\x7f") == [(0x90, 0x3C, 0x7F)]   # a clock in between


def events(data: bytes) -> list[Event]:
    parser, decoder = Parser(), Decoder()
    return [event for message in parser.feed(data) for event in decoder.decode(message)]


def test_fourteen_bits_are_told_when_both_halves_are_there() -> None:
    found = [e.value for e in events(b"\xb0\x07\x40\x27\x01\x07\x3f\x27\x7f\x27\x7e") if e.kind == "cc14"]
    # Only the first upper half is told alone: then it is known that a lower one follows.
    assert found == [0x40 << 7, (0x40 << 7) + 1, (0x3F << 7) + 127, (0x3F << 7) + 126]


def test_parameters_are_selected_turned_and_deselected() -> None:
    nrpn = [(e.number, e.value, e.step) for e in events(
        b"\xb0\x63\x02\x62\x05\x06\x10\x26\x03\x60\x00\x61\x00\x65\x7f\x64\x7f\x06\x20") if e.kind in ("nrpn", "rpn")]
    number = 2 << 7 | 5
    assert nrpn == [(number, 0x10 << 7, 0), (number, (0x10 << 7) + 3, 0), (number, 0, 1), (number, 0, -1)]
    assert [e.kind for e in events(b"\xb0\x65\x00\x64\x01\x06\x40")] == ["cc", "cc", "cc", "cc14", "rpn"]


@pytest.mark.parametrize(("data", "program"), [
    (b"\xc0\x00", 0), (b"\xb0\x00\x01\xc0\x1b", 155), (b"\xb0\x20\x01\xc0\x1b", 155),
    (b"\xb0\x00\x01\x20\x02\xc0\x00", 16640),
])
def test_a_program_has_a_bank(data: bytes, program: int) -> None:
    assert [e.value for e in events(data) if e.kind == "program"] == [program]


def test_what_is_sent_reads_as_what_was_meant() -> None:
    rng = random.Random(3)
    for kind in ("cc", "cc14", "nrpn", "rpn", "note", "pitch"):
        for _ in range(50):
            top = 128 if kind in ("cc", "note") else 16384
            number = 0 if kind == "pitch" else rng.randrange({"cc14": 32, "nrpn": 16383, "rpn": 16383}.get(kind, 120))
            channel, value = rng.randrange(1, 17), rng.randrange(top)
            found = events(b"".join(message_of(kind, channel, number, value)))
            told = [e for e in found if e.kind == kind and (e.number, e.coarse) == (number, False)]
            assert [(e.channel, e.value) for e in told] == [(channel, value)]


# Curves

def test_curves_are_what_the_formulas_say_and_their_inverses() -> None:
    places = np.linspace(0, 1, 1001)
    cases = {
        "linear": -12 + 24 * places, "log": 20 * 1000**places,
        "taper": np.interp(places, [0, 1 / 16, 1 / 4, 1 / 2, 1], [-90, -60, -30, -10, 10]),
    }
    for kind, values in cases.items():
        curve = Curve(kind, values[0], values[-1])
        np.testing.assert_allclose([curve.value(p) for p in places], values, rtol=1e-12)
        np.testing.assert_allclose([curve.position(v) for v in values], places, atol=1e-12)
        assert (curve.value(-1), curve.value(2)) == (values[0], values[-1])
        assert (curve.position(-1e9), curve.position(1e9)) == (0, 1)
    assert [usual(*c) for c in (("dB", -60, 12), ("dB", -12, 12), ("Hz", 20, 2e4), ("ms", 0, 500), ("ms", 1, 9))] == [
        "taper", "linear", "log", "linear", "log"]


def test_the_three_codings_of_endless_knobs() -> None:
    for step in range(-63, 64):
        assert ticks(step % 128, "twos") == step
        assert ticks(64 + step, "offset") == step
        assert ticks(abs(step) | (64 if step < 0 else 0), "sign") == step


# Mappings

ONE = "schema = 1\n[[control]]\n"


@pytest.mark.parametrize(("text", "problem"), [
    ("", r"m:1: schema: is missing; allowed is 1"),
    ("schema = 2\n", r"m:1: schema: 2 is not a schema"),
    ("schema = 1\n[[contrl]]\n", r"m:2: contrl: unknown key; known: schema, api, port, control, program"),
    (ONE + "message = \"cc\"\nchannel = 17\n", r"m:4: \[\[control\]\] 1\.channel: 17 is not allowed"),
    (ONE + "message = \"knob\"\nchannel = 1\n", r"m:3: .*'knob' is not allowed; allowed is one of cc"),
    (ONE + "channel = 1\n", r"m:2: .*the key 'message' is missing; allowed is one of"),
    (ONE + cc(120), r"m:5: .*number: controller 120 is the panic: .*; no mapping"),
    (ONE + cc(123), r"controller 123 is the panic"),
    (ONE + cc(121), r"121 is no number of cc; allowed is 0 to 119"),
    (ONE + cc(7).replace('"cc"', '"cc14"').replace("= 7", "= 32"), r"allowed is 0 to 31"),
    (ONE + cc(7, more='mode = "note"'), r"m:7: .*mode: 'note' is nothing for cc"),
    (ONE + cc(7, more='mode = "pick"'), r"'pick' is not allowed; allowed is one of absolute"),
    (ONE + cc(7, more='coding = "sign"'), r"m:7: .*coding: means nothing here"),
    (ONE + cc(7, more="min = 3\nmax = -3"), r"m:7: .*min: 3 is not below max, -3; .*reverse = true"),
    (ONE + cc(7, "gain"), r"m:6: .*'gain' is not a path"),
    (ONE + cc(7, more='recall = "next"'), r"m:2: .*to turn or to do one thing"),
    (ONE + 'message = "note"\nchannel = 1\nnumber = 1\ndo = "sing"\n', r"m:6: .*'sing' is nothing to do; .*undo, redo"),
    (ONE + 'message = "note"\nchannel = 1\nnumber = 1\nstore = ""\n', r"m:6: .*'' is no snapshot; .*\"current\""),
    (ONE + cc(7, more='port = "x"'), r"m:7: .*no port 'x'; known: none"),
    ("schema = 1\n[program]\n[[control]]\n" + cc(32), r"m:6: .*32 is the bank of \[program\]"),
    ("schema = 1\n[[port]]\ninput = \"a\"\n[[port]]\ninput = \"a\"\n", r"m:5: .*'a' is there twice"),
    (ONE + cc(39) + "\n[[control]]\n" + cc(7).replace('"cc"', '"cc14"'),
     r"39 is half of the cc14 on line 8"),
    (ONE + cc(6) + "\n[[control]]\n" + cc(9).replace('"cc"', '"nrpn"'),
     r"6 is part of the nrpn on line 8"),
    ("schema = 1\n[program\n", r"m:2: '\[program' is not TOML"),
])
def test_a_mistake_in_a_mapping_is_named_in_one_line(text: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        loads(text, "m")
    assert "\n" not in str(caught.value)


def test_a_mapping_is_read(tmp_path: pathlib.Path) -> None:
    (tmp_path / "m.toml").write_text(
        'schema = 1\n[[port]]\ninput = "pad"\n[program]\nchannel = 2\n[[control]]\n'
        + cc(7, more='port = "pad"\nmin = -20\ncurve = "linear"\nfeedback = false')
    )
    mapping = load(tmp_path / "m.toml")
    assert mapping.controls == (Control(
        "cc", 1, 7, (VOX,), port="pad", low=-20.0, curve="linear", feedback=False, line=6),)
    assert (mapping.ports[0].output, mapping.programs.channel, mapping.programs.offset) == ("pad", 2, 1)
    with pytest.raises(InputError, match="there is no such mapping"):
        load(tmp_path / "no.toml")


def test_the_example_is_right_for_the_usual_preset() -> None:
    mapping = load(pathlib.Path(__file__).parent.parent / "examples" / "midi.toml")
    check(mapping, "live", ("vox", "kick"))
    assert {c.mode for c in mapping.controls} == {"absolute", "pickup", "relative", "toggle", "momentary"}


def test_a_run_refuses_a_mapping_that_is_wrong(tmp_path: pathlib.Path) -> None:
    parser = argparse.ArgumentParser()
    midi.arguments(parser)
    assert midi.open_surface(parser.parse_args([])) is None
    (tmp_path / "m.toml").write_text("schema = 1\n[[control]]\n" + cc(123))
    with pytest.raises(InputError, match=r"m\.toml:5: .*controller 123 is the panic"):
        midi.open_surface(parser.parse_args(["--midi", str(tmp_path / "m.toml")]))


# Turning

def test_a_fader_covers_the_range_by_the_curve_of_its_unit() -> None:
    rig = Rig(cc(7), cc(8, KICK, 'min = -20\nmax = 0\nreverse = true\ncurve = "linear"'))
    for raw in range(128):
        rig.send(0xB0, 7, raw)
        expected = np.interp(raw / 127, [0, 1 / 16, 1 / 4, 1 / 2, 1], -60 + 72 * np.array([0, 0.3, 0.6, 0.8, 1]))
        assert rig.desk.get(VOX) == pytest.approx(expected, rel=1e-6, abs=1e-5)
        rig.send(0xB0, 8, raw)
        assert rig.desk.get(KICK) == pytest.approx(-20 * raw / 127, abs=1e-5)
    assert (rig.desk.get(VOX), rig.desk.get(KICK)) == (12, -20)
    rig.send(0xB1, 7, 0)       # another channel
    assert rig.desk.get(VOX) == 12


def test_fourteen_bits_nrpn_and_pitch_bend_reach_every_value() -> None:
    fine = 'to = "canceller.amount.vox"'
    rig = Rig(f'message = "cc14"\nchannel = 1\nnumber = 7\n{fine}',
              f'message = "nrpn"\nchannel = 2\nnumber = 300\n{fine}',
              f'message = "pitch"\nchannel = 3\n{fine}', f'message = "nrpn"\nchannel = 4\nnumber = 5\nbits = 7\n{fine}')
    for raw in (0, 1, 127, 128, 8191, 16382, 16383):
        for kind, channel, number in (("cc14", 1, 7), ("nrpn", 2, 300), ("pitch", 3, 0)):
            rig.desk.set("canceller.amount", 0.3)
            rig.send(*b"".join(message_of(kind, channel, number, raw)))
            assert rig.desk.get("canceller.amount.vox") == pytest.approx(raw / 16383, abs=1e-7)
            rig.now += 2 * HOLD
    rig.send(*b"".join(message_of("nrpn", 4, 5, 127 << 7 | 1)))   # a desk that has 7 bits, and a flag below
    assert rig.desk.get("canceller.amount.vox") == 1


def test_a_parameter_is_stepped_by_increment_and_decrement() -> None:
    rig = Rig('message = "nrpn"\nchannel = 1\nnumber = 5\nto = "canceller.amount"\nmode = "relative"\nstep = 0.125')
    rig.desk.set("canceller.amount", 0.5)
    rig.send(0xB0, 99, 0, 98, 5, 96, 0, 96, 0, 97, 0)
    assert rig.desk.get("canceller.amount.kick") == 0.625


def test_pickup_waits_until_the_knob_passes_the_value() -> None:
    rig = Rig(cc(7, "canceller.amount.vox", 'mode = "pickup"'))
    rig.desk.set("canceller.amount.vox", 0.5)

    def after(raw: int) -> float:
        rig.send(0xB0, 7, raw)
        return round(rig.desk.get("canceller.amount.vox") * 127, 3)

    assert [after(raw) for raw in (10, 30, 50)] == [63.5] * 3
    assert [after(raw) for raw in (70, 90, 100)] == [70, 90, 100]   # it came by
    rig.desk.set("canceller.amount.vox", 0.25)                      # another surface
    assert [after(raw) for raw in (101, 80)] == [31.75] * 2
    assert after(33) == 33                                          # near enough
    assert after(90) == 90                                          # in hand


def test_endless_knobs_go_on_from_where_the_value_stands() -> None:
    rig = Rig(cc(1, "canceller.amount.vox", 'mode = "relative"\nstep = 0.01'),
              cc(2, VOX, 'mode = "relative"\ncoding = "sign"'), cc(3, "output.mute.vox", 'mode = "relative"'))
    rig.desk.set("canceller.amount.vox", 0.5)
    rig.send(0xB0, 1, 3, 1, 127)
    assert rig.desk.get("canceller.amount.vox") == pytest.approx(0.52)
    for _ in range(200):
        rig.send(0xB0, 1, 1, 2, 65)
    assert (rig.desk.get("canceller.amount.vox"), rig.desk.get(VOX)) == (1, -60)
    rig.send(0xB0, 3, 1)
    assert rig.desk.get("output.mute.vox") == 1
    rig.send(0xB0, 3, 126)
    assert rig.desk.get("output.mute.vox") == 0


def test_keys_toggle_hold_and_speak_as_a_desk_does() -> None:
    def key(number: int, mic: str, more: str) -> str:
        return f'message = "note"\nchannel = 1\nnumber = {number}\nto = "output.mute.{mic}"\n{more}'

    rig = Rig(key(1, "vox", ""), key(2, "vox", 'mode = "momentary"'), key(3, "vox", 'mode = "note"'),
              key(4, "kick", 'mode = "momentary"\nreverse = true'), cc(5, "output.dry.vox", 'mode = "toggle"'))

    def muted(*data: int) -> float:
        rig.now += 1
        rig.send(*data)
        return rig.desk.get("output.mute.vox")

    assert [muted(0x90, 1, v) for v in (100, 0, 1, 0, 5)] == [1, 1, 0, 0, 1]
    assert [muted(0x80, 1, 64), muted(0x80, 2, 64)] == [1, 0]
    assert [muted(0x90, 2, v) for v in (9, 0)] == [1, 0]
    assert [muted(0x90, 3, v) for v in (127, 0, 63, 0)] == [1, 1, 0, 0]
    rig.send(0x90, 4, 9)
    assert rig.desk.get("output.mute.kick") == 0
    rig.send(0x80, 4, 0)
    assert rig.desk.get("output.mute.kick") == 1
    rig.send(0xB0, 5, 127, 5, 0)
    assert rig.desk.get("output.dry.vox") == 1


def test_one_control_turns_several_paths_and_all_mics() -> None:
    rig = Rig('message = "cc"\nchannel = 1\nnumber = 7\nto = ["output.mute", "output.dry.kick"]')
    rig.send(0xB0, 7, 127)
    assert [rig.desk.get(p) for p in ("output.mute.vox", "output.mute.kick", "output.dry.vox", "output.dry.kick")] == [
        1, 1, 0, 1]


@pytest.mark.parametrize("number", [120, 123])
def test_panic_needs_no_mapping_and_never_goes_back(number: int) -> None:
    rig = Rig()
    for channel in range(16):
        rig.send(0xB0 | channel, number, 0)
    assert rig.desk.get("output.dry_all") == 1
    assert rig.said == ["panic from p: all microphones are dry"]


def test_programs_recall_snapshots_where_the_mapping_says_so() -> None:
    rig = Rig('message = "note"\nchannel = 1\nnumber = 1\nrecall = "next"',
              'message = "cc"\nchannel = 1\nnumber = 9\nrecall = "chorus"', head="[program]\nchannel = 1")
    rig.send(0xC0, 0)
    assert rig.said == ["MIDI: snapshot 1 is asked for, and no show is open; open one to recall it"]
    rig.desk.snapshots = show = Snapshots()
    rig.send(0xC0, 0, 0xC1, 5, 0xB0, 0, 1, 0xC0, 0x1B)
    rig.send(0x90, 1, 64, 1, 0, 0xB0, 9, 127, 9, 0)
    assert show.recalled == [1, 156, "+1", "chorus"]
    rig.send(0xB0, 0, 0, 0xC0, 2)
    assert rig.said[1:] == ["snapshot 3: there is none; known: 1, 2"]
    silent = Rig()
    silent.desk.snapshots = show = Snapshots()
    silent.send(0xC0, 0)
    assert not show.recalled


def test_a_key_stores_snapshots_and_takes_back_what_was_turned() -> None:
    keys = 'store = "current"', "store = 4", 'store = "new"', 'do = "undo"', 'do = "redo"'
    pressed = [f'message = "note"\nchannel = 1\nnumber = {number}\n{what}' for number, what in enumerate(keys, 1)]
    rig = Rig(*pressed, cc(7), cc(8).replace(f'"{VOX}"', f'["{VOX}", "{KICK}"]'))
    rig.send(0x90, 1, 64)
    assert rig.said == ["MIDI: snapshot current is to be stored, and no show is open; open one to recall it"]
    rig.desk.snapshots = show = Snapshots()
    rig.send(0x90, 1, 64)
    assert rig.said[-1].startswith("the current snapshot: there is none yet")
    show.current = 2
    rig.send(0x90, 1, 64, 1, 0, 2, 64, 3, 64)
    assert show.stored == ["2", "4", ""]
    for place in range(1, 128):
        rig.send(0xB0, 7, place)   # a step
    for place in range(127, 20, -1):
        rig.send(0xB0, 8, place)   # another one, of two mics
    rig.send(0x90, 4, 64)
    assert (rig.desk.get(VOX), rig.desk.get(KICK)) == (12, 0)
    rig.send(0x90, 4, 64)
    assert (rig.desk.get(VOX), rig.desk.get(KICK)) == (0, 0)
    rig.send(0x90, 5, 64, 5, 0)
    assert rig.desk.get(VOX) == 12
    assert rig.said[-2:] == [f"MIDI: undone: {VOX}", f"MIDI: done again: {VOX}"]


def test_what_the_preset_has_not_is_said_once_and_the_rest_works() -> None:
    rig = Rig(cc(1, "spectral.strength"), cc(2, "output.gain_db.drums"), cc(3, VOX, "min = -100"),
              cc(4, "canceller.amount", 'curve = "log"'), cc(5))
    assert [line.partition(": ")[0] for line in rig.said] == ["m:3", "m:9", "m:15", "m:21"]
    rig.send(0xB0, 1, 5, 2, 5, 3, 5, 4, 5, 5, 127)
    assert len(rig.said) == 4
    assert rig.desk.get(VOX) == 12


def test_a_preset_that_is_loaded_later_brings_its_parameters_and_ranges() -> None:
    rig = Rig(cc(1, "spectral.strength"))
    assert rig.said[0].startswith("m:3: spectral.strength: there is no such parameter")
    playing = rig.desk._playing
    assert isinstance(playing, Playing)
    text = 'schema = 1\nname = "t"\nlatency_class = "foh"\n[[chain]]\nstage = "input"\n[[chain]]\nstage = "spectral"\n'
    later = presets.loads(text, "t")
    playing.board.extend(presets.layout(later))
    playing.preset = later
    rig.send(0xB0, 1, 127)
    assert rig.desk.get("spectral.strength") == 4
    assert rig.hear() == []


def test_ports_are_kept_apart() -> None:
    rig = Rig(cc(7, VOX, 'port = "a"'), cc(7, KICK, 'port = "b"'), head='[[port]]\ninput = "a"\n[[port]]\ninput = "b"')
    rig.send(0xB0, 7, 0, port="a")
    assert (rig.desk.get(VOX), rig.desk.get(KICK)) == (-60, 0)


def test_garbage_turns_only_what_its_whole_messages_say() -> None:
    rng = random.Random(4)
    rig = Rig(cc(7), cc(8, KICK))
    values = {7: 0.0, 8: 0.0}
    for _ in range(1000):
        data = garbage(rng, 20)
        if rng.random() < 0.5:
            data += bytes((0xB0, rng.choice((7, 8)), rng.randrange(128)))
        rig.parser = Parser()
        rig.send(*data)
        for message in cut(data):
            if message[0] == 0xB0 and message[1] in values:
                values[message[1]] = message[2] / 127
        told = [np.interp(v, [0, 1 / 16, 1 / 4, 1 / 2, 1], [-60, -38.4, -16.8, -2.4, 12]) for v in values.values()]
        if values[7] and values[8]:
            np.testing.assert_allclose([rig.desk.get(VOX), rig.desk.get(KICK)], told, atol=1e-4)
    assert values[7]
    assert values[8]


# Answers

def test_a_control_hears_what_others_turn_but_not_itself_nor_while_it_moves() -> None:
    rig = Rig(cc(7), f'message = "cc14"\nchannel = 1\nnumber = 8\nto = "{VOX}"', cc(9, more='mode = "pickup"'),
              cc(10, more="feedback = false"))
    assert rig.hear() == []
    rig.desk.set(VOX, 12)
    assert rig.hear() == [(0xB0, 7, 127), (0xB0, 8, 127), (0xB0, 40, 127)]
    assert rig.hear() == []
    rig.send(0xB0, 7, 64)
    heard = rig.hear(0.1)
    assert [data[1] for data in heard] == [8, 40]          # the other fader follows, 14 bits as two messages
    assert rig.hear() == []                                # and this one has said it itself
    rig.send(0xB0, 7, 70)
    rig.desk.set(VOX, -60)
    assert [data[1] for data in rig.hear(0.1)] == [8, 40]
    assert rig.hear() == [(0xB0, 7, 0)]                    # as soon as the hand is off


def test_lights_follow_at_once_and_a_device_that_comes_is_told_everything() -> None:
    rig = Rig('message = "note"\nchannel = 1\nnumber = 60\nto = "output.mute.vox"', cc(7))
    rig.send(0x90, 60, 127)
    assert rig.hear(0.05) == [(0x90, 60, 127)]
    rig.turning.opened("p")
    assert sorted(rig.hear(0.05)) == [(0x90, 60, 127), (0xB0, 7, 74)]
    rig.turning.opened("p")
    assert len(rig.turning.answer(["p"], rig.now, 1)) == 1   # so many at a time
    assert len(rig.turning.answer(["p"], rig.now, 1)) == 1


@pytest.mark.parametrize("cables", [{"a": "a", "b": "b"}, {"a": "b", "b": "a"}])
def test_two_surfaces_that_send_back_what_they_are_told_settle(cables: dict[str, str]) -> None:
    """Each to itself or to the other one, and late: 7 bits against 14, a toggle, and a hand that moves meanwhile."""
    rig = Rig(cc(1), f'message = "cc14"\nchannel = 1\nnumber = 2\nto = "{VOX}"\nport = "b"', cc(3),
              'message = "note"\nchannel = 1\nnumber = 4\nto = "output.mute.vox"', head='[[port]]\ninput = "a"\n'
              '[[port]]\ninput = "b"')
    decoders = {"a": Decoder(), "b": Decoder()}
    cable: list[tuple[float, str, bytes]] = []
    rounds = 0

    def deliver(port: str, data: bytes) -> None:
        for message in Parser().feed(data):
            for event in decoders[port].decode(message):
                rig.turning.take(port, event, rig.now)

    for n in range(300):
        rig.now = n * 0.033
        if n < 60:
            deliver("a", bytes((0xB0, 1, n)))
        if n == 30:
            deliver("b", b"\x90\x04\x7f")
        while cable and cable[0][0] <= rig.now:
            deliver(*cable.pop(0)[1:])
        sent = rig.turning.answer(["a", "b"], rig.now, 100)
        for port, data in sent:
            cable.append((rig.now + 0.05, cables[port], data))
        if n > 120:
            rounds += len(sent)
    assert rounds == 0
    assert rig.desk.get("output.mute.vox") == 1
    assert rig.desk.get(VOX) == pytest.approx(np.interp(59 / 127, [1 / 4, 1 / 2], [-16.8, -2.4]), abs=1e-5)


# Learning

def learnt(data: bytes) -> Found | None:
    recogniser = Recogniser()
    for message in Parser().feed(data):
        recogniser.take(message)
    return recogniser.found()


def ccs(*pairs: tuple[int, int]) -> bytes:
    return b"".join(bytes((0xB2, number, value)) for number, value in pairs)


def nrpns(values: range) -> bytes:
    return b"".join(data for value in values for data in message_of("nrpn", 3, 300, value))


@pytest.mark.parametrize(("data", "found"), [
    (ccs(*((7, n) for n in range(0, 128, 3))), Found("cc", 3, 7)),
    (ccs(*((7, n) for n in (60, 61, 63, 64, 66, 65, 63, 62))), Found("cc", 3, 7)),           # a fader around its middle
    (ccs((20, 127), (20, 0), (20, 127), (20, 0)), Found("cc", 3, 20, {"mode": "toggle"})),
    (ccs(*((16, v) for v in (1, 1, 2, 1, 127, 127, 126))), Found("cc", 3, 16, {"mode": "relative", "coding": "twos"})),
    (ccs(*((16, v) for v in (1, 1, 2, 65, 65, 66, 1))), Found("cc", 3, 16, {"mode": "relative", "coding": "sign"})),
    (ccs(*((16, v) for v in (65, 65, 66, 63, 63, 62))), Found("cc", 3, 16, {"mode": "relative", "coding": "offset"})),
    (ccs(*(p for v in range(0, 16384, 300) for p in ((7, v >> 7), (39, v & 127)))), Found("cc14", 3, 7)),
    (nrpns(range(0, 16384, 500)), Found("nrpn", 3, 300, {"bits": 14})),
    (nrpns(range(0, 16384, 128)), Found("nrpn", 3, 300, {"bits": 7})),
    (b"\x92\x3c\x64\x82\x3c\x00", Found("note", 3, 60)),
    (b"\xe2\x00\x40\xe2\x10\x41", Found("pitch", 3)),
    (ccs((0, 1)) + b"\xc2\x05", Found("program", 3)),
    (ccs((123, 0)), None),
    (b"\xf8\xfe\xf0\x01\xf7", None),
])
def test_a_control_is_recognised_by_what_it_sends(data: bytes, found: Found | None) -> None:
    assert learnt(data) == found


def test_what_is_learnt_takes_its_place_among_what_is_there(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "m.toml")
    write(path, VOX, entry(Found("cc", 1, 7), VOX, "pad:out"), ("pad:out", "pad:in"))
    assert load(path).ports == (Port("pad:out", "pad:in"),)
    text = pathlib.Path(path).read_text()
    text = text.replace("[[control]]", "# the singer\n[[control]]").rstrip() + "\nmin = -20   # not below\n\n"
    text += '# the drums\n[[control]]\nmessage = "note"\nchannel = 1\nnumber = 1\nto = "output.mute.kick"\n'
    pathlib.Path(path).write_text(text)
    write(path, VOX, entry(Found("cc14", 2, 5), VOX, "pad:out"), ("pad:out", "pad:in"))
    write(path, "next", entry(Found("note", 1, 2), "next"), None)
    write(path, "snapshots", entry(Found("program", 3), "snapshots"), None)
    mapping = load(path)
    assert [(c.kind, c.channel, c.to or c.recall) for c in mapping.controls] == [
        ("cc14", 2, (VOX,)), ("note", 1, ("output.mute.kick",)), ("note", 1, "next")]
    assert mapping.programs is not None
    assert mapping.programs.channel == 3
    text = pathlib.Path(path).read_text()
    assert text.index("# the singer") < text.index("cc14") < text.index("# the drums") < text.index("output.mute.kick")
    before = text
    with pytest.raises(InputError, match="half of the cc14 on line"):
        write(path, KICK, entry(Found("cc", 2, 37), KICK), None)
    assert pathlib.Path(path).read_text() == before


def test_a_mapping_is_checked_against_a_preset(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    from rtsep.cli import main

    path = tmp_path / "m.toml"
    path.write_text("schema = 1\n[[control]]\n" + cc(7))
    assert main(["midi", "check", str(path), "--preset", "live"]) == 0
    assert capsys.readouterr().out == f"{path}: mapping is good: controls 1, ports all\n"
    assert main(["midi", "check", str(path), "--preset", "live", "--mics", "kick"]) == 2
    assert capsys.readouterr().err.startswith(f"rtsep: {path}:2: {VOX}: there is no microphone 'vox'")
    assert main(["midi", "check", str(path), "--json"]) == 0
    assert '"number": 7' in capsys.readouterr().out
