"""`rtsep bench xruns`: what a callback that does nothing loses, and the causes that the kernel's counters tell."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from rtsep import cli
from rtsep.bench import wakeups, xruns
from rtsep.bench.history import History
from rtsep.bench.wakeups import Wakes, Window
from rtsep.doctor import WARN

INTERRUPTS = """           CPU0       CPU1
  9:          5          7   IO-APIC   9-fasteoi   acpi
 24:       1000       2000   PCI-MSI 524288-edge      nvme0q0
LOC:     100000     200000   Local timer interrupts
ERR:          3
"""


def planted(late_us: float, *, waited: float = 0.0, stolen: float = 0.0, interrupts: int = 0) -> Wakes:
    """Return two windows of 100 blocks: in the second ten are late, and the kernel counted something."""
    late = np.full(200, 40.0)
    late[150:160] = late_us
    calm = Window(0, 100, 0.13, 0.0, 0, 0.0, {"24 nvme0q0": 5, "LOC timer": 500})
    busy = Window(100, 200, 0.13, waited, 3, stolen, {"24 nvme0q0": 5 + interrupts, "LOC timer": 5000})
    return Wakes(0.001333, True, late, 2, [calm, busy])


def test_the_cause_is_what_the_kernel_counted() -> None:
    assert xruns.causes(planted(50.0), True) == []
    (behind,) = xruns.causes(planted(2000.0, waited=0.019), True)
    assert behind.name == "behind other threads"
    assert behind.seconds == pytest.approx(0.019)
    assert "pushed off 3 times" in behind.text
    (stolen,) = xruns.causes(planted(2000.0, waited=0.001, stolen=0.05), True)
    assert (stolen.name, stolen.seconds) == ("hypervisor or timer", pytest.approx(0.019))
    assert "took 50 ms" in stolen.text
    (timer,) = xruns.causes(planted(2000.0), False)
    assert "PREEMPT_RT" in timer.advice
    names = [cause.name for cause in xruns.causes(planted(2000.0, interrupts=400), False)]
    assert names == ["timer, idle states, interrupts held off", "interrupt 24 nvme0q0"]
    both = [cause.name for cause in xruns.causes(planted(2000.0, waited=0.011), True)]
    assert both == ["behind other threads", "hypervisor or timer"]


def test_the_histogram_counts_each_wake_up_once() -> None:
    counts = xruns.histogram(planted(2000.0))
    assert sum(counts) == 200
    assert counts[xruns.EDGES_US.index(50)] == 190
    assert counts[xruns.EDGES_US.index(2000) + 1] == 10   # an edge belongs to the next one
    told = xruns.lines(planted(1999.0, waited=0.019), False)
    assert "2 of 202 blocks lost" in told[0]
    assert sum(" us " in line and "█" in line for line in told) == 2


def test_interrupts_are_added_up_over_cores() -> None:
    found = wakeups.interrupts(INTERRUPTS)
    assert found["24 PCI-MSI 524288-edge nvme0q0"] == 3000
    assert found["LOC Local timer interrupts"] == 300000
    assert found["ERR"] == 3
    assert wakeups.interrupts("") == {}


def test_deep_sleep_of_cores_is_named(tmp_path: pathlib.Path) -> None:
    for n, (name, latency, off) in enumerate((("POLL", 0, 0), ("C1", 2, 0), ("C6", 133, 0), ("C10", 890, 1))):
        state = tmp_path / f"state{n}"
        state.mkdir()
        for file, text in (("name", name), ("latency", latency), ("disable", off)):
            (state / file).write_text(f"{text}\n")
    (found,) = [one for one in xruns.findings(str(tmp_path)) if one.check == "idle states"]
    assert (found.verdict, "C6 (133 us)" in found.text) == (WARN, True)
    assert not [one for one in xruns.findings(str(tmp_path / "none")) if one.check == "idle states"]


def test_the_kernel_is_asked_to_wake_at_a_time_and_counts_what_is_lost() -> None:
    """Blocks of a microsecond cannot be held: nearly all are lost, and not one is counted twice."""
    wakes = wakeups.measure(0.002, 0.3, urgent=False)
    assert wakes.blocks >= 150
    assert wakes.late_us.min() > 0   # nobody is woken up early
    assert wakes.windows[-1].last == wakes.late_us.size
    assert wakes.lost == sum(int((us - 2000) // 2000) + 1 for us in wakes.late_us if us > 2000)
    fast = wakeups.measure(1e-6, 0.002)
    assert fast.lost > fast.late_us.size


def test_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "xruns", "--seconds", "0.3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [run["blocks"] >= 225 for run in told["runs"]] == [True, True]
    assert all(sum(run["histogram"]) == run["blocks"] - run["lost"] for run in told["runs"])
    assert {"real time", "processor"} <= {finding["check"] for finding in told["findings"]}
    with History() as history:
        kept = history.readings(history.runs("xruns")[-1].number)
    assert any(reading.name == "ordinary.p99" and len(reading.repeats) == 5 for reading in kept)
    assert cli.main(["bench", "xruns", "--seconds", "0.2"]) == 0
    assert "without real-time priority, blocks of 1333 us" in capsys.readouterr().out
    for words, says in ((("-b", "0"), "--blocksize: 0"), (("-r", "7"), "--samplerate"), (("--seconds", "x"), "")):
        try:
            code = cli.main(["bench", "xruns", *words])
        except SystemExit as end:
            code = int(end.code or 0)
        assert code == 2
        said = capsys.readouterr().err.strip()
        assert says in said
        assert len(said.splitlines()) == 1
