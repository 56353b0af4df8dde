"""`rtsep bench throughput`: cells are measured, kept and taken up again; the law is found where one is planted."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import statistics
import struct
import time

import numpy as np
import pytest

from rtsep import cli
from rtsep.bench import throughput
from rtsep.bench.history import History
from rtsep.bench.load import cells, heatmap, law, machine, rivals
from rtsep.bench.load.cells import Cell
from rtsep.bench.load.machine import Machine

CORE = Machine(20.0, 10.0, {"p50": 30.0, "p99": 60.0})


def planted(chain: str, mics: int, block: int, us: float, late: int = 0) -> Cell:
    return Cell(chain, mics, block, "", {"p50": us, "p99": 1.2 * us, "p999": 2 * us, "max": 3 * us},
                {"p50": [us] * 5, "p99": [1.2 * us] * 5}, 1000, late, 0)


def test_a_planted_law_is_found_and_what_bounds_it() -> None:
    def took(k: int, block: int) -> float:
        return 3.0 + 0.5 * k + block / 64 * (2.0 * k + 4.5 * min(240, k * (k - 1)))

    rng = np.random.default_rng(0)
    found = [planted("canceller", k, block, took(k, block) * (1 + 0.02 * rng.standard_normal()))
             for k in (1, 2, 4, 8, 12) for block in (16, 64, 256)]
    (one,) = law.fit(found, CORE)
    assert one.error < 0.05
    assert one.microseconds(10, 128) == pytest.approx(took(10, 128), rel=0.06)
    assert one.pair_frames == pytest.approx(4.5, rel=0.1)
    best = one.most(64, 0.7)   # against trying every number
    assert took(best, 64) <= 0.75 * 1333
    assert took(best + 2, 64) > 0.65 * 1333
    slow = Machine(1000.0, 5.0, {})
    assert (law.fit(found, slow)[0].bound, law.fit(found, Machine(10.0, 1000.0, {}))[0].bound) == (
        law.MEMORY, law.ARITHMETIC)
    assert law.fit(found, Machine(1000.0, 1000.0, {}))[0].bound == law.MIXED
    # Of many mics 240 pairs are held: what is beyond costs nothing more.
    assert law.pairs("canceller", 64) == 240
    assert law.pairs("matrix", 64) == 64 * 63
    assert law.fit(found[:2], CORE) == []


def test_the_largest_number_that_holds_is_below_the_first_that_does_not() -> None:
    found = [planted("matrix", k, 64, us, late) for k, us, late in ((1, 10, 0), (2, 20, 0), (4, 900, 0), (8, 40, 0))]
    assert [cell.holds for cell in found] == [True, True, False, True]
    assert throughput.most(found, "matrix", 64) == 2
    assert throughput.most(found, "matrix", 128) is None
    assert planted("matrix", 1, 64, 10, late=5).holds   # of 1000 that may be a stall that hit only this one
    assert not planted("matrix", 1, 64, 10, late=15).holds
    assert cells.is_hopeless(planted("matrix", 1, 64, 3000))
    assert {c.problem for c in cells.measure("matrix", 2, (64,), 1.0, "", {64})} == {
        "fewer mics take more than twice the deadline"}


def test_the_picture_has_a_field_for_each_chain() -> None:
    found = [planted(chain, k, block, 20.0 * k * block / 64) for chain in ("matrix", "spectral") for k in (1, 2)
             for block in (64, 128)]
    made = heatmap.draw(found, "title")
    width, height = struct.unpack(">II", made[16:24])
    assert made[:8] == b"\x89PNG\r\n\x1a\n"
    wider = heatmap.draw([*found, planted("canceller", 1, 64, 5.0)], "title")
    assert struct.unpack(">II", wider[16:24])[0] > width
    assert height > 100


def test_cells_are_kept_and_a_killed_run_is_taken_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(throughput.machine, "measure", lambda: CORE)
    words = ["--chains", "matrix", "--mics", "1,2", "--blocks", "64,512", "--seconds", "0.3", "--rivals", "none"]
    ask = throughput.Ask(("matrix",), (1, 2), (64, 512), 0.3, rivals=())
    with History() as history:   # a run that was killed behind one cell
        killed = history.begin("throughput", dataclasses.asdict(ask))
        killed.note("matrix.1.64", dataclasses.asdict(planted("matrix", 1, 64, 12.5)))
    picture = tmp_path / "load.png"
    given = ["bench", "throughput", *words, "--json", "--picture", str(picture), "--resume"]
    assert cli.main(given) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["run"] == killed.number
    first, *others = told["cells"]
    assert (first["mics"], first["block"], first["us"]["p50"]) == (1, 64, 12.5)
    assert [(cell["mics"], cell["block"]) for cell in others] == [(1, 512), (2, 64), (2, 512)]
    for cell in others:
        us = cell["us"]
        assert 0 < us["p50"] <= us["p99"] <= us["p999"] <= us["max"]
        assert len(cell["fifths"]["p50"]) == 5
    assert picture.stat().st_size > 5000
    with History() as history:
        names = {reading.name for reading in history.readings(killed.number)}
    assert {"matrix.2.512.p50", "matrix.2.64.p99", "most.matrix.64", "machine.gflops"} <= names
    assert cli.main(given[:-1]) == 0   # a new one
    assert json.loads(capsys.readouterr().out)["run"] == killed.number + 1


def test_rivals_do_the_same_and_are_timed_turn_by_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """What rivals make is right; one that sleeps is slower, by as much as it sleeps."""
    call = rivals.matrix(np, 3, 64)
    np.testing.assert_allclose(call(), np.float32(np.eye(3) + 0.1) @ np.ones((3, 64), np.float32))
    hop = rivals.spectral(np, 2)
    for _ in range(20):
        out = hop()
    steady = np.sum(np.hanning(1024) ** 2) / 128   # of overlapping squared windows
    np.testing.assert_allclose(out, steady, rtol=0.02)
    monkeypatch.setattr(rivals, "ROUNDS", 3)
    slow = rivals._ratio("matrix", "sleep", 2, 64, rivals._stage("matrix", 2), lambda: time.sleep(0.01), "")
    assert statistics.median(slow.ratios) < 0.5
    assert slow.rival_us >= 10000
    bare = machine.bare_transforms(2, 1024)
    assert machine.seconds_of(bare, 0.01) > 0


def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for words, says in (
        (("--chains", "magic"), "there is no magic"), (("--mics", "65"), "--mics: 65"),
        (("--blocks", "x"), "--blocks: x"),
        (("--rivals", "matlab"), "there is no matlab"), (("--seconds", "0.1"), "--seconds: 0.1"),
        (("--rival-mics", "0"), "--rival-mics: 0"), (("--picture", "/nowhere/x.png"), "cannot be written"),
    ):
        assert cli.main(["bench", "throughput", *words]) == 2
        said = capsys.readouterr().err.strip()
        assert says in said
        assert len(said.splitlines()) == 1


@pytest.mark.slow
def test_every_chain_and_rival_on_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """One command measures all; of a model file that is not there, and of too many mics, the cell says so."""
    words = ["--mics", "1,4", "--blocks", "64,256", "--seconds", "1", "--rival-mics", "4"]
    assert cli.main(["bench", "throughput", *words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {cell["chain"] for cell in told["cells"] if cell["us"]} == set(cells.CHAINS)
    assert {one["chain"] for one in told["laws"]} == set(cells.CHAINS)
    assert {"numpy", "bare FFTW", "memory", "pedalboard"} <= {ratio["rival"] for ratio in told["ratios"]}
    assert told["machine"]["gflops"] > 0
    words = ["--chains", "model", "--model", "none.onnx", "--mics", "1", "--blocks", "64", "--rivals", "none"]
    assert cli.main(["bench", "throughput", *words, "--json"]) == 0
    assert "none.onnx" in json.loads(capsys.readouterr().out)["cells"][0]["problem"]
