"""What a plug-in keeps beside its parameters is stored in snapshots and given back; it may crash on it in a child only.

The plug-in is `learner` of `made_plugins`: what it has learnt makes it a quarter as loud, and 16 samples later.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import pathlib
import secrets
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from fake_card import FakeCard
from made_plugins import made

from rtsep import presets
from rtsep.catalogue.strips import kept, states_of, with_states
from rtsep.control.desk import Desk
from rtsep.errors import InputError
from rtsep.hosts import recording, replay
from rtsep.hosts.changes import StatesAsked
from rtsep.hosts.request import RunOptions, check
from rtsep.plugins import measuring
from rtsep.presets import Preset
from rtsep.show import export, folder, keeping, pluginstates, starting, statefiles, storing
from rtsep.show.opened import OpenShow
from rtsep.show.pluginstates import Surroundings

RATE, MICS, DELAY, PATH = 48000, ("vox", "kick"), 512, "strips.vox.x"
PATIENCE = 60.0
CHUNK = 4800   # samples


def text(kind: str = "learner") -> str:
    return f"""schema = 1
name = "states"
latency_class = "record"
[[chain]]
stage = "input"
[[chain]]
stage = "strips"
delay = {DELAY}
isolation = "one"
strips = [{{mic = "vox", plugins = [{{name = "x", plugin = "x", path = "{made(kind)}"}}]}}]
[params]
"strips.vox.x.gain" = -6
"""


def state(kind: str, **turned: float) -> str:
    """Return the state of a plug-in with some raw values, base64."""
    plugin = measuring.load(str(made(kind)), "Tested")
    for parameter in plugin._parameters:
        if parameter.name.lower() in turned:
            parameter.raw_value = turned[parameter.name.lower()]
    for _ in range(3):
        measuring.run(plugin, np.zeros((1, 64), np.float32), RATE, 1)
    return base64.b64encode(bytes(plugin.raw_state)).decode()


def make(place: pathlib.Path, kind: str = "learner") -> folder.Show:
    mine = place / "mine.toml"
    mine.write_text(text(kind))
    return folder.create(place / "show", "test", str(mine), MICS)


class Run:
    """A show on a card that is as fast as its plug-ins, and that records."""

    def __init__(self, place: pathlib.Path) -> None:
        self.show, self.take = make(place), place / "take"
        self.preset = presets.load(self.show.source(self.show.preset))
        self.board = presets.lay_out(self.preset, MICS)
        facts = recording.facts(
            dataclasses.replace(check(RunOptions("live", rate=RATE)), preset=self.preset), RATE, MICS)
        self.made = recording.Recording(
            str(self.take), RATE, MICS, facts, f"rtsep-{os.getpid()}-{secrets.token_hex(3)}-t", self.board)
        self.card = FakeCard(self.preset, RATE, MICS, self.made, str(self.take), self.board)
        self.asked, self.noise = StatesAsked(), np.random.default_rng(0)
        self.desk = Desk(self)
        around = Surroundings(lambda: self.asked.ask(self.card.engine), RATE)
        self.open = OpenShow(self.show, self.desk, self.show.source(self.show.preset), around=around)
        self.open.begin()
        self.said: list[str] = []

    def reload(self, preset: Preset) -> str:
        self.card.changes.ask(preset)
        return "asked"

    def until(self, good: Callable[[], bool]) -> None:
        """Play until that is so."""
        end = time.monotonic() + PATIENCE
        while not good():
            assert time.monotonic() < end, self.said
            x = (0.1 * self.noise.standard_normal((len(MICS), CHUNK))).astype(np.float32)
            self.card.play(x, 128, lambda _: None)
            if (told := self.asked.answer()) is not None:
                self.open.plugins.told(told[1])
            if (answer := self.card.changes.update()) is not None:
                kind, change, exactly = answer
                assert kind == "reloaded", answer
                self.preset = self.card.engine.preset
                self.desk.settled()
                self.made.mark("reload", change=change, latency_samples=0, **exactly,
                               preset=presets.dumps(self.preset))
            self.made.update()
            self.said += [self.open.said.popleft() for _ in range(len(self.open.said))]
            time.sleep(0.1)   # others work meanwhile

    def heard(self, text: str) -> None:
        """Play until something has been said, and a while more; forget it."""
        self.until(lambda: any(text in line for line in self.said))
        self.said.clear()
        self.wait()

    def wait(self) -> None:
        end = self.card.runner.record["position"] + 2 * CHUNK
        self.until(lambda: self.card.runner.record["position"] > end)


@pytest.fixture
def run(tmp_path: pathlib.Path) -> Iterator[Run]:
    one = Run(tmp_path)
    yield one
    one.open.close()
    one.card.session.close()


@pytest.mark.slow   # chains are built anew: 20 s
def test_a_snapshot_has_the_states_and_gives_them_back_and_a_replay_is_what_was_heard(
    run: Run, tmp_path: pathlib.Path
) -> None:
    run.wait()
    run.open.store("plain")
    run.heard("the states of 1 plug-ins are in it")
    run.desk.set("strips.vox.x.armed", 1)
    run.wait()
    run.desk.set("strips.vox.x.armed", 0)
    run.desk.set("strips.vox.x.gain", 0)
    run.wait()
    run.open.store("learnt")
    run.heard("the states of 1 plug-ins are in it")
    assert not run.card.engine.swaps   # nobody hears that it was asked
    run.open.go("plain")
    run.until(lambda: run.card.engine.swaps == 1)
    run.wait()
    first = run.card.engine.latency
    run.open.go("learnt")
    run.heard("comes with its state, 48 samples late")
    run.until(lambda: run.card.engine.swaps == 2)
    run.wait()
    assert (first, run.card.engine.latency) == (DELAY + 32, DELAY + 48)
    run.open._keep(last=True)
    show = folder.load(run.show.folder)
    [name] = [path.name for path in (show.folder / "states").iterdir()]
    assert [cue.states for cue in show.cues] == [{PATH: ""}, {PATH: name}]
    assert [cue.values["strips.vox.x.gain"] for cue in show.cues] == [-6, 0]
    last = keeping.load(show.folder)
    assert last is not None
    assert last.states == {PATH: name}
    run.card.session.close()
    assert run.card.engine.status()["late_strips"] == 0
    assert run.made.finish() is None
    report = replay.replay(str(run.take), str(tmp_path / "again.wav"))
    assert (report["notes"], report["same_frames"]) == ([], report["frames"])
    _check_sound(run.take)
    # Another state is another sound: the replay did need it.
    lines = (run.take / "recording.jsonl").read_text()
    kept_state = statefiles.read(show.folder, name)
    (run.take / "recording.jsonl").write_text(lines.replace(kept_state, state("learner")))
    assert replay.replay(str(run.take), str(tmp_path / "other.wav"))["same_frames"] < report["frames"]


def _check_sound(take: pathlib.Path) -> None:
    """Check that the end is a quarter as loud and 48 samples late."""
    import soundfile

    x, y = (soundfile.read(take / name, dtype="float32")[0] for name in ("in.wav", "out.wav"))
    late = DELAY + 48
    np.testing.assert_allclose(y[-CHUNK:, 0], 0.25 * x[-CHUNK - late : -late, 0], atol=1e-6)
    np.testing.assert_array_equal(y[-CHUNK:, 1], x[-CHUNK - late : -late, 1])


class Still:
    """A preset that sounds as soon as it is wanted, without any sound."""

    def __init__(self, preset: Preset) -> None:
        self.preset = preset
        self.board = presets.lay_out(preset, MICS)

    def reload(self, preset: Preset) -> str:
        self.preset = preset
        return "chain"


def until(good: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not good():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_state_on_which_a_plug_in_crashes_is_refused_and_one_that_is_good_is_not(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pluginstates, "ANSWER_SECONDS", 0.2)
    show = make(tmp_path, "crash")
    good, bad = (statefiles.write(show.folder, state("crash", armed=armed, gain=0.7)) for armed in (0.0, 1.0))
    playing = Still(presets.load(show.source(show.preset)))
    desk = Desk(playing)
    opened = OpenShow(show, desk, show.source(show.preset), around=Surroundings(lambda: None, RATE))
    opened.begin()
    opened.plugins.recall("snapshot 1 a", {PATH: good, "strips.vox.gone": good})
    until(lambda: bool(desk.states))
    opened.plugins.recall("snapshot 2 b", {PATH: bad})
    until(lambda: any("refused" in line for line in opened.said))
    said, states = list(opened.said), states_of(playing.preset)
    opened.plugins.ask(1)   # nobody answers
    until(lambda: any("none came within 0.2 s" in line for line in opened.said))
    opened.close()
    assert f"{PATH}: a state is refused: Tested crash.vst3 crashes while working (SIGSEGV); it stays as it is" in said
    assert "no plug-in takes the states of strips.vox.gone" in said
    assert states == {PATH: statefiles.read(show.folder, good)}
    assert opened.plugins.now() == {PATH: good}
    # What stood last is looked at again at the start: a plug-in may be another one by then.
    options = RunOptions("live", show=str(show.folder))
    for name, left in ((good, [PATH]), (bad, [])):
        keeping.Keeper(show.folder).keep(keeping.State(states={PATH: name}), last=True)
        assert list(starting.options(options, None).states) == left
    request = check(dataclasses.replace(options, preset=show.source(show.preset), states={PATH: "QUJD"}))
    assert states_of(request.preset) == {PATH: "QUJD"}


def test_states_have_their_places_whoever_has_the_plug_in() -> None:
    each = f'each = [{{name = "y", plugin = "y", path = "{made("learner")}"}}]'
    both = text().replace("strips = [", f"{each}\nstrips = [")
    preset = presets.loads(both, "test")
    assert list(kept(preset, MICS)) == ["strips.y.kick", PATH]
    given = with_states(preset, {"strips.y.kick": "QUJD", "strips.y.vox": "QQ==", PATH: "QQ==", "strips.vox.no": ""})
    assert states_of(given) == {"strips.y.kick": "QUJD", PATH: "QQ=="}
    assert presets.loads(presets.dumps(given), "test") == given
    assert with_states(given, {}) == preset
    assert with_states(given, {}, 1).chain[1].options["loads"] == 1
    for entry, says in (('{strip = "vox"}', "state 1: name is None"), ("{what = 1}", "state 1: unknown key 'what'"),
                        ('{strip = "vox", name = "x", state = "%"}', "state 1: state is no base64")):
        with pytest.raises(InputError, match=says):
            presets.loads(text().replace("isolation", f"states = [{entry}]\nisolation"), "test")


def test_a_show_that_is_not_open_keeps_states_and_says_what_is_wrong_with_them(tmp_path: pathlib.Path) -> None:
    show = make(tmp_path)
    cue, _ = storing.store_offline(show, "first")
    assert cue.states == {PATH: ""}
    name = statefiles.write(show.folder, "QUJD")
    assert (name, statefiles.write(show.folder, "QUJD")) == (statefiles.name_of("QUJD"), name)
    keeping.Keeper(show.folder).keep(keeping.State(preset=show.preset, states={PATH: name}))
    cue, _ = storing.store_offline(folder.load(show.folder), "second")
    assert cue.states == {PATH: name}
    file = show.folder / "snapshots" / f"{cue.file}.toml"
    file.write_text(file.read_text().replace(PATH, "strips.vox.gone"))
    lost = "snapshot 2 second: no plug-in takes the states of 'strips.vox.gone'"
    assert lost in folder.notes(folder.load(show.folder))
    assert export.pack(folder.load(show.folder), tmp_path / "show.zip") == 6
    (show.folder / "states" / name).write_text("QUJE")
    with pytest.raises(InputError, match="it is not what was stored; store that snapshot again"):
        folder.load(show.folder)
    (show.folder / "states" / name).unlink()
    with pytest.raises(InputError, match="there is no state of a plug-in"):
        folder.load(show.folder)
    assert json.loads(json.dumps(export.told(show)))["snapshots"] == []
