"""Headers that lie about lengths: what is there is read, to the sample, and one line names both lengths."""

from __future__ import annotations

import os
import pathlib
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from rtsep.audiofile import containers, extent, mpeg, open_input
from rtsep.cli import main
from rtsep.errors import InputError

RATE = 48000
FRAMES = 6000
pytestmark = pytest.mark.filterwarnings("ignore::rtsep.errors.SoundWarning")

LINEAR = ["WAV", "WAVEX", "RF64", "BW64", "W64", "AIFF", "CAF", "AU"]


def noise(channels: int, frames: int = FRAMES, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal((channels, frames))).astype(np.float32)


def whole(path: pathlib.Path, kind: str, subtype: str = "PCM_24", channels: int = 2) -> np.ndarray:
    """Write a file of noise, and return what libsndfile reads in it while it is whole."""
    soundfile.write(path, noise(channels).T, RATE, subtype, format="RF64" if kind == "BW64" else kind)
    x = soundfile.read(path, dtype="float32", always_2d=True)[0].T
    if kind == "BW64":
        path.write_bytes(b"BW64" + path.read_bytes()[4:])
    return x


def start_of(data: bytes, kind: str) -> tuple[int, str, int]:
    """Return where the samples begin, how a size is written, and where the size of the samples stands."""
    if kind == "AU":
        return struct.unpack(">I", data[4:8])[0], ">I", 8
    at = data.index(b"SSND" if kind == "AIFF" else b"data")
    return {
        "AIFF": (at + 16, ">I", at + 4), "CAF": (at + 16, ">q", at + 4), "W64": (at + 24, "<Q", at + 16),
    }.get(kind, (at + 8, "<I", at + 4))


def said(data: bytearray, kind: str, size: int | None) -> None:
    """Let the header say a number of bytes of samples; None: that it does not know."""
    _, form, at = start_of(data, kind)
    head = {"AIFF": 8, "CAF": 4, "W64": 24}.get(kind, 0)
    most = (1 << 8 * struct.calcsize(form)) - 1
    raw = -1 if size is None and kind == "CAF" else most if size is None else size + head
    if kind in ("RF64", "BW64"):
        ds64 = data.index(b"ds64") + 8
        data[ds64 : ds64 + 24] = struct.pack("<QQQ", 0, size or 0, 0)
    else:
        data[at : at + struct.calcsize(form)] = struct.pack(form, raw)
    if kind == "AIFF":
        at = data.index(b"COMM") + 10
        data[at : at + 4] = struct.pack(">I", 0 if size is None else size // 6)


def read(path: pathlib.Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read in odd pieces, and jump about; return the whole and the notes."""
    with open_input(str(path)) as source:
        blocks = [source.read(997) for _ in range(-(-source.frames // 997))]
        assert source.read(1).shape[1] == 0
        x = np.hstack(blocks)
        assert x.shape == (source.channels, source.frames)
        for at in (source.frames // 3, 7, source.frames - 1, source.frames // 2, 0):
            source.seek(at)
            assert np.array_equal(source.read(500), x[:, at : at + 500])
        return x, source.notes


def told(notes: tuple[str, ...], path: pathlib.Path, *numbers: int) -> None:
    assert len(notes) == 1, notes
    assert notes[0].startswith(f"{path}: ")
    assert "\n" not in notes[0]
    for number in numbers:
        assert f"({number} samples)" in notes[0], notes


@pytest.mark.parametrize("kind", LINEAR)
def test_whole_files_are_read_without_a_word(tmp_path: pathlib.Path, kind: str) -> None:
    for subtype in ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "PCM_U8", "PCM_S8"):
        if soundfile.check_format(kind.replace("BW", "RF"), subtype):
            path = tmp_path / f"{subtype}.{kind.lower()}"
            expected = whole(path, kind, subtype, 3)
            x, notes = read(path)
            assert np.array_equal(x, expected)
            assert notes == ()


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_what_broke_off_is_read_as_far_as_it_goes(tmp_path: pathlib.Path, kind: str, subtype: str) -> None:
    path = tmp_path / "a.x"
    expected = whole(path, kind, subtype)
    data = path.read_bytes()
    start, _, _ = start_of(data, kind)
    width = 2 * {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}[subtype]
    for size in (start + 2500 * width, start + 2500 * width + 3):   # a frame in pieces
        path.write_bytes(data[:size])
        x, notes = read(path)
        assert np.array_equal(x, expected[:, :2500])
        told(notes, path, FRAMES, 2500)


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("claim", [0, 600, 6 * 2000, 6 * 9000, None])
def test_a_size_that_is_wrong_is_not_believed(tmp_path: pathlib.Path, kind: str, claim: int | None) -> None:
    path = tmp_path / "a.x"
    expected = whole(path, kind)
    data = bytearray(path.read_bytes())
    said(data, kind, claim)
    start, _, _ = start_of(data, kind)
    path.write_bytes(data[: start + 6 * FRAMES])
    x, notes = read(path)
    assert np.array_equal(x, expected)
    told(notes, path, FRAMES, *([claim // 6] if claim and kind not in ("RF64", "BW64") else []))


@pytest.mark.parametrize("kind", ["WAV", "RF64", "BW64", "AIFF", "CAF", "W64"])
@pytest.mark.parametrize("claim", [6 * FRAMES, 0, 600, 6 * 9000, None])
def test_chunks_behind_the_samples_are_no_sound(tmp_path: pathlib.Path, kind: str, claim: int | None) -> None:
    path = tmp_path / "a.x"
    expected = whole(path, kind)
    data = bytearray(path.read_bytes())
    said(data, kind, claim)
    start, _, _ = start_of(data, kind)
    info, other = b"INFOISFT\x0a\0\0\0recorder 1", bytes(range(256)) * 5
    tail = {
        "AIFF": b"ANNO" + struct.pack(">I", len(info)) + info + b"ZZ1 " + struct.pack(">I", len(other)) + other,
        "CAF": b"info" + struct.pack(">q", len(info)) + info + b"zz1 " + struct.pack(">q", len(other)) + other,
        "W64": b"junk\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a" + struct.pack("<Q", 24 + len(other)) + other,
    }.get(kind, b"LIST" + struct.pack("<I", len(info)) + info + b"ZZ1 " + struct.pack("<I", len(other)) + other)
    path.write_bytes(data[: start + 6 * FRAMES] + tail)
    x, notes = read(path)
    assert np.array_equal(x, expected)
    if claim == 6 * FRAMES:
        assert notes == ()
    else:
        told(notes, path, FRAMES)


@pytest.mark.parametrize(("kind", "endian"), [("WAV", "BIG"), ("AIFF", "LITTLE"), ("CAF", "LITTLE"), ("AU", "LITTLE")])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_the_other_order_of_bytes(tmp_path: pathlib.Path, kind: str, endian: str, subtype: str) -> None:
    if not soundfile.check_format(kind, subtype, endian):
        pytest.skip("libsndfile does not write it")
    path = tmp_path / "a.x"
    soundfile.write(path, noise(2).T, RATE, subtype, endian, kind)
    expected = soundfile.read(path, dtype="float32")[0].T
    assert read(path)[1] == ()
    size = path.stat().st_size
    width = 2 * {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}[subtype]
    os.truncate(path, size - 1000 * width)
    x, notes = read(path)
    assert FRAMES - 1200 < x.shape[1] < FRAMES
    assert np.array_equal(x, expected[:, : x.shape[1]])
    told(notes, path, FRAMES, x.shape[1])


def test_both_sizes_of_a_header_that_is_stale(tmp_path: pathlib.Path) -> None:
    """A recorder that mends its whole header now and then, and died between."""
    path = tmp_path / "a.wav"
    expected = whole(path, "WAV")
    data = bytearray(path.read_bytes())
    said(data, "WAV", 6 * 1000)
    data[4:8] = struct.pack("<I", 36 + 6 * 1000)
    path.write_bytes(data)
    x, notes = read(path)
    assert np.array_equal(x, expected)
    told(notes, path, 1000, FRAMES)


def test_what_is_no_sound_behind_the_samples_is_left_out(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.wav"
    expected = whole(path, "WAV")
    data = path.read_bytes()
    tails = {
        b"\0" * 5: 0, b"\0" * 60_000: 0, b"\0" * 70_000: 1, b"TAG" + b"x" * 125: 0, b"ID3\4\0\0" + b"x" * 9000: 0,
        b"APETAGEX" + b"x" * 9000: 0, b"what is this?" * 20: 1, b"LIST\xff\xff\0\0INFO" + b"broke off": 0,
    }
    for tail, words in tails.items():
        path.write_bytes(data + tail)
        x, notes = read(path)
        assert np.array_equal(x, expected), tail[:20]
        assert len(notes) == words, tail[:20]
        assert all(f"{len(tail)} bytes" in note for note in notes)


def test_zoom_lists_junk_and_odd_padding_stay_right(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(1, 1001).T, RATE, "PCM_24")
    expected = soundfile.read(path, dtype="float32")[0]
    data = path.read_bytes()
    at = data.index(b"data")
    junk, zeros, odd = b"JUNK\x1c\0\0\0" + bytes(28), b"LIST\x80\0\0\0" + bytes(128), b"odd1\3\0\0\0abc"
    for front in (b"", junk, zeros, odd + b"\0", odd):
        for behind in (b"", b"\0", b"\0" + zeros, zeros):
            path.write_bytes(data[:at] + front + data[at : at + 8 + 3003] + behind)
            x, notes = read(path)
            assert np.array_equal(x[0], expected), (front, behind)
            assert notes == ()


def test_headers_without_samples_are_refused_with_what_they_say(tmp_path: pathlib.Path) -> None:
    for kind in LINEAR:
        path = tmp_path / f"a.{kind}"
        whole(path, kind)
        data = path.read_bytes()
        path.write_bytes(data[: start_of(data, kind)[0]])
        with pytest.raises(InputError, match=rf"has no samples, though its header says 0\.1 s \({FRAMES} samples\)"):
            open_input(path)
        broken = data[: start_of(data, kind)[2] - 5]
        path.write_bytes(broken)
        with pytest.raises(InputError, match=r"^[^\n]*$"):
            open_input(path)


@pytest.mark.parametrize("behind", [b"", b"LIST\4\0\0\0INFO"])
@pytest.mark.parametrize("claim", ["wrapped", "zero", "unknown"])
def test_sizes_beyond_4_gib(tmp_path: pathlib.Path, claim: str, behind: bytes) -> None:
    """A recording of 4.5 GiB, as a hole in a file, whose header counts in 32 bits."""
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((1, 8)), RATE, "FLOAT")
    head = bytearray(path.read_bytes())
    head = head[: head.index(b"data") + 8]
    frames = (9 << 29) // 32
    size = 32 * frames
    head[-4:] = struct.pack("<I", {"wrapped": size % (1 << 32), "zero": 0, "unknown": 0xFFFFFFFF}[claim])
    last = noise(8, 10)
    try:
        with open(path, "wb") as file:
            file.write(head)
            file.seek(len(head) + size - 320)
            file.write(last.T.tobytes() + behind)
    except OSError:
        pytest.skip("this file system has no holes")
    code = (
        "import resource, sys, numpy as np; from rtsep.audiofile import open_input\n"
        "with open_input(sys.argv[1]) as source:\n"
        f"    assert (source.channels, source.frames) == (8, {frames}), source.frames\n"
        f"    assert len(source.notes) == 1 and '({frames} samples)' in source.notes[0]\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "    assert not source.read(4096).any()\n"
        f"    source.seek({frames - 10}); np.save(sys.argv[2], source.read(4096))\n"
        "    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000"
    )
    try:
        subprocess.run([sys.executable, "-c", code, path, tmp_path / "x.npy"], check=True)
    finally:
        path.unlink()   # pytest keeps its folders
    assert np.array_equal(np.load(tmp_path / "x.npy"), last)


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU", "CAF", "W64"])
def test_sizes_of_32_bits_wrap(tmp_path: pathlib.Path, kind: str) -> None:
    path = tmp_path / "a.x"
    whole(path, kind)
    with open(path, "rb") as file:
        size = path.stat().st_size
        header = containers.header(file, 0, size)
        assert header is not None
        cut = containers.Header(header.kind, header.form, header.start, (6 * FRAMES % 4096,), 0, header.layout)
        assert extent.extent(file, cut, size, 4096).said == 6 * FRAMES % 4096
        assert cut.wraps == (kind not in ("CAF", "W64"))
        assert extent.extent(file, header, size) == (6 * FRAMES, 6 * FRAMES, 0)


def flac(path: pathlib.Path, channels: int = 2, frames: int = 30_000) -> tuple[np.ndarray, bytearray]:
    soundfile.write(path, noise(channels, frames).T, RATE, "PCM_24", format="FLAC")
    return soundfile.read(path, dtype="float32", always_2d=True)[0].T, bytearray(path.read_bytes())


def count_of_flac(data: bytearray, frames: int) -> None:
    data[21] = data[21] & 0xF0 | frames >> 32
    data[22:26] = struct.pack(">I", frames & 0xFFFFFFFF)


@pytest.mark.parametrize("claim", [0, 5000, 90_000, 1 << 33])
def test_flac_that_says_another_length(tmp_path: pathlib.Path, claim: int) -> None:
    path = tmp_path / "a.flac"
    expected, data = flac(path)
    count_of_flac(data, claim)
    for tag in (b"", b"ID3\4\0\0\0\0\0\x0a" + bytes(10)):
        path.write_bytes(tag + data)
        x, notes = read(path)
        assert np.array_equal(x, expected)
        told(notes, path, 30_000, *([claim] if claim else []))


@pytest.mark.parametrize("claim", [30_000, 0])
def test_flac_that_broke_off(tmp_path: pathlib.Path, claim: int) -> None:
    path = tmp_path / "a.flac"
    expected, data = flac(path)
    count_of_flac(data, claim)
    found = set()
    for size in (len(data) - 1, len(data) // 2, len(data) // 2 + 1, len(data) // 3, 40_000):
        path.write_bytes(data[:size])
        x, notes = read(path)
        assert np.array_equal(x, expected[:, : x.shape[1]])
        assert 0 <= 30_000 * size / len(data) - x.shape[1] < 4096 + 300   # but for the block that is not whole
        told(notes, path, x.shape[1], *([claim] if claim else []))
        found.add(x.shape[1])
    assert len(found) > 2


def test_flac_with_tags_behind_and_without_frames(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.flac"
    expected, data = flac(path, 1)
    path.write_bytes(data + b"TAG" + bytes(125))
    x, notes = read(path)
    assert np.array_equal(x, expected)
    assert notes == ()
    path.write_bytes(data[: data.index(b"\xff\xf8")])
    with pytest.raises(InputError, match=r"samples"):
        open_input(path)


def mp3(path: pathlib.Path, mode: str, channels: int = 2, rate: int = RATE) -> tuple[np.ndarray, bytes]:
    """Write an MP3 that is first soft and then loud, so that a length by its first frames' bit rate is wrong."""
    level = np.where(np.arange(3 * rate) < rate, 1e-4, 0.3)
    with soundfile.SoundFile(
        path, "w", rate, channels, "MPEG_LAYER_III", format="MP3", bitrate_mode=mode, compression_level=0.4
    ) as file:
        file.write((noise(channels, 3 * rate) * 10 * level).T)
    return soundfile.read(path, dtype="float32", always_2d=True)[0].T, path.read_bytes()


@pytest.mark.parametrize("mode", ["CONSTANT", "AVERAGE", "VARIABLE"])
@pytest.mark.parametrize(("channels", "rate"), [(2, 48000), (1, 22050)])
def test_mp3_is_never_guessed(tmp_path: pathlib.Path, mode: str, channels: int, rate: int) -> None:
    path = tmp_path / "a.mp3"
    expected, data = mp3(path, mode, channels, rate)
    x, notes = read(path)
    assert x.shape == expected.shape
    assert np.allclose(x, expected, atol=1e-6)   # soundfile seeks before it reads
    assert notes == ()
    head = mpeg.parse(data[:4])
    assert head is not None
    bare = data[head.size :]   # without the frame that says the length
    frames = -(-3 * rate // head.samples) * head.samples
    id3 = b"ID3\4\0\0\0\0\x27\x0a" + bytes(0x27 * 128 + 10)
    for front, behind in ((b"", b""), (id3, b""), (b"", b"TAG" + bytes(125)), (id3, b"APETAGEX" + bytes(3000))):
        path.write_bytes(front + bare + behind)
        y, notes = read(path)
        assert y.shape[1] in (frames, frames + head.samples, frames + 2 * head.samples)
        assert notes == ()
        # 576 samples by which LAME is late and 529 of the decoder are cut off where that frame says so.
        assert np.allclose(y[:, 1105 : 1105 + 2 * rate], x[:, : 2 * rate], atol=1e-5)


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_mp3_whose_first_frame_is_wrong(tmp_path: pathlib.Path, mode: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.mp3"
    expected, data = mp3(path, mode)
    path.write_bytes(data[: len(data) // 2])
    x, notes = read(path)
    assert 40_000 < x.shape[1] < 110_000
    assert np.allclose(x[:, :-2000], expected[:, : x.shape[1] - 2000], atol=1e-5)
    told(notes, path, x.shape[1])
    assert "3.0 s" in notes[0]
    place = data.index(b"Info" if mode == "CONSTANT" else b"Xing")
    for claim in (20, 9999):
        path.write_bytes(data[: place + 8] + struct.pack(">I", claim) + data[place + 12 :])
        x, notes = read(path)
        assert x.shape[1] >= expected.shape[1]
        assert np.allclose(x[:, : expected.shape[1] - 1], expected[:, :-1], atol=1e-5)
        told(notes, path, x.shape[1], claim * 1152)
    bare = bytearray(data)
    bare[place + 7] &= 0xFE   # it says no number of frames
    path.write_bytes(bare)
    x, notes = read(path)
    assert np.allclose(x[:, 1105 : 1105 + expected.shape[1]], expected, atol=1e-5)
    assert notes == ()
    assert capfd.readouterr().err == ""


def test_mp3_inside_a_wav(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.wav"
    expected, data = mp3(tmp_path / "a.mp3", "VARIABLE")
    form = struct.pack("<HHIIHHHHIHHH", 0x55, 2, RATE, 16000, 1, 0, 12, 1, 2, 384, 1, 0)
    chunk = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WAVE" + chunk)
    x, _ = read(path)
    assert x.shape == expected.shape
    assert np.allclose(x, expected, atol=1e-6)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_that_broke_off(tmp_path: pathlib.Path, subtype: str) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, noise(2, 200_000).T, RATE, subtype, format="OGG")
    expected = soundfile.read(path, dtype="float32")[0].T
    data = path.read_bytes()
    assert read(path)[1] == ()
    for size in (len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        x, notes = read(path)
        assert 40_000 < x.shape[1] < 200_000
        assert np.allclose(x, expected[:, : x.shape[1]], atol=1e-6)
        told(notes, path, x.shape[1])


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_streams_one_behind_the_other(tmp_path: pathlib.Path, subtype: str) -> None:
    path, parts, data = tmp_path / "a.ogg", [], b""
    for i, frames in enumerate((20_000, 50_000, 10_000)):
        soundfile.write(path, noise(2, frames, i).T, RATE, subtype, format="OGG")
        parts.append(soundfile.read(path, dtype="float32")[0].T)
        data += path.read_bytes()
    path.write_bytes(data)
    x, notes = read(path)
    assert x.shape[1] == sum(part.shape[1] for part in parts)
    assert np.allclose(x, np.hstack(parts), atol=1e-6)
    told(notes, path, *(part.shape[1] for part in parts))
    soundfile.write(path, noise(1).T, RATE, subtype, format="OGG")
    path.write_bytes(data + path.read_bytes())
    with pytest.raises(InputError, match=r"4 recordings in one file, 1 channels .* and 2 channels"):
        open_input(path)


@pytest.mark.parametrize(("kind", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")])
def test_seeking_in_what_is_lossy_gives_the_same_sound(tmp_path: pathlib.Path, kind: str, subtype: str) -> None:
    path, rng = tmp_path / "a.x", np.random.default_rng(1)
    x = noise(1, 4 * RATE) * (1 + 3 * (np.arange(4 * RATE) % 5000 < 100))   # long and short blocks
    soundfile.write(path, x.T, RATE, subtype, format=kind)
    expected = soundfile.read(path, dtype="float32")[0]
    with open_input(path) as source:
        for at in rng.integers(0, 4 * RATE - 3000, 100):
            source.seek(int(at))
            assert np.allclose(source.read(2000)[0], expected[at : at + 2000], atol=1e-6), at


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42", "m4a"), (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), "WMA"),
        (b"\xff\xf1\x50\x80", "AAC"), (b"MAC \x96\x0f", "Monkey"), (b"wvpk", "WavPack"),
        (b"\x1a\x45\xdf\xa3", "Matroska"), (b"\0\0\0\x14ftypqt  ", "QuickTime"), (b"PK\3\4", "ZIP"),
        (b"DSD \x1c", "DSD"),
        (b"caff\0\1\0\0desc\0\0\0\0\0\0\0\x20\x40\xe5\x88\x80\0\0\0\0aac ", "CAF with AAC"),
    ],
)
def test_what_is_not_read_is_called_by_its_name(tmp_path: pathlib.Path, head: bytes, name: str) -> None:
    path = tmp_path / "take.m4a"
    path.write_bytes(head + bytes(4000))
    for place in (path, tmp_path):
        with pytest.raises(InputError, match=rf"take\.m4a: is .*{name}.*, which is not read; allowed is a WAV"):
            open_input(place)


def test_samples_that_are_not_linear(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(1).T, RATE, "IMA_ADPCM")
    expected = soundfile.read(path, dtype="float32")[0]
    x, notes = read(path)
    assert np.array_equal(x[0], expected)
    assert notes == ()
    data = path.read_bytes()
    at = data.index(b"data")
    path.write_bytes(data[: at + 8 + 512])
    with pytest.raises(InputError, match=rf"says {len(data) - at - 8} bytes of sound, but 512 are there"):
        open_input(path)


def test_a_folder_says_which_file_is_shorter(tmp_path: pathlib.Path) -> None:
    for name, frames in (("1-kick", 48_000), ("2-vox", 24_000), ("3-oh", 47_999), ("4-x", 48_000)):
        soundfile.write(tmp_path / f"{name}.wav", noise(1, frames).T, RATE, "FLOAT")
    with open_input(tmp_path) as source:
        assert source.notes == (
            f"{tmp_path}: the longest file has 1.0 s (48000 samples); shorter, and silent then, are "
            "2-vox.wav by 0.5 s (24000 samples), 3-oh.wav by 0.0 s (1 samples)",
        )
    os.truncate(tmp_path / "4-x.wav", 48_000)
    with open_input(tmp_path) as source:
        assert [note.split(": ")[0] for note in source.notes] == [str(tmp_path / "4-x.wav"), str(tmp_path)]


def test_every_verb_says_it(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a header says and what is there, in one line, whoever reads the file."""
    song = tmp_path / "song"
    song.mkdir()
    for name, sound in (("1-a", noise(1, 2 * RATE)), ("2-b", noise(1, 2 * RATE, 1))):
        soundfile.write(song / f"{name}.wav", sound.T, RATE, "FLOAT")
    path = song / "2-b.wav"
    os.truncate(path, path.stat().st_size - 4 * RATE)
    lines = [
        f"rtsep: {path}: its header says 2.0 s (96000 samples), but 1.0 s (48000 samples) are there; they are read",
        "the longest file has 2.0 s (96000 samples); shorter, and silent then, are 2-b.wav by 1.0 s (48000 samples)",
    ]
    for verb in (
        ["render", song, "-o", tmp_path / "r.wav", "--preset", "live"],
        ["separate", song, "-o", tmp_path / "s", "--method", "ratio"],
        ["learn", song, "-o", tmp_path / "c.npz", "--solos", tmp_path / "solos.csv", "--taps", "512"],
        ["evaluate", "--reference", song, "--estimate", song],
        ["scene", tmp_path / "scene", "--from", song],
    ):
        (tmp_path / "solos.csv").write_text("mic,start_s,end_s\na,0,0.4\nb,0.5,0.9\n")
        code = main([str(word) for word in verb])
        told = capsys.readouterr().err.splitlines()
        assert code == 0, told
        for line in lines:
            assert sum(line in one for one in told) == 1, (verb[0], told)
