"""The bench of the bleed papers' tables: its example, its arithmetic, what is measured again, and what it writes."""

from __future__ import annotations

import json
import math
import pathlib

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
toymodels = pytest.importorskip("rtsep.bench.toymodels")

from rtsep import metrics  # noqa: E402
from rtsep.bench import cleaning, cleaningpage  # noqa: E402
from rtsep.bench.cleaning import RATE, Way  # noqa: E402
from rtsep.cli import main  # noqa: E402
from rtsep.errors import InputError  # noqa: E402
from rtsep.train.store import Concert  # noqa: E402

STEMS = ("vocals", "bass", "drums", "other")
MIXING = np.full((4, 4), 0.1) + 0.9 * np.eye(4)


def concert(seed: int, seconds: float = 1.0) -> Concert:
    """Return a track of noise with gains of 0.1 beside the diagonal."""
    rng = np.random.default_rng(seed)
    sources = (0.1 * rng.standard_normal((4, round(seconds * RATE)))).astype(np.float32)
    return Concert(STEMS, (MIXING @ sources).astype(np.float32), sources, sources, MIXING)


@pytest.fixture
def noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all tracks be noise: what is measured is known, and quick."""
    monkeypatch.setattr(cleaning, "tracks", lambda *told: [concert(1 + n) for n in range(told[1])])
    monkeypatch.setattr(cleaning, "CLASSICAL", (Way("clean"), Way("mics"), Way("altmin"), Way("mean gains")))


def test_the_example_of_the_papers_is_found_better_than_by_them() -> None:
    found = cleaning.example()
    assert np.array_equal(found["true"], MIXING)
    assert np.abs(found["altmin"] - MIXING).max() < cleaningpage.EXAMPLE_LIMIT
    assert np.abs(found["kamir"] - MIXING).max() > cleaningpage.EXAMPLE_LIMIT   # as in the papers: 0.56 there


@pytest.mark.usefixtures("noise")
def test_each_way_is_measured_once_and_anew_with_another_model(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "linear" / "cae").mkdir(parents=True)
    t_unet = tmp_path / "linear" / "t-unet.onnx"
    toymodels.save(toymodels.shaped("t-unet"), t_unet)   # tells the true gains
    toymodels.save(toymodels.shaped("cae"), tmp_path / "linear" / "cae" / "m.onnx")   # passes on
    shares: list[float] = []
    found = cleaning.measure(tmp_path, tmp_path, 2, shares.append)
    assert shares[-1] == 1.0
    by = {(r.system, r.bleed, r.track): r for r in found}
    assert len(by) == 6 * 2 * 2
    assert all(r.separated == () for r in found)
    untouched = metrics.sdr(concert(1).images, concert(1).mics)
    assert by["mics", "linear", 0].sdr == pytest.approx(untouched)
    assert by["cae", "room", 0].sdr == pytest.approx(untouched, abs=1e-3)
    assert by["mics", "linear", 0].distance == pytest.approx(0.1 * math.sqrt(12))
    for name in ("t-unet", "altmin"):
        assert by[name, "linear", 1].distance < 0.01
        assert min(by[name, "linear", 1].sdr) > 45
    assert by["mean gains", "linear", 0].distance == pytest.approx((0.18 / 0.8 - 0.1) * math.sqrt(12))
    with open(tmp_path / cleaning.RESULTS, "a") as file:
        file.write('{"system": "mics", "tra')   # where an interruption has cut it

    asked: list[str] = []
    clean = cleaning.cleaner
    monkeypatch.setattr(cleaning, "cleaner", lambda way, names: asked.append(way.system) or clean(way, names))
    assert cleaning.measure(tmp_path, tmp_path, 2) == found
    assert asked == []
    wrong = 2 * np.eye(4) + MIXING
    toymodels.save(toymodels.constant(wrong, {**toymodels.SHAPES["t-unet"], "system": "t-unet"}), t_unet)
    again = cleaning.measure(tmp_path, tmp_path, 2)
    assert asked == ["t-unet", "t-unet"]   # in both kinds of bleed
    assert min(r.distance for r in again if r.system == "t-unet") > 0.1


def test_a_separator_gets_the_sum_and_is_judged_by_the_images(tmp_path: pathlib.Path) -> None:
    model = tmp_path / "wave-u-net.onnx"
    toymodels.save(toymodels.shaped("wave-u-net"), model)   # a quarter to each
    one = concert(1)
    for mics in (one.images, one.mics):
        wanted = metrics.sdr(one.images, np.tile(mics.sum(0) / 4, (4, 1)))
        assert cleaning.separator_of(model, one.names)(one, mics) == pytest.approx(wanted, abs=0.01)
    toymodels.save(toymodels.gain(0.25, card={**toymodels.WAVES, "system": "wave-u-net"}), model)
    with pytest.raises(InputError, match="allowed are vocals"):
        cleaning.separator_of(model, one.names)


def test_what_cleaning_saves_and_how_it_is_shown() -> None:
    results = [
        cleaning.Result(system, trained, "", bleed, track, (sdr + track, sdr), None, (heard + track, 2.0), 0.5, 0.25)
        for system, trained, sdr, heard in (
            ("clean", "", 200.0, 6.0), ("mics", "", 8.0, 2.0), ("cae", "linear", 10.0, 5.0), ("cae", "room", 7.0, 1.0))
        for bleed in cleaning.BLEEDS for track in range(2)
    ]
    shares = cleaning.recovered(results, "linear")
    assert shares == pytest.approx({("cae", "linear"): 0.75, ("cae", "room"): -0.25})
    assert cleaning.recovered([r for r in results if r.system != "clean"], "linear") == {}
    report = cleaningpage.Report(results, {"true": MIXING, "altmin": MIXING}, STEMS[:2], {"m.onnx": "9 steps"})
    rows = {(row[0], row[1], row[2]): row[3:] for row in cleaningpage.cleaning_rows(report)[1]}
    assert rows["linear", "cae", "linear, matched"] == ["10.25", "10.5", "10.0", "0.2", "+2.00", "-", "50.0", "25.0",
                                                       "2.4"]
    assert rows["linear", "cae", "room (F), mismatched"][4] == "-1.00"
    assert ("room", "cae", "room (F), matched") in rows
    assert "clean" not in {name for _, name, _ in rows}
    shown = [row[1] for row in cleaningpage.separated_rows(report)[1] if row[0] == "linear"]
    assert shown == ["clean", "cleaned by cae", "bleeding", "cleaned by cae"]
    page = cleaningpage.markdown(report)
    assert "| linear | cleaned by cae | linear, matched | 3.75 | 5.5 | 2.0 | 0.2 | 75 % | 56 % |" in page
    assert "‖ΔΛ‖" in page
    assert "9 steps" in page


@pytest.mark.usefixtures("noise")
def test_the_verb(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    assert main(["bench", "cleaning", str(tmp_path), "--tracks", "1", "--cache", str(tmp_path), "--json",
                 "-o", str(page)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {one["system"] for one in told["results"]} == {"clean", "mics", "altmin", "mean gains"}
    assert "| linear | altmin |" in page.read_text()
    assert main(["bench", "cleaning", str(tmp_path), "--tracks", "0"]) == 2
