"""What stages learn: it survives a new life of the stage, a rebuilt chain and a file, and comes back by microphone."""

from __future__ import annotations

import dataclasses
import pathlib
import time

import numpy as np
import pytest
from live_systems import LIVE
from numpy.typing import NDArray

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
        assert not new.recalled
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
        terminal.press("f", desk, lambda _: None)
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


def turned(name: str) -> tuple[Stage, Stage, tuple[int, ...]]:
    """Return two new stages: one starts from what was learnt, the other from it with microphones in another order."""
    taught_of, k = LIVE[name], 4 if name in ("duet", "projet") else 3
    fmt = Format(RATE, k)
    teacher, plain, other = (taught_of.stage() for _ in range(3))
    teacher.prepare(fmt)
    process(teacher, sound(k, name == "altmin"))
    order = (2, 3, 0, 1) if k == 4 else (1, 0, 2) if name == "altmin" else (2, 0, 1)
    known = teacher.learnt()
    assert known is not None
    plain.start_from(known)
    other.start_from(known, order)
    for stage in (plain, other):
        stage.prepare(fmt)
        assert stage.recalled
        if "adapt" in {param.name for param in stage.params}:
            stage.board.set(f"{stage.name}.adapt", 0.0)
            stage.reset()
    return plain, other, order


@pytest.mark.parametrize("name", LEARNS)
def test_whatever_learns_knows_its_microphones_in_any_order(name: str) -> None:
    """What it was taught, applied to microphones in another order, is the same sound in that order."""
    plain, other, order = turned(name)
    x = sound(len(order), name == "altmin")
    expected, blind = process(plain, x)[list(order)], process(_blind(name, len(order)), x)[list(order)]
    found = process(other, np.ascontiguousarray(x[list(order)]))
    scale = np.abs(expected).max()
    assert np.abs(found - expected).max() < 1e-3 * scale
    assert np.abs(blind - expected).max() > 1e-2 * scale, "it has learnt nothing that is heard"


def _blind(name: str, channels: int) -> Stage:
    stage = LIVE[name].stage()
    stage.prepare(Format(RATE, channels))
    return stage


@pytest.mark.parametrize("name", LEARNS)
def test_what_belongs_to_all_microphones_is_not_cut(name: str) -> None:
    """Of other sets of microphones only what is known of pairs is of use, and the new ones are as at the start."""
    known, k = taught(name).learnt(), LIVE[name].channels
    assert known is not None
    stage, blank = _blind(name, k), _blind(name, k).learnt()
    assert blank is not None
    stage.start_from(known, (-1, *range(1, k)))
    stage.reset()
    assert stage.recalled == stage.pairwise == (name in ("kamir", "mira", "fastmira"))
    told = stage.learnt()
    assert told is not None
    for key, values in told.items():
        if not stage.pairwise:
            np.testing.assert_array_equal(values, blank[key])
            continue
        np.testing.assert_array_equal(values[:, 1:, 1:], known[key][:, 1:, 1:])
        np.testing.assert_array_equal(values[:, 0], blank[key][:, 0])
        np.testing.assert_array_equal(values[:, :, 0], blank[key][:, :, 0])


def test_the_products_of_altmin_are_in_its_own_order() -> None:
    known = taught("altmin").learnt()
    assert known is not None
    stage = _blind("altmin", 3)
    stage.start_from(known, (1, 0, 2))
    stage.reset()
    told = stage.learnt()
    assert told is not None
    np.testing.assert_array_equal(told["gram"], known["gram"][np.ix_((1, 0, 2), (1, 0, 2))])
    stage.start_from(known, (0, 2, 1))
    stage.reset()
    assert not stage.recalled   # another channel would be the mix


def test_the_covariances_of_auxiva_are_conjugate_across_the_diagonal() -> None:
    def full(packed: Block) -> NDArray[np.complex128]:
        """Return what half of it stands for, [sources, mics, mics, bins]."""
        whole = np.zeros((3, 3, 3, packed.shape[-1]), complex)
        i, j = np.tril_indices(3)
        whole[:, i, j] = packed[:, :, 0] + 1j * packed[:, :, 1]
        whole[:, j, i] = np.where((i == j)[:, None], whole[:, i, j], whole[:, i, j].conj())
        return whole

    known, order = taught("auxiva").learnt(), (2, 0, 1)
    assert known is not None
    stage = _blind("auxiva", 3)
    stage.start_from(known, order)
    stage.reset()
    told = stage.learnt()
    assert told is not None
    np.testing.assert_array_equal(full(told["covariances"]), full(known["covariances"])[np.ix_(order, order, order)])
    assert np.abs(full(known["covariances"]).imag).max() > 0


def test_pairs_of_channels_that_are_torn_start_blind() -> None:
    stage = LIVE["duet"].stage()
    stage.prepare(Format(RATE, 4))
    process(stage, sound(4))
    known, new = stage.learnt(), LIVE["duet"].stage()
    assert known is not None
    new.start_from(known, (2, 3, 1, 0))
    new.prepare(Format(RATE, 4))
    told = new.learnt()
    assert told is not None
    np.testing.assert_array_equal(told["histogram"][0], known["histogram"][1])
    assert not told["histogram"][1].any()


def test_a_show_with_other_microphones_uses_what_is_known() -> None:
    known = known_paths(("kick", "snare", "vox", "Gtr 2"))
    made = engine(TWO, known, ("vox", "Sax", "kick"))
    assert made.notes[0] == "calibration: no 'Sax'; 'snare', 'Gtr 2' are not in the show"
    stage = made.chain.stages[0]
    found = stage.learnt()
    assert found is not None
    np.testing.assert_allclose(found["paths"][0, 2], known.paths[2, 0], atol=1e-6)
    np.testing.assert_allclose(found["paths"][2, 0], known.paths[0, 2], atol=1e-6)
    assert not found["paths"][1].any()
    assert not found["paths"][:, 1].any()
    assert stage._applied["share"].tolist() == [1, 0, 1]   # the saxophone is left alone until something is known
    assert stage._paths["memory"][1, 0] < stage._paths["memory"][0, 0]   # and learns as quickly as without a soundcheck
    process(made, sound(3))
    assert made.status()["faults"] == 0


def test_microphones_without_names_are_known_by_their_order() -> None:
    known = known_paths()
    made = engine(TWO, known, ("mic1", "mic2", "mic3"))
    assert made.notes == ["calibration: taken in order: 'kick', 'snare', 'vox' are 'mic1', 'mic2', 'mic3'"]
    found = made.chain.stages[0].learnt()
    assert found is not None
    np.testing.assert_allclose(found["paths"], known.paths, atol=1e-6)
    made = engine(TWO, dataclasses.replace(known, names=("mic1", "mic2", "mic3")), MICS)
    assert len(made.notes) == 1
    with pytest.raises(InputError, match="none of its 3 microphones is in the show"):   # somebody has named them so
        engine(TWO, known, ("mic3", "mic2", "mic1"))


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


def test_other_mics_or_another_rate_are_refused() -> None:
    known = learnt.Learnt(RATE, ("a", "b"), {})
    with pytest.raises(InputError, match="none of its 2 microphones is in the show: 'a', 'b', but here 'kick', "):
        engine(TWO, known)
    with pytest.raises(InputError, match="Hz"):
        engine(TWO, dataclasses.replace(known, names=MICS, rate=48000))
