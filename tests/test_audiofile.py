"""Recordings as streams: what is read, what is refused, and that nothing is left of what fails."""

from __future__ import annotations

import os
import pathlib
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile

from rtsep.audiofile import open_input, open_output, refuse_same
from rtsep.errors import InputError

RATE = 48000


def noise(channels: int, frames: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal((channels, frames))).astype(np.float32)


def tree(folder: pathlib.Path) -> dict[str, bytes | None]:
    """Return everything under a folder, hidden files too."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def refused_in(path: object, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        open_input(str(path)).close()
    said(caught.value, *words)


def refused_out(path: object, *words: str, channels: int = 2, frames: int = 100, **options: str) -> None:
    with pytest.raises(InputError) as caught:
        open_output(str(path), RATE, channels, [f"m{i}" for i in range(channels)], frames, **options).abort()
    said(caught.value, *words)


def said(error: InputError, *words: str) -> None:
    message = str(error)
    assert "\n" not in message
    assert error.allowed
    assert all(word in message for word in words), message


@pytest.fixture
def nobody() -> Iterator[pathlib.Path]:
    """Run as a user without rights, in a folder that this user may enter."""
    # Only root may enter pytest's own folders.
    root = pathlib.Path(tempfile.mkdtemp())
    if os.geteuid():
        yield root
    else:
        os.chown(root, 65534, 65534)
        os.setresuid(65534, 65534, 0)  # the real one too: os.access asks for it
        try:
            yield root
        finally:
            os.setresuid(0, 0, 0)
    for folder in [root, *root.rglob("*")]:
        folder.chmod(0o755)
    shutil.rmtree(root)


@pytest.mark.parametrize("suffix", ["wav", "flac", "rf64", "w64"])
def test_a_polyphonic_file_streams_as_it_reads_whole(tmp_path: pathlib.Path, suffix: str) -> None:
    path = tmp_path / f"concert.{suffix}"
    x = noise(5, 10_007)
    soundfile.write(path, x.T, 44100, "PCM_24", format=suffix.upper())
    whole = soundfile.read(path, dtype="float32")[0].T
    for step in (1000, 4096, 20_000):
        with open_input(str(path)) as source:
            assert (source.rate, source.channels, source.frames) == (44100, 5, 10_007)
            assert source.names == ("mic1", "mic2", "mic3", "mic4", "mic5")
            blocks = []
            while (block := source.read(step)).shape[1]:
                assert block.dtype == np.float32
                assert block.flags.c_contiguous
                blocks.append(block)
            assert [b.shape[1] for b in blocks[:-1]] == [step] * (len(blocks) - 1)
            assert np.array_equal(np.hstack(blocks), whole)
            assert source.read(1).shape == (5, 0)
            source.seek(5000)
            assert np.array_equal(source.read(10), whole[:, 5000:5010])
            source.seek(0)
            assert np.array_equal(source.read(10), whole[:, :10])


def test_blocks_are_the_readers_own(tmp_path: pathlib.Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(1, 100).T, RATE, "FLOAT")
    with open_input(str(tmp_path / "a.wav")) as source:
        first = source.read(50)
        kept = first.copy()
        source.read(50)
        assert np.array_equal(first, kept)


def test_a_folder_is_read_in_natural_order(tmp_path: pathlib.Path) -> None:
    order = ["1-kick", "02 Snare", "10_kick", "11-vox.lead", "100-OH = L"]
    for i, name in enumerate(order):
        soundfile.write(tmp_path / f"{name}.wav", np.full(50, (i + 1) / 8), RATE, "FLOAT")
    (tmp_path / "notes.txt").write_text("hi")
    (tmp_path / "._1-kick.wav").write_bytes(b"a resource fork")
    (tmp_path / "old.wav").mkdir()
    with open_input(str(tmp_path)) as source:
        assert source.names == ("kick", "Snare", "kick-2", "vox-lead", "OH-L")
        assert list(source.read(1)[:, 0]) == [1 / 8, 2 / 8, 3 / 8, 4 / 8, 5 / 8]


def test_names_are_never_numbers_nor_twice(tmp_path: pathlib.Path) -> None:
    """`spectral.range_db.3` is the third microphone, whatever a file is called."""
    for name in ("3", "04", "5-5", "a", "a-2", "b", "b ", "7-a"):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(5), RATE)
    with open_input(str(tmp_path)) as source:
        assert len(set(source.names)) == 8
        assert not any(name.isdecimal() for name in source.names)
        assert all(name and name.isprintable() for name in source.names)


def test_shorter_files_of_a_folder_end_in_silence(tmp_path: pathlib.Path) -> None:
    long, short = noise(2, 1000)
    soundfile.write(tmp_path / "1.wav", short[:300], RATE, "FLOAT")
    soundfile.write(tmp_path / "2.wav", long, RATE, "FLOAT")
    expected = np.stack([np.concatenate([short[:300], np.zeros(700, np.float32)]), long])
    with open_input(str(tmp_path)) as source:
        assert source.frames == 1000
        parts = [source.read(128) for _ in range(9)]
        assert np.array_equal(np.hstack(parts), expected)
        for frame in (290, 500, 1000):
            source.seek(frame)
            assert np.array_equal(source.read(5000), expected[:, frame:])


def test_memory_does_not_grow_with_the_recording(tmp_path: pathlib.Path) -> None:
    """A two-hour, 32-channel session, as holes in a file: 44 GB that are never in memory."""
    path = tmp_path / "long.rf64"
    frames = 2 * 3600 * RATE
    try:
        with soundfile.SoundFile(path, "w", RATE, 32, "FLOAT", format="RF64") as file:
            file.write(np.zeros((1, 32), np.float32))
            header = path.stat().st_size - 128
        size = header + 128 * frames
        os.truncate(path, size)
    except OSError:
        pytest.skip("this file system has no holes")
    with open(path, "rb") as raw:
        data = bytearray(raw.read(header))
    at, chunk = data.index(b"ds64"), data.index(b"data")
    data[at + 8 : at + 32] = struct.pack("<QQQ", size - 8, 128 * frames, frames)
    data[chunk + 4 : chunk + 8] = b"\xff" * 4
    with open(path, "rb+") as raw:
        raw.write(data)
    code = (
        "import resource, sys; from rtsep.audiofile import open_input\n"
        "with open_input(sys.argv[1]) as source:\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "    assert (source.channels, source.frames) == (32, 345600000), source.frames\n"
        "    for i in range(400): source.read(4096)\n"
        "    source.seek(345599000); assert source.read(4096).shape == (32, 1000)\n"
        "    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "assert grown < 20_000, grown"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)
    path.unlink()  # pytest keeps its folders, and a copy of one would fill a disk


def test_what_is_missing_or_no_audio_is_refused(tmp_path: pathlib.Path) -> None:
    refused_in(tmp_path / "none.wav", "none.wav")
    for name in ("text.wav", "text.txt", "text.raw", "text.au", "text.snd"):
        (tmp_path / name).write_text("hello\n" * 100)
        refused_in(tmp_path / name, name)
    (tmp_path / "nothing.wav").touch()
    refused_in(tmp_path / "nothing.wav", "nothing.wav")
    refused_in("a\0.wav")
    refused_in("x" * 5000 + ".wav")


def test_a_file_without_samples_or_channels_is_refused(tmp_path: pathlib.Path) -> None:
    soundfile.write(tmp_path / "empty.wav", np.zeros((0, 2)), RATE)
    refused_in(tmp_path / "empty.wav", "empty.wav", "no samples")
    wav = bytearray((tmp_path / "empty.wav").read_bytes())
    wav[22:24] = b"\0\0"
    (tmp_path / "mute.wav").write_bytes(wav)
    refused_in(tmp_path / "mute.wav", "mute.wav", "hannel")


def test_a_file_that_is_damaged_in_its_middle_is_refused_there(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "hole.flac"
    soundfile.write(path, noise(2, 48000).T, RATE)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = bytes(20_000)
    path.write_bytes(data)
    with open_input(str(path)) as source:
        source.read(4096)
        with pytest.raises(InputError, match=r"hole\.flac: is damaged"):
            source.read(48000)


def test_what_may_not_be_read_is_refused(nobody: pathlib.Path) -> None:
    folder, file = nobody / "locked", nobody / "locked.wav"
    soundfile.write(file, np.zeros(10), RATE)
    folder.mkdir()
    soundfile.write(folder / "a.wav", np.zeros(10), RATE)
    (folder / "a.wav").chmod(0)
    refused_in(folder, "a.wav", "denied")
    folder.chmod(0)
    refused_in(folder, "locked", "denied")
    refused_in(folder / "a.wav", "a.wav", "denied")
    file.chmod(0)
    refused_in(file, "locked.wav", "denied")


def test_a_pipe_is_refused_at_once(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    code = "import sys; from rtsep.audiofile import open_input; open_input(sys.argv[1])"
    command = [sys.executable, "-c", code, str(tmp_path / "pipe.wav")]
    done = subprocess.run(command, capture_output=True, timeout=10, check=False)
    assert b"InputError" in done.stderr


def test_a_folder_must_hold_mono_files_of_one_rate(tmp_path: pathlib.Path) -> None:
    refused_in(tmp_path, str(tmp_path))
    (tmp_path / "notes.txt").touch()
    refused_in(tmp_path, str(tmp_path))
    soundfile.write(tmp_path / "1.wav", np.zeros(10), RATE)
    open_input(str(tmp_path)).close()
    soundfile.write(tmp_path / "2.wav", np.zeros((10, 2)), RATE)
    refused_in(tmp_path, "2.wav", "2 channels", "mono")
    soundfile.write(tmp_path / "2.wav", np.zeros(10), 44100)
    refused_in(tmp_path, "2.wav", "44100", "48000")
    (tmp_path / "2.wav").write_text("hi")
    refused_in(tmp_path, "2.wav")


def test_a_refused_folder_leaves_no_file_open(tmp_path: pathlib.Path) -> None:
    for i in range(5):
        soundfile.write(tmp_path / f"{i}.wav", np.zeros(10), RATE)
    soundfile.write(tmp_path / "9.wav", np.zeros((10, 2)), RATE)
    before = len(os.listdir("/proc/self/fd"))
    refused_in(tmp_path, "9.wav")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE", "PCM_16", "PCM_24", "PCM_32"])
@pytest.mark.parametrize("name", ["out.wav", "OUT.WAV", "out.rf64", "out.w64", "out"])
def test_what_is_written_reads_back(tmp_path: pathlib.Path, name: str, subtype: str) -> None:
    x = noise(3, 5000)
    with open_output(str(tmp_path / name), RATE, 3, ("kick", "snare", "a/b"), 5000, subtype) as target:
        for first in range(0, 5000, 999):
            target.write(np.ascontiguousarray(x[:, first : first + 999]))
        assert not (tmp_path / name).exists()
    assert [p.name for p in tmp_path.iterdir()] == [name]
    with open_input(str(tmp_path / name)) as source:
        assert (source.rate, source.channels, source.frames) == (RATE, 3, 5000)
        y = source.read(5000)
    error = {"PCM_16": 2**-15, "PCM_24": 2**-23, "PCM_32": 2**-24}.get(subtype, 0)
    assert np.abs(x - y).max() <= error
    part = tmp_path / name if name != "out" else tmp_path / name / "01-kick.wav"
    assert soundfile.info(part).subtype == subtype
    if name == "out":
        found = sorted(p.name for p in part.parent.iterdir())
        assert found[:2] == ["01-kick.wav", "02-snare.wav"]
        assert len(found) == 3
        assert source.names[:2] == ("kick", "snare")


def test_names_of_100_microphones_stay_in_order(tmp_path: pathlib.Path) -> None:
    names = ["snare"] * 98 + ["../../x", "é" * 300]
    with open_output(str(tmp_path / "out"), RATE, 100, names, 1) as target:
        target.write(np.zeros((100, 1), np.float32))
    found = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert len(found) == 100
    assert found[0] == "001-snare.wav"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_flac_is_24_bit_and_has_8_channels(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "out.flac"
    x = noise(8, 100)
    with open_output(str(path), RATE, 8, ["m"] * 8, 100, "PCM_24") as target:
        target.write(x)
    assert soundfile.info(path).subtype == "PCM_24"
    refused_out(tmp_path / "o.flac", "9", "8", channels=9, subtype="PCM_16")
    refused_out(tmp_path / "o.flac", "FLOAT", "PCM_24", subtype="FLOAT")
    refused_out(tmp_path / "o.flac", "PCM_32", "PCM_16, PCM_24", subtype="PCM_32")
    refused_out(tmp_path / "o.wav", "MP3", "FLOAT", "PCM_24", subtype="MP3")
    refused_out(tmp_path / "o.wav", "ULAW", subtype="ULAW")
    assert list(tree(tmp_path)) == ["out.flac"]


def test_flac_without_a_subtype_is_24_bit(tmp_path: pathlib.Path) -> None:
    with open_output(str(tmp_path / "out.flac"), RATE, 1, ["m"], 10) as target:
        target.write(noise(1, 10))
    assert soundfile.info(tmp_path / "out.flac").subtype == "PCM_24"


def test_suffixes_that_look_like_audio_do_not_become_folders(tmp_path: pathlib.Path) -> None:
    for suffix in ("mp3", "ogg", "aiff", "MP3"):
        refused_out(tmp_path / f"out.{suffix}", suffix, ".wav")
    assert not tree(tmp_path)


def test_too_loud_samples_do_not_wrap(tmp_path: pathlib.Path) -> None:
    with open_output(str(tmp_path / "a.wav"), RATE, 1, ["m"], 2, "PCM_16") as target:
        target.write(np.array([[2, -2]], np.float32))
    assert list(soundfile.read(tmp_path / "a.wav", dtype="int16")[0]) == [32767, -32768]


@pytest.mark.parametrize("name", ["a.wav", "a.rf64", "a.w64", "a.flac"])
def test_equal_renders_are_equal_files(tmp_path: pathlib.Path, name: str) -> None:
    found = []
    for i in range(2):
        path = tmp_path / str(i) / name
        path.parent.mkdir()
        with open_output(str(path), RATE, 2, "ab", 100, "PCM_24" if name == "a.flac" else "FLOAT") as target:
            target.write(noise(2, 100))
        found.append(path.read_bytes())
        if name == "a.wav" and not i:
            time.sleep(1.1)  # a time stamp in the file counts seconds
    assert found[0] == found[1]


def test_rf64_begins_at_2_gb(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = shutil.disk_usage(tmp_path)._replace(free=10**15)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room)
    for frames, magic in ((249_000_000, b"RIFF"), (251_000_000, b"RF64")):
        with open_output(str(tmp_path / "a.wav"), RATE, 2, "ab", frames) as target:
            target.write(noise(2, 10))
        assert (tmp_path / "a.wav").read_bytes()[:4] == magic
        with open_output(str(tmp_path / f"f{frames}"), RATE, 2, "ab", 2 * frames) as target:
            target.write(noise(2, 10))
        assert (tmp_path / f"f{frames}" / "01-a.wav").read_bytes()[:4] == magic


@pytest.mark.parametrize("name", ["out.wav", "out"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_what_is_interrupted_leaves_everything_as_it_was(
    tmp_path: pathlib.Path, name: str, error: type[BaseException]
) -> None:
    if name == "out":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_text("the old one")
    before = tree(tmp_path)

    def interrupted() -> None:
        with open_output(str(tmp_path / name), RATE, 2, "ab", 10**4) as target:
            target.write(noise(2, 5000))
            assert tree(tmp_path) != before
            raise error

    with pytest.raises(error):
        interrupted()
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["out.wav", "out"])
def test_a_commit_that_is_interrupted_leaves_everything_as_it_was(
    tmp_path: pathlib.Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "out.wav":
        (tmp_path / name).write_text("the old one")
    before = tree(tmp_path)
    for error in (KeyboardInterrupt(), OSError(28, "No space left on device")):

        def fail(*_: object, error: BaseException = error) -> None:
            raise error

        for function in ("os.replace", "os.fsync"):
            with monkeypatch.context() as patch:
                patch.setattr(function, fail)
                with (
                    pytest.raises((KeyboardInterrupt, InputError)),
                    open_output(str(tmp_path / name), RATE, 2, "ab", 100) as target,
                ):
                    target.write(noise(2, 100))
            assert tree(tmp_path) == before


def test_commit_replaces_the_old_file_and_abort_after_it_does_nothing(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "out.wav"
    path.write_text("the old one")
    target = open_output(str(path), RATE, 1, "a", 10)
    target.write(noise(1, 10))
    target.commit()
    target.abort()
    assert soundfile.info(path).frames == 10
    again = open_output(str(path), RATE, 1, "a", 10)
    again.abort()
    again.abort()
    assert list(tree(tmp_path)) == ["out.wav"]
    assert stat.S_IMODE(path.stat().st_mode) & 0o444


def test_a_link_is_followed_not_replaced(tmp_path: pathlib.Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "real.wav").write_text("the old one")
    (tmp_path / "out.wav").symlink_to("disk/real.wav")
    with open_output(str(tmp_path / "out.wav"), RATE, 1, "a", 10) as target:
        target.write(noise(1, 10))
    assert (tmp_path / "out.wav").is_symlink()
    assert soundfile.info(tmp_path / "disk" / "real.wav").frames == 10


def test_a_disk_too_small_is_refused_at_once(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = shutil.disk_usage(tmp_path)._replace(free=900_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room)
    for name in ("out.wav", "out"):
        refused_out(tmp_path / name, "MB", frames=120_000)
        open_output(str(tmp_path / name), RATE, 2, "ab", 100_000).abort()
    assert not tree(tmp_path)


@pytest.mark.parametrize("name", ["out.wav", "out.flac", "out"])
def test_a_disk_that_fills_up_is_one_line_and_leaves_nothing(tmp_path: pathlib.Path, name: str) -> None:
    """A limit on the size of files fails as a full disk does, in the middle of a write."""
    code = (
        "import resource, sys; import numpy as np; from rtsep.audiofile import open_output\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "x = np.random.default_rng(0).uniform(-1, 1, (2, 4096)).astype('f4')\n"
        "subtype = 'PCM_24' if sys.argv[1].endswith('flac') else 'FLOAT'\n"
        "with open_output(sys.argv[1], 48000, 2, 'ab', 409600, subtype) as target:\n"
        "    for _ in range(100): target.write(x)"
    )
    if name != "out":
        (tmp_path / name).write_text("the old one")
    before = tree(tmp_path)
    done = subprocess.run([sys.executable, "-c", code, tmp_path / name], capture_output=True, text=True, check=False)
    assert "rtsep.errors.InputError: " in done.stderr.splitlines()[-1]
    assert name in done.stderr.splitlines()[-1]
    assert tree(tmp_path) == before


def test_a_write_that_comes_to_nothing_is_seen_at_commit(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = open_output(str(tmp_path / "out.wav"), RATE, 1, "a", 100)
    target.write(noise(1, 50))
    monkeypatch.setattr(soundfile.SoundFile, "write", lambda *_: None)
    target.write(noise(1, 50))
    with pytest.raises(InputError):
        target.commit()
    assert not tree(tmp_path)


def test_places_that_cannot_be_written_are_refused(tmp_path: pathlib.Path) -> None:
    refused_out(tmp_path / "nowhere" / "out.wav", "nowhere")
    refused_out(tmp_path / "nowhere" / "out", "nowhere")
    (tmp_path / "out.wav").mkdir()
    refused_out(tmp_path / "out.wav", "out.wav")
    (tmp_path / "file").touch()
    refused_out(tmp_path / "file", "file")
    refused_out(tmp_path / "file" / "out.wav", "file")
    os.mkfifo(tmp_path / "pipe.wav")
    refused_out(tmp_path / "pipe.wav", "pipe.wav")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    refused_out(tmp_path / "full", "full", "empty")
    refused_out(tmp_path / ("x" * 300 + ".wav"), "x")
    refused_out("a\0.wav")
    refused_out(tmp_path / "many.wav", "many.wav", channels=2000)
    assert sorted(tree(tmp_path)) == ["file", "full", "full/notes.txt", "out.wav", "pipe.wav"]


def test_folders_without_the_right_to_write_are_refused(nobody: pathlib.Path) -> None:
    folder = nobody / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    refused_out(folder / "out.wav", "locked")
    refused_out(folder / "out", "locked")
    assert not list(folder.iterdir())


def test_a_write_protected_file_is_not_replaced(nobody: pathlib.Path) -> None:
    (nobody / "keep.wav").write_text("keep")
    (nobody / "keep.wav").chmod(0o444)
    refused_out(nobody / "keep.wav", "keep.wav")


def test_a_folder_that_fills_meanwhile_is_not_lost(tmp_path: pathlib.Path) -> None:
    target = open_output(str(tmp_path / "out"), RATE, 1, "a", 10)
    target.write(noise(1, 10))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(InputError):
        target.commit()
    assert tree(tmp_path) == {"out": None, "out/notes.txt": b"mine"}


def test_blocks_that_do_not_fit_are_a_mistake_of_the_caller(tmp_path: pathlib.Path) -> None:
    target = open_output(str(tmp_path / "out.wav"), RATE, 2, "ab", 10)
    for block in (noise(3, 5), noise(2, 11), noise(2, 5).astype(np.float64), noise(2, 5)[0]):
        with pytest.raises(ValueError, match=r"frames|float"):
            target.write(block)
    target.abort()
    with pytest.raises(ValueError, match="closed"):
        target.write(noise(2, 5))
    with pytest.raises(ValueError, match="names"):
        open_output(str(tmp_path / "out.wav"), RATE, 2, "abc", 10)


def test_the_output_may_not_be_the_input(tmp_path: pathlib.Path) -> None:
    file, folder = tmp_path / "in.wav", tmp_path / "in"
    soundfile.write(file, np.zeros(10), RATE)
    folder.mkdir()
    soundfile.write(folder / "1.wav", np.zeros(10), RATE)
    (tmp_path / "link.wav").symlink_to(file)
    (tmp_path / "linked").symlink_to(folder)
    os.link(file, tmp_path / "hard.wav")
    os.link(folder / "1.wav", tmp_path / "hard1.wav")
    (folder / "sub").mkdir()
    same = [
        (file, file), (file, tmp_path / "in" / ".." / "in.wav"), (file, tmp_path / "link.wav"),
        (tmp_path / "link.wav", file), (file, tmp_path / "hard.wav"), (folder, folder), (folder, f"{folder}/"),
        (folder, tmp_path / "linked"), (tmp_path / "linked", folder), (folder, folder / "out"),
        (folder, folder / "out.wav"), (folder, tmp_path / "linked" / "out.wav"), (folder, folder / "1.wav"),
        (folder, folder / "sub" / "out.wav"), (folder, tmp_path / "hard1.wav"),
    ]  # fmt: skip
    for source, target in same:
        with pytest.raises(InputError) as caught:
            refuse_same(str(source), str(target))
        said(caught.value)
    others = [
        (file, tmp_path / "out.wav"), (file, tmp_path / "out"), (folder, tmp_path / "in2"),
        (folder, tmp_path / "in.wav2"), (folder, tmp_path / "out.wav"), (file, folder / "out.wav"),
        (tmp_path / "none.wav", tmp_path / "out.wav"),
    ]  # fmt: skip
    for source, target in others:
        refuse_same(str(source), str(target))


def test_the_output_may_not_hold_the_input(tmp_path: pathlib.Path) -> None:
    """A folder around the input is never empty, so `open_output` refuses it."""
    folder = tmp_path / "in"
    folder.mkdir()
    soundfile.write(folder / "1.wav", np.zeros(10), RATE)
    for around in (tmp_path, folder):
        with pytest.raises(InputError, match="not empty"):
            open_output(str(around), RATE, 1, ("a",), 10)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    assert [p.name for p in folder.iterdir()] == ["1.wav"]


def test_audio_files_are_light_to_import() -> None:
    code = "import sys, rtsep.audiofile; sys.exit(bool({'numba', 'soundfile'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
