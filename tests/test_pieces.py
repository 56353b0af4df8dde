"""Folders as recorders write them: what is joined, what is not, and what is said of it."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from chunks import RATE, bext, chunk, opened, write

from rtsep.audiofile import numbering, open_input
from rtsep.errors import InputError

LONG, SHORT = 2000, 1300   # frames
X = (0.1 * np.random.default_rng(5).standard_normal((6, 8000))).astype(np.float32)


def cut(folder: pathlib.Path, pattern: str, numbers: list[int], x: np.ndarray, length: int = LONG) -> None:
    """Write sound in pieces of that length; a number of -1 is a file without one."""
    for i, number in enumerate(numbers):
        name = pattern.partition("{")[0].rstrip(" ._-(#") if number < 0 else pattern.format(number)
        write(folder / f"{name}.wav", np.atleast_2d(x)[:, i * length : (i + 1) * length])


@pytest.mark.parametrize(("pattern", "numbers", "channels"), [
    ("{:08}", [1, 2], 4),               # X-LIVE
    ("{:08}", [1, 2, 3], 2),
    ("Session_{}", [1, 2], 3),
    ("MixPre-001_{:04}", [-1, 1, 2], 2),
    ("REC{}", [9, 10, 11], 2),          # by number, not by letters
    ("concert part {}", [1, 2], 2),
])
def test_pieces_of_a_polyphonic_recording_are_joined(
    tmp_path: pathlib.Path, pattern: str, numbers: list[int], channels: int
) -> None:
    frames = (len(numbers) - 1) * LONG + SHORT
    cut(tmp_path, pattern, numbers, X[:channels, :frames])
    (tmp_path / "SE_LOG.BIN").write_bytes(b"log")
    source, lines = opened(tmp_path)
    with source:
        assert source.names == tuple(f"mic{c + 1}" for c in range(channels))
        assert np.array_equal(source.read(99999), X[:channels, :frames])
    assert len(lines) == 1
    assert "joined in order" in lines[0]


@pytest.mark.parametrize(("pattern", "numbers", "names"), [
    ("Tr{mic}-{{:04}}", [-1, 1], ("Tr1", "Tr2")),                              # Zoom
    ("ZOOM0001_Tr{mic}-{{:04}}", [-1, 1, 2], ("ZOOM0001_Tr1", "ZOOM0001_Tr2")),
    ("T{mic}_{{:03}}", [1, 2], ("T1", "T2")),
    ("Kick{mic} ({{:03}})", [-1, 2, 3], ("Kick1", "Kick2")),
])
@pytest.mark.parametrize("last", [LONG, SHORT])
def test_continued_tracks_are_joined_and_stay_microphones(
    tmp_path: pathlib.Path, pattern: str, numbers: list[int], names: tuple[str, ...], last: int
) -> None:
    frames = (len(numbers) - 1) * LONG + last
    for mic in (1, 2):
        cut(tmp_path, pattern.format(mic=mic), numbers, X[mic, :frames])
    source, lines = opened(tmp_path)
    with source:
        assert (source.names, source.frames) == (names, frames)
        assert np.array_equal(source.read(99999), X[1:3, :frames])
    assert len(lines) == 1
    assert "joined in order" in lines[0]


@pytest.mark.parametrize(("pattern", "numbers"), [("Kick_{}", [1, 2]), ("Kick-{:02}", [1, 2, 3]), ("Kick{}", [-1, -1])])
def test_weaker_names_need_lengths_of_pieces(tmp_path: pathlib.Path, pattern: str, numbers: list[int]) -> None:
    """All tracks in step, each piece as long as the first but for a shorter last one: so recorders cut, not players."""
    if "{}" in pattern and numbers == [-1, -1]:
        for mic, name in ((1, "Kick"), (2, "Snare")):
            write(tmp_path / f"{name}.wav", X[mic, :LONG])
            write(tmp_path / f"{name}_1.wav", X[mic, LONG : LONG + SHORT])
        numbers = [0, 1]
    else:
        for mic, name in ((1, "Kick"), (2, "Snare")):
            frames = (len(numbers) - 1) * LONG + SHORT
            cut(tmp_path, pattern.replace("Kick", name), numbers, X[mic, :frames])
    frames = (len(numbers) - 1) * LONG + SHORT
    source, lines = opened(tmp_path)
    with source:
        assert source.names == ("Kick", "Snare")
        assert np.array_equal(source.read(99999), X[1:3, :frames])
    assert "joined" in lines[0]


@pytest.mark.parametrize("names", [
    ("180101_0001", "180101_0002"), ("rec_1", "rec_2", "rec_3"), ("00000001", "00000002"),
])
def test_one_track_with_a_recorders_name_needs_a_shorter_end(tmp_path: pathlib.Path, names: tuple[str, ...]) -> None:
    for name in names:
        write(tmp_path / f"{name}.wav", X[0, :LONG])
    source, lines = opened(tmp_path)
    source.close()
    assert source.channels == len(names)
    assert len(lines) == (names[0] != "rec_1")
    write(tmp_path / f"{names[-1]}.wav", X[0, :SHORT])
    source, lines = opened(tmp_path)
    source.close()
    assert (source.channels, source.frames) == (1, (len(names) - 1) * LONG + SHORT)


@pytest.mark.parametrize(("names", "lengths", "said"), [
    (("vox take 1", "vox take 2"), (LONG, LONG), "look like takes"),
    (("vox_v1", "vox_v2"), (LONG, SHORT), "look like takes"),
    (("take 1", "take 2", "take 3"), (LONG, LONG, SHORT), "look like takes"),
    (("Tr1-01", "Tr1-02"), (LONG, LONG), "look like takes"),
    (("vox_1", "vox_2"), (SHORT, LONG), "look like takes"),
    (("Kick_1", "Snare_1", "Kick_2", "Snare_2"), (LONG,) * 4, "look like takes"),
    (("ZOOM0001_Tr1", "ZOOM0001_Tr2", "ZOOM0002_Tr1", "ZOOM0002_Tr2"), (LONG, LONG, SHORT, SHORT), "look like takes"),
    (("tom 1", "tom 2", "tom 3"), (LONG, LONG, SHORT), "look like takes"),
    (("tom 1", "tom 2", "kick"), (LONG,) * 3, ""),
    (("T001_1", "T001_2", "T001_3"), (LONG,) * 3, ""),                   # Sound Devices: tracks of one take
    (("Tr1_1", "Tr1_2"), (LONG,) * 2, "look like takes"),
    (("Gtr1_DI", "Gtr2_DI", "ch1-vox", "ch2-vox"), (LONG,) * 4, ""),
    (("Gig_1", "gig_01"), (LONG, SHORT), "look like takes"),
    (("Track 1", "Track 2", "Track_03"), (LONG, SHORT, LONG), ""),
    (("1", "2", "10"), (LONG, SHORT, LONG), ""),
    (("Tr1", "Tr2", "ch-01", "ch-02"), (LONG,) * 4, ""),
    (("01-kick", "02-kick-2", "03-snare"), (LONG,) * 3, ""),
])
def test_what_may_be_microphones_stays_so_and_takes_are_told(
    tmp_path: pathlib.Path, names: tuple[str, ...], lengths: tuple[int, ...], said: str
) -> None:
    for row, name, length in zip(X, names, lengths, strict=False):
        write(tmp_path / f"{name}.wav", row[:length])
    source, lines = opened(tmp_path)
    with source:
        assert (source.channels, source.frames) == (len(names), LONG)
    assert len(lines) == bool(said)
    assert not said or said in lines[0]


@pytest.mark.parametrize(("names", "lengths", "channels", "words"), [
    (("00000001", "00000003"), (LONG, SHORT), 4, ("00000003.wav", "no 2")),
    (("Tr1", "Tr1-0002", "Tr1-0003"), (LONG, LONG, LONG), 1, ()),
    (("Tr1", "Tr1-0001", "Tr1-0003"), (LONG, LONG, LONG), 1, ("Tr1-0003.wav", "no 2")),
    (("Tr1_0001", "Tr1_0002", "Tr2_0001", "Tr2_0003"), (LONG,) * 4, 1, ("Tr2_0003.wav", "no 2")),
    (("00000001", "00000002"), (SHORT, LONG), 4, ("00000002.wav", "0.2 s", "takes")),
    (("00000001", "00000002", "00000003"), (LONG, SHORT, LONG), 4, ("00000002.wav", "0.2 s")),
    (("Tr1", "Tr1-0001"), (SHORT, LONG), 1, ("Tr1-0001.wav", "0.2 s")),
    (("take 1", "take 2"), (LONG, LONG), 2, ("take 2.wav", "take")),
    (("00000001", "1"), (LONG, LONG), 2, ("is piece 1, and so is",)),
    (("a", "b"), (LONG, LONG), 2, ("a.wav", "2 channels", "mono files")),
])
def test_what_does_not_fit_is_refused(
    tmp_path: pathlib.Path, names: tuple[str, ...], lengths: tuple[int, ...], channels: int, words: tuple[str, ...]
) -> None:
    for name, length in zip(names, lengths, strict=True):
        write(tmp_path / f"{name}.wav", X[:channels, :length])
    if not words:   # `x`, `x-0002`: that one counts from 1
        opened(tmp_path)[0].close()
        return
    with pytest.raises(InputError) as caught:
        open_input(tmp_path)
    assert str(caught.value).isprintable()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_pieces_of_another_format_are_refused(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "00000001.wav", X[:4, :LONG])
    write(tmp_path / "00000002.wav", X[:3, :SHORT])
    with pytest.raises(InputError, match=r"00000002.wav: has 3 channels .* has 4"):
        open_input(tmp_path)


def test_a_session_of_one_file_is_that_file(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "00000001.WAV", X[:4, :LONG])
    source, lines = opened(tmp_path)
    with source:
        assert np.array_equal(source.read(99999), X[:4, :LONG])
    assert not lines


def test_files_that_were_full_are_pieces(tmp_path: pathlib.Path) -> None:
    """Two mono files of 2 GiB and less, as holes: the first one ended where a file had to."""
    for name, size in (("vox_1", (1 << 31) - 1000), ("vox_2", 100_000)):
        with soundfile.SoundFile(tmp_path / f"{name}.wav", "w", RATE, 1, "FLOAT") as file:
            file.write(X[0, :100])
        path = tmp_path / f"{name}.wav"
        header = path.stat().st_size - 400
        os.truncate(path, size)
        raw = bytearray(path.open("rb").read(header))
        at = raw.index(b"data")
        raw[4:8], raw[at + 4 : at + 8] = (n.to_bytes(4, "little") for n in (size - 8, size - header))
        with open(path, "rb+") as file:
            file.write(raw)
    source, lines = opened(tmp_path)
    with source:
        first = ((1 << 31) - 1000 - header) // 4
        assert (source.channels, source.frames) == (1, first + (100_000 - header) // 4)
        source.seek(first - 3)
        assert np.array_equal(source.read(10)[0], [0, 0, 0, *X[0, :7]])
    assert "joined" in lines[0]
    for name in ("vox_1", "vox_2"):
        (tmp_path / f"{name}.wav").unlink()   # pytest keeps its folders, and a copy of one would fill a disk


@pytest.mark.parametrize(("second", "joined"), [(1000 + LONG, True), (1000 + LONG + 40, True), (1000, False)])
def test_time_stamps_tell_pieces_from_takes(tmp_path: pathlib.Path, second: int, joined: bool) -> None:
    write(tmp_path / "vox_1.wav", X[0, :LONG], chunk(b"bext", bext(1000)))
    write(tmp_path / "vox_2.wav", X[0, LONG : 2 * LONG + 9], chunk(b"bext", bext(second)))
    source, lines = opened(tmp_path)
    source.close()
    assert source.channels == (1 if joined else 2)
    assert ("joined in order" in lines[0]) == joined


def test_polyphonic_files_that_ran_at_once_are_no_pieces(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "A_1.wav", X[:2, :LONG], chunk(b"bext", bext(1000)))
    write(tmp_path / "A_2.wav", X[2:4, :LONG], chunk(b"bext", bext(1001)))
    with pytest.raises(InputError, match=r"A_2.wav: begins 0.2 s before the file in front of it has ended"):
        open_input(tmp_path)


@pytest.mark.parametrize("lead", [0, 7])
def test_seams_are_exact_wherever_one_reads(tmp_path: pathlib.Path, lead: int) -> None:
    """Against the whole in memory: every block length across every seam, and from every place near one."""
    cut(tmp_path, "Tr1-{:04}", [-1, 1, 2], X[0, :250], 100)
    write(tmp_path / "vox.wav", X[1, :250])
    if lead:
        write(tmp_path / "Tr1.wav", X[0, :100], chunk(b"bext", bext(50 + lead)))
        write(tmp_path / "vox.wav", X[1, :250], chunk(b"bext", bext(50)))
    expected = np.zeros((2, 250 + lead), np.float32)
    expected[0, lead:], expected[1, :250] = X[0, :250], X[1, :250]
    source, _ = opened(tmp_path)
    with source:
        for step in (1, 33, 100, 101, 1000):
            source.seek(0)
            blocks = [source.read(step) for _ in range(-(-source.frames // step))]
            assert np.array_equal(np.hstack(blocks), expected)
        for frame in (0, lead, 99, 100, 101, 199 + lead, 200 + lead, 240, 3, 199, 250 + lead):
            source.seek(frame)
            assert np.array_equal(source.read(60), expected[:, frame : frame + 60])


def test_a_piece_that_ends_too_soon_is_named(tmp_path: pathlib.Path) -> None:
    cut(tmp_path, "{:08}", [1, 2], X[:2, : LONG + SHORT])
    source, _ = opened(tmp_path)
    write(tmp_path / "00000002.wav", X[:2, :10])
    with source, pytest.raises(InputError, match=r"00000002\.wav"):
        source.read(99999)


def test_neither_memory_nor_open_files_grow_with_pieces(tmp_path: pathlib.Path) -> None:
    for mic in (1, 2, 3):
        cut(tmp_path, f"Tr{mic}-{{:04}}", list(range(1, 41)), np.zeros(40 * LONG))
    code = (
        "import os, resource, sys, warnings; from rtsep.audiofile import open_input\n"
        "warnings.simplefilter('ignore')\n"
        "with open_input(sys.argv[1]) as source:\n"
        "    assert (source.channels, source.frames) == (3, 80000)\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "    for i in range(200): source.seek(400 * i % 79000); source.read(1000)\n"
        "    assert len(os.listdir('/proc/self/fd')) < 12\n"
        "    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True)


def test_many_files_cost_no_time_and_odd_names_no_crash() -> None:
    odd = [
        "", "(", "-1", "1-", "_", "0", "x(", "take", "take 1", "Tr", "²", "x²", "x-\u0663", "x -0001)", "." * 50,
        "9" * 40,
    ]
    files = [pathlib.Path(f"{name}.wav") for name in odd] + [pathlib.Path(f"{'a-' * 60}{n}.wav") for n in range(3000)]
    for tight in (False, True):
        assert numbering.series(files, tight)
    numbering.retaken(files)
