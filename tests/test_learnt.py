"""What stages learn: it survives a new life of the stage, a rebuilt chain and a file, and comes back by microphone."""

from __future__ import annotations

import dataclasses
import pathlib
import time

import numpy as np
import pytest
from live_systems import LIVE

from rtsep import calibration, learnt, presets
from rtsep.calibration import Calibration
from rtsep.catalogue import STAGES
from rtsep.control.desk import Desk
from rtsep.control.surfaces import terminal
from rtsep.engine import Engine
from rtsep.errors import InputError
from rtsep.hosts.records import Keeper
from rtsep.runner import process
from rtsep.stage import Block, Format, Stage

RATE = 16000
MICS = ("kick", "snare", "vox")
LEARNS = ["altmin", "fastica", "auxiva", "kamir", "mira", "fastmira", "duet", "projet"]


def sound(mics: int, mix: bool = False) -> Block:
    """Make a mixture by gains of players who take turns, 1.5 s; with `mix`, the last microphone is the clean mix."""
    rng = np.random.default_rng(5)
    players, frames = mics - mix, 24000
    playing = rng.random((players, frames // 800)) > 0.4
    sources = rng.laplace(size=(players, frames)) * playing.repeat(800, 1)
    x = (np.eye(players) + 0.2 * rng.random((players, players))) @ sources
    return (0.05 * np.concatenate([x, sources.sum(0, keepdims=True)][: 1 + mix])).astype(np.float32)


def taught(name: str) -> Stage:
    stage = LIVE[name].stage()
    stage.prepare(Format(RATE, LIVE[name].channels))
    process(stage, sound(LIVE[name].channels, name == "altmin"))
    return stage


@pytest.mark.parametrize("name", LEARNS)
def test_a_stage_starts_from_what_another_has_learnt(name: str) -> None:
    known = taught(name).learnt()
    assert known is not None
    fmt = Format(RATE, LIVE[name].channels)
    new = LIVE[name].stage()
    new.prepare(fmt)
    blank = new.learnt()
    assert blank is not None
    assert any(np.any(known[key] != blank[key]) for key in known), "it has learnt nothing"
    new.start_from({**known, "others": np.zeros(3)})
    for again in (new.reset, new.reset, lambda: new.prepare(fmt)):
        again()
        told = new.learnt()
        assert told is not None
        assert told.keys() == known.keys()
        for key, values in known.items():
            np.testing.assert_array_equal(told[key], values)
    x = sound(fmt.channels, name == "altmin")
    plain = LIVE[name].stage()
    plain.prepare(fmt)
    assert np.any(process(new, x)[:, :RATE] != process(plain, x)[:, :RATE])


@pytest.mark.parametrize("name", LEARNS)
def test_what_does_not_fit_is_left_alone(name: str) -> None:
    known = taught(name).learnt()
    assert known is not None
    first = next(iter(known))
    new = LIVE[name].stage()
    new.prepare(Format(RATE, LIVE[name].channels))
    blank = new.learnt()
    for wrong in (
        {}, {"paths": np.ones((2, 2, 64), np.float32)}, {**known, first: known[first][:0]},
        {key: values for key, values in known.items() if key != first}, {**known, "terms": np.array([77.0])},
    ):
        new.start_from(wrong)
        new.reset()
        told = new.learnt()
        assert told is not None
        assert blank is not None
        for key, values in blank.items():
            np.testing.assert_array_equal(told[key], values)


def test_what_learns_nothing_says_so() -> None:
    for name in ("hpss", "demix", "kamir in one pass"):
        stage = LIVE[name].stage()
        stage.prepare(Format(RATE, LIVE[name].channels))
        assert stage.learnt() is None, name


def test_whatever_can_be_frozen_learns() -> None:
    for spec in STAGES.values():
        if spec.learns:
            assert spec.learns in {param.name for param in spec.params}
            stage = spec.make(spec.name, spec.defaults)
            stage.prepare(Format(RATE, 3))
            assert stage.learnt() is not None, spec.name


def known_paths(names: tuple[str, ...] = MICS) -> Calibration:
    rng = np.random.default_rng(2)
    k = len(names)
    paths = (0.002 * rng.standard_normal((k, k, 1024))).astype(np.float32)
    paths[np.arange(k), np.arange(k)] = 0
    return Calibration(RATE, names, paths, np.full(k, -90, np.float32), np.ones((k, k), np.float32))


def engine(text: str, known: learnt.Known | None, mics: tuple[str, ...] = MICS) -> Engine:
    preset = presets.loads(text, "test")
    made = Engine(preset, known)
    made.prepare(Format(RATE, len(mics)), presets.make_board(preset, mics))
    return made


TWO = """\
schema = 1
name = "two"
latency_class = "record"
[[chain]]
stage = "canceller"
taps = 1024
[[chain]]
stage = "canceller"
name = "second"
taps = 1024
[[chain]]
stage = "auxiva"
"""


def test_every_stage_of_a_chain_survives_a_restart(tmp_path: pathlib.Path) -> None:
    first = engine(TWO, known_paths())
    process(first, sound(3))
    before = learnt.gather(first.chain.stages, RATE, MICS)
    assert set(before.stages) == {"canceller", "second", "auxiva"}
    path = tmp_path / "learnt.npz"
    learnt.save(before, path)
    again = engine(TWO, learnt.load(path))
    after = learnt.gather(again.chain.stages, RATE, MICS)
    for stage, group in before.stages.items():
        for name, values in group.items():
            np.testing.assert_allclose(after.stages[stage][name], values, atol=1e-6, err_msg=f"{stage}.{name}")
    assert np.abs(before.stages["auxiva"]["unmixing"]).max() > 0


def test_the_audio_process_keeps_what_every_stage_has_learnt(tmp_path: pathlib.Path) -> None:
    made = engine(TWO, known_paths())
    path = tmp_path / "learnt.npz"
    keeper = Keeper(made, str(path), MICS)
    keeper.wake()
    until = time.monotonic() + 30
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.01)
    keeper.finish()
    kept = learnt.load(path)
    assert (kept.names, kept.rate) == (MICS, RATE)
    for stage in made.chain.stages:
        found, given = kept.of(stage.name), stage.learnt()
        assert found is not None
        assert given is not None
        for name, values in given.items():
            np.testing.assert_array_equal(found[name], values)


def test_key_f_freezes_whatever_learns() -> None:
    desk = Desk(engine(TWO, None))
    for frozen in (0.0, 1.0):
        terminal.press("f", desk)
        assert [desk.get(f"{name}.adapt") for name in ("canceller", "second", "auxiva")] == [frozen] * 3


def test_a_stage_that_is_rebuilt_keeps_what_it_has_learnt() -> None:
    first = engine(TWO, None)
    process(first, sound(3))
    (before,) = (s.learnt() for s in first.chain.stages if s.name == "second")
    assert first.reload(presets.loads(TWO.replace('name = "second"', 'name = "second"\nrefine = 0'), "two")) == "chain"
    (after,) = (s.learnt() for s in first.chain.stages if s.name == "second")
    assert before is not None
    assert after is not None
    assert np.abs(before["paths"]).max() > 0
    np.testing.assert_allclose(after["paths"], before["paths"], atol=1e-6)


def test_microphones_are_known_by_name() -> None:
    mics = ("vox", "kick", "snare")
    known = known_paths()
    (stage, *_) = engine(TWO, known, mics).chain.stages
    found = stage.learnt()
    assert found is not None
    for i, one in enumerate(mics):
        for j, other in enumerate(mics):
            there = known.paths[MICS.index(one), MICS.index(other)]
            np.testing.assert_allclose(found["paths"][i, j], there, atol=1e-6)


def test_other_names_are_known_by_place() -> None:
    learnt_ = {"paths": np.arange(9.0).reshape(3, 3, 1), "terms": np.zeros(1)}
    assert learnt.for_mics(learnt_, MICS, ("a", "b", "c")) is learnt_
    turned = learnt.for_mics(learnt_, MICS, ("vox", "kick", "snare"))
    assert turned.keys() == {"paths"}   # terms are of no microphone: what has any is not taken
    assert turned["paths"][0, 1, 0] == 6


def test_what_is_not_finite_is_not_kept() -> None:
    first = engine(TWO, None)
    first.chain.stages[2]._known("unmixing")[:] = np.nan
    assert set(learnt.gather(first.chain.stages, RATE, MICS).stages) == {"canceller", "second"}


def test_a_calibration_is_read_too(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "c.npz"
    calibration.save(known_paths(), path)
    read = learnt.load(path)
    assert read.names == MICS
    assert read.of("anything").keys() == {"paths", "confidence"}


def test_a_wrong_file_is_named(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "learnt.npz"
    with pytest.raises(InputError, match="no such file"):
        learnt.load(path)
    learnt.save(learnt.Learnt(RATE, MICS, {"canceller": known_paths().of("")}), path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"learnt\.npz"):
        learnt.load(path)
    np.savez(path, learnt_schema=np.int64(9), rate=np.int64(RATE), names=np.array(MICS))
    with pytest.raises(InputError, match="schema 9"):
        learnt.load(path)
    with pytest.raises(InputError, match="nowhere"):
        learnt.save(learnt.Learnt(RATE, MICS, {}), tmp_path / "nowhere" / "x.npz")


def test_another_number_of_mics_or_rate_is_refused() -> None:
    known = learnt.Learnt(RATE, MICS[:2], {})
    with pytest.raises(InputError, match="made for 2 microphones, but there are 3"):
        engine(TWO, known)
    with pytest.raises(InputError, match="Hz"):
        engine(TWO, dataclasses.replace(known, names=MICS, rate=48000))
