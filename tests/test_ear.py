"""The ear: what the engineer hears is what a naive twin says, in time, without a click, and nobody else is touched."""

from __future__ import annotations

import ctypes
import itertools
import pathlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from jack_server import jack_server
from live_run import PRESET as LIVE_PRESET
from live_run import Live

from rtsep.bench import clicks
from rtsep.bench.jackd import JackServer
from rtsep.errors import InputError
from rtsep.hosts import ear
from rtsep.hosts.devices import Mic
from rtsep.presets import loads
from rtsep.session import Session
from rtsep_kernels.plane import grid
from rtsep_kernels.plane.limiter import CEILING

RATE, MICS = 48000, 3
PRESET = """
schema = 1
name = "ear"
latency_class = "foh"
[[chain]]
stage = "input"
[[chain]]
stage = "spectral"
[params]
"spectral.strength" = 4
"""
RAMP = 15 * 64   # samples: 20 ms
Events = Mapping[int, Mapping[str, float]]

# What somebody turns, by sample: every way of listening, alone and together, with faders, mutes, solo, and the panic.
SHOW: Events = {
    0: {"ear.listen.1": 1},
    3200: {"ear.listen.1": 2},
    6400: {"ear.listen.1": 3, "output.gain_db.1": -6},
    9600: {"ear.listen.1": 0, "ear.listen.2": 3, "ear.pfl.2": 1, "output.mute.2": 1},
    12800: {"ear.pfl.3": 1, "ear.dim": 1},
    16000: {"ear.listen.2": 0, "ear.dim_db": -30},
    19200: {"ear.pfl.2": 0, "ear.pfl.3": 0, "ear.dim": 0},   # the mix of all
    19840: {"ear.listen.3": 1},                              # before that has come
    22400: {"output.mute.2": 0, "output.solo.3": 1, "ear.listen.3": 0},
    25600: {"output.mute_all": 1},
    28800: {"ear.pfl.1": 1, "ear.level_db": 6},
    32000: {"ear.pfl.1": 0, "ear.mix": 0},
    35200: {"output.mute_all": 0, "output.solo.3": 0},
}
LENGTH = 38400


def sound(seed: int = 0, size: float = 0.05) -> np.ndarray[Any, Any]:
    """Return noise that each mic hears of the others, too, float32[frames, mics]."""
    own = np.random.default_rng(seed).standard_normal((MICS, LENGTH)).cumsum(1) * [[0.1], [0.07], [0.08]]
    own = np.sin(own) * (np.arange(LENGTH) // 6000 % MICS == np.arange(MICS)[:, None])
    return np.ascontiguousarray(size * (own + 0.2 * own.sum(0)).T, np.float32)


def play(
    x: np.ndarray[Any, Any], events: Events, pins: tuple[int, ...] = (), block: int = 64, soft: bool = False,
) -> np.ndarray[Any, Any]:
    """Have the sound card's callback play it; returns the device's outputs, float32[outputs, frames]."""
    wide = max([MICS - 1, *pins]) + 1
    with Session.open(loads(PRESET, ""), RATE, [f"mic{n + 1}" for n in range(MICS)]) as session:
        runner = session.start()
        ear.connect(pins, session.engine, runner)
        record = runner.record
        record.put("inputs", np.arange(MICS, dtype=np.int32))
        record.put("outputs", np.arange(MICS, dtype=np.int32))
        record["device_inputs"], record["device_outputs"] = MICS, wide
        record["fade"], record["fade_target"], record["fade_step"] = 0 if soft else 1, 1, 1 / 4800
        call = ctypes.CFUNCTYPE(
            ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64,
            ctypes.c_void_p,
        )(grid.run_interleaved.address)
        played = np.full((len(x), wide), 9, np.float32)
        first = 0
        while first < len(x):
            for path, value in events.get(first, {}).items():
                session.board.set(path, value)
            n = min([block, len(x) - first, *(at - first for at in events if at > first)])
            call(x[first:].ctypes.data, played[first:].ctypes.data, n, None, 0, runner.address)
            first += n
    return np.ascontiguousarray(played.T)


def ramped(targets: np.ndarray[Any, Any], begin: float = 0.0) -> np.ndarray[Any, Any]:
    """Return straight lines to targets, float64[segments] each of 64 samples, that are reached in 20 ms."""
    value = goal = begin
    left, step, line = 0, 0.0, []
    for target in targets:
        if target != goal:
            goal, left, step = target, RAMP, (target - value) / RAMP
        for _ in range(64):
            if left:
                left -= 1
                value = goal - left * step
            line.append(value)
    return np.array(line)


def twin(dry: np.ndarray[Any, Any], clean: np.ndarray[Any, Any], events: Events) -> np.ndarray[Any, Any]:
    """Work out what is heard, from all mics as they come and as they are made, float32[mics, frames]."""
    board = {"ear.mix": 1.0, "ear.dim_db": -20.0, **{f"ear.listen.{n}": 0.0 for n in range(1, MICS + 1)}}
    segments = LENGTH // 64
    names = ("in", "out", "before", "fader")
    lines: dict[str, list[list[float]]] = {name: [[] for _ in range(MICS)] for name in names}
    level = []
    for k in range(segments):
        board.update(events.get(64 * k, {}))
        get = board.get
        pfl = [get(f"ear.pfl.{n}", 0) for n in range(1, MICS + 1)]
        what = [get(f"ear.listen.{n}", 0) or (2 if pfl[n - 1] else 0) for n in range(1, MICS + 1)]
        if not any(what) and board["ear.mix"]:
            what, pfl = [2] * MICS, [0] * MICS
        solo = any(get(f"output.solo.{n}", 0) for n in range(1, MICS + 1))
        level.append(10 ** ((get("ear.level_db", 0) + get("ear.dim", 0) * board["ear.dim_db"]) / 20))
        for c in range(MICS):
            n = c + 1
            muted = get(f"output.mute.{n}", 0) or get("output.mute_all", 0) or (solo and not get(f"output.solo.{n}", 0))
            lines["in"][c].append(what[c] in (1, 3))
            lines["out"][c].append({0: 0, 1: 0, 2: 1, 3: -1}[int(what[c])])
            lines["fader"][c].append(0 if muted else 10 ** (get(f"output.gain_db.{n}", 0) / 20))
            earlier = lines["before"][c]
            earlier.append(pfl[c] if what[c] else earlier[-1] if earlier else 0)
    total = np.zeros(LENGTH)
    for c in range(MICS):
        weights = [ramped(np.array(lines[name][c], float)) for name in ("in", "out")]
        fader = ramped(np.array(lines["fader"][c], float), 1.0)
        # Who is not heard is at once where he will be heard: a new line begins there.
        unheard = (np.abs(weights[0]) + np.abs(weights[1]))[::64] < 2.5 / RAMP   # one step at most
        early = np.array(lines["before"][c], float)
        cuts = [0, *(k for k in range(1, segments) if early[k] != early[k - 1] and unheard[k]), segments]
        before = np.concatenate([ramped(early[a:b], early[a]) for a, b in itertools.pairwise(cuts)])
        total += (weights[0] * dry[c] + weights[1] * clean[c]) * (before + (1 - before) * fader)
    return total * ramped(np.array(level))


@pytest.fixture(scope="module")
def heard() -> dict[str, np.ndarray[Any, Any]]:
    x = sound()
    return {
        "x": x, "shown": play(x, SHOW, (4, 3)), "alone": play(x, SHOW),
        "dry": play(x, {0: {"output.dry_all": 1}}), "clean": play(x, {}),
    }


def test_it_is_what_a_naive_twin_says_and_no_output_changes_by_a_bit(heard: dict[str, np.ndarray[Any, Any]]) -> None:
    shown, dry, clean = heard["shown"], heard["dry"].copy(), heard["clean"]
    x = heard["x"].T
    late = 576   # of the spectral stage
    dry[:, :late] = 0    # the dry switch has a ramp, too
    np.testing.assert_array_equal(dry[:, 2000:], x[:, 2000 - late : -late])
    dry[:, late:] = x[:, :-late]
    np.testing.assert_array_equal(shown[3], shown[4])
    np.testing.assert_array_equal(shown[:3], heard["alone"])
    assert np.abs(clean - dry).max() > 1e-3   # there is something to be removed
    np.testing.assert_allclose(shown[3], twin(dry, clean, SHOW), atol=2e-7)
    assert np.abs(shown[3, 34000:35200]).max() == 0             # nothing chosen, no mix
    assert np.abs(shown[3, 29900:32000]).max() > 0.01           # PFL, while the panic has silenced the outputs
    assert not shown[:3, 28000:35200].any()


@pytest.mark.parametrize("block", [100, 1024])
def test_what_is_heard_does_not_depend_on_the_block(block: int, heard: dict[str, np.ndarray[Any, Any]]) -> None:
    np.testing.assert_array_equal(play(heard["x"], SHOW, (3, 4), block), heard["shown"])


def test_in_is_out_and_delta_together(heard: dict[str, np.ndarray[Any, Any]]) -> None:
    each = [play(heard["x"], {0: {"ear.listen.2": what, "ear.pfl.2": 1}}, (3,))[3, RAMP:] for what in (1, 2, 3)]
    np.testing.assert_allclose(each[0], each[1] + each[2], atol=1e-7)
    assert np.abs(each[2]).max() > 1e-3


def test_switching_does_not_click_and_a_planted_click_is_found() -> None:
    x = np.tile(0.1 * np.sin(2 * np.pi * 440 / RATE * np.arange(LENGTH))[:, None], (1, MICS)).astype(np.float32)
    x[:, 1] *= -0.7
    events = {at: values for at, values in SHOW.items() if at}   # the sine itself begins with a step
    listened = play(x, {**events, 0: {"ear.listen.1": 1}}, (3,))[3:, 2000:]
    assert not clicks.steps(listened).any()
    planted = listened.copy()
    planted[0, 7000:] += 0.02
    assert clicks.steps(planted)[0, 7000]


def test_many_loud_mics_stay_below_the_ceiling_and_it_starts_softly() -> None:
    x = np.full((LENGTH, MICS), 0.5, np.float32)
    chosen = {"ear.level_db": 12.0, **{f"ear.listen.{n}": 1.0 for n in (1, 2, 3)}}
    played = play(x, {0: chosen}, (3,), soft=True)[3]
    assert np.abs(played).max() <= CEILING
    assert played[-1] == CEILING
    assert np.abs(np.diff(played[600:])).max() < 0.01   # behind the edge of the sound itself
    assert played[2400] == pytest.approx(CEILING / 2, rel=0.01)


def test_solo_in_place_silences_the_others_at_the_outputs() -> None:
    x = np.full((LENGTH, MICS), 0.5, np.float32)
    played = play(x, {6400: {"output.solo.mic2": 1}, 19200: {"output.solo.2": 0}})
    np.testing.assert_array_equal(np.abs(played[:, 12800]) > 0.1, [False, True, False])
    assert (np.abs(played[:, -1]) > 0.1).all()


@pytest.mark.parametrize(("text", "message"), [
    ("0", "--ear: '0'"), ("a", "--ear: 'a'"), ("", "--ear: ''"), ("1,2,3", "--ear: '1,2,3'"), ("4,4", "output 4 is"),
    ("2", "output 2 is that of b; see --map"), ("7,8", "output 9|output 7; .*has 6 channels"),
])
def test_outputs_that_cannot_be_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ear.check(ear.outputs(text), (Mic("a", 0, None, 1), Mic("b", 1, 1, 2)), 6, "the desk")


def test_free_outputs_are_taken() -> None:
    ear.check(ear.outputs(" 5, 6"), (Mic("a", 0, 0, 1),), 6, "the desk")
    assert ear.outputs("5, 6") == (4, 5)
    assert ear.outputs(None) == ()


# Through a JACK server


@pytest.fixture(scope="module")
def server() -> Iterator[JackServer]:
    with jack_server(channels=4) as running:
        yield running


def _listen(server: JackServer, ports: list[str], seconds: float) -> np.ndarray[Any, Any]:
    """Record what comes out of some ports, float32[ports, frames]."""
    import jack

    client = jack.Client("listener", servername=server.name, no_start_server=True)
    inports = [client.inports.register(f"in{n}") for n in range(len(ports))]
    pieces: list[np.ndarray[Any, Any]] = []
    enough = threading.Event()

    def process(frames: int) -> None:
        pieces.append(np.array([port.get_array() for port in inports]))
        if len(pieces) * frames > seconds * RATE:
            enough.set()

    client.set_process_callback(process)
    with client:
        for name, port in zip(ports, inports, strict=True):
            client.connect(name, port)
        pieces.clear()
        assert enough.wait(30)
    return np.concatenate(pieces, axis=1)


@pytest.mark.slow
def test_the_engineer_hears_a_mic_that_the_stage_does_not(server: JackServer, tmp_path: pathlib.Path) -> None:
    (tmp_path / "test.toml").write_text(LIVE_PRESET.replace('[[chain]]\nstage = "canceller"\ntaps = 1024\n', ""))
    (tmp_path / "map.csv").write_text("mic,in,out\na,1,1\nb,2,2\n")
    common = {
        "preset": str(tmp_path / "test.toml"), "input_device": "player", "output_device": "system",
        "map_csv": str(tmp_path / "map.csv"), "seconds": 8.0,
    }
    settings = ["ear.listen.a=2", "ear.pfl.b=1", "output.mute.b=1"]
    with server.player(2):
        live = Live(server, **common, ear="4,3", settings=settings)
        live.until("microphones")
        mine = sorted({name.partition(":")[0] for name in server.ports()} - {"system", "player"})
        heard = _listen(server, ["player:out1", "player:out2", *(f"{mine[0]}:out_{n}" for n in range(4))], 2.0)
        code, summary = live.end()
        assert (code, summary["ear_limited"], summary["channels"]) == (0, 0, 2)
        assert summary["levels"]["clipped"] == []
        assert set(summary["levels"]["reduction_db"]) == {"a", "b"}
        assert -20 < summary["levels"]["in_held_db"]["a"] < -1
        _, b, out_a, out_b, first, second = heard[:, RATE // 2 :]   # behind the soft start
        np.testing.assert_array_equal(first, second)
        assert not out_b.any()
        # Of a muted mic the ear has what the player plays, later by the server's buffers, unless a stall skips some.
        muted, places = first - out_a, range(8192, b.size - 480, 4800)
        earlier = [np.lib.stride_tricks.sliding_window_view(b[at - 8192 : at + 480], 480) for at in places]
        off = [np.abs(e - muted[at : at + 480]).max(axis=1).min() for at, e in zip(places, earlier, strict=True)]
        assert min(off) < 1e-6   # 10 ms alike are no chance
        assert np.abs(muted).max() > 0.05
        live = Live(server, **common, ear="2")
        assert live.end()[0] == 2
        assert any("--ear: output 2 is that of b; see --map" in line for line in live.lines)
