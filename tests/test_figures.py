"""Figures: one table from which meters, summary, JSON and view follow."""

from __future__ import annotations

import pytest

from rtsep import figures
from rtsep.figures import FIGURES, Figure
from rtsep.meters import STATUS, Meters

MEASURED = {figure.name: 10.0 * n for n, figure in enumerate(FIGURES, 1) if not figure.counter}
COUNTED = {figure.counter: n for n, figure in enumerate(FIGURES, 1) if figure.counter}


def test_every_figure_is_read_from_where_it_is_measured_or_counted() -> None:
    found = figures.gather(MEASURED, COUNTED)
    assert list(found) == [figure.name for figure in FIGURES]
    assert found["xruns"] == MEASURED["xruns"]
    assert found["skipped"] == COUNTED["skipped_updates"]
    assert figures.gather(MEASURED, {})["skipped"] == 0   # no stage of this chain counts it


def test_meters_hold_every_figure() -> None:
    meters = Meters(2)
    assert {figure.name for figure in FIGURES} < set(STATUS)
    for name, value in figures.gather(MEASURED, COUNTED).items():
        meters.put(name, value)
    found = figures.read(meters.get)
    assert found == figures.gather(MEASURED, COUNTED)
    assert all(isinstance(found[name], int) for name in ("calls", "skipped", "block"))


def test_lives_add_up() -> None:
    first, second = figures.gather(MEASURED, COUNTED), figures.gather(dict.fromkeys(MEASURED, 1.0), {})
    total = figures.add(figures.add({}, first), second)
    assert total["calls"] == first["calls"] + 1
    assert total["late_updates"] == first["late_updates"]
    assert total["block"] == 1.0   # the last one's
    for name in ("max", "p50", "p99", "p999"):   # the worst one's
        assert total[f"block_us.{name}"] == first[f"block_us.{name}"] > 1
    seconds = first["seconds"]
    assert total["load"] == pytest.approx((seconds * first["load"] + 1) / (seconds + 1))   # of all the time


def test_a_latency_that_cannot_be_is_not_told() -> None:
    assert figures.milliseconds(0.0027) == "2.7 ms"
    for nonsense in (178956.9693, -1.0, float("nan"), float("inf")):
        assert figures.known_latency(nonsense) is None
        assert figures.milliseconds(nonsense) == "(its latency is not known)"


def test_dots_nest_in_json() -> None:
    assert figures.nested({"a": 1, "b.x": 2, "b.y": 3}) == {"a": 1, "b": {"x": 2, "y": 3}}
    shown = figures.nested(figures.gather(MEASURED, COUNTED))
    assert set(shown["block_us"]) == {"p50", "p99", "p999", "max"}


def test_a_new_counter_is_one_line_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Figure("sneezes", "times", figures.SUM, ("view", "summary"), "sneezes", "sneeze_count")
    monkeypatch.setattr(figures, "FIGURES", (*FIGURES, toy))
    life = figures.gather(MEASURED, {**COUNTED, "sneeze_count": 2})
    total = figures.add(life, life)
    assert total["sneezes"] == 4
    for place in ("view", "summary"):
        assert figures.told(total.__getitem__, place, ", ").endswith(", sneezes 4")
    assert figures.nested(total)["sneezes"] == 4
