"""Freeze what every chain makes of fixed material: SHA-256 of float32 samples, before and after a change of structure.

    python tests/frozen.py write    # hashes of this tree, into .frozen.json
    python tests/frozen.py check    # the same material again; names what differs, and exits with 1

The hashes are of one machine and build: another processor may round transforms otherwise. So they are written before a
change and checked after it, and are not in the repository. `--only TEXT` takes the cases with that text in their names.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import pathlib
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from live_systems import LIVE
from numpy.typing import NDArray

from rtsep import presets
from rtsep.calibration import Calibration
from rtsep.engine import Engine
from rtsep.runner import process
from rtsep.scenes import make_scene
from rtsep.session import Session
from rtsep.stage import Block, Format

ROOT = pathlib.Path(__file__).parent.parent
FILE = ROOT / ".frozen.json"
RATES = (44100, 48000, 96000)
BLOCK = 480   # not a multiple of the grid
LONG = 14.0   # seconds in which paths are refined, adopted and watched
# The canceller's own modes need more than one short take: see `_takes`.
CANCELLING = ("live", "monitor", "foh", "record")

Case = Callable[[], Block]


def band(rate: int, mics: int, seconds: float, linear: bool = False) -> tuple[Block, Block]:
    """Make players who take turns, and the paths by which each reaches the others' mics.

    Returns
    -------
    mics : float32[mics, frames]
    paths : float32[mics, mics, taps]
        0 on the diagonal.
    """
    rng = np.random.default_rng(7)
    frames, turn = round(seconds * rate), round(0.31 * rate)
    playing = rng.random((mics, frames // turn + 1)) > 0.35
    soft = np.apply_along_axis(lambda row: np.convolve(row, np.hanning(65) / 32, "same"), 1,
                               playing.repeat(turn, 1)[:, :frames])
    t = np.arange(frames) / rate
    sources = np.zeros((mics, frames))
    for i in range(mics):
        pitch = 90.0 * 1.37**i * (1 + 0.004 * np.sin(2 * np.pi * (4 + i) * t))
        tone = sum(np.sin(2 * np.pi * h * np.cumsum(pitch) / rate) / h for h in range(1, 9))
        sources[i] = soft[i] * (0.5 * tone + 0.3 * rng.standard_normal(frames))
    taps = 1 if linear else round(0.02 * rate)
    paths = rng.standard_normal((mics, mics, taps)) * np.exp(-np.arange(taps) / (0.004 * rate)) * 0.05
    if linear:
        paths = rng.uniform(0.1, 0.4, (mics, mics, 1))
    else:
        paths[..., : round(0.002 * rate)] = 0
    paths[np.arange(mics), np.arange(mics)] = 0
    heard = sources.copy()
    for i in range(mics):
        for j in range(mics):
            if i != j:
                heard[i] += np.convolve(sources[j], paths[i, j])[:frames]
    return (0.1 * heard / np.abs(heard).max() * 3).astype(np.float32), paths.astype(np.float32)


def calibration(rate: int, paths: Block) -> Calibration:
    """Return what a soundcheck would have found."""
    k = len(paths)
    names = tuple(f"mic{c + 1}" for c in range(k))
    return Calibration(rate, names, paths, np.full(k, -90, np.float32), (1 - np.eye(k)).astype(np.float32))


def _takes(preset: str) -> Iterator[tuple[str, float]]:
    """Name what is done to a preset, and for how many seconds."""
    short = 6.0 if preset in CANCELLING else 2.0
    for take in ("blind", "calibrated", "reload", "unplugged", "nan"):
        yield take, short
    if preset in CANCELLING:
        yield from (("linear", 6.0), ("fader", short))
    if preset == "live":
        yield from (("blind long", LONG), ("calibrated long", LONG), ("fader long", LONG), ("few pairs", short))


def play(preset: str, rate: int, take: str, seconds: float) -> Block:
    """Play a band through a preset, and do to it what `take` says."""
    mics = 4
    x, paths = band(rate, mics, seconds, take == "linear")
    half = x.shape[1] // 2
    known = calibration(rate, paths) if take.startswith(("calibrated", "fader")) else None
    if take == "unplugged":
        x[1, half : half + half // 2] = 0
    if take == "nan":
        x[2, half : half + 3] = (np.nan, np.inf, -np.inf)
    if take.startswith("fader"):
        x[0, half:] *= np.float32(0.6)
    chosen = presets.load(preset)
    if take == "few pairs":
        text = presets.dumps(chosen).replace("pairs = 240", "pairs = 5")
        assert "pairs = 5" in text
        chosen = presets.loads(text, "few pairs")
    engine = Session.open(chosen, rate, tuple(f"mic{c + 1}" for c in range(mics)), known).engine
    if take != "reload":
        return _through(engine, x)
    first = _through(engine, x[:, :half])
    assert engine.reload(presets.loads(_changed(presets.dumps(chosen)), "reload")) == "chain"
    return np.concatenate([first, _through(engine, x[:, half:])], axis=1)


def _changed(text: str) -> str:
    """Return a preset's text with another first stage, so that its chain is rebuilt from there."""
    assert "max_delay_ms = 50" in text
    return text.replace("max_delay_ms = 50", "max_delay_ms = 20")


def _through(engine: Engine, x: Block) -> Block:
    return process(engine, np.ascontiguousarray(x), BLOCK)


def demo() -> Block:
    """Render the concert that `rtsep demo` plays."""
    scene = make_scene("room", 1, 6, 20.0)
    return _through(Session.open("foh", scene.rate, scene.names).engine, scene.mics)


def live(name: str) -> Block:
    """Drive a live system by itself, once for each part that it can leave."""
    system = LIVE[name]
    stage = system.stage()
    fmt = Format(16000, system.channels)
    stage.prepare(fmt)
    x, _ = band(fmt.rate, fmt.channels, 2.0)
    heard = []
    for part in range(max(1, len(system.parts))):
        if system.parts:
            stage.board.set(f"{stage.name}.keep", part)
        stage.reset()
        heard.append(process(stage, x, BLOCK))
    return np.concatenate(heard)


def cases() -> dict[str, Case]:
    """Return all cases by name."""
    found: dict[str, Case] = {"demo": demo}
    for name in LIVE:
        found[f"live system {name}"] = partial(live, name)
    for preset in presets.names():
        for rate in RATES:
            for take, seconds in _takes(preset):
                if seconds < LONG or rate == 48000:
                    found[f"{preset} {rate} {take}"] = partial(play, preset, rate, take, seconds)
    return found


def digest(sound: NDArray[np.float32]) -> str:
    """Return the hash of the samples; what is not finite, or nothing but silence, is no reference."""
    assert sound.dtype == np.float32
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() > 1e-4
    return hashlib.sha256(np.ascontiguousarray(sound).tobytes()).hexdigest()[:24]


def _one(name: str) -> tuple[str, str]:
    return name, digest(cases()[name]())


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("write", "check"))
    parser.add_argument("--only", default="", metavar="TEXT", help="cases with this text in their names")
    parser.add_argument("--file", type=pathlib.Path, default=FILE)
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    asked = parser.parse_args()
    # What is trained offline (nae, drums) rounds as its products are cut: the processes below take this with them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # In an order that puts no two long cases side by side, so that both processes are busy to the end.
    names = sorted((n for n in cases() if asked.only in n), key=lambda n: zlib.crc32(n.encode()))
    with multiprocessing.get_context("spawn").Pool(asked.jobs) as pool:
        found = dict(pool.imap_unordered(_one, names))
    if asked.what == "write":
        before = json.loads(asked.file.read_text()) if asked.only and asked.file.exists() else {}
        asked.file.write_text(json.dumps({**before, **found}, indent=1, sort_keys=True) + "\n")
        print(f"{len(found)} hashes written to {asked.file}")
        return 0
    frozen = json.loads(asked.file.read_text())
    known = {name for name in frozen if asked.only in name}
    wrong = sorted(name for name in known | set(found) if frozen.get(name) != found.get(name))
    for name in wrong:
        print(f"differs: {name}" if name in known and name in found else f"only in one of the two: {name}")
    print(f"{len(found) - len(wrong)} of {len(found)} as frozen")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
