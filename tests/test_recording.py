"""The recording: one take over all lives, marked, equally long, and never over another; without a sound card."""

from __future__ import annotations

import collections
import ctypes
import json
import os
import pathlib
import resource
import secrets
import signal
import struct
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import soundfile
from scipy.io import wavfile
from tape_writer import Writer

from rtsep.audiofile import open_input
from rtsep.audiofile.growing import GrowingWav, Mark
from rtsep.errors import InputError
from rtsep.hosts import recording, tape
from rtsep.params import Board, Param
from rtsep.workers import recorder, take
from rtsep_kernels.plane import grid, latch, ring

RATE = 8000
NAMES = ("vox", "kick & <snare>")
FACTS = {"program": "rtsep", "version": "0", "microphones": list(NAMES)}
PATIENCE = 30.0
HERE = pathlib.Path(__file__).parent
TOLERANCE_MS = 40   # of a gap: the writer's blocks are 10 ms, and this machine's clocks come late


def _memory() -> str:
    return f"rtsep-{os.getpid()}-{secrets.token_hex(3)}-t"


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "take"


@pytest.fixture
def board() -> Board:
    return Board(NAMES, [("canceller", [Param("amount", "", 0, 1, 1, True, "")])])


@pytest.fixture
def running(folder: pathlib.Path, board: Board) -> Iterator[recording.Recording]:
    made = recording.Recording(str(folder), RATE, NAMES, FACTS, _memory(), board)
    try:
        yield made
    finally:
        made.finish()
        assert not pathlib.Path("/dev/shm", made.tape.name).exists()


def recorder_of(made: recording.Recording) -> int:
    pid = made._process.pid
    assert pid is not None
    return pid


def until(done: Any, made: recording.Recording) -> list[str]:
    """Look after the recording until something is so; returns what it said."""
    said, end = [], time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, said
        time.sleep(0.02)
        said += made.update()
    return said


def stored(made: recording.Recording, frames: int) -> Any:
    """Return whether the recorder has taken so many rows."""
    return lambda: made._memory["header"][tape.READ] >= frames


def steps(first: int, frames: int) -> Any:
    """Return rows, each of which says which one it is, differently in every channel."""
    return (np.arange(first, first + frames)[:, None] + 0.125 * np.arange(2 * len(NAMES))).astype(np.float32)


def read(folder: pathlib.Path) -> tuple[Any, list[dict[str, Any]]]:
    """Return both files side by side, and the lines."""
    sounds = [soundfile.read(folder / name, dtype="float32", always_2d=True) for name in ("in.wav", "out.wav")]
    assert [rate for _, rate in sounds] == [RATE] * 2
    lines = [json.loads(line) for line in (folder / "recording.jsonl").read_text().splitlines()]
    return np.concatenate([sound for sound, _ in sounds], 1), lines


def kinds(lines: list[dict[str, Any]]) -> list[str]:
    return [line["kind"] for line in lines]


class Cue(ctypes.Structure):
    """libsndfile's SF_CUE_POINT."""

    _fields_ = (
        ("number", ctypes.c_int32), ("position", ctypes.c_uint32), ("chunk", ctypes.c_int32),
        ("chunk_start", ctypes.c_int32), ("block_start", ctypes.c_int32), ("frame", ctypes.c_uint32),
        ("label", ctypes.c_char * 256),
    )


def cues(path: pathlib.Path) -> list[tuple[int, str]]:
    """Read the cue list with libsndfile: SFC_GET_CUE_COUNT and SFC_GET_CUE."""
    with soundfile.SoundFile(path) as file:
        library, ffi = soundfile._snd, soundfile._ffi
        count = ffi.new("uint32_t*")
        if not library.sf_command(file._file, 0x10CD, count, 4):
            return []

        class Cues(ctypes.Structure):
            _fields_ = (("count", ctypes.c_uint32), ("points", Cue * count[0]))

        space = ffi.new("char[]", ctypes.sizeof(Cues))
        assert library.sf_command(file._file, 0x10CE, space, ctypes.sizeof(Cues))
        found = Cues.from_buffer_copy(ffi.buffer(space))
    return [(point.frame, point.label.decode()) for point in found.points]


def test_the_tape_is_the_ring_that_the_kernels_write() -> None:
    assert (tape.RING_HEADER, tape.WRITTEN, tape.READ) == (ring.RING_HEADER, ring._WRITTEN, ring._READ)
    assert (tape.LOST, tape.SEGMENT) == (ring.LOST, grid.GRID)
    assert (len(tape.CHANGE), tape.CHAIN_TAKEN) == (latch.ROW, latch.CHAIN_TAKEN)
    assert [tape.CHANGE.index(name) for name in ("life", "sample", "place", "bits")] == [
        latch.LIFE, latch.SAMPLE, latch.PLACE, latch.BITS,
    ]


def test_all_is_stored_and_marked(running: recording.Recording, folder: pathlib.Path) -> None:
    writer = Writer(running.tape)
    writer.change(1, 0.25, tape.AT_THE_BEGINNING)
    for block in range(100):
        if block == 80:
            writer.change(0, 0.1)
            writer.change(1, 0.5)
            writer.change(tape.CHAIN_TAKEN, 7)

        writer.write(steps(80 * block, 80))
        if block == 50:
            writer.count("seconds", 0)
        if block == 60:
            writer.count("xruns", 2)
        if block == 70:
            writer.count("late_updates", 1)
    until(stored(running, 8000), running)
    long = "long " * 5000
    running.mark("reload", time.monotonic(), preset=long, change="chain", settled=-1)
    assert until(lambda: not running._marks, running) == []
    assert running.finish() is None
    assert running.finish() is None
    sound, lines = read(folder)
    np.testing.assert_array_equal(sound, steps(0, 8000))
    assert sorted(kinds(lines)) == [
        "chain", "end", "late_updates", "life", "recording", "reload", "values", "values", "xruns",
    ]
    assert kinds(lines)[0] == "recording"
    found = {line["kind"]: line for line in lines}
    assert found["recording"]["microphones"] == list(NAMES)
    assert found["recording"]["latency_samples"] == 96
    assert (found["xruns"]["first"], found["xruns"]["last"], found["xruns"]["count"]) == (4080, 4880 + 64, 2)
    assert (found["late_updates"]["first"], found["late_updates"]["last"]) == (4880, 5680 + 64)
    first, then = (line for line in lines if line["kind"] == "values")
    assert (first["first"], first["beginning"], first["set"]) == (0, True, {"canceller.amount.kick & <snare>": 0.25})
    assert (then["first"], then["last"]) == (6400, 6400)
    assert then["set"] == {"canceller.amount.vox": float(np.float32(0.1)), "canceller.amount.kick & <snare>": 0.5}
    assert (found["chain"]["first"], found["chain"]["number"]) == (6400, 7)
    assert found["reload"]["preset"] == long
    assert found["end"]["frames"] == 8000
    assert (found["end"]["exact_frames"], found["end"]["replay_frames"]) == (0, 4880)
    for name in ("in.wav", "out.wav"):
        there = cues(folder / name)
        assert sorted(frame for frame, _ in there) == sorted(line["first"] for line in lines if "first" in line)
        assert (4880, "late_updates count=1") in there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wavfile.WavFileWarning)   # it knows no cues
        rate, again = wavfile.read(folder / "in.wav")
    assert rate == RATE
    np.testing.assert_array_equal(again, sound[:, : len(NAMES)])
    with open_input(folder / "in.wav") as rendered:
        assert (rendered.rate, rendered.channels, rendered.frames) == (RATE, len(NAMES), 8000)
    raw = (folder / "in.wav").read_bytes()
    assert b"<NAME>kick &amp; &lt;snare&gt;</NAME>" in raw
    assert int.from_bytes(raw[4:8], "little") == len(raw) - 8


def test_what_others_mark_stands_between_the_looks_around_it(folder: pathlib.Path) -> None:
    """A snapshot of a show, recalled: with its name and number, in recording.jsonl and in the cue lists."""
    marks: collections.deque[tuple[str, float, dict[str, Any]]] = collections.deque()
    made = recording.Recording(str(folder), RATE, NAMES, FACTS, _memory(), None, marks)
    writer = Writer(made.tape)
    recalled = 0.0
    for block in range(100):
        writer.write(steps(80 * block, 80))
        if block == 50:
            until(stored(made, 80 * 51), made)
            recalled = time.monotonic()
    until(stored(made, 8000), made)
    marks.append(("snapshot", recalled, {"number": 2, "name": "ballad"}))   # said late
    until(lambda: not made._marks and not marks, made)
    assert made.finish() is None
    _, lines = read(folder)
    (line,) = (line for line in lines if line["kind"] == "snapshot")
    assert (line["number"], line["name"]) == (2, "ballad")
    assert line["first"] <= 80 * 51 + 64 <= 8000 <= line["last"] + 64
    for name in ("in.wav", "out.wav"):
        assert (line["first"], "snapshot number=2 name=ballad") in cues(folder / name)


def test_what_a_reload_adds_to_the_board_has_its_name_in_time(
    running: recording.Recording, folder: pathlib.Path, board: Board
) -> None:
    """The audio thread may be quicker than the word of what it is."""
    writer = Writer(running.tape)
    writer.write(steps(0, 640))
    writer.change(250, -3)
    writer.write(steps(640, 640))
    until(stored(running, 1280), running)
    os.kill(recorder_of(running), signal.SIGKILL)   # the next one has to know as well
    board.extend([(f"fx{n}", [Param("gain", "", -9, 9, 0, False, "")]) for n in range(300)])
    until(lambda: not running._marks and running._process.is_alive(), running)
    writer.change(301, 4)
    writer.change(1, 0.5)
    assert running.finish() is None
    _, lines = read(folder)
    assert [(line["first"], line["set"]) for line in lines if line["kind"] == "values"] == [
        (640, {"fx248.gain": -3}), (1280, {"fx299.gain": 4, "canceller.amount.kick & <snare>": 0.5}),
    ]
    assert lines[-1]["replay_frames"] == 1280


def test_changes_that_found_no_room_are_said(running: recording.Recording, folder: pathlib.Path) -> None:
    writer = Writer(running.tape)
    writer.write(steps(0, 640))
    writer.change(0, 0.5)
    running._memory["list_header"][tape.LOST] += 3
    writer.write(steps(640, 640))
    assert running.finish() is None
    _, lines = read(folder)
    lost = next(line for line in lines if line["kind"] == "unknown")
    assert lost["first"] == lines[-1]["replay_frames"] <= 640   # where nothing is missing for certain
    assert lost["values"] == 3


def test_lives_follow_one_another_by_the_wall_clock(running: recording.Recording, folder: pathlib.Path) -> None:
    zero = time.monotonic()
    ends = []
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, HERE / "tape_writer.py", *map(str, running.tape), "60", str(zero)],
            stdout=subprocess.PIPE, text=True,
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            begun = time.monotonic()
            until(lambda begun=begun: time.monotonic() - begun > 1, running)
            process.kill()
        ends.append(int(running._memory["header"][tape.WRITTEN]))
        running.mark("audio process died", exit_code=-9)
    assert running.finish() is None
    sound, lines = read(folder)
    gaps = [(line["first"], line["last"]) for line in lines if line["kind"] == "gap"]
    assert len(gaps) == 1
    silent = np.zeros(len(sound), bool)
    for first, last in gaps:
        assert last - first > 0.1 * RATE
        silent[first:last] = True
    assert not sound[silent].any()
    assert sum(~silent) == ends[-1]
    late = sound[:, 0] - 1000 * np.arange(len(sound)) / RATE
    for first, last in gaps:
        assert abs(late[last] - late[first - 1]) < TOLERANCE_MS
    assert gaps[0][0] == ends[0]
    assert [line["number"] for line in lines if line["kind"] == "life"] == [1, 2]
    assert lines[-1]["exact_frames"] == ends[0]


def test_a_recorder_that_is_killed_costs_nothing(running: recording.Recording, folder: pathlib.Path) -> None:
    writer = Writer(running.tape)
    said, done = [], 0
    for _ in range(2):
        for _ in range(40):
            writer.write(steps(done, 100))
            done += 100
            time.sleep(0.002)
        until(stored(running, done - 3000), running)
        os.kill(recorder_of(running), signal.SIGKILL)
        writer.write(steps(done, 3000))
        done += 3000
        said += until(stored(running, done), running)
    writer.write(steps(done, 777))
    assert said == ["the recorder died (exit code -9); another one goes on in the same files"] * 2
    assert running.finish() is None
    sound, lines = read(folder)
    np.testing.assert_array_equal(sound, steps(0, done + 777))
    assert kinds(lines).count("recorder") == 2
    assert lines[-1]["exact_frames"] == len(sound)


def test_a_recorder_that_is_asked_to_go_leaves_files_that_go_on(
    running: recording.Recording, folder: pathlib.Path
) -> None:
    writer = Writer(running.tape)
    writer.write(steps(0, 640))
    until(stored(running, 640), running)
    first = recorder_of(running)
    os.kill(first, signal.SIGTERM)
    writer.write(steps(640, 64))
    said = until(lambda: recorder_of(running) != first, running)
    assert said == ["the recorder died (exit code 0); another one goes on in the same files"]
    sound, lines = read(folder)
    np.testing.assert_array_equal(sound, steps(0, 704))
    assert len(cues(folder / "in.wav")) == 1
    writer.write(steps(704, 640))
    assert running.finish() is None
    sound, lines = read(folder)
    np.testing.assert_array_equal(sound, steps(0, 1344))
    assert kinds(lines) == ["recording", "life", "end", "recorder", "end"]


def test_a_recorder_that_keeps_dying_is_given_up(running: recording.Recording) -> None:
    def killed() -> bool:
        if running._process.is_alive():
            os.kill(recorder_of(running), signal.SIGKILL)
        return running._ended

    said = until(killed, running)
    assert said[-1] == running.finish() == "the recording has stopped: the recorder died 3 times (exit code -9)"


def test_what_found_no_room_is_silence_in_its_place(running: recording.Recording, folder: pathlib.Path) -> None:
    writer = Writer(running.tape)
    writer.write(steps(0, 640))
    until(stored(running, 640), running)
    os.kill(recorder_of(running), signal.SIGSTOP)
    time.sleep(0.1)
    read_rows = int(running._memory["header"][tape.READ])
    kept = done = 640
    while done < 8 * RATE:
        kept += 64 * writer.write(steps(done, 64))
        done += 64
    assert kept == read_rows + tape.tape_rows(RATE)
    said = until(lambda: running._still, running)
    assert "the disk has not answered" in said[0]
    os.kill(recorder_of(running), signal.SIGCONT)
    said = until(stored(running, kept), running)
    said += until(lambda: not running._still, running)
    assert said == ["the recording goes on; recording.jsonl says what was lost"]
    writer.write(steps(done, 640))
    assert running.finish() is None
    sound, lines = read(folder)
    expected = steps(0, done + 640)
    expected[kept:done] = 0
    np.testing.assert_array_equal(sound, expected)
    lost = next(line for line in lines if line["kind"] == "lost")
    assert (lost["first"], lost["last"]) == (kept, done)
    assert writer.tape.lost == done - kept
    assert lines[-1]["exact_frames"] == kept


def test_each_life_has_its_own_losses(running: recording.Recording, folder: pathlib.Path) -> None:
    first = Writer(running.tape)
    first.write(steps(0, 640))
    until(stored(running, 640), running)
    os.kill(recorder_of(running), signal.SIGSTOP)
    time.sleep(0.1)
    kept = 640
    for block in range(600):
        kept += 64 * first.write(steps(640 + 64 * block, 64))
    end = 640 + 64 * 600
    assert first.tape.lost == end - kept > 0
    second = Writer(running.tape)
    for block in range(10):
        assert not second.write(steps(64 * block, 64))
    os.kill(recorder_of(running), signal.SIGCONT)
    until(stored(running, kept), running)
    assert second.write(steps(640, 640))
    assert running.finish() is None
    sound, lines = read(folder)
    found = [(line["kind"], line["first"], line["last"]) for line in lines if line["kind"] in ("lost", "gap", "life")]
    begin = found[-1][1] if found[-1][0] == "life" else found[-2][1]
    assert found == [
        ("life", 0, 0), ("lost", kept, end), ("gap", end, begin), ("life", begin, begin), ("lost", begin, begin + 640),
    ]
    np.testing.assert_array_equal(sound[:kept], steps(0, kept))
    assert not sound[kept : begin + 640].any()
    np.testing.assert_array_equal(sound[begin + 640 :], steps(640, 640))
    assert second.tape.lost == 640


def test_a_full_disk_ends_both_files_at_one_sample(running: recording.Recording, folder: pathlib.Path) -> None:
    """No disk is full here: the recorder may not make larger files, which fails in the same call."""
    writer = Writer(running.tape)
    writer.write(steps(0, 64))
    until(stored(running, 64), running)
    resource.prlimit(recorder_of(running), resource.RLIMIT_FSIZE, (1_000_000, -1))
    done, said = 64, []
    while not said and done < 60 * RATE:
        writer.write(steps(done, 16000))
        done += 16000
        until(lambda done=done: running._ended or running._memory["header"][tape.READ] >= done, running)
        said = [running._problem] if running._ended else []
    sound, lines = read(folder)
    assert running.finish() == said[0]
    assert f"File too large; it ends after {len(sound) / RATE:.1f} s, both files at the same sample" in str(said[0])
    np.testing.assert_array_equal(sound, steps(0, len(sound)))
    assert len(sound) > RATE
    assert lines[-1]["kind"] == "end"
    assert lines[-1]["why"] == "File too large"
    assert len(cues(folder / "out.wav")) == len(cues(folder / "in.wav")) == 1


@pytest.mark.parametrize("room", [True, False])
def test_giving_up_gives_room_back_and_needs_none(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, room: bool
) -> None:
    stored_ = take.Take(take.claim(str(folder)), RATE, NAMES)
    stored_.note("life", first=0, last=0)
    stored_.write(0, steps(0, 100_000))
    stored_._wavs[0].write(100_000, steps(100_000, 64)[:, :2])   # and of the output it could not be written

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    if not room:
        monkeypatch.setattr(take.Take, "note", full)
    frames = stored_.give_up(100_000, "full")
    assert 8 * (100_000 - frames) == 1 << 18
    sound, lines = read(folder)
    np.testing.assert_array_equal(sound, steps(0, frames))
    assert len(cues(folder / "out.wav")) == len(lines) - 1 == room


FULL = """
import os, sys, time
sys.path.insert(0, sys.argv[2])
import numpy as np
from rtsep.hosts import recording
from tape_writer import Writer
if __name__ == "__main__":
    made = recording.Recording(sys.argv[1], 8000, ("a", "b"), {}, f"rtsep-{os.getpid()}-t")
    writer = Writer(made.tape)
    said, done = [], 0
    while not said:
        done += 16000
        assert writer.write(np.ones((16000, 4), np.float32))
        while not said and made._memory["header"][8] < done:
            time.sleep(0.01)
            said = made.update()
    assert made.finish() == said[0], said
    print(said[0])
"""


def test_a_disk_that_is_full(tmp_path: pathlib.Path) -> None:
    script = tmp_path / "full.py"
    script.write_text(FULL)
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    command = "mount -t tmpfs -o size=2m none $0 && $1 $2 $0/take $3 && cp -r $0/take $4"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command, disk, sys.executable, script, HERE, kept],
        capture_output=True, text=True, check=False,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no disk can be made here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert "the recording has stopped: No space left on device; it ends after" in done.stdout
    sound, lines = read(kept)
    assert len(sound) > RATE
    assert (sound == 1).all()
    assert lines[-1]["why"] == "No space left on device"
    assert len(cues(kept / "in.wav")) == 1


KILLED = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[2])
import numpy as np
from rtsep.hosts import recording
from tape_writer import Writer
if __name__ == "__main__":
    made = recording.Recording(sys.argv[1], 8000, ("a", "b"), {}, f"rtsep-{os.getpid()}-t")
    writer = Writer(made.tape)
    begin, done, more = time.monotonic(), 0, 150
    while more := more - (made._memory["header"][8] > 0):   # 1.5 s from when the recorder is there
        writer.write(np.full((80, 4), done, np.float32))
        done += 80
        time.sleep(max(0, begin + done / 8000 - time.monotonic()))
    print(made.tape.name, done, flush=True)
    if sys.argv[3] == "all":
        os.kill(made._process.pid, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("who", ["all", "supervisor"])
def test_what_is_left_when_all_are_killed(tmp_path: pathlib.Path, who: str) -> None:
    script, place = tmp_path / "killed.py", tmp_path / "take"
    script.write_text(KILLED)
    done = subprocess.run(
        [sys.executable, script, place, HERE, who], stdout=subprocess.PIPE, text=True, check=False, timeout=PATIENCE
    )   # what it inherits is closed when the recorder has ended, too
    assert done.returncode == -signal.SIGKILL
    name, frames = done.stdout.split()
    end = time.monotonic() + PATIENCE
    while pathlib.Path("/dev/shm", name).exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not pathlib.Path("/dev/shm", name).exists()
    sound, lines = read(place)
    np.testing.assert_array_equal(sound[:, 0], np.arange(len(sound)) // 80 * 80)
    np.testing.assert_array_equal(sound[:, 0], sound[:, 3])
    if who == "all":
        assert int(frames) - 2.5 * RATE < len(sound) <= int(frames)
        assert len(sound) > 0
        assert kinds(lines) == ["recording", "life"]
    else:
        assert len(sound) == int(frames)
        assert lines[-1]["why"] == "nobody asked for more"


def test_a_recording_is_nobody_elses(running: recording.Recording, folder: pathlib.Path) -> None:
    before = set(pathlib.Path("/dev/shm").iterdir())
    with pytest.raises(InputError, match=r"in\.wav: there is a recording already; name another folder"):
        recording.Recording(str(folder), RATE, NAMES, FACTS, _memory())
    made = {path.name for path in set(pathlib.Path("/dev/shm").iterdir()) - before}
    assert not {name for name in made if name.startswith(f"rtsep-{os.getpid()}-") and name.endswith("-t")}
    assert take.Take(running._job.claim, RATE, NAMES) is not None   # still those that were made


@pytest.mark.parametrize("name", take.FILES)
def test_links_are_not_followed(folder: pathlib.Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    (folder / name).symlink_to(folder / "nowhere")
    with pytest.raises(InputError, match="there is a recording already"):
        take.check_free(str(folder))
    monkeypatch.setattr(take, "check_free", lambda _: None)   # it came in between
    with pytest.raises(InputError, match="there is a recording already"):
        take.claim(str(folder))
    assert [path.name for path in folder.iterdir()] == [name]


def test_of_two_at_once_one_gets_the_folder(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    monkeypatch.setattr(take, "check_free", lambda _: None)   # both have found it free
    mine = take.claim(str(folder))
    with pytest.raises(InputError, match="there is a recording already"):
        take.claim(str(folder))
    take.release(take.Claim(str(folder), ((0, 0),) * 3))   # not theirs
    assert len(list(folder.iterdir())) == 3
    take.release(mine)
    assert not list(folder.iterdir())


def test_a_run_that_never_sounds_leaves_no_files(folder: pathlib.Path) -> None:
    made = recording.Recording(str(folder), RATE, NAMES, FACTS, _memory())
    made.mark("device")
    assert made.finish() is None
    assert not list(folder.iterdir())


def test_files_that_are_gone_end_the_recording(running: recording.Recording, folder: pathlib.Path) -> None:
    writer = Writer(running.tape)
    writer.write(steps(0, 640))
    until(stored(running, 640), running)
    (folder / "in.wav").rename(folder / "mine.wav")
    (folder / "in.wav").write_bytes(b"another one")
    os.kill(recorder_of(running), signal.SIGKILL)
    said = until(lambda: running._ended, running)
    assert "the recording cannot go on: " in said[-1]
    assert running.finish() == said[-1]
    assert (folder / "in.wav").read_bytes() == b"another one"


def test_too_little_shared_memory_is_said(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_SHARED_ROOM", 1 << 50)
    with pytest.raises(InputError, match="MB of shared memory"):
        recording.Recording(str(folder), RATE, NAMES, FACTS, _memory())
    assert not folder.exists()


def test_beyond_four_gigabytes(tmp_path: pathlib.Path) -> None:
    path, frames = tmp_path / "long.wav", 600_000_000
    with open(path, "wb") as file:
        wav = GrowingWav(file.fileno(), 48000, ("vox", "kick"))
        wav.write(0, np.ones((10, 2), np.float32))
        wav.show(10)
        assert soundfile.info(path).format == "WAVEX"
        wav.write(frames - 10, np.full((10, 2), 0.5, np.float32))   # silence before: a hole
        wav.show(frames)
        assert soundfile.info(path).frames == frames
        wav.finish(frames, [Mark(5, 0, "first"), Mark(frames - 5, 3, "last"), Mark(1 << 33, 0, "beyond")])
    assert soundfile.info(path).format == "RF64"
    last, _ = soundfile.read(path, start=frames - 20, dtype="float32")
    np.testing.assert_array_equal(last[:, 0], [0] * 10 + [0.5] * 10)
    with open(path, "rb") as file:   # libsndfile reads no cues of RF64
        header = file.read(48)
        assert struct.unpack("<QQQ", header[20:44]) == (path.stat().st_size - 8, 8 * frames, frames)
        file.seek(-200, 2)
        tail = file.read()
    tail = tail[tail.index(b"cue ") :]
    size, count, *points = struct.unpack("<II12I", tail[4:60])
    assert (size, count, points[1], points[5], points[7], points[11]) == (52, 2, 5, 5, frames - 5, frames - 5)
    assert tail[60:64] + tail[68:80] == b"LISTadtllabl" + struct.pack("<I", 10)
    assert tail[80:90] == struct.pack("<I", 1) + b"first\0"
    path.unlink()


def test_the_recorder_is_found_by_its_name(running: recording.Recording) -> None:
    comm = pathlib.Path(f"/proc/{recorder_of(running)}/comm")
    until(lambda: comm.read_text().strip() == recorder.COMM, running)
