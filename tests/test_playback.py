"""A recording in place of the inputs: every sample is the file's, fades where it begins elsewhere, nothing waits."""

from __future__ import annotations

import os
import pathlib
import secrets
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import soundfile

from rtsep import presets
from rtsep.control.desk import Desk
from rtsep.errors import InputError
from rtsep.hosts import playback, playring
from rtsep.hosts.request import RunOptions, check
from rtsep.session import Session
from rtsep_kernels.plane import player

RATE = 48000
FADE = 480
SECONDS = 4
PATIENCE = 20.0
TEXT = 'schema = 1\nname = "plain"\nlatency_class = "live"\n[[chain]]\nstage = "input"\n'


class Deck:
    """What is played through a chain that changes nothing, as fast as it is read."""

    def __init__(self, path: pathlib.Path, begin: float = 0.0) -> None:
        place = playring.play_place(str(path))
        self.place = place._replace(memory=f"rtsep-{os.getpid()}-{secrets.token_hex(3)}-p")
        preset = presets.loads(TEXT, "plain")
        self.board = presets.lay_out(preset, place.names)
        self.board.extend(playring.LAYOUT)
        self.session = Session.open(preset, RATE, place.names, board=self.board)
        self.runner = self.session.start()
        self.playing = playback.Playback(self.place, self.board, begin)
        playring.attach(self.runner, self.board, self.place)
        self.header = self.playing._header
        self.said: list[str] = []

    def until(self, done: Any) -> None:
        end = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < end, self.said
            self.said += self.playing.update()
            time.sleep(0.005)

    def hear(self, frames: int, wait: bool = True) -> np.ndarray:
        """Return what is heard next; with `wait` the reader is never behind."""
        heard = np.zeros((2, frames), np.float32)
        for first in range(0, frames, 96):
            n = min(96, frames - first)
            if wait:
                self.until(lambda: self.header[playring.END] >= 0
                           or self.header[playring.WRITTEN] - self.header[playring.READ] > 2 * FADE)
            piece = np.empty((2, n), np.float32)
            self.runner.process(np.ones((2, n), np.float32), piece)   # what comes in is not heard
            heard[:, first : first + n] = piece
        return heard

    def cut(self) -> None:
        """Wait until a locate has been read."""
        self.until(lambda: self.header[playring.CUTS] == self.header[playring.LOCATES])


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    t = np.arange(SECONDS * RATE) / RATE
    sound = np.stack([0.5 * np.cos(2 * np.pi * 110 * t), 0.3 * np.cos(2 * np.pi * 70.5 * t + 1)])
    soundfile.write(tmp_path / "show.wav", sound.T.astype(np.float32), RATE, subtype="FLOAT")
    return tmp_path / "show.wav"


@pytest.fixture
def x(file: pathlib.Path) -> np.ndarray:
    return soundfile.read(file, dtype="float32")[0].T


@pytest.fixture
def deck(file: pathlib.Path) -> Iterator[Deck]:
    made = Deck(file)
    made.cut()
    yield made
    made.playing.close()
    made.session.close()


def smooth(heard: np.ndarray) -> bool:
    """Return whether there is no step; the sines' own and those of fades are below 0.01."""
    return bool(np.abs(np.diff(heard)).max() < 0.01)


def test_the_header_is_the_one_of_the_kernel() -> None:
    names = ("WRITTEN", "READ", "CUTS", "CUT_ROW", "BEFORE", "END", "UNDERRUNS", "PLAYER_HEADER")
    assert [getattr(playring, name) for name in names] == [getattr(player, name) for name in names]


def test_every_sample_is_the_files_and_behind_its_end_is_silence(deck: Deck, x: np.ndarray) -> None:
    np.testing.assert_array_equal(deck.hear(x.shape[1]), x)
    assert not deck.hear(960).any()
    deck.until(lambda: deck.said)
    assert deck.said == ["the recording is at its end"]
    deck.board.set("play.loop", 1)
    deck.until(lambda: deck.header[playring.END] < 0)
    np.testing.assert_array_equal(deck.hear(x.shape[1] + 5000), np.concatenate([x, x[:, :5000]], 1))   # without a seam
    assert not deck.header[playring.UNDERRUNS]


def test_from_the_place_that_is_gone_to_every_sample_is_the_files(deck: Deck, x: np.ndarray) -> None:
    first = deck.hear(1000)
    deck.playing.locate(2.5)
    deck.cut()
    assert deck.playing.update() == []
    then = deck.hear(FADE + FADE + 20000)
    there = round(2.5 * RATE)
    np.testing.assert_array_equal(first, x[:, :1000])
    np.testing.assert_array_equal(then[:, 2 * FADE :], x[:, there : there + 20000])
    assert smooth(np.concatenate([first, then], 1))
    assert not smooth(np.concatenate([first, x[:, there:]], 1))   # a cut would be heard
    deck.until(lambda: abs(deck.playing.position - 2.5 - 20000 / RATE) < 0.001)
    for seconds in (-0.1, 4.0):
        with pytest.raises(InputError, match=r"is not in the recording; allowed is 0 to 4\.000 s|0 to 4\.000 s"):
            deck.playing.locate(seconds)


def test_a_pause_fades_and_goes_on_where_it_was(deck: Deck, x: np.ndarray) -> None:
    deck.hear(5000)
    deck.board.set("play.run", 0)
    out = deck.hear(2000)
    deck.board.set("play.run", 1)
    back = deck.hear(3000)
    assert smooth(np.concatenate([x[:, 4990:5000], out, back], 1))
    assert not out[:, 700:].any()
    read = int(deck.header[playring.READ])
    np.testing.assert_array_equal(back[:, 700:], x[:, read - 2300 : read])
    deck.board.set("play.run", 0)
    deck.hear(1000)
    for seconds in [0.5, 1.5] * 20 + [2.0]:   # as often as one likes
        deck.playing.locate(seconds)
        deck.cut()
        assert not deck.hear(128).any()
    deck.board.set("play.run", 1)
    went = deck.hear(4000)
    begun = np.flatnonzero(went.any(axis=0))[0]   # the second: a fade begins with 0
    np.testing.assert_array_equal(went[:, begun + FADE - 1 :][:, :3000], x[:, 2 * RATE :][:, :3000])
    assert smooth(went)


def test_a_reader_that_is_killed_is_not_heard(deck: Deck, x: np.ndarray) -> None:
    first = deck.hear(30000)
    deck.until(lambda: deck.header[playring.WRITTEN] >= 2 * RATE)
    os.kill(deck.playing._process.pid or 0, signal.SIGKILL)
    deck.until(lambda: deck.said)
    rest = deck.hear(x.shape[1] - 30000)
    assert deck.said[0] == "the process that reads the recording died (exit code -9); another one goes on"
    np.testing.assert_array_equal(np.concatenate([first, rest], 1), x)


def test_a_disk_that_stands_still_is_silence_said(deck: Deck, x: np.ndarray) -> None:
    deck.until(lambda: deck.header[playring.WRITTEN] >= 2 * RATE)
    os.kill(deck.playing._process.pid or 0, signal.SIGSTOP)
    heard = deck.hear(3 * RATE, wait=False)
    assert smooth(heard)
    assert not heard[:, -RATE // 4 :].any()
    os.kill(deck.playing._process.pid or 0, signal.SIGCONT)
    deck.until(lambda: deck.header[playring.WRITTEN] - deck.header[playring.READ] > RATE)
    again = deck.hear(10000)
    read = int(deck.header[playring.READ])
    np.testing.assert_array_equal(again[:, -9000:], x[:, read - 9000 : read])
    assert smooth(again)
    deck.said += deck.playing.update()
    assert deck.said == ["the recording was not read in time: silence instead, once so far"]


def test_it_begins_where_it_is_told(file: pathlib.Path, x: np.ndarray) -> None:
    deck = Deck(file, 1.25)
    try:
        deck.cut()
        np.testing.assert_array_equal(deck.hear(3000)[:, FADE:], x[:, round(1.25 * RATE) :][:, : 3000 - FADE])
    finally:
        deck.playing.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"loop": True}, "--loop: nothing is played"),
        ({"begin": 1.0}, "--from: nothing is played"),
        ({"play": "FILE", "rate": 44100}, "--samplerate: 44100"),
        ({"play": "FILE", "begin": 4.0}, "--from: 4 s"),
        ({"play": "FILE", "map_csv": "map.csv"}, "--map: not with --play"),
    ],
)
def test_what_cannot_be_played_is_said(file: pathlib.Path, options: dict[str, Any], said: str) -> None:
    given = {**options, "play": str(file)} if "play" in options else options
    with pytest.raises(InputError, match=said):
        check(RunOptions("live", **given))


def test_the_desk_has_it(deck: Deck) -> None:
    desk = Desk(deck.session.engine)
    assert "play.run" not in desk.paths()
    desk.transport = deck.playing
    assert {"play.run", "play.loop"} < set(desk.paths())
    desk.toggle("play.run")
    assert deck.board.get("play.run") == 0
