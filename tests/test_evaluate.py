"""Evaluation of folders and scenes: what belongs together, which figures, and the picture."""

from __future__ import annotations

import io
import json
import pathlib

import numpy as np
import pytest
import soundfile

from rtsep import evaluation, metrics, picture
from rtsep.cli import main
from rtsep.errors import InputError

RATE = 16000
NAMES = ("bass", "drums", "voice")
Signals = dict[str, np.ndarray]


def signals(seed: int, frames: int = 3 * RATE, channels: int = 1) -> Signals:
    rng = np.random.default_rng(seed)
    return {name: (0.1 * rng.standard_normal((channels, frames))).astype(np.float32) for name in NAMES}


def bled(truth: Signals, leak: float, seed: int = 9) -> Signals:
    rng = np.random.default_rng(seed)
    everyone = sum(truth.values())
    return {
        name: (own + leak * (everyone - own) + 0.002 * rng.standard_normal(own.shape)).astype(np.float32)
        for name, own in truth.items()
    }


def write(folder: pathlib.Path, parts: Signals, numbers: tuple[int, ...] | None = None, rate: int = RATE) -> str:
    folder.mkdir()
    for i, (name, audio) in enumerate(parts.items()):
        prefix = f"{numbers[i]:02}-" if numbers else ""
        soundfile.write(folder / f"{prefix}{name}.wav", audio.T, rate, subtype="FLOAT")
    return str(folder)


def told(capsys: pytest.CaptureFixture, *arguments: str) -> dict:
    assert main(["evaluate", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_mono_files_have_the_figures_of_metrics(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    truth = signals(1)
    given, mics = bled(truth, 0.1), bled(truth, 0.5)
    folders = [write(tmp_path / n, parts) for n, parts in (("t", truth), ("g", given), ("m", mics))]
    report = told(capsys, "--reference", folders[0], "--estimate", folders[1], "--mixture", folders[2])
    everyone = np.concatenate(list(truth.values()))
    assert [row["mic"] for row in report["mics"]] == list(NAMES)
    for i, row in enumerate(report["mics"]):
        own, found, before = (x[NAMES[i]][0] for x in (truth, given, mics))
        assert set(row) == {"mic", "sdr", "si_sdr", "si_sir", "si_sar", "improvement"}
        assert row["sdr"] == float(metrics.sdr(own, found))
        assert row["si_sdr"] == float(metrics.si_sdr(own, found))
        assert [row["si_sir"], row["si_sar"]] == list(metrics.si_sir_sar(everyone, found, i)[1:])
        assert row["improvement"] == pytest.approx(float(metrics.improvement(own, before, found)))
    polyphonic = tmp_path / "t.wav"
    soundfile.write(polyphonic, everyone.T, RATE, subtype="FLOAT")
    rows = evaluation.compare_folders(str(polyphonic), folders[1])
    assert [row["sdr"] for row in rows] == [row["sdr"] for row in report["mics"]]


@pytest.mark.parametrize("summary", ["median", "mean"])
def test_bss_adds_four_columns(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture, summary: str) -> None:
    truth = signals(1)
    given = bled(truth, 0.1)
    given["bass"][:, :RATE] = 0.01 * given["voice"][:, :RATE]
    folders = [write(tmp_path / n, parts) for n, parts in (("t", truth), ("g", given))]
    choice = ["--bss"] if summary == "median" else ["--bss", "mean"]
    report = told(capsys, "--reference", folders[0], "--estimate", folders[1], *choice)
    found = metrics.bss_eval(*(np.concatenate(list(x.values())) for x in (truth, given)), RATE)
    for name, values in getattr(found, summary)().items():
        np.testing.assert_allclose([row[f"bss_{name}"] for row in report["mics"]], values)
        assert report["mean"][f"bss_{name}"] == pytest.approx(values.mean())
    assert main(["evaluate", "--reference", folders[0], "--estimate", folders[1], *choice]) == 0
    assert "bss sdr  bss isr  bss sir  bss sar" in capsys.readouterr().out
    assert main(["evaluate", "--reference", folders[0], "--estimate", folders[1], "--bss", "mode"]) == 2
    assert "known: median, mean" in capsys.readouterr().err


def test_files_of_several_channels_are_images(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    truth = signals(1, channels=2)
    truth["voice"][1] = 0
    given = bled(truth, 0.1)
    folders = [write(tmp_path / n, parts) for n, parts in (("t", truth), ("g", given))]
    report = told(capsys, "--reference", folders[0], "--estimate", folders[1], "--bss")
    assert [row["mic"] for row in report["mics"]] == list(NAMES)
    for row in report["mics"]:
        own, found = truth[row["mic"]].astype(np.float64), given[row["mic"]].astype(np.float64)
        assert row["sdr"] == pytest.approx(10 * np.log10((own**2).sum() / ((own - found) ** 2).sum()), abs=1e-9)
        own, found = (x - x.mean(axis=1, keepdims=True) for x in (own, found))
        scaled = (own * found).sum() / (own**2).sum() * own   # one gain for both channels
        expected = 10 * np.log10((scaled**2).sum() / ((found - scaled) ** 2).sum())
        assert row["si_sdr"] == pytest.approx(expected, abs=1e-4)
    images = [np.stack(list(x.values())) for x in (truth, given)]
    np.testing.assert_allclose(
        [row["bss_isr"] for row in report["mics"]], metrics.bss_eval(*images, RATE).median()["isr"]
    )
    # Each channel's own mean does not count, as it does not with one channel.
    offset = {name: audio + np.float32([[0.3], [-0.2]]) for name, audio in given.items()}
    for row, moved in zip(report["mics"], evaluation.compare_folders(folders[0], write(tmp_path / "o", offset)),
                          strict=True):
        assert moved["si_sdr"] == pytest.approx(row["si_sdr"], abs=1e-3)
        assert moved["sdr"] < row["sdr"] - 10
    swapped = {name: audio[::-1] for name, audio in truth.items()}
    rows = evaluation.compare_folders(folders[0], write(tmp_path / "s", swapped))
    assert rows[2]["si_sdr"] < -20


def test_names_decide_before_order(tmp_path: pathlib.Path) -> None:
    truth = signals(1)
    reference = write(tmp_path / "t", truth)
    shuffled = write(tmp_path / "n", bled(truth, 0.1), numbers=(3, 1, 2))
    before = write(tmp_path / "m", bled(truth, 0.5), numbers=(2, 3, 1))
    for row in evaluation.compare_folders(reference, shuffled, before):
        assert row["sdr"] > 15
        assert row["improvement"] == pytest.approx(20 * np.log10(5), abs=0.5)
    other = {f"part{i}": audio for i, audio in enumerate(bled(truth, 0.1).values())}
    assert min(row["sdr"] for row in evaluation.compare_folders(reference, write(tmp_path / "o", other))) > 15


@pytest.mark.parametrize("channels", [1, 2])
def test_one_mixture_may_be_what_was_before_for_all(tmp_path: pathlib.Path, channels: int) -> None:
    truth = signals(1, channels=channels)
    song = sum(truth.values())
    soundfile.write(tmp_path / "song.wav", song.T, RATE, subtype="FLOAT")
    folders = [write(tmp_path / n, parts) for n, parts in (("t", truth), ("g", bled(truth, 0.01)))]
    for row in evaluation.compare_folders(*folders, str(tmp_path / "song.wav")):
        assert row["improvement"] == pytest.approx(33.0 + 3.0, abs=6.0)
    with pytest.raises(InputError, match=r"song\.wav"):
        evaluation.compare_folders(folders[0], str(tmp_path / "song.wav"))


def test_a_file_that_ends_early_ends_in_silence(tmp_path: pathlib.Path) -> None:
    truth = signals(1, channels=2)
    short = {name: audio[:, : RATE if name == "bass" else None] for name, audio in truth.items()}
    found = evaluation.read_comparison(write(tmp_path / "t", truth), write(tmp_path / "s", short))
    np.testing.assert_array_equal(found.given[0, :, :RATE], truth["bass"][:, :RATE])
    assert not found.given[0, :, RATE:].any()


def test_what_does_not_belong_together_is_refused(tmp_path: pathlib.Path) -> None:
    truth = signals(1)
    reference = write(tmp_path / "t", truth)
    two = {name: truth[name] for name in NAMES[:2]}
    mixed = truth | {"drums": signals(1, channels=2)["drums"]}
    for name, parts, rate, words in (
        ("fewer", two, RATE, "2 channels of 48000"), ("rate", truth, 8000, "at 8000 Hz"),
        ("mixed", mixed, RATE, "drums.wav: has 2 channels"), ("stereo", signals(1, channels=2), RATE, "3 parts of 2"),
        ("short", {n: a[:, :99] for n, a in truth.items()}, RATE, "99 frames"),
    ):
        with pytest.raises(InputError, match=words):
            evaluation.compare_folders(reference, write(tmp_path / name, parts, rate=rate))
    (tmp_path / "empty").mkdir()
    for nothing in ("empty", "nowhere"):
        with pytest.raises(InputError, match=nothing):
            evaluation.compare_folders(reference, str(tmp_path / nothing))


def test_what_separate_writes_can_be_evaluated(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    t = np.arange(3 * RATE) / RATE
    tones = np.stack([0.2 * np.sin(2 * np.pi * f * t) for f in (440, 660)]).astype(np.float32)
    clicks = np.zeros_like(tones)
    clicks[:, :: RATE // 4] = 0.9
    soundfile.write(tmp_path / "song.wav", (tones + clicks).T, RATE, subtype="FLOAT")
    reference = write(tmp_path / "t", {"harmonic": tones, "percussive": clicks})
    out = str(tmp_path / "out")
    assert main(["separate", str(tmp_path / "song.wav"), "-o", out, "--method", "hpss"]) == 0
    capsys.readouterr()
    shown = tmp_path / "shown.png"
    report = told(capsys, "--reference", reference, "--estimate", out, "--mixture", str(tmp_path / "song.wav"),
                  "--bss", "--picture", str(shown))
    assert [row["mic"] for row in report["mics"]] == ["harmonic", "percussive"]
    assert report["mics"][0]["si_sdr"] > 20
    assert report["mics"][1]["improvement"] > 10
    assert shown.read_bytes().startswith(b"\x89PNG")


def test_the_picture_needs_a_before_and_a_name(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    truth = signals(1)
    reference = write(tmp_path / "t", truth)
    common = ["evaluate", "--reference", reference, "--estimate", reference]
    assert main([*common, "--picture", str(tmp_path / "x.png")]) == 2
    assert "--mixture" in capsys.readouterr().err
    assert main([*common, "--mixture", reference, "--picture", str(tmp_path / "x.jpg")]) == 2
    assert "FILE.png" in capsys.readouterr().err
    assert main([*common, "--mixture", reference, "--picture", str(tmp_path / "no" / "x.png")]) == 2
    assert not list(tmp_path.glob("x.*"))


def test_a_scene_has_bss_columns_and_a_picture(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    scene = str(tmp_path / "scene")
    assert main(["scene", scene, "--kind", "linear", "--mics", "2", "--seconds", "2"]) == 0
    capsys.readouterr()
    shown = tmp_path / "shown.png"
    report = told(capsys, "--scene", scene, "--preset", "live", "--skip", "0", "--bss", "--picture", str(shown))
    assert set(report["mics"][0]) == {
        "mic", "si_sdr_before", "si_sdr_after", "improvement", "sdr_after", "bleed_removed", "harm",
        "bss_sdr", "bss_isr", "bss_sir", "bss_sar",
    }
    assert np.isfinite([value for row in report["mics"] for value in row.values() if value != row["mic"]]).all()
    assert shown.stat().st_size > 50000


def test_gains_are_ratios_where_there_was_something() -> None:
    before = np.array([[0.0, -10.0], [-70.0, 0.0]])
    after, truth = before - [[6.0, 0.0], [3.0, 50.0]], before - [[12.0, -3.0], [3.0, 0.0]]
    applied, right = picture.gains(before, after, truth, floor=-60.0)
    np.testing.assert_array_equal(applied, [[-6.0, 0.0], [np.nan, -30.0]])
    np.testing.assert_array_equal(right, [[-12.0, 3.0], [np.nan, 0.0]])


def test_a_picture_of_silence_and_of_less_than_a_window() -> None:
    for frames in (100, 3 * RATE):
        silent = np.zeros((2, frames), np.float32)
        file = io.BytesIO()
        nothing = [float("nan")] * 2
        picture.draw(file, ("a", "b"), RATE, silent, silent, silent, nothing, nothing)
        assert file.getvalue().startswith(b"\x89PNG")


def test_who_rests_is_not_in_the_mean(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    truth = signals(1)
    last = NAMES[-1]
    truth[last] *= 1e-4
    before = bled(truth, 0.5)
    given = {name: truth[name] + 1e-3 * (before[name] - truth[name]) for name in NAMES}
    folders = [write(tmp_path / n, parts) for n, parts in (("t", truth), ("g", given), ("m", before))]
    arguments = ("--reference", folders[0], "--estimate", folders[1], "--mixture", folders[2])
    report = told(capsys, *arguments)
    assert report["resting"] == [last]
    own = [row["improvement"] for row in report["mics"] if row["mic"] != last]
    assert report["mean"]["improvement"] == pytest.approx(np.mean(own))
    assert main(["evaluate", *arguments]) == 0
    assert f"without {last}" in capsys.readouterr().out


def test_what_is_not_known_is_null(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    truth = signals(1)
    truth[NAMES[0]][:] = 0
    folders = [write(tmp_path / n, parts) for n, parts in (("t", truth), ("g", bled(signals(1), 0.1)))]
    assert main(["evaluate", "--reference", folders[0], "--estimate", folders[1], "--json"]) == 0
    text = capsys.readouterr().out
    assert "NaN" not in text
    report = json.loads(text)
    assert report["mics"][0]["si_sdr"] is None
    assert report["resting"] == [NAMES[0]]
    assert main(["evaluate", "--reference", folders[0], "--estimate", folders[1]]) == 0
    assert "nan" not in capsys.readouterr().out


def test_a_mix_beside_the_parts_is_no_part(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    truth = signals(1)
    reference, estimate = write(tmp_path / "t", truth), write(tmp_path / "g", bled(truth, 0.1))
    plain = told(capsys, "--reference", reference, "--estimate", estimate)
    song = sum(truth.values())
    soundfile.write(tmp_path / "t" / "mixture.wav", song.T, RATE, subtype="FLOAT")
    assert main(["evaluate", "--reference", reference, "--estimate", estimate, "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == plain
    assert "mixture.wav is the mix and no part" in shown.err
    soundfile.write(tmp_path / "g" / "01-mixture.wav", song.T, RATE, subtype="FLOAT")   # both have one: a part
    assert len(told(capsys, "--reference", reference, "--estimate", estimate)["mics"]) == len(NAMES) + 1
