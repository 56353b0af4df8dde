"""`rtsep bench history`: what was measured is kept, survives kill -9, and what has become worse is named."""

from __future__ import annotations

import csv
import io
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from rtsep import cli
from rtsep.bench.history import EQUAL, LESS, MORE, History, Reading, exact, keep, measured, place
from rtsep.bench.history.compare import BETTER, SAME, UNKNOWN, WORSE, compare
from rtsep.bench.history.reading import band
from rtsep.bench.history.store import where


@pytest.fixture(autouse=True)
def history(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(place, "commit", lambda name="HEAD": "abcdef0123456789" if name == "HEAD" else "")
    return where()


def asked(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert cli.main(["bench", "history", *words]) == code
    return capsys.readouterr().out


def test_the_band_holds_the_truth_as_often_as_it_says() -> None:
    """Medians of five normal repeats lie within their band, and a stall of the machine does not widen it."""
    rng = np.random.default_rng(0)
    trials = 10 + rng.standard_normal((2000, 5))
    held = np.mean([abs(np.median(row) - 10) <= (band(row.tolist()) or 0) for row in trials])
    assert held > 0.94   # the deviation is estimated from five values itself
    # Two bands added up, as `compare` does: planted differences of nothing are seldom called anything.
    pairs = trials.reshape(1000, 2, 5)
    false = np.mean([abs(np.median(a) - np.median(b)) > (band(a.tolist()) or 0) + (band(b.tolist()) or 0)
                     for a, b in pairs])
    assert false < 0.01
    calm = [10.0, 10.1, 9.9, 10.05, 9.95]
    assert band([*calm[:4], 500.0]) == pytest.approx(band(calm), rel=1.1)
    assert band([3.0]) is None
    assert band([3.0, 3.0, 3.0]) == 0


def test_what_has_moved_beyond_both_bands_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    before = [measured("a.p50", "us", LESS, [10, 10.1, 9.9, 10.2, 9.8]), measured("b", "dB", MORE, [5.0, 5.1, 4.9]),
              exact("latency", "samples", EQUAL, 576), measured("once", "us", LESS, [3.0]), exact("gone", "", LESS, 1)]
    keep("toy", {"mics": (4,)}, before, {"told": {"x": 1}})
    now = [measured("a.p50", "us", LESS, [14, 14.1, 13.9, 14.2, 13.8]), measured("b", "dB", MORE, [5.1, 5.0, 5.2]),
           exact("latency", "samples", EQUAL, 575), measured("once", "us", LESS, [9.0])]
    keep("toy", {"mics": (4,)}, now, {})
    keep("toy", {"mics": (8,)}, now, {})   # of other options: not compared
    with History() as store:
        verdicts = {change.name: change.verdict for change in compare(store, "1")}
        assert verdicts == {"a.p50": WORSE, "b": SAME, "latency": WORSE, "once": UNKNOWN}
    told = json.loads(asked(capsys, "--compare", "1", "--json", code=1))
    assert [change["name"] for change in told["changes"] if change["verdict"] == WORSE] == ["a.p50", "latency"]
    assert "2 worse, 1 without a noise band" in asked(capsys, "--compare", "1", code=1)
    keep("toy", {"mics": (4,)}, before, {})
    with History() as store:
        assert {c.name: c.verdict for c in compare(store, "2")}["a.p50"] == BETTER
    rows = list(csv.reader(io.StringIO(asked(capsys, "1", "--csv"))))
    assert rows[1] == ["a.p50", "us", "10", rows[1][3], "5", "less"]
    shown = json.loads(asked(capsys, "1", "--json"))
    assert (shown["notes"], shown["options"]) == ({"told": {"x": 1}}, {"mics": [4]})
    assert shown["commit"] == "abcdef0123456789"
    assert {"processor", "cores", "kernel", "governor", "load", "key"} <= set(shown["machine"])
    assert {"rtsep", "python", "numpy"} <= set(shown["versions"])
    listed = json.loads(asked(capsys, "--json"))
    assert [run["number"] for run in listed] == [1, 2, 3, 4]
    assert "abcdef0123 " in asked(capsys, "--bench", "toy")


def test_a_commit_is_all_its_runs_and_their_spread_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within each run the repeats agree, from run to run they do not: that is no regression."""
    for value in (10.0, 13.0, 11.5):
        keep("toy", {}, [measured("a", "us", LESS, [value, value + 0.01, value - 0.01])], {})
    monkeypatch.setattr(place, "commit", lambda name="HEAD": "fedcba9876543210" if name == "HEAD" else "")
    keep("toy", {}, [measured("a", "us", LESS, [13.5, 13.51, 13.49])], {})
    with History() as store:
        (change,) = compare(store, "abcdef")
        assert (change.verdict, change.before, change.now) == (SAME, 11.5, 13.5)
        (alone,) = compare(store, "1")
        assert alone.verdict == WORSE


def test_bad_input_is_one_line(history: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing was measured" in asked(capsys)
    keep("toy", {}, [exact("a", "us", LESS, 1)], {})
    for words, says in ((("7",), "there is no such run"), (("--compare", "nonsense"), "no finished run is called"),
                        (("--compare", "1"), "nothing was measured after 1"), (("--bench", "x"), "nothing of 'x'"),
                        (("1", "--compare", "1"), "not with run 1")):
        assert cli.main(["bench", "history", *words]) == 2
        said = capsys.readouterr().err.strip()
        assert says in said
        assert len(said.splitlines()) == 1
    with sqlite3.connect(history) as base:
        base.execute("PRAGMA user_version = 99")
    assert cli.main(["bench", "history"]) == 2
    assert "has version 99" in capsys.readouterr().err
    for left in history.parent.iterdir():
        left.unlink()
    history.write_text("this is no history " * 50)
    assert cli.main(["bench", "history"]) == 2
    assert "cannot be opened" in capsys.readouterr().err


def test_a_bench_that_is_killed_leaves_what_it_had_and_can_go_on(history: pathlib.Path) -> None:
    script = (
        "import os, signal\n"
        "from rtsep.bench.history import History, exact, LESS\n"
        "recorder = History().begin('toy', {'mics': 2})\n"
        "recorder.add([exact('a', 'us', LESS, 1)])\n"
        "recorder.note('cell', {'done': 1})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    with History() as store:
        (run,) = store.runs()
        assert run.seconds is None
        assert [reading.name for reading in store.readings(1)] == ["a"]
    with sqlite3.connect(history) as base:   # the child had the true commit
        base.execute("UPDATE runs SET commit_name = 'abcdef0123456789'")
    with History() as store:
        assert store.begin("toy", {"mics": 3}, resume=True).number == 2
        again = store.begin("toy", {"mics": 2}, resume=True)
        assert (again.number, again.notes()) == (1, {"cell": {"done": 1}})
        again.add([Reading("a", 2.0, "us", LESS), exact("b", "us", LESS, 1)])
        again.finish()
        assert [(reading.name, reading.value) for reading in store.readings(1)] == [("a", 2.0), ("b", 1.0)]
        assert store.begin("toy", {"mics": 2}, resume=True).number == 3   # that one has ended


def test_the_machine_is_told_without_its_name(tmp_path: pathlib.Path) -> None:
    for path, text in (("proc/cpuinfo", "model name\t: Tube 3000\nflags\t\t: fpu hypervisor\n"),
                       ("proc/meminfo", "MemTotal:       16777216 kB\n"),
                       ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n")):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    told = place.machine(str(tmp_path))
    assert {**told, "processor": "Tube 3000", "memory_gb": 16, "virtual": True, "governor": "powersave"} == told
    assert os.uname().nodename not in json.dumps(told).split('"')
