"""Data sets: made folders in their layouts, read as scenes. No data set is needed, and none is shipped."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import tracemalloc

import numpy as np
import pyroomacoustics
import pytest
import soundfile

from rtsep import datasets, evaluation
from rtsep.bench import sts
from rtsep.cli import main
from rtsep.datasets import BLEEDS, DATASETS, find_tracks, read_scenes
from rtsep.datasets import read_scene as read_passage
from rtsep.engine import Engine
from rtsep.errors import InputError
from rtsep.scenes import read_scene, write_scene

RATE = 44100
STEMS = ("vocals", "bass", "drums", "other")


def noise(seed: int, seconds: float = 0.1, channels: int = 2, rate: int = RATE) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal((int(seconds * rate), channels))).astype(np.float32)


def song(place: pathlib.Path, seconds: float = 0.1, rate: int = RATE, seed: int = 0) -> dict[str, np.ndarray]:
    place.mkdir(parents=True)
    stems = {name: noise(seed + i, seconds, rate=rate) for i, name in enumerate(STEMS)}
    for name, audio in stems.items():
        soundfile.write(place / f"{name}.wav", audio, rate, subtype="FLOAT")
    soundfile.write(place / "mixture.wav", sum(stems.values()), rate, subtype="FLOAT")
    return stems


def saraga(root: pathlib.Path, seconds: float = 0.5) -> pathlib.Path:
    place = root / "saraga1.5_carnatic" / "Someone at Arkay by Someone" / "Bhuvini Dasudane"
    place.mkdir(parents=True)
    for i, part in enumerate(("vocal", "violin", "mridangam-left", "mridangam-right")):
        soundfile.write(place / f"{place.name}.multitrack-{part}.mp3", noise(i, seconds), RATE)
    soundfile.write(place / f"{place.name}.mp3.mp3", noise(9, seconds), RATE)
    return place


@pytest.fixture(scope="module")
def musdb(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("musdb18hq")
    song(root / "train" / "2 Artist - Second")
    song(root / "train" / "10 Artist - Tenth", seed=20)
    song(root / "test" / "Artist - Long", seconds=21.0, seed=40)
    return root


def test_musdb_is_read_subset_by_subset(musdb: pathlib.Path) -> None:
    tracks = find_tracks(str(musdb), "musdb")
    assert [(t.subset, t.name) for t in tracks] == [
        ("train", "2 Artist - Second"), ("train", "10 Artist - Tenth"), ("test", "Artist - Long"),
    ]
    assert [name for name, _ in tracks[0].parts] == list(STEMS)
    scene = read_passage(tracks[0])
    assert scene.rate == RATE
    assert scene.names == STEMS
    for i in range(4):
        np.testing.assert_allclose(scene.mics[i], noise(i).mean(axis=1), atol=1e-7)
    np.testing.assert_array_equal(scene.mics, scene.images)
    np.testing.assert_array_equal(scene.mics, scene.sources)
    assert scene.known
    assert scene.mixing is None
    assert "train 2 Artist - Second" in scene.kind


def test_dsd100_and_msd100(tmp_path: pathlib.Path) -> None:
    for subset, name in (("Dev", "001 - A - B"), ("Test", "002 - C - D")):
        song(tmp_path / "Sources" / subset / name)
        (tmp_path / "Mixtures" / subset / name).mkdir(parents=True)
    tracks = find_tracks(str(tmp_path), "dsd100")
    assert [(t.subset, t.name) for t in tracks] == [("Dev", "001 - A - B"), ("Test", "002 - C - D")]
    assert read_passage(tracks[1]).names == STEMS


def test_saraga_has_microphones_and_no_truth(tmp_path: pathlib.Path) -> None:
    saraga(tmp_path / "saraga")
    (track,) = find_tracks(str(tmp_path / "saraga"), "saraga")
    assert not track.clean
    scene = read_passage(track)
    assert scene.names == ("mridangam", "violin", "vocal")
    assert not scene.known
    assert len(scene.images) == len(scene.sources) == 0
    assert np.isnan(scene.sir_db).all()
    # mp3 at 14 dB of noise per bin is far from exact, but it is that sound and no other.
    both = (noise(2, 0.5).mean(axis=1) + noise(3, 0.5).mean(axis=1)) / 2
    near = [np.corrcoef(np.roll(scene.mics[0], -lag)[: len(both)], both)[0, 1] for lag in range(-2, 3)]
    assert max(near) > 0.7
    assert scene.mics[0].std() == pytest.approx(both.std(), rel=0.3)
    with pytest.raises(InputError, match="no clean sources"):
        read_passage(track, "linear")

    write_scene(scene, tmp_path / "scene")
    assert sorted(p.name for p in (tmp_path / "scene").iterdir()) == ["mics", "scene.json"]
    assert "NaN" not in (tmp_path / "scene" / "scene.json").read_text()
    again = read_scene(tmp_path / "scene")
    np.testing.assert_array_equal(again.mics, scene.mics)
    assert not again.known
    with pytest.raises(InputError, match="true signals"):
        evaluation.listen(Engine.__new__(Engine), again)


def test_any_folder_is_a_song_or_a_folder_of_songs(tmp_path: pathlib.Path) -> None:
    for place, names in (("a", ("1 kick", "2 voice", "10 keys", "mixture")), ("b", ("voice", "Mix"))):
        (tmp_path / place).mkdir()
        for name in names:
            soundfile.write(tmp_path / place / f"{name}.wav", noise(1, channels=1), 48000)
    tracks = find_tracks(str(tmp_path), "folder")
    assert [[name for name, _ in t.parts] for t in tracks] == [["kick", "voice", "keys"], ["voice"]]
    (single,) = find_tracks(str(tmp_path / "a"), "folder")
    assert single.parts == tracks[0].parts
    assert read_passage(single, "room", seconds=0.05).names == ("kick", "voice", "keys")


def test_linear_bleed_is_the_published_recipe(musdb: pathlib.Path) -> None:
    track = find_tracks(str(musdb), "musdb")[2]
    scene = read_passage(track, "linear")
    assert scene.rate == 22050
    assert scene.mics.shape == (4, 220500)
    mixing = scene.mixing
    assert mixing is not None
    own, others = np.diag(mixing), mixing[~np.eye(4, dtype=bool)]
    assert np.all((own >= 0.6) & (own <= 1.0))
    assert np.all((others >= 0.05) & (others <= 0.31))
    np.testing.assert_allclose(mixing * 100, np.round(mixing * 100), atol=1e-4)
    np.testing.assert_allclose(scene.mics, mixing @ scene.sources, atol=1e-6)
    np.testing.assert_allclose(scene.images, own[:, None] * scene.sources, atol=1e-6)
    bleed = scene.mics - scene.images
    levels = 10 * np.log10((scene.images**2).mean(axis=1) / (bleed**2).mean(axis=1))
    np.testing.assert_allclose(scene.sir_db, levels, atol=1e-3)
    later = read_passage(track, "linear", start=5.0)
    np.testing.assert_array_equal(later.mixing, mixing)   # one matrix a song
    assert not np.array_equal(read_passage(track, "linear", seed=2).mixing, mixing)
    renamed = dataclasses.replace(track, name="another")
    assert not np.array_equal(read_passage(renamed, "linear").mixing, mixing)


def test_the_room_is_that_of_scene_c(tmp_path: pathlib.Path) -> None:
    """And that is what pyroomacoustics' own simulation makes of the numbers in SYSTEMS.md §1.9."""
    expected = sts.scene_c(2.0, order=sts.SCRIPT_ORDER)
    absorption, order = pyroomacoustics.inverse_sabine(0.25, (13.5, 7, 7))
    room = pyroomacoustics.ShoeBox(
        (13.5, 7, 7), fs=sts.RATE, materials=pyroomacoustics.Material(absorption), max_order=order
    )
    for x, y, source in ((5.5, 5.5, 0), (8, 5.5, 1), (3, 5, 2), (10.5, 5, 3)):   # vocal, bass, drums, other
        room.add_source((x, y, 1), signal=expected.sources[source])
    room.add_microphone_array(np.array([(5.5, 5, 1), (8, 5, 1), (3, 4.5, 1), (10.5, 4.5, 1)]).T)
    simulated = room.simulate(return_premix=True)[:, :, : 2 * sts.RATE].transpose(1, 0, 2)
    np.testing.assert_allclose(expected.images_all, simulated, atol=1e-12)
    place = tmp_path / "song"
    place.mkdir()
    for name, source in zip(STEMS, expected.sources, strict=True):
        soundfile.write(place / f"{name}.wav", source, sts.RATE, subtype="DOUBLE")
    (track,) = find_tracks(str(place), "folder")
    scene = read_passage(track, "room", seconds=2.0)
    order = [STEMS.index(name) for name in scene.names]
    np.testing.assert_allclose(scene.mics, expected.mics[order], atol=1e-6)
    np.testing.assert_allclose(scene.images, expected.images[order], atol=1e-6)


def test_blocks_in_which_a_source_rests_or_that_are_short_are_left_out(tmp_path: pathlib.Path) -> None:
    stems = song(tmp_path / "test" / "x", seconds=3.5, rate=22050)
    rests = {"bass": slice(22050, 44100), "other": slice(0, 22050)}
    for name, rest in rests.items():
        stems[name][rest] *= 0.01
        soundfile.write(tmp_path / "test" / "x" / f"{name}.wav", stems[name], 22050, subtype="FLOAT")
    found = list(read_scenes(str(tmp_path), "musdb", "linear", seconds=1.0))
    # The second block lacks bass, the fourth is too short; that nobody plays `other` does not matter.
    expected = stems["vocals"].mean(axis=1)
    assert len(found) == 2
    np.testing.assert_allclose(found[0].sources[0], expected[:22050], atol=1e-7)
    np.testing.assert_allclose(found[1].sources[0], expected[44100:66150], atol=1e-7)
    whole = list(read_scenes(str(tmp_path), "musdb", seconds=1.0))
    assert [scene.mics.shape[1] for scene in whole] == [22050, 22050, 22050, 11025]
    (track,) = find_tracks(str(tmp_path), "musdb")
    with pytest.raises(InputError, match="bass rest in the 1 s from 1 s on"):
        read_passage(track, "linear", start=1.0, seconds=1.0)
    with pytest.raises(InputError, match=r"no 1 s from 3 s on; it is 3.5 s"):
        read_passage(track, "room", start=3.0, seconds=1.0)
    with pytest.raises(InputError, match="nothing from 9 s on"):
        read_passage(track, start=9.0)


def test_the_quietest_block_that_is_kept_has_an_l2_norm_of_09(tmp_path: pathlib.Path) -> None:
    for norm, kept in ((0.89, 0), (0.91, 1)):
        place = tmp_path / f"{norm}" / "test" / "x"
        song(place, seconds=10.0, rate=22050)
        quiet = noise(3, 10.0, rate=22050)[:, :1]
        soundfile.write(place / "drums.wav", norm * quiet / np.linalg.norm(quiet), 22050, subtype="FLOAT")
        assert len(list(read_scenes(str(tmp_path / f"{norm}"), "musdb", "linear"))) == kept


@pytest.mark.parametrize("rate", [22050, 48000, 16000])
def test_a_passage_is_the_same_whatever_is_read_around_it(musdb: pathlib.Path, rate: int) -> None:
    track = find_tracks(str(musdb), "musdb")[2]
    whole = read_passage(track, rate=rate, seconds=4.0)
    part = read_passage(track, rate=rate, start=1.0003, seconds=1.5)
    first = round(1.0003 * rate)
    assert part.mics.shape[1] == round(1.5 * rate)
    np.testing.assert_allclose(part.mics, whole.mics[:, first : first + part.mics.shape[1]], atol=1e-6)


def test_resampling_keeps_a_tone_in_its_place(tmp_path: pathlib.Path) -> None:
    t = np.arange(2 * RATE) / RATE
    soundfile.write(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * 1000 * t), RATE, subtype="FLOAT")
    (track,) = find_tracks(str(tmp_path), "folder")
    scene = read_passage(track, rate=22050, start=0.5, seconds=1.0)
    expected = 0.5 * np.sin(2 * np.pi * 1000 * (0.5 + np.arange(22050) / 22050))
    np.testing.assert_allclose(scene.mics[0], expected, atol=2e-3)


def test_a_data_set_takes_no_more_memory_than_a_block(tmp_path: pathlib.Path) -> None:
    def peak(seconds: float) -> int:
        root = tmp_path / f"{seconds}"
        song(root / "test" / "x", seconds=seconds, rate=22050)
        tracemalloc.start()
        for _ in read_scenes(str(root), "musdb", "linear", seconds=2.0):
            pass
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(2.0)
    assert peak(40.0) < 1.5 * peak(4.0)


@pytest.mark.parametrize(
    ("dataset", "make", "words"),
    [
        ("musdb", lambda r: (r / "train").mkdir() or (r / "train" / "A - B.stem.mp4").touch(), "MUSDB18-HQ"),
        ("musdb", lambda _: None, "neither train/ nor test/"),
        ("musdb", lambda r: (r / "test" / "x").mkdir(parents=True), "has no vocals.wav"),
        ("dsd100", lambda _: None, "neither Sources/Dev/ nor Sources/Test/"),
        ("saraga", lambda _: None, "multitrack-PART"),
        ("folder", lambda _: None, "without recordings"),
        ("fma", lambda _: None, "known: musdb, dsd100, saraga, folder"),
    ],
)
def test_what_is_not_that_data_set_is_refused_in_one_line(tmp_path: pathlib.Path, dataset, make, words) -> None:
    make(tmp_path)
    with pytest.raises(InputError, match=words) as refusal:
        find_tracks(str(tmp_path), dataset)
    assert "\n" not in str(refusal.value)
    with pytest.raises(InputError):
        find_tracks(str(tmp_path / "nowhere"), dataset)


def test_wrong_arguments_are_refused(musdb: pathlib.Path, tmp_path: pathlib.Path) -> None:
    track = find_tracks(str(musdb), "musdb")[0]
    for wrong, words in (
        ({"bleed": "moon"}, "known: none, linear, room"), ({"rate": 10}, "8000"), ({"start": -1.0}, "0 s or more"),
        ({"seconds": 0.0}, "more than 0"), ({"start": float("nan")}, "0 s or more"),
    ):
        with pytest.raises(InputError, match=words):
            read_passage(track, **wrong)
    many = dataclasses.replace(track, parts=track.parts * 2)
    with pytest.raises(InputError, match="4 places"):
        read_passage(many, "room")
    song(tmp_path / "train" / "x")
    soundfile.write(tmp_path / "train" / "x" / "bass.wav", noise(0), 48000)
    with pytest.raises(InputError, match="one rate"):
        read_passage(find_tracks(str(tmp_path), "musdb")[0])
    assert set(DATASETS) == {"musdb", "dsd100", "saraga", "folder"}
    assert set(BLEEDS) == {"none", "linear", "room"}
    assert datasets.BLOCK_SECONDS == 10.0


def test_scene_from_a_data_set(musdb: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "scene"
    common = ["scene", str(out), "--from", str(musdb), "--dataset", "musdb"]
    assert main([*common, "--track", "3", "--bleed", "linear", "--seconds", "1", "--start", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["mic"] for row in told["mics"]] == list(STEMS)
    scene = read_scene(out)
    assert scene.rate == 22050
    assert scene.mics.shape == (4, 22050)
    assert scene.kind == told["kind"] == "musdb test Artist - Long linear"
    assert main([*common, "--track", "4"]) == 2
    assert "1 to 3" in capsys.readouterr().err
    assert main(["scene", str(tmp_path / "x"), "--bleed", "linear"]) == 2
    assert "--from" in capsys.readouterr().err

    saraga(tmp_path / "saraga")
    real = ["scene", str(tmp_path / "real"), "--from", str(tmp_path / "saraga"), "--dataset", "saraga"]
    assert main(real) == 0
    assert "mridangam, violin, vocal" in capsys.readouterr().out
    assert main([*real[:1], str(tmp_path / "again"), *real[2:], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mics"][0] == {"mic": "mridangam", "sir_db": None}
    assert main(["evaluate", "--scene", str(tmp_path / "real")]) == 2
    assert "true signals" in capsys.readouterr().err
