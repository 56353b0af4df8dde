"""The show with faults: what its judge can hear, the plan and the table, files of a take; a short show is slow."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
from types import SimpleNamespace

import made_plugins
import numpy as np
import pytest
import soundfile
from jack_server import jack_server

from rtsep.audiofile.growing import GrowingWav, Mark
from rtsep.bench.faults import evening, judging, processes, takes
from rtsep.bench.faults.hearing import Heard
from rtsep.bench.faults.injections import INJECTIONS
from rtsep.bench.faults.judging import Window
from rtsep.bench.faults.player import Player, compile_player, make_mics
from rtsep.errors import DeviceError

ROOT = pathlib.Path(__file__).parent.parent
RATE, PERIOD, START = 48000, 128, 100.0
EARS = (0, 1)
CLEAN = Window(0.0, 0.0, 0.0, 0.0, -20.0, 0, None)
GOOD = evening.Found("NaN mic", 1.0, CLEAN, 0.0, True, True, "bad_inputs +5")


def tape(seconds: float = 3.0, start: float = START) -> Heard:
    """Return two ears' sustained sound, on time."""
    frames = round(seconds * RATE) // PERIOD * PERIOD
    stamps = start + np.arange(frames // PERIOD) * PERIOD / RATE
    return Heard(make_mics(2, RATE)[:, :frames].copy(), stamps, PERIOD, RATE)


def judged(*tapes: Heard, until: float = START + 3, ears: tuple[int, ...] = EARS) -> Window:
    return judging.judge(tapes, START + 1, until, judging.usual([tape()], START, START + 1), ears)


def test_usual_sound_is_nothing() -> None:
    found = judged(tape())
    assert (found.silence, found.repeat, found.off, found.deaf, found.not_finite, found.last) == (0, 0, 0, 0, 0, None)
    assert found.peak_db == pytest.approx(20 * np.log10(np.abs(judging.cut(tape(), START + 1, START + 3).sound).max()))


def test_one_ear_that_is_silent_is_heard_beside_others() -> None:
    heard = tape()
    heard.sound[1, 72000:81600] = 0
    found = judged(heard)
    assert found.silence == pytest.approx(0.2, abs=1e-4)
    assert found.last == pytest.approx(START + 1.7, abs=1e-3)
    assert judged(heard, ears=(0,)) == judged(tape(), ears=(0,))   # another one's matter
    heard.sound[1, 10000:40000] = 0                                 # before that time
    assert judged(heard) == found


def test_a_block_again_is_heard() -> None:
    heard = tape()
    first = 600 * PERIOD
    heard.sound[0, first : first + 40 * PERIOD] = np.tile(heard.sound[0, first - PERIOD : first], 40)
    assert judged(heard).repeat == pytest.approx(40 * PERIOD / RATE, abs=2 / RATE)


@pytest.mark.parametrize("gain", [4.0, 0.25])   # dry behind a strip that turns down, and a fade
def test_a_level_beside_the_usual_one_is_heard(gain: float) -> None:
    heard = tape()
    heard.sound[1, 72000:96000] *= gain
    found = judged(heard)
    assert found.off == pytest.approx(0.5, abs=0.02)
    assert (found.silence, found.repeat) == (0, 0)
    heard.sound[1, 72000:96000] *= 1.5 / gain
    assert judged(heard).off == 0


@pytest.mark.parametrize(("sample", "peak", "wrong"), [(0.95, -0.4455, 0), (np.nan, None, 1), (np.inf, None, 1)])
def test_peaks_and_what_is_no_number_count_at_every_ear(sample: float, peak: float | None, wrong: int) -> None:
    heard = tape()
    heard.sound[1, 72000] = sample
    found = judged(heard, ears=(0,))
    assert found.not_finite == wrong
    assert found.peak_db == pytest.approx(peak if peak is not None else judged(tape()).peak_db, abs=1e-3)


def test_between_two_lives_of_the_device_and_behind_the_last_there_is_silence() -> None:
    one, two = tape(1.5), tape(1.5, START + 2.5)
    assert judged(one, two, until=START + 4).silence == pytest.approx(1.0, abs=0.01)
    assert judged(one, until=START + 3).silence == pytest.approx(1.5, abs=0.02)


@pytest.mark.parametrize(("change", "words"), [
    ({"window": Window(0, 0, 0, 0, -0.9, 0, None)}, "peak -0.90 dBFS"),
    ({"window": Window(0, 0, 0, 0, -20, 3, None)}, "not finite"),
    ({"recovered": False}, "not back"),
    ({"counted": False}, "not counted"),
    ({"wrong": ["there is no recorder"]}, "there is no recorder"),
])
def test_each_wrong_is_named(change: dict[str, object], words: str) -> None:
    assert evening.beyond(GOOD) == []
    bad = evening.Found(**{**vars(GOOD), **change})
    assert evening.beyond(bad) == [words]
    (row,) = evening.rows([GOOD, bad])
    assert words in evening.line(row)


def test_a_row_sums_up_all_of_a_kind() -> None:
    slow = evening.Found(**{**vars(GOOD), "window": Window(0.3, 0, 0.1, 0, -12, 0, 5.0), "back": 0.4})
    (row,) = evening.rows([GOOD, GOOD, slow])
    assert (row["n"], row["silence_ms"], row["recovered"], row["counted"]) == (3, {"median": 0.0, "max": 300.0}, 3, 3)
    assert (row["peak_db"], row["back_s"]) == (-12, {"median": 0.0, "max": 0.4})
    assert "0 / 300" in evening.line(row)


def test_a_fault_is_told_by_a_line_or_by_a_figure_that_has_risen() -> None:
    of = {injection.name: injection for injection in INJECTIONS}
    nothing = {"bad_inputs": 4.0, "worker_restarts": 2.0, "osc": 5.0}
    assert evening.evidence(of["NaN mic"], ["hello"], nothing, nothing) == ""
    assert evening.evidence(of["NaN mic"], [], nothing, {**nothing, "bad_inputs": 9}) == "bad_inputs +5"
    assert evening.evidence(of["NaN mic"], [], nothing, {**nothing, "bad_inputs": 3}) == "bad_inputs +3"   # a new life
    assert evening.evidence(of["OSC flood 2 s"], [], nothing, {**nothing, "osc": 9}) == ""   # our own questions
    assert evening.evidence(of["recorder killed"], ["the recorder died (exit code -9)"], nothing, nothing)


def test_the_plan_has_each_so_often_in_an_order_of_its_seed() -> None:
    order = [injection.name for injection in evening.plan(10, 1)]
    assert order == [injection.name for injection in evening.plan(10, 1)]
    assert order != [injection.name for injection in evening.plan(10, 2)]
    assert {order.count(i.name) // (10 // i.every) for i in INJECTIONS} == {1}
    assert {injection.name for injection in evening.plan(1, 1, ["jackd"])} == {
        injection.name for injection in INJECTIONS if "jackd" in injection.name
    }


def test_a_signal_to_nobody_is_not_sent() -> None:
    nobody = SimpleNamespace(program=SimpleNamespace(audio=lambda: 0))
    for act in (processes.kill_audio, processes.stop_audio):   # to 0 it would end this program
        with pytest.raises(DeviceError, match="there is no audio process"):
            act(nobody)   # type: ignore[arg-type]


def take(folder: pathlib.Path, frames: int = 96000) -> None:
    """Write a take with two places in it."""
    lines = [{"kind": "life", "first": 0}, {"kind": "gap", "first": 500}, {"kind": "end", "frames": frames}]
    (folder / "recording.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name in ("in.wav", "out.wav"):
        with open(folder / name, "w+b") as file:
            wav = GrowingWav(file.fileno(), RATE, ("vox", "kick"))
            wav.write(0, np.zeros((frames, 2), np.float32))
            wav.show(frames)
            wav.finish(frames, [Mark(0, 0, "life"), Mark(500, 0, "gap")])


def test_a_take_is_whole_or_it_is_said_what_is_not(tmp_path: pathlib.Path) -> None:
    take(tmp_path)
    found = takes.look(tmp_path)
    assert takes.wrong(found, 2.5, RATE, ended=True) == []
    assert takes.wrong(found, 3.2, RATE, ended=True) == ["+1.20 s lost"] * 2
    assert takes.wrong(found, 0.5, RATE, ended=True) == ["1.50 s too long"] * 2
    assert takes.wrong(found, 0.5, RATE, ended=True, ending=0.6) == []
    found["cues"]["out.wav"] = 1
    assert takes.wrong(found, 2.0, RATE, ended=True) == ["out.wav: 1 cues for 2 places"]
    soundfile.write(tmp_path / "out.wav", np.zeros((90000, 2)), RATE)
    assert takes.wrong(takes.look(tmp_path), 2.0, RATE, ended=True) == [
        "files of different lengths", "out.wav: 0 cues for 2 places",
    ]
    assert takes.wrong(takes.look(tmp_path), 2.0, RATE, ended=False) == []
    (tmp_path / "in.wav").write_bytes(b"nothing")
    assert len(takes.wrong(takes.look(tmp_path), 2.0, RATE, ended=False)) == 1


def test_a_player_gives_back_the_memory_of_what_it_has_heard(tmp_path: pathlib.Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    with jack_server(channels=2) as server:
        player = Player(compile_player(tmp_path), server, make_mics(2, RATE), 3600.0)   # 1.4 GB if it took all
        try:
            player.wait()
            while player.get("heard") < RATE // 2:
                pass
            assert _held(player) < 10e6
            heard = player.heard().sound
            heard[:, : RATE // 2] = 1   # whatever is played on this server
            before = _held(player)
            player.forget(RATE // 2)
            assert not heard[:, 2048 : RATE // 2 - 2048].any()
            assert _held(player) < before
        finally:
            player.close()


def _held(player: Player) -> int:
    """Return how many bytes its tape takes."""
    stat = pathlib.Path(f"/proc/self/fd/{player._tape.fd}").stat()
    return 512 * stat.st_blocks


@pytest.mark.slow
def test_a_short_show_is_survived(tmp_path: pathlib.Path) -> None:
    with jack_server(channels=2):   # or skip
        pass
    if made_plugins.missing():
        pytest.skip(made_plugins.missing())
    report = tmp_path / "report.json"
    words = ["recorder", "NaN mic", "crashes", "preset", "audio killed"]
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / "fault_show.py", *words, "--minutes", "0.2", "--times", "1", "--no-realtime",
         "--only-show", "-o", str(report)], capture_output=True, text=True, timeout=300, check=False,
    )
    found = json.loads(report.read_text())
    assert done.returncode == 0, done.stdout
    assert {row["fault"] for row in found["rows"]} >= {"recorder killed", "NaN mic", "plug-in crashes", "audio killed"}
    (crash,) = (row for row in found["rows"] if row["fault"] == "plug-in crashes")
    assert crash["off_ms"]["max"] > 0   # its strip was dry, and that is heard
