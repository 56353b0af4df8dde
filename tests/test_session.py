"""Sessions: what a user sets, what is refused, and that a warmed-up session begins as new."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from rtsep import calibration, presets
from rtsep.engine import Engine
from rtsep.errors import InputError
from rtsep.presets import lay_out
from rtsep.runner import process
from rtsep.session import Session, block_size, with_settings
from rtsep.stage import Block, Format

RATE, NAMES = 48000, ("vox", "kick")
PRESET = presets.loads("""
schema = 1
name = "test"
latency_class = "live"
[host]
block = 128
[[chain]]
stage = "input"
[[chain]]
stage = "canceller"
taps = 1024
[params]
"output.gain_db" = -3
"output.gain_db.kick" = -9
""", "test")


def noise(frames: int = 6000) -> Block:
    rng = np.random.default_rng(1)
    own = (0.1 * rng.standard_normal((len(NAMES), frames))).astype(np.float32)
    return own + np.float32(0.3) * np.roll(own[::-1], 40, axis=1)


def gains(settings: tuple[str, ...]) -> list[float]:
    board = lay_out(with_settings(PRESET, settings), NAMES)
    return [board.get(f"output.gain_db.{name}") for name in NAMES]


def test_settings_are_set_in_order_on_top_of_the_presets_own() -> None:
    assert gains(()) == [-3, -9]
    assert gains(("output.gain_db=-6",)) == [-6, -6]   # said later than the preset's own for kick
    assert gains(("output.gain_db=-6", "output.gain_db.2=0")) == [-6, 0]
    assert gains(("output.gain_db.kick=0", "output.gain_db=-6")) == [-6, -6]
    assert gains(("output.gain_db=-6", "output.gain_db.vox=-1", "output.gain_db=-2")) == [-2, -2]
    assert PRESET.params == {"output.gain_db": -3, "output.gain_db.kick": -9}


@pytest.mark.parametrize(("setting", "message"), [
    ("output.gain_db", "--set output.gain_db: there is no =; write path=number"),
    ("output.gain_db=much", "--set output.gain_db=much: 'much' is not a number; write path=number"),
    ("output.gain_db=nan", "output.gain_db: nan is not a number"),
    ("output.gain_db=99", "output.gain_db: 99 is out of range; allowed is a number from"),
    ("output.colour=1", "output.colour: there is no such parameter; known: "),
    ("canceller=1", "canceller: there is no such parameter"),
])
def test_a_wrong_setting_is_refused_with_one_text(setting: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        with_settings(PRESET, (setting,))
    assert str(caught.value).startswith(message)
    with pytest.raises(InputError) as again:
        Session.open(PRESET, RATE, NAMES, settings=(setting,))
    assert str(again.value) == str(caught.value)


def test_a_microphone_that_is_not_there_is_refused_when_a_board_is_laid_out() -> None:
    settings = ("output.gain_db.tuba=0",)
    with pytest.raises(InputError, match="no microphone 'tuba'; known: vox, kick or 1 to 2"):
        lay_out(with_settings(PRESET, settings), NAMES)
    with pytest.raises(InputError, match="no microphone 'tuba'"):
        Session.open(PRESET, RATE, NAMES, settings=settings)


def test_one_limit_holds_for_blocks_of_presets_and_of_users() -> None:
    assert block_size(PRESET, None) == 128
    assert block_size(PRESET, 8192) == 8192
    for wrong in (0, 8193):
        with pytest.raises(InputError, match=f"--blocksize: {wrong} is not allowed; .* from 1 to 8192"):
            block_size(PRESET, wrong)


def test_what_is_set_holds_from_the_first_sample_on_and_a_warm_up_leaves_nothing() -> None:
    x = noise()
    engine = Engine(PRESET)
    board = lay_out(PRESET, NAMES)
    board.set("output.gain_db.vox", -20)
    engine.prepare(Format(RATE, len(NAMES)), board)
    board.set("output.gain_db.vox", -20)   # the preset's own were set once more
    engine.reset()
    expected = process(engine, x)
    with Session.open(PRESET, RATE, NAMES, settings=("output.gain_db.vox=-20",)) as session:
        assert session.preset.params["output.gain_db.vox"] == -20
        assert session.board.get("output.gain_db.vox") == -20
        np.testing.assert_array_equal(process(session.engine, x), expected)
        session.engine.reset()
        heard = np.empty_like(x)
        runner = session.start()
        runner.process(x, heard)
        np.testing.assert_array_equal(heard, expected)
        assert runner.record["calls"] == 1   # the warm-up is not measured
    np.testing.assert_allclose(expected[0, :64], x[0, :64] * np.float32(0.1), rtol=1e-5)


def test_presets_and_calibrations_may_be_names_of_files(tmp_path: pathlib.Path) -> None:
    paths = np.zeros((2, 2, 64), np.float32)
    paths[0, 1, 40] = 0.3
    known = calibration.Calibration(RATE, NAMES, paths, np.full(2, -90, np.float32), np.ones((2, 2), np.float32))
    calibration.save(known, tmp_path / "c.rtcal")
    presets.save(PRESET, tmp_path / "p.toml")
    x, heard = noise(), []
    for preset, learnt in ((PRESET, known), (str(tmp_path / "p.toml"), str(tmp_path / "c.rtcal")), (PRESET, None)):
        with Session.open(preset, RATE, NAMES, learnt) as session:
            heard.append(process(session.engine, x))
    np.testing.assert_array_equal(heard[0], heard[1])
    assert np.abs(heard[0] - heard[2]).max() > 1e-3
    with pytest.raises(InputError, match="made at 48000 Hz, but the run is at 44100 Hz"):
        Session.open(PRESET, 44100, NAMES, known)
