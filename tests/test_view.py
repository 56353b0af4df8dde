"""The view: what is drawn of a run, on terminals of every size, and what the keys do."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from jack_server import jack_server
from live_run import PATIENCE, PRESET, read_until
from numpy.typing import NDArray

from rtsep import presets
from rtsep.control import keys, listening, paint, view
from rtsep.control.desk import Desk
from rtsep.control.keyboard import Keyboard
from rtsep.control.layout import NAME, lay_out
from rtsep.control.removed import Removed
from rtsep.control.surface import Running
from rtsep.control.surfaces import terminal
from rtsep.engine import Engine
from rtsep.figures import told
from rtsep.hosts.playring import LAYOUT
from rtsep.meters import Meters
from rtsep.presets import make_board
from rtsep.runner import process
from rtsep.scenes import make_scene
from rtsep.session import Session

PLAYERS = (
    "kick in", "kick out", "snare top", "snare bottom", "hi-hat", "rack tom", "floor tom",
    "overhead left", "overhead right", "bass DI", "guitar left amp", "guitar right amp",
    "keys left", "keys right", "Lead Vocal Anna", "Vox [/b]",
)
MICS = (*PLAYERS, *(f"{name} 2" for name in PLAYERS))
INFO = {"sample_rate": 48000, "device_latency_s": 0.0027, "host_api": "JACK Audio Connection Kit"}


def made(names: Sequence[str], save: Any = None) -> Running:
    playing = Engine(presets.loads(PRESET, "test"))
    playing.board = make_board(playing.preset, names)
    meters = Meters(len(names))
    for name, value in (("load", 0.07), ("xruns", 2), ("block_us.p99", 141), ("latency", 96), ("block", 64)):
        meters.put(name, value)
    return Running(Desk(playing, save=save), INFO, meters)


def picture(
    running: Running, columns: int = 110, rows: int = 24, removed: Sequence[float] | None = None, **more: Any
) -> list[str]:
    found = np.full(len(running.desk.mics), 7.3) if removed is None else np.array(removed, float)
    return [paint.plain(line).rstrip() for line in view.render(running, found, columns, rows, **more)]


def on_screen(text: str, columns: int, rows: int) -> list[str]:
    """Return what a terminal shows after it was given text: an emulator of what `paint` uses and no more."""
    screen = [[" "] * columns for _ in range(rows)]
    row = column = 0
    for control, letter in re.findall(r"\x1b\[([\d;?]*[A-Za-z])|([^\x1b])", text):
        if control == "H":
            row = column = 0
        elif control == "K":
            screen[row][min(column, columns - 1) :] = [" "] * (columns - min(column, columns - 1))
        elif letter == "\r":
            column = 0
        elif letter == "\n":
            row += 1
            assert row < rows, "it scrolls"
        elif letter:
            assert column < columns, "a line is too long"
            screen[row][column] = letter
            column += paint.width(letter)
    return ["".join(line).rstrip() for line in screen]


def test_it_shows_levels_and_what_the_keys_have_done() -> None:
    saved = []
    running = made(("vox", "kick"), lambda: saved.append(1))
    level, desk = running.meters.level, running.desk
    level("in_peak")[:], level("out_peak")[:], level("limiter_gain")[:] = (0.5, 0), (0.25, 0), (0.5, 1)
    shown = picture(running, removed=(10, float("nan")), notes=["a note"])
    assert shown[0] == "test (live)  latency 96 samples 2.00 ms + device 2.7 ms  JACK Audio Connection Kit"
    assert shown[1] == "load 7 %  p99 141 of 1333 us  " + told(running.meters.get, "view", "  ")
    assert "xruns 2  late blocks 0  late updates 0" in shown[1]
    vox, kick = (next(line for line in shown if line.startswith(name)) for name in ("vox", "kick"))
    assert vox.split() == ["vox", "-6.0", "█" * 18 + "··", "-12.0", "█" * 16 + "····", "10.0", "dB", "-6.0", "dB"]
    assert kick.split() == ["kick", "-120.0", "·" * 20, "-120.0", "·" * 20, "-"]
    assert shown[-1] == "a note"
    assert not any(" ON" in line for line in shown)
    assert not any(terminal.press(key, desk, lambda _: None) for key in "dmfx")
    shown_keys = picture(running)[-1]
    assert all(word in shown_keys for word in ("dry all ON", "mute all ON", "freeze ON", "s save"))
    assert desk.get("canceller.adapt") == 0
    assert not any(terminal.press(key, desk, lambda _: None) for key in "dmfs")
    assert saved == [1]
    assert not any(" ON" in line for line in picture(running))
    assert terminal.press("q", desk, lambda _: None)


class Transport:
    """Of a recording, somewhere in it."""

    seconds, position = 300.0, 125.5

    def locate(self, seconds: float) -> None:
        """Go there."""
        self.position = seconds


def test_a_recording_that_is_played_has_keys() -> None:
    running = made(("vox", "kick"))
    assert not any("play" in line for line in picture(running))
    assert not terminal.press(" ", running.desk, lambda _: None)
    running.desk._playing.board.extend(LAYOUT)
    running.desk.transport = Transport()
    assert "space play 2:05 ON   r rewind   l loop" in picture(running, 120)[-1]
    for key in " lr":
        terminal.press(key, running.desk, lambda _: None)
    assert "space play 0:00   r rewind   l loop ON" in picture(running, 120)[-1]


def test_arrows_and_other_keys_in_several_signs_are_no_letters() -> None:
    """Left and right end in D and C, as a terminal sends them: dry all, and clear clips."""
    assert keys.split("d\x1b[a\x1bob\x1b[d\x1b[c\x1b[1;5c\x1b[3~\x1b[200~q") == (["d", "up", "down", "q"], "")
    for cut in ("\x1b", "\x1b[", "\x1b[1;5", "\x1bo"):
        assert keys.split(f"m{cut}") == (["m"], cut)
    assert keys.split("\x1bd") == (["d"], "")


def test_a_keyboard_tells_arrows_from_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with open(theirs, closefd=True) as terminal_file:
        monkeypatch.setattr(sys, "stdin", terminal_file)
        keyboard = Keyboard()
        keyboard.open()
        arrow = (b"\x1b[D", []), (b"\x1b", []), (b"[A", [keys.UP])
        for said, expected in (*arrow, (b"\x1b", []), (b"", []), (b"D", ["d"])):   # the last ones: Escape, and a letter
            os.write(ours, said)
            assert keyboard.read() == expected
        keyboard.close()
    os.close(ours)


def test_the_ear_is_turned_by_keys() -> None:
    running = made(tuple(f"mic {n}" for n in range(1, 13)))
    desk, now = running.desk, [0.0]

    def pressed(*said: str) -> dict[str, float]:
        for key in said:
            assert not terminal.press(key, desk, lambda _: None)
        names = (f"ear.{name}.{mic}" for name in ("listen", "pfl") for mic in desk.mics)
        return {name: desk.get(name) for name in names if desk.get(name)}

    assert pressed("i", keys.DOWN, "3", "a") == {}
    assert not any(" ear " in line for line in picture(running, 140))
    desk.ear = listening.Listening(desk, lambda: now[0])
    assert pressed("i") == {"ear.listen.mic 1": 1}
    assert pressed(keys.DOWN, "a") == {"ear.listen.mic 2": 1, "ear.pfl.mic 2": 1}
    assert "↑↓ i o x a ear mic 2 in PFL ON" in picture(running, 140)[-1]
    assert pressed("1", "2", "x") == {"ear.listen.mic 12": 3, "ear.pfl.mic 12": 1}
    assert pressed("5", "a") == {"ear.listen.mic 5": 3}   # there is no 125
    now[0] = 2.0
    assert pressed("9", keys.DOWN, keys.DOWN, keys.DOWN, keys.DOWN, keys.UP, "o") == {"ear.listen.mic 11": 2}
    assert pressed("o", "0", keys.UP) == {}
    assert "ear mic 10 off  " in picture(running, 140)[-1]
    pressed("b")
    assert "b dim ON" in picture(running, 140)[-1]


def test_a_key_takes_back_what_was_turned() -> None:
    running, said = made(("vox",)), list[str]()
    running.desk.set("output.gain_db.vox", -5)
    for key in "uuy":
        assert not terminal.press(key, running.desk, said.append)
    assert said == ["undone: output.gain_db.vox", "nothing that could be undone", "done again: output.gain_db.vox"]
    assert running.desk.get("output.gain_db.vox") == -5


def test_what_cannot_be_saved_is_not_offered() -> None:
    running = made(("vox",))
    assert not any("save" in line for line in picture(running))
    assert not terminal.press("s", running.desk, lambda _: None)


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (40, 12)])
@pytest.mark.parametrize("mics", [1, 4, 8, 16, 32])
def test_every_name_can_be_read(mics: int, size: tuple[int, int]) -> None:
    columns, rows = size
    running = made(MICS[:mics])
    running.meters.level("out_peak")[:] = 1
    lines = view.render(running, np.full(mics, 12.3), columns, rows, notes=["1", "2", "3", "4", "5"])
    screen = on_screen(paint.paint(lines, columns, rows), columns, rows)
    assert [line for line in screen if line] == [paint.plain(line).rstrip() for line in lines]   # nothing was cut
    for name in MICS[:mics]:
        assert any(name[: NAME - 1] in line for line in screen), name
    for name in {name[: NAME - 1].rstrip() for name in MICS[:mics]}:   # names that begin alike: each of them
        beginnings = sum(other.startswith(name) for other in MICS[:mics])
        assert sum(line.count(name) for line in screen) == beginnings
    if columns >= 80:
        assert all(any(name in line for line in screen) for name in MICS[:mics])
        assert sum("12.3 dB" in line for line in screen) >= min(mics, 16)
        assert [line for line in screen if line][-1] == "5"


def test_what_does_not_fit_is_counted() -> None:
    shown = picture(made(MICS), 20, 5)
    assert len(shown) == 5
    assert shown[-1].startswith("+29 more")
    assert lay_out(3, 10, 1, 1).down == 1   # and nothing is too small


def test_names_are_shown_as_they_are_and_obey_nothing() -> None:
    running = made(("Vox [/b]", "a\x1b[31mb", "大太鼓", "tab\there"))
    shown = picture(running, notes=["kick\x1b[2J: no [red]signal"])
    for name in ("Vox [/b]", r"a\x1b[31mb", "大太鼓", r"tab\there", r"kick\x1b[2J: no [red]signal"):
        assert any(line.startswith(name) for line in shown)
    numbers = [paint.width(line[: line.index("-120.0")]) for line in shown if "-120.0" in line]
    assert len(set(numbers)) == 1   # wide letters take two columns
    assert "\x1b" not in "".join(shown)


def test_latency_that_does_not_exist_is_not_shown() -> None:
    running = made(("vox",))
    info = {**INFO, "device_latency_s": 178956.9693}
    assert picture(Running(running.desk, info, running.meters))[0].startswith(
        "test (live)  latency 96 samples 2.00 ms + device (its latency is not known)"
    )


@pytest.mark.parametrize(("removed", "shown"), [(11.04, "11.0 dB"), (1.2, "≥ 1.2 dB"), (-0.7, "-0.7 dB")])
def test_what_is_hidden_below_the_own_sound_is_a_bound(removed: float, shown: str) -> None:
    assert shown in picture(made(("vox",)), removed=[removed])[3]


def test_what_goes_wrong_is_shown_on_the_smallest_terminal() -> None:
    running = made(MICS)
    assert picture(running, 40, 12)[0] == "2.00 ms  load 7 %  xruns 2"
    assert picture(running, 40, 12, waiting="opening the device, 1.2 s")[0] == "opening the device, 1.2 s"
    assert picture(running, 40, 12, notes=["device lost"], fresh=True)[0] == "device lost"
    assert picture(running, 40, 12, notes=["device lost"])[0] == "2.00 ms  load 7 %  xruns 2"


# How much bleed was removed


def measured(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what is made of (dry, wet) powers, one pair for each measurement."""
    meters, removed = Meters(1), Removed(1)
    for n, (dry, wet) in enumerate(frames):
        meters.counters[0] = n + 1
        meters.level("dry_power")[:], meters.level("wet_power")[:] = dry, wet
        removed.update(meters)
        removed.update(meters)   # the same again: it counts once
    return removed.decibels()


def test_bleed_is_measured_where_others_play() -> None:
    own = np.full((80, 2), (101.0, 100.1))         # loud: -20 dB of bleed, of which a tenth is left
    others = np.full((20, 2), (1.0, 0.1))
    breaks = np.full((100, 2), 0.001)              # nobody plays, the hall hums
    assert measured(np.concatenate([own, others, breaks])) == pytest.approx(10, abs=0.01)
    assert np.isnan(measured(own[:29]))            # too little has been heard
    assert measured(own)[0] == pytest.approx(0.04, abs=0.01)   # it never pauses
    assert np.isnan(measured(np.full((100, 2), 1e-9)))
    spoilt = np.concatenate([own, others, np.full((20, 2), np.nan)])
    assert measured(spoilt) == pytest.approx(10, abs=0.01)


def test_the_meters_measure_before_gain_and_mute() -> None:
    rng = np.random.default_rng(1)
    own = (0.1 * rng.standard_normal((2, 8192))).astype(np.float32)
    x = own + np.float32(0.5) * own[::-1]
    found = []
    for settings in ({}, {"output.gain_db": -20.0}, {"output.mute_all": 1.0}, {"output.dry_all": 1.0}):
        meters = Meters(2)
        with Session.open("live", 48000, ("vox", "kick"), meters=meters) as session:
            for path, value in settings.items():
                session.engine.board.set(path, value)
            process(session.engine, x, 64)
        found.append([meters.level(f"{where}_power").copy() for where in ("dry", "wet", "out")])
    for dry, wet, _out in found[1:]:
        np.testing.assert_array_equal(dry, found[0][0])
        np.testing.assert_array_equal(wet, found[0][1])
    np.testing.assert_allclose(found[0][0], (x[:, -2048:] ** 2).sum(axis=1), rtol=1e-4)
    np.testing.assert_array_equal(found[0][1], found[0][2])   # nothing turned: what comes out
    assert not found[2][2].any()
    assert (np.abs(found[0][1] / found[0][0] - 1) > 0.001).any()   # the canceller does something


@pytest.mark.slow
def test_it_agrees_with_the_truth_on_simulated_stages() -> None:
    """Against what was taken off in the frames in which only others played."""
    shown, true = [], []
    for seed in (1, 2, 3, 4, 5):
        scene = make_scene("room", seed, 4, 20.0)
        meters, removed, size = Meters(4), Removed(4), 2048
        dry, wet, own = [], [], []
        with Session.open("live", scene.rate, scene.names, meters=meters) as session:
            for first in range(0, scene.mics.shape[1] - size, size):
                process(session.engine, np.ascontiguousarray(scene.mics[:, first : first + size]), 64)
                if first > 4 * scene.rate:
                    removed.update(meters)
                    dry.append(meters.level("dry_power").copy())
                    wet.append(meters.level("wet_power").copy())
                    own.append((scene.images[:, first : first + size] ** 2).sum(axis=1))
        for c, found in enumerate(removed.decibels()):
            alone = np.array(own)[:, c] < 0.05 * np.array(dry)[:, c]
            if alone.sum() > 8:
                shown.append(found)
                true.append(10 * np.log10(np.array(dry)[alone, c].sum() / np.array(wet)[alone, c].sum()))
    differences = np.array(shown) - np.array(true)
    assert len(shown) >= 10
    assert abs(differences.mean()) < 3
    assert np.median(np.abs(differences)) < 4
    assert np.corrcoef(shown, true)[0, 1] > 0.4


# On a terminal


@contextlib.contextmanager
def on_terminal(monkeypatch: pytest.MonkeyPatch, columns: int = 80, rows: int = 24) -> Iterator[tuple[int, int]]:
    """Yield both ends of a terminal that stands for stdin and stderr."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    os.set_blocking(ours, False)
    with os.fdopen(theirs, "w", encoding="utf-8") as shown, os.fdopen(os.dup(theirs), encoding="utf-8") as keys:
        monkeypatch.setattr(sys, "stderr", shown)
        monkeypatch.setattr(sys, "stdin", keys)
        yield ours, theirs
    with contextlib.suppress(OSError):
        os.close(ours)


def seen(file: int, word: str) -> str:
    text = ""
    until = time.monotonic() + 10
    while word not in text:
        assert time.monotonic() < until, f"{word!r} is not in {text!r}"
        with contextlib.suppress(BlockingIOError):
            text += os.read(file, 65536).decode()
        time.sleep(0.005)
    return text


def test_something_is_shown_from_the_beginning_and_the_start_line_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with on_terminal(monkeypatch) as (ours, theirs):
        before = termios.tcgetattr(theirs)
        shown, running = terminal.View(), made(("vox", "kick"))
        shown.wait("loading the engine", 0.3)
        text = seen(ours, "loading the engine, 0.3 s")
        assert "\n" not in text
        shown.say("the start line")
        shown.wait("opening the device", 0.4)
        text += seen(ours, "opening the device, 0.4 s")
        assert not shown.update(running)
        text += seen(ours, " quit ")
        shown.say("said later")
        os.write(ours, b"mQ")
        shown._drawn = 0.0
        assert shown.update(running)
        text += seen(ours, "said later")
        assert running.desk.get("output.mute_all") == 1
        shown.close()
        text += seen(ours, "said later\r\n")
        assert termios.tcgetattr(theirs) == before
    main = text[: text.index("\x1b[?1049h")] + text[text.index("\x1b[?1049l") :]
    assert "the start line" in text[text.index("\x1b[?1049h") : text.index("\x1b[?1049l")]
    assert main.count("the start line") == main.count("said later") == 1


def test_in_the_background_nothing_is_drawn_and_then_all_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-Z, bg, fg: the shell has had the terminal, and has set it up for itself."""
    with on_terminal(monkeypatch) as (ours, theirs):
        cooked = termios.tcgetattr(theirs)
        shown, running = terminal.View(), made(("vox",))
        shown.update(running)
        seen(ours, " quit ")
        ours_now = termios.tcgetattr(theirs)
        assert ours_now != cooked
        termios.tcsetattr(theirs, termios.TCSANOW, cooked)
        monkeypatch.setattr(terminal, "foreground", lambda _file: False)
        time.sleep(0.1)
        with contextlib.suppress(BlockingIOError):
            os.read(ours, 65536)   # the end of the picture
        shown._drawn = 0.0
        assert not shown.update(running)
        time.sleep(0.1)
        with pytest.raises(BlockingIOError):
            os.read(ours, 65536)
        assert termios.tcgetattr(theirs) == cooked
        monkeypatch.setattr(terminal, "foreground", lambda _file: True)
        shown._drawn = 0.0
        shown.update(running)
        assert "\x1b[?1049h" in seen(ours, " quit ")
        assert termios.tcgetattr(theirs) == ours_now
        shown.close()
        assert termios.tcgetattr(theirs) == cooked


def test_a_waiting_device_is_shown_in_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    with on_terminal(monkeypatch) as (ours, _theirs):
        shown, running = terminal.View(), made(("vox",))
        shown.update(running)
        shown.wait("waiting for the device", 3.0)
        shown._drawn = 0.0
        shown.update(running)
        assert "load" not in seen(ours, "waiting for the device, 3.0 s").split("\x1b[H")[-1]
        shown.close()


@pytest.mark.parametrize("fault", ["closed", "stopped"])
def test_a_terminal_that_is_gone_or_stopped_holds_nothing_up(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    with on_terminal(monkeypatch) as (ours, theirs):
        before = termios.tcgetattr(theirs)
        shown, running = terminal.View(), made(MICS)
        shown.update(running)
        seen(ours, " quit ")
        if fault == "closed":
            os.close(ours)
        else:
            os.write(ours, b"\x13")
        begun = time.monotonic()
        for n in range(300):
            shown._drawn = 0.0
            shown.say(str(n))
            assert not shown.update(running)
        assert time.monotonic() - begun < 30     # waiting for a reader takes for ever
        begun = time.monotonic()
        shown.close()
        assert time.monotonic() - begun < 10
        if fault == "stopped":
            assert termios.tcgetattr(theirs) == before


def test_a_run_ends_in_good_order_though_nobody_reads(tmp_path: pathlib.Path) -> None:
    """Both pipes are full from the first line on; before, the first message was the end of all that watches a run."""
    path = tmp_path / "test.toml"
    path.write_text(PRESET)
    with jack_server(channels=2) as server:
        ends = [os.pipe(), os.pipe()]
        for _reading, writing in ends:
            os.set_blocking(writing, False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(writing, b"." * 4096)
            os.set_blocking(writing, True)
        run = subprocess.Popen(
            [sys.executable, "-m", "rtsep", "run", "--preset", str(path), "--seconds", "1", "-i", "system"],
            env=server.environment, stdout=ends[0][1], stderr=ends[1][1],
        )
        try:
            assert run.wait(PATIENCE) == 0
        finally:
            run.kill()
            run.wait()
            for end in (*ends[0], *ends[1]):
                os.close(end)


def test_a_run_shows_that_it_starts(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "test.toml"
    path.write_text(PRESET)
    ours, theirs = pty.openpty()
    with jack_server(channels=2) as server:
        run = subprocess.Popen(
            [sys.executable, "-m", "rtsep", "run", "--preset", str(path), "-i", "system"],
            env=server.environment, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs,
        )
        try:
            text = read_until(ours, "loading the engine")
            text += read_until(ours, "opening system")
            text += read_until(ours, " quit ")
            assert "compiling" not in text   # all is in the cache, or the tests before this one have put it there
            os.close(ours)                   # the window is closed: the run goes on, and ends as it should
            time.sleep(0.5)
            assert run.poll() is None
            run.send_signal(signal.SIGINT)
            assert run.wait(PATIENCE) == 0
        finally:
            run.kill()
            run.wait()
            os.close(theirs)


def test_lines_say_little(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        lines, running = terminal.Lines(), made(("vox",))
        for tenths in range(100):
            lines.wait("loading the engine", tenths / 10)
        lines.say("kick\x1b[2J: no signal")
        running.meters.put("running", 1)
        lines._shown = -10.0
        lines.update(running)
        lines.update(running)
        lines.close()
    said = os.read(ours, 65536).decode().splitlines()
    os.close(ours)
    assert said[:3] == ["loading the engine, 2 s", "loading the engine, 4 s", "loading the engine, 8 s"]
    assert said[3:] == [r"kick\x1b[2J: no signal", f"load 7 %, p99 141 us, {told(running.meters.get, 'view', ', ')}"]
