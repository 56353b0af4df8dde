"""A show on a sound card: it goes on where it stood, whoever was killed."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from jack_server import jack_server
from live_run import PATIENCE, PRESET, Live, Start, runs

from rtsep import learnt, presets
from rtsep.bench.jackd import JackServer
from rtsep.hosts.request import RunOptions
from rtsep.params import Board
from rtsep.show import cue as cues
from rtsep.show import folder, keeping, remembering, starting
from rtsep.show.cue import Cue

pytestmark = pytest.mark.slow
MICS = ("vox", "kick")


@pytest.fixture(scope="module")
def server() -> Iterator[JackServer]:
    with jack_server(channels=2) as running:
        yield running


@pytest.fixture
def start() -> Iterator[Start]:
    with runs() as starting_one:
        yield starting_one


def begin(start: Start, server: JackServer, place: pathlib.Path) -> Live:
    said = RunOptions("live", input_device="system", show=str(place))
    run = start(server, **dataclasses.asdict(starting.options(said, None)))
    run.until("2 microphones")
    return run


def board(run: Live) -> Board:
    """Return the board of a run, as its audio process has it."""
    return presets.make_board(presets.loads(PRESET, "test"), MICS, board_name(run), create=False)


def board_name(run: Live) -> str:
    """Return the name of its shared memory: that of the run's folder, and `-b`."""
    maps = pathlib.Path(f"/proc/{run.process.pid}/maps").read_text()
    shared = {word.rpartition("/")[2] for word in maps.split() if word.startswith("/dev/shm/rtsep-")}
    [name] = [word for word in shared if word.endswith("-b")]
    return name


def until(good: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not good():
        assert time.monotonic() < end
        time.sleep(0.02)


def stands(place: pathlib.Path, path: str, value: float) -> bool:
    state = keeping.load(place)
    return state is not None and state.values.get(path) == value


def test_it_goes_on_where_it_stood_when_every_process_was_killed(
    start: Start, server: JackServer, tmp_path: pathlib.Path
) -> None:
    preset = tmp_path / "mine.toml"
    preset.write_text(PRESET)
    show = folder.create(tmp_path / "show", "test", str(preset), MICS)
    cues.save(Cue(3, "song", values={"output.gain_db": -6.0}, file="03-song"), show.folder / "snapshots")
    run = begin(start, server, show.folder)
    values = board(run)
    values.set("output.gain_db.kick", -7.5)
    values.set("output.mute_all", 1)
    until(lambda: stands(show.folder, "output.mute_all", 1))
    values.set("output.gain_db.vox", -2)
    until(lambda: stands(show.folder, "output.gain_db.vox", -2))
    for pid in [run.process.pid, *run._children()]:
        os.kill(pid, signal.SIGKILL)
    run.process.wait()
    again = begin(start, server, show.folder)
    again.until("the show stands as it did last: no snapshot")
    again.until("output.mute_all is on, as it was")
    values = board(again)
    assert [values.get(f"output.gain_db.{mic}") for mic in MICS] == [-2, -7.5]
    assert values.get("output.mute_all") == 1
    again.interrupt()
    code, summary = again.end()
    assert (code, summary["preset"]) == (0, "test")
    assert len([path for path in (show.folder / "history").iterdir() if path.name.endswith("state.toml")]) > 1


def test_what_was_learnt_goes_into_the_show_and_comes_back(
    start: Start, server: JackServer, tmp_path: pathlib.Path
) -> None:
    """At the end of a run; the next one begins with it, and without it where it does not fit."""
    preset = tmp_path / "mine.toml"
    preset.write_text(PRESET)
    show = folder.create(tmp_path / "show", "test", str(preset), MICS)
    run = begin(start, server, show.folder)
    until(lambda: any(pathlib.Path("/dev/shm").glob(f"{board_name(run)[:-2]}/learnt.npz")))
    run.interrupt()
    assert run.end()[0] == 0
    first = remembering.newest(show.folder)
    assert first is not None
    assert learnt.load(first).names == MICS
    again = begin(start, server, show.folder)
    again.until(f"the show begins, if it fits, with what was learnt last: {first}")
    again.interrupt()
    assert again.end()[0] == 0
    known = learnt.load(first)
    assert isinstance(known, learnt.Learnt)
    learnt.save(dataclasses.replace(known, rate=8000), first.with_name("29991231T000000.000Z-learnt.npz"))
    last = begin(start, server, show.folder)
    assert any("it begins without what was learnt last: calibration 2999" in line for line in last.lines)
    last.interrupt()
    assert last.end()[0] == 0
