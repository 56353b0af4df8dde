"""Plug-ins' states on a sound card: stored and recalled while it plays, and there again when everything was killed."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import signal
import time
from collections.abc import Iterator

import live_run
import pytest
from jack_server import jack_server
from live_run import Live, Start, runs
from made_plugins import made

from rtsep.bench.jackd import JackServer
from rtsep.hosts.request import RunOptions
from rtsep.show import folder, starting

pytestmark = pytest.mark.slow
DELAY, MICS = 2048, ("vox", "kick")
# Does what a file says, line by line: `set PATH VALUE`, `store NAME`, `go NAME`.
DRIVER = live_run.DRIVER.replace("surface = View if sys.stderr.isatty() else Lines", """
import pathlib
class surface(Lines):
    def update(self, running):
        file = pathlib.Path(options["show"]) / "orders"
        if file.exists():
            for line in file.read_text().splitlines():
                word, *rest = line.split()
                if word == "set":
                    running.desk.set(rest[0], float(rest[1]))
                else:
                    getattr(running.desk.snapshots, word)(*rest)
            file.unlink()
        return super().update(running)
""")


@pytest.fixture(scope="module")
def server() -> Iterator[JackServer]:
    with jack_server(channels=2) as running:
        yield running


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setattr(live_run, "DRIVER", DRIVER)
    with runs() as starting_one:
        yield starting_one


def begin(start: Start, server: JackServer, place: pathlib.Path) -> Live:
    said = RunOptions("live", input_device="system", show=str(place))
    options = dataclasses.asdict(starting.options(said, None))
    return start(server, **json.loads(json.dumps(options)))


def order(place: pathlib.Path, *lines: str) -> None:
    (place / "some").write_text("\n".join(lines))
    (place / "some").rename(place / "orders")


def test_what_a_plug_in_has_learnt_outlives_every_process(
    start: Start, server: JackServer, tmp_path: pathlib.Path
) -> None:
    preset = tmp_path / "mine.toml"
    preset.write_text(
        f'schema = 1\nname = "states"\nlatency_class = "record"\n[host]\nblock = 256\n[[chain]]\nstage = "input"\n'
        f'[[chain]]\nstage = "strips"\ndelay = {DELAY}\nstrips = [{{mic = "vox", plugins = '
        f'[{{name = "x", plugin = "x", path = "{made("learner")}"}}]}}]\n')
    place = folder.create(tmp_path / "show", "test", str(preset), MICS).folder
    run = begin(start, server, place)
    assert f"latency {DELAY + 32} samples" in run.until("2 microphones")
    order(place, "store plain")
    run.until("snapshot 1 plain: the states of 1 plug-ins are in it")
    order(place, "set strips.vox.x.armed 1")
    run.until("its latency is 48 samples now, not 32")
    order(place, "set strips.vox.x.armed 0")
    time.sleep(1)   # it is set while the dry sound is heard
    order(place, "store learnt")
    run.until("snapshot 2 learnt: the states of 1 plug-ins are in it")
    order(place, "go plain")
    run.until("latency unchanged")
    order(place, "go learnt")
    run.until("comes with its state, 48 samples late")
    run.until(f"latency now {DELAY + 48} samples")
    for pid in [run.process.pid, *run._children()]:
        os.kill(pid, signal.SIGKILL)
    run.process.wait()
    again = begin(start, server, place)
    assert f"latency {DELAY + 48} samples" in again.until("2 microphones")   # from the first sample on
    os.kill(again.audio_process(), signal.SIGKILL)   # that alone
    again.until("the sound is back")
    order(place, "go plain")
    again.until(f"latency now {DELAY + 32} samples")
    again.interrupt()
    assert again.end()[0] == 0
