"""Scenes keep what they declare, and instruments play the same piece."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import soundfile
from scipy import signal

from rtsep import synth
from rtsep.errors import InputError
from rtsep.scenes import KINDS, NOISE_DB, Scene, make_scene, read_scene, write_scene
from rtsep.scenes.paths import Room, carry, room_paths
from rtsep.scenes.room import place_performers


@pytest.fixture(scope="module", params=KINDS)
def scene(request) -> Scene:
    return make_scene(request.param, seed=3, mics=3, seconds=6.0)


def decibels(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.mean(x.astype(float) ** 2, axis=-1) / np.mean(y.astype(float) ** 2, axis=-1))


def unexplained(scene: Scene, fit: slice, check: slice) -> float:
    """Fit the bleed by gains and short filters on one part; return what is left of it in another, in dB."""
    bleed = (scene.mics - scene.images)[:, ::4].astype(float)
    sources = scene.sources[:, ::4].astype(float)
    lagged = np.concatenate([np.roll(sources, lag, axis=1) for lag in range(24)])
    fit, check = (slice(part.start // 4, part.stop // 4) for part in (fit, check))
    weights = np.linalg.lstsq(lagged[:, fit].T, bleed[:, fit].T, rcond=None)[0]
    return float(np.mean(decibels(bleed[:, check] - weights.T @ lagged[:, check], bleed[:, check])))


def test_levels_are_as_declared(scene):
    for audio in (scene.mics, scene.images, scene.sources):
        assert audio.dtype == np.float32
        assert audio.shape == (3, 6 * 48000)
        assert np.abs(audio).max() <= 0.95 + 1e-6
    np.testing.assert_allclose(decibels(scene.images, scene.mics - scene.images), scene.sir_db, atol=0.1)
    np.testing.assert_allclose(np.sqrt(np.mean(scene.images**2, axis=1)), synth.RMS, rtol=0.01)
    if not scene.kind.startswith("linear"):
        low, high = (6, 8) if scene.kind == "hall" else (9, 12)
        assert low - 0.1 <= np.median(scene.sir_db) <= high + 0.1
        assert scene.mixing is None


def test_linear_mics_are_the_mixing_matrix_times_the_sources_plus_noise():
    scene = make_scene("linear", seed=1, mics=4, seconds=2.0)
    assert scene.mixing is not None
    others = scene.mixing[~np.eye(4, dtype=bool)]
    assert np.all(np.diag(scene.mixing) == 1)
    assert np.all((others >= 0.05) & (others <= 0.4))
    np.testing.assert_array_equal(scene.images, scene.sources)
    noise = scene.mics - scene.mixing @ scene.sources
    np.testing.assert_allclose(decibels(noise, scene.images), NOISE_DB, atol=0.1)


def test_only_the_moving_linear_kind_moves():
    for kind in ("linear", "linear-moving"):
        scene = make_scene(kind, seed=2, mics=3, seconds=4.0)
        early, late = slice(0, 80000), slice(112000, 192000)
        assert unexplained(scene, early, early) < -30
        assert (unexplained(scene, early, late) < -30) == (kind == "linear")


def test_room_moving_changes_paths_and_a_preamplifier():
    scene = make_scene("room-moving", seed=5, mics=2, seconds=6.0)
    still = make_scene("room", seed=5, mics=2, seconds=6.0)
    early, late = slice(0, 120000), slice(200000, 288000)

    def gain(x: Scene, part: slice) -> np.ndarray:
        return decibels(x.images[:, part], x.sources[:, part])

    drift = np.abs(gain(scene, late) - gain(scene, early))
    assert drift.max() > 2.5
    assert np.abs(gain(still, late) - gain(still, early)).max() < 2
    # The preamplifier turns image and bleed down together: 4 dB between just before and just after.
    before, after = slice(200000, 230000), slice(240000, 288000)
    noise_free = np.abs(gain(scene, after) - gain(scene, before))
    assert 3 < noise_free.max() < 5


def delay(heard: np.ndarray, source: np.ndarray) -> int:
    """Return the frames by which a source arrives late: the peak of the whitened cross-correlation."""
    cross = np.fft.rfft(heard, 2**19) * np.conj(np.fft.rfft(source, 2**19))
    return int(np.argmax(np.abs(np.fft.irfft(cross / (np.abs(cross) + 1e-3 * np.abs(cross).max())))[:4800]))


def test_bleed_reaches_its_own_microphone_first():
    scene = make_scene("room", seed=4, mics=2, seconds=3.0)
    own = delay(scene.images[0], scene.sources[0])
    assert 10 <= own <= 0.5 / 343 * 48000 + 5
    assert delay((scene.mics - scene.images)[1], scene.sources[0]) > own + 0.5 / 343 * 48000


def test_a_walk_changes_the_way_that_bleed_takes():
    early, late = slice(0, 120000), slice(200000, 288000)
    for kind in ("room", "room-moving"):
        scene = make_scene(kind, seed=5, mics=2, seconds=6.0)
        bleed = (scene.mics - scene.images)[1]
        before, after = (delay(bleed[part], scene.sources[0, part]) for part in (early, late))
        assert (abs(after - before) > 40) == (kind == "room-moving")
        # The walker takes the microphone along; the one who leans gets 25 cm, 35 frames, farther from hers.
        own = [
            [delay(scene.images[i, part], scene.sources[i, part]) for part in (early, late)] for i in range(2)
        ]
        moved = sorted(last - first for first, last in own)
        np.testing.assert_allclose(moved, [0, 35] if kind == "room-moving" else [0, 0], atol=2)


def test_rooms_have_the_distances_and_the_decay_that_they_declare():
    room = Room(np.array([14.0, 10.0, 6.0]), rt60=0.6, cardioid=False)
    places, microphones = place_performers(3, room, np.random.default_rng(1))
    paths = room_paths(room, places, microphones, 48000, seed=1)
    band = signal.butter(4, (700, 1400), "bandpass", fs=48000, output="sos")
    for i in range(3):
        for j in range(3):
            travel = np.linalg.norm(places[j] - microphones[i]) / 343 * 48000
            assert abs(np.argmax(np.abs(paths[i, j])) - travel) <= 1.5
        energy = np.cumsum(signal.sosfilt(band, paths[i, i - 1])[::-1] ** 2)[::-1]
        fall = 10 * np.log10(energy / energy[0])
        first, last = np.searchsorted(-fall, (5, 35))
        assert 60 / 30 * (last - first) / 48000 == pytest.approx(0.6, rel=0.15)


def test_blocks_of_convolution_join_without_a_seam():
    rng = np.random.default_rng(2)
    sources, paths = rng.standard_normal((2, 700)), rng.standard_normal((2, 2, 50)).astype(np.float32)
    images, bleed = carry(sources, paths, 20, 690)
    for i in range(2):
        np.testing.assert_allclose(images[i], np.convolve(sources[i], paths[i, i])[20:690], atol=1e-4)
        np.testing.assert_allclose(bleed[i], np.convolve(sources[1 - i], paths[i, 1 - i])[20:690], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides(kind):
    a, b, c = (make_scene(kind, seed, mics=2, seconds=1.0) for seed in (7, 7, 8))
    for field in dataclasses.fields(Scene):
        np.testing.assert_equal(getattr(a, field.name), getattr(b, field.name))
    assert np.mean((a.mics - c.mics) ** 2) > 0.1 * np.mean(a.mics**2)


def test_another_rate_and_many_microphones():
    scene = make_scene("room", seed=1, mics=10, seconds=1.0, rate=44100)
    assert scene.mics.shape == (10, 44100)
    assert len(set(scene.names)) == 10
    assert scene.names[8] == "drums-2"
    assert np.isfinite(scene.mics).all()


@pytest.mark.parametrize("kind", ["linear-moving", "room-moving"])
def test_a_soundcheck_has_one_source_at_a_time(kind):
    scene = make_scene(kind, seed=6, mics=3, seconds=2.0, soundcheck=1.0)
    assert [solo[0] for solo in scene.solos] == list(scene.names)
    assert scene.mics.shape[1] == round(48000 * (3 * 1.5 + 2))
    for i, (_, start, end) in enumerate(scene.solos):
        assert end - start == 1.0
        part = slice(round(start * 48000), round(end * 48000))
        for j in range(3):
            assert (np.abs(scene.sources[j, part]).max() > 0) == (i == j)
        assert np.sqrt(np.mean(scene.mics[i, part] ** 2)) > 0.01
        gap = slice(round(end * 48000), round((end + 0.5) * 48000))
        assert not scene.sources[:, gap].any()
    concert = slice(round(4.5 * 48000), None)
    np.testing.assert_allclose(
        decibels(scene.images[:, concert], (scene.mics - scene.images)[:, concert]), scene.sir_db, atol=0.1
    )


@pytest.mark.parametrize(("kind", "soundcheck"), [("linear", 0.0), ("hall", 0.5)])
def test_a_written_scene_is_read_back_exactly(tmp_path, kind, soundcheck):
    scene = make_scene(kind, seed=1, mics=3, seconds=1.0, soundcheck=soundcheck)
    (tmp_path / "gig").mkdir()  # an empty folder is welcome
    write_scene(scene, tmp_path / "gig")
    again = read_scene(tmp_path / "gig")
    for field in dataclasses.fields(Scene):
        np.testing.assert_equal(getattr(again, field.name), getattr(scene, field.name))
    assert (tmp_path / "gig" / "mics" / f"01-{scene.names[0]}.wav").exists()
    assert soundfile.info(tmp_path / "gig" / "images" / f"02-{scene.names[1]}.wav").subtype == "FLOAT"
    assert (tmp_path / "gig" / "solos.csv").exists() == bool(soundcheck)
    assert [path.name for path in tmp_path.iterdir()] == ["gig"]


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path):
    scene = make_scene("linear", seed=1, mics=2, seconds=1.0)
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="not an empty folder"):
        write_scene(scene, tmp_path)
    with pytest.raises(InputError, match="not an empty folder"):
        write_scene(scene, tmp_path / "mine.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    scene = make_scene("linear", seed=1, mics=2, seconds=1.0)

    def full(*_args, **_options):
        raise OSError("No space left on device")

    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(InputError, match="No space left"):
        write_scene(scene, tmp_path / "gig")
    assert not any(tmp_path.iterdir())


def test_damaged_scenes_are_refused_by_name(tmp_path):
    scene = make_scene("linear", seed=1, mics=2, seconds=1.0, soundcheck=0.5)

    def damaged(name: str, damage) -> str:
        folder = tmp_path / name
        write_scene(scene, folder)
        damage(folder)
        with pytest.raises(InputError) as refusal:
            read_scene(folder)
        return str(refusal.value.place)

    def other_rate(folder):
        facts = json.loads((folder / "scene.json").read_text())
        (folder / "scene.json").write_text(json.dumps({**facts, "rate": 44100}))

    def short(folder):
        soundfile.write(folder / "images/02-bass.wav", np.zeros(9), 48000)

    assert damaged("gone", lambda folder: (folder / "scene.json").unlink()).endswith("scene.json")
    assert damaged("text", lambda folder: (folder / "scene.json").write_text("{")).endswith("scene.json")
    assert damaged("key", lambda folder: (folder / "scene.json").write_text("{}")).endswith("scene.json")
    assert damaged("wav", lambda folder: (folder / "mics/02-bass.wav").unlink()).endswith("02-bass.wav")
    assert damaged("rate", other_rate).endswith("01-drums.wav")
    assert damaged("short", short).endswith("02-bass.wav")
    solos = "mic,start_s,end_s\ntuba,0,1\n"
    assert damaged("solo", lambda folder: (folder / "solos.csv").write_text(solos)).endswith("solos.csv:2")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("kind", "stadium"),
        ("seed", -1),
        ("seed", 1.5),
        ("mics", 1),
        ("mics", 33),
        ("mics", True),
        ("seconds", 0.5),
        ("seconds", float("nan")),
        ("rate", 4000),
        ("soundcheck", 0.1),
        ("soundcheck", -1.0),
    ],
)
def test_bad_arguments_are_refused(place, value):
    with pytest.raises(InputError) as refusal:
        make_scene(**{"kind": "linear", "seed": 1, "mics": 2, "seconds": 1.0, place: value})
    assert refusal.value.place == place


@pytest.mark.parametrize("name", synth.INSTRUMENTS)
def test_every_instrument_plays(name):
    a, b = synth.play(name, 1, 4.0, 48000), synth.play(name, 2, 4.0, 48000)
    assert a.dtype == np.float32
    assert a.shape == (192000,)
    assert np.sqrt(np.mean(a.astype(float) ** 2)) == pytest.approx(synth.RMS, rel=1e-4)
    np.testing.assert_array_equal(a, synth.play(name, 1, 4.0, 48000))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.5


def test_a_band_plays_what_each_would_alone_and_doubles_differ():
    sound = synth.band(("bass", "violin", "violin"), 5, 2.0, 44100)
    np.testing.assert_array_equal(sound[0], synth.play("bass", 5, 2.0, 44100))
    np.testing.assert_array_equal(sound[1], synth.play("violin", 5, 2.0, 44100))
    assert abs(np.corrcoef(sound[1], sound[2])[0, 1]) < 0.5


@pytest.mark.parametrize(
    ("place", "arguments"),
    [
        ("names", (("tuba",), 1, 1.0, 48000)),
        ("names", ((), 1, 1.0, 48000)),
        ("seed", (("bass",), -1, 1.0, 48000)),
        ("seconds", (("bass",), 1, 0.0, 48000)),
        ("rate", (("bass",), 1, 1.0, 100)),
    ],
)
def test_a_band_refuses_what_it_cannot_play(place, arguments):
    with pytest.raises(InputError) as refusal:
        synth.band(*arguments)
    assert refusal.value.place == place
