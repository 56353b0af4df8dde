"""Shows: what is in the folder is checked, compared, exported and stored; snapshots are recalled on the desk."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import zipfile

import pytest

from rtsep import presets
from rtsep.cli import main
from rtsep.errors import InputError
from rtsep.hosts.devices import read_map
from rtsep.params import Board
from rtsep.show import cue as cues
from rtsep.show import folder, keeping, storing
from rtsep.show.compare import differences
from rtsep.show.cue import Cue
from rtsep.show.folder import Show
from rtsep.show.placing import place
from rtsep.show.scope import apart, matches, within

MICS = ("vox", "kick", "snare[top]")


@pytest.fixture
def show(tmp_path: pathlib.Path) -> Show:
    """Three mics, three snapshots; the third is in front."""
    made = folder.create(tmp_path / "show", "test", "live", MICS)
    for cue in (
        Cue(1, "opening", values={"output.gain_db": -6.0, "output.gain_db.vox": -3.0}, file="01-opening"),
        Cue(2, "Ballad", 2.0, ("output",), fades={"*.kick": 0.0}, values={"output.gain_db.kick": -12.0}, file="02"),
        Cue(7, "first", values={"output.mute.vox": 1.0}, file="07-first"),
    ):
        cues.save(cue, made.folder / "snapshots")
    text = (made.folder / "show.toml").read_text().replace("snapshots = []", 'snapshots = ["07-first"]')
    (made.folder / "show.toml").write_text(text)
    return folder.load(made.folder)


def test_a_pattern_means_paths_with_all_that_is_below() -> None:
    assert matches("output.gain_db", "output.gain_db.vox")
    assert matches("*.gain_db.*", "strips.vox.eq.gain_db.left")
    assert matches("strips.vox.*", "strips.vox.comp.threshold_db")
    assert matches("*.snare[top]", "output.mute.snare[top]")
    assert not matches("*.snare[top]", "output.mute.snaret")   # brackets are characters
    assert not matches("output.gain", "output.gain_db.vox")
    assert not matches("a*ab", "ab")
    assert not matches("a*a*a*a*a*a*a*a*b", "a" * 200)   # and at once
    held = apart(presets.load("live"))
    assert within(("*",), "output.mute.vox", held)
    for path in ("output.mute_all", "output.solo.vox", "canceller.adapt"):
        assert not within(("*", "output", "*.adapt", "canceller"), path, held)
        assert within(("*", path), path, held)


def test_a_show_is_read_in_its_order_and_written_as_it_was(show: Show) -> None:
    assert [cue.number for cue in show.cues] == [7, 1, 2]
    assert [mic.name for mic in show.mics] == list(MICS)
    assert (show.find(2).name, show.find("2").name, show.find("BALLAD").number) == ("Ballad", "Ballad", 2)
    with pytest.raises(InputError, match="snapshot 'encore': there is none in the show; there are: 7 first, 1 opening"):
        show.find("encore")
    states = {"strips.vox.x": f"{'0a' * 16}.b64", "strips.vox.y": ""}
    every = Cue(3, "ü \"q\"", 0.5, ("a.*",), "foh", {"x.*": 1.0}, {"a.b.c": 0.25}, states, "03-u-q")
    cues.save(every, show.folder)
    assert cues.load(show.folder / "03-u-q.toml") == every
    assert cues.file_name(3, "ü \"q\"") == "03-u-q"
    assert every.fade("x.y") == 1
    assert every.fade("y") == 0.5


@pytest.mark.parametrize(("file", "old", "new", "told"), [
    ("show.toml", "safe = []", "save = []", "show.toml:7: save: unknown key or table; known: schema, name, preset"),
    ("show.toml", "schema = 1", "schema = 2", "show.toml:1: schema: 2 is not a schema of this version; allowed is 1"),
    ("show.toml", '"live"', '"loud"', "show.toml:3: preset: 'loud' is no preset; allowed is a .toml file or one of"),
    ("show.toml", '["07-first"]', '["07"]', "show.toml:5: snapshots: there is no snapshots/07.toml; there are: "),
    ("show.toml", "safe = []", "safe = [3]", "show.toml:7: safe: 3 is not allowed; allowed are strings in one line"),
    ("show.toml", "safe = []", 'calibration = "c.npz"', "calibration: there is no file 'c.npz'; a file in the show"),
    ("show.toml", "safe = []", 'midi = "patch.csv"', "patch.csv:1: "),
    ("show.toml", "safe = []", "block = 9999", "show.toml:7: block: 9999 is not allowed; allowed is an integer from"),
    ("snapshots/02.toml", "fade_s = 2", "fade_s = -1", "02.toml:4: fade_s: -1.0 is not allowed; allowed is a number"),
    ("snapshots/02.toml", "= -12", "= nan", "02.toml:11: values.output.gain_db.kick: nan is not"),
    ("snapshots/02.toml", "= -12", "= [", "02.toml:11: "),
    ("snapshots/02.toml", '"Ballad"', '"12"', "02.toml:3: name: '12' is not a name; allowed is a string in one line"),
    ("snapshots/02.toml", "number = 2", "number = 1", "02.toml: its number 1 is"),
    ("snapshots/02.toml", "[values]", "[states]\nx = '%'\n[values]", "02.toml:11: states.x: '%' is no state"),
    ("patch.csv", "colour\nvox,1,1,", "colour\nvox,1,1,pink", "patch.csv:2: colour is 'pink'; one of red, green"),
    ("patch.csv", "vox,1,1,", "vox,1,1", "patch.csv:2: 3 columns; as many as above: mic,in,out,colour"),
])
def test_mistakes_are_named_by_file_line_value_and_what_is_allowed(
    show: Show, file: str, old: str, new: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = show.folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert main(["show", "check", str(show.folder)]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1


def test_values_are_placed_and_what_has_no_place_is_told(show: Show) -> None:
    board = Board(MICS, presets.layout(presets.load("live")))
    values = {"output.gain_db.2": -1.0, "output.gain_db": -9.0, "output.gain_db.sax": 0.0, "output.mute.sax": 0.0,
              "strips.vox.comp.ratio": 2.0, "output.gain_db.vox": 99.0}
    placed = place(values, board)
    assert placed.values == {"output.gain_db.vox": -9, "output.gain_db.kick": -1, "output.gain_db.snare[top]": -9}
    assert placed.lines("snapshot 1") == [
        "snapshot 1: 2 values not placed, there is no microphone 'sax': 'output.gain_db.sax', 'output.mute.sax'",
        "snapshot 1: 1 value not placed, there is no such parameter: 'strips.vox.comp.ratio'",
        "snapshot 1: 1 value not placed, 99 is out of range: 'output.gain_db.vox'",
    ]
    cues.save(Cue(8, "x", scope=("output",), values={"input.gain_db.vox": 1.0}, file="08"), show.folder / "snapshots")
    assert folder.notes(folder.load(show.folder)) == [
        "snapshot 8 x: outside of its scope: 'input.gain_db.vox'"
    ]


def test_snapshots_and_shows_are_compared(show: Show, tmp_path: pathlib.Path) -> None:
    found = {d.what: (d.first, d.second) for d in differences(f"{show.folder}:1", f"{show.folder}/snapshots/02.toml")}
    assert found == {
        "number": (1, 2), "fade_s": (0.0, 2.0), "scope": (["*"], ["output"]), "fade *.kick": (None, 0.0),
        "output.gain_db.vox": (-3.0, None), "output.gain_db.kick": (-6.0, -12.0),
        "output.gain_db.snare[top]": (-6.0, None),
    }
    other = folder.create(tmp_path / "other", "test", "foh", MICS)
    cues.save(dataclasses.replace(show.find(2), values={"output.gain_db.kick": -11.0}), other.folder / "snapshots")
    told = [(d.snapshot, d.what, d.first, d.second) for d in differences(str(show.folder), str(other.folder))]
    assert told == [
        ("", "preset", "live", "foh"), ("", "snapshots", ["first", "opening", "Ballad"], ["Ballad"]),
        ("Ballad", "output.gain_db.kick", -12.0, -11.0),
    ]
    assert differences(str(show.folder), str(show.folder)) == []
    with pytest.raises(InputError, match="one is a show, the other a snapshot"):
        differences(str(show.folder), f"{show.folder}:2")


def test_an_export_needs_nothing_else(show: Show, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    keeping.Keeper(show.folder).keep(keeping.State(1, "live", (), {}))
    packed = tmp_path / "x.zip"
    assert main(["show", "export", str(show.folder), "-o", str(packed)]) == 0
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path / "there")
    there = folder.load(tmp_path / "there" / "show")
    assert there.preset == "presets/live.toml"
    assert presets.load(there.source(there.preset)).chain == presets.load("live").chain
    assert (there.cues, [mic.name for mic in there.mics]) == (show.cues, list(MICS))
    assert not list(there.folder.glob("history/*"))
    capsys.readouterr()
    assert main(["show", "export", str(show.folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["mics"][0] == {"name": "vox", "in": 1, "out": 1, "colour": ""}
    assert told["snapshots"][1]["values"] == {"output.gain_db": -6.0, "output.gain_db.vox": -3.0}


def test_what_is_stored_again_keeps_what_belongs_to_it_and_the_old_one_is_in_the_history(show: Show) -> None:
    cues.save(dataclasses.replace(show.find(2), values={"output.gain_db.kick": -12.0, "output.gain_db.sax": -5.0}),
              show.folder / "snapshots")
    before = (show.folder / "snapshots" / "02.toml").read_text()
    assert main(["show", "store", str(show.folder), "Ballad"]) == 0
    now = folder.load(show.folder).find(2)
    assert (now.fade_s, now.scope, now.fades) == (2, ("output",), {"*.kick": 0})
    assert now.values["output.gain_db.kick"] == 0
    assert now.values["output.gain_db.sax"] == -5   # not there today
    assert not [path for path in now.values if path.startswith(("input", "output.mute_all", "output.solo"))]
    [old] = (show.folder / "history").iterdir()
    assert old.read_text() == before
    keeping.Keeper(show.folder).keep(keeping.State(7, "live", (), {"output.gain_db.vox": -1.1}))
    new, origin = storing.store_offline(folder.load(show.folder), "encore")
    assert (new.number, new.file, new.values, origin) == (8, "08-encore", {"output.gain_db.vox": -1.1},
                                                          "what stood there last")
    assert folder.load(show.folder).cues[-1] == new


def test_a_new_show_is_refused_where_something_is(show: Show, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "new", str(show.folder)]) == 2
    assert "there is something already; a new folder, or an empty one" in capsys.readouterr().err
    assert main(["show", "new", str(show.folder / "x"), "--mics", "a,a"]) == 2
    assert not (show.folder / "x").exists()


def test_the_example_is_good_and_its_snapshots_have_a_place(tmp_path: pathlib.Path) -> None:
    show = folder.copy_example(tmp_path / "mine")
    assert folder.notes(show) == []
    assert len(show.cues) == 4
    assert read_map(show.folder / "patch.csv")[0].colour == "red"


def test_the_history_is_pruned_by_rule() -> None:
    now = keeping._moment("20261128T200000.000Z-state.toml")
    assert now is not None
    for_hours = [f"{keeping.stamp(now - 60 * n)}-state.toml" for n in range(60 * 30)]   # every minute, 30 hours
    days = [f"{keeping.stamp(now - 86400 * n)}-state.toml" for n in range(2, 40)]
    names = [*for_hours, *days, f"{keeping.stamp(now - 1e7)}-02.toml", "notes.txt"]
    left = set(names) - keeping.pruned(names, now)
    ages = sorted(now - moment for name in left if (moment := keeping._moment(name)) is not None)
    assert sum(age <= 3600 for age in ages) == 61
    assert sum(3600 < age <= 86400 for age in ages) == 138
    assert {"notes.txt", f"{keeping.stamp(now - 1e7)}-02.toml"} <= left   # what has another name counts by itself
    assert sum(age > 86400 for age in ages) == len(days) + 2
    assert keeping.pruned(sorted(left), now) == set()   # and what stays does not wander
    old = [f"{keeping.stamp(now - 1e6 - n)}-state.toml" for n in range(30)]
    assert len(keeping.pruned(old, now)) == 30 - keeping.NEWEST - 1   # the newest stay, however old
