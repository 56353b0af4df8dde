"""The soundcheck: paths are found, solos are found, what teaches nothing is refused, the file is safe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rtsep.calibration import Calibration, check, load, save
from rtsep.errors import InputError
from rtsep.systems.solos import Solo, read_solos
from rtsep.systems.soundcheck import find_solos, learn

RATE = 16000
TAPS = 1024
NAMES = ("vox", "sax", "drums")


def filtered(signal: NDArray[np.float64], path: NDArray[np.float64]) -> NDArray[np.float64]:
    size = len(signal) + len(path)
    return np.fft.irfft(np.fft.rfft(signal, size) * np.fft.rfft(path, size), size)[: len(signal)]


def player(rng: np.random.Generator, seconds: float, tilt: float) -> NDArray[np.float64]:
    """Coloured noise, swelling as music does, RMS 0.05."""
    frames = round(seconds * RATE)
    spectrum = np.fft.rfft(rng.standard_normal(frames))
    spectrum /= (1 + np.arange(len(spectrum)) / frames * RATE / 300) ** tilt
    bars = 4 * int(seconds) + 2
    swell = np.interp(np.arange(frames), np.linspace(0, frames, bars), rng.uniform(0.3, 1, bars))
    signal = np.fft.irfft(spectrum, frames) * swell
    return np.asarray(0.05 * signal / np.sqrt(np.mean(signal**2)))


def stage(rng: np.random.Generator, k: int = 3, decay: float = 150.0) -> NDArray[np.float64]:
    """Relative paths: a direct sound some milliseconds late, then a room that decays by 1/e in `decay` taps."""
    paths = np.zeros((k, k, TAPS))
    for i in range(k):
        for j in range(k):
            if i != j:
                start = int(rng.integers(40, 120))
                tail = rng.standard_normal(TAPS - start) * np.exp(-np.arange(TAPS - start) / decay)
                tail[0] = 4
                paths[i, j, start:] = tail * 0.25 / np.sqrt(np.sum(tail**2))
    return paths


def heard(paths: NDArray[np.float64], sources: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float32]:
    mics = sources + noise
    for i in range(len(paths)):
        for j in range(len(paths)):
            if i != j:
                mics[i] += filtered(sources[j], paths[i, j])
    return mics.astype(np.float32)


def soundcheck(
    paths: NDArray[np.float64], seed: int, seconds: float = 4.0, leak_db: float = -40.0, silent: int = -1
) -> tuple[NDArray[np.float32], list[Solo]]:
    """One second of silence, then every player alone, with a second of silence after each."""
    rng = np.random.default_rng(seed)
    k = len(paths)
    length, gap = round(seconds * RATE), RATE
    sources = np.zeros((k, gap + k * (length + gap)))
    solos = []
    for j in range(k):
        start = gap + j * (length + gap)
        for other in range(k):
            level = 10 ** (leak_db / 20) if other != j else float(j != silent)
            sources[other, start : start + length] = level * player(rng, seconds, 0.5 + 0.4 * other)
        solos.append(Solo(j, start, start + length))
    return heard(paths, sources, 0.05 * 10 ** (-65 / 20) * rng.standard_normal(sources.shape)), solos


def cancelled(paths: NDArray[np.float32], mics: NDArray[np.float32]) -> NDArray[np.float64]:
    """Run the recursion y = x - A y, solved at every frequency with room for its tail."""
    frames = mics.shape[1]
    size = 2 * frames
    spectra = np.fft.rfft(mics, size)
    system = np.moveaxis(np.fft.rfft(paths, size), 2, 0) + np.eye(len(mics))
    return np.fft.irfft(np.linalg.solve(system, spectra.T[:, :, None])[:, :, 0].T, size)[:, :frames]


def misalignment_db(found: NDArray[np.float32], true: NDArray[np.float64]) -> float:
    return float(10 * np.log10(np.sum((found - true) ** 2) / np.sum(true**2)))


def improvement_db(paths: NDArray[np.float32], true: NDArray[np.float64], seed: int) -> float:
    """How much less bleed and noise the cancelled microphones hold, on music that was not learnt from."""
    rng = np.random.default_rng(seed)
    sources = np.stack([player(rng, 4, 0.5 + 0.4 * j) for j in range(len(true))])
    mics = heard(true, sources, np.zeros_like(sources))
    return float(10 * np.log10(np.sum((mics - sources) ** 2) / np.sum((cancelled(paths, mics) - sources) ** 2)))


def test_finds_the_paths_of_a_room() -> None:
    true = stage(np.random.default_rng(1))
    mics, solos = soundcheck(true, 2)
    done: list[float] = []
    learnt = learn(mics, RATE, solos, NAMES, TAPS, done.append)
    assert learnt.paths.shape == (3, 3, TAPS)
    assert learnt.paths.dtype == learnt.confidence.dtype == learnt.noise_db.dtype == np.float32
    assert not learnt.paths[range(3), range(3)].any()
    assert misalignment_db(learnt.paths, true) < -15
    assert improvement_db(learnt.paths, true, 3) > 18
    assert learnt.confidence[~np.eye(3, dtype=bool)].min() > 0.9
    np.testing.assert_allclose(learnt.noise_db, 20 * np.log10(0.05) - 65, atol=1.5)
    assert done == sorted(done)
    assert done[-1] == 1


def test_the_levels_of_the_inputs_do_not_matter() -> None:
    true = stage(np.random.default_rng(4), 2)
    mics, solos = soundcheck(true, 5)
    gains = np.array([1e-3, 10], dtype=np.float32)
    plain = learn(mics, RATE, solos, NAMES[:2], TAPS).paths
    scaled = learn(mics * gains[:, None], RATE, solos, NAMES[:2], TAPS).paths
    unscaled = scaled * gains[None, :, None] / gains[:, None, None]
    assert misalignment_db(unscaled, plain.astype(np.float64)) < -40


def test_solos_cut_out_of_the_music_teach_as_well() -> None:
    # The room still sounds when such a solo begins, and goes on when it ends.
    true = stage(np.random.default_rng(6), decay=300)
    mics, solos = soundcheck(true, 7, seconds=6)
    whole = learn(mics, RATE, solos, NAMES, TAPS).paths
    cut = [Solo(s.mic, s.start + n * RATE // 2, s.start + (n + 1) * RATE // 2) for s in solos for n in range(2, 10)]
    assert misalignment_db(whole, true) < -13
    assert misalignment_db(learn(mics, RATE, cut, NAMES, TAPS).paths, true) < misalignment_db(whole, true) + 4


def test_crosstalk_has_one_tap() -> None:
    true = np.zeros((3, 3, TAPS))
    true[..., 0] = np.random.default_rng(8).uniform(0.05, 0.4, (3, 3))
    true[range(3), range(3)] = 0
    mics, solos = soundcheck(true, 9)
    learnt = learn(mics, RATE, solos, NAMES, TAPS)
    assert not learnt.paths[..., 1:].any()
    assert misalignment_db(learnt.paths, true) < -30
    assert improvement_db(learnt.paths, true, 10) > 30


def test_a_silent_performer_is_refused() -> None:
    true = stage(np.random.default_rng(11))
    mics, solos = soundcheck(true, 12, silent=1)
    learnt = learn(mics, RATE, solos, NAMES, TAPS)
    assert not learnt.confidence[:, 1].any()
    assert not learnt.paths[:, 1].any()
    others = [(0, 2), (2, 0), (1, 0), (1, 2)]
    assert min(learnt.confidence[pair] for pair in others) > 0.9


def test_a_dead_microphone_and_one_without_a_solo_are_refused() -> None:
    true = stage(np.random.default_rng(13))
    mics, solos = soundcheck(true, 14)
    mics[2] = 0
    learnt = learn(mics, RATE, [solos[0], solos[2]], NAMES, TAPS)
    assert not learnt.confidence[:, 1:].any()
    assert not learnt.paths[:, 1:].any()
    assert not learnt.paths[2].any()
    assert learnt.confidence[1, 0] > 0.9
    assert np.isfinite(learnt.noise_db).all()


def test_a_leaky_solo_is_refused() -> None:
    true = stage(np.random.default_rng(15))
    mics, solos = soundcheck(true, 16)
    leaky, _ = soundcheck(true, 17, leak_db=-3)
    spoilt = solos[1]
    mics[:, spoilt.start : spoilt.end] = leaky[:, spoilt.start : spoilt.end]
    learnt = learn(mics, RATE, solos, NAMES, TAPS)
    assert not learnt.confidence[:, 1].any()
    assert not learnt.paths[:, 1].any()
    assert learnt.confidence[1, 0] > 0.9


def test_arguments_that_do_not_belong_to_the_recording_are_refused() -> None:
    mics = np.zeros((3, RATE), dtype=np.float32)
    for solo in (Solo(3, 0, 10), Solo(0, 10, 10), Solo(0, -1, 10), Solo(0, 0, RATE + 1)):
        with pytest.raises(InputError, match="solo 1"):
            learn(mics, RATE, [solo], NAMES, TAPS)
    with pytest.raises(InputError, match="names"):
        learn(mics, RATE, [], NAMES[:2], TAPS)
    with pytest.raises(InputError, match="taps"):
        learn(mics, RATE, [], NAMES, 0)


def concert_day(seed: int, silent: int = -1) -> tuple[NDArray[np.float32], list[Solo]]:
    """Silence, talk, and everybody between the solos, which come in the order 2, 0, 1, 2."""
    rng = np.random.default_rng(seed)
    true = stage(rng)
    parts = [(-1, 1.0), (2, 4.0), (-1, 2.0), (0, 3.0), (9, 4.0), (1, 3.5), (-1, 1.5), (2, 2.5), (9, 3.0)]
    sources = np.zeros((3, round(sum(seconds for _, seconds in parts) * RATE)))
    solos, at = [], 0
    for who, seconds in parts:
        end = at + round(seconds * RATE)
        for j in range(3):
            if j != silent and who in (j, 9):
                sources[j, at:end] = player(rng, seconds, 0.5 + 0.4 * j)
        if who in (0, 1, 2) and who != silent:
            solos.append(Solo(who, at, end))
        at = end
    mics = heard(true, sources, 0.05 * 10 ** (-60 / 20) * rng.standard_normal(sources.shape))
    # Somebody in the hall talks, far from all; then a noise that every microphone has of its own.
    rustle = slice(round(17.6 * RATE), round(18.9 * RATE))
    talk = 10 ** (-17 / 20) * player(rng, 1.8, 1)
    for i in range(3):
        room = rng.standard_normal(TAPS) * np.exp(-np.arange(TAPS) / 200) / 10
        mics[i, 5 * RATE + 1600 :][: len(talk)] += filtered(talk, room).astype(np.float32)
        mics[i, rustle] += 0.02 * rng.standard_normal(rustle.stop - rustle.start).astype(np.float32)
    return mics, solos


@pytest.mark.parametrize("seed", [21, 22])
def test_finds_the_solos_by_itself(seed: int) -> None:
    mics, solos = concert_day(seed)
    found = find_solos(mics, RATE)
    assert [solo.mic for solo in found] == [solo.mic for solo in solos]
    for solo, true in zip(found, solos, strict=True):
        assert abs(solo.start - true.start) < 0.3 * RATE
        assert abs(solo.end - true.end) < 0.3 * RATE


def test_finds_no_solo_of_a_silent_performer() -> None:
    # That microphone hears nothing but bleed, which is then as loud as it ever gets.
    mics, solos = concert_day(23, silent=1)
    assert [solo.mic for solo in find_solos(mics, RATE)] == [solo.mic for solo in solos] == [2, 0, 2]


def test_finds_nothing_where_nobody_plays_alone() -> None:
    rng = np.random.default_rng(24)
    sources = np.stack([player(rng, 8, 0.5 + 0.4 * j) for j in range(3)])
    assert find_solos(heard(stage(rng), sources, 1e-5 * rng.standard_normal(sources.shape)), RATE) == []
    assert find_solos((0.01 * rng.standard_normal((3, 8 * RATE))).astype(np.float32), RATE) == []
    assert find_solos(np.zeros((3, 8 * RATE), dtype=np.float32), RATE) == []
    assert find_solos(np.zeros((3, 100), dtype=np.float32), RATE) == []


def test_found_solos_teach_as_well_as_named_ones() -> None:
    true = stage(np.random.default_rng(25))
    mics, solos = soundcheck(true, 26)
    named = misalignment_db(learn(mics, RATE, solos, NAMES, TAPS).paths, true)
    found = misalignment_db(learn(mics, RATE, find_solos(mics, RATE), NAMES, TAPS).paths, true)
    assert found < named + 1


def test_reads_a_list_of_solos(tmp_path: Path) -> None:
    table = tmp_path / "solos.csv"
    table.write_text("mic,start_s,end_s\nsax, 1.5 ,3\n\n1,4,5.25\n", encoding="utf-8-sig")
    assert read_solos(table, NAMES, 1000, 6000) == [Solo(1, 1500, 3000), Solo(0, 4000, 5250)]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "header"),
        ("mic,start,end\nsax,1,2\n", 1, "header"),
        ("mic,start_s,end_s\n", 1, "no solo"),
        ("mic,start_s,end_s\nsax,1\n", 2, "2 columns"),
        ("mic,start_s,end_s\nsax,1,2\nflute,2,3\n", 3, "unknown mic 'flute'"),
        ("mic,start_s,end_s\n\n4,2,3\n", 3, "unknown mic '4'"),
        ("mic,start_s,end_s\n0,2,3\n", 2, "unknown mic '0'"),
        ("mic,start_s,end_s\nsax,one,2\n", 2, "start_s 'one'"),
        ("mic,start_s,end_s\nsax,1,inf\n", 2, "end_s 'inf'"),
        ("mic,start_s,end_s\nsax,-1,2\n", 2, "start_s -1"),
        ("mic,start_s,end_s\nsax,2,2\n", 2, "end_s 2"),
        ("mic,start_s,end_s\nsax,2,7\n", 2, "end_s 7"),
        ("mic,start_s,end_s\nsax,1,3\nvox,2,4\n", 3, "overlaps the solo of sax in line 2"),
    ],
)
def test_a_mistake_in_the_list_is_named_with_its_line(tmp_path: Path, text: str, line: int, problem: str) -> None:
    table = tmp_path / "solos.csv"
    table.write_text(text)
    with pytest.raises(InputError) as caught:
        read_solos(table, NAMES, 1000, 6000)
    assert caught.value.place == f"{table}:{line}"
    assert problem in caught.value.problem
    assert "\n" not in str(caught.value)


def test_a_list_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_solos(tmp_path / "none.csv", NAMES, 1000, 6000)
    (tmp_path / "binary.csv").write_bytes(b"mic,start_s,end_s\n\xff\xfe,1,2\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_solos(tmp_path / "binary.csv", NAMES, 1000, 6000)


@pytest.fixture
def calibration() -> Calibration:
    rng = np.random.default_rng(31)
    paths = rng.standard_normal((2, 2, 8)).astype(np.float32)
    paths[range(2), range(2)] = 0
    noise_db, confidence = np.array([-80, -70.5], dtype=np.float32), np.array([[0, 1], [0.5, 0]], dtype=np.float32)
    return Calibration(48000, ("Gesang", "sax 2"), paths, noise_db, confidence)


@pytest.mark.parametrize("name", ["hall.npz", "hall", "hall.calibration", "Säle 1.2"])
def test_comes_back_as_saved(tmp_path: Path, calibration: Calibration, name: str) -> None:
    save(calibration, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    back = load(tmp_path / name)
    assert (back.rate, back.names) == (calibration.rate, calibration.names)
    for key in ("paths", "noise_db", "confidence"):
        np.testing.assert_array_equal(getattr(back, key), getattr(calibration, key))
        assert getattr(back, key).dtype == np.float32


def test_a_failed_save_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, calibration: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "hall.cal"
    save(calibration, target)
    before = target.read_bytes()

    def full(file: object, **_: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(InputError, match="No space left"):
        save(replace(calibration, rate=1), target)
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]
    with pytest.raises(InputError, match="cannot be written"):
        save(calibration, tmp_path / "nowhere" / "hall.cal")


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load(path)
    assert caught.value.place == str(path)
    assert "\n" not in str(caught.value)
    return caught.value.problem


def test_what_is_no_calibration_is_refused(tmp_path: Path, calibration: Calibration) -> None:
    path = tmp_path / "hall"
    assert "no such file" in refused(path)
    assert "cannot be read" in refused(tmp_path)
    for content in (b"", b"RIFF....WAVE", b"PK\x03\x04 broken", b"\x80\x04K\x01."):
        path.write_bytes(content)
        assert "not a calibration" in refused(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    assert "not a calibration" in refused(path)
    with path.open("wb") as file:
        np.savez(file, paths=np.zeros(3))
    assert "not a calibration" in refused(path)
    save(calibration, path)
    whole = path.read_bytes()
    for end in range(0, len(whole), 97):
        path.write_bytes(whole[:end])
        refused(path)
    flipped = bytearray(whole)
    at = whole.index(calibration.paths.tobytes())
    flipped[at + 5] ^= 0xFF
    path.write_bytes(flipped)
    assert "damaged" in refused(path)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("schema", np.int64(2), "schema 2"),
        ("schema", np.array("1"), "schema 1"),
        ("rate", np.int64(0), "rate 0"),
        ("rate", np.float64(48000.5), "rate 48000.5"),
        ("names", np.array(["a", "b", "c"]), "paths is"),
        ("names", np.array([1, 2]), "names"),
        ("names", np.array(["a", "a"]), "twice"),
        ("names", np.array(["a", "b\x1b[2J"]), "cannot be shown"),
        ("names", np.array(["a", None], dtype=object), "not a calibration"),
        ("paths", np.zeros((2, 2, 0), dtype=np.float32), "paths is"),
        ("paths", np.zeros((2, 2, 8)), "paths is"),
        ("paths", np.full((2, 2, 8), np.nan, dtype=np.float32), "not finite"),
        ("paths", np.ones((2, 2, 8), dtype=np.float32), "path to itself"),
        ("noise_db", np.zeros(3, dtype=np.float32), "noise_db is"),
        ("noise_db", np.full(2, -np.inf, dtype=np.float32), "not finite"),
        ("confidence", np.zeros(2, dtype=np.float32), "confidence is"),
        ("confidence", np.full((2, 2), 1.5, dtype=np.float32), "confidence 1.5"),
    ],
)
def test_a_wrong_field_is_refused(
    tmp_path: Path, calibration: Calibration, key: str, value: NDArray[np.generic], problem: str
) -> None:
    fields = {
        "schema": np.int64(1),
        "rate": np.int64(48000),
        "names": np.array(calibration.names),
        "paths": calibration.paths,
        "noise_db": calibration.noise_db,
        "confidence": calibration.confidence,
    }
    path = tmp_path / "hall.npz"
    np.savez(path, **fields)
    load(path)
    np.savez(path, **(fields | {key: value}))
    assert problem in refused(path)


def test_a_calibration_of_another_rate_is_refused(calibration: Calibration) -> None:
    check(calibration, 48000)
    with pytest.raises(InputError, match="48000 Hz, but the run is at 44100 Hz"):
        check(calibration, 44100)
