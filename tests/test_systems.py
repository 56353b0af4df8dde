"""Every acceptance number of SYSTEMS.md, and what every system of separation promises."""

from __future__ import annotations

import dataclasses
import importlib
import pathlib

import pytest

from rtsep.bench import systems
from rtsep.bench.checks.check import Check, Measured
from rtsep.catalogue import SYSTEMS, spec
from rtsep.errors import InputError
from rtsep.params import Option
from rtsep.systems.separator import make


@pytest.mark.parametrize(
    "check",
    [pytest.param(c, marks=pytest.mark.slow if c.slow else ()) for c in systems.CHECKS],
    ids=lambda c: f"{c.section} {c.system}: {c.claim}",
)
def test_the_acceptance_number_is_met(check: Check) -> None:
    measured = check.measure()
    assert check.passed(measured), f"{measured.value:g}, allowed is {check.limit:g} {check.unit}"


def test_a_check_fails_on_the_wrong_side_and_on_nan() -> None:
    check = Check("1.1", "x", "", 3.0, True, "dB", lambda: Measured(0.0))
    assert check.passed(Measured(3.0))
    assert not check.passed(Measured(2.9))
    assert not check.passed(Measured(float("nan")))
    assert not dataclasses.replace(check, at_least=False).passed(Measured(float("nan")))


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_catalogue_and_the_class_agree(name: str) -> None:
    system = SYSTEMS[name]
    cls = getattr(importlib.import_module(system.module), system.cls)
    fields = {field.name: field.default for field in dataclasses.fields(cls) if field.init}
    assert fields == {option.name: option.default for option in system.options}
    for option in system.options:
        option.check(option.name, option.default)


def test_live_and_offline_differ_only_where_they_must() -> None:
    """What both have has one entry, and the same default but where the offline system works otherwise."""
    differ = set()
    for system in SYSTEMS.values():
        live = system.stage.defaults if system.stage else {}
        differ |= {(system.name, key) for key in live.keys() & system.defaults.keys()
                   if live[key] != system.defaults[key]}
    assert differ == {("demix", "mixing"), ("mira", "sparsity"), ("fastmira", "sparsity"), ("nmf", "templates"),
                      ("drums", "hop")}


def test_an_option_is_marked_by_who_has_it() -> None:
    plain = Option("memory_s", float, 3.0, "Time constant of forgetting.", 0.1, 60.0)
    assert spec.live(plain) == spec.Marked((plain,), ())
    assert spec.offline(plain) == spec.Marked((), (plain,))
    assert spec.both(plain, high=90.0).offline[0].high == 90
    told = spec.causal(plain)
    assert told.live == (plain,)
    assert told.offline[0].help == "With causal, time constant of forgetting."


@pytest.mark.parametrize("name", SYSTEMS)
def test_each_system_says_when_to_use_it(name: str) -> None:
    text = importlib.import_module(SYSTEMS[name].module).__doc__ or ""
    assert "Use it" in text
    assert "not" in text.lower()


def test_the_table_has_a_row_for_every_system() -> None:
    covered = {check.section for check in systems.CHECKS} | set(systems.NEEDS_MODEL)
    everything = (
        [f"1.{n}" for n in range(1, 14)] + [f"2.{n}" for n in range(1, 5)] + [f"3.{n}" for n in range(1, 6)]
        + [f"4.{n}" for n in range(1, 8)] + [f"5.{n}" for n in range(1, 7)] + ["6", "7"]
    )
    assert sorted(set(everything) - covered) == []
    assert {s.section for s in SYSTEMS.values()} <= set(everything) | {"beyond"}


def test_the_generated_table_holds_every_check() -> None:
    """bench/systems.md is made by `rtsep bench systems -o`; it must not lag behind the checks."""
    text = (pathlib.Path(__file__).parent.parent / "bench" / "systems.md").read_text()
    for check in systems.CHECKS:
        bound = "≥" if check.at_least else "≤"
        assert f"| {check.section} | {check.system} | {check.claim} | {bound} {check.limit:g} {check.unit} |" in text
    for name in systems.NEEDS_MODEL.values():
        assert name in text


@pytest.mark.parametrize(
    ("method", "setting", "words"),
    [
        ("nothing", (), "there is no nothing"),
        ("hpss", ("colour=red",), "no option colour"),
        ("hpss", ("margin=much",), "'much' is not allowed"),
        ("hpss", ("window=1001",), "multiple of 8"),
    ],
)
def test_a_wrong_method_or_option_is_named(method: str, setting: tuple[str, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make(method, setting)


def test_without_what_runs_models_their_rows_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    cells = systems.table(systems.measure(("cae", "demix")))[1]
    assert {row[5] for row in cells if row[1] == "cae"} == {"needs: pip install 'rtsep[cpu]'"}
    assert {row[5] for row in cells if row[1] == "demix"} == {"pass"}
