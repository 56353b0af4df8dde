"""`rtsep bench soak`: what is said of hours that are planted, and a short one on a JACK server that is killed."""

from __future__ import annotations

import json
import math
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
from jack_server import jack_server

from rtsep import cli
from rtsep.bench import soak
from rtsep.bench.faults import machine
from rtsep.bench.soak import Leg


def leg(n: int, *, life: int = 0, late: int = 0, lost: int = 0, memory: float = 500.0, delay: float = 640.0) -> Leg:
    return Leg(n, life, 60.0 * n, 45000, late, 0, 45000, lost, 0, 0, 0, memory, delay, 0.01, 0.3, 400.0, 30000, 3, 1)


def test_hours_that_hold_and_hours_that_do_not() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.3, 60)
    good = soak.summary([leg(n, late=60, lost=30, memory=500 + noise[n]) for n in range(60)])
    assert good["wrong"] == []   # 0.13 % against 0.07 %: within the 0.1 % that is allowed
    assert abs(good["slope_mb_h"]) < good["slope_half"] < 1
    late = soak.summary([leg(n, late=90, lost=30) for n in range(60)])
    assert late["wrong"] == ["more late blocks than the machine loses by itself"]
    grows = soak.summary([leg(n, memory=500 + 3 * n / 60 + noise[n]) for n in range(60)])
    assert grows["slope_mb_h"] == pytest.approx(3, abs=0.5)
    assert grows["wrong"] == ["memory grows"]
    later = soak.summary([leg(n, delay=640 + (n > 40) * 64) for n in range(60)])
    assert later["wrong"] == ["the delay changes"]
    assert soak.summary([leg(n, delay=math.nan) for n in range(3)])["wrong"] == ["the delay changes"]
    assert math.isnan(soak.slope([leg(0), leg(1)])[0])


def test_each_life_has_its_own_level_of_memory() -> None:
    """Two lives, one with 80 MB more: no growth; and what is used for the first time does not count."""
    legs = [leg(n, life=n // 10, memory=500 + 80 * (n // 10) + (-40 if n % 10 == 0 else 0)) for n in range(20)]
    assert soak.slope(legs) == (pytest.approx(0), pytest.approx(0))
    assert soak.draw(legs)[:4] == b"\x89PNG"
    names = {reading.name: reading for reading in soak.readings(legs)}
    assert len(names["late"].repeats) == 20


def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for words, says in ((("--mics", "0"), "--mics: 0"), (("-b", "48"), "--blocksize: 48"),
                        (("--minutes", "99999"), "--minutes"), (("-o", "/nowhere/x"), "cannot be written")):
        assert cli.main(["bench", "soak", *words]) == 2
        said = capsys.readouterr().err.strip()
        assert says in said
        assert len(said.splitlines()) == 1


@pytest.mark.slow
def test_a_soak_that_is_killed_goes_on(tmp_path: pathlib.Path) -> None:
    with jack_server():
        pass   # or skip
    lines = tmp_path / "soak.jsonl"
    words = [sys.executable, "-m", "rtsep", "bench", "soak", "--minutes", "2", "--mics", "2", "-b", "256", "-o",
             str(lines)]
    first = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    try:
        assert machine.until(lines.exists, 300.0, 0.5)
        children = machine.descendants(first.pid)
        first.send_signal(signal.SIGKILL)
        first.wait()
    finally:
        first.kill()
    assert children
    assert machine.until(lambda: not any(machine.alive(pid) for pid in children), 60.0)
    done = subprocess.run([*words, "--resume", "--json"], capture_output=True, text=True, timeout=600, check=False)
    told = json.loads(done.stdout)
    assert [one["life"] for one in told["legs"]] == [0, 1]
    assert told["summary"]["growth_samples"] < 0.1
    assert told["summary"]["osc"] > 1000
    assert len(lines.read_text().splitlines()) == 2
