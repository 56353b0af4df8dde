"""What is heard of snapshots that are recalled: values, and nothing else."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import numpy as np
from test_recall import LIVE, MICS, Clock, make

from rtsep import presets
from rtsep.bench import clicks
from rtsep.control.desk import Desk
from rtsep.runner import process
from rtsep.session import Session
from rtsep.show.cue import Cue
from rtsep.show.folder import Show
from rtsep.show.opened import OpenShow
from rtsep.stage import Block

RATE = 48000
CHANGES, BETWEEN, BLOCK = 200, 2304, 64   # 48 ms from one to the next


def pink(frames: int) -> Block:
    """Return pink noise up to 3 kHz: whatever is heard above 8 kHz was made by a change."""
    spectrum = np.fft.rfft(np.random.default_rng(1).standard_normal((len(MICS), frames)))
    hertz = np.fft.rfftfreq(frames, 1 / RATE)
    spectrum *= np.clip((3000 - hertz) / 500, 0, 1) / np.sqrt(np.maximum(20, hertz))
    sound = np.fft.irfft(spectrum, frames)
    return (0.1 * sound / sound.std(axis=1, keepdims=True)).astype(np.float32)


def songs() -> Iterator[Cue]:
    """Give snapshots that differ in all that the preset has; half of them fade, for longer than until the next."""
    rng = np.random.default_rng(2)
    for number in range(1, 9):
        values = {"output.mute.kick": float(number % 4 == 0), "output.dry.vox": float(number % 3 == 0)}
        for mic in MICS:
            values[f"output.gain_db.{mic}"] = float(rng.uniform(-30, 6))
            values[f"input.gain_db.{mic}"] = float(rng.uniform(-12, 6))
            values[f"canceller.amount.{mic}"] = float(rng.uniform(0, 1))
        yield Cue(number, f"song {number}", 0.06 * (number % 2), values=values, file=str(number))


def played(show: Show) -> tuple[Block, Block, set[int]]:
    """Play pink noise and recall a snapshot every 48 ms; then all as it came. Returns in, out, and the latencies."""
    mics = pink(CHANGES * BETWEEN + 8192)
    out = np.zeros_like(mics)
    with Session.open(presets.loads(LIVE, "test"), RATE, MICS) as session:
        desk, clock = Desk(session.engine), Clock()
        opened = OpenShow(show, desk, "live", clock)
        latencies = set()
        for first in range(0, mics.shape[1], BLOCK):
            clock.now = first / RATE
            if first % BETWEEN == 0 and first // BETWEEN < CHANGES:
                opened.go(3 * (first // BETWEEN) % 8 + 1)
            elif first == CHANGES * BETWEEN:
                for path, value in (("output.dry_all", 1), ("output.gain_db", 0), ("output.mute", 0)):
                    desk.set(path, value)
            opened.advance(clock.now)
            out[:, first : first + BLOCK] = process(session.engine, mics[:, first : first + BLOCK], BLOCK)
            latencies.add(session.engine.latency)
    return mics, out, latencies


def loudest(sound: Block) -> float:
    """Return the most energy above 8 kHz within 5 ms of a change, dBFS of a full-scale step's."""
    places = [n * BETWEEN for n in range(2, CHANGES)]
    step = np.zeros((1, 4096), np.float32)
    step[:, 2048:] = 1
    whole = clicks.high_energy(step, [2048], RATE).item()
    return float(10 * np.log10(clicks.high_energy(sound, places, RATE).max() / whole))


def test_200_snapshot_changes_under_pink_noise_click_nowhere_and_the_latency_stays(tmp_path: pathlib.Path) -> None:
    show = make(tmp_path / "show", tuple(songs()))
    mics, out, latencies = played(show)
    assert latencies == {0}
    np.testing.assert_allclose(out[:, -2048:], mics[:, -2048:], rtol=1e-4, atol=1e-6)   # not a sample late
    # The mics' own is at -83.6; snapshots make them up to 12 dB louder.
    assert loudest(out) < -70
    planted = out.copy()
    planted[0, 100 * BETWEEN :] += 0.001   # a step of -60 dBFS
    assert loudest(planted) > -61
