"""Refined filters come in without a click, and a click would be found."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from rtsep import cli
from rtsep.bench import changes, clicks
from rtsep.bench.voices import choir
from rtsep.presets import Preset
from rtsep.scenes import make_scene
from rtsep.stage import Block, Format
from rtsep.stages.canceller import Canceller
from rtsep_kernels.canceller.record import BLOCK

RATE = 48000


def test_a_handover_does_not_click_and_a_planted_click_is_found() -> None:
    mics = make_scene("room", 21, 2, 5.0, RATE).mics.copy()
    mics[0, 3 * RATE :] *= np.float32(10 ** (-4 / 20))   # somebody moves a fader
    found = list(clicks.handovers(mics, RATE, 4096))
    assert len(found) >= 3
    for over in found:
        n = over.switches[0]
        np.testing.assert_array_equal(over.cleaned[:, :n], over.without[:, :n])   # until then it is the same run
        assert np.abs(over.cleaned - over.without).max() > 1e-4                   # and then no longer
        assert clicks.loudest(over.cleaned, over.without, over.switches, RATE) < 3
        planted = over.cleaned.copy()
        planted[1, over.switches[len(over.switches) // 2] + 100] += np.float32(0.05)
        assert clicks.loudest(planted, over.without, over.switches, RATE) > 3


def test_what_is_far_from_a_switch_does_not_count() -> None:
    quiet = 1e-3 * np.random.default_rng(0).standard_normal((1, 4800)).astype(np.float32)
    planted = quiet.copy()
    planted[0, 3000] += np.float32(0.5)
    assert clicks.loudest(planted, quiet, (1000, 2000), RATE) < 1e-6
    assert clicks.loudest(planted, quiet, (1000, 2900), RATE) > 20


def test_a_jump_is_a_step_and_a_fade_is_none() -> None:
    tone = 0.2 * np.sin(2 * np.pi * 220 / RATE * np.arange(RATE // 2) + 1)
    jumps, fades = np.tile(tone, (2, 1)), np.tile(tone, (2, 1))
    jumps[1, 10240:] *= 0.9
    fades[1] *= 1 - 0.05 * (1 - np.cos(np.pi * np.clip((np.arange(RATE // 2) - 10240) / 64, 0, 1)))
    found = clicks.steps(jumps.astype(np.float32))
    assert found[1, 10240]
    assert found.sum() <= 3                        # the jump, and the waves on both sides of it
    assert not clicks.steps(fades.astype(np.float32)).any()
    assert clicks.sizes(jumps)[1, 10240] == pytest.approx(abs(0.1 * tone[10240]), rel=0.1)


@pytest.mark.parametrize("fades", [True, False])
def test_filters_that_change_sign_make_no_step_unless_what_fades_is_cut_off(fades: bool) -> None:
    singing = choir(2, 5.0, RATE, 3)
    mics = singing.heard()
    bleed = singing.paths * (1 - np.eye(2))[..., None]
    stage = Canceller("canceller", 4096, refine=0, start=bleed.astype(np.float32))
    stage.prepare(Format(RATE, 2))
    heard = np.zeros_like(mics)
    for n, first in enumerate(range(0, mics.shape[1] - BLOCK, 64)):
        piece, out = np.ascontiguousarray(mics[:, first : first + 64]), np.empty((2, 64), np.float32)
        stage.process(piece, out)
        heard[:, first : first + 64] = out
        if n % 2000 == 1500:                       # as where a mic's polarity flips
            for name in ("w_re", "w_im"):
                stage._paths[name][:] *= -1
            stage._paths["renew_far"] = 8
        if not fades:
            stage._applied["fading"] = 0           # planted: the far filters flip as they come
    found = changes.judge("", heard, 0)
    assert found.chance == 0
    assert (found.steps == 0) == fades


SHORT = ("--mics", "2", "--seconds", "1", "--preset", "live")


def bench(*arguments: str) -> int:
    """Run `rtsep bench clicks` on two voices of a second."""
    return cli.main(["bench", "clicks", *SHORT, *arguments])


def test_the_bench_plays_what_is_asked_for(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "SOLO", 0.5)
    played: list[tuple[str, tuple[int, ...], str]] = []
    plays = changes.play

    def play(change: changes.Change, preset: Preset) -> tuple[Block, int]:
        played.append((change.name, change.mics.shape, preset.name))
        return plays(change, preset)

    monkeypatch.setattr(changes, "play", play)
    report = tmp_path / "r.json"
    assert bench("--only", "frozen,reload", "--json", "--report", str(report)) == 0
    first = capsys.readouterr().out
    assert played == [("reload", (2, RATE), "live"), ("frozen", (2, RATE), "live")]
    rows = json.loads(first)
    assert rows == json.loads(report.read_text())
    assert [row["name"] for row in rows] == ["as it comes in", "reload", "frozen"]
    assert bench("--only", "reload", "--json") == 0
    assert json.loads(capsys.readouterr().out) == rows[:2]
    assert bench("--only", "reload", "--seed", "2") == 0
    table = capsys.readouterr().out
    assert "reload" in table
    assert f"{rows[0]['worst_db']:.1f}" not in table   # other voices
    assert bench("--only", "reload,louder") == 2
    assert "there is no change 'louder'; allowed are cold, calibrated" in capsys.readouterr().err
