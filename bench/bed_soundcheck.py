"""Writes the soundchecks that `rtsep bench bleed FOLDER` starts from: FOLDER/soundcheck/CASE.wav and CASE.csv.

Each player plays 5 s alone, of what the stems hold after the case's own 14 s, through the very paths of the case. The
others are heard 40 dB below their level in the case, and the microphones' noise is that of the case. Where somebody
moves, the soundcheck is before that.

    python bench/bed_soundcheck.py FOLDER BED FIRST SECOND SEED [--seconds 5] [--leak-db -40]

BED holds simulate.py and stems/; FIRST SECOND SEED are what simulate.py was called with.
"""

from __future__ import annotations

import argparse
import importlib.util
import pathlib
from typing import Any

import numpy as np
import soundfile
from scipy.signal import fftconvolve

from rtsep.bench import cases

RATE = cases.RATE
GAP_SECONDS = 0.5
NOISE = 0.05 * 10 ** (-62 / 20)


def simulator(bed: pathlib.Path) -> Any:
    spec = importlib.util.spec_from_file_location("simulate", bed / "simulate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def first_paths(case: cases.Case, data: Any, told: dict[str, Any], bed: Any) -> Any:
    """Return what the case begins with: responses from dry sources, or gains between images."""
    if case.responses is not None:
        return case.responses
    k = len(case.mics)
    if told["kind"].startswith("linear"):
        own, every = case.images[:, : 4 * RATE].astype(np.float64), data["images"][..., : 4 * RATE]
        return np.array([[[own[j] @ every[i, j] / (own[j] @ own[j])] for j in range(k)] for i in range(k)])
    # The places of simulate.render, drawn as it draws them.
    rng = np.random.default_rng(told["seed"])
    rng.uniform(-2.5, 2.5, k)
    size = told.get("size", (14.0, 10.0, 6.0))
    players, mics = bed.stage(k, rng, told.get("sep", 1.3), size)
    responses = bed.rirs(players, mics, told["rt60"], told["mic"], size, np.random.default_rng(told["seed"] + 77))
    return cases.at_level(responses.astype(np.float32), data["dry"], data["images"])


def soundcheck(case: cases.Case, data: Any, told: dict[str, Any], bed: Any, seconds: float, leak_db: float) -> Any:
    """Return the recording float32[mics, frames] and the solos' first and last seconds."""
    rng = np.random.default_rng([told["seed"], 5])
    begin = told["dur"]
    paths = first_paths(case, data, told, bed)
    linear = told["kind"].startswith("linear")
    k, alone, gap = len(case.mics), round(seconds * RATE), round(GAP_SECONDS * RATE)
    dry = np.empty((k, alone))
    for j, (stem, start) in enumerate(told["stems"]):
        path = str(pathlib.Path(bed.HERE) / stem)
        played = bed.load(path, start, begin)
        level = case.images[j] if linear else data["dry"][j]
        # How loud the case plays this stem; four seconds, as a gain may move later.
        first = slice(0, 4 * RATE)
        gain = (played[first] @ level[first]) / (played[first] @ played[first])
        dry[j] = gain * bed.load(path, start + begin, seconds)
    edge = np.clip(np.minimum(np.arange(alone), np.arange(alone)[::-1]) / (0.01 * RATE), 0, 1)
    dry *= edge
    frames = k * (alone + gap) + gap
    sources = np.zeros((k, frames))
    solos = []
    for j in range(k):
        start = gap + j * (alone + gap)
        sources[:, start : start + alone] = 10 ** (leak_db / 20) * dry
        sources[j, start : start + alone] = dry[j]
        solos.append((start / RATE, (start + alone) / RATE))
    recorded = NOISE * rng.standard_normal((k, frames))
    for i in range(k):
        for j in range(k):
            recorded[i] += fftconvolve(sources[j], paths[i, j])[:frames]
    return recorded.astype(np.float32), solos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("bed", type=pathlib.Path)
    parser.add_argument("first")
    parser.add_argument("second")
    parser.add_argument("seed", type=int)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--leak-db", type=float, default=-40.0)
    args = parser.parse_args()
    bed = simulator(args.bed)
    out = args.folder / "soundcheck"
    out.mkdir(exist_ok=True)
    for told in bed.bed(args.first, args.second, args.seed):
        path = args.folder / f"{told['name']}.npz"
        if not path.exists():
            continue
        case = cases.read(path)
        recorded, solos = soundcheck(case, np.load(path), told, bed, args.seconds, args.leak_db)
        soundfile.write(out / f"{case.name}.wav", recorded.T, RATE, subtype="FLOAT")
        rows = [f"{mic + 1},{start:.6f},{end:.6f}" for mic, (start, end) in enumerate(solos)]
        (out / f"{case.name}.csv").write_text("\n".join(["mic,start_s,end_s", *rows]) + "\n", encoding="utf-8")
        print(f"{case.name}: {recorded.shape[1] / RATE:.1f} s")


if __name__ == "__main__":
    main()
