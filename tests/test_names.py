"""Names of microphones: one check wherever they come in, and which of two sets belong together."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
import soundfile

import rtsep
from rtsep import audiofile, names
from rtsep.errors import InputError
from rtsep.hosts.devices import read_map
from rtsep.scenes import make_scene, read_scene, write_scene

BAD = [
    ("", "is no name"), ("  ", "is no name"), ("kick", "twice"), (" kick ", "twice"), ("x" * 65, "65 characters"),
    ("a\nb", "cannot be shown"), ("a\x1b[2J", "cannot be shown"), ("a\x00", "cannot be shown"),
    ("a\u202eb", "cannot be shown"), ("a\u2028b", "cannot be shown"), ("a\udc80", "cannot be shown"),
]


@pytest.mark.parametrize(("name", "problem"), BAD)
def test_what_is_no_name_is_refused_in_one_line(name: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        names.checked(["kick", name], "here")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250


def test_every_other_name_is_kept() -> None:
    given = ["Vox [/b]", "[red]", "Gesang (Ä)", "吉他", "a'b\"c", "x" * 64, "C:\\mic", "$(x)"]
    assert names.checked(given, "here") == tuple(given)
    assert names.checked(["e\u0301"], "here") == ("\u00e9",)   # as another keyboard writes it
    with pytest.raises(InputError, match="twice"):
        names.checked(["e\u0301", "\u00e9"], "here")


def channel_map(tmp_path: pathlib.Path, name: str) -> object:
    path = tmp_path / "map.csv"
    path.write_text(f'mic,in,out\nkick,1,1\n"{name}",2,2\n', encoding="utf-8", errors="surrogatepass")
    return [mic.name for mic in read_map(path)]


def array(_: pathlib.Path, name: str) -> object:
    return list(rtsep.Stream("hpss", 16000, ["kick", name]).names)


def scene(tmp_path: pathlib.Path, name: str) -> object:
    write_scene(make_scene("linear", 1, 2, 1.0, 8000), tmp_path / "scene")
    facts = json.loads((tmp_path / "scene" / "scene.json").read_text())
    facts["names"] = ["kick", name]
    (tmp_path / "scene" / "scene.json").write_text(json.dumps(facts))
    return read_scene(tmp_path / "scene")


def calibration(tmp_path: pathlib.Path, name: str) -> object:
    given = np.array(["kick", name])
    np.savez(tmp_path / "c.npz", learnt_schema=np.int64(1), rate=np.int64(8000), names=given)
    return list(rtsep.learnt.load(tmp_path / "c.npz").names)


@pytest.mark.parametrize("way_in", [channel_map, array, scene, calibration])
@pytest.mark.parametrize("name", ["a\x1b[2J", "x" * 65, "kick"])
def test_names_are_checked_wherever_they_come_in(tmp_path: pathlib.Path, way_in: object, name: str) -> None:
    assert callable(way_in)
    with pytest.raises(InputError, match=r"twice|characters"):
        way_in(tmp_path, name)


@pytest.mark.parametrize("way_in", [channel_map, array, calibration])
def test_markup_is_a_name_like_any_other(tmp_path: pathlib.Path, way_in: object) -> None:
    assert callable(way_in)
    assert way_in(tmp_path, "Vox [/b]") == ["kick", "Vox [/b]"]


def test_files_give_names_that_are_allowed(tmp_path: pathlib.Path) -> None:
    for name in ("1 a\x1b[2J", "2 a_[2J", "3 e\u0301", "4 " + "x" * 80, "5 " + "x" * 81, "6 Vox [b]"):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(10), 8000)
    with audiofile.open_input(tmp_path) as source:
        assert names.checked(source.names, "files") == source.names
        assert source.names == ("a_[2J", "a_[2J-2", "\u00e9", "x" * 64, "x" * 62 + "-2", "Vox-[b]")


def test_names_are_matched() -> None:
    before = ("kick", "snare", "vox")
    assert names.match(before, before, "c") == names.Match((0, 1, 2), "")
    assert names.match(before, ("vox", "kick", "snare"), "c") == names.Match((2, 0, 1), "")
    assert names.match(before, ("vox", "Sax"), "c") == names.Match(
        (2, -1), "no 'Sax'; 'kick', 'snare' are not in the show"
    )
    assert names.match(before, ("vox", "kick"), "c").note == "'snare' is not in the show"
    many = tuple(f"gtr {n}" for n in range(9))
    assert names.match(many, many[:1], "c").note.startswith("'gtr 1', 'gtr 2', 'gtr 3', 'gtr 4' and 4 more are not")
    assert names.match(before, names.numbered(3), "c").places == (0, 1, 2)
    for others in (("a", "b", "c"), names.numbered(4)):
        with pytest.raises(InputError, match="none of its 3 microphones is in the show"):
            names.match(before, others, "c")
