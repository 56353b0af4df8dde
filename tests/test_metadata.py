"""Time stamps and names of tracks: read from chunks made by hand, used, and written behind the sound."""

from __future__ import annotations

import json
import pathlib

import chunks
import numpy as np
import pytest
import soundfile
from chunks import RATE, bext, chunk, found, ixml, write

from rtsep import audiofile, names
from rtsep.audiofile import metadata, open_output, riff
from rtsep.cli import main
from rtsep.errors import InputError, SoundWarning

HOUR = 3600 * RATE
DAY = 24 * HOUR
START = 20 * HOUR + (1 << 32)   # beyond 32 bits, as at 192 kHz
X = (0.1 * np.random.default_rng(6).standard_normal((4, 4000))).astype(np.float32)


def opened(place: pathlib.Path) -> tuple[audiofile.Input, list[str]]:
    source, lines = chunks.opened(place)
    assert all(len(line) < 400 for line in lines)
    assert names.checked(source.names, "files") == source.names
    return source, lines


@pytest.mark.parametrize("form", [b"RIFF", b"RF64"])
@pytest.mark.parametrize("behind", [False, True])
def test_chunks_are_found_wherever_they_stand(tmp_path: pathlib.Path, form: bytes, behind: bool) -> None:
    odd = b"odd" if form == b"RIFF" else b"even"   # libsndfile forgets the padding in RF64
    told = ixml("Kick", "Vox") + b" " * (form != b"RIFF" and len(ixml("Kick", "Vox")) % 2)
    both = chunk(b"junk", odd) + chunk(b"bext", bext(START)[:602]) + chunk(b"iXML", told)
    write(tmp_path / "a.wav", X[:2], *((b"", both) if behind else (both, b"")), form=form)
    tags = metadata.read(tmp_path / "a.wav")
    assert (tags.start, tags.date) == (START, "2026-11-28")
    source, lines = opened(tmp_path / "a.wav")
    source.close()
    assert source.names == ("Kick", "Vox")
    assert "'Kick', 'Vox'" in lines[0]


@pytest.mark.parametrize(("given", "expected"), [
    (ixml("Kick In", "Vox"), ("Kick-In", "Vox", "mic3")),
    (ixml("a.b=c", "x\u202ey", "9" * 99), ("a-b-c", "x_y", "mic" + "9" * 64)),
    (ixml("Vox", "Vox", ""), ("Vox", "Vox-2", "mic3")),
    (ixml("A &amp; B", "<![CDATA[C]]>", "&#x4f60;"), ("A-&-B", "C", "\u4f60")),
    (ixml("1", "2", "3"), ("mic1", "mic2", "mic3")),
    (ixml("57 Vox", "x" * 99, "z"), ("57-Vox", "x" * 64, "z")),
    (ixml("a", "b", "c").decode().encode("utf-16"), ("a", "b", "c")),
    (ixml("Gr\u00fc\u00df", "b", "c").decode().encode("latin-1"), ("Gr\u00fc\u00df", "b", "c")),
    (ixml("a", "b", "c").replace(b"INTERLEAVE", b"X"), ("a", "b", "c")),                       # in order
    (ixml("a", "b", "c", "d"), ("mic1", "mic2", "mic3")),                                      # of another file
    (ixml("a", "b", "c")[:-90] + b"\0" * 9, ("a", "b", "mic3")),                              # broken off
    (b"<!DOCTYPE x [<!ENTITY a 'aa'>]>" + ixml("&a;", "", ""), ("&a;", "mic2", "mic3")),       # nothing is expanded
    (b"<TRACK>" * 100_000, ("mic1", "mic2", "mic3")),
    (ixml(*["a"] * 9).replace(b"<INTERLEAVE_INDEX>1", b"<INTERLEAVE_INDEX>" + b"9" * 9000), ("mic1", "mic2", "mic3")),
    (b"\xff\xfe\xd8", ("mic1", "mic2", "mic3")),
    (b"", ("mic1", "mic2", "mic3")),
])
def test_tracks_are_named_whatever_is_in_the_chunk(
    tmp_path: pathlib.Path, given: bytes, expected: tuple[str, ...]
) -> None:
    write(tmp_path / "a.wav", X[:3, :9], chunk(b"iXML", given))
    source, lines = opened(tmp_path / "a.wav")
    source.close()
    if expected[1] == "mic2" and expected[0] == "mic1":
        assert not lines
    assert source.names == tuple(name[:64] for name in expected)


@pytest.mark.parametrize(("description", "expected"), [
    (b"sSPEED=25\r\nsTRK1=Boom\r\nsTRK2=Lav 1\r\n", ("Boom", "Lav-1")),
    (b"zTRK3=Kick\r\nzTRK7=Snare", ("Kick", "Snare")),     # tracks 1, 2 and 4 were not armed
    (b"sTRK1=only one of them", ("mic1", "mic2")),
    (b"sTRK=x\nTRK1\nsTRK1=a\nsTRK2=" + b"\xff" * 9, ("a", "\u00ff" * 9)),
    (b"a band", ("mic1", "mic2")),
])
def test_descriptions_name_tracks_too(tmp_path: pathlib.Path, description: bytes, expected: tuple[str, ...]) -> None:
    write(tmp_path / "a.wav", X[:2, :9], chunk(b"bext", bext(0, description)))
    source, _ = opened(tmp_path / "a.wav")
    source.close()
    assert source.names == expected


def test_files_that_a_recorder_has_named_are_called_as_their_tracks(tmp_path: pathlib.Path) -> None:
    """`kick.wav` is the user's word, and one of a list of tracks may be any of them."""
    write(tmp_path / "kick.wav", X[0, :9], chunk(b"iXML", ixml("Input 1")))
    write(tmp_path / "ZOOM0001_Tr2.wav", X[1, :9], chunk(b"iXML", ixml("Vox")))
    write(tmp_path / "ZOOM0001_Tr3.wav", X[2, :9], chunk(b"iXML", ixml("Vox", "Git", "Bass")))
    write(tmp_path / "ZOOM0001_Tr4.wav", X[2, :9], chunk(b"bext", bext(0, b"sTRK4=kick")))
    source, lines = opened(tmp_path)
    source.close()
    assert source.names == ("kick", "Vox", "ZOOM0001_Tr3", "kick-2")
    assert "recorder's tracks" in lines[-1]


def folder(place: pathlib.Path, starts: dict[str, int | None], date: bytes = b"2026-11-28") -> pathlib.Path:
    for row, (name, start) in zip(X, starts.items(), strict=False):
        write(place / f"{name}.wav", row, b"" if start is None else chunk(b"bext", bext(start, date=date)))
    return place


@pytest.mark.parametrize(("starts", "leads", "words"), [
    ((0, 1000), (0, 1000), ("b.wav 0.125 s after a.wav",)),
    ((START + 7, START, START), (7, 0, 0), ("a.wav 0.001 s after b.wav",)),
    ((START, START), (0, 0), ()),
    ((DAY - 500, 500), (0, 1000), ("b.wav 0.125 s after a.wav",)),                 # over midnight
    ((START, START + 2 * HOUR), (0, 0), ("do not belong together", "b.wav begins 120 min after a.wav has ended")),
    ((START, None), (0, 0), ("only a.wav has a time stamp",)),
    ((0, None), (0, 0), ()),
    ((START, None, START + 100), (0, 0, 100), ("c.wav 0.013 s after a.wav", "no time stamp that fits in b.wav")),
    ((0, START, START + 100), (0, 0, 100), ("c.wav", "no time stamp that fits in a.wav")),
    ((START, (1 << 64) - 1), (0, 0), ("only a.wav",)),
    ((None, None), (0, 0), ()),
])
def test_time_stamps_place_the_files_of_a_folder(
    tmp_path: pathlib.Path, starts: tuple[int | None, ...], leads: tuple[int, ...], words: tuple[str, ...]
) -> None:
    source, lines = opened(folder(tmp_path, dict(zip("abc", starts, strict=False))))
    expected = np.zeros((len(leads), 4000 + max(leads)), np.float32)
    for row, sound, lead in zip(expected, X, leads, strict=False):
        row[lead : lead + 4000] = sound
    with source:
        assert np.array_equal(np.hstack([source.read(333) for _ in range(17)]), expected)
    assert len(lines) == bool(words)
    assert all(word in lines[0] for word in words), lines


def test_other_days_are_other_concerts(tmp_path: pathlib.Path) -> None:
    folder(tmp_path, {"a": START})
    write(tmp_path / "b.wav", X[1], chunk(b"bext", bext(START + 9, date=b"2026:11:25")))
    source, lines = opened(tmp_path)
    source.close()
    assert source.frames == 4000
    assert "another day" in lines[0]


@pytest.mark.parametrize("broken", [
    chunk(b"bext", b""), chunk(b"bext", b"x" * 340), chunk(b"bext", bytes(602)), chunk(b"bext", b"\xff" * 602),
    chunk(b"iXML", b"\0" * 9), b"bext\xff\xff\xff\x7f", b"bext", chunk(b"\0\0\0\0", b""),
    b"iXML" + b"\xff" * 4 + b"abc", chunk(b"bext", b"x" * (2 << 20)),
])
def test_a_broken_chunk_stops_nothing(tmp_path: pathlib.Path, broken: bytes) -> None:
    """Behind the sound, where it may break off; what is whole is kept, whatever it is."""
    write(tmp_path / "in" / "Tr1.wav", X[0, :99], b"", broken)
    write(tmp_path / "in" / "Tr2.wav", X[1, :99], chunk(b"bext", bext(START)))
    for target in ("out", "out.wav", "out.rf64"):
        source, _ = opened(tmp_path / "in")
        place = tmp_path / target
        with source, open_output(place, RATE, 2, source.names, source.frames, None, source.origin) as out:
            out.write(source.read(source.frames))
        source, _ = opened(place)
        with source:
            assert np.array_equal(source.read(999), X[:2, :99])
        for file in [place] if place.is_file() else place.iterdir():
            found(file)


def copy(source: pathlib.Path, target: pathlib.Path) -> list[str]:
    given, lines = opened(source)
    with given, open_output(target, RATE, given.channels, given.names, given.frames, None, given.origin) as out:
        out.write(given.read(given.frames))
    return lines


@pytest.mark.parametrize("suffix", ["wav", "rf64"])
def test_a_polyphonic_output_carries_both_chunks_as_they_were(tmp_path: pathlib.Path, suffix: str) -> None:
    both = {b"bext": bext(START, b"sTRK1=a"), b"iXML": ixml("Kick In", "Vox", "x", "y") + b" "}
    write(tmp_path / "a.wav", X, b"".join(chunk(*one) for one in both.items()))
    copy(tmp_path / "a.wav", tmp_path / f"b.{suffix}")
    every = found(tmp_path / f"b.{suffix}")
    assert {name: every[name] for name in both} == both
    assert np.array_equal(soundfile.read(tmp_path / f"b.{suffix}", dtype="float32")[0].T, X)
    again, _ = opened(tmp_path / f"b.{suffix}")
    again.close()
    assert again.names == ("Kick-In", "Vox", "x", "y")


def test_each_mono_output_carries_its_own_track(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "a.wav", X[:2], chunk(b"bext", bext(START)) + chunk(b"iXML", ixml("Kick", "Vox")))
    copy(tmp_path / "a.wav", tmp_path / "out")
    for name, channel in (("Kick", 5), ("Vox", 6)):
        every = found(tmp_path / "out" / f"0{channel - 4}-{name}.wav")
        assert every[b"bext"] == bext(START)
        assert every[b"iXML"] == ixml(name).replace(b"<CHANNEL_INDEX>5", f"<CHANNEL_INDEX>{channel}".encode())


def test_placed_files_carry_the_time_at_which_they_begin_now(tmp_path: pathlib.Path) -> None:
    hi, lo = START >> 32, START & 0xFFFFFFFF
    copies = (
        "<SPEED><TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI>{}</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI>"
        "<TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO>{}</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO></SPEED>"
        "<BEXT><BWF_TIME_REFERENCE_LOW>{}</BWF_TIME_REFERENCE_LOW></BEXT>"
    )
    late = ixml("Vox", more=copies.format(hi, lo + 50, lo + 50))
    write(tmp_path / "in" / "a.wav", X[0], chunk(b"bext", bext(START)))
    write(tmp_path / "in" / "b.wav", X[1], b"", chunk(b"bext", bext(START + 50, b"b's own")) + chunk(b"iXML", late))
    assert "placed by their time stamps" in copy(tmp_path / "in", tmp_path / "out")[0]
    b = found(tmp_path / "out" / "02-b.wav")
    assert b[b"bext"] == bext(START, b"b's own")
    assert b[b"iXML"] == ixml("Vox", more=copies.format(hi, lo, lo))
    copy(tmp_path / "in", tmp_path / "both.wav")
    every = found(tmp_path / "both.wav")
    assert every[b"bext"] == bext(START)
    again, _ = opened(tmp_path / "both.wav")
    again.close()
    assert again.names == ("a", "b")


def test_render_and_separate_keep_them_and_count_latency(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "a.wav", X[:2], chunk(b"bext", bext(START)) + chunk(b"iXML", ixml("Kick", "Vox")))
    common = ["render", str(tmp_path / "a.wav"), "--preset", "hpss", "--json", "-o"]
    assert main([*common, str(tmp_path / "b.wav")]) == 0
    capsys.readouterr()
    assert main([*common, str(tmp_path / "c.wav"), "--no-compensate"]) == 0
    latency = json.loads(capsys.readouterr().out)["latency_samples"]
    assert latency > 0
    assert metadata.read(tmp_path / "b.wav") == metadata.Tags(bext(START), ixml("Kick", "Vox"))
    assert metadata.read(tmp_path / "c.wav").start == START - latency
    method = ["separate", str(tmp_path / "a.wav"), "--method", "hpss", "-o", str(tmp_path / "parts")]
    assert main(method) == 0
    for part in (tmp_path / "parts").iterdir():
        assert metadata.read(part) == metadata.Tags(bext(START), ixml("Kick", "Vox"))


def test_a_disk_that_fails_at_the_chunks_leaves_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    write(tmp_path / "a.wav", X[:2], chunk(b"bext", bext(START)))
    monkeypatch.setattr(riff, "append", full)
    with pytest.raises(InputError, match="No space left"):
        copy(tmp_path / "a.wav", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("suffix", ["flac", "w64"])
def test_what_has_no_place_for_them_says_so(tmp_path: pathlib.Path, suffix: str) -> None:
    write(tmp_path / "a.wav", X[:2], chunk(b"bext", bext(START)))
    with pytest.warns(SoundWarning, match="time stamps and names of tracks"):
        copy(tmp_path / "a.wav", tmp_path / f"b.{suffix}")


def test_outputs_of_plain_files_are_as_before(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "a.wav", X[:2])
    copy(tmp_path / "a.wav", tmp_path / "b.wav")
    with open_output(tmp_path / "c.wav", RATE, 2, "ab", 4000) as out:
        out.write(X[:2])
    assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "c.wav").read_bytes()


def test_a_folder_is_the_same_for_every_verb(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pieces and a later file: evaluate against what was rendered from it, and a scene from it."""
    for name, first, last in (("Tr1", 0, 2000), ("Tr1-0001", 2000, 4000)):
        write(tmp_path / "in" / f"{name}.wav", X[0, first:last], chunk(b"bext", bext(START + first)))
    write(tmp_path / "in" / "Tr2.wav", X[1], chunk(b"bext", bext(START + 100)))
    truth = np.zeros((2, 4100), np.float32)
    truth[0, :4000], truth[1, 100:] = X[0], X[1]
    soundfile.write(tmp_path / "whole.wav", truth.T, RATE, "FLOAT")
    assert main(["evaluate", "--reference", str(tmp_path / "whole.wav"), "--estimate", str(tmp_path / "in")]) == 0
    assert main(["scene", str(tmp_path / "scene"), "--from", str(tmp_path / "in")]) == 0
    said = capsys.readouterr().err
    assert said.count("joined in order") == said.count("placed by their time stamps") == 2
    for row, name in zip(truth, ("01-Tr1", "02-Tr2"), strict=True):
        assert np.array_equal(soundfile.read(tmp_path / "scene" / "mics" / f"{name}.wav", dtype="float32")[0], row)
