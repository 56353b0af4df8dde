"""Two mics on one line, and mics that only look like it: what each keeps, and what a soundcheck says of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from rtsep.metrics import si_sdr
from rtsep.stage import Block, Format
from rtsep.stages.canceller import Canceller, soundcheck
from rtsep_kernels.canceller.guard.record import ONE, PERHAPS_ONE

RATE = 48000
LATE = slice(2 * RATE, None)
Float = NDArray[np.float64]


def players(k: int, seconds: float, seed: int = 0) -> Float:
    """Return independent noises that come and go."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * RATE)
    swell = np.repeat(rng.uniform(0.1, 1, (k, frames // 9600 + 1)), 9600, axis=1)[:, :frames]
    return np.asarray(0.05 * swell * rng.standard_normal((k, frames)))


def delayed(s: Float, frames: int) -> Float:
    return np.concatenate((np.zeros(frames), s[: len(s) - frames]))


def dull(s: Float) -> Float:
    """Return what a mic of another model hears: the treble is 12 dB down."""
    return np.asarray(0.6 * s + 0.4 * np.r_[0, s[:-1]] + 0.3 * np.r_[0, 0, s[:-2]])


def run(x: Float, **options: NDArray[np.float32]) -> tuple[Canceller, Block]:
    stage = Canceller(taps=1024, refine=0, **options)
    stage.prepare(Format(RATE, len(x)))
    given = np.ascontiguousarray(x, np.float32)
    out = np.empty_like(given)
    stage.process(given, out)
    return stage, out


def lost(own: Float, out: Block) -> float:
    """Return how many dB of its own sound a mic has lost."""
    return float(10 * np.log10(np.mean(own[LATE] ** 2) / np.mean(out[LATE].astype(float) ** 2)))


@pytest.mark.parametrize(
    ("gain", "late", "through"),
    [(0.7, 0, None), (-0.6, 0, None), (0.1, 0, None), (0.03, 84, None), (1.7, 0, None), (0.4, 60, dull)],
)
def test_a_copy_keeps_its_level(gain: float, late: int, through: Callable[[Float], Float] | None) -> None:
    """And a third player is taken out of both."""
    s = players(2, 4)
    own = np.stack((s[0], delayed(s[1], 250) * 0.3))
    line = own.sum(axis=0)

    def send(x: Float) -> Float:
        return gain * delayed(through(x) if through else x, late)

    x = np.stack((line, send(line), s[1] + 0.2 * delayed(s[0], 200)))
    stage, out = run(x + 4e-6 * players(3, 4, 9) / 0.05)
    for mic, wanted in enumerate((own[0], send(own[0]))):
        assert abs(lost(wanted, out[mic])) < 1
    assert stage.status()["twins"] == 2
    assert not stage._instant["instant"][:2].any()
    assert si_sdr(own[0, LATE].astype(np.float32), out[0, LATE]) > 17      # it was 11 dB
    assert (stage.doubt[1] < 0.01) == (abs(gain) < 0.5)     # later stages must not take it for bleed of the other


def test_a_mixture_of_two_that_rest_in_turn_is_no_copy() -> None:
    """Who rests at first hears the other alone, as a copy would; who rests later stays clean."""
    s = players(2, 8, 3)
    s[1, : 2 * RATE] = s[1, 5 * RATE :] = 0
    x = np.stack((s[0] + 0.2 * s[1], 0.3 * s[0] + s[1])) + 2e-5 * players(2, 8, 4) / 0.05
    stage, out = run(x[:, : 2 * RATE])
    assert stage._guard["pure_twin"][0, 1] == ONE
    assert not stage._instant["instant"].any()
    stage, out = run(x)
    assert stage._guard["pure_twin"][0, 1] in (0, PERHAPS_ONE)
    assert stage._instant["instant"].all()
    rest = slice(7 * RATE, None)
    assert np.mean(out[1, rest] ** 2) < 0.01 * np.mean(x[1, rest] ** 2)


def test_who_becomes_a_copy_leaves_the_mode() -> None:
    """A re-patch: after a rest that is too long for a player."""
    s = players(2, 9, 6)
    x = np.stack((s[0] + 0.2 * s[1], 0.3 * s[0] + s[1])) + 2e-5 * players(2, 9, 4) / 0.05
    x[1, 4 * RATE :] = 0.6 * x[0, 4 * RATE :]
    stage = Canceller(taps=1024, refine=0)
    stage.prepare(Format(RATE, 2))
    stage._guard["rest_blocks"] = RATE // 512
    stage._guard["coherence_kept"] = 0.95    # a fifth of a second
    before, after = (np.ascontiguousarray(part, np.float32) for part in (x[:, : 4 * RATE], x[:, 4 * RATE :]))
    stage.process(before, np.empty_like(before))
    assert stage._instant["instant"][1]
    out = np.empty_like(after)
    stage.process(after, out)
    assert not stage._instant["instant"][1]
    assert abs(10 * np.log10(np.mean(out[1, -RATE:] ** 2) / np.mean(after[1, -RATE:] ** 2))) < 1


def path(tap: int, gain: float, taps: int = 2048) -> NDArray[np.float32]:
    found = np.zeros(taps, np.float32)
    found[tap] = gain
    return found


def learnt(rows: dict[tuple[int, int], NDArray[np.float32]], k: int = 3) -> NDArray[np.float32]:
    paths = np.zeros((k, k, 2048), np.float32)
    for pair, taps in rows.items():
        paths[pair] = taps
    return paths


@pytest.mark.parametrize(
    ("there", "back", "alone", "twin"),
    [
        (path(0, 0.7), None, False, True),              # both played in the only solo
        (path(84, -0.1), None, False, True),
        (path(0, 0.7), path(0, 1 / 0.7), True, True),   # and in two solos
        (path(0, 0.3), path(0, 0.2), True, False),      # crosstalk between two players
        (path(300, 0.3), None, False, False),           # bleed that came through the room
        (path(300, 0.3), path(250, 0.3), True, False),
    ],
)
def test_a_soundcheck_tells_twins(
    there: NDArray[np.float32], back: NDArray[np.float32] | None, alone: bool, twin: bool
) -> None:
    bleed = path(400, 0.2)
    rows = {(1, 0): there, (2, 0): bleed, (0, 2): bleed, (1, 2): bleed, (2, 1): bleed}
    if back is not None:
        rows[0, 1] = back
    confidence = np.ones((3, 3), np.float32)
    confidence[:, 1] = alone
    told = soundcheck.told(learnt(rows), confidence, RATE)
    assert told.twins[1, 0] == twin
    assert told.twins.sum() == twin * (1 + (back is not None))
    assert told.parted[0, 1] == (alone and not twin)
    assert told.parted[0, 2]
    kept, sure = soundcheck.without_twins(told, learnt(rows), confidence)
    assert sure is not None
    assert (sure[1, 0] == 0) == twin
    assert kept[1, 0].any() != twin
    assert kept[2, 0].any()


@pytest.mark.parametrize("parted", [False, True])
def test_a_copy_keeps_its_level_after_a_soundcheck(parted: bool) -> None:
    """Of a soundcheck in which both played, or in which the second mic was another player's."""
    s = players(2, 6, 7)
    x = np.stack((s[0] + 0.3 * delayed(s[1], 250), 0.8 * s[0] + 0.24 * delayed(s[1], 250), s[1]))
    x[2] += 0.2 * delayed(s[0], 200)
    bleed = {(0, 2): path(250, 0.3), (1, 2): path(250, 0.24), (2, 0): path(200, 0.2)}
    weak = path(300, 0.1)
    other = {(1, 0): weak, (0, 1): weak, (2, 1): weak} if parted else {(1, 0): path(0, 0.8)}
    confidence = np.ones((3, 3), np.float32)
    confidence[:, 1] = parted
    stage, out = run(x, start=learnt(bleed | other)[..., :1024], confidence=confidence)
    assert abs(lost(0.8 * s[0], out[1])) < 1
    assert abs(lost(s[0], out[0])) < 1
    assert stage._guard["freed"][1, 0] == stage._guard["freed"][0, 1] == 0


def test_twins_are_named_once_it_is_sure_and_again_when_it_is_over() -> None:
    voice, drum, other = players(3, 5.0)
    stage, _ = run(np.stack((voice, drum, voice * 0.8)))
    looks = [stage.news() for _ in range(100)]
    assert [line for look in looks for line in look] == [
        "mic1 and mic3 hear one source: neither is taken out of the other"
    ]
    assert looks[0] == []
    given = np.ascontiguousarray(np.stack((voice, drum, other)), np.float32)
    stage.process(given, np.empty_like(given))
    assert [line for _ in range(100) for line in stage.news()] == ["mic1 and mic3 are two sources again"]
