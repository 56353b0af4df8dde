"""Strips: each mic's plug-ins in other processes. The oracle is pedalboard itself, over the whole signal at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pedalboard
import pytest

from rtsep import presets
from rtsep.errors import InputError
from rtsep.params import Board
from rtsep.runner import process
from rtsep.session import Session
from rtsep.stage import Block, Format
from rtsep.stages.strips import Strips

RATE, MICS = 48000, ("vox", "kick", "bass")
EACH = [{"plugin": "HighpassFilter"}, {"plugin": "Compressor", "name": "comp"}]
OWN = [{"mic": "kick", "group": "drums", "plugins": [{"plugin": "Gain"}]}]
PATIENCE = 60.0
PRESET = """
schema = 1
name = "strips"
latency_class = "foh"
[[chain]]
stage = "input"
[[chain]]
stage = "strips"
{more}
[params]
"strips.kick.gain.gain_db" = -6
"strips.comp.ratio" = 4
"strips.comp.threshold_db" = -30
"strips.comp.threshold_db.bass" = -20
"""
CHAINS = """
each = [{plugin = "HighpassFilter"}, {plugin = "Compressor", name = "comp"}]
[[chain.strips]]
mic = "kick"
plugins = [{plugin = "Gain"}]
"""


def noise(frames: int = 9600, seed: int = 0) -> Block:
    return (0.1 * np.random.default_rng(seed).standard_normal((len(MICS), frames))).astype(np.float32)


def late(x: Block, delay: int) -> Block:
    return np.pad(x, ((0, 0), (delay, 0)))[:, : x.shape[1]]


@pytest.fixture
def make() -> Iterator[Callable[..., Strips]]:
    made: list[Strips] = []

    def one(**options: Any) -> Strips:
        stage = Strips("strips", **{"each": EACH, "strips": OWN, **options})
        made.append(stage)
        board = Board(MICS, [("strips", stage.params)])
        if "strips.comp.ratio" in board.paths():
            board.set("strips.comp.threshold_db", -20)
            board.set("strips.comp.ratio", 4)
        stage.prepare(Format(RATE, len(MICS)), board)
        return stage

    yield one
    for stage in made:
        stage.close()


def oracle(x: Block, delay: int, threshold: float = -20.0, gain_db: float = 1.0) -> Block:
    """Return what pedalboard makes of it all at once, as late as the stage."""
    wet = x.copy()
    for c in (0, 2):
        board = pedalboard.Pedalboard([pedalboard.HighpassFilter(), pedalboard.Compressor(threshold, ratio=4)])
        wet[c] = board(x[c], RATE)
    wet[1] *= np.float32(10 ** (gain_db / 20))
    return late(wet, delay)


@pytest.mark.parametrize(("isolation", "processes"), [("chain", 3), ("group", 3), ("one", 1)])
def test_what_is_heard_is_what_pedalboard_makes_of_it(
    make: Callable[..., Strips], isolation: str, processes: int
) -> None:
    stage, x = make(isolation=isolation), noise()
    assert len({*stage.pids}) == processes
    stage.board.set("strips.comp.threshold_db", -35)
    np.testing.assert_allclose(process(stage, x, 480), oracle(x, 128, -35), atol=1e-7)
    assert stage.latency == 128
    assert stage.status() == {"late_strips": 0, "bad_results": 0, "worker_restarts": 0}


def test_no_more_processes_than_some_for_each_core(
    make: Callable[..., Strips], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtsep.stages.strips.stage._PER_CORE", 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    stage, x = make(), noise(2400)
    assert len(stage.pids) == 2
    np.testing.assert_allclose(process(stage, x), oracle(x, 128), atol=1e-7)


def test_a_change_is_heard_at_the_same_sample_whatever_the_block(make: Callable[..., Strips]) -> None:
    stage, x = make(isolation="one"), noise()
    found = []
    for block in (64, 480):
        stage.board.set("strips.kick.gain.gain_db", 1)
        stage.board.set("strips.comp.threshold_db", -20)
        stage.reset()
        first = process(stage, x[:, :4800], block)
        stage.board.set("strips.kick.gain.gain_db", -12)
        stage.board.set("strips.comp.threshold_db.bass", -40)
        found.append(np.concatenate([first, process(stage, x[:, 4800:], block)], 1))
    np.testing.assert_array_equal(*found)
    tail = slice(4800 + 128 + 2048, None)   # the ramp is over
    np.testing.assert_allclose(found[0][1, tail], oracle(x, 128, gain_db=-12)[1, tail], atol=1e-6)
    assert np.abs(found[0][2, tail] - oracle(x, 128)[2, tail]).max() > 1e-3


def test_a_mic_without_plug_ins_is_as_late_as_the_others_or_not_late_at_all(make: Callable[..., Strips]) -> None:
    x = noise(2400)
    for align, delay in (("all", 256), ("off", 0), ("group", 0)):
        stage = make(each=[], delay=256, align=align)
        out = process(stage, x)
        np.testing.assert_array_equal(out[[0, 2]], late(x, delay)[[0, 2]])
        np.testing.assert_allclose(out[1], oracle(x, 256)[1], atol=1e-7)


LINKED = {"name": "oh", "mics": ["kick", "vox"], "plugins": [{"plugin": "Reverb"}]}


@pytest.mark.parametrize("isolation", ["chain", "one"])
def test_two_mics_that_are_linked_are_the_channels_of_one_plug_in(make: Callable[..., Strips], isolation: str) -> None:
    stage, x = make(strips=[LINKED], isolation=isolation), noise()
    assert stage.board.param("strips.oh.reverb.room_size").default == 0.5
    with pytest.raises(InputError):
        stage.board.param("strips.kick.gain.gain_db")
    delay = stage.latency
    wet = oracle(x, delay)
    both = pedalboard.Reverb()(np.ascontiguousarray(x[[1, 0]]), RATE)   # in the order of the strip, not of the mics
    alone = pedalboard.Reverb()(x[1:2], RATE)
    wet[[1, 0]] = late(both, delay)
    assert not np.allclose(wet[1], late(alone, delay)[0], atol=1e-3)
    np.testing.assert_allclose(process(stage, x), wet, atol=1e-5)
    stage.reset()
    stage.board.set("strips.oh.state", 1)   # bypassed: both, as late
    np.testing.assert_array_equal(process(stage, x)[:2], late(x, delay)[:2])
    stage.reset()
    stage.board.set("strips.oh.state", 2)
    stage.close()   # as when the process is lost for good: both are dry, as late, after a fade of 64 samples
    np.testing.assert_array_equal(process(stage, x)[:2, delay + 64 :], late(x, delay)[:2, delay + 64 :])


def test_without_any_plug_in_there_is_no_process_and_no_latency(make: Callable[..., Strips]) -> None:
    stage, x = make(each=[], strips=[]), noise(640)
    assert stage.pids == []
    assert stage.latency == 0
    np.testing.assert_array_equal(process(stage, x), x)


def test_a_snapshot_goes_on_where_nothing_rings(make: Callable[..., Strips]) -> None:
    options = {"each": [{"plugin": "Gain"}], "isolation": "group"}
    stage, twin, x = make(**options), make(**options), noise()
    process(stage, x[:, :3333], 100)
    kept = stage.snapshot()
    rest = process(stage, x[:, 3333:], 100)
    process(twin, noise(5000, 1))
    twin.restore(kept)
    np.testing.assert_array_equal(process(twin, x[:, 3333:], 64), rest)


# In a preset


def test_a_preset_is_read_and_written() -> None:
    preset = presets.loads(PRESET.format(more=CHAINS), "test")
    assert presets.loads(presets.dumps(preset), "again") == preset
    assert {"strips.comp.ratio", "strips.kick.gain.state", "strips.state"} <= {
        f"{stage}.{param.name}" for stage, params in presets.layout(preset) for param in params
    }
    with Session.open(preset, RATE, MICS) as session:
        assert session.engine.latency == 128
        x = noise(4800)
        out = process(session.engine, x)
        want = oracle(x, 128, -30, -6)
        np.testing.assert_allclose(out[:2], want[:2], atol=1e-6)
        np.testing.assert_allclose(out[2], oracle(x, 128, -20)[2], atol=1e-6)


@pytest.mark.parametrize(("more", "says"), [
    ("each = 3", "each"),
    ('each = [{plugin = "Compresor"}]', "Compresor"),
    ('each = [{name = "x"}]', "plugin is missing"),
    ('each = [{plugin = "Gain", gain_db = 3}]', "unknown key 'gain_db'"),
    ('each = [{plugin = "Gain"}, {plugin = "Gain"}]', "two plug-ins 'gain'"),
    ('each = [{plugin = "Gain", name = "A b"}]', "'A b' is not a plug-in's name"),
    ('each = [{plugin = "Gain", state = "%%"}]', "no base64"),
    ('strips = [{mic = "vox", plugin = "Gain"}]', "unknown key 'plugin'"),
    ('strips = [{plugins = []}]', "strip 1 has no mic"),
    ('strips = [{mic = 3}]', "mic is 3"),
    ('strips = [{mics = ["vox", "kick"]}]', "strip 1 has no mic; allowed are mic, or mics and name"),
    ('strips = [{mics = ["vox"], name = "oh"}]', "allowed are the names of 2"),
    ('strips = [{mics = ["vox", "kick"], name = "O h"}]', "name is 'O h'"),
    ('strips = [{mics = ["vox", "kick"], name = "bass"}, {mic = "bass"}]', "two things are called 'bass'"),
    ('strips = [{mics = ["vox", "kick"], name = "oh"}, {mic = "kick"}]', "two strips for 'kick'"),
    ('strips = [{mic = "vox"}, {mic = "vox"}]', "two strips for 'vox'"),
    ("unit = 128\ndelay = 128", "delay"),
    ('isolation = "none"', "isolation"),
    ('align = "some"', "align"),
])
def test_a_mistake_is_named_with_its_line(more: str, says: str) -> None:
    with pytest.raises(InputError) as refused:
        presets.loads(PRESET.partition("[params]")[0].format(more=more), "test")
    assert str(refused.value).startswith("test:")
    assert says in str(refused.value)


def test_a_strip_for_a_mic_that_is_not_there_is_refused() -> None:
    preset = presets.loads(PRESET.partition("[params]")[0].format(more=CHAINS), "test")
    with pytest.raises(InputError, match="there is no microphone 'kick'"):
        Session.open(preset, RATE, ("vox", "bass"))


def test_a_reload_brings_other_plug_ins() -> None:
    more = CHAINS.replace('{plugin = "Gain"}', '{plugin = "Gain"}, {plugin = "Phaser"}')
    old, new = (presets.loads(PRESET.format(more=chains), "test") for chains in (CHAINS, more))
    with Session.open(old, RATE, MICS) as session:
        engine, x = session.engine, noise(48000)
        process(engine, x)
        assert engine.reload(new) == "chain"
        process(engine, x)
        engine.retire(1.0)
        assert "strips.kick.phaser.rate_hz" in session.board.paths()
        assert session.board.get("strips.kick.gain.gain_db") == -6


# Live


def played(stage: Strips, x: Block, enough: Callable[[int], bool]) -> Block:
    """Play at the pace of the sound until `enough`, which is asked before each block."""
    out, due = np.empty_like(x), time.monotonic()
    for n, first in enumerate(range(0, x.shape[1], 64)):
        if enough(n):
            return out[:, :first]
        stage.process(np.ascontiguousarray(x[:, first : first + 64]), block := np.empty((len(x), 64), np.float32))
        out[:, first : first + 64] = block
        due += 64 / RATE
        time.sleep(max(0.0, due - time.monotonic()))
    raise AssertionError("it did not come back")


@pytest.mark.parametrize("fault", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)])
def test_a_process_that_is_lost_takes_its_own_mic_to_dry_and_comes_back_as_it_was(
    make: Callable[..., Strips], fault: signal.Signals
) -> None:
    # A delay that no stall of the machine fills: whoever is dry has been lost.
    stage = make(each=[{"plugin": "Gain"}], delay=8192)
    stage.board.set("strips.gain.gain_db", -6)
    stage.board.set("strips.kick.gain.gain_db", -6)
    stage.go_live()
    x, hit = noise(int(PATIENCE) * RATE), 500
    victim, back = stage.pids[1], 0

    def enough(n: int) -> bool:
        nonlocal back
        if n == hit:
            os.kill(victim, fault)
        if not back and stage.pids[1] not in (victim, 0):
            back = n
        return back > 0 and n > back + 500

    out = played(stage, x, enough)
    x = x[:, : out.shape[1]]
    dry, wet = late(x, stage.latency), late(x, stage.latency) * np.float32(10 ** (-6 / 20))
    np.testing.assert_allclose(out[[0, 2]], wet[[0, 2]], atol=1e-7)   # nobody else has noticed
    is_wet, is_dry = np.isclose(out[1], wet[1], atol=1e-7), out[1] == dry[1]
    between = ~(is_wet | is_dry)
    assert between.sum() <= 2 * 64                                     # one fade out, one fade in
    at = hit * 64 + stage.latency
    assert is_dry[at + 4 * 64 : at + 5 * 64].all()
    assert is_wet[-64 * 64 :].all()                                    # with what stands on the board
    assert stage.status()["worker_restarts"] == 1
    assert victim not in stage.pids
    told = stage.news()
    assert any("back, with their state" in line or "crashed or hung" in line for line in told) or told == []


def test_the_processes_end_with_the_stage(make: Callable[..., Strips]) -> None:
    stage = make()
    pids = stage.pids
    stage.close()
    until = time.monotonic() + PATIENCE
    while any(os.path.exists(f"/proc/{pid}") for pid in pids) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
