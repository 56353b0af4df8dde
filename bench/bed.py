"""Quality on the development cases of `bed/` (compose.py, then simulate.py write them), from a cold start.

SI-SDR improvement against each mic's own image, from 4 s on, mean over mics, for each preset; latency taken out.

    python bench/bed.py FOLDER [--presets live,foh] [--json FILE]       FOLDER holds the cases' .npz
"""

from __future__ import annotations

import argparse
import json
import pathlib

import numpy as np

from rtsep import metrics, presets
from rtsep.engine import process
from rtsep.hosts.file import make_engine

SKIP_SECONDS = 4


def score(case: pathlib.Path, preset: str) -> tuple[list[float], int]:
    """Return the improvement of each mic, dB, and the latency, samples."""
    data = np.load(case)
    mics, rate = np.ascontiguousarray(data["mix"]), 48000
    k, frames = mics.shape
    images = np.array([data["images"][i, i] for i in range(k)])
    engine = make_engine(presets.load(preset), rate, tuple(f"mic{i + 1}" for i in range(k)))
    late = engine.latency
    cleaned = process(engine, np.pad(mics, ((0, 0), (0, late))))[:, late:]
    part = slice(SKIP_SECONDS * rate, frames)
    gains = metrics.improvement(images[:, part], mics[:, part], cleaned[:, part])
    return [float(g) for g in np.atleast_1d(gains)], late


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--presets", default="live,monitor,foh,record")
    parser.add_argument("--json")
    args = parser.parse_args()
    cases = sorted(args.folder.glob("*.npz"))
    if not cases:
        parser.error(f"{args.folder}: no .npz; see bed/simulate.py")
    wanted = args.presets.split(",")
    results: dict[str, dict[str, list[float]]] = {preset: {} for preset in wanted}
    latencies = {}
    print(f"{'case':<16}" + "".join(f"{preset:>20}" for preset in wanted) + "     (mean / worst mic, dB)")
    for case in cases:
        row = f"{case.stem:<16}"
        for preset in wanted:
            gains, latencies[preset] = score(case, preset)
            results[preset][case.stem] = gains
            row += f"{np.mean(gains):12.2f} / {min(gains):5.2f}"
        print(row, flush=True)
    row = f"{'mean':<16}"
    for preset in wanted:
        every = list(results[preset].values())
        row += f"{np.mean([np.mean(g) for g in every]):12.2f} / {min(min(g) for g in every):5.2f}"
    print(row)
    print("latency, samples: " + ", ".join(f"{preset} {latencies[preset]}" for preset in wanted))
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"latency": latencies, "improvement_db": results}, file, indent=2)


if __name__ == "__main__":
    main()
