"""Chains of pedalboard's own effects: the table, sound against pedalboard itself, three states, order, NaN, clicks."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pedalboard
import pytest
from numpy.typing import NDArray
from scipy import signal

from rtsep.bench import clicks
from rtsep.errors import InputError
from rtsep.plugins import slot as slot_module
from rtsep.plugins.builtins import BUILTINS, LEFT_OUT
from rtsep.plugins.chain import PluginChain
from rtsep.plugins.fades import SECONDS
from rtsep.plugins.slots import BYPASS, OFF, ON, SlotConfig, chain_latency, chain_params

RATE, UNIT = 48000, 64
Block = NDArray[np.float32]

STRIP = [SlotConfig("hpf", "HighpassFilter"), SlotConfig("comp", "Compressor"), SlotConfig("eq", "PeakFilter"),
         SlotConfig("room", "Reverb"), SlotConfig("brick", "BrickwallLimiter")]
TURNED = {"hpf.cutoff_frequency_hz": 80.0, "comp.threshold_db": -30.0, "comp.ratio": 4.0, "eq.gain_db": 6.0,
          "eq.cutoff_frequency_hz": 1000.0, "brick.ceiling_db": -12.0}


def values(chain: PluginChain, **told: float) -> NDArray[np.float32]:
    """Return a chain's vector with defaults, but for what is told: dots are written as two underscores."""
    wanted = {name.replace("__", "."): value for name, value in told.items()}
    assert not set(wanted) - {param.name for param in chain.params}
    return np.array([wanted.get(param.name, param.default) for param in chain.params], np.float32)


def turned(chain: PluginChain, **told: float) -> NDArray[np.float32]:
    return values(chain, **{**{name.replace(".", "__"): value for name, value in TURNED.items()}, **told})


def play(chain: PluginChain, sound: Block, *vectors: NDArray[np.float32], every: int = 1) -> Block:
    """Work through a sound unit by unit, going to the next vector every so many units, round and round."""
    units = sound.shape[1] // UNIT
    return np.concatenate([
        chain.work(sound[:, n * UNIT : (n + 1) * UNIT], vectors[n // every % len(vectors)]) for n in range(units)
    ], axis=1)


def noise(units: int, seed: int = 0) -> Block:
    return (0.1 * np.random.default_rng(seed).standard_normal((1, units * UNIT))).astype(np.float32)


def sine(units: int, level: float = 0.25) -> Block:
    assert units % 3 == 0, "what is played next would not go on with the same phase"
    return (level * np.sin(2 * np.pi * 1000 * np.arange(units * UNIT) / RATE)).astype(np.float32)[None]


def later(sound: Block, frames: int) -> Block:
    return np.pad(sound, ((0, 0), (frames, 0)))[:, : sound.shape[1]]


def high(sound: Block) -> float:
    """Return the loudest sample above 8 kHz, dBFS; but for the first ones, as it may begin with a step."""
    sos = signal.butter(8, 8000, "highpass", fs=RATE, output="sos")
    return float(20 * np.log10(np.abs(signal.sosfilt(sos, sound[0].astype(float))[1000:]).max() + 1e-9))


def no_click(sound: Block) -> None:
    assert not clicks.steps(sound).any()


@pytest.mark.parametrize("name", BUILTINS)
def test_the_table_is_the_installed_pedalboard(name: str) -> None:
    cls, builtin = getattr(pedalboard, name), BUILTINS[name]
    own = {key for key in dir(cls) if not key.startswith("_") and isinstance(getattr(cls, key), property)}
    assert {param.name for param in builtin.params} == own - {"is_effect", "is_instrument"}
    made = cls()
    for param in builtin.params:
        value = getattr(made, param.name)
        assert param.default == pytest.approx(float(getattr(value, "value", value)), rel=1e-6), param.name
        assert param.low <= param.default <= param.high
    assert builtin.smooth | builtin.ducked <= {param.name for param in builtin.params}
    for bound in ("low", "high"):   # pedalboard takes both ends, and what it makes of them is finite
        chain = PluginChain(RATE, UNIT, [SlotConfig("one", name)])
        told = {f"one__{param.name}": getattr(param, bound) for param in builtin.params}
        assert np.isfinite(play(chain, noise(50), values(chain, **told))).all()
        assert chain.report()[0].bad_blocks == 0


def test_the_table_loads_nothing() -> None:
    program = ("import sys; from rtsep.plugins.slots import SlotConfig, chain_params, chain_latency; "
               "chain_params([SlotConfig('a', 'Reverb')]); chain_latency([SlotConfig('a', 'Gain')], 48000, 64); "
               "assert not {'pedalboard', 'numba'} & set(sys.modules), sys.modules")
    subprocess.run([sys.executable, "-c", program], check=True)


def test_names_that_are_refused() -> None:
    for slots in ([SlotConfig("a", "Gain"), SlotConfig("a", "Reverb")], [SlotConfig("A", "Gain")],
                  [SlotConfig("state", "Gain")], [SlotConfig("a.b", "Gain")], [SlotConfig("a", "Gain")] * 33):
        with pytest.raises(InputError):
            chain_params(slots)
    assert "PitchShift" in LEFT_OUT
    with pytest.raises(InputError, match="a second of latency"):
        PluginChain(RATE, UNIT, [SlotConfig("a", "PitchShift")])


def test_a_chain_sounds_as_pedalboard_does_in_one_go() -> None:
    chain = PluginChain(RATE, UNIT, STRIP)
    board = pedalboard.Pedalboard([
        pedalboard.HighpassFilter(80), pedalboard.Compressor(-30, 4), pedalboard.PeakFilter(1000, 6),
        pedalboard.Reverb(), pedalboard.BrickwallLimiter(-12),
    ])
    sound = noise(400)
    assert chain.latency == chain_latency(STRIP, RATE, UNIT) == 240
    heard = play(chain, sound, turned(chain))
    expected = board.process(sound, RATE, buffer_size=UNIT)   # pedalboard takes the latency out
    assert np.array_equal(heard[:, 240:], expected[:, : heard.shape[1] - 240])


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
@pytest.mark.parametrize("true_peak", [0.0, 1.0])
def test_latency_of_a_look_ahead_is_what_an_impulse_takes(rate: int, true_peak: float) -> None:
    chain = PluginChain(rate, UNIT, [SlotConfig("one", "BrickwallLimiter")])
    told = values(chain, one__lookahead_ms=3.3, one__true_peak=true_peak)
    sound = np.zeros((1, 40 * UNIT), np.float32)
    sound[0, 100] = 0.25
    heard = play(chain, sound, told)
    assert int(np.argmax(np.abs(heard))) - 100 == chain.latency > 0


def test_bypass_is_the_delayed_input_and_off_the_input() -> None:
    sound = noise(600)
    for names in (["brick"], ["hpf", "comp", "eq", "room", "brick"], [""]):
        chain = PluginChain(RATE, UNIT, STRIP)
        on = turned(chain)
        states = {f"{name}__state" if name else "state": float(BYPASS) for name in names}
        play(chain, sound[:, : 100 * UNIT], on)
        heard = play(chain, sound, turned(chain, **states))
        tail = slice(200 * UNIT, None)
        if len(names) > 1 or not names[0]:
            assert np.array_equal(heard[:, tail], later(sound, 240)[:, tail])   # -infinity dB
        assert chain.latency == 240
        play(chain, sound, turned(chain, **dict.fromkeys(states, float(OFF))))
        assert chain.latency == 0
        assert chain.report()[-1].latency == 240
        if len(names) > 1 or not names[0]:
            assert np.array_equal(play(chain, sound, turned(chain, **dict.fromkeys(states, float(OFF)))), sound)


def test_align_keeps_the_latency() -> None:
    sound = noise(400)
    chain = PluginChain(RATE, UNIT, STRIP, align=480)
    off = turned(chain, **{f"{slot.name}__state": float(OFF) for slot in STRIP})
    for told in (turned(chain), off):
        play(chain, sound, told)
        assert chain.latency == 480
    assert np.array_equal(play(chain, sound, off)[:, 480:], sound[:, :-480])


def test_bypass_toggles_do_not_click() -> None:
    chain = PluginChain(RATE, UNIT, STRIP)
    on, bypass = turned(chain), turned(chain, eq__state=BYPASS, comp__state=BYPASS)
    whole = turned(chain, state=BYPASS)
    heard = play(chain, sine(200 * 42), on, bypass, on, whole, every=42)[:, 4000:]   # 56 ms each
    no_click(heard)
    rest = high(play(chain, sine(300), on)[:, 4000:])
    assert high(heard) < max(-64.0, rest + 3)   # the limiter takes hold at once
    chain = PluginChain(RATE, UNIT, STRIP)
    off = turned(chain, brick__state=OFF, eq__state=OFF)   # the latency comes and goes
    heard = play(chain, sine(60 * 60), on, off, every=60)[:, 4000:]
    no_click(heard)


def test_a_click_is_caught() -> None:
    chain = PluginChain(RATE, UNIT, STRIP)
    heard = play(chain, sine(300), turned(chain))
    heard[:, 9996:] *= 0.97
    assert 1 <= clicks.steps(heard)[:, 4000:].sum() <= 3
    assert high(heard[:, 4000:]) > -60


def test_order_changes_do_not_click_and_are_heard() -> None:
    slots = [SlotConfig("drive", "Distortion"), SlotConfig("vol", "Gain"), SlotConfig("brick", "BrickwallLimiter")]
    chain = PluginChain(RATE, UNIT, slots)
    told = {"drive__drive_db": 6.0, "vol__gain_db": -12.0, "brick__ceiling_db": -3.0}
    before, after = values(chain, **told), values(chain, **told, drive__place=5.0)
    heard = play(chain, sine(50 * 111), before, after, every=111)
    assert chain.latency == 240
    no_click(heard[:, 4000:])
    assert high(heard[:, 4000:]) < high(play(chain, sine(201), before)[:, 4000:]) + 6
    # What is heard afterwards is the other order: saturated at another level.
    board = pedalboard.Pedalboard([pedalboard.Gain(-12), pedalboard.BrickwallLimiter(-3), pedalboard.Distortion(6)])
    expected = board.process(sine(402), RATE, buffer_size=UNIT)
    at = 110 * UNIT
    play(chain, sine(111), before)
    assert np.allclose(play(chain, sine(111), after)[0, at - UNIT : at], expected[0, at - UNIT - 240 : at - 240],
                       atol=1e-6)


@pytest.mark.parametrize(("slot", "name", "low", "up"), [
    ("Gain", "gain_db", -20.0, 0.0), ("HighShelfFilter", "gain_db", -10.0, 6.0), ("Compressor", "threshold_db", -40, 0),
    ("Compressor", "ratio", 2.0, 20.0), ("NoiseGate", "threshold_db", -60.0, -5.0), ("Delay", "mix", 0.0, 0.8),
    ("Delay", "delay_seconds", 0.0203, 0.0507), ("Delay", "feedback", 0.0, 0.7),
    ("Chorus", "centre_delay_ms", 5.0, 9.3),
    ("Phaser", "centre_frequency_hz", 500.0, 2000.0), ("LadderFilter", "mode", 1.0, 2.0),
    ("LowpassFilter", "cutoff_frequency_hz", 500.0, 8000.0), ("Reverb", "dry_level", 0.1, 0.8),
    ("BrickwallLimiter", "lookahead_ms", 1.0, 5.0), ("PeakFilter", "gain_db", -6.0, 6.0),
    ("Clipping", "threshold_db", -20.0, -15.0), ("Bitcrush", "bit_depth", 16.0, 24.0), ("Distortion", "drive_db", 0, 9),
])
def test_parameters_do_not_click(slot: str, name: str, low: float, up: float) -> None:
    chain = PluginChain(RATE, UNIT, [SlotConfig("one", slot)])
    told = {"Compressor": {"one__threshold_db": -30.0, "one__ratio": 4.0}, "Delay": {"one__delay_seconds": 0.0503}}.get(
        slot, {})
    vectors = [values(chain, **{**told, f"one__{name}": value}) for value in (low, up)]
    still = max(high(play(chain, sine(402), vector)[:, 6000:]) for vector in vectors)
    heard = play(chain, sine(81 * 20), *vectors, every=81)[:, 6000:]
    no_click(heard)
    assert high(heard) < max(still + 3, -52.0)
    report = chain.report()[0]
    assert report.bad_blocks == 0


def test_a_jump_at_a_block_edge_is_caught() -> None:
    gain = pedalboard.Gain(0.0)
    sound = sine(402)
    pieces = []
    for n in range(402):
        gain.gain_db = -20.0 if n % 80 < 40 else 0.0
        pieces.append(gain.process(sound[:, n * UNIT : (n + 1) * UNIT], RATE, reset=False))
    assert high(np.concatenate(pieces, axis=1)) > -40


def test_same_input_same_values_same_bits() -> None:
    def once() -> Block:
        chain = PluginChain(RATE, UNIT, STRIP)
        a, b, c = turned(chain), turned(chain, eq__gain_db=-6, hpf__place=3.0), turned(chain, room__state=OFF)
        return play(chain, noise(500), a, b, c, every=30)

    assert np.array_equal(once(), once())


def test_values_that_are_none_are_left_out() -> None:
    chain = PluginChain(RATE, UNIT, [SlotConfig("vol", "Gain")])
    good = values(chain, vol__gain_db=0.0)
    play(chain, noise(5), good)
    bad = good.copy()
    for value in (np.nan, np.inf, 1e9):
        bad[:] = value
        assert np.array_equal(play(chain, noise(50), bad), noise(50))


def test_a_poisoned_effect_is_made_anew() -> None:
    chain = PluginChain(RATE, UNIT, [SlotConfig("vol", "Gain"), SlotConfig("room", "Reverb"),
                                     SlotConfig("brick", "BrickwallLimiter")])
    told = values(chain, vol__gain_db=0.0, brick__ceiling_db=0.0)
    sound = sine(900)
    play(chain, sound[:, : 201 * UNIT], told)
    room = chain._line.slots[1].hosted
    poison = np.full((1, UNIT), np.nan, np.float32)
    for hosted in (room, chain._line.slots[2].hosted):   # worked together with its neighbour, and by itself
        hosted.plain.process(poison, RATE, reset=False) if hosted.plain else hosted.work(poison)
        heard = play(chain, sound, told)
        assert np.isfinite(heard).all()
        assert np.abs(heard).max() < 0.5
        assert not np.isnan(hosted.work(np.zeros((1, UNIT), np.float32))).any()
        steps = clicks.sizes(heard)[0, 240 + UNIT :]
        assert steps.max() < 0.02   # -34 dBFS: a kink where no number came, no step
    assert [report.bad_blocks for report in chain.report()] == [0, 1, 1]
    assert [report.remade for report in chain.report()] == [0, 1, 1]
    assert any("room" in line and "made anew" in line for line in chain.news())
    assert chain.news() == []


def test_one_that_is_poisoned_again_and_again_stays_dry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_module, "_TRIES_SECONDS", 0.35)
    for units, given_up in ((300, False), (60, True)):   # 0.4 s apart, and 0.08
        chain = PluginChain(RATE, UNIT, [SlotConfig("vol", "Gain"), SlotConfig("room", "Reverb")])
        told = values(chain, vol__gain_db=0.0)
        for _ in range(6):
            play(chain, sine(units), told)
            room = chain._line.slots[1].hosted
            room.work(np.full((1, UNIT), np.nan, np.float32))
        heard = play(chain, sine(300), told)
        assert any("again and again" in line for line in chain.news()) == given_up
        assert np.array_equal(heard[:, 150 * UNIT :], sine(300)[:, 150 * UNIT :]) == given_up
        off = values(chain, vol__gain_db=0.0, room__state=OFF)
        play(chain, sine(60), off)
        assert not np.array_equal(play(chain, sine(300), told)[:, 150 * UNIT :], sine(300)[:, 150 * UNIT :])


def test_many_things_at_once_do_not_click() -> None:
    slots = [SlotConfig("vol", "Gain"), SlotConfig("hpf", "HighpassFilter"), SlotConfig("echo", "Delay"),
             SlotConfig("brick", "BrickwallLimiter")]
    chain = PluginChain(RATE, UNIT, slots)
    one = values(chain, vol__gain_db=0.0, echo__mix=0.2, echo__delay_seconds=0.0103)
    # Places change unheard (there is an echo), while the latency becomes ten times as long: what comes late is unheard.
    two = values(chain, vol__gain_db=-9.0, hpf__place=9.0, hpf__cutoff_frequency_hz=900.0, echo__state=OFF,
                 brick__lookahead_ms=50.0, vol__place=5.0)
    heard = play(chain, sine(450 * 6), one, two, every=450)[:, 4000:]
    no_click(heard)
    assert high(heard) < -60


def test_echoes_outlive_a_change_of_places() -> None:
    chain = PluginChain(RATE, UNIT, [SlotConfig("vol", "Gain"), SlotConfig("echo", "Delay")])
    told = values(chain, vol__gain_db=0.0, echo__delay_seconds=0.2)
    click = np.zeros((1, 300 * UNIT), np.float32)
    click[0, 0] = 0.5
    play(chain, click[:, :UNIT], told)
    heard = play(chain, click[:, UNIT:], values(chain, vol__gain_db=0.0, echo__delay_seconds=0.2, vol__place=5.0))
    assert chain._line.order == [1, 0]
    assert np.flatnonzero(heard[0]).tolist() == [round(0.2 * RATE) - UNIT]


def test_what_was_counted_stays_when_places_change() -> None:
    chain = PluginChain(RATE, UNIT, [SlotConfig("vol", "Gain"), SlotConfig("room", "Reverb")])
    told = values(chain)
    play(chain, sine(60), told)
    chain._line.slots[1].hosted.work(np.full((1, UNIT), np.nan, np.float32))
    play(chain, sine(300), told, values(chain, vol__place=5.0), every=150)
    assert chain._line.order == [1, 0]
    assert [report.remade for report in chain.report()] == [0, 1]
    assert any("made anew" in line for line in chain.news())


def test_over_range_becomes_finite() -> None:
    chain = PluginChain(RATE, UNIT, [SlotConfig(f"vol{n}", "Gain") for n in range(30)])
    told = values(chain, **{f"vol{n}__gain_db": 30.0 for n in range(30)})
    heard = play(chain, sine(99), told)
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() <= 1024.0


def test_replace_and_snapshot() -> None:
    chain = PluginChain(RATE, UNIT, STRIP)
    told = turned(chain)
    heard = [play(chain, sine(201), told)]
    chain.replace([SlotConfig("eq", "PeakFilter"), SlotConfig("vol", "Gain")])
    assert chain.latency == 0
    fewer = values(chain, vol__gain_db=-3.0, eq__gain_db=6.0, eq__cutoff_frequency_hz=1000.0)
    heard.append(play(chain, sine(300), fewer))
    no_click(np.concatenate(heard, axis=1)[:, 4000:])
    with pytest.raises(InputError):
        chain.replace([SlotConfig("eq", "MP3Compressor")])
    kept = chain.snapshot()
    fresh = PluginChain(RATE, UNIT, [SlotConfig("eq", "PeakFilter"), SlotConfig("vol", "Gain")])
    fresh.restore(kept)
    chain.reset()
    assert np.array_equal(play(fresh, noise(50), fewer), play(chain, noise(50), fewer))


def test_replaced_before_anything_sounds() -> None:
    chain = PluginChain(RATE, UNIT, STRIP)
    chain.replace([SlotConfig("vol", "Gain")])
    assert np.array_equal(play(chain, noise(50), values(chain, vol__gain_db=0.0)), noise(50))


def test_a_fade_is_as_long_as_it_says() -> None:
    assert 0.01 <= SECONDS <= 0.02
    chain = PluginChain(RATE, UNIT, [SlotConfig("vol", "Gain")])
    on = values(chain, vol__gain_db=-20.0)
    ones = np.ones((1, 40 * UNIT), np.float32)
    play(chain, ones, on)
    heard = play(chain, ones, values(chain, vol__gain_db=-20.0, vol__state=BYPASS))[0]
    assert ON > BYPASS > OFF
    assert np.all(np.diff(heard) >= 0)
    assert np.flatnonzero(heard == 1)[0] == pytest.approx(SECONDS * RATE, abs=2)
