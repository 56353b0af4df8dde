"""Snapshots of a show that runs: recalled, faded, stored, kept; whatever is killed, and without a click."""

from __future__ import annotations

import dataclasses
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from rtsep import presets
from rtsep.control import view
from rtsep.control.desk import Desk
from rtsep.control.paint import plain
from rtsep.control.surface import Running
from rtsep.control.surfaces.terminal import press
from rtsep.errors import InputError
from rtsep.params import Board
from rtsep.presets import Preset
from rtsep.show import cue as cues
from rtsep.show import folder, keeping, starting
from rtsep.show.cue import Cue
from rtsep.show.folder import Show
from rtsep.show.opened import FADE_EVERY, KEEP_EVERY, OpenShow
from rtsep.show.pluginstates import Surroundings

MICS = ("vox", "kick")
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
CUES = (
    Cue(1, "opening", values={"output.gain_db": -6.0, "output.gain_db.vox": -3.0, "output.mute_all": 1.0}, file="1"),
    Cue(2, "ballad", 2.0, ("output",), fades={"*.kick": 0.5}, file="2", values={
        "output.gain_db.vox": 1.0, "output.gain_db.kick": -12.0, "output.mute.kick": 1.0, "input.gain_db": 9.0}),
    Cue(5, "last", scope=("*", "output.mute_all"), file="5",
        values={"output.mute_all": 1.0, "output.gain_db.sax": 0.0}),
)


class Playing:
    """A board without an engine; a preset sounds when it is told so."""

    def __init__(self, preset: Preset) -> None:
        self.preset, self.asked = preset, preset
        self.board = Board(MICS, presets.layout(preset))

    def reload(self, preset: Preset) -> str:
        self.asked = preset
        return "asked"

    def answer(self) -> None:
        self.board.extend(presets.layout(self.asked))
        self.preset = self.asked


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def make(place: pathlib.Path, some: tuple[Cue, ...] = CUES, safe: str = "[]") -> Show:
    made = folder.create(place, "test", "live", MICS)
    (made.folder / "presets").mkdir()
    (made.folder / "presets" / "test.toml").write_text(LIVE)
    text = (made.folder / "show.toml").read_text().replace("safe = []", f"safe = {safe}")
    (made.folder / "show.toml").write_text(text.replace('"live"', '"presets/test.toml"'))
    for cue in some:
        cues.save(cue, made.folder / "snapshots")
    return folder.load(made.folder)


class Stage:
    """A show that is open, on a clock of its own."""

    def __init__(self, show: Show) -> None:
        self.playing, self.clock = Playing(presets.loads(LIVE, "test")), Clock()
        self.desk = Desk(self.playing)
        self.show = OpenShow(show, self.desk, show.source(show.preset), self.clock)

    def at(self, now: float) -> list[float]:
        """Go on to a time; returns the levels then."""
        self.clock.now = now
        self.show.advance(now)
        return [round(self.desk.get(f"output.gain_db.{mic}"), 5) for mic in MICS]


@pytest.fixture
def stage(tmp_path: pathlib.Path) -> Stage:
    return Stage(make(tmp_path / "show"))


def test_snapshots_are_recalled_by_number_name_and_order(stage: Stage) -> None:
    show = stage.show
    assert (show.listing(), show.current) == ([(1, "opening"), (2, "ballad"), (5, "last")], None)
    show.step(-1)
    assert show.current is None
    show.step(1)
    assert (show.current, stage.at(0)) == (1, [-3, -6])
    show.go("LAST")
    show.step(1)
    assert show.current == 5   # there is none behind it
    show.go("2")
    show.step(-1)
    assert show.current == 1
    for which in (3, "3", "encore", 0):
        with pytest.raises(InputError, match="there is none in the show; there are: 1 opening, 2 ballad, 5 last"):
            show.go(which)
    assert show.current == 1


def test_a_recall_is_taken_back_whole_and_is_marked_for_the_recording(stage: Stage) -> None:
    stage.desk.set("output.gain_db.vox", -20)
    stage.show.begin()   # from here on
    try:
        assert stage.desk.undo() == "nothing that could be undone"
        stage.show.go(1)
        stage.show.go(2)
        for name, values in (("2 ballad", [-3, -6]), ("1 opening", [-20, 0])):
            assert stage.desk.undo() == f"undone: snapshot {name}"
            assert stage.at(9) == values   # nothing fades on
        assert stage.desk.get("output.mute.kick") == 0
    finally:
        stage.show.close()
    assert [(kind, details) for kind, _, details in stage.show.marks] == [
        ("snapshot", {"number": 1, "name": "opening"}), ("snapshot", {"number": 2, "name": "ballad"}),
    ]


def test_a_scope_holds_and_what_stands_apart_has_to_be_named(stage: Stage) -> None:
    stage.desk.set("canceller.adapt", 0)
    stage.show.go(1)
    assert stage.desk.get("output.mute_all") == 0
    stage.show.go(2)
    stage.at(9)
    assert stage.desk.get("input.gain_db.vox") == 0
    stage.show.go(5)
    assert stage.desk.get("output.mute_all") == 1
    assert "snapshot 5 last: 1 value not placed, there is no microphone 'sax': 'output.gain_db.sax'" in stage.show.said


def test_what_is_recall_safe_stays(tmp_path: pathlib.Path) -> None:
    stage = Stage(make(tmp_path / "show", safe='["*.vox"]'))
    stage.show.go(1)
    assert stage.at(0) == [0, -6]
    stage.show.keep_safe("*.vox", False)
    stage.show.keep_safe("output.gain_db.kick", True)
    stage.desk.set("output.gain_db.kick", 3)
    stage.show.go(1)
    assert stage.at(0) == [-3, 3]
    assert stage.show.safe == ("output.gain_db.kick",)


def test_values_fade_each_in_its_time_and_switches_switch_at_once(stage: Stage) -> None:
    stage.show.go(2)
    assert stage.desk.get("output.mute.kick") == 1
    assert stage.at(0.25) == [0.125, -6]
    assert stage.at(1.0) == [0.5, -12]
    assert stage.at(2.5) == [1, -12]
    assert not stage.show.advance(3)


def test_who_turns_a_value_during_a_fade_wins(stage: Stage) -> None:
    stage.show.go(2)
    stage.at(0.25)
    stage.desk.set("output.gain_db.kick", -20)
    assert stage.at(0.3) == [0.15, -20]
    assert stage.at(5) == [1, -20]
    assert not stage.desk.move("output.gain_db.kick", -19, 0)
    assert stage.desk.get("output.gain_db.kick") == -20


def test_a_recall_within_a_fade_begins_where_the_values_are(stage: Stage) -> None:
    stage.show.go(2)
    assert stage.at(1.0) == [0.5, -12]
    stage.show.store("here")
    stage.show.go(1)
    stage.show.go(2)
    assert stage.at(1.0) == [-3, -6]
    assert stage.at(2.0) == [-1, -12]
    stage.show.go("here")
    assert stage.at(2.0) == [0.5, -12]
    assert stage.at(9) == [0.5, -12]   # the fade has ended with the recall


def test_a_snapshot_with_another_preset_waits_for_it(tmp_path: pathlib.Path) -> None:
    foh = Cue(3, "foh", preset="foh", values={"spectral.strength": 0.25, "output.gain_db": -9.0}, file="3")
    stage = Stage(make(tmp_path / "show", (*CUES, foh)))
    stage.show.go(3)
    assert stage.at(1) == [0, 0]
    stage.playing.answer()
    assert stage.at(1.1) == [-9, -9]
    assert stage.desk.get("spectral.strength") == 0.25
    stage.show.go(3)   # it sounds: nothing is loaded again
    assert stage.at(1.2) == [-9, -9]
    stage.show._keep()
    state = keeping.load(tmp_path / "show")
    assert state is not None
    assert (state.preset, state.current) == ("foh", 3)
    (tmp_path / "show" / "presets" / "test.toml").write_text("x")
    stage.show.go(1)   # what is broken on the disk by now is of no matter to what is known
    assert stage.at(1.3) == [-3, -6]


def test_a_preset_that_does_not_come_costs_only_itself(tmp_path: pathlib.Path) -> None:
    foh = Cue(3, "foh", preset="foh", values={"spectral.strength": 0.25, "output.gain_db": -9.0}, file="3")
    stage = Stage(make(tmp_path / "show", (foh,)))
    stage.show.go(3)
    assert stage.at(14) == [0, 0]
    assert stage.at(16) == [-9, -9]
    assert any("no such parameter: 'spectral.strength'" in line for line in stage.show.said)


def test_the_last_state_comes_back_but_not_louder_than_it_may(tmp_path: pathlib.Path) -> None:
    show = make(tmp_path / "show")
    first = Stage(show)
    first.show.go(1)
    first.desk.set("output.gain_db.vox", 6)
    first.desk.set("input.gain_db.kick", -2)
    first.desk.set("output.mute_all", 1)
    first.show.keep_safe("*.kick", True)
    first.show.store("now")
    first.show.close()
    show = folder.load(show.folder)
    assert show.find("now").values["output.gain_db.vox"] == 6
    second = Stage(show)
    state = keeping.load(show.folder)
    assert state is not None
    second.show.restore(state, ("input.gain_db.kick=-5",))
    assert second.at(0) == [0, -6]
    assert [second.desk.get(path) for path in ("input.gain_db.kick", "output.mute_all")] == [-5, 1]
    assert (second.show.current, second.show.safe) == (6, ("*.kick",))
    assert [line.split(":")[0] for line in second.show.said] == [
        "output.gain_db.vox was +6 dB", "the show stands as it did last", "output.mute_all is on, as it was"]
    assert len(list((show.folder / "history").iterdir())) == 1


def test_a_disk_that_is_full_is_told_once_and_tried_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.show.store("x")
    stage.show.said.clear()

    def full(*_: Any) -> None:
        raise InputError("show", "no space")

    with monkeypatch.context() as broken:
        broken.setattr(keeping, "write", full)
        broken.setattr(cues, "save", full)
        stage.show._keep()
        stage.show._keep()
    assert list(stage.show.said) == ["the show is not kept: show: no space"]
    stage.show._keep()
    where = stage.show._show.folder
    assert folder.load(where).find("x").number == 6
    assert keeping.load(where) is not None


def test_a_run_takes_from_the_show_what_the_user_does_not_say(tmp_path: pathlib.Path) -> None:
    from rtsep.hosts.request import RunOptions

    show = make(tmp_path / "show")
    (show.folder / "calibrations" / "hall.npz").write_bytes(b"x")
    text = (show.folder / "show.toml").read_text()
    more = 'calibration = "calibrations/hall.npz"\nblock = 128\ninput_device = "Desk"\n'
    (show.folder / "show.toml").write_text(text + more)
    said = RunOptions("live", output_device="Out", show=str(show.folder), settings=("output.gain_db=-1",))
    got = starting.options(said, None)
    assert (got.preset, got.block, got.input_device, got.output_device) == (
        str(show.folder / "presets" / "test.toml"), 128, "Desk", "Out")
    assert got.map_csv == str(show.folder / "patch.csv")
    assert got.calibration == str(show.folder / "calibrations" / "hall.npz")
    got_elsewhere = starting.options(dataclasses.replace(said, play="take", host_api="jack"), None)
    assert (got_elsewhere.map_csv, got_elsewhere.block) == (None, None)
    keeping.Keeper(show.folder).keep(keeping.State(1, "foh", (), {"output.gain_db.vox": -2.0}))
    assert starting.options(said, None).preset == "foh"
    assert starting.options(dataclasses.replace(said, restore=False), None).preset == got.preset
    got = starting.options(dataclasses.replace(said, block=64, map_csv="m.csv", calibration="c"), "monitor")
    assert (got.preset, got.block, got.map_csv, got.calibration) == ("monitor", 64, "m.csv", "c")
    desk = Desk(Playing(presets.loads(LIVE, "test")))
    opened = starting.open_show(got, desk, Surroundings(lambda: None, 48000), tmp_path / "learnt.npz")
    opened.close()
    assert [desk.get(f"output.gain_db.{mic}") for mic in MICS] == [-1, -1]   # what was said holds
    assert starting.mapping(str(show.folder)) is None
    (show.folder / "midi.toml").write_text('schema = 1\n[program]\nchannel = 1\n')
    (show.folder / "show.toml").write_text(text + 'midi = "midi.toml"\n')
    assert starting.mapping(str(show.folder)) == str(show.folder / "midi.toml")
    (show.folder / "state.toml").write_text("schema = 3")
    opened = starting.open_show(got, desk, Surroundings(lambda: None, 48000), tmp_path / "learnt.npz")
    opened.close()
    assert "does not stand as it did last" in opened.said[0]


CHILD = """
import sys, time
from rtsep import presets
from rtsep.control.desk import Desk
from rtsep.params import Board
from rtsep.show import folder
from rtsep.show.opened import OpenShow
from rtsep.show.pluginstates import Surroundings
class Playing:
    preset = presets.load("live")
    board = Board(("vox", "kick"), presets.layout(preset))
desk = Desk(Playing())
show = OpenShow(folder.load(sys.argv[1]), desk, "live")
show.begin()
n = 0
while True:
    n += 1
    desk.set("output.gain_db", -(n % 500) / 10)
    if n % 50 == 0:
        show.store("again")
    print(n, flush=True)
    time.sleep(0.002)
"""


def test_what_is_kept_is_whole_whenever_the_process_is_killed(tmp_path: pathlib.Path) -> None:
    assert KEEP_EVERY <= 0.5
    show = make(tmp_path / "show")
    (show.folder / "snapshots" / "9-again.toml").write_text('schema = 1\nnumber = 9\nname = "again"\n')
    history = show.folder / "history"
    for kill_after in (0.0, 0.05):
        before = set(history.iterdir())
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(show.folder)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        until(lambda seen=before: len(set(history.iterdir()) - seen) > 2)
        time.sleep(kill_after)
        child.send_signal(signal.SIGKILL)
        told = child.communicate()[0].split()
        state, again = keeping.load(show.folder), folder.load(show.folder)
        assert state is not None
        assert len(again.find("again").values) > 10
        levels = {state.values[f"output.gain_db.{mic}"] for mic in MICS}
        assert levels <= {-(int(n) % 500) / 10 for n in told} | {0.0}
    names = [path.name for path in history.iterdir() if not path.name.startswith(".")]
    assert len(names) > 4
    for name in names:
        assert (history / name).read_text().startswith("schema = 1")


def until(good: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not good():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_the_threads_fade_and_keep_by_themselves(stage: Stage) -> None:
    stage.show._clock = time.monotonic
    stage.show.begin()
    stage.show.go(2)
    until(lambda: stage.desk.get("output.gain_db.kick") == -12)
    where = stage.show._show.folder
    until(lambda: (state := keeping.load(where)) is not None and state.values["output.gain_db.kick"] == -12)
    stage.show.close()
    assert FADE_EVERY <= 0.01
    assert not any(thread.is_alive() for thread in stage.show._threads)


def test_what_is_changed_in_the_folder_while_it_runs_is_taken_over_unless_it_is_wrong(stage: Stage) -> None:
    show, said = stage.show, stage.show.said
    path = show._show.folder / "snapshots" / "1.toml"
    show.store("mine")
    show._keep()
    show._read_again()
    said.clear()
    show._read_again()
    assert not said   # what it has written itself is no news
    path.write_text(path.read_text().replace("-3", "-4"))
    show._read_again()
    assert not said   # it may be half a file
    show._read_again()
    assert said.pop() == "the show is read again: 4 snapshots"
    show.go(1)
    assert stage.at(0) == [-4, -6]
    said.clear()
    path.write_text(path.read_text().replace("-4", "loud"))
    for _ in range(3):
        show._read_again()
    assert len(said) == 1
    assert "1.toml:9: " in said.pop()
    show.go(1)
    assert stage.at(0) == [-4, -6]


def test_two_runs_of_one_show_are_told(stage: Stage) -> None:
    stage.show.begin()
    other = Stage(stage.show._show)
    other.show.begin()
    assert "another run has this show open" in other.show.said.popleft()
    for one in (stage, other):
        one.show.close()
    third = Stage(stage.show._show)
    third.show.begin()
    third.show.close()
    assert not third.show.said


def test_the_view_tells_which_snapshot_it_is(stage: Stage) -> None:
    running = Running(stage.desk, {}, None)   # type: ignore[arg-type]
    assert "snapshot" not in plain(view._keys(running, 200))
    stage.desk.snapshots = stage.show
    assert " n p snapshot none yet   w store   q quit " in plain(view._keys(running, 200))
    stage.show.go(2)
    assert " n p snapshot 2 ballad " in plain(view._keys(running, 200))


def test_keys_recall_and_store_and_an_error_ends_nothing(stage: Stage) -> None:
    stage.desk.snapshots = stage.show
    for key in "nnp":
        assert not press(key, stage.desk, lambda _: None)
    assert stage.show.current == 1
    press("w", stage.desk, lambda _: None)
    assert stage.show.listing()[-1] == (6, "snapshot 6")
    stage.desk.snapshots = None
    press("n", stage.desk, lambda _: None)
    assert stage.show.current == 6
