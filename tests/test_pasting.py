"""A chain of plug-ins is copied from one microphone to others, with what stands on its knobs."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from rtsep import presets
from rtsep.cli import main
from rtsep.errors import InputError
from rtsep.session import Session
from rtsep.show import folder, keeping, pasting, statefiles

MICS = ("vox", "guitar", "bass", "left", "right")
TEXT = """schema = 1
name = "paste"
latency_class = "foh"
[[chain]]
stage = "input"
[[chain]]
stage = "strips"
isolation = "one"
each = [{plugin = "Gain"}]
strips = [
    {mic = "vox", group = "singers", plugins = [{plugin = "Compressor", name = "comp"}, {plugin = "Reverb"}]},
    {mic = "bass", group = "low", plugins = [{plugin = "Compressor", name = "comp"}]},
    {mics = ["left", "right"], name = "oh", plugins = []},
]
[params]
"strips.vox.comp.threshold_db" = -20
"strips.bass.comp.threshold_db" = -20
"strips.bass.comp.ratio" = 8
"""


def stands(preset: presets.Preset, path: str) -> float:
    return presets.lay_out(preset, MICS).get(path)


def test_a_chain_is_pasted_with_its_values() -> None:
    old = presets.loads(TEXT, "test")
    # The bass was turned away from -20, which the preset says of both.
    turned = {"strips.vox.comp.ratio": 4.0, "strips.vox.reverb.state": 1.0, "strips.bass.comp.threshold_db": -3.0,
              "strips.gain.gain_db.guitar": 5.0, "gone.x": 1.0}
    new = pasting.pasted(old, MICS, "vox", ("guitar", "bass", "oh", "vox"), turned, {"strips.vox.comp": "QUJD"})
    assert presets.loads(presets.dumps(new), "test") == new
    strips = {strip.get("name", strip.get("mic")): strip for strip in new.chain[1].options["strips"]}
    assert [strips[name]["group"] for name in ("vox", "guitar", "bass", "oh")] == ["singers", "", "low", ""]
    assert strips["oh"]["mics"] == ["left", "right"]
    for name in ("guitar", "bass", "oh"):
        assert [plugin["name"] for plugin in strips[name]["plugins"]] == ["comp", "reverb"]
        assert [plugin["state"] for plugin in strips[name]["plugins"]] == ["QUJD", ""]
        assert stands(new, f"strips.{name}.comp.ratio") == 4
        assert stands(new, f"strips.{name}.reverb.state") == 1
        assert stands(new, f"strips.{name}.comp.threshold_db") == pytest.approx(-20)
    # Else a reload would leave it where it was turned to.
    assert stands(new, "strips.bass.comp.threshold_db") == np.nextafter(np.float32(-20), np.float32(-40))
    assert strips["vox"]["plugins"][0]["state"] == ""
    each = pasting.pasted(old, MICS, "guitar", ("vox",), turned, {})
    assert stands(each, "strips.vox.gain.gain_db") == 5
    with Session.open(old, 48000, MICS) as session:   # a running show follows
        for path, value in turned.items():
            if path != "gone.x":
                session.board.set(path, value)
        assert session.engine.reload(pasting.pasted(old, MICS, "vox", ("guitar", "bass"), turned, {})) == "chain"
        assert session.board.get("strips.guitar.comp.ratio") == session.board.get("strips.bass.comp.ratio") == 4
        assert session.board.get("strips.bass.comp.threshold_db") == pytest.approx(-20)
    for source, target, says in (("vox", "drums", "there is no such microphone; known: vox, guitar, bass, oh"),
                                 ("left", "vox", "it is a part of oh"), ("oh", "vox", "has no plug-ins")):
        with pytest.raises(InputError, match=says):
            pasting.pasted(old, MICS, source, (target,), {}, {})
    with pytest.raises(InputError, match="has 0 stages strips"):
        pasting.pasted(presets.load("live"), MICS, "vox", ("bass",), {}, {})


def test_the_verb_writes_the_preset_of_a_show(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(TEXT)
    show = folder.create(tmp_path / "show", "test", str(mine), MICS)
    name = statefiles.write(show.folder, "QUJD")
    state = keeping.State(preset=show.preset, values={"strips.vox.comp.ratio": 3.0}, states={"strips.vox.comp": name})
    keeping.Keeper(show.folder).keep(state)
    assert main(["show", "chain", str(show.folder), "--copy", "vox", "--to", "guitar,bass"]) == 0
    assert "the chain of vox is also that of guitar, bass" in capsys.readouterr().out
    new = presets.load(str(show.folder / show.preset))
    assert [stands(new, f"strips.{mic}.comp.ratio") for mic in ("guitar", "bass")] == [3, 3]
    [old] = [path for path in (show.folder / "history").iterdir() if path.name.endswith("mine.toml")]
    assert old.read_text() == TEXT
    before = (show.folder / show.preset).read_text()
    assert main(["show", "chain", str(show.folder), "--copy", "vox", "--to", "drums"]) == 2
    assert (show.folder / show.preset).read_text() == before
    built_in = folder.create(tmp_path / "other", "test", "live", MICS)
    assert main(["show", "chain", str(built_in.folder), "--copy", "vox", "--to", "bass"]) == 2
    assert "its preset live is built in" in capsys.readouterr().err
