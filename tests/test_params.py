"""Params, options, the board and the meters; and that every knob of the catalogue can be heard."""

from __future__ import annotations

import importlib
import inspect
import math
import multiprocessing
import os
import re
from multiprocessing import shared_memory

import numpy as np
import pytest

from rtsep.catalogue import OWN_PARAMS, STAGES, StageSpec
from rtsep.engine import Engine
from rtsep.errors import InputError
from rtsep.meters import COUNTERS, LEVELS, STATUS, Meters
from rtsep.params import Board, Option, Param
from rtsep.presets import loads
from rtsep.runner import process
from rtsep.stage import Block, Format
from rtsep.stages.canceller import Canceller
from rtsep.stages.mix import Input
from rtsep.stages.spectral import Spectral
from rtsep.stages.unmix import Matrix

RATE = 48000
GAIN = Param("gain_db", "dB", -60.0, 12.0, 0.0, True, "Level.")
ADAPT = Param("adapt", "on", 0.0, 1.0, 1.0, False, "Learn.")
TRIM = Param("trim", "", 0.0, 2.0, 0.25, True, "Trim.")
MICS = ("kick", "vox 1", "bass")
LAYOUT = [("output", (GAIN,)), ("canceller", (ADAPT, TRIM))]
KNOBS = [(spec.name, param) for spec in STAGES.values() for param in spec.params]
KNOBS += [(group, param) for group, params in OWN_PARAMS for param in params]
OPTIONS = [(spec, option) for spec in STAGES.values() for option in spec.options]


def noise(shape: tuple[int, ...], seed: int = 0, level: float = 0.1) -> Block:
    return (level * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def power(x: Block) -> float:
    return float(np.mean(x.astype(float) ** 2))


# Param and Option


@pytest.mark.parametrize("value", [-60, -60.0, 0, 12, 12.0, True])
def test_a_value_in_range_is_taken_as_a_float(value: float) -> None:
    got = GAIN.check("output.gain_db", value)
    assert type(got) is float
    assert got == value


@pytest.mark.parametrize(
    "value", [-60.001, 12.001, math.nan, math.inf, -math.inf, "0", "loud", None, [1.0], 10**400, -(10**400)],
    ids=lambda value: repr(value)[:9],
)
def test_a_value_out_of_range_is_refused_with_the_range(value: object) -> None:
    with pytest.raises(InputError) as caught:
        GAIN.check("output.gain_db.kick", value)
    assert caught.value.place == "output.gain_db.kick"
    number = isinstance(value, float) and math.isfinite(value)
    assert caught.value.problem.endswith("is out of range" if number else "is not a number")
    assert caught.value.allowed == "allowed is a number from -60 to 12 dB"


@pytest.mark.parametrize(
    ("option", "good", "bad", "allowed"),
    [
        (Option("n", int, 8, "N.", 4, 64, 4), [4, 8, 64], [0, 68, 6, 8.0, "8", True, None],
         "an integer from 4 to 64, a multiple of 4"),
        (Option("x", float, 1.0, "X.", 0.5, 2.0), [0.5, 1, 2.0], [0.4, 3, math.nan, math.inf, "1", True, 10**400],
         "a number from 0.5 to 2"),
        (Option("b", bool, True, "B."), [True, False], [0, 1, "true"], "true or false"),
        (Option("s", str, "a", "S.", choices=("a", "b")), ["a", "b"], ["c", "", 1, True], "one of a, b"),
        (Option("s", str, "a", "S."), ["a", ""], [1, None], "a string"),
        (Option("l", list, [], "L."), [[], [[1]]], ["", {}, ()], "a list"),
    ],
)
def test_an_option_takes_what_it_says(option: Option, good: list[object], bad: list[object], allowed: str) -> None:
    for value in good:
        assert option.check("here", value) == value
    assert type(option.check("here", good[0])) is option.kind
    for value in bad:
        with pytest.raises(InputError) as caught:
            option.check("here", value)
        assert (caught.value.place, caught.value.allowed) == ("here", f"allowed is {allowed}"), value


# The catalogue


@pytest.mark.parametrize(("stage", "param"), KNOBS, ids=lambda p: getattr(p, "name", p))
def test_every_param_is_in_range_and_explained(stage: str, param: Param) -> None:
    assert param.low <= param.default <= param.high
    assert param.low < param.high
    assert param.check(f"{stage}.{param.name}", param.default) == param.default
    assert re.fullmatch(r"[A-Z].{5,}[^.]\.", param.help), param.help
    assert re.fullmatch("[a-z][a-z_]*", param.name)
    assert param.unit in ("dB", "ms", "on", "")
    assert param.unit != "on" or (param.low, param.high) == (0, 1)
    assert param.name.endswith(param.unit.lower()) or param.unit in ("on", "")


@pytest.mark.parametrize(("spec", "option"), OPTIONS, ids=lambda o: o.name)
def test_every_option_is_in_range_and_explained(spec: object, option: Option) -> None:
    del spec
    assert option.check(option.name, option.default) == option.default
    assert re.fullmatch(r"[A-Z].{5,}[^.]\.", option.help), option.help
    if option.kind in (int, float):
        assert -math.inf < option.low <= option.default <= option.high < math.inf
    if option.kind is str:
        told = ("(.npz)", "(.onnx)", "module:factory")   # a word of a list, a file, or code
        assert option.choices or any(text in option.help for text in told)


@pytest.mark.parametrize("spec", STAGES.values(), ids=lambda s: s.name)
def test_the_catalogue_is_what_the_classes_have(spec: StageSpec) -> None:
    """A class takes every option, with the catalogue's default, and no other; its params are the catalogue's."""
    cls = getattr(importlib.import_module(spec.module), spec.cls)
    assert cls.params == spec.params
    assert cls().name == spec.name
    assert spec.make("other", spec.defaults).name == "other"
    arguments = inspect.signature(cls).parameters
    if "given" in arguments:   # it takes the catalogue's, in order or by name
        with pytest.raises(TypeError, match="takes"):
            cls(unheard_of=1)
        arguments = {"name": arguments["name"]}
        if hasattr(cls, "configure"):   # but for those that its base takes
            arguments |= inspect.signature(cls.configure).parameters
            del arguments["self"]
    told = {option.name for option in spec.options}
    assert set(arguments) - {"name", "start", "confidence"} <= told
    for name, argument in arguments.items():
        if name in told and argument.default is not inspect.Parameter.empty:
            assert argument.default == spec.defaults[name], name
    for things in (spec.options, spec.params, *dict(OWN_PARAMS).values()):
        assert len({thing.name for thing in things}) == len(things)


def test_options_are_given_in_order_or_by_name_and_never_unknown() -> None:
    spec = STAGES["hpss"]
    assert spec.complete((512, 256), {"margin": 2.0}) == {
        **spec.defaults, "analysis": 512, "synthesis": 256, "margin": 2.0,
    }
    for given, options in (((), {"margn": 2.0}), ((512,), {"analysis": 512}), ((1,) * 9, {})):
        with pytest.raises(TypeError, match="margin"):
            spec.complete(given, options)


# Board


def test_a_board_begins_with_the_defaults() -> None:
    board = Board(MICS, LAYOUT)
    assert board.paths() == ["output.gain_db", "canceller.adapt", "canceller.trim"]
    for mic in (*MICS, "1", "2", "3"):
        assert board.get(f"canceller.trim.{mic}") == 0.25
    assert board.get("canceller.adapt") == 1
    assert board.values.dtype == np.float32


def test_mics_are_addressed_by_name_number_or_all() -> None:
    board = Board(MICS, LAYOUT)
    board.set("output.gain_db", -6)
    board.set("output.gain_db.vox 1", -3)
    board.set("output.gain_db.3", 2)
    assert [board.get(f"output.gain_db.{mic}") for mic in MICS] == [-6, -3, 2]
    assert [board.get(f"output.gain_db.{n}") for n in (1, 2, 3)] == [-6, -3, 2]
    assert board.get("output.gain_db") == -6
    board.set("canceller.adapt", 0)
    np.testing.assert_array_equal(board.values[3:7], np.float32([0, 0.25, 0.25, 0.25]))   # what is one for all is one


def test_a_name_may_have_dots_and_so_may_a_mic() -> None:
    mics = ("snare", "snare.top")
    parts = Param("snare.comp.threshold_db", "dB", -60.0, 0.0, -20.0, False, "Level.")
    board = Board(mics, [("strips", (parts, TRIM)), ("output", (GAIN,))])
    board.set("strips.snare.comp.threshold_db", -31)
    board.set("output.gain_db.snare.top", -3)
    assert board.get("strips.snare.comp.threshold_db") == -31
    assert [board.get(f"output.gain_db.{n}") for n in (1, 2)] == [0, -3]
    assert board.param("strips.snare.comp.threshold_db") is parts
    assert board.spread("strips.snare.comp.threshold_db") == ["strips.snare.comp.threshold_db"]
    assert board.spread("output.gain_db") == ["output.gain_db.snare", "output.gain_db.snare.top"]
    assert board.spread("output.gain_db.snare.top") == ["output.gain_db.snare.top"]
    with pytest.raises(InputError, match=r"strips\.snare\.comp: there is no such parameter"):
        board.get("strips.snare.comp")


def test_what_has_changed_is_told_by_path() -> None:
    board = Board(MICS, LAYOUT)
    before = board.values.copy()
    board.set("output.gain_db.vox 1", -3)
    board.set("canceller.adapt", 0)
    board.set("canceller.trim.bass", 2)
    board.set("canceller.trim.kick", 0.25)   # as it was
    found = board.changed(before, board.values.copy())
    assert found == {"output.gain_db.vox 1": -3, "canceller.adapt": 0, "canceller.trim.bass": 2}


@pytest.mark.parametrize(
    ("path", "problem", "allowed"),
    [
        ("output.gain_db.tuba", "no microphone 'tuba'", "known: kick, vox 1, bass or 1 to 3"),
        ("output.gain_db.0", "no microphone '0'", "1 to 3"),
        ("output.gain_db.4", "no microphone '4'", "1 to 3"),
        ("output.gain_db.-1", "no microphone '-1'", "1 to 3"),
        ("output.gain_db.²", "no microphone '²'", "1 to 3"),
        ("output.loudness", "no such parameter", "known: output.gain_db, canceller.adapt, canceller.trim"),
        ("gain_db", "no such parameter", "output.gain_db"),
        ("", "no such parameter", "output.gain_db"),
        ("canceller.adapt.kick", "one for all", "use canceller.adapt"),
    ],
)
def test_an_unknown_path_is_refused(path: str, problem: str, allowed: str) -> None:
    board = Board(MICS, LAYOUT)
    before = board.values.copy()
    for action in (lambda: board.set(path, 0.0), lambda: board.get(path)):
        with pytest.raises(InputError) as caught:
            action()
        assert caught.value.place == path
        assert problem in caught.value.problem
        assert allowed in caught.value.allowed
    np.testing.assert_array_equal(board.values, before)


def test_a_refused_value_changes_nothing() -> None:
    board = Board(MICS, LAYOUT)
    for value in (13.0, math.nan):
        with pytest.raises(InputError, match=r"output\.gain_db\.kick: .*from -60 to 12 dB"):
            board.set("output.gain_db.kick", value)
    assert board.get("output.gain_db.kick") == 0


def test_addresses_are_the_values() -> None:
    board = Board(MICS, LAYOUT)
    board.set("canceller.trim.2", 1.5)
    there = (board.address("canceller.trim") - board.values.ctypes.data) // 4
    np.testing.assert_array_equal(board.values[there : there + 3], np.float32([0.25, 1.5, 0.25]))


def test_extending_keeps_places_and_values() -> None:
    board = Board(MICS, LAYOUT)
    board.set("canceller.trim.bass", 2)
    places = {path: board.address(path) for path in board.paths()}
    board.extend([("canceller", (ADAPT, TRIM)), ("second", (TRIM, GAIN))])
    assert {path: board.address(path) for path in places} == places
    assert board.get("canceller.trim.bass") == 2
    assert [board.get(f"second.trim.{mic}") for mic in MICS] == [0.25] * 3
    assert board.paths() == [*places, "second.trim", "second.gain_db"]
    assert len({board.address(path) for path in board.paths()}) == 5


def test_a_stage_of_another_kind_gets_the_room_it_needs() -> None:
    board = Board(MICS, [("fx", (Param("x", "", 0.0, 1.0, 0.5, False, ""),)), ("output", (GAIN,))])
    board.extend([("fx", (Param("x", "", 0.0, 9.0, 0.25, True, ""),))])
    board.set("fx.x.bass", 7)
    assert [board.get(f"fx.x.{mic}") for mic in MICS] == [0.25, 0.25, 7]
    assert [board.get(f"output.gain_db.{mic}") for mic in MICS] == [0, 0, 0]
    address = board.address("fx.x")
    board.extend([("fx", (Param("x", "", 0.0, 1.0, 0.5, False, ""),))])   # one again: there is room
    assert board.address("fx.x") == address


def test_a_full_board_is_said_and_stays_as_it_is() -> None:
    board = Board(MICS, LAYOUT)
    board.set("output.gain_db.bass", -3)
    left = board.values.size - 7
    spare = left // len(MICS)
    assert left >= 16 * len(MICS)
    for n in range(spare):
        board.extend([(f"s{n}", (TRIM,))])
    with pytest.raises(InputError, match=r"late\.trim: the board is full; restart"):
        board.extend([("late", (TRIM,))])
    assert "late.trim" not in board.paths()
    board.extend([("s3", (TRIM,))])   # known: needs no room
    board.set(f"s{spare - 1}.trim.bass", 2)
    assert board.values[6 + spare * len(MICS)] == 2
    assert board.get("output.gain_db.bass") == -3


def _other_process(name: str, meters: str) -> None:
    """Do what the audio process does with the supervisor's memory."""
    board = Board(MICS, LAYOUT, name, create=False)
    assert board.get("output.gain_db.vox 1") == -6   # what the maker has set is not overwritten with defaults
    board.set("output.gain_db.bass", -12)
    board.set("canceller.adapt", 0)
    board.close()
    shown = Meters(3, meters, create=False)
    assert shown.get("load") == 0.5
    assert shown.level("limiter_gain")[0] == 1
    shown.put("latency", 576)
    shown.level("out_peak")[:] = (0.1, 0.2, 0.3)
    shown.counters[COUNTERS.index("frames")] = 1 << 40
    shown.close()


def test_two_processes_share_board_and_meters() -> None:
    name = f"rtsep-test-{os.getpid()}"
    board, meters = Board(MICS, LAYOUT, name), Meters(3, name + "m")
    try:
        board.set("output.gain_db.vox 1", -6)
        meters.put("load", 0.5)
        child = multiprocessing.get_context("spawn").Process(target=_other_process, args=(name, name + "m"))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        assert [board.get(f"output.gain_db.{mic}") for mic in MICS] == [0, -6, -12]
        assert board.get("canceller.adapt") == 0
        assert (meters.get("latency"), meters.get("load"), meters.counter("frames")) == (576, 0.5, 1 << 40)
        np.testing.assert_array_equal(meters.level("out_peak"), np.float32([0.1, 0.2, 0.3]))
    finally:
        board.close()
        meters.close()
    for left in (name, name + "m"):   # the maker's close has removed them, the other's has not
        with pytest.raises(FileNotFoundError):
            shared_memory.SharedMemory(left)
    # What was last shown may still be read: a summary is printed after the end.
    assert board.get("output.gain_db.bass") == -12
    assert meters.get("latency") == 576
    assert meters.level("out_peak")[1] == np.float32(0.2)
    board.close()
    meters.close()


def test_a_private_board_and_meters_share_nothing() -> None:
    first, second = Board(MICS, LAYOUT), Board(MICS, LAYOUT)
    first.set("output.gain_db", -6)
    assert second.get("output.gain_db") == 0
    first.close()
    assert first.get("output.gain_db") == -6
    one, two = Meters(2), Meters(2)
    one.put("load", 1)
    one.counters[:] = 7
    assert two.get("load") == 0
    assert two.counter("faults") == 0
    one.close()
    assert one.counter("faults") == 7


# Meters


def test_meters_do_not_overlap() -> None:
    meters = Meters(5)
    for n, name in enumerate(STATUS):
        meters.put(name, n + 0.5)
    meters.counters[: len(COUNTERS)] = np.arange(len(COUNTERS)) + 100
    for n, name in enumerate(LEVELS):
        meters.level(name)[:] = n + 200
    assert [meters.get(name) for name in STATUS] == [n + 0.5 for n in range(len(STATUS))]
    assert [meters.counter(name) for name in COUNTERS] == [n + 100 for n in range(len(COUNTERS))]
    np.testing.assert_array_equal(meters.levels, np.repeat(np.arange(len(LEVELS)) + 200, 5).reshape(-1, 5))
    assert meters.levels.shape == (len(LEVELS), 5)
    for array in (meters.counters, meters.status, meters.levels):
        assert array.ctypes.data % 8 == 0
    with pytest.raises(ValueError, match="not in tuple"):
        meters.get("loudness")


def test_meters_begin_at_rest() -> None:
    meters = Meters(3)
    np.testing.assert_array_equal(meters.level("limiter_gain"), 1)
    assert not meters.level("in_peak").any()
    assert not meters.status.any()
    assert not meters.counters.any()


def test_an_engine_shows_its_levels() -> None:
    engine = _engine(meters=Meters(2))
    x = noise((2, 8192))
    process(engine, x)
    assert engine.meters is not None
    last = x[:, -2048:]
    np.testing.assert_allclose(engine.meters.level("in_peak"), np.abs(last).max(axis=1), rtol=1e-6)
    np.testing.assert_allclose(engine.meters.level("in_power"), (last**2).sum(axis=1), rtol=1e-4)
    assert engine.meters.counter("frames") == 8192


# What the knobs do: input


def test_input_gain_db_invert_and_delay_ms_move_while_it_runs() -> None:
    stage = Input()
    stage.prepare(Format(RATE, 3))
    x = noise((3, 9600))
    np.testing.assert_array_equal(process(stage, x), x)
    stage.board.set("input.gain_db.1", -20)
    stage.board.set("input.invert.2", 1)
    stage.board.set("input.delay_ms.3", 2.5)
    y = process(stage, x)
    steady = slice(4800, None)
    np.testing.assert_allclose(y[0, steady], 0.1 * x[0, steady], rtol=1e-5)
    np.testing.assert_array_equal(y[1, steady], -x[1, steady])
    np.testing.assert_array_equal(y[2, steady], x[2, 4800 - 120 : -120])
    assert np.abs(np.diff(y[0, :64] / x[0, :64])).max() < 0.02   # ramped


@pytest.mark.parametrize("max_delay_ms", [1.0, 20.0])
@pytest.mark.parametrize("running", [False, True])
def test_max_delay_ms_clamps_longer_delays(max_delay_ms: float, running: bool) -> None:
    """The ring is a power of two: what is asked for fits, what is far beyond ends where the ring does."""
    stage = Input(max_delay_ms=max_delay_ms)
    stage.prepare(Format(RATE, 1))
    x = np.zeros((1, 30000), np.float32)
    x[0, 4800] = 1
    late = []
    for delay_ms in (max_delay_ms, 500.0):
        stage.reset()
        stage.board.set("input.delay_ms", delay_ms)
        if not running:
            stage.reset()
        y = process(stage, x)
        assert np.count_nonzero(y) == 1
        late.append(int(np.argmax(y[0])) - 4800)
    assert late[0] == max_delay_ms * 48
    assert late[0] <= late[1] < 2 * late[0] + 128


# Matrix


@pytest.mark.parametrize("ramp_ms", [10.0, 80.0])
def test_ramp_ms_is_how_long_a_new_matrix_takes(ramp_ms: float) -> None:
    stage = Matrix(ramp_ms=ramp_ms)
    stage.prepare(Format(RATE, 2))
    ones = np.ones((2, 9600), np.float32)
    np.testing.assert_array_equal(process(stage, ones), ones)
    stage.set_mixing([[1, 0.5], [0, 1]])
    y = process(stage, ones)[0]
    arrived = int(np.argmax(np.abs(y - 0.5) < 1e-6))
    assert arrived == pytest.approx(ramp_ms * 48, abs=128)
    assert np.abs(np.diff(y)).max() < 1.1 * 0.5 / (arrived - 64)


def test_max_condition_refuses_what_would_amplify_noise() -> None:
    mixing = [[1, 0.9], [0.9, 1]]   # condition number 19
    with pytest.raises(InputError, match=r"matrix\.mixing: condition number 19\.0; allowed is up to 18"):
        Matrix(mixing=mixing, max_condition=18.0).prepare(Format(RATE, 2))
    stage = Matrix(mixing=mixing, max_condition=20.0)
    stage.prepare(Format(RATE, 2))
    x = noise((2, 1000))
    np.testing.assert_allclose(process(stage, (np.array(mixing) @ x).astype(np.float32)), x, atol=1e-5)
    for bad, says in (
        ([[1, 1], [1, 1]], "condition"), ([[1, 0.5]], "shape"), ([[1]], "shape"), ([[1, math.nan], [0, 1]], "shape"),
        ([[0, 1], [1, 1]], "diagonal"), ([[1, 2], [3]], "shape"),
    ):
        with pytest.raises(InputError, match=says):
            stage.set_mixing(bad)
    np.testing.assert_allclose(process(stage, (np.array(mixing) @ x).astype(np.float32)), x, atol=1e-5)


# Canceller


def bleeding(tap: int, taps: int = 2048, k: int = 2) -> Block:
    paths = np.zeros((k, k, taps), np.float32)
    paths[0, 1, tap] = 0.5
    return paths


@pytest.mark.parametrize(("taps", "known"), [(1024, False), (2048, True)])
def test_taps_is_how_much_of_a_room_is_taken_away(taps: int, known: bool) -> None:
    stage = Canceller(taps=taps, start=bleeding(1500))
    stage.prepare(Format(RATE, 2))
    stage.board.set("canceller.adapt", 0)
    assert stage.paths.shape == (2, 2, taps)
    x = noise((2, 6000))
    truth = x.copy()
    if known:
        truth[0, 1500:] -= np.float32(0.5) * x[1, :-1500]
    np.testing.assert_allclose(process(stage, x), truth, atol=1e-6)


def test_amount_is_how_much_of_the_bleed_goes() -> None:
    stage = Canceller(taps=1024, start=bleeding(20, 1024))
    stage.prepare(Format(RATE, 2))
    stage.board.set("canceller.adapt", 0)
    x = noise((2, 4800))
    for amount in (0.0, 0.5, 1.0):
        stage.board.set("canceller.amount.1", amount)
        stage.reset()
        truth = x.copy()
        truth[0, 20:] -= np.float32(0.5 * amount) * x[1, :-20]
        np.testing.assert_allclose(process(stage, x), truth, atol=1e-6)
    stage.board.set("canceller.amount.2", 0)   # its own knob: the first mic does not care
    stage.reset()
    np.testing.assert_allclose(process(stage, x), truth, atol=1e-6)


def test_adapt_learns_or_does_not() -> None:
    x = noise((2, 48000))
    x[0, 20:] += np.float32(0.5) * x[1, :-20]
    left = {}
    for adapt in (0, 1):
        stage = Canceller(taps=1024)
        stage.prepare(Format(RATE, 2))
        stage.board.set("canceller.adapt", adapt)
        left[adapt] = power(process(stage, x)[0, -9600:])
        assert stage.paths.any() == bool(adapt)
    assert left[0] == power(x[0, -9600:])
    assert left[1] < 0.95 * left[0]   # of 1.25, bleed is 0.25


# Spectral


@pytest.mark.parametrize(("analysis", "synthesis", "hop"), [(512, 256, 64), (1024, 256, 64), (512, 512, 64),
                                                            (512, 256, 128)])
def test_analysis_synthesis_and_hop_decide_bins_and_latency(analysis: int, synthesis: int, hop: int) -> None:
    stage = Spectral(analysis=analysis, synthesis=synthesis, hop=hop, estimator="unity")
    stage.prepare(Format(RATE, 1))
    assert stage.gains.shape == (1, analysis // 2 + 1)
    assert stage.latency == synthesis + hop - 64
    x = noise((1, 6000))
    y = process(stage, x)
    np.testing.assert_allclose(y[:, stage.latency :], x[:, : -stage.latency], atol=1e-6)
    assert np.abs(y[:, : stage.latency]).max() < 1e-6


@pytest.mark.parametrize(("analysis", "synthesis", "hop"), [(256, 512, 64), (512, 256, 192), (512, 128, 128)])
def test_windows_that_do_not_fit_are_refused(analysis: int, synthesis: int, hop: int) -> None:
    with pytest.raises(InputError, match=rf"synthesis.*{synthesis} with analysis {analysis} and hop {hop}"):
        Spectral(analysis=analysis, synthesis=synthesis, hop=hop)


def gains_of(stage: Spectral, x: Block) -> Block:
    """Run and return the first mic's mean gain after each hop of 128."""
    curve = []
    for first in range(0, x.shape[1], 128):
        process(stage, x[:, first : first + 128])
        curve.append(float(stage.gains[0].mean()))
    return np.array(curve, np.float32)


def only_bleed(frames: int = 24000) -> Block:
    """Return a loud second microphone, of which the first holds -30 dB."""
    x = noise((2, frames), 7, 0.3)
    x[0] = np.float32(0.03) * x[1]
    return x


def spectral(**params: float) -> Spectral:
    stage = Spectral()
    stage.prepare(Format(RATE, 2))
    for name, value in params.items():
        stage.board.set(f"spectral.{name}", value)
    return stage


def test_the_estimator_decides() -> None:
    x = only_bleed()
    left = {}
    for estimator in ("unity", "residual"):
        stage = Spectral(estimator=estimator)
        stage.prepare(Format(RATE, 2))
        left[estimator] = power(process(stage, x)[0, -9600:])
    assert left["unity"] == pytest.approx(power(x[0, -9600:]), rel=0.1)
    assert left["residual"] < 0.8 * left["unity"]


def test_strength_suppresses_more() -> None:
    gains = [gains_of(spectral(strength=strength), only_bleed())[-40:].mean() for strength in (0, 0.2, 1)]
    assert gains[0] == pytest.approx(1, abs=1e-3)
    assert gains[0] > gains[1] + 0.05 > gains[2] + 0.1


def test_who_has_no_doubt_is_left_alone() -> None:
    doubt = np.array([0, 1], np.float32)
    stage = spectral(strength=4)
    stage.believe(doubt)
    assert gains_of(stage, only_bleed())[-40:].mean() == pytest.approx(1, abs=1e-3)
    doubt[0] = 1   # read at every frame
    assert gains_of(stage, only_bleed())[-40:].mean() < 0.6
    with pytest.raises(ValueError, match="doubt"):
        stage.believe(np.ones(3, np.float32))


def test_range_db_limits_what_is_taken_away_of_each_mic() -> None:
    for range_db in (0.0, -6.0, -40.0):
        stage = spectral(strength=4)
        stage.board.set("spectral.range_db.1", range_db)
        curve = gains_of(stage, only_bleed())
        floor = 10 ** (range_db / 20)
        assert floor - 1e-6 <= stage.gains[0].min() <= floor + 0.03   # the floor is come near to, not hit
        assert curve[-40:].mean() >= floor - 1e-3
        assert stage.gains[1].mean() > 0.95   # who plays is left alone


def frames_until(reached: Block) -> int:
    assert reached.any()
    return int(np.argmax(reached))


def test_release_ms_is_the_time_to_close() -> None:
    taken = {}
    for release_ms in (0.0, 20.0, 200.0):
        curve = gains_of(spectral(strength=4, release_ms=release_ms, range_db=-20), only_bleed(48000))
        # From 1 at the start; 1/e of the way to where it ends.
        end = curve[-40:].mean() if release_ms < 200 else taken["end"]
        taken["end"] = end
        taken[release_ms] = frames_until(curve < end + (1 - end) / math.e) * 128 / 48
    assert taken[0.0] < taken[20.0] < taken[200.0]
    assert taken[200.0] - taken[0.0] == pytest.approx(200, rel=0.4)


def test_attack_ms_is_the_time_to_open() -> None:
    taken = []
    for attack_ms in (0.0, 50.0, 200.0):
        stage = spectral(strength=4, attack_ms=attack_ms, release_ms=0)
        start = gains_of(stage, only_bleed())[-1]
        assert start < 0.2
        stage.board.set("spectral.release_ms", 2000)   # what has opened stays open
        played = only_bleed()
        played[0] += noise((24000,), 9, 0.3)
        curve = gains_of(stage, played)
        taken.append(frames_until(curve > 0.93 - (0.93 - start) / math.e) * 128 / 48)
    assert taken[0] < 15
    assert taken[0] < taken[1] < taken[2]
    assert taken[2] == pytest.approx(200, rel=0.4)


# Output


def _engine(k: int = 2, meters: Meters | None = None) -> Engine:
    text = 'schema = 1\nname = "t"\nlatency_class = "live"\n[[chain]]\nstage = "input"\n'
    text += '[params]\n"input.gain_db" = -20\n'
    engine = Engine(loads(text, "t.toml"), meters=meters)
    engine.prepare(Format(RATE, k))
    return engine


@pytest.mark.parametrize(
    ("settings", "gains"),
    [
        ({}, (0.1, 0.1, 0.1)),
        ({"output.gain_db": 6}, (0.19953, 0.19953, 0.19953)),
        ({"output.gain_db.2": -20}, (0.1, 0.01, 0.1)),
        ({"output.mute.1": 1}, (0, 0.1, 0.1)),
        ({"output.mute_all": 1}, (0, 0, 0)),
        ({"output.solo.3": 1}, (0, 0, 0.1)),
        ({"output.solo.3": 1, "output.solo.1": 1}, (0.1, 0, 0.1)),
        ({"output.solo.3": 1, "output.mute.3": 1}, (0, 0, 0)),
        ({"output.dry.2": 1}, (0.1, 1, 0.1)),
        ({"output.dry_all": 1}, (1, 1, 1)),
        ({"output.dry_all": 1, "output.mute.2": 1, "output.gain_db.3": -6}, (1, 0, 0.50119)),
    ],
    ids=str,
)
@pytest.mark.parametrize("running", [False, True])
def test_what_the_output_does(settings: dict[str, float], gains: tuple[float, ...], running: bool) -> None:
    """The chain turns everything down by 20 dB, so dry is heard. Set before or while it runs, it ends the same."""
    engine = _engine(3)
    x = noise((3, 9600), level=0.05)
    if running:
        process(engine, x)
    for path, value in settings.items():
        engine.board.set(path, value)
    if not running:
        engine.reset()
    y = process(engine, x)
    steady = slice(4800 if running else 0, None)
    np.testing.assert_allclose(y[:, steady], np.array(gains)[:, None] * x[:, steady], rtol=1e-4, atol=1e-7)
