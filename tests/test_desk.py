"""The desk: it turns, freezes and reloads an engine; what is refused leaves everything as it was."""

from __future__ import annotations

import contextlib
import os
import pathlib

import numpy as np
import pytest

from rtsep import presets
from rtsep.bench import clicks
from rtsep.control.desk import Desk
from rtsep.control.follow import Follower
from rtsep.control.watch import Watch
from rtsep.engine import Engine
from rtsep.errors import InputError
from rtsep.hosts.distant import Distant
from rtsep.params import Param
from rtsep.presets import make_board
from rtsep.runner import process
from rtsep.session import Session
from rtsep.stage import Block

RATE, MICS = 48000, ("vox", "kick")
LIVE = """\
schema = 1
name = "test"
latency_class = "live"
[[chain]]
stage = "input"
[[chain]]
stage = "canceller"
taps = 1024
"""
FOH = LIVE.replace('"live"', '"foh"') + '[[chain]]\nstage = "spectral"\n'


def engine(text: str = LIVE) -> Engine:
    return Session.open(presets.loads(text, "test"), RATE, MICS).engine


def noise(frames: int) -> Block:
    own = (0.1 * np.random.default_rng(1).standard_normal((len(MICS), frames))).astype(np.float32)
    return own + np.float32(0.3) * np.roll(own[::-1], 40, axis=1)


def settled(playing: Engine) -> None:
    """Let a cross-fade end."""
    process(playing, noise(12288), 64)
    assert not playing.swapping
    playing.retire()


def test_it_turns_what_the_preset_has() -> None:
    desk = Desk(engine())
    assert "canceller.adapt" in desk.paths()
    assert "spectral.strength" not in desk.paths()
    desk.set("output.gain_db.kick", -6)
    assert [desk.get(f"output.gain_db.{mic}") for mic in desk.mics] == [0, -6]
    desk.toggle("output.mute_all")
    assert desk.get("output.mute_all") == 1
    desk.toggle("output.mute_all")
    assert desk.get("output.mute_all") == 0
    with pytest.raises(InputError, match="out of range"):
        desk.set("output.gain_db", 1000)
    with pytest.raises(InputError, match="no such parameter"):
        desk.get("spectral.strength")


def test_frozen_means_that_nothing_learns_and_a_reload_keeps_it_so() -> None:
    playing = engine()
    desk = Desk(playing)
    assert not desk.frozen
    desk.freeze(True)
    assert desk.frozen
    text = LIVE + '[[chain]]\nstage = "canceller"\nname = "second"\ntaps = 1536\n[params]\n"output.gain_db" = -3\n'
    assert desk.reload(presets.loads(text, "test")) == "chain"
    assert desk.get("second.adapt") == 0
    assert desk.frozen
    desk.freeze(False)
    assert not desk.frozen
    assert desk.get("second.adapt") == 1
    assert not Desk(engine('schema = 1\nname = "x"\nlatency_class = "live"\n[[chain]]\nstage = "input"\n')).frozen


def test_a_reload_sets_what_the_file_has_changed_and_leaves_the_rest() -> None:
    first = LIVE + '[params]\n"output.gain_db" = -3\n"output.gain_db.kick" = -9\n"input.gain_db" = 1\n'
    desk = Desk(engine(first))
    desk.set("input.gain_db", 4)
    assert desk.reload(presets.loads(first.replace("-3", "-5"), "test")) == "params"
    assert [desk.get(f"output.gain_db.{mic}") for mic in MICS] == [-5, -9]
    assert desk.get("input.gain_db") == 4
    assert desk.reload(presets.loads(LIVE + '[params]\n"input.gain_db" = 1\n', "test")) == "params"
    assert [desk.get(f"output.gain_db.{mic}") for mic in MICS] == [0, 0]   # what is no longer said is as by default
    assert desk.reload(desk.preset) == "nothing"
    assert desk.get("input.gain_db") == 4
    assert desk.reload(desk.preset, anew=True) == "nothing"
    assert desk.get("input.gain_db") == 1


def test_what_the_user_has_set_stays_on_top() -> None:
    desk = Desk(engine(), ("output.gain_db=-6",), block=128)
    with pytest.raises(InputError, match=r"host\.block is 128, but was 64; stop and start again"):
        desk.reload(presets.loads(LIVE, "test"))
    desk = Desk(engine(), ("output.gain_db=-6",), block=64)
    text = LIVE.replace('"live"\n', '"live"\n[host]\nblock = 256\n') + '[params]\n"output.gain_db" = 3\n'
    assert desk.reload(presets.loads(text, "test")) == "params"
    assert desk.get("output.gain_db") == -6
    assert desk.preset.host.block == 64


@pytest.mark.parametrize(("text", "problem"), [
    (LIVE.replace("taps = 1024", "taps = 1000"), r":8: canceller\.taps: 1000 is not allowed; allowed is an integer"),
    (LIVE.replace('"live"', '"live"\n[host]\nblock = 128'), "host.block is 128, but was 64; stop and start again"),
    (LIVE + '[params]\n"output.gain_db.drums" = -3\n"output.gain_db" = -3\n', "no microphone 'drums'"),
    (FOH.replace('"foh"', '"live"'), "class live allows 0"),
])
def test_what_is_refused_leaves_all_as_it_was(tmp_path: pathlib.Path, text: str, problem: str) -> None:
    path = tmp_path / "p.toml"
    path.write_text(text)
    playing = engine()
    desk = Desk(playing)
    chain, values, preset = playing.chain, playing.board.values.copy(), desk.preset
    with pytest.raises(InputError, match=problem) as caught:
        desk.reload(str(path))
    assert "\n" not in str(caught.value)
    assert playing.chain is chain
    assert desk.preset is preset
    np.testing.assert_array_equal(playing.board.values[: 8 * 2], values[: 8 * 2])
    assert desk.get("output.gain_db") == 0


def test_blocks_that_are_too_large_for_the_new_preset_are_refused() -> None:
    large = LIVE.replace('"live"\n', '"live"\n[host]\nblock = 1024\n', 1)
    plain = large[: large.index('[[chain]]\nstage = "canceller"')]
    desk = Desk(engine(plain))
    with pytest.raises(InputError, match="1024 frames; this preset needs 512 or less"):
        desk.reload(presets.loads(large, "test"))


def test_a_stage_in_the_middle_is_in_one_half_of_the_fade() -> None:
    """The canceller is the same before and after, but neither at the front nor at the end: it must not run twice."""
    playing = engine(FOH)
    process(playing, noise(48000), 64)
    old = playing.chain.stages[1]
    learnt = old.learnt()
    text = FOH.replace('"input"', '"input"\nmax_delay_ms = 20').replace('"spectral"', '"spectral"\nhop = 64')
    assert Desk(playing).reload(presets.loads(text, "test")) == "chain"
    new = playing.chain.stages[1]
    assert new is not old
    found = new.learnt()
    assert learnt is not None
    assert found is not None
    assert np.abs(learnt["paths"]).max() > 0.05
    np.testing.assert_allclose(found["paths"], learnt["paths"], atol=1e-5)
    settled(playing)
    assert np.isfinite(process(playing, noise(4096), 64)).all()


def test_a_chain_is_heard_when_it_is_full_of_sound_live_as_offline() -> None:
    """A spectrum that begins in the middle of a sound begins with a step: heard if it is faded over to at once."""
    plain = LIVE[: LIVE.index('[[chain]]\nstage = "canceller"')].replace('"live"', '"foh"')
    tone = (0.5 * np.sin(2 * np.pi * 200 / RATE * np.arange(RATE))).astype(np.float32) * np.ones((2, 1), np.float32)
    sounds, loudest = [], []
    for live, planted in ((False, False), (True, False), (False, True)):
        playing = engine(plain)
        if live:
            playing.go_live()
        process(playing, tone[:, :9600], 64)
        assert playing.reload(presets.loads(plain + '[[chain]]\nstage = "spectral"\n', "test")) == "chain"
        if planted:
            playing.chain.record["faded"] = 0
        heard = []
        for first in range(9600, RATE, 960):
            heard.append(process(playing, np.ascontiguousarray(tone[:, first : first + 960]), 64))
            playing.retire()
            assert playing.swapping == (first + 960 < 9600 + (0.02 if planted else 0.22) * RATE)
        sounds.append(np.concatenate(heard, axis=1))
        loudest.append(clicks.high_energy(sounds[-1], range(480, RATE - 9600 - 480, 240), RATE).max())
        playing.close()
    np.testing.assert_array_equal(sounds[1], sounds[0])
    np.testing.assert_array_equal(sounds[0][:, :9600], tone[:, 9600:19200])   # the old chain, to the last sample
    assert loudest[2] > 100 * loudest[0]


def test_another_class_fits_its_stages_anew() -> None:
    playing = engine(FOH)
    before = playing.latency
    assert Desk(playing).reload(presets.loads(FOH.replace('"foh"', '"monitor"'), "test")) == "chain"
    assert 0 < playing.latency < before
    assert playing.latency == engine(FOH.replace('"foh"', '"monitor"')).latency


def test_a_name_that_comes_to_mean_another_stage_brings_its_own_values() -> None:
    playing = engine(FOH.replace('"spectral"\n', '"spectral"\nname = "gains"\n') + '[params]\n"gains.range_db" = -6\n')
    desk = Desk(playing)
    desk.reload(presets.loads(LIVE, "test"))
    settled(playing)
    text = LIVE.replace('"live"', '"record"') + '[[chain]]\nstage = "hpss"\nname = "gains"\n'
    assert desk.reload(presets.loads(text, "test")) == "chain"
    assert desk.get("gains.range_db") == engine(text).board.get("gains.range_db") != -6


def test_counts_outlive_their_stage() -> None:
    playing = engine()
    count = playing.chain.stages[1].status
    playing.chain.stages[1].status = lambda: {**count(), "late_updates": 7, "pairs": 5}   # type: ignore[method-assign]
    pairs = engine().status()["pairs"]
    assert playing.reload(presets.loads(LIVE.replace("1024", "1536"), "test")) == "chain"
    assert playing.status()["late_updates"] == 7
    settled(playing)
    assert playing.status()["late_updates"] == 7
    assert playing.status()["pairs"] == pairs   # what is, and not a count
    playing.reset()
    assert playing.status()["late_updates"] == 0


def test_a_file_is_read_when_it_stands_still(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text("a")
    watch = Watch(str(path))
    times = iter(range(100))

    def saved() -> bool:
        return watch.saved(float(next(times)))

    assert not any(saved() for _ in range(3))
    path.write_text("longer")
    assert [saved() for _ in range(3)] == [False, True, False]
    path.write_text("half")
    assert not saved()
    path.write_text("half and the other half")
    assert [saved() for _ in range(3)] == [False, True, False]
    path.unlink()
    assert not any(saved() for _ in range(2))
    other = tmp_path / "beside"
    other.write_text("renamed")
    os.replace(other, path)
    assert [saved() for _ in range(3)] == [False, True, False]
    path.write_text("once more")
    now = float(next(times))
    assert not watch.saved(now)
    assert not watch.saved(now + 0.01)   # not more often than a few times a second


def test_another_process_is_asked_one_by_one_and_the_latest_wins() -> None:
    sent: list[tuple[object, ...]] = []
    one, two, three = (presets.loads(LIVE + f'[params]\n"output.gain_db" = -{n}\n', "test") for n in (1, 2, 3))
    foh = presets.loads(FOH, "test")
    playing = Distant(one, make_board(one, MICS), lambda *message: sent.append(message))
    for preset in (two, three, foh):
        assert playing.reload(preset) == "asked"
        playing.hand_on()
    assert sent == [("reload", two)]
    assert not playing.idle
    assert playing.answered(True) is two
    playing.hand_on()
    assert sent[1:] == [("reload", foh)]
    assert playing.laid == [one, foh]
    assert playing.board.get("spectral.strength") == 1
    assert playing.answered(False) is two   # refused: the one before sounds on
    assert playing.idle
    playing.reload(three)
    playing.hand_on()
    playing.ask_again()                     # the device went, and comes back
    playing.hand_on()
    assert sent[2:] == [("reload", three)] * 2
    assert playing.give_up()                # it died over it
    playing.hand_on()
    assert len(sent) == 4
    assert playing.preset is two


def test_a_board_that_is_full_is_left_as_it_is() -> None:
    preset = presets.loads(LIVE, "test")
    playing = Distant(preset, make_board(preset, MICS), lambda *_: None)
    for n in range(playing.board.values.size):   # leave room for less than a spectral stage has
        with contextlib.suppress(InputError):
            playing.board.extend([("full", (Param(f"p{n}", "", 0.0, 1.0, 0.0, False, ""),))])
    paths = playing.board.paths()
    playing.reload(presets.loads(FOH, "test"))
    with pytest.raises(InputError, match="the board is full; restart with this preset"):
        playing.hand_on()
    assert playing.board.paths() == paths
    assert playing.idle


def test_a_follower_tells_what_others_have_turned() -> None:
    desk = Desk(engine())
    follower = Follower(desk)
    desk.set("output.gain_db", -6)
    desk.set("canceller.adapt", 0)
    assert sorted(follower.changed()) == [
        ("canceller.adapt", 0), ("output.gain_db.kick", -6), ("output.gain_db.vox", -6),
    ]
    assert follower.changed() == []
    desk.set("output.gain_db.vox", -3.1)
    follower.knows("output.gain_db.vox", -3.1)
    assert follower.changed() == []            # its own
    follower.knows("output.gain_db.vox", -4)
    desk.set("output.gain_db.vox", -5)         # another surface was quicker
    assert follower.changed() == [("output.gain_db.vox", -5)]
    assert set(desk.every()) >= {"output.gain_db.vox", "output.dry_all", "canceller.adapt"}
    assert "output.gain_db" not in desk.every()
    assert desk.param("output.gain_db.vox").unit == "dB"
